"""Images and labels in the columns of a table of the `datasets` library, read by index from memory-mapped files."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imagrad.data.arrays import lacks_channels
from imagrad.data.pictures import decode_picture, read_picture
from imagrad.data.selections import Columns
from imagrad.data.sources import Raw, Source
from imagrad.errors import CorruptDataError, ImageError, MissingDataError, SelectionError

_IMAGE_NAMES = ("image", "images", "img", "picture", "x", "pixel_values", "png", "jpg", "jpeg", "webp")
_LABEL_NAMES = ("label", "labels", "cls", "y")
_KEY = "__key__"  # what WebDataset calls the name of an example
_BYTES = ("binary", "large_binary")
_NAMES_OF_LABELS = ("int", "uint", "string", "large_string", "bool")
_UNLABELLED = "unlabelled"


def as_source(table: datasets.Dataset, columns: Columns, shown: str, notes: tuple[str, ...] = ()) -> Source:
    """Take the images and labels from a table.

    Images are encoded pictures, or numbers in levels of lists: (height, width) or (channels, height, width).
    Raises `ImageError` where the columns do not say which one is meant, `SelectionError` for one that is not there.
    """
    image = _image_column(table.features, columns.image, shown)
    label = _label_column(table.features, columns.labels, shown)
    names = _names(table, image)
    labels, label_names, more = _labels(table, label, shown) if label else (None, (), ())
    rows = table.select_columns([image]).with_format("arrow")

    def read(indices: NDArray[np.intp]) -> list[Raw]:
        called = [f"image {i} of {shown}" + (f" ({names[i]})" if names else "") for i in indices]
        return _images(rows, indices, called, shown)

    return Source(len(table), read, labels, label_names, names, (*notes, *more))


# --- which columns ---


def _image_column(features: datasets.Features, asked: str | None, shown: str) -> str:
    """Choose the column of images: the one asked for, the only one there can be, or the one of a usual name."""
    if asked is not None:
        return _known(features, asked, shown)
    able = [name for name, feature in features.items() if _holds_images(feature)]
    encoded = [name for name, feature in features.items() if _is_bytes(feature) and name in _IMAGE_NAMES]
    return _one_of(able or encoded, _IMAGE_NAMES, "images", "/image=", features, shown)


def _label_column(features: datasets.Features, asked: str | None, shown: str) -> str | None:
    """Choose the column of labels: the one asked for, the only one of classes, or the one of a usual name."""
    if asked is not None:
        return _known(features, asked, shown)
    classes = [name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    plain = [name for name, feature in features.items() if name in _LABEL_NAMES and _holds_labels(feature)]
    found = classes or plain
    return _one_of(found, _LABEL_NAMES, "labels", "/labels=", features, shown) if found else None


def _known(features: datasets.Features, name: str, shown: str) -> str:
    if name not in features:
        raise SelectionError(f"{shown} has the columns {', '.join(features)}; got {name!r}.")
    return name


def _one_of(
    able: list[str], usual: tuple[str, ...], what: str, option: str, features: datasets.Features, shown: str
) -> str:
    """Return the only candidate, or the only one of a usual name; raise `ImageError` that lists them."""
    for found in (able, [name for name in able if name in usual]):
        if len(found) == 1:
            return found[0]
    if not able:
        raise ImageError(
            f"no column of {shown} is of pictures or of lists of lists of numbers; its columns are "
            f"{', '.join(features)}. If one of them holds the bytes of picture files, name it: {option}NAME."
        )
    raise ImageError(
        f"which column holds the {what}? Those of {shown} that may are {', '.join(able)}. Say it behind the path: "
        f"{option}{able[0]}."
    )


def _holds_images(feature: Any) -> bool:
    if isinstance(feature, dict):
        return set(feature) == {"bytes", "path"}  # as the library stores pictures, where nobody told it that they are
    return isinstance(feature, (datasets.Image, datasets.Array2D, datasets.Array3D)) or _depth(feature) in (2, 3)


def _is_bytes(feature: Any) -> bool:
    return isinstance(feature, datasets.Value) and feature.dtype in _BYTES


def _holds_labels(feature: Any) -> bool:
    return isinstance(feature, datasets.Value) and feature.dtype.rstrip("0123456789") in _NAMES_OF_LABELS


def _depth(feature: Any) -> int:
    """Count the levels of lists of numbers; 0 for lists of anything else."""
    depth = 0
    while isinstance(feature, (datasets.List, datasets.LargeList)):
        feature, depth = feature.feature, depth + 1
    kind = feature.dtype.rstrip("0123456789") if isinstance(feature, datasets.Value) else ""
    return depth if kind in ("int", "uint", "float", "bool") else 0


# --- reading ---


def _images(rows: datasets.Dataset, indices: NDArray[np.intp], called: list[str], shown: str) -> list[Raw]:
    if not len(indices):
        return []
    is_range = np.array_equal(indices, np.arange(indices[0], indices[0] + len(indices)))
    keys = range(int(indices[0]), int(indices[-1]) + 1) if is_range else indices.tolist()
    try:
        column = _column(rows[keys])
    except Exception as error:  # pyarrow's and the library's
        raise CorruptDataError(f"cannot read {called[0]}, ... ({type(error).__name__}): {error}") from error
    if pa.types.is_struct(column.type) or pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return [_picture(entry, name) for entry, name in zip(column.to_pylist(), called, strict=True)]
    return [_numbers(column[k : k + 1], name, shown) for k, name in enumerate(called)]


def _column(rows: pa.Table) -> pa.Array:
    """Return the only column as one array."""
    column = rows.column(0).combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    return column.storage if isinstance(column, pa.ExtensionArray) else column


def _picture(entry: Any, called: str) -> Raw:
    """Decode one picture: bytes, or a record of bytes and the path of a file."""
    content, path = (entry.get("bytes"), entry.get("path")) if isinstance(entry, dict) else (entry, None)
    if content is not None:
        return decode_picture(BytesIO(content), called)
    if path is None:
        raise MissingDataError(f"{called} is empty: there is no picture in that row.")
    if "://" in path:
        raise MissingDataError(f"{called} is at {path}, not on this machine; imagrad never downloads pictures.")
    return read_picture(Path(path))


def _numbers(row: pa.Array, called: str, shown: str) -> Raw:
    """Turn lists of lists of numbers, in an array of one row, into (channels, height, width)."""
    shape = [1]
    values = row
    while (
        pa.types.is_list(values.type) or pa.types.is_large_list(values.type) or pa.types.is_fixed_size_list(values.type)
    ):
        lengths = values.value_lengths().unique().to_pylist()
        if lengths == [None]:
            raise MissingDataError(f"{called} is empty: there are no numbers in that row.")
        if len(lengths) != 1:
            raise ImageError(f"the rows of an image must have one length; {called} has rows of {lengths[:3]}.")
        shape.append(lengths[0])
        values = values.flatten()
    if values.null_count:
        raise ImageError(f"pixels must be numbers; {called} lacks {values.null_count} of them.")
    image = values.to_numpy(zero_copy_only=False).reshape(shape)
    return image if lacks_channels(image.shape, shown) else image[0]


# --- labels and names ---


def _labels(
    table: datasets.Dataset, name: str, shown: str
) -> tuple[NDArray[np.intp] | None, tuple[str, ...], tuple[str, ...]]:
    """Read all labels: numbers, what they are called, and a note where there are none."""
    feature = table.features[name]
    values = _column(table.select_columns([name]).with_format("arrow")[:]).to_pylist()
    if isinstance(feature, datasets.ClassLabel):
        names = tuple(feature.names)
        numbers = np.array([-1 if value is None else value for value in values], np.intp)
        if numbers.max(initial=-1) >= len(names):
            raise CorruptDataError(f"{shown} names {len(names)} classes; one of its labels is {numbers.max()}.")
    elif _holds_labels(feature):
        known = sorted({value for value in values if value is not None})
        number = {value: k for k, value in enumerate(known)}
        names = tuple(str(value) for value in known)
        numbers = np.array([number.get(value, -1) for value in values], np.intp)
    else:
        raise SelectionError(
            f"labels must be classes, whole numbers or texts; the column {name} of {shown} is {feature}."
        )
    unlabelled = numbers < 0  # how the library marks the hidden labels of a test set
    if unlabelled.all():
        return None, (), (f"no image of {shown} has a label in the column {name}",)
    if unlabelled.any():
        return np.where(unlabelled, len(names), numbers), (*names, _UNLABELLED), ()
    return numbers, names, ()


def _names(table: datasets.Dataset, image: str) -> tuple[str, ...]:
    """Return what each image is called: the key of WebDataset, or the file it was; nothing unless all differ."""
    feature = table.features[image]
    if _KEY in table.features:
        found = _column(table.select_columns([_KEY]).with_format("arrow")[:]).to_pylist()
    elif isinstance(feature, (datasets.Image, dict)):
        rows: Any = table.select_columns([image]).with_format("arrow")[:]
        found = [path for chunk in rows.column(0).chunks for path in chunk.field("path").to_pylist()]
    else:
        return ()
    return tuple(found) if all(found) and len(set(found)) == len(found) else ()
