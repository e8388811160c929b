"""Which columns of a table are taken, and every way in which a row can be wrong."""

import io

import numpy as np
import pytest
from PIL import Image

from imagrad.data.selections import Columns
from imagrad.data.sources import Dataset
from imagrad.errors import CorruptDataError, ImageError, MissingDataError, SelectionError

datasets = pytest.importorskip("datasets")
from imagrad.data.tables import as_source  # noqa: E402  # needs the datasets library

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 5)).astype(np.uint8)


def png(pixels=PIXELS[0], kind="PNG"):
    file = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file, kind)
    return file.getvalue()


PICTURES = [{"bytes": png(pixels), "path": None} for pixels in PIXELS]


def opened(rows, features=None, columns=None):
    table = datasets.Dataset.from_dict(rows, features=datasets.Features(features) if features else None)
    source = as_source(table, columns or Columns(), "table")
    return Dataset("table", source, np.arange(source.count))


def pixels_of(dataset):
    return (dataset.images()[:, 0].numpy() * 255).round().astype(np.uint8)


# --- images ---


@pytest.mark.parametrize(
    ("values", "feature"),
    [
        (PICTURES, datasets.Image()),
        (PICTURES, None),
        ([one["bytes"] for one in PICTURES], datasets.Value("binary")),
        ([one["bytes"] for one in PICTURES], datasets.Value("large_binary")),
        (PIXELS.tolist(), datasets.List(datasets.List(datasets.Value("uint8")))),
        (PIXELS.tolist(), datasets.LargeList(datasets.LargeList(datasets.Value("uint8")))),
        (PIXELS.tolist(), datasets.List(datasets.List(datasets.Value("uint8"), length=5), length=4)),
        (PIXELS[:, None].tolist(), datasets.List(datasets.List(datasets.List(datasets.Value("uint8"))))),
        (list(PIXELS), datasets.Array2D((4, 5), "uint8")),
        (list(PIXELS[:, None]), datasets.Array3D((1, 4, 5), "uint8")),
    ],
    ids=[
        "Image",
        "record",
        "binary",
        "large binary",
        "lists",
        "large lists",
        "fixed",
        "channels",
        "Array2D",
        "Array3D",
    ],
)
def test_kinds_of_image_columns(values, feature):
    dataset = opened({"image": values}, {"image": feature} if feature else None)
    assert np.array_equal(pixels_of(dataset), PIXELS)
    assert np.array_equal((dataset.images(4, 5)[0, 0].numpy() * 255).round(), PIXELS[4])
    assert dataset.image_shape == (1, 4, 5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64", "bool"])
def test_types_of_numbers_are_kept(dtype):
    values = np.random.default_rng(0).integers(0, 2, (3, 4, 5)).astype(dtype)
    dataset = opened({"x": values.tolist()}, {"x": datasets.List(datasets.List(datasets.Value(dtype)))})
    scale = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    assert np.allclose(dataset.images()[:, 0].numpy(), values / scale, atol=1e-9)


def test_whole_numbers_without_a_scale_are_refused():
    with pytest.raises(ImageError, match=r"pixels must be uint8, uint16, bool or float .* has int64"):
        opened({"x": PIXELS.tolist()}).images()


def test_a_usual_name_decides_between_columns():
    dataset = opened({"mask": PIXELS[::-1].tolist(), "image": PICTURES})
    assert np.array_equal(pixels_of(dataset), PIXELS)


def test_which_image_column_is_asked_and_answered():
    rows = {"front": PICTURES, "back": PICTURES[::-1]}
    with pytest.raises(ImageError, match=r"which column holds the images\? .* are front, back\..*: /image=front\."):
        opened(rows)
    assert np.array_equal(pixels_of(opened(rows, columns=Columns(image="back"))), PIXELS[::-1])
    with pytest.raises(SelectionError, match="table has the columns front, back; got 'side'"):
        opened(rows, columns=Columns(image="side"))


def test_no_image_column():
    with pytest.raises(ImageError, match=r"no column of table is of pictures .* its columns are a, b\. .*/image=NAME"):
        opened({"a": [1, 2], "b": [[1.0], [2.0]]})


def test_channels_last_are_refused():
    dataset = opened({"x": np.zeros((2, 8, 8, 3)).tolist()})
    with pytest.raises(ImageError, match=r"Move the channels forward"):
        dataset.images(0, 1)


# --- rows that are wrong, each alone ---


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [
        (None, MissingDataError, r"image 2 of table is empty: there is no picture in that row"),
        ({"bytes": b"broken", "path": "b.png"}, CorruptDataError, r"cannot read the picture image 2 of table"),
        ({"bytes": png()[:50], "path": None}, CorruptDataError, r"cannot read the picture image 2 of table"),
        ({"bytes": None, "path": "gone.png"}, MissingDataError, r"gone\.png: there is no such file"),
        ({"bytes": None, "path": "https://x.org/b.png"}, MissingDataError, r"is at https.*never downloads"),
        ({"bytes": png(Image.new("CMYK", (2, 2)), "TIFF"), "path": None}, ImageError, r"image 2 of table: its mode is"),
        ({"bytes": png(np.zeros((9, 9), np.uint8)), "path": None}, ImageError, r"image 2 is grey 9 x 9"),
    ],
    ids=["null", "broken", "cut off", "vanished", "elsewhere", "CMYK", "size"],
)
def test_a_wrong_picture_is_told_alone(entry, error, message):
    rows = {"image": [*PICTURES[:2], entry, *PICTURES[3:]]}
    dataset = opened(rows, {"image": datasets.Image()})
    with pytest.raises(error, match=message):
        dataset.images()
    with pytest.raises(error, match=message):
        dataset.images(2, 3)
    assert dataset.images(3, 6).shape == (3, 1, 4, 5)


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        (None, MissingDataError, "image 1 of table is empty: there are no numbers in that row"),
        ([[0.0, 0.5], [1.0]], ImageError, r"must have one length; image 1 of table has rows of \[2, 1\]"),
        ([[0.0, None], [1.0, 1.0]], ImageError, "image 1 of table lacks 1 of them"),
        ([[0.0, float("nan")], [1.0, 1.0]], ImageError, "image 1 of table has NaN"),
        ([[0.0, 7.0], [1.0, 1.0]], ImageError, r"image 1 of table has 7\."),
    ],
)
def test_wrong_numbers_are_told_alone(row, error, message):
    good = [[0.0, 0.5], [1.0, 0.0]]
    dataset = opened({"x": [good, row, good]}, {"x": datasets.List(datasets.List(datasets.Value("float32")))})
    with pytest.raises(error, match=message):
        dataset.images()
    with pytest.raises(error, match=message):
        dataset.images(1, 2)
    assert dataset.images(2, 3).shape == (1, 1, 2, 2)


