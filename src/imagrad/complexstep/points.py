"""What may be differentiated, and how: checks at the border."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from imagrad.complexstep.number import Arithmetic
from imagrad.errors import InputError

DEFAULT_STEP = 2.0**-66
"""A power of two, so that dividing by it is exact. It must be small against the distance to the nearest singularity,
such as a denominator kept from zero by 1e-12; for one kept from it by less than 1e-16, take a smaller step."""

SMALLEST_STEP, LARGEST_STEP = 1e-200, 2.0**-53
ENGINES = ("auto", "complex", "forward", "transpose")
KINKS = ("ad", "right", "left", "mean", "raise")
ONE_SIDED = ("right", "left", "mean")

_SHARE = 4  # of the free memory, one part in so many
_LARGEST_BUDGET = 2**26  # more at once is slower: it leaves the caches
_A_WHILE = 1.0  # seconds, for which what is free is taken to stay so: it is read from files


@dataclass(frozen=True)
class Settings:
    """How derivatives are taken; the keywords that every function of `imagrad.complexstep` understands."""

    engine: str = "auto"
    """"complex": complex128 with the imaginary part `step`. "forward": the same numbers with the step divided out, one
    direction of the input after the other. "transpose": the forward computation, which is linear in its direction, run
    backwards, one output after the other. "auto": the cheaper of the last two."""
    step: float = DEFAULT_STEP
    """h of Eq. 2, from 1e-200 to 2**-53; only "complex" has one."""
    kinks: str = "ad"
    """Where an operation has no derivative (ReLU at 0): "ad" takes the one that autograd takes, "right" and "left" the
    one-sided ones along the input's axes, "mean" their mean, and "raise" raises `DerivativeError`."""
    dtype: torch.dtype | None = None
    """What is computed and returned in; default: the point's. The weights are converted, on a copy."""
    memory_budget: int | None = None
    """Bytes that the perturbations under way may take; default: a quarter of the free memory, at most 64 MiB."""
    differentiable: bool = False
    """Keep the result connected to the point and to the network's parameters, so that gradients reach them."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        check_choice("engine", self.engine, ENGINES)
        check_choice("kinks", self.kinks, KINKS)
        check_step(self.step)
        if self.memory_budget is not None:
            check_budget(self.memory_budget)
        if self.dtype is not None and self.dtype not in (torch.float32, torch.float64):
            raise InputError(f"`dtype` must be torch.float32 or torch.float64; got {self.dtype}.")
        if self.engine == "transpose":
            self.refuse_one_sided("the transpose")

    def refuse_one_sided(self, what: str) -> None:
        """Raise `InputError` when the kink policy is not linear in the direction."""
        if self.kinks in ONE_SIDED:
            raise InputError(
                f'{what} needs derivatives that are linear in the direction; kinks="{self.kinks}" gives one-sided '
                'ones, which are not. Use engine="forward" for them, or kinks="ad".'
            )

    @property
    def arithmetic(self) -> Arithmetic:
        """How the numbers compute."""
        return Arithmetic(self.engine == "complex", self.kinks in ONE_SIDED)

    def type_for(self, dtype: torch.dtype) -> torch.dtype:
        """Return the type of the results for a point of type `dtype`."""
        if self.dtype is None and dtype not in (torch.float32, torch.float64):
            raise InputError(
                f"derivatives in {dtype} would have two or three right digits; ask for dtype=torch.float32 or "
                "torch.float64: they are then computed in it, on a converted copy of the weights."
            )
        return self.dtype or dtype

    def computing_type_for(self, dtype: torch.dtype) -> torch.dtype:
        """Return the type that is computed in."""
        return torch.float64 if self.engine == "complex" else self.type_for(dtype)

    def budget(self, device: torch.device) -> int:
        """Return the bytes that perturbations may take on the device."""
        return self.memory_budget or min(_LARGEST_BUDGET, max(1, _lately_free(device) // _SHARE))


def _lately_free(device: torch.device) -> int:
    return _free_while(device, int(time.monotonic() / _A_WHILE))


@lru_cache(maxsize=1)
def _free_while(device: torch.device, period: int) -> int:
    del period  # another one, and what is remembered is not found
    return free_memory(device)


def free_memory(device: torch.device) -> int:
    """Return the bytes that are free on a device, for the CPU within the limit of the control group."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min(_available(), _left_in_group())


def _available() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # no Linux
        names = getattr(os, "sysconf_names", {})
        known = "SC_PAGE_SIZE" in names and "SC_PHYS_PAGES" in names
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2 if known else _LARGEST_BUDGET * _SHARE


def _left_in_group() -> int:
    group = Path("/sys/fs/cgroup")
    try:
        return max(0, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):  # no control group, or one without a limit
        return 2**63


def check_choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    """Raise `InputError`, listing the known ones, unless the option's value is one of them."""
    if value not in known:
        raise InputError(f"`{name}` must be one of: {', '.join(known)}; got {value!r}.")


def check_point(point: Any) -> None:
    """Raise `InputError` unless `point` is a real floating-point tensor, not empty, with finite values."""
    if not isinstance(point, torch.Tensor) or point.numel() == 0:
        got = f"one of shape {tuple(point.shape)}" if hasattr(point, "shape") else f"a {type(point).__name__}"
        raise InputError(f"what is differentiated must be a torch.Tensor with at least one element; got {got}.")
    if not point.is_floating_point():
        raise InputError(
            f"what is differentiated must be real floating-point numbers; got {point.dtype}. "
            "Integers, such as the tokens of a text, have no derivative: explain what they are turned into, as "
            "net(embeddings) of the embeddings, or convert numbers that only look whole with .float()."
            if not point.is_complex()
            else f"what is differentiated must be real floating-point numbers; got {point.dtype}. "
            "Pass the real part and the imaginary part as two channels."
        )
    if not all_finite(point):
        count = int((~torch.isfinite(point)).sum())
        raise InputError(f"all values must be finite; {count} of {point.numel()} are NaN or infinite.")


def all_finite(values: torch.Tensor) -> bool:
    """Say whether there is no NaN and no infinity among floating-point values.

    A sum that is finite has only finite terms; where it is not, they may still be: it may have overflowed.
    """
    return bool(torch.isfinite(values.detach().sum())) or bool(torch.isfinite(values).all())


def normal(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Draw standard normal numbers in the shape and type of a tensor, the same ones whatever the device."""
    return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)


def check_budget(memory_budget: int) -> None:
    """Raise `InputError` unless the budget is a positive number of bytes."""
    if memory_budget < 1:
        raise InputError(f"`memory_budget` must be a positive number of bytes; got {memory_budget}.")


def check_device(name: torch.device | str) -> None:
    """Raise `InputError` for a device that this machine has not, or on which float64 does not work."""
    try:
        if torch.empty(0, device=name).device.type not in ("cpu", "cuda"):
            raise RuntimeError("only cpu and cuda compute in float64")
    except (RuntimeError, AssertionError) as error:
        told = str(error).strip().split("\n", 1)[0]
        raise InputError(f"`device` must be one that this machine has; {str(name)!r} is not: {told}") from error


def check_step(step: float) -> None:
    """Raise `InputError` for a step so large that h**2 can be seen, or so small that it underflows."""
    if not SMALLEST_STEP <= step <= LARGEST_STEP:
        raise InputError(
            f"`step` must lie between {SMALLEST_STEP:g}, below which it underflows, and 2**-53, above which h**2 "
            f"can be seen; got {step:g}. The default is 2**-66."
        )
