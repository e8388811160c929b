"""The controls in plain NumPy."""

import numpy as np
import pytest
import torch

from imagrad.checks.controls import CONTROLS


@pytest.fixture
def images():
    return torch.rand(6, 3, 5, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", CONTROLS)
def test_contract(name, images):
    before = images.clone()
    found = CONTROLS[name](images, 0)
    assert found.shape == (5, 8) and found.dtype == np.float64 and np.isfinite(found).all() and (found >= 0).all()
    assert np.array_equal(found, CONTROLS[name](images, 0)) and torch.equal(images, before)


def test_random_depends_on_the_seed_alone(images):
    assert np.array_equal(CONTROLS["random"](images, 1), CONTROLS["random"](images * 0, 1))
    assert not np.array_equal(CONTROLS["random"](images, 1), CONTROLS["random"](images, 2))


def test_pixel_variance(images):
    wanted = np.var(images.double().numpy(), axis=0).sum(axis=0)
    assert CONTROLS["pixel variance"](images, 0) == pytest.approx(wanted, rel=1e-12)
    assert np.array_equal(CONTROLS["pixel variance"](images[:1].expand(4, -1, -1, -1), 0), np.zeros((5, 8)))


def test_mean_intensity(images):
    wanted = np.linalg.norm(images.double().numpy().mean(axis=0), axis=0)
    assert CONTROLS["mean intensity"](images, 0) == pytest.approx(wanted, rel=1e-12)
    grey = images[:, :1]
    assert CONTROLS["mean intensity"](grey, 0) == pytest.approx(grey.double().numpy().mean(axis=(0, 1)), rel=1e-12)


def test_centre_distance_is_largest_in_the_middle(images):
    found = CONTROLS["centre distance"](images, 0)
    assert np.array_equal(np.argwhere(found == found.max()), [[2, 3], [2, 4]]) and found.min() == found[0, 0] == 0
    assert found == pytest.approx(found[::-1, ::-1], rel=1e-15)
    assert found[2, 3] - found[2, 1] == pytest.approx(2)
