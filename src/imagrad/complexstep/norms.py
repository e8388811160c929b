"""Norms of Jacobian columns, taken block by block: the Jacobian itself is never held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from imagrad.complexstep.derivatives import flat_codes, of_features, prepare
from imagrad.complexstep.engines import Task, checked_finite, column_blocks, recording, value_and_pull
from imagrad.complexstep.functions import Function, Output
from imagrad.complexstep.points import DEFAULT_STEP, Settings
from imagrad.complexstep.products.first_product import FirstProduct
from imagrad.complexstep.products.layered_norms import norms_of_layers
from imagrad.complexstep.products.layered_task import in_layers
from imagrad.complexstep.products.product_norms import norms_of_product
from imagrad.complexstep.reductions import NORMS, Norm, root
from imagrad.complexstep.rows import row_blocks
from imagrad.complexstep.selection import Latents, Selection, select, select_features, spread
from imagrad.errors import InputError

_FEW = 2**18
"""Numbers of a Jacobian that is small enough to be held, which saves a call for each of its rows."""


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
    if is_small(images, features, selection):
        rows = torch.cat(list(_weighed(task, features, selection)))
        return norm.finish(checked_finite(norm.along(rows, 0)))
    if opening is not None:
        return norms_of_product(opening, features, selection, norm)
    layered = in_layers(task, len(selection.indices), norm.compiled)
    found = None if layered is None else norms_of_layers(layered, features, selection, norm)
    if found is not None:
        return found
    return _added_up(_rows(task, features, selection), task.point.new_zeros(images, len(features)), norm)


def is_small(images: int, features: torch.Tensor, selection: Selection) -> bool:
    """Say whether the Jacobians of some images are small enough to be held, which needs no other way."""
    return len(selection.indices) * images * len(features) <= _FEW


def _rows(task: Task, features: torch.Tensor, selection: Selection) -> Iterator[torch.Tensor]:
    """Yield the weighted rows of the Jacobian one by one: (n, features)."""
    for block in _weighed(task, features, selection):
        yield from block.unbind()


def _weighed(task: Task, features: torch.Tensor, selection: Selection) -> Iterator[torch.Tensor]:
    """Yield the weighted rows of the Jacobian, some at a time: (k, n, features)."""
    for outputs, rows in row_blocks(task, selection.indices):
        yield selection.weigh(of_features(flat_codes(rows), features), outputs)


def _added_up(rows: Iterator[torch.Tensor], total: torch.Tensor, norm: Norm) -> torch.Tensor:
    """Add rows up, onto zeros, while they are in the cache, and finish: the shape of `total`."""
    for row in rows:
        norm.add(total, row)
    return norm.finish(checked_finite(total))


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
    return root(total * (len(selection.indices) / probes))


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
