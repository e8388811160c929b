"""`imagrad preflight`: what would make the derivatives of a network meaningless."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli.conventions import Command, counted, resolve_device
from imagrad.cli.networks import SHIPPED, add_network_options, open_images, open_model


def _add_arguments(parser: ArgumentParser) -> None:
    add_network_options(parser, needs_data=False)


def _run(options: Namespace) -> dict[str, Any]:
    from imagrad.complexstep.preflight import preflight

    device = resolve_device(options["device"])
    network = open_model(options, device)
    dataset = open_images(options, network.image_shape)
    images = next(iter(dataset.batches())).to(device)
    found = preflight(network.encode, images)
    facts = {"model": str(options["model"] or SHIPPED), "data": dataset.name, "images": len(images)}
    return {**facts, **found.as_dict(), "text": str(found)}


def _describe(result: dict[str, Any]) -> str:
    return f"{counted(result['images'], 'image')} of {result['data']} with {result['model']}\n{result['text']}"


COMMAND = Command(
    "Look for what would make derivatives meaningless: train mode, randomness, ...; exit code 1 if something does.",
    _add_arguments,
    _run,
    _describe,
)
