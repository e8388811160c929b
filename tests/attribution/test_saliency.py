"""The map against the paper's loop, plain matrices and autograd; its options; what cannot be explained."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import imagrad
from imagrad.attribution import blocks
from imagrad.attribution.saliency import NORMS
from imagrad.complexstep import literal_jacobian
from imagrad.errors import (
    DerivativeError,
    EncoderError,
    ImageError,
    InputError,
    UnknownNameError,
    UnsupportedOperationError,
)

from ..marks import slow


def error(found, expected):
    """max|a-b| / max|b|"""
    return float((found - expected).abs().max() / expected.abs().max())


def matrix_form(network, images):
    """D2 W2 D1 W1 of a network with two ReLU layers, image by image, in NumPy: (n, q, m)."""
    w = {name: value.double().numpy() for name, value in network.state_dict().items()}
    jacobians = []
    for image in images.double().flatten(1).numpy():
        hidden = w["encoder.1.weight"] @ image + w["encoder.1.bias"]
        code = w["encoder.3.weight"] @ np.maximum(hidden, 0) + w["encoder.3.bias"]
        d1, d2 = (hidden > 0).astype(float), (code > 0).astype(float)
        jacobians.append(d2[:, None] * (w["encoder.3.weight"] @ (d1[:, None] * w["encoder.1.weight"])))
    return torch.from_numpy(np.stack(jacobians))


# --- the paper's network on real MNIST ---


@pytest.mark.slow
def test_equals_the_literal_loop_on_mnist(mnist_images):
    network = imagrad.load()
    found = imagrad.jacobian(network.encode, mnist_images[:3], dtype=torch.float64)
    for image, jacobian in zip(mnist_images, found, strict=False):
        expected = literal_jacobian(network.encode, image[None], dtype=torch.float64)[0, :, 0]
        assert error(jacobian, expected) <= 1e-12


def test_equals_the_matrix_form_on_mnist(mnist_images):
    network = imagrad.load()
    expected = matrix_form(network, mnist_images)
    found = imagrad.jacobian(network.encode, mnist_images, dtype=torch.float64)
    assert found.shape == (100, 32, 1, 28, 28)
    assert error(found.flatten(2), expected) <= 1e-12
    result = imagrad.saliency(network.encode, mnist_images, dtype=torch.float64)
    assert result.maps.shape == (100, 1, 28, 28)
    assert error(result.maps.flatten(1), (expected**2).sum(1).sqrt()) <= 1e-12  # Eq. 12
    assert torch.allclose(result.codes.float(), network.encode(mnist_images), atol=1e-6)


# --- the same on small networks, also without MNIST ---


def test_equals_the_matrix_form(autoencoder, images):
    expected = matrix_form(autoencoder, images)
    assert error(imagrad.jacobian(autoencoder.encode, images, dtype=torch.float64).flatten(2), expected) <= 1e-12
    found = imagrad.saliency(autoencoder.encode, images, dtype=torch.float64).maps
    assert error(found.flatten(1), (expected**2).sum(1).sqrt()) <= 1e-12


def conv_encoder():
    torch.manual_seed(2)
    layers = [nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(6, 4)]
    return nn.Sequential(*layers).requires_grad_(False)


def test_a_convolutional_encoder_with_three_channels():
    images = torch.rand(3, 3, 7, 7)
    double = conv_encoder().double()
    expected = torch.stack([torch.func.jacrev(lambda x: double(x[None])[0])(image) for image in images.double()])
    assert error(imagrad.jacobian(conv_encoder(), images, dtype=torch.float64), expected) <= 1e-12
    maps = imagrad.saliency(conv_encoder(), images, dtype=torch.float64).maps
    assert error(maps, expected.square().sum(1).sqrt()) <= 1e-12  # per channel: (n, 3, 7, 7)


def test_a_plain_function_of_vectors():
    matrix = torch.randn(3, 5)
    maps = imagrad.saliency(lambda x: x @ matrix.T, torch.rand(2, 5)).maps
    assert torch.allclose(maps, matrix.norm(dim=0).expand(2, 5), rtol=1e-6)


def test_a_code_of_several_axes_counts_every_number():
    images = torch.rand(2, 3, 7, 7)
    spatial = conv_encoder()[:3]
    expected = imagrad.saliency(lambda x: spatial(x).flatten(1), images)
    found = imagrad.saliency(spatial, images)
    assert torch.equal(found.maps, expected.maps)
    assert found.codes.shape == (2, 6)


# --- dead latents, dead pixels ---


def dead_latents(autoencoder, which):
    with torch.no_grad():
        autoencoder.encoder[3].weight[which] = 0
        autoencoder.encoder[3].bias[which] = -1
    return autoencoder


def test_a_dead_latent_gives_a_zero_row(autoencoder, images):
    alive = imagrad.jacobian(autoencoder.encode, images)
    found = imagrad.jacobian(dead_latents(autoencoder, [2]).encode, images)
    assert torch.equal(found[:, 2], torch.zeros_like(found[:, 2]))
    assert torch.equal(found[:, [0, 1, 3, 4]], alive[:, [0, 1, 3, 4]])


def test_all_latents_dead_give_a_zero_map(autoencoder, images):
    result = imagrad.saliency(dead_latents(autoencoder, [0, 1, 2, 3, 4]).encode, images)
    assert torch.equal(result.maps, torch.zeros_like(images))
    assert torch.equal(result.codes, torch.zeros(4, 5))


def test_an_all_zero_image_gives_what_the_weights_say(autoencoder):
    with torch.no_grad():
        autoencoder.encoder[1].bias += 0.1
    image = torch.zeros(1, 1, 8, 8)
    found = imagrad.saliency(autoencoder.encode, image, dtype=torch.float64).maps.flatten(1)
    expected = matrix_form(autoencoder, image).square().sum(1).sqrt()
    assert error(found, expected) <= 1e-12 and float(expected.max()) > 0


def test_a_pixel_that_never_varies_gives_what_the_weights_say(autoencoder, images):
    images[:, :, 0, 0] = 0
    found = imagrad.saliency(autoencoder.encode, images).maps[:, 0, 0, 0]
    expected = matrix_form(autoencoder, images).square().sum(1).sqrt()[:, 0]
    assert torch.allclose(found.double(), expected, rtol=1e-6) and float(expected.min()) > 0


# --- one call, many ways to pass images ---


@pytest.mark.parametrize("batch_size", [1, *slow("auto", 3)])
@pytest.mark.parametrize("memory_budget", [1, 2**30])
def test_batches_and_memory_change_nothing(autoencoder, images, batch_size, memory_budget):
    whole = imagrad.saliency(autoencoder.encode, images)
    parts = imagrad.saliency(autoencoder.encode, images, batch_size=batch_size, memory_budget=memory_budget)
    assert torch.allclose(parts.maps, whole.maps, rtol=1e-6)


def test_an_iterable_of_batches(autoencoder, images):
    whole = imagrad.saliency(autoencoder.encode, images)
    parts = imagrad.saliency(autoencoder.encode, (images[k : k + 3] for k in (0, 3)))
    assert torch.allclose(parts.maps, whole.maps, rtol=1e-6) and torch.allclose(parts.codes, whole.codes)
    assert torch.equal(parts.images, images)


def test_batches_of_several_shapes_are_refused_or_taken_one_by_one(images):
    pooled = lambda x: x.mean((2, 3))  # noqa: E731
    with pytest.raises(ImageError, match=r"all batches must have images of one shape; got \(1, 8, 8\) and \(1, 4, 4\)"):
        imagrad.saliency(pooled, [images, images[:, :, :4, :4]])


def test_results_are_plain_and_of_the_images_type(autoencoder, images):
    for dtype in (torch.float32, torch.float64):
        network = autoencoder.to(dtype).requires_grad_(True)
        result = imagrad.saliency(network.encode, images.to(dtype).requires_grad_(True))
        for tensor in (result.maps, result.codes):
            assert tensor.dtype == dtype and not tensor.requires_grad
    assert imagrad.saliency(network.encode, images.double(), dtype=torch.float32).maps.dtype == torch.float32


def test_nothing_of_the_callers_is_changed(autoencoder, images):
    before, weights = images.clone(), {k: v.clone() for k, v in autoencoder.state_dict().items()}
    imagrad.saliency(autoencoder.encode, images)
    assert torch.equal(images, before)
    assert all(torch.equal(weights[k], v) for k, v in autoencoder.state_dict().items())


def test_an_encoder_that_works_in_place(images):
    before = images.clone()
    result = imagrad.saliency(lambda x: x.mul_(2).flatten(1), images)
    assert torch.equal(images, before)
    assert torch.equal(result.maps, torch.full_like(images, 2))


def test_progress_counts_images(autoencoder, images):
    seen = []
    imagrad.saliency(autoencoder.encode, images, batch_size=3, progress=seen.append)
    assert seen == [3, 1]


# --- options ---


@pytest.mark.parametrize("norm", sorted(NORMS))
def test_norms(autoencoder, images, norm):
    jacobian = imagrad.jacobian(autoencoder.encode, images, dtype=torch.float64)
    expected = {"l2": jacobian.square().sum(1).sqrt(), "l1": jacobian.abs().sum(1), "max": jacobian.abs().amax(1)}[norm]
    result = imagrad.saliency(autoencoder.encode, images, norm=norm, dtype=torch.float64)
    assert torch.allclose(result.maps, expected, rtol=1e-12) and result.norm == norm


def test_a_subset_of_latents(autoencoder, images):
    jacobian = imagrad.jacobian(autoencoder.encode, images)
    for latents in ([3, 1], torch.tensor([3, 1])):
        assert torch.equal(imagrad.jacobian(autoencoder.encode, images, latents=latents), jacobian[:, [3, 1]])
    found = imagrad.saliency(autoencoder.encode, images, latents=[3, 1]).maps
    assert torch.allclose(found, jacobian[:, [3, 1]].norm(dim=1), rtol=1e-5)


def test_weights_of_latents(autoencoder, images):
    weights = torch.tensor([1.0, 0.0, 2.0, -1.0, 0.5])
    jacobian = imagrad.jacobian(autoencoder.encode, images, dtype=torch.float64)
    found = imagrad.saliency(autoencoder.encode, images, latents=weights, dtype=torch.float64).maps
    assert torch.allclose(found, (jacobian * weights[:, None, None, None]).norm(dim=1), rtol=1e-12)


def test_only_some_features(autoencoder, images):
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, 2:4, 5] = True
    whole = imagrad.saliency(autoencoder.encode, images).maps
    part = imagrad.saliency(autoencoder.encode, images, features=mask).maps
    assert torch.allclose(part[:, mask], whole[:, mask], rtol=1e-6)
    assert torch.isnan(part[:, ~mask]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "autograd"}, "`engine` must be one of: auto, complex, forward, transpose; got 'autograd'"),
        ({"kinks": "middle"}, "`kinks` must be one of: ad, right, left, mean, raise; got 'middle'"),
        ({"certify": "yes"}, "`certify` must be one of: sample, full, none; got 'yes'"),
        ({"step": 1e-3}, "`step` must lie between"),
        ({"batch_size": 0}, '`batch_size` must be a positive whole number or "auto"; got 0'),
        ({"memory_budget": 0}, "`memory_budget` must be a positive number of bytes"),
        ({"latents": [5]}, r"`latents` must be different indices from 0 to 4; got \[5\]"),
        ({"latents": [1, 1]}, "`latents` must be different indices"),
        ({"latents": []}, "`latents` must be a list of indices or of 5 weights"),
        ({"latents": torch.ones(4)}, r"`latents` as weights must be 5 finite numbers; got shape \(4,\)"),
        ({"features": torch.ones(8, 8, dtype=torch.bool)}, r"`features` must be a boolean mask of shape \(1, 8, 8\)"),
        ({"features": torch.ones(1, 8, 8)}, r"`features` must be a boolean mask .* got torch\.float32"),
        ({"features": [1, 2]}, r"`features` must be a boolean mask of shape \(1, 8, 8\); got list"),
        ({"device": "gpu"}, "`device` must be one that this machine has; 'gpu' is not"),
        ({"features": torch.zeros(1, 8, 8, dtype=torch.bool)}, "must select at least one feature"),
    ],
)
def test_impossible_options(autoencoder, images, options, message):
    with pytest.raises(InputError, match=message):
        imagrad.saliency(autoencoder.encode, images, **options)


def test_unknown_norm(autoencoder, images):
    with pytest.raises(UnknownNameError, match="unknown norm 'l3'; known: l1, l2, max"):
        imagrad.saliency(autoencoder.encode, images, norm="l3")


# --- kinks ---


def test_ties_are_counted_and_can_be_refused(images):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 6, bias=False), nn.ReLU()).requires_grad_(False)
    images[1] = 0  # all six units stand at zero for this image
    result = imagrad.saliency(net, images)
    assert result.ties == {"aten.relu.default": 6}
    assert torch.equal(result.maps[1], torch.zeros(1, 8, 8))  # autograd's choice: slope 0
    with pytest.raises(DerivativeError, match=r"stands exactly at a kink.*aten\.relu\.default 6 times.*kinks=\"ad\""):
        imagrad.saliency(net, images, kinks="raise")


# --- what is no encoder, what are no images ---


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (torch.rand(8), ImageError, r"must be a batch.*got shape \(8,\)\. Add a batch axis.*images\[None\]"),
        (torch.rand(0, 1, 8, 8), ImageError, r"with n >= 1; got shape \(0, 1, 8, 8\)"),
        (torch.rand(8, 8), ImageError, r"must have shape \(n, 1, 8, 8\); got \(8, 8\)"),
        (torch.zeros(1, 1, 8, 8, dtype=torch.uint8), InputError, r"real floating-point numbers; got torch\.uint8"),
        (torch.full((1, 1, 8, 8), torch.nan), InputError, "all values must be finite; 64 of 64"),
        ([], ImageError, "must hold at least one batch; the iterable was empty"),
        ([np.zeros((1, 1, 8, 8))], ImageError, r"must be a torch\.Tensor or an iterable of them; got ndarray"),
    ],
)
def test_what_are_no_images(autoencoder, images, error, message):
    with pytest.raises(error, match=message):
        imagrad.saliency(autoencoder.encode, images)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (lambda x: (x, x), "must return one tensor of codes.*returns a tuple.*it holds: 0 \\(4, 1, 8, 8\\), 1"),
        (lambda x: x.sum(), r"must return codes \(n, q\), one row an image; for 4 images this one returned \(\)"),
        (lambda x: x.flatten(1)[:2], "for 4 images this one returned"),
        (
            lambda x: x @ torch.rand(5, 5),
            r"must take a tensor of shape \(4, 1, 8, 8\), torch.float32, on cpu; it raised",
        ),
        (nn.Linear, "`encoder` must be a network or a function; got <class .*Make an instance of a class first"),
        (None, "`encoder` must be a network or a function; got None"),
        (lambda x: {"mu": x}, r"returns a dict\. Pick a tensor of it by `output`.*; it holds: 'mu' \(4, 1, 8, 8\)"),
    ],
)
def test_what_is_no_encoder(images, encoder, message):
    with pytest.raises(EncoderError, match=message):
        imagrad.saliency(encoder, images)


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm2d(1)])
def test_train_mode_is_refused_before_it_does_harm(images, layer):
    net = nn.Sequential(layer, nn.Flatten()).train()
    with pytest.raises(EncoderError, match=rf"must be in eval mode; 0 \({type(layer).__name__}\) is in train mode"):
        imagrad.saliency(net, images)
    if isinstance(layer, nn.BatchNorm2d):
        assert int(layer.num_batches_tracked) == 0


def test_a_random_encoder_is_refused(images):
    with pytest.raises(EncoderError, match=r"must not draw random numbers; this one does, by aten\.rand"):
        imagrad.saliency(lambda x: x.flatten(1) + 1e-7 * torch.rand(1), images)


# --- properties ---


class Turned(nn.Module):
    """The convolutional encoder and what its codes are multiplied by, to be changed in place: it is traced once."""

    def __init__(self, *shape):
        super().__init__()
        self.net = conv_encoder().double()
        self.register_buffer("by", torch.zeros(shape, dtype=torch.float64))

    def forward(self, x):
        return self.net(x) @ self.by if self.by.ndim else self.by * self.net(x)


rotated, scaled = cache(lambda: Turned(4, 4)), cache(lambda: Turned())  # made when a test asks


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
def test_column_norms_do_not_change_when_the_latents_are_rotated(seed):
    generator = torch.Generator().manual_seed(seed)
    rotation, _ = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=generator))
    images = torch.rand(2, 3, 7, 7, dtype=torch.float64, generator=generator)
    encoder = rotated()
    encoder.by.copy_(rotation)
    assert error(imagrad.saliency(encoder, images).maps, imagrad.saliency(encoder.net, images).maps) <= 1e-12


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(st.floats(1e-3, 1e3))
def test_scaled_latents_scale_the_map(factor):
    images = torch.rand(2, 3, 7, 7, dtype=torch.float64)
    encoder = scaled()
    encoder.by.fill_(factor)
    expected = factor * imagrad.saliency(encoder.net, images).maps
    assert error(imagrad.saliency(encoder, images).maps, expected) <= 1e-12


# --- encoders that mix the images of a batch, however little, and wherever ---


def after_the_first(x):
    """The first image's code is right; every other has the one before it mixed in."""
    flat = x.flatten(1)
    return torch.cat([flat[:1], flat[1:] + flat[:-1]])


