"""Check a rule: against the operation itself, differences from outside, and what every derivative must be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, cast

import torch
from torch._ops import OpOverload

from imagrad.complexstep.number import COMPLEX, PAIR, Arithmetic, Lifted, Poison, flat
from imagrad.complexstep.points import DEFAULT_STEP
from imagrad.complexstep.rules import RULES
from imagrad.complexstep.rules.own import overload_of
from imagrad.errors import DerivativeError, InputError, UnsupportedOperationError

_VALUE = 8  # eps: a rule may compute the value by other means than the operation itself
_ROUNDING = 64  # eps of value times direction: what cancellation may cost a derivative
_EXACT = 1e-10  # relative, of two ways to compute one derivative in float64
_DIFFERENCES = 1e-7  # relative, of extrapolated central differences
_LEVELS = 5  # of the extrapolation
_LARGEST_STEP = 2.0**-8  # of the differences
_TO_THE_KINK = 0.25  # of the way, at most, go the differences


@dataclass(frozen=True)
class Case:
    """A lifted function at a point, and what is known of it from elsewhere."""

    name: str
    run: Callable[[Lifted], Lifted]
    point: torch.Tensor
    value: torch.Tensor
    """What the function itself returns, without lifted numbers."""
    along: Callable[[torch.Tensor], torch.Tensor]
    """The derivative along a direction, from an independent source."""
    precision: float
    """Relative, of that source."""
    rounding: float = _ROUNDING
    """Of that source, in eps of value times direction."""
    is_at_kink: bool = False

    def derivative(self, direction: torch.Tensor, arithmetic: Arithmetic = PAIR) -> torch.Tensor:
        """Return the derivative along a direction by the rule."""
        return self.run(Lifted(self.point, direction, arithmetic)).im

    def noise(self, direction: torch.Tensor, rounding: float = _ROUNDING) -> float:
        """Return what rounding alone may do to the derivative along a direction."""
        return rounding * torch.finfo(self.point.dtype).eps * _largest(self.value) * _largest(direction)


def check_case(case: Case, seed: int = 0) -> None:
    """Raise `DerivativeError` unless the lifted function agrees with what is known of it."""
    generator = torch.Generator().manual_seed(seed)
    first, second = (
        torch.randn(case.point.shape, dtype=case.point.dtype, generator=generator).to(case.point.device)
        for _ in range(2)
    )
    with torch.no_grad():
        derivative = _check_value_and_derivative(case, first)
        _check_linear(case, first, second, derivative)
        _check_batched(case, first, second, derivative)
        _check_transposed(case, first, derivative, generator)
        _check_complex(case, first, derivative)
        _check_one_sided(case, first, derivative)


def _check_value_and_derivative(case: Case, direction: torch.Tensor) -> torch.Tensor:
    result = case.run(Lifted(case.point, direction))
    if result.re.shape != case.value.shape:
        raise DerivativeError(
            f"the rule of {case.name} must return what the operation returns, {tuple(case.value.shape)} in all; "
            f"it returns {tuple(result.re.shape)}."
        )
    _check_type(case.name, case.point.dtype, result)
    eps = torch.finfo(case.point.dtype).eps
    _compare(case, "the value", result.re, case.value, _VALUE * eps * _largest(case.value), "the operation itself")
    expected = case.along(direction)
    tolerance = case.precision * _largest(expected) + case.noise(direction, case.rounding)
    _compare(case, "the derivative along a random direction", result.im, expected, tolerance, "an independent source")
    return result.im


def _check_type(name: str, dtype: torch.dtype, result: Lifted) -> None:
    """Look for constants of another type: scalars that turn float64 into float32, or the reverse."""
    for part, tensor in (("value", result.re), ("derivative", result.im)):
        if tensor.dtype != dtype:
            raise DerivativeError(
                f"the rule of {name} must compute in the type of its argument, {dtype}; its {part} is in "
                f"{tensor.dtype}. Make constants by torch.full_like, not by torch.where of Python numbers."
            )


def _check_linear(case: Case, first: torch.Tensor, second: torch.Tensor, derivative: torch.Tensor) -> None:
    both = 3 * case.derivative(second) + 2 * derivative
    found = case.derivative(2 * first + 3 * second)
    tolerance = _EXACT * _largest(both) + 8 * case.noise(first)
    _compare(case, "the derivative along 2 v + 3 w", found, both, tolerance, "linearity in the imaginary part")


def _check_batched(case: Case, first: torch.Tensor, second: torch.Tensor, derivative: torch.Tensor) -> None:
    try:
        found, _ = torch.vmap(case.derivative)(torch.stack([first, second]))
    except Exception as error:  # whatever the rule's own code raises under vmap
        raise DerivativeError(
            f"the rule of {case.name} must work under torch.vmap, over the imaginary part alone; it raised "
            f"{type(error).__name__}: {error}"
        ) from error
    tolerance = _EXACT * _largest(derivative) + case.noise(first)
    _compare(case, "the derivative under torch.vmap", found, derivative, tolerance, "that of the direction alone")


def _check_transposed(
    case: Case, direction: torch.Tensor, derivative: torch.Tensor, generator: torch.Generator
) -> None:
    if not torch.isfinite(derivative).all():
        return  # neither has the transpose then
    one, other = (
        torch.randn(case.value.shape, dtype=case.value.dtype, generator=generator).to(case.value.device)
        for _ in range(2)
    )
    try:
        turned: Any = torch.func.vjp(case.derivative, torch.zeros_like(direction))[1]
        pulled = torch.vmap(lambda cotangent: turned(cotangent)[0])(torch.stack([one, other]))[0]
    except Exception as error:  # whatever the rule's own code raises when it is turned round
        raise DerivativeError(
            f"the rule of {case.name} must be linear in the imaginary part by operations that torch can transpose; "
            f"it raised {type(error).__name__}: {error}"
        ) from error
    found, expected = (pulled * direction).sum(), (one * derivative).sum()
    tolerance = _EXACT * float((one * derivative).abs().sum() + (pulled * direction).abs().nan_to_num().sum())
    _compare(case, "the product <J'u, v>", found, expected, tolerance + case.noise(direction), "<u, J v>")


def _check_complex(case: Case, direction: torch.Tensor, derivative: torch.Tensor) -> None:
    result = case.run(Lifted(case.point, DEFAULT_STEP * direction, COMPLEX))
    eps = torch.finfo(case.point.dtype).eps
    tolerance = 4 * _VALUE * eps * _largest(case.value)
    _compare(case, "the value in complex arithmetic", result.re, case.value, tolerance, "the operation itself")
    tolerance = _EXACT * _largest(derivative) + case.noise(direction)
    found = result.im / DEFAULT_STEP
    _compare(case, "the derivative in complex arithmetic", found, derivative, tolerance, "that of the pair")


def _check_one_sided(case: Case, direction: torch.Tensor, derivative: torch.Tensor) -> None:
    if not case.is_at_kink:
        found = case.derivative(direction, Arithmetic(is_one_sided=True))
        tolerance = _EXACT * _largest(derivative) + case.noise(direction)
        _compare(case, "the one-sided derivative", found, derivative, tolerance, "the derivative, as no kink is here")


def _compare(case: Case, what: str, found: torch.Tensor, expected: torch.Tensor, tolerance: float, source: str) -> None:
    """Raise `DerivativeError` unless both agree wherever the expected numbers are finite."""
    known = torch.isfinite(expected)
    apart = torch.where(known, found - expected, torch.zeros_like(found)).abs().nan_to_num(math.inf, math.inf)
    if apart.numel() == 0 or float(apart.max()) <= tolerance:
        return
    worst = int(apart.flatten().argmax())
    place = tuple(int(k) for k in torch.unravel_index(torch.tensor(worst), apart.shape))
    actual, right = float(found.flatten()[worst]), float(expected.flatten()[worst])
    ratio = f", {actual / right:.6g} times as much" if right and math.isfinite(actual) else ""
    raise DerivativeError(
        f"the rule of {case.name} is wrong: {what} must be {right:.10g} at {place}, by {source}; "
        f"it is {actual:.10g}{ratio} (off by {float(apart.flatten()[worst]):.2g}, allowed {tolerance:.2g})."
    )


def _largest(values: torch.Tensor) -> float:
    finite = values[torch.isfinite(values)]
    return float(finite.abs().max()) if finite.numel() else 0.0


# --- one operation, some of its arguments lifted ---
def check_rule(operation: Any, *arguments: Any, **options: Any) -> None:
    """Check the rule of an operation at real example arguments, in float64.

    Each argument that holds floating-point numbers is differentiated alone, then all of them together. The value must
    be the operation's own; the derivative must agree with central differences, be linear in the direction, have a
    transpose, and be the same under `torch.vmap` and in complex arithmetic; and no output that changes with the input
    may be left plain. Take examples on both sides of each kink, far out, and of several shapes; none at a kink.
    Raises `DerivativeError`, which says what is wrong, where, and what it should be; returns nothing.
    """
    found = overload_of(operation)
    if str(found) not in RULES:
        raise UnsupportedOperationError(
            f"{found} must have a complex-step rule to be checked; it has none. Give it one by register_rule."
        )
    arguments, options = _in_type(arguments, torch.float64), _in_type(options, torch.float64)
    places = _places(arguments)
    if not places:
        raise InputError("`arguments` must hold a floating-point tensor to differentiate; there is none among them.")
    step = min(_LARGEST_STEP, _TO_THE_KINK * _distance_to_kink(found, arguments, options))
    for chosen in [*([place] for place in places), *([places] if len(places) > 1 else [])]:
        call = _Call(found, arguments, options, tuple(chosen))
        _check_outputs(call, step)
        narrow = _Call(found, _in_type(arguments, torch.float32), _in_type(options, torch.float32), tuple(chosen))
        _check_type(str(call), torch.float32, narrow.lifted(Lifted(narrow.point, torch.ones_like(narrow.point))))
        value = call.real(call.point)
        check_case(
            Case(
                str(call), call.lifted, call.point, value, differences(call.real, call.point, step),
                _DIFFERENCES, rounding=1 / step * 2**_LEVELS,
            )
        )  # fmt: skip


@dataclass(frozen=True)
class _Place:
    """Where a floating-point tensor stands among the arguments."""

    argument: int
    item: int | None  # in a list of tensors

    def of(self, arguments: Any) -> Any:
        return arguments[self.argument] if self.item is None else arguments[self.argument][self.item]


@dataclass(frozen=True)
class _Call:
    """A call of an operation as a function of one vector: the chosen arguments, one after the other."""

    operation: OpOverload
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    chosen: tuple[_Place, ...]

    def __str__(self) -> str:
        names = sorted({str(place.argument) for place in self.chosen})
        return f"{self.operation} in argument {' and '.join(names)}"

    @property
    def point(self) -> torch.Tensor:
        return torch.cat([place.of(self.arguments).reshape(-1) for place in self.chosen])

    def changed(self, piece: Callable[[int, torch.Tensor], Any]) -> list[Any]:
        """Return the arguments with pieces of a vector in the chosen places; `piece` takes its start and its like."""
        arguments: list[Any] = [
            list(cast("list[Any]", x)) if isinstance(x, list | tuple) else x for x in self.arguments
        ]
        start = 0
        for place in self.chosen:
            like = place.of(self.arguments)
            if place.item is None:
                arguments[place.argument] = piece(start, like)
            else:
                arguments[place.argument][place.item] = piece(start, like)
            start += like.numel()
        return arguments

    def native(self, vector: torch.Tensor) -> list[Any]:
        """List what the operation itself returns."""
        arguments = self.changed(lambda start, like: _cut(vector, start, like))
        return flat([self.operation(*arguments, **self.options)])

    def ruled(self, vector: Lifted) -> list[Any]:
        """List what its rule returns."""
        arguments = self.changed(lambda k, like: vector.of(_cut(vector.re, k, like), _cut(vector.im, k, like)))
        return flat([RULES[str(self.operation)].apply(*arguments, **self.options)])

    @cached_property
    def is_lifted(self) -> list[bool]:
        """Say for each output whether the rule lifts it."""
        return [isinstance(x, Lifted) for x in self.ruled(Lifted(self.point, torch.zeros_like(self.point)))]

    def real(self, vector: torch.Tensor) -> torch.Tensor:
        """Join the outputs that the rule lifts."""
        outputs = [x for x, is_lifted in zip(self.native(vector), self.is_lifted, strict=True) if is_lifted]
        return torch.cat([vector[:0], *(x.reshape(-1) for x in outputs)])

    def lifted(self, vector: Lifted) -> Lifted:
        """Join the lifted outputs."""
        outputs = [x for x in self.ruled(vector) if isinstance(x, Lifted)]
        parts = [[x.re.reshape(-1) for x in outputs], [x.im.reshape(-1) for x in outputs]]
        re, im = (torch.cat([vector.re[:0], *part]) for part in parts)
        return vector.of(re, im)


def _check_outputs(call: _Call, step: float) -> None:
    """Raise `DerivativeError` unless the outputs have the right number and shapes, and none that changes is plain."""
    expected = call.native(call.point)
    found = call.ruled(Lifted(call.point, torch.ones_like(call.point)))
    if len(found) != len(expected):
        raise DerivativeError(
            f"the rule of {call} must return as many outputs as the operation, {len(expected)}; it returns "
            f"{len(found)}."
        )
    direction = torch.ones_like(call.point)
    for k, (output, native) in enumerate(zip(found, expected, strict=True)):
        part = output.re if isinstance(output, Lifted) else output
        if isinstance(part, torch.Tensor) and part.shape != native.shape:
            raise DerivativeError(
                f"the rule of {call} must return output {k} of shape {tuple(native.shape)}; got {tuple(part.shape)}."
            )
        if isinstance(output, Lifted | Poison) or not _is_number(native):
            continue
        change = differences(lambda vector, k=k: call.native(vector)[k], call.point, step)(direction)
        if _largest(change) > _DIFFERENCES * _largest(native):
            raise DerivativeError(
                f"the rule of {call} must lift output {k}, which changes with the input; it returns a plain tensor, so "
                "that its derivative is lost. Return a Lifted, or a Poison where nobody may use it."
            )


def differences(
    function: Callable[[torch.Tensor], torch.Tensor], point: torch.Tensor, step: float
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the derivative along a direction by central differences, extrapolated to the step 0 (Richardson)."""

    def along(direction: torch.Tensor) -> torch.Tensor:
        largest = step / max(1.0, _largest(direction))
        steps = [largest / 2**k for k in range(_LEVELS)]
        column = [(function(point + h * direction) - function(point - h * direction)) / (2 * h) for h in steps]
        for order in range(1, _LEVELS):
            column = [(4**order * b - a) / (4**order - 1) for a, b in pairwise(column)]
        return column[0]

    return along


