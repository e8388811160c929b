"""A zoo of small encoders in plain torch, one for each way in which networks are built; the tests' table."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

NETWORKS: dict[str, Callable[[int], tuple[nn.Module, torch.Tensor]]] = {}
"""Name -> a function of the seed that returns a network (float64, eval mode, frozen) and a batch of two points."""
OUTPUTS: dict[str, int | str] = {}
"""Which of its values to differentiate, for a network that returns several."""


def network(name, *shape, output=None):
    """Register what builds a network for points of this shape, be it a function or a class."""

    def register(build):
        def make(seed):
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                torch.manual_seed(seed)
                net = build().double().eval().requires_grad_(False)
                _leave_the_initial_values(net)
                return net, torch.randn(2, *shape, dtype=torch.float64)

        if name in NETWORKS:
            raise ValueError(f"two networks are called {name!r}")
        NETWORKS[name] = make
        if output is not None:
            OUTPUTS[name] = output
        return build

    return register


def _leave_the_initial_values(net):
    """Make running statistics, scales and biases random: at their zeros and ones a wrong rule may give a right answer.

    In place, without gradients.
    """
    for name, buffer in net.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
        elif name.endswith("running_mean"):
            buffer.normal_(std=0.5)
    for parameter in net.parameters():
        if parameter.ndim == 1:
            parameter.add_(0.2 * torch.randn_like(parameter))


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Residual(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.body(x)


class Scale(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(*shape))

    def forward(self, x):
        return self.weight * x


def average(*axes):
    return Apply(lambda x: x.mean(axes))


def swap(*axes):
    return Apply(lambda x: x.transpose(*axes))


def permute(*axes):
    return Apply(lambda x: x.permute(*axes))


# --- dense ---


@network("mlp", 784)
def mlp():
    """The paper's encoder."""
    return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 32))


@network("mlp_smooth", 24)
def mlp_smooth():
    activations = [
        *(nn.Tanh(), nn.Sigmoid(), nn.Softplus(), nn.Softplus(2, 0.5), nn.GELU(), nn.GELU("tanh"), nn.SiLU()),
        *(nn.Mish(), nn.LogSigmoid(), nn.Softsign(), nn.Tanhshrink(), nn.Softmax(-1), nn.Softmin(-1)),
    ]
    layers = [layer for activation in activations for layer in (nn.Linear(24, 24), nn.LayerNorm(24), activation)]
    return nn.Sequential(*layers, nn.Linear(24, 6))


@network("mlp_kinked", 24)
def mlp_kinked():
    # without Hardsigmoid and CELU(0.7), whose autograd derivatives hold float32 constants: see test_rules.py
    activations = [
        *(nn.ELU(), nn.SELU(), nn.CELU(), nn.Hardswish(), nn.Hardtanh(-0.5, 1.2), nn.ReLU6()),
        *(nn.LeakyReLU(0.2), nn.PReLU(24), nn.RReLU(), nn.Softshrink(0.1), nn.Hardshrink(0.1), nn.Threshold(-1, 0.5)),
    ]
    layers = [layer for activation in activations for layer in (nn.Linear(24, 24), nn.LayerNorm(24), activation)]
    return nn.Sequential(*layers, nn.Linear(24, 12), nn.GLU())


@network("normed_weights", 20)
def normed_weights():
    """Weights that are computed from others at each call."""
    return nn.Sequential(
        weight_norm(nn.Linear(20, 16)), nn.Tanh(), spectral_norm(nn.Linear(16, 16)), nn.ReLU(), nn.Linear(16, 5)
    )