@pytest.mark.parametrize(
    "encoder",
    [
        after_the_first,
        lambda x: x.flatten(1) + 0.1 * x.flatten(1).flip(0),
        lambda x: x.flatten(1) + 5e-4 * torch.tanh(x.flatten(1).sum(0, keepdim=True)),
        lambda x: 1e-5 * (x - x.mean(0, keepdim=True)).flatten(1),
        lambda x: (x - x.mean(0, keepdim=True)).reshape(4, 64),  # of one batch size only
    ],
)
def test_any_mixing_of_the_batch_is_refused(images, encoder):
    with pytest.raises(EncoderError, match="the code of an image must depend on that image alone; that of image"):
        imagrad.saliency(encoder, images)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "encoder",
    [
        lambda x: x.flatten(1) + 0.1 * x.flatten(1).flip(0),
        lambda x: x.flatten(1) + 5e-5 * torch.tanh(x.flatten(1).sum(0, keepdim=True)),
        lambda x: 1e-5 * (x - x.mean(0, keepdim=True)).flatten(1),
    ],
)
def test_one_image_alone_is_tried_in_company(images, encoder, dtype):
    with pytest.raises(EncoderError, match="must depend on that image alone; that of image 0 changes by"):
        imagrad.saliency(encoder, images[:1].to(dtype))


