"""From a picture to pixels: order, ties, percentages, and the two ways to corrupt them."""

import numpy as np
import pytest
import torch

from imagrad.checks.rankings import flipped, pixels_of, ranking, removed
from imagrad.errors import InputError


def test_the_most_important_pixel_comes_first():
    assert ranking(np.array([[0.1, 0.9], [0.5, -3.0]]), seed=0).tolist() == [1, 2, 0, 3]


def test_ties_are_in_one_random_order_for_all_pictures():
    constant, other = ranking(np.ones((8, 8)), 5), ranking(np.zeros((8, 8)), 5)
    assert np.array_equal(constant, other) and sorted(constant) == list(range(64))
    assert not np.array_equal(constant, ranking(np.ones((8, 8)), 6)), "the seed decides"
    two_levels = np.repeat([1.0, 0.0], 32).reshape(8, 8)
    expected = [*constant[constant < 32], *constant[constant >= 32]]
    assert ranking(two_levels, 5).tolist() == expected, "the order within each level is that of all"


def test_ties_have_no_place_that_they_prefer():
    """Ranked by index, the first fifth would be the uppermost rows."""
    taken = np.concatenate([ranking(np.ones((8, 8)), seed)[:13] for seed in range(400)])
    counts = np.bincount(taken, minlength=64)  # 81 on average, with a standard deviation of 8
    assert counts.min() > 45 and counts.max() < 120
    assert np.divmod(taken, 8)[0].mean() == pytest.approx(3.5, abs=0.1)


@pytest.mark.parametrize(
    ("pixels", "percentage", "count"),
    [(784, 10, 78), (784, 20, 157), (784, 30, 235), (64, 10, 6), (64, 0, 0), (64, 100, 64), (100, 0.4, 0), (9, 99, 9)],
)  # fmt: skip
def test_percentages_are_rounded_to_whole_pixels(pixels, percentage, count):
    order = np.random.default_rng(0).permutation(pixels)
    most, least = (pixels_of(order, percentage, side) for side in ("most", "least"))
    assert most.tolist() == order.tolist()[:count] and least.tolist() == order.tolist()[pixels - count :]


@pytest.mark.parametrize("percentage", [-1, 100.1, float("nan")])
def test_percentages_outside_0_to_100(percentage):
    with pytest.raises(InputError, match=f"a percentage of pixels must be from 0 to 100; got {percentage}"):
        pixels_of(np.arange(10), percentage, "most")


def test_grey_levels_above_100_become_black_and_others_white():
    levels = torch.arange(256, dtype=torch.uint8)
    images = (levels.float() / 255).view(1, 1, 16, 16)
    found = flipped(images, np.arange(256)).flatten()
    assert torch.equal(found, (levels <= 100).float())
    assert found[[99, 100, 101]].tolist() == [1, 1, 0]


def test_only_the_chosen_pixels_are_flipped_in_all_channels_of_a_copy():
    images = torch.rand(3, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    found = flipped(images, np.array([7, 0]))
    assert torch.equal(images, before) and found.dtype == images.dtype
    changed = torch.zeros(4, 5, dtype=torch.bool)
    changed[1, 2] = changed[0, 0] = True
    assert torch.equal(found[..., ~changed], images[..., ~changed])
    assert torch.equal(found[..., changed], (images[..., changed] <= 100 / 255).float())


def test_removed_pixels_have_their_mean():
    images = torch.rand(3, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    found = removed(images, np.array([7]))
    assert torch.equal(found[:, :, 1, 2], images[:, :, 1, 2].mean(dim=0).expand(3, 2))
    found[:, :, 1, 2] = images[:, :, 1, 2]
    assert torch.equal(found, images)


def test_no_pixels_change_nothing():
    images = torch.rand(2, 1, 3, 3)
    nothing = np.array([], dtype=np.intp)
    assert torch.equal(flipped(images, nothing), images) and torch.equal(removed(images, nothing), images)
