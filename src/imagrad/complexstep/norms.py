"""Norms of Jacobian columns, taken block by block: the Jacobian itself is never held."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch

from imagrad.complexstep import compiled
from imagrad.complexstep.derivatives import flat_codes, of_features, prepare
from imagrad.complexstep.engines import Task, checked_finite, column_blocks, recording, value_and_pull
from imagrad.complexstep.first_product import FirstProduct, features_first
from imagrad.complexstep.functions import Function, Output
from imagrad.complexstep.points import DEFAULT_STEP, Settings
from imagrad.complexstep.rows import row_blocks
from imagrad.errors import InputError
from imagrad.registry import Registry

Latents = Sequence[int] | torch.Tensor | None
"""Indices of the latents that count, or one weight for each; None: all."""


@dataclass(frozen=True)
class Norm:
    """How the derivatives of all latents with respect to one feature become one number, part by part."""

    along: Callable[[torch.Tensor, int], torch.Tensor]
    """Of all latents, along an axis."""
    add: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """To what the latents before have given, at first zeros, add what one more gives, in place."""
    finish: Callable[[torch.Tensor], torch.Tensor]
    summary: str
    compiled: str = ""
    """Its name in `compiled`, where it is added up faster; empty: it is not there."""


_IMAGES = 256
"""Images whose rows are added up at a time: of more, sums leave the cache, and fewer hidden units are dead in all."""

_FEW = 2**18
"""Numbers of a Jacobian that is small enough to be held, which saves a call for each of its rows."""

NORMS: Registry[Norm] = Registry("norm")
NORMS.register("l2")(
    Norm(
        lambda d, axis: (d * d).sum(axis), lambda total, d: total.addcmul_(d, d), lambda s: _root(s),
        "Root of the sum of squares: Eq. 12.", "l2",
    )
)  # fmt: skip
NORMS.register("l1")(
    Norm(
        lambda d, axis: d.abs().sum(axis), lambda total, d: total.add_(d.abs()), lambda s: s,
        "Sum of absolute values.", "l1",
    )
)  # fmt: skip
NORMS.register("max")(
    Norm(
        lambda d, axis: d.abs().amax(axis), lambda total, d: total.clamp_min_(d.abs()), lambda s: s,
        "Largest absolute value.", "max",
    )
)  # fmt: skip


def _root(squares: torch.Tensor) -> torch.Tensor:
    """Square root whose own derivative at 0 is 0, so that a feature without influence does not ruin a gradient."""
    if not squares.requires_grad:
        return squares.sqrt()
    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, torch.ones_like(squares)).sqrt(), squares)


@dataclass(frozen=True)
class Selection:
    """The latents that count: which, and with what weight."""

    indices: torch.Tensor
    weights: torch.Tensor | None = None

    def of(self, derivatives: torch.Tensor) -> torch.Tensor:
        """Pick and weigh along the last axis of `derivatives` (..., q)."""
        whole = len(self.indices) == derivatives.shape[-1]
        picked = derivatives if whole and self.weights is not None else derivatives[..., self.indices]
        return picked if self.weights is None else picked * self.weights.to(picked)


def select(latents: Latents, count: int, device: torch.device) -> Selection:
    """Check `latents`; raise `InputError` unless they are different indices below `count`, or `count` weights."""
    if latents is None:
        return Selection(torch.arange(count, device=device))
    numbers = latents.detach() if isinstance(latents, torch.Tensor) else np.asarray(latents)
    if isinstance(numbers, np.ndarray) and numbers.dtype.kind not in "iuf":
        raise InputError(f"`latents` must be a list of indices or of {count} weights; got {latents!r}.")
    chosen = torch.as_tensor(numbers, device=device)
    if chosen.is_floating_point() and chosen.numel():
        if chosen.shape != (count,) or not torch.isfinite(chosen).all():
            raise InputError(f"`latents` as weights must be {count} finite numbers; got shape {tuple(chosen.shape)}.")
        return Selection(torch.arange(count, device=device), chosen)
    if chosen.ndim != 1 or len(chosen) == 0 or chosen.dtype == torch.bool:
        raise InputError(f"`latents` must be a list of indices or of {count} weights; got {latents!r}.")
    if int(chosen.min()) < 0 or int(chosen.max()) >= count or len(chosen.unique()) != len(chosen):
        raise InputError(f"`latents` must be different indices from 0 to {count - 1}; got {chosen.tolist()}.")
    return Selection(chosen)


def select_features(mask: torch.Tensor | None, shape: torch.Size) -> torch.Tensor:
    """Return the indices, in the flattened input, of the features asked for by a boolean mask of its shape."""
    if mask is None:
        return torch.arange(shape.numel())
    is_mask = isinstance(mask, torch.Tensor) and mask.dtype == torch.bool  # pyright: ignore[reportUnnecessaryIsInstance]  # what a user passes
    if not is_mask or mask.shape != shape:
        got = f"{mask.dtype}, {tuple(mask.shape)}" if hasattr(mask, "shape") else type(mask).__name__
        raise InputError(f"`features` must be a boolean mask of shape {tuple(shape)}; got {got}.")
    if not mask.any():
        raise InputError("`features` must select at least one feature; it selects none.")
    return mask.flatten().nonzero()[:, 0]


def norms_of_columns(
    task: Task, features: torch.Tensor, selection: Selection, norm: Norm, opening: FirstProduct | None = None
) -> torch.Tensor:
    """Return the norm over the latents of each feature's derivatives: (n, features), n being 1 for a single point.

    `features` are indices into the flattened input; `opening` is the task taken apart, where it can be.
    """
    if task.chooses_forward(len(features), len(selection.indices)):
        blocks = (selection.of(flat_codes(columns)) for columns in column_blocks(task, features))
        return norm.finish(torch.cat([norm.along(block, -1) for block in blocks]).T)  # of (k, n)
    images = len(task.point) if task.batched else 1
    if len(selection.indices) * images * len(features) <= _FEW:
        rows = torch.stack(list(_rows(task, features, selection)))
        return norm.finish(checked_finite(norm.along(rows, 0)))
    if opening is None:
        return _added_up(_rows(task, features, selection), task.point.new_zeros(images, len(features)), norm)
    at_once = _IMAGES if task.program.batch is None else len(task.point)
    found = task.point.new_empty(images, len(features))
    for begin in range(0, len(found), at_once):
        part = slice(begin, begin + at_once)
        found[part] = _norms_of_part(opening, part, features, selection, norm)
    return found


def _norms_of_part(
    opening: FirstProduct, images: slice, features: torch.Tensor, selection: Selection, norm: Norm
) -> torch.Tensor:
    """Return the norms for some images of a network that begins with a product: (images, features)."""
    rest = opening.rest(images)
    blocks = (_weighted(flat_codes(found), selection, at) for at, found in row_blocks(rest, selection.indices))
    first, weight = next(blocks), opening.weight_of(features)
    if compiled.pays(first, weight, norm.compiled):
        tiles = compiled.in_tiles(weight)
        total = weight.new_zeros(len(rest.point), len(tiles) * tiles.shape[2])
        for cotangents in chain([first], blocks):
            compiled.add_up(total, cotangents, tiles, norm.compiled)
        return norm.finish(checked_finite(total[:, : len(features)]))
    rows = (row for cotangents in chain([first], blocks) for row in opening.rows(cotangents, weight))
    return _added_up(rows, features_first(rest.point, len(rest.point), len(features)), norm)


def _rows(task: Task, features: torch.Tensor, selection: Selection) -> Iterator[torch.Tensor]:
    """Yield the weighted rows of the Jacobian one by one: (n, features)."""
    for outputs, rows in row_blocks(task, selection.indices):
        yield from _weighted(of_features(flat_codes(rows), features), selection, outputs).unbind()


def _added_up(rows: Iterator[torch.Tensor], total: torch.Tensor, norm: Norm) -> torch.Tensor:
    """Add rows up, onto zeros, while they are in the cache, and finish: the shape of `total`."""
    for row in rows:
        norm.add(total, row)
    return norm.finish(checked_finite(total))


def _weighted(rows: torch.Tensor, selection: Selection, outputs: torch.Tensor) -> torch.Tensor:
    return rows if selection.weights is None else rows * selection.weights[outputs].to(rows)[:, None, None]


@dataclass(frozen=True)
class ColumnNorms:
    """Norms of the columns of a Jacobian, one a feature."""

    values: torch.Tensor
    """The shape of the point; NaN at features that were not asked for."""
    low: torch.Tensor
    """Lower end of each feature's interval; equal to `values` where they are exact."""
    high: torch.Tensor
    """Upper end."""
    engine: str
    probes: int | None = None
    """How many random directions they were estimated from; None: exact."""


