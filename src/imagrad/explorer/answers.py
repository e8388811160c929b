"""Questions about one image, answered by imagrad's own functions."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from functools import cached_property

import torch

from imagrad.attribution.contract import METHODS
from imagrad.attribution.encoders import plain_codes
from imagrad.attribution.latent_maps import latent_maps
from imagrad.attribution.methods import attribute
from imagrad.attribution.results import RAW_UNITS
from imagrad.attribution.saliency import saliency
from imagrad.attribution.traversals import traverse
from imagrad.complexstep.certificate import Certificate
from imagrad.complexstep.derivatives import jvp
from imagrad.data.corruptions import CORRUPTIONS, check_level
from imagrad.errors import EncoderError, ImageError, InputError
from imagrad.explorer.limits import Limits
from imagrad.explorer.messages import (
    CertificateFacts,
    ChangeRequest,
    Choices,
    ExplainRequest,
    Explanation,
    Found,
    LatentFacts,
    LatentRequest,
    Picture,
    PixelFacts,
    PixelRequest,
    Share,
    Step,
)
from imagrad.explorer.pixels import packed, packed_floats, unpacked
from imagrad.explorer.remembered import Remembered
from imagrad.explorer.subject import Explored, Subject

_SURE = 3  # classes that are told
_STRONGEST = 8
_STEPS = 7


@dataclass(frozen=True)
class Computed:
    """A map and all that came with it, ready to be told."""

    saliency: torch.Tensor
    """(height, width)"""
    code: torch.Tensor
    """(q,)"""
    units: str
    engine: str
    ties: dict[str, int]
    findings: tuple[Found, ...]
    certificate: Certificate | None


@dataclass(frozen=True)
class Answers:
    """Answers about one subject; each raises `ImagradError` for what cannot be answered."""

    subject: Subject
    limits: Limits = field(default_factory=Limits)

    @cached_property
    def maps(self) -> Remembered[Computed]:
        """The last maps, so that moving a slider does not compute them again."""
        return Remembered(self.limits.remembered_maps)

    def image(self, pixels: str) -> torch.Tensor:
        """Read an image that was sent: (1, channels, height, width) in [0, 1]."""
        return unpacked(pixels, self.subject.shape).to(self.subject.device)

    def network(self, choices: Choices) -> Explored:
        """Return the network that is meant; raise `InputError` where there is no second one."""
        networks = self.subject.networks
        if choices.network >= len(networks):
            raise InputError(
                f"`network` must be below {len(networks)}; got {choices.network}. "
                "A second one to compare with is named when the server is started: --compare MODEL."
            )
        return networks[choices.network]

    def computed(self, choices: Choices, pixels: str) -> Computed:
        """Compute the map of an image, or find it among the last ones."""
        digest = hashlib.sha256(pixels.encode("utf-8", "surrogatepass")).digest()
        key = (choices.network, choices.method, choices.norm, choices.kinks, choices.certify, digest)
        return self.maps.get(key, lambda: compute(self.network(choices), choices, self.image(pixels)))

    def explain(self, asked: ExplainRequest) -> Explanation:
        """Explain an image."""
        began = time.perf_counter()
        found, network = self.computed(asked, asked.pixels), self.network(asked)
        return Explanation(
            code=found.code.tolist(), reconstruction=_reconstruction(network, found.code, self.subject.shape),
            saliency=packed_floats(found.saliency), largest=float(found.saliency.max()), units=found.units,
            engine=found.engine, ties=found.ties, findings=list(found.findings),
            certificate=told(found.certificate), verdict=self.verdict(self.image(asked.pixels)),
            milliseconds=1000 * (time.perf_counter() - began),
        )  # fmt: skip

    def latent(self, asked: LatentRequest) -> LatentFacts:
        """Look at one latent: the gradient of it alone, and a traversal where there is a decoder."""
        network, image = self.network(asked), self.image(asked.pixels)
        _check_index("latent", asked.latent, network.latents)
        certify = "sample" if asked.certify else "none"
        found = latent_maps(network.encode, image, [asked.latent], kinks=asked.kinks, certify=certify)
        gradient = found.maps[0, 0].sum(dim=0)
        code = _code(network, image)
        steps, why_not = _traversal(network, code, asked)
        return LatentFacts(
            latent=asked.latent, value=float(code[asked.latent]), gradient=packed_floats(gradient),
            largest=float(gradient.abs().max()), units=found.units, steps=steps, no_traversal=why_not,
            certificate=told(found.certificate),
        )  # fmt: skip

    def pixel(self, asked: PixelRequest) -> PixelFacts:
        """Look at one pixel: the column of the Jacobian for grey light, at the cost of one derivative."""
        network, image = self.network(asked), self.image(asked.pixels)
        _, height, width = self.subject.shape
        _check_index("row", asked.row, height)
        _check_index("column", asked.column, width)
        light = torch.zeros_like(image)
        light[..., asked.row, asked.column] = 1
        column = jvp(network.encode, image, light, kinks=asked.kinks)[1].flatten()  # (q,)
        strongest = torch.argsort(column.abs(), descending=True, stable=True)[:_STRONGEST].tolist()
        return PixelFacts(row=asked.row, column=asked.column, derivatives=column.tolist(), strongest=strongest)

    def change(self, asked: ChangeRequest) -> Picture:
        """Shift an image and put noise on it."""
        image = shifted(self.image(asked.pixels), asked.down, asked.right).cpu()
        check_level(asked.noise, asked.level)
        generator = torch.Generator().manual_seed(asked.seed)
        return Picture(pixels=packed(CORRUPTIONS[asked.noise](image, asked.level, generator)))

    @torch.no_grad()
    def verdict(self, image: torch.Tensor) -> list[Share] | None:
        """Say what the classifier sees, the likeliest first; None without one."""
        classifier = self.subject.classifier
        if classifier is None:
            return None
        shares = classifier(image)[0].double().softmax(dim=0)
        best = torch.argsort(shares, descending=True, stable=True)[:_SURE].tolist()
        return [Share(label=classifier.shape.classes[k], probability=float(shares[k])) for k in best]


def compute(network: Explored, choices: Choices, image: torch.Tensor) -> Computed:
    """Compute a map by the method that was chosen."""
    if choices.method == "saliency":
        result = saliency(
            network.encode, image, kinks=choices.kinks, norm=choices.norm,
            certify="sample" if choices.certify else "none",
        )  # fmt: skip
        return Computed(
            picture(result.maps), result.codes.flatten(1)[0], RAW_UNITS, result.engine, result.ties, (),
            result.certificate,
        )  # fmt: skip
    METHODS[choices.method]  # an unknown one is named, with those that there are
    other = attribute(network.encode, image, choices.method, norm=choices.norm)
    found = tuple(Found(kind=finding.kind, text=finding.text) for finding in other.findings)
    return Computed(
        picture(other.maps), other.codes.flatten(1)[0], f"attribution by {choices.method}", choices.method, {}, found,
        None,
    )  # fmt: skip


def picture(maps: torch.Tensor) -> torch.Tensor:
    """Return the map of one image (1, channels, height, width) as (height, width): the norm over the channels."""
    return maps[0].double().norm(dim=0)


def shifted(image: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """Move an image (..., height, width); what leaves it is lost, what is uncovered is black."""
    height, width = image.shape[-2:]
    moved = torch.zeros_like(image)
    if abs(down) < height and abs(right) < width:
        rows, columns = slice(max(0, down), height + min(0, down)), slice(max(0, right), width + min(0, right))
        old_rows, old_columns = (
            slice(max(0, -down), height - max(0, down)),
            slice(max(0, -right), width - max(0, right)),
        )
        moved[..., rows, columns] = image[..., old_rows, old_columns]
    return moved


def told(certificate: Certificate | None) -> CertificateFacts | None:
    """Put a certificate into a sentence."""
    if certificate is None:
        return None
    entries = sum(check.count for check in certificate.checks if "entries" in check.name)
    worst = max((check.worst for check in certificate.checks if check.limit), default=0.0)
    sentence = (
        f"{'Passed' if certificate.passed else 'FAILED'}: {entries} of the numbers were computed anew in complex "
        f"arithmetic, and more was tried; the worst was off by {worst:.1e} of the largest."
    )
    return CertificateFacts(passed=certificate.passed, sentence=sentence, text=str(certificate))


def _check_index(name: str, value: int, count: int) -> None:
    if value >= count:
        raise InputError(f"`{name}` must be from 0 to {count - 1}; got {value}.")


@torch.no_grad()
def _code(network: Explored, image: torch.Tensor) -> torch.Tensor:
    return plain_codes(network.encode, image, (), None).flatten(1)[0]


@torch.no_grad()
def _reconstruction(network: Explored, code: torch.Tensor, shape: tuple[int, int, int]) -> str | None:
    if network.decode is None:
        return None
    decoded = network.decode(code[None])[0]
    if tuple(decoded.shape) != shape:
        raise EncoderError(f"the decoder must return images of shape {shape}; it returned {tuple(decoded.shape)}.")
    if not torch.isfinite(decoded).all():
        raise ImageError("the reconstruction of this image has NaN or infinity. Look at the weights of the decoder.")
    return packed(decoded)


def _traversal(network: Explored, code: torch.Tensor, asked: LatentRequest) -> tuple[list[Step], str | None]:
    """Decode a traversal; where that cannot be, say why."""
    if network.decode is None:
        return [], f"{network.name} is known as an encoder alone: there is no decoder to paint a traversal."
    if network.spread is None:
        return [], "how far a latent moves is measured over at least 2 images: start the server with more, --data."
    found = traverse(network.decode, code, network.spread, [asked.latent], steps=_STEPS, span=asked.span)
    pairs = zip(found.values[0].tolist(), found.images[0], strict=True)
    return [Step(value=value, pixels=packed(image)) for value, image in pairs], None
