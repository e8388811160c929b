"""Autoencoders by configuration: the symmetric dense network of section 5.2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import nn

from imagrad.errors import ImageError, InputError
from imagrad.registry import Registry

NETWORKS: Registry[type[DenseAutoencoder]] = Registry("network")


@dataclass(frozen=True)
class NetworkConfig:
    """What it takes to build an autoencoder: which one, and its sizes."""

    network: str = "dense"
    image_shape: tuple[int, int, int] = (1, 28, 28)
    hidden: tuple[int, ...] = (128,)
    latents: int = 32

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be."""
        sizes = (*self.image_shape, *self.hidden, self.latents)
        if len(self.image_shape) != 3 or any(size < 1 for size in sizes):
            raise InputError(
                "`image_shape` must be (channels, height, width) and all sizes positive; got "
                f"image_shape={self.image_shape}, hidden={self.hidden}, latents={self.latents}."
            )

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self) | {"image_shape": list(self.image_shape), "hidden": list(self.hidden)}


@NETWORKS.register("dense")
class DenseAutoencoder(nn.Module):
    """A symmetric dense autoencoder: m - hidden - q - hidden - m, weights not tied (section 5.2 of the paper).

    ReLU after every layer but the last, the code's included; a sigmoid gives the pixels (Eq. 3 and 10).
    Weights start Glorot-uniform, biases at 0. The paper does not say how its own start.
    """

    def __init__(self, config: NetworkConfig) -> None:
        """Build the network with weights from torch's global generator."""
        super().__init__()
        self.config = config
        widths = (prod(config.image_shape), *config.hidden, config.latents)
        self.encoder = nn.Sequential(nn.Flatten(), *_layers(widths), nn.ReLU())
        self.decoder = nn.Sequential(*_layers(widths[::-1]))  # ends in logits; `decode` adds the sigmoid

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (n, channels, height, width) to codes (n, q); raise `ImageError` for another shape."""
        if tuple(images.shape[1:]) != self.config.image_shape:
            raise ImageError(
                f"`images` must have shape (n, {', '.join(str(size) for size in self.config.image_shape)}); "
                f"got {tuple(images.shape)}."
            )
        return self.encoder(images)

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Reconstruct up to the sigmoid, which the cross-entropy takes in itself: exact where a pixel saturates."""
        return self._shaped(self.decoder(self.encode(images)))

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Map codes (n, q) to images (n, channels, height, width) in [0, 1]."""
        return torch.sigmoid(self._shaped(self.decoder(codes)))

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        """Encode and decode."""
        return self.decode(self.encode(images))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Reconstruct, as `reconstruct`."""
        return self.reconstruct(images)

    def _shaped(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.unflatten(1, self.config.image_shape)  # (n, channels, height, width)


def _layers(widths: Sequence[int]) -> list[nn.Module]:
    """Stack linear layers of these widths with a ReLU between each two."""
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(widths):
        linear = nn.Linear(wide, narrow)
        nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    return layers[:-1]


def build(config: NetworkConfig, seed: int) -> DenseAutoencoder:
    """Build the network that `config` names; its weights depend on `seed` alone."""
    network = NETWORKS[config.network]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network(config)


def config_from_dict(values: dict[str, Any]) -> NetworkConfig:
    """Read a `NetworkConfig` from JSON values; raise `InputError` for a key that is missing or not known."""
    known = {field.name for field in fields(NetworkConfig)}
    if not isinstance(values, dict) or set(values) != known:  # pyright: ignore[reportUnnecessaryIsInstance]  # JSON
        raise InputError(f"a network config has the keys {', '.join(sorted(known))}; got {values!r}.")
    lists = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    try:
        return NetworkConfig(**lists)  # type: ignore[arg-type]  # checked as it is built
    except TypeError as error:
        raise InputError(f"cannot build a network from {values}: {error}") from error
