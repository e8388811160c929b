"""Norms of the columns of the Jacobian of a network of layers, by the compiled function that pulls them back."""

from __future__ import annotations

import torch

from imagrad.complexstep.engines import checked_finite
from imagrad.complexstep.products import pull_kernel
from imagrad.complexstep.products.layered_task import LayeredTask, Seeds, last_rows, seeds_of
from imagrad.complexstep.products.links import Link, Linked, all_tangents, link
from imagrad.complexstep.products.plan import Plan, plan_of
from imagrad.complexstep.products.totals import COMBINED
from imagrad.complexstep.reductions import Norm
from imagrad.complexstep.selection import Selection

_NUMBERS = 2**17  # of the largest tensor of the images that are looked at together


def norms_of_layers(
    layered: LayeredTask, features: torch.Tensor, selection: Selection, norm: Norm
) -> torch.Tensor | None:  # fmt: skip
    """Return the norms, (n, features), some images at a time; None where a layer's numbers turn out to be mixed.

    None, too, where what one thread needs does not fit into the memory that may be used.
    """
    task, plans = layered.task, dict[int, Plan]()
    last, tangents = last_rows(layered, selection), list[torch.Tensor]()
    found: list[torch.Tensor] = []
    parts = task.program.graph.parts(len(task.point), _NUMBERS)
    for images in parts:
        part = task.at(images)
        if not tangents or tangents[0].shape[1] != len(part.point):
            tangents = all_tangents(layered.layers, len(part.point), part.point.dtype)
        linked = link(part, layered.layers, tangents)
        if linked is None:
            return None
        if images is parts[-1]:
            tangents.clear()
        totals: list[torch.Tensor] = []
        for seeds in seeds_of(layered, part, linked, selection, last):
            if seeds.used not in plans:
                plans[seeds.used] = plan_of(layered.layers, seeds.used, task.program.constants)
            plan = plans[seeds.used]
            threads = layered.threads_for(plan.bytes(task.point.dtype), seeds.values.nbytes)
            if not threads:
                return None
            totals.append(_run(plan, linked, seeds, len(part.point), norm.compiled, threads))
        total = COMBINED[norm.compiled](torch.cat(totals, 1))
        found.append(norm.finish(checked_finite(_in_place(total, layered)[:, features])))
    return torch.cat(found)


def _in_place(totals: torch.Tensor, layered: LayeredTask) -> torch.Tensor:
    """Bring (n, features) from the order of the input as a layer to that of its axes."""
    if layered.layers.all[0].channel_axis == -1:
        return totals
    channels, *places = layered.task.point.shape[1:]
    return totals.view(-1, *places, channels).movedim(-1, 1).flatten(1)


def _run(plan: Plan, linked: Linked, seeds: Seeds, images: int, norm: str, threads: int) -> torch.Tensor:
    """Share the images, or the latents of few images, out among some threads: (n, blocks, features)."""
    dtype, blocks = seeds.values.dtype, seeds.values.shape[1]
    shares = 1 if images >= 4 * threads else min(blocks, threads)
    links = [_link_of(use.user, use.which, linked, seeds) for use in plan.uses]
    counting = torch.arange(max(link.slopes.shape[1] for link in links), dtype=torch.int32)
    table = plan.table_of(links, counting)
    apart = plan.numbers * pull_kernel.latents_at_once(dtype)
    integers = torch.empty(threads, plan.integers, dtype=torch.int32)
    numbers = torch.empty(threads, apart, dtype=dtype)
    totals = torch.empty(images, blocks, plan.features, dtype=dtype)
    arguments = {
        "next": 0, "items": images * shares, "next_thread": 0, "integers_apart": plan.integers, "numbers_apart": apart,
        "layers": plan.layers.data_ptr(), "layer_count": len(plan.layers), "links": table.data_ptr(), "blocks": blocks,
        "shares": shares, "seeds": seeds.values.data_ptr(), "seeds_apart": _apart(seeds.values),
        "seed_link": [use.user for use in plan.uses].index(-1), "factors": seeds.factors.data_ptr(),
        "factors_apart": _apart(seeds.factors), "totals": totals.data_ptr(), "integers": integers.data_ptr(),
        "numbers": numbers.data_ptr(),
    }  # fmt: skip
    pull_kernel.kernel(norm, dtype).run([arguments[name] for name in pull_kernel.ARGUMENTS], threads)
    return totals


def _link_of(user: int, which: int, linked: Linked, seeds: Seeds) -> Link:
    """Return the link of a layer, counted from the top down, to one of what it takes."""
    return seeds.link if user < 0 else linked.links[seeds.used - 1 - user][which]


def _apart(tensor: torch.Tensor) -> int:
    """Return how far the numbers of one image are from those of the next; 0 where all are alike."""
    return 0 if len(tensor) == 1 else tensor.stride(0)
