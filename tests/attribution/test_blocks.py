"""How many images an encoder is asked to take at a time."""

import pytest
import torch
from torch import nn

import imagrad
from imagrad.attribution import blocks

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


def test_what_is_held_goes_with_its_images(monkeypatch):
    monkeypatch.setattr(blocks, "_TOGETHER", 1)
    scales = torch.arange(1.0, 12.0)[:, None]
    maps = imagrad.saliency(lambda images, scale: images.flatten(1) * scale, IMAGES, held=(scales,)).maps
    assert torch.allclose(maps.flatten(1), scales.expand(11, 16))
