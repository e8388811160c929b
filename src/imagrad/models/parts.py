"""The parts of an autoencoder that can be explained: encoder, decoder, and both together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from imagrad.complexstep.points import check_choice
from imagrad.errors import EncoderError, InputError

Map = Callable[[torch.Tensor], torch.Tensor]

PARTS = ("encoder", "decoder", "end-to-end")
OUTPUTS = ("mean", "log-variance")
"""What an encoder gives: the code, of a variational one its mean, never a draw; or the log-variance of the code."""

_UNITS = {
    ("encoder", "mean", "raw"): "code units per unit of pixel value",
    ("encoder", "mean", "spread"): "standard deviations per unit of pixel value",
    ("encoder", "log-variance", "raw"): "log-variance per unit of pixel value",
    ("encoder", "log-variance", "spread"): "standard deviations of the log-variance per unit of pixel value",
    ("decoder", "mean", "raw"): "pixel value per unit of the latent",
    ("decoder", "mean", "spread"): "pixel value per standard deviation of the latent",
    ("end-to-end", "mean", "raw"): "pixel value per unit of pixel value",
}


class Autoencoding(Protocol):
    """What can be taken apart: `imagrad.load()`, or any network with these methods."""

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (n, *input) to codes (n, q)."""
        ...

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Map codes (n, q) to images (n, *input)."""
        ...

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        """Encode and decode."""
        ...


@dataclass(frozen=True)
class Part:
    """A part of an autoencoder as a function of a batch, for `imagrad.saliency` and its like."""

    name: str
    of: str
    function: Map
    """Images to codes, codes to images, or images to images."""
    encode: Map
    """Images to codes, of a variational autoencoder their means."""
    log_variance: Map | None
    """Images to the log-variances of a gaussian code; None for other codes."""

    @property
    def takes_codes(self) -> bool:
        """Whether it is differentiated with respect to latents, not pixels."""
        return self.name == "decoder"

    def points(self, images: torch.Tensor) -> torch.Tensor:
        """Return what it is differentiated at: the images, or for a decoder their codes."""
        if not self.takes_codes:
            return images
        with torch.no_grad():
            return self.encode(images)

    def label(self, units: str) -> str:
        """Say what a derivative is measured in; raise `InputError` for units that it cannot have."""
        check_choice("units", units, ("raw", "spread"))
        if (self.name, self.of, units) not in _UNITS:
            raise InputError(
                "`units` of the part end-to-end can only be raw: pixels go in and come out, and rescaling a latent "
                "changes nothing. Leave `units` as they are, or explain the encoder or the decoder."
            )
        return _UNITS[self.name, self.of, units]


def part_of(autoencoder: Autoencoding, name: str = "encoder", of: str = "mean") -> Part:
    """Take a part out of an autoencoder: "encoder", "decoder", or "end-to-end" (pixels to reconstruction).

    `of` says what the encoder of a variational autoencoder gives, "mean" or "log-variance"; neither is a draw.
    Raises `InputError` for another name, or for a log-variance of another part, `EncoderError` where the code has none.
    """
    check_choice("part", name, PARTS)
    check_choice("of", of, OUTPUTS)
    log_variance = _log_variance(autoencoder)
    if of == "log-variance" and name != "encoder":
        raise InputError(f"`of` says what the encoder gives; the part {name} takes the mean. Leave `of` as it is.")
    if of == "log-variance" and log_variance is None:
        raise EncoderError(
            "only a gaussian code has a variance, and this network's code is another. "
            "A variational autoencoder has one: imagrad train --variant variational."
        )
    functions: dict[str, Map] = {"decoder": autoencoder.decode, "end-to-end": autoencoder.reconstruct}
    encoder = log_variance if of == "log-variance" and log_variance is not None else autoencoder.encode
    return Part(name, of, functions.get(name, encoder), autoencoder.encode, log_variance)


def _log_variance(autoencoder: Autoencoding) -> Map | None:
    """Return the method that gives it; None where the network says that its code is no gaussian one."""
    config = getattr(autoencoder, "config", None)
    gaussian = getattr(config, "code", "gaussian") == "gaussian"
    return getattr(autoencoder, "log_variance", None) if gaussian else None
