"""What maps have in common, against NumPy on all of them at once."""

import numpy as np
import pytest

from imagrad.data.datasets import load_dataset
from imagrad.errors import InputError
from imagrad.store import explain_dataset, open_store
from imagrad.store.statistics import statistics_of

from .small import DIGITS, SMALL


def others_mean(maps, k):
    return np.delete(maps, k, 0).mean(0)


def test_against_numpy(made_once):
    labels = load_dataset(DIGITS.selection).labels.numpy()
    everything = made_once.maps[:].astype(np.float64)
    found = statistics_of(made_once)
    assert [one.name for one in found] == [str(label) for label in np.unique(labels)]
    for one in found:
        maps = everything[labels == int(one.name)]
        assert one.count == len(maps) and one.missing == 0 and one.sampled is None
        np.testing.assert_allclose(one.mean, maps.mean(0), rtol=1e-12)
        np.testing.assert_allclose(one.deviation, maps.std(0), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(one.quantiles, np.quantile(maps, [0.05, 0.5, 0.95], axis=0), rtol=1e-12)
        truth = [np.corrcoef(x.ravel(), others_mean(maps, k).ravel())[0, 1] for k, x in enumerate(maps)]
        np.testing.assert_allclose(one.correlations, truth, rtol=1e-9)
        np.testing.assert_array_equal(one.rows, np.flatnonzero(labels == int(one.name)))
        assert one.correlations[one.most_typical(1)[0]] == max(one.correlations)
        assert one.correlations[one.least_typical(1)[0]] == min(one.correlations)


def test_all_together(made_once):
    (one,) = statistics_of(made_once, by_class=False)
    assert one.name == "all" and one.count == 60
    np.testing.assert_allclose(one.mean, made_once.maps[:].astype(np.float64).mean(0), rtol=1e-12)


def test_where_not_all_fit_a_sample_is_drawn_by_the_seed(made_once):
    whole = statistics_of(made_once)
    budget = 10 * 4 * 64 * 4  # of four maps for each of ten classes; so little that the classes are read one by one
    some, again, other = (statistics_of(made_once, seed=seed, budget=budget) for seed in (1, 1, 2))
    assert [one.sampled for one in some] == [4 if one.count > 4 else None for one in whole]
    for k, one in enumerate(some):
        np.testing.assert_allclose(one.mean, whole[k].mean, rtol=1e-12)
        np.testing.assert_allclose(one.correlations, whole[k].correlations, rtol=1e-9)
        np.testing.assert_array_equal(one.quantiles, again[k].quantiles)
        maps = made_once.maps[:][one.rows]
        assert (one.quantiles >= maps.min(0) - 1e-12).all() and (one.quantiles <= maps.max(0) + 1e-12).all()
    assert any(not np.array_equal(a.quantiles, b.quantiles) for a, b in zip(some, other, strict=True))


def test_unfinished_and_missing_images_do_not_count(network, folder, tmp_path):
    (folder / "odd/07.png").write_bytes(b"no picture")
    (folder / "odd/09.png").write_bytes(b"no picture")

    def stop(done, total):
        if done > 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explain_dataset(network, str(folder), tmp_path / "maps.zarr", SMALL, progress=stop)
    store = open_store(tmp_path / "maps.zarr")
    even, odd = statistics_of(store)
    assert (even.name, even.count, even.missing) == ("even", 10, 0)
    assert (odd.name, odd.count, odd.missing) == ("odd", 4, 2)  # 01, 03, 05 and 11 of the first block
    assert np.isfinite(odd.mean).all() and np.isfinite(odd.quantiles).all()


def test_nothing_to_sum_up(network, tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explain_dataset(network, DIGITS, tmp_path / "maps.zarr", SMALL, progress=stop)
    with pytest.raises(InputError, match=r"maps of 0 of 60 images, 0 missing has nothing to sum up yet"):
        statistics_of(open_store(tmp_path / "maps.zarr"))


def test_a_constant_map_is_like_no_other(tmp_path):
    import torch

    images = load_dataset("digits:test[:6]").images()
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)).eval()  # all maps are the same
    np.save(tmp_path / "images.npy", images.numpy())
    store = explain_dataset(net, str(tmp_path / "images.npy"), tmp_path / "maps.zarr", SMALL)
    (one,) = statistics_of(store)
    np.testing.assert_allclose(one.correlations, 1)
    torch.nn.init.constant_(net[1].weight, 1.0)
    flat = explain_dataset(net, str(tmp_path / "images.npy"), tmp_path / "flat.zarr", SMALL)
    (one,) = statistics_of(flat)
    assert np.isnan(one.correlations).all() and len(one.most_typical(3)) == 0
