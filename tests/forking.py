"""Work that begins at once: children of one process that has imported torch already.

A test makes a `Forking` of a script that hands what it does to `serve`; each request is done by a child of the script.
"""

import json
import os
import signal
import subprocess
import sys
import traceback
from importlib import import_module
from pathlib import Path


class Forking:
    """A script that serves, and the child that it has at work."""

    def __init__(self, script, *arguments):
        self.command = [sys.executable, str(script), *map(str, arguments)]

    def __enter__(self):
        path = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(path)},
        )  # fmt: skip
        assert self.process.stdout.readline() == "ready\n"
        return self

    def begin(self, *request):
        """Let a child do what is asked for; return its process id, which is its own until `wait`."""
        return self._ask(request)

    def has_ended(self):
        return self._ask("has ended")

    def wait(self):
        """Return the exit code of the child: 0, or minus the signal that ended it."""
        return self._ask("wait")

    def do(self, *request):
        """Return the exit code of a child that nobody disturbs."""
        self.begin(*request)
        return self.wait()

    def _ask(self, what):
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def serve(do, late):
    """Do what each line of standard input asks for in a child; what it prints goes to standard error.

    The modules of `late` are imported once, for all children. A child that nobody has waited for is killed at the end.
    Only what is safe to fork may have happened before: no thread begun and nothing differentiated.
    """
    for module in late:
        import_module(module)
    print("ready", flush=True)
    child = 0
    for line in sys.stdin:
        request = json.loads(line)
        if request == "has ended":
            answer = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        elif request == "wait":
            answer, child = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0
        else:
            answer = child = os.fork()
            if not child:
                os.dup2(2, 1)
                os._exit(exit_code(do, request))
        print(json.dumps(answer), flush=True)
    if child:
        os.kill(child, signal.SIGKILL)


def exit_code(do, request):
    try:
        return do(*request) or 0
    except BaseException:
        traceback.print_exc()
        return 1
