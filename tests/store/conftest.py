"""What the tests of the store share: an encoder, pictures, a finished store."""

import shutil

import numpy as np
import pytest
from PIL import Image

from imagrad.data.datasets import load_dataset
from imagrad.store import explain_dataset, open_store

from .small import DIGITS, SMALL, small_network, write_run


@pytest.fixture(scope="session")
def network():
    return small_network()


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    return str(write_run(tmp_path_factory.mktemp("runs") / "small"))


@pytest.fixture(scope="session")
def made_once(network, tmp_path_factory):
    return explain_dataset(network, DIGITS, tmp_path_factory.mktemp("store") / "undisturbed.zarr", SMALL)


@pytest.fixture
def undisturbed(made_once, tmp_path):
    """A finished store that a test may change."""
    return open_store(shutil.copytree(made_once.path, tmp_path / "undisturbed.zarr"))


@pytest.fixture
def folder(tmp_path):
    """Twenty pictures of digits, in a folder for each of two labels."""
    images = load_dataset("digits:test[:20]").images()
    for number, image in enumerate(images):
        path = tmp_path / "pictures" / ("even" if number % 2 == 0 else "odd") / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((255 * image[0].numpy()).round().astype(np.uint8)).save(path)
    return tmp_path / "pictures"
