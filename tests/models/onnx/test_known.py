"""Operations on known numbers against ONNX's reference evaluator, and as tensors of torch do them."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from imagrad.models.onnx.table import ON_KNOWN, RefusedError
from imagrad.models.onnx.values import Context, as_tensor, known

from .cases import ints, numbers
from .models import model_of

OPSET = 21
SIZES, OTHERS, NEGATIVE = ints(2, 3, 5), ints(1, 2, 5), ints(-7, 7, 7)
TRUTHS = np.array([True, False, True])
CASES = [
    *[(name, (SIZES, OTHERS), {}) for name in ("Add", "Sub", "Mul", "Div", "Mod", "Max", "Min")],
    *[(name, (SIZES, OTHERS), {}) for name in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")],
    ("Div", (NEGATIVE, ints(2, -2, 2)), {}),
    ("Div", (numbers(3), numbers(3, low=1)), {}),
    ("Mod", (NEGATIVE, ints(3, 3, -3)), {}),
    ("Pow", (SIZES, ints(2)), {}),
    ("Neg", (SIZES,), {}),
    ("Abs", (NEGATIVE,), {}),
    ("Sqrt", (np.array([4.0, 2.0]),), {}),
    ("Reciprocal", (np.array([4.0, 2.0]),), {}),
    ("Floor", (numbers(3),), {}),
    ("Ceil", (numbers(3),), {}),
    ("And", (TRUTHS, ~TRUTHS), {}),
    ("Or", (TRUTHS, ~TRUTHS), {}),
    ("Not", (TRUTHS,), {}),
    ("Where", (TRUTHS, SIZES, ints(9)), {}),
    ("Identity", (SIZES,), {}),
    ("Size", (SIZES,), {}),
    ("Shape", (SIZES.reshape(3, 1),), {}),
    ("Shape", (SIZES.reshape(3, 1),), {"start": 1}),
    ("Expand", (ints(3), ints(2, 2)), {}),
    ("Tile", (SIZES, ints(2)), {}),
    ("Reshape", (ints(1, 2, 3, 4).reshape(2, 2), ints(0, -1, 1)), {}),
    ("Transpose", (ints(1, 2, 3, 4).reshape(2, 2),), {}),
    ("Transpose", (ints(1, 2, 3, 4).reshape(2, 1, 2),), {"perm": [1, 2, 0]}),
    ("Squeeze", (SIZES.reshape(3, 1), ints(1)), {}),
    ("Squeeze", (SIZES.reshape(1, 3, 1),), {}),
    ("Unsqueeze", (SIZES, ints(0, -1)), {}),
    ("Concat", (SIZES, OTHERS), {"axis": 0}),
    ("Slice", (SIZES, ints(1), ints(2**62)), {}),
    ("Slice", (SIZES, ints(-1), ints(-(2**62)), ints(0), ints(-1)), {}),
    ("Gather", (SIZES, ints(1).reshape(())), {}),
    ("Gather", (SIZES, ints(-1, 0)), {"axis": 0}),
    ("Split", (SIZES, ints(1, 2)), {}),
    ("Split", (SIZES,), {"num_outputs": 2}),
    ("Cast", (SIZES,), {"to": TensorProto.DOUBLE}),
    ("Cast", (SIZES,), {"to": TensorProto.BOOL}),
    ("Cast", (numbers(3),), {"to": TensorProto.INT64}),
    ("CastLike", (SIZES, np.array([1.0])), {}),
    ("CastLike", (numbers(3), SIZES), {}),
    ("CastLike", (SIZES, TRUTHS), {}),
    ("Range", (ints(1).reshape(()), ints(8).reshape(()), ints(3).reshape(())), {}),
    ("Range", (np.array(0.0), np.array(1.0), np.array(0.25)), {}),
    *[(name, (SIZES,), {}) for name in ("ReduceProd", "ReduceSum", "ReduceMax", "ReduceMin")],
    ("ReduceProd", (SIZES.reshape(3, 1), ints(0)), {"keepdims": 0}),
    ("ReduceSum", (SIZES, ints()), {"noop_with_empty_axes": 1}),
]
KINDS = {"i": TensorProto.INT64, "f": TensorProto.DOUBLE, "b": TensorProto.BOOL}


def expected_of(name, arrays, attributes, count):
    names = [f"in_{k}" for k in range(len(arrays))]
    given = {n: (KINDS[array.dtype.kind], array.shape) for n, array in zip(names, arrays, strict=True)}
    outputs = [f"out_{k}" for k in range(count)]
    model = model_of([helper.make_node(name, names, outputs, **attributes)], given, outputs, opset=OPSET)
    return ReferenceEvaluator(model).run(None, dict(zip(names, arrays, strict=True)))


@pytest.mark.parametrize("as_symbols", [False, True], ids=["numbers", "objects"])
@pytest.mark.parametrize(
    ("name", "arrays", "attributes"), CASES, ids=[f"{k}-{case[0]}" for k, case in enumerate(CASES)]
)
def test_known_numbers_are_those_of_the_reference(name, arrays, attributes, as_symbols):
    """Arrays of objects are what sizes come in while a graph is traced."""
    count = 2 if name == "Split" else 1
    expected = expected_of(name, arrays, attributes, count)
    given = [array.astype(object) if as_symbols and array.dtype.kind == "i" else array for array in arrays]
    found = ON_KNOWN[name](given, attributes, Context(OPSET, count, torch.float64, torch.device("cpu")))
    for one, other in zip(found if count > 1 else (found,), expected, strict=True):
        assert known(one).shape == other.shape
        assert known(one).dtype.kind == other.dtype.kind
        np.testing.assert_allclose(known(one).astype(float), other.astype(float), rtol=1e-15)


def test_every_operation_on_known_numbers_has_a_case():
    assert set(ON_KNOWN) == {case[0] for case in CASES}


def test_a_range_over_the_images_is_refused():
    symbol = ShapeEnv().create_unbacked_symint()
    with pytest.raises(RefusedError, match="must not depend on that"):
        ON_KNOWN["Range"](
            [known(0), known(symbol), known(1)], {}, Context(OPSET, 1, torch.float64, torch.device("cpu"))
        )


def test_known_numbers_become_tensors_of_their_kind():
    context = Context(OPSET, 1, torch.float64, torch.device("cpu"))
    assert as_tensor(ints(1, 2), context).dtype == torch.int64
    assert as_tensor(np.float32([1.5]), context).dtype == torch.float64
    assert as_tensor(TRUTHS, context).dtype == torch.bool
    assert as_tensor(np.array([[1], [2]], dtype=object), context).tolist() == [[1], [2]]
