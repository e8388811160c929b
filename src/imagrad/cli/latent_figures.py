"""What `imagrad explain` adds when asked: single latents, spectra, traversals; their numbers, files and figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from imagrad.cli.conventions import counted

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from imagrad.attribution.latent_maps import LatentMaps
    from imagrad.attribution.spectrum import SpectrumResult
    from imagrad.attribution.traversals import Traversal
    from imagrad.cli.latents import View
    from imagrad.data.sources import Dataset
    from imagrad.models.opening import Network

_ROWS = 4  # images in a figure of single latents or patterns
_PANELS = 40
_JACOBIAN = 2**25  # entries of Jacobians that are decomposed at a time


@dataclass(frozen=True)
class Addition:
    """Something more than the maps: its numbers for the JSON, how it is saved, and its figures by name."""

    name: str
    numbers: dict[str, Any]
    save: Callable[[Path], None]
    figures: dict[str, Figure]
    told: str
    """In one line."""


def additions(
    options: Namespace, view: View, network: Network, points: torch.Tensor, dataset: Dataset
) -> list[Addition]:
    """Compute and draw what was asked for; `points` are what is explained: images, or codes for a decoder."""
    found: list[Addition] = []
    if view.per_latent is not None:
        found.append(_single_latents(options, view, points, dataset))
    if options["spectrum"]:
        found.append(_spectrum(options, view, points, dataset))
    if options["traversal"] is not None:
        found.append(_traversal(options["traversal"], view, network, points, dataset))
    return found


def _how(options: Namespace) -> dict[str, Any]:
    return {name: options[name] for name in ("engine", "kinks", "certify", "seed")}


# --- single latents ---


def _single_latents(options: Namespace, view: View, points: torch.Tensor, dataset: Dataset) -> Addition:
    from imagrad.attribution.latent_maps import latent_maps, painted_maps

    assert view.per_latent is not None
    latents = view.most_active(view.per_latent)
    function = painted_maps if view.part.takes_codes else latent_maps
    found = function(view.part.function, points, latents, **_how(options))
    maps = found.maps
    if view.units == "spread" and view.spread is not None:
        factors = view.spread.scale if view.part.takes_codes else view.spread.weights
        maps = maps * factors[latents].to(maps)[:, None, None, None]
    found = replace(found, maps=maps, units=view.part.label(view.units))
    numbers: dict[str, Any] = {
        "latents": latents, "units": found.units, "largest": maps.abs().flatten(2).amax(2).tolist()
    }  # fmt: skip
    if found.certificate is not None:
        numbers["certificate"] = found.certificate.as_dict()
    told = f"latents {', '.join(map(str, latents))}: a map of each in latents.safetensors"
    if len(latents) < view.per_latent:
        told += f" (no more than {len(latents)} are active)"
    return Addition(
        "latents", numbers, lambda out: found.save(out / "latents.safetensors"),
        _draw_latents(found, dataset, paints=view.part.takes_codes), told,
    )  # fmt: skip


def _draw_latents(found: LatentMaps, dataset: Dataset, *, paints: bool) -> dict[str, Figure]:
    """Draw sizes as contours, and signed values."""
    from imagrad.figures import draw_maps_grid, draw_patterns
    from imagrad.figures.style import in_brackets

    rows = max(1, min(_ROWS, len(found.maps), _PANELS // len(found.latents)))
    images, labels = dataset.images(0, rows), dataset.titles[:rows]
    titles = [f"latent {latent}" for latent in found.latents]
    maps = found.maps[:rows]
    symbol = r"\partial x_i/\partial z_j" if paints else r"\partial g_j/\partial x_i"
    label = f"$|{symbol}|$\n{in_brackets(found.units)}"
    if paints:  # strokes as thin as a pixel: contours would blur them
        sizes = draw_patterns(maps.abs(), images=images, row_labels=labels, titles=titles, label=label)
    else:
        sizes = draw_maps_grid(maps.abs().flatten(0, 1), titles, row_labels=labels, label=label)
    label = label.replace("|", "")
    signed = draw_patterns(maps, images=images, row_labels=labels, titles=titles, label=label)
    return {"latents": sizes, "latents-signed": signed}


# --- spectrum ---


def _spectrum(options: Namespace, view: View, points: torch.Tensor, dataset: Dataset) -> Addition:
    from imagrad.attribution.spectrum import spectrum

    size = points[0].numel()
    at_once = max(1, min(64, _JACOBIAN // size**2)) if view.part.name == "end-to-end" else "auto"
    found = spectrum(
        view.part.function, points, latents=view.latents, scale=view.scale, batch_size=at_once, **_how(options)
    )
    found = replace(found, units=view.part.label(view.units))
    ranks, ratios = found.effective_rank, found.participation_ratio
    numbers: dict[str, Any] = {
        "units": found.units, "singular_values": found.singular_values.quantile(0.5, dim=0).tolist(),
        "effective_rank": ranks.tolist(), "participation_ratio": ratios.tolist(),
        "certificate": None if found.certificate is None else found.certificate.as_dict(),
    }  # fmt: skip
    told = (
        f"spectrum: effective rank {float(ranks.quantile(0.5)):.1f} of at most {found.singular_values.shape[1]} "
        f"(median of {counted(len(ranks), 'image')})"
    )
    return Addition(
        "spectrum", numbers, lambda out: found.save(out / "spectrum.safetensors"),
        _draw_spectrum(found, dataset, paints=view.part.takes_codes), told,
    )  # fmt: skip


def _draw_spectrum(found: SpectrumResult, dataset: Dataset, *, paints: bool) -> dict[str, Figure]:
    """Draw the values, and as pictures the right singular vectors, or of a decoder the left ones."""
    from imagrad.figures import draw_patterns, draw_spectrum

    rows = min(_ROWS, len(found.patterns))
    shown, side = (found.responses, "left") if paints else (found.patterns, "right")
    images = dataset.images(0, rows)
    values = found.singular_values[:rows, : shown.shape[1]].flatten().tolist()
    patterns = draw_patterns(
        shown[:rows].unflatten(2, images.shape[1:]) if paints else shown[:rows], images=images,
        row_labels=dataset.titles[:rows], titles=[f"s = {value:#.3g}" for value in values],
        label=f"{side} singular vectors, of length 1",
    )  # fmt: skip
    return {"spectrum": draw_spectrum(found), "patterns": patterns}


# --- traversal ---


def _traversal(
    count: int, view: View, network: Network, points: torch.Tensor, dataset: Dataset
) -> Addition:  # fmt: skip
    import torch

    from imagrad.attribution.traversals import traverse
    from imagrad.figures import draw_traversal

    assert view.of_code is not None
    decode = network.part("decoder").function
    with torch.no_grad():
        start = points[0] if view.part.takes_codes else network.encode(points[:1])[0]
    found = traverse(decode, start, view.of_code, view.most_active(count))
    numbers: dict[str, Any] = {
        "image": dataset.names[0], "latents": list(found.latents), "values": found.values.tolist()
    }  # fmt: skip
    told = f"traversal: latents {', '.join(map(str, found.latents))} moved in the code of image {dataset.names[0]}"
    return Addition("traversal", numbers, lambda out: _save(found, out), {"traversal": draw_traversal(found)}, told)


def _save(found: Traversal, out: Path) -> None:
    from imagrad import runs

    tensors = {"images": found.images, "values": found.values, "start": found.start}
    facts = {"kind": "traversal", "latents": list(found.latents)}
    runs.write_tensors(
        out / "traversal.safetensors", {**tensors, "reconstruction": found.reconstruction}, facts
    )  # fmt: skip
