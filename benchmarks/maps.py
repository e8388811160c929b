"""Maps of column norms by imagrad and its peers, beside the floor of the arithmetic: see docs/performance.md."""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from harness import (
    Run,
    attempt,
    in_child,
    interleaved,
    markdown,
    median_of_ratios,
    peak_megabytes,
    surroundings,
    write,
)
from map_problems import PROBLEMS, Problem, synchronise
from map_ways import COMPETITORS, REFERENCE, Competitor

RESULTS = Path(__file__).parent / "results"
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}  # of the largest norm
_SHARE_OF_IMAGES = 0.95
_LONG = 10.0  # seconds: of what takes longer only the best size is called a second time


def main() -> None:
    """Measure what is asked for, print the tables, and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=tuple(PROBLEMS), default=tuple(PROBLEMS))
    parser.add_argument("--ways", nargs="+", choices=tuple(COMPETITORS), default=tuple(COMPETITORS))
    parser.add_argument("--images", type=int, default=0, help="default: 10,000 for the paper's network, else fewer")
    parser.add_argument("--seconds", type=float, default=6.0, help="for each competitor and problem (default: 6)")
    parser.add_argument("--threads", type=int, nargs="+", default=(1, 2))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    options = parser.parse_args()
    ways = (REFERENCE, *(way for way in options.ways if way != REFERENCE))
    records: list[dict[str, Any]] = []
    for threads in options.threads:
        for name in options.only:
            measured = in_child(
                measure, name, ways, options.images, options.seconds, threads, options.device, options.dtype
            )
            records.append(measured)  # written at once: what comes later may fail
            path = write(RESULTS, "maps", {**surroundings(), "records": records})
            tables = [f"{title(record)}\n\n{markdown(table(record))}" for record in records]
            path.with_suffix(".md").write_text("\n\n".join(tables) + "\n")
            print(f"\n{tables[-1]}", flush=True)
            if measured["refusals"]:
                print("\nNot measured: " + "; ".join(f"{way}: {why}" for way, why in measured["refusals"].items()))
    print(f"\nwritten to {RESULTS}", file=sys.stderr)


def measure(
    name: str, ways: Sequence[str], count: int, seconds: float, threads: int, device: str, dtype: str
) -> dict[str, Any]:  # fmt: skip
    """Check that all competitors agree on a problem, then time each with the size that suits it best."""
    warnings.simplefilter("ignore")
    if device == "cpu" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])  # for those that make threads of their own
    torch.set_num_threads(threads)
    problem = _moved(PROBLEMS[name](count), device, getattr(torch, dtype))
    best: dict[str, _Tried] = {}
    runs: dict[str, Run] = {}
    off: dict[str, float] = {}
    refusals: dict[str, str] = {}
    for way in ways:
        print(f"{name}, {threads}: {way}", file=sys.stderr, flush=True)
        entry = COMPETITORS[way]
        images = problem.images[: max(1, len(problem.images) // entry.cost)]
        found = _best_size(problem, entry, images)
        if isinstance(found, str):
            refusals[way] = found
            continue
        best[way], runs[way] = found, partial(_run, problem, entry, images, found.size)
        if not entry.is_other:
            truth = best[REFERENCE].maps[: len(images)]
            off[way] = _difference(way, found.maps, truth)
    floors: list[float] = []

    def measure_floor() -> torch.Tensor:
        floors.append(problem.floor())
        return torch.empty(0)

    quickest = sorted(runs, key=lambda way: best[way].seconds)  # side by side, as the machine's speed changes
    timings = interleaved(
        {"floor": measure_floor, **{way: runs[way] for way in quickest}}, REFERENCE, seconds, time.perf_counter, 1
    )
    timings.pop("floor")
    images_of = {way: len(one.maps) for way, one in best.items()}
    return {
        "problem": problem.name, "images": len(problem.images), "threads": threads, "dtype": dtype,
        "device": _device_name(device), "floor": 1e3 * statistics.median(floors), "refusals": refusals, "off": off,
        "sizes": {way: one.size for way, one in best.items()}, "timed_on": images_of,
        "milliseconds": {way: 1e3 * timing.median / images_of[way] for way, timing in timings.items()},
        "of_reference": {
            way: timing.median_ratio * images_of[REFERENCE] / images_of[way] for way, timing in timings.items()
        },
        "of_floor": {
            way: median_of_ratios(timing.times, floors) / images_of[way] for way, timing in timings.items()
        },
        "least": {way: 1e3 * timing.best / images_of[way] for way, timing in timings.items()},
        "rounds": {way: timing.rounds for way, timing in timings.items()},
        "megabytes": {way: one.megabytes for way, one in best.items()},
    }  # fmt: skip


def _difference(way: str, maps: torch.Tensor, truth: torch.Tensor) -> float:
    """Return how far maps are off, at most, where no image stands at a kink to within rounding; raise if too far.

    A batch of another size rounds otherwise, and of millions of ReLU units some then change sides: maps of up to one
    image in twenty may differ for that.
    """
    tolerance = TOLERANCE[truth.dtype]
    each = ((maps - truth).flatten(1).abs().amax(1) / truth.abs().max()).nan_to_num(torch.inf)
    rest = each.sort().values[: max(1, math.ceil(_SHARE_OF_IMAGES * len(each)))]
    if not rest[-1] <= tolerance:
        raise AssertionError(
            f"maps must agree to {tolerance:g} before they are timed; those of {way} are {rest[-1]:g} off"
        )
    return float(rest[-1])


def _run(problem: Problem, entry: Competitor, images: torch.Tensor, size: int) -> torch.Tensor:
    maps = entry.run(problem, images, size)
    synchronise(images.device)
    return maps


@dataclass(frozen=True)
class _Tried:
    """One call of a competitor."""

    size: int
    maps: torch.Tensor
    seconds: float
    megabytes: float | None


def _best_size(problem: Problem, entry: Competitor, images: torch.Tensor) -> _Tried | str:
    """Find which of its sizes a competitor is fastest with; return a second call with it, or why it cannot."""
    found: dict[int, _Tried] = {}
    called_once: set[int] = set()
    refusal = ""
    for size in entry.sizes:
        if size > 2 * len(images) and size != entry.sizes[-1] and entry.of_images:
            continue
        run = partial(_run, problem, entry, images, size)
        tried = _try(run, size)  # the first call compiles, traces, and touches new memory
        if isinstance(tried, _Tried) and tried.seconds > _LONG:
            called_once.add(size)
        elif isinstance(tried, _Tried):
            tried = _try(run, size)
        if isinstance(tried, str):
            refusal = tried
            continue
        found[size] = tried
        if tried.seconds > 2 * min(one.seconds for one in found.values()):
            break
    if not found:
        return refusal
    best = min(found.values(), key=lambda one: one.seconds)
    return _try(partial(_run, problem, entry, images, best.size), best.size) if best.size in called_once else best


def _try(run: Run, size: int) -> _Tried | str:
    """Call once."""
    kept: list[torch.Tensor | str] = []
    times: list[float] = []

    def call() -> torch.Tensor:
        begin = time.perf_counter()
        kept.append(attempt(run))
        times.append(time.perf_counter() - begin)
        return torch.empty(0)

    megabytes = peak_megabytes(call)
    (maps,) = kept
    return maps if isinstance(maps, str) else _Tried(size, maps, times[0], megabytes)


def _moved(problem: Problem, device: str, dtype: torch.dtype) -> Problem:
    """Bring a problem to a device and a type."""
    problem.net.to(device, dtype)
    return Problem(problem.name, problem.encoder, problem.net, problem.images.to(device, dtype))


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"


def title(record: dict[str, Any]) -> str:
    """Say what a table is about."""
    threads = f"{record['threads']} thread" + ("s" if record["threads"] > 1 else "")
    return f"**{record['problem']}**, {record['images']} images, {record['dtype']}, {record['device']}, {threads}"


def table(record: dict[str, Any]) -> list[dict[str, str]]:
    """Return a row for each competitor, and one for the floor; ratios are medians over the rounds."""
    rows: list[dict[str, str]] = []
    for way, took in sorted(record["milliseconds"].items(), key=lambda item: item[1]):
        size, most = record["sizes"][way], record["megabytes"][way]
        rows.append({
            "way": way + (f" ({COMPETITORS[way].is_other})" if COMPETITORS[way].is_other else ""),
            "size": str(size) if size else "", "ms an image": _short(took),
            "of imagrad's": f"{record['of_reference'][way]:.2f}", "of the floor": f"{record['of_floor'][way]:.2f}",
            "peak MB": "?" if most is None else f"{most:.0f}",
            "difference": f"{record['off'][way]:.0e}" if way in record["off"] else "",
        })  # fmt: skip
    floor = record["floor"]
    rows.append({**dict.fromkeys(rows[0], ""), "way": "floor", "ms an image": _short(floor),
                 "of imagrad's": f"{1 / record['of_floor'][REFERENCE]:.2f}", "of the floor": "1"})  # fmt: skip
    return rows


def _short(value: float) -> str:
    return f"{value:.4f}" if value < 0.1 else f"{value:.3f}" if value < 10 else f"{value:.0f}"


if __name__ == "__main__":
    main()
