"""A data set into a store: images a second and peak memory, in one process and in two; and 1, 4, 16 times as many."""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for the workers

import torch
from harness import in_child, markdown, surroundings, version, write

from imagrad import runs
from imagrad.models.autoencoders import NetworkConfig, build
from imagrad.store import DataSource, StoreSettings, explain_dataset
from imagrad.store.running import Ways

RESULTS = Path(__file__).parent / "results"
CONV = NetworkConfig("conv", (1, 28, 28), (16, 32), 32)
TIMES = (1, 4, 16)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000, help="of MNIST, on the paper's encoder")
    parser.add_argument("--conv-images", type=int, default=1_000, help="of MNIST, on a convolutional encoder")
    parser.add_argument("--base", type=int, default=2_500, help="images that are taken 1, 4 and 16 times")
    parser.add_argument("--workers", type=int, default=2, help="processes, where there are several")
    options = parser.parse_args()
    packages = {name: version(name) for name in ("zarr", "distributed")}
    found: dict[str, Any] = {**surroundings(), **packages, **vars(options)}
    print(json.dumps(found, indent=1), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        conv = write_network(Path(folder) / "conv")
        found["ways"] = ways = [
            row(name, network, f"mnist:test[:{images}]", images, workers)
            for name, network, images in (("paper's", None, options.images), ("conv", conv, options.conv_images))
            for workers in (0, options.workers)
        ]
        print(f"\nA data set, in one process and in {options.workers}:\n\n{markdown(shown(ways))}", flush=True)
        sizes = [times * options.base for times in TIMES]
        found["sizes"] = grown = [row("paper's", None, f"mnist:train[:{size}]", size, 0) for size in sizes]
        print(f"\nMore images, in one process:\n\n{markdown(shown(grown))}", flush=True)
    print(f"\nwritten to {write(RESULTS, 'dataset', found)}", file=sys.stderr)


def write_network(path: Path) -> str:
    """Write a convolutional autoencoder as a run folder, so that workers can open it."""
    runs.create(path, {"command": "train", "network": CONV.as_dict()})
    facts = {"epochs": 1, "cause": runs.hash_cause(runs.read_config(path))}
    runs.write_tensors(path / runs.WEIGHTS, build(CONV, seed=0).state_dict(), facts)
    return str(path)


def row(name: str, network: str | None, selection: str, images: int, workers: int) -> dict[str, Any]:
    """Explain a data set in a fresh process."""
    return {"encoder": name, "images": images, "workers": workers, **in_child(measure, network, selection, workers)}


def measure(network: str | None, selection: str, workers: int) -> dict[str, Any]:
    """Explain a data set; return seconds, the rate once everything has started, and megabytes of memory and of disk."""
    torch.set_num_threads(1)
    at_rest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told: list[tuple[float, int]] = []
    folder = Path(tempfile.mkdtemp())
    begin = time.perf_counter()
    try:
        explain_dataset(
            network, DataSource(selection), folder / "maps.zarr", StoreSettings(), ways=Ways(workers=workers),
            progress=lambda done, total: told.append((time.perf_counter() - begin, done)),
        )  # fmt: skip
        seconds = time.perf_counter() - begin
        on_disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20
    finally:
        shutil.rmtree(folder)
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # the largest of them
    return {
        "seconds": seconds, "steady_rate": steady(told), "at_rest_megabytes": at_rest,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "worker_megabytes": worker if workers else None, "disk_megabytes": on_disk,
    }  # fmt: skip


def steady(told: list[tuple[float, int]]) -> float | None:
    """Return the images a second after the first that were done: opening and tracing the network are not in it."""
    begun = [entry for entry in told if entry[1]]
    (first, before), (last, after) = begun[0], begun[-1]
    return (after - before) / (last - first) if last > first else None


def shown(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Put what was measured into a table."""
    return [
        {
            "encoder": row["encoder"],
            "images": f"{row['images']:,}",
            "processes": str(row["workers"] or 1),
            "seconds": f"{row['seconds']:.1f}",
            "images/s": f"{row['images'] / row['seconds']:.0f}",
            "once started": "-" if row["steady_rate"] is None else f"{row['steady_rate']:.0f}",
            "peak MB": f"{row['peak_megabytes']:.0f}",
            "of a worker": "-" if row["worker_megabytes"] is None else f"{row['worker_megabytes']:.0f}",
            "MB on disk": f"{row['disk_megabytes']:.1f}",
        }
        for row in rows
    ]


if __name__ == "__main__":
    main()
