"""All checks by name, and one call for any of them."""

from __future__ import annotations

from collections.abc import Callable

import torch

from imagrad.checks import corruption, locality, one_class, randomisation, translation
from imagrad.checks.material import CHECKS, Explain, Material, by_method
from imagrad.checks.options import OPTIONS, Options
from imagrad.checks.verdicts import CheckResult
from imagrad.errors import InputError
from imagrad.training.factory import Encoder, Factory

__all__ = ["CHECKS", "check"]

_REGISTERED = (corruption, locality, one_class, randomisation, translation)  # imported so that they are in the registry


def check(
    name: str, encoder: Encoder | None = None, *, data: str, method: str | Explain = "saliency",
    options: Options | None = None, factory: Factory | None = None,
    decode: Callable[[torch.Tensor], torch.Tensor] | None = None,
    classifier: Callable[[torch.Tensor], torch.Tensor] | None = None, seed: int = 0, data_dir: str | None = None,
    device: str = "cpu",
) -> CheckResult:  # fmt: skip
    """Put an attribution method through a sanity check; `str()` of the result says what came out and why.

    Parameters
    ----------
    name
        "one-class", "translation", "corruption" (section 7 of the paper), "randomisation" or "locality".
    encoder
        The network under check; the first two checks train networks of their own, by `factory`.
    data
        Labelled images by name: mnist, digits, a folder with a sub-folder a class, an .npz file.
    method
        A registered attribution method, or any function (encoder, images, seed) -> maps of the images' shape.
    options
        What the check is told: an instance of its class in `imagrad.checks.options`.
    factory
        Trains encoders: lessons in, encoders out. `imagrad.training.factory` has imagrad's own, `RunFolders`, and
        `one_by_one`, which makes one of any function from images to an encoder.
    decode
        The decoder, if the shift of the reconstruction is to be measured as well.
    classifier
        Images to logits, trained on clean images; for "corruption".

    Raises `UnknownNameError` for another name, and `InputError` for what the check needs and was not given.
    """
    run = CHECKS[name]
    chosen = OPTIONS[name]() if options is None else options
    if not isinstance(chosen, OPTIONS[name]):
        raise InputError(
            f"`options` of the check {name} must be of class {OPTIONS[name].__name__}; got {type(chosen).__name__}."
        )
    explain = by_method(method) if isinstance(method, str) else method
    called = method if isinstance(method, str) else getattr(method, "__name__", "a method of your own")
    material = Material(
        data, called, explain, factory, encoder, decode, classifier, seed, data_dir, device
    )  # fmt: skip
    return run(material, chosen)
