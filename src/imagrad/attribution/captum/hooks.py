"""Methods that change how layers pass derivatives back, by hooks on `torch.nn` layers; Captum computes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from imagrad.attribution.captum.adapter import quiet
from imagrad.attribution.contract import Problem, by_row, method, rows_at_once
from imagrad.attribution.networks import Layers, layers_of
from imagrad.errors import EncoderError

# --- operations that are called as functions, by the names of torch.ops.aten ---
_RELU = {"relu", "clamp", "clamp_min", "threshold"}
_KINKED = {"leaky_relu", "hardtanh", "clamp_max", "maximum", "minimum", "abs", "prelu"} | {
    f"max_pool{d}d_with_indices" for d in (2, 3)
}
_SMOOTH = {"elu", "sigmoid", "tanh", "softplus", "silu", "gelu", "mish", "exp", "log", "pow", "sqrt", "div", "_softmax"}
_NONLINEAR = _RELU | _KINKED | _SMOOTH
_SHAPES = {
    "view", "_unsafe_view", "reshape", "flatten", "unflatten", "clone", "detach", "alias", "squeeze", "unsqueeze",
    "permute", "transpose", "t", "expand", "slice", "select", "split", "cat", "stack", "constant_pad_nd", "_to_copy",
    "relu",
}  # fmt: skip

# --- layers ---
RESCALED = (
    nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d,
    nn.Softmax,
)  # fmt: skip
"""What Captum's DeepLIFT has a rule for."""
PASSED = (nn.ReLU, nn.Dropout, nn.Tanh)
"""What relevance passes unchanged in Captum's LRP; `_SAME_SHAPE` is treated so too."""
_SAME_SHAPE = (
    nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.Softplus, nn.Softsign, nn.ReLU6,
    nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.PReLU, nn.LogSigmoid, nn.Tanhshrink,
)  # fmt: skip
_MOVING = (
    nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.PixelShuffle,
    nn.PixelUnshuffle, nn.ChannelShuffle, nn.ZeroPad2d,
)  # fmt: skip
"""What only moves numbers (in eval mode): their derivative moves relevance back."""
_LINEAR = (
    *_MOVING, nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d,
    nn.ConvTranspose2d, nn.ConvTranspose3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.BatchNorm1d,
    nn.BatchNorm2d, nn.BatchNorm3d, nn.Upsample, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.Dropout,
)  # fmt: skip


def _loose(layers: Layers, counted: set[str]) -> str:
    found = {name: count for name, count in layers.loose.items() if name in counted}
    return ", ".join(f"{name} ({count} times)" if count > 1 else name for name, count in sorted(found.items()))


def _functional_relu(layers: Layers) -> str | None:
    """Say that a ReLU is no layer, so that no hook changes it."""
    found = _loose(layers, _RELU)
    return None if not found else (
        f"called as a function: {found}. Only torch.nn.ReLU layers are changed by this method; elsewhere it takes the "
        "plain gradient. Make each a torch.nn.ReLU of its own."
    )  # fmt: skip


def _functional_nonlinearity(layers: Layers) -> str | None:
    """Say which non-linear operations are no layers of a kind that has a rule."""
    functions = _loose(layers, _NONLINEAR)
    others = [layer for layer in layers.modules if type(layer) not in RESCALED and not isinstance(layer, _LINEAR)]
    names = ", ".join(sorted({type(layer).__name__ for layer in others}))
    found = [f"called as functions: {functions}"] if functions else []
    found += [f"layers without a rule: {names}"] if others else []
    return None if not found else (
        f"{'; '.join(found)}. DeepLIFT takes the plain gradient there. Use layers that it knows: "
        f"{', '.join(sorted(layer.__name__ for layer in RESCALED))}."
    )  # fmt: skip


def _functional_anything(layers: Layers) -> str | None:
    """Say which operations are no layers, as relevance is passed on by layers only."""
    found = _loose(layers, set(layers.loose) - _SHAPES)
    return None if not found else (
        f"called as functions: {found}. Relevance is passed on by layers; elsewhere a plain gradient is taken, and "
        "nothing is conserved. Make them torch.nn layers."
    )  # fmt: skip


def _refuse_repeated(problem: Problem, name: str, counts: Callable[[nn.Module], bool]) -> Layers:
    """Raise `EncoderError` when a layer that counts runs more than once."""
    layers = layers_of(problem.network, problem.images[:1])
    hooked = {label for label, layer in zip(layers.names, layers.modules, strict=True) if counts(layer)}
    for label in layers.repeated():
        if label in hooked:
            raise EncoderError(
                f"{name} needs every layer to run once; {label} runs more often in one pass. "
                "Give each place where it is used a layer of its own."
            )
    return layers