@pytest.mark.parametrize("count", [1, 3])
def test_what_its_operations_show_to_go_image_by_image_is_not_tried(autoencoder, images, monkeypatch, count):
    asked = []
    plain = blocks.check_independence
    monkeypatch.setattr(blocks, "check_independence", lambda *args: asked.append(1) or plain(*args))
    imagrad.saliency(autoencoder.encode, images[:count].float(), certify="none")
    assert not asked
    imagrad.saliency(lambda x: x.flatten(1).cumsum(1), images[:count], certify="none")
    assert asked == [1]


@pytest.mark.parametrize("call", [imagrad.saliency, imagrad.jacobian])
def test_mixing_that_larger_codes_hide_in_float32_is_refused(call):
    a, b = torch.randn(2, 16, 4, generator=torch.Generator().manual_seed(3))

    def encoder(x):
        mixed = x.flatten(1) @ b
        return torch.cat([x.flatten(1) @ a * 100 + 1e4, 1e-2 * (mixed - mixed.mean(0, keepdim=True))], 1)

    with pytest.raises(EncoderError, match="must depend on that image alone"):
        call(encoder, torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(4)))


@pytest.mark.parametrize("engine", ["forward", "transpose", "complex"])
@pytest.mark.parametrize("count", [1, 5])
def test_maps_lie_in_memory_image_after_image(images, engine, count):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten()).double().eval().requires_grad_(False)
    maps = imagrad.saliency(net, images.double()[:1].expand(count, -1, -1, -1), engine=engine).maps
    assert maps.is_contiguous()


