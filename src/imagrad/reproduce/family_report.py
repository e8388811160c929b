"""The report on the families: their numbers, their maps side by side, and what the checks say of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from imagrad import runs
from imagrad.checks.controls import CONTROLS
from imagrad.checks.similarity import pictures, spearman
from imagrad.data.datasets import load_dataset
from imagrad.figures import draw_maps_grid, draw_table_heat, save_png_and_svg
from imagrad.reproduce import paper
from imagrad.reproduce.family import FamilyStudy, Member
from imagrad.reproduce.family_presets import CONTROL
from imagrad.reproduce.page import Report, Section, Table, read_picture, render
from imagrad.reproduce.report import REPORT, environment_facts

_SHOWN = 4  # maps of single images of each member, beside its mean map
_VARIANCE = "pixel variance"


def write_family_report(study: FamilyStudy) -> Path:
    """Draw the figures, write report.html, family.csv and metrics.json into the run folder; return the page's path.

    Raises `RunFolderError` when the comparison is not finished.
    """
    found = _Findings(study)
    page = render(found.report())
    runs.write_atomically(study.out / REPORT, page.encode())
    runs.write_atomically(study.out / "family.csv", found.numbers().csv().encode())
    runs.write_json(study.out / runs.METRICS, found.metrics())
    return study.out / REPORT


@dataclass(frozen=True)
class _Findings:
    """What was found of a family."""

    study: FamilyStudy

    @property
    def members(self) -> list[Member]:
        return self.study.members

    def numbers(self) -> Table:
        """List what was measured of each."""
        first = self.members[0]
        rows = tuple(
            (
                member.name, f"{member.loss:.4f}", f"{member.loss_on_clean:.4f}", str(member.active_latents),
                f"{member.sparseness:.2f}", f"{member.contraction:.3g}", f"{member.contraction_in_spreads:.3g}",
                f"{member.effective_rank:.1f}", f"{100 * member.on_quiet_pixels:.1f} %",
                f"{member.seconds_per_epoch:.2f} ({member.seconds_per_epoch / first.seconds_per_epoch:.1f})",
            )
            for member in self.members
        )  # fmt: skip
        return Table(
            "What was measured of each member, on the validation images.",
            (
                "member", "loss", "loss, clean input", "active latents", "sparseness", "|J|² of the encoder",
                "|J|², in spreads", "effective rank", "on quiet pixels", "seconds an epoch",
            ),
            rows,
            note="Loss: cross-entropy of a pixel, from images with the noise that the member is trained with, and from "
            "clean ones. Sparseness: Hoyer's, 0 to 1. |J|²: squared Frobenius norm, the mean over images; in spreads: "
            "each latent in units of its standard deviation over the data, as for the effective rank of J and the "
            "share of |J|² on pixels that hardly vary. Times: one process on one core, and the ratio to the first.",
        )  # fmt: skip

    def verdicts(self) -> Table:
        """List each check's verdict for each member."""
        checked = [member for member in self.members if member.checks]
        names = list(checked[0].checks)
        rows = tuple(
            (member.name, *(_verdict(member.checks[name]) for name in names)) for member in checked
        )  # fmt: skip
        return Table("What the checks say of the map of each member: verdict and score.", ("member", *names), rows)

    @cached_property
    def alikeness(self) -> tuple[list[str], NDArray[np.float64]]:
        """Compare the mean maps of all members, and the pixel variance of the data: rank correlations."""
        maps = {member.name: pictures(member.mean_map[None])[0] for member in self.members}
        images = load_dataset(self.study.preset.data, split="test", data_dir=self.study.data_dir).images()
        maps[_VARIANCE] = CONTROLS[_VARIANCE](images, 0)
        return list(maps), np.array([[spearman(one, other) for other in maps.values()] for one in maps.values()])

    def answer(self) -> tuple[str, ...]:
        """Say what the regulariser does, in the numbers that were found."""
        names, table = self.alikeness
        noise = table[0, names.index(CONTROL)]
        others = [name for name in names[1:] if name not in (CONTROL, _VARIANCE)]
        told = ", ".join(f"{name} {table[0, names.index(name)]:.2f}" for name in others)
        different = [name for name in others if table[0, names.index(name)] < noise]
        sizes = ", ".join(
            f"{member.name} {member.contraction_in_spreads / self.members[0].contraction_in_spreads:.2f}"
            for member in self.members[1:]
        )
        return (
            f"Where the map is high: the rank correlation of the plain autoencoder's mean map with that of a second "
            f"plain one, trained from other weights, is {noise:.2f}. With the maps of the others it is: {told}. "
            + (
                f"Below the first number, so changed by more than another start changes it: {', '.join(different)}."
                if different
                else "None is below the first number: no regulariser moves the map more than another start does."
            ),
            "How high it is: |J|², with latents in units of their spread, relative to the plain autoencoder's: "
            f"{sizes}. Without those units a code that is merely smaller would look contracted.",
            f"Where there is nothing to learn: {100 * self.members[0].quiet_pixels:.0f} % of the pixels hardly vary "
            "over the training images (a variance under 1 % of the largest), and a network's weights there may stay as "
            "they were drawn. Their share of |J|²: "
            f"{', '.join(f'{member.name} {_percent(member)}' for member in self.members)}.",
        )

    def metrics(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        names, table = self.alikeness
        return {
            "preset": self.study.preset.name,
            "members": {
                member.name: {
                    "loss": member.loss, "loss_on_clean": member.loss_on_clean,
                    "active_latents": member.active_latents, "sparseness": member.sparseness,
                    "contraction": member.contraction, "contraction_in_spreads": member.contraction_in_spreads,
                    "effective_rank": member.effective_rank,
                    "on_quiet_pixels": member.on_quiet_pixels,
                    "seconds_per_epoch": member.seconds_per_epoch,
                    "checks": {name: result.as_dict() for name, result in member.checks.items()},
                }
                for member in self.members
            },
            "rank_correlations": {"of": names, "table": table.tolist()},
        }  # fmt: skip

    def report(self) -> Report:
        """Put the page together."""
        preset = self.study.preset
        self._draw()
        folder = self.study.out / "figures"
        maps = read_picture(
            folder / "maps.png",
            alt="Contour maps: one row for each member, its mean map first, then maps of four test images.",
            caption="Mean map and maps of four test images of each member; latents in units of their spread over the "
            "data. Each map has its own levels.",
            number="1",
        )
        alike = read_picture(
            folder / "alikeness.png",
            alt="Table of rank correlations between the mean maps of all members, and with the pixel variance.",
            caption="Rank correlation of the members' mean maps with each other, and with the variance of the pixels "
            "over the data, which knows no network.",
            number="2",
        )
        sections = (
            Section("What was compared", _WHAT, (paper.COST_FUNCTIONS, self._settings()), "what"),
            Section("What the regulariser does", self.answer(), (self.numbers(), maps, alike), "answer"),
            Section("The checks", _CHECKS, (self.verdicts(),), "checks"),
            Section("How to make this page", (f"imagrad reproduce --preset {preset.name}",), (), "reproduce"),
        )
        title = "The family of autoencoders: what a regulariser does to the map"
        made = f"Made by imagrad, preset {preset.name}, on {preset.data}."
        return Report(title, made, (), sections, environment_facts(self.study.out))

    def _draw(self) -> None:
        """Draw the maps of all members, and how alike they are."""
        panels = torch.cat([torch.cat([member.mean_map[None], member.maps[:_SHOWN]]) for member in self.members])
        titles = ("mean", *(f"image {k}" for k in range(_SHOWN)))
        labels = [member.name for member in self.members]
        drawn = draw_maps_grid(panels, titles, row_labels=labels, shared=False)
        save_png_and_svg(drawn, self.study.out / "figures", "maps")
        names, table = self.alikeness
        heat = draw_table_heat(table, names, names, limits=(min(0.0, float(table.min())), 1.0))
        save_png_and_svg(heat, self.study.out / "figures", "alikeness")

    def _settings(self) -> Table:
        """List how each member is trained."""
        rows = tuple(
            (
                name, config.variant, f"{config.corruption[0]}, {config.corruption[1]:g}", config.network,
                config.ending,
                f"beta {config.beta:g}" if config.variant == "variational" else f"{config.weight:g}",
            )
            for name in self.study.preset.members
            for config in [self.study.preset.preset_of(name).autoencoder]
        )  # fmt: skip
        preset = self.study.preset
        return Table(
            "How each member is trained.",
            ("member", "loss of Table 1", "noise, level", "network", "code", "weight of the regulariser"),
            rows,
            note=f"{preset.epochs} epochs, batches of 25, layers of {', '.join(map(str, preset.hidden))} units unless "
            f"convolutional, {preset.latents} latents.",
        )


_WHAT = (
    "The four families of section 3 and Table 1 of the paper, and a plain autoencoder without noise and without a "
    "regulariser, learn from the same images and explain the same test images. A second plain autoencoder, from other "
    "first weights, tells how much two maps differ for no reason.",
)
_CHECKS = (
    "Every check is that of imagrad check, with networks trained by the member's own recipe. A check that passes, but "
    "no better than a control which knows no network, is no evidence for the map.",
)


def _percent(member: Member) -> str:
    return f"{100 * member.on_quiet_pixels:.1f} %"


def _verdict(result: Any) -> str:
    better = f" {', '.join(result.verdict.no_better_than)}" if result.verdict.no_better_than else ""
    return f"{result.verdict.outcome}{better}; {result.score.value:.2f}"
