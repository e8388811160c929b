"""Run `imagrad` with the arguments asked for, in a child that has imported all; run by test_run.py."""

from forking import serve
from imagrad.cli.main import main

LATE = ("imagrad.training.run", "lightning_fabric", "sklearn.datasets", "torch._dynamo")

if __name__ == "__main__":
    serve(lambda *arguments: main(arguments), LATE)
