"""Spectra against numpy's SVD of torch's own Jacobians, and where they are known without either."""

import numpy as np
import pytest
import torch
from torch import nn

import imagrad
from imagrad import runs
from imagrad.attribution.spectrum import decompose, spectrum
from imagrad.errors import DerivativeError, InputError


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Flatten(), nn.Linear(16, 9), nn.Tanh(), nn.Linear(9, 6), nn.Sigmoid())
    return layers.double().requires_grad_(False)


@pytest.fixture(scope="module")
def few():
    return torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_numpy_finds_the_same_in_torchs_own_jacobian(network, few):
    found = spectrum(network, few, patterns=3)
    for k, image in enumerate(few):
        own = torch.func.jacrev(lambda x: network(x[None])[0])(image).flatten(1).numpy()
        left, values, right = np.linalg.svd(own, full_matrices=False)
        assert np.allclose(found.singular_values[k], values, rtol=1e-12, atol=1e-14)
        shares = values / values.sum()
        assert float(found.effective_rank[k]) == pytest.approx(np.prod(shares**-shares), rel=1e-11)
        assert float(found.participation_ratio[k]) == pytest.approx((values**2).sum() ** 2 / (values**4).sum())
        for j in range(3):
            pattern, response = found.patterns[k, j].flatten().numpy(), found.responses[k, j].numpy()
            sign = np.sign(pattern @ right[j])
            assert np.allclose(pattern, sign * right[j], atol=1e-9) and np.allclose(
                response, sign * left[:, j], atol=1e-9
            )
            assert pattern[np.abs(pattern).argmax()] > 0, "the sign is fixed"
            assert np.allclose(own @ pattern, values[j] * response, atol=1e-12)
    assert found.patterns.shape == (3, 3, 1, 4, 4) and found.responses.shape == (3, 3, 6)
    assert found.certificate.passed and found.singular_values.shape == (3, 6)


def test_squares_add_up_to_those_of_the_map(network, few):
    found, maps = spectrum(network, few), imagrad.saliency(network, few).maps
    assert torch.allclose(found.singular_values.square().sum(1), maps.square().flatten(1).sum(1), rtol=1e-12)


def test_a_linear_encoder_has_the_spectrum_of_its_matrix():
    """At every image; with singular values 3, 2, 1 the effective rank is that of the shares 1/2, 1/3, 1/6."""
    generator = torch.Generator().manual_seed(2)
    left, right = (torch.linalg.qr(torch.randn(n, 3, generator=generator).double()).Q for n in (5, 12))
    matrix = left @ torch.diag(torch.tensor([3.0, 2.0, 1.0]).double()) @ right.T
    found = spectrum(lambda images: images.flatten(1) @ matrix.T, torch.rand(2, 3, 4).double(), patterns=5)
    expected = torch.tensor([3.0, 2, 1, 0, 0]).double().expand(2, 5)
    assert torch.allclose(found.singular_values, expected, atol=1e-14)
    assert torch.allclose(found.effective_rank, torch.tensor(2**0.5 * 3 ** (1 / 3) * 6 ** (1 / 6)).double(), rtol=1e-7)
    assert torch.allclose(found.participation_ratio, torch.tensor(14**2 / 98).double())
    assert torch.allclose(found.patterns[0].flatten(1)[:3] @ right, torch.eye(3).double().copysign(
        found.patterns[0].flatten(1)[:3] @ right), atol=1e-12)  # fmt: skip
    assert (found.patterns[:, 3:] == 0).all() and (found.responses[:, 3:] == 0).all(), "what is 0 has no direction"


def test_rank_one_and_rank_zero():
    row, column = torch.tensor([1.0, 2.0, -2.0]), torch.tensor([3.0, 4.0])
    one = decompose(torch.stack([torch.outer(column, row), torch.zeros(2, 3)]))
    assert one.singular_values.tolist() == [pytest.approx([15, 0], abs=1e-5), [0, 0]]
    assert one.effective_rank.tolist() == pytest.approx([1, 0], abs=1e-5)
    assert one.participation_ratio.tolist() == pytest.approx([1, 0])
    assert one.patterns[0, 0].tolist() == pytest.approx([1 / 3, 2 / 3, -2 / 3]), "the first of the largest is positive"
    assert one.responses[0, 0].tolist() == pytest.approx([0.6, 0.8])
    assert one.patterns[0, 1].tolist() == one.patterns[1, 0].tolist() == [0, 0, 0]


def test_equal_singular_values_count_fully():
    found = decompose(torch.eye(4, dtype=torch.float64)[None])
    assert found.effective_rank.item() == pytest.approx(4) and found.participation_ratio.item() == pytest.approx(4)


def test_signs_do_not_hang_on_the_order_of_the_images():
    jacobian = torch.randn(5, 3, 7, generator=torch.Generator().manual_seed(4))
    assert torch.allclose(decompose(-jacobian).patterns, decompose(jacobian).patterns, atol=1e-6)
    assert torch.allclose(decompose(jacobian.flip(0)).patterns.flip(0), decompose(jacobian).patterns, atol=1e-6)


def test_latents_and_scale_weigh_rows_and_columns(network, few):
    weights = torch.tensor([1.0, 0, 2, 0.5, 3, 1]).double()
    columns = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(5)).double()
    found = spectrum(network, few[:1], latents=weights, scale=columns)
    own = imagrad.jacobian(network, few[:1])[0].flatten(1).numpy()
    expected = np.linalg.svd(weights.numpy()[:, None] * own * columns.flatten().numpy(), compute_uv=False)
    assert np.allclose(found.singular_values[0], expected, rtol=1e-12, atol=1e-14)


def test_batches_are_one_result_and_it_is_saved(network, few, tmp_path):
    whole, counted = spectrum(network, few), []
    parts = spectrum(network, iter([few[:2], few[2:]]), progress=counted.append)
    assert torch.allclose(whole.singular_values, parts.singular_values, rtol=1e-12) and sum(counted) == 3
    whole.save(tmp_path / "s.safetensors")
    tensors, facts = runs.read_tensors(tmp_path / "s.safetensors")
    assert torch.equal(tensors["singular_values"], whole.singular_values) and facts["certificate"]["passed"]
    assert facts["units"] == "code units per unit of pixel value" and facts["kind"] == "spectrum"


def test_a_wrong_jacobian_is_not_returned(network, few, monkeypatch):
    from imagrad.attribution import spectrum as home

    monkeypatch.setattr(home, "jacobian_of", lambda block: 1.01 * torch.ones(len(block.images), 6, 1, 4, 4).double())
    with pytest.raises(DerivativeError, match="the maps must agree with derivatives taken by other means"):
        spectrum(network, few)
    assert spectrum(network, few, certify="none").certificate is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patterns": -1}, "`patterns` must not be negative; got -1"),
        ({"certify": "maybe"}, "`certify` must be one of: sample, full, none; got 'maybe'"),
        ({"scale": torch.ones(16)}, r"`scale` must be finite and of the input's shape \(1, 4, 4\); got \(16,\)"),
    ],
)
def test_options_that_cannot_be(network, few, options, message):
    with pytest.raises(InputError, match=message):
        spectrum(network, few, **options)
