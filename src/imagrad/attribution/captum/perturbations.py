"""Methods that hide parts of an image; Captum computes them, for all latents from the same hidden parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from imagrad.attribution.captum.adapter import seeded
from imagrad.attribution.contract import Problem, method, rows_at_once
from imagrad.errors import InputError

SAMPLES = 512
"""Images with random patches hidden, to which LIME and KernelSHAP fit a line."""


@method("occlusion")
def occlusion(problem: Problem) -> torch.Tensor:
    """Hide one patch after the other; each pixel gets the mean change of the patches over it (Zeiler and Fergus)."""
    from captum.attr import Occlusion

    window = problem.window()
    found = Occlusion(problem.network).attribute(
        problem.images, window, strides=_strides(problem, window), baselines=problem.baseline,
        additional_forward_args=(problem.weights,),
    )  # fmt: skip
    return found.view(len(problem.images), -1, *problem.images.shape[1:])


def _strides(problem: Problem, window: tuple[int, ...]) -> tuple[int, ...]:
    """Move by half a window, and not at all over an axis that it covers."""
    sides = problem.images.shape[1:]
    return tuple(side if side == wide else max(1, wide // 2) for side, wide in zip(sides, window, strict=True))


@method("lime")
def lime(problem: Problem) -> torch.Tensor:
    """Fit a line to the codes of images with random patches hidden, near ones first (Ribeiro et al. 2016)."""
    from captum.attr import Lime

    return _fitted(problem, lambda forward, fit: Lime(forward, interpretable_model=fit))


@method("kernel-shap", complete=1e-3)
def kernel_shap(problem: Problem) -> torch.Tensor:
    """Fit a line whose slopes are Shapley values of the patches, but for sampling (Lundberg and Lee 2017)."""
    from captum.attr import KernelShap

    def make(forward: Any, fit: Any) -> Any:
        explainer = KernelShap(forward)
        explainer.interpretable_model = fit
        return explainer

    return _fitted(problem, make)


class _Fit:
    """Least squares for all numbers of an image at once; Captum, which fits one, is handed places in a list instead."""

    def __init__(self, network: Callable[..., torch.Tensor], weights: torch.Tensor, at_once: int) -> None:
        self.network = network
        self.weights = weights  # (1, k, q)
        self.at_once = at_once
        self.numbers: list[torch.Tensor] = []
        self.slopes = torch.empty(0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Keep the numbers of some perturbed images; return the place of each, as the one number it may have."""
        first = sum(len(part) for part in self.numbers)
        for part in images.split(self.at_once):
            self.numbers.append(self.network(part, self.weights.expand(len(part), -1, -1)))
        return torch.arange(first, first + len(images), dtype=torch.float64)

    def fit(self, train_data: Any, **_: Any) -> dict[str, Any]:
        """Solve for the slopes, (patches, k): minimise the weighted squares of what a line leaves."""
        shown, places, closeness = next(iter(train_data))
        numbers = torch.cat(self.numbers)[places.long()].double().cpu()
        design = torch.cat([shown.double().cpu(), torch.ones(len(shown), 1, dtype=torch.float64)], 1)
        root = closeness.double().cpu().sqrt()[:, None]
        self.slopes = torch.linalg.lstsq(design * root, numbers * root, driver="gelsd").solution[:-1]
        return {}

    def representation(self) -> torch.Tensor:
        return self.slopes


def _fitted(problem: Problem, make: Callable[[Any, Any], Any]) -> torch.Tensor:
    """Fit image by image, each with the same patches hidden; the pixels of a patch share its slope."""
    patches = _patches(problem)
    sizes = patches.flatten().bincount()[:, None].to(problem.images)
    count = len(sizes)
    samples = problem.samples or SAMPLES
    if count < 2 or samples < count + 2:
        raise InputError(
            f"LIME and KernelSHAP need two patches or more, and more `samples` than patches; got {count} patches and "
            f"{samples} samples. Change `patch` or `samples`."
        )
    maps: list[torch.Tensor] = []
    for image, weights in zip(problem.images.split(1), problem.weights.split(1), strict=True):
        fit = _Fit(problem.network, weights, rows_at_once(problem))
        with torch.no_grad(), seeded(problem.seed, image.device):
            slopes = make(fit.forward, fit).attribute(
                image, baselines=problem.baseline, feature_mask=patches[None], n_samples=samples,
                perturbations_per_eval=samples, return_input_shape=False,
            )  # fmt: skip
        maps.append((slopes.to(image) / sizes)[patches].movedim(-1, 0))  # (k, *input)
    return torch.stack(maps)


def _patches(problem: Problem) -> torch.Tensor:
    """Give each pixel the number of its patch, one of those that tile the input: shape of the input."""
    numbers = torch.zeros(problem.images.shape[1:], dtype=torch.long, device=problem.images.device)
    for axis, (side, wide) in enumerate(zip(problem.images.shape[1:], problem.window(), strict=True)):
        place = torch.arange(side, device=numbers.device) // wide
        shape = [1] * numbers.ndim
        shape[axis] = side
        numbers = numbers * (int(place.max()) + 1) + place.view(shape)
    return numbers
