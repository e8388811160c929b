"""The contractive penalty against torch's own derivatives; its estimate is unbiased; which way is taken when."""

from functools import cache

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev

from imagrad.errors import InputError
from imagrad.models.autoencoders import NetworkConfig, build
from imagrad.training import contraction as module
from imagrad.training.contraction import Contraction

SHAPE = (1, 4, 5)

SINGLE = {code: NetworkConfig("dense", SHAPE, (), 3, code) for code in ("relu", "linear", "sigmoid")}
DEEP = {
    "dense": NetworkConfig("dense", SHAPE, (7,), 3, "sigmoid"),
    "conv": NetworkConfig("conv", SHAPE, (2,), 3, "relu"),
    "gaussian": NetworkConfig("dense", SHAPE, (7,), 3, "gaussian"),
    "wide": NetworkConfig("dense", SHAPE, (7,), 12, "linear"),  # 20 features <= 2 x 12 latents: column by column
}


class Encoder(nn.Module):
    """The encoder's half as a module of its own, for `functional_call`; of a gaussian code the mean."""

    def __init__(self, autoencoder):
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, image):
        return self.autoencoder.encoder(image[None])[0, : self.autoencoder.config.latents]


def network_of(config, seed=1):
    """A network in float64 whose biases are not 0, where a lost one would not be missed."""
    network = build(config, seed).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, bias in network.named_parameters():
            if name.endswith("bias"):
                bias.copy_(0.1 * torch.randn(bias.shape, generator=generator))
    return network


shared = cache(network_of)  # for who leaves its weights alone: the graph of one network is traced once


def some_images(count=5, seed=2):
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def norms_by_torch(network, images):
    """|J|_F**2 of each image, and weights (copies) that gradients reach."""
    encoder = Encoder(network)
    weights = {name: weight.detach().clone().requires_grad_() for name, weight in encoder.named_parameters()}
    rows = [jacrev(lambda one: functional_call(encoder, weights, (one,)))(image) for image in images]
    return torch.stack([row.square().sum() for row in rows]), weights


def gradients(norms, weights):
    """The gradient of the mean; zeros where a weight has no part in it."""
    weights = list(weights)
    found = torch.autograd.grad(norms.mean(), weights, allow_unused=True)
    return [torch.zeros_like(w) if g is None else g for g, w in zip(found, weights, strict=True)]


def assert_as_torch_has_it(network, found, images):
    expected, weights = norms_by_torch(network, images)
    assert float(expected.detach().min()) > 0
    assert torch.allclose(found, expected, rtol=1e-12, atol=0)
    ours, theirs = gradients(found, network.parameters()), gradients(expected, weights.values())
    assert sum(bool(gradient.any()) for gradient in theirs) >= 1
    for name, mine, other in zip(weights, ours, theirs, strict=True):
        assert torch.allclose(mine, other, rtol=1e-11, atol=1e-13), name  # sums of some hundred products near 1


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


STACKED = {  # dense, of several layers: wider and narrower than what is below, with each ending
    "two": NetworkConfig("dense", SHAPE, (7,), 3, "relu"),
    "three": NetworkConfig("dense", SHAPE, (9, 6), 4, "sigmoid"),
    "four": NetworkConfig("dense", SHAPE, (6, 30, 8), 5, "linear"),
}


@pytest.mark.parametrize("kind", [*SINGLE, *STACKED])
def test_closed_form(kind):
    network, images = network_of((SINGLE | STACKED)[kind]), some_images()
    contraction = Contraction(network, "closed")
    assert_as_torch_has_it(network, contraction(images, drawn()), images)
    if kind in ("relu", "two"):  # its slopes are 0 and 1, both
        assert 0 < float((network.encode(images) > 0).double().mean()) < 1


def test_slope_of_a_relu_at_0_is_that_of_torch():
    """Black images and no biases: every sum is exactly 0."""
    network, black = build(SINGLE["relu"], 1).double(), torch.zeros(2, *SHAPE, dtype=torch.float64)
    expected, _ = norms_by_torch(network, black)
    assert torch.equal(Contraction(network, "closed")(black, drawn()), expected)
    assert expected.tolist() == [0, 0]


@pytest.mark.parametrize("kind", DEEP)
def test_engine(kind):
    network, images = shared(DEEP[kind]), some_images()
    contraction = Contraction(network, "engine")
    assert_as_torch_has_it(network, contraction(images, drawn()), images)


