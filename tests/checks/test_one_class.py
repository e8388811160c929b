"""Sanity Check-1 against loops with SciPy; what is measured on which images."""

import numpy as np
import pytest
import torch
from scipy import stats

from imagrad.checks.intervals import mean_of
from imagrad.checks.material import Material
from imagrad.checks.one_class import lessons, one_class
from imagrad.checks.options import OneClassOptions
from imagrad.data.datasets import load_dataset
from imagrad.errors import InputError

from .planted import PLANTED, remembered, remembering


def test_a_network_is_trained_on_each_class_alone():
    found = lessons(PLANTED["one-class"].material())
    assert [lesson.name for lesson in found] == [f"class-{digit}" for digit in range(10)]
    assert [lesson.data for lesson in found] == [f"digits:train/label={digit}" for digit in range(10)]


@pytest.fixture(scope="module")
def blurred():
    """Class means mixed with the mean of all, so that some networks are taken for others."""

    def explain(encoder, images, seed):
        noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(int(1e6 * encoder.mean.sum())))
        return encoder.mean + 1.5 * noise + 0 * images

    return PLANTED["one-class"].material(explain=explain)


def test_score_margins_and_identification_are_those_of_a_loop(blurred):
    result = one_class(blurred, OneClassOptions(images=2))
    test = load_dataset("digits:test")
    images, labels = test.images().double().numpy()[:, 0], test.labels.numpy()
    maps = result.arrays["mean maps"].numpy()
    table = np.zeros((10, 10))
    for network in range(10):
        for digit in range(10):
            mean = images[labels == digit].mean(axis=0)
            table[network, digit] = stats.pearsonr(maps[network].ravel(), mean.ravel())[0]
    margins = [row[k] - np.mean([row[j] for j in range(10) if j != k]) for k, row in enumerate(table)]
    identified = sum(row.argmax() == k for k, row in enumerate(table))
    assert np.allclose(result.numbers["tables"]["pearson"], table, atol=1e-6)  # class means are float32
    assert result.score.value == pytest.approx(mean_of(margins).value, abs=1e-6)
    assert result.score.low == pytest.approx(mean_of(margins).low, abs=1e-6)
    assert result.numbers["identified"] == identified and 0 < identified < 10


def test_criteria_are_eight_of_ten_and_a_margin_that_is_surely_above_0():
    result = one_class(PLANTED["one-class"].material(), OneClassOptions(images=20))
    first, second = result.criteria
    assert first.text == "networks identified of 10 at least 8" and first.measured == 10
    assert second.measured == result.score.low and "at least 0" in second.text


def test_margins_whose_interval_reaches_below_0_fail(tmp_path):
    """Three of three are identified, one by a hair: the mean margin is positive, but not surely so."""
    rng = np.random.default_rng(0)
    patterns = rng.random((3, 6, 6))
    images = np.clip(np.repeat(patterns, 10, axis=0) + rng.normal(0, 0.01, (30, 6, 6)), 0, 1)
    np.savez(tmp_path / "three.npz", images=images, labels=np.repeat([0, 1, 2], 10))
    mixed = [patterns[0], 0.55 * patterns[1] + 0.45 * patterns[0], 0.55 * patterns[2] + 0.45 * patterns[1]]

    def explain(encoder, images, seed):
        own = int(np.argmin([np.abs(encoder.mean[0].numpy() - pattern).sum() for pattern in patterns]))
        return torch.from_numpy(mixed[own]).float().expand(images.shape)

    material = Material(str(tmp_path / "three.npz"), "mixed", explain, factory=remembering())
    result = one_class(material, OneClassOptions(images=6))
    assert result.numbers["identified"] == 3 and result.score.value > 0 > result.score.low
    assert not result.passed and [criterion.is_met for criterion in result.criteria] == [True, False]


def test_all_networks_explain_the_same_images_and_then_their_own():
    seen = []

    def explain(encoder, images, seed):
        seen.append(images)
        return remembered(encoder, images, seed)

    one_class(PLANTED["one-class"].material(explain=explain), OneClassOptions(images=20, own_images=30))
    assert len(seen) == 20 and all(torch.equal(images, seen[0]) for images in seen[:10])
    test = load_dataset("digits:test")
    for digit, images in enumerate(seen[10:]):
        own = test.images()[test.labels == digit]
        assert len(images) == 30 and all((image == own).flatten(1).all(1).any() for image in images)


def test_a_map_that_copies_the_image_knows_nothing_of_the_network():
    """On images of the network's own class it would be identified: this is why all explain the same."""
    material = PLANTED["one-class"].material(explain=lambda encoder, images, seed: images.clone())
    result = one_class(material, OneClassOptions(images=30))
    assert result.numbers["own_images"]["identified"] == 10
    assert result.numbers["identified"] <= 1 and not result.passed


def test_lead_over_a_control_is_paired():
    result = one_class(PLANTED["one-class"].material(), OneClassOptions(images=20))
    for control in result.controls:
        assert control.lead.value == pytest.approx(result.score.value - control.score.value)
    assert {control.name for control in result.controls} == {"random", "centre distance", "pixel variance"}
    random = result.controls[0]
    assert random.name == "random" and random.lead.low > 0


def test_one_class_is_too_few(tmp_path):
    np.savez(tmp_path / "one.npz", images=np.random.default_rng(0).random((9, 8, 8)), labels=np.zeros(9, int))
    material = PLANTED["one-class"].material(data=str(tmp_path / "one.npz"))
    with pytest.raises(InputError, match=r"at least 2 classes; .*one\.npz has 1"):
        one_class(material, OneClassOptions(images=2))
