"""Captum's habits, kept in: its warnings, the global random state that it draws from, and its errors."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import torch

_EXPECTED = (  # what it warns of whenever it is used as intended
    "Setting backward hooks on ReLU activations",
    "Setting forward, backward hooks and attributes on non-linear",
)


@contextmanager
def quiet() -> Generator[None]:
    """Silence the warnings that say only that a method is at work."""
    with warnings.catch_warnings():
        for message in _EXPECTED:
            warnings.filterwarnings("ignore", message=message)
        yield


@contextmanager
def seeded(seed: int, device: torch.device) -> Generator[None]:
    """Let what is drawn depend on the seed alone, and leave the global random states as they were."""
    state = np.random.get_state()  # noqa: NPY002  # Captum draws from numpy's global state
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002