def test_engine_and_closed_form_agree():
    network, images = network_of(SINGLE["sigmoid"]), some_images()
    closed, engine = (Contraction(network, how)(images, drawn()) for how in ("closed", "engine"))
    assert torch.allclose(closed, engine, rtol=1e-13, atol=0)


def test_float32_is_right_to_its_own_rounding():
    network, images = network_of(DEEP["dense"]), some_images()
    expected, _ = norms_by_torch(network, images)
    found = Contraction(network.float(), "engine")(images.float(), drawn())
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), expected, rtol=1e-5, atol=0)


def test_traced_once_and_sees_the_weights_of_the_moment(monkeypatch):
    """Batches of other sizes too: the last one of an epoch is smaller, down to a single image."""
    traced = []
    trace = module.program_of
    monkeypatch.setattr(module, "program_of", lambda *given, **options: traced.append(1) or trace(*given, **options))
    network = network_of(DEEP["dense"])
    contraction = Contraction(network, "engine")
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1, fused=True)
    values = []
    for count in (5, 3, 1):
        images = some_images(count)
        found = contraction(images, drawn())
        assert_as_torch_has_it(network, found, images)
        optimizer.zero_grad()
        contraction(images, drawn()).mean().backward()
        optimizer.step()
        values.append(float(found[0].detach()))
    network.load_state_dict(network_of(DEEP["dense"], seed=7).state_dict())  # as when a training is resumed
    images = some_images()
    assert_as_torch_has_it(network, contraction(images, drawn()), images)
    assert len(traced) == 1
    assert len(set(values)) == 3, "Adam did not change the weights"


def test_a_step_down_its_gradient_makes_it_smaller():
    network, images = network_of(DEEP["conv"]), some_images()
    contraction = Contraction(network, "engine")
    before = contraction(images, drawn()).mean()
    before.backward()
    with torch.no_grad():
        for weight in network.encoder.parameters():
            weight -= 1e-3 * (0 if weight.grad is None else weight.grad)
    assert float(contraction(images, drawn()).mean().detach()) < float(before.detach())


@pytest.mark.slow
@pytest.mark.parametrize("how", ["engine", "probes"])
def test_a_derivative_that_is_not_finite_gives_nan(how):
    network, images = shared(DEEP["dense"]), some_images()
    contraction = Contraction(network, how)
    assert torch.isfinite(contraction(images, drawn())).all()
    images[1, 0, 0, 0] = torch.nan
    assert torch.isnan(contraction(images, drawn())).all()


# --- the estimate ---

COUNT = 4000


@pytest.fixture(scope="module")
def probed():
    """One image's Jacobian by torch, and that image many times: as many independent estimates in one call."""
    network, image = shared(DEEP["dense"]), some_images(1)
    rows = jacrev(Encoder(network))(image[0]).flatten(1).detach()  # (q, m)
    return network, image.expand(COUNT, *SHAPE), rows


def is_unbiased(estimates, exact):
    """Whether their mean is within 4 standard errors."""
    return abs(float(estimates.mean()) - exact) < 4 * float(estimates.std()) / len(estimates) ** 0.5


@pytest.mark.parametrize("probes", [1, 3])
def test_estimate_is_unbiased(probed, probes):
    network, images, rows = probed
    estimates = Contraction(network, "probes", probes)(images, drawn()).detach()
    assert estimates.shape == (COUNT,)
    assert is_unbiased(estimates, float(rows.square().sum()))


