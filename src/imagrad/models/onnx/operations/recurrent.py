"""Recurrent networks, one step after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from imagrad.models.onnx.table import RefusedError, operation
from imagrad.models.onnx.values import Tensor

_FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "Relu": torch.relu
}  # fmt: skip

_State = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class _Weights:
    """Of one direction."""

    of_input: torch.Tensor
    of_state: torch.Tensor
    bias_of_input: torch.Tensor
    bias_of_state: torch.Tensor
    functions: tuple[Callable[[torch.Tensor], torch.Tensor], ...]

    def gates(self, x: torch.Tensor, hidden: torch.Tensor, count: int) -> tuple[_State, _State]:
        """Return what the input and what the hidden state say to each gate."""
        from_input = x @ self.of_input.T + self.bias_of_input
        from_state = hidden @ self.of_state.T + self.bias_of_state
        return from_input.chunk(count, -1), from_state.chunk(count, -1)


_Step = Callable[[torch.Tensor, _State, _Weights], _State]


@operation("RNN", has_several=True)
def _rnn(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None, *, hidden_size: int, direction: str = "forward", layout: int = 0,
    activations: Sequence[str] = (), clip: float | None = None,
) -> _State:  # fmt: skip
    """Recur plainly: the input and the last state, through one activation."""

    def step(now: torch.Tensor, state: _State, weights: _Weights) -> _State:
        (i,), (h,) = weights.gates(now, state[0], 1)
        return (weights.functions[0](i + h),)

    _refuse(sequence_lens=sequence_lens, layout=layout, clip=clip)
    named = activations or ("Tanh",) * len(w)
    return _run(x, _directions(w, r, b, named), direction, (initial_h,), step)


@operation("GRU", has_several=True)
def _gru(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None, *, hidden_size: int, direction: str = "forward", layout: int = 0,
    activations: Sequence[str] = (), clip: float | None = None, linear_before_reset: int = 0,
) -> _State:  # fmt: skip
    """Gated recurrent units."""

    def step(now: torch.Tensor, state: _State, weights: _Weights) -> _State:
        gate, cell = weights.functions
        (zi, ri, ni), (zh, rh, nh) = weights.gates(now, state[0], 3)
        update, reset = gate(zi + zh), gate(ri + rh)
        if linear_before_reset:
            new = cell(ni + reset * nh)
        else:
            size = state[0].shape[-1]
            of_state, bias = weights.of_state[2 * size :], weights.bias_of_state[2 * size :]
            new = cell(ni + (reset * state[0]) @ of_state.T + bias)
        return ((1 - update) * new + update * state[0],)

    _refuse(sequence_lens=sequence_lens, layout=layout, clip=clip)
    named = activations or ("Sigmoid", "Tanh") * len(w)
    return _run(x, _directions(w, r, b, named), direction, (initial_h,), step)


@operation("LSTM", has_several=True)
def _lstm(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None, initial_c: Tensor | None = None, p: Tensor | None = None, *,
    hidden_size: int, direction: str = "forward", layout: int = 0, activations: Sequence[str] = (),
    clip: float | None = None, input_forget: int = 0,
) -> _State:  # fmt: skip
    """Long short-term memory."""

    def step(now: torch.Tensor, state: _State, weights: _Weights) -> _State:
        gate, cell, out = weights.functions
        (ii, oi, fi, ci), (ih, oh, fh, ch) = weights.gates(now, state[0], 4)
        memory = gate(fi + fh) * state[1] + gate(ii + ih) * cell(ci + ch)
        return gate(oi + oh) * out(memory), memory

    _refuse(sequence_lens=sequence_lens, layout=layout, clip=clip, p=p, input_forget=input_forget)
    named = activations or ("Sigmoid", "Tanh", "Tanh") * len(w)
    return _run(x, _directions(w, r, b, named), direction, (initial_h, initial_c), step)


def _refuse(**options: Any) -> None:
    for name, value in options.items():
        if isinstance(value, torch.Tensor) or value:
            raise RefusedError(f"`{name}` is not covered")


def _directions(w: torch.Tensor, r: torch.Tensor, b: torch.Tensor | None, named: Sequence[str]) -> list[_Weights]:
    """Split the weights, and the names of activation functions, by direction."""
    unknown = sorted(set(named) - set(_FUNCTIONS))
    if unknown:
        raise RefusedError(f"the activation {unknown[0]!r} is not covered; {', '.join(_FUNCTIONS)} are")
    each = len(named) // len(w)
    found: list[_Weights] = []
    for k in range(len(w)):
        functions = tuple(_FUNCTIONS[name] for name in named[k * each : (k + 1) * each])
        biases = w.new_zeros(2 * w.shape[1]) if b is None else b[k]
        found.append(_Weights(w[k], r[k], biases[: w.shape[1]], biases[w.shape[1] :], functions))
    return found


def _run(
    x: torch.Tensor, directions: list[_Weights], direction: str, initial: Sequence[torch.Tensor | None], step: _Step
) -> _State:
    """Go through x (time, n, features); return all hidden states (time, directions, n, hidden) and the last states."""
    outputs: list[torch.Tensor] = []
    lasts: list[_State] = []
    for k, weights in enumerate(directions):
        nothing = x.new_zeros(x.shape[1], weights.of_state.shape[1])
        state: _State = tuple(nothing if start is None else start[k] for start in initial)
        is_reverse = direction == "reverse" or k == 1
        steps = x.unbind(0)[::-1] if is_reverse else x.unbind(0)
        hidden: list[torch.Tensor] = []
        for now in steps:
            state = step(now, state, weights)
            hidden.append(state[0])
        outputs.append(torch.stack(hidden[::-1] if is_reverse else hidden))
        lasts.append(state)
    return torch.stack(outputs, 1), *(torch.stack(parts) for parts in zip(*lasts, strict=True))
