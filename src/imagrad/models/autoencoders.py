"""Autoencoders by configuration: dense (section 5.2 of the paper) and convolutional, with four kinds of code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import nn

from imagrad.errors import EncoderError, ImageError, InputError
from imagrad.registry import Registry

NETWORKS: Registry[type[Autoencoder]] = Registry("network")

CODES = ("relu", "linear", "sigmoid", "gaussian")
"""How a code ends. "gaussian": a mean and a log-variance for each latent, as a variational autoencoder has them."""


@dataclass(frozen=True)
class NetworkConfig:
    """What it takes to build an autoencoder: which one, its sizes, and how its code ends."""

    network: str = "dense"
    image_shape: tuple[int, int, int] = (1, 28, 28)
    hidden: tuple[int, ...] = (128,)
    """Widths of the dense layers, or channels of the convolutions, before the code."""
    latents: int = 32
    code: str = "relu"

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be."""
        sizes = (*self.image_shape, *self.hidden, self.latents)
        if len(self.image_shape) != 3 or any(size < 1 for size in sizes):
            raise InputError(
                "`image_shape` must be (channels, height, width) and all sizes positive; got "
                f"image_shape={self.image_shape}, hidden={self.hidden}, latents={self.latents}."
            )
        if self.code not in CODES:
            raise InputError(f"`code` must be one of {', '.join(CODES)}; got {self.code!r}.")

    @property
    def outputs(self) -> int:
        """How many numbers the encoder ends in: the latents, and of a gaussian code their log-variances too."""
        return self.latents * (2 if self.code == "gaussian" else 1)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self) | {"image_shape": list(self.image_shape), "hidden": list(self.hidden)}