def column_norms(
    function: Function, point: torch.Tensor, *, engine: str = "auto", step: float = DEFAULT_STEP, kinks: str = "ad",
    dtype: torch.dtype | None = None, output: Output = None, memory_budget: int | None = None,
    differentiable: bool = False, latents: Latents = None, features: torch.Tensor | None = None,
    probes: int | None = None, seed: int = 0, confidence: float = 0.95,
) -> ColumnNorms:  # fmt: skip
    """Return the root of the sum over the outputs of each feature's squared derivatives (Eq. 12), for one point.

    Never builds the Jacobian: the memory is that of some directions at a time. Takes the keywords of `jacobian`, and

    latents
        Indices of the outputs that count, flattened, or one weight for each, by which its derivatives are multiplied.
    features
        A boolean mask of the point's shape: the cost is in proportion to the features asked for.
    probes
        For very many outputs q: estimate from that many random orthogonal directions in the space of the outputs,
        which are the same for all features. With K of them, the squared estimate over the squared norm is distributed
        as q/K Beta(K/2, (q - K)/2); from it comes the interval that covers the truth with probability `confidence`.
        `seed` decides the directions. Exact for K = q.
    """
    settings = Settings(engine, step, kinks, dtype, memory_budget, differentiable)
    chosen = select_features(features, point.shape).to(point.device)

    def compute(task: Task) -> ColumnNorms:
        outputs = task.program.graph.output_shape.numel()
        selection = select(latents, outputs, point.device)
        count = len(selection.indices)
        with recording(task):
            if probes is None:
                low = high = norms = norms_of_columns(task, chosen, selection, NORMS["l2"])[0]
            else:
                check_probes(probes, count, settings)
                norms = probed_norms(task, selection, outputs, probes, seed)[0][chosen]
                low, high = interval(norms, probes, count, confidence)
        dtype = settings.type_for(point.dtype)
        values, low, high = (spread(x.to(dtype), chosen, point.numel()).view(point.shape) for x in (norms, low, high))
        return ColumnNorms(
            values, low, high, task.engine(len(chosen), count) if probes is None else "transpose", probes
        )

    return compute(prepare(function, point, settings, output))


