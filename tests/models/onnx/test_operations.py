"""Every operation of the table against ONNX's reference evaluator in float64, and against onnxruntime in float32."""

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from imagrad.models.onnx.table import OPERATIONS

from .cases import CASES
from .models import DOUBLE, FLOAT, model_of, network_of

REFERENCE_TOLERANCE = 1e-11  # float64, sums of some hundred numbers; attributes are float32 in the file for both
RUNTIME_TOLERANCE = 2e-5  # float32


def typed(array, dtype):
    return None if array is None else array.astype(dtype) if np.asarray(array).dtype.kind == "f" else np.asarray(array)


def built(case, dtype):
    """A model of one node, whose outputs are made floating-point numbers where they are none."""
    kind = DOUBLE if dtype == np.float64 else FLOAT
    domain, _, name = case.operation.rpartition(".")
    names = [f"in_{k}" if array is not None else "" for k, array in enumerate(case.inputs)]
    nodes = []
    if case.truths:
        nodes += [helper.make_node("Greater", [names[0], "zero"], ["truth"])]
    outputs = [f"out_{k}" for k in range(case.outputs)]
    nodes += [
        helper.make_node(
            name, ["truth" if case.truths else names[0], *names[1:]], outputs, name="node", domain=domain,
            **case.attributes,
        ),
        *(helper.make_node("Cast", [output], [f"{output}_float"], to=kind) for output in outputs),
    ]  # fmt: skip
    stored = {n: typed(array, dtype) for n, array in zip(names[1:], case.inputs[1:], strict=True) if n}
    if case.truths:
        stored["zero"] = np.zeros((), dtype)
    given = {names[0]: (kind, case.inputs[0].shape)}
    infos = [helper.make_tensor_value_info(f"{output}_float", kind, None) for output in outputs]
    return model_of(nodes, given, infos, stored, opset=case.opset)


def with_scales_in_float32(model):
    """Factors of Resize are float32 whatever the type of the rest."""
    for node in model.graph.node:
        places = {"Resize": [-1] if len(node.input) == 2 else [2], "Upsample": [1]}.get(node.op_type, [])
        wanted = {node.input[place] for place in places if len(node.input) > place}
        for tensor in model.graph.initializer:
            if tensor.name in wanted and tensor.data_type == DOUBLE:
                tensor.CopyFrom(
                    onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
                )
    return model


def ours(model, case, dtype):
    x = torch.from_numpy(case.inputs[0].astype(dtype))
    return [network_of(model, f"out_{k}_float").run(x).numpy() for k in range(case.outputs)]


def check(found, expected, tolerance):
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        scale = max(1.0, float(np.abs(other[np.isfinite(other)]).max(initial=0)))
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("case", [case for case in CASES if case.reference], ids=lambda case: case.name)
def test_operation_is_that_of_the_reference(case):
    from onnx.reference import ReferenceEvaluator

    model = with_scales_in_float32(built(case, np.float64))
    expected = ReferenceEvaluator(model).run(None, {"in_0": case.inputs[0]})
    check(ours(model, case, np.float64), expected, REFERENCE_TOLERANCE if case.reference is True else case.reference)


@pytest.mark.parametrize("case", [case for case in CASES if case.runtime], ids=lambda case: case.name)
def test_operation_is_that_of_onnxruntime(case):
    import onnxruntime

    model = built(case, np.float32)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    expected = session.run(None, {"in_0": case.inputs[0].astype(np.float32)})
    check(ours(model, case, np.float32), expected, RUNTIME_TOLERANCE)


OF_SIZES = {
    "ConstantOfShape": [
        (["sizes"], {"value": np.array([0.25])}),
        (["sizes"], {}),
        (["sizes"], {"value": np.array([3])}),
    ],
    "Range": [(["zero", "rows", "one"], {}), (["low", "high", "by"], {})],
}
"""Operations that are given sizes, not images: what each is given, and its attributes."""
NUMBERS = {"zero": np.array(0), "one": np.array(1), "low": np.array(-0.5), "high": np.array(1.0), "by": np.array(0.25)}


@pytest.mark.parametrize(("name", "inputs", "attributes"), [(n, *use) for n, uses in OF_SIZES.items() for use in uses])
def test_operation_on_sizes_is_that_of_the_reference(name, inputs, attributes):
    from onnx.reference import ReferenceEvaluator

    attributes = {key: onnx.numpy_helper.from_array(value) for key, value in attributes.items()}
    nodes = [
        helper.make_node("Shape", ["x"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "zero"], ["rows"]),
        helper.make_node(name, inputs, ["made"], **attributes),
        helper.make_node("Cast", ["made"], ["made_float"], to=DOUBLE),
        helper.make_node("ReduceSum", ["x"], ["total"]),
        helper.make_node("Add", ["made_float", "total"], ["out"]),
    ]
    model = model_of(nodes, {"x": (DOUBLE, (3, 4))}, [helper.make_tensor_value_info("out", DOUBLE, None)], NUMBERS)
    x = np.arange(12.0).reshape(3, 4)
    expected = ReferenceEvaluator(model).run(None, {"x": x})
    check([network_of(model).run(torch.from_numpy(x)).numpy()], expected, 1e-15)


def test_every_operation_has_a_case_and_an_oracle():
    held = {case.operation for case in CASES if case.reference or case.runtime} | set(OF_SIZES)
    assert set(OPERATIONS) - held == set()
    assert set(OPERATIONS.summaries()) == {name for name, summary in OPERATIONS.summaries().items() if summary}
