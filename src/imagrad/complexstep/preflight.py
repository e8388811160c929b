"""Preflight: what would make a derivative meaningless, looked for before any is taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from imagrad.complexstep.cache import check_trace, distance
from imagrad.complexstep.derivatives import plain_value
from imagrad.complexstep.engines import Task, checked_finite, value_and_pull
from imagrad.complexstep.functions import Function, Output, Traced, layers_in_train_mode, modules_of
from imagrad.complexstep.points import Settings, check_point
from imagrad.complexstep.program import Program, bind
from imagrad.complexstep.tracing import Graph, export
from imagrad.errors import DerivativeError, EncoderError, ImageError, ImagradError

_EQUAL = 100.0  # units of rounding that two runs of one network may differ by: kernels choose their order by batch size
_SAME_DERIVATIVE = 1e-6
_TF32_DEVICES = ("cuda",)
_TRIES = 3  # beside the images: where rounding decides the side of a kink, autograd's may be another


@dataclass(frozen=True)
class Finding:
    """Something that would make a derivative meaningless, or mean something else than one thinks."""

    kind: str
    message: str
    is_fatal: bool
    """True: no derivative is given. False: it is given, and means what the message says."""

    def __str__(self) -> str:
        """One line."""
        return f"{'problem' if self.is_fatal else 'note'} ({self.kind}): {self.message}"


@dataclass(frozen=True)
class Preflight:
    """All that was found about a network and a batch."""

    findings: tuple[Finding, ...]
    looked_for: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing was found that would make derivatives meaningless."""
        return not any(finding.is_fatal for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return it in plain types, for JSON."""
        return {
            "passed": self.passed,
            "findings": [asdict(finding) for finding in self.findings],
            "looked_for": list(self.looked_for),
        }

    def __str__(self) -> str:
        """Return a few readable lines."""
        verdict = "ready to be explained" if self.passed else "cannot be explained as it is"
        lines = [f"Preflight: {verdict}; looked for: {', '.join(self.looked_for)}."]
        return "\n".join([*lines, *(f"  {finding}" for finding in self.findings)])


@dataclass(frozen=True)
class _Subject:
    """What is looked at."""

    function: Function
    images: torch.Tensor
    held: tuple[torch.Tensor, ...]
    output: Output
    first: torch.Tensor
    """What the function returned for the images."""
    graph: Graph | None = None

    def again(self, images: torch.Tensor, *held: torch.Tensor) -> torch.Tensor:
        """Run the function itself once more."""
        return plain_value(self.function, (images, *held), self.output)

    def program(self, dtype: torch.dtype) -> Program:
        """Return its program in a type."""
        assert self.graph is not None
        return bind(self.graph, self.function, dtype, self.images.device)

    def points(self, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
        """Return the images and what is held, in a type."""
        return tuple(x.to(dtype) if x.is_floating_point() else x for x in (self.images, *self.held))


def preflight(
    function: Function, images: torch.Tensor, *, output: Output = None, held: tuple[torch.Tensor, ...] = ()
) -> Preflight:
    """Look for what would make the derivatives of `function` at a batch of images meaningless.

    Costly tests that `saliency` does not make are made here: the network is run again, with the images in another order
    and one by one, and its derivative is compared with autograd's. Raises `InputError` and `EncoderError` for what is
    no network or no batch; everything else is a finding. The network is given back as it was.
    """
    _check_batch(images, held)
    found: list[Finding] = [*_train_mode(function), *_surroundings(function, images)]
    state = _state(function)
    try:
        draws = torch.random.fork_rng([images.device] if images.is_cuda else [])  # what is drawn is not the user's
        with draws, torch.autocast(images.device.type, enabled=False):
            found += _findings(function, images, held, output)
    finally:
        found += _changed(state)
    return Preflight(tuple(found), LOOKED_FOR)


def _findings(
    function: Function, images: torch.Tensor, held: tuple[torch.Tensor, ...], output: Output
) -> Iterator[Finding]:
    """Run the network in several ways, then trace it."""
    subject = _Subject(function, images, held, output, plain_value(function, (images, *held), output))
    _check_codes(subject)
    for look in (_not_finite, _is_random, _is_coupled):
        yield from look(subject)
    try:
        subject = replace(subject, graph=export(function, (images, *held), batched=True, output=output))
        for look in (_rounds_to_tf32, _differs_from_its_trace, _stands_at_kinks, _hides_from_autograd):
            yield from look(subject)
    except ImagradError as error:
        yield Finding("operations", str(error), is_fatal=True)


def _check_batch(images: torch.Tensor, held: tuple[torch.Tensor, ...]) -> None:
    """Raise `InputError` unless there are finite floating-point images, with a row of each held tensor for each."""
    check_point(images)
    for tensor in held:
        if tensor.ndim == 0 or len(tensor) != len(images):
            raise ImageError(
                f"each tensor of `held` must have one row an image, {len(images)} of them; got {tuple(tensor.shape)}."
            )


def _check_codes(subject: _Subject) -> None:
    if subject.first.ndim == 0 or len(subject.first) != len(subject.images):
        raise EncoderError(
            f"an encoder must return codes (n, q), one row an image; for {len(subject.images)} images this one "
            f"returned {tuple(subject.first.shape)}. An encoder always takes and returns a batch."
        )


LOOKED_FOR = (
    "train mode", "autocast", "half precision", "codes that are not finite", "randomness",
    "images that influence each other", "state that changes", "operations", "TF32", "a trace that differs", "kinks",
    "what is hidden from autograd",
)  # fmt: skip
"""The kinds of findings. "operations": those without a rule, that draw at random, that branch on data, ..."""


def _train_mode(function: Function) -> Iterator[Finding]:
    for name in layers_in_train_mode(function):
        yield Finding("train mode", f"{name} is in train mode; call .eval().", is_fatal=True)


def _surroundings(function: Function, images: torch.Tensor) -> Iterator[Finding]:
    device = images.device.type
    if torch.is_autocast_enabled(device):
        told = "autocast is on: the network runs in half precision, its derivatives do not. Leave the context first."
        yield Finding("autocast", told, is_fatal=True)
    types = {parameter.dtype for module in modules_of(function) for parameter in module.parameters()}
    for dtype in sorted(map(str, types & {torch.float16, torch.bfloat16})):
        told = f"the weights are {dtype}: ask for dtype=torch.float32 or float64, on a converted copy of them."
        yield Finding("half precision", told, is_fatal=False)


@dataclass(frozen=True)
class _Held:
    """A parameter or buffer, where it is kept, and what it was."""

    owner: nn.Module
    name: str
    tensor: torch.Tensor
    copy: torch.Tensor

    def give_back(self) -> bool:
        """Give the network what it had; say whether it had changed it."""
        last = self.name.rpartition(".")[2]
        keeper = self.owner.get_submodule(self.name.rpartition(".")[0])
        with torch.no_grad():
            same = getattr(keeper, last, None) is self.tensor
            if same and torch.allclose(self.tensor, self.copy, rtol=0, atol=0, equal_nan=True):
                return False
            self.tensor.copy_(self.copy)
        if not same:
            setattr(keeper, last, self.tensor)
        return True


def _state(function: Function) -> list[_Held]:
    return [
        _Held(module, name, tensor, tensor.detach().clone())
        for module in modules_of(function)
        for name, tensor in (*module.named_buffers(), *module.named_parameters())
    ]


def _changed(before: list[_Held]) -> Iterator[Finding]:
    """Compare what the network holds with copies of before, and give it back what it had."""
    changed = [held.name for held in before if held.give_back()]
    if changed:
        told = f"the network changed {', '.join(changed)} while it ran; call .eval(), or do not let it."
        yield Finding("state that changes", told, is_fatal=True)


def _not_finite(subject: _Subject) -> Iterator[Finding]:
    if not torch.isfinite(subject.first).all():
        told = "some codes are NaN or infinite; look at the weights, and at the scale of the images."
        yield Finding("codes that are not finite", told, is_fatal=True)


def _is_random(subject: _Subject) -> Iterator[Finding]:
    again = subject.again(subject.images, *subject.held)
    exact = subject.images.device.type == "cpu"  # elsewhere sums may come in any order
    if not torch.allclose(again, subject.first, rtol=0, atol=0, equal_nan=True) and (
        exact or _differ(again, subject.first)
    ):
        told = "two runs on the same images give different codes; call .eval(), or explain the part before the draw."
        yield Finding("randomness", told, is_fatal=True)


def _is_coupled(subject: _Subject) -> Iterator[Finding]:
    """Turn the batch round, and encode images alone, or one in company: the codes must be those that they were."""
    count = len(subject.images)
    order = torch.arange(count - 1, -1, -1)
    try:
        company = subject.again(*_rows(subject, order.tolist())) if count > 1 else (
            subject.again(torch.cat([0.5 * subject.images, subject.images]), *_rows(subject, [0, 0])[1:])[1:]
        )  # fmt: skip
        coupled = _differ(company[order], subject.first)
        for k in sorted({0, count // 2, count - 1}):
            alone = subject.again(*_rows(subject, [k]))
            coupled = coupled or _differ(alone, subject.first[k : k + 1])
    except ImagradError:
        told = f"the network takes {count} images at a time only; it was not tried on other numbers of them."
        yield Finding("images that influence each other", told, is_fatal=False)
        return
    if coupled:
        told = "the code of an image depends on the others of its batch; call .eval(); an RNN needs batch_first=True."
        yield Finding("images that influence each other", told, is_fatal=True)


def _rows(subject: _Subject, rows: list[int]) -> tuple[torch.Tensor, ...]:
    return tuple(x[rows] for x in (subject.images, *subject.held))


def _differ(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Say whether codes differ by more than rounding; where they are not finite, another check says so."""
    if found.shape != expected.shape:
        return True
    size = max(float(expected.abs().max()), torch.finfo(expected.dtype).tiny)
    return float((found - expected).abs().max()) > _EQUAL * torch.finfo(expected.dtype).eps * size


def _rounds_to_tf32(subject: _Subject) -> Iterator[Finding]:
    """Say so when float32 products on this device have three right digits."""
    assert subject.graph is not None
    if subject.images.device.type not in _TF32_DEVICES or subject.images.dtype != torch.float32:
        return
    convolves = any("conv" in str(node.target) for node in subject.graph.reached)
    backends: Any = torch.backends
    used = [backends.cuda.matmul.fp32_precision, *([backends.cudnn.conv.fp32_precision] if convolves else [])]
    if "tf32" in used:
        told = "TF32 is allowed: float32 products have three right digits. Ask for dtype=torch.float64, or forbid it."
        yield Finding("TF32", told, is_fatal=False)


def _differs_from_its_trace(subject: _Subject) -> Iterator[Finding]:
    dtype = subject.first.dtype
    with torch.no_grad():
        try:
            check_trace(distance(subject.program(dtype).run_real(*subject.points(dtype)), subject.first), dtype)
        except ImagradError as error:
            yield Finding("a trace that differs", str(error), is_fatal=True)


def _stands_at_kinks(subject: _Subject) -> Iterator[Finding]:
    with torch.no_grad():
        _, ties = subject.program(torch.float64).ties(*subject.points(torch.float64))
    for operation, count in ties.items():
        told = (
            f"{operation} stands exactly at a kink {count} times: the derivative there is a choice. "
            'kinks="ad" takes autograd\'s, "right", "left" and "mean" the one-sided ones; compare them.'
        )
        yield Finding("kinks", told, is_fatal=False)


def _hides_from_autograd(subject: _Subject) -> Iterator[Finding]:
    """Compare the transposed derivative with autograd's, in the network's own type: detach and its like differ."""
    dtype = subject.first.dtype
    program, held = subject.program(dtype), subject.points(dtype)[1:]
    generator = torch.Generator().manual_seed(0)
    limit = max(_SAME_DERIVATIVE, 1e4 * torch.finfo(dtype).eps)
    for k in range(_TRIES):
        noise = torch.randn(subject.images.shape, generator=generator, dtype=torch.float64).to(subject.images)
        point = subject.images + (0 if k == 0 else _SAME_DERIVATIVE) * noise
        cotangent = torch.randn(subject.first.shape, generator=generator, dtype=torch.float64).to(subject.first)
        task = Task(program, point.to(dtype), held, Settings(engine="transpose"), batched=True)
        try:
            mine = checked_finite(value_and_pull(task)[1](cotangent[None])[0])
        except DerivativeError as error:
            yield Finding("operations", str(error), is_fatal=True)
            return
        theirs = _by_autograd(subject, point, cotangent)
        size = max(float(mine.abs().max()), float(theirs.abs().max()), torch.finfo(dtype).tiny)
        if float((mine - theirs).abs().max()) <= limit * size:
            return
    told = (
        "autograd would give another derivative: the network detaches something, or has a gradient of its own "
        "(a straight-through trick). imagrad differentiates what is computed forward."
    )
    yield Finding("what is hidden from autograd", told, is_fatal=False)


def _by_autograd(subject: _Subject, images: torch.Tensor, cotangent: torch.Tensor) -> torch.Tensor:
    point = images.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        value = Traced(subject.function, subject.output)(point, *subject.held)
        if not value.requires_grad:
            return torch.zeros_like(point)
        (found,) = torch.autograd.grad(value, point, cotangent, allow_unused=True, materialize_grads=True)
    return found
