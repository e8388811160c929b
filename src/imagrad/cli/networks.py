"""What the commands share that look at a network: its argument, and images that it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli.conventions import add_data_dir_option, add_device_option, say

if TYPE_CHECKING:
    from imagrad.data.sources import Dataset

SHIPPED = "the network that ships with imagrad"


FEW = "digits:test[:8]"
"""What is looked at when no images are given; they are stretched to the network's size."""


def add_network_options(parser: ArgumentParser, *, needs_data: bool = True) -> None:
    """Add MODEL and --data with its options; where images need not be given, `FEW` are taken."""
    parser.add_argument("model", nargs="?", type=str | None, default=None, help=f"Run folder; default: {SHIPPED}.")
    text = "Images: mnist:test[:3], picture.png, a folder, images.npy, ..."
    if needs_data:
        parser.add_argument("--data", required=True, help=text)
    else:
        parser.add_argument("--data", type=str | None, default=None, help=f"{text} Default: {FEW}, resized.")
    parser.add_argument(
        "--fit", type=str | None, default=None, help="Bring images to the network's size: resize, pad or crop."
    )
    parser.add_argument("--invert", action="store_true", help="Turn dark on bright into bright on dark.")
    add_data_dir_option(parser)
    add_device_option(parser)


def open_images(options: Namespace, shape: tuple[int, int, int]) -> Dataset:
    """Open the images and see that the network takes them."""
    from imagrad.data.datasets import load_dataset
    from imagrad.data.fitting import FITS, Fit
    from imagrad.data.sources import shape_text
    from imagrad.errors import ImageError

    if options["fit"] is not None:
        FITS[options["fit"]]  # an unknown one is named before anything is read
    name, how = (options["data"], options["fit"]) if options["data"] is not None else (FEW, options["fit"] or "resize")
    fit = Fit(shape, how, options["invert"])
    dataset = load_dataset(name, data_dir=options["data_dir"], fit=fit)
    for note in dataset.source.notes:
        say(f"note: {note}")
    if dataset.image_shape != shape:
        raise ImageError(
            f"the network takes images that are {shape_text(shape)}; {dataset.name} is "
            f"{shape_text(dataset.image_shape)}. "
            "Give --fit resize (stretch), pad (keep proportions, fill the rest) or crop (keep proportions, cut the "
            "rest), each of which turns colour into grey where needed; and --invert if it is dark on bright: "
            "the digits of MNIST are bright on dark."
        )
    return dataset
