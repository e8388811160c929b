"""Open the images that a selection names: a data set known by name, a folder, or a file of any kind that is known."""

from __future__ import annotations

from pathlib import Path

from imagrad.data import digits as _digits
from imagrad.data import mnist as _mnist
from imagrad.data.arrays import ARRAY_SUFFIXES, load_arrays
from imagrad.data.fitting import Fit
from imagrad.data.huggingface import (
    HUB,
    TABLE_SUFFIXES,
    is_saved,
    load_files,
    load_hub,
    load_pattern,
    load_saved,
    matching,
)
from imagrad.data.idx import is_idx, load_idx
from imagrad.data.pictures import load_folder, load_picture
from imagrad.data.selections import Selection, parse_selection, select
from imagrad.data.sources import DATASETS, Dataset, Source
from imagrad.data.zarrays import is_zarr, load_zarr
from imagrad.errors import MissingDataError, SelectionError, UnknownNameError

__all__ = ["DATASETS", "Dataset", "load_dataset"]

_REGISTERED = (_digits, _mnist)  # imported so that they are in the registry


def load_dataset(text: str, *, split: str = "test", data_dir: str | None = None, fit: Fit | None = None) -> Dataset:
    """Open the images that `text` names, such as "mnist:test[:1000]", "digits" or "pictures/label=cat".

    `split` is taken where the text names none; `data_dir` is where a named data set is looked for.
    Raises `UnknownNameError` for what is neither a data set nor a path, `SelectionError` for what selects nothing.
    """
    selection = parse_selection(text)
    source = _open(selection, split, data_dir)
    is_whole_name = selection.base in DATASETS and selection.split is None
    name = text.replace(selection.base, f"{selection.base}:{split}", 1) if is_whole_name else text
    return Dataset(name, source, select(source, selection, text), fit or Fit())


def has_splits(text: str) -> bool:
    """Say whether the selection names a data set that has a train and a test split."""
    return parse_selection(text).base in DATASETS


def is_there(text: str) -> bool:
    """Say whether the file, folder or files that a selection names are (still) there; a data set by name always is."""
    base = parse_selection(text).base
    name = base.removeprefix(HUB)
    return base in DATASETS or Path(name).exists() or (matching(name) != [] if _is_pattern(name) else name != base)


def _is_pattern(name: str) -> bool:
    return "*" in name or "?" in name


def _open(selection: Selection, split: str, data_dir: str | None) -> Source:
    """Find the source that a selection is cut from."""
    if selection.base in DATASETS:
        _refuse_columns(selection)
        return DATASETS[selection.base](selection.split or split, data_dir)
    name = selection.base.removeprefix(HUB)
    path = Path(name)
    if path.exists():
        return _open_path(path, selection)
    if name != selection.base:
        return load_hub(name, selection.split, selection.columns)
    if _is_pattern(name):
        _refuse_split(selection, "a pattern")
        return load_pattern(name, selection.columns)
    if path.suffix or len(path.parts) > 1:
        raise MissingDataError(
            f"there is no file or folder {path}; the data sets known by name: {', '.join(DATASETS)}."
        )
    raise UnknownNameError(f"{DATASETS.unknown(selection.base)} There is no file or folder of that name either.")


def _open_path(path: Path, selection: Selection) -> Source:
    """Open a file or folder by what it is."""
    if path.is_dir() and is_saved(path):
        return load_saved(path, selection.split, selection.columns)
    _refuse_split(selection, "a folder" if path.is_dir() else "a file")
    if path.is_dir() and is_zarr(path):
        return load_zarr(path, selection.columns)
    suffix = path.suffix.lower()
    if path.is_file() and suffix in ARRAY_SUFFIXES:
        return load_arrays(path, selection.columns)
    if path.is_file() and suffix in TABLE_SUFFIXES:
        return load_files([path], selection.columns, str(path))
    _refuse_columns(selection)
    if path.is_dir():
        return load_folder(path)
    return load_idx(path) if is_idx(path) else load_picture(path)


def _refuse_split(selection: Selection, kind: str) -> None:
    if selection.split is not None:
        raise SelectionError(f"{selection.base} is {kind} and has no split {selection.split!r}.")


def _refuse_columns(selection: Selection) -> None:
    if selection.columns.named:
        raise SelectionError(f"{selection.base} has no named columns or arrays: leave out /image= and /labels=.")
