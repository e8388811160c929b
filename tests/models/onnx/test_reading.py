"""What is read from a file: which tensor is the code, which types, which batches; and what is refused, in words."""

import re

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from imagrad import jacobian, saliency
from imagrad.errors import (
    CorruptDataError,
    EncoderError,
    ImageError,
    InputError,
    UnknownNameError,
    UnsupportedOperationError,
)
from imagrad.models.onnx import OPERATIONS, inner_tensors, operation, read_onnx
from imagrad.registry import REGISTRIES

from .models import DOUBLE, FLOAT, model_of

RANDOM = np.random.default_rng(0)


def weights(*shape, dtype=np.float32):
    return RANDOM.uniform(-1, 1, shape).astype(dtype)


def saved(tmp_path, model):
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def info(name, kind=FLOAT, shape=None):
    return helper.make_tensor_value_info(name, kind, shape)


def read(tmp_path, nodes, outputs=("code",), stored=(), *, shape=("n", 4), kind=FLOAT, latent=None, **options):
    """Read a model of nodes with the input x."""
    infos = [info(name, kind) if isinstance(name, str) else name for name in outputs]
    model = model_of(nodes, {"x": (kind, list(shape))}, infos, stored, **options)
    return read_onnx(saved(tmp_path, model), latent=latent)


def node(operation, inputs, outputs=("code",), name="it", **attributes):
    return helper.make_node(operation, list(inputs), list(outputs), name=name, **attributes)


W, B = weights(4, 3), weights(3)
VAE = [
    node("MatMul", ["x", "w"], ["hidden"], name="dense/MatMul"),
    node("Tanh", ["hidden"], ["active"], name="dense/Tanh"),
    node("Add", ["active", "b"], ["mu"], name="fc_mu"),
    node("Exp", ["active"], ["logvar"], name="fc_logvar"),
]


def vae(tmp_path, latent):
    return read(tmp_path, VAE, ("mu", "logvar"), {"w": W, "b": B}, latent=latent)


# --- which tensor is the code ---


def test_several_outputs_must_be_chosen_from(tmp_path):
    with pytest.raises(EncoderError, match=r"has 2 outputs: 'mu' \(float\), 'logvar' \(float\)\. Pick one .* --latent"):
        vae(tmp_path, None)


@pytest.mark.parametrize("latent", ["mu", "fc_mu"])
def test_a_code_is_picked_by_the_name_of_a_tensor_or_a_node(tmp_path, latent):
    images = torch.rand(5, 4)
    expected = torch.tanh(images @ torch.from_numpy(W)) + torch.from_numpy(B)
    network = vae(tmp_path, latent)
    assert network.code == "mu"
    torch.testing.assert_close(network(images), expected)


def test_only_what_the_code_needs_is_built(tmp_path):
    """What comes after it, or beside it, may be anything."""
    nodes = [*VAE[:2], node("NonMaxSuppression", ["active"], ["boxes"]), node("Add", ["active", "v"], ["mu"])]
    stored = {"w": W, "v": B, "b": B}
    network = read(tmp_path, nodes, ("boxes",), stored, latent="dense/Tanh")
    assert [name for name, _ in network.named_parameters()] == ["w"]
    assert network(torch.rand(2, 4)).shape == (2, 3)


def test_an_unknown_name_lists_those_that_are_near(tmp_path):
    with pytest.raises(
        InputError, match=r"`latent` 'fc_nu' names no tensor .*; near: fc_mu.*imagrad layers lists them"
    ):
        vae(tmp_path, "fc_nu")


@pytest.mark.parametrize("latent", ["x", "w"])
def test_a_code_depends_on_the_images(tmp_path, latent):
    with pytest.raises(EncoderError, match="does not depend on what the network is given"):
        vae(tmp_path, latent)


def test_a_constant_is_no_code(tmp_path):
    nodes = [node("Tanh", ["w"], ["constant"]), node("MatMul", ["x", "constant"])]
    with pytest.raises(EncoderError, match="'constant' does not depend on what the network is given"):
        read(tmp_path, nodes, stored={"w": W}, latent="constant")


def test_a_node_with_several_outputs_names_them(tmp_path):
    nodes = [node("Split", ["x"], ["left", "right"], name="halves", axis=1, num_outputs=2), node("Relu", ["left"])]
    with pytest.raises(InputError, match="'halves' is a node with several outputs: left, right"):
        read(tmp_path, nodes, latent="halves")
    assert read(tmp_path, nodes, latent="right")(torch.eye(4)).tolist() == torch.eye(4)[:, 2:].tolist()


