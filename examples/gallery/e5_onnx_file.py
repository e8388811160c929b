"""
An ONNX file
============

A network that came as a file, from whatever made it: its inner tensors are listed, one of them is taken as the code,
and its maps are those of the original. Needs ``imagrad[onnx]``.
"""

import tempfile
from pathlib import Path

import torch
from torch import nn

import imagrad

# %%
# Somebody else's part: a classifier in PyTorch, trained a little, and exported.

torch.manual_seed(0)
train = imagrad.load_dataset("digits:train")
images, labels = train.images(), torch.as_tensor(train.labels)
classifier = nn.Sequential(
    nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    nn.Linear(192, 16), nn.Tanh(), nn.Linear(16, 10),
)  # fmt: skip
optimizer = torch.optim.Adam(classifier.parameters(), lr=0.003)
for _ in range(5):
    for rows in torch.randperm(len(images)).split(50):
        loss = nn.functional.cross_entropy(classifier(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
classifier.eval()

path = Path(tempfile.mkdtemp()) / "classifier.onnx"
batch = ({0: torch.export.Dim("n")},)  # any number of images
program = torch.onnx.export(classifier, (images[:2],), str(path), dynamic_shapes=batch, verbose=False)

# %%
# Our part begins here, with the file alone. It is data: nothing in it is run as code. What can be the code?

digits = imagrad.load_dataset("digits:test[:4]")
network = imagrad.open_network(str(path))
for layer in network.layers(digits.images()):
    print(layer.name, tuple(layer.shape))

# %%
# The sixteen numbers behind the tanh are an embedding of digits. What comes behind them does not count.

embedding = imagrad.open_network(str(path), latent="tanh")
result = imagrad.saliency(embedding.encode, digits.images())
figure = imagrad.draw(result, titles=digits.titles)

# %%
# The same from the network in memory, by its own operations:

original = imagrad.saliency(classifier[:7], digits.images())
worst = ((result.maps - original.maps).abs().max() / original.maps.max()).item()
print(f"worst difference, relative to the largest value: {worst:.1e}")
assert torch.allclose(result.maps, original.maps, rtol=1e-4, atol=1e-5)
