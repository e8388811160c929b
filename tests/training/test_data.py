"""Which images a training learns from, and which it is watched on."""

import numpy as np
import pytest

from imagrad.errors import InputError, SelectionError
from imagrad.training.config import TrainingConfig
from imagrad.training.data import load_training_data


def config(**changes):
    return TrainingConfig(**changes)


@pytest.mark.parametrize(
    ("text", "validation"),
    [
        ("digits", "digits:test"),
        ("digits:train/label=3[:20]", "digits:test/label=3"),
        ("digits[:50]", "digits:test"),
        ("digits:train[:200]", "digits:test"),
    ],
)
def test_validation_is_the_test_split_of_the_same_kind(text, validation):
    assert load_training_data(config(data=text)).validation_name == validation


def test_source_without_splits_keeps_every_tenth_image(tmp_path):
    values = np.arange(25, dtype=np.uint8)[:, None, None].repeat(3, 1).repeat(3, 2)
    np.save(tmp_path / "x.npy", values)
    data = load_training_data(config(data=str(tmp_path / "x.npy")))
    assert (data.validation[:, 0, 0, 0] * 255).round().tolist() == [9, 19]
    assert len(data.images) == 23


def test_named_validation(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 8, 8), np.uint8))
    data = load_training_data(config(data="digits", validation=str(tmp_path / "x.npy")))
    assert len(data.validation) == 3
    np.save(tmp_path / "y.npy", np.zeros((3, 9, 8), np.uint8))
    with pytest.raises(InputError, match="`validation` must have images of the same shape"):
        load_training_data(config(data="digits", validation=str(tmp_path / "y.npy")))


def test_single_image_cannot_be_split(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((1, 8, 8), np.uint8))
    with pytest.raises(SelectionError, match="at least 2 are needed"):
        load_training_data(config(data=str(tmp_path / "x.npy")))
