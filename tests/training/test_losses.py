import numpy as np
import pytest
import torch

from imagrad.training.config import TrainingConfig
from imagrad.training.contraction import Contraction
from imagrad.training.losses import VARIANTS, Step, cross_entropy


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


def test_denoising_compares_with_the_clean_image(autoencoder, images):
    corrupted = (images + 0.3).clamp(0, 1)
    loss = terms("denoising", autoencoder, corrupted, images).total
    pixels = autoencoder(corrupted).double()
    expected = -(images * pixels.log() + (1 - images) * (1 - pixels).log()).mean()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
