"""Norms by layers, compiled: those of torch's own Jacobian, for networks of many kinds, and refusals to be wrong."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import imagrad
from imagrad.attribution import certified
from imagrad.attribution.blocks import Options, blocks_of
from imagrad.complexstep import norms as norms_module
from imagrad.complexstep.products import layered_norms, layered_task, links, plan, pull_kernel
from imagrad.complexstep.products.assembly import Registers
from imagrad.complexstep.products.layered_task import in_layers
from imagrad.complexstep.reductions import NORMS
from imagrad.complexstep.threads import threads
from imagrad.errors import DerivativeError

from ...marks import slow

EXACT = {
    "l2": lambda rows: (rows * rows).sum(1).sqrt(),
    "l1": lambda rows: rows.abs().sum(1),
    "max": lambda rows: rows.abs().amax(1),
}


@pytest.fixture(autouse=True)
def _however_little(monkeypatch):
    """Take the compiled way however little there is to do."""
    monkeypatch.setattr(layered_task, "_LEAST", 1)
    monkeypatch.setattr(norms_module, "_FEW", 0)


@pytest.fixture
def used(monkeypatch):
    """Note what the compiled function is run for."""
    found = []
    plain = layered_norms._run

    def noted(*arguments):
        found.append(arguments)
        return plain(*arguments)

    monkeypatch.setattr(layered_norms, "_run", noted)
    return found


class Residual(nn.Module):
    """Two convolutions beside a shortcut, which is one too where the stride is not 1."""

    def __init__(self, given, returned, stride=1):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(given, returned, 3, stride, 1, bias=False), nn.BatchNorm2d(returned), nn.ReLU()),
            *(nn.Conv2d(returned, returned, 3, 1, 1), nn.BatchNorm2d(returned)),
        )
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(given, returned, 1, stride)

    def forward(self, x):
        return F.relu(self.body(x) + self.shortcut(x))


class Gated(nn.Module):
    """An activation written as a product of two functions of one convolution."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 5, 3)

    def forward(self, x):
        x = self.conv(2 * x - 1)
        return (x * torch.sigmoid(x)).flatten(1)


class Rows(nn.Module):
    """A dense layer for each row of an image after a convolution of one dimension."""

    def __init__(self):
        super().__init__()
        self.conv, self.dense = nn.Conv1d(8, 6, 3, stride=2, padding=1), nn.Linear(4, 5)

    def forward(self, x):
        return self.dense(torch.tanh(self.conv(x.flatten(1, 2).repeat(1, 1, 1)[:, :8]))).flatten(1)


conv = nn.Conv2d


class Concatenated(nn.Module):
    """Two branches side by side: the layers end below them."""

    def __init__(self):
        super().__init__()
        self.stem, self.wide, self.narrow = conv(2, 4, 3), conv(4, 3, 3, padding=1), conv(4, 2, 1)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        return torch.cat([self.wide(x), self.narrow(x)], 1).flatten(1)


NETWORKS = {
    "one convolution": lambda: [conv(2, 5, 3, padding=1), nn.Flatten()],
    "1 x 1": lambda: [conv(2, 33, 1), nn.Flatten(), nn.Linear(33 * 64, 4)],
    "slopes after the codes": lambda: [conv(2, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(180, 40), nn.ReLU()],
    "pooling": lambda: [conv(2, 9, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 7)],
    "pooling that overlaps": lambda: [conv(2, 9, 3), nn.MaxPool2d(3, 2, 1), conv(9, 3, 3), nn.Flatten()],
    "strides, padding, dilation": lambda: [
        *(
            conv(2, 11, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 3)),
            nn.LeakyReLU(),
            conv(11, 4, 2),
            nn.Tanh(),
        ),
        nn.Flatten(),
    ],
    "transposed": lambda: [nn.ConvTranspose2d(2, 6, 3, stride=2, padding=1), nn.ReLU(), conv(6, 3, 4, 4), nn.Flatten()],
    "residual": lambda: [conv(2, 8, 3), Residual(8, 8), Residual(8, 12, 2), Residual(12, 12), nn.Flatten()],
    "mixed at the end": lambda: [
        *(conv(2, 8, 3), Residual(8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6), nn.Softmax(1)),
    ],
    "two dense": lambda: [conv(2, 3, 3), nn.Flatten(), nn.Linear(108, 50), nn.GELU(), nn.Linear(50, 35), nn.Sigmoid()],
    "gated": lambda: [Gated()],
    "concatenated": lambda: [Concatenated()],
    "dense for each row": lambda: [Rows()],
    "upsampled": lambda: [
        conv(2, 3, 3),
        nn.Upsample(scale_factor=2),
        nn.ReflectionPad2d(1),
        conv(3, 2, 3),
        nn.Flatten(),
    ],
}


