"""What an attribution returns, with what it was made by; saved to one file and read back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from imagrad import runs
from imagrad.complexstep.certificate import Certificate
from imagrad.errors import CorruptDataError

RAW_UNITS = "code units per unit of pixel value"
"""What maps are measured in, unless latents were rescaled, or something other than an encoder was explained."""


@dataclass(frozen=True)
class SaliencyResult:
    """Saliency maps of a batch of images, and how they were made."""

    maps: torch.Tensor
    """Column norms of the Jacobian, (n, *input), >= 0; NaN at features that were not asked for."""
    codes: torch.Tensor
    """The encoder's output for each image, (n, q)."""
    images: torch.Tensor
    """What was explained, (n, *input)."""
    engine: str
    """What computed the derivatives."""
    norm: str = "l2"
    """How the derivatives of all latents with respect to one feature became one number."""
    step: float = 0.0
    """The step h of Eq. 2; 0 for the engines that have it divided out."""
    kinks: str = "ad"
    """Which derivative was taken where there is none."""
    ties: dict[str, int] = field(default_factory=dict[str, int])
    """How often an operation stood exactly at a kink, where it has no derivative, by operation."""
    certificate: Certificate | None = None
    """The independent check of the derivatives; None when it was not wanted."""
    units: str = RAW_UNITS
    """What the values are measured in, as figures say it. Whoever weighs the latents says so here."""

    def save(self, path: str | Path) -> None:
        """Write everything to one safetensors file, atomically; raises `StorageError`."""
        facts = {"engine": self.engine, "norm": self.norm, "step": self.step, "kinks": self.kinks, "ties": self.ties}
        units = {} if self.units == RAW_UNITS else {"units": self.units}
        certificate = None if self.certificate is None else self.certificate.as_dict()
        runs.write_tensors(
            Path(path), self._tensors(), {"kind": "saliency", **facts, **units, "certificate": certificate}
        )

    def _tensors(self) -> dict[str, torch.Tensor]:
        return {"maps": self.maps, "codes": self.codes, "images": self.images}


def load_result(path: str | Path) -> SaliencyResult:
    """Read what `SaliencyResult.save` wrote; raises `CorruptDataError` for anything else."""
    tensors, facts = runs.read_tensors(Path(path))
    if facts.pop("kind", None) != "saliency" or set(tensors) != {"maps", "codes", "images"}:
        raise CorruptDataError(f"{path} holds no saliency result; it holds {', '.join(tensors) or 'nothing'}.")
    known: dict[str, Any] = facts
    certificate = known.pop("certificate", None)
    return SaliencyResult(
        **tensors, **known, certificate=None if certificate is None else Certificate.from_dict(certificate)
    )
