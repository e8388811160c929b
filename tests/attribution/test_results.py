import pytest
import torch

import imagrad
from imagrad import runs
from imagrad.errors import CorruptDataError, StorageError


@pytest.fixture
def result(autoencoder, images):
    return imagrad.saliency(autoencoder.encode, images, norm="l1")


def test_saved_and_read_back(result, tmp_path):
    result.save(tmp_path / "maps.safetensors")
    read = imagrad.load_result(tmp_path / "maps.safetensors")
    for name in ("maps", "codes", "images"):
        assert torch.equal(getattr(read, name), getattr(result, name))
    assert (read.engine, read.norm, read.step, read.ties) == (result.engine, "l1", 0.0, {})
    assert read.certificate == result.certificate and read.certificate.passed


def test_features_that_were_not_asked_for_stay_nan(autoencoder, images, tmp_path):
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, 3, 3] = True
    imagrad.saliency(autoencoder.encode, images, features=mask).save(tmp_path / "m")
    assert int(torch.isnan(imagrad.load_result(tmp_path / "m").maps).sum()) == 4 * 63


def test_other_tensors_are_no_result(tmp_path):
    runs.write_tensors(tmp_path / "w", {"weight": torch.zeros(2)}, {})
    with pytest.raises(CorruptDataError, match="holds no saliency result; it holds weight"):
        imagrad.load_result(tmp_path / "w")


def test_a_place_that_cannot_be_written_to(result):
    with pytest.raises(StorageError, match="cannot write /proc/maps"):
        result.save("/proc/maps.safetensors")


def test_units_are_kept_and_the_usual_ones_are_not_written(tmp_path):
    maps = torch.rand(1, 2, 2)
    for units in ("code units per unit of pixel value", "standard deviations per shade"):
        imagrad.SaliencyResult(maps, 1 * maps, 2 * maps, "complex", units=units).save(tmp_path / "m.safetensors")
        assert imagrad.load_result(tmp_path / "m.safetensors").units == units
        assert ("units" in runs.read_tensors(tmp_path / "m.safetensors")[1]) == (units[0] == "s")
