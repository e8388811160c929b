"""Methods that look at the gradient along a path or around an image; Captum computes them."""

from __future__ import annotations

from typing import Any

import torch

from imagrad.attribution.captum.adapter import seeded
from imagrad.attribution.contract import Problem, by_image, by_row, method, rows_at_once

STEPS = 50
"""Points on the path of integrated gradients, by Gauss-Legendre; images drawn by SmoothGrad and GradientSHAP."""

NOISE = 0.15
"""Standard deviation of SmoothGrad's noise, in units of the range of the image (Smilkov et al. 2017: 10% to 20%)."""


@method("gradient-x-input")
def gradient_x_input(problem: Problem) -> torch.Tensor:
    """Multiply the gradient by the image (less the baseline): what a linear network would make of each pixel."""
    from captum.attr import InputXGradient

    def attribute(images: torch.Tensor, baselines: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        shift = (images - baselines).detach().requires_grad_()
        explainer = InputXGradient(lambda shift, weights, base: problem.network(shift + base, weights))
        return explainer.attribute(shift, additional_forward_args=(weights, baselines))

    return by_row(problem, attribute, rows_at_once(problem))


@method("integrated-gradients", complete=0.02)  # the steps leave some per mille where the path crosses kinks
def integrated_gradients(problem: Problem) -> torch.Tensor:
    """Average the gradient on the way from the baseline, times the way (Sundararajan et al. 2017)."""
    from captum.attr import IntegratedGradients

    explainer = IntegratedGradients(problem.network)
    steps = problem.samples or STEPS
    rows = rows_at_once(problem, steps)

    def attribute(images: torch.Tensor, baselines: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return explainer.attribute(images, baselines, additional_forward_args=(weights,), n_steps=steps)

    return by_row(problem, attribute, rows)


@method("smoothgrad")
def smoothgrad(problem: Problem) -> torch.Tensor:
    """Average the gradient over noisy copies of the image (Smilkov et al. 2017)."""
    from captum.attr import NoiseTunnel, Saliency

    samples = problem.samples or STEPS
    explainer: Any = NoiseTunnel(Saliency(problem.network))

    def attribute(images: torch.Tensor, _: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        spread = NOISE * float(images.detach().max() - images.detach().min())
        with seeded(problem.seed, images.device):
            return explainer.attribute(
                images, nt_type="smoothgrad", nt_samples=samples, stdevs=spread, abs=False,
                nt_samples_batch_size=min(samples, rows_at_once(problem, len(images))),
                additional_forward_args=(weights,),
            )  # fmt: skip

    return by_image(problem, attribute, rows_at_once(problem, min(samples, STEPS)))


@method("gradient-shap")
def gradient_shap(problem: Problem) -> torch.Tensor:
    """Estimate integrated gradients from random points on the way from the baseline (Lundberg and Lee 2017)."""
    from captum.attr import GradientShap

    samples = problem.samples or STEPS
    explainer = GradientShap(problem.network)

    def attribute(images: torch.Tensor, baselines: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        with seeded(problem.seed, images.device):
            return explainer.attribute(images, baselines[:1], n_samples=samples, additional_forward_args=(weights,))

    return by_image(problem, attribute, rows_at_once(problem, samples))