def test_the_inner_tensors_are_listed_in_order_with_their_shapes(tmp_path):
    network = vae(tmp_path, "mu")
    listed = [(tensor.name, tensor.operation, tensor.shape) for tensor in network.tensors]
    assert listed == [(n.output[0], n.op_type, (None, 3)) for n in VAE]
    assert network.inputs == {"x": (None, 4)}
    assert list(network.outputs) == ["mu", "logvar"]
    assert network.image_shape is None


def test_a_file_is_listed_also_where_it_cannot_be_run(tmp_path):
    nodes = [*VAE, node("Det", ["mu"], ["volume"])]
    stored = {"w": W, "b": B}
    model = model_of(nodes, {"x": (FLOAT, ["n", 4])}, [info("volume"), info("logvar")], stored)
    listed = inner_tensors(saved(tmp_path, model))
    assert [tensor.name for tensor in listed] == ["hidden", "active", "mu", "logvar", "volume"]


def test_several_inputs_are_named(tmp_path):
    model = model_of(
        [node("Add", ["x", "y"])], {"x": (FLOAT, ["n", 4]), "y": (FLOAT, ["n", 4])}, [info("code")]
    )  # fmt: skip
    with pytest.raises(EncoderError, match="must take one tensor, the images; 'code' needs 'x', 'y'"):
        read_onnx(saved(tmp_path, model))


def test_an_input_that_has_a_stored_value_is_none(tmp_path):
    """As old files have it: each stored tensor is among the inputs as well."""
    model = model_of(VAE[:1], {"x": (FLOAT, ["n", 4]), "w": (FLOAT, [4, 3])}, [info("hidden")], {"w": W})
    assert read_onnx(saved(tmp_path, model)).inputs == {"x": (None, 4)}


# --- what is refused ---


def test_an_unknown_operation_is_named_with_what_to_do(tmp_path):
    nodes = [node("Relu", ["x"], ["y"]), node("NonZero", ["y"], ["z"], name="where"), node("Det", ["z"], name="last")]
    with pytest.raises(
        UnsupportedOperationError,
        match=r"no entry .* for the node 'where' \(NonZero\); the node 'last' \(Det\)\. .*imagrad list onnx-operations"
        r".*--latent.*three lines: .*@imagrad.models.onnx.operation\('NonZero'\)",
    ):
        read(tmp_path, nodes)


@pytest.mark.parametrize(
    ("operation", "domain", "told"),
    [
        ("QuantizeLinear", "", "quantised networks"),
        ("RandomNormalLike", "", "draws random numbers"),
        ("If", "", "holds a graph of its own"),
        ("FusedConv", "com.microsoft", "a domain outside ONNX's own"),
    ],
)
def test_what_is_left_out_on_purpose_says_why(tmp_path, operation, domain, told):
    with pytest.raises(UnsupportedOperationError, match=f"{re.escape(operation)}.*{re.escape(told)}"):
        read(tmp_path, [node(operation, ["x"], domain=domain)])


def test_an_operation_that_is_nearly_known_is_guessed(tmp_path):
    with pytest.raises(UnsupportedOperationError, match=r"Did it mean LayerNormalization\?"):
        read(tmp_path, [node("LayerNormalisation", ["x"])])


