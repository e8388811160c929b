"""Units: the spread of latents by numpy, dead ones, and that rescaling a latent in the network changes no map."""

import copy

import numpy as np
import pytest
import torch

import imagrad
from imagrad.attribution.latent_maps import latent_maps, painted_maps
from imagrad.attribution.spectrum import spectrum
from imagrad.attribution.units import spread_of
from imagrad.errors import EncoderError, InputError
from imagrad.models.autoencoders import NetworkConfig, build


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_numbers_are_those_of_numpy():
    codes = draws(40, 3) * torch.tensor([1.0, 20.0, 0.1]) + 5
    found, values = spread_of(codes), codes.numpy()
    assert found.images == 40 and not found.dead.any()
    assert np.allclose(found.mean, values.mean(0), rtol=1e-13) and np.allclose(
        found.deviation, values.std(0), rtol=1e-12
    )
    assert np.allclose([found.low.numpy(), found.high.numpy()], np.quantile(values, [0.05, 0.95], axis=0), rtol=1e-13)
    assert torch.allclose(found.weights * found.scale, torch.ones(3, dtype=torch.float64))
    assert found.most_active(2) == [1, 0] and found.most_active(9) == [1, 0, 2]
    assert found.as_dict()["dead"] == [] and len(found.as_dict()["deviation"]) == 3


def test_dead_latents_weigh_nothing():
    codes = torch.cat([draws(30, 1), torch.full((30, 1), 0.1), torch.zeros(30, 1)], dim=1).float()
    found = spread_of(codes)
    assert found.dead.tolist() == [False, True, True] and found.most_active(3) == [0]
    assert found.weights[1:].tolist() == found.scale[1:].tolist() == [0, 0] and found.weights.isfinite().all()
    assert found.as_dict()["dead"] == [1, 2]


def test_a_mean_that_its_noise_drowns_is_dead_whatever_its_scale():
    """A variational code: the second latent's mean moves by 0.05, and is drawn with a deviation of 1 around it."""
    means = draws(200, 2) * torch.tensor([1.0, 0.05])
    logs = torch.tensor([0.1, 1.0]).log().mul(2).expand(200, 2)
    for factor in (1.0, 1e-3, 1e3):
        assert spread_of(factor * means, logs + 2 * np.log(factor)).dead.tolist() == [False, True]
    assert not spread_of(means).dead.any()


def test_a_drawn_latent_is_counted_in_the_deviation_of_its_draws():
    """Against draws: means of variance 4 with noise of variance 9 around them."""
    means, noise = 2 * draws(100_000, 1), 3 * torch.randn(100_000, 1, generator=torch.Generator().manual_seed(5))
    found = spread_of(means, torch.full_like(means, np.log(9.0)))
    assert found.unit.item() == pytest.approx((means + noise).std().item(), rel=0.02)
    assert found.weights.item() == pytest.approx(1 / found.unit.item()) and found.scale.item() == found.unit.item()
    assert found.activity.item() == pytest.approx(means.std().item(), rel=1e-4), "noise is no activity"


def test_quantiles_of_a_latent_that_is_rarely_on_are_its_extremes():
    codes = torch.zeros(100, 1)
    codes[7] = 4.0
    found = spread_of(codes)
    assert (found.low.item(), found.high.item(), found.dead.item()) == (0, 4, False)


def test_weights_of_some_latents():
    found = spread_of(draws(20, 4))
    kept = found.weights_of([0, 2])
    assert torch.equal(kept[[0, 2]], found.weights[[0, 2]]) and kept[[1, 3]].tolist() == [0, 0]
    assert torch.equal(found.weights_of(None), found.weights)


def rescaled(network, latent, factor):
    """The same autoencoder with one latent counted in other units: in ReLU, g_j -> c g_j goes through for c > 0."""
    other = copy.deepcopy(network)
    other.encoder[3].weight.data[latent] *= factor
    other.encoder[3].bias.data[latent] *= factor
    other.decoder[0].weight.data[:, latent] /= factor
    return other


@pytest.fixture(scope="module")
def network():
    return build(NetworkConfig("dense", (1, 8, 8), (16,), 5), seed=3).double().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def pictures():
    return torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_rescaling_a_latent_changes_no_map_in_units_of_spread(network, pictures):
    other, few = rescaled(network, 2, 50.0), pictures[:2]
    assert torch.allclose(network.reconstruct(few), other.reconstruct(few), rtol=1e-12), "the same autoencoder"
    found = []
    for one in (network, other):
        spread = spread_of(one.encode(pictures))
        assert 2 in spread.most_active(5)
        codes = one.encode(few)
        found.append({
            "encoder": imagrad.saliency(one.encode, few, latents=spread.weights).maps,
            "raw": imagrad.saliency(one.encode, few).maps,
            "decoder": imagrad.saliency(one.decode, codes).maps * spread.scale,
            "spectrum": spectrum(one.encode, few, latents=spread.weights).singular_values,
            "of the decoder": spectrum(one.decode, codes, scale=spread.scale).singular_values,
            "latent": latent_maps(one.encode, few, [2]).maps * spread.weights[2],
            "painted": painted_maps(one.decode, codes, [2]).maps * spread.scale[2],
        })  # fmt: skip
    raw = [maps.pop("raw") for maps in found]
    assert raw[1].max() > 5 * raw[0].max(), "in raw units the rescaled latent takes the map over"
    for name, first in found[0].items():
        assert first.max() > 0 and (first - found[1][name]).abs().max() <= 1e-12 * first.max(), name


@pytest.mark.parametrize(
    ("codes", "logs", "error", "message"),
    [
        (torch.zeros(1, 3), None, InputError, "the spread of latents is that over at least 2 images; got 1"),
        (torch.zeros(3), None, EncoderError, r"codes must be finite and of shape \(n, q\); got \(3,\)"),
        (torch.full((3, 1), torch.nan), None, EncoderError, "codes must be finite"),
        (torch.zeros(3, 2), torch.zeros(3, 1), EncoderError, r"codes must be finite and of shape .* got \(3, 1\)"),
    ],
)
def test_codes_without_a_spread(codes, logs, error, message):
    with pytest.raises(error, match=message):
        spread_of(codes, logs)


def test_latents_that_cannot_be():
    found = spread_of(draws(20, 4))
    with pytest.raises(InputError, match="at least 1 latent must be asked for; got 0"):
        found.most_active(0)
    with pytest.raises(InputError, match=r"`latents` must be indices from 0 to 3; got \[4\]"):
        found.weights_of([4])
