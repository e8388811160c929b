"""What all tests share: no network, MNIST where it is, a small trained network."""

import os
import socket
from pathlib import Path

import pytest
import torch

from imagrad.data import mnist
from imagrad.data.datasets import load_dataset
from imagrad.models.autoencoders import NetworkConfig, build

os.environ.setdefault("KERAS_BACKEND", "torch")  # before anything imports Keras


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Refuse every connection that leaves this machine."""
    connect = socket.socket.connect

    def local_only(self, address):
        host = address[0] if isinstance(address, tuple) else "local"
        if host not in ("local", "127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture(scope="session")
def mnist_folder():
    """The folder named by $IMAGRAD_DATA that holds MNIST; without one the test is skipped, which CI does not allow."""
    named = os.environ.get(mnist.DATA_VARIABLE)
    if named and any(Path(named).rglob("t10k-images-idx3-ubyte*")):
        return Path(named)
    message = f"MNIST not found: ${mnist.DATA_VARIABLE} is {named!r}"
    if os.environ.get("IMAGRAD_REQUIRE_MNIST"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def mnist_images(mnist_folder):
    """The first 100 test images of MNIST."""
    return load_dataset("mnist:test[:100]", data_dir=str(mnist_folder)).images()


@pytest.fixture(scope="session")
def digits():
    """The 360 embedded test digits."""
    return load_dataset("digits:test")


@pytest.fixture
def autoencoder():
    """An untrained 64 - 16 - 5 network in float32, in eval mode."""
    return build(NetworkConfig("dense", (1, 8, 8), (16,), 5), seed=3).eval().requires_grad_(False)


@pytest.fixture
def images():
    return torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
