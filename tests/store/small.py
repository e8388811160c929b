"""A small encoder, a few digits, and what a store holds on disk."""

from imagrad import runs
from imagrad.models.autoencoders import NetworkConfig, build
from imagrad.models.opening import Network
from imagrad.store import DataSource, StoreSettings

CONFIG = NetworkConfig("dense", (1, 8, 8), (16,), 5)
SMALL = StoreSettings(batch_size=8, block_size=16)
DIGITS = DataSource("digits:test[:60]")


def small_network():
    """A 64 - 16 - 5 network that is in this process."""
    autoencoder = build(CONFIG, seed=3).eval().requires_grad_(False)
    return Network("64-16-5", autoencoder.encode, runs.hash_tensors(autoencoder.state_dict()), (1, 8, 8))


def write_run(path):
    """The same network in a run folder, for other processes to open."""
    runs.create(path, {"command": "train", "network": CONFIG.as_dict()})
    cause = runs.hash_cause(runs.read_config(path))
    runs.write_tensors(path / runs.WEIGHTS, build(CONFIG, seed=3).state_dict(), {"epochs": 1, "cause": cause})
    return path


def files_of(path):
    """Every file below a folder, with its bytes."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
