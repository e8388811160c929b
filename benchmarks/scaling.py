"""How the time of maps grows with the images, the pixels, the latents and the depth, and with threads."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from harness import in_child, markdown, surroundings, write
from torch import nn

import imagrad

RESULTS = Path(__file__).parent / "results"
BASE = {"images": 2000, "pixels": 784, "latents": 32, "depth": 1}
GROWN = {
    "images": (1000, 2000, 4000, 8000, 16000),
    "pixels": (392, 784, 1568, 3136, 6272),
    "latents": (16, 32, 64, 128, 256),
    "depth": (1, 2, 4, 8, 16),
}
_HIDDEN = 128
_CALLS = 5


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=(1, 2))
    options = parser.parse_args()
    rows = [{"grows": what, **in_child(grown, what, tuple(options.threads))} for what in GROWN]
    found = {**surroundings(), "base": BASE, "rows": rows}
    print(json.dumps(surroundings(), indent=1))
    print("\n" + markdown([shown(row, options.threads) for row in rows]))
    print(f"\nwritten to {write(RESULTS, 'scaling', found)}", file=sys.stderr)


def grown(what: str, threads: tuple[int, ...]) -> dict[str, Any]:
    """Return the seconds for each size of one thing, all others held, and the exponent that fits them."""
    warnings.simplefilter("ignore")
    found: dict[str, Any] = {"sizes": GROWN[what]}
    for count in threads:
        torch.set_num_threads(count)
        times = [seconds(**{**BASE, what: size}) for size in GROWN[what]]
        found[f"seconds, {count}"] = times
        found[f"exponent, {count}"] = statistics.linear_regression(
            [math.log(size) for size in GROWN[what]], [math.log(each) for each in times]
        ).slope
    return found


def seconds(images: int, pixels: int, latents: int, depth: int) -> float:
    """Return the median of some calls, after one that traces."""
    torch.manual_seed(0)
    sizes = [pixels, *[_HIDDEN] * depth]
    layers = [layer for size in pairwise(sizes) for layer in (nn.Linear(*size), nn.ReLU())]
    net = nn.Sequential(*layers, nn.Linear(_HIDDEN, latents)).eval().requires_grad_(False)
    points = torch.rand(images, pixels)
    times: list[float] = []
    for _ in range(1 + _CALLS):
        begin = time.perf_counter()
        imagrad.saliency(net, points)
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def shown(row: dict[str, Any], threads: tuple[int, ...]) -> dict[str, str]:
    """Return a row of the table."""
    cells = {"grows": row["grows"], "sizes": f"{row['sizes'][0]} to {row['sizes'][-1]}"}
    for count in threads:
        times, name = row[f"seconds, {count}"], f"{count} thread" + ("s" if count > 1 else "")
        cells[f"seconds, {name}"] = f"{times[0]:.2f} to {times[-1]:.2f}"
        cells[f"exponent, {name}"] = f"{row[f'exponent, {count}']:.2f}"
    return cells


if __name__ == "__main__":
    main()
