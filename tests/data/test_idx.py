import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagrad.data.datasets import load_dataset
from imagrad.data.idx import parse_idx, read_payload
from imagrad.errors import CorruptDataError, ImageError, MissingDataError


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@given(st.lists(st.integers(0, 6), min_size=1, max_size=4), st.integers(0, 10**6))
def test_round_trip(shape, seed):
    array = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    assert np.array_equal(parse_idx(idx(array), "x"), array)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused_by_name(payload):
    try:
        parse_idx(payload, "x.idx")
    except CorruptDataError as error:
        assert "x.idx" in str(error)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "x must start with the magic number 00 00 08"),
        (b"\0\0\x0d\x01\0\0\0\x01abcd", "it starts with 00 00 0d 01"),
        (b"\x89PNG....", "it starts with 89 50 4e 47"),
        (idx(np.zeros((3, 4), np.uint8))[:-5], "must hold 24 bytes, as its header says; it holds 19"),
        (idx(np.zeros((3, 4), np.uint8)) + b"more", "must hold 24 bytes, as its header says; it holds 28"),
        (b"\0\0\x08\x03\0\0", "was cut off"),
    ],
)
def test_damage_is_named(payload, message):
    with pytest.raises(CorruptDataError, match=message):
        parse_idx(payload, "x")


def test_gzip_is_told_by_its_content(tmp_path):
    (tmp_path / "misnamed").write_bytes(gzip.compress(b"payload"))
    (tmp_path / "misnamed.gz").write_bytes(b"payload")
    assert read_payload(tmp_path / "misnamed") == read_payload(tmp_path / "misnamed.gz") == b"payload"


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_damaged_gzip(tmp_path, damage):
    content = bytearray(gzip.compress(bytes(range(256)) * 50))
    path = tmp_path / "x.gz"
    if damage == "flipped":
        content[len(content) // 2] ^= 255
    path.write_bytes(content[:-20] if damage == "cut" else content)
    with pytest.raises(CorruptDataError, match=r"cannot read .*x\.gz: .*\. Delete it and fetch it again"):
        read_payload(path)


def test_missing_file(tmp_path):
    with pytest.raises(MissingDataError, match="there is no file"):
        read_payload(tmp_path / "x")


# --- files named by their path ---

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 5)).astype(np.uint8)
LABELS = np.array([3, 1, 3, 3, 0, 1], np.uint8)


def save(path, array):
    path.write_bytes(gzip.compress(idx(array)) if path.suffix == ".gz" else idx(array))
    return str(path)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
        ("t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte.gz"),
        ("my-images.idx", "my-labels.idx"),
        ("images.IDX", "labels.IDX"),
    ],
)
def test_images_with_the_labels_beside_them(tmp_path, images, labels):
    path = save(tmp_path / images, PIXELS)
    assert load_dataset(path).labels is None
    save(tmp_path / labels, LABELS)
    dataset = load_dataset(f"{path}/label=3[1:]")
    assert dataset.source.notes == (f"the labels are from {labels}, beside the images",)
    assert np.array_equal(dataset.images()[:, 0].numpy() * 255, PIXELS[[2, 3]])
    assert dataset.label_names == ("0", "1", "3") and dataset.labels.tolist() == [2, 2]


def test_images_with_channels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5)).astype(np.uint8)
    dataset = load_dataset(save(tmp_path / "x-idx4-ubyte", pixels))
    assert np.array_equal(dataset.images().numpy() * 255, pixels)


def test_uncompressed_files_are_memory_mapped(tmp_path):
    source = load_dataset(save(tmp_path / "x.idx", PIXELS)).source
    assert any(isinstance(cell.cell_contents, np.memmap) for cell in source.read.__closure__)


@pytest.mark.parametrize(
    ("array", "message"),
    [(LABELS, r"holds 6 numbers, which are labels"), (PIXELS[0], r"\(n, height, width\).* has \(4, 5\)")],
)
def test_files_of_no_images(tmp_path, array, message):
    with pytest.raises(ImageError, match=message):
        load_dataset(save(tmp_path / "x.idx", array))


def test_labels_of_other_images(tmp_path):
    save(tmp_path / "labels.idx", LABELS[:4])
    with pytest.raises(ImageError, match=r"`labels` of .*labels\.idx must have shape \(6,\).*got \(4,\)"):
        load_dataset(save(tmp_path / "images.idx", PIXELS))


@pytest.mark.parametrize("name", ["x.idx", "x.idx.gz"])
@pytest.mark.parametrize("content", [b"", b"\0\0\x08", idx(PIXELS)[:-1], b"no such thing"])
def test_damaged_files_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(CorruptDataError, match=name):
        load_dataset(str(tmp_path / name))


def test_file_that_has_become_shorter(tmp_path):
    dataset = load_dataset(save(tmp_path / "x.idx", PIXELS))
    (tmp_path / "x.idx").write_bytes(idx(PIXELS)[:30])
    with pytest.raises(CorruptDataError, match="was 136 bytes long when it was opened and is shorter now"):
        dataset.images(0, 1)
