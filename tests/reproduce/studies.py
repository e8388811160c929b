"""Do the tiny study of a file in a folder, in a child that has imported all; run by test_study.py."""

from pathlib import Path

from tiny import tiny_preset

from forking import serve
from imagrad.reproduce.study import Study


def do(data, out, workers):
    Study(tiny_preset(data), Path(out), workers=workers).run()


LATE = ("imagrad.attribution.methods", "lightning_fabric", "sklearn.datasets", "torch._dynamo", "torch.export")


if __name__ == "__main__":  # not in the processes that the study begins itself
    serve(do, LATE)
