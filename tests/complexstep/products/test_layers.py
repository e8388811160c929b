"""Networks in layers, and where each number between them comes from: against what is written out by hand."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from imagrad.attribution.blocks import Options, blocks_of
from imagrad.complexstep.products import links
from imagrad.complexstep.products.layers import CONVOLUTION, DENSE, INPUT, SUM, Layer, layers_of
from imagrad.complexstep.products.links import link


def images(count=4):
    return torch.rand(count, 2, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def task_of(net, points=None):
    torch.manual_seed(0)
    net = net().double().eval()
    return next(blocks_of(net, images() if points is None else points, Options())).task, net


class Branches(nn.Module):
    """A sum of two branches, one of them empty; then a mean, which mixes."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x):
        x = torch.relu(self.first(x))
        return self.last((x + self.second(x)).mean((2, 3)))


def pooled():
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48, 5), nn.Tanh()
    )


def test_kinds_and_top():
    task, _ = task_of(pooled)
    layers = layers_of(task.program.graph)
    assert [layer.kind for layer in layers.all] == [INPUT, CONVOLUTION, DENSE]
    assert layers.is_whole and "tanh" in layers.top.name
    task, _ = task_of(Branches)
    layers = layers_of(task.program.graph)
    assert [layer.kind for layer in layers.all] == [INPUT, CONVOLUTION, CONVOLUTION, SUM]
    assert not layers.is_whole and layers.top is layers.all[-1].node


@pytest.mark.parametrize(
    "net",
    [
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(128, 3)),
        lambda: nn.Sequential(nn.Softmax(1), nn.Conv2d(2, 3, 3), nn.Flatten()),
    ],
)
def test_none_without_a_convolution_to_take_out(net):
    task, _ = task_of(net)
    assert layers_of(task.program.graph) is None


def test_links_are_slopes_and_places():
    """Of max pooling over a ReLU: the pixel that torch's own pooling picks, where it is above zero."""
    task, net = task_of(pooled)
    layers = layers_of(task.program.graph)
    found = link(task, layers, links.all_tangents(layers, len(task.point), task.point.dtype))
    with torch.no_grad():
        given = net[0](images())
        values, picked = F.max_pool2d(given.relu(), 2, return_indices=True)
        codes = net(images())
    (of_dense,) = found.links[2]
    alive = (values > 0).flatten(1)
    assert torch.equal(of_dense.slopes, alive.double())
    place = picked * 3 + torch.arange(3).view(1, 3, 1, 1)  # the channels lie last
    assert torch.equal(of_dense.places[alive].long(), place.flatten(1)[alive])
    torch.testing.assert_close(found.top.slopes, 1 - codes**2)
    assert found.top.places is None and found.links[1][0].places is None
    assert torch.equal(found.links[1][0].slopes, torch.ones(4, 128, dtype=torch.float64))
    torch.testing.assert_close(found.value, codes)


COUNT = 300
MIXTURES = {
    "the mean of two": lambda x: 0.5 * (x + x.roll(1, -1)),
    "a difference": lambda x: x - x.roll(1, -1),
    "a little of another": lambda x: x + 1e-4 * x.roll(1, -1),
    "one number alone": lambda x: torch.cat([x[..., :1] + x[..., 1:2], x[..., 1:]], -1),
    "one that cancels": lambda x: torch.cat([1e-6 * (x[..., :1] - x[..., 1:2]), x[..., 1:]], -1),
    "other images": lambda x: x.flip(1),
    "one number of another image": lambda x: torch.cat([x[..., :1].flip(1), x[..., 1:]], -1),
}


def marks(images, count, dtype=torch.float64):
    """The tangents as they begin at a layer of so many numbers."""
    layer = Layer(SimpleNamespace(meta={"val": torch.empty(images, count)}), DENSE, ())
    return links.tangents(layer, 3 if count <= links._BASE else 4, images, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", sorted(MIXTURES))
def test_mixtures_are_seen(name, dtype):
    slopes = 0.1 + torch.rand(2, COUNT, generator=torch.Generator().manual_seed(0)).to(dtype)
    arrived = marks(2, COUNT, dtype) * slopes
    assert links.read(arrived, COUNT) is not None
    assert links.read(MIXTURES[name](marks(2, COUNT, dtype)) * slopes, COUNT) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [1, 5000, 1_000_000])
def test_places_come_through_any_slopes(count, dtype):
    generator = torch.Generator().manual_seed(0)
    begun, places = marks(3, count, dtype), torch.randint(count, (3, 2000), generator=generator)
    exponents = torch.randint(-40, 20, (3, 2000), generator=generator)  # of which some make float32 denormal
    slopes = torch.randn(3, 2000, generator=generator).to(dtype) * 10.0**exponents
    slopes[:, ::7] = 0
    found = links.read(begun.gather(2, places.expand(len(begun), -1, -1)) * slopes, count)
    alive = slopes != 0
    torch.testing.assert_close(found.slopes, slopes, rtol=1e-6, atol=0)
    assert found.places is None or torch.equal(found.places[alive].long(), places[alive])


def test_slopes_that_are_no_numbers():
    arrived = marks(2, 9)
    arrived[:, 1, 3] = torch.nan
    assert links.read(arrived, 9) is None
