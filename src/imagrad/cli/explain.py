"""`imagrad explain`: saliency maps of images, for the network of a run folder or the one that ships with imagrad."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli.conventions import Command, choose_folder, counted, resolve_device
from imagrad.cli.explain_store import AFTER_INTERRUPT, add_store_options, describe_store, is_store, run_store
from imagrad.cli.latents import View, add_latent_options, recorded, view_of
from imagrad.cli.networks import SHIPPED, add_network_options, look_first, open_images, open_model

if TYPE_CHECKING:
    import torch
    from tqdm import tqdm

    from imagrad.attribution.results import SaliencyResult
    from imagrad.cli.latent_figures import Addition
    from imagrad.data.sources import Dataset
    from imagrad.models.opening import Network

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
    add_latent_options(parser)
    parser.add_argument("--norm", default="l2", help="Over the latents: l2 (Eq. 12), l1 or max.")
    parser.add_argument("--latents", type=int, nargs="+", default=None, help="Only these latents, such as 0 5.")
    parser.add_argument("--engine", default="auto", help="What computes: auto, forward, transpose or complex.")
    parser.add_argument("--kinks", default="ad", help="Where there is no derivative: ad, right, left, mean or raise.")
    parser.add_argument("--certify", default="sample", help="Recompute entries by other means: sample, full or none.")
    parser.add_argument("--seed", type=int, default=0, help="Of what the certificate samples; the maps draw nothing.")
    parser.add_argument(
        "--out", type=str | None, default=None,
        help="Run folder to make; default: runs/explain-001, ... Or a store for whole data sets, maps.zarr, to make or "
        "to go on with.",
    )  # fmt: skip
    add_store_options(parser)


def _run(options: Namespace) -> dict[str, Any]:
    return run_store(options) if is_store(options) else _run_folder(options)


def _run_folder(options: Namespace) -> dict[str, Any]:
    from imagrad import runs
    from imagrad.cli.latent_figures import additions
    from imagrad.figures import MOST_MAPS

    device = resolve_device(options["device"])
    network = open_model(options, device)
    dataset = open_images(options, network.image_shape)
    out = choose_folder(options["out"], "explain")
    runs.refuse_used(out)  # before the work, not after it
    look_first(network, dataset, device)
    view = view_of(options, network, dataset, device)
    result = _explain(options, view, dataset, device)
    added = additions(options, view, network, result.images, dataset)
    runs.create(out, _config(options, network, result, dataset))
    result.save(out / "maps.safetensors")
    for addition in added:
        addition.save(out)
    summary = summarise(result, dataset, view) | _more(options, view, added)
    runs.write_json(out / runs.METRICS, summary)
    figures = _draw(result, dataset, view, added, out)
    return {
        "out": str(out),
        "model": str(options["model"] or SHIPPED),
        **summary,
        "drawn": min(MOST_MAPS, len(dataset)),
        "figures": figures,
        **({"told": [addition.told for addition in added]} if added else {}),
    }


def _config(options: Namespace, network: Network, result: SaliencyResult, dataset: Dataset) -> dict[str, Any]:
    """Return what decided the result."""
    from imagrad.models.saved import DEFAULT

    opened = {name: options[name] for name in ("latent", "class") if options[name] is not None}
    read_already = result.images.shape[1:] == dataset.image_shape
    return {
        "command": "explain",
        "model": {"path": str(options["model"] or DEFAULT.name), "sha256": network.sha256, **opened},
        "data": {
            "selection": dataset.name,
            "images": len(dataset),
            "sha256": dataset.fingerprint_of(result.images) if read_already else dataset.fingerprint,
        },
        "options": {name: options[name] for name in _RECORDED} | recorded(options),
    }


def _explain(options: Namespace, view: View, dataset: Dataset, device: str) -> SaliencyResult:
    from tqdm import tqdm

    from imagrad.attribution.saliency import saliency

    batches = (view.part.points(images.to(device)) for images in dataset.batches())
    with tqdm(total=len(dataset), unit="image", disable=not sys.stderr.isatty()) as bar:
        result = saliency(
            view.part.function,
            batches,
            norm=options["norm"],
            latents=view.latents,
            features=view.features,
            engine=options["engine"],
            kinks=options["kinks"],
            certify=options["certify"],
            seed=options["seed"],
            progress=lambda count: _advance(bar, count),
        )
    return view.in_units(result)


def _advance(bar: tqdm[Any], count: int) -> None:
    bar.update(count)


def summarise(result: SaliencyResult, dataset: Dataset, view: View) -> dict[str, Any]:
    """Put a result into numbers: each image's largest value and where it is, and what was met on the way."""
    labels = [None] * len(dataset) if dataset.labels is None else [dataset.label_names[k] for k in dataset.labels]
    codes = _codes(result, view)
    images: list[dict[str, Any]] = []
    for k, (name, label, values) in enumerate(zip(dataset.names, labels, result.maps, strict=True)):
        asked = values[~values.isnan()] if values.isnan().any() else values  # of a decoder's latents some may be
        numbers = {"image": name, "label": label, "largest": float(asked.max()), **_place(values)}
        active = {} if codes is None else {"active_latents": int((codes[k] > 0).sum())}
        images.append({**numbers, "mean": float(asked.mean()), **active})
    certificate = None if result.certificate is None else result.certificate.as_dict()
    facts = {"engine": result.engine, "norm": result.norm, "step": result.step, "kinks": result.kinks}
    return {**facts, "ties": result.ties, "certificate": certificate, "images": images}


