"""What a certificate costs: saliency maps with and without one, of many images, and of one."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from harness import interleaved, surroundings, warm, write
from networks import conv

import imagrad

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000, help="for the shipped network; the other gets a tenth")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    found: dict[str, Any] = {**surroundings(), **vars(options)}
    images = mnist_like(options.images)
    shipped = imagrad.load().encode
    torch.manual_seed(0)
    other = conv().eval().requires_grad_(False)
    tenth = images[: max(64, len(images) // 10)]
    for name, encoder, some in (("shipped, 784-128-32", shipped, images), ("conv, batch norm, max pool", other, tenth)):
        found[name] = {"images": len(some), **many(encoder, some, options.repeats)}
        print(f"{name}: {found[name]}", flush=True)
    found["one image, shipped"] = one(shipped, images[:1])
    print(json.dumps(found, indent=1))
    print(f"written to {write(RESULTS, 'certificates', found)}", file=sys.stderr)


def mnist_like(count: int) -> torch.Tensor:
    """Return images with as many black pixels as MNIST's: (count, 1, 28, 28), float32."""
    generator = torch.Generator().manual_seed(0)
    ink = torch.rand(count, 1, 28, 28, generator=generator) < 0.19
    return ink * torch.rand(count, 1, 28, 28, generator=generator)


def many(encoder: Any, images: torch.Tensor, repeats: int) -> dict[str, Any]:
    """Time maps of all images with and without a certificate, in turns, in seconds of the processor."""
    seconds: dict[str, list[float]] = {"sample": [], "none": []}
    maps = {how: imagrad.saliency(encoder, images[:64], certify=how).maps for how in seconds}
    if not torch.equal(maps["sample"], maps["none"]):
        raise AssertionError("a certificate must not change the maps")
    for _ in range(repeats):
        for how, times in seconds.items():
            begin = time.process_time()
            imagrad.saliency(encoder, images, certify=how)
            times.append(time.process_time() - begin)
    overheads = [100 * (a / b - 1) for a, b in zip(seconds["sample"], seconds["none"], strict=True)]
    return {
        **{f"seconds, {how}": round(min(times), 2) for how, times in seconds.items()},
        "overhead of the least, percent": round(100 * (min(seconds["sample"]) / min(seconds["none"]) - 1), 2),
        "median overhead, percent": round(statistics.median(overheads), 2),
    }


def one(encoder: Any, image: torch.Tensor) -> dict[str, float]:
    """Time the map of one image, warm, with and without a certificate."""
    runs = {
        "none": lambda: imagrad.saliency(encoder, image, certify="none").maps,
        "sample": lambda: imagrad.saliency(encoder, image, certify="sample").maps,
    }
    for run in runs.values():
        warm(run)
    timings = interleaved(runs, "none", 2.0)
    milliseconds = {f"milliseconds, {how}": round(1e3 * timing.best, 2) for how, timing in timings.items()}
    return {**milliseconds, "extra": round(1e3 * (timings["sample"].best - timings["none"].best), 2)}


if __name__ == "__main__":
    main()
