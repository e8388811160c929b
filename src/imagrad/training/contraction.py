"""The contractive penalty: squared Frobenius norms of an encoder's Jacobian, to be minimised (Rifai et al. 2011)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from imagrad.complexstep.cache import program_of
from imagrad.complexstep.derivatives import whole_jacobian
from imagrad.complexstep.engines import Task, push
from imagrad.complexstep.points import Settings
from imagrad.complexstep.program import bind
from imagrad.complexstep.tracing import Graph
from imagrad.errors import DerivativeError, InputError, UnsupportedOperationError
from imagrad.models.autoencoders import Autoencoder
from imagrad.training.distributed import Share, share_of

_LARGEST_EXACT = 2**16
"""Entries of the Jacobian of one image up to which it is computed whole unless asked otherwise."""

_EXPORT_BATCH = 2


@dataclass
class Contraction:
    """Computes |J|_F**2 of each image, `J` = d code / d image, connected to the encoder's weights."""

    autoencoder: Autoencoder
    how: str = "auto"
    """"closed", "engine", "probes", or "auto": the first of them that can be exact and is affordable."""
    probes: int = 4
    _graph: Graph | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Choose how; raise `InputError` for the closed form of an encoder that has none."""
        config = self.autoencoder.config
        if self.how == "auto":
            entries = config.latents * torch.Size(config.image_shape).numel()
            affordable = "engine" if entries <= _LARGEST_EXACT else "probes"
            self.how = "closed" if _is_dense(self.autoencoder) else affordable
        if self.how == "closed" and not _is_dense(self.autoencoder):
            raise InputError(
                "the closed form is that of an encoder of dense layers whose outputs are all code; this one is "
                f"{config.network} with hidden={config.hidden} and the code {config.code}. "
                "Take --jacobian engine, which is exact for any, or probes."
            )

    def __call__(self, images: torch.Tensor, draws: torch.Generator, share: Share | None = None) -> torch.Tensor:
        """Return the squared norm of each image: (n,); NaN for all if one has a derivative that is not finite."""
        if self.how == "closed":
            return closed_form(self.autoencoder, images)
        task = self._task(images)
        try:
            if self.how == "engine":
                return whole_jacobian(task, self.autoencoder.config.latents).square().sum(dim=(1, 2))
            return estimate(task, self.probes, draws, share)
        except UnsupportedOperationError:
            raise
        except DerivativeError:  # not finite: the loop stops at it as at any other loss, and names the step
            return images.new_full((len(images),), torch.nan)

    def _task(self, images: torch.Tensor) -> Task:
        """Return what the engine differentiates: traced once, with the weights that the encoder has now."""
        encode = self.autoencoder.encode
        if self._graph is None:
            example = images[:1].expand(_EXPORT_BATCH, *images.shape[1:]).clone()
            with torch.no_grad():
                own = encode(example)
            self._graph = program_of(encode, (example,), own, batched=True).program.graph
        program = bind(self._graph, encode, images.dtype, images.device, differentiable=True)
        settings = Settings(engine="forward" if self.how == "probes" else "auto", differentiable=True)
        return Task(program, images, (), settings, batched=True)


def closed_form(autoencoder: Autoencoder, images: torch.Tensor) -> torch.Tensor:
    """Return |J|_F**2 of an encoder of dense layers, image by image: (n,).

    J = D_L W_L ... D_1 W_1 with D_k the slopes of layer k, so with B = D_L W_L ... D_1 it is |B W_1|_F**2 =
    sum(B W_1 W_1' * B). W_1 W_1' is the same for all images and small, so that no product has as many columns as
    an image has pixels: far cheaper than J itself. Of one layer it is sum_j s'(z_j)**2 sum_i W_ji**2.
    """
    first, *later = (layer for layer in autoencoder.encoder if isinstance(layer, nn.Linear))
    slopes = _slopes(autoencoder, images)
    if not later:
        return slopes[0].square() @ first.weight.square().sum(dim=1)
    rows = slopes[-1][:, :, None] * later[-1].weight * slopes[-2][:, None]  # (n, q, width of the layer below)
    for layer, below in zip(later[-2::-1], slopes[-3::-1], strict=True):
        rows = rows @ layer.weight * below[:, None]
    return (rows @ (first.weight @ first.weight.T) * rows).sum(dim=(1, 2))


def _slopes(autoencoder: Autoencoder, images: torch.Tensor) -> list[torch.Tensor]:
    """Return the slopes of each dense layer's activation, first layer first: (n, its width) each."""
    slopes: list[torch.Tensor] = []
    values = images
    for layer in autoencoder.encoder:
        values = layer(values)
        if isinstance(layer, nn.Linear):
            slopes.append(torch.ones_like(values))
        elif isinstance(layer, nn.ReLU):
            slopes[-1] = (values > 0).to(values)
        elif isinstance(layer, nn.Sigmoid):
            slopes[-1] = values * (1 - values)
    return slopes


def estimate(task: Task, probes: int, draws: torch.Generator, share: Share | None = None) -> torch.Tensor:
    """Estimate |J|_F**2 of each image without bias: the mean of |J v|**2 over random v with E[v v'] = 1 (Hutchinson).

    The directions have entries of -1 and 1: of all, these have the smallest variance that needs no knowledge of J.
    """
    share = share or share_of(len(task.point))
    shape = (probes, share.batch, *task.point.shape[1:])
    drawn = torch.randint(0, 2, shape, generator=draws, device=task.point.device)
    signs = share.of(drawn, axis=1).to(task.point) * 2 - 1
    return push(task, signs).square().flatten(2).sum(dim=2).mean(dim=0)


def _is_dense(autoencoder: Autoencoder) -> bool:
    """Whether an encoder is dense layers with activations between, and all that it ends in is code."""
    known = (nn.Flatten, nn.Linear, nn.ReLU, nn.Sigmoid)
    return autoencoder.config.code != "gaussian" and all(isinstance(layer, known) for layer in autoencoder.encoder)
