"""A reproduction that takes seconds: two classes of digits, networks of eight units, one or two epochs."""

import numpy as np

from imagrad.checks.options import (
    CorruptionOptions,
    LocalityOptions,
    OneClassOptions,
    RandomisationOptions,
    TranslationOptions,
)
from imagrad.data.datasets import load_dataset
from imagrad.reproduce.presets import Preset
from imagrad.training.config import ClassifierConfig, TrainingConfig

CORRUPTION = CorruptionOptions(images=4, local_maps=2, corrupted_for_local=20)
CHECKS = {
    "one-class": OneClassOptions(images=4, own_images=2),
    "translation": TranslationOptions(images=4),
    "corruption": CORRUPTION,
    "randomisation": RandomisationOptions(images=4),
    "locality": LocalityOptions(images=4),
}


def write_two_classes(path):
    """Write 20 zeros and 20 ones, 8 x 8."""
    digits = load_dataset("digits:train")
    chosen = np.concatenate([np.flatnonzero(digits.labels.numpy() == label)[:20] for label in (0, 1)])
    np.savez(path, images=digits.images().numpy()[chosen, 0], labels=digits.labels.numpy()[chosen])


def tiny_preset(data, **changes):
    """Return the preset for a file that `write_two_classes` wrote."""
    parts = {
        "autoencoder": TrainingConfig(data, epochs=2, hidden=(8,), latents=3),
        "classifier": ClassifierConfig(data, epochs=1),
        "class_epochs": 1,
        "placed_epochs": 1,
        "methods": ("saliency", "gradient"),
        "checks": CHECKS,
        "compared_by": {"corruption": CORRUPTION, "locality": LocalityOptions(images=4)},
    }
    return Preset("tiny", data, **parts | changes)
