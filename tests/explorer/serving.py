"""A server as a user starts it, in a process of its own."""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager


@contextmanager
def served(*options):
    """Start `imagrad serve`; yield its process and address; end it by Ctrl-C."""
    command = [sys.executable, "-m", "imagrad", "serve", *map(str, options), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ})
    lines = []
    try:
        for line in process.stderr:
            lines.append(line)
            found = re.search(r"the explorer is at (http://[\d.]+:\d+/)", line)
            if found:
                break
        else:
            raise AssertionError("".join(lines))
        yield process, found[1], lines
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(90)
        finally:
            process.kill()
            process.stderr.close()
            process.stdout.close()
