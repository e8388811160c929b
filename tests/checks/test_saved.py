"""A result in a file: other files are refused (that results come back whole is in test_material)."""

import pytest
import torch

from imagrad import runs
from imagrad.checks.locality import locality
from imagrad.checks.saved import load_check, save_check
from imagrad.errors import CorruptDataError

from .planted import PLANTED


@pytest.fixture(scope="module")
def result():
    return locality(PLANTED["locality"].material(), PLANTED["locality"].options)


def test_a_result_that_is_read_reads_the_same(tmp_path, result):
    save_check(result, tmp_path / "folder" / "check.safetensors")
    found = load_check(tmp_path / "folder" / "check.safetensors")
    assert str(found) == str(result) and found.as_dict() == result.as_dict() and found.passed


def test_the_same_result_makes_the_same_file(tmp_path, result):
    for name in ("a", "b"):
        save_check(result, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_other_tensors_are_no_result(tmp_path):
    runs.write_tensors(tmp_path / "other.safetensors", {"x": torch.ones(2)}, {"kind": "map"})
    with pytest.raises(CorruptDataError, match=r"other\.safetensors holds no result of a check"):
        load_check(tmp_path / "other.safetensors")


def test_a_damaged_file(tmp_path, result):
    path = tmp_path / "check.safetensors"
    save_check(result, path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptDataError, match="must have the sha256"):
        load_check(path)
    path.write_bytes(content[:50])
    with pytest.raises(CorruptDataError, match=r"cannot read .* as safetensors"):
        load_check(path)
