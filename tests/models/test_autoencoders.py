import pytest
import torch
from torch import nn

from imagrad.errors import ImageError, InputError, UnknownNameError
from imagrad.models.autoencoders import DenseAutoencoder, NetworkConfig, build, config_from_dict


def test_the_papers_network():
    """Section 5.2: 784 - 128 - 32 - 128 - 784, not tied, ReLU on every intermediate layer and on the code."""
    network = DenseAutoencoder(NetworkConfig())
    shapes = [tuple(weight.shape) for name, weight in network.named_parameters() if name.endswith("weight")]
    assert shapes == [(128, 784), (32, 128), (128, 32), (784, 128)]
    kinds = [type(layer) for layer in network.encoder] + [type(layer) for layer in network.decoder]
    linear, relu = nn.Linear, nn.ReLU
    assert kinds == [nn.Flatten, linear, relu, linear, relu, linear, relu, linear]


def test_against_plain_matrices():
    network = build(NetworkConfig("dense", (2, 3, 4), (7, 5), 3), seed=1).double()
    images = torch.rand(6, 2, 3, 4, dtype=torch.float64)
    w = {name: value for name, value in network.state_dict().items()}
    x = images.reshape(6, 24)
    for layer in (1, 3, 5):
        x = (x @ w[f"encoder.{layer}.weight"].T + w[f"encoder.{layer}.bias"]).clamp(min=0)
    assert torch.allclose(network.encode(images), x, rtol=1e-13)
    for layer in (0, 2):
        x = (x @ w[f"decoder.{layer}.weight"].T + w[f"decoder.{layer}.bias"]).clamp(min=0)
    x = 1 / (1 + torch.exp(-(x @ w["decoder.4.weight"].T + w["decoder.4.bias"])))
    assert torch.allclose(network(images), x.reshape(6, 2, 3, 4), rtol=1e-13)
    assert torch.allclose(torch.sigmoid(network.logits(images)), network.reconstruct(images), rtol=1e-13)


def test_seed_alone_decides_the_weights():
    torch.manual_seed(1)
    first = build(NetworkConfig("dense", (1, 4, 4), (5,), 2), seed=9)
    state = torch.get_rng_state()
    second = build(NetworkConfig("dense", (1, 4, 4), (5,), 2), seed=9)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"
    other = build(NetworkConfig("dense", (1, 4, 4), (5,), 2), seed=10)
    assert torch.equal(first.encoder[1].weight, second.encoder[1].weight)
    assert not torch.equal(first.encoder[1].weight, other.encoder[1].weight)


def test_images_of_another_shape():
    network = build(NetworkConfig("dense", (1, 4, 4), (5,), 2), seed=0)
    for shape in [(4, 4), (3, 16), (3, 1, 2, 8), (1, 4, 4)]:
        with pytest.raises(ImageError, match=r"`images` must have shape \(n, 1, 4, 4\); got"):
            network.encode(torch.rand(shape))


@pytest.mark.parametrize("change", [{"latents": 0}, {"hidden": (5, -1)}, {"image_shape": (28, 28)}])
def test_impossible_sizes(change):
    with pytest.raises(InputError, match="all sizes positive; got"):
        NetworkConfig(**change)


def test_config_survives_json():
    config = NetworkConfig("dense", (3, 8, 6), (20, 10), 4)
    assert config_from_dict(config.as_dict()) == config
    with pytest.raises(
        InputError, match=r"has the keys code, hidden, image_shape, latents, network; got \{'latents': 3\}"
    ):
        config_from_dict({"latents": 3})


def test_unknown_network():
    with pytest.raises(UnknownNameError, match="unknown network 'convolutional'; known: conv, dense"):
        build(NetworkConfig("convolutional"), seed=0)
