"""Every operator of torch at torch's own samples: right, or refused by name; never wrong.

`python tests/complexstep/test_opinfo.py --renew` writes what it finds into the ratchet file beside it;
with the names of operators instead it prints what it finds of these.
"""

import itertools
import json
import math
import sys
import warnings
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import tree_flatten, tree_unflatten

from imagrad.complexstep.number import Lifted
from imagrad.complexstep.program import bind
from imagrad.complexstep.rule_checks import Case, check_case, differences
from imagrad.complexstep.rules import RULES
from imagrad.complexstep.tracing import record
from imagrad.errors import DerivativeError, EncoderError, ExportError, UnsupportedOperationError

from ..marks import slow

RATCHET = Path(__file__).with_name("opinfo_ratchet.json")
CHUNKS = 24
DRAWN, FIRSTS, OTHERS = 12, 3, 2  # samples of a variant; calls that differentiate the first argument, and another
SMALL, LARGE = 600, 20_000  # numbers in an argument; large samples only where there are no small ones
REFUSALS = (UnsupportedOperationError, ExportError, EncoderError)
FLOAT64 = torch.float64

BY_DIFFERENCES = {  # where autograd is not the truth: compared with extrapolated central differences, to 1e-7
    "nn.functional.hardsigmoid": "autograd's 1/6 is that of float32, off by 3e-8",
    "nn.functional.soft_margin_loss": "autograd takes the target for constant",
    "nn.functional.nll_loss": "autograd takes the weights of the classes for constant",
    "nn.functional.batch_norm": "autograd takes the running statistics for constant",
    "native_batch_norm": "autograd takes the running statistics for constant",
    "native_layer_norm": "autograd takes the mean that is returned, too, for constant",
    "native_group_norm": "autograd takes the mean that is returned, too, for constant",
    "linalg.cholesky": "autograd takes the direction for symmetric; the operation reads one triangle",
    "linalg.cholesky_ex": "autograd takes the direction for symmetric; the operation reads one triangle",
    "nn.functional.binary_cross_entropy": "autograd takes the weights for constant",
    "logcumsumexp": "autograd along a direction loses digits",
}
SKIPPED = {
    **dict.fromkeys(("bfloat16", "half", "float"), "all is computed in one type: a conversion changes nothing"),
    **dict.fromkeys(("empty_like", "new_empty", "new_empty_strided"), "the values are whatever was in the memory"),
}


@dataclass
class Outcome:
    """What was found of a variant."""

    counts: Counter = field(default_factory=Counter)
    operations: set = field(default_factory=set)  # met on the way, in calls that were right
    refusals: list = field(default_factory=list)
    faults: list = field(default_factory=list)

    @property
    def kind(self):
        if self.faults:
            return "wrong"
        if self.counts["right"]:
            return "partly" if self.refusals else "right"
        return "refused" if self.refusals else "no oracle" if self.counts["no oracle"] else "skipped"


@dataclass(frozen=True)
class Call:
    """An operator as a function of its tensors of numbers; the first of `places` is differentiated."""

    operator: object
    structure: object
    values: tuple
    places: tuple

    @property
    def inputs(self):
        return tuple(self.values[place].detach() for place in self.places)

    def __call__(self, *inputs):
        changed = list(self.values)
        for place, value in zip(self.places, inputs, strict=True):
            changed[place] = value
        first, args, kwargs = tree_unflatten(changed, self.structure)
        outputs = [y for y in tree_flatten(self.operator(first, *args, **kwargs))[0] if is_real(y)]
        return torch.cat([y.reshape(-1) for y in outputs]) if len(outputs) > 1 else outputs[0]

    def of_first(self, x):
        return self(x, *self.inputs[1:])


def is_real(value):
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def is_input(value):
    return isinstance(value, torch.Tensor) and value.dtype == FLOAT64 and value.numel() > 0


def name_of(variant):
    return f"{variant.name}.{variant.variant_test_name}" if variant.variant_test_name else variant.name


