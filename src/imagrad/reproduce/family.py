"""The families of Table 1 on the same data, trained, explained and checked alike: what the regulariser does."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from imagrad import runs
from imagrad.attribution.saliency import saliency
from imagrad.attribution.spectrum import spectrum
from imagrad.attribution.units import Spread, spread_of
from imagrad.checks.verdicts import CheckResult
from imagrad.errors import RunFolderError
from imagrad.models.autoencoders import Autoencoder
from imagrad.models.saved import load
from imagrad.reproduce.effort import seconds_per_epoch
from imagrad.reproduce.family_presets import CONTROL, FamilyPreset
from imagrad.reproduce.study import Study, Telling
from imagrad.training.config import ClassifierConfig
from imagrad.training.data import load_training_data
from imagrad.training.side_by_side import train_all

_MAPS = "maps.safetensors"
_FOUND = "family.json"
_QUIET = 0.01


@dataclass(frozen=True)
class Member:
    """What was measured of one member."""

    name: str
    loss: float
    """Cross-entropy of the validation images, from the images as the member is trained on them."""
    loss_on_clean: float
    active_latents: int
    sparseness: float
    contraction: float
    """|J|_F**2 of the encoder, the mean over images: latents as they are."""
    contraction_in_spreads: float
    """The same with each latent in units of its standard deviation over the data: no scale of the code matters."""
    effective_rank: float
    """Of the Jacobian, latents in those units: how many directions of the code move, the mean over images."""
    on_quiet_pixels: float
    """Of |J|**2 in those units, the share on pixels that hardly vary over the training images."""
    quiet_pixels: float
    """Of all pixels, the share of these: a variance under 1 % of the largest."""
    seconds_per_epoch: float
    maps: torch.Tensor
    """(images, channels, height, width), latents in units of their spread."""
    checks: Mapping[str, CheckResult]

    @property
    def mean_map(self) -> torch.Tensor:
        """Averaged over images: (channels, height, width)."""
        return self.maps.mean(dim=0)


@dataclass(frozen=True)
class FamilyStudy:
    """The comparison in a run folder: one study a member, each resumable by itself."""

    preset: FamilyPreset
    out: Path
    data_dir: str | None = None
    device: str = "cpu"
    workers: int | None = None
    telling: Telling = field(default_factory=Telling)

    def study(self, member: str) -> Study:
        """Return the study of one member."""
        return Study(
            self.preset.preset_of(member), self._folder(member), self.data_dir, self.device, self.workers,
            Telling(training=self.telling.training),
        )  # fmt: skip

    def _folder(self, member: str) -> Path:
        return self.out / _slug(member)

    @property
    def steps(self) -> list[str]:
        """What is done, in order."""
        return ["train all networks", *(f"check {name}" for name in self.preset.members), "measure"]

    def run(self) -> None:
        """Do what is not done yet; raise `RunFolderError` for a folder that holds something else."""
        self._open()
        self._tell(1)
        self._train()
        for number, name in enumerate(self.preset.members, start=2):
            self._tell(number)
            self.study(name).run(self._checks_of(name))
        self._tell(len(self.steps))
        for name in self.preset.members:
            if not (self._folder(name) / _FOUND).is_file():
                self._measure(name)

    def _tell(self, number: int) -> None:
        self.telling.step(self.steps[number - 1], number, len(self.steps))

    def _checks_of(self, name: str) -> list[str]:
        return ["maps"] if name == CONTROL else ["maps", "check1", "check2", "check3", "check4", "check5"]

    def _open(self) -> None:
        config = {"command": "reproduce", "preset": self.preset.as_dict()}
        if (self.out / runs.CONFIG).is_file():
            self.check_begun()
        else:
            runs.refuse_used(self.out, but=[_slug(name) for name in self.preset.members])
            runs.write_json(self.out / runs.CONFIG, {"format": runs.FORMAT, **config})
        runs.write_json(self.out / runs.ENVIRONMENT, runs.environment())

    def check_begun(self) -> None:
        """Raise `RunFolderError` unless the folder holds a comparison by this preset."""
        if not (self.out / runs.CONFIG).is_file():
            what = f"imagrad reproduce --preset {self.preset.name} --out {self.out}"
            raise RunFolderError(f"expected a comparison of families, found none in {self.out}. `{what}` makes one.")
        if runs.read_config(self.out).get("preset") != self.preset.as_dict():
            raise RunFolderError(
                f"{self.out} was begun with other settings than those of the preset {self.preset.name}. "
                "Choose another folder with --out."
            )

    def _train(self) -> None:
        """Train the networks of all members side by side; the classifier once for all."""
        jobs = {name: self.study(name).jobs(self._checks_of(name)) for name in self.preset.members}
        classifiers = [job for own in jobs.values() for job in own if isinstance(job.config, ClassifierConfig)]
        others = [job for own in jobs.values() for job in own if not isinstance(job.config, ClassifierConfig)]
        wanted = sorted([*others, *classifiers[:1]], key=lambda job: -job.config.epochs)
        train_all(
            wanted, data_dir=self.data_dir, device=self.device, workers=self.workers, told=self.telling.training
        )  # fmt: skip
        for job in classifiers[1:]:
            shutil.copytree(classifiers[0].out, job.out, dirs_exist_ok=True)

    def _measure(self, name: str) -> None:
        """Explain the same images by each member, in units of the latents' spread; count and time."""
        study = self.study(name)
        data = load_training_data(study.preset.autoencoder, self.data_dir)
        network = load(study.network, self.device)
        weights = _spread(network, data.validation.to(self.device)).weights
        images = data.validation[: self.preset.images].to(self.device)
        raw, scaled = (saliency(network.encode, images, latents=chosen).maps for chosen in (None, weights))
        ranks = spectrum(network.encode, images, patterns=0, latents=weights).effective_rank
        variances = data.images.flatten(1).var(dim=0)
        quiet = variances < _QUIET * variances.max()
        powers = scaled.double().square().flatten(1).sum(dim=0)
        runs.write_tensors(self._folder(name) / _MAPS, {"maps": scaled}, {"units": "spread of each latent"})
        runs.write_json(
            self._folder(name) / _FOUND,
            {
                "contraction": float(raw.double().square().flatten(1).sum(dim=1).mean()),
                "contraction_in_spreads": float(scaled.double().square().flatten(1).sum(dim=1).mean()),
                "effective_rank": float(ranks.double().mean()),
                "on_quiet_pixels": float(powers[quiet].sum() / powers.sum()),
                "quiet_pixels": float(quiet.double().mean()),
                "seconds_per_epoch": seconds_per_epoch(study.preset.autoencoder, data.images),
            },
        )

    # --- what was found ---

    @cached_property
    def members(self) -> list[Member]:
        """Read what was measured; raise `RunFolderError` where something is missing."""
        self.check_begun()
        return [self._member(name) for name in self.preset.members]

    def _member(self, name: str) -> Member:
        folder, study = self._folder(name), self.study(name)
        if not (folder / _FOUND).is_file():
            raise RunFolderError(f"{folder} is not finished; run imagrad reproduce --preset {self.preset.name} again.")
        trained, tensors = runs.read_json(study.network / runs.METRICS), runs.read_tensors(folder / _MAPS)[0]
        return Member(
            name, trained["validation_loss"], trained["validation_loss_on_clean"], trained["active_latents"],
            trained["sparseness"], maps=tensors["maps"], checks=study.checks(), **runs.read_json(folder / _FOUND),
        )  # fmt: skip


def _spread(network: Autoencoder, images: torch.Tensor) -> Spread:
    """Measure how far each latent of a network moves over images."""
    with torch.no_grad():
        codes = network.encode(images)
        return spread_of(codes, network.log_variance(images) if network.config.code == "gaussian" else None)


def _slug(member: str) -> str:
    return member.replace(", ", "-").replace(" ", "-")
