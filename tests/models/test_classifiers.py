"""The classifier of Table 3: sizes layer by layer, parameters, weights that depend on the seed alone."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, max_pool2d

from imagrad.errors import ImageError, InputError
from imagrad.models.classifiers import Classifier, ClassifierShape, build_classifier

TEN = tuple("0123456789")
MNIST = ClassifierShape((1, 28, 28), TEN)


def test_sizes_and_parameters_are_those_of_table_3():
    network, values, sizes = build_classifier(MNIST, 0), torch.rand(1, 1, 28, 28), []
    for layer in network.layers:
        values = layer(values)
        if not isinstance(layer, nn.ReLU):
            sizes.append(tuple(values.shape[1:]))
    assert sizes == [
        (32, 28, 28), (32, 14, 14), (64, 14, 14), (64, 7, 7), (64, 7, 7), (64, 3, 3), (576,), (128,), (10,),
    ]  # fmt: skip
    by_hand = (9 + 1) * 32 + (9 * 32 + 1) * 64 + (9 * 64 + 1) * 64 + (576 + 1) * 128 + (128 + 1) * 10
    assert sum(weights.numel() for weights in network.parameters()) == by_hand == 130_890


def test_against_plain_functions():
    network = build_classifier(ClassifierShape((3, 9, 11), ("a", "b", "c")), 1).double()
    images = torch.rand(4, 3, 9, 11, dtype=torch.float64)
    w, x = network.state_dict(), images
    for layer in (0, 3, 6):
        x = conv2d(x, w[f"layers.{layer}.weight"], w[f"layers.{layer}.bias"], padding=1).clamp(min=0)
        x = max_pool2d(x, 2)
    x = (x.flatten(1) @ w["layers.10.weight"].T + w["layers.10.bias"]).clamp(min=0)
    assert torch.allclose(network(images), x @ w["layers.12.weight"].T + w["layers.12.bias"], rtol=1e-12)


def test_seed_alone_decides_the_weights():
    state = torch.get_rng_state()
    first, again, other = (build_classifier(MNIST, seed).layers[0].weight for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"


@pytest.mark.parametrize("shape", [(2, 1, 27, 28), (2, 3, 28, 28), (1, 28, 28), (2, 784)])
def test_images_of_another_shape(shape):
    with pytest.raises(
        ImageError, match=r"takes images of shape \(1, 28, 28\); got .*Train one on images of this size"
    ):
        build_classifier(MNIST, 0)(torch.rand(shape))


@pytest.mark.parametrize(
    ("image_shape", "classes", "message"),
    [
        ((1, 7, 8), TEN, "images must be at least 8 x 8; got 7 x 8"),
        ((1, 8, 4), TEN, "images must be at least 8 x 8; got 8 x 4"),
        ((1, 8, 8), ("one",), "at least 2 classes; got 1"),
        ((1, 8, 8), (), "at least 2 classes; got 0"),
    ],
)
def test_impossible_sizes(image_shape, classes, message):
    with pytest.raises(InputError, match=message):
        ClassifierShape(image_shape, classes)


def test_the_smallest_images():
    assert Classifier(ClassifierShape((1, 8, 8), TEN))(torch.rand(2, 1, 8, 8)).shape == (2, 10)


def test_shape_as_json():
    assert MNIST.as_dict() == {"image_shape": [1, 28, 28], "classes": list(TEN)}
