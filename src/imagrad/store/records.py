"""What is told of each block, and of all of them together."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from imagrad.complexstep.certificate import Certificate


@dataclass(frozen=True)
class Record:
    """What was met in a block; it is written last, so that a block with a record is done."""

    images: int
    images_sha256: str
    """Of the pixels of those images that could be read, as the network saw them."""
    missing: dict[str, str] = field(default_factory=dict[str, str])
    """Why images could not be read, by name."""
    ties: dict[str, int] = field(default_factory=dict[str, int])
    """How often an operation stood exactly at a kink."""
    certificate: dict[str, Any] | None = None
    """The checks of the block's certificate; None where none was wanted, or no image could be read."""

    def as_text(self) -> str:
        """Write it as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False)

    @staticmethod
    def from_text(text: str) -> Record:
        """Read what `as_text` wrote; raises `ValueError` and `TypeError` for anything else."""
        return Record(**json.loads(text))


def short_certificate(certificate: Certificate | None) -> dict[str, Any] | None:
    """Return what differs from block to block in a certificate: checks, notes and the nearest kink."""
    if certificate is None:
        return None
    whole = certificate.as_dict()
    return {name: whole[name] for name in ("passed", "checks", "by_formula", "nearest_kink", "notes")}


def joined(certificates: Iterable[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """Put certificates together: the worst of each check, and how many numbers it saw; None when there are none."""
    found = [certificate for certificate in certificates if certificate is not None]
    if not found:
        return None
    checks: dict[str, dict[str, Any]] = {}
    for check in (check for certificate in found for check in certificate["checks"]):
        known = checks.setdefault(check["name"], {**check, "count": 0, "worst": 0.0})
        known["count"] += check["count"]
        known["passed"] = known["passed"] and check["passed"]
        known["worst"] = None if None in (known["worst"], check["worst"]) else max(known["worst"], check["worst"])
        known["limit"] = max(known["limit"], check["limit"])
    nearest = [one["nearest_kink"] for one in found if one["nearest_kink"] is not None]
    return {
        "passed": all(one["passed"] for one in found),
        "checks": list(checks.values()),
        "by_formula": sorted({name for one in found for name in one["by_formula"]}),
        "nearest_kink": min(nearest, default=None),
        "notes": sorted({note for one in found for note in one["notes"]}),
    }


def summary_of(records: Iterable[Record]) -> dict[str, Any]:
    """Put the records of all blocks together; they are given in order."""
    ties: Counter[str] = Counter()
    digest, missing, images = hashlib.sha256(), 0, 0
    certificates: list[Mapping[str, Any] | None] = []
    for record in records:
        ties.update(record.ties)
        digest.update(record.images_sha256.encode())
        missing += len(record.missing)
        images += record.images
        certificates = [joined([*certificates, record.certificate])]
    return {
        "images": images,
        "missing": missing,
        "images_sha256": digest.hexdigest(),  # of the hashes of the blocks, so that blocks can be read in any order
        "ties": dict(sorted(ties.items())),
        "certificate": certificates[0] if certificates else None,
    }