@method("deeplift", complete=1e-3, inspect=_functional_nonlinearity)
def deeplift(problem: Problem) -> torch.Tensor:
    """Pass differences from the baseline back by the rescale rule (Shrikumar et al. 2017)."""
    from captum.attr import DeepLift

    _refuse_repeated(problem, "DeepLIFT", lambda layer: type(layer) in RESCALED)

    def attribute(images: torch.Tensor, baselines: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return DeepLift(problem.network).attribute(images, baselines, additional_forward_args=(weights,))

    with quiet():
        return by_row(problem, attribute, rows_at_once(problem, 2))


def _modified(problem: Problem, explainer: Any) -> torch.Tensor:
    def attribute(images: torch.Tensor, _: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return explainer(problem.network).attribute(images, additional_forward_args=(weights,))

    with quiet():
        return by_row(problem, attribute, rows_at_once(problem))


@method("guided-backprop", inspect=_functional_relu)
def guided_backprop(problem: Problem) -> torch.Tensor:
    """Pass back through a ReLU only what is positive, where its input was (Springenberg et al. 2015)."""
    from captum.attr import GuidedBackprop

    return _modified(problem, GuidedBackprop)


@method("deconvolution", inspect=_functional_relu)
def deconvolution(problem: Problem) -> torch.Tensor:
    """Pass back through a ReLU only what is positive, whatever its input was (Zeiler and Fergus 2014)."""
    from captum.attr import Deconvolution

    return _modified(problem, Deconvolution)


@method("lrp", inspect=_functional_anything)
def lrp(problem: Problem) -> torch.Tensor:
    """Share each latent out among what fed it, layer by layer, by the epsilon rule (Bach et al. 2015)."""
    from captum.attr import LRP

    _give_rules(problem)

    def attribute(images: torch.Tensor, _: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Combine the relevance of single latents: Captum scales relevance by the number that it starts from."""
        row, latent = weights.nonzero(as_tuple=True)
        total = torch.zeros_like(images)
        for some in torch.arange(len(row), device=row.device).split(rows_at_once(problem)):
            _give_rules(problem, look=False)
            start = images.detach()[row[some]].requires_grad_()
            found = LRP(problem.network).attribute(start, target=latent[some])
            scale = weights[row[some], latent[some]].view(-1, *[1] * (images.ndim - 1))
            total = total.detach().index_add(0, row[some], (found * scale).detach())
        return total

    return by_row(problem, attribute, rows_at_once(problem))


def _give_rules(problem: Problem, *, look: bool = True) -> None:
    """Set a rule for each layer but those that Captum passes; raise `EncoderError`, naming one that cannot have any."""
    from captum.attr._utils.lrp_rules import EpsilonRule, IdentityRule

    if look:
        layers = _refuse_repeated(problem, "LRP", lambda layer: type(layer) not in PASSED)
        for name, layer in zip(layers.names, layers.modules, strict=True):
            if not isinstance(layer, (*PASSED, *_LINEAR, *_SAME_SHAPE)):
                raise EncoderError(
                    f"LRP does not run on this network: it has no rule for {name} ({type(layer).__name__}). "
                    "Explain the network with another method, or up to that layer."
                )
    for layer in problem.network.modules():
        if not list(layer.children()) and type(layer) not in PASSED:
            rule: Any = IdentityRule() if isinstance(layer, (*PASSED, *_SAME_SHAPE)) else EpsilonRule()
            if isinstance(layer, _MOVING):  # some return the tensor that they are given: hooked twice, it goes wrong
                rule.forward_hook = lambda *_: None
            vars(layer)["rule"] = rule


@method("grad-cam")
def grad_cam(problem: Problem) -> torch.Tensor:
    """Weigh the channels of the last convolution by their mean gradient, enlarged (Selvaraju et al. 2017)."""
    from captum.attr import LayerAttribution, LayerGradCam

    ran = layers_of(problem.network, problem.images[:1]).modules
    convolutions = [layer for layer in ran if isinstance(layer, nn.Conv2d)]
    if not convolutions or problem.images.ndim != 4:
        raise EncoderError(
            "Grad-CAM needs images (n, channels, height, width) and a torch.nn.Conv2d layer that runs; this encoder "
            f"ran {', '.join(type(layer).__name__ for layer in ran) or 'no layer'} on {tuple(problem.images.shape)}. "
            "Take another method for it."
        )
    explainer = LayerGradCam(problem.network, convolutions[-1])

    def attribute(images: torch.Tensor, _: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        small: Any = explainer.attribute(images, additional_forward_args=(weights,), relu_attributions=False)
        large = LayerAttribution.interpolate(small, tuple(images.shape[2:]), "bilinear")
        return large.expand_as(images)

    return by_row(problem, attribute, rows_at_once(problem))
