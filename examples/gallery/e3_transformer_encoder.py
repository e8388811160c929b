"""
A transformer encoder
=====================

Patches of the image are tokens, attention mixes them, and the code is read from all of them. Nothing has to be said
about attention: the network is traced, and each of its operations has a rule.
"""

import torch
from torch import nn

import imagrad
from imagrad.figures import draw_patterns


class PatchTransformer(nn.Module):
    """Sixteen patches of 2 x 2 pixels, a layer of attention, a code of 8 numbers."""

    def __init__(self, width=16, latents=8):
        super().__init__()
        self.patches = nn.Conv2d(1, width, 2, stride=2)
        self.places = nn.Parameter(0.1 * torch.randn(16, width))
        layer = nn.TransformerEncoderLayer(width, 4, 32, dropout=0.0, batch_first=True, activation="gelu")
        self.body = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.code = nn.Linear(16 * width, latents)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2) + self.places  # (n, 16, width)
        return self.code(self.body(tokens).flatten(1))


# %%
# It is trained together with a small decoder, to undo noise.

torch.manual_seed(0)
images = imagrad.load_dataset("digits:train").images()
encoder = PatchTransformer()
decoder = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8)))
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.005)
for _ in range(5):
    for rows in torch.randperm(len(images)).split(50):
        noisy = (images[rows] + 0.2 * torch.randn(images[rows].shape)).clamp(0, 1)
        loss = nn.functional.binary_cross_entropy(decoder(encoder(noisy)), images[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
encoder.eval()
print(f"cross-entropy of the last batch: {loss.item():.3f}")

# %%
# Before a new network is explained it is worth a look at what could make derivatives meaningless:

digits = imagrad.load_dataset("digits:test[:8]")
print(imagrad.preflight(encoder, digits.images()))

# %%
# Then the maps:

result = imagrad.saliency(encoder, digits.images())
figure = imagrad.draw(result, titles=digits.titles)

# %%
# Softmax, GELU and layer normalisation have derivatives everywhere: no operation can stand at a kink.

print(result.ties, result.certificate.nearest_kink)

# %%
# One latent at a time, with its sign: red pixels raise it when they brighten, blue ones lower it.

found = imagrad.latent_maps(encoder, digits.images()[:3], [0, 1, 2, 3])
titles = [f"latent {latent}" for latent in found.latents]
grid = draw_patterns(found.maps, images=digits.images()[:3], titles=titles, label="derivative")
