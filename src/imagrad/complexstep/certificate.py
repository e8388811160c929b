"""Certificates: independent checks of derivatives that have been computed, and what could make them meaningless."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import inf, isfinite
from typing import Any

import torch
from torch._ops import OpOverload

from imagrad.complexstep.cache import distance
from imagrad.complexstep.engines import Task, push, value_and_pull
from imagrad.complexstep.nearest_kink import nearest_kink
from imagrad.complexstep.number import COMPLEX, Lifted
from imagrad.complexstep.points import ONE_SIDED, normal
from imagrad.complexstep.rules import RULES
from imagrad.errors import DerivativeError

UNITS = 1000
"""A derivative is taken for right when it is off by less than so many units of rounding of its type: networks add up
rounding over their depth; a wrong rule, order or weight is off by far more."""

_LARGEST_LIMIT = 0.1  # of the codes of a network in half precision
_DIFFERENCE_STEPS = (1e-6, 1e-7, 1e-8, 1e-7)  # of the largest pixel: tried in turn, as a kink may lie in between
_DIFFERENCE_LIMIT = 1e-4  # what differences from outside can see
_BESIDE = 1e-3  # away from a tie, where the sides differ
_REACH = 64  # units of rounding around an image in which a kink may lie that rounding decides about
_NEIGHBOURS = 8


@dataclass(frozen=True)
class Check:
    """One independent check: how far off the worst of `count` numbers was, relative to the largest.

    With the limit 0: how many of them were not as they must be.
    """

    name: str
    passed: bool
    worst: float
    limit: float
    count: int

    def __str__(self) -> str:
        """One line."""
        verdict = "passed" if self.passed else "FAILED"
        if self.limit == 0:
            return f"{verdict}: {self.name}: {self.worst:.0f} of {self.count}"
        return f"{verdict}: {self.name} ({self.count} numbers, worst {self.worst:.1e}, limit {self.limit:.1e})"


@dataclass(frozen=True)
class Certificate:
    """What was checked about derivatives, by means other than those that computed them."""

    checks: tuple[Check, ...]
    operations: dict[str, int] = field(default_factory=dict[str, int])
    """How often each operation that the input reaches stands in the network."""
    kinds: dict[str, str] = field(default_factory=dict[str, str])
    """The kind of rule of each."""
    by_formula: tuple[str, ...] = ()
    """Operations without a complex kernel, whose derivative was checked by differences from outside only."""
    ties: dict[str, int] = field(default_factory=dict[str, int])
    """How often an operation stood exactly at a kink."""
    nearest_kink: float | None = None
    """About how far, in the input's units, the nearest kink is from the images looked at; None: there is none."""
    notes: tuple[str, ...] = ()
    """What was not checked, and why."""

    @property
    def passed(self) -> bool:
        """Whether every check passed, and there was one."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Return it in plain types, for JSON."""
        checks = [{**asdict(check), "worst": check.worst if isfinite(check.worst) else None} for check in self.checks]
        lists = {"checks": checks, "by_formula": list(self.by_formula), "notes": list(self.notes)}
        return {**asdict(self), **lists, "passed": self.passed}

    @staticmethod
    def from_dict(plain: dict[str, Any]) -> Certificate:
        """Read what `as_dict` wrote."""
        rest: dict[str, Any] = {name: value for name, value in plain.items() if name not in ("passed", "checks")}
        listed: list[dict[str, Any]] = plain["checks"]
        checks = tuple(
            replace(Check(**check), worst=inf if check["worst"] is None else check["worst"]) for check in listed
        )
        rest.update(by_formula=tuple(rest["by_formula"]), notes=tuple(rest["notes"]))
        return Certificate(checks, **rest)

    def __str__(self) -> str:
        """One readable paragraph."""
        kinds = Counter(self.kinds[name] for name, count in self.operations.items() for _ in range(count))
        by_kind = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
        lines = [
            f"Certificate: {'passed' if self.passed else 'FAILED'}.",
            *(f"  {check}" for check in self.checks),
            f"  {kinds.total()} operations carry the derivative, by rules of these kinds: {by_kind or 'none'}.",
        ]
        if self.by_formula:
            names = ", ".join(self.by_formula)
            lines.append(f"  without a complex kernel, so checked by central differences only: {names}.")
        met = ", ".join(f"{name} {count} times" for name, count in self.ties.items())
        lines.append(f"  exactly at a kink: {met}." if met else "  no operation stood exactly at a kink.")
        if self.nearest_kink is not None:
            away = f"{self.nearest_kink:.1e}"
            lines.append(f"  the nearest kink is about {away} away from the images that were looked at.")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


