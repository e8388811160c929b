"""Preflight: each planted fault of a network is found and named, and nothing is found in a clean one."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import imagrad
from imagrad.complexstep import preflight as module
from imagrad.errors import EncoderError, ImageError, InputError


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def images(dtype=torch.float32, count=4):
    return torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(1)).to(dtype)


def kinds(found):
    return {finding.kind for finding in found.findings}


class Net(nn.Module):
    """Flatten, change by a function, and map to three latents."""

    def __init__(self, change=lambda x: x):
        super().__init__()
        self.change = change
        self.linear = nn.Linear(36, 3).requires_grad_(False)
        self.register_buffer("seen", torch.zeros(()))
        self.eval()

    def forward(self, x):
        return self.linear(self.change(x.flatten(1)))


# --- nothing is found in a clean network ---

CONV = nn.Sequential(
    nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.MaxPool2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(16, 3)
).eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("net", [Net(torch.tanh), CONV], ids=["dense", "conv"])
def test_nothing_is_found_in_a_clean_network(net, dtype):
    found = imagrad.preflight(net.to(dtype), images(dtype))
    assert found.findings == () and found.passed
    net.float()


def test_nothing_is_found_for_one_image_or_a_plain_function():
    assert imagrad.preflight(Net(), images(count=1)).findings == ()
    assert imagrad.preflight(lambda x: x.flatten(1).sin(), images()).findings == ()


def test_held_inputs_and_one_of_several_results():
    net = Net()
    both = lambda x, scale: {"code": net(x) * scale, "other": x}  # noqa: E731
    held = (torch.rand(4, 3),)
    assert imagrad.preflight(both, images(), held=held, output="code").findings == ()
    with pytest.raises(EncoderError, match=r"Pick a tensor of it by `output`.*; it holds: 'code' \(4, 3\), 'other'"):
        imagrad.preflight(both, images(), held=held)
    with pytest.raises(ImageError, match="each tensor of `held` must have one row an image, 4 of them; got \\(3, 3\\)"):
        imagrad.preflight(both, images(), held=(torch.rand(3, 3),), output="code")


# --- planted faults ---


class Identity(torch.autograd.Function):
    """Rounding whose gradient pretends that there was none."""

    @staticmethod
    def forward(_, x):
        return (4 * x).round() / 4

    @staticmethod
    def backward(_, gradient):
        return gradient


def counted(net):
    def change(x):
        net.seen.add_(1)
        return x

    return change


def replaced(net):
    def change(x):
        net.seen = net.seen + 1
        return x

    return change


def grows(net):
    def change(x):
        net.linear.bias.data.mul_(1.01)
        return x

    return change


def with_state(make):
    net = Net()
    net.change = make(net)
    return net


PLANTED = {
    "dropout in train mode": (lambda: nn.Sequential(nn.Dropout(), Net()).train(), {"train mode", "randomness"}),
    "batch norm in train mode": (
        lambda: nn.Sequential(nn.BatchNorm2d(1), Net()).train(),
        {"train mode", "images that influence each other", "state that changes"},
    ),
    "functional dropout": (lambda: Net(lambda x: F.dropout(x, 0.5)), {"randomness", "operations"}),
    "random numbers": (lambda: Net(lambda x: x + 1e-6 * torch.rand(36)), {"randomness", "operations"}),
    "the mean of the batch": (lambda: Net(lambda x: x - x.mean(0)), {"images that influence each other"}),
    "a neighbour": (lambda: Net(lambda x: x + x.flip(0)), {"images that influence each other"}),
    "a buffer that is written to": (lambda: with_state(counted), {"state that changes", "operations"}),
    "a buffer that is replaced": (lambda: with_state(replaced), {"state that changes"}),
    "weights that change": (lambda: with_state(grows), {"state that changes", "randomness"}),
    "codes that are not finite": (lambda: Net(lambda x: x / 0), {"codes that are not finite"}),
    "an operation without a rule": (lambda: Net(lambda x: torch.special.bessel_j0(x)), {"operations"}),
    "a branch on the data": (lambda: Net(lambda x: x if x.sum() > 0 else -x), {"operations"}),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_faults_are_found(name):
    make, expected = PLANTED[name]
    net = make()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    found = imagrad.preflight(net, images())
    assert expected <= kinds(found) and not found.passed, str(found)
    after = net.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before), "it is given back as it was"


@pytest.mark.parametrize("count", [1, 2, 4])
def test_mixing_is_found_whatever_the_number_of_images(count):
    found = imagrad.preflight(Net(lambda x: x + 0.1 * x.sum(0)), images(count=count))
    assert "images that influence each other" in kinds(found) and not found.passed


def test_what_changed_is_named_and_given_back():
    net = nn.Sequential(nn.BatchNorm2d(1), Net()).train()
    found = imagrad.preflight(net, images())
    told = next(finding.message for finding in found.findings if finding.kind == "state that changes")
    assert told.startswith("the network changed 0.running_mean, 0.running_var, 0.num_batches_tracked while it ran")
    assert int(net[0].num_batches_tracked) == 0 and net.training


def test_a_network_that_raises_is_given_back_too():
    def fails(x):
        net.seen.add_(1)
        raise RuntimeError("boom")

    net = Net()
    net.change = fails
    with pytest.raises(EncoderError, match="it raised RuntimeError: boom"):
        imagrad.preflight(net, images())
    assert float(net.seen) == 0


def test_the_users_random_numbers_are_those_without_the_look():
    torch.manual_seed(5)
    expected = torch.rand(3)
    net = Net(lambda x: F.dropout(x, 0.5))
    torch.manual_seed(5)
    imagrad.preflight(net, images())
    assert torch.equal(torch.rand(3), expected)


FIRST = images()[0].flatten()
NOTES = {
    "detach": (lambda: Net(lambda x: x * x.detach()), "what is hidden from autograd"),
    "no_grad": (lambda: torch.no_grad()(Net()), "what is hidden from autograd"),
    "a straight-through trick": (
        lambda: Net(lambda x: x + ((4 * x).sin() - x).detach()),
        "what is hidden from autograd",
    ),
    "a gradient of its own": (lambda: Net(Identity.apply), "what is hidden from autograd"),
    "kinks": (lambda: Net(lambda x: (x - FIRST).relu() + x), "kinks"),
    "one batch size": (lambda: Net(lambda x: x.reshape(4, 36)), "images that influence each other"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTES)
def test_what_should_be_known_is_noted(name):
    make, kind = NOTES[name]
    found = imagrad.preflight(make(), images())
    assert found.passed and kind in kinds(found), str(found)
    assert kinds(found) == {kind}, str(found)


def test_kinks_are_counted_and_named():
    found = imagrad.preflight(lambda x: (x.flatten(1) - 0.5).abs(), torch.full((2, 1, 2, 2), 0.5))
    (finding,) = found.findings
    assert finding.message.startswith("aten.abs.default stands exactly at a kink 8 times: the derivative there is a")


def test_the_operation_is_named():
    found = imagrad.preflight(lambda x: torch.special.bessel_j0(x.flatten(1)), images())
    assert "bessel_j0" in found.findings[0].message


def test_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = imagrad.preflight(Net(), images())
        assert "autocast" in kinds(found) and not found.passed
        assert torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision(dtype):
    found = imagrad.preflight(Net(torch.tanh).to(dtype), images(dtype))
    assert kinds(found) == {"half precision"} and found.passed
    assert str(dtype) in found.findings[0].message and "ask for dtype=torch.float32 or float64" in str(found)


@pytest.fixture
def allow_tf32(monkeypatch):
    """Allow TF32 or not; say that it matters on this device, as it does on a graphics card."""
    if torch.backends.flags_frozen():  # by torch's own test tools, which the operator sweep imports
        pytest.skip("torch's flags are frozen in this process")
    monkeypatch.setattr(module, "_TF32_DEVICES", ("cpu",))
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    def allow(products, convolutions):
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = products, convolutions

    yield allow
    allow(*before)


def test_tf32(allow_tf32):
    allow_tf32(False, True)
    assert imagrad.preflight(Net(), images()).findings == (), "it convolves nothing"
    assert kinds(imagrad.preflight(CONV.float(), images())) == {"TF32"}
    allow_tf32(True, False)
    found = imagrad.preflight(Net(), images())
    assert kinds(found) == {"TF32"} and found.passed, str(found)
    assert imagrad.preflight(Net().double(), images(torch.float64)).findings == ()
    allow_tf32(False, False)
    assert imagrad.preflight(CONV.float(), images()).findings == ()


# --- what is no network, no batch ---


@pytest.mark.parametrize(
    ("function", "batch", "error", "message"),
    [
        (None, torch.rand(2, 3), EncoderError, "must be a network or a function; got None"),
        (torch.sin, torch.ones(2, 3, dtype=torch.long), InputError, "Integers, such as the tokens of a text"),
        (torch.sin, torch.rand(0, 3), InputError, r"with at least one element; got one of shape \(0, 3\)"),
        (torch.sin, torch.full((2, 3), torch.nan), InputError, "all values must be finite; 6 of 6"),
        (torch.sum, torch.rand(2, 3), EncoderError, r"one row an image; for 2 images this one returned \(\)"),
        (Net(), torch.rand(2, 3), EncoderError, r"must take a tensor of shape \(2, 3\), torch.float32, on cpu"),
    ],
)
def test_what_cannot_be_looked_at(function, batch, error, message):
    with pytest.raises(error, match=message):
        imagrad.preflight(function, batch)


# --- as data, and in words ---


def test_in_words_and_as_json():
    found = imagrad.preflight(nn.Sequential(nn.Dropout(), Net()).train(), images())
    lines = str(found).splitlines()
    assert lines[0].startswith("Preflight: cannot be explained as it is; looked for: train mode, autocast, ")
    assert lines[1] == "  problem (train mode): 0 (Dropout) is in train mode; call .eval()."
    plain = json.loads(json.dumps(found.as_dict()))
    assert plain["passed"] is False and plain["findings"][0]["kind"] == "train mode"
    assert kinds(found) <= set(plain["looked_for"])
    clean = imagrad.preflight(torch.sin, torch.rand(2, 3))
    assert str(clean).startswith("Preflight: ready to be explained; looked for: ") and "\n" not in str(clean)
