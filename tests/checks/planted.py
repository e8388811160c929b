"""Planted methods, factories and classifiers: perfect ones that a check must pass, spoilt ones that it must fail."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from imagrad.checks import corruption, locality, one_class, randomisation, translation  # noqa: F401  # they register
from imagrad.checks.material import Material
from imagrad.checks.options import (
    CorruptionOptions,
    LocalityOptions,
    OneClassOptions,
    RandomisationOptions,
    TranslationOptions,
)
from imagrad.checks.rankings import flipped
from imagrad.data.datasets import load_dataset
from imagrad.training.factory import one_by_one

# --- encoders ---


class Remembering(nn.Module):
    """An encoder that carries the mean of the images that it was made from."""

    def __init__(self, images):
        super().__init__()
        self.register_buffer("mean", images.mean(dim=0))
        self.linear = nn.Linear(self.mean.numel(), 3)

    def forward(self, images):
        return self.linear(images.flatten(1))


class Weighted(nn.Module):
    """An encoder whose first weights are the images that it was made from, less their mean."""

    def __init__(self, images):
        super().__init__()
        pixels = images.flatten(1)[:200]
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(pixels.shape[1], len(pixels)), nn.ReLU(), nn.Linear(200, 4))
        with torch.no_grad():
            self.layers[1].weight.copy_(pixels - pixels.mean(dim=0))

    def encode(self, images):
        return self.layers(images)


def seeded(build, images):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(images).eval().requires_grad_(False)


def remembering(data_dir=None):
    """A factory: one encoder a lesson, which knows the mean of the lesson's images."""
    return one_by_one(lambda images: seeded(Remembering, images), data_dir)


# --- perfect methods ---


def remembered(encoder, images, seed):
    """The mean of the images that the encoder was made from, a little brighter from image to image."""
    brightness = torch.linspace(1, 1.1, len(images))[:, None, None, None]
    return encoder.mean * brightness


def column_norms(encoder, images, seed):
    """How strongly each pixel is weighted by the first layer: a gradient-like map."""
    first = next(layer for layer in encoder.__self__.modules() if isinstance(layer, nn.Linear))
    return first.weight.norm(dim=0).view(images.shape[1:]).expand(images.shape)


def bump(encoder, images, seed):
    """The same smooth map for all, a little brighter from image to image."""
    height, width = images.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    one = torch.exp(-((rows - height / 2) ** 2 + (columns - width / 3) ** 2) / 8)
    return one * torch.linspace(1, 2, len(images))[:, None, None, None].expand(images.shape)


def occlusion(encoder, images, seed):
    """The greedy ranking of the pixels by the classifier below."""
    return torch.from_numpy(greedy_ranking()).float().expand(images.shape)


# --- a classifier, and the best ranking for it ---


@cache
def linear_classifier():
    """Least squares from the 64 pixels of the digits to their class: right on 86 % of the test digits."""
    train = load_dataset("digits:train")
    pixels = torch.cat([train.images().flatten(1), torch.ones(len(train), 1)], dim=1).double()
    wanted = nn.functional.one_hot(train.labels, 10).double()
    weights = torch.linalg.solve(pixels.T @ pixels + torch.eye(65), pixels.T @ wanted)
    return lambda images: images.flatten(1).double() @ weights[:-1] + weights[-1]


@cache
def greedy_ranking():
    """Rank pixels one by one: from above what hurts the accuracy most, from below what hurts it least; (8, 8)."""
    test = load_dataset("digits:test")
    images, labels, classifier = test.images(), test.labels, linear_classifier()
    places = np.zeros(64)
    for sign in (1, -1):
        chosen: list[int] = []
        for step in range(20):
            free = [pixel for pixel in range(64) if pixel not in chosen and places[pixel] == 0]
            tried = [classifier(flipped(images, np.array([*chosen, pixel]))) for pixel in free]
            hurt = [sign * float((logits.argmax(1) != labels).double().mean()) for logits in tried]
            chosen.append(free[int(np.argmax(hurt))])
            places[chosen[-1]] = sign * (20 - step)
    return places.reshape(8, 8) + 20


# --- spoilt methods ---


def shuffled(explain):
    """Put each map's pixels in a random order of its own."""

    def spoilt(encoder, images, seed):
        maps, generator = explain(encoder, images, seed).flatten(1), torch.Generator().manual_seed(seed)
        orders = torch.stack([torch.randperm(maps.shape[1], generator=generator) for _ in maps])
        return maps.gather(1, orders).view(images.shape)

    return spoilt


def constant(explain):
    return lambda encoder, images, seed: torch.ones_like(images)


def noise(explain):
    """Random numbers that depend on the seed and on an image's place in the batch."""
    return lambda encoder, images, seed: torch.rand(images.shape, generator=torch.Generator().manual_seed(seed))


SPOILT = {"shuffled": shuffled, "constant": constant, "noise": noise}


# --- a perfect method for each check ---


@dataclass(frozen=True)
class Planted:
    """What a check must pass: a material with a perfect method, and options that are quick."""

    make: Callable[[], Material]
    options: Any

    def material(self, spoil=None, **changes):
        material = replace(self.make(), **changes)
        return replace(material, explain=spoil(material.explain)) if spoil else material


def _randomised():
    encoder = seeded(Weighted, load_dataset("digits:train").images()).encode
    factory = one_by_one(lambda images: seeded(Weighted, images).encode)
    return Material("digits", "column norms", column_norms, factory=factory, encoder=encoder)


def _corrupted():
    encoder = seeded(Remembering, load_dataset("digits:train").images())
    return Material("digits", "greedy occlusion", occlusion, encoder=encoder, classifier=linear_classifier())


def _local():
    return Material("digits", "bump", bump, encoder=nn.Flatten())


def _taught():
    return Material("digits", "training mean", remembered, factory=remembering())


PLANTED = {
    "one-class": Planted(_taught, OneClassOptions(images=20)),
    "translation": Planted(_taught, TranslationOptions(images=20)),
    "corruption": Planted(_corrupted, CorruptionOptions(images=20, local_maps=3, least_clean_accuracy=0.8)),
    "randomisation": Planted(_randomised, RandomisationOptions(images=20)),
    "locality": Planted(_local, LocalityOptions(images=20)),
}
"""By check; a check that is not here has no test that it can be passed and failed."""
