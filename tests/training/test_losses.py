"""Every loss against its formula of Table 1, written out a second time from the weights alone."""

import math

import mpmath
import numpy as np
import pytest
import torch

from imagrad.errors import InputError
from imagrad.models.autoencoders import NetworkConfig, build
from imagrad.training.config import DEFAULTS, RECONSTRUCTIONS, TrainingConfig
from imagrad.training.contraction import Contraction
from imagrad.training.losses import (
    RECONSTRUCTION,
    VARIANTS,
    Step,
    bernoulli_divergence,
    check_variant,
    cross_entropy,
    gaussian_divergence,
    l1,
    squared_error,
)

SHAPE, HIDDEN, LATENTS = (1, 4, 5), 6, 3
PIXELS = 20


def terms(variant, network, corrupted, clean, **settings):
    """What a variant minimises, on some images."""
    config = TrainingConfig("digits", variant=variant, **settings)
    contraction = Contraction(network, config.jacobian, config.probes)
    return VARIANTS[variant](Step(network, corrupted, clean, config, contraction, torch.Generator().manual_seed(0)))


def test_cross_entropy_is_equation_11_written_out():
    generator = torch.Generator().manual_seed(0)
    logits, images = torch.randn(3, 1, 4, 4, generator=generator), torch.rand(3, 1, 4, 4, generator=generator)
    x, s = images.double().numpy(), 1 / (1 + np.exp(-logits.double().numpy()))
    expected = -np.mean(x * np.log(s) + (1 - x) * np.log(1 - s))
    assert float(cross_entropy(logits, images)) == pytest.approx(expected, rel=1e-6)


def test_for_black_and_white_pixels_it_is_equation_11_as_printed():
    """-1/N sum log p_i, p_i the probability of what the pixel is."""
    logits = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    images = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    s = torch.sigmoid(logits)
    expected = -(s[0].log() + (1 - s[1]).log() + (1 - s[2]).log()) / 3
    assert float(cross_entropy(logits, images)) == pytest.approx(float(expected), rel=1e-12)


def test_saturated_pixels_stay_finite():
    assert float(cross_entropy(torch.tensor([100.0, -100.0]), torch.tensor([0.0, 1.0]))) == pytest.approx(100)


