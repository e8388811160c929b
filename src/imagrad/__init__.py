"""Explain encoders: say which input pixels a latent code depends on, and how much.

Names are imported when they are first used, so that `import imagrad` is quick and does not import torch.
"""

from __future__ import annotations

from contextlib import nullcontext
from importlib import import_module
from sys import modules
from typing import TYPE_CHECKING, Any

from imagrad.collecting import uncollected

if TYPE_CHECKING:
    from imagrad import complexstep
    from imagrad.attribution.latent_maps import latent_maps, painted_maps
    from imagrad.attribution.methods import AttributionResult, attribute
    from imagrad.attribution.results import SaliencyResult, load_result
    from imagrad.attribution.saliency import certify, jacobian, saliency
    from imagrad.attribution.spectrum import spectrum
    from imagrad.attribution.traversals import traverse
    from imagrad.attribution.units import spread_of
    from imagrad.checks.checks import check
    from imagrad.checks.verdicts import CheckResult
    from imagrad.complexstep.certificate import Certificate
    from imagrad.complexstep.preflight import Preflight, preflight
    from imagrad.data.datasets import load_dataset
    from imagrad.errors import ImagradError
    from imagrad.figures import draw
    from imagrad.models.opening import Network, open_network
    from imagrad.models.parts import part_of
    from imagrad.models.saved import load
    from imagrad.store.reading import open_store
    from imagrad.store.running import explain_dataset

__all__ = [
    "AttributionResult",
    "Certificate",
    "CheckResult",
    "ImagradError",
    "Network",
    "Preflight",
    "SaliencyResult",
    "attribute",
    "certify",
    "check",
    "complexstep",
    "draw",
    "explain_dataset",
    "jacobian",
    "latent_maps",
    "load",
    "load_dataset",
    "load_result",
    "open_network",
    "open_store",
    "painted_maps",
    "part_of",
    "preflight",
    "saliency",
    "spectrum",
    "spread_of",
    "traverse",
]

_HOMES = {
    "AttributionResult": "imagrad.attribution.methods",
    "Certificate": "imagrad.complexstep.certificate",
    "CheckResult": "imagrad.checks.verdicts",
    "ImagradError": "imagrad.errors",
    "Network": "imagrad.models.opening",
    "Preflight": "imagrad.complexstep.preflight",
    "SaliencyResult": "imagrad.attribution.results",
    "attribute": "imagrad.attribution.methods",
    "certify": "imagrad.attribution.saliency",
    "check": "imagrad.checks.checks",
    "draw": "imagrad.figures",
    "explain_dataset": "imagrad.store.running",
    "jacobian": "imagrad.attribution.saliency",
    "latent_maps": "imagrad.attribution.latent_maps",
    "load": "imagrad.models.saved",
    "load_dataset": "imagrad.data.datasets",
    "load_result": "imagrad.attribution.results",
    "open_network": "imagrad.models.opening",
    "open_store": "imagrad.store.reading",
    "painted_maps": "imagrad.attribution.latent_maps",
    "part_of": "imagrad.models.parts",
    "preflight": "imagrad.complexstep.preflight",
    "saliency": "imagrad.attribution.saliency",
    "spectrum": "imagrad.attribution.spectrum",
    "spread_of": "imagrad.attribution.units",
    "traverse": "imagrad.attribution.traversals",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("imagrad")  # slower to import than all else here
    if name == "complexstep":
        return _imported("imagrad.complexstep")
    if name in _HOMES:
        return getattr(_imported(_HOMES[name]), name)
    raise AttributeError(f"module 'imagrad' has no attribute {name!r}")


def _imported(home: str) -> Any:
    with uncollected() if home not in modules else nullcontext():
        return import_module(home)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
