"""What a training is told; plain values, so that the command line can show them without importing torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from imagrad.errors import InputError

_KAPPA = 0.15

JACOBIANS = ("auto", "closed", "engine", "probes")
RECONSTRUCTIONS = ("bce", "l2")


@dataclass(frozen=True)
class Defaults:
    """What a variant is trained with unless something else is asked for."""

    denoises: bool = False
    """Whether images are corrupted."""
    code: str = "relu"
    penalty: float = 0.0
    """lambda of Table 1."""


DEFAULTS = {
    "denoising": Defaults(denoises=True),
    "sparse": Defaults(penalty=1e-4),
    "sparse-kl": Defaults(code="sigmoid", penalty=1e-3),
    "contractive": Defaults(penalty=1e-5),
    "variational": Defaults(code="gaussian"),
}
"""By variant; the losses themselves are in `imagrad.training.losses`."""


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
    noise: str | None = None
    """Corruption put on the images before they are encoded (`imagrad list corruptions`); default: gaussian."""
    kappa: float | None = None
    """Level of the noise, Eq. 9; the paper does not state its own. Default: 0.15, and 0 (none) where the variant does
    not denoise and no noise was named."""
    penalty: float | None = field(default=None, metadata={"option": "lambda"})
    """Weight of the regulariser, lambda of Table 1, for each image; default: the variant's own."""
    beta: float = 1.0
    """Of a variational one: the weight of the divergence beside cross-entropies summed over the pixels, so that 1 is
    the evidence lower bound; lambda of Table 1 is beta / pixels."""
    target: float = 0.05
    """Of sparse-kl: the mean activation that each latent is drawn to, between 0 and 1."""
    jacobian: str = "auto"
    """Of a contractive one, how its Jacobian's norm is computed: closed (dense layers), engine (exact, any network),
    probes (an unbiased estimate), or auto."""
    probes: int = 4
    """Random directions of each image for the estimate."""
    reconstruction: str = "bce"
    """Reconstruction loss: bce (binary cross-entropy, Eq. 11) or l2 (squared error)."""
    network: str = "dense"
    """Kind of network (`imagrad list networks`)."""
    hidden: tuple[int, ...] = (128,)
    """Widths of the encoder's layers before the code, or channels of its convolutions; the decoder mirrors them."""
    latents: int = 32
    """Size of the code."""
    code: str | None = None
    """How the code ends: relu, linear, sigmoid or gaussian (mean and variance); default: the variant's own."""
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
        """Put the variant's defaults where nothing was given; refuse values that cannot be."""
        self._resolve()
        _check_counts(self, "epochs", "batch_size", "latents", "threads", "probes")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"`learning_rate` must be positive; got {self.learning_rate:g}.")
        for option, value in (("lambda", self.weight), ("beta", self.beta)):
            if not 0 <= value < math.inf:
                raise InputError(
                    f"`{option}`, the weight of a regulariser, must be finite and not negative; got {value:g}."
                )
        if not 0 < self.target < 1:
            raise InputError(f"`target`, a mean activation, must lie between 0 and 1; got {self.target:g}.")
        check_one_of("jacobian", self.jacobian, JACOBIANS)
        check_one_of("reconstruction", self.reconstruction, RECONSTRUCTIONS)

    def _resolve(self) -> None:
        defaults = DEFAULTS.get(self.variant, Defaults())
        kappa = _KAPPA if defaults.denoises or self.noise is not None else 0.0
        given = {"noise": "gaussian", "kappa": kappa, "penalty": defaults.penalty, "code": defaults.code}
        for name, value in given.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)  # frozen from here on

    @property
    def corruption(self) -> tuple[str, float]:
        """The noise and its level."""
        assert self.noise is not None and self.kappa is not None  # resolved
        return self.noise, self.kappa

    @property
    def ending(self) -> str:
        """How the code ends."""
        assert self.code is not None  # resolved
        return self.code

    @property
    def weight(self) -> float:
        """Lambda of Table 1."""
        assert self.penalty is not None  # resolved
        return self.penalty

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


def check_one_of(name: str, value: str, known: Sequence[str]) -> None:
    """Raise `InputError` for a value that is not known."""
    if value not in known:
        raise InputError(f"`{name}` must be one of {', '.join(known)}; got {value!r}.")


def _check_counts(config: TrainingConfig | ClassifierConfig, *names: str) -> None:
    """Raise `InputError` unless the fields of these names are at least 1, and the seed at least 0."""
    for name in names:
        if getattr(config, name) < 1:
            raise InputError(f"`{name}` must be at least 1; got {getattr(config, name)}.")
    if config.seed < 0:
        raise InputError(f"`seed` must not be negative; got {config.seed}.")
