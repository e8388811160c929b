"""How many images an encoder is asked to take at a time."""

import pytest
import torch
from torch import nn

import imagrad
from imagrad.attribution import blocks
from imagrad.attribution.blocks import Options
from imagrad.complexstep import norms
from imagrad.complexstep.products.first_product import Opening
from imagrad.errors import EncoderError, UnsupportedOperationError

IMAGES = torch.rand(11, 1, 4, 4, generator=torch.Generator().manual_seed(0))


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(16, 20), nn.ReLU(), nn.Linear(20, 3)).requires_grad_(False)
        self.seen = []

    def forward(self, images):
        if not torch.compiler.is_exporting():
            self.seen.append(len(images))
        return self.net(images)


def counted(**how):
    net = Counting().eval()
    return imagrad.saliency(net, IMAGES, **how), net.seen


def test_encoding_goes_in_parts_that_stay_in_the_cache(monkeypatch):
    whole, seen = counted()
    assert max(seen) == 11
    monkeypatch.setattr(blocks, "_TOGETHER", 3 * 20)
    parts, seen = counted()
    assert max(seen[1:]) == 3 and seen.count(3) == 3 and seen.count(2) == 1, "but for what it is traced with"
    assert torch.equal(parts.maps, whole.maps)
    assert torch.equal(parts.codes, whole.codes) or torch.allclose(parts.codes, whole.codes, rtol=1e-6)
    assert parts.ties == whole.ties


def test_who_asks_for_a_batch_size_gets_it(monkeypatch):
    monkeypatch.setattr(blocks, "_TOGETHER", 1)
    assert max(counted(batch_size=5)[1]) == 5


@pytest.mark.parametrize("together", [1, 40, 10**6])
def test_ties_of_all_parts_are_counted(monkeypatch, together):
    monkeypatch.setattr(blocks, "_TOGETHER", together)
    result = imagrad.saliency(nn.Sequential(nn.Flatten(), nn.ReLU()), torch.zeros(7, 2, 2), certify="none")
    assert result.ties == {"aten.relu.default": 28}


@pytest.mark.parametrize("count", [1, 3, 4, 5])
@pytest.mark.parametrize("dtype", [None, torch.float64])
def test_ties_are_counted_of_what_was_traced_with_too(count, dtype):
    net = nn.Sequential(nn.Flatten(), nn.ReLU())
    for _ in range(2):  # traced, and known
        assert imagrad.saliency(net, torch.zeros(count, 2, 2), dtype=dtype).ties == {"aten.relu.default": 4 * count}


def test_what_is_held_goes_with_its_images(monkeypatch):
    monkeypatch.setattr(blocks, "_TOGETHER", 1)
    scales = torch.arange(1.0, 12.0)[:, None]
    maps = imagrad.saliency(lambda images, scale: images.flatten(1) * scale, IMAGES, held=(scales,)).maps
    assert torch.allclose(maps.flatten(1), scales.expand(11, 16))


@pytest.mark.parametrize("count", [1, 4, 5])
def test_what_is_taken_apart_is_compared_with_the_encoder(monkeypatch, count):
    """Also for the images that it was traced with, whose codes by the whole program are known."""
    plain = Opening.value
    monkeypatch.setattr(norms, "_FEW", 0)
    monkeypatch.setattr(Opening, "value", lambda *args: plain(*args) - 0.3)
    with pytest.raises(EncoderError, match="the traced network must give the codes that the network gives"):
        imagrad.saliency(Counting().eval(), IMAGES[:count], engine="transpose", certify="none")


@pytest.mark.parametrize(
    ("are_maps", "features", "expected"), [(False, 784, 1024), (True, 784, 2048), (False, 12288, 85)]
)
def test_more_images_of_maps_than_of_jacobians_go_together(are_maps, features, expected):
    assert Options(are_maps=are_maps).images_at_once(features) == expected
    assert Options(are_maps=are_maps, batch_size=7).images_at_once(features) == 7


class Sized(nn.Module):
    """A dense network that asks for the number of images after its first product."""

    def __init__(self, way):
        super().__init__()
        torch.manual_seed(2)
        self.first, self.second, self.way = nn.Linear(16, 20), nn.Linear(20, 3), way
        self.requires_grad_(False)

    def forward(self, images):
        count = images.shape[0]
        hidden = torch.relu(self.first(images.reshape(count, -1)))
        if self.way == "view":
            return self.second(hidden.view(count, 20))
        if self.way == "zeros":
            return self.second(hidden) + torch.zeros(count, 3)
        return self.second(hidden) + torch.ones(1, 3).expand(count, 3)


@pytest.mark.parametrize("way", ["view", "zeros", "expand"])
@pytest.mark.parametrize("how", [{}, {"batch_size": 7}, {"certify": "none"}])
def test_sizes_that_a_network_asks_for_are_those_of_the_part(monkeypatch, way, how):
    net = Sized(way).eval()
    expected = torch.func.vmap(torch.func.jacrev(lambda image: net(image[None])[0]))(IMAGES).norm(dim=1)
    monkeypatch.setattr(blocks, "_TOGETHER", 2 * 20)
    assert torch.allclose(imagrad.saliency(net, IMAGES, **how).maps, expected, atol=1e-6)
    assert torch.allclose(imagrad.jacobian(net, IMAGES).norm(dim=1), expected, atol=1e-6)


class Several(nn.Module):
    """Takes no single image."""

    def __init__(self):
        super().__init__()
        self.net = Counting().net

    def forward(self, images):
        if images.shape[0] == 1:
            raise ValueError("a single image")
        return self.net(images)


def test_an_encoder_that_takes_no_single_image_is_given_more(monkeypatch):
    expected = imagrad.saliency(Counting().net, IMAGES).maps
    for together in (20, 40):
        monkeypatch.setattr(blocks, "_TOGETHER", together)
        assert torch.allclose(imagrad.saliency(Several().eval(), IMAGES).maps, expected)


def test_what_is_unknown_is_said_after_a_few_images():
    class Unknown(Counting):
        def forward(self, images):
            return torch.special.zeta(2 + super().forward(images).abs(), 2.0)

    net = Unknown().eval()
    with pytest.raises(UnsupportedOperationError, match="zeta"):
        imagrad.saliency(net, IMAGES)
    assert net.seen == [4]


def test_an_error_speaks_of_the_batch_that_was_given():
    net = nn.Sequential(nn.Linear(3, 2)).eval()
    with pytest.raises(EncoderError, match=r"take a tensor of shape \(11, 1, 4, 4\)"):
        imagrad.saliency(net, IMAGES)