def test_a_network_of_one_batch_size_that_does_not_mix(images):
    assert torch.allclose(imagrad.saliency(lambda x: x.reshape(4, 64) * 2, images).maps, torch.full_like(images, 2))


def test_a_trace_that_is_not_the_network_is_refused(images):
    """State kept outside: what the network gives changes from call to call."""
    calls = []

    def counting(x):
        calls.append(1)
        return x.flatten(1) * len(calls)

    with pytest.raises(EncoderError, match="the traced network must give the codes that the network gives"):
        imagrad.saliency(counting, images)


@pytest.mark.parametrize(
    "narrow",
    [
        lambda x: (x * x).reshape(len(x), 8, 8).mean(2, dtype=torch.float16).float(),
        lambda x: (x * x).reshape(len(x), 8, 8).sum(2, dtype=torch.float32),
        lambda x: (x * x).flatten(1).half().float(),
    ],
)
def test_narrow_types_inside_do_not_lose_the_derivative(images, narrow):
    found = imagrad.jacobian(narrow, images, dtype=torch.float64).flatten(2)
    expected = torch.stack([torch.func.jacrev(lambda v: wide(narrow, v))(image) for image in images.double()]).flatten(
        2
    )
    assert error(found, expected) <= 1e-12


def wide(narrow, image):
    """The same function in float64: reductions and conversions without their types."""
    squares = image.reshape(8, 8) ** 2
    out = narrow(torch.zeros(1, 1, 8, 8)).shape[1]
    if out == 64:
        return squares.flatten()
    ones = torch.ones(1, 1, 8, 8)
    return squares.mean(1) if float(narrow(ones)[0, 0]) == 1 else squares.sum(1)


