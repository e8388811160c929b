"""The four noises: their defining properties, and their statistics against scikit-image's."""

import numpy as np
import pytest
import torch
from skimage.util import random_noise

from imagrad.data.corruptions import CORRUPTIONS, check_level
from imagrad.errors import InputError, UnknownNameError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


IMAGES = torch.rand(6, 1, 40, 40, generator=generator(4))
NAMES = sorted(CORRUPTIONS)


@pytest.mark.parametrize("name", NAMES)
def test_level_zero_is_the_identity(name):
    assert torch.equal(CORRUPTIONS[name](IMAGES, 0.0, generator()), IMAGES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_contract(name, dtype):
    images = IMAGES.to(dtype)
    before = images.clone()
    noisy = CORRUPTIONS[name](images, 0.3, generator())
    assert noisy.shape == images.shape and noisy.dtype == dtype
    assert torch.equal(images, before), "the input was changed"
    assert 0 <= float(noisy.min()) and float(noisy.max()) <= 1
    assert not torch.equal(noisy, images)
    assert torch.equal(noisy, CORRUPTIONS[name](images, 0.3, generator())), "same seed, other noise"
    assert not torch.equal(noisy, CORRUPTIONS[name](images, 0.3, generator(1)))


@pytest.mark.parametrize("name", NAMES)
def test_the_global_generator_is_left_alone(name):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    CORRUPTIONS[name](IMAGES, 0.3, generator())
    assert torch.equal(torch.rand(3), expected)


def test_gaussian_is_equation_9():
    """x~ = q(x + kappa N), with the very numbers N that the generator gives."""
    noise = torch.randn(IMAGES.shape, generator=generator(3))
    expected = np.clip(IMAGES.numpy() + np.float32(0.4) * noise.numpy(), 0, 1)
    assert np.allclose(CORRUPTIONS["gaussian"](IMAGES, 0.4, generator(3)).numpy(), expected, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "level", "options"),
    [
        ("gaussian", 0.2, {"mode": "gaussian", "var": 0.04}),
        ("salt-and-pepper", 0.1, {"mode": "s&p", "amount": 0.1}),
        ("speckle", 0.3, {"mode": "speckle", "var": 0.09}),
        ("poisson", 1 / 16, {"mode": "poisson"}),  # scikit-image counts 256 photons for an image of 256 grey levels
    ],
)
@pytest.mark.parametrize("grey", [0.2, 0.7])
def test_statistics_agree_with_skimage(name, level, options, grey):
    ours = CORRUPTIONS[name](flat_image(grey), level, generator()).numpy()
    theirs = random_noise(flat_image(grey).numpy(), rng=0, **options)
    here = slice(256, None)  # behind the ramp that gives the image its 256 grey levels
    ours, theirs = ours.ravel()[here], theirs.ravel()[here]
    # 60,000 draws: means agree to 5 standard errors, spreads and quantiles to a few percent
    assert ours.mean() == pytest.approx(theirs.mean(), abs=5 * np.sqrt(2 / ours.size) * max(ours.std(), 1e-9))
    assert ours.std() == pytest.approx(theirs.std(), rel=0.03)
    quantiles = [0.02, 0.25, 0.5, 0.75, 0.98]
    assert np.quantile(ours, quantiles) == pytest.approx(np.quantile(theirs, quantiles), abs=0.02)


def flat_image(grey):
    """One grey level, after a ramp of 256 levels."""
    levels = torch.arange(256) / 255
    return torch.cat([levels, torch.full((60_000,), round(grey * 255) / 255)])


def test_salt_and_pepper_changes_the_share_it_says():
    grey = torch.full((100_000,), 0.5)
    noisy = CORRUPTIONS["salt-and-pepper"](grey, 0.3, generator())
    assert float((noisy == 0).float().mean()) == pytest.approx(0.15, abs=0.005)
    assert float((noisy == 1).float().mean()) == pytest.approx(0.15, abs=0.005)
    assert float((noisy == 0.5).float().mean()) == pytest.approx(0.7, abs=0.01)


def test_poisson_level_is_the_spread_of_white():
    white = torch.full((200_000,), 0.5)
    noisy = CORRUPTIONS["poisson"](white, 0.1, generator())
    assert float(noisy.std()) == pytest.approx(0.1 * 0.5**0.5, rel=0.02)  # variance in proportion to the grey level


@pytest.mark.parametrize(("name", "level"), [("gaussian", -0.1), ("speckle", float("inf")), ("poisson", float("nan"))])
def test_bad_levels(name, level):
    with pytest.raises(
        InputError, match=rf"the level of {name} noise \(`kappa`\) must be 0 \(no noise\) or a positive"
    ):
        check_level(name, level)
    with pytest.raises(InputError, match="the level of"):
        CORRUPTIONS[name](IMAGES, level, generator())


def test_share_above_one():
    with pytest.raises(InputError, match=r"must be between 0 and 1, a share of the pixels; got 1.5"):
        check_level("salt-and-pepper", 1.5)


def test_unknown_noise():
    with pytest.raises(
        UnknownNameError, match=r"unknown corruption 'gausian'; known: gaussian, .* Did you mean 'gaussian'"
    ):
        check_level("gausian", 0.1)
