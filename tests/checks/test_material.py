"""What all checks have in common: each is itself checked with planted methods, and refuses what it cannot work on."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from imagrad.attribution.contract import METHODS
from imagrad.checks.material import CHECKS, Material, by_method
from imagrad.checks.options import OPTIONS, OneClassOptions
from imagrad.checks.saved import load_check, save_check
from imagrad.errors import ImageError, ImagradError, InputError
from imagrad.models.autoencoders import NetworkConfig, build
from imagrad.training.factory import one_by_one

from .planted import PLANTED, SPOILT, linear_classifier


@cache
def planted_result(check, spoil=None, seed=0):
    """What a check says of its planted method, perfect or spoilt."""
    return run(check, spoil, seed=seed)


def run(check, spoil=None, **changes):
    planted = PLANTED[check]
    return CHECKS[check](planted.material(SPOILT.get(spoil), **changes), planted.options)


def test_every_check_has_a_planted_method_and_options():
    assert list(CHECKS) == sorted(PLANTED) == sorted(OPTIONS)


@pytest.mark.parametrize("check", CHECKS)
def test_a_perfect_method_passes(check):
    result = planted_result(check)
    assert result.passed, str(result)
    assert all(criterion.is_met for criterion in result.criteria)
    assert result.check == check and result.method == PLANTED[check].make().method


@pytest.mark.parametrize("spoil", SPOILT)
@pytest.mark.parametrize("check", CHECKS)
def test_a_spoilt_method_fails(check, spoil):
    result = planted_result(check, spoil)
    assert result.verdict.outcome == "fails", str(result)
    assert result.verdict.reason.startswith("it needs ") and "was measured" in result.verdict.reason


@pytest.mark.parametrize(("spoil", "seed"), [("constant", 2), ("constant", 9), ("noise", 4), ("shuffled", 3)])
def test_no_luck_makes_a_ranking_pass(spoil, seed):
    """Among so many rankings by chance some do flip the right pixels."""
    assert not run("corruption", spoil, seed=seed).passed


@pytest.mark.parametrize("spoil", [None, *SPOILT])
@pytest.mark.parametrize("check", CHECKS)
def test_results_are_plain_json_and_survive_a_file(check, spoil, tmp_path):
    result = planted_result(check, spoil)
    plain = result.as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    ends = [estimate for control in result.controls for estimate in (control.score, control.lead)] + [result.score]
    assert all(estimate.low <= estimate.value <= estimate.high for estimate in ends)
    save_check(result, tmp_path / "check.safetensors")
    found = load_check(tmp_path / "check.safetensors")
    assert replace(found, arrays={}) == replace(result, arrays={})
    assert all(torch.equal(found.arrays[name], value) for name, value in result.arrays.items())
    assert len(found.arrays) == len(result.arrays)


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_the_seed_decides(check):
    assert run(check, "shuffled").as_dict() == planted_result(check, "shuffled").as_dict()
    assert run(check, "shuffled").as_dict() != planted_result(check, "shuffled", seed=1).as_dict()


@pytest.mark.parametrize(("check", "method"), [*((check, "gradient") for check in CHECKS), ("corruption", "saliency")])
def test_any_method_and_any_factory(check, method):
    """Registered methods on encoders of imagrad, and on those of a factory from anywhere."""
    assert_runs(check, method, dense)


def dense(images):
    shape = tuple(images.shape[1:])
    return build(NetworkConfig("dense", shape, (6,), 3), seed=0).eval().requires_grad_(False).encode


def convolutional(images):
    """For methods that need convolutions."""
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(2 * images[0].numel(), 3)
    return nn.Sequential(*layers).eval().requires_grad_(False)


def assert_runs(check, method, trained):
    material = Material(
        "digits[:40]", method, by_method(method), factory=one_by_one(trained), encoder=trained(torch.zeros(1, 1, 8, 8)),
        classifier=linear_classifier(),
    )  # fmt: skip
    result = CHECKS[check](material, replace(PLANTED[check].options, images=5))
    assert result.method == method and np.isfinite(result.score.value)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_registered_method_runs(method):
    assert_runs("locality", method, convolutional)


# --- what a check cannot work on ---


@pytest.mark.parametrize("check", CHECKS)
def test_fewer_images_than_needed(check):
    planted = PLANTED[check]
    with pytest.raises(InputError, match=r"explains 361 test images; digits:test has 360. Give fewer `images`"):
        CHECKS[check](planted.material(), replace(planted.options, images=361))


WRONG = {
    "no channels": lambda encoder, images, seed: torch.rand(images[:, 0].shape),
    "one map for all": lambda encoder, images, seed: torch.rand(images[:1].shape),
    "latents": lambda encoder, images, seed: torch.rand(len(images), 3),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("check", CHECKS)
def test_maps_of_the_wrong_shape(check, wrong):
    with pytest.raises(InputError, match=r"must return maps of the images' shape, \(20, 1, .*; bad returned \("):
        run(check, method="bad", explain=WRONG[wrong])


@pytest.mark.parametrize("check", CHECKS)
def test_maps_that_are_not_finite(check):
    with pytest.raises(ImageError, match="`maps` must be finite to be compared"):
        run(check, explain=lambda encoder, images, seed: images / 0)


@pytest.mark.parametrize(
    ("check", "part"),
    [("one-class", "factory"), ("translation", "factory"), ("corruption", "encoder"), ("corruption", "classifier"),
     ("randomisation", "encoder"), ("locality", "encoder")],
)  # fmt: skip
def test_what_is_needed_and_not_given(check, part):
    with pytest.raises(InputError, match=rf"this check needs `{part}`; give it .*Material\(\.\.\., {part}=\.\.\.\)"):
        run(check, **{part: None})


def test_images_without_labels(tmp_path):
    np.save(tmp_path / "plain.npy", np.random.default_rng(0).random((30, 8, 8)))
    for check in ("one-class", "corruption"):
        with pytest.raises(ImagradError, match=r"labels|at least 2 classes"):
            run(check, data=str(tmp_path / "plain.npy"))


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("images", [1, 0, -5])
def test_too_few_images_for_an_interval(name, images):
    with pytest.raises(InputError, match=f"`images` must be at least 2, as an interval needs a spread; got {images}"):
        OPTIONS[name](images=images)


# --- the material itself ---


def unexplained(data, **changes):
    return Material(data, "none", lambda encoder, images, seed: images, **changes)


def test_a_sample_takes_all_classes_in_equal_parts():
    material = unexplained("digits")
    chosen = material.sample(50)
    assert np.bincount(material.labels[chosen]).tolist() == [5] * 10
    assert np.array_equal(chosen, np.unique(chosen)) and np.array_equal(chosen, material.sample(50))
    assert not np.array_equal(chosen, unexplained("digits", seed=1).sample(50))
    assert sorted(material.sample(360)) == list(range(360))


def test_a_sample_of_one_class():
    material = unexplained("digits")
    assert set(material.labels[material.sample(36, label=1)]) == {1}
    with pytest.raises(InputError, match="explains 37 test images of class 1; digits:test has 36"):
        material.sample(37, label=1)


@pytest.mark.parametrize(
    ("data", "label", "selection"),
    [
        ("mnist", None, "mnist"),
        ("mnist", "3", "mnist:train/label=3"),
        ("mnist:test[:100]", None, "mnist:train[:100]"),
        ("digits[::2]", "7", "digits:train/label=7[::2]"),
        ("digits/label=7", None, "digits:train/label=7"),
        ("folder/x.npz", "cat", "folder/x.npz/label=cat"),
    ],
)
def test_what_is_trained_on(data, label, selection):
    assert unexplained(data).train_selection(label) == selection


def test_maps_of_colour_images_become_one_picture_each():
    material = unexplained("digits")
    assert np.allclose(material.maps(None, torch.ones(2, 3, 4, 5)), 3**0.5)


def test_a_class_without_test_images():
    with pytest.raises(InputError, match=r"needs test images of every class; digits:test\[:5\] has none of 0"):
        material = PLANTED["one-class"].material(data="digits[:5]")
        CHECKS["one-class"](material, OneClassOptions(images=5))