def _distance_to_kink(operation: OpOverload, arguments: tuple[Any, ...], options: dict[str, Any]) -> float:
    gap = RULES[str(operation)].gap
    if gap is None:
        return math.inf
    nearest = float(gap(*arguments, **options).min())
    if nearest == 0:
        raise InputError(f"the example must not stand at a kink of {operation}, where differences decide nothing.")
    return nearest


def _cut(vector: torch.Tensor, start: int, like: torch.Tensor) -> torch.Tensor:
    return vector.narrow(0, start, like.numel()).view(like.shape)


def _places(arguments: tuple[Any, ...]) -> list[_Place]:
    found: list[_Place] = []
    for k, argument in enumerate(arguments):
        items = cast("list[Any]", argument) if isinstance(argument, list | tuple) else []
        found += [_Place(k, None)] if _is_number(argument) else []
        found += [_Place(k, j) for j, item in enumerate(items) if _is_number(item)]
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel() > 0


def _in_type(values: Any, dtype: torch.dtype) -> Any:
    if isinstance(values, dict):
        return {name: _in_type(value, dtype) for name, value in cast("dict[str, Any]", values).items()}
    if isinstance(values, list | tuple):
        return tuple(_in_type(value, dtype) for value in cast("list[Any]", values))
    return values.detach().to(dtype) if isinstance(values, torch.Tensor) and values.is_floating_point() else values
