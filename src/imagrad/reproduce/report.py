"""The report of a study: what was found, as one page of HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from imagrad import runs
from imagrad.checks.comparison import Row
from imagrad.checks.verdicts import CheckResult
from imagrad.figures import (
    draw_approach,
    draw_autoencoder,
    draw_small_network,
    draw_stages,
    save_png_and_svg,
)
from imagrad.figures.checks import check_figures, comparison_figure
from imagrad.reproduce import paper
from imagrad.reproduce.claims import claims_of
from imagrad.reproduce.differences import differences_of
from imagrad.reproduce.page import ClaimTable, Fact, Picture, Report, Section, Table, read_picture, render
from imagrad.reproduce.study import STEPS, Study
from imagrad.reproduce.tables import (
    certificate_table,
    check_table,
    comparison_table,
    corruption_table,
    layers_table,
    verdict_table,
)
from imagrad.reproduce.texts import CAPTIONS, CHECK_TITLES, explain_check

REPORT = "report.html"


def write_report(study: Study) -> Path:
    """Draw the figures, write report.html and the CSV tables into the run folder; return the page's path.

    Raises `RunFolderError` when the folder holds no reproduction, or one of another preset.
    """
    study.check_begun()
    found = _Findings(study)
    page = render(found.report())
    runs.write_atomically(study.out / REPORT, page.encode())
    for name, table in found.csv_tables().items():
        runs.write_atomically(study.out / f"{name}.csv", table.csv().encode())
    runs.write_json(study.out / runs.METRICS, found.metrics())
    return study.out / REPORT


def environment_facts(out: Path) -> tuple[Fact, ...]:
    """Say on what the results of a run folder were made."""
    environment = runs.read_json(out / runs.ENVIRONMENT)
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    return Fact("machine", environment["machine"]), Fact("versions", f"Python {environment['python']}, {versions}")


@dataclass(frozen=True)
class _Findings:
    """What a study has found so far; what is missing is left out, and said so."""

    study: Study

    @cached_property
    def training(self) -> dict[str, Any]:
        path = self.study.out / "maps" / runs.METRICS
        return runs.read_json(path) if path.is_file() else {}

    @cached_property
    def checks(self) -> dict[str, CheckResult]:
        return self.study.checks()

    @cached_property
    def rows(self) -> list[Row]:
        return self.study.rows()

    @property
    def has_comparison(self) -> bool:
        """Whether any method ran; those that did not come last."""
        return bool(self.rows and self.rows[0].results)

    @cached_property
    def claims(self) -> ClaimTable:
        settings = self.study.preset.autoencoder.as_dict()
        return ClaimTable(
            "The paper says, we measured.", claims_of(settings, self.training, self.checks), number="A"
        )  # fmt: skip

    def metrics(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "preset": self.study.preset.name,
            "training": self.training,
            "checks": {name: result.as_dict() for name, result in self.checks.items()},
            "comparison": [row.as_dict() for row in self.rows],
            "claims": [
                {"section": claim.section, "quote": claim.quote, "measured": claim.measured, "verdict": claim.verdict}
                for claim in self.claims.claims
            ],
            "seconds": self.study.seconds(),
        }

    def csv_tables(self) -> dict[str, Table]:
        """Return the tables that are written as CSV beside the page."""
        tables = {"verdicts": verdict_table(self.checks)}
        if "corruption" in self.checks:
            tables["corruption"] = corruption_table(self.checks["corruption"])
        if self.has_comparison:
            tables["comparison"] = comparison_table(self.rows)
        return tables

    def report(self) -> Report:
        """Put the page together."""
        preset = self.study.preset
        sections = [
            Section(
                "The paper's numbers beside ours",
                CAPTIONS["claims"],
                (self.claims, paper.MISPRINTS),
                "claims",
            ),
            *self._differences(),
            self._method(),
            *([self._training()] if self.training else []),
            *(self._check(name) for name in self.checks),
            *([self._comparison()] if self.has_comparison else []),
            self._reproduce(),
        ]
        return Report(
            f"{paper.TITLE}: a reproduction",
            f"{paper.CITATION}. Reproduced by imagrad, preset {preset.name}, on {preset.data}.",
            self._summary(),
            tuple(sections),
            self._facts(),
        )

    def _summary(self) -> tuple[str, ...]:
        """Say what came out, in as few sentences as it takes."""
        missing = [step for step, name in STEPS.items() if step.startswith("check") and name not in self.checks]
        verdicts = tuple(
            f"{CHECK_TITLES[name]}: {result.verdict.outcome}"
            + (f" {', '.join(result.verdict.no_better_than)}" if result.verdict.no_better_than else "")
            + f" ({result.score_is}: {result.score})."
            for name, result in self.checks.items()
        )
        absent = (f"Not run: {', '.join(missing)}.",) if missing else ()
        return (*CAPTIONS["summary"], *verdicts, *absent)

    def _picture(self, name: str, number: str | None = None) -> Picture:
        """Read a figure of the run folder, with its caption and its alternative text."""
        alt, caption = CAPTIONS[f"figure {name}"]
        return read_picture(self.study.out / "figures" / f"{name}.png", alt=alt, caption=caption, number=number)

    def _drawn(self, figures: Mapping[str, Any]) -> None:
        for name, figure in figures.items():
            save_png_and_svg(figure, self.study.out / "figures", name)

    def _differences(self) -> list[Section]:
        paragraphs = differences_of(self.study.preset.data, self.checks)
        title = "Where we differ, and what was tried to explain it"
        return [Section(title, paragraphs, (), "differences")] if paragraphs else []

    def _method(self) -> Section:
        diagrams = {
            "approach": draw_approach(),
            "autoencoder": draw_autoencoder(),
            "small-network": draw_small_network(),
            "stages": draw_stages(),
        }
        self._drawn(diagrams)
        pictures = [self._picture(name, str(number)) for number, name in enumerate(diagrams, start=1)]
        return Section(
            "The method", CAPTIONS["method"], (*pictures, paper.COST_FUNCTIONS, paper.ADAM, paper.CLASSIFIER), "method"
        )

    def _training(self) -> Section:
        folder = self.study.out / "maps" / "figures"
        pictures = [
            read_picture(folder / f"{name}.png", alt=alt, caption=caption, number=number)
            for number, name in (
                ("5", "figure-5-corruption"),
                ("6", "figure-6-reconstruction"),
                ("7", "figure-7-saliency"),
            )
            for alt, caption in [CAPTIONS[f"figure {name}"]]
        ]
        values = self.training
        table = Table(
            "The denoising autoencoder after its training: mean binary cross-entropy of a pixel.",
            ("", "corrupted input", "clean input"),
            (
                ("training images", f"{values['loss']:.4f}", f"{values['loss_on_clean']:.4f}"),
                ("test images", f"{values['validation_loss']:.4f}", f"{values['validation_loss_on_clean']:.4f}"),
            ),
            note=f"{values['epochs']} epochs; {values['active_latents']} latents are active on the test images.",
        )
        return Section(
            "The autoencoder and its maps",
            CAPTIONS["training"],
            (table, *pictures, certificate_table(values["certificate"])),
            "maps",
        )

    def _check(self, name: str) -> Section:
        result = self.checks[name]
        figures = check_figures(result)
        self._drawn(figures)
        numbers = {
            "one-class-maps": "8",
            "translation-maps": "9",
            "corruption-examples": "10",
            "corruption-curves": "11",
        }
        pictures = [self._picture(figure, numbers.get(figure)) for figure in figures]
        tables = [check_table(result)]
        if name == "corruption":
            tables.append(corruption_table(result))
        if name == "randomisation":
            tables.append(layers_table(result))
        return Section(CHECK_TITLES[name], explain_check(result), (*pictures, *tables), name)

    def _comparison(self) -> Section:
        self._drawn({"comparison": comparison_figure(self.rows)})
        notes = [f"{row.method} does not run on this network: {row.not_run}" for row in self.rows if row.not_run]
        notes += [f"{row.method}: {finding}" for row in self.rows for finding in row.findings]
        return Section(
            "Other methods, by the same checks",
            (*CAPTIONS["comparison"], *notes),
            (comparison_table(self.rows), self._picture("comparison", "12")),
            "comparison",
        )

    def _reproduce(self) -> Section:
        seconds = self.study.seconds()
        rows = tuple((STEPS[step], f"{seconds[step]:.0f}") for step in STEPS if step in seconds)
        total = sum(seconds.values()) / 60
        table = Table("How long each step took.", ("step", "seconds"), rows, note=f"{total:.1f} minutes in all.")
        command = f"imagrad reproduce --preset {self.study.preset.name} --seed {self.study.preset.seed}"
        return Section("How to make this page", (command, *CAPTIONS["reproduce"]), (table,), "reproduce")

    def _facts(self) -> tuple[Fact, ...]:
        """Say where the results come from."""
        facts = [*environment_facts(self.study.out), Fact("seed", str(self.study.preset.seed))]
        if self.training:
            facts.append(Fact("weights of the autoencoder, sha256", self.training["model_sha256"]))
            facts += [
                Fact(f"images ({split}), sha256", data["sha256"]) for split, data in self.training["data"].items()
            ]
        return tuple(facts)
