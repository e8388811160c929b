"""What the `datasets` library opens: Parquet files, WebDataset shards, data sets saved by it or fetched from the Hub.

Never reaches the network: what is not on this machine is named.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagrad.data.selections import Columns
from imagrad.data.sources import Source
from imagrad.errors import (
    CorruptDataError,
    ImagradError,
    MissingDataError,
    MissingExtraError,
    SelectionError,
    StorageError,
)

if TYPE_CHECKING:
    import datasets

HUB = "hf:"
TABLE_SUFFIXES = {".parquet": "parquet", ".tar": "webdataset"}
"""Endings of files, and what the `datasets` library calls their format."""

_SAVED = ("state.json", "dataset_dict.json")
_TAR_END = 1024  # a tar archive ends with this many zero bytes, at least
_WRITING_FAILED = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


def is_saved(folder: Path) -> bool:
    """Tell a folder that `save_to_disk` of the `datasets` library wrote."""
    return any((folder / name).is_file() for name in _SAVED)


def load_files(files: Sequence[Path], columns: Columns, shown: str) -> Source:
    """Open Parquet files or WebDataset shards, in this order, as one data set.

    The `datasets` library writes them into its cache first, once, as Arrow files of about their size, and reads those
    by memory map. Raises `CorruptDataError`, `StorageError` when the cache cannot be written, `MissingExtraError`.
    """
    suffixes = {path.suffix.lower() for path in files}
    if len(suffixes) > 1 or not suffixes <= TABLE_SUFFIXES.keys():
        raise SelectionError(
            f"{shown} must name files of one kind, {' or '.join(TABLE_SUFFIXES)}; it names "
            f"{', '.join(sorted(suffix or 'files without an ending' for suffix in suffixes))}."
        )
    builder = TABLE_SUFFIXES[suffixes.pop()]
    paths = [str(path.resolve()) for path in files]
    table = _loaded(lambda library: library.load_dataset(builder, data_files={"train": paths}, split="train"), shown)
    return _source(table, columns, shown, tuple(_cut_off(files) if builder == "webdataset" else ()))


def load_pattern(pattern: str, columns: Columns) -> Source:
    """Open the files that a pattern with * or ? names; raise `MissingDataError` where there are none."""
    files = matching(pattern)
    if not files:
        raise MissingDataError(f"no file is named like {pattern}.")
    return load_files(files, columns, pattern)


def matching(pattern: str) -> list[Path]:
    """List the files that a pattern with * or ? names, in the order of their names."""
    path = Path(pattern)
    return sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))


def load_saved(folder: Path, split: str | None, columns: Columns) -> Source:
    """Open a folder that `save_to_disk` wrote: one data set, or several of which `split` names one."""
    table = _loaded(lambda library: library.load_from_disk(str(folder)), str(folder))
    return _source(_one_split(table, split, str(folder)), columns, str(folder))


def load_hub(name: str, split: str | None, columns: Columns) -> Source:
    """Open a data set of the Hugging Face Hub that lies in the cache of this machine already."""
    shown = f"{HUB}{name}"
    try:
        table = _loaded(lambda library: library.load_dataset(name), shown)
    except CorruptDataError as error:
        raise MissingDataError(
            f"{shown} is no file or folder, nor in the cache of the datasets library, and imagrad never downloads: "
            f'fetch it first, with datasets.load_dataset("{name}"). {error}'
        ) from error
    return _source(_one_split(table, split, shown), columns, shown)


def _one_split(table: Any, split: str | None, shown: str) -> datasets.Dataset:
    """Return the split asked for, or the only one."""
    if not isinstance(table, dict):
        if split is not None:
            raise SelectionError(f"{shown} is one data set and has no split {split!r}.")
        return table
    if split is None and len(table) == 1:
        return next(iter(table.values()))
    if split not in table:
        got = "none was named" if split is None else f"got {split!r}"
        raise SelectionError(f"{shown} has the splits {', '.join(table)}; {got}. Write {shown}:{next(iter(table))}.")
    return table[split]


def _source(table: datasets.Dataset, columns: Columns, shown: str, notes: tuple[str, ...] = ()) -> Source:
    from imagrad.data.tables import as_source  # needs the datasets library

    return as_source(table, columns, shown, notes)


def _loaded(load: Callable[[Any], Any], shown: str) -> Any:
    """Let the `datasets` library load something, offline; turn what it raises into `DataError` or `StorageError`."""
    if find_spec("datasets") is None:
        raise MissingExtraError(
            f"{shown} is read by the package datasets, which is not installed. "
            'Install it with the extra: pip install "imagrad[hf]".'
        )
    import datasets
    import datasets.config

    try:
        with _offline():
            return load(datasets)
    except ImagradError:
        raise
    except Exception as error:  # the library lets through what its readers raise: pyarrow's, tarfile's, its own
        cause = error.__cause__ or error
        told = f"{type(cause).__name__}: {cause}".split("\n")[0]
        if isinstance(cause, OSError) and (cause.errno in _WRITING_FAILED or "disk space" in str(cause)):
            raise StorageError(
                f"{shown} is first written into {datasets.config.HF_DATASETS_CACHE}, which failed ({told}). Make room "
                "there, or name another folder with $HF_DATASETS_CACHE."
            ) from error
        raise CorruptDataError(f"cannot read {shown} by the datasets library ({told}).") from error


@contextmanager
def _offline() -> Generator[None]:
    """Keep the libraries of Hugging Face from reaching the network, for as long as the block takes."""
    import datasets.config
    import huggingface_hub.constants

    settings: tuple[Any, ...] = (
        datasets.config,
        huggingface_hub.constants,
    )  # each keeps its own copy of $HF_HUB_OFFLINE
    before = [module.HF_HUB_OFFLINE for module in settings]
    for module in settings:
        module.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for module, value in zip(settings, before, strict=True):
            module.HF_HUB_OFFLINE = value


def _cut_off(files: Sequence[Path]) -> Iterator[str]:
    """Name the archives that do not end as one should: the reader takes one cut off between two members as whole."""
    for path in files:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAR_END))
            if file.read().strip(b"\0"):
                yield f"{path} does not end as a tar archive should; it may have been cut off"
