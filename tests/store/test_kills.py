"""kill -9 at random moments: the finished store is the undisturbed one, and nothing that was finished is done again."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from imagrad.store import open_store

from .small import files_of

KILLS = 20
LONGEST = 0.15  # seconds from the first block on: that of a few blocks


class Forking:
    """A process whose children explain, and are killed."""

    def __enter__(self):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        script = Path(__file__).with_name("forking.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout.readline() == "ready\n"
        return self

    def explain(self, path, seconds=None):
        """Return how a child ended: killed so many seconds after its first sign of work, or finished."""
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        line = self.process.stdout.readline()
        if seconds is not None:
            time.sleep(seconds)
            with suppress(ProcessLookupError):  # it has finished by then
                os.kill(child, signal.SIGKILL)
        while line.strip().isdigit():
            line = self.process.stdout.readline()
        return line.strip()

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def finished_blocks(path):
    return {entry.name: (entry.stat().st_ino, entry.stat().st_mtime_ns) for entry in (path / "record/c").glob("*[0-9]")}


@pytest.mark.slow
def test_killed_twenty_times(tmp_path):
    draw = random.Random(0)
    with Forking() as forking:
        assert forking.explain(tmp_path / "undisturbed.zarr") == "finished"
        expected, undisturbed = files_of(tmp_path / "undisturbed.zarr"), open_store(tmp_path / "undisturbed.zarr")
        path, number, kills = tmp_path / "0.zarr", 0, 0
        before = {}
        while kills < KILLS:
            ended = forking.explain(path, draw.uniform(0, LONGEST))
            now = finished_blocks(path)
            assert before.items() <= now.items(), "a block that was finished has been done again"
            if ended == "killed":
                kills, before = kills + 1, now
                check_half(path, undisturbed)
            if ended == "finished" or len(now) == undisturbed.job.blocks:
                number, before = number + 1, {}
                assert forking.explain(path) == "finished" and files_of(path) == expected
                path = tmp_path / f"{number}.zarr"
        assert forking.explain(path) == "finished" and files_of(path) == expected


def check_half(path, undisturbed):
    """What has a record is whole, whatever else is there."""
    half = open_store(path)
    for rows in half.blocks():
        np.testing.assert_array_equal(half.maps[rows], undisturbed.maps[rows])
        assert (half.status[rows] == 1).all()
