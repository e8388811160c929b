"""What is said to go image by image does; whatever mixes images, or might, is not said to."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from imagrad.complexstep.functions import called
from imagrad.complexstep.image_by_image import is_image_by_image
from imagrad.complexstep.tracing import export

from .networks import NETWORKS, OUTPUTS

X = torch.rand(3, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
ROWS = X.flatten(1)


def seeded(*layers):
    torch.manual_seed(1)
    net = nn.Sequential(*layers).double().eval().requires_grad_(False)
    for buffer in net.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return net


def graph_of(function, *examples):
    return export(function, examples, batched=True)


KNOWN = {
    "dense": lambda: seeded(nn.Flatten(), nn.Linear(128, 6), nn.ReLU(), nn.Linear(6, 3)),
    "conv": lambda: seeded(
        *(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 4, 3, groups=2), nn.AvgPool2d(2), nn.ELU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
    ),
    "1d": lambda: seeded(nn.Flatten(2), nn.Conv1d(2, 3, 3), nn.AvgPool1d(2), nn.Tanh(), nn.Flatten()),
    "3d": lambda: seeded(nn.Unflatten(3, (4, 2)), nn.Conv3d(2, 3, 2), nn.SiLU(), nn.MaxPool3d((2, 2, 1)), nn.Flatten()),
    "layer norm": lambda: seeded(nn.Flatten(), nn.Linear(128, 8), nn.LayerNorm(8), nn.GELU(), nn.PReLU()),
    "by size": lambda: lambda x: torch.sigmoid(x.view(x.size(0), -1)) * 2 + 1,
    "constants": lambda: lambda x: (3 - x.flatten(1)) / (1 + X[:1].flatten(1)) - X[0].flatten(),
    "matrix": lambda: lambda x: torch.exp(x.flatten(1) @ ROWS.T),
    "residual": lambda: lambda x: (x + torch.relu(x)).flatten(1),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_known_networks_do_go_image_by_image(name):
    function = KNOWN[name]()
    assert is_image_by_image(graph_of(function, X))
    others = X.roll(1, 0) * torch.tensor([1.0, 3.0, -2.0]).view(-1, 1, 1, 1)
    others[0] = X[0]
    assert torch.allclose(function(others)[0], function(X)[0], rtol=1e-12, atol=1e-14)


MIXING = {
    "mean": lambda x: x.flatten(1) - x.flatten(1).mean(0),
    "turned round": lambda x: x.flatten(1) + x.flatten(1).flip(0),
    "number of images": lambda x: x.flatten(1) / x.size(0),
    "number of images added": lambda x: x.flatten(1) + x.shape[0],
    "softmax": lambda x: torch.softmax(x.flatten(1), 0),
    "sorted": lambda x: x.flatten(1).sort(0).values,
    "Gram matrix": lambda x: (x.flatten(1) @ x.flatten(1).T)[:, :1],
    "transposed": lambda x: torch.relu(x.flatten(1).T @ x.flatten(1)).sum(0, keepdim=True) + x.flatten(1),
    "reshaped": lambda x: x.reshape(2, -1, 64).transpose(0, 1).reshape(-1, 128),
    "axes in another order": lambda x: x.transpose(0, 1).reshape(-1, 128),
    "first of all": lambda x: x.flatten(1) * x[:1].flatten(1),
    "shifted": lambda x: x.flatten(1).roll(1, 0),
    "batch normalisation": lambda x: F.batch_norm(x, None, None, training=True).flatten(1),
    "layers over images": lambda x: F.layer_norm(x.flatten(1).T, (3,)).T,
    "convolution over images": lambda x: F.conv1d(x.flatten(1), X[0, 0, :3, :3].expand(128, 3, 3)[:3]),
    "outer sum": lambda x: (x.flatten(1)[:, :1] + x.flatten(1)[:, 0]),
}  # fmt: skip


@pytest.mark.parametrize("name", MIXING)
def test_nothing_that_mixes_images_is_taken_for_known(name):
    assert not is_image_by_image(graph_of(MIXING[name], X))


def test_further_inputs_count_images_too():
    held = torch.rand(3, 128, dtype=torch.float64)
    assert is_image_by_image(graph_of(lambda x, h: x.flatten(1) * h, X, held))
    assert not is_image_by_image(graph_of(lambda x, h: x.flatten(1) * h.mean(0), X, held))
    assert not is_image_by_image(graph_of(lambda x, h: x.flatten(1) @ h.T, X, held))


def test_a_graph_of_one_batch_size_is_not_known():
    assert not is_image_by_image(graph_of(lambda x: x.reshape(3, 128) * 2, X))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_of_all_kinds_of_networks_those_that_are_known_do(name):
    net, batch = NETWORKS[name](0)
    if is_image_by_image(export(net, (batch,), batched=True, output=OUTPUTS.get(name))):
        alone, company = (called(net, (x,), OUTPUTS.get(name))[0] for x in (batch[:1], torch.cat([batch, -2 * batch])))
        assert torch.allclose(alone, company, rtol=1e-10, atol=1e-12)
