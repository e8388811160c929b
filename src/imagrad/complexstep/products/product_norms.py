"""Norms of the columns of J = B W, for a network that begins with a product: its rows are added up, not kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

import torch

from imagrad.complexstep.derivatives import flat_codes
from imagrad.complexstep.engines import checked_finite
from imagrad.complexstep.products import product_kernel
from imagrad.complexstep.products.first_product import FirstProduct, features_first, rows_of_product
from imagrad.complexstep.reductions import Norm
from imagrad.complexstep.rows import row_blocks
from imagrad.complexstep.selection import Selection

AddUp = Callable[[Iterable[torch.Tensor]], torch.Tensor]
"""Parts of B, (some latents, n, hidden), one after the other -> what the rows of B W add up to, (n, features)."""

_IMAGES = 512
"""Images whose rows are added up at a time: of more, sums leave the cache, and fewer hidden units are dead in all."""


def norms_of_product(opening: FirstProduct, features: torch.Tensor, selection: Selection, norm: Norm) -> torch.Tensor:
    """Return the norms, some images at a time: (n, features)."""
    images, weight = len(opening.value), opening.weight_of(features)
    at_once = _IMAGES if opening.task.program.batch is None else images
    norms = weight.new_empty(images, len(features))
    add_up: AddUp | None = None
    for begin in range(0, images, at_once):
        part = slice(begin, begin + at_once)
        rows = row_blocks(opening.rest(part), selection.indices)
        blocks = (selection.weigh(flat_codes(cotangents), latents) for latents, cotangents in rows)
        if add_up is None:
            first = next(blocks)
            add_up, blocks = _fastest(first, weight, norm), chain([first], blocks)
        norms[part] = norm.finish(checked_finite(add_up(blocks)))
    return norms


def _fastest(some: torch.Tensor, weight: torch.Tensor, norm: Norm) -> AddUp:
    """Choose how rows are added up, by some of B."""
    if product_kernel.pays(some, weight, norm.compiled):
        return product_kernel.AddUp(weight, norm.compiled)

    def row_by_row(blocks: Iterable[torch.Tensor]) -> torch.Tensor:
        total: torch.Tensor | None = None
        for cotangents in blocks:
            if total is None:
                total = features_first(weight, cotangents.shape[1], weight.shape[1])
            for row in rows_of_product(cotangents, weight):
                norm.add(total, row)
        assert total is not None
        return total

    return row_by_row
