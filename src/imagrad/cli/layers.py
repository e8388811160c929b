"""`imagrad layers`: the inner tensors of a network, any of which can be the code that is explained."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli.conventions import Command, resolve_device
from imagrad.cli.networks import SHIPPED, add_network_options, open_images, open_model, source_of

_ANY = "?"


def _add_arguments(parser: ArgumentParser) -> None:
    add_network_options(parser, needs_data=False)


def _run(options: Namespace) -> dict[str, Any]:
    from imagrad.models.opening import listed_layers

    device = resolve_device(options["device"])
    layers = listed_layers(source_of(options))
    if layers is None:
        network = open_model(options, device)
        layers = network.layers(open_images(options, network.image_shape).images(0, 1).to(device))
    rows = [{"name": layer.name, "kind": layer.kind, "shape": _plain(layer.shape)} for layer in layers]
    return {"model": str(options["model"] or SHIPPED), "layers": rows}


def _plain(shape: tuple[int | None, ...] | None) -> list[int | None] | None:
    return None if shape is None else list(shape)


def _describe(result: dict[str, Any]) -> str:
    rows = result["layers"]
    if not rows:
        return f"{result['model']} has no inner tensors with names"
    names, kinds = (max(len(row[key]) for row in rows) for key in ("name", "kind"))
    lines = [f"{row['name']:{names}}   {row['kind']:{kinds}}   {_text(row['shape'])}" for row in rows]
    return "\n".join([*lines, "explain one of them as the code: imagrad explain MODEL --latent NAME ..."])


def _text(shape: list[int | None] | None) -> str:
    return _ANY if shape is None else " x ".join(str(size or _ANY) for size in shape) or "1"


COMMAND = Command(
    "List the inner tensors of a network, any of which can be the code (--latent).", _add_arguments, _run, _describe
)
"""The list needs images where the file itself does not list them."""
