"""A map must depend on what the network has learnt: weights drawn anew, layer by layer, and shuffled pixels.

Adebayo et al. 2018, Sanity Checks for Saliency Maps (NeurIPS 31): the model parameter randomisation test, cascading
from the code down to the pixels; their data randomisation test shuffles labels, which an autoencoder does not have.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from imagrad.checks.controls import CONTROLS
from imagrad.checks.intervals import Numbers, mean_of
from imagrad.checks.material import CHECKS, Material
from imagrad.checks.options import RandomisationOptions
from imagrad.checks.similarity import SIMILARITIES, Picture
from imagrad.checks.verdicts import CheckResult, Control, at_least, at_most, judge
from imagrad.data.arrangements import parse_arrangement
from imagrad.errors import EncoderError
from imagrad.training.factory import Encoder, Lesson

_ALIKE = 0.5  # rank correlation: above it maps count as alike, below it as different
_CONTROLS = ("pixel variance", "mean intensity")  # know nothing of the network, and so must fail


def lessons(material: Material) -> list[Lesson]:
    """List what this check trains: a network on images whose pixels are all shuffled in the same way."""
    return [Lesson("shuffled", material.train_selection(), f"shuffled:{material.seed}")]


@CHECKS.register("randomisation")
def randomisation(material: Material, options: RandomisationOptions) -> CheckResult:
    """See that maps depend on what was learnt: weights redrawn, pixels shuffled (Adebayo et al. 2018).

    The layers are redrawn from the code down, each with the spread that its trained weights have. The score is 1 minus
    the mean rank correlation (Spearman) between an image's map before and after all are redrawn. A method that answers
    differently when it is asked twice, noise for one, fails: difference alone is no merit. With a factory, a network
    is trained on shuffled pixels as well: its maps must be different, and alike once the pixels are put back.
    """
    encoder = material.needed("encoder")
    images = material.test_images[material.sample(options.images)]
    original = material.maps(encoder, images)
    again = _alike(original, material.maps(encoder, images, material.seed + 1), "spearman")
    stages = {
        name: material.maps(redrawn, images)
        for name, redrawn in _cascade(encoder, images[:1].to(material.device), material.seed)
    }
    drop = 1 - _alike(original, list(stages.values())[-1], "spearman")
    score = mean_of(drop)
    criteria = [
        at_least("mean rank correlation with the map of another seed", float(again.mean()), _ALIKE),
        at_most("upper end of the rank correlation with all layers redrawn", 1 - score.low, _ALIKE),
    ]
    shuffled = _shuffled(material, images) if material.factory is not None else None
    learnt: dict[str, Any] = {}
    if shuffled is not None:
        moved, back = (_alike(original, maps, "spearman") for maps in shuffled)
        criteria += [
            at_most("mean rank correlation with a network trained on shuffled pixels", float(moved.mean()), _ALIKE),
            at_least("the same once the pixels are put back", float(back.mean()), _ALIKE),
        ]
        learnt = {"shuffled": mean_of(moved).as_dict(), "shuffled_and_put_back": mean_of(back).as_dict()}
    controls = tuple(_control(name, images, drop, material.seed) for name in _CONTROLS)
    return CheckResult(
        "randomisation", material.method, score, "1 - rank correlation before and after all layers are redrawn",
        tuple(criteria), controls, judge(criteria, controls),
        {
            "images": options.images,
            "asked_twice": mean_of(again).as_dict(),
            "layers": [
                {"redrawn_down_to": name, **{m: mean_of(_alike(original, maps, m)).as_dict() for m in SIMILARITIES}}
                for name, maps in stages.items()
            ],
            **learnt,
        },
        {
            "original": torch.from_numpy(original[:8]),
            **{f"redrawn down to {name}": torch.from_numpy(maps[:8]) for name, maps in stages.items()},
        },
    )  # fmt: skip


def _alike(first: Picture, second: Picture, measure: str) -> Numbers:
    """Compare the maps image by image: (n,)."""
    return np.array([SIMILARITIES[measure](a, b) for a, b in zip(first, second, strict=True)])


def _shuffled(material: Material, images: torch.Tensor) -> tuple[Picture, Picture]:
    """Explain shuffled images by a network trained on such: the maps as they are, and with the pixels put back."""
    (lesson,) = lessons(material)
    (encoder,) = material.needed("factory")([lesson])
    arrangement = parse_arrangement(lesson.arrangement)
    maps = material.maps(encoder, arrangement.apply(images))
    return maps, arrangement.undo(torch.from_numpy(maps)).numpy()


def _cascade(encoder: Encoder, image: torch.Tensor, seed: int) -> list[tuple[str, Encoder]]:
    """Return a copy of the encoder for each layer, with the weights redrawn from the code down to that layer."""
    layers = _layers_in_order(*_copied(encoder), image)
    made: list[tuple[str, Encoder]] = []
    for count in range(1, len(layers) + 1):
        network, run = _copied(encoder)
        generator = torch.Generator().manual_seed(seed)
        for name in layers[::-1][:count]:
            _redraw(network.get_submodule(name), generator)
        made.append((layers[-count] or "the network", run))
    return made


def _copied(encoder: Encoder) -> tuple[nn.Module, Encoder]:
    """Copy the network that an encoder is, or is a method of; raise `EncoderError` for any other function."""
    owner = getattr(encoder, "__self__", encoder)
    if not isinstance(owner, nn.Module):
        raise EncoderError(
            "the weights of the encoder are redrawn: it must be an nn.Module or a method of one; got "
            f"{type(encoder).__name__}. Wrap it into a Module that holds its networks."
        )
    network = copy.deepcopy(owner)
    return network, network if owner is encoder else getattr(network, encoder.__name__)


@torch.no_grad()
def _layers_in_order(network: nn.Module, run: Encoder, image: torch.Tensor) -> list[str]:
    """Name the layers that have weights of their own, in the order in which they are first used."""
    used: list[str] = []
    handles = [
        module.register_forward_pre_hook(lambda module, inputs, name=name: used.append(name))
        for name, module in network.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    ]
    run(image)
    for handle in handles:
        handle.remove()
    found = list(dict.fromkeys(used))
    if not found:
        raise EncoderError("the encoder uses no layer with weights of its own: there is nothing to redraw.")
    return found


@torch.no_grad()
def _redraw(layer: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of a layer anew: normal, with the mean and the spread that each tensor has."""
    for weights in layer.parameters(recurse=False):
        drawn = torch.randn(weights.shape, generator=generator, dtype=torch.float64).to(weights)
        spread = weights.std() if weights.numel() > 1 else weights.abs().mean()
        weights.copy_(weights.mean() + spread * drawn)


def _control(name: str, images: torch.Tensor, drop: Numbers, seed: int) -> Control:
    """Score a picture that does not look at the network, and so stays as it is: 0."""
    picture = CONTROLS[name](images, seed)
    unmoved = np.full(len(drop), 1 - SIMILARITIES["spearman"](picture, picture))
    return Control(name, mean_of(unmoved), mean_of(drop - unmoved))
