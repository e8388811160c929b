"""What `imagrad explain` can look into: parts, units, single latents, spectra, traversals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli.networks import open_images
from imagrad.errors import InputError

if TYPE_CHECKING:
    import torch

    from imagrad.attribution.results import SaliencyResult
    from imagrad.attribution.units import Spread
    from imagrad.data.sources import Dataset
    from imagrad.models.opening import Network
    from imagrad.models.parts import Part

MOST_LATENTS = 12
"""As many as a figure has columns."""

_PAINTED = 8  # latents of a decoder that are drawn when no number is given
_DEFAULTS = {"part": "encoder", "of": "mean", "units": "raw", "per_latent": None, "spectrum": False,
             "traversal": None, "spread_over": None}  # fmt: skip


def add_latent_options(parser: ArgumentParser) -> None:
    """Add what is explained, in which units, and what else is looked at."""
    parser.add_argument("--part", default="encoder", help="What is explained: encoder, decoder or end-to-end.")
    parser.add_argument("--of", default="mean", help="Of a variational encoder: mean or log-variance.")
    parser.add_argument("--units", default="raw", help="Latents as they are (raw) or over their spread (spread).")
    parser.add_argument(
        "--per-latent", type=int | None, default=None, help="Draw a map of each of so many latents, the most active."
    )
    parser.add_argument("--spectrum", action="store_true", help="Singular values and vectors of each Jacobian.")
    parser.add_argument(
        "--traversal", type=int | None, default=None, help="Move each of so many latents of the first image's code."
    )
    parser.add_argument(
        "--spread-over", type=str | None, default=None,
        help="Images over which latents spread and are active, such as mnist:train[:1000]; default: --data.",
    )  # fmt: skip


def recorded(options: Namespace) -> dict[str, Any]:
    """Return those of the options that are not the default."""
    return {name: options[name] for name, usual in _DEFAULTS.items() if options[name] != usual}


@dataclass(frozen=True)
class View:
    """What is explained, and in which units."""

    part: Part
    units: str
    chosen: Sequence[int] | None
    """The latents that count; None: all."""
    spread: Spread | None
    """Of what the encoder gives, or the decoder takes; None where nobody asked."""
    of_code: Spread | None
    """Of the code itself, in which traversals move: the same, but for a log-variance."""
    activity: torch.Tensor
    """How active each latent is, (q,)."""
    per_latent: int | None
    """How many latents get a map of their own."""
    has_relu: bool
    """Whether the code ends in a ReLU: whether a latent can be said to be on."""

    @property
    def latents(self) -> torch.Tensor | Sequence[int] | None:
        """What `saliency` takes as `latents`."""
        if self.part.takes_codes:
            return None
        return self.spread.weights_of(self.chosen) if self.spread and self.units == "spread" else self.chosen

    @property
    def features(self) -> torch.Tensor | None:
        """The mask of the latents that a decoder is asked for."""
        return _chosen_mask(self.activity, self.chosen) if self.part.takes_codes and self.chosen is not None else None

    @property
    def scale(self) -> torch.Tensor | None:
        """By what a decoder's derivatives are multiplied."""
        if not self.part.takes_codes or (self.units == "raw" and self.chosen is None):
            return None
        whole = self.spread.scale if self.spread and self.units == "spread" else self.activity.double() * 0 + 1
        return whole if self.chosen is None else whole * _chosen_mask(self.activity, self.chosen)

    def most_active(self, count: int) -> list[int]:
        """List that many latents, the most active first, those that never move left out."""
        ranked = self.activity.argsort(descending=True, stable=True).tolist()
        allowed = [k for k in ranked if self.activity[k] > 0 and (self.chosen is None or k in self.chosen)]
        if not allowed:
            raise InputError("none of the latents asked for is ever active on these images; there is none to draw.")
        return allowed[:count]

    def in_units(self, result: SaliencyResult) -> SaliencyResult:
        """Return the result with its units in it."""
        maps = result.maps
        if self.part.takes_codes and self.units == "spread" and self.spread:
            maps = maps * self.spread.scale.to(maps)
        return replace(result, maps=maps, units=self.part.label(self.units))


