"""The shift of codes and reconstructions: exact for a linear encoder."""

import numpy as np
import pytest
import torch

from imagrad.checks.label_free import label_free_curves
from imagrad.checks.material import Material
from imagrad.checks.rankings import ranking
from imagrad.data.datasets import load_dataset

PICTURE = np.random.default_rng(0).permutation(64).reshape(8, 8) / 64.0


@pytest.fixture(scope="module")
def matrix():
    return torch.randn(5, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def curves(matrix, decode=None, rankings=None):
    material = Material("digits", "none", lambda e, x, s: x, encoder=lambda x: x.flatten(1).double() @ matrix.T,
                        decode=decode)  # fmt: skip
    return label_free_curves(material, rankings or {"map": PICTURE}, (0.0, 10.0, 50.0, 100.0))


def test_a_linear_encoder(matrix):
    """The code moves by W (mean - x) over the removed pixels."""
    images = load_dataset("digits:test").images().flatten(1).double().numpy()
    w, order = matrix.numpy(), ranking(PICTURE, 0)
    found = curves(matrix)["code"]["map"]
    for side, chosen in (("most", order), ("least", order[::-1])):
        for position, count in enumerate((0, 6, 32, 64)):
            pixels = chosen[:count]
            moved = (images.mean(axis=0) - images)[:, pixels] @ w[:, pixels].T
            wanted = np.linalg.norm(moved, axis=1).mean() / np.linalg.norm(images @ w.T, axis=1).mean()
            assert found[side][position]["value"] == pytest.approx(wanted, rel=1e-5, abs=1e-12)  # float32 means


def test_all_pixels_are_the_same_pixels_from_both_sides(matrix):
    found = curves(matrix)["code"]["map"]
    assert found["most"][-1] == found["least"][-1] and found["most"][0]["value"] == 0


def test_a_pixel_that_is_constant_over_the_images_removes_nothing(matrix):
    images = load_dataset("digits:test").images()
    varies = images.double().var(dim=0)[0].numpy()
    constant = np.flatnonzero(varies.ravel() == 0)
    assert len(constant) > 0
    blind = matrix.clone()
    blind[:, constant] *= 1000
    found, other = (
        curves(matrix, rankings={"v": varies})["code"]["v"],
        curves(blind, rankings={"v": varies})["code"]["v"],
    )
    share = 100 * len(constant) / 64
    assert share > 0 and found["least"][0]["value"] == other["least"][0]["value"] == 0
    material = Material("digits", "none", lambda e, x, s: x, encoder=lambda x: x.flatten(1).double() @ blind.T)
    alone = label_free_curves(material, {"v": varies}, (share,))["code"]["v"]["least"][0]
    assert alone == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_the_reconstruction_is_measured_where_there_is_a_decoder(matrix):
    assert list(curves(matrix)) == ["code"]
    found = curves(matrix, decode=lambda codes: 3 * codes)
    assert list(found) == ["code", "reconstruction"]
    for code, reconstruction in zip(found["code"]["map"]["most"], found["reconstruction"]["map"]["most"], strict=True):
        assert code["value"] == pytest.approx(reconstruction["value"], rel=1e-12), "relative: a factor drops out"


def test_every_ranking_has_its_curves(matrix):
    found = curves(matrix, rankings={"a": PICTURE, "b": -PICTURE})["code"]
    assert found["a"]["most"][1]["value"] == pytest.approx(found["b"]["least"][1]["value"], rel=1e-12)
