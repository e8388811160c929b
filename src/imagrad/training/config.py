"""What a training run is told; plain values, so that the command line can show them without importing torch."""

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
        for name in ("epochs", "batch_size", "latents", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"`{name}` must be at least 1; got {getattr(self, name)}.")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"`learning_rate` must be positive; got {self.learning_rate:g}.")
        if self.seed < 0:
            raise InputError(f"`seed` must not be negative; got {self.seed}.")

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self) | {"hidden": list(self.hidden)}
