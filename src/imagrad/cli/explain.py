"""`imagrad explain`: saliency maps of images, for the network of a run folder or the one that ships with imagrad."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli.conventions import (
    Command,
    add_data_dir_option,
    add_device_option,
    choose_folder,
    counted,
    resolve_device,
    say,
)

if TYPE_CHECKING:
    from tqdm import tqdm

    from imagrad.attribution.results import SaliencyResult
    from imagrad.data.sources import Dataset
    from imagrad.models.autoencoders import DenseAutoencoder

_LISTED = 12
_SHIPPED = "the network that ships with imagrad"


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", type=str | None, default=None, help=f"Run folder; default: {_SHIPPED}.")
    parser.add_argument("--data", required=True, help="Images: mnist:test[:3], picture.png, a folder, images.npy, ...")
    parser.add_argument(
        "--fit", type=str | None, default=None, help="Bring images to the network's size: resize, pad or crop."
    )
    parser.add_argument("--invert", action="store_true", help="Turn dark on bright into bright on dark.")
    parser.add_argument("--norm", default="l2", help="Over the latents: l2 (Eq. 12), l1 or max.")
    parser.add_argument("--latents", type=int, nargs="+", default=None, help="Only these latents, such as 0 5.")
    parser.add_argument("--kinks", default="ad", help='Where there is no derivative: "ad" as autograd, or "raise".')
    parser.add_argument("--seed", type=int, default=0, help="Of what is sampled; the maps themselves draw nothing.")
    parser.add_argument(
        "--out", type=str | None, default=None, help="Run folder to make; default: runs/explain-001, ..."
    )
    add_data_dir_option(parser)
    add_device_option(parser)


def _run(options: Namespace) -> dict[str, Any]:
    from imagrad import runs
    from imagrad.figures import MOST_MAPS
    from imagrad.models.saved import DEFAULT, load

    device = resolve_device(options["device"])
    autoencoder = load(options["model"], device)
    dataset = _open(options, autoencoder.config.image_shape)
    out = choose_folder(options["out"], "explain")
    runs.refuse_used(out)  # before the work, not after it
    result = _explain(options, autoencoder, dataset, device)
    runs.create(
        out,
        {
            "command": "explain",
            "model": {
                "path": str(options["model"] or DEFAULT.name),
                "sha256": runs.hash_tensors(autoencoder.state_dict()),
            },
            "data": {
                "selection": dataset.name,
                "images": len(dataset),
                "sha256": dataset.fingerprint_of(result.images),
            },
            "options": {name: options[name] for name in ("fit", "invert", "norm", "latents", "kinks", "seed")},
        },
    )
    result.save(out / "maps.safetensors")
    summary = summarise(result, dataset)
    runs.write_json(out / runs.METRICS, summary)
    figures = _draw(result, dataset, out)
    return {
        "out": str(out),
        "model": str(options["model"] or _SHIPPED),
        **summary,
        "drawn": min(MOST_MAPS, len(dataset)),
        "figures": figures,
    }


def _open(options: Namespace, shape: tuple[int, int, int]) -> Dataset:
    """Open the images and see that the network takes them."""
    from imagrad.data.datasets import load_dataset
    from imagrad.data.fitting import FITS, Fit
    from imagrad.data.sources import shape_text
    from imagrad.errors import ImageError

    if options["fit"] is not None:
        FITS[options["fit"]]  # an unknown one is named before anything is read
    fit = Fit(shape, options["fit"], options["invert"])
    dataset = load_dataset(options["data"], data_dir=options["data_dir"], fit=fit)
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


def _explain(options: Namespace, autoencoder: DenseAutoencoder, dataset: Dataset, device: str) -> SaliencyResult:
    from tqdm import tqdm

    from imagrad.attribution.saliency import saliency

    batches = (images.to(device) for images in dataset.batches())
    with tqdm(total=len(dataset), unit="image", disable=not sys.stderr.isatty()) as bar:
        return saliency(
            autoencoder.encode,
            batches,
            norm=options["norm"],
            latents=options["latents"],
            kinks=options["kinks"],
            seed=options["seed"],
            progress=lambda count: _advance(bar, count),
        )


def _advance(bar: tqdm[Any], count: int) -> None:
    bar.update(count)


def summarise(result: SaliencyResult, dataset: Dataset) -> dict[str, Any]:
    """Put a result into numbers: each image's largest value and where it is, and what was met on the way."""
    _, _, height, width = result.maps.shape
    images: list[dict[str, Any]] = []
    labels = [None] * len(dataset) if dataset.labels is None else [dataset.label_names[k] for k in dataset.labels]
    for name, label, saliency_map, codes in zip(dataset.names, labels, result.maps, result.codes, strict=True):
        position = int(saliency_map.argmax())
        images.append(
            {
                "image": name,
                "label": label,
                "largest": float(saliency_map.max()),
                "channel": position // (height * width),
                "row": position // width % height,
                "column": position % width,
                "mean": float(saliency_map.mean()),
                "active_latents": int((codes > 0).sum()),
            }
        )
    return {"engine": result.engine, "norm": result.norm, "step": result.step, "ties": result.ties, "images": images}


def _draw(result: SaliencyResult, dataset: Dataset, out: Path) -> list[str]:
    """Draw the first maps into figures/."""
    from dataclasses import replace

    from imagrad.figures import MOST_MAPS, draw, save_png_and_svg

    shown = replace(result, maps=result.maps[:MOST_MAPS], images=result.images[:MOST_MAPS])
    figure = draw(shown, titles=dataset.titles[:MOST_MAPS])
    return [str(path) for path in save_png_and_svg(figure, out / "figures", "saliency")]


def _describe(result: dict[str, Any]) -> str:
    images: list[dict[str, Any]] = result["images"]
    width = max(len("image"), *(len(image["image"]) for image in images[:_LISTED]))
    lines = [
        f"explained {counted(len(images), 'image')} with {result['model']}",
        f"{'image':{width}}   largest saliency   at row, column   mean saliency   active latents",
    ]
    for image in images[:_LISTED]:
        place = f"{image['row']}, {image['column']}"
        numbers = f"{image['mean']:13.4f}   {image['active_latents']:14d}"
        lines.append(f"{image['image']:>{width}}   {image['largest']:16.4f}   {place:>14}   {numbers}")
    if len(images) > _LISTED:
        lines.append(f"... and {len(images) - _LISTED} more in {result['out']}/metrics.json")
    for operation, count in result["ties"].items():
        lines.append(
            f"note: {operation} stood exactly at its kink {count} times; there the derivative is autograd's choice"
        )
    if len(images) > result["drawn"]:
        lines.append(
            f"note: the figure shows the first {result['drawn']} of {len(images)} maps; maps.safetensors has all"
        )
    return "\n".join([*lines, f"maps, numbers and figures: {result['out']}", *result["figures"]])


COMMAND = Command("Draw which pixels the code of each image depends on.", _add_arguments, _run, _describe)
