"""Column norms of a ResNet-18 at 3 x 224 x 224 with 512 latents, in a process that may not exceed a limit."""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
from harness import in_child, surroundings, write
from networks import resnet18

from imagrad.complexstep import column_norms

RESULTS = Path(__file__).parent / "results"
GIGABYTE = 2**30


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=8, help="gigabytes of address space (default: 8)")
    parser.add_argument("--width", type=int, default=64, help="channels of the first stage (default: 64, ResNet-18)")
    parser.add_argument("--latents", type=int, default=512)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: all cores")
    options = parser.parse_args()
    found = in_child(measure, options.limit, options.width, options.latents, options.threads)
    found = {**surroundings(), **vars(options), **found}
    print(json.dumps(found, indent=1))
    print(f"written to {write(RESULTS, 'large', found)}", file=sys.stderr)


def measure(limit: float, width: int, latents: int, threads: int) -> dict[str, Any]:
    """Take the norms under the limit; check some of them against rows of jacrev's, taken one by one."""
    resource.setrlimit(resource.RLIMIT_AS, (int(limit * GIGABYTE),) * 2)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net, image = resnet18(width, latents).eval().requires_grad_(False), torch.rand(1, 3, 224, 224)
    begin, begin_processor = time.perf_counter(), time.process_time()
    norms = column_norms(net, image)
    seconds, processor_seconds = time.perf_counter() - begin, time.process_time() - begin_processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    begin = time.perf_counter()
    truth = squares(net, image, latents).sqrt()
    off = float((norms.values - truth).abs().max() / truth.max())
    if not off <= 1e-4:
        raise AssertionError(f"the norms must agree with a loop of gradients to 1e-4 in float32; they are {off:g} off")
    return {
        "features": image.numel(), "engine": norms.engine, "seconds": round(seconds, 1),
        "processor_seconds": round(processor_seconds, 1), "peak_megabytes": round(peak),
        "loop_seconds": round(time.perf_counter() - begin, 1), "worst_difference": off,
    }  # fmt: skip


def squares(net: torch.nn.Module, image: torch.Tensor, latents: int) -> torch.Tensor:
    """Return the sum over the latents of the squared gradients, by plain autograd, one latent after the other."""
    image = image.clone().requires_grad_()
    codes = net(image)[0]
    total = torch.zeros_like(image)
    for latent in range(latents):
        (row,) = torch.autograd.grad(codes[latent], image, retain_graph=True)
        total += row * row
    return total


if __name__ == "__main__":
    main()
