"""One or more uses of each operation of the table, over its attributes and the versions that changed it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

OPSET = 21


@dataclass(frozen=True)
class Case:
    """One node: the first input is what the network is given, the others are stored in the file."""

    operation: str
    inputs: tuple[Any, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = OPSET
    outputs: int = 1
    reference: bool | float = True
    """Whether ONNX's reference evaluator can be held against it; a number is how exact that is, where it rounds."""
    runtime: bool = True
    """Whether onnxruntime can."""
    truths: bool = False
    """Whether the given input is made a truth value first: whether it is positive."""

    @property
    def name(self):
        told = [f"{key}={value}" for key, value in self.attributes.items() if not isinstance(value, np.ndarray)]
        shapes = ["x".join(map(str, np.shape(x))) for x in self.inputs if x is not None]
        return "-".join([self.operation, *told, *shapes, str(self.opset)]).replace(" ", "")


def numbers(*shape, low=-2.0, high=2.0, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(low, high, shape)


def ints(*values):
    return np.array(values, np.int64)


CASES: list[Case] = []


ROUNDS = 1e-6  # parts of the reference are in float32 whatever the type
CUBIC_ROUNDS = 1e-5


def case(operation, *inputs, opset=OPSET, outputs=1, reference=True, runtime=True, truths=False, **attributes):
    CASES.append(Case(operation, inputs, attributes, opset, outputs, reference, runtime, truths))


X, Y = numbers(3, 4), numbers(3, 4, seed=1)
IMAGE, POSITIVE = numbers(2, 4, 7, 6), numbers(3, 4, low=0.1, seed=2)
INSIDE = numbers(3, 4, low=-0.9, high=0.9)

# --- arithmetic ---

for name in (
    "Abs", "Neg", "Exp", "Floor", "Ceil", "Round", "Sign", "Sin", "Cos", "Tan", "Atan", "Sinh", "Cosh", "Tanh",
    "Asinh", "Relu", "Elu", "Selu", "Celu", "Sigmoid", "Softplus", "Softsign", "Mish", "ThresholdedRelu", "Shrink",
    "Identity",
):  # fmt: skip
    case(name, X)
for name in ("Erf", "Gelu", "LeakyRelu", "HardSigmoid", "HardSwish"):
    case(name, X, reference=ROUNDS)
for name in ("Sqrt", "Log", "Reciprocal"):
    case(name, POSITIVE)
for name in ("Asin", "Acos", "Atanh"):
    case(name, INSIDE)
case("Acosh", POSITIVE + 1)
case("Softplus", numbers(3, 4, low=-60, high=60))
case("Round", np.array([[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]]))
for name in ("Add", "Sub", "Mul", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min", "Sum", "Mean"):
    case(name, X, Y)
for name in ("Add", "Sub", "Mul", "Div"):
    case(name, numbers(2, 3, 4), numbers(4, low=0.5))
case("Equal", np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0.0], [3.0, 5.0]]))
for name in ("Max", "Min", "Sum", "Mean"):
    case(name, X, Y, numbers(4))
    case(name, X)
for name in ("And", "Or", "Xor"):
    case(name, X, Y > 0, truths=True)
case("Not", X, truths=True)
case("Where", X, Y, numbers(4), truths=True)
case("IsNaN", np.array([[1.0, np.nan]]))
case("Mod", X, POSITIVE, fmod=1)
case("Pow", POSITIVE, Y)
case("Pow", X, np.array(2.0))
case("Pow", X, np.array([3.0]))
case("Pow", X, np.array([1.0, 2.0, 3.0, 4.0]))
case("Clip", X, np.array(-0.5), np.array(0.7))
case("Clip", X, None, np.array(0.7))
case("Clip", X, np.array(-0.5))
case("Clip", X)
case("Clip", X, opset=9, min=-0.5, max=0.7)
case("Clip", X, opset=9, min=0.0)
case("MatMul", X, numbers(4, 5))
case("MatMul", numbers(2, 3, 4, 5), numbers(5, 2))
case("MatMul", numbers(2, 3, 4, 5), numbers(3, 5, 2))
case("Gemm", X, numbers(4, 5), numbers(5))
case("Gemm", X, numbers(5, 4), numbers(3, 1), alpha=0.5, beta=2.0, transB=1)
case("Gemm", X, numbers(3, 5), transA=1)
case("Gemm", X, numbers(4, 5), numbers(5), opset=9)
case("Einsum", numbers(2, 3, 4), numbers(4, 5), equation="bik,kj->bij")
case("Einsum", numbers(2, 3, 3), equation="...ii->...i")
case("CumSum", X, ints(1).reshape(()))
case("CumSum", X, ints(1).reshape(()), exclusive=1)
case("CumSum", X, ints(0).reshape(()), reverse=1)
case("CumSum", X, ints(-1).reshape(()), exclusive=1, reverse=1)
case("ai.onnx.ml.Scaler", X, offset=[0.5, 1.0, -1.0, 0.25], scale=[2.0, 1.0, 0.5, 4.0])
case("ai.onnx.ml.Scaler", X, offset=[0.5], scale=[2.0], reference=False)  # it wants one number a feature

