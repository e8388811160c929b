"""What maps of column norms are timed on: a network, images, the arithmetic needed, and a twin in JAX."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from networks import resnet18
from torch import nn

import imagrad
from imagrad.errors import MissingDataError
from imagrad.registry import Registry

PROBLEMS: Registry[Callable[[int], Problem]] = Registry("benchmark problem", listed=False)
"""From a number of images, 0 for the usual one, to the problem."""

_ROUNDS = 12


@dataclass(frozen=True)
class Product:
    """The matrix product that a layer is: (rows, inner) times (inner, columns) for each image, backwards."""

    rows: int
    inner: int
    columns: int


@dataclass(frozen=True, eq=False)
class Problem:
    """A network and images for it."""

    name: str
    encoder: Callable[[torch.Tensor], torch.Tensor]
    net: nn.Module
    """The layers of which the encoder is made."""
    images: torch.Tensor

    @cached_property
    def latents(self) -> int:
        """How many there are."""
        with torch.no_grad():
            return self.encoder(self.images[:1]).shape[1]

    def of_one(self, image: torch.Tensor) -> torch.Tensor:
        """Encode one image, (*input): (q,)."""
        return self.encoder(image[None])[0]

    def products(self) -> list[Product]:
        """List the products of a row of the Jacobian: one a layer but the last, of which a row of weights is taken."""
        found: list[Product] = []

        def watch(layer: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            if isinstance(layer, nn.Linear):
                found.append(Product(1, layer.out_features, layer.in_features))
            elif isinstance(layer, nn.Conv2d):
                places, kernel = output[0, 0].numel(), layer.kernel_size[0] * layer.kernel_size[1]
                found.append(Product(places, layer.out_channels, layer.in_channels * kernel))

        hooks = [layer.register_forward_hook(watch) for layer in self.net.modules()]
        with torch.no_grad():
            self.net(self.images[:1])
        for hook in hooks:
            hook.remove()
        return found[:-1]

    def floor(self) -> float:
        """Return the seconds that the arithmetic of one image takes at the rate of matrix products of its shapes."""
        products = self.products()
        rates = {product: _rate(product, self.images) for product in set(products)}
        operations = (2 * product.rows * product.inner * product.columns / rates[product] for product in products)
        return self.latents * sum(operations)

    def in_jax(self, images: torch.Tensor, size: int) -> torch.Tensor:
        """Return the maps by JAX, so many images at a time; raise `ImportError` where it is not installed."""
        from map_in_jax import maps_of

        return maps_of(self.net, images, size)


def _rate(product: Product, like: torch.Tensor) -> float:
    """Measure the operations a second of a product with at least 1024 rows."""
    rows = max(1024, product.rows)
    left, right = (like.new_ones(*shape) for shape in ((rows, product.inner), (product.inner, product.columns)))
    result, best = like.new_empty(rows, product.columns), float("inf")
    for _ in range(_ROUNDS):
        synchronise(like.device)
        begin = time.perf_counter()
        torch.mm(left, right, out=result)
        synchronise(like.device)
        best = min(best, time.perf_counter() - begin)
    return 2 * rows * product.inner * product.columns / best


def synchronise(device: torch.device) -> None:
    """Wait until an accelerator has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@PROBLEMS.register("paper")
def paper(count: int) -> Problem:
    """Take the network that ships with imagrad, trained as in the paper, and the test images of MNIST."""
    auto = imagrad.load().requires_grad_(False)  # else the peers keep a graph for the weights too
    try:
        images = imagrad.load_dataset(f"mnist:test[:{count or 10_000}]").images()
        name = "784-128-32, MNIST"
    except MissingDataError:
        images, name = _random(count or 10_000, 1, 28), "784-128-32, random images"
    return Problem(name, auto.encode, auto.encoder, images)


@PROBLEMS.register("conv-28")
def conv_28(count: int) -> Problem:
    """Take a convolutional network on images of 1 x 28 x 28."""
    return _convolutional(1, 28, count or 256)


@PROBLEMS.register("conv-64")
def conv_64(count: int) -> Problem:
    """Take a convolutional network on images of 3 x 64 x 64."""
    return _convolutional(3, 64, count or 64)


@PROBLEMS.register("resnet")
def resnet(count: int) -> Problem:
    """Take a ResNet-18 with 512 latents on images of 3 x 224 x 224."""
    net = _settled(resnet18(64, 512), _random(2, 3, 224))
    return Problem("ResNet-18, 3 x 224 x 224, q = 512", net, net, _random(count or 1, 3, 224))


def _convolutional(channels: int, side: int, count: int) -> Problem:
    layers = [
        *(nn.Conv2d(channels, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * (side // 4) ** 2, 64)),
    ]
    net = _settled(nn.Sequential(*layers), _random(64, channels, side))
    return Problem(f"conv, {channels} x {side} x {side}, q = 64", net, net, _random(count, channels, side))


def _settled(net: nn.Module, images: torch.Tensor) -> nn.Module:
    """Give batch normalisation statistics, and seeded weights, so that all runs have the same network."""
    torch.manual_seed(0)
    for layer in net.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.reset_parameters()
    with torch.no_grad():
        net.train()(images)
    return net.eval().requires_grad_(False)


def _random(count: int, channels: int, side: int) -> torch.Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(side))
