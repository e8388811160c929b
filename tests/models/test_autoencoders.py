"""The networks against plain matrices and torch.nn.functional; sizes, codes and starts of all of them."""

from dataclasses import replace

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn

from imagrad import runs
from imagrad.errors import EncoderError, ImageError, InputError, UnknownNameError
from imagrad.models.autoencoders import CODES, NETWORKS, DenseAutoencoder, NetworkConfig, build, config_from_dict


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


def test_config_of_an_older_run_has_no_code_and_means_relu():
    older = {"network": "dense", "image_shape": [1, 8, 8], "hidden": [6], "latents": 3}
    assert config_from_dict(older) == NetworkConfig("dense", (1, 8, 8), (6,), 3, "relu")
    with pytest.raises(InputError, match=r"`code` must be one of relu, linear, sigmoid, gaussian; got 'tanh'"):
        config_from_dict({**older, "code": "tanh"})


# --- every network and code ---

CONFIGS = {
    "dense": NetworkConfig("dense", (2, 5, 4), (7,), 3),
    "conv": NetworkConfig("conv", (2, 5, 4), (3, 6), 3),
}


def network_of(config, code="relu"):
    """A network in float64 whose biases are not 0, where a lost one would not be missed."""
    network = build(replace(config, code=code), seed=1).double().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for name, bias in network.named_parameters():
        if name.endswith("bias"):
            bias.copy_(0.3 * torch.rand(bias.shape, generator=generator))
    return network


def images_of(shape, count=4):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_every_network_has_a_config_here():
    assert set(CONFIGS) == set(NETWORKS)


ENDINGS = {"relu": lambda x: x.clamp(min=0), "linear": lambda x: x, "sigmoid": lambda x: 1 / (1 + torch.exp(-x))}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("kind", CONFIGS)
def test_how_the_code_ends(kind, code):
    """By the layers before the ending; the last of them is dense. A gaussian code is the first half of it."""
    network, images = network_of(CONFIGS[kind], code), 6 * images_of((2, 5, 4)) - 3
    count = len(network.encoder) - (code in ("relu", "sigmoid"))
    assert isinstance(network.encoder[count - 1], nn.Linear)
    before = network.encoder[:count](images)
    codes = network.encode(images)
    assert codes.shape == (4, 3)
    assert torch.equal(network.encode(images), codes), "drawn at random"
    if code == "gaussian":
        assert torch.equal(torch.cat([codes, network.log_variance(images)], dim=1), before)
    else:
        assert torch.allclose(codes, ENDINGS[code](before), rtol=1e-14)
        assert before.min() < 0 < before.max()
        message = rf"only a gaussian code has a variance; this network's code is {code}\. .*--variant variational"
        with pytest.raises(EncoderError, match=message):
            network.log_variance(images)
        with pytest.raises(EncoderError, match="only a gaussian code has a variance"):
            network.drawn(images, torch.zeros(4, 3))


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("kind", CONFIGS)
def test_all_ways_into_the_network_agree(kind, code):
    network, images = network_of(CONFIGS[kind], code), images_of((2, 5, 4))
    codes, logits = network.code_and_logits(images)
    assert torch.equal(codes, network.encode(images))
    assert torch.equal(logits, network.logits(images))
    assert logits.shape == images.shape
    for pixels in (network.decode(codes), network.reconstruct(images), network(images)):
        assert torch.allclose(pixels, 1 / (1 + torch.exp(-logits)), rtol=1e-14)
    alone = torch.cat([network(image[None]) for image in images])
    assert torch.allclose(alone, network(images), rtol=1e-13)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_drawn_code_has_the_mean_and_the_variance_of_the_encoder(kind):
    """Moments by a draw of 0, 1 and -1: mean, mean + deviation, mean - deviation."""
    network, images = network_of(CONFIGS[kind], "gaussian"), images_of((2, 5, 4))
    mean, log_variance, logits = network.drawn(images, torch.zeros(4, 3).double())
    assert torch.equal(mean, network.encode(images)) and torch.equal(log_variance, network.log_variance(images))
    assert torch.equal(logits, network.logits(images))
    for sign in (1.0, -1.0):
        drawn = network.drawn(images, torch.full((4, 3), sign).double())[2]
        codes = mean + sign * torch.sqrt(torch.exp(log_variance))
        assert torch.allclose(torch.sigmoid(drawn), network.decode(codes), rtol=1e-13)


# --- convolutions ---


