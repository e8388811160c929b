"""
Kinks: max pooling over a black background
==========================================

Where the largest of several equal pixels is asked for, there is no derivative: which of them moves up decides. Most
windows of a max pooling layer look at such ties wherever a background is all black. Autograd takes one of the answers
and does not say so; imagrad counts, and lets you choose.
"""

import torch
from torch import nn

import imagrad
from imagrad.figures import draw_maps_grid

torch.manual_seed(0)
encoder = nn.Sequential(
    nn.MaxPool2d(2), nn.Conv2d(1, 8, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(512, 10)
)  # fmt: skip
encoder.eval()
digits = imagrad.load_dataset("digits:test[:3]")
images = nn.functional.pad(digits.images(), (4, 4, 4, 4))  # in the middle of 16 x 16 pixels
windows = images.unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2)  # (3, 1, 8, 8, 4)
tied = (windows == windows.amax(-1, keepdim=True)).sum(-1) > 1
print(f"{tied.sum()} of {tied.numel()} windows have more than one largest pixel")

# %%
# What is counted
# ---------------

maps = {}
for kinks in ("ad", "right", "left", "mean"):
    result = imagrad.saliency(encoder, images, kinks=kinks)
    maps[kinks] = result.maps
    print(kinks, result.engine, result.ties)

# %%
# The four answers
# ----------------
#
# ``ad`` is what autograd takes: of equal pixels the first one gets all, and the map has a pattern of the pooling
# windows that the image has not. ``right`` is what happens when a pixel alone becomes brighter: then it is the
# largest, and each of the equal ones counts. ``left``, when it alone becomes darker: nothing, as the others are still
# there. ``mean`` is the mean of both, what central differences tend to.

grid = draw_maps_grid(
    torch.stack([maps[kinks][k] for k in range(3) for kinks in maps]), list(maps),
    images=images.repeat_interleave(4, dim=0), row_labels=digits.titles,
)  # fmt: skip

# %%
# Which is right? All of them are, of different questions. A map that looks grainy in the black background is the
# place to ask. Differences from outside agree with each, from its own side:

row, column = divmod(int((maps["right"] - maps["left"])[0, 0].argmax()), 16)  # where the two differ most
encoder.double()
image, step = images[:1].double(), 1e-6
up, down = image.clone(), image.clone()
up[0, 0, row, column] += step
down[0, 0, row, column] -= step
with torch.no_grad():
    forward = ((encoder(up) - encoder(image)) / step).norm().item()
    backward = ((encoder(image) - encoder(down)) / step).norm().item()
for kinks, difference in (("right", forward), ("left", backward)):
    print(f"{kinks}: map {maps[kinks][0, 0, row, column].item():.6f}, difference {difference:.6f}")

# %%
# ``kinks="raise"`` refuses such images, and names the operation:

try:
    imagrad.saliency(encoder.float(), images, kinks="raise")
except imagrad.ImagradError as error:
    print(error)
