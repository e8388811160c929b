"""Dense networks taken apart at their first product: the same norms, without what is dead."""

import pytest
import torch
from torch import nn

from imagrad.attribution.blocks import Options, blocks_of
from imagrad.attribution.saliency import saliency
from imagrad.complexstep import norms
from imagrad.complexstep.norms import norms_of_columns
from imagrad.complexstep.products import first_product
from imagrad.complexstep.reductions import NORMS
from imagrad.complexstep.selection import select, select_features
from imagrad.errors import DerivativeError

PIXELS, HIDDEN, LATENTS = 12, 9, 5


@pytest.fixture(autouse=True)
def not_held(monkeypatch):
    """Take no Jacobian for small enough to be held."""
    monkeypatch.setattr(norms, "_FEW", 0)


def dense(seed=0, dead=(1, 4), dtype=torch.float64):
    """Build an encoder of which some hidden units and one latent are dead for all images from 0 to 1."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, LATENTS), nn.ReLU())
    with torch.no_grad():
        net[1].bias[list(dead)] = -100
        net[3].bias[2] = -100
    return net.to(dtype).eval().requires_grad_(False)


def images(count=7, seed=1, dtype=torch.float64):
    return torch.rand(count, 3, 4, generator=torch.Generator().manual_seed(seed)).to(dtype)


def by_autograd(encoder, points, weights=None, norm="l2"):
    """Take the norms from a loop of gradients."""
    points = points.clone().requires_grad_()
    codes = encoder(points).flatten(1)
    rows = torch.stack([torch.autograd.grad(codes[:, k].sum(), points, retain_graph=True)[0] for k in range(LATENTS)])
    rows = rows if weights is None else rows * weights[:, None, None, None]
    return {"l2": rows.square().sum(0).sqrt(), "l1": rows.abs().sum(0), "max": rows.abs().amax(0)}[norm]


class Matrix(nn.Module):
    """The same by a matrix behind the input, whose sizes are asked for later."""

    def __init__(self, product, count=lambda x: x.shape[0]):
        super().__init__()
        self.net, self.product, self.count = dense(), product, count

    def forward(self, x):
        first, second = self.net[1], self.net[3]
        hidden = self.product(x.reshape(self.count(x), -1), first.weight.T, first.bias).relu()
        return second(hidden.view(self.count(x), -1)).relu()


def block(encoder, points, **options):
    (found,) = blocks_of(encoder, points, Options(**options))
    return found


@pytest.mark.parametrize("norm", ["l2", "l1", "max"])
@pytest.mark.parametrize("latents", [None, [3, 0], torch.tensor([0.5, -2.0, 1.0, 0.0, 3.0], dtype=torch.float64)])
def test_norms_are_those_of_a_loop_of_gradients(norm, latents):
    encoder, points = dense(), images()
    weights = torch.ones(LATENTS, dtype=torch.float64)
    if isinstance(latents, list):
        weights = torch.zeros(LATENTS, dtype=torch.float64).index_fill(0, torch.tensor(latents), 1)
    elif latents is not None:
        weights = latents
    assert block(encoder, points).opening is not None
    found = saliency(encoder, points, norm=norm, latents=latents, engine="transpose").maps
    torch.testing.assert_close(found, by_autograd(encoder, points, weights, norm), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    "product",
    [lambda x, w, b: torch.addmm(b, x, w), lambda x, w, b: x @ w + b, lambda x, w, b: torch.mm(x, w) + b],
    ids=["addmm", "matmul", "mm"],
)
def test_matrix_behind_the_input(product):
    encoder, points = Matrix(product).eval(), images(600)
    found = block(encoder, points)
    assert found.opening is not None and found.opening.weight.shape == (HIDDEN, PIXELS)
    maps = saliency(encoder, points, engine="transpose").maps  # 600 images: the sizes asked for are those of a part
    torch.testing.assert_close(maps, by_autograd(encoder, points), rtol=1e-13, atol=1e-15)


def test_network_of_one_batch_size_is_not_split():
    encoder, points = Matrix(lambda x, w, b: x @ w + b, len).eval(), images(600)  # len(x) is taken literally
    found = block(encoder, points)
    assert found.task.program.batch == 600 and found.opening is not None
    maps = saliency(encoder, points, engine="transpose").maps
    torch.testing.assert_close(maps, by_autograd(encoder, points), rtol=1e-13, atol=1e-15)


def test_equal_to_the_general_way_for_some_features():
    found = block(dense(), images(300))
    mask = torch.zeros(3, 4, dtype=torch.bool)
    mask[1:, 2:] = True
    chosen = select_features(mask, mask.shape)
    selection = select(None, LATENTS, torch.device("cpu"))
    ways = [norms_of_columns(found.task, chosen, selection, NORMS["l2"], opening) for opening in (None, found.opening)]
    assert ways[0].shape == (300, 4)
    torch.testing.assert_close(ways[1], ways[0], rtol=1e-13, atol=1e-15)


def test_dead_latents_and_units_are_left_out(monkeypatch):
    found, factors = block(dense(), images()), []
    monkeypatch.setattr(first_product.torch, "index_select", recorded(torch.index_select, factors))
    maps = norms_of_columns(
        found.task, torch.arange(PIXELS), select(None, LATENTS, torch.device("cpu")), NORMS["l2"], found.opening
    )
    assert len(factors) <= LATENTS - 1  # latent 2 is dead
    assert all(factor.shape[1] <= HIDDEN - 2 for factor in factors)
    torch.testing.assert_close(maps.view(-1, 3, 4), by_autograd(dense(), images()), rtol=1e-13, atol=1e-15)


def recorded(function, results):
    def call(*args, **kwargs):
        results.append(function(*args, **kwargs))
        return results[-1]

    return call


def test_nothing_alive_gives_zeros():
    encoder = dense(dead=range(HIDDEN))
    assert torch.equal(saliency(encoder, images(), engine="transpose").maps, torch.zeros(7, 3, 4, dtype=torch.float64))


class Shared(nn.Module):
    """The input is used twice."""

    def __init__(self):
        super().__init__()
        self.net = dense()

    def forward(self, x):
        return self.net(x) + x.flatten(1)[:, :LATENTS]


@pytest.mark.parametrize(
    "encoder",
    [
        Shared(),
        nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv2d(1, 2, 3, padding=1), nn.Flatten()),
        nn.Sequential(nn.Linear(4, 4), nn.Flatten(), nn.Linear(PIXELS, LATENTS)),  # shared by the rows of an image
        nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(PIXELS, LATENTS)),
    ],
    ids=["used twice", "convolution", "of parts of an image", "not first"],
)
def test_other_networks_are_not_taken_apart(encoder):
    encoder = encoder.double().eval().requires_grad_(False)
    assert block(encoder, images()).opening is None
    if not isinstance(encoder[1] if isinstance(encoder, nn.Sequential) else None, nn.Conv2d):
        maps = saliency(encoder, images(), engine="transpose").maps
        torch.testing.assert_close(maps, by_autograd(encoder, images()), rtol=1e-12, atol=1e-14)


def test_infinite_weight_of_a_dead_unit_does_not_pass_for_zero():
    encoder, points = dense(), images() + 0.1
    encoder[1].weight[
        1, 0
    ] = -torch.inf  # the unit is dead, the codes are finite, and 0 times infinity is no derivative
    assert torch.isfinite(encoder(points)).all()
    assert block(encoder, points).opening is None
    with pytest.raises(DerivativeError, match="all derivatives must be finite"):
        saliency(encoder, points, engine="transpose", certify="none")


def test_new_weights_of_the_same_network_are_seen():
    encoder = dense()
    for _ in range(6):  # more than it takes to record
        saliency(encoder, images(), engine="transpose")
    encoder[1].weight.mul_(-0.7)
    maps = saliency(encoder, images(), engine="transpose").maps
    torch.testing.assert_close(maps, by_autograd(encoder, images()), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("norm", ["l2", "l1", "max"])
def test_small_jacobians_are_held_and_give_the_same(norm, monkeypatch):
    added_up = saliency(dense(), images(), norm=norm, engine="transpose").maps
    monkeypatch.setattr(norms, "_FEW", 2**18)
    monkeypatch.setattr(norms, "_added_up", None)
    held = saliency(dense(), images(), norm=norm, engine="transpose").maps
    torch.testing.assert_close(held, added_up, rtol=1e-14, atol=1e-16)
