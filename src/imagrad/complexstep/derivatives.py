"""Derivatives of any function at one point: jvp, jacobian, gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import torch

from imagrad.complexstep.cache import StaleGraphError, program_of, remembered
from imagrad.complexstep.engines import Task, checked_finite, column_blocks, push, recording
from imagrad.complexstep.functions import Function, Output, Traced, called, layers_in_train_mode, parameters_used
from imagrad.complexstep.number import Lifted
from imagrad.complexstep.points import DEFAULT_STEP, Settings, check_point
from imagrad.complexstep.program import bind
from imagrad.complexstep.rows import row_blocks
from imagrad.errors import DerivativeError, EncoderError, ImagradError, InputError


def jvp(
    function: Function, point: torch.Tensor, tangent: torch.Tensor, *, engine: str = "auto", step: float = DEFAULT_STEP,
    kinks: str = "ad", dtype: torch.dtype | None = None, output: Output = None, differentiable: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Return the value at `point` and the derivative along `tangent`, a tensor of the point's shape.

    The keywords are those of `jacobian`; "auto" is "forward". With engine="transpose" the derivative comes from all
    rows of the Jacobian.
    """
    settings = Settings(engine, step, kinks, dtype, None, differentiable)
    task = prepare(function, point, settings, output)
    if not isinstance(tangent, torch.Tensor) or tangent.shape != point.shape:  # pyright: ignore[reportUnnecessaryIsInstance]
        got = tuple(tangent.shape) if hasattr(tangent, "shape") else type(tangent).__name__
        raise InputError(f"`tangent` must be a tensor of the point's shape, {tuple(point.shape)}; got {got}.")
    direction = tangent.to(task.point)
    if engine == "transpose":
        value = task.program.run_real(task.point)
        rows = whole_jacobian(task, value.numel())[0]
        derivative = (rows @ direction.flatten()).view(value.shape)
    else:
        with recording(task):
            value = task.program.run(Lifted(task.point, torch.zeros_like(task.point), settings.arithmetic)).re
        derivative = push(task, direction[None])[0]
    dtype = settings.type_for(point.dtype)
    return value.to(dtype), derivative.to(dtype)


def jacobian(
    function: Function, point: torch.Tensor, *, engine: str = "auto", step: float = DEFAULT_STEP, kinks: str = "ad",
    dtype: torch.dtype | None = None, output: Output = None, memory_budget: int | None = None,
    differentiable: bool = False,
) -> torch.Tensor:  # fmt: skip
    """Differentiate `function` at one point: shape output.shape + point.shape, as `torch.func.jacrev` has it.

    Parameters
    ----------
    function
        A network, a method of one, or any function of a tensor that `torch.export` can trace. It is not changed.
        Other arguments are held by closing over them: `lambda x: net(x, condition)`.
    point
        Real floating-point numbers. A NumPy array is taken for the point of a NumPy function: `jacobian_of_array`.
    engine, step, kinks, dtype, memory_budget, differentiable
        See `Settings`.
    output
        Which of several results: a position, a key, an attribute, or a path of these such as "latent.0".

    Raises `InputError` for a point or option that cannot be, `EncoderError` for a function that is none of one tensor
    to one tensor, and `DerivativeError` (its subclasses say more) where no exact derivative can be given.
    Squire and Trapp 1998 (SIAM Review 40:110): df/dx = Im f(x + ih) / h + O(h**2), Eq. 2 of the paper.
    """
    if isinstance(point, np.ndarray):
        from imagrad.complexstep.arrays.jacobian import jacobian_of_array

        return cast("torch.Tensor", jacobian_of_array(function, point, step=step))  # an array for an array
    settings = Settings(engine, step, kinks, dtype, memory_budget, differentiable)

    def compute(task: Task) -> torch.Tensor:
        shape = task.program.graph.output_shape
        rows = whole_jacobian(task, shape.numel())[0]
        return rows.to(settings.type_for(point.dtype)).reshape(shape + point.shape)

    return differentiated(function, point, settings, output, compute)


