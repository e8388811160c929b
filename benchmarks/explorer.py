"""The explorer under load: many clients that draw at a time, and one; answers, latencies, and the server's memory.

With 50 clients for 30 seconds every answer must be right or one of the stated refusals (429, 503), and memory bounded.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

QUESTIONS = ("explain", "explain", "explain", "latent", "pixel", "corrupt", "change")


@dataclass
class Load:
    """What many clients saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Put it into numbers."""
        times = sorted(self.milliseconds) or [float("nan")]
        shares = {"median": 0.5, "p95": 0.95, "p99": 0.99}
        latency = {
            name: round(times[min(len(times) - 1, int(share * len(times)))], 1) for name, share in shares.items()
        }
        return {"statuses": dict(self.statuses), "milliseconds": latency, "failures": self.failures[:5]}


@contextmanager
def server(*options: str):
    """Start the explorer of the network that ships with imagrad; yield its address and process."""
    command = [sys.executable, "-m", "imagrad", "serve", "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        found = next(m for m in (re.search(r"http://[\d.]+:\d+", line) for line in process.stderr) if m)
        yield found[0], process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        process.stderr.close()


def megabytes(pid: int) -> float:
    """Return the resident memory of a process; NaN where the system does not say."""
    status = Path(f"/proc/{pid}/status")
    found = re.search(r"VmRSS:\s+(\d+)", status.read_text()) if status.exists() else None
    return round(int(found[1]) / 1024, 1) if found else float("nan")


def question(draw: random.Random, size: int) -> tuple[str, dict[str, Any]]:
    """Draw what a client asks, about an image that nobody asked about before."""
    name = draw.choice(QUESTIONS)
    body: dict[str, Any] = {"pixels": base64.b64encode(draw.randbytes(size)).decode()}
    more = {
        "explain": {"certify": draw.random() < 0.2},
        "latent": {"latent": 0},
        "pixel": {"row": 1, "column": 1},
        "corrupt": {"percentage": draw.randint(0, 50)},
        "change": {"level": 0.2},
    }
    return name, body | more[name]


async def draw_for(url: str, clients: int, seconds: float, size: int = 784) -> Load:
    """Let clients ask one question after the other; one that is refused waits as long as it is told."""
    load, end = Load(), time.monotonic() + seconds
    limits = httpx.Limits(max_connections=clients)

    async def one(number: int, client: httpx.AsyncClient) -> None:
        draw = random.Random(number)
        while time.monotonic() < end:
            name, body = question(draw, size)
            began = time.perf_counter()
            try:
                answer = await client.post(f"{url}/api/{name}", json=body)
            except httpx.HTTPError as error:
                load.failures.append(repr(error))
                continue
            load.statuses[answer.status_code] += 1
            if answer.status_code == 200:
                load.milliseconds.append(1000 * (time.perf_counter() - began))
            elif answer.status_code in (429, 503):
                await asyncio.sleep(float(answer.headers["retry-after"]))
            else:
                load.failures.append(f"{answer.status_code}: {answer.text[:200]}")

    async with httpx.AsyncClient(limits=limits, timeout=120) as client:
        await asyncio.gather(*(one(number, client) for number in range(clients)))
    return load


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    with server() as (url, pid):
        alone = asyncio.run(draw_for(url, 1, 5)).as_dict()
        before = megabytes(pid)
        crowd = asyncio.run(draw_for(url, options.clients, options.seconds)).as_dict()
        memory = {"before": before, "after": megabytes(pid)}
    print(json.dumps({"one client": alone, f"{options.clients} clients": crowd, "megabytes": memory}, indent=2))


if __name__ == "__main__":
    main()
