"""Parts against torch's own derivatives of the same methods; codes as points; names and units that cannot be."""

import pytest
import torch

import imagrad
from imagrad.errors import EncoderError, InputError
from imagrad.models.autoencoders import NetworkConfig, build
from imagrad.models.parts import part_of


@pytest.fixture(scope="module")
def variational():
    """An untrained variational autoencoder, 64 - 16 - 5, in float64."""
    return build(NetworkConfig("dense", (1, 8, 8), (16,), 5, "gaussian"), seed=3).double().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def few():
    return torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def own_map(function, points):
    """The norm over all outputs of each input's derivatives, by autograd."""
    rows = torch.stack([torch.func.jacrev(lambda x: function(x[None])[0])(point) for point in points])
    return rows.flatten(1, -points.ndim).square().sum(1).sqrt()


@pytest.mark.parametrize(
    ("name", "of", "method"),
    [
        ("encoder", "mean", "encode"),
        ("encoder", "log-variance", "log_variance"),
        ("decoder", "mean", "decode"),
        ("end-to-end", "mean", "reconstruct"),
    ],
)
def test_each_part_is_explained_with_its_certificate(variational, few, name, of, method):
    part = part_of(variational, name, of)
    points = part.points(few)
    assert torch.equal(points, variational.encode(few) if name == "decoder" else few)
    result = imagrad.saliency(part.function, points)
    expected = own_map(getattr(variational, method), points)
    assert result.maps.shape == points.shape and result.certificate.passed
    assert (result.maps - expected).abs().max() <= 1e-12 * expected.max()  # both to rounding of float64
    assert torch.allclose(result.codes.flatten(), getattr(variational, method)(points).flatten(), rtol=1e-13)


def test_no_part_draws_at_random(variational, few):
    for name in ("encoder", "decoder", "end-to-end"):
        part = part_of(variational, name)
        assert torch.equal(part.function(part.points(few)), part.function(part.points(few)))
    assert torch.equal(part_of(variational).function(few), variational.encode(few))


def test_any_network_with_the_three_methods_has_parts(few):
    class Own(torch.nn.Module):
        def encode(self, images):
            return images.flatten(1)[:, :3]

        def decode(self, codes):
            return codes.repeat(1, 22)[:, :64].unflatten(1, (1, 8, 8))

        def reconstruct(self, images):
            return self.decode(self.encode(images))

    part = part_of(Own().eval(), "decoder")
    assert part.takes_codes and part.points(few).shape == (2, 3) and part.log_variance is None
    assert part.function(part.points(few)).shape == few.shape


def test_units_are_named(variational):
    labels = {
        part_of(variational, name, of).label(units)
        for name, of, units in [
            ("encoder", "mean", "raw"), ("encoder", "mean", "spread"), ("encoder", "log-variance", "raw"),
            ("encoder", "log-variance", "spread"), ("decoder", "mean", "raw"), ("decoder", "mean", "spread"),
            ("end-to-end", "mean", "raw"),
        ]
    }  # fmt: skip
    assert len(labels) == 7, "no two are called the same"
    assert part_of(variational).label("raw") == imagrad.SaliencyResult.units == "code units per unit of pixel value"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("encodr",), InputError, "`part` must be one of: encoder, decoder, end-to-end; got 'encodr'"),
        (("encoder", "draw"), InputError, "`of` must be one of: mean, log-variance; got 'draw'"),
        (("decoder", "log-variance"), InputError, "`of` says what the encoder gives; the part decoder takes the mean"),
        (("encoder", "log-variance"), EncoderError, "only a gaussian code has a variance"),
    ],
)
def test_parts_that_do_not_exist(autoencoder, arguments, error, message):
    with pytest.raises(error, match=message):
        part_of(autoencoder, *arguments)


def test_units_that_a_part_cannot_have(autoencoder):
    with pytest.raises(InputError, match="`units` must be one of: raw, spread; got 'metres'"):
        part_of(autoencoder).label("metres")
    with pytest.raises(InputError, match="`units` of the part end-to-end can only be raw"):
        part_of(autoencoder, "end-to-end").label("spread")