def view_of(options: Namespace, network: Network, dataset: Dataset, device: str) -> View:
    """Read the options; raise `InputError` for what does not go together, before anything is explained."""
    part = network.part(options["part"], options["of"])
    part.label(options["units"])
    relu = network.has_relu
    nothing = _nothing(part, dataset, device)
    _check(options, len(nothing))
    per_latent = _PAINTED if part.takes_codes and options["per_latent"] is None else options["per_latent"]
    measured = options["units"] == "spread" or options["traversal"] is not None
    if not measured and per_latent is None and options["spread_over"] is None:
        return View(part, "raw", options["latents"], None, None, nothing, None, relu)
    over = dataset if options["spread_over"] is None else _other_images(options, network)
    means, logs = _codes(part, over, device)
    if len(means) < 2:
        if measured:
            raise InputError(
                "how far latents spread is measured over at least 2 images; there is 1. "
                'Name more of them: --spread-over "mnist:train[:1000]".'
            )
        return View(part, "raw", options["latents"], None, None, means[0].abs(), per_latent, relu)
    of_code, spread = _spreads(part, means, logs)
    return View(part, options["units"], options["latents"], spread, of_code, spread.activity, per_latent, relu)


def _check(options: Namespace, latents: int) -> None:
    for name in ("per_latent", "traversal"):
        if options[name] is not None and not 1 <= options[name] <= MOST_LATENTS:
            raise InputError(
                f"`--{name.replace('_', '-')}` must be 1 to {MOST_LATENTS} latents, as many as a figure shows; "
                f"got {options[name]}."
            )
    chosen: list[int] | None = options["latents"]
    if options["part"] == "end-to-end" and (chosen is not None or options["per_latent"] is not None):
        raise InputError(
            "the part end-to-end ends in pixels, not in latents: it takes neither --latents nor --per-latent. "
            "They go with --part encoder and --part decoder."
        )
    if chosen is not None and (any(not 0 <= k < latents for k in chosen) or len(set(chosen)) < len(chosen)):
        raise InputError(f"`--latents` must be different indices from 0 to {latents - 1}; got {chosen}.")


def _spreads(part: Part, means: torch.Tensor, logs: torch.Tensor | None) -> tuple[Spread, Spread]:
    """Return the spread of the code, and of what the part gives or takes."""
    from imagrad.attribution.units import spread_of

    of_code = spread_of(means, logs)
    if part.of == "mean" or logs is None:
        return of_code, of_code
    return of_code, replace(spread_of(logs), dead=of_code.dead)  # a latent of noise is dead in both


def _codes(part: Part, dataset: Dataset, device: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Encode all images: codes, of a gaussian one means and log-variances."""
    import torch

    means, logs = list[torch.Tensor](), list[torch.Tensor]()
    with torch.no_grad():
        for images in dataset.batches():
            means.append(part.encode(images.to(device)).flatten(1).cpu())
            if part.log_variance is not None:
                logs.append(part.log_variance(images.to(device)).cpu())
    return torch.cat(means), torch.cat(logs) if logs else None


def _other_images(options: Namespace, network: Network) -> Dataset:
    other = options.clone()
    other["data"] = options["spread_over"]
    return open_images(other, network.image_shape)


def _nothing(part: Part, dataset: Dataset, device: str) -> torch.Tensor:
    """Return a zero for each latent: how active they are when nobody asks."""
    import torch

    with torch.no_grad():
        return torch.zeros(part.encode(dataset.images(0, 1).to(device))[0].numel())


def _chosen_mask(like: torch.Tensor, chosen: Sequence[int]) -> torch.Tensor:
    import torch

    mask = torch.zeros(len(like), dtype=torch.bool)
    mask[list(chosen)] = True
    return mask
