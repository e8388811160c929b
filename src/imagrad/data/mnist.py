"""MNIST: found on disk in any of its usual layouts, or downloaded; always verified.

LeCun, Cortes and Burges; 60,000 training and 10,000 test images of 28 x 28 pixels.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pooch
from numpy.typing import NDArray
from requests.exceptions import RequestException

from imagrad.data.idx import parse_idx, read_payload
from imagrad.data.sources import DATASETS, Source
from imagrad.errors import CorruptDataError, MissingDataError, SelectionError

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
DATA_VARIABLE = "IMAGRAD_DATA"

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
SHA256 = {  # of the uncompressed files: the gzip wrapping differs from copy to copy
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_LAYOUTS = ("", "mnist", "MNIST/raw")  # the folder itself, a plain sub-folder, torchvision's
_RETRIES = 1
_TIMEOUT_SECONDS = 30
_LONGEST_ANSWER = 160  # of what went wrong with a mirror: requests tells it at great length


@DATASETS.register("mnist")
def load_mnist(split: str, data_dir: str | None) -> Source:
    """Handwritten digits, 28 x 28: 60,000 train and 10,000 test (found on disk, or downloaded once)."""
    if split not in FILES:
        raise SelectionError(f"mnist has the splits train and test; got {split!r}. Write mnist:train or mnist:test.")
    images, labels = (parse_idx(fetch(name, data_dir), name) for name in FILES[split])

    def read(indices: NDArray[np.intp]) -> NDArray[np.uint8]:
        return images[indices, None]  # (k, 1, 28, 28)

    return Source(len(images), read, labels.astype(np.intp), tuple("0123456789"))


def search_folders(data_dir: str | None) -> list[Path]:
    """List the folders that are searched: the one given, or else `$IMAGRAD_DATA` and the user's cache."""
    if data_dir is not None:
        return [Path(data_dir)]
    named = os.environ.get(DATA_VARIABLE)
    return [*([Path(named)] if named else []), Path(pooch.os_cache("imagrad"))]


def fetch(name: str, data_dir: str | None) -> bytes:
    """Return the verified payload of one MNIST file, from disk or else from a mirror."""
    folders = search_folders(data_dir)
    for folder in folders:
        for layout in _LAYOUTS:
            for path in (folder / layout / name, folder / layout / f"{name}.gz"):
                if path.is_file():
                    return verified_payload(path, name)
    try:
        return download(name, folders[-1] / "mnist", MIRRORS)
    except MissingDataError as error:
        raise MissingDataError(
            f"MNIST is not on this machine: {name} (or {name}.gz) is not in {_listed(folders)}, "
            f"nor in mnist/ or MNIST/raw/ there. Put the four files into a folder and name it with --data-dir or "
            f"${DATA_VARIABLE}, or use the embedded data set: digits. {error}"
        ) from error


def verified_payload(path: Path, name: str) -> bytes:
    """Read a file and check structure and SHA-256; raise `CorruptDataError` when it is not MNIST's `name`."""
    payload = read_payload(path)
    parse_idx(payload, str(path))  # says more than a checksum could
    found = hashlib.sha256(payload).hexdigest()
    if found != SHA256[name]:
        raise CorruptDataError(
            f"{path} must have the sha256 {SHA256[name]} (uncompressed); it has {found}. "
            "It is not the original MNIST: delete it and fetch it again, or load your own images as a folder or .npz."
        )
    return payload


def download(name: str, folder: Path, mirrors: Sequence[str], *, progress: bool = True) -> bytes:
    """Fetch one file from the first mirror that gives a good copy, keep it in `folder`, return its payload.

    Each mirror is tried twice. Raises `MissingDataError` with what each of them answered.
    """
    answers: list[str] = []
    downloader = pooch.HTTPDownloader(progressbar=progress, timeout=_TIMEOUT_SECONDS)
    pooch.get_logger().setLevel("WARNING")  # the progress bar already says what is fetched
    for mirror in mirrors:
        shelf = pooch.create(folder, mirror, registry={f"{name}.gz": None}, retry_if_failed=_RETRIES)
        path = folder / f"{name}.gz"
        try:
            shelf.fetch(path.name, downloader=downloader)  # type: ignore[arg-type]  # pooch's own class, wrongly typed
            return verified_payload(path, name)
        except (RequestException, CorruptDataError, OSError) as error:
            path.unlink(missing_ok=True)  # never leave a bad copy to be found the next time
            answers.append(f"{mirror}: {_shortened(str(error))}")
    with suppress(OSError):
        folder.rmdir()  # made for nothing; stays if anything is in it
    raise MissingDataError("Downloading failed: " + "; ".join(answers))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_ANSWER else text[: _LONGEST_ANSWER - 3] + "..."


def _listed(folders: Sequence[Path]) -> str:
    return " or ".join(str(folder) for folder in folders)
