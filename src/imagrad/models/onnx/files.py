"""ONNX files and the data beside them: read without running anything, and never from outside the file's folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagrad.errors import CorruptDataError, InputError, MissingDataError, MissingExtraError, UnsupportedOperationError

_EXTERNAL = 1  # onnx.TensorProto.DataLocation
_HALF = (10, 16)  # float16 and bfloat16 among onnx.TensorProto.DataType
_NUMBERS = {1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 13, *_HALF}  # floating, whole, true or false
_BLOCK = 2**20


@dataclass(frozen=True)
class OnnxFile:
    """A parsed file, and where the data are that it keeps beside it."""

    path: Path
    model: Any
    """The onnx.ModelProto."""
    data: dict[str, Path]
    """Where each file of external data is; all of them lie in the file's folder."""
    sha256: str
    """Of the file, and of its external data where it has any."""

    def array(self, tensor: Any) -> NDArray[Any]:
        """Return the numbers of a stored tensor, half precision as float32; raise `CorruptDataError` for damage."""
        onnx = require_onnx()
        if tensor.data_type not in _NUMBERS:
            kind = onnx.TensorProto.DataType.Name(tensor.data_type)
            raise UnsupportedOperationError(f"the tensor {tensor.name!r} of {self.path} is of type {kind}; {_HOW}")
        try:
            if tensor.data_location == _EXTERNAL:
                tensor = self._with_data(tensor)
            array = onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError, OSError) as error:
            raise CorruptDataError(f"cannot read the tensor {tensor.name!r} of {self.path}: {error}") from error
        if tensor.data_type in _HALF:
            return array.astype(np.float32)
        return array.astype(np.int64) if array.dtype.kind in "iu" else array

    def _with_data(self, tensor: Any) -> Any:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        path = self.data[entries["location"]]
        start = int(entries.get("offset", 0))
        count = int(entries["length"]) if "length" in entries else path.stat().st_size - start
        if start < 0 or count < 0 or start + count > path.stat().st_size:
            raise ValueError(f"{path} must hold {count} bytes from {start} on; it has {path.stat().st_size}")
        with path.open("rb") as file:
            file.seek(start)
            content = file.read(count)
        loaded = type(tensor)(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, raw_data=content)
        return loaded


_HOW = (
    "only floating-point numbers of 16 to 64 bits, whole numbers and truth values are covered. Export it unquantised."
)


def require_onnx() -> ModuleType:
    """Import onnx; raise `MissingExtraError` without it."""
    try:
        for part in ("inliner", "numpy_helper", "shape_inference"):
            import_module(f"onnx.{part}")
        return import_module("onnx")
    except ImportError as error:
        raise MissingExtraError(
            'ONNX files are read with the package onnx, which is not installed: pip install "imagrad[onnx]"'
        ) from error


def read_file(path: Path) -> OnnxFile:
    """Parse an ONNX file and find its external data; nothing outside of its folder is opened.

    Raises `MissingDataError`, `CorruptDataError`, and `InputError` for external data that lie elsewhere.
    """
    onnx = require_onnx()
    from google.protobuf.message import DecodeError

    try:
        content = path.read_bytes()
    except OSError as error:
        raise MissingDataError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise CorruptDataError(f"{path} is damaged, or no ONNX file: {error}") from error
    if not model.graph.output or not model.opset_import:
        raise CorruptDataError(f"{path} is damaged, or no ONNX file: it describes no graph with an output.")
    data = {location: _inside(path, location) for location in _locations(model)}
    digest = hashlib.sha256(content)
    for location in sorted(data):
        digest.update(f"\0{location}\0".encode())
        with data[location].open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return OnnxFile(path, model, data, digest.hexdigest())


def _locations(model: Any) -> set[str]:
    """Return where the tensors of a model say that their data are, wherever in it they stand."""
    found: set[str] = set()
    for tensor in _tensors(model):
        if tensor.data_location == _EXTERNAL or tensor.external_data:
            named = [entry.value for entry in tensor.external_data if entry.key == "location"]
            if len(named) != 1:
                raise CorruptDataError(f"the tensor {tensor.name!r} must say where its data are; it names {named}.")
            found.add(named[0])
    return found


def _tensors(message: Any) -> Iterator[Any]:
    """Go through every tensor within a message: initialisers, attributes, graphs within graphs, functions, all."""
    if message.DESCRIPTOR.full_name == "onnx.TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for inner in value if hasattr(value, "append") or hasattr(value, "add") else (value,):
            yield from _tensors(inner)


def _inside(path: Path, location: str) -> Path:
    """Return where external data are; raise `InputError` unless that is a file in the folder of the model."""
    parts = (*PurePosixPath(location).parts, *PureWindowsPath(location).parts)
    is_absolute = PurePosixPath(location).is_absolute() or bool(PureWindowsPath(location).anchor)
    folder = path.parent.resolve()
    if not location or "\0" in location or is_absolute or ".." in parts:
        raise _refusal(path, location, "its name leads out of it")
    try:
        found = (folder / location).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise MissingDataError(
            f"{path} keeps numbers in {location!r} beside it, which cannot be found: {error}. Copy it there as well."
        ) from error
    if not found.is_relative_to(folder):
        raise _refusal(path, location, "it is a link that leads out of it")
    if not found.is_file():
        raise _refusal(path, location, "it is no file")
    return found


def _refusal(path: Path, location: str, why: str) -> InputError:
    return InputError(
        f"the data of {path} must lie in its own folder; they are said to be in {location!r}, and {why}. Nothing was "
        "read from there. If you trust it, copy the file into the folder and save the model with that name: "
        "onnx.save(model, path, save_as_external_data=True)."
    )
