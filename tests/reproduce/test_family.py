"""The families compared: small ones, done once; what the report says is what was measured."""

import csv
import json
import re
from dataclasses import replace

import pytest
import torch

import imagrad
from imagrad import runs
from imagrad.checks.options import CorruptionOptions
from imagrad.cli.main import main
from imagrad.errors import RunFolderError
from imagrad.reproduce.family import FamilyStudy
from imagrad.reproduce.family_presets import CONTROL, FAMILIES, MEMBERS, FamilyPreset
from imagrad.reproduce.family_report import write_family_report
from imagrad.training.config import DEFAULTS, ClassifierConfig
from imagrad.training.data import load_training_data

from .tiny import CHECKS

CHOSEN = ("plain", CONTROL, "variational")
_LENIENT = CorruptionOptions(images=4, local_maps=2, corrupted_for_local=20, least_clean_accuracy=0.0)


@pytest.mark.parametrize("preset", FAMILIES.values(), ids=lambda preset: preset.name)
def test_presets_have_every_variant_and_are_json(preset):
    configs = {name: preset.preset_of(name).autoencoder for name in preset.members}
    assert {config.variant for config in configs.values()} == set(DEFAULTS)
    assert {config.network for config in configs.values()} == {"dense", "conv"}
    assert configs["plain"].corruption[1] == 0 and configs["denoising"].corruption == ("gaussian", 0.15)
    assert configs[CONTROL] == replace(configs["plain"], seed=1)
    assert json.loads(json.dumps(preset.as_dict())) == preset.as_dict()


def test_options_of_other_presets_are_refused(capsys):
    for given in (["--only", "check1"], ["--methods", "gradient"], ["--seed", "1"]):
        assert main(["reproduce", "--preset", "family-quick", *given]) == 2
        assert "--preset family-quick takes --only report alone, and neither --methods nor" in capsys.readouterr().err


def test_a_folder_without_a_comparison(tmp_path):
    with pytest.raises(RunFolderError, match=r"expected a comparison of families, found none in .* makes one"):
        write_family_report(FamilyStudy(FAMILIES["family-quick"], tmp_path))


@pytest.fixture(scope="module")
def family(two_classes, tmp_path_factory):
    """Three members in a run folder; tests must leave it as it is."""
    preset = FamilyPreset(
        "tiny-family", two_classes, 2, 1, 1, ClassifierConfig(two_classes, epochs=1), CHECKS | {"corruption": _LENIENT},
        hidden=(8,), latents=3, images=4, members={name: MEMBERS[name] for name in CHOSEN},
    )  # fmt: skip
    study = FamilyStudy(preset, tmp_path_factory.mktemp("family") / "run", workers=1)
    study.run()
    write_family_report(study)
    return study


def test_the_numbers_are_those_of_the_networks(family):
    for member in family.members:
        network = imagrad.load(family.study(member.name).network)
        maps = runs.read_tensors(family.out / member.name.replace(", ", "-").replace(" ", "-") / "maps.safetensors")[0]
        assert torch.equal(member.maps, maps["maps"]) and member.maps.shape == (4, 1, 8, 8)
        assert network.config.code == ("gaussian" if member.name == "variational" else "relu")
        assert member.seconds_per_epoch > 0 and (list(member.checks) == []) == (member.name == CONTROL)


def test_contraction_is_the_squared_norm_of_the_jacobian(family):
    """Against torch's own Jacobian."""
    for member in family.members:
        study = family.study(member.name)
        network = imagrad.load(study.network)
        images = load_training_data(study.preset.autoencoder).validation
        with torch.no_grad():
            variance = network.encode(images).var(dim=0, correction=0)
            noise = network.log_variance(images).exp().mean(dim=0) if member.name == "variational" else 0.0
        weights = torch.where(
            variance > 0.01 * (variance + noise), 1 / (variance + noise).sqrt(), 0.0
        )  # the dead count nothing
        rows = torch.vmap(torch.func.jacrev(lambda x, net=network: net.encode(x[None])[0]))(images[:4]).flatten(2)
        assert member.contraction == pytest.approx(float(rows.square().sum(dim=(1, 2)).mean()), rel=1e-4)
        scaled = rows * weights[:, None]
        assert member.contraction_in_spreads == pytest.approx(float(scaled.square().sum(dim=(1, 2)).mean()), rel=1e-4)


def test_the_report_says_what_was_measured(family):
    page = (family.out / "report.html").read_text()
    with (family.out / "family.csv").open(newline="") as file:
        rows = {row["member"]: row for row in csv.DictReader(file)}
    assert list(rows) == list(CHOSEN)
    for member in family.members:
        assert rows[member.name]["loss"] == f"{member.loss:.4f}" and rows[member.name]["loss"] in page
        for result in member.checks.values():
            assert f"{result.score.value:.2f}" in page
    metrics = runs.read_json(family.out / "metrics.json")
    correlations = metrics["rank_correlations"]
    assert correlations["of"] == [*CHOSEN, "pixel variance"]
    noise = correlations["table"][0][1]
    assert f"trained from other weights, is {noise:.2f}" in re.sub(r"\s+", " ", page)
    assert "http://" not in page and str(family.out) not in page


def test_nothing_is_done_twice_and_other_settings_are_refused(family):
    before = {path: path.stat().st_mtime_ns for path in family.out.rglob("*.safetensors")}
    family.run()
    assert before == {path: path.stat().st_mtime_ns for path in family.out.rglob("*.safetensors")}
    other = replace(family, preset=replace(family.preset, epochs=3))
    with pytest.raises(RunFolderError, match="was begun with other settings than those of the preset tiny-family"):
        other.run()