def test_sums_into_whole_numbers_are_refused(images):
    with pytest.raises(UnsupportedOperationError, match=r"converting to torch\.int64 has no complex-step rule"):
        imagrad.saliency(lambda x: x.flatten(2).sum(2, dtype=torch.int64).float() + x.flatten(1), images)


@pytest.mark.parametrize("select", [lambda x: x[::2], lambda x: x[..., 2:6, 2:6], lambda x: x.transpose(2, 3)])
def test_images_in_any_memory_order(images, select):
    net = lambda x: (x * x).flatten(1)  # noqa: E731
    found = imagrad.saliency(net, select(images)).maps
    assert torch.allclose(found, 2 * select(images), rtol=1e-6)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (
            lambda x: (x * 5).long().flatten(1),
            r"must be real floating-point numbers; this function returns torch\.int64",
        ),
        (lambda x: x.flatten(1)[:, :0], r"codes must have at least one latent; this encoder returned \(4, 0\)"),
        (lambda x: x.flatten(1) / 0, "codes must be finite; that of image 0 of its batch has NaN or infinity"),
        (lambda x: torch.where(x.flatten(1) > 2, x.flatten(1), torch.rand(64)), "must not draw random numbers"),
    ],
)
def test_codes_that_cannot_be_differentiated(images, encoder, message):
    with pytest.raises(EncoderError, match=message):
        imagrad.saliency(encoder, images)


