"""Open the images that a selection names: a data set known by name, a folder, a picture, a NumPy file."""

from __future__ import annotations

from pathlib import Path

from imagrad.data import digits as _digits
from imagrad.data import mnist as _mnist
from imagrad.data.arrays import ARRAY_SUFFIXES, load_arrays
from imagrad.data.fitting import Fit
from imagrad.data.pictures import load_folder, load_picture
from imagrad.data.selections import Selection, parse_selection, select
from imagrad.data.sources import DATASETS, Dataset, Source
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


def _open(selection: Selection, split: str, data_dir: str | None) -> Source:
    """Find the source that a selection is cut from."""
    if selection.base in DATASETS:
        return DATASETS[selection.base](selection.split or split, data_dir)
    path = Path(selection.base)
    if not path.exists() and (path.suffix or len(path.parts) > 1):
        raise MissingDataError(
            f"there is no file or folder {path}; the data sets known by name: {', '.join(DATASETS)}."
        )
    if not path.exists():
        raise UnknownNameError(f"{DATASETS.unknown(selection.base)} There is no file or folder of that name either.")
    if selection.split is not None:
        raise SelectionError(
            f"{path} is a {'folder' if path.is_dir() else 'file'} and has no split {selection.split!r}."
        )
    if path.is_dir():
        return load_folder(path)
    return load_arrays(path) if path.suffix.lower() in ARRAY_SUFFIXES else load_picture(path)
