"""What the commands share that look at a network: its argument, and images that it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli.conventions import add_data_dir_option, add_device_option, say
from imagrad.errors import DataError, DerivativeError, ImageError, InputError

if TYPE_CHECKING:
    import torch

    from imagrad.data.fitting import Fit
    from imagrad.data.sources import Dataset
    from imagrad.models.opening import Network, NetworkSource

SHIPPED = "the network that ships with imagrad"


_LOOKED_AT = 8  # images of the preflight

FEW = "digits:test[:8]"
"""What is looked at when no images are given; they are stretched to the network's size."""


def add_network_options(parser: ArgumentParser, *, needs_data: bool = True, default: str = FEW) -> None:
    """Add MODEL and --data with their options; where images need not be given, the `default` ones are taken."""
    add_model_options(parser)
    text = "Images: mnist:test[:3], picture.png, a folder, images.npy, *.parquet, images.zarr, ..."
    if needs_data:
        parser.add_argument("--data", required=True, help=text)
    else:
        parser.add_argument("--data", type=str | None, default=None, help=f"{text} Default: {default}, resized.")
    parser.add_argument(
        "--fit", type=str | None, default=None, help="Bring images to the network's size: resize, pad or crop."
    )
    parser.add_argument(
        "--shape", type=int, nargs=3, default=None, metavar=("CHANNELS", "HEIGHT", "WIDTH"),
        help="The network's size, for --fit, where its file does not say: 3 64 64.",
    )  # fmt: skip
    parser.add_argument("--invert", action="store_true", help="Turn dark on bright into bright on dark.")
    add_data_dir_option(parser)
    add_device_option(parser)


def add_model_options(parser: ArgumentParser) -> None:
    """Add MODEL, and how it is opened."""
    parser.add_argument(
        "model", nargs="?", type=str | None, default=None,
        help=f"Run folder, .onnx, .safetensors, .pt, ... (imagrad list formats); default: {SHIPPED}.",
    )  # fmt: skip
    parser.add_argument(
        "--latent", type=str | None, default=None,
        help="The inner tensor that is the code (imagrad layers); default: what the network returns.",
    )  # fmt: skip
    parser.add_argument(
        "--class", type=str | None, default=None,
        help='What the weights in MODEL belong to: "package.module:Encoder" (needs --trust).',
    )  # fmt: skip
    parser.add_argument("--trust", action="store_true", help="Let code run that comes with MODEL.")


def source_of(options: Namespace) -> NetworkSource:
    """Return which network is asked for."""
    from imagrad.models.opening import NetworkSource

    return NetworkSource(options["model"], options["latent"], options["class"], options["trust"])


def open_model(options: Namespace, device: str) -> Network:
    """Open the network that is asked for; say what a user should know of it."""
    from imagrad.models.opening import open_network

    network = open_network(source_of(options), device)
    for note in network.notes:
        say(f"note: {note}")
    return network


def fit_of(options: Namespace, shape: tuple[int, int, int] | None) -> Fit:
    """Return how images are brought to the network's `shape`; raise `InputError` where nobody says what that is."""
    from imagrad.data.fitting import FITS, Fit

    how = options["fit"] if options["data"] is not None else options["fit"] or "resize"
    asked = tuple(options["shape"]) if options["shape"] else None
    if shape is not None and asked is not None and asked != shape:
        raise InputError(f"`--shape` must be {shape}, which is what the network takes; got {asked}. Leave it out.")
    if how is not None and how in FITS and (shape or asked) is None:
        needed = "--data, or --shape" if options["data"] is None else "--shape"
        raise InputError(
            f"this network does not say what size of images it takes: give {needed} CHANNELS HEIGHT WIDTH, such as "
            "--shape 3 64 64, to bring images to it."
        )
    if how is not None:
        FITS[how]  # an unknown one is named before anything is read
    return Fit(shape or asked, how, options["invert"])


def open_images(options: Namespace, shape: tuple[int, int, int] | None) -> Dataset:
    """Open the images and see that the network takes them, as far as it says what it takes."""
    from imagrad.data.datasets import load_dataset
    from imagrad.data.sources import shape_text

    fit = fit_of(options, shape)
    dataset = load_dataset(options["data"] or FEW, data_dir=options["data_dir"], fit=fit)
    for note in dataset.source.notes:
        say(f"note: {note}")
    if fit.shape is not None and dataset.image_shape != fit.shape:
        raise ImageError(
            f"the network takes images that are {shape_text(fit.shape)}; {dataset.name} is "
            f"{shape_text(dataset.image_shape)}. "
            "Give --fit resize (stretch), pad (keep proportions, fill the rest) or crop (keep proportions, cut the "
            "rest), each of which turns colour into grey where needed; and --invert if it is dark on bright: "
            "the digits of MNIST are bright on dark."
        )
    return dataset


def look_first(network: Network, dataset: Dataset, device: str) -> None:
    """Look at a network that imagrad did not make; say what is found, raise `DerivativeError` where it is fatal."""
    if network.autoencoder is not None:
        return
    from imagrad.complexstep.preflight import preflight

    found = preflight(network.encode, _readable(dataset, _LOOKED_AT).to(device))
    if not found.passed:
        raise DerivativeError(str(found))
    for finding in found.findings:
        say(str(finding))


def _readable(dataset: Dataset, count: int) -> torch.Tensor:
    """Read the first images; where one of them cannot be read, those that can."""
    import torch

    try:
        return dataset.images(0, count)
    except (DataError, ImageError):
        found = list[torch.Tensor]()
        for k in range(min(count, len(dataset))):
            try:
                found.append(dataset.images(k, k + 1))
            except (DataError, ImageError):  # told, or raised, where the images are explained
                continue
        if not found:
            raise
        return torch.cat(found)