def network(name, dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(*NETWORKS[name]())
    with torch.no_grad():
        net.train()(images(9, torch.float32, 5))  # which gives batch normalisation statistics
    return net.eval().requires_grad_(False).to(dtype)


def images(count=5, dtype=torch.float64, seed=1):
    return torch.rand(count, 2, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def jacobian(net, points):
    return torch.func.vmap(torch.func.jacrev(lambda point: net(point[None])[0].flatten()))(points)


def quick_and_slow(quick, all_of_them):
    """Trace these in the quick suite, the others in the slow one."""
    return [*quick, *slow(*sorted(set(all_of_them) - set(quick)))]


@pytest.mark.parametrize(
    ("name", "norm"),
    [
        *(("residual", norm) for norm in EXACT), ("pooling", "max"), ("mixed at the end", "l2"),
        *(pytest.param(name, "l2", marks=pytest.mark.slow) for name in sorted(NETWORKS)),
    ],
)  # fmt: skip
def test_it_is_the_jacobian(name, norm, used):
    net, points = network(name), images()
    found = imagrad.saliency(net, points, norm=norm, engine="transpose").maps
    exact = EXACT[norm](jacobian(net, points))
    assert used
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-13 * float(exact.max()))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("threads_used", [1, 2])
def test_float32_and_threads(count, threads_used, used):
    net, points = network("residual", torch.float32), images(count, torch.float32)
    with threads(threads_used):
        found = imagrad.saliency(net, points, engine="transpose").maps
    exact = EXACT["l2"](jacobian(network("residual"), points.double()))
    assert used and found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-6 * float(exact.max()))


@pytest.mark.parametrize(
    ("registers", "dtype"),
    [
        (Registers(16, 32), torch.float32),
        *(
            pytest.param(registers, dtype, marks=pytest.mark.slow)
            for registers in (Registers(32, 64), Registers(16, 32), Registers(32, 16))
            for dtype in (torch.float32, torch.float64)
            if (registers.count, dtype) != (16, torch.float32)
        ),
    ],
    ids=repr,
)
def test_any_processor(registers, dtype, used, monkeypatch):
    """As for a processor with other registers; this one runs it all the same, if its own are as wide."""
    monkeypatch.setattr(Registers, "of_host", staticmethod(lambda: registers))
    pull_kernel.kernel.cache_clear()
    try:
        net, points = network("residual", dtype), images(3, dtype)
        found = imagrad.saliency(net, points, engine="transpose", certify="none").maps
    finally:
        pull_kernel.kernel.cache_clear()
    exact = EXACT["l2"](jacobian(network("residual"), points.double()))
    assert used
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=20 * torch.finfo(dtype).eps * float(exact.max()))


@pytest.mark.parametrize("name", ["one convolution", "slopes after the codes", "mixed at the end"])
@pytest.mark.parametrize("as_weights", [False, True])
def test_some_latents_and_features(name, as_weights, used):
    net, points = network(name), images()
    rows = jacobian(net, points)
    count = rows.shape[1]
    latents = torch.linspace(-2, 3, count) if as_weights else [count - 1, 0, 3]
    rows = rows * latents.view(-1, 1, 1, 1) if as_weights else rows[:, latents]
    mask = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(2)) < 0.4
    found = imagrad.saliency(net, points, latents=latents, features=mask, engine="transpose").maps
    exact = EXACT["l2"](rows)
    assert used and found[:, ~mask].isnan().all()
    torch.testing.assert_close(found[:, mask], exact[:, mask], rtol=0, atol=1e-13 * float(exact.max()))


