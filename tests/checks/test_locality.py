"""Local maps against the mean of all others, in loops with SciPy."""

import numpy as np
import pytest
import torch
from scipy import stats

from imagrad.checks.intervals import mean_of
from imagrad.checks.locality import locality
from imagrad.checks.material import Material
from imagrad.checks.options import LocalityOptions

from .planted import PLANTED, bump


def half_alike(encoder, images, seed):
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(seed))
    return bump(encoder, images, seed) + noise


@pytest.fixture(scope="module")
def material():
    return PLANTED["locality"].material(explain=half_alike)


def test_each_map_is_compared_with_the_mean_of_the_others(material):
    result = locality(material, LocalityOptions(images=12))
    maps = result.arrays["local maps"].numpy()
    assert maps.shape == (12, 8, 8)
    for name, measure in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        wanted = [measure(maps[k].ravel(), np.delete(maps, k, axis=0).mean(axis=0).ravel())[0] for k in range(12)]
        numbers = result.numbers[name]
        assert numbers["mean"] == pytest.approx(np.mean(wanted), rel=1e-9)
        assert numbers["smallest"] == pytest.approx(min(wanted), rel=1e-9)
        assert numbers["standard_deviation"] == pytest.approx(np.std(wanted, ddof=1), rel=1e-9)
        assert numbers["median"] == pytest.approx(np.median(wanted), rel=1e-9)
        if name == "pearson":
            assert result.score.value == pytest.approx(np.mean(wanted), rel=1e-9)
            assert result.score.low == pytest.approx(mean_of(wanted).low, rel=1e-9)
    others = [np.delete(maps, k, axis=0).mean(axis=0) for k in range(12)]
    distances = [np.linalg.norm(maps[k] - others[k]) / np.linalg.norm(others[k]) for k in range(12)]
    assert result.numbers["relative_distance"]["mean"] == pytest.approx(np.mean(distances), rel=1e-9)


def test_the_threshold_is_on_the_lower_end():
    def nearly(encoder, images, seed):
        return bump(encoder, images, seed) + 0.45 * torch.rand(images.shape, generator=torch.Generator().manual_seed(0))

    results = [
        locality(PLANTED["locality"].material(explain=lambda e, x, s, a=a: bump(e, x, s) + a * nearly(e, x, s).cos()),
                 LocalityOptions(images=15))
        for a in (0.0, 3.0)
    ]  # fmt: skip
    assert results[0].passed
    for result in results:
        (criterion,) = result.criteria
        assert criterion.measured == result.score.low and criterion.is_met == (result.score.low >= 0.8)


def test_alike_maps_of_alike_images_are_no_finding(tmp_path):
    """The control asks the same of the images themselves."""
    rng = np.random.default_rng(0)
    images = np.clip(rng.random((1, 8, 8)) + rng.normal(0, 0.01, (30, 8, 8)), 0, 1)
    np.save(tmp_path / "alike.npy", images)
    material = Material(str(tmp_path / "alike.npy"), "copy", lambda e, x, s: x.clone(), encoder=torch.nn.Flatten())
    result = locality(material, LocalityOptions(images=10))
    assert result.passed and result.verdict.no_better_than == ("the images",)
    assert result.controls[0].lead.value == result.controls[0].lead.low == 0
    assert "pairs_of_one_class" not in result.numbers, "there are no labels"


def test_a_map_that_copies_the_image_fails_on_images_that_differ():
    result = locality(PLANTED["locality"].material(explain=lambda e, x, s: x.clone()), LocalityOptions(images=50))
    assert not result.passed and result.controls[0].lead.value == 0


def test_pairs_of_one_class_and_of_two(material):
    def by_class(encoder, images, seed):
        means = images.mean(dim=(1, 2, 3), keepdim=True)
        return images + 0 * means

    result = locality(PLANTED["locality"].material(explain=by_class), LocalityOptions(images=20))
    maps = result.arrays["local maps"].flatten(1).numpy()
    chosen = PLANTED["locality"].make().sample(20)
    labels = PLANTED["locality"].make().labels[chosen]
    table = np.corrcoef(maps)
    pairs = [(i, j) for i in range(20) for j in range(i)]
    same = np.mean([table[i, j] for i, j in pairs if labels[i] == labels[j]])
    other = np.mean([table[i, j] for i, j in pairs if labels[i] != labels[j]])
    assert result.numbers["pairs_of_one_class"] == pytest.approx(same, rel=1e-9)
    assert result.numbers["pairs_of_two_classes"] == pytest.approx(other, rel=1e-9)


def test_the_random_control_has_no_correlation():
    result = locality(PLANTED["locality"].material(), LocalityOptions(images=60))
    random = result.controls[1]
    assert random.name == "random" and random.score.low < 0 < random.score.high
    assert random.lead.value == pytest.approx(result.score.value - random.score.value)


def test_the_lead_over_the_images_is_paired_and_above_0_where_maps_are_more_alike():
    material = PLANTED["locality"].material()
    result = locality(material, LocalityOptions(images=30))
    images = material.test_images[material.sample(30)].double().numpy()[:, 0]
    alike = [stats.pearsonr(images[k].ravel(), np.delete(images, k, 0).mean(0).ravel())[0] for k in range(30)]
    (control, _), wanted = result.controls, stats.ttest_1samp(1 - np.array(alike), 0).confidence_interval()
    assert control.name == "the images" and control.score.value == pytest.approx(np.mean(alike), rel=1e-6)
    assert (control.lead.low, control.lead.high) == pytest.approx((wanted.low, wanted.high), rel=1e-6)
    assert control.lead.low > 0
