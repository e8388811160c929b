"""The third check without a classifier: how far code and reconstruction move when pixels are removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from imagrad.checks.intervals import mean_of
from imagrad.checks.material import Material
from imagrad.checks.rankings import pixels_of, ranking, removed
from imagrad.checks.similarity import Picture

_IMAGES = 1000


@torch.no_grad()
def label_free_curves(
    material: Material, rankings: Mapping[str, Picture], percentages: Sequence[float]
) -> dict[str, Any]:
    """Measure for each ranking, side and percentage the mean relative shift of the code, and of the reconstruction.

    A removed pixel gets its mean over the images. The shift of an image is the distance between its code with and
    without the pixels over the mean norm of all codes; that of the reconstruction likewise, where there is a decoder.
    """
    images = material.test_images[:_IMAGES].to(material.device)
    encode, decode = material.needed("encoder"), material.decode
    measured: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"code": encode}
    if decode is not None:
        measured["reconstruction"] = lambda seen: decode(encode(seen))
    return {
        what: {
            name: {
                side: [
                    mean_of(_shift(run, images, removed(images, pixels_of(order, percentage, side)))).as_dict()
                    for percentage in percentages
                ]
                for side in ("most", "least")
            }
            for name, picture in rankings.items()
            for order in [ranking(picture, material.seed)]
        }
        for what, run in measured.items()
    }


def _shift(run: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor, without: torch.Tensor) -> Any:
    """Return how far each image's result moves, over the mean norm of all results: (n,)."""
    before, after = run(images).flatten(1).double(), run(without).flatten(1).double()
    return ((after - before).norm(dim=1) / before.norm(dim=1).mean()).cpu().numpy()
