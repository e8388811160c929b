"""What `imagrad reproduce` does, by name; plain values, so that the command line can show them without torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from imagrad.checks.options import (
    OPTIONS,
    CorruptionOptions,
    LocalityOptions,
    OneClassOptions,
    Options,
    RandomisationOptions,
    TranslationOptions,
)
from imagrad.errors import InputError
from imagrad.training.config import ClassifierConfig, TrainingConfig

METHODS = (
    "saliency", "gradient", "gradient-x-input", "integrated-gradients", "smoothgrad", "deeplift", "gradient-shap",
    "guided-backprop", "deconvolution", "lrp", "grad-cam", "occlusion", "lime", "kernel-shap",
)  # fmt: skip


@dataclass(frozen=True)
class Preset:
    """All that decides a reproduction."""

    name: str
    data: str
    autoencoder: TrainingConfig
    classifier: ClassifierConfig
    class_epochs: int
    """Of the networks that see one class alone: their passes are short."""
    placed_epochs: int
    """Of the networks on a larger canvas and on shuffled pixels."""
    methods: tuple[str, ...]
    """That are compared."""
    checks: dict[str, Options] = field(default_factory=dict[str, Options])
    compared_by: dict[str, Options] = field(default_factory=dict[str, Options])
    """The checks of the comparison: with fewer images, as there are many methods."""

    @property
    def seed(self) -> int:
        """Decides everything that is drawn."""
        return self.autoencoder.seed

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        values = asdict(self)
        for name in ("checks", "compared_by"):
            values[name] = {check: _listed(options) for check, options in values[name].items()}
        return values | {"autoencoder": self.autoencoder.as_dict(), "methods": list(self.methods)}


def _listed(options: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}


PAPER = Preset(
    "paper",
    "mnist",
    TrainingConfig("mnist"),
    ClassifierConfig("mnist", epochs=5),
    class_epochs=100,
    placed_epochs=40,  # 96,000 steps; a hundred epochs at 42 x 42 would take as long as all other trainings together
    methods=METHODS,
    checks={name: options() for name, options in OPTIONS.items()},
    compared_by={
        "one-class": OneClassOptions(images=20, own_images=2),
        "translation": TranslationOptions(images=20),
        "corruption": CorruptionOptions(images=20, local_maps=2, corrupted_images=1000, corrupted_for_local=100),
        "randomisation": RandomisationOptions(images=20),
        "locality": LocalityOptions(images=20),
    },
)
"""MNIST, all of it, with the paper's sizes and 100 epochs."""

QUICK = Preset(
    "quick",
    "digits",
    TrainingConfig("digits", epochs=60),
    ClassifierConfig("digits", epochs=30, batch_size=25),
    class_epochs=300,  # six steps each
    placed_epochs=60,
    methods=("saliency", "gradient"),
    checks={name: options() for name, options in OPTIONS.items()}
    | {"corruption": CorruptionOptions(local_maps=5, least_clean_accuracy=0.9)},
    compared_by={
        "translation": TranslationOptions(images=20),
        "corruption": CorruptionOptions(images=20, local_maps=2, least_clean_accuracy=0.9, corrupted_for_local=100),
        "randomisation": RandomisationOptions(images=20),
        "locality": LocalityOptions(images=20),
    },
)
"""The embedded digits, in two minutes: everything is done, on a small scale."""

PRESETS = {preset.name: preset for preset in (PAPER, QUICK)}


def preset_named(name: str, *, seed: int | None = None, methods: tuple[str, ...] | None = None) -> Preset:
    """Return a preset, with another seed or other methods to compare; raise `InputError` for an unknown name."""
    if name not in PRESETS:
        raise InputError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}.")
    preset = PRESETS[name]
    if seed is not None:
        preset = replace(
            preset,
            autoencoder=replace(preset.autoencoder, seed=seed),
            classifier=replace(preset.classifier, seed=seed),
        )
    return preset if methods is None else replace(preset, methods=methods)
