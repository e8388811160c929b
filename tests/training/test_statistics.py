"""How sparse codes are and how many latents are active, against loops written out here."""

import math

import pytest
import torch

from imagrad.training.statistics import active_latents, sparseness


def hoyer(code):
    """(sqrt(q) - sum |a| / sqrt(sum a^2)) / (sqrt(q) - 1), Hoyer 2004, p. 1460, in plain Python."""
    root = math.sqrt(len(code))
    return (root - sum(abs(a) for a in code) / math.sqrt(sum(a * a for a in code))) / (root - 1)


def test_sparseness_is_the_mean_of_hoyers_over_the_images():
    codes = torch.randn(6, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert sparseness(codes) == pytest.approx(sum(hoyer(code) for code in codes.tolist()) / 6, rel=1e-14)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ([0.0, 3.0, 0.0, 0.0], 1.0),
        ([0.0, -1e-30, 0.0, 0.0], 1.0),  # its square is nothing in float32
        ([2.0, 2.0, 2.0, 2.0], 0.0),
        ([-2.0, 2.0, 2.0, -2.0], 0.0),
        ([1.0, 1.0, 0.0, 0.0], 2 - math.sqrt(2)),
        ([0.0, 0.0, 0.0, 0.0], 1.0),  # by definition here: nothing is active
    ],
)
def test_sparseness_of_codes_known_by_hand(code, expected):
    assert sparseness(torch.tensor([code])) == pytest.approx(expected, abs=1e-12)


def test_sparseness_has_no_unit():
    codes = torch.rand(6, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert sparseness(1e-6 * codes) == pytest.approx(sparseness(codes), rel=1e-14)


def test_a_code_of_zeros_among_others_counts_as_1():
    assert sparseness(torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])) == 0.5


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_one_latent_is_not_sparse(value):
    assert sparseness(torch.tensor([[value], [1.0]])) == 0.0


def test_active_latents_of_a_relu_code_are_above_0_for_any_image():
    codes = torch.tensor([[0.0, 0.0, 1e-9, 5.0], [0.0, 2.0, 0.0, 5.0]])
    assert active_latents(codes, "relu") == 3
    assert active_latents(torch.zeros(3, 4), "relu") == 0


@pytest.mark.parametrize("code", ["linear", "sigmoid", "gaussian"])
def test_active_latents_of_other_codes_vary_by_more_than_a_hundredth(code):
    """Burda et al. 2016: Cov_x(E[u]) > 10^-2. Two images a, b have the variance ((a - b) / 2)**2, divided by n."""
    differences = torch.tensor([0.0, 0.19, 0.21, -0.5])
    codes = torch.stack([0.7 + differences, torch.full((4,), 0.7)])
    assert active_latents(codes, code) == 2
    assert active_latents(codes + 100, code) == 2  # a constant carries nothing
    assert active_latents(codes[:1], code) == 0  # of a single image
