"""The encoders that are timed: the sorts that are in use, small enough for a minute each on one core."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from imagrad.registry import Registry

Build = Callable[[], nn.Module]

NETWORKS: Registry[tuple[Build, tuple[int, ...]]] = Registry("benchmark network", listed=False)
"""What builds each network, and the shape of one point of it."""


def network(name: str, *shape: int) -> Callable[[Build], Build]:
    """File what builds a network for points of this shape."""

    def file(build: Build) -> Build:
        NETWORKS.register(name)((build, shape))
        return build

    return file


def made(name: str) -> tuple[nn.Module, torch.Tensor]:
    """Return the network, float64 and in eval mode, and a batch of one point."""
    build, shape = NETWORKS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = build().double().eval().requires_grad_(False)
        for buffer_name, buffer in net.named_buffers():
            if buffer_name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
            elif buffer_name.endswith("running_mean"):
                buffer.normal_(std=0.5)
        return net, torch.rand(1, *shape, dtype=torch.float64)


# --- dense and convolutional ---


@network("MLP 784-128-32", 784)
def mlp() -> nn.Module:
    """Build the paper's encoder."""
    return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 32))


@network("conv, batch norm, max pool", 1, 28, 28)
def conv() -> nn.Module:
    """Build the usual small convolutional encoder."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 7 * 7, 32)),
    )


@network("VAE, conv", 1, 28, 28)
class VariationalEncoder(nn.Module):
    """Return the means; the logarithms of the variances are computed and left."""

    def __init__(self) -> None:
        """Build three strided convolutions and two heads."""
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU()),
            *(nn.Conv2d(64, 64, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 16, 128), nn.ReLU()),
        )
        self.mean, self.logvar = nn.Linear(128, 16), nn.Linear(128, 16)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Encode."""
        hidden = self.body(images)
        mean, _ = self.mean(hidden), self.logvar(hidden)
        return mean


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut, as in ResNet-18."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        """Build them."""
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)),
            *(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)),
        )
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Add both ways."""
        return F.relu(self.body(images) + self.shortcut(images), inplace=True)


def resnet18(width: int, latents: int) -> nn.Module:
    """Build a ResNet-18 of some width (the usual one has 64) that ends in a linear layer."""
    stem = [nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    widths = [width, width, 2 * width, 4 * width, 8 * width]
    blocks = [
        BasicBlock(before if first else after, after, 2 if first and k else 1)
        for k, (before, after) in enumerate(pairwise(widths))
        for first in (True, False)
    ]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * width, latents)]
    return nn.Sequential(*stem, nn.MaxPool2d(3, 2, 1), *blocks, *head)


@network("ResNet-18, width 16", 3, 32, 32)
def small_resnet18() -> nn.Module:
    """Build a narrow one."""
    return resnet18(16, 32)


class Residual(nn.Module):
    """What is built of some layers, added to its input."""

    def __init__(self, *layers: nn.Module) -> None:
        """Chain the layers."""
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add."""
        return x + self.body(x)


class Permute(nn.Module):
    """Another order of the axes."""

    def __init__(self, *axes: int) -> None:
        """Remember the order."""
        super().__init__()
        self.axes = axes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Permute."""
        return x.permute(self.axes)


@network("ConvNeXt blocks", 3, 16, 16)
def convnext() -> nn.Module:
    """Build three blocks on patches of 2 x 2."""

    def block(width: int) -> nn.Module:
        return Residual(
            *(nn.Conv2d(width, width, 7, padding=3, groups=width), Permute(0, 2, 3, 1), nn.LayerNorm(width, eps=1e-6)),
            *(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), Permute(0, 3, 1, 2)),
        )

    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(32), nn.Linear(32, 32)]
    return nn.Sequential(nn.Conv2d(3, 32, 2, 2), *(block(32) for _ in range(3)), *head)


@network("U-Net encoder", 1, 32, 32)
class UNetEncoder(nn.Module):
    """The way down of a U-Net, its stages pooled into one code."""

    def __init__(self) -> None:
        """Build three stages."""
        super().__init__()
        self.stages = nn.ModuleList(self.stage(*sizes) for sizes in ((1, 8), (8, 16), (16, 32)))
        self.head = nn.Linear(8 + 16 + 32, 32)

    @staticmethod
    def stage(inputs: int, outputs: int) -> nn.Module:
        """Build two convolutions."""
        return nn.Sequential(
            *(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)),
            *(nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Encode."""
        pooled: list[torch.Tensor] = []
        for stage in self.stages:
            images = stage(images)
            pooled.append(images.mean((2, 3)))
            images = F.max_pool2d(images, 2)
        return self.head(torch.cat(pooled, 1))


# --- attention and recurrence ---


@network("ViT", 1, 28, 28)
class VisionTransformer(nn.Module):
    """Tokens of 4 x 4 pixels, two blocks of attention, 16 latents from the class token."""

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        """Build it."""
        super().__init__()
        self.patches = nn.Conv2d(1, width, 4, 4)
        self.cls, self.place = nn.Parameter(torch.randn(1, 1, width)), nn.Parameter(torch.randn(1, 50, width))
        layers = (
            nn.TransformerEncoderLayer(width, heads, 4 * width, activation="gelu", batch_first=True, norm_first=True)
            for _ in range(2)
        )
        self.blocks, self.head = nn.Sequential(*layers), nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 16))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Encode."""
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls.expand(len(images), -1, -1), tokens], 1) + self.place
        return self.head(self.blocks(tokens)[:, 0])


class Recurrent(nn.Module):
    """The last state of a recurrent network, through a linear layer."""

    def __init__(self, core: nn.Module, size: int) -> None:
        """Put a head of 16 latents on it."""
        super().__init__()
        self.core, self.head = core, nn.Linear(size, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encode."""
        outputs, _ = self.core(x)
        return self.head(outputs[:, -1])


@network("GRU, 10 steps", 10, 16)
def gru() -> nn.Module:
    """Build one layer."""
    return Recurrent(nn.GRU(16, 32, batch_first=True), 32)


@network("LSTM, two ways, 10 steps", 10, 16)
def lstm() -> nn.Module:
    """Build one layer that reads from both ends."""
    return Recurrent(nn.LSTM(16, 32, batch_first=True, bidirectional=True), 64)