IMAGE = weights(2, 4, 6, 6)
UNCOVERED = [
    (node("Relu", ["x"], shininess=3), "its attribute 'shininess' is not covered"),
    (node("Relu", ["x", "x"]), "it has 2 inputs, and only 1 are covered"),
    (node("MaxPool", ["x"]), "it must have the attribute 'kernel_shape'"),
    (node("Reshape", ["x"]), "it must have the input `shape`, and has not"),
    (node("Reshape", ["x", "x"]), "its input `shape` is computed from the values of the images"),
    (node("MaxPool", ["x"], kernel_shape=[2, 2], auto_pad="SOME"), "auto_pad 'SOME' is not covered"),
    (node("MaxPool", ["x"], kernel_shape=[2]), "its window has 1 axes, and what it lies on has 2"),
    (node("ConvTranspose", ["x", "k"], auto_pad="SOME"), "auto_pad 'SOME' is not covered"),
    (node("AveragePool", ["x"], kernel_shape=[2, 2], dilations=[2, 2]), r"dilations \[2, 2\] are not covered"),
    (node("Dropout", ["x", "", "true"]), "training_mode draws random numbers"),
    (node("ArgMax", ["x"], select_last_index=1), "select_last_index 1 is not covered"),
    (node("ReduceL2", ["x"], noop_with_empty_axes=1), "noop_with_empty_axes 1"),
    (node("Pad", ["x", "pads"], mode="swirl"), "mode 'swirl' is not covered"),
    (node("DepthToSpace", ["x"], blocksize=2, mode="RCD"), "mode 'RCD' is not covered"),
    (node("Cast", ["x"], to=TensorProto.STRING), "a cast to the type number 8"),
    (node("Resize", ["x", "", "scales"], antialias=1), "antialias 1 is not covered"),
    (node("Resize", ["x", "", "scales"], mode="spline"), "mode 'spline' is not covered"),
    (node("Resize", ["x", "", "scales"], nearest_mode="far"), "nearest_mode 'far' is not covered"),
    (node("Resize", ["x", "", "scales"], mode="cubic", exclude_outside=1), "exclude_outside 1"),
    (node("Resize", ["x", "", "scales"], keep_aspect_ratio_policy="not_larger"), "keep_aspect_ratio_policy"),
    (
        node("Resize", ["x", "", "scales"], coordinate_transformation_mode="tf_crop_and_resize"),
        "coordinate_transformation_mode 'tf_crop_and_resize' is not covered",
    ),
    (node("GatherND", ["x", "pads"], batch_dims=1), "batch_dims 1 is not covered"),
    (node("BatchNormalization", ["x", "c", "c", "c", "c"], training_mode=1), "training_mode 1 mixes the images"),
]  # fmt: skip
STORED = {
    "k": weights(4, 4, 2, 2), "true": np.array(True), "pads": np.zeros(8, np.int64), "c": weights(4) + 2,
    "scales": np.array([1, 1, 2, 2], np.float32),
}  # fmt: skip


@pytest.mark.parametrize(("one", "told"), UNCOVERED, ids=[f"{k}-{one.op_type}" for k, (one, _) in enumerate(UNCOVERED)])
def test_a_use_that_is_not_covered_is_told_when_reading(tmp_path, one, told):
    with pytest.raises(UnsupportedOperationError, match=rf"the node 'it' \({one.op_type}\) cannot be computed: {told}"):
        read(tmp_path, [one], stored=STORED, shape=("n", 4, 6, 6))


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (node("LSTM", ["s", "w", "r"], hidden_size=2, clip=1.0), "`clip` is not covered"),
        (node("RNN", ["s", "w", "r"], hidden_size=2, activations=["Affine"]), "activation 'Affine' is not covered"),
        (node("GRU", ["s", "w", "r"], hidden_size=2, layout=1), "`layout` is not covered"),
    ],
)
def test_recurrent_options_that_are_not_covered_are_told(tmp_path, one, told):
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[one.op_type]
    stored = {"w": weights(1, 2 * gates, 4), "r": weights(1, 2 * gates, 2), "axes": np.array([0])}
    with pytest.raises(UnsupportedOperationError, match=told):
        read(tmp_path, [node("Unsqueeze", ["x", "axes"], ["s"]), one], stored=stored)


def test_a_second_output_that_is_not_made_is_named(tmp_path):
    nodes = [node("MaxPool", ["x"], ["y", "where"], kernel_shape=[2, 2]), node("Cast", ["where"], to=FLOAT, name="c")]
    with pytest.raises(UnsupportedOperationError, match="its output 'where' is not covered, only the first is"):
        read(tmp_path, nodes, shape=("n", 1, 4, 4))


@pytest.mark.parametrize("version", [8, 99])
def test_another_version_of_the_operations_is_refused(tmp_path, version):
    with pytest.raises(UnsupportedOperationError, match=f"uses version {version} of ONNX's operations; 9 to 28 are"):
        read(tmp_path, [node("Relu", ["x"])], opset=version)


def test_a_graph_out_of_order_is_told(tmp_path):
    nodes = [node("Relu", ["y"]), node("Tanh", ["x"], ["y"])]
    with pytest.raises(CorruptDataError, match=r"the node 'it' \(Relu\) needs 'y', which nothing before it makes"):
        read(tmp_path, nodes)


