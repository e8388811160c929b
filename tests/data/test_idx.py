import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagrad.data.idx import parse_idx, read_payload
from imagrad.errors import CorruptDataError, MissingDataError


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
