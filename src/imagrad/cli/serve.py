"""`imagrad serve`: a page on this machine that shows what a network looks at, while one draws."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli.conventions import Command, resolve_device, say
from imagrad.cli.networks import add_network_options, open_images, open_model

if TYPE_CHECKING:
    from imagrad.explorer.found import Shown
    from imagrad.explorer.limits import Limits
    from imagrad.explorer.subject import Subject

_DEFAULT_DATA = "digits:test"


def _add_arguments(parser: ArgumentParser) -> None:
    add_network_options(parser, needs_data=False, default=_DEFAULT_DATA)
    parser.add_argument(
        "--classifier", type=str | None, default=None,
        help="Run folder of a classifier, whose verdict is shown; default: that of RUN, if it has one.",
    )  # fmt: skip
    parser.add_argument(
        "--compare", type=str | None, default=None,
        help="A second network for the same images (run folder, .onnx, ...), shown beside the first.",
    )  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", help="Where to listen; another one lets others in.")
    parser.add_argument("--port", type=int, default=8765, help="0: any that is free.")


def _run(options: Namespace) -> dict[str, Any]:
    from imagrad.explorer.serving import Address, check_installed, listen, serve

    check_installed()
    address = Address(options["host"], options["port"])
    taken = listen(address)  # before the work, not after it
    if not address.is_local:
        say(
            f"warning: with --host {address.host} everybody who can reach this machine can use the explorer; "
            "there is no password, and nothing is encrypted."
        )
    subject = _subject(options)
    urls = list[str]()

    def ready(url: str) -> None:
        urls.append(url)
        say(f"the explorer is at {url}   (Ctrl-C ends it)")

    with taken:
        serve(subject, address, taken, ready)
    return {"url": urls[0]}


def _subject(options: Namespace) -> Subject:
    """Open everything that is shown."""
    from imagrad.explorer.found import shown_of
    from imagrad.explorer.limits import Limits
    from imagrad.explorer.subject import Subject, check_classifier, check_shape, explored
    from imagrad.training.classifier import load_classifier

    device, limits = resolve_device(options["device"]), Limits()
    shown = _shown(options, shown_of(options["model"]))
    options = options.clone()
    options["model"] = shown.model
    options["latent"] = options["latent"] or shown.latent
    options["class"] = options["class"] or shown.class_path
    network = open_model(options, device)
    dataset = _images(options, network.image_shape)
    say(f"looking at {network.name} and the images of {dataset.name} first ...")
    networks = [explored(network, dataset, device, limits.image_numbers), *_second(options, dataset, device, limits)]
    classifier = None if shown.classifier is None else load_classifier(shown.classifier, device)
    if classifier is not None:
        check_classifier(classifier, dataset.image_shape)
    check_shape(dataset.image_shape, limits.image_numbers)
    return Subject(tuple(networks), dataset, dataset.image_shape, device, classifier, _curve(shown))


def _shown(options: Namespace, found: Shown) -> Shown:
    from pathlib import Path

    return found if options["classifier"] is None else replace(found, classifier=Path(options["classifier"]))


def _images(options: Namespace, shape: tuple[int, int, int] | None) -> Any:
    """Open the images to start from; by default the embedded digits, stretched to the network's size."""
    if options["data"] is not None:
        return open_images(options, shape)
    chosen = options.clone()
    chosen["data"], chosen["fit"] = _DEFAULT_DATA, options["fit"] or "resize"
    return open_images(chosen, shape)


def _second(options: Namespace, dataset: Any, device: str, limits: Limits) -> list[Any]:
    """Open the network to compare with, if one is named."""
    if options["compare"] is None:
        return []
    from imagrad.errors import ImageError
    from imagrad.explorer.subject import explored
    from imagrad.models.opening import open_network

    second = open_network(options["compare"], device, trust=options["trust"])
    if second.image_shape not in (None, dataset.image_shape):
        raise ImageError(
            f"both networks must take the same images: {second.name} takes {second.image_shape}, those here are "
            f"{dataset.image_shape}."
        )
    return [explored(second, dataset, device, limits.image_numbers)]


def _curve(shown: Shown) -> Any:
    from imagrad.explorer.curves import curve_of

    return None if shown.check is None else curve_of(shown.check)


COMMAND = Command(
    "Explore a network in the browser: draw, and see its code and its map change.",
    _add_arguments,
    _run,
    lambda result: f"the explorer at {result['url']} has ended",
)
