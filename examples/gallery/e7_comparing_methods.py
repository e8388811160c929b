"""
Comparing methods
=================

Other methods by the same call, reduced over the latents in the same way, and put through the same check. Needs
``imagrad[compare]`` for Captum, which computes all but the first.
"""

import torch

import imagrad
from imagrad.checks.options import LocalityOptions
from imagrad.data.fitting import Fit
from imagrad.figures import Score, ScorePanel, draw_maps_grid, draw_scores

METHODS = ["saliency", "smoothgrad", "integrated-gradients", "deeplift", "guided-backprop", "occlusion"]

encoder = imagrad.load().encode
digits = imagrad.load_dataset("digits:test[:2]", fit=Fit((1, 28, 28), "resize"))
images = digits.images()

# %%
# Each map has a scale of its own: they measure different things. Integrated gradients, DeepLIFT and their like give a
# pixel the part of the latent that it accounts for, measured from a black image, so black pixels get nothing;
# saliency says how far a change would move the code, and black pixels can.

found = {name: imagrad.attribute(encoder, images, name, seed=0) for name in METHODS}
grid = draw_maps_grid(
    torch.stack([result.maps[k] for k in range(2) for result in found.values()]),
    [name.replace("-", "-\n") for name in METHODS], shared=False,
    images=images.repeat_interleave(len(METHODS), dim=0), row_labels=digits.titles,
)  # fmt: skip

# %%
# A method that did not do what its authors say has findings:

for name, result in found.items():
    print(name, *result.findings or ["nothing to report"])

# %%
# One check, several methods
# --------------------------
#
# Locality asks whether one local map stands for all: the correlation of an image's map with the mean of all others.
# All five checks for all methods are ``imagrad compare``; they take minutes, and this one seconds.

train = imagrad.load_dataset("digits:train").images()
torch.manual_seed(0)
small = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8))
decoder = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.Sigmoid())
optimizer = torch.optim.Adam([*small.parameters(), *decoder.parameters()], lr=0.003)
for _ in range(1000):
    rows = torch.randint(len(train), (50,))
    noisy = (train[rows] + 0.2 * torch.randn(train[rows].shape)).clamp(0, 1)
    loss = torch.nn.functional.binary_cross_entropy(decoder(small(noisy)), train[rows].flatten(1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

scores = []
for name in METHODS:
    result = imagrad.check("locality", small, data="digits", method=name, options=LocalityOptions(images=60))
    scores.append(Score(name, result.score.value, result.score.low, result.score.high))
    print(f"{name}: {result.verdict.outcome}")
controls = {control.name: control.score.value for control in result.controls}
figure = draw_scores([ScorePanel("locality", tuple(scores), controls)], highlight="saliency")