@network("bilinear_form", 12)
class BilinearForm(nn.Module):
    """Products of two functions of the input."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.both = nn.Linear(12, 5), nn.Linear(12, 6), nn.Bilinear(5, 6, 4)

    def forward(self, x):
        left, right = torch.tanh(self.left(x)), torch.relu(self.right(x))
        outer = left.unsqueeze(2) @ right.unsqueeze(1)  # (n, 5, 6)
        return torch.cat([self.both(left, right), outer.flatten(1)], 1)


@network("mixture_of_experts", 12)
class MixtureOfExperts(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(12, 3)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 6)) for _ in range(3))

    def forward(self, x):
        answers = torch.stack([expert(x) for expert in self.experts], 1)  # (n, 3, 6)
        return (self.gate(x).softmax(1)[..., None] * answers).sum(1)


# --- convolutional ---


@network("conv_batchnorm", 3, 12, 12)
def conv_batchnorm():
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8, affine=False), nn.MaxPool2d(3, 2, 1), nn.ReLU(inplace=True)),
        *(nn.Flatten(), nn.Linear(32, 8), nn.BatchNorm1d(8)),
    )


@network("conv_strided", 4, 16, 14)
def conv_strided():
    return nn.Sequential(
        *(nn.Conv2d(4, 8, (5, 3), stride=(2, 1), padding=(2, 1)), nn.LeakyReLU(0.1)),
        *(nn.Conv2d(8, 8, 3, dilation=2, groups=4, padding="same"), nn.PReLU(8), nn.AvgPool2d(3, 2, 1)),
        *(nn.Conv2d(8, 8, 3, groups=8, padding=1), nn.PReLU(), nn.AdaptiveAvgPool2d((3, 2)), nn.Flatten()),
    )


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)  # used twice
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return self.relu(out)


@network("resnet18", 3, 32, 32)
def resnet18():
    stem = [nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    widths = [(8, 8, 1), (8, 8, 1), (8, 16, 2), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
    blocks = [BasicBlock(*width) for width in widths]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 16))


@network("vae", 1, 12, 12, output=0)
class VariationalEncoder(nn.Module):
    """Returns (mean, log of the variance)."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 4, 4, 2, 1), nn.ReLU(), nn.Conv2d(4, 8, 4, 2, 1), nn.ReLU(), nn.Flatten())
        )
        self.mean, self.logvar = nn.Linear(72, 5), nn.Linear(72, 5)

    def forward(self, images):
        hidden = self.body(images)
        return self.mean(hidden), self.logvar(hidden)


@network("unet", 1, 16, 16)
class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2, self.bottom = self.stage(1, 4), self.stage(4, 8), self.stage(8, 16)
        self.pool = nn.MaxPool2d(2)
        self.up2, self.merge2 = nn.ConvTranspose2d(16, 8, 2, stride=2), self.stage(16, 8)
        self.up1, self.merge1 = nn.Upsample(scale_factor=2, mode="bilinear"), self.stage(12, 4)
        self.head = nn.Conv2d(4, 1, 1)

    @staticmethod
    def stage(inputs, outputs):
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))

    def forward(self, x):
        first = self.down1(x)
        second = self.down2(self.pool(first))
        third = self.bottom(self.pool(second))
        second = self.merge2(torch.cat([self.up2(third), second], 1))
        return self.head(self.merge1(torch.cat([self.up1(second), first], 1)))


@network("convnext", 3, 16, 16)
def convnext():
    def block():
        norm = [permute(0, 2, 3, 1), nn.LayerNorm(8, eps=1e-6)]
        return Residual(
            *(nn.Conv2d(8, 8, 7, padding=3, groups=8), *norm, nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 8)),
            *(Scale(8), permute(0, 3, 1, 2)),
        )

    return nn.Sequential(nn.Conv2d(3, 8, 2, 2), block(), block(), average(-2, -1), nn.LayerNorm(8), nn.Linear(8, 6))


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, width, hidden, activation):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, hidden, 1), activation, nn.Conv2d(hidden, width, 1)),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return x * self.body(x)


@network("squeeze_excitation", 3, 10, 10)
def squeeze_excitation():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), Gate(8, 2, nn.ReLU()), nn.Conv2d(8, 4, 4, 4), nn.Flatten())


@network("efficientnet", 3, 10, 10)
def efficientnet():
    block = Residual(
        *(nn.Conv2d(6, 18, 1, bias=False), nn.BatchNorm2d(18), nn.SiLU(inplace=True)),
        *(nn.Conv2d(18, 18, 5, padding=2, groups=18, bias=False), nn.BatchNorm2d(18), nn.SiLU(inplace=True)),
        *(Gate(18, 2, nn.SiLU()), nn.Conv2d(18, 6, 1, bias=False), nn.BatchNorm2d(6), nn.Dropout(0.2)),
    )
    return nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.SiLU(), block, average(2, 3), nn.Linear(6, 6))


