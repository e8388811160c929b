"""
A convolutional autoencoder on picture files
============================================

A network of plain PyTorch and a folder of PNG files, with a sub-folder for each label: trained here, explained, and
summed up by label.
"""

import tempfile
from pathlib import Path

import torch
from PIL import Image
from torch import nn

import imagrad
from imagrad.figures import draw_image_rows, draw_maps_grid

# %%
# The folder
# ----------
#
# Usually it is there already. Here it is made from the embedded digits.

folder = Path(tempfile.mkdtemp()) / "pictures"
digits = imagrad.load_dataset("digits:train")
for name, label, image in zip(digits.names, digits.labels.tolist(), digits.images(), strict=True):
    path = folder / digits.label_names[label] / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((255 * image[0]).byte().numpy()).save(path)

pictures = imagrad.load_dataset(str(folder))
images = pictures.images()
print(len(pictures), "pictures", tuple(images.shape[1:]), "labels", *pictures.label_names)

# %%
# The network
# -----------
#
# It learns to undo noise on its input, as in the paper.


class ConvAutoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(128, 12),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(12, 128), nn.ReLU(), nn.Unflatten(1, (32, 2, 2)),
            nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, images):
        return self.decoder(self.encoder(images))


torch.manual_seed(0)
network = ConvAutoencoder()
optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
for _ in range(30):
    for rows in torch.randperm(len(images)).split(50):
        noisy = (images[rows] + 0.2 * torch.randn(images[rows].shape)).clamp(0, 1)
        loss = nn.functional.binary_cross_entropy(network(noisy), images[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
network.eval().requires_grad_(False)
print(f"cross-entropy of the last batch: {loss.item():.3f}")

shown = images[::180]
figure = draw_image_rows({"images": shown, "reconstructions": network(shown)})

# %%
# Maps
# ----
#
# An encoder is anything that takes a batch and returns a batch of codes; here a part of the network.

some = torch.arange(0, len(images), 7)
result = imagrad.saliency(network.encoder, images[some])
print(result.certificate.passed, tuple(result.maps.shape), result.engine)

labels = torch.as_tensor(pictures.labels)[some]
means = torch.stack([result.maps[labels == label].mean(dim=0) for label in range(10)])
grid = draw_maps_grid(means, [f"label {name}" for name in pictures.label_names], label="mean saliency")

# %%
# For many pictures there is no need to keep anything in memory:
# ``imagrad explain network.pt2 --data pictures --out maps.zarr`` writes their maps into a store, block by block.