def test_squared_error_is_the_mean_over_pixels_and_images():
    generator = torch.Generator().manual_seed(0)
    logits, images = (torch.randn(3, 2, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    expected = np.mean((1 / (1 + np.exp(-logits.numpy())) - images.numpy()) ** 2)
    assert float(squared_error(logits, images)) == pytest.approx(expected, rel=1e-12)


def test_denoising_compares_with_the_clean_image(autoencoder, images):
    corrupted = (images + 0.3).clamp(0, 1)
    loss = terms("denoising", autoencoder, corrupted, images).total
    pixels = autoencoder(corrupted).double()
    expected = -(images * pixels.log() + (1 - images) * (1 - pixels).log()).mean()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


# --- Table 1, from the weights alone ---


@pytest.fixture
def corrupted():
    return torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def clean():
    return torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def network_for(variant):
    config = NetworkConfig("dense", SHAPE, (HIDDEN,), LATENTS, DEFAULTS[variant].code)
    network = build(config, seed=3).double().requires_grad_(False)
    generator = torch.Generator().manual_seed(4)
    for name, bias in network.named_parameters():
        if name.endswith("bias"):  # they start at 0, where a lost one would not be missed
            bias.copy_(0.1 * torch.randn(bias.shape, generator=generator))
    return network


def ending(w, x):
    """What the encoder ends in, before it is made a code."""
    hidden = (x @ w["encoder.1.weight"].T + w["encoder.1.bias"]).clamp(min=0)
    return hidden @ w["encoder.3.weight"].T + w["encoder.3.bias"]


def pixels_of(w, codes):
    hidden = (codes @ w["decoder.0.weight"].T + w["decoder.0.bias"]).clamp(min=0)
    return 1 / (1 + torch.exp(-(hidden @ w["decoder.2.weight"].T + w["decoder.2.bias"])))


def plain_loss(w, x, codes, target):
    """-1/N sum_i [x_i log s_i + (1 - x_i) log(1 - s_i)], of sparse, contractive and denoising ones."""
    s = pixels_of(w, codes)
    return -(target * s.log() + (1 - target) * (1 - s).log()).sum() / s.numel()


def by_denoising(w, x, target):
    return plain_loss(w, x, ending(w, x).clamp(min=0), target), 0


def by_l1(w, x, target):
    """Lambda sum_i a_i for each image."""
    codes = ending(w, x).clamp(min=0)
    return plain_loss(w, x, codes, target), 0.7 * codes.sum() / len(x)


def by_kl(w, x, target):
    """Ng 2011, p. 14: sum_j rho log(rho / rho_j) + (1 - rho) log((1 - rho) / (1 - rho_j)), rho_j the mean of a_j."""
    codes = 1 / (1 + torch.exp(-ending(w, x)))
    chances = codes.sum(dim=0) / len(x)
    penalty = sum(0.2 * torch.log(0.2 / chance) + 0.8 * torch.log(0.8 / (1 - chance)) for chance in chances)
    return plain_loss(w, x, codes, target), 0.7 * penalty


def by_jacobian(w, x, target):
    """Lambda sum_ij (dg_j / dx_i)^2 for each image, by torch's own reverse mode."""
    squares = [torch.func.jacrev(lambda one: ending(w, one).clamp(min=0))(one).square().sum() for one in x]
    return plain_loss(w, x, ending(w, x).clamp(min=0), target), 0.7 * sum(squares) / len(x)


def by_kl_from_the_unit_gaussian(w, x, target):
    """Lambda sum_j KL(q_j(g | x) | N(0, 1)), lambda = beta / pixels; g drawn."""
    mean, log_variance = ending(w, x).chunk(2, dim=1)
    drawn = torch.randn(len(x), LATENTS, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    deviation = torch.exp(log_variance / 2)
    unit = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    divergence = torch.distributions.kl_divergence(torch.distributions.Normal(mean, deviation), unit)
    return plain_loss(w, x, mean + deviation * drawn, target), 3.0 / PIXELS * divergence.sum() / len(x)


TABLE_1 = {
    "denoising": (by_denoising, {}),
    "sparse": (by_l1, {"penalty": 0.7}),
    "sparse-kl": (by_kl, {"penalty": 0.7, "target": 0.2}),
    "contractive": (by_jacobian, {"penalty": 0.7, "jacobian": "engine"}),
    "variational": (by_kl_from_the_unit_gaussian, {"beta": 3.0}),
}


def test_every_variant_has_its_formula_here():
    assert set(TABLE_1) == set(VARIANTS) == set(DEFAULTS)


@pytest.mark.parametrize("variant", TABLE_1)
def test_loss_and_its_gradient_are_those_of_table_1(variant, corrupted, clean):
    formula, settings = TABLE_1[variant]
    network = network_for(variant).requires_grad_()
    found = terms(variant, network, corrupted, clean, **settings)
    weights = dict(network.named_parameters())
    copies = {name: weight.detach().clone().requires_grad_() for name, weight in weights.items()}
    reconstruction, penalty = formula(copies, corrupted.flatten(1), clean.flatten(1))
    pairs = [
        (found.reconstruction, reconstruction),
        (found.penalty or 0, penalty),
        (found.total, reconstruction + penalty),
    ]
    for mine, other in pairs:
        assert torch.allclose(torch.as_tensor(mine), torch.as_tensor(other), rtol=1e-12, atol=0)
    ours = torch.autograd.grad(found.total, list(weights.values()))
    theirs = torch.autograd.grad(reconstruction + penalty, list(copies.values()))
    for name, mine, other in zip(weights, ours, theirs, strict=True):
        assert float(other.abs().max()) > 0, name
        assert torch.allclose(mine, other, rtol=1e-11, atol=1e-13), name  # sums of up to 100 terms near 1


@pytest.mark.parametrize("variant", TABLE_1)
def test_squared_error_can_take_the_place_of_the_cross_entropy(variant, corrupted, clean):
    """Only the first term changes; for a gaussian code, of the very draw that the cross-entropy has."""
    _, settings = TABLE_1[variant]
    network = network_for(variant)
    one, other = (
        terms(variant, network, corrupted, clean, reconstruction=reconstruction, **settings)
        for reconstruction in ("bce", "l2")
    )
    codes = network.encode(corrupted)
    if variant == "variational":
        drawn = torch.randn(5, LATENTS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        codes = codes + network.log_variance(corrupted).exp().sqrt() * drawn
    error = (network.decode(codes) - clean).square().sum() / clean.numel()
    assert float(other.reconstruction) == pytest.approx(float(error), rel=1e-12)
    assert one.penalty == other.penalty


@pytest.mark.parametrize("variant", [name for name, (_, settings) in TABLE_1.items() if settings])
def test_the_regulariser_is_proportional_to_its_weight(variant, corrupted, clean):
    weight = "beta" if variant == "variational" else "penalty"
    network = network_for(variant)
    none, one, four = (
        terms(variant, network, corrupted, clean, **{**TABLE_1[variant][1], weight: value}) for value in (0, 0.5, 2.0)
    )
    assert float(one.penalty) > 0
    assert float(four.penalty) == pytest.approx(4 * float(one.penalty), rel=1e-14)
    assert none.total == none.reconstruction == one.reconstruction == four.reconstruction


def test_beta_1_is_the_evidence_lower_bound(corrupted, clean):
    """Per image: cross-entropies summed over the pixels, and the divergence (Kingma and Welling 2013, Eq. 10)."""
    network = network_for("variational")
    normal = torch.randn(5, LATENTS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean, log_variance, logits = network.drawn(corrupted, normal)
    drawn = mean + (0.5 * log_variance).exp() * normal
    # log p(x | z), exact also for grey levels as x log s + (1 - x) log(1 - s)
    log_likelihood = -torch.nn.functional.binary_cross_entropy(network.decode(drawn), clean, reduction="sum")
    prior = torch.distributions.MultivariateNormal(torch.zeros(LATENTS).double(), torch.eye(LATENTS).double())
    posteriors = [
        torch.distributions.MultivariateNormal(center, spread.exp().diag())
        for center, spread in zip(mean, log_variance, strict=True)
    ]
    divergence = sum(torch.distributions.kl_divergence(posterior, prior) for posterior in posteriors)
    assert torch.allclose(network.decode(drawn), torch.sigmoid(logits), rtol=1e-12)
    total = terms("variational", network, corrupted, clean).total
    assert float(total) * PIXELS == pytest.approx(float(divergence - log_likelihood) / 5, rel=1e-12)


def test_a_variational_code_is_drawn_anew_and_by_its_generator_alone(corrupted, clean):
    network = network_for("variational")
    config = TrainingConfig("digits", variant="variational")
    generator = torch.Generator().manual_seed(0)
    step = Step(network, corrupted, clean, config, Contraction(network), generator)
    first, second = (VARIANTS["variational"](step) for _ in range(2))
    assert first.reconstruction != second.reconstruction and first.penalty == second.penalty
    torch.manual_seed(1)
    assert VARIANTS["variational"](step).total != first.total
    generator.manual_seed(0)
    assert VARIANTS["variational"](step).total == first.total


# --- the regularisers by themselves ---


def test_l1_takes_the_absolute_value_of_what_can_be_negative():
    assert float(l1(torch.tensor([[1.0, -2.0, 0.0], [0.5, 0.0, -0.5]]))) == (3 + 1) / 2


def test_divergence_of_coins_is_that_of_torch_distributions():
    chances = torch.rand(1, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    coin = torch.distributions.Bernoulli(torch.tensor(0.05, dtype=torch.float64))
    expected = torch.distributions.kl_divergence(coin, torch.distributions.Bernoulli(chances)).sum()
    assert float(bernoulli_divergence(chances, 0.05)) == pytest.approx(float(expected), rel=1e-12)


def test_divergence_of_coins_is_0_at_the_target_alone():
    chances = torch.tensor([[0.2, 0.2]], dtype=torch.float64)
    assert float(bernoulli_divergence(chances, 0.2)) == pytest.approx(0, abs=1e-15)
    for target in (0.15, 0.25):
        assert float(bernoulli_divergence(chances, target)) > 1e-3


@pytest.mark.parametrize("chance", [1e-6, 0.5, 1 - 1e-6])
def test_divergence_of_coins_keeps_its_digits_near_0_and_1(chance):
    with mpmath.workdps(40):
        rho, own = mpmath.mpf(0.05), mpmath.mpf(chance)
        expected = rho * mpmath.log(rho / own) + (1 - rho) * mpmath.log((1 - rho) / (1 - own))
    found = bernoulli_divergence(torch.tensor([[chance]], dtype=torch.float64), 0.05)
    assert float(found) == pytest.approx(float(expected), rel=1e-13)


@pytest.mark.parametrize(("mean", "log_variance"), [(0.0, 0.0), (1.5, -3.0), (-0.3, 1.2), (4.0, 0.01)])
def test_divergence_from_the_unit_gaussian_is_its_integral(mean, log_variance):
    """KL = integral of q log(q / p), by quadrature over ten deviations."""
    with mpmath.workdps(30):
        m, s = mpmath.mpf(mean), mpmath.exp(mpmath.mpf(log_variance) / 2)

        def integrand(z):
            return mpmath.npdf(z, m, s) * (z**2 / 2 - ((z - m) / s) ** 2 / 2 - mpmath.log(s))

        expected = mpmath.quad(integrand, [m - 10 * s, m, m + 10 * s])
    found = gaussian_divergence(*torch.tensor([[[mean]], [[log_variance]]], dtype=torch.float64))
    assert found.shape == (1,)
    assert float(found) == pytest.approx(float(expected), rel=1e-12, abs=1e-15)


def test_divergence_from_the_unit_gaussian_by_drawing():
    """The mean of log q(z) - log p(z) over draws of z, within 4 standard errors; summed over the latents."""
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = (torch.randn(2, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    drawn = mean + (log_variance / 2).exp() * torch.randn(100_000, 2, 3, generator=generator, dtype=torch.float64)
    q = torch.distributions.Normal(mean, (log_variance / 2).exp())
    p = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    ratios = (q.log_prob(drawn) - p.log_prob(drawn)).sum(dim=2)  # (draws, images)
    errors = ratios.std(dim=0) / math.sqrt(len(drawn))
    assert ((gaussian_divergence(mean, log_variance) - ratios.mean(dim=0)).abs() < 4 * errors).all()


def test_every_named_reconstruction_exists():
    assert tuple(RECONSTRUCTION) == RECONSTRUCTIONS


# --- what cannot be ---


@pytest.mark.parametrize("code", ["relu", "linear"])
def test_divergence_of_coins_needs_a_bounded_code(code):
    message = (
        rf"needs a code between 0 and 1; the code '{code}' is not bounded by 1.*--code sigmoid, or --variant sparse"
    )
    with pytest.raises(InputError, match=message):
        check_variant(TrainingConfig("digits", variant="sparse-kl", code=code))


@pytest.mark.parametrize(
    ("variant", "code"),
    [("variational", "relu"), ("variational", "sigmoid"), ("denoising", "gaussian"), ("contractive", "gaussian")],
)
def test_variational_and_gaussian_belong_together(variant, code):
    message = rf"and no other has a gaussian code.*got the variant '{variant}' with the code '{code}'"
    with pytest.raises(InputError, match=message):
        check_variant(TrainingConfig("digits", variant=variant, code=code))


@pytest.mark.parametrize(
    ("variant", "why"), [("denoising", "which has no regulariser"), ("variational", "is weighted by `beta`")]
)
def test_a_lambda_that_would_be_ignored_is_refused(variant, why):
    with pytest.raises(InputError, match=rf"`lambda` must be left out for the variant '{variant}', .*{why}; got 0\.5"):
        check_variant(TrainingConfig("digits", variant=variant, penalty=0.5))


@pytest.mark.parametrize("variant", TABLE_1)
def test_every_variant_stands_with_its_defaults(variant):
    check_variant(TrainingConfig("digits", variant=variant))
