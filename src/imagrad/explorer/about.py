"""What the page is told before anything is drawn: the networks, what can be chosen, and the images to start from."""

from __future__ import annotations

from importlib import import_module, metadata
from importlib.util import find_spec

from imagrad.attribution import methods as _filled
from imagrad.attribution.contract import METHODS, check_installed
from imagrad.data.corruptions import CORRUPTIONS
from imagrad.errors import MissingExtraError
from imagrad.explorer.limits import Limits
from imagrad.explorer.messages import About, Found, Gallery, GalleryImage, MethodFacts, NetworkFacts
from imagrad.explorer.pixels import packed
from imagrad.explorer.subject import Explored, Subject

_REGISTERED = (_filled,)  # imported so that its methods are in the registry

_QUICK = frozenset({"saliency", "gradient"})
"""Methods that keep up with somebody who draws."""


def about(subject: Subject, limits: Limits) -> About:
    """Say what is explored, and what can be asked."""
    classifier = subject.classifier
    return About(
        version=metadata.version("imagrad"), networks=[_network(network) for network in subject.networks],
        shape=subject.shape, data=subject.dataset.name, images=len(subject.dataset),
        classes=[] if classifier is None else list(classifier.shape.classes),
        can_measure_curve=subject.can_measure_curve or subject.curve is not None, methods=_methods(),
        noises=list(CORRUPTIONS), upload_bytes=limits.upload_bytes,
    )  # fmt: skip


def _network(network: Explored) -> NetworkFacts:
    found = [Found(kind=finding.kind, text=finding.message) for finding in network.preflight.findings]
    return NetworkFacts(
        name=network.name, latents=network.latents, has_decoder=network.decode is not None,
        has_spread=network.spread is not None, preflight=str(network.preflight), findings=found,
        notes=list(network.notes),
    )  # fmt: skip


def _methods() -> list[MethodFacts]:
    """List the methods whose packages are installed, saliency first."""
    found = list[MethodFacts]()
    for name in sorted(METHODS, key=lambda name: (name != "saliency", name)):
        try:
            check_installed(name)
        except MissingExtraError:
            continue
        entry = METHODS[name]
        found.append(MethodFacts(name=name, summary=entry.summary, norm=entry.norm, is_quick=name in _QUICK))
    return found


def warm_up() -> None:
    """Import what the other methods need, which takes seconds, before somebody waits for one."""
    if find_spec("captum") is not None:
        import_module("captum.attr")


def gallery(subject: Subject, limits: Limits, start: int, count: int) -> Gallery:
    """Read some images of the data set, as many as one answer holds; past the last one there are none."""
    channels, height, width = subject.shape
    fitting = max(1, limits.gallery_numbers // (channels * height * width))
    stop = min(start + min(count, fitting), len(subject.dataset))
    images = subject.dataset.images(start, stop) if start < stop else []
    titles = subject.dataset.titles
    return Gallery(
        start=start,
        total=len(subject.dataset),
        images=[
            GalleryImage(index=index, title=titles[index], pixels=packed(image))
            for index, image in enumerate(images, start=start)
        ],
    )