class Autoencoder(nn.Module):
    """An encoder from images (n, channels, height, width) to codes (n, q), and a decoder back.

    `encoder` ends in the code (of a gaussian one in means and log-variances), `decoder` in logits. The code of a
    gaussian one is its mean, never a random draw.
    """

    def __init__(self, config: NetworkConfig, encoder: Sequence[nn.Module], decoder: Sequence[nn.Module]) -> None:
        """Put the two halves together; the encoder must end in `config.outputs` numbers, to be made a code here."""
        super().__init__()
        self.config = config
        ending: dict[str, list[nn.Module]] = {"relu": [nn.ReLU()], "sigmoid": [nn.Sigmoid()]}
        self.encoder = nn.Sequential(*encoder, *ending.get(config.code, []))
        self.decoder = nn.Sequential(*decoder)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Map images to codes (n, q), of a gaussian code its mean; raise `ImageError` for another shape."""
        return self._halves(images)[0] if self.config.code == "gaussian" else self._encoded(images)

    def log_variance(self, images: torch.Tensor) -> torch.Tensor:
        """Map images to the log-variances of a gaussian code, (n, q); raise `EncoderError` for another code."""
        return self._halves(images)[1]

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Map codes (n, q) to images (n, channels, height, width) in [0, 1]."""
        return torch.sigmoid(self._logits_of(codes))

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        """Encode and decode."""
        return self.decode(self.encode(images))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Reconstruct, as `reconstruct`."""
        return self.reconstruct(images)

    # --- for training: reconstructions up to the sigmoid, which the cross-entropy takes in itself ---

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Reconstruct up to the sigmoid: exact where a pixel saturates."""
        return self._logits_of(self.encode(images))

    def code_and_logits(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the codes (n, q) and the reconstruction up to the sigmoid."""
        codes = self.encode(images)
        return codes, self._logits_of(codes)

    def drawn(self, images: torch.Tensor, normal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Draw codes, mean + deviation * normal (n, q); return means, log-variances, and what the draw decodes to."""
        mean, log_variance = self._halves(images)
        return mean, log_variance, self._logits_of(mean + torch.exp(0.5 * log_variance) * normal)

    def _encoded(self, images: torch.Tensor) -> torch.Tensor:
        if tuple(images.shape[1:]) != self.config.image_shape:
            raise ImageError(
                f"`images` must have shape (n, {', '.join(str(size) for size in self.config.image_shape)}); "
                f"got {tuple(images.shape)}."
            )
        return self.encoder(images)

    def _halves(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.config.code != "gaussian":
            raise EncoderError(
                f"only a gaussian code has a variance; this network's code is {self.config.code}. "
                "A variational autoencoder has one: imagrad train --variant variational."
            )
        outputs = self._encoded(images)
        return outputs[:, : self.config.latents], outputs[:, self.config.latents :]

    def _logits_of(self, codes: torch.Tensor) -> torch.Tensor:
        return self.decoder(codes).unflatten(1, self.config.image_shape)  # (n, channels, height, width)


@NETWORKS.register("dense")
class DenseAutoencoder(Autoencoder):
    """Symmetric and dense: m - hidden - q - hidden - m, weights not tied (section 5.2 of the paper).

    ReLU after every layer but the last, the paper's code included; a sigmoid gives the pixels (Eq. 3 and 10).
    Weights start Glorot-uniform, biases at 0. The paper does not say how its own start.
    """

    def __init__(self, config: NetworkConfig) -> None:
        """Build the network with weights from torch's global generator."""
        pixels = prod(config.image_shape)
        encoder = [nn.Flatten(), *_dense((pixels, *config.hidden, config.outputs))]
        super().__init__(config, encoder, _dense((config.latents, *config.hidden[::-1], pixels)))


@NETWORKS.register("conv")
class ConvAutoencoder(Autoencoder):
    """Convolutions 3 x 3 of stride 2, one for each of `hidden` (their channels), then a dense code; mirrored back.

    For images of any size: a layer takes n pixels to n / 2, rounded up, and its mirror image exactly back.
    ReLU after every layer but the last. Weights start Glorot-uniform, biases at 0.
    """

    def __init__(self, config: NetworkConfig) -> None:
        """Build the network with weights from torch's global generator; raise `InputError` for too many layers."""
        sizes = _halved(config.image_shape[1:], len(config.hidden))
        widths = (config.image_shape[0], *config.hidden)
        inner = (widths[-1], *sizes[-1])
        encoder: list[nn.Module] = []
        for before, after in pairwise(widths):
            encoder += [_started(nn.Conv2d(before, after, 3, stride=2, padding=1)), nn.ReLU()]
        encoder += [nn.Flatten(), _started(nn.Linear(prod(inner), config.outputs))]
        decoder = [_started(nn.Linear(config.latents, prod(inner))), nn.Unflatten(1, inner)]
        for (before, after), (height, width) in zip(pairwise(widths[::-1]), sizes[-2::-1], strict=True):
            more = ((height + 1) % 2, (width + 1) % 2)  # from k pixels to 2 k - 1, or one more
            turned = nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=more)
            decoder += [nn.ReLU(), _started(turned)]
        super().__init__(config, encoder, [*decoder, nn.Flatten()])


def _halved(size: tuple[int, int], times: int) -> list[tuple[int, int]]:
    """Return the sizes of an image that is halved, rounded up, so many times; raise `InputError` at a single pixel."""
    sizes = [size]
    for done in range(times):
        height, width = sizes[-1]
        if max(height, width) == 1:
            raise InputError(
                f"each convolution halves the image: {size[0]} x {size[1]} pixels can be halved {done} times, and "
                f"`hidden` has {times} numbers of channels. Give at most {done}."
            )
        sizes.append((-(-height // 2), -(-width // 2)))
    return sizes


def _dense(widths: Sequence[int]) -> list[nn.Module]:
    """Stack linear layers of these widths with a ReLU between each two."""
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(widths):
        layers += [_started(nn.Linear(wide, narrow)), nn.ReLU()]
    return layers[:-1]


def _started(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    """Let a layer start Glorot-uniform, with biases of 0."""
    nn.init.xavier_uniform_(layer.weight)
    assert layer.bias is not None  # they all have one
    nn.init.zeros_(layer.bias)
    return layer


def build(config: NetworkConfig, seed: int) -> Autoencoder:
    """Build the network that `config` names; its weights depend on `seed` alone."""
    network: Any = NETWORKS[config.network]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network(config)


_LATER = {"code"}  # settings that older run folders do not have: theirs is the default


def config_from_dict(values: dict[str, Any]) -> NetworkConfig:
    """Read a `NetworkConfig` from JSON values; raise `InputError` for a key that is missing or not known."""
    known = {field.name for field in fields(NetworkConfig)}
    if not isinstance(values, dict) or not known - _LATER <= set(values) <= known:  # pyright: ignore[reportUnnecessaryIsInstance]  # JSON
        raise InputError(f"a network config has the keys {', '.join(sorted(known))}; got {values!r}.")
    lists = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    try:
        return NetworkConfig(**lists)  # type: ignore[arg-type]  # checked as it is built
    except TypeError as error:
        raise InputError(f"cannot build a network from {values}: {error}") from error
