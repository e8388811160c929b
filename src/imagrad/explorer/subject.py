"""What is explored: one or two networks, images to start from, and a classifier where there is one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from imagrad.attribution.encoders import plain_codes
from imagrad.attribution.units import Spread, spread_of
from imagrad.complexstep.preflight import Preflight, preflight
from imagrad.data.sources import Dataset, shape_text
from imagrad.errors import DerivativeError, ImageError
from imagrad.explorer.curves import Curve
from imagrad.models.classifiers import Classifier
from imagrad.models.opening import Network

Map = Callable[[torch.Tensor], torch.Tensor]

_SPREAD_IMAGES = 500  # enough for quantiles of 5 %
_LOOKED_AT = 8
_CHANNELS = (1, 3)


@dataclass(frozen=True)
class Explored:
    """A network that is explored, and what was found out about it before anybody looks."""

    name: str
    encode: Map
    decode: Map | None
    latents: int
    spread: Spread | None
    """How far each latent moves over the images; None where there is only one image."""
    preflight: Preflight
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subject:
    """Everything that the pages of one server are about."""

    networks: tuple[Explored, ...]
    """One, or two that are compared."""
    dataset: Dataset
    shape: tuple[int, int, int]
    """(channels, height, width) of every image here."""
    device: str = "cpu"
    classifier: Classifier | None = None
    curve: Curve | None = None
    """Fig. 11 as a check measured it before."""

    @property
    def can_measure_curve(self) -> bool:
        """Whether there is what the curve of Fig. 11 is made of: a classifier, and images that have its labels."""
        classifier, labels = self.classifier, self.dataset.labels
        return classifier is not None and labels is not None and classifier.shape.classes == self.dataset.label_names


def explored(network: Network, dataset: Dataset, device: str, largest: int) -> Explored:
    """Look at a network before it is explored, and compute its first map, which takes the longest.

    Raises `ImageError` where it takes no pictures, of at most `largest` numbers; `DerivativeError` where its preflight
    finds what makes derivatives meaningless, and whatever `imagrad.saliency` raises.
    """
    from imagrad.attribution.saliency import saliency

    check_shape(dataset.image_shape, largest)
    images = dataset.images(0, _SPREAD_IMAGES).to(device)
    found = preflight(network.encode, images[:_LOOKED_AT])
    if not found.passed:
        raise DerivativeError(str(found))
    with torch.no_grad():
        codes = torch.cat([plain_codes(network.encode, some, (), None).flatten(1) for some in images.split(64)])
    saliency(network.encode, images[:1])
    autoencoder = network.autoencoder
    return Explored(
        network.name, network.encode, None if autoencoder is None else autoencoder.decode, codes.shape[1],
        spread_of(codes) if len(codes) > 1 else None, found, network.notes,
    )  # fmt: skip


def check_shape(shape: tuple[int, int, int], largest: int) -> None:
    """Raise `ImageError` for what cannot be drawn: other channels than 1 or 3, an image too large or too small."""
    channels, height, width = shape
    if channels not in _CHANNELS:
        raise ImageError(
            f"the explorer draws images of 1 or 3 channels; these are {shape_text(shape)}. "
            "imagrad explain takes them, and imagrad.saliency from Python."
        )
    if min(height, width) < 2 or channels * height * width > largest:
        raise ImageError(
            f"the explorer takes images of at least 2 x 2 and at most {largest:,} numbers; these are "
            f"{shape_text(shape)}. imagrad explain takes larger ones."
        )


def check_classifier(classifier: Classifier, shape: tuple[int, int, int]) -> None:
    """Raise `ImageError` where the classifier is for other images."""
    if classifier.shape.image_shape != shape:
        raise ImageError(
            f"the classifier takes images that are {shape_text(classifier.shape.image_shape)}; the network takes "
            f"{shape_text(shape)}. Name another with --classifier, or none."
        )