def test_a_pole_is_refused():
    """The code is finite, its derivative is not: 1e200 * x * 1e200 overflows only there."""
    with pytest.raises(DerivativeError, match="all derivatives must be finite"):
        imagrad.saliency(lambda x: x * 1e200 * 1e200, torch.zeros(1, 2).double())


def test_derivatives_that_do_not_fit_the_type_are_refused(images):
    with pytest.raises(
        InputError, match=r"derivatives of up to 1e\+50 do not fit into torch\.float32; ask for a wider"
    ):
        imagrad.saliency(lambda x: x.flatten(1).double() * 1e50, images, certify="none")


def test_weights_of_latents_keep_their_last_bits(autoencoder, images):
    weights = [0.1, 0.2, 0.3, 0.4, 0.5]
    whole = imagrad.jacobian(autoencoder.encode, images, dtype=torch.float64)
    found = imagrad.jacobian(autoencoder.encode, images, dtype=torch.float64, latents=weights)
    assert torch.equal(found, whole * torch.tensor(weights, dtype=torch.float64)[:, None, None, None])


# --- networks that return several things, or take them ---


@dataclass(frozen=True)
class Latents:
    mean: torch.Tensor
    parts: tuple[torch.Tensor, ...]


RETURNED = {
    "tuple": (lambda mean, other: (other, mean), 1),
    "named tuple": (lambda mean, other: torch.max(mean[:, None], 1), "values"),
    "dict": (lambda mean, other: {"code": mean, "rest": other}, "code"),
    "nested": (lambda mean, other: {"latent": [other, (mean, other)]}, "latent.1.0"),
    "dataclass": (lambda mean, other: Latents(other, (other, mean)), "parts.1"),
    "from the end": (lambda mean, other: [other, mean], -1),
}


