"""Traversals through a decoder whose output shows the code itself."""

import pytest
import torch

from imagrad.attribution.traversals import traverse
from imagrad.attribution.units import spread_of
from imagrad.errors import InputError

CODES = torch.arange(101.0)[:, None] * torch.tensor([1.0, 0.1, 0.0])  # quantiles 5 and 95, 0.5 and 9.5, 0 and 0
SPREAD = spread_of(CODES)


def decode(codes):
    """Paint the three latents as the three pixels of a row."""
    return codes[:, None, None, :]


def test_one_latent_moves_and_the_others_stand_still():
    start = torch.tensor([50.0, 2.0, 7.0])
    found = traverse(decode, start, SPREAD, [1, 0], steps=3)
    assert found.images.shape == (2, 3, 1, 1, 3) and found.latents == (1, 0)
    assert torch.allclose(found.values, torch.tensor([[0.5, 5.0, 9.5], [5.0, 50.0, 95.0]]))
    assert torch.allclose(found.images[0, :, 0, 0, 1], found.values[0]) and (found.images[0, ..., 0] == 50).all()
    assert torch.allclose(found.images[1, :, 0, 0, 0], found.values[1]) and (found.images[..., 2] == 7).all()
    assert torch.equal(found.reconstruction, start[None, None]) and torch.equal(found.start, start)


def test_deviations_are_around_the_codes_own_value():
    found = traverse(decode, torch.tensor([10.0, 2.0, 7.0]), SPREAD, [0], steps=5, span="deviations")
    deviation = float(SPREAD.deviation[0])
    assert found.values[0].tolist() == pytest.approx([10 + k * deviation for k in (-3, -1.5, 0, 1.5, 3)], rel=1e-5)


def test_from_the_mean_of_the_data():
    found = traverse(decode, SPREAD.mean, SPREAD, [0], steps=2)
    assert found.images.dtype == torch.float64 and found.reconstruction[0, 0].tolist() == pytest.approx([50, 5, 0])


@pytest.mark.parametrize(
    ("start", "latents", "options", "message"),
    [
        (torch.zeros(2), [0], {}, r"`start` must be one code of shape \(3,\); got \(2,\)"),
        (torch.zeros(3), [], {}, r"`latents` must be indices from 0 to 2; got \[\]"),
        (torch.zeros(3), [3], {}, r"`latents` must be indices from 0 to 2; got \[3\]"),
        (torch.zeros(3), [0], {"steps": 1}, "`steps` must be at least 2; got 1"),
        (torch.zeros(3), [0], {"span": "all"}, "`span` must be one of: quantiles, deviations; got 'all'"),
    ],
)
def test_what_cannot_be_traversed(start, latents, options, message):
    with pytest.raises(InputError, match=message):
        traverse(decode, start, SPREAD, latents, **options)