@pytest.mark.parametrize(("kind", "name"), [(TensorProto.UINT8, "uint8"), (TensorProto.INT64, "int64")])
def test_an_input_of_whole_numbers_is_refused(tmp_path, kind, name):
    with pytest.raises(EncoderError, match=f"must take floating-point images; 'x' is {name}"):
        read(tmp_path, [node("Cast", ["x"], to=FLOAT)], (info("code"),), kind=kind)


def test_a_code_of_whole_numbers_is_refused(tmp_path):
    with pytest.raises(EncoderError, match=r"must be floating-point numbers; 'code' is torch\.int64"):
        read(tmp_path, [node("ArgMax", ["x"], axis=1)], (info("code", TensorProto.INT64),))


def test_a_code_has_a_row_for_each_image(tmp_path):
    with pytest.raises(EncoderError, match=r"one row an image; 'code' is \(4, 3\) for 3 images"):
        read(tmp_path, [node("Transpose", ["x"])])


def test_an_input_without_a_batch_axis_is_refused(tmp_path):
    with pytest.raises(EncoderError, match=r"must take a batch of images, \(n, ...\); this one takes \(4,\)"):
        read(tmp_path, [node("Relu", ["x"])], shape=(4,))


def test_numbers_that_do_not_fit_name_the_node(tmp_path):
    with pytest.raises(EncoderError, match=r"the node 'it' \(MatMul\) failed on inputs of shapes \(3, 4\), \(5, 2\)"):
        read(tmp_path, [node("MatMul", ["x", "w"])], stored={"w": weights(5, 2)})


# --- types ---


def test_float64_is_kept(tmp_path):
    w = weights(4, 3, dtype=np.float64)
    network = read(tmp_path, [node("MatMul", ["x", "w"])], stored={"w": w}, kind=DOUBLE)
    images = torch.rand(2, 4, dtype=torch.float64)
    torch.testing.assert_close(network(images), images @ torch.from_numpy(w), rtol=1e-15, atol=0)
    assert network(images.float()).dtype == torch.float64  # exact: what is narrower is widened


def test_images_that_are_wider_than_the_network_are_told(tmp_path):
    network = read(tmp_path, VAE[:1], ("hidden",), {"w": W})
    with pytest.raises(ImageError, match=r"computes in torch.float32; the images are torch.float64\. .*network.double"):
        network(torch.rand(2, 4, dtype=torch.float64))
    assert network.double()(torch.rand(2, 4, dtype=torch.float64)).dtype == torch.float64


def test_a_network_without_weights_has_a_type_too(tmp_path):
    network = read(tmp_path, [node("Relu", ["x"])])
    assert network(torch.rand(2, 4)).dtype == torch.float32
    assert network.double()(torch.rand(2, 4).double()).dtype == torch.float64


@pytest.mark.parametrize(
    "one",
    [
        node("MaxPool", ["x"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 1, 2, 0]),
        node("AveragePool", ["x"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 1, 2, 0], ceil_mode=1),
        node("Resize", ["x", "", "scales"], mode="cubic"),
    ],
    ids=lambda one: one.op_type,
)
def test_engines_agree_on_what_has_no_operation_of_its_own_in_torch(tmp_path, one):
    network = read(tmp_path, [one], stored=STORED, shape=("n", 1, 6, 6)).double()
    images = torch.rand(2, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([torch.func.jacrev(lambda x: network(x[None])[0])(image) for image in images])
    for engine in ("transpose", "forward", "complex"):
        found = jacobian(network, images, engine=engine).reshape(expected.shape)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-14, msg=engine)


def test_half_precision_is_computed_in_float32_and_said_so(tmp_path):
    w = weights(4, 3).astype(np.float16)
    network = read(tmp_path, [node("MatMul", ["x", "w"])], stored={"w": w}, kind=TensorProto.FLOAT16)
    assert network.notes == ("the file is in float16: it is computed in float32 here",)
    images = torch.rand(2, 4)
    torch.testing.assert_close(network(images), images @ torch.from_numpy(w.astype(np.float32)))
    assert vae(tmp_path, "mu").notes == ()


def test_weights_are_parameters_with_names_that_python_can_say(tmp_path):
    nodes = [node("MatMul", ["x", "net.0.weight"], ["y"]), node("Add", ["y", "forward"])]
    network = read(tmp_path, nodes, stored={"net.0.weight": W, "forward": B})
    assert [name for name, _ in network.named_parameters()] == ["net_0_weight", "forward_"]
    assert not network.training


