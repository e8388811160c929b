"""Networks that are exported to ONNX in the tests: small, and with what real ones are made of."""

import torch
from torch import nn
from torch.nn import functional


class DenseVae(nn.Module):
    """An encoder with two outputs."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 12), nn.ELU())
        self.fc_mu, self.fc_logvar = nn.Linear(12, 4), nn.Linear(12, 4)

    def forward(self, x):
        hidden = self.body(x)
        return self.fc_mu(hidden), self.fc_logvar(hidden)


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.GELU(),
        )  # fmt: skip
        self.mu = nn.Linear(24, 5)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.uniform_(-1, 1)
                layer.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = self.features(x)
        return self.mu(x.view(x.size(0), -1))


class Residual(nn.Module):
    """Group and instance norms, resizing, padding, a transposed convolution, a code on the unit sphere."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm, self.pool = nn.GroupNorm(2, 8), nn.AvgPool2d(2)
        self.up, self.last, self.mu = (
            nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1),
            nn.InstanceNorm2d(4, affine=True),
            nn.Linear(4, 5),
        )

    def forward(self, x):
        x = self.first(x)
        x = self.pool(x + self.second(functional.silu(self.norm(x))))
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
        x = functional.interpolate(x, size=(6, 6), mode="bilinear", align_corners=False)
        x = functional.leaky_relu(self.last(self.up(x)), 0.1)
        x = functional.pad(x, (1, 1, 0, 0), mode="reflect")
        return functional.normalize(self.mu(functional.adaptive_avg_pool2d(x, 1).flatten(1)), dim=1)


class Transformer(nn.Module):
    """A vision transformer: patches, a class token, positions, attention."""

    def __init__(self, width=16):
        super().__init__()
        self.patches = nn.Conv2d(1, width, 4, stride=4)
        self.token, self.places = nn.Parameter(torch.randn(1, 1, width)), nn.Parameter(torch.randn(1, 5, width))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 32, 0.0, "gelu", batch_first=True, norm_first=True) for _ in range(2)
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 5)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x)[:, 0])


class Recurrent(nn.Module):
    """Three rows of an image as a sequence."""

    def __init__(self):
        super().__init__()
        self.gru, self.lstm = nn.GRU(8, 6, batch_first=True, bidirectional=True), nn.LSTM(12, 5, batch_first=True)

    def forward(self, x):
        return self.lstm(self.gru(x[:, 0, :3])[0])[0][:, -1]


class Piecewise(nn.Module):
    """What runs on complex numbers in NumPy as well: linear layers, max pools, ReLU, tanh."""

    def __init__(self):
        super().__init__()
        self.conv, self.code = nn.Conv2d(1, 3, 3), nn.Linear(27, 4)

    def forward(self, x):
        return torch.tanh(self.code(functional.max_pool2d(torch.relu(self.conv(x)), 2).flatten(1)))


NETWORKS = {
    "dense": DenseVae, "conv": Convolutional, "residual": Residual, "transformer": Transformer, "recurrent": Recurrent
}  # fmt: skip


def network(name, dtype=torch.float32):
    torch.manual_seed(0)
    return {**NETWORKS, "piecewise": Piecewise}[name]().eval().to(dtype)
