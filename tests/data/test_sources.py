"""The identity of a data set; arrays that shrink while they are open."""

import numpy as np
import pytest
import torch
from PIL import Image

from imagrad.data.datasets import load_dataset
from imagrad.data.fitting import Fit
from imagrad.data.sources import Dataset, Source
from imagrad.errors import CorruptDataError


@pytest.fixture
def folder(tmp_path):
    for name in ("cat/a.png", "cat/b.png", "dog/c.png"):
        (tmp_path / "first" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(len(name)).integers(0, 256, (4, 5)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "first" / name)
    return tmp_path / "first"


def identity(text, **settings):
    return load_dataset(str(text), **settings).identity


def test_identity_does_not_depend_on_the_place(folder):
    before = identity(folder)
    assert len(before) == 64 and before == identity(folder)
    assert identity(folder.rename(folder.with_name("second"))) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "cat/a.png").unlink(),
        lambda folder: (folder / "cat/a.png").rename(folder / "cat/aa.png"),
        lambda folder: (folder / "cat").rename(folder / "cow"),
        lambda folder: (folder / "cat/a.png").rename(folder / "dog/a.png"),
        lambda folder: Image.fromarray(np.zeros((4, 5), np.uint8)).save(folder / "cat/a.png"),
        lambda folder: (folder / "cat/a.png").write_bytes(b"broken"),
    ],
    ids=["left out", "renamed", "label renamed", "relabelled", "other pixels", "broken"],
)
def test_identity_sees_what_changes_in_a_folder(folder, change):
    before = identity(folder)
    change(folder)
    assert identity(folder) != before


def test_identity_sees_selection_and_fit():
    texts = ["digits", "digits[:5]", "digits[5:10]", "digits[4::-1]", "digits:train[:5]"]
    found = [identity(text) for text in texts] + [identity("digits[:5]", fit=Fit(invert=True))]
    assert len(set(found)) == 6
    assert identity("digits:test[0:5]") == found[1]


def test_identity_tells_arrays_of_one_shape_apart(tmp_path):
    for k in range(2):
        np.save(tmp_path / f"{k}.npy", np.random.default_rng(k).random((50, 4, 4)))
    assert identity(tmp_path / "0.npy") != identity(tmp_path / "1.npy")


def test_identity_reads_few_images():
    seen = []

    def read(indices):
        seen.extend(indices.tolist())
        return np.zeros((len(indices), 1, 2, 2), np.uint8)

    dataset = Dataset("x", Source(10_000, read), np.arange(10_000))
    assert dataset.identity == dataset.identity
    assert len(seen) == 8 and (seen[0], seen[-1]) == (0, 9999)


def test_identity_of_a_file_that_vanished_is_another(folder):
    dataset, same = load_dataset(str(folder)), load_dataset(str(folder))
    before = same.identity
    (folder / "cat/b.png").unlink()
    assert dataset.identity != before


def test_array_file_that_has_become_shorter(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((50, 8, 8), np.uint8))
    dataset = load_dataset(str(tmp_path / "x.npy"))
    with (tmp_path / "x.npy").open("r+b") as file:
        file.truncate(500)
    with pytest.raises(CorruptDataError, match=r"x\.npy was 3328 bytes long when it was opened and is shorter now"):
        dataset.images(40, 41)


def test_array_file_cut_off_before(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((50, 8, 8), np.uint8))
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:500])
    with pytest.raises(CorruptDataError, match=r"cannot read .*x\.npy as a NumPy file"):
        load_dataset(str(tmp_path / "x.npy"))


def test_no_images_of_an_empty_range(folder):
    assert load_dataset(str(folder)).images(1, 1).shape == (0, 1, 4, 5)
    assert load_dataset("digits").images(1, 1).shape == (0, 1, 8, 8)


def test_a_shape_to_fit_to_is_known_without_reading(folder):
    (folder / "cat/a.png").unlink()
    dataset = load_dataset(str(folder), fit=Fit((1, 9, 9), "resize"))
    assert dataset.image_shape == (1, 9, 9)
    assert torch.equal(dataset.images(1, 2), dataset.images()[1:])


def test_images_that_are_fitted_are_read_one_by_one():
    """A thousand photographs at once are not held in memory for the thumbnails that they become."""
    asked = []

    def read(numbers):
        asked.append(len(numbers))
        return [np.full((1, 40 + k, 30), 255, np.uint8) for k in numbers]

    dataset = Dataset("photographs", Source(5, read), np.arange(5), Fit((1, 4, 4), "resize"))
    assert dataset.images().shape == (5, 1, 4, 4) and max(asked) == 1 and len(asked) == 5