def calls_of(variant):
    """The operator at small samples, as a function of its first tensor, and of one of the others."""
    torch.manual_seed(0)
    drawn = itertools.islice(variant.sample_inputs("cpu", FLOAT64, requires_grad=False), DRAWN)
    flattened = [tree_flatten((sample.input, sample.args, sample.kwargs)) for sample in drawn]
    sizes = [max([x.numel() for x in values if isinstance(x, torch.Tensor)], default=0) for values, _ in flattened]
    small = [k for k, size in enumerate(sizes) if size <= SMALL] or [
        k for k, size in enumerate(sizes) if size <= LARGE
    ][:2]
    firsts, others = [], []
    for k in small:
        values, structure = flattened[k]
        if any(isinstance(x, torch.Tensor) and x.layout != torch.strided for x in values):
            continue
        places = [place for place, value in enumerate(values) if is_input(value)]
        for place in places:
            call = Call(variant.op, structure, tuple(values), (place, *(p for p in places if p != place)))
            (firsts if place == places[0] else others).append(call)
    return spread(firsts, FIRSTS) + spread(others, OTHERS)


def spread(items, count):
    """At most so many of the items, from the first to the last."""
    if len(items) <= count:
        return items
    return [items[k * (len(items) - 1) // (count - 1)] for k in range(count)]


def truth_of(function, x):
    """The derivative along a direction, by autograd forward or by a double transpose; None where it has none."""

    def forward(direction):
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            return torch.func.jvp(function, (x,), (direction,))[1]

    def transposed_twice(direction):
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            return torch.autograd.functional.jvp(function, x, direction)[1]

    for attempt in (forward, transposed_twice):
        try:
            attempt(torch.ones_like(x))
        except (RuntimeError, NotImplementedError):
            continue
        return attempt
    return None


def examine(variant):
    """Classify a variant by its samples."""
    outcome = Outcome()
    if FLOAT64 not in variant.dtypes or name_of(variant) in SKIPPED:
        return outcome
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            calls = calls_of(variant)
        except (RuntimeError, ValueError, NotImplementedError, AssertionError):
            calls = []  # of other devices, or torch's own trouble
        for call in calls:
            examine_call(outcome, call, name_of(variant))
    return outcome


def examine_call(outcome, call, name):
    x, *held = call.inputs
    try:
        value = call.of_first(x.clone())
    except Exception:  # the operator itself refuses the sample, or returns no real numbers
        outcome.counts["skipped"] += 1
        return
    if value.numel() == 0 or value.layout != torch.strided:
        outcome.counts["skipped"] += 1
        return
    try:
        graph = record(call, (x, *held))
        case = case_of(graph, call, value, name)
        if case is not None:
            check_case(case)
            check_float32(graph, call)
    except REFUSALS as error:
        outcome.refusals.append(str(error))
        return
    except Exception as error:  # a wrong derivative, or code of ours that broke
        outcome.faults.append(str(error) if isinstance(error, DerivativeError) else f"{type(error).__name__}: {error}")
        return
    outcome.counts["right" if case else "no oracle"] += 1
    if case:
        outcome.operations |= {str(node.target) for node in graph.reached if str(node.target) in RULES}


def case_of(graph, call, value, name):
    """What check_case needs; None without a truth to compare with."""
    x, *held = call.inputs
    program = bind(graph, call, FLOAT64, "cpu")
    gap = distance_to_kink(program, x, *held)
    truth = None if name in BY_DIFFERENCES else truth_of(call.of_first, x)
    if truth is not None:
        return Case(name, lambda point: program.run(point, *held), x, value, truth, 1e-10, is_at_kink=gap == 0)
    if gap == 0:
        return None
    step = min(2.0**-8, 0.25 * gap)
    return Case(
        name, lambda point: program.run(point, *held), x, value, differences(call.of_first, x, step), 1e-7, 64 / step
    )


def distance_to_kink(program, x, *held):
    """How far the nearest kink of any operation is."""
    gaps = [math.inf]
    with torch.no_grad():
        program.run_real(x, *held, watch=lambda node, gap: gaps.append(float(gap.min()) if gap.numel() else math.inf))
    return min(gaps)


def check_float32(graph, call):
    """A rule must not turn float32 into float64, or the reverse."""
    x, *held = (value.float() for value in call.inputs)
    with torch.no_grad():
        result = bind(graph, call, torch.float32, "cpu").run(Lifted(x, torch.ones_like(x)), *held)
    if {result.re.dtype, result.im.dtype} != {torch.float32}:
        raise DerivativeError(f"in float32 the value is in {result.re.dtype}, the derivative in {result.im.dtype}")


# --- tests ---
VARIANTS = {name_of(variant): variant for variant in op_db}


def ratchet():
    return json.loads(RATCHET.read_text())


def chunks():
    """All of them take about 90 seconds."""
    return slow(*range(CHUNKS))


@pytest.mark.parametrize("chunk", chunks())
def test_operators_are_right_or_refused_by_name(chunk):
    found = {name: examine(VARIANTS[name]) for name in list(VARIANTS)[chunk::CHUNKS]}
    wrong = {name: outcome.faults for name, outcome in found.items() if outcome.kind == "wrong"}
    assert not wrong
    known = ratchet()
    better = {"right": ("right",), "partly": ("right", "partly")}
    lost = [
        f"{name} was {kind}, is {found[name].kind}: {found[name].refusals[:1]}"
        for kind, allowed in better.items()
        for name in known[kind]
        if name in found and found[name].kind not in allowed
    ]
    assert not lost
    unmet = [op for op, name in known["met"].items() if name in found and op not in found[name].operations]
    assert not unmet
    for name, outcome in found.items():
        for refusal in outcome.refusals:
            assert any(word in refusal for word in ("aten.", "prims.", "torch_nn.", "must ")), (
                name,
                refusal,
            )


def test_most_operators_are_right():
    known = ratchet()
    assert len(known["right"]) >= 430
    assert set(known["right"]) <= set(VARIANTS)


# --- tests of the sweep: each planted fault is found ---
def planted(monkeypatch, operation, apply):
    monkeypatch.setitem(RULES._entries, operation, replace(RULES[operation], apply=apply))


def test_a_slope_off_by_a_thousandth_is_found(monkeypatch):
    right = RULES["aten.tanh.default"].apply
    assert examine(VARIANTS["tanh"]).kind == "right"
    planted(monkeypatch, "aten.tanh.default", lambda z: z.of(right(z).re, 1.001 * right(z).im))
    outcome = examine(VARIANTS["tanh"])
    assert outcome.kind == "wrong"
    assert "1.001 times as much" in outcome.faults[0]


def test_a_rule_that_is_not_linear_is_found(monkeypatch):
    planted(
        monkeypatch, "aten.relu.default", lambda z: z.of(z.re.relu(), torch.where(z.re > 0, z.im, 0 * z.im.abs() ** 2))
    )
    assert examine(VARIANTS["nn.functional.relu"]).kind == "right"  # what is planted is the fault, not the form
    planted(monkeypatch, "aten.relu.default", lambda z: z.of(z.re.relu(), torch.where(z.re > 0, z.im, z.im.relu())))
    assert examine(VARIANTS["nn.functional.relu"]).kind == "wrong"


def test_an_output_left_plain_is_found(monkeypatch):
    right = RULES["aten.native_layer_norm.default"].apply

    def careless(value, shape, weight, bias, eps):
        x = value.re if isinstance(value, Lifted) else value
        return (right(value, shape, weight, bias, eps)[0], *torch.native_layer_norm(x, shape, None, None, eps)[1:])

    assert examine(VARIANTS["native_layer_norm"]).kind == "refused"
    planted(monkeypatch, "aten.native_layer_norm.default", careless)
    assert examine(VARIANTS["native_layer_norm"]).kind == "wrong"


def test_a_wrong_value_is_found(monkeypatch):
    right = RULES["aten.exp.default"].apply
    planted(monkeypatch, "aten.exp.default", lambda z: z.of(right(z).re * (1 + 1e-13), right(z).im))
    assert "the value must be" in examine(VARIANTS["exp"]).faults[0]


# --- from the command line ---
def renew(found):
    kinds = ("right", "partly", "refused", "no oracle", "skipped")
    record_of = {kind: sorted(name for name, outcome in found.items() if outcome.kind == kind) for kind in kinds}
    met = {}
    for name, outcome in found.items():
        for operation in sorted(outcome.operations):
            if outcome.kind == "right" or operation not in met:
                met.setdefault(operation, name)
    RATCHET.write_text(json.dumps({**record_of, "met": dict(sorted(met.items()))}, indent=1) + "\n")


def main():
    names = [name for name in sys.argv[1:] if not name.startswith("--")] or list(VARIANTS)
    found = {}
    for name in names:
        found[name] = outcome = examine(VARIANTS[name])
        if outcome.kind in ("wrong", "partly", "refused", "no oracle") or len(names) < len(VARIANTS):
            print(outcome.kind, name, dict(outcome.counts), (outcome.faults or outcome.refusals)[:2])
    print(Counter(outcome.kind for outcome in found.values()))
    if "--renew" in sys.argv:
        renew(found)


if __name__ == "__main__":
    main()
