"""What each variant of Table 1 minimises: a reconstruction loss, and its regulariser times lambda."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from imagrad.errors import InputError
from imagrad.models.autoencoders import Autoencoder
from imagrad.registry import Registry
from imagrad.training.config import TrainingConfig
from imagrad.training.contraction import Contraction
from imagrad.training.distributed import Share, share_of


@dataclass(frozen=True)
class Step:
    """What a loss is computed from."""

    autoencoder: Autoencoder
    corrupted: torch.Tensor
    """(n, channels, height, width), what is encoded; the clean images where there is no noise."""
    clean: torch.Tensor
    """What is to be reconstructed."""
    config: TrainingConfig
    contraction: Contraction
    draws: torch.Generator
    """For what the loss itself draws."""
    share: Share | None = None
    """Which rows of a batch these are; None: all of them."""

    @property
    def rows(self) -> Share:
        """The share of the batch."""
        return self.share or share_of(len(self.corrupted))


@dataclass(frozen=True)
class Terms:
    """The two terms of a cost function of Table 1."""

    reconstruction: torch.Tensor
    penalty: torch.Tensor | None = None
    """The regulariser, lambda included."""

    @property
    def total(self) -> torch.Tensor:
        """Their sum."""
        return self.reconstruction if self.penalty is None else self.reconstruction + self.penalty


Loss = Callable[[Step], Terms]

VARIANTS: Registry[Loss] = Registry("variant")


@VARIANTS.register("denoising")
def denoising(step: Step) -> Terms:
    """Reconstruct the clean image from its corrupted copy; no regulariser."""
    return Terms(_reconstruction(step, step.autoencoder.logits(step.corrupted)))


@VARIANTS.register("sparse")
def sparse(step: Step) -> Terms:
    """Have few active latents: lambda times the sum of their absolute values (L1), the mean over images."""
    codes, logits = step.autoencoder.code_and_logits(step.corrupted)
    return Terms(_reconstruction(step, logits), _weighted(step, l1(codes)))


@VARIANTS.register("sparse-kl")
def sparse_kl(step: Step) -> Terms:
    """Have rarely active latents: lambda times their divergence from a mean activation of `target` (Ng 2011)."""
    codes, logits = step.autoencoder.code_and_logits(step.corrupted)
    means = step.rows.batch_mean(codes.mean(dim=0, keepdim=True))  # (1, q)
    return Terms(_reconstruction(step, logits), _weighted(step, bernoulli_divergence(means, step.config.target)))


@VARIANTS.register("contractive")
def contractive(step: Step) -> Terms:
    """Keep the code insensitive: lambda times the squared Frobenius norm of its Jacobian (Rifai et al. 2011)."""
    reconstruction = _reconstruction(step, step.autoencoder.logits(step.corrupted))
    return Terms(reconstruction, _weighted(step, step.contraction(step.corrupted, step.draws, step.rows).mean()))


@VARIANTS.register("variational")
def variational(step: Step) -> Terms:
    """Draw the code, near a unit Gaussian: beta times the divergence (Kingma and Welling 2013; Higgins et al. 2017)."""
    shape = (step.rows.batch, step.autoencoder.config.latents)
    like = step.corrupted
    normal = torch.randn(shape, generator=step.draws, device=like.device, dtype=like.dtype)
    mean, log_variance, logits = step.autoencoder.drawn(step.corrupted, step.rows.of(normal))
    divergence = gaussian_divergence(mean, log_variance).mean()
    return Terms(_reconstruction(step, logits), step.config.beta / step.clean[0].numel() * divergence)


def _weighted(step: Step, regulariser: torch.Tensor) -> torch.Tensor:
    return step.config.weight * regulariser


def _reconstruction(step: Step, logits: torch.Tensor) -> torch.Tensor:
    return RECONSTRUCTION[step.config.reconstruction](logits, step.clean)


def cross_entropy(logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of pixels, the mean over all pixels and images.

    Eq. 11 abbreviates it to -1/N sum_i log p_i, with p_i the probability given to what pixel i is. Written out, with
    x_i in [0, 1] the clean grey level and s_i = sigmoid(logit_i) the reconstructed one, it is
    -1/N sum_i [x_i log s_i + (1 - x_i) log(1 - s_i)]. For grey levels between 0 and 1 its minimum, at s = x, is not 0.
    """
    return binary_cross_entropy_with_logits(logits, images)


def squared_error(logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Squared difference of pixels, the mean over all pixels and images: the L2 loss that section 3 names."""
    return mse_loss(torch.sigmoid(logits), images)


RECONSTRUCTION = {"bce": cross_entropy, "l2": squared_error}


def l1(codes: torch.Tensor) -> torch.Tensor:
    """Sum |a_j| over the latents, the mean over the images (Table 1, whose activations are not negative)."""
    return codes.abs().sum(dim=1).mean()


def bernoulli_divergence(codes: torch.Tensor, target: float) -> torch.Tensor:
    """Sum over the latents KL(target || mean activation over the batch), of coins with these chances (Ng 2011).

    `codes` lie in (0, 1). Ng's notes take the mean over all images; a batch's is what a step can know.
    """
    means = codes.mean(dim=0)
    own = target * (math.log(target) - torch.log(means))
    other = (1 - target) * (math.log(1 - target) - torch.log1p(-means))
    return (own + other).sum()


def gaussian_divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Return KL(N(mean, variance) || N(0, 1)), summed over the latents: (n,) (Kingma and Welling 2013, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


_WITHOUT_LAMBDA = {
    "denoising": "which has no regulariser",
    "variational": "whose divergence is weighted by `beta`",
}


def check_variant(config: TrainingConfig) -> None:
    """Raise `InputError` for a variant that does not exist, or that cannot work with the code or lambda given."""
    VARIANTS[config.variant]
    if config.variant in _WITHOUT_LAMBDA and config.weight != 0:
        raise InputError(
            f"`lambda` must be left out for the variant {config.variant!r}, {_WITHOUT_LAMBDA[config.variant]}; "
            f"got {config.weight:g}."
        )
    if config.variant == "sparse-kl" and config.ending != "sigmoid":
        raise InputError(
            "the divergence of sparse-kl compares mean activations with a chance, and so needs a code between 0 and 1; "
            f"the code {config.ending!r} is not bounded by 1, where the divergence has no value. Take "
            "--code sigmoid, or --variant sparse, whose L1 penalty goes with any code."
        )
    if (config.variant == "variational") != (config.ending == "gaussian"):
        raise InputError(
            "a variational autoencoder and no other has a gaussian code (a mean and a variance for each latent); got "
            f"the variant {config.variant!r} with the code {config.ending!r}. Leave `code` out."
        )