def test_names_are_those_of_the_files():
    named = [{"bytes": png(), "path": f"{k}.png"} for k in range(3)]
    assert opened({"image": named}).names == ["0.png", "1.png", "2.png"]
    assert opened({"image": [*named[:2], PICTURES[2]]}).names == ["0", "1", "2"]  # one has none
    assert opened({"image": [*named[:2], named[0]]}).names == ["0", "1", "2"]  # two have the same


# --- labels ---


CLASSES = datasets.ClassLabel(names=["cat", "dog"])


def labels_of(values, feature=None, columns=None, name="label"):
    features = {"image": datasets.Image(), name: feature} if feature else None
    return opened({"image": PICTURES[: len(values)], name: values}, features, columns)


@pytest.mark.parametrize(
    ("values", "feature", "numbers", "names"),
    [
        ([1, 0, 1], CLASSES, [1, 0, 1], ("cat", "dog")),
        ([7, 3, 7], None, [1, 0, 1], ("3", "7")),
        (["b", "a", "b"], None, [1, 0, 1], ("a", "b")),
        ([True, False, True], None, [1, 0, 1], ("False", "True")),
        ([1, -1, 0], CLASSES, [1, 2, 0], ("cat", "dog", "unlabelled")),
        (["b", None, "b"], None, [0, 1, 0], ("b", "unlabelled")),
    ],
)
def test_labels(values, feature, numbers, names):
    dataset = labels_of(values, feature)
    assert dataset.labels.tolist() == numbers and dataset.label_names == names


def test_hidden_labels_are_no_labels():
    dataset = labels_of([-1, -1, -1], CLASSES)
    assert dataset.labels is None
    assert dataset.source.notes == ("no image of table has a label in the column label",)


def test_a_column_of_classes_is_found_by_its_type():
    assert labels_of([1, 0], CLASSES, name="animal").label_names == ("cat", "dog")


def test_which_label_column_is_asked_and_answered():
    rows = {"image": PICTURES[:2], "coarse": [0, 1], "fine": [1, 0], "text": ["x", "y"], "score": [0.5, 0.1]}
    features = {
        "image": datasets.Image(),
        "coarse": CLASSES,
        "fine": CLASSES,
        "text": datasets.Value("string"),
        "score": datasets.Value("float32"),
    }
    with pytest.raises(ImageError, match=r"which column holds the labels\? .* are coarse, fine\..*: /labels=coarse\."):
        opened(rows, features)
    assert opened(rows, features, Columns(labels="fine")).labels.tolist() == [1, 0]
    assert opened(rows, features, Columns(labels="text")).label_names == ("x", "y")
    with pytest.raises(SelectionError, match="labels must be classes, whole numbers or texts; the column score"):
        opened(rows, features, Columns(labels="score"))


def test_no_labels():
    assert opened({"image": PICTURES, "score": [0.5] * 6}).labels is None