PLANTED = {
    "mean over latents": lambda pushed: pushed.square().mean(dim=2).mean(dim=0),
    "summed, then squared": lambda pushed: pushed.sum(dim=2).square().mean(dim=0),
    "not squared": lambda pushed: pushed.abs().sum(dim=2).mean(dim=0),
    "sum over probes": lambda pushed: pushed.square().sum(dim=2).sum(dim=0),
    "square of the mean probe": lambda pushed: pushed.mean(dim=0).square().sum(dim=1),
    "root": lambda pushed: pushed.square().sum(dim=2).mean(dim=0).sqrt(),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_biased_estimate_would_be_noticed(probed, fault):
    _, _, rows = probed
    signs = torch.randint(0, 2, (3, COUNT, rows.shape[1]), generator=drawn()).double() * 2 - 1
    pushed = signs @ rows.T  # (probes, n, q)
    assert is_unbiased(pushed.square().sum(dim=2).mean(dim=0), float(rows.square().sum()))
    assert not is_unbiased(PLANTED[fault](pushed), float(rows.square().sum()))


def test_estimate_varies_as_that_of_random_signs_does(probed):
    """Var |J v|**2 = 2 (|A|_F**2 - sum_i A_ii**2), A = J'J, for entries of -1 and 1; a normal's has no second term."""
    network, images, rows = probed
    gram = rows.T @ rows
    expected = 2 * float(gram.square().sum() - gram.diagonal().square().sum())
    one, four = (Contraction(network, "probes", probes)(images, drawn()).detach() for probes in (1, 4))
    assert float(one.var()) == pytest.approx(expected, rel=0.15)  # 4000 draws: about 5 %
    assert float(four.var()) == pytest.approx(expected / 4, rel=0.15)


def test_estimate_is_exact_for_a_single_feature():
    """(J v)**2 = J**2 for v = -1 and 1."""
    network = network_of(NetworkConfig("dense", (1, 1, 1), (3,), 2, "sigmoid"))
    images = torch.rand(4, 1, 1, 1, generator=drawn(), dtype=torch.float64)
    assert_as_torch_has_it(network, Contraction(network, "probes", 2)(images, drawn()), images)


def test_gradient_of_the_estimate_is_that_of_its_directions():
    network, images = shared(DEEP["conv"]), some_images()
    signs = torch.randint(0, 2, (2, *images.shape), generator=drawn()).double() * 2 - 1
    found = Contraction(network, "probes", 2)(images, drawn())
    encoder = Encoder(network)
    weights = {name: weight.detach().clone().requires_grad_() for name, weight in encoder.named_parameters()}
    rows = [jacrev(lambda one: functional_call(encoder, weights, (one,)))(image).flatten(1) for image in images]
    along = torch.stack(rows) @ signs.flatten(2).permute(1, 2, 0)  # (n, q, probes)
    expected = along.square().sum(dim=1).mean(dim=1)
    assert torch.allclose(found, expected, rtol=1e-12, atol=0)
    for mine, other in zip(gradients(found, network.parameters()), gradients(expected, weights.values()), strict=True):
        assert torch.allclose(mine, other, rtol=1e-11, atol=1e-13)


def test_directions_depend_on_the_generator_alone(probed):
    network, images, _ = probed
    contraction, few = Contraction(network, "probes", 1), images[:6]
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = contraction(few, drawn(3))
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"
    torch.manual_seed(1)
    assert torch.equal(contraction(few, drawn(3)), first)
    assert not torch.equal(contraction(few, drawn(4)), first)
    assert len(set(first.tolist())) > 1, "one direction for all images"
    generator = drawn(3)
    assert torch.equal(contraction(few, generator), first) and not torch.equal(contraction(few, generator), first)


# --- which way ---


@pytest.mark.parametrize(
    ("config", "how"),
    [
        (SINGLE["relu"], "closed"),
        (SINGLE["sigmoid"], "closed"),
        (NetworkConfig("dense", (1, 32, 32), (), 65, "linear"), "closed"),
        (DEEP["dense"], "closed"),
        (STACKED["four"], "closed"),
        (DEEP["conv"], "engine"),
        (NetworkConfig("conv", SHAPE, (), 3), "closed"),  # no convolution: a dense layer
        (NetworkConfig("conv", SHAPE, (2,), 3), "engine"),
        (NetworkConfig("dense", SHAPE, (), 3, "gaussian"), "engine"),  # half of the layer is no code
        (NetworkConfig("conv", (1, 32, 32), (2,), 64), "engine"),  # 2**16 entries
        (NetworkConfig("conv", (1, 32, 32), (2,), 65), "probes"),
        (NetworkConfig("conv", (4, 16, 16), (2,), 65), "probes"),
    ],
)
def test_auto_takes_the_exact_way_that_is_affordable(config, how):
    assert Contraction(build(config, 0)).how == how


@pytest.mark.slow
@pytest.mark.parametrize("how", ["engine", "probes"])
def test_what_is_asked_for_is_taken(how):
    assert Contraction(build(SINGLE["relu"], 0), how).how == how


@pytest.mark.parametrize(
    ("kind", "is_one"), [("gaussian", r"dense with hidden=\(7,\) and the code gaussian"), ("conv", r"conv with hidden")]
)
def test_closed_form_of_an_encoder_that_has_none(kind, is_one):
    message = rf"an encoder of dense layers whose outputs are all code; this one is {is_one}.* Take --jacobian engine"
    with pytest.raises(InputError, match=message):
        Contraction(build(DEEP[kind], 0), "closed")