@network("densenet", 3, 10, 10)
class DenseNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 4, 3, padding=1)) for width in (3, 7, 11)
        )
        self.end = nn.Sequential(nn.Conv2d(15, 6, 1), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(150, 8))

    def forward(self, x):
        features = [x]
        for layer in self.layers:
            features.append(layer(torch.cat(features, 1)))
        return self.end(torch.cat(features, 1))


@network("group_norm", 3, 10, 10)
def group_norm():
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.GroupNorm(4, 8), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.InstanceNorm2d(6, affine=True)),
        *(nn.Tanh(), nn.Conv2d(6, 4, 3), nn.InstanceNorm2d(4, track_running_stats=True), nn.Flatten()),
    )


@network("local_response_norm", 3, 13, 13)
def local_response_norm():
    """As in AlexNet."""
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 5, 2), nn.ReLU(), nn.LocalResponseNorm(5, alpha=0.1), nn.MaxPool2d(3, 1, ceil_mode=True)),
        *(nn.Flatten(), nn.Dropout(), nn.Linear(72, 8)),
    )


@network("pixel_shuffle", 2, 8, 8)
def pixel_shuffle():
    return nn.Sequential(
        *(nn.PixelUnshuffle(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.PixelShuffle(4)),
        *(nn.Conv2d(1, 1, 3, 2, 1), nn.ChannelShuffle(1)),
    )


@network("shufflenet", 4, 8, 8)
class ShuffleNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU6(), nn.Conv2d(4, 4, 3, padding=1, groups=4))
        self.stem, self.head = nn.Conv2d(4, 8, 1), nn.Conv2d(8, 1, 2, 2)

    def forward(self, x):
        kept, changed = self.stem(x).chunk(2, dim=1)
        x = torch.cat([kept, self.branch(changed)], 1)
        n, _, height, width = x.shape
        return self.head(x.view(n, 2, 4, height, width).transpose(1, 2).reshape(n, 8, height, width))


@network("padding_modes", 2, 9, 9)
def padding_modes():
    return nn.Sequential(
        *(nn.ReflectionPad2d(2), nn.Conv2d(2, 4, 3), nn.Tanh(), nn.ReplicationPad2d((1, 0, 2, 1)), nn.ZeroPad2d(1)),
        *(nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), nn.ELU(), nn.ConstantPad2d(-1, 0.5)),
        *(nn.LPPool2d(2, 2), nn.Flatten(), nn.Linear(168, 6)),
    )


@network("interpolation", 2, 6, 6)
def interpolation():
    return nn.Sequential(
        *(nn.Upsample((9, 10)), nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Upsample(scale_factor=1.5, mode="bicubic")),
        *(nn.Conv2d(3, 2, 3, 2), nn.Tanh(), nn.Upsample((7, 3), mode="bilinear", align_corners=True), nn.Flatten()),
    )


@network("transposed_convolution", 3, 6, 6)
def transposed_convolution():
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 4, 3, 2, 1, 1, groups=2), nn.Softplus()),
        nn.ConvTranspose2d(4, 1, 3, padding=2, dilation=2),
    )


@network("unfold", 2, 8, 8)
class Unfold(nn.Module):
    def __init__(self):
        super().__init__()
        self.unfold, self.linear, self.fold = nn.Unfold(3, 1, 1, 2), nn.Linear(18, 9), nn.Fold((6, 6), 3)

    def forward(self, x):
        tokens = torch.tanh(self.linear(self.unfold(x).transpose(1, 2)))  # (n, 16, 9)
        return self.fold(tokens.transpose(1, 2))


@network("conv1d_causal", 2, 24)
def conv1d_causal():
    """Dilated convolutions that see the past alone, over a time series."""

    def block(inputs, dilation):
        past = Apply(lambda x: F.pad(x, (2 * dilation, 0)))
        return [past, weight_norm(nn.Conv1d(inputs, 6, 3, dilation=dilation)), nn.ReLU()]

    pooled = [nn.MaxPool1d(3), nn.AvgPool1d(2), nn.AdaptiveAvgPool1d(3), nn.Flatten()]
    return nn.Sequential(*block(2, 1), *block(6, 2), *block(6, 4), *pooled)