@pytest.mark.parametrize("seeds", [1, 2**12])
def test_seeds_a_few_latents_at_a_time(seeds, used, monkeypatch):
    monkeypatch.setattr(layered_task, "_SEEDS", seeds)
    for name in ("one convolution", "mixed at the end"):
        net, points = network(name), images()
        found = imagrad.saliency(net, points, engine="transpose", certify="none").maps
        exact = EXACT["l2"](jacobian(net, points))
        torch.testing.assert_close(found, exact, rtol=0, atol=1e-13 * float(exact.max()))
    assert len(used) > 2


def test_of_one_image_the_result_depends_on_that_image_alone(used):
    net, points = network("residual", torch.float32), images(12, torch.float32)
    whole = imagrad.saliency(net, points, engine="transpose", certify="none").maps
    with threads(2):
        again = imagrad.saliency(net, points, engine="transpose", certify="none", batch_size=5).maps
    torch.testing.assert_close(again, whole, rtol=0, atol=1e-6 * float(whole.max()))
    assert used


def test_an_image_that_nothing_depends_on(used):
    net, points = network("pooling"), images()
    with torch.no_grad():
        net[0].bias.fill_(-100)
    found = imagrad.saliency(net, points, engine="transpose").maps
    assert used and (found == 0).all()


class OfOneSize(nn.Module):
    """Takes a number of images literally, as an exported network does."""

    def __init__(self, net, count):
        super().__init__()
        self.net, self.count = net, count

    def forward(self, x):
        return self.net(x.reshape(self.count, 2, 8, 8))


@pytest.mark.parametrize("count", [4, 20])
def test_network_of_one_batch_size(count, used):
    net, points = network("mixed at the end"), images(count)
    found = imagrad.saliency(OfOneSize(net, count).eval(), points, engine="transpose").maps
    exact = EXACT["l2"](jacobian(net, points))
    assert used
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-13 * float(exact.max()))


