"""`imagrad explain`: saliency maps of images, for the network of a run folder or the one that ships with imagrad."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli.conventions import Command, choose_folder, counted, resolve_device
from imagrad.cli.networks import SHIPPED, add_network_options, open_images

if TYPE_CHECKING:
    from tqdm import tqdm

    from imagrad.attribution.results import SaliencyResult
    from imagrad.data.sources import Dataset
    from imagrad.models.autoencoders import Autoencoder

_LISTED = 12
_AT_KINKS = {
    "ad": "autograd's choice",
    "right": "that to the right",
    "left": "that to the left",
    "mean": "the mean of both sides",
}
_RECORDED = ("fit", "invert", "norm", "latents", "engine", "kinks", "certify", "seed")


def _add_arguments(parser: ArgumentParser) -> None:
    add_network_options(parser)
    parser.add_argument("--norm", default="l2", help="Over the latents: l2 (Eq. 12), l1 or max.")
    parser.add_argument("--latents", type=int, nargs="+", default=None, help="Only these latents, such as 0 5.")
    parser.add_argument("--engine", default="auto", help="What computes: auto, forward, transpose or complex.")
    parser.add_argument("--kinks", default="ad", help="Where there is no derivative: ad, right, left, mean or raise.")
    parser.add_argument("--certify", default="sample", help="Recompute entries by other means: sample, full or none.")
    parser.add_argument("--seed", type=int, default=0, help="Of what the certificate samples; the maps draw nothing.")
    parser.add_argument(
        "--out", type=str | None, default=None, help="Run folder to make; default: runs/explain-001, ..."
    )


def _run(options: Namespace) -> dict[str, Any]:
    from imagrad import runs
    from imagrad.figures import MOST_MAPS
    from imagrad.models.saved import DEFAULT, load

    device = resolve_device(options["device"])
    autoencoder = load(options["model"], device)
    dataset = open_images(options, autoencoder.config.image_shape)
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
            "options": {name: options[name] for name in _RECORDED},
        },
    )
    result.save(out / "maps.safetensors")
    summary = summarise(result, dataset)
    runs.write_json(out / runs.METRICS, summary)
    figures = _draw(result, dataset, out)
    return {
        "out": str(out),
        "model": str(options["model"] or SHIPPED),
        **summary,
        "drawn": min(MOST_MAPS, len(dataset)),
        "figures": figures,
    }


def _explain(options: Namespace, autoencoder: Autoencoder, dataset: Dataset, device: str) -> SaliencyResult:
    from tqdm import tqdm

    from imagrad.attribution.saliency import saliency

    batches = (images.to(device) for images in dataset.batches())
    with tqdm(total=len(dataset), unit="image", disable=not sys.stderr.isatty()) as bar:
        return saliency(
            autoencoder.encode,
            batches,
            norm=options["norm"],
            latents=options["latents"],
            engine=options["engine"],
            kinks=options["kinks"],
            certify=options["certify"],
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
    certificate = None if result.certificate is None else result.certificate.as_dict()
    facts = {"engine": result.engine, "norm": result.norm, "step": result.step, "kinks": result.kinks}
    return {**facts, "ties": result.ties, "certificate": certificate, "images": images}


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
        taken = _AT_KINKS[result["kinks"]]
        lines.append(f"note: {operation} stood exactly at its kink {count} times; there the derivative is {taken}")
    if len(images) > result["drawn"]:
        lines.append(
            f"note: the figure shows the first {result['drawn']} of {len(images)} maps; maps.safetensors has all"
        )
    if result["certificate"] is not None:
        lines.append(_describe_certificate(result["certificate"]))
    return "\n".join([*lines, f"maps, numbers and figures: {result['out']}", *result["figures"]])


def _describe_certificate(certificate: dict[str, Any]) -> str:
    entries = sum(check["count"] for check in certificate["checks"] if "entries" in check["name"])
    how = "computed anew in complex128 (imagrad certify says more)"
    return f"certificate: passed; {entries} entries of the maps were {how}"


COMMAND = Command("Draw which pixels the code of each image depends on.", _add_arguments, _run, _describe)
