"""`imagrad certify`: the independent check of a network's saliency maps, in words."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli.conventions import Command, counted, resolve_device
from imagrad.cli.networks import SHIPPED, add_network_options, open_images, open_model


def _add_arguments(parser: ArgumentParser) -> None:
    add_network_options(parser, needs_data=False)
    parser.add_argument("--engine", default="auto", help="What computes: auto, forward, transpose or complex.")
    parser.add_argument("--kinks", default="ad", help="Where there is no derivative: ad, right, left, mean or raise.")
    parser.add_argument("--norm", default="l2", help="Over the latents: l2 (Eq. 12), l1 or max.")
    parser.add_argument("--seed", type=int, default=0, help="Of what is sampled.")


def _run(options: Namespace) -> dict[str, Any]:
    from imagrad.attribution.saliency import certify

    device = resolve_device(options["device"])
    network = open_model(options, device)
    dataset = open_images(options, network.image_shape)
    certificate = certify(
        network.encode,
        (images.to(device) for images in dataset.batches()),
        engine=options["engine"],
        kinks=options["kinks"],
        norm=options["norm"],
        seed=options["seed"],
    )
    facts = {"model": str(options["model"] or SHIPPED), "data": dataset.name, "images": len(dataset)}
    return {**facts, **certificate.as_dict(), "text": str(certificate)}


def _describe(result: dict[str, Any]) -> str:
    return f"{counted(result['images'], 'image')} of {result['data']} with {result['model']}\n{result['text']}"


COMMAND = Command(
    "Check a network's saliency maps by independent means; exit code 1 if they fail.", _add_arguments, _run, _describe
)