# --- batches ---


def flat_classifier(size):
    """As exporters write it for a fixed number of images: with that number in the new shape."""
    nodes = [node("Reshape", ["x", "shape"], ["rows"], name="flat"), node("MatMul", ["rows", "w"])]
    return nodes, {"shape": np.array([size, 8]), "w": weights(8, 3)}


@pytest.mark.parametrize("size", [1, 4])
def test_a_graph_for_a_fixed_number_of_images_is_opened(tmp_path, size):
    nodes, stored = flat_classifier(size)
    network = read(tmp_path, nodes, stored=stored, shape=(size, 2, 4))
    images = torch.rand(5, 2, 4)
    assert (network.batching, network.opened) == ("any", {0})
    torch.testing.assert_close(network(images), images.flatten(1) @ torch.from_numpy(stored["w"]))


def test_a_stored_row_beside_a_fixed_number_of_images_is_opened(tmp_path):
    """The class token of a vision transformer."""
    nodes = [node("Concat", ["token", "x"], axis=1)]
    token = weights(1, 1, 4)
    network = read(tmp_path, nodes, stored={"token": token}, shape=(1, 2, 4))
    images = torch.rand(3, 2, 4)
    assert network.batching == "any"
    assert torch.equal(network(images), torch.cat([torch.from_numpy(token).expand(3, 1, 4), images], 1))


def folded(size):
    """A graph that mixes the axes of images and features on its way, with both sizes written down."""
    nodes = [
        node("Transpose", ["x"], ["turned"], perm=[1, 0, 2]),
        node("Reshape", ["turned", "shape"], ["rows"]),
        node("Tanh", ["rows"], ["active"]),
        node("Reshape", ["active", "back"], ["parts"]),
        node("Transpose", ["parts"], perm=[1, 0, 2]),
    ]
    return nodes, {"shape": np.array([2, 4 * size]), "back": np.array([2, size, 4])}


def test_a_graph_for_one_image_is_run_image_by_image_where_it_cannot_be_opened(tmp_path):
    nodes, stored = folded(1)
    network = read(tmp_path, nodes, stored=stored, shape=(1, 2, 4))
    assert network.batching == "each"
    images = torch.rand(3, 2, 4)
    torch.testing.assert_close(network(images), images.tanh())
    result = saliency(network, images)
    torch.testing.assert_close(result.maps, 1 - images.tanh() ** 2, rtol=1e-5, atol=1e-6)


def test_a_graph_for_several_images_takes_these_alone_where_it_cannot_be_opened(tmp_path):
    nodes, stored = folded(3)
    network = read(tmp_path, nodes, stored=stored, shape=(3, 2, 4))
    assert network.batching == "exact"
    images = torch.rand(3, 2, 4)
    torch.testing.assert_close(network(images), images.tanh())
    with pytest.raises(
        ImageError, match=r"takes images of shape \(3, 2, 4\); got \(2, 2, 4\)\. Export it with a batch"
    ):
        network(images[:2])


def test_images_mixed_by_a_literal_are_not_taken_for_independent(tmp_path):
    """A graph that would run on several images, with one code for each, and mix them: a softmax over all of them."""
    nodes = [node("Reshape", ["x", "shape"], ["row"]), node("Softmax", ["row"], ["s"]), node("Reshape", ["s", "back"])]
    stored = {"shape": np.array([1, -1]), "back": np.array([-1, 4])}
    network = read(tmp_path, nodes, stored=stored, shape=(1, 4))
    images = torch.rand(3, 4)
    torch.testing.assert_close(network(images), images.softmax(1))


def test_images_of_another_shape_are_told(tmp_path):
    network = read(tmp_path, [node("Relu", ["x"])], shape=("n", 1, 4, 6))
    assert network.image_shape == (1, 4, 6)
    with pytest.raises(ImageError, match=r"takes images of shape \(n, 1, 4, 6\); got \(2, 1, 6, 4\)"):
        network(torch.rand(2, 1, 6, 4))


def test_an_open_image_size_is_open(tmp_path):
    network = read(tmp_path, [node("GlobalAveragePool", ["x"])], shape=("n", 3, None, None))
    assert network.image_shape is None
    assert network(torch.rand(2, 3, 5, 7)).shape == (2, 3, 1, 1)


