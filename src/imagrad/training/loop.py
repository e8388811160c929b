"""The training loop: plain epochs on Lightning Fabric, noise and order keyed by (seed, epoch)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from imagrad.complexstep.threads import threads
from imagrad.data.corruptions import CORRUPTIONS
from imagrad.errors import TrainingError
from imagrad.models.autoencoders import Autoencoder
from imagrad.training.config import TrainingConfig
from imagrad.training.contraction import Contraction
from imagrad.training.distributed import make_fabric, share_of, summed
from imagrad.training.losses import RECONSTRUCTION, VARIANTS, Step

Progress = Callable[[int, int, int, float], None]
"""Called now and then with (epoch, steps done in it, steps of an epoch, its mean loss so far)."""

_ORDER, _NOISE, _VALIDATION, _FIGURES, _DRAWS = range(5)  # what a generator is for: part of its key
_REPORT_EVERY = 50  # steps; reading the loss waits for the device
_EVALUATION_BATCH = 1000


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to; losses are those of reconstruction, means over pixels and images."""

    number: int
    loss: float
    """Over the corrupted training images, while the weights were changing."""
    validation_loss: float
    """Over the corrupted validation images, after the epoch; of a variational one, by the mean code."""
    penalty: float = 0.0
    """The regulariser, lambda included, over the training images, while the weights were changing."""


@dataclass
class Trainer:
    """The state of a training: network, optimiser, and how many epochs they have seen."""

    autoencoder: Autoencoder
    config: TrainingConfig
    device: str = "cpu"
    history: list[Epoch] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Put the network and its optimiser into Fabric's hands."""
        self.fabric = make_fabric(self.device)
        optimizer = torch.optim.Adam(
            self.autoencoder.parameters(), lr=self.config.learning_rate, betas=(0.9, 0.999), eps=1e-8, fused=True
        )  # Table 2
        self.model, self.optimizer = self.fabric.setup(self.autoencoder, optimizer)
        self.weights = list(self.autoencoder.parameters())
        for way in ("logits", "code_and_logits", "drawn"):  # into the network, for a loss
            self.model.mark_forward_method(way)
        self.contraction = Contraction(self.autoencoder, self.config.jacobian, self.config.probes)

    def epochs(self, images: torch.Tensor, validation: torch.Tensor, progress: Progress) -> Iterator[Epoch]:
        """Train until `config.epochs` are done, yielding after each; the weights are then those of its end."""
        images, validation = images.to(self.fabric.device), validation.to(self.fabric.device)
        with threads(self.config.threads):
            while len(self.history) < self.config.epochs:
                number = len(self.history) + 1
                loss, penalty = self._train_epoch(images, number, progress)
                validation_loss = check_finite(self.evaluate(validation, self.config.corruption[1]), number)
                self.history.append(Epoch(number, loss, validation_loss, penalty))
                yield self.history[-1]

    def _train_epoch(self, images: torch.Tensor, number: int, progress: Progress) -> tuple[float, float]:
        """Go through the images once, in an order and with noise that (seed, epoch) decide; return the mean terms."""
        loss_of, (noise_name, kappa) = VARIANTS[self.config.variant], self.config.corruption
        order = torch.randperm(len(images), generator=generator(self.config.seed, _ORDER, number)).to(images.device)
        noise, draws = (generator(self.config.seed, what, number, images.device) for what in (_NOISE, _DRAWS))
        batches = order.split(self.config.batch_size)
        sums = torch.zeros(len(batches), 2, dtype=torch.float64, device=images.device)  # reconstruction, penalty
        nothing, seen = images.new_zeros(()), 0
        waiting: list[torch.Tensor] = []  # written into `sums` in bundles: one by one they are 1 % of a step
        counts: list[int] = []
        self.model.train()
        for step, batch in enumerate(batches, start=1):
            share = share_of(len(batch), self.fabric.global_rank, self.fabric.world_size)
            whole = images.index_select(0, batch)
            corrupted, clean = share.of(CORRUPTIONS[noise_name](whole, kappa, noise)), share.of(whole)
            terms = loss_of(Step(self.model, corrupted, clean, self.config, self.contraction, draws, share))  # type: ignore[arg-type]  # Fabric's wrapper acts as the network
            self._descend(share.weighted(terms.total))
            waiting += [terms.reconstruction.detach(), nothing if terms.penalty is None else terms.penalty.detach()]
            counts.append(share.count)
            seen += len(batch)
            if step % _REPORT_EVERY == 0 or step == len(batches):
                sums[step - len(counts) : step] = torch.stack(waiting).view(-1, 2) * order.new_tensor(counts)[:, None]
                waiting, counts = [], []
                progress(number, step, len(batches), float(_all_finite(summed(self.fabric, sums), number).sum() / seen))
        reconstruction, penalty = (summed(self.fabric, sums).sum(dim=0) / seen).tolist()
        return reconstruction, penalty

    def _descend(self, loss: torch.Tensor) -> None:
        """Take one step of Adam."""
        for weights in self.weights:
            weights.grad = None  # as zero_grad does, which costs a small network 1 % of its step
        self.fabric.backward(loss)
        self.optimizer.step()

    @torch.no_grad()
    def evaluate(self, images: torch.Tensor, kappa: float) -> float:
        """Return the mean loss of reconstructing `images` from copies with noise of level `kappa`.

        The noise is the same at every call, so that epochs can be compared.
        """
        corrupt, loss_of = CORRUPTIONS[self.config.corruption[0]], RECONSTRUCTION[self.config.reconstruction]
        noise = generator(self.config.seed, _VALIDATION, 0, self.fabric.device)
        self.model.eval()
        total = 0.0
        for clean in images.to(self.fabric.device).split(_EVALUATION_BATCH):
            total += float(loss_of(self.model.logits(corrupt(clean, kappa, noise)), clean)) * len(clean)
        return total / len(images)


def _all_finite(sums: torch.Tensor, epoch: int) -> torch.Tensor:
    """Return the losses of an epoch's steps, (steps, terms); raise `TrainingError`, naming the step, if one fails."""
    failed = (~torch.isfinite(sums)).any(dim=1).nonzero()
    if len(failed):
        step = int(failed[0])
        check_finite(float(sums[step].sum()), epoch, f"at step {step + 1} of epoch {epoch}")
    return sums


def check_finite(loss: float, epoch: int, where: str | None = None) -> float:
    """Return the loss; raise `TrainingError` when it is no finite number."""
    if not np.isfinite(loss):
        raise TrainingError(
            f"the loss must stay finite; it became {loss} {where or f'in epoch {epoch}'}. What was saved before is "
            "untouched. A smaller `learning_rate` is the usual cure."
        )
    return loss


def generator(seed: int, purpose: int, epoch: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator that depends on its key alone, not on what was drawn before."""
    state = np.random.SeedSequence([seed, purpose, epoch]).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state >> np.uint64(1)))