class Masked(nn.Module):
    """Multiplies what a convolution gives by a further input."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)

    def forward(self, x, mask):
        return (self.conv(x) * mask[:, None]).flatten(1)


def test_what_is_held_belongs_to_its_image(used, monkeypatch):
    monkeypatch.setattr(layered_norms, "_NUMBERS", 250)  # two images at a time
    torch.manual_seed(0)
    net, points = Masked().double().eval().requires_grad_(False), images()
    masks = torch.rand(5, 6, 6, dtype=torch.float64)
    found = imagrad.saliency(net, points, held=(masks,), engine="transpose").maps
    rows = torch.func.vmap(torch.func.jacrev(lambda x, m: net(x[None], m[None])[0]))(points, masks)
    assert len(used) > 2
    torch.testing.assert_close(found, EXACT["l2"](rows), rtol=0, atol=1e-13)


# --- what it must not be used for ---
def parts_of(net, points):
    return next(blocks_of(net, points, Options()))


class Blurred(nn.Module):
    """Looks as if it only moved numbers, and adds some of them to their neighbours."""

    def __init__(self, amount):
        super().__init__()
        self.conv, self.amount = nn.Conv2d(2, 4, 3), amount

    def forward(self, x):
        x = self.conv(x)
        return (x + self.amount * x.flip(-1)).flatten(1)


@pytest.mark.parametrize("amount", [1.0, 1e-3, -1.0])
def test_mixed_numbers_are_seen(amount, used):
    """Then the general way computes."""
    net, points = Blurred(amount).double().eval().requires_grad_(False), images()
    block = parts_of(net, points)
    layered = in_layers(block.task, 10, "l2")
    assert layered is not None
    assert layered_norms.norms_of_layers(layered, block.features, block.selection, NORMS["l2"]) is None
    found = imagrad.saliency(net, points, engine="transpose").maps
    exact = EXACT["l2"](jacobian(net, points))
    assert not used
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-13 * float(exact.max()))


class Body(nn.Module):
    """A convolution, and whatever is done with what it gives."""

    def __init__(self, body, **layers):
        super().__init__()
        self.conv, self.body = nn.Conv2d(2, 4, 3, padding=1), body
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.body(self, self.conv(x))


HARD = {
    "rows of an image as images": lambda: Body(
        lambda self, y: torch.tanh(self.dense(y.reshape(-1, 8))).reshape(len(y), -1), dense=nn.Linear(8, 3)
    ),
    "channels as images": lambda: Body(
        lambda self, y: torch.relu(self.second(y.reshape(-1, 1, 8, 8))).reshape(len(y), -1), second=nn.Conv2d(1, 2, 3)
    ),
    "recurrent": lambda: Body(
        lambda self, y: self.lstm(y.flatten(2).relu())[0][:, -1], lstm=nn.LSTM(64, 5, batch_first=True)
    ),
    "attention": lambda: Body(
        lambda self, y: self.attention(*[y.flatten(2).transpose(1, 2)] * 3, need_weights=False)[0].mean(1),
        attention=nn.MultiheadAttention(4, 2, batch_first=True),
    ),
    "gated by a comparison": lambda: Body(lambda self, y: (y * (y > 0).to(y.dtype)).mean((2, 3))),
    "gated by the largest": lambda: Body(
        lambda self, y: y.mean((2, 3)) * F.one_hot(y.mean((2, 3)).argmax(1), 4).to(y.dtype)
    ),
    "truth values in a sum": lambda: Body(lambda self, y: (y + torch.isfinite(y).to(y.dtype)).flatten(1)),
    "one number for each image": lambda: Body(lambda self, y: (y[:, 0, 0, 0] + torch.tanh(y)[:, 0, 1, 1])[:, None]),
    "a sum of one number": lambda: Body(
        lambda self, y: (self.one(y.flatten(1))[:, 0] + self.two(y.flatten(1))[:, 0])[:, None],
        one=nn.Linear(256, 1), two=nn.Linear(256, 2),
    ),
    "in another order": lambda: Body(
        lambda self, y: self.dense(y.flatten(1).t().contiguous().tanh().t().flip(1)), dense=nn.Linear(256, 3)
    ),
    "enlarged without need": lambda: Body(
        lambda self, y: self.second(F.interpolate(y, scale_factor=16)).flatten(1), second=nn.Conv2d(4, 1, 128, 128)
    ),
    "nothing left": lambda: Body(
        lambda self, y: self.dense(y[:, :0].flatten(1)) + y[:, 0, 0, :5], dense=nn.Linear(0, 5)
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors is a no-op")
@pytest.mark.parametrize(
    "name", quick_and_slow(["rows of an image as images", "gated by a comparison", "in another order"], HARD)
)
def test_whatever_is_done_with_a_convolution(name):
    """Whether or not the compiled way is taken, and how far down."""
    torch.manual_seed(0)
    net, points = HARD[name]().double().eval().requires_grad_(False), images(6)
    rows = [torch.autograd.functional.jacobian(lambda x: net(x[None])[0], point) for point in points]
    exact = EXACT["l2"](torch.stack(rows))
    found = imagrad.saliency(net, points, engine="transpose", certify="none").maps
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-13 * float(exact.max()))


class OtherWayRound(nn.Module):
    """Of one batch size, with the images in the second axis: both have the same length."""

    def __init__(self, count):
        super().__init__()
        self.conv, self.dense, self.count = nn.Conv2d(2, 4, 3), nn.Linear(144 // count, 3), count

    def forward(self, x):
        y = self.conv(x.reshape(self.count, 2, 8, 8)).reshape(self.count, self.count, -1).transpose(0, 1)
        return torch.tanh(self.dense(y)).transpose(0, 1).flatten(1)


def test_images_that_change_places_with_another_axis():
    torch.manual_seed(0)
    net, points = OtherWayRound(4).double().eval().requires_grad_(False), images(4)
    exact = EXACT["l2"](torch.autograd.functional.jacobian(lambda x: net(x).sum(0), points).transpose(0, 1))
    found = imagrad.saliency(net, points, engine="transpose", certify="none").maps
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-13 * float(exact.max()))


def test_networks_that_are_left_to_the_general_way():
    grouped = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Flatten()).double().eval()
    dense = nn.Sequential(nn.Flatten(), nn.Linear(128, 4)).double().eval()
    for net in (grouped, dense):
        assert in_layers(parts_of(net, images()).task, 10, "l2") is None
    block = parts_of(network("pooling"), images())
    assert in_layers(block.task, 7, "") is None  # a norm that it does not know
    assert in_layers(block.task, 7, "l2") is not None


def test_infinite_weights_are_not_multiplied_by_zero():
    net, points = network("pooling"), images()
    block = parts_of(net, points)
    weight = block.task.program.constants[layered_task.layers_of(block.task.program.graph).all[1].weight.name]
    weight[0, 0, 0, 0] = torch.inf
    assert in_layers(block.task, 7, "l2") is None


def test_it_pays_only_where_there_is_much_to_do(monkeypatch):
    layers = layered_task.layers_of(parts_of(network("pooling"), images()).task.program.graph)
    each = 9 * 64 * 9 * 2 + 144 * 7
    monkeypatch.setattr(layered_task, "_LEAST", 100 * each)
    assert layered_task.pays(layers, 100) and not layered_task.pays(layers, 99)
    monkeypatch.setattr(layered_task, "is_installed", lambda: False)
    assert not layered_task.pays(layers, 100)


# --- planted faults ---
def broken_slopes(arrived, count):
    found = links._read_as_it_is(arrived, count)
    return found and links.Link(found.slopes * 1.01, found.places)


def broken_tiles(layer, weight, widths):
    return plan._tiles_as_they_are(layer, weight.roll(1, 1), widths)


@pytest.mark.parametrize("fault", ["slopes", "weights"])
def test_a_fault_is_caught_by_the_certificate(fault, used, monkeypatch):
    monkeypatch.setattr(certified, "_FEWEST", 64)
    if fault == "slopes":
        monkeypatch.setattr(links, "_read_as_it_is", links.read, raising=False)
        monkeypatch.setattr(links, "read", broken_slopes)
    else:
        monkeypatch.setattr(plan, "_tiles_as_they_are", plan.tiles_of, raising=False)
        monkeypatch.setattr(plan, "tiles_of", broken_tiles)
    with pytest.raises(DerivativeError, match="the maps must agree with derivatives taken by other means"):
        imagrad.saliency(network("residual"), images(), engine="transpose")
    assert used


def test_derivatives_that_overflow_are_refused():
    net, points = network("pooling", torch.float32), images(2, torch.float32)
    with torch.no_grad():
        net[0].weight.mul_(1e30)
        net[4].weight.mul_(1e30)
        net[0].bias.zero_()
    block = parts_of(net, 1e-30 * points)
    layered = in_layers(block.task, 7, "l2")
    with pytest.raises(DerivativeError, match="all derivatives must be finite"):
        layered_norms.norms_of_layers(layered, block.features, block.selection, NORMS["l2"])


@pytest.mark.parametrize(("budget", "expected"), [(10**8, 2), (2 * 10**5, 1), (10**3, 0)])
def test_no_more_threads_than_there_is_memory_for(budget, expected, used):
    net, points = network("residual"), images()
    with threads(2):
        found = imagrad.saliency(net, points, engine="transpose", memory_budget=budget).maps
    assert {arguments[-1] for arguments in used} == ({expected} if expected else set())
    exact = EXACT["l2"](jacobian(net, points))
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-13 * float(exact.max()))