# --- activations ---

case("LeakyRelu", X, alpha=0.2)
case("PRelu", X, numbers(4, low=0.1))
case("PRelu", IMAGE, numbers(4, 1, 1, low=0.1))
case("Elu", X, alpha=0.5)
case("Selu", X, alpha=2.0, gamma=1.5)
case("Celu", X, alpha=0.5)
case("HardSigmoid", X, alpha=0.3, beta=0.4)
case("ThresholdedRelu", X, alpha=0.5)
case("Shrink", X, bias=0.3, lambd=0.7)
case("Gelu", X, approximate="tanh", reference=ROUNDS)
case("Swish", X, opset=24, runtime=False)
case("Swish", X, opset=24, alpha=1.5, runtime=False)
for name in ("Softmax", "LogSoftmax"):
    case(name, numbers(2, 3, 4))
    case(name, numbers(2, 3, 4), axis=1)
    case(name, numbers(2, 3, 4), opset=11, reference=False)  # it has the later meaning for every version
    case(name, numbers(2, 3, 4), opset=11, axis=2)
    case(name, numbers(2, 3, 4), opset=11, axis=-2, reference=False)

# --- convolutions ---

KERNEL, BIAS = numbers(6, 4, 3, 3, seed=3), numbers(6)
case("Conv", IMAGE, KERNEL, BIAS)
case("Conv", IMAGE, KERNEL, opset=9, pads=[1, 1, 1, 1], strides=[2, 2], kernel_shape=[3, 3])
case("Conv", IMAGE, KERNEL, BIAS, pads=[1, 0, 2, 1], strides=[2, 1])
case("Conv", IMAGE, KERNEL, BIAS, dilations=[2, 1])
case("Conv", IMAGE, numbers(6, 2, 3, 3), BIAS, group=2)
case("Conv", IMAGE, numbers(4, 1, 2, 3), group=4, auto_pad="VALID")
for padding in ("SAME_UPPER", "SAME_LOWER"):
    case("Conv", IMAGE, numbers(6, 4, 2, 3), BIAS, auto_pad=padding, strides=[2, 2])
case("Conv", numbers(2, 4, 9), numbers(5, 4, 3), numbers(5), pads=[1, 1])
case("Conv", numbers(1, 2, 4, 5, 6), numbers(3, 2, 2, 2, 2), numbers(3))
TURNED = numbers(4, 3, 3, 3, seed=4)
case("ConvTranspose", IMAGE, TURNED, numbers(3))
case("ConvTranspose", IMAGE, TURNED, numbers(3), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])
case("ConvTranspose", IMAGE, TURNED, numbers(3), strides=[2, 2], pads=[0, 0, 1, 1])
case("ConvTranspose", IMAGE, TURNED, strides=[3, 2], pads=[0, 1, 1, 0], output_padding=[2, 1])
case("ConvTranspose", IMAGE, TURNED, numbers(3), strides=[2, 3], output_shape=[14, 18], reference=False)  # it fails
case("ConvTranspose", IMAGE, TURNED, numbers(3), strides=[2, 2], auto_pad="SAME_UPPER")
case("ConvTranspose", IMAGE, TURNED, numbers(3), strides=[2, 2], auto_pad="SAME_LOWER")
case("ConvTranspose", IMAGE, numbers(4, 2, 3, 3), group=2, dilations=[2, 2], reference=False)  # it fails
case("ConvTranspose", numbers(2, 4, 5), numbers(4, 3, 3), numbers(3), strides=[2])
case("ConvTranspose", numbers(1, 2, 3, 3, 3), numbers(2, 2, 2, 2, 2), strides=[2, 2, 2])