@dataclass(frozen=True)
class Entries:
    """Entries of maps that were returned, and how to compute them anew."""

    images: torch.Tensor
    """The image of each entry, (k, *input)."""
    held: tuple[torch.Tensor, ...]
    features: torch.Tensor
    """The pixel of each entry: an index into the flattened image, (k,)."""
    returned: torch.Tensor
    """The entries themselves, (k,)."""
    scale: torch.Tensor
    """The largest value of each entry's map, (k,)."""
    reduce: Callable[[torch.Tensor], torch.Tensor]
    """Derivatives of all latents (k, q) -> map values (k,)."""


def certify(
    exact: Task, own: torch.Tensor, engine: Task, entries: Sequence[Entries], ties: dict[str, int], seed: int
) -> Certificate:
    """Check the derivatives of an engine, and entries computed with it, by other means.

    `exact` is the task in complex128 at some points, `own` what the function itself returns there, and `engine` the
    task as it was computed at the same points. Each check goes another way than the engine: true complex arithmetic,
    and central differences of the plain function.
    """
    generator = torch.Generator().manual_seed(seed)
    before = _versions(exact, engine, entries)
    try:
        checks = _checks(exact, own, engine, entries, generator)
    except DerivativeError as error:
        checks = [Check(f"derivatives that cannot be compared ({error})", False, 1.0, 0.0, 1)]
    written = sum(a != b for a, b in zip(before, _versions(exact, engine, entries), strict=True)) + _writing(exact)
    checks.append(Check("weights and images that were written to", written == 0, written, 0.0, len(before)))
    operations = Counter(str(node.target) for node in exact.program.graph.reached if str(node.target) in RULES)
    return Certificate(
        tuple(checks),
        dict(operations),
        {name: RULES[name].kind for name in operations},
        tuple(name for name in operations if RULES[name].is_formula),
        ties,
        nearest_kink(exact.program, exact.point, exact.held, generator),
        _notes(engine),
    )


def _checks(
    exact: Task, own: torch.Tensor, engine: Task, entries: Sequence[Entries], generator: torch.Generator
) -> list[Check]:
    """Run all checks of derivatives."""
    checks = [_check_value(exact, own), *_check_entries(exact, entries, engine.point.dtype, generator)]
    if engine.settings.kinks not in ONE_SIDED:
        checks.append(_check_directions(exact, engine, generator))
    return [*checks, _check_differences(exact, generator)]


def _notes(engine: Task) -> tuple[str, ...]:
    if engine.settings.kinks not in ONE_SIDED:
        return ()
    return (
        f'random directions at the images are not compared for kinks="{engine.settings.kinks}", which is not linear in '
        "the direction where an operation stands at a kink; the entries are, and differences beside a kink.",
    )


def _versions(exact: Task, engine: Task, entries: Sequence[Entries]) -> list[int]:
    """How often each tensor that must not change has been written to."""
    tensors = [exact.point, *exact.held, engine.point, *engine.held, *(some.images for some in entries)]
    tensors += [x for task in (exact, engine) for x in task.program.constants.values() if isinstance(x, torch.Tensor)]
    return [0 if x.is_inference() else x._version for x in tensors]


def _writing(exact: Task) -> int:
    """Count the operations of the graph that write to what they are given."""
    targets = [node.target for node in exact.program.graph.nodes]
    return sum(isinstance(target, OpOverload) and target._schema.is_mutable for target in targets)  # pyright: ignore[reportPrivateUsage]  # no other way


def _check(name: str, off: torch.Tensor, limit: float) -> Check:
    """Compare how far off numbers are with a limit; NaN fails."""
    worst = float(off.nan_to_num(inf).max()) if off.numel() else 0.0
    return Check(name, worst <= limit, worst, limit, int(off.numel()))


def _check_value(exact: Task, own: torch.Tensor) -> Check:
    """Compare the real part of a complex run with the function itself."""
    with torch.no_grad():
        found = exact.program.run(Lifted(exact.point, torch.zeros_like(exact.point), COMPLEX), *exact.held).re
    off = torch.tensor(distance(found.reshape(own.shape), own.to(found)))
    limit = min(10 * UNITS * torch.finfo(own.dtype).eps, _LARGEST_LIMIT)
    return replace(_check("real part against the network itself", off, limit), count=own.numel())


def _check_entries(
    exact: Task, entries: Sequence[Entries], dtype: torch.dtype, generator: torch.Generator
) -> list[Check]:
    """Compute entries of the returned maps anew in complex128, each by perturbing its own pixel of its own image."""
    if not entries:
        return []
    limit = UNITS * max(torch.finfo(some).eps for some in (dtype, entries[0].returned.dtype))
    off: list[torch.Tensor] = []
    for some in entries:

        def again(images: torch.Tensor, some: Entries = some) -> torch.Tensor:
            return some.reduce(_columns(exact, some, images))

        off.append(_off(some.returned, again, some.images, some.scale, limit, generator))
    return [_check("map entries computed anew in complex128", torch.cat(off), limit)]


