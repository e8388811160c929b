"""What a step of training costs, beside a plain torch loop, Lightning and JAX; and an epoch of each variant."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"  # before jax is imported

import torch
from certificates import mnist_like
from harness import markdown, surroundings, version, write
from training_ways import Problem, Run, imagrad_loop, installed

from imagrad.training.config import TrainingConfig

RESULTS = Path(__file__).parent / "results"
REFERENCE = "plain loop"
TOLERANCE = 1e-4
"""How far the loss of the first epoch, without noise, may be from the plain loop's: float32, ordered otherwise."""

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "denoising": ("denoising", {}),
    "sparse": ("sparse", {}),
    "sparse-kl": ("sparse-kl", {}),
    "variational": ("variational", {}),
    "contractive, 4 probes": ("contractive", {"jacobian": "probes"}),
    "contractive, engine": ("contractive", {"jacobian": "engine"}),
    "contractive, closed form": ("contractive", {"jacobian": "closed"}),
    "denoising, one layer": ("denoising", {"hidden": ()}),
    "contractive, one layer, closed form": ("contractive", {"hidden": (), "jacobian": "closed"}),
}


def main() -> None:
    """Check, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="epochs of each way that are timed, in turns")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    versions = {name: version(name) for name in ("lightning-fabric", "lightning", "jax")}
    found: dict[str, Any] = {**surroundings(), **versions, "rounds": options.rounds}
    print(json.dumps(found, indent=1), flush=True)
    for batch, steps in ((25, 100), (256, 40)):
        found[f"batch {batch}"] = rows = steps_of(batch, steps, options.rounds)
        print(f"\nA step, batch {batch}:\n\n{markdown(rows)}", flush=True)
    found["variants"] = rows = variants(options.rounds)
    print(f"\nAn epoch of 60,000 images, batch 25:\n\n{markdown(rows)}")
    print(f"\nwritten to {write(RESULTS, 'training', found)}", file=sys.stderr)


def steps_of(batch: int, steps: int, rounds: int) -> list[dict[str, str]]:
    """Time a step of each way that is installed, once they are seen to do the same."""
    problem = Problem(mnist_like(batch * steps), TrainingConfig(data="random", batch_size=batch))
    off = differences(problem.without_noise())
    runs = dict(installed(problem))
    seconds = in_turns({name: run for name, run in runs.items() if run is not None}, rounds)
    return [
        row(name, seconds[name], seconds[REFERENCE], problem.steps, off[name])
        if name in seconds
        else {"way": name, "microseconds": "not installed", "least": "", "ratio": "", "loss off by": ""}
        for name in runs
    ]


def row(name: str, mine: list[float], reference: list[float], steps: int, off: float) -> dict[str, str]:
    """Put a way's seconds an epoch into a row of the table."""
    return {
        "way": name,
        "microseconds": f"{1e6 * statistics.median(mine) / steps:.0f}",
        "least": f"{1e6 * min(mine) / steps:.0f}",
        "ratio": f"{ratio(mine, reference):.2f}",
        "loss off by": f"{off:.0e}",
    }


def differences(problem: Problem) -> dict[str, float]:
    """Return how far each way's loss is from the reference's after an epoch; raise when one is too far."""
    losses = {name: run(1).loss for name, run in installed(problem) if run is not None}
    off = {name: abs(loss / losses[REFERENCE] - 1) for name, loss in losses.items()}
    wrong = {name: far for name, far in off.items() if not far <= TOLERANCE}
    if wrong:
        raise AssertionError(f"losses must agree to {TOLERANCE:g} before they are timed; these do not: {wrong}")
    return off


def in_turns(runs: Mapping[str, Run], rounds: int) -> dict[str, list[float]]:
    """Return the processor seconds of epochs, one of each way in every round, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(1, rounds + 2):
        for name, run in runs.items():
            seconds[name].append(run(number).seconds)
    return {name: of_it[1:] for name, of_it in seconds.items()}


def ratio(mine: list[float], reference: list[float]) -> float:
    """Return the median over the rounds."""
    return statistics.median(one / other for one, other in zip(mine, reference, strict=True))


def variants(rounds: int) -> list[dict[str, str]]:
    """Time imagrad's own variants; each against denoising with the same network."""
    images = mnist_like(500)
    runs = {
        name: imagrad_loop(Problem(images, TrainingConfig(data="random", variant=variant, **changes)))
        for name, (variant, changes) in VARIANTS.items()
    }
    seconds = in_turns(runs, rounds)
    return [
        {
            "variant": name,
            "seconds": f"{120 * statistics.median(times):.1f}",
            "ratio to denoising": f"{ratio(times, seconds[plainest(name)]):.2f}",
        }
        for name, times in seconds.items()
    ]


def plainest(name: str) -> str:
    """Name the denoising autoencoder of the same sizes."""
    return "denoising, one layer" if "one layer" in name else "denoising"


if __name__ == "__main__":
    main()
