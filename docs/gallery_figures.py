"""How the gallery finds the figures of an example: they are made without pyplot, so looked for by name."""

import logging
import re
import warnings
from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

DOTS_PER_INCH = 130


def scrape_figures(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the figures that a block has made, and return the reST that shows them.

    A figure counts once: where it is first a value of a name of the example.
    """
    known: list[Figure] = block_vars.setdefault("figures_shown", [])
    paths: list[str] = []
    told: list[str] = []
    for value in block_vars["example_globals"].values():
        if isinstance(value, Figure) and not any(value is one for one in known):
            known.append(value)
            path = next(block_vars["image_path_iterator"])
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            value.savefig(path, dpi=DOTS_PER_INCH, facecolor="white")
            paths.append(path)
            told.append(text_for(value))
    return figure_rst(paths, gallery_conf["src_dir"], "; ".join(told))


def text_for(figure: Figure) -> str:
    """Say what a figure shows, to those who cannot see it: the words that are drawn in it, each once."""
    words = [
        re.sub(r"\s+", " ", re.sub(r"\$.*?\$", "", word.replace("-\n", "-"))).strip()  # formulas cannot be read out
        for axes in figure.axes
        for word in (
            *(axes.get_title(), axes.get_title("left"), axes.get_ylabel()),
            *(tick.get_text() for tick in axes.get_yticklabels()),
        )
    ]
    return "Figure: " + ", ".join(dict.fromkeys(word for word in words if re.search("[a-z]", word)))


def clean_start(gallery_conf: dict[str, Any], name: str) -> None:
    """Start each example with the same random numbers, one thread, and no window."""
    matplotlib.use("agg")
    warnings.filterwarnings("ignore", category=FutureWarning, module="copyreg")  # of torch.export about itself
    for name in ("torch.onnx", "onnx_ir", "onnxscript"):  # they note all that they do
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.manual_seed(0)
    torch.set_num_threads(1)