def _columns(exact: Task, some: Entries, images: torch.Tensor) -> torch.Tensor:
    """Return the derivatives of all latents, (k, q), each with respect to its own pixel of its own image."""
    direction = torch.zeros_like(images).flatten(1)
    direction[torch.arange(len(images)), some.features] = 1
    task = replace(exact, point=images, held=some.held)
    return push(task, direction.view(images.shape)[None])[0].flatten(1)


def _off(
    found: torch.Tensor, truth: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor,
    scale: torch.Tensor | None, limit: float, generator: torch.Generator,
) -> torch.Tensor:  # fmt: skip
    """How far numbers are from the truth at some images, relative to a scale, or to the largest.

    An image so near to a kink, or to equal maxima, that rounding decides its side has several derivatives: what is off
    there is measured from all those of images that round to the same numbers.
    """
    here = truth(images)
    size = here.abs().max() if scale is None else torch.maximum(scale.to(here), here.abs())
    size = size.clamp_min(torch.finfo(found.dtype).tiny)
    found = found.to(here)
    off = ((found - here).abs() / size).nan_to_num(inf)
    if bool((off <= limit).all()):
        return off
    low, high = here, here
    reach = _REACH * limit / UNITS * (float(images.abs().amax()) or 1.0)
    for _ in range(_NEIGHBOURS):
        beside = truth(images + reach * normal(images, generator))
        low, high = torch.minimum(low, beside), torch.maximum(high, beside)
    room = high - low  # several kinks: the sides combine in more ways than were met
    between = torch.maximum(low - room - found, found - high - room).clamp_min(0) / size
    return torch.minimum(off, between).nan_to_num(inf)


def _check_directions(exact: Task, engine: Task, generator: torch.Generator) -> Check:
    """Compare the engine along random directions with complex arithmetic: J v, or, pulled back, (u J) v.

    Complex arithmetic is itself compared with that of pairs.
    """
    along = normal(exact.point, generator)
    limit = UNITS * torch.finfo(engine.point.dtype).eps

    def truth(point: torch.Tensor) -> torch.Tensor:
        return push(replace(exact, point=point), along[None])[0]

    name = "random directions against complex128"
    if engine.settings.engine != "transpose":
        if engine.settings.engine == "complex":
            engine = replace(engine, settings=replace(engine.settings, engine="forward"))
            name = "random directions, complex128 against pairs"
        found = push(engine, along[None].to(engine.point))[0]
        return _check(name, _off(found, truth, exact.point, None, limit, generator), limit)
    value, pull = value_and_pull(engine)
    back = normal(value, generator).to(along)
    pulled = pull(back[None].to(engine.point))[0].to(along) * along
    scale = pulled.flatten(1).abs().sum(1)
    off = _off(
        pulled.flatten(1).sum(1), lambda point: (back * truth(point)).flatten(1).sum(1), exact.point, scale, limit,
        generator,
    )  # fmt: skip
    return _check(name, off, limit)


def _check_differences(exact: Task, generator: torch.Generator) -> Check:
    """Compare complex arithmetic with central differences of the plain function, beside the points if these are kinks.

    A kink that the difference steps over disturbs it, a wrong rule disturbs all: the best of some counts.
    """
    with torch.no_grad():
        at_a_kink = bool(exact.program.ties(exact.point, *exact.held)[1])
    best = torch.full((1,), inf)
    for k, step in enumerate(_DIFFERENCE_STEPS):
        point = _moved_inwards(exact.point, generator) if at_a_kink or k > 0 else exact.point
        off = _off_from_differences(replace(exact, point=point), step, generator)
        if off is not None and (k == 0 or float(off.max()) < float(best.max())):
            best = off
        if float(best.max()) <= _DIFFERENCE_LIMIT:
            break
    return _check("random directions against central differences", best, _DIFFERENCE_LIMIT)


def _moved_inwards(point: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Move points a little, to between their smallest and their largest number."""
    low, high = point.amin(), point.amax()
    high = torch.where(high > low, high, low + low.abs() + (low == 0))
    inside = low + (high - low) * (0.25 + 0.5 * torch.rand(point.shape, generator=generator, dtype=point.dtype)).to(
        point
    )
    return point + _BESIDE * (inside - point)


def _off_from_differences(exact: Task, step: float, generator: torch.Generator) -> torch.Tensor | None:
    """How far derivatives along a direction are from central differences; None where rounding would hide all."""
    along = normal(exact.point, generator)
    reach = step * (float(exact.point.abs().amax()) or 1.0)
    with torch.no_grad():
        high, low = (exact.program.run_real(exact.point + sign * reach * along, *exact.held) for sign in (1, -1))
    truth = push(exact, along[None])[0]
    seen = 1e3 * torch.finfo(torch.float64).eps * float(high.abs().max()) / reach / _DIFFERENCE_LIMIT
    size = float(truth.abs().max())
    if step != _DIFFERENCE_STEPS[0] and size < seen:
        return None
    return (((high - low) / (2 * reach) - truth).abs() / max(size, seen, 1e-300)).nan_to_num(inf)
