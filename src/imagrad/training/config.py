"""What a training is told; plain values, so that the command line can show them without importing torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from imagrad.errors import InputError


@dataclass(frozen=True)
class TrainingConfig:
    """How to train: the defaults are the paper's (section 5.2 and Table 2); it does not state kappa."""

    data: str
    """Images to learn from: mnist, mnist:train/label=3, digits, a folder, a .npy or .npz file."""
    validation: str | None = None
    """Images to watch the loss on; default: the test split, or every tenth image of a source without splits."""
    arrangement: str = "as they are"
    """Where the pixels are put: "as they are", "top-left:42" or "centre:42" on a canvas of 42 x 42, "shuffled:0"."""
    variant: str = "denoising"
    """Which autoencoder of Table 1 (`imagrad list variants`)."""
    noise: str = "gaussian"
    """Corruption put on the images before they are encoded (`imagrad list corruptions`)."""
    kappa: float = 0.15
    """Level of the noise, Eq. 9; the paper does not state its own."""
    hidden: tuple[int, ...] = (128,)
    """Widths of the encoder's layers before the code; the decoder mirrors them."""
    latents: int = 32
    """Size of the code."""
    epochs: int = 100
    """Passes over the images."""
    batch_size: int = 25
    """Images a step."""
    learning_rate: float = 0.001
    """Step size of Adam (alpha of Table 2; beta 0.9 and 0.999, epsilon 1e-8)."""
    seed: int = 0
    """Decides the first weights, the order of the images and the noise."""
    threads: int = 1
    """CPU threads; one is fastest for networks this small, and part of the result's last bits."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        _check_counts(self, "epochs", "batch_size", "latents", "threads")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"`learning_rate` must be positive; got {self.learning_rate:g}.")

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self) | {"hidden": list(self.hidden)}


@dataclass(frozen=True)
class ClassifierConfig:
    """How to train the classifier of Table 3; the paper gives its layers alone."""

    data: str
    """Labelled images to learn from; a data set known by name is validated on its test images."""
    epochs: int = 5
    """Passes over the images."""
    batch_size: int = 100
    """Images a step."""
    learning_rate: float = 0.001
    """Step size of Adam at the start; it falls to 0 along a half cosine."""
    seed: int = 0
    """Decides the first weights and the order of the images."""
    threads: int = 1
    """CPU threads; part of the result's last bits."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        _check_counts(self, "epochs", "batch_size", "threads")

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)


def _check_counts(config: TrainingConfig | ClassifierConfig, *names: str) -> None:
    """Raise `InputError` unless the fields of these names are at least 1, and the seed at least 0."""
    for name in names:
        if getattr(config, name) < 1:
            raise InputError(f"`{name}` must be at least 1; got {getattr(config, name)}.")
    if config.seed < 0:
        raise InputError(f"`seed` must not be negative; got {config.seed}.")
