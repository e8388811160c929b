"""Every method against closed forms on small networks; what its self-tests find; what it hides on planted networks."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import imagrad
from imagrad.attribution import contract
from imagrad.attribution.captum import hooks
from imagrad.attribution.methods import METHODS
from imagrad.complexstep.reductions import NORMS
from imagrad.errors import EncoderError, ImageError, InputError, MissingExtraError, UnknownNameError

HOOKED = ("deconvolution", "deeplift", "guided-backprop")
DRAWN = ("gradient-shap", "kernel-shap", "lime", "smoothgrad")
WITH_INPUT = ("deeplift", "gradient-shap", "gradient-x-input", "integrated-gradients", "kernel-shap", "lime", "lrp")
GRADIENTS = ("deconvolution", "gradient", "guided-backprop", "saliency", "smoothgrad")


def network(*layers, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(*(layer() for layer in layers)).double().eval().requires_grad_(False)


def conv_encoder():
    """A network on which every method is defined: 4 x 4 pixels to 3 latents."""
    return network(
        lambda: nn.Conv2d(1, 3, 3, padding=1), nn.ReLU, nn.Flatten, lambda: nn.Linear(48, 6), nn.ReLU,
        lambda: nn.Linear(6, 3),
    )  # fmt: skip


def linear_encoder():
    return network(nn.Flatten, lambda: nn.Linear(16, 3))


def pictures(count=3, side=4, seed=1):
    return torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def reduced(signed, norm="l2"):
    """Of attributions (n, q, m)."""
    return {"l2": signed.square().sum(1).sqrt(), "l1": signed.abs().sum(1), "max": signed.abs().amax(1)}[norm]


def explain(encoder, images, method, **options):
    """Attribute with fewer samples than usual where each takes a while; 16 patches need no more."""
    options = {"samples": 40, **options} if method in ("lime", "kernel-shap") else options
    return imagrad.attribute(encoder, images, method, **options)


# --- the contract of every method ---


@pytest.mark.parametrize("method", METHODS)
def test_contract(method):
    encoder, images = conv_encoder(), pictures()
    weights = {name: value.clone() for name, value in encoder.state_dict().items()}
    attributes = {module: dict(vars(module)) for module in encoder.modules()}
    before, torch_state, numpy_state = images.clone(), torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    result = explain(encoder, images, method)
    assert result.maps.shape == images.shape and result.maps.dtype == images.dtype and not result.maps.requires_grad
    assert torch.isfinite(result.maps).all() and (result.maps >= 0).all() and result.maps.amax((1, 2, 3)).min() > 0
    assert (result.method, result.reduction, result.seed) == (method, "per-latent", 0)
    assert torch.equal(result.codes, encoder(images)) and torch.equal(result.images, images)
    assert result.findings == ()
    assert torch.equal(images, before)
    assert all(torch.equal(weights[name], value) for name, value in encoder.state_dict().items())
    assert all(vars(module) == known for module, known in attributes.items())
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_many_images_are_explained_as_single_ones(method):
    encoder, images = conv_encoder(), pictures()
    whole = explain(encoder, images, method)
    singles = torch.cat([explain(encoder, image, method).maps for image in images.split(1)])
    assert torch.allclose(whole.maps, singles, rtol=1e-9, atol=1e-12)  # sums of other shapes round differently
    seen = []
    parts = explain(encoder, iter(images.split(2)), method, batch_size=1, progress=seen.append)
    assert torch.allclose(parts.maps, whole.maps, rtol=1e-9, atol=1e-12) and seen == [1, 1, 1]


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_decides_what_is_drawn(method):
    encoder, images = conv_encoder(), pictures(1)
    first, same, other = (explain(encoder, images, method, seed=seed).maps for seed in (3, 3, 4))
    assert torch.equal(first, same)
    assert torch.equal(first, other) == (method not in DRAWN)


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_encoder_depends_on_nothing(method):
    encoder = conv_encoder()
    encoder[-1].weight.zero_()
    result = explain(encoder, pictures(), method)
    assert float(result.maps.max()) <= 1e-12 and result.findings == ()  # least squares round


@pytest.mark.parametrize("method", [*GRADIENTS, *WITH_INPUT])
def test_linear_encoder(method):
    """What is attributed to a pixel is its weight, times the pixel where the method multiplies by the input."""
    encoder, images = linear_encoder(), pictures()
    signed = encoder[1].weight.expand(3, -1, -1)
    signed = signed * images.flatten(2) if method in WITH_INPUT else signed
    found = explain(encoder, images, method, norm="max")
    # LRP keeps denominators from 0 by 1e-9; KernelSHAP's end points weigh 1e6 times as much as the rest
    assert torch.allclose(found.maps.flatten(1), reduced(signed, "max"), rtol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_norms(norm):
    encoder, images = linear_encoder(), pictures()
    found = explain(encoder, images, "gradient", norm=norm)
    expected = reduced(encoder[1].weight.expand(3, -1, -1), norm)
    assert found.norm == norm and torch.allclose(found.maps.flatten(1), expected, rtol=1e-12)


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("saliency", "occlusion", "grad-cam")])
def test_project_is_the_attribution_of_the_inner_product(method):
    encoder, images = linear_encoder(), pictures()
    signed = (encoder(images) @ encoder[1].weight).unflatten(1, (1, 4, 4))
    signed = signed * images if method in WITH_INPUT else signed
    found = explain(encoder, images, method, reduction="project")
    assert found.reduction == "project" and torch.allclose(found.maps, signed.abs(), rtol=1e-5, atol=1e-9)


# what is drawn differs with the number of latents
@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("smoothgrad", "gradient-shap")])
def test_latents_are_chosen_and_weighed(method):
    encoder, images = conv_encoder(), pictures(2)
    each = [explain(encoder, images, method, latents=[j], norm="l2").maps for j in range(3)]
    both = explain(encoder, images, method, latents=[2, 0], norm="l2").maps
    assert torch.allclose(both, torch.stack([each[0], each[2]]).norm(dim=0), rtol=1e-9)
    weighed = explain(encoder, images, method, latents=torch.tensor([0.5, 0.0, 2.0]), norm="l2").maps
    assert torch.allclose(weighed, torch.stack([each[0] / 2, each[2] * 2]).norm(dim=0), rtol=1e-6)


def test_saliency_is_the_papers():
    encoder, images = conv_encoder(), pictures()
    assert torch.equal(explain(encoder, images, "saliency").maps, imagrad.saliency(encoder, images).maps)
    gradient = explain(encoder, images, "gradient")
    assert gradient.norm == "l1"  # not saliency once more
    assert torch.allclose(gradient.maps, imagrad.jacobian(encoder, images).abs().sum(1), rtol=1e-12)


# --- closed forms ---


@pytest.fixture
def matrices(autoencoder, images):
    """The weights and values of a 64 - 16 - 5 network with two ReLU layers, in float64."""
    encoder, x = autoencoder.double().encoder, images.double().flatten(1)
    encoder[1].bias.copy_(torch.linspace(-0.2, 0.2, 16))
    encoder[3].bias.copy_(torch.linspace(-0.1, 0.3, 5))
    w1, w2 = encoder[1].weight, encoder[3].weight
    z1 = x @ w1.T + encoder[1].bias
    z2 = z1.relu() @ w2.T + encoder[3].bias
    return x, w1, z1, w2, z2


def pulled_back(matrices, seeds, hidden):
    """W1^T hidden(W2^T seeds): (n, q, m), with seeds (n, q) on the diagonal."""
    _, w1, _, w2, _ = matrices
    return hidden(torch.diag_embed(seeds) @ w2) @ w1


def closed_form(method, matrices, encoder):
    x, _, z1, w2, z2 = matrices
    if method == "guided-backprop":
        return pulled_back(matrices, (z2 > 0).double(), lambda g: g.relu() * (z1 > 0)[:, None])
    if method == "deconvolution":
        return pulled_back(matrices, torch.ones_like(z2), torch.relu)
    if method == "lrp":  # R_k = sum_j a_k w_jk / z_j R_j, from layer to layer
        inner = pulled_back(matrices, z2.relu() / z2, lambda g: g * (z1.relu() / z1)[:, None])
        return inner * x[:, None]
    reference1 = encoder[1].bias  # DeepLIFT: the slope between baseline and image in place of the derivative
    reference2 = w2 @ reference1.relu() + encoder[3].bias
    slope1 = (z1.relu() - reference1.relu()) / (z1 - reference1)
    slope2 = (z2.relu() - reference2.relu()) / (z2 - reference2)
    return pulled_back(matrices, slope2, lambda g: g * slope1[:, None]) * x[:, None]


@pytest.mark.parametrize("method", ["guided-backprop", "deconvolution", "lrp", "deeplift"])
def test_matrix_form(method, matrices, autoencoder, images):
    expected = reduced(closed_form(method, matrices, autoencoder.encoder))
    found = explain(autoencoder.double().encode, images.double(), method)
    assert torch.allclose(found.maps.flatten(1), expected, rtol=1e-6, atol=1e-8)  # LRP's 1e-9 in denominators
    assert float(expected.max()) > 0 and found.findings == ()


def test_relevance_without_biases_is_gradient_times_input():
    """For layers that are linear in pieces (Ancona et al. 2018)."""
    encoder = network(
        lambda: nn.Conv2d(1, 3, 3, bias=False), nn.ReLU, lambda: nn.MaxPool2d(2), nn.Dropout2d,
        lambda: nn.Conv2d(3, 4, 2, bias=False), nn.ReLU, lambda: nn.AvgPool2d(2, 1), nn.Dropout, nn.Identity,
        nn.Flatten, lambda: nn.Linear(16, 3, bias=False),
    )  # fmt: skip
    images = pictures(side=10)
    found = explain(encoder, images, "lrp")
    assert torch.allclose(found.maps, explain(encoder, images, "gradient-x-input").maps, rtol=1e-5, atol=1e-8)
    assert found.findings == ()


@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.GELU, nn.Tanh])
def test_relevance_passes_activations(activation):
    encoder, images = linear_encoder().append(activation()), pictures()
    share = encoder[1].weight * images.flatten(2) / encoder[:2](images)[:, :, None]
    expected = reduced(share * encoder(images)[:, :, None])
    assert torch.allclose(explain(encoder, images, "lrp").maps.flatten(1), expected, rtol=1e-5)


def test_tables_are_those_of_captum():
    from captum.attr._core import deep_lift, lrp

    assert set(hooks.RESCALED) == set(deep_lift.SUPPORTED_NON_LINEAR)
    assert set(hooks.PASSED) == set(lrp.SUPPORTED_NON_LINEAR_LAYERS)


def test_integrated_gradients_sum_to_the_change():
    encoder, images, baseline = conv_encoder(), pictures(), torch.full((4, 4), 0.3, dtype=torch.float64)
    for j in range(3):
        steps = torch.linspace(0.5 / 4000, 1 - 0.5 / 4000, 4000, dtype=torch.float64)  # midpoints, far finer
        path = baseline + steps[:, None, None, None] * (images[0] - baseline)
        mean = torch.func.vmap(torch.func.grad(lambda x, j=j: encoder(x[None])[0, j]))(path).mean(0)
        found = explain(encoder, images, "integrated-gradients", latents=[j], baseline=baseline, samples=400)
        assert torch.allclose(found.maps[0], (mean * (images[0] - baseline)).abs(), atol=2e-3)


def test_gradient_shap_comes_close_to_integrated_gradients():
    encoder, images = conv_encoder(), pictures()
    exact = explain(encoder, images, "integrated-gradients", samples=400).maps
    found = explain(encoder, images, "gradient-shap", samples=2000).maps
    assert float((found - exact).abs().max() / exact.max()) <= 0.1  # 1 / sqrt(2000) = 0.022


@pytest.mark.parametrize("patch", [2, 3])
def test_occlusion_is_the_mean_change_of_the_patches_over_a_pixel(patch):
    encoder, images = network(nn.Flatten, lambda: nn.Linear(36, 3), nn.Tanh), pictures(side=6)
    total, count = torch.zeros(3, 3, 6, 6, dtype=torch.float64), torch.zeros(6, 6)
    for top in range(0, 7 - patch, max(1, patch // 2)):
        for left in range(0, 7 - patch, max(1, patch // 2)):
            hidden = images.clone()
            hidden[:, :, top : top + patch, left : left + patch] = 0.5
            total[:, :, top : top + patch, left : left + patch] += (encoder(images) - encoder(hidden))[..., None, None]
            count[top : top + patch, left : left + patch] += 1
    found = explain(encoder, images, "occlusion", patch=patch, baseline=0.5)
    assert torch.allclose(found.maps[:, 0], reduced(total / count), rtol=1e-9)


@pytest.mark.parametrize("method", ["lime", "kernel-shap"])
def test_patches_share_what_a_linear_encoder_makes_of_them(method):
    encoder, images = network(nn.Flatten, lambda: nn.Linear(2 * 36, 3)), torch.rand(2, 2, 6, 6, dtype=torch.float64)
    product = encoder[1].weight.view(1, 3, 2, 6, 6) * images[:, None]
    sums = product.sum(2).unflatten(3, (2, 3)).unflatten(2, (2, 3)).sum((3, 5))  # (n, q, 2, 2)
    shares = sums.repeat_interleave(3, 2).repeat_interleave(3, 3) / 18
    found = explain(encoder, images, method, patch=3)
    assert torch.allclose(found.maps, reduced(shares)[:, None].expand_as(images), rtol=1e-6)


def test_kernel_shap_finds_shapley_values():
    """Of a product of two pixels, each has half."""
    images = torch.tensor([[2.0, 3.0, 5.0]])
    result = explain(lambda x: x[:, :1] * x[:, 1:2] + x[:, 2:], images, "kernel-shap", samples=1000)
    assert torch.allclose(result.maps, torch.tensor([[3.0, 3.0, 5.0]]), atol=0.3)  # 3 / sqrt(1000) = 0.1


def test_grad_cam_weighs_the_channels_of_the_last_convolution():
    encoder, images = conv_encoder()[:3], pictures()
    encoder.append(nn.Linear(48, 3).double().requires_grad_(False))
    channels = encoder[0](images)
    gradient = encoder[3].weight.view(1, 3, 3, 4, 4) * (channels > 0)[:, None]  # (n, q, channels, 4, 4)
    signed = (gradient.mean((3, 4), keepdim=True) * channels[:, None]).sum(2)
    assert torch.allclose(explain(encoder, images, "grad-cam").maps[:, 0], reduced(signed), rtol=1e-9)


def test_smoothgrad_averages_over_a_kink():
    """The derivative of |x| at 1 is 1; over noise it is that of the folded normal, erf(1 / sqrt(2) spread)."""
    images = torch.tensor([[1.0, -9.0]], dtype=torch.float64)
    found = explain(lambda x: x[:, :1].abs(), images, "smoothgrad", samples=4000)
    expected = torch.erf(torch.tensor(1 / (2**0.5 * 0.15 * 10)))
    assert abs(float(found.maps[0, 0]) - float(expected)) <= 0.05  # 1 / sqrt(4000) = 0.016
    assert float(found.maps[0, 1]) == 0


# --- planted networks: what section 1 of the paper says of other methods ---


def signed_network():
    """Two pixels pass a ReLU; the latent is their difference."""
    encoder = network(nn.Flatten, lambda: nn.Linear(2, 2), nn.ReLU, lambda: nn.Linear(2, 1))
    encoder[1].weight.copy_(torch.eye(2))
    encoder[3].weight.copy_(torch.tensor([[1.0, -1.0]]))
    encoder[1].bias.zero_()
    return encoder


@pytest.mark.parametrize("method", ["guided-backprop", "deconvolution"])
def test_negative_influence_is_hidden(method):
    images = torch.tensor([[0.7, 0.4]], dtype=torch.float64)
    assert imagrad.saliency(signed_network(), images).maps.tolist() == [[1, 1]]
    assert explain(signed_network(), images, method).maps.tolist() == [[1, 0]]


def saturated_network():
    """min(1, x) = 1 - relu(1 - x), of the sum of two pixels."""
    encoder = network(lambda: nn.Linear(2, 1), nn.ReLU, lambda: nn.Linear(1, 1))
    for layer, weight, bias in ((encoder[0], -1.0, 1.0), (encoder[2], -1.0, 1.0)):
        layer.weight.fill_(weight)
        layer.bias.fill_(bias)
    return encoder


def test_gradients_saturate_and_integrated_gradients_do_not():
    images = torch.tensor([[1.5, 0.5]], dtype=torch.float64)
    assert imagrad.saliency(saturated_network(), images).maps.tolist() == [[0, 0]]
    for method in ("gradient", "gradient-x-input"):
        assert explain(saturated_network(), images, method).maps.tolist() == [[0, 0]]
    for method in ("integrated-gradients", "deeplift"):  # the code rose from 0 to 1, three quarters by the first pixel
        found = explain(saturated_network(), images, method)
        assert torch.allclose(found.maps, torch.tensor([[0.75, 0.25]], dtype=torch.float64), atol=0.02)  # 50 steps


# --- findings ---


class Functional(nn.Module):
    """The same network with functions where layers should be."""

    def __init__(self, encoder):
        super().__init__()
        self.first, self.second = encoder[1], encoder[3]

    def forward(self, images):
        return self.second(torch.relu(self.first(images.flatten(1))))


@pytest.mark.parametrize("method", HOOKED)
def test_functions_escape_hooks(method):
    images = torch.tensor([[0.7, 0.4], [0.2, 0.8]], dtype=torch.float64)
    wrong = Functional(signed_network())
    for encoder in (wrong, lambda x: wrong(x)):
        (finding, *_) = explain(encoder, images, method).findings
        assert finding.kind == "hooks" and "called as functions: relu" in finding.text.replace(
            "a function", "functions"
        )
    assert explain(signed_network(), images, method).findings == ()
    assert explain(linear_encoder(), pictures(), method).findings == ()


@pytest.mark.parametrize("method", HOOKED)
def test_one_function_among_layers_is_found(method):
    inner = conv_encoder()
    (finding, *_) = explain(lambda x: torch.relu(inner(x)), pictures(), method).findings
    assert finding.kind == "hooks" and "relu" in finding.text


def test_hooks_know_nothing_of_what_a_module_does_inside(autoencoder):
    class Own(nn.Module):
        def forward(self, x):
            return (x.flatten(1) @ torch.ones(16, 2, dtype=x.dtype)).clamp(min=0)

    (finding,) = explain(Own(), pictures(), "guided-backprop").findings
    assert str(finding).startswith("hooks: called as a function: clamp")


def test_deeplift_names_layers_without_a_rule():
    encoder = network(nn.Flatten, lambda: nn.Linear(16, 8), nn.GELU, lambda: nn.Linear(8, 2))
    hooks, incomplete = explain(encoder, pictures(), "deeplift").findings
    assert "layers without a rule: GELU" in hooks.text and incomplete.kind == "completeness"


def test_deeplift_is_incomplete_at_max_pooling():
    """Captum 0.9.0 loses some of it where a window's largest entry is elsewhere for the baseline."""
    encoder = network(
        lambda: nn.Conv2d(1, 4, 3, padding=1), nn.ReLU, lambda: nn.MaxPool2d(2), nn.Flatten, lambda: nn.Linear(16, 3)
    )
    (finding,) = explain(encoder, pictures(), "deeplift", baseline=1).findings
    assert finding.kind == "completeness" and "(delta 0." in finding.text
    assert explain(encoder, pictures(), "integrated-gradients", baseline=1, samples=200).findings == ()


