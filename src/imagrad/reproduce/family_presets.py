"""The families that `imagrad reproduce` compares; plain values, so that the command line needs no torch for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from imagrad.checks.options import OPTIONS, CorruptionOptions, OneClassOptions, Options
from imagrad.reproduce.presets import Preset
from imagrad.training.config import ClassifierConfig, TrainingConfig

CONTROL = "plain, other seed"
"""How much maps differ for no reason at all: a second plain autoencoder."""

MEMBERS: Mapping[str, Mapping[str, Any]] = {
    "plain": {"kappa": 0.0},
    CONTROL: {"kappa": 0.0, "seed": 1},
    "denoising": {},
    "sparse": {"variant": "sparse"},
    "sparse-kl": {"variant": "sparse-kl"},
    "contractive": {"variant": "contractive"},
    "variational": {"variant": "variational"},
    "denoising, conv": {"network": "conv", "hidden": (16, 32)},
}
"""By name: what is said to the training beside what all are told. All others are compared with the first."""


@dataclass(frozen=True)
class FamilyPreset:
    """All that decides a comparison of the families."""

    name: str
    data: str
    epochs: int
    class_epochs: int
    placed_epochs: int
    classifier: ClassifierConfig
    checks: dict[str, Options]
    hidden: tuple[int, ...] = (128,)
    latents: int = 32
    images: int = 100
    """Test images whose maps are measured."""
    members: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MEMBERS)

    def preset_of(self, member: str) -> Preset:
        """Return how one member is trained and checked."""
        common: dict[str, Any] = {"epochs": self.epochs, "hidden": self.hidden, "latents": self.latents}
        config = TrainingConfig(self.data, **(common | dict(self.members[member])))
        return Preset(
            self.name, self.data, config, self.classifier, self.class_epochs, self.placed_epochs, (), self.checks
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        own = {name: value for name, value in asdict(self).items() if name not in ("checks", "members", "classifier")}
        return own | {
            "hidden": list(self.hidden),
            "members": {name: self.preset_of(name).as_dict() for name in self.members},
        }


_FEWER: dict[str, Options] = {name: options() for name, options in OPTIONS.items()} | {
    "one-class": OneClassOptions(images=100, own_images=20)
}

FAMILIES = {
    preset.name: preset
    for preset in (
        FamilyPreset(
            "family", "mnist", epochs=20, class_epochs=20, placed_epochs=5, classifier=ClassifierConfig("mnist"),
            checks=_FEWER | {"corruption": CorruptionOptions(local_maps=5, corrupted_images=2000)},
        ),
        FamilyPreset(
            "family-quick", "digits", epochs=60, class_epochs=100, placed_epochs=30, hidden=(32,), latents=16,
            classifier=ClassifierConfig("digits", epochs=30, batch_size=25),
            checks=_FEWER | {"corruption": CorruptionOptions(local_maps=5, least_clean_accuracy=0.9)},
        ),
    )
}  # fmt: skip
