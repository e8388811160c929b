"""Inner tensors by name: what is returned is what passed there; names that are not there are told apart."""

import pytest
import torch
from torch import nn

import imagrad
from imagrad.errors import EncoderError, InputError
from imagrad.models.inner import UpTo, layers_of, up_to


class Branched(nn.Module):
    """One module called twice, one that returns a dict, a recurrent one, one that is never called."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(8, 6), nn.Linear(6, 5)
        self.act = nn.Tanh()
        self.heads = Heads()
        self.memory = nn.LSTM(8, 3, batch_first=True)
        self.unused = nn.Linear(2, 2)

    def forward(self, images):
        code = self.act(self.second(self.act(self.first(images))))
        self.memory(images[:, None])
        return self.heads(code)


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.mean, self.spread = nn.Linear(5, 2), nn.Linear(5, 2)

    def forward(self, code):
        return {"mean": self.mean(code), "spread": self.spread(code)}


@pytest.fixture
def network():
    return Branched().eval()


@pytest.fixture
def rows():
    return torch.rand(4, 8, generator=torch.Generator().manual_seed(1))


EXPECTED = {
    "first": lambda net, x: net.first(x),
    "act:0": lambda net, x: net.act(net.first(x)),
    "act:1": lambda net, x: net.act(net.second(net.act(net.first(x)))),
    "heads.mean": lambda net, x: net(x)["mean"],  # a module, and a key of the one that holds it: the same
    "heads.spread": lambda net, x: net(x)["spread"],
    "memory.0": lambda net, x: net.memory(x[:, None])[0],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_passed_there(network, rows, name):
    with torch.no_grad():
        assert torch.equal(UpTo(network, name)(rows), EXPECTED[name](network, rows))
    assert not any(module._forward_hooks for module in network.modules()), "a hook was left behind"


def test_a_part_of_a_result(network, rows):
    with torch.no_grad():
        state = network.memory(rows[:, None])[1][0]
        assert torch.equal(UpTo(network, "memory.1.0")(rows), state)
        found = UpTo(nn.Sequential(Heads()), "0.mean")(torch.ones(3, 5))  # the module comes before the key
        assert found.shape == (3, 2)


def test_derivatives_of_an_inner_tensor(network, rows):
    found = imagrad.jacobian(UpTo(network, "act:1").eval(), rows)
    expected = torch.vmap(torch.func.jacrev(lambda x: network.act(network.second(network.act(network.first(x))))))(rows)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("frist", InputError, "'frist' names no module of this network; near: first"),
        ("act:x", InputError, "'act:x' names no module"),
        ("act", EncoderError, r"'act' is called 2 times; say which call: act:0, act:1"),
        ("act:2", EncoderError, "asks for call 2; the last one is 1"),
        ("unused", EncoderError, "a module that the network does not call on these images"),
        ("memory.7", EncoderError, "`output` '7' is not there"),
        ("memory", EncoderError, "must return one tensor of codes"),
    ],
)
def test_names_that_are_not_there(network, rows, name, error, message):
    with pytest.raises(error, match=message):
        UpTo(network, name)(rows)


def test_layers_in_order_with_the_names_that_latent_takes(network, rows):
    layers = layers_of(network, rows)
    shapes = {layer.name: (layer.kind, layer.shape) for layer in layers}
    assert list(shapes)[:4] == ["first", "act:0", "second", "act:1"]
    assert shapes["first"] == ("Linear", (6,)) and shapes["memory.0"] == ("LSTM", (1, 3))
    assert "unused" not in shapes
    with torch.no_grad():
        for layer in layers:
            found = up_to(network, layer.name)(rows)
            assert tuple(found.shape[1:]) == layer.shape, layer.name


def test_layers_of_images_that_the_network_does_not_take(network):
    with pytest.raises(EncoderError, match=r"does not take images of shape \(4, 9\): RuntimeError"):
        layers_of(network, torch.zeros(4, 9))
    assert not any(module._forward_hooks for module in network.modules())