def test_too_few_steps_are_incomplete():
    images = torch.tensor([[1.5, 0.5]], dtype=torch.float64)
    (finding,) = explain(saturated_network(), images, "integrated-gradients", samples=1).findings
    assert finding.kind == "completeness" and "must sum to its difference from the baseline's, 1;" in finding.text


def test_relevance_is_lost_in_functions():
    inner = conv_encoder()
    wide = network(lambda: nn.Conv2d(1, 1, 3, padding=1))
    (finding,) = explain(lambda x: inner(x + wide(x)), pictures(), "lrp").findings
    assert finding.kind == "hooks" and finding.text.startswith("called as functions: add.")
    assert explain(Functional(signed_network()), torch.rand(1, 2).double(), "lrp").findings == ()  # relu may


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("saliency", "grad-cam")])
def test_company_is_noticed(method):
    weight = torch.linspace(-1, 2, 48, dtype=torch.float64).view(16, 3)
    found = explain(lambda x: (x - x.mean(0, keepdim=True) ** 2).flatten(1) @ weight, pictures(), method)
    assert "batch" in [finding.kind for finding in found.findings]


def test_a_mixed_batch_is_refused_by_saliency():
    with pytest.raises(EncoderError, match="must depend on that image alone"):
        explain(lambda x: (x - x.mean(0)).flatten(1), pictures(), "saliency")


