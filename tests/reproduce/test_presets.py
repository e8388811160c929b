"""Presets are plain values: shown, kept as JSON, changed in their seed and methods alone."""

import json
from dataclasses import replace

import pytest

from imagrad.attribution.methods import METHODS as KNOWN
from imagrad.checks.checks import CHECKS
from imagrad.checks.options import OPTIONS
from imagrad.errors import InputError
from imagrad.reproduce.presets import METHODS, PAPER, PRESETS, preset_named
from imagrad.training.config import TrainingConfig


@pytest.mark.parametrize("preset", PRESETS.values(), ids=str)
def test_presets_name_what_there_is(preset):
    assert PRESETS[preset.name] is preset
    assert set(preset.checks) == set(CHECKS) == set(OPTIONS), "every check is done"
    assert set(preset.compared_by) <= set(CHECKS) and set(preset.methods) <= set(KNOWN)
    for chosen in (preset.checks, preset.compared_by):
        assert all(isinstance(options, OPTIONS[name]) for name, options in chosen.items())
    assert preset.data == preset.autoencoder.data == preset.classifier.data
    assert preset.seed == preset.autoencoder.seed == preset.classifier.seed == 0


def test_paper_has_the_papers_sizes():
    config = PAPER.autoencoder  # section 5.2, Fig. 4, Table 2
    assert (PAPER.data, config.hidden, config.latents, config.noise) == ("mnist", (128,), 32, "gaussian")
    assert (config.epochs, config.batch_size, config.learning_rate) == (100, 25, 0.001)
    assert config == TrainingConfig("mnist"), "what `imagrad train --data mnist` does"
    assert PAPER.checks["corruption"].percentages == (10.0, 20.0, 30.0)  # section 7
    assert PAPER.checks["translation"].corners == "top-left" and PAPER.checks["one-class"].images >= 100
    assert set(METHODS) == set(KNOWN) == set(PAPER.methods), "every method is compared"


@pytest.mark.parametrize("preset", PRESETS.values(), ids=str)
def test_presets_are_json(preset):
    values = preset.as_dict()
    assert json.loads(json.dumps(values)) == values, (
        "what is read back is equal: a folder that was begun is known again"
    )
    assert set(values) == set(preset.__dataclass_fields__)


def test_seed_and_methods_are_all_that_changes():
    seeded = preset_named("paper", seed=7)
    assert seeded.seed == seeded.autoencoder.seed == seeded.classifier.seed == 7
    assert replace(seeded, autoencoder=PAPER.autoencoder, classifier=PAPER.classifier) == PAPER
    assert preset_named("paper", methods=("lrp",)) == replace(PAPER, methods=("lrp",))
    assert preset_named("paper") is PAPER


def test_unknown_preset_is_named():
    with pytest.raises(InputError, match=r"^unknown preset 'fast'; known: paper, quick\.$"):
        preset_named("fast")
    with pytest.raises(InputError, match="`seed` must not be negative; got -1"):
        preset_named("quick", seed=-1)
