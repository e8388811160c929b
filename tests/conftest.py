"""What all tests share: no network, MNIST where it is, a small trained network."""

import gc
import os
import socket
from functools import cache
from pathlib import Path

import pytest
import torch

from imagrad.data import mnist
from imagrad.data.datasets import load_dataset
from imagrad.models.autoencoders import NetworkConfig, build

os.environ.setdefault("KERAS_BACKEND", "torch")  # before anything imports Keras


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(items):
    """Leave tests that share what is made once a module to one process, or each process makes it."""
    for item in items:
        found = getattr(item, "_fixtureinfo", None)
        fixtures = [one for same in found.name2fixturedefs.values() for one in same] if found else []
        if any(one.scope == "module" for one in fixtures) and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))


def pytest_collection_finish():
    """Spare the garbage collector the million objects that imports have made; it would look at them in every round."""
    gc.collect()
    gc.freeze()


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


@cache
def shared_autoencoder():
    return build(NetworkConfig("dense", (1, 8, 8), (16,), 5), seed=3).eval().requires_grad_(False)


def everything_of(network):
    """What a test could have changed about a network: its parts, and a copy of its values."""
    modules = [(name, id(module), sorted(vars(module)), module.training) for name, module in network.named_modules()]
    hooks = [
        len(kept) for module in network.modules() for name, kept in vars(module).items() if name.endswith("_hooks")
    ]
    tensors = [(name, id(x), x.dtype, x.requires_grad, x.grad) for name, x in network.named_parameters()]
    return (modules, hooks, tensors), [x.detach().clone() for x in network.state_dict().values()]


@pytest.fixture
def autoencoder():
    """An untrained 64 - 16 - 5 network in float32, in eval mode; one for all tests, until one changes it."""
    network = shared_autoencoder()
    before, values = everything_of(network)
    yield network
    after, found = everything_of(network)
    if before != after or not all(map(torch.equal, values, found)):
        shared_autoencoder.cache_clear()


@pytest.fixture
def images():
    return torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