def test_randomness_is_noticed():
    found = explain(lambda x: x.flatten(1) + torch.rand(1, 16).double(), pictures(), "gradient")
    assert [finding.kind for finding in found.findings] == ["random"]


def test_a_lost_gradient_is_noticed():
    encoder = conv_encoder()
    (finding,) = explain(lambda x: encoder(x.detach()), pictures(), "gradient").findings
    assert finding.kind == "gradient" and "Every gradient is 0." in finding.text


# --- kinds of encoders ---


@pytest.mark.parametrize("method", [name for name in METHODS if name != "saliency"])  # it hooks nothing
def test_a_function_of_layers_is_left_as_it_was(method):
    encoder = conv_encoder()
    encoder[1].inplace = True  # hooks and writing in place exclude each other
    attributes = {module: dict(vars(module)) for module in encoder.modules()}
    found = explain(lambda x: encoder(x), pictures(), method)
    assert torch.equal(found.maps, explain(encoder, pictures(), method).maps)
    assert all(vars(module) == known for module, known in attributes.items())


@pytest.mark.parametrize("method", [name for name in METHODS if name != "grad-cam"])
def test_vectors_and_single_precision(method):
    encoder = network(lambda: nn.Linear(5, 4), nn.Sigmoid, lambda: nn.Linear(4, 2)).float().requires_grad_(True)
    with torch.no_grad():
        result = explain(encoder, torch.rand(2, 5), method)
    assert result.maps.shape == (2, 5) and result.maps.dtype == torch.float32 and not result.maps.requires_grad
    assert all(parameter.grad is None for parameter in encoder.parameters()) and result.findings == ()


