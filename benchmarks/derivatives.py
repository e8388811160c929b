"""Time and memory of each engine against jacrev, jacfwd, a loop of gradients and Captum: see docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from competitors import FORWARD, REFERENCE, SOME, WAYS, literal_of_some
from harness import attempt, check_equal, in_child, interleaved, markdown, peak_megabytes, surroundings, warm, write
from networks import NETWORKS, made

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("transpose", "jacrev", "loop", "Captum", "forward", "jacfwd", "complex")  # of the tables, in this order


def main() -> None:
    """Measure the networks asked for and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="networks whose name begins so")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each competitor and network (default: 3)")
    options = parser.parse_args()
    names = [name for name in NETWORKS if not options.only or name.startswith(tuple(options.only))]
    if not names:
        sys.exit(f"no network's name begins with {' or '.join(options.only)}; there are: {', '.join(NETWORKS)}")
    torch.set_num_threads(1)
    print(json.dumps(surroundings(), indent=1), flush=True)
    records: list[dict[str, Any]] = []
    for name in names:
        memory = in_child(measure_memory, name)
        records.append({**in_child(measure_time, name, options.seconds), "megabytes": memory})
        write(RESULTS, "derivatives", {"surroundings": surroundings(), "networks": records})
        print(f"{name}: results agree to {max(records[-1]['off'].values()):.1e}", file=sys.stderr, flush=True)
    print(f"\n{tables(records)}")
    print(f"\nwritten to {RESULTS}", file=sys.stderr)


def measure_time(name: str, seconds: float) -> dict[str, Any]:
    """Check that all competitors agree on a network, then time them."""
    net, point = prepared(name)
    runs = {way: partial(WAYS[way], net, point) for way in COLUMNS}
    results: dict[str, torch.Tensor] = {}
    first: dict[str, float] = {}
    refusals: dict[str, str] = {}
    for way, run in list(runs.items()):
        begin = time.perf_counter()
        found = attempt(run)
        if isinstance(found, str):
            refusals[way] = found
            del runs[way]
            continue
        first[way], results[way] = time.perf_counter() - begin, found
    off = check_equal(results, REFERENCE)
    some, factor = literal_of_some(net, point)
    columns = results[REFERENCE].view(-1, point.numel())[:, :SOME]
    off["literal"] = check_equal({"literal": some(), REFERENCE: columns}, REFERENCE)["literal"]
    for way, run in runs.items():
        if first[way] < 1 or way not in FORWARD:
            warm(run)
    backward = {way: run for way, run in runs.items() if way not in FORWARD}
    timings = interleaved({**backward, "pass": lambda: net(point)}, REFERENCE, seconds)
    rest = {way: run for way, run in runs.items() if way in FORWARD}
    timings |= interleaved({**rest, "literal": some}, "jacfwd" if "jacfwd" in rest else "forward", seconds)
    return {
        "name": name, "features": point.numel(), "latents": len(columns), "off": off, "first": first,
        "refusals": refusals, "literal_factor": factor, "times": {way: asdict(it) for way, it in timings.items()},
    }  # fmt: skip


def measure_memory(name: str) -> dict[str, float | None]:
    """Return by how many megabytes a call of each competitor raises the process at its peak."""
    net, point = prepared(name)
    found: dict[str, float | None] = {}
    for way in COLUMNS:
        run = partial(WAYS[way], net, point)
        begin = time.perf_counter()
        if isinstance(attempt(run), str):
            continue
        if time.perf_counter() - begin < 1 or way not in FORWARD:
            warm(run)
        found[way] = peak_megabytes(run)
    return found


def prepared(name: str) -> tuple[torch.nn.Module, torch.Tensor]:
    """Make a network and a point in a process that runs on one thread."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    return made(name)


def tables(records: list[dict[str, Any]]) -> str:
    """Return times, ratios and memory as Markdown."""
    return "\n\n".join(
        [
            "Milliseconds of a call, the least of all rounds (the paper's loop: seconds):",
            markdown([_times(record) for record in records]),
            "Ratios, and seconds of the first call:",
            markdown([_ratios(record) for record in records]),
            "Megabytes at the peak, above what is held at rest:",
            markdown([_megabytes(record) for record in records]),
            *(f"{record['name']}: {way}: {why}" for record in records for way, why in record["refusals"].items()),
        ]
    )


def _times(record: dict[str, Any]) -> dict[str, str]:
    times = record["times"]
    size = f"{record['name']} ({record['features']} -> {record['latents']})"
    cells = {way: _short(1e3 * times[way]["best"]) if way in times else "raises" for way in ("pass", *COLUMNS)}
    return {"network": size, **cells, "literal": f"{times['literal']['best'] * record['literal_factor']:.1f} s"}


def _ratios(record: dict[str, Any]) -> dict[str, str]:
    times = record["times"]
    forward = f"{times['forward']['ratio']:.2f}" if "jacfwd" in times else "jacfwd raises"
    against = {
        f"{way} / jacrev": f"{times[way]['ratio']:.2f}" for way in ("transpose", "loop", "Captum") if way in times
    }
    return {
        "network": record["name"], **against, "forward / jacfwd": forward,
        "first call, transpose": f"{record['first']['transpose']:.2f} s",
        "worst difference": f"{max(record['off'].values()):.0e}",
    }  # fmt: skip


def _megabytes(record: dict[str, Any]) -> dict[str, str]:
    found = record["megabytes"]
    cells = {
        way: "raises" if way not in found else "?" if found[way] is None else _short(found[way]) for way in COLUMNS
    }
    return {"network": record["name"], **cells}


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


if __name__ == "__main__":
    main()
