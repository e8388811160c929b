"""Certificates of saliency maps: entries of the very maps that are returned, computed anew by other means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from imagrad.attribution.blocks import Block, Options
from imagrad.complexstep.certificate import Certificate, Check, Entries, certify
from imagrad.complexstep.selection import Latents
from imagrad.errors import DerivativeError

Reduce = Callable[[torch.Tensor], torch.Tensor]
"""Derivatives of all latents (k, q) -> map values (k,)."""

CERTIFY = ("sample", "full", "none")

_FEWEST, _MOST = 8, 64
_FEWEST_LARGE, _LARGE = 4, 43_690  # of a network whose largest tensor has more numbers: each takes long
_SHARE = 400  # one entry for so many passes that the maps cost
_EACH = 16  # entries of every image, when all are asked for
_LOOKED_AT = 2  # images at which the engine is compared along random directions


def checked(certificate: Certificate) -> Certificate:
    """Return a certificate; raise `DerivativeError` when it failed."""
    if not certificate.passed:
        failed = "; ".join(str(check) for check in certificate.checks if not check.passed)
        raise DerivativeError(
            f"the maps must agree with derivatives taken by other means; they do not, and are not returned. {failed}. "
            "In float32, rounding may be too much for this network: ask for dtype=torch.float64. If that fails too, "
            'please report it; imagrad.certify says more, and certify="none" returns the maps unchecked.'
        )
    return certificate


def certificate_of(
    block: Block, maps: torch.Tensor, images: torch.Tensor, options: Options, norm: str, seed: int, *, full: bool,
    ties: Counter[str],
) -> Certificate:  # fmt: skip
    """Check maps (n, *input) of images, and the engine that computed them; `block` is the last that it worked on.

    Entries are sampled in proportion to what the maps cost, 8 to 64 of them, of very large networks from 4, half of
    them at the largest value of their map; when `full`, 16 of every image.
    """
    sample = _sampled(block, maps.flatten(1), options.features, torch.Generator().manual_seed(seed), full=full)
    entries = list(_entries(block, maps.flatten(1), images, options, sample, reduction(options.latents, norm)))
    look = slice(0, block.exact.batch or _LOOKED_AT)
    exact = block.exact_task(block.images[look], tuple(x[look] for x in block.held))
    engine = replace(block.task.at(look), settings=replace(block.task.settings, engine=block.engine))
    found = certify(exact, block.codes[look], engine, entries, dict(ties), seed)
    return replace(found, checks=(*found.checks, _check_range(maps, options.features)))


@dataclass(frozen=True)
class _Sample:
    """Entries to be computed anew: the place of the image, the pixel, and the largest value of the map, of each."""

    images: torch.Tensor
    features: torch.Tensor
    largest: torch.Tensor


def _sampled(
    block: Block, maps: torch.Tensor, mask: torch.Tensor | None, generator: torch.Generator, *, full: bool
) -> _Sample:
    """Pick entries: every other one where its map is largest, the rest at random among the pixels asked for."""
    passes = len(maps) * min(len(block.features), 2 * len(block.selection.indices))
    fewest = _FEWEST if max(block.exact.graph.sizes) <= _LARGE else _FEWEST_LARGE
    count = max(fewest, min(_MOST, passes // _SHARE))
    which = torch.arange(len(maps)).repeat_interleave(_EACH) if full else (
        torch.randint(len(maps), (count,), generator=generator)
    )  # fmt: skip
    batch = block.exact.batch or 1
    which = which.repeat(batch)[: -(-len(which) // batch) * batch]  # whole batches, if it takes nothing else
    asked = torch.arange(maps.shape[1]) if mask is None else mask.flatten().nonzero()[:, 0].cpu()
    picked = asked[torch.randint(len(asked), (len(which),), generator=generator)]
    some, back = which.unique(return_inverse=True)
    largest, where = maps[some.to(maps.device)].nan_to_num(-torch.inf).max(1)
    features = torch.where(torch.arange(len(which)) % 2 == 0, where.cpu()[back], picked)
    return _Sample(which, features, largest.cpu()[back])


def _entries(
    block: Block, maps: torch.Tensor, images: torch.Tensor, options: Options, sample: _Sample, reduce: Reduce
) -> Iterator[Entries]:
    """Put the entries together, as many at a time as fit into the memory."""
    device = block.task.point.device
    for part in torch.arange(len(sample.images)).split(block.exact.batch or block.exact_at_once):
        which, features = sample.images[part], sample.features[part].to(device)
        own = block.exact_task(*_rows(images, options.held, which))
        returned = maps[which.to(maps.device), features.to(maps.device)].to(device)
        yield Entries(own.point, own.held, features, returned, sample.largest[part].to(device), reduce)


def _rows(
    images: torch.Tensor, held: tuple[torch.Tensor, ...], which: torch.Tensor
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    return images[which.to(images.device)], tuple(x[which.to(x.device)] for x in held)


def _check_range(maps: torch.Tensor, mask: torch.Tensor | None) -> Check:
    """Count the entries of all maps that are no finite numbers >= 0 where these were asked for, or are elsewhere."""
    if mask is None:
        low, high = torch.aminmax(maps)
        wrong = 0 if low >= 0 and high < torch.inf else int((~(maps.isfinite() & (maps >= 0))).sum())
    else:
        asked = mask.to(maps.device).expand_as(maps)
        wrong = int((asked != (maps.isfinite() & (maps >= 0))).sum())
    return Check("values of the maps that are not finite and >= 0", wrong == 0, wrong, 0.0, maps.numel())


def reduction(latents: Latents, norm: str) -> Reduce:
    """Return the map value that derivatives of all latents (k, q) should give, written anew: (k,)."""
    powers = {"l2": 2.0, "l1": 1.0, "max": float("inf")}
    numbers = None if latents is None else torch.as_tensor(
        latents.detach().cpu() if isinstance(latents, torch.Tensor) else np.asarray(latents)
    )  # fmt: skip

    def reduce(columns: torch.Tensor) -> torch.Tensor:
        if numbers is not None:
            chosen = numbers.to(columns.device)
            columns = columns * chosen if chosen.is_floating_point() else columns[:, chosen]
        return torch.linalg.vector_norm(columns, powers[norm], dim=1)

    return reduce
