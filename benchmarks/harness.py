"""Timing competitors side by side, and their peak memory in a process of their own."""

from __future__ import annotations

import ctypes
import gc
import json
import multiprocessing
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import imagrad

Run = Callable[[], torch.Tensor]

TOLERANCE = 1e-10
"""How far, relative to the largest derivative, float64 results may be apart."""

_FEWEST, _MOST = 2, 40  # rounds
_WARM_CALLS, _WARM_SECONDS = 5, 1.0


@dataclass(frozen=True)
class Timing:
    """Processor seconds of one competitor over all rounds, and how they compare with the reference's."""

    best: float
    """The least: what it takes when nothing else runs."""
    median: float
    ratio: float
    """Its least over the reference's least."""
    median_ratio: float
    """Median over the rounds of its time over the reference's of the same round."""
    times: tuple[float, ...]
    """Of each round."""

    @property
    def rounds(self) -> int:
        """How many there were."""
        return len(self.times)


def median_of_ratios(times: Sequence[float], reference: Sequence[float]) -> float:
    """Return the median over the rounds of one time over the other of the same round."""
    return statistics.median(mine / its for mine, its in zip(times, reference, strict=False))


def attempt(run: Run) -> torch.Tensor | str:
    """Return what a competitor returns, or why it cannot."""
    try:
        return run().detach()
    except (NotImplementedError, RuntimeError, ImportError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:150]}"


def check_equal(results: Mapping[str, torch.Tensor], reference: str, tolerance: float = TOLERANCE) -> dict[str, float]:
    """Return how far each result is from the reference's, relative to the largest; raise when one is too far."""
    truth = results[reference].flatten()
    off = {name: float((result.flatten() - truth).abs().max() / truth.abs().max()) for name, result in results.items()}
    wrong = {name: far for name, far in off.items() if not far <= tolerance}
    if wrong:
        raise AssertionError(f"results must agree to {tolerance:g} before they are timed; these do not: {wrong}")
    return off


def interleaved(
    runs: Mapping[str, Run],
    reference: str,
    seconds: float,
    clock: Callable[[], float] = time.process_time,
    fewest: int = _FEWEST,
) -> dict[str, Timing]:
    """Time competitors in rounds, one call each a round, for about so many seconds each.

    The seconds are those of the processor, so that other work on the machine does not count: all run in one thread.
    Where they run in several, `clock` must be that of the wall.
    What slows the machine for a while slows all of a round, so that the ratios are steadier than the times. A
    competitor stops after its seconds, though not before `fewest` rounds.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    gc.collect()
    gc.disable()
    try:
        for _ in range(_MOST):
            for name, run in runs.items():
                if len(times[name]) < fewest or sum(times[name]) < seconds:
                    begin = clock()
                    run()
                    times[name].append(clock() - begin)
    finally:
        gc.enable()
    return {name: _timing(of_it, times[reference]) for name, of_it in times.items()}


def warm(run: Run) -> None:
    """Call five times, or for a second: imagrad remembers what it is asked for again and again."""
    begin = time.perf_counter()
    for _ in range(_WARM_CALLS):
        run()
        if time.perf_counter() - begin > _WARM_SECONDS:
            return


def _timing(times: list[float], reference: list[float]) -> Timing:
    return Timing(
        min(times), statistics.median(times), min(times) / min(reference), median_of_ratios(times, reference),
        tuple(times),
    )  # fmt: skip


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a module-level function returns in a fresh process, which sees nothing of what this one holds."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def peak_megabytes(run: Run) -> float | None:
    """Return by how many megabytes a call raises the process above what it holds at rest; None without Linux."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists():
        return None
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    reset.write_text("5")  # sets the peak back to what is held now
    before = _kilobytes(status, "VmRSS")
    run()
    return (_kilobytes(status, "VmHWM") - before) / 1024


def _kilobytes(status: Path, name: str) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(f"{name}:"))


def surroundings() -> dict[str, str]:
    """Return versions, which imagrad it was that was measured, and the machine."""
    names = ("imagrad", "torch", "numpy", "captum")
    found = {name: version(name) for name in names}
    threads = f"{torch.get_num_threads()} thread" + ("s" if torch.get_num_threads() > 1 else "")
    return {
        **found,
        "source": _source(),
        "python": platform.python_version(),
        "machine": f"{_processor()}, {threads}, no accelerator",
    }


def version(name: str) -> str:
    """Return a package's version, or that it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _source() -> str:
    """Name the commit of the imagrad that was imported: a changed copy must not pass for it."""
    folder = Path(imagrad.__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--exclude=*", "--dirty=, with changes"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "a copy outside any repository"
    return f"commit {found}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} cores of {names[0]}" if names else platform.machine()


def markdown(rows: list[dict[str, str]]) -> str:
    """Return a Markdown table with the keys of the first row as its heads."""
    heads = list(rows[0])
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row[head] for head in heads) + " |" for row in rows)])


def write(folder: Path, name: str, record: dict[str, Any]) -> Path:
    """Write a record as JSON; return where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path
