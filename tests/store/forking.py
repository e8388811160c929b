"""Explain into the store named on stdin, in a child that has all imported and traced already; run by test_kills.py."""

import os
import sys

from small import SMALL, small_network

from imagrad.attribution.saliency import saliency
from imagrad.data.datasets import load_dataset
from imagrad.store import explain_dataset


def main():
    network = small_network()
    saliency(network.encode, load_dataset("digits:test[:8]").images(), batch_size=8)  # traced once, for all children
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            print(os.getpid(), flush=True)
            explain_dataset(
                network, "digits:test", line.strip(), SMALL, progress=lambda done, total: print(done, flush=True)
            )
            os._exit(0)
        print("killed" if os.waitpid(child, 0)[1] else "finished", flush=True)


if __name__ == "__main__":
    main()