@pytest.mark.parametrize("name", RETURNED)
def test_one_of_several_results_is_picked(autoencoder, images, name):
    pack, output = RETURNED[name]
    expected = imagrad.saliency(autoencoder.encode, images)
    found = imagrad.saliency(lambda x: pack(autoencoder.encode(x), x.flatten(1) ** 2), images, output=output)
    assert torch.equal(found.maps, expected.maps) and torch.equal(found.codes, expected.codes)
    assert found.certificate.passed


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            None,
            r"one returns a dict\. Pick a tensor of it by `output`.*; it holds: 'code' \(4, 64\), 'pair\.0' \(4, 1",
        ),
        ("mean", r"`output` 'mean' is not there; it holds: 'code' \(4, 64\), 'pair\.0' .* 'inner\.mean' \(4,\)"),
        ("pair", r"returns a tuple\. Pick a tensor of it by `output`.*; it holds: 'code' \(4, 64\), 'pair\.0'"),
        ("pair.2", r"`output` 'pair\.2' is not there; it holds: 'code'"),
        ("inner.mean", r"must return codes \(n, q\), one row an image; for 4 images this one returned \(4,\)"),
    ],
)
def test_what_is_there_is_listed(images, output, message):
    several = lambda x: {"code": x.flatten(1), "pair": (x, 3), "inner": Latents(x.mean((1, 2, 3)), ())}  # noqa: E731
    with pytest.raises(EncoderError, match=message):
        imagrad.saliency(several, images, output=output)


def test_what_holds_no_tensor(images):
    with pytest.raises(EncoderError, match=r"this one returns a str.*it holds no tensor: str"):
        imagrad.saliency(lambda x: "code", images)


@pytest.mark.slow
def test_held_inputs_are_passed_on_and_not_perturbed(autoencoder, images):
    scale, which = torch.rand(4, 5) + 0.5, torch.tensor([0, 2, 1, 0])  # one row an image; whole numbers are fine
    table = torch.rand(3, 5)
    conditioned = lambda x, scale, which: autoencoder.encode(x) * scale + table[which]  # noqa: E731
    jacobian = imagrad.jacobian(autoencoder.encode, images, dtype=torch.float64)
    for batch_size in ("auto", 3):
        found = imagrad.saliency(conditioned, images, held=(scale, which), batch_size=batch_size)
        expected = (jacobian * scale[:, :, None, None, None]).norm(dim=1)
        assert error(found.maps, expected) <= 1e-5 and found.certificate.passed
    rows = imagrad.jacobian(conditioned, images, held=(scale, which))
    assert error(rows, jacobian * scale[:, :, None, None, None]) <= 1e-5


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ((torch.rand(3, 5),), r"each tensor of `held` must have one row an image, 4 of them; got \(3, 5\)"),
        ((torch.tensor(1.0),), r"one row an image, 4 of them; got \(\).*saliency\(lambda images: net\(images, it\)"),
        ((2.0,), "one row an image, 4 of them; got float"),
    ],
)
def test_held_inputs_of_another_length(autoencoder, images, held, message):
    with pytest.raises(ImageError, match=message):
        imagrad.saliency(lambda x, y: autoencoder.encode(x) * y, images, held=held)


def test_held_inputs_need_one_batch(autoencoder, images):
    with pytest.raises(ImageError, match="with `held`, `images` must be one batch"):
        imagrad.saliency(lambda x, y: autoencoder.encode(x) * y, [images], held=(torch.rand(4, 5),))


# --- images of other kinds ---