def whole_jacobian(
    task: Task, outputs: int, features: torch.Tensor | None = None, chosen: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the Jacobian, (n, outputs, features), n being 1 for a single point.

    Of some features, indices in rising order, or some outputs alone, if so asked.
    """
    m = task.point[0].numel() if task.batched else task.point.numel()
    features = torch.arange(m, device=task.point.device) if features is None else features
    chosen = torch.arange(outputs, device=task.point.device) if chosen is None else chosen
    if task.chooses_forward(len(features), len(chosen)):
        columns = torch.cat([flat_codes(block) for block in column_blocks(task, features)])  # (m, n, q)
        return columns.permute(1, 2, 0)[:, chosen]
    rows = torch.cat([of_features(flat_codes(rows), features) for _, rows in row_blocks(task, chosen)])  # (q, n, m)
    return checked_finite(rows.transpose(0, 1))


def of_features(rows: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Pick features, indices in rising order, from rows (..., m), without a copy when all are asked for."""
    return rows if len(features) == rows.shape[-1] else rows[..., features]


def flat_codes(blocks: torch.Tensor) -> torch.Tensor:
    """Flatten what comes after the first two axes, (k, n, *): (k, n, elements), also where nothing does."""
    return blocks.reshape(*blocks.shape[:2], -1)


def gradient(
    function: Function, point: torch.Tensor, *, engine: str = "auto", step: float = DEFAULT_STEP, kinks: str = "ad",
    dtype: torch.dtype | None = None, output: Output = None, memory_budget: int | None = None,
    differentiable: bool = False,
) -> torch.Tensor:  # fmt: skip
    """Differentiate a function of one number: the shape of `point`. The keywords are those of `jacobian`."""
    rows = jacobian(
        function, point, engine=engine, step=step, kinks=kinks, dtype=dtype, output=output,
        memory_budget=memory_budget, differentiable=differentiable,
    )  # fmt: skip
    if rows.numel() != point.numel():
        shape = tuple(rows.shape[: rows.ndim - point.ndim])
        raise InputError(
            f"a gradient is that of one number; this function returns {shape}. Use `jacobian`, or a function that "
            "picks or sums."
        )
    return rows.reshape(point.shape)


def prepare(function: Function, point: torch.Tensor, settings: Settings, output: Output = None) -> Task:
    """Trace the function at one point and give it its weights."""
    check_point(point)
    refuse_train_mode(function)
    dtype = settings.computing_type_for(point.dtype)
    own = plain_value(function, (point,), output)
    if not torch.isfinite(own).all():
        raise DerivativeError(
            "all derivatives must be finite; at this point the function itself returns NaN or infinity. Look at its "
            "weights, and at the scale of its input."
        )
    if settings.differentiable:
        refuse_lost_parameters(function, point, output)
    program = program_of(function, (point,), own, batched=False, output=output).program
    if settings.differentiable or (dtype, point.device) != (program.dtype, program.device):
        differentiable = settings.differentiable
        program = bind(program.graph, function, dtype, point.device, differentiable=differentiable)
    task = Task(program, point.to(dtype) if settings.differentiable else point.detach().to(dtype), (), settings)
    if settings.kinks == "raise":
        refuse_ties(program.ties(task.point.detach())[1])
    return task


Result = TypeVar("Result")


def differentiated(
    function: Function, point: torch.Tensor, settings: Settings, output: Output, compute: Callable[[Task], Result]
) -> Result:
    """Compute something of a function at one point.

    The graph of a function met before is compared with it by the value that comes along with its rows, which saves a
    run; when they differ it is traced again and all is done once more.
    """
    quick = _quick_task(function, point, settings, output)
    if quick is not None:
        try:
            return compute(quick)
        except StaleGraphError:
            pass
    return compute(prepare(function, point, settings, output))


def _quick_task(function: Function, point: torch.Tensor, settings: Settings, output: Output) -> Task | None:
    """Return the task of a remembered graph, where its transposed derivative is wanted in the function's own type."""
    is_plain = settings.kinks == "ad" and not settings.differentiable and settings.engine in ("auto", "transpose")
    check_point(point)
    if not is_plain or settings.dtype not in (None, point.dtype) or settings.type_for(point.dtype) != point.dtype:
        return None
    refuse_train_mode(function)
    own = plain_value(function, (point,), output)
    known = remembered(function, (point,), own, output=output)
    if known is None or (known[0].dtype, known[0].device) != (point.dtype, point.device):
        return None
    task = Task(known[0], point.detach(), (), settings, expected=known[1])
    return None if task.chooses_forward(point.numel(), own.numel()) else task


def refuse_train_mode(function: Function) -> None:
    """Raise `EncoderError` when a layer would mix images, draw at random, or change when it is run."""
    for name in layers_in_train_mode(function):
        raise EncoderError(
            f"the network must be in eval mode; {name} is in train mode, where it mixes the images of a batch or draws "
            "at random. Call .eval() first."
        )


def refuse_lost_parameters(function: Function, point: torch.Tensor, output: Output) -> None:
    """Raise `DerivativeError` when gradients would not reach a parameter that the function uses."""
    root = Traced(function, output)
    with torch.enable_grad():
        used = parameters_used(root(point))
    known = {id(parameter) for parameter in root.parameters()} | {id(point)}
    lost = [tuple(parameter.shape) for parameter in used if id(parameter) not in known]
    if lost:
        raise DerivativeError(
            "with differentiable=True gradients must reach every parameter; this function uses some, of shape "
            f"{', '.join(map(str, lost))}, that belong to no module that it is, owns or closes over. Make it a "
            "method of the torch.nn.Module that holds them."
        )


def refuse_ties(ties: Any) -> None:
    """Raise `DerivativeError`, naming the operations, when kinks are hit exactly."""
    if ties:
        met = ", ".join(f"{operation} {count} times" for operation, count in ties.items())
        raise DerivativeError(
            f"this input stands exactly at a kink, where there is no derivative: {met}. "
            'Use kinks="ad" for the derivative that autograd takes there, or "right", "left" or "mean".'
        )


def plain_value(function: Function, inputs: Sequence[torch.Tensor], output: Output) -> torch.Tensor:
    """Run the function itself; raise `EncoderError` unless it takes the inputs and returns real numbers."""
    first, *held = inputs
    if torch.is_autocast_enabled(first.device.type):
        raise EncoderError(
            "autocast must be off: the network would run in half precision, its derivatives not. Leave its context."
        )
    if not callable(function) or isinstance(function, type):
        raise EncoderError(f"what is differentiated must be a network or a function; got {function!r}.")
    try:
        with torch.no_grad():
            value = called(function, (first.detach(), *held), output)
    except ImagradError:
        raise
    except Exception as error:
        raise EncoderError(
            f"the function must take a tensor of shape {tuple(first.shape)}, {first.dtype}, on {first.device}; it "
            f"raised {type(error).__name__}: {error} "
            "(Are the network and the point of one type, net.double(), and on one device, net.to(x.device)?)"
        ) from error
    if not value.is_floating_point():
        raise EncoderError(
            f"what is differentiated must be real floating-point numbers; this function returns {value.dtype}, "
            f"{tuple(value.shape)}. Explain the layer before they become "
            f"{'complex' if value.is_complex() else 'whole'}."
        )
    return value
