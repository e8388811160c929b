"""What a training is told: defaults by variant, kept once resolved, and values that cannot be."""

import json
from dataclasses import fields, replace

import pytest

from imagrad.errors import InputError
from imagrad.training.config import DEFAULTS, JACOBIANS, RECONSTRUCTIONS, TrainingConfig


def config(**changes):
    return TrainingConfig(**{"data": "digits", **changes})


@pytest.mark.parametrize(
    ("variant", "corruption", "code", "penalty"),
    [
        ("denoising", ("gaussian", 0.15), "relu", 0.0),
        ("sparse", ("gaussian", 0.0), "relu", 1e-4),
        ("sparse-kl", ("gaussian", 0.0), "sigmoid", 1e-3),
        ("contractive", ("gaussian", 0.0), "relu", 1e-5),
        ("variational", ("gaussian", 0.0), "gaussian", 0.0),
    ],
)
def test_defaults_of_each_variant(variant, corruption, code, penalty):
    found = config(variant=variant)
    assert (found.corruption, found.ending, found.weight) == (corruption, code, penalty)
    assert (found.noise, found.kappa, found.code, found.penalty) == (*corruption, code, penalty)


def test_the_paper_is_the_default():
    found = config()
    assert found.variant == "denoising" and found.corruption == ("gaussian", 0.15)
    assert (found.network, found.hidden, found.latents, found.ending) == ("dense", (128,), 32, "relu")
    assert (found.reconstruction, found.epochs, found.batch_size, found.learning_rate) == ("bce", 100, 25, 0.001)


@pytest.mark.parametrize("variant", DEFAULTS)
@pytest.mark.parametrize("noise", ["gaussian", "poisson"])
def test_a_noise_that_is_named_has_a_level(variant, noise):
    assert config(variant=variant, noise=noise).corruption == (noise, 0.15)
    assert config(variant=variant, noise=noise, kappa=0.0).corruption == (noise, 0.0)


@pytest.mark.parametrize("variant", DEFAULTS)
def test_what_is_given_is_kept(variant):
    given = {"noise": "speckle", "kappa": 0.3, "code": "linear", "penalty": 0.25}
    found = config(variant=variant, **given)
    assert {name: getattr(found, name) for name in given} == given
    assert config(variant=variant, kappa=0.3).corruption == ("gaussian", 0.3)
    assert config(variant=variant, penalty=0.0).weight == 0.0  # 0 is a value, not a gap


@pytest.mark.parametrize("variant", DEFAULTS)
def test_a_copy_keeps_what_was_resolved(variant):
    before = config(variant=variant)
    after = replace(before, epochs=7)
    assert after.as_dict() == {**before.as_dict(), "epochs": 7}
    assert replace(before, variant="sparse").corruption == before.corruption


@pytest.mark.parametrize("variant", DEFAULTS)
def test_survives_json(variant):
    before = config(variant=variant, hidden=(20, 10), kappa=0.2, validation="digits:test")
    values = json.loads(json.dumps(before.as_dict(), allow_nan=False))
    assert set(values) == {field.name for field in fields(TrainingConfig)}
    assert TrainingConfig(**{**values, "hidden": tuple(values["hidden"])}) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"penalty": -0.1}, r"`lambda`, the weight of a regulariser, must be finite and not negative; got -0\.1"),
        ({"penalty": float("nan")}, "`lambda`, the weight of a regulariser, must be finite and not negative; got nan"),
        ({"penalty": float("inf")}, "`lambda`, the weight of a regulariser, must be finite and not negative; got inf"),
        ({"beta": -1.0}, "`beta`, the weight of a regulariser, must be finite and not negative; got -1"),
        ({"beta": float("inf")}, "`beta`, the weight of a regulariser, must be finite and not negative; got inf"),
        ({"target": 0.0}, "`target`, a mean activation, must lie between 0 and 1; got 0"),
        ({"target": 1.0}, "`target`, a mean activation, must lie between 0 and 1; got 1"),
        ({"target": float("nan")}, "`target`, a mean activation, must lie between 0 and 1; got nan"),
        ({"probes": 0}, "`probes` must be at least 1; got 0"),
        ({"jacobian": "exact"}, "`jacobian` must be one of auto, closed, engine, probes; got 'exact'"),
        ({"reconstruction": "mse"}, "`reconstruction` must be one of bce, l2; got 'mse'"),
    ],
)
def test_impossible_settings_of_the_family(change, message):
    with pytest.raises(InputError, match=message):
        config(**change)


@pytest.mark.parametrize("jacobian", JACOBIANS)
@pytest.mark.parametrize("reconstruction", RECONSTRUCTIONS)
def test_known_settings_stand(jacobian, reconstruction):
    found = config(jacobian=jacobian, reconstruction=reconstruction)
    assert (found.jacobian, found.reconstruction) == (jacobian, reconstruction)
