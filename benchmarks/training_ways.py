"""The paper's autoencoder trained by imagrad, by a plain torch loop, by Lightning's Trainer and by JAX."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from imagrad.models.autoencoders import Autoencoder, NetworkConfig, build
from imagrad.training.config import TrainingConfig
from imagrad.training.loop import Trainer, generator


@dataclass(frozen=True)
class Problem:
    """What all train on: images, and a config that they all follow."""

    images: torch.Tensor
    config: TrainingConfig

    @property
    def network(self) -> NetworkConfig:
        """The network of the config."""
        return NetworkConfig("dense", (1, 28, 28), self.config.hidden, self.config.latents, self.config.ending)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-len(self.images) // self.config.batch_size)

    def build(self) -> Autoencoder:
        """Build the network with its first weights."""
        return build(self.network, self.config.seed)

    def order(self, epoch: int) -> torch.Tensor:
        """Return the order of the images: everybody's is imagrad's."""
        return torch.randperm(len(self.images), generator=generator(self.config.seed, 0, epoch))

    def without_noise(self) -> Problem:
        """Return it without what every library draws in its own way."""
        return replace(self, config=replace(self.config, kappa=0.0))


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to."""

    loss: float
    """Mean over the steps."""
    seconds: float
    """Of the processor."""


Run = Callable[[int], Epoch]
"""Trains for the epoch of this number, and goes on from there at the next call."""

WAYS: dict[str, Callable[[Problem], Run]] = {}


def way(name: str) -> Callable[[Callable[[Problem], Run]], Callable[[Problem], Run]]:
    """List a way to train under its name."""
    return lambda prepare: WAYS.setdefault(name, prepare)


@way("plain loop")
def plain(problem: Problem) -> Run:
    """As one writes it with torch: Adam fused, images as vectors, a number read at the end of the epoch."""
    autoencoder = problem.build()
    network = torch.nn.Sequential(autoencoder.encoder, autoencoder.decoder)
    optimizer = torch.optim.Adam(network.parameters(), lr=problem.config.learning_rate, fused=True)
    images, kappa = problem.images.flatten(1), problem.config.corruption[1]

    def run(epoch: int) -> Epoch:
        begin, total = time.process_time(), torch.zeros(())
        noise = generator(problem.config.seed, 1, epoch)
        for batch in problem.order(epoch).split(problem.config.batch_size):
            clean = images[batch]
            corrupted = (clean + kappa * torch.randn(clean.shape, generator=noise)).clamp(0, 1)
            loss = binary_cross_entropy_with_logits(network(corrupted), clean)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
        return Epoch(float(total) / problem.steps, time.process_time() - begin)

    return run


@way("imagrad")
def imagrad_loop(problem: Problem) -> Run:
    """Our own loop, which looks at its loss every 50 steps."""
    trainer = Trainer(problem.build(), replace(problem.config, epochs=1))

    def run(epoch: int) -> Epoch:
        begin = time.process_time()
        loss, penalty = trainer._train_epoch(problem.images, epoch, lambda *told: None)
        return Epoch(loss + penalty, time.process_time() - begin)

    return run


_QUIET: dict[str, Any] = dict.fromkeys(
    ("logger", "enable_progress_bar", "enable_checkpointing", "enable_model_summary"), False
)


@way("Lightning Trainer")
def lightning_trainer(problem: Problem) -> Run:
    """Lightning's Trainer and a DataLoader; no logger, no bar, no checkpoints; only its epochs are timed."""
    from lightning.pytorch import LightningModule
    from lightning.pytorch import Trainer as LightningTrainer
    from torch.utils.data import DataLoader, TensorDataset

    kappa = problem.config.corruption[1]

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            autoencoder = problem.build()
            self.network = torch.nn.Sequential(autoencoder.encoder, autoencoder.decoder)
            self.adam = torch.optim.Adam(self.network.parameters(), lr=problem.config.learning_rate, fused=True)

        def configure_optimizers(self) -> Any:
            return self.adam

        def on_train_epoch_start(self) -> None:
            self.begin, self.total = time.process_time(), torch.zeros(())

        def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
            corrupted = (batch[0] + kappa * torch.randn(batch[0].shape)).clamp(0, 1)
            loss = binary_cross_entropy_with_logits(self.network(corrupted), batch[0])
            self.total += loss.detach()
            return loss

        def on_train_epoch_end(self) -> None:
            self.seconds = time.process_time() - self.begin

    module, data = Module(), TensorDataset(problem.images.flatten(1))

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    def run(epoch: int) -> Epoch:
        loader = DataLoader(data, problem.config.batch_size, sampler=problem.order(epoch).tolist())
        LightningTrainer(accelerator="cpu", devices=1, max_epochs=1, **_QUIET).fit(module, loader)
        return Epoch(float(module.total) / problem.steps, module.seconds)

    return run


@way("JAX, lax.scan")
def jax_scan(problem: Problem) -> Run:
    """One compiled scan over the steps of an epoch, Adam written out; a last, smaller batch is not its kind."""
    import jax
    from jax import numpy as jnp

    config, images = problem.config, jnp.asarray(problem.images.flatten(1).numpy())
    assert len(images) % config.batch_size == 0
    layers = [module for module in problem.build().modules() if isinstance(module, torch.nn.Linear)]
    weights = [(jnp.array(one.weight.detach().numpy().T), jnp.array(one.bias.detach().numpy())) for one in layers]

    def loss_of(weights: Any, corrupted: Any, clean: Any) -> Any:
        values = corrupted
        for index, (matrix, bias) in enumerate(weights):
            values = values @ matrix + bias
            values = jax.nn.relu(values) if index < len(weights) - 1 else values
        return (jnp.maximum(values, 0) - values * clean + jnp.log1p(jnp.exp(-jnp.abs(values)))).mean()

    def step(state: Any, batch: Any) -> Any:
        weights, first, second, count, key = state
        key, own = jax.random.split(key)
        clean = images[batch]
        corrupted = jnp.clip(clean + config.corruption[1] * jax.random.normal(own, clean.shape), 0, 1)
        loss, gradient = jax.value_and_grad(loss_of)(weights, corrupted, clean)
        return (*_adam(weights, gradient, first, second, count + 1, config.learning_rate), key), loss

    scan = jax.jit(lambda state, batches: jax.lax.scan(step, state, batches), donate_argnums=0)
    nothing = [jax.tree.map(jnp.zeros_like, weights) for _ in range(2)]
    state: Any = (weights, *nothing, jnp.zeros(()), jax.random.key(config.seed))

    def run(epoch: int) -> Epoch:
        nonlocal state
        begin = time.process_time()
        batches = jnp.asarray(problem.order(epoch).numpy()).reshape(-1, config.batch_size)
        state, losses = scan(state, batches)
        return Epoch(float(losses.mean()), time.process_time() - begin)

    return run


def _adam(weights: Any, gradient: Any, first: Any, second: Any, count: Any, rate: float) -> tuple[Any, ...]:
    """Take step number `count` of Adam in JAX; return weights, moments and number."""
    import jax

    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
    rate, scale = rate / (1 - 0.9**count), 1 / jax.numpy.sqrt(1 - 0.999**count)
    weights = jax.tree.map(lambda w, m, v: w - rate * m / (jax.numpy.sqrt(v) * scale + 1e-8), weights, first, second)
    return weights, first, second, count


def installed(problem: Problem) -> Iterator[tuple[str, Run | None]]:
    """Prepare each way; None where its library is not installed."""
    for name, prepare in WAYS.items():
        try:
            yield name, prepare(problem)
        except ImportError:
            yield name, None
