"""Similarities against SciPy and scikit-image; constant pictures; what is no picture."""

import numpy as np
import pytest
import torch
from scipy import stats
from skimage.metrics import structural_similarity

from imagrad.checks.similarity import SIMILARITIES, is_constant, pearson, pictures, spearman, ssim, unit_range
from imagrad.errors import ImageError


def two(size=9):
    rng = np.random.default_rng(size)
    first = rng.random((size, size + 1))
    return first, first + rng.random((size, size + 1))


def test_pearson_and_spearman_are_scipys():
    first, second = two()
    assert pearson(first, second) == pytest.approx(stats.pearsonr(first.ravel(), second.ravel())[0], rel=1e-12)
    coarse = np.round(first, 1), np.round(second, 1)  # with ties
    assert spearman(*coarse) == pytest.approx(stats.spearmanr(*(x.ravel() for x in coarse))[0], rel=1e-12)


def test_ssim_is_that_of_pictures_brought_to_one_range():
    first, second = two()
    scaled = [(x - x.min()) / (x.max() - x.min()) for x in (first, second)]
    assert ssim(first, second) == pytest.approx(structural_similarity(*scaled, win_size=7, data_range=1.0), rel=1e-12)


@pytest.mark.parametrize("measure", SIMILARITIES)
@pytest.mark.parametrize("size", [3, 4, 8, 28])
def test_contract(measure, size):
    first, second = two(size)
    compare = SIMILARITIES[measure]
    assert compare(first, first) == pytest.approx(1, abs=1e-12)
    assert compare(first, second) == pytest.approx(compare(second, first), rel=1e-12)
    assert compare(3 * first + 2, second) == pytest.approx(compare(first, second), rel=1e-9), "level and scale count"
    assert compare(first, second) < 1


def test_signs():
    first, _ = two()
    assert pearson(first, -first) == pytest.approx(-1) and spearman(first, -first) == pytest.approx(-1)
    assert spearman(first, first**3) == pytest.approx(1) and pearson(first, first**3) < 0.99


@pytest.mark.parametrize("level", [0.0, 1.0, 0.1, 1e9])
def test_a_constant_picture_is_unrelated_to_anything(level):
    picture, (other, _) = np.full((9, 10), level), two()
    assert is_constant(picture) and is_constant(picture * (1 + 1e-15)) and not is_constant(other)
    for pair in [(picture, other), (other, picture), (picture, picture)]:
        assert pearson(*pair) == 0 and spearman(*pair) == 0
    assert np.array_equal(unit_range(picture), np.zeros((9, 10))) and ssim(picture, other) < 0.5


def test_pictures_are_norms_over_the_channels():
    maps = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1).expand(5, 2, 3, 4)
    assert np.array_equal(pictures(maps), np.full((5, 3, 4), 5.0))
    assert np.array_equal(pictures(maps[:, 0]), np.full((5, 3, 4), 3.0))


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (torch.ones(3, 64), r"`maps` must have shape \(n, height, width\) or .*; got \(3, 64\)"),
        (torch.ones(2, 1, 1, 3, 3), r"got \(2, 1, 1, 3, 3\)"),
        (torch.full((2, 3, 3), torch.nan), "`maps` must be finite to be compared"),
        (torch.full((2, 1, 3, 3), torch.inf), "some have NaN or infinity"),
    ],
)
def test_what_is_no_picture(maps, message):
    with pytest.raises(ImageError, match=message):
        pictures(maps)