def test_batch_normalisation_in_eval_mode():
    encoder = network(lambda: nn.Conv2d(1, 3, 3), lambda: nn.BatchNorm2d(3), nn.ReLU, nn.Flatten)
    encoder[1].running_mean.uniform_(-1, 1)
    for method in METHODS:
        assert explain(encoder, pictures(), method).findings == ()


def test_one_of_several_outputs():
    inner = conv_encoder()
    found = explain(lambda x: {"code": inner(x)}, pictures(), "integrated-gradients", output="code")
    assert torch.equal(found.maps, explain(inner, pictures(), "integrated-gradients").maps)


# --- bad input ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": "sum"}, "`reduction` must be one of: per-latent, project; got 'sum'"),
        ({"norm": "l3"}, "`norm` must be one of: l1, l2, max; got 'l3'"),
        ({"samples": 0}, "`samples` must be a positive whole number; got 0"),
        ({"patch": 1.5}, "`patch` must be a positive whole number; got 1.5"),
        ({"seed": -1}, "`seed` must be a whole number >= 0; got -1"),
        ({"baseline": torch.zeros(3, 3)}, r"`baseline` must be .* fits one image, \(1, 4, 4\); got \(3, 3\)"),
        ({"baseline": float("nan")}, "`baseline` must be finite"),
        ({"latents": [3]}, "`latents` must be different indices from 0 to 2"),
        ({"batch_size": 0}, "`batch_size` must be a positive whole number"),
        ({"method": "saliency", "reduction": "project"}, "`reduction` must be \"per-latent\"; got 'project'"),
        ({"method": "lime", "patch": 4}, "got 1 patches and 512 samples"),
        ({"method": "kernel-shap", "samples": 17}, "got 16 patches and 17 samples"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(InputError, match=message):
        imagrad.attribute(conv_encoder(), pictures(), **{"method": "gradient", **options})


def test_an_unknown_method_is_named():
    with pytest.raises(UnknownNameError, match=r"unknown method 'guided-backpropagation'.*Did you mean 'guided-backp"):
        imagrad.attribute(conv_encoder(), pictures(), "guided-backpropagation")


def test_images_and_encoders_are_checked():
    with pytest.raises(ImageError, match=r"Add a batch axis to a single image: images\[None\]"):
        imagrad.attribute(conv_encoder(), torch.rand(4), "gradient")
    with pytest.raises(EncoderError, match=r"must be in eval mode; 1 .Dropout. is in train mode"):
        imagrad.attribute(nn.Sequential(nn.Flatten(), nn.Dropout()), pictures(), "gradient")
    with pytest.raises(EncoderError, match=r"Grad-CAM needs images .* this encoder ran Flatten, Linear on"):
        imagrad.attribute(linear_encoder(), pictures(), "grad-cam")
    with pytest.raises(EncoderError, match=r"LRP does not run on this network: it has no rule for 2 \(Softmax\)"):
        imagrad.attribute(linear_encoder().append(nn.Softmax(1)), pictures(), "lrp")
    with pytest.raises(EncoderError, match="attributions must be finite; gradient gave NaN or infinity for image 1"):
        imagrad.attribute(lambda x: x.flatten(1).sqrt(), torch.tensor([[1.0], [0.0]]), "gradient")


def test_a_layer_that_runs_twice_is_named():
    relu, linear = nn.ReLU(), nn.Linear(4, 4)
    start = (nn.Flatten, lambda: nn.Linear(16, 4), lambda: relu)
    with pytest.raises(EncoderError, match="DeepLIFT needs every layer to run once; 2 runs more often"):
        imagrad.attribute(network(*start, lambda: linear, lambda: relu), pictures(), "deeplift")
    with pytest.raises(EncoderError, match="LRP needs every layer to run once; 3 runs more often"):
        imagrad.attribute(network(*start, lambda: linear, nn.Tanh, lambda: linear), pictures(), "lrp")


@pytest.mark.parametrize("method", METHODS)
def test_a_missing_captum_says_which_extra(method, monkeypatch):
    monkeypatch.setattr(contract, "find_spec", lambda name: None)
    if METHODS[method].extra is None:
        assert imagrad.attribute(conv_encoder(), pictures(1), method).maps.shape == (1, 1, 4, 4)
        return
    with pytest.raises(MissingExtraError, match=rf'the method {method!r} needs .* pip install "imagrad\[compare\]"'):
        imagrad.attribute(conv_encoder(), pictures(), method)


@pytest.mark.slow
def test_methods_are_listed_without_captum():
    code = "from imagrad.attribution.methods import METHODS; print(METHODS.summaries(), 'captum' in sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}"], capture_output=True, text=True, check=True
    ).stdout
    assert out.strip().endswith("False")
    assert out.count("Needs imagrad[compare].") == sum(entry.extra == "compare" for entry in METHODS.values())


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_documented(method):
    assert f"`{method}`" in (Path(__file__).parents[2] / "docs/methods.md").read_text()