@network("conv3d", 1, 6, 8, 8)
def conv3d():
    return nn.Sequential(
        *(nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.MaxPool3d((1, 2, 2))),
        *(nn.Conv3d(4, 4, (3, 1, 1)), nn.ELU(), nn.AvgPool3d(2), nn.AdaptiveAvgPool3d((2, 1, 1)), nn.Flatten()),
    )


@network("dynamic_convolution", 2, 7, 7)
class DynamicConvolution(nn.Module):
    """The weights are a function of the image."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Sequential(average(2, 3), nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 4 * 2 * 9))

    def forward(self, x):
        n, channels, height, width = x.shape
        kernels = self.weights(x).view(n * 4, channels, 3, 3)
        return F.conv2d(x.reshape(1, n * channels, height, width), kernels, stride=2, groups=n).view(n, 4, 3, 3)


@network("spatial_transformer", 1, 8, 8)
class SpatialTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.where = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 6))
        self.what = nn.Sequential(nn.Conv2d(1, 3, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(27, 6))

    def forward(self, x):
        grid = F.affine_grid(self.where(x).view(-1, 2, 3), list(x.shape), align_corners=False)
        return self.what(F.grid_sample(x, grid, align_corners=False))


# --- pooling and heads ---


@network("statistics_pooling", 3, 8, 8)
class StatisticsPooling(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.power = nn.Parameter(torch.tensor(3.0))

    def forward(self, x):
        x = self.conv(x)
        mean = x.clamp(min=1e-6).pow(self.power).mean((2, 3)).pow(1 / self.power)  # generalised mean
        ends = [torch.amax(x, (2, 3)), torch.amin(x, (2, 3)), F.adaptive_max_pool2d(x, (1, 2)).flatten(1)]
        return torch.cat([mean, *ends, x.std((2, 3)), x.var((2, 3), correction=0), x.norm(dim=(2, 3))], 1)


@network("order_statistics", 9, 4)
class OrderStatistics(nn.Module):
    """Of a set of nine points."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 5)

    def forward(self, x):
        x = self.linear(x)
        chosen = [x.topk(3, dim=1).values.mean(1), x.max(1).values, x.min(dim=1)[0], x.median(1).values]
        return torch.cat([*chosen, x.sort(1, descending=True).values[:, 2], x.gather(1, x.argmax(1, True))[:, 0]], 1)


@network("normalized_embedding", 12)
def normalized_embedding():
    return nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 6), Apply(lambda x: F.normalize(x, dim=1)))