def probed_norms(task: Task, selection: Selection, outputs: int, probes: int, seed: int) -> torch.Tensor:
    """Estimate the norm of each column from `probes` random orthogonal directions of the latents: (n, features)."""
    value, pull = value_and_pull(task)
    directions = _orthogonal(len(selection.indices), probes, seed).to(task.point)
    if selection.weights is not None:
        directions = directions * selection.weights.to(task.point)
    cotangents = task.point.new_zeros(probes, outputs)
    cotangents[:, selection.indices] = directions
    total = torch.zeros((), dtype=task.point.dtype, device=task.point.device)
    for block in cotangents.split(task.at_once):
        shaped = block.view(-1, 1, *value.shape[1:]).expand(-1, *value.shape) if task.batched else (
            block.view(-1, *value.shape)
        )  # fmt: skip
        rows = checked_finite(pull(shaped))
        total = total + (rows * rows).sum(0).reshape(len(value) if task.batched else 1, -1)
    return _root(total * (len(selection.indices) / probes))


def _orthogonal(size: int, count: int, seed: int) -> torch.Tensor:
    """Draw `count` orthonormal directions of a space of `size`, uniformly (Haar): (count, size), float64."""
    generator = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(size, count, generator=generator, dtype=torch.float64))
    return (q * torch.sign(r.diagonal())).T


def interval(norms: torch.Tensor, probes: int, outputs: int, confidence: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the ends of the interval that covers each true norm with probability `confidence`."""
    if not 0 < confidence < 1:
        raise InputError(f"`confidence` must lie between 0 and 1; got {confidence}.")
    if probes == outputs:
        return norms, norms
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    small, large = beta.ppf([tail, 1 - tail], probes / 2, (outputs - probes) / 2) * outputs / probes
    return norms / float(large) ** 0.5, norms / float(small) ** 0.5


def check_probes(probes: int, outputs: int, settings: Settings) -> None:
    """Raise `InputError` unless there are as many outputs as probes, and the derivatives are linear."""
    settings.refuse_one_sided("an estimate from probes")
    if settings.engine not in ("auto", "transpose"):
        raise InputError(
            f'probes are pulled back through the network: engine "auto" or "transpose"; got {settings.engine!r}.'
        )
    if not 1 <= probes <= outputs:
        raise InputError(f"`probes` must be from 1 to the number of outputs, {outputs}; got {probes}.")


def spread(values: torch.Tensor, features: torch.Tensor, count: int) -> torch.Tensor:
    """Put values (..., features asked for) in their places among `count` features, NaN elsewhere."""
    if len(features) == count:
        return values
    whole = values.new_full((*values.shape[:-1], count), torch.nan)
    return whole.index_copy(-1, features.to(values.device), values)