# --- sizes that are computed ---


def test_shapes_are_computed_from_sizes_for_any_number_of_images(tmp_path):
    """As the TorchScript exporter writes a view: Shape, Gather, Unsqueeze, Concat, Reshape."""
    nodes = [
        node("Shape", ["x"], ["sizes"]),
        node("Gather", ["sizes", "zero"], ["n"]),
        node("Unsqueeze", ["n", "first"], ["rows"]),
        node("Concat", ["rows", "rest"], ["shape"], axis=0),
        node("Reshape", ["x", "shape"], ["flat"]),
        node("Gather", ["sizes", "one"], ["width"]),
        node("Cast", ["width"], ["factor"], to=FLOAT),
        node("Sqrt", ["factor"], ["root"]),
        node("Div", ["flat", "root"]),
    ]
    stored = {"zero": np.array(0), "one": np.array(1), "first": np.array([0]), "rest": np.array([-1])}
    network = read(tmp_path, nodes, stored=stored, shape=("n", 4, 2))
    images = torch.rand(3, 4, 2)
    assert torch.equal(network(images), images.flatten(1) / 2)
    assert jacobian(network, images).shape == (3, 8, 4, 2)
    exported = torch.export.export(network, (images,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    assert torch.equal(exported.module()(torch.cat([images, images])), network(torch.cat([images, images])))


def test_a_count_of_images_may_be_a_number_in_the_code(tmp_path):
    nodes = [node("Shape", ["x"], ["sizes"]), node("Cast", ["sizes"], ["s"], to=FLOAT), node("Add", ["x", "s"])]
    network = read(tmp_path, nodes, shape=("n", 2))
    assert torch.equal(network(torch.zeros(3, 2)), torch.tensor([[3.0, 2.0]] * 3))
    exported = torch.export.export(network, (torch.zeros(3, 2),), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    assert torch.equal(exported.module()(torch.zeros(5, 2))[0], torch.tensor([5.0, 2.0]))


# --- functions, and further operations ---


def test_functions_in_the_file_are_put_in_their_places(tmp_path):
    body = [node("Tanh", ["a"], ["t"]), node("Mul", ["t", "a"], ["b"])]
    function = helper.make_function("own", "Gate", ["a"], ["b"], body, [helper.make_opsetid("", 21)])
    nodes = [node("Gate", ["x"], domain="own")]
    model = model_of(nodes, {"x": (FLOAT, ["n", 4])}, [info("code")], functions=[function])
    images = torch.rand(2, 4)
    torch.testing.assert_close(read_onnx(saved(tmp_path, model))(images), images.tanh() * images)


def test_an_operation_can_be_added(tmp_path, monkeypatch):
    monkeypatch.setattr(OPERATIONS, "_entries", dict(OPERATIONS._entries))

    @operation("own.Cube")
    def _cube(x: torch.Tensor, *, factor: float = 1.0) -> torch.Tensor:
        """Cube, and scale."""
        return factor * x**3

    network = read(tmp_path, [node("Cube", ["x"], domain="own", factor=2.0)])
    images = torch.rand(2, 4)
    torch.testing.assert_close(network(images), 2 * images**3)
    assert OPERATIONS.summaries()["own.Cube"] == "Cube, and scale."


def test_the_table_is_listed():
    assert REGISTRIES["onnx-operations"] is OPERATIONS
    with pytest.raises(UnknownNameError, match=r"unknown onnx-operation 'Reluu'; known: .*Did you mean 'Relu'"):
        OPERATIONS["Reluu"]


def test_a_constant_that_holds_no_numbers_is_refused(tmp_path):
    nodes = [node("Constant", [], ["c"], name="word", value_string="text"), node("Add", ["x", "c"])]
    with pytest.raises(UnsupportedOperationError, match=r"the node 'word' \(Constant\) holds value_string"):
        read(tmp_path, nodes)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"value_float": 1.5}, 1.5),
        ({"value_floats": [1.5] * 4}, 1.5),
        ({"value": onnx.numpy_helper.from_array(B[:1])}, B[0]),
    ],
)
def test_constants_are_read_however_they_are_written(tmp_path, attributes, expected):
    network = read(tmp_path, [node("Constant", [], ["c"], **attributes), node("Add", ["x", "c"])])
    torch.testing.assert_close(network(torch.zeros(2, 4)), torch.full((2, 4), float(expected)))
