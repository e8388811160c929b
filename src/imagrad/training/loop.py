"""The training loop: plain epochs on Lightning Fabric, noise and order keyed by (seed, epoch)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from lightning_fabric import Fabric

from imagrad.data.corruptions import CORRUPTIONS
from imagrad.errors import TrainingError
from imagrad.models.autoencoders import DenseAutoencoder
from imagrad.training.config import TrainingConfig
from imagrad.training.losses import VARIANTS, Loss, cross_entropy

Progress = Callable[[int, int, int, float], None]
"""Called now and then with (epoch, steps done in it, steps of an epoch, its mean loss so far)."""

_ORDER, _NOISE, _VALIDATION = range(3)  # what a generator is for: part of its key
_REPORT_EVERY = 50  # steps; reading the loss waits for the device
_EVALUATION_BATCH = 1000


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to; losses are mean binary cross-entropies of pixels."""

    number: int
    loss: float
    """Over the corrupted training images, while the weights were changing."""
    validation_loss: float
    """Over the corrupted validation images, after the epoch."""


@dataclass
class Trainer:
    """The state of a training: network, optimiser, and how many epochs they have seen."""

    autoencoder: DenseAutoencoder
    config: TrainingConfig
    device: str = "cpu"
    history: list[Epoch] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Put the network and its optimiser into Fabric's hands."""
        device = torch.device(self.device)
        self.fabric = Fabric(accelerator=device.type, devices=[device.index or 0] if device.type == "cuda" else 1)
        optimizer = torch.optim.Adam(
            self.autoencoder.parameters(), lr=self.config.learning_rate, betas=(0.9, 0.999), eps=1e-8, fused=True
        )  # Table 2
        self.model, self.optimizer = self.fabric.setup(self.autoencoder, optimizer)
        self.model.mark_forward_method("logits")

    def epochs(self, images: torch.Tensor, validation: torch.Tensor, progress: Progress) -> Iterator[Epoch]:
        """Train until `config.epochs` are done, yielding after each; the weights are then those of its end."""
        images, validation = images.to(self.fabric.device), validation.to(self.fabric.device)
        with threads(self.config.threads):
            while len(self.history) < self.config.epochs:
                number = len(self.history) + 1
                loss = self._train_epoch(images, number, progress)
                validation_loss = check_finite(self.evaluate(validation, self.config.kappa), number)
                self.history.append(Epoch(number, loss, validation_loss))
                yield self.history[-1]

    def _train_epoch(self, images: torch.Tensor, number: int, progress: Progress) -> float:
        """Go through the images once, in an order and with noise that (seed, epoch) decide; return the mean loss."""
        loss_of, corrupt = VARIANTS[self.config.variant], CORRUPTIONS[self.config.noise]
        order = torch.randperm(len(images), generator=generator(self.config.seed, _ORDER, number)).to(images.device)
        noise = generator(self.config.seed, _NOISE, number, images.device)
        batches = order.split(self.config.batch_size)
        total = torch.zeros((), dtype=torch.float64, device=images.device)
        seen = 0
        self.model.train()
        for step, batch in enumerate(batches, start=1):
            clean = images[batch]
            total += self._step(loss_of, corrupt(clean, self.config.kappa, noise), clean) * len(batch)
            seen += len(batch)
            if step % _REPORT_EVERY == 0 or step == len(batches):
                progress(number, step, len(batches), check_finite(float(total) / seen, number))
        return float(total) / seen

    def _step(self, loss_of: Loss, corrupted: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        """Take one step of Adam; return the loss before it."""
        loss = loss_of(self.model, corrupted, clean)  # type: ignore[arg-type]  # Fabric's wrapper acts as the network
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def evaluate(self, images: torch.Tensor, kappa: float) -> float:
        """Return the mean cross-entropy of reconstructing `images` from copies with noise of level `kappa`.

        The noise is the same at every call, so that epochs can be compared.
        """
        corrupt = CORRUPTIONS[self.config.noise]
        noise = generator(self.config.seed, _VALIDATION, 0, self.fabric.device)
        self.model.eval()
        total = 0.0
        for clean in images.to(self.fabric.device).split(_EVALUATION_BATCH):
            total += float(cross_entropy(self.model.logits(corrupt(clean, kappa, noise)), clean)) * len(clean)
        return total / len(images)


def check_finite(loss: float, epoch: int) -> float:
    """Return the loss; raise `TrainingError` when it is no finite number."""
    if not np.isfinite(loss):
        raise TrainingError(
            f"the loss must stay finite; it became {loss} in epoch {epoch}. What was saved before is untouched. "
            "A smaller `learning_rate` is the usual cure."
        )
    return loss


def generator(seed: int, purpose: int, epoch: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator that depends on its key alone, not on what was drawn before."""
    state = np.random.SeedSequence([seed, purpose, epoch]).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state >> np.uint64(1)))


@contextmanager
def threads(count: int) -> Generator[None]:
    """Compute with `count` CPU threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