def _codes(result: SaliencyResult, view: View) -> torch.Tensor | None:
    """Return the codes of which it can be said that a latent is on: those that end in a ReLU."""
    if not view.has_relu or view.part.of != "mean":
        return None
    return {"encoder": result.codes, "decoder": result.images}.get(view.part.name)


def _place(values: torch.Tensor) -> dict[str, int]:
    """Say where a map (channels, height, width), or the latents (q,) of a decoder, have their largest value."""
    position = int(values.nan_to_num(-1).argmax())
    if values.ndim == 1:
        return {"latent": position}
    _, height, width = values.shape
    return {"channel": position // (height * width), "row": position // width % height, "column": position % width}


def _more(options: Namespace, view: View, added: list[Addition]) -> dict[str, Any]:
    """Return what the JSON says beyond the maps; nothing when nothing was asked for."""
    facts: dict[str, Any] = {}
    if recorded(options):
        chosen = {"part": view.part.name, "of": view.part.of, "units": view.units}
        facts = {**chosen, "units_of_values": view.part.label(view.units)}
    if view.of_code is not None:
        facts["spread"] = view.of_code.as_dict()
    return facts | {addition.name: addition.numbers for addition in added}


def _draw(result: SaliencyResult, dataset: Dataset, view: View, added: list[Addition], out: Path) -> list[str]:
    """Draw the first maps, and what was added, into figures/."""
    from dataclasses import replace

    from imagrad.figures import MOST_MAPS, draw, save_png_and_svg

    figures: dict[str, Any] = {}
    if not view.part.takes_codes:
        shown = replace(result, maps=result.maps[:MOST_MAPS], images=result.images[:MOST_MAPS])
        figures["saliency"] = draw(shown, titles=dataset.titles[:MOST_MAPS])
    for addition in added:
        figures |= addition.figures
    return [str(path) for name in figures for path in save_png_and_svg(figures[name], out / "figures", name)]


def _describe(result: dict[str, Any]) -> str:
    if "store" in result:
        return describe_store(result)
    images: list[dict[str, Any]] = result["images"]
    lines = [f"explained {counted(len(images), 'image')} with {result['model']}", *_table(images[:_LISTED])]
    if len(images) > _LISTED:
        lines.append(f"... and {len(images) - _LISTED} more in {result['out']}/metrics.json")
    for operation, count in result["ties"].items():
        taken = _AT_KINKS[result["kinks"]]
        lines.append(f"note: {operation} stood exactly at its kink {count} times; there the derivative is {taken}")
    if len(images) > result["drawn"] and result.get("part") != "decoder":
        lines.append(
            f"note: the figure shows the first {result['drawn']} of {len(images)} maps; maps.safetensors has all"
        )
    if result.get("spread") and result["spread"]["dead"]:
        dead = ", ".join(str(latent) for latent in result["spread"]["dead"])
        lines.append(f"note: these latents say nothing of the image, and weigh nothing in units of spread: {dead}")
    lines += result.get("told", [])
    if "units_of_values" in result:
        lines.append(f"the values are in {result['units_of_values']}")
    if result["certificate"] is not None:
        lines.append(_describe_certificate(result["certificate"]))
    return "\n".join([*lines, f"maps, numbers and figures: {result['out']}", *result["figures"]])


def _table(images: list[dict[str, Any]]) -> list[str]:
    """Write a line for each image, below a line that says what is in it."""
    width = max(len("image"), *(len(image["image"]) for image in images))
    where = "at latent" if "latent" in images[0] else "at row, column"
    active = "active_latents" in images[0]
    lines = [
        f"{'image':{width}}   largest saliency   {where:>14}   mean saliency{'   active latents' if active else ''}"
    ]
    for image in images:
        place = str(image["latent"]) if "latent" in image else f"{image['row']}, {image['column']}"
        numbers = f"{image['mean']:13.4f}" + (f"   {image['active_latents']:14d}" if active else "")
        lines.append(f"{image['image']:>{width}}   {image['largest']:16.4f}   {place:>14}   {numbers}")
    return lines


def _describe_certificate(certificate: dict[str, Any]) -> str:
    entries = sum(check["count"] for check in certificate["checks"] if "entries" in check["name"])
    how = "computed anew in complex128 (imagrad certify says more)"
    return f"certificate: passed; {entries} entries of the maps were {how}"


COMMAND = Command(
    "Draw which pixels the code of each image depends on.", _add_arguments, _run, _describe, AFTER_INTERRUPT
)
