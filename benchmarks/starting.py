"""What one waits for: the import, the first map in a fresh process, the first of another network, one that is known."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from harness import surroundings, write

RESULTS = Path(__file__).parent / "results"

IMPORT = "import time; begin = time.perf_counter(); import imagrad; print([time.perf_counter() - begin])"
MAPS = """
import time, json
marks = [time.perf_counter()]
def mark(): marks.append(time.perf_counter())
import torch; mark()
import imagrad; from torch import nn
torch.manual_seed(0)
def net(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 32)).eval()
image, first, other = torch.rand(1, 1, 28, 28), net(), net()
imagrad.saliency(first, image); mark()
imagrad.saliency(other, image); mark()
for _ in range(6): imagrad.saliency(other, torch.rand(1, 1, 28, 28), certify="none")
mark()
imagrad.saliency(other, torch.rand(1, 1, 28, 28), certify="none"); mark()
imagrad.saliency(other, torch.rand(1, 1, 28, 28)); mark()
print(json.dumps([after - before for before, after in zip(marks, marks[1:])]))
"""
EXPORT = """
import gc, json, sys, time, torch
if sys.argv[1:] == ["off"]: gc.disable()
begin = time.perf_counter()
import torch.export._trace
print(json.dumps([time.perf_counter() - begin]))
"""
COMPILED = """
import json, time, torch, imagrad
from torch import nn
torch.manual_seed(0)
dense = [nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 32)]
layers = [nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU()]
layers += [nn.Flatten(), nn.Linear(3872, 32)]
def seconds(net, images):
    begin = time.perf_counter()
    imagrad.saliency(net, images, certify="none")
    return time.perf_counter() - begin
found = []
for net, count in ((dense, 500), (layers, 64)):
    net, images = nn.Sequential(*net).eval(), torch.rand(count, 1, 28, 28)
    seconds(net, images[:1])  # torch.export has started, and the network is known
    first, *others = (seconds(net, images) for _ in range(4))
    found.append(first - min(others))
print(json.dumps(found))
"""
FIRST = ("the first of many images, beyond a later one: dense", "the first of many images, beyond a later one: layers")
NAMES = ("import torch", "first map after it", "first map of another network", "", "a further map, no certificate",
         "a further map with its certificate")  # fmt: skip


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    imports = [_seconds(IMPORT)[0] for _ in range(options.repeats)]
    runs = [_seconds(MAPS) for _ in range(options.repeats)]
    medians = {"import imagrad": statistics.median(imports)}
    medians |= {name: statistics.median(run[k] for run in runs) for k, name in enumerate(NAMES) if name}
    for name, collection in (("what torch.export imports", "on"), ("... garbage collection put off", "off")):
        medians[name] = statistics.median(_seconds(EXPORT, collection)[0] for _ in range(options.repeats))
    compiled = [_seconds(COMPILED) for _ in range(options.repeats)]
    medians |= {name: statistics.median(run[k] for run in compiled) for k, name in enumerate(FIRST)}
    medians["a fresh process to its first map"] = statistics.median(run[0] + run[1] for run in runs)
    print(json.dumps({name: f"{1e3 * value:.1f} ms" for name, value in medians.items()}, indent=1))
    found = {**surroundings(), "repeats": options.repeats, "median seconds": medians}
    print(f"written to {write(RESULTS, 'starting', found)}", file=sys.stderr)


def _seconds(code: str, *arguments: str) -> list[float]:
    """Run code in a fresh process; return what it prints."""
    command = [sys.executable, "-c", code, *arguments]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