@network("prototypes", 12)
class Prototypes(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.prototypes = nn.Linear(12, 6), nn.Parameter(torch.randn(4, 6))

    def forward(self, x):
        x = self.linear(x)
        cosines = F.cosine_similarity(x[:, None], self.prototypes[None], dim=-1)
        city = (x[:, None] - self.prototypes).abs().sum(-1)
        pairs = F.pairwise_distance(x, self.prototypes[:1])
        return torch.cat([cosines, city, pairs[:, None], torch.cdist(x, self.prototypes)], 1)


@network("log_softmax", 12)
class LogSoftmax(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(12, 8), nn.Linear(8, 6)

    def forward(self, x):
        x = self.second(F.log_softmax(self.first(x), dim=1))
        entropy = -(x.softmax(1) * x.log_softmax(1)).sum(1, keepdim=True)
        return torch.cat([x.logsumexp(1, keepdim=True), entropy, F.log_softmax(x, 1), torch.logaddexp(x, -x)], 1)


@network("preprocessing", 3, 6, 6)
class Preprocessing(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.rand(3, 1, 1))
        self.register_buffer("deviation", 0.5 + torch.rand(3, 1, 1), persistent=False)
        self.linear = nn.Linear(108, 8)

    def forward(self, x):
        x = (x.clamp(-1.2, 1.5) - self.mean) / self.deviation
        x = torch.sign(x) * torch.sqrt(x.abs() + 1e-3) + torch.log1p(x.square()) - torch.rsqrt(1 + x**2)
        x = torch.maximum(x, 0.1 * x) + torch.minimum(x, self.mean) + torch.hypot(x, 1 - x) + torch.exp2(-x)
        return self.linear(x.flatten(1) - torch.log(1.5 + x.abs()).flatten(1))


@network("fourier_features", 3)
class FourierFeatures(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("frequencies", 2 * torch.randn(3, 10))
        self.linear = nn.Linear(30, 6)

    def forward(self, x):
        angles = 2 * math.pi * x @ self.frequencies
        return self.linear(torch.cat([angles.sin(), angles.cos(), torch.atan2(angles.sin(), 2 + angles.cos())], -1))


@network("masks", 16)
class Masks(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(16, 8)
        self.register_buffer("holes", torch.rand(8) > 0.7)

    def forward(self, x):
        y = self.linear(torch.where(x > 0.2, 2 * x, x**2))
        y = torch.where((y > -0.5) & (y < 0.5), torch.sin(y), torch.where(y.ge(0), y, 0.1))
        y = y.masked_fill(self.holes, -1.0) + y * (y > 0).to(y.dtype)
        return y + x[:, :8] * (x[:, 8:] > x[:, :8])


@network("slice_assignment", 4, 6)
class SliceAssignment(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x):
        x = self.linear(x)
        buffer = x.new_zeros(x.shape[0], 5, 8)
        buffer[:, :4, 1:7] = x
        buffer[:, 1::2, :3] += torch.tanh(x[:, ::2, 3:])
        buffer[:, 4, 1:7] = x[:, 0] * x[:, 1]
        buffer[:, 2, 5].mul_(3).add_(1)
        buffer[..., 7] = 2.0
        return buffer


@network("capsules", 12, 4)
class Capsules(nn.Module):
    """Two rounds of dynamic routing."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(12, 3, 4, 5))

    def forward(self, x):
        votes = torch.einsum("nid,ijde->nije", self.squash(x), self.weight)  # (n, 12, 3, 5)
        logits = torch.zeros_like(votes[..., 0])
        for _ in range(2):
            capsules = self.squash((logits.softmax(2)[..., None] * votes).sum(1))  # (n, 3, 5)
            logits = logits + (votes * capsules[:, None]).sum(-1)
        return torch.linalg.vector_norm(capsules, dim=-1)

    @staticmethod
    def squash(x):
        squared = x.pow(2).sum(-1, keepdim=True)
        return squared / (1 + squared) * x / torch.sqrt(squared + 1e-9)


@network("returns_dict", 10, output="embedding")
class ReturnsDict(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(10, 8), nn.Linear(8, 4)

    def forward(self, x):
        hidden = torch.relu(self.first(x))
        return {"hidden": hidden, "embedding": self.second(hidden)}


@dataclass
class Latents:
    mean: torch.Tensor
    logvar: torch.Tensor


@dataclass
class Encoded:
    hidden: torch.Tensor
    latents: Latents


@network("returns_dataclass", 10, output="latents.mean")
class ReturnsDataclass(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(10, 8), nn.Linear(8, 6)

    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        return Encoded(hidden, Latents(*self.second(hidden).split(3, dim=1)))


# --- recurrent ---


class Recurrent(nn.Module):
    """What `read` makes of the outputs and the last state of a recurrent network."""

    def __init__(self, core, read):
        super().__init__()
        self.core, self.read = core, read

    def forward(self, x):
        return self.read(*self.core(x))


@network("rnn_tanh", 4, 4)
def rnn_tanh():
    return Recurrent(nn.RNN(4, 6, batch_first=True), lambda outputs, last: outputs[:, -1])


@network("gru", 4, 4)
def gru():
    return Recurrent(nn.GRU(4, 6, batch_first=True), lambda outputs, last: last[-1])


@network("lstm_bidirectional", 3, 4)
def lstm_bidirectional():
    core = nn.LSTM(4, 5, num_layers=2, batch_first=True, bidirectional=True)
    return Recurrent(core, lambda outputs, last: torch.cat([outputs.mean(1), last[0][-1], last[1][-1]], 1))


# --- attention ---


class SelfAttention(nn.Module):
    """By `nn.MultiheadAttention`."""

    def __init__(self, width, heads):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


class ScaledAttention(nn.Module):
    """By `F.scaled_dot_product_attention`, of queries and keys turned by their place where `rotary`."""

    def __init__(self, width, heads, is_causal=False, rotary=False):
        super().__init__()
        self.heads, self.is_causal, self.rotary = heads, is_causal, rotary
        self.inputs, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, tokens, width = x.shape
        q, k, v = self.inputs(x).view(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        if self.rotary:
            q, k = self.turn(q), self.turn(k)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.is_causal)
        return self.output(mixed.transpose(1, 2).reshape(n, tokens, width))

    @staticmethod
    def turn(x):
        half = x.shape[-1] // 2
        place = torch.arange(x.shape[-2], dtype=x.dtype, device=x.device)[:, None]
        angles = place * 10.0 ** -torch.arange(half, dtype=x.dtype, device=x.device)
        first, second = x[..., :half], x[..., half:]
        return torch.cat(
            [first * angles.cos() - second * angles.sin(), first * angles.sin() + second * angles.cos()], -1
        )


class Tokens(nn.Module):
    """Patches of the image after a class token, each with a learnt place."""

    def __init__(self, channels, patch, count, width):
        super().__init__()
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.cls, self.place = nn.Parameter(torch.randn(1, 1, width)), nn.Parameter(torch.randn(1, 1 + count, width))

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        return torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.place


def transformer_block(attention, width, activation):
    mixing = nn.Sequential(nn.Linear(width, 2 * width), activation, nn.Dropout(0.1), nn.Linear(2 * width, width))
    return nn.Sequential(Residual(nn.LayerNorm(width), attention), Residual(nn.LayerNorm(width), mixing))


first_token = Apply(lambda x: x[:, 0])


@network("vit", 3, 12, 12)
def vit():
    blocks = [transformer_block(attention, 8, nn.GELU()) for attention in (SelfAttention(8, 2), ScaledAttention(8, 2))]
    return nn.Sequential(Tokens(3, 4, 9, 8), *blocks, nn.LayerNorm(8), first_token, nn.Linear(8, 8))


@network("clip", 3, 8, 8)
def clip():
    quick_gelu = Apply(lambda x: x * torch.sigmoid(1.702 * x))
    blocks = [transformer_block(SelfAttention(8, 2), 8, quick_gelu) for _ in range(2)]
    head = [nn.LayerNorm(8), nn.Linear(8, 5, bias=False), Apply(lambda x: x / x.norm(dim=-1, keepdim=True))]
    return nn.Sequential(Tokens(3, 4, 4, 8), nn.LayerNorm(8), *blocks, first_token, *head)


@network("transformer_encoder_norm_first", 5, 8)
def transformer_encoder_norm_first():
    layer = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(8), enable_nested_tensor=False)


@network("transformer_encoder_norm_last", 5, 8)
def transformer_encoder_norm_last():
    layer = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True)
    return nn.Sequential(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), average(1))


@network("transformer_encoder_causal", 5, 8)
class TransformerEncoderCausal(nn.Module):
    """The sequence first, a mask against looking ahead; `is_causal` saves torch a look at the mask's values."""

    def __init__(self):
        super().__init__()
        self.core = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 1, enable_nested_tensor=False)

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(5, device=x.device, dtype=x.dtype)
        return self.core(x.transpose(0, 1), mask=mask, is_causal=True)[-1]


@network("llama", 6, 8)
def llama():
    """Root mean square norms, rotary places, a causal mask, SwiGLU."""

    class SwiGLU(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.up, self.down = (nn.Linear(*sizes, bias=False) for sizes in ((8, 16), (8, 16), (16, 8)))

        def forward(self, x):
            return self.down(F.silu(self.gate(x)) * self.up(x))

    attention = ScaledAttention(8, 2, is_causal=True, rotary=True)
    blocks = [Residual(nn.RMSNorm(8, eps=1e-6), attention), Residual(nn.RMSNorm(8, eps=1e-6), SwiGLU())]
    return nn.Sequential(*blocks, nn.RMSNorm(8, eps=1e-6), Apply(lambda x: x[:, -1]))


@network("einsum_attention", 6, 8)
class EinsumAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value = (nn.Parameter(torch.randn(2, 8, 4)) for _ in range(3))
        self.output = nn.Parameter(torch.randn(2, 4, 8))

    def forward(self, x):
        q, k, v = (torch.einsum("ntd,hde->nhte", x, weight) for weight in (self.query, self.key, self.value))
        weights = (torch.einsum("nhte,nhse->nhts", q, k) / 2).softmax(-1)
        return torch.einsum("nhts,nhse,hed->ntd", weights, v, self.output).mean(1)


@network("linear_attention", 6, 4)
class LinearAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inputs = nn.Linear(4, 12)

    def forward(self, x):
        q, k, v = self.inputs(x).chunk(3, dim=-1)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        sums = (k[..., None] * v[..., None, :]).cumsum(1)  # (n, 6, 4, 4)
        return (q[..., None, :] @ sums).squeeze(-2) / (q * k.cumsum(1)).sum(-1, keepdim=True)


@network("mlp_mixer", 3, 8, 8)
def mlp_mixer():
    def mixing(width):
        return [nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)]

    def block():
        tokens = Residual(nn.LayerNorm(8), swap(1, 2), *mixing(16), swap(1, 2))
        return nn.Sequential(tokens, Residual(nn.LayerNorm(8), *mixing(8)))

    patches = [nn.Conv2d(3, 8, 2, 2), nn.Flatten(2), swap(1, 2)]
    return nn.Sequential(*patches, block(), block(), nn.LayerNorm(8), average(1), nn.Linear(8, 6))


class WindowAttention(nn.Module):
    """Attention within windows of 2 x 2 tokens on a grid of 4 x 4, shifted by one, with a bias by relative place."""

    def __init__(self, width, heads, shift):
        super().__init__()
        self.heads, self.shift = heads, shift
        self.inputs, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.biases = nn.Parameter(torch.randn(9, heads))
        place = torch.cartesian_prod(torch.arange(2), torch.arange(2))
        difference = place[:, None] - place[None] + 1  # (4, 4, 2)
        self.register_buffer("index", difference[..., 0] * 3 + difference[..., 1])

    def forward(self, x):
        n, height, width, channels = x.shape
        x = torch.roll(x, (-self.shift, -self.shift), (1, 2)) if self.shift else x
        windows = x.view(n, height // 2, 2, width // 2, 2, channels).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, channels)
        q, k, v = self.inputs(windows).view(-1, 4, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        logits = q @ k.transpose(-2, -1) * (channels // self.heads) ** -0.5
        weights = (logits + self.biases[self.index.view(-1)].view(4, 4, -1).permute(2, 0, 1)).softmax(-1)
        mixed = self.output((weights @ v).transpose(1, 2).reshape(-1, 4, channels))
        mixed = mixed.view(n, height // 2, width // 2, 2, 2, channels).permute(0, 1, 3, 2, 4, 5)
        mixed = mixed.reshape(n, height, width, channels)
        return torch.roll(mixed, (self.shift, self.shift), (1, 2)) if self.shift else mixed


@network("swin", 3, 8, 8)
def swin():
    def block(shift):
        mixing = Residual(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        return nn.Sequential(Residual(nn.LayerNorm(8), WindowAttention(8, 2, shift)), mixing)

    patches = [nn.Conv2d(3, 8, 2, 2), permute(0, 2, 3, 1)]
    return nn.Sequential(*patches, block(0), block(1), nn.LayerNorm(8), average(1, 2), nn.Linear(8, 6))


@network("graph_convolution", 6, 4)
class GraphConvolution(nn.Module):
    """Messages along the edges of a fixed graph of six nodes."""

    def __init__(self):
        super().__init__()
        self.register_buffer("edges", torch.tensor([[0, 1, 2, 3, 4, 5, 0, 2], [1, 2, 3, 4, 5, 0, 3, 5]]))
        self.own, self.sent = nn.Linear(4, 5), nn.Linear(4, 5)

    def forward(self, x):
        start, end = self.edges
        messages = torch.relu(self.sent(x))[:, start]  # (n, 8, 5)
        received = torch.zeros_like(messages[:, :6]).index_add(1, end, messages)
        return torch.tanh(self.own(x) + received).flatten(1)
