"""What each variant of Table 1 minimises: (autoencoder, corrupted images, clean images) -> one number."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from imagrad.models.autoencoders import DenseAutoencoder
from imagrad.registry import Registry

Loss = Callable[[DenseAutoencoder, torch.Tensor, torch.Tensor], torch.Tensor]

VARIANTS: Registry[Loss] = Registry("variant")


@VARIANTS.register("denoising")
def denoising(autoencoder: DenseAutoencoder, corrupted: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Reconstruct the clean image from its corrupted copy: binary cross-entropy, no regulariser."""
    return cross_entropy(autoencoder.logits(corrupted), clean)


def cross_entropy(logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of pixels, the mean over all pixels and images.

    Eq. 11 abbreviates it to -1/N sum_i log p_i, with p_i the probability given to what pixel i is. Written out, with
    x_i in [0, 1] the clean grey level and s_i = sigmoid(logit_i) the reconstructed one, it is
    -1/N sum_i [x_i log s_i + (1 - x_i) log(1 - s_i)]. For grey levels between 0 and 1 its minimum, at s = x, is not 0.
    """
    return binary_cross_entropy_with_logits(logits, images)