def conv_forward(w, images, layers, code):
    """The convolutional network by torch.nn.functional, from its weights and the shape of its images alone."""
    x, sizes = images, []
    for layer in range(layers):
        sizes.append(x.shape[2:])
        x = F.relu(F.conv2d(x, w[f"encoder.{2 * layer}.weight"], w[f"encoder.{2 * layer}.bias"], stride=2, padding=1))
    inner = x.shape[1:]
    last = f"encoder.{2 * layers + 1}"
    codes = F.linear(x.flatten(1), w[f"{last}.weight"], w[f"{last}.bias"])
    codes = F.relu(codes) if code == "relu" else codes[:, : codes.shape[1] // 2]
    x = F.linear(codes, w["decoder.0.weight"], w["decoder.0.bias"]).unflatten(1, inner)
    for layer in range(layers):
        height, width = sizes[-1 - layer]
        more = (height - (2 * x.shape[2] - 1), width - (2 * x.shape[3] - 1))
        at = f"decoder.{2 * layer + 3}"
        x = F.conv_transpose2d(F.relu(x), w[f"{at}.weight"], w[f"{at}.bias"], stride=2, padding=1, output_padding=more)
    return codes, torch.sigmoid(x)


@pytest.mark.parametrize("code", ["relu", "gaussian"])
@pytest.mark.parametrize(
    ("shape", "hidden"),
    [
        ((1, 28, 28), (4, 6)),
        ((1, 42, 42), (4, 6)),
        ((3, 32, 32), (4, 6)),
        ((1, 7, 13), (2, 3, 4)),
        ((2, 8, 8), (3, 3, 3)),  # down to one pixel
        ((1, 1, 6), (2, 2)),
        ((1, 5, 5), ()),
    ],
)
def test_convolutions_against_functional(shape, hidden, code):
    network = network_of(NetworkConfig("conv", shape, hidden, 5), code)
    images = images_of(shape, count=2)
    codes, pixels = conv_forward(dict(network.state_dict()), images, len(hidden), code)
    assert codes.any()
    assert codes.shape == (2, 5) and pixels.shape == images.shape
    assert torch.allclose(network.encode(images), codes, rtol=1e-12, atol=1e-14)
    assert network.reconstruct(images).shape == images.shape
    assert torch.allclose(network.reconstruct(images), pixels, rtol=1e-12)


def test_weights_of_convolutions_are_read_by_plain_pytorch(tmp_path):
    """As anyone can without imagrad: safetensors and torch.nn.functional."""
    network = build(NetworkConfig("conv", (1, 7, 9), (2, 3), 4), seed=5)
    runs.write_tensors(tmp_path / "weights.safetensors", network.state_dict(), {})
    weights = safetensors.torch.load_file(tmp_path / "weights.safetensors")
    images = images_of((1, 7, 9)).float()
    codes, pixels = conv_forward(weights, images, 2, "relu")
    assert torch.allclose(network.encode(images), codes, rtol=1e-5, atol=1e-6)
    assert torch.allclose(network(images), pixels, rtol=1e-5)


def test_convolutions_use_every_pixel_and_reach_every_pixel():
    """For some of twenty images: a ReLU at rest lets nothing through."""
    network, images = network_of(NetworkConfig("conv", (1, 7, 10), (4, 4), 5), "linear"), images_of((1, 7, 10), 20)
    codes = network.encode(images.requires_grad_())
    (slopes,) = torch.autograd.grad(codes.square().sum(), images)
    moved = network.decode(codes + 1) - network.decode(codes)
    assert slopes.shape == moved.shape == (20, 1, 7, 10)
    assert slopes.abs().amax(dim=0).min() > 0 and moved.abs().amax(dim=0).min() > 0


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("kind", CONFIGS)
def test_every_layer_starts_glorot_uniform_with_biases_of_0(kind, code):
    """Within sqrt(6 / (fan in + fan out)), the fans times the 9 places of a kernel (Glorot and Bengio 2010, Eq. 16)."""
    hidden = {"dense": (64,), "conv": (16, 16)}[kind]
    network = build(NetworkConfig(kind, (1, 16, 16), hidden, 16, code), seed=0)
    for name, weight in network.state_dict().items():
        if name.endswith("bias"):
            assert not weight.any(), name
        else:
            limit = (6 / ((weight.shape[0] + weight.shape[1]) * weight[0, 0].numel())) ** 0.5
            assert 0.9 * limit < float(weight.abs().max()) <= limit, name
            assert float(weight.std()) == pytest.approx(limit / 3**0.5, rel=0.15), name  # 144 weights at least


@pytest.mark.parametrize(
    ("shape", "hidden", "most"), [((1, 28, 28), (1,) * 6, 5), ((1, 1, 1), (1,), 0), ((1, 3, 9), (1,) * 5, 4)]
)
def test_too_many_convolutions(shape, hidden, most):
    size = f"{shape[1]} x {shape[2]} pixels can be halved {most} times"
    message = rf"{size}, and `hidden` has {len(hidden)} numbers of channels\. Give at most {most}\."
    with pytest.raises(InputError, match=message):
        build(NetworkConfig("conv", shape, hidden, 2), seed=0)
    build(NetworkConfig("conv", shape, hidden[:most], 2), seed=0)
