"""The third sanity check on one image: flip pixels by rank, and see what the classifier and the code make of it."""

from __future__ import annotations

import numpy as np
import torch

from imagrad.attribution.encoders import plain_codes
from imagrad.checks.rankings import flipped, pixels_of, ranking
from imagrad.explorer.answers import Answers
from imagrad.explorer.curves import random_order
from imagrad.explorer.messages import Corrupted, CorruptRequest
from imagrad.explorer.pixels import packed

_SEED = 0  # breaks ties, and orders pixels at random: the same picture gives the same answer


def corrupt(answers: Answers, asked: CorruptRequest) -> Corrupted:
    """Flip a percentage of the pixels: the most or the least important of this image's own map, or random ones."""
    network, image = answers.network(asked), answers.image(asked.pixels)
    if asked.which == "random":
        order, side = random_order(image[0, 0].numel(), _SEED), "most"
    else:
        order, side = ranking(answers.computed(asked, asked.pixels).saliency.cpu().numpy(), _SEED), asked.which
    chosen = pixels_of(order, asked.percentage, side)
    changed = flipped(image, chosen)
    with torch.no_grad():
        codes = plain_codes(network.encode, torch.cat([image, changed]), (), None).flatten(1).double()
    length = float(codes[0].norm())
    moved = float((codes[1] - codes[0]).norm())
    return Corrupted(
        pixels=packed(changed), flipped=int(np.size(chosen)), before=answers.verdict(image),
        after=answers.verdict(changed), code_moved=moved / length if length else moved,
    )  # fmt: skip