def test_images_and_networks_that_want_gradients_are_left_alone(autoencoder, images):
    expected = imagrad.saliency(autoencoder.encode, images).maps
    images.requires_grad_(True)
    autoencoder.requires_grad_(True)
    found = imagrad.saliency(autoencoder.encode, images)
    assert torch.equal(found.maps, expected) and not found.images.requires_grad
    assert images.requires_grad and images.grad is None
    assert all(parameter.grad is None for parameter in autoencoder.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_refused_or_widened(autoencoder, images, dtype):
    network, narrow = autoencoder.to(dtype), images.to(dtype)
    with pytest.raises(InputError, match=rf"derivatives in {dtype} would have .* ask for dtype=torch\.float32 or"):
        imagrad.saliency(network.encode, narrow)
    result = imagrad.saliency(network.encode, narrow, dtype=torch.float64)
    expected = matrix_form(network, narrow).square().sum(1).sqrt()
    assert error(result.maps.flatten(1), expected) <= 1e-12 and result.certificate.passed
    assert network.encoder[1].weight.dtype == dtype, "a copy was converted"


@pytest.mark.parametrize("dtype", [torch.long, torch.int32, torch.bool], ids=str)
def test_tokens_are_refused_and_embeddings_named(dtype):
    table = nn.Embedding(10, 3).requires_grad_(False)
    tokens = torch.randint(2, (4, 6)).to(dtype)
    with pytest.raises(
        InputError, match=r"have no derivative: explain what they are turned into, as net\(embeddings\)"
    ):
        imagrad.saliency(lambda x: table(x).flatten(1), tokens)
    embedded = table(tokens.long())
    assert imagrad.saliency(lambda x: x.flatten(1).sin(), embedded).maps.shape == (4, 6, 3)


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (2, 1, 0, 8)])
def test_batches_without_a_number(shape):
    with pytest.raises(
        InputError, match=r"with n >= 1; got shape \(0, 3\)|with at least one element; got one of shape"
    ):
        imagrad.saliency(lambda x: x.flatten(1), torch.rand(shape))


def test_a_network_on_another_device(images):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).to("meta")
    with pytest.raises(EncoderError, match=r"on cpu; it raised .*on one device, net\.to\(x\.device\)"):
        imagrad.saliency(network, images)


def test_one_sided_derivatives_refuse_the_transpose_by_name(autoencoder, images):
    for kinks in ("right", "left", "mean"):
        with pytest.raises(InputError, match=f'the transpose needs derivatives that are linear.*kinks="{kinks}" gives'):
            imagrad.saliency(autoencoder.encode, images, engine="transpose", kinks=kinks)


@pytest.mark.slow
def test_one_sided_derivatives_at_a_kink():
    """|x| at 0: 1 to the right, -1 to the left; ReLU's halves; each along its own pixel."""
    zero = torch.zeros(1, 3, dtype=torch.float64)
    slopes = {"right": 1.0, "left": 0.0, "mean": 0.5, "ad": 0.0}
    for kinks, slope in slopes.items():
        rows = imagrad.jacobian(torch.relu, zero, kinks=kinks)
        assert torch.equal(rows[0], slope * torch.eye(3, dtype=torch.float64)), kinks
        assert imagrad.saliency(torch.relu, zero, kinks=kinks).certificate.passed
    assert torch.equal(imagrad.jacobian(torch.abs, zero, kinks="left")[0], -torch.eye(3, dtype=torch.float64))
    assert torch.equal(imagrad.jacobian(torch.abs, zero, kinks="mean")[0], torch.zeros(3, 3, dtype=torch.float64))


def test_saliency_under_autocast_is_refused_or_right(autoencoder, images):
    expected = imagrad.saliency(autoencoder.encode, images).maps
    with torch.autocast("cpu", dtype=torch.bfloat16):
        try:
            found = imagrad.saliency(autoencoder.encode, images).maps
        except (EncoderError, DerivativeError):
            return
    assert error(found, expected) <= 1e-5


def test_autocast_is_refused(autoencoder, images):
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(EncoderError, match="autocast must be off"):
        imagrad.saliency(autoencoder.encode, images)


def test_a_network_of_one_image_at_a_time(images):
    net = nn.Linear(64, 3).requires_grad_(False)
    result = imagrad.saliency(lambda x: net(x.reshape(1, 64)), images[:1])
    assert torch.allclose(result.maps.flatten(), net.weight.norm(dim=0), rtol=1e-5)


def test_an_encoder_that_does_not_take_darker_images():
    """The independence check looks at a darker copy, whose logarithm is none."""
    images = torch.rand(2, 1, 4, 4).clamp_min(0.1)
    result = imagrad.saliency(lambda x: (x.flatten(1) - 0.099).log(), images, dtype=torch.float64)
    assert torch.allclose(result.maps, 1 / (images.double() - 0.099), rtol=1e-9)
