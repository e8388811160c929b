"""What the codes of a data set look like: how many latents carry anything, and how sparse the codes are."""

from __future__ import annotations

import torch

_ACTIVE = 0.01
"""Variance over the images (Burda, Grosse and Salakhutdinov 2016, section 5.2)."""


def active_latents(codes: torch.Tensor, code: str) -> int:
    """Count the latents that carry anything, of codes (n, q).

    Of a "relu" code those that are above 0 for any image; of another, those whose variance over the images is above
    0.01 (Burda et al. 2016, who look at the mean of a gaussian code).
    """
    if code == "relu":
        return int((codes > 0).any(dim=0).sum())
    return int((codes.double().var(dim=0, correction=0) > _ACTIVE).sum())


def sparseness(codes: torch.Tensor) -> float:
    """Return the mean sparseness of codes (n, q): 0 where all latents are equally large, 1 where one alone is not 0.

    (sqrt(q) - |a|_1 / |a|_2) / (sqrt(q) - 1) of each code (Hoyer 2004). A code of zeros counts as 1; one latent as 0.
    """
    root = codes.shape[1] ** 0.5
    if root == 1:
        return 0.0
    sizes = codes.double().norm(dim=1)
    ratios = codes.double().abs().sum(dim=1) / torch.where(sizes > 0, sizes, 1)
    return float(torch.where(sizes > 0, (root - ratios) / (root - 1), 1.0).mean())