# --- pools ---

for name in ("MaxPool", "AveragePool"):
    case(name, IMAGE, kernel_shape=[2, 2], strides=[2, 2])
    case(name, IMAGE, kernel_shape=[3, 2])
    case(name, IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    case(name, IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 1, 2, 0])
    case(name, IMAGE, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    case(name, IMAGE, kernel_shape=[2, 2], strides=[3, 3], pads=[1, 1, 1, 1], ceil_mode=1)
    case(name, IMAGE, kernel_shape=[2, 3], strides=[2, 2], auto_pad="SAME_UPPER")
    case(  # the reference makes one window too few of the largest
        name, IMAGE, kernel_shape=[2, 3], strides=[2, 2], auto_pad="SAME_LOWER", reference=name == "AveragePool"
    )
    case(name, IMAGE, kernel_shape=[2, 3], strides=[2, 2], auto_pad="VALID")
    case(name, numbers(2, 3, 9), kernel_shape=[3], strides=[2], pads=[1, 1])
    case(name, numbers(1, 2, 4, 5, 6), kernel_shape=[2, 2, 2], strides=[1, 2, 2])
    case(name, IMAGE, kernel_shape=[2, 2], strides=[2, 2], opset=10)
case("MaxPool", IMAGE, kernel_shape=[2, 2], dilations=[2, 2])
case("MaxPool", IMAGE, kernel_shape=[2, 2], dilations=[2, 3], pads=[1, 0, 0, 1], ceil_mode=1, strides=[2, 2])
case("AveragePool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1)
case("AveragePool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 1, 1, 0], count_include_pad=1)
case("AveragePool", IMAGE, kernel_shape=[3, 3], strides=[3, 2], pads=[1, 0, 1, 0], count_include_pad=1, ceil_mode=1)
for name in ("GlobalAveragePool", "GlobalMaxPool"):
    case(name, IMAGE)
    case(name, numbers(2, 3, 5), reference=name == "GlobalAveragePool")  # of the other, it loses an axis
case("GlobalLpPool", IMAGE, reference=False)  # it has none
case("GlobalLpPool", IMAGE, reference=False, p=3)

# --- normalisations ---

SCALE, SHIFT, MEAN, SPREAD = (numbers(4, low=0.5, seed=k) for k in range(4))
case("BatchNormalization", IMAGE, SCALE, SHIFT, MEAN, SPREAD)
case("BatchNormalization", X, SCALE, SHIFT, MEAN, SPREAD, epsilon=0.1, opset=9, reference=False)  # it trains
case("BatchNormalization", IMAGE, SCALE, SHIFT, MEAN, SPREAD, momentum=0.5, opset=14)
case("InstanceNormalization", IMAGE, SCALE, SHIFT)
case("InstanceNormalization", numbers(2, 4, 9), SCALE, SHIFT, epsilon=0.1)
case("GroupNormalization", IMAGE, SCALE, SHIFT, num_groups=2, reference=ROUNDS)
case("GroupNormalization", IMAGE, numbers(2), numbers(2, seed=1), num_groups=2, opset=18, epsilon=0.01)
case("LayerNormalization", IMAGE, numbers(6), numbers(6, seed=1))
case("LayerNormalization", IMAGE, numbers(7, 6), axis=2, epsilon=0.01)
case("LayerNormalization", IMAGE, numbers(6), numbers(6, seed=1), axis=-2)
case("RMSNormalization", IMAGE, numbers(6), opset=23)
case("RMSNormalization", IMAGE, numbers(7, 6), opset=23, axis=2, epsilon=0.01)
case("LpNormalization", X)
case("LpNormalization", IMAGE, axis=1, p=1, reference=False)  # it forgets the absolute values
case("LpNormalization", np.array([[0.0, 0.0], [3.0, 4.0]]), reference=False)  # it warns of 0 / 0
for size in (3, 2):
    # the reference counts images where it means channels: as many images as channels; onnxruntime: odd sizes alone
    case("LRN", numbers(5, 5, 3, 3), size=size, alpha=0.1, beta=0.6, bias=2.0, reference=ROUNDS, runtime=size == 3)
case("Dropout", X)
case("Dropout", X, np.array(0.3), np.array(False))
case("Dropout", X, opset=10, ratio=0.3)

# --- reductions ---

for name in (
    "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
    "ReduceLogSumExp", "ReduceLogSum",
):  # fmt: skip
    data = numbers(2, 3, 4, low=0.1)
    case(name, data, ints(1, -1))
    case(name, data, ints(0), keepdims=0)
    case(name, data)
    case(name, data, opset=11, axes=[1], keepdims=0)
case("ReduceSum", X, opset=13)
case("ReduceSum", X, ints(1), opset=13)
case("ReduceSum", X, ints(), noop_with_empty_axes=1)
case("ReduceMean", X, noop_with_empty_axes=1)
for name in ("ArgMax", "ArgMin"):
    case(name, X)
    case(name, IMAGE, axis=-1, keepdims=0)

# --- shapes ---

case("Shape", IMAGE)
case("Shape", IMAGE, start=1, end=-1)
case("Shape", IMAGE, opset=13)
case("Size", IMAGE)
case("Reshape", IMAGE, ints(2, -1))
case("Reshape", IMAGE, ints(0, 0, 42))
case("Reshape", numbers(0, 3), ints(3, 0), allowzero=1)
for axis in (0, 1, 2, -1, 4):
    case("Flatten", IMAGE, axis=axis)
case("Flatten", X)
case("Transpose", numbers(2, 3, 4))
case("Transpose", IMAGE, perm=[0, 2, 3, 1])
case("Squeeze", numbers(1, 3, 1, 2))
case("Squeeze", numbers(1, 3, 1, 2), ints(0, -2))
case("Squeeze", numbers(1, 3, 1, 2), opset=11, axes=[2])
case("Unsqueeze", X, ints(0, -1))
case("Unsqueeze", X, ints(3, 1))
case("Unsqueeze", X, opset=11, axes=[0, 2])
case("Expand", numbers(3, 1), ints(2, 1, 4))
case("Expand", numbers(1, 3, 4), ints(3, 1))
case("Tile", X, ints(2, 3))
case("Concat", X, numbers(3, 2), axis=1)
case("Concat", X, numbers(1, 4), X, axis=-2)
for to in (1, 7, 9, 6):
    case("Cast", X, to=to, reference=ROUNDS if to == 1 else True)  # to float32, which is not done here
case("CastLike", X, np.array([1.5]))
case("CastLike", X, ints(1))
case("Trilu", numbers(2, 4, 4))
case("Trilu", numbers(4, 5), ints(1).reshape(()), upper=0)
case("Trilu", numbers(4, 5), ints(-1).reshape(()), upper=1)
case("Pad", X, ints(1, 0, 2, 1))
case("Pad", X, ints(1, 0, 2, 1), np.array(1.5))
case("Pad", IMAGE, ints(1, 2, 0, 1), np.array(1.5), ints(2, -1))
case("Pad", X, ints(-1, 1, 0, -2), reference=False)  # it fails
for mode in ("reflect", "edge", "wrap"):
    case("Pad", IMAGE, ints(0, 0, 2, 1, 0, 1, 3, 0), mode=mode)
    case("Pad", IMAGE, ints(1, 2, 0, 1), None, ints(3, 2), mode=mode)
case("Pad", X, opset=9, pads=[1, 0, 2, 1], value=1.5)
case("Pad", X, opset=9, pads=[0, 1, 0, 2], mode="edge")
for mode in ("DCR", "CRD"):
    case("DepthToSpace", numbers(2, 8, 3, 2), blocksize=2, mode=mode)
case("DepthToSpace", numbers(2, 8, 3, 2), blocksize=2, opset=9)
case("SpaceToDepth", numbers(2, 3, 4, 6), blocksize=2)

# --- selections ---

case("Slice", IMAGE, ints(1, 0), ints(3, -1), ints(1, -1))
case("Slice", IMAGE, ints(0, 1), ints(2, 3))
case("Slice", IMAGE, ints(0, 6), ints(2**62, 0), ints(3, 2), ints(2, -2))
case("Slice", IMAGE, ints(-1), ints(-(2**62)), ints(3), ints(-1))
case("Slice", IMAGE, opset=9, starts=[1, -3], ends=[4, 2**31 - 1], axes=[1, 2])
case("Gather", X, ints(0, 2, -1))
case("Gather", X, ints(1).reshape(()), axis=1)
case("Gather", IMAGE, ints(0, 2, -1, 1).reshape(2, 2), axis=-2)
case("GatherElements", X, ints(0, 2, 1, -1).reshape(2, 2), axis=0, reference=False)  # it fails
case("GatherElements", X, ints(0, 2, 1, -1, 1, 1).reshape(3, 2), axis=1)
case("GatherND", IMAGE, ints(0, 1, 1, -1).reshape(2, 2))
case("Split", IMAGE, ints(1, 3), axis=1, outputs=2)
case("Split", IMAGE, outputs=2, axis=3, num_outputs=2)
case("Split", IMAGE, outputs=2, axis=2, num_outputs=2)
case("Split", IMAGE, opset=11, axis=1, split=[1, 1, 2], outputs=3)
case("Split", IMAGE, opset=13, axis=1, outputs=2)
case("TopK", X, ints(2), outputs=2)
case("TopK", X, ints(2), axis=0, largest=0, outputs=2)
case("TopK", X, ints(2), outputs=2, opset=10)

# --- resizing ---

SCALES = np.array([1.0, 1.0, 2.0, 1.5])
for mode in ("nearest", "linear", "cubic"):
    for coordinates in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"):
        with_runtime = coordinates != "half_pixel_symmetric"  # it lacks that one
        options = {"mode": mode, "coordinate_transformation_mode": coordinates}
        options["reference"] = CUBIC_ROUNDS if mode == "cubic" else True
        case("Resize", IMAGE, None, SCALES, opset=19, runtime=with_runtime, **options)
        case("Resize", IMAGE, None, None, ints(2, 4, 5, 9), opset=19, runtime=with_runtime, **options)
for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
    case("Resize", IMAGE, None, np.array([1.0, 1.0, 0.65, 1.35]), mode="nearest", nearest_mode=rounding, opset=13)
case("Resize", IMAGE, None, None, ints(3, 12), axes=[2, 3], opset=18, mode="linear")
case(
    "Resize", IMAGE, None, np.array([1.0, 1.0, 2.0, 3.0]), mode="cubic", cubic_coeff_a=-0.5, opset=13,
    reference=CUBIC_ROUNDS,
)  # fmt: skip
case(
    "Resize", numbers(1, 1, 4, 4), np.zeros(0), np.array([1.0, 1.0, 0.5, 0.5]), opset=11,
    coordinate_transformation_mode="tf_half_pixel_for_nn", mode="nearest", reference=False,
)  # fmt: skip
case("Resize", IMAGE, SCALES, opset=10, reference=False)
case("Resize", IMAGE, SCALES, opset=10, mode="linear", reference=False)
case("Upsample", IMAGE, np.array([1.0, 1.0, 2.0, 3.0]), opset=9, mode="nearest", reference=False)
case("Upsample", IMAGE, np.array([1.0, 1.0, 2.0, 2.0]), opset=9, mode="linear", reference=False)

# --- recurrent ---

STEPS = numbers(5, 2, 3)
for name, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4)):
    count = 3 if name == "LSTM" else 2
    one = (numbers(1, 4 * gates, 3), numbers(1, 4 * gates, 4))
    both = (numbers(2, 4 * gates, 3), numbers(2, 4 * gates, 4), numbers(2, 8 * gates))
    more = (None, numbers(2, 2, 4, seed=5), numbers(2, 2, 4, seed=6))[:count]
    case(name, STEPS, *one, hidden_size=4, outputs=count)
    case(name, STEPS, *both, *more, hidden_size=4, direction="bidirectional", outputs=count, reference=False)
    case(
        name, STEPS, *one, hidden_size=4, direction="reverse", outputs=count, reference=False,
    )  # fmt: skip  # it knows forward alone
case("GRU", STEPS, numbers(1, 12, 3), numbers(1, 12, 4), numbers(1, 24), hidden_size=4, linear_before_reset=1)
case("RNN", STEPS, numbers(1, 4, 3), numbers(1, 4, 4), hidden_size=4, activations=["Relu"], reference=False)
