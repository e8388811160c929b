"""Jacobians in blocks: the same whatever the block size and the step; properties that any Jacobian has."""

from collections import namedtuple
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from imagrad.complexstep import column_norms, gradient, hessian, hessian_vector_product, jacobian, jvp
from imagrad.complexstep.derivatives import plain_value
from imagrad.complexstep.engines import Task, column_blocks, push
from imagrad.complexstep.points import Settings
from imagrad.complexstep.program import bind
from imagrad.complexstep.rows import row_blocks
from imagrad.complexstep.tracing import export
from imagrad.errors import DerivativeError, EncoderError, InputError

from ..marks import slow


@cache
def network():
    """Make it once: a network that was met before is not traced again."""
    torch.manual_seed(1)
    layers = [
        nn.Conv2d(2, 4, 3, padding=1),
        nn.LeakyReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 5),
        nn.Sigmoid(),
    ]
    return nn.Sequential(*layers).double().requires_grad_(False)


def one(net):
    """The network as a function of a single image."""
    return lambda x: net(x[None])[0]


X = torch.rand(3, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(9))


def task(**settings):
    """The network at all three images at once."""
    net = network()
    program = bind(export(net, (X,), batched=True), net, torch.float64, "cpu")
    return Task(program, X, (), Settings(**settings), batched=True)


@cache
def expected_rows():
    """The Jacobian of each image by autograd: (n, q, m)."""
    return torch.stack([torch.func.jacrev(one(network()))(x).flatten(1) for x in X])


@pytest.mark.parametrize("step", [2.0**-53, 2.0**-66, 1e-100, 1e-200])
def test_complex_arithmetic_at_every_step(step):
    expected = torch.func.jacrev(network())(X[:1])
    found = jacobian(network(), X[:1], engine="complex", step=step)
    assert float((found - expected).abs().max() / expected.abs().max()) <= 1e-14


@pytest.mark.parametrize("engine", ["complex", "forward", "transpose", "auto"])
@pytest.mark.parametrize("memory_budget", [1, *slow(100_000, None)])
def test_block_size_changes_nothing(engine, memory_budget):
    for block_task in (task(engine=engine, memory_budget=memory_budget),):
        columns = torch.cat(list(column_blocks(block_task, torch.arange(72))))  # (m, n, q)
        rows = torch.cat([rows.flatten(2) for _, rows in row_blocks(block_task, torch.arange(5))])  # (q, n, m)
    assert torch.allclose(columns.permute(1, 2, 0), expected_rows(), rtol=1e-12, atol=1e-16)
    assert torch.allclose(rows.transpose(0, 1), expected_rows(), rtol=1e-12, atol=1e-16)


def test_a_small_budget_means_one_at_a_time():
    assert task(memory_budget=1).at_once == 1
    assert len(list(column_blocks(task(memory_budget=1), torch.arange(7)))) == 7
    assert len(list(row_blocks(task(memory_budget=1), torch.arange(5)))) == 5


def test_features_in_any_order():
    (columns,) = column_blocks(task(), torch.tensor([50, 3]))
    assert torch.allclose(columns[:, 0].T, expected_rows()[0][:, [50, 3]], rtol=1e-12, atol=1e-16)


def test_the_forward_derivative_is_linear():
    a, b = torch.randn(2, *X.shape, dtype=torch.float64)
    alone = push(task(), torch.stack([a, b, 2 * a - 3 * b]))
    assert torch.allclose(alone[2], 2 * alone[0] - 3 * alone[1], rtol=1e-12, atol=1e-14)


# torch's own forward mode compiles some of its formulas in a way that torch itself has deprecated
FORWARD_MODE = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")


@FORWARD_MODE
@pytest.mark.parametrize("engine", ["complex", "forward", "transpose", "auto"])
def test_engines_mean_the_same(engine):
    x, v = X[:1], torch.randn(1, 2, 6, 6, dtype=torch.float64)
    value, along = jvp(network(), x, v, engine=engine)
    expected_value, expected = torch.func.jvp(network(), (x,), (v,))
    assert torch.allclose(value, expected_value, rtol=1e-14) and torch.allclose(along, expected, rtol=1e-13)
    norms = column_norms(network(), x, engine=engine)
    assert torch.allclose(norms.values.flatten(), expected_rows()[0].norm(dim=0), rtol=1e-13, atol=1e-16)
    assert torch.equal(norms.low, norms.values) and torch.equal(norms.high, norms.values)
    assert norms.engine == ("transpose" if engine == "auto" else engine)
    net = network()
    total = gradient(lambda y: net(y).square().sum(), x, engine=engine)
    assert torch.allclose(total, torch.func.grad(lambda y: net(y).square().sum())(x), rtol=1e-12, atol=1e-16)


def test_auto_goes_the_shorter_way():
    wide, tall = torch.randn(3, 40, dtype=torch.float64), torch.randn(40, 3, dtype=torch.float64)
    assert column_norms(lambda x: wide @ x, torch.ones(40).double()).engine == "transpose"
    assert column_norms(lambda x: tall @ x, torch.ones(3).double()).engine == "forward"
    few = torch.zeros(40, dtype=torch.bool)
    few[[1, 5]] = True
    assert column_norms(lambda x: wide @ x, torch.ones(40).double(), features=few).engine == "forward"


def test_cost_is_in_proportion_to_the_features_asked_for(monkeypatch):
    pushed = []
    monkeypatch.setattr(
        "imagrad.complexstep.engines.push", lambda t, d, push=push: (pushed.append(len(d)), push(t, d))[1]
    )
    mask = torch.zeros(1, 2, 6, 6, dtype=torch.bool)
    mask[0, 1, 2, 3:6] = True
    found = column_norms(network(), X[:1], engine="forward", features=mask).values
    assert sum(pushed) == 3
    assert torch.isnan(found[~mask]).all()
    assert torch.allclose(found[mask], expected_rows()[0].norm(dim=0)[mask.flatten()], rtol=1e-13)


@pytest.mark.slow
def test_subsets_and_weights_of_latents():
    rows = expected_rows()[0]
    for engine in ("forward", "transpose", "complex"):
        some = column_norms(network(), X[:1], engine=engine, latents=[4, 0]).values.flatten()
        assert torch.allclose(some, rows[[4, 0]].norm(dim=0), rtol=1e-13, atol=1e-16)
        weights = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0], dtype=torch.float64)
        weighed = column_norms(network(), X[:1], engine=engine, latents=weights).values.flatten()
        assert torch.allclose(weighed, (weights[:, None] * rows).norm(dim=0), rtol=1e-13, atol=1e-16)


# --- probes ---


@cache
def wide_network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(12, 30), nn.Tanh(), nn.Linear(30, 64)).double().requires_grad_(False)


def test_as_many_probes_as_outputs_are_exact():
    x = torch.randn(12, dtype=torch.float64)
    exact, found = column_norms(wide_network(), x), column_norms(wide_network(), x, probes=64)
    assert torch.allclose(found.values, exact.values, rtol=1e-12)
    assert torch.equal(found.low, found.high)


def test_intervals_of_probes_cover_the_truth_as_often_as_they_say():
    """200 draws of 12 columns each; 90 % wanted: far outside of 4 standard deviations of a binomial is wrong."""
    x = torch.randn(12, dtype=torch.float64)
    net, exact = wide_network(), column_norms(wide_network(), x).values
    covered, ratio = [], []
    for seed in range(200):
        found = column_norms(net, x, probes=16, seed=seed, confidence=0.9)
        covered.append(((found.low <= exact) & (exact <= found.high)).double().mean())
        ratio.append((found.values / exact) ** 2)
    # the mean of q/K Beta(K/2, (q-K)/2) is 1, its variance 2 (q - K) / (K (q + 2)) = 0.0909
    assert 0.86 <= float(torch.stack(covered).mean()) <= 0.94
    assert abs(float(torch.stack(ratio).mean()) - 1) <= 0.03
    assert float(torch.stack(ratio).var()) == pytest.approx(2 * 48 / (16 * 66), rel=0.2)


def test_probes_depend_on_their_seed_alone():
    x = torch.randn(12, dtype=torch.float64)
    first, again, other = (column_norms(wide_network(), x, probes=8, seed=seed).values for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probes": 0}, "`probes` must be from 1 to the number of outputs, 64; got 0"),
        ({"probes": 65}, "`probes` must be from 1 to the number of outputs, 64; got 65"),
        ({"probes": 8, "engine": "forward"}, 'engine "auto" or "transpose"; got \'forward\''),
        ({"probes": 8, "kinks": "right"}, 'an estimate from probes needs derivatives.*kinks="right"'),
        ({"probes": 8, "confidence": 1.0}, "`confidence` must lie between 0 and 1; got 1.0"),
        ({"features": torch.ones(3, dtype=torch.bool)}, r"`features` must be a boolean mask of shape \(12,\)"),
        ({"latents": [70]}, r"`latents` must be different indices from 0 to 63; got \[70\]"),
    ],
)
def test_impossible_column_norms(options, message):
    with pytest.raises(InputError, match=message):
        column_norms(wide_network(), torch.randn(12, dtype=torch.float64), **options)


# --- kink policies ---


@pytest.mark.parametrize("kinks", ["right", "left", "mean"])
def test_one_sided_policies_run_forward_only(kinks):
    x = torch.zeros(3, dtype=torch.float64)
    for call in (
        lambda: jacobian(torch.relu, x, kinks=kinks, engine="transpose"),
        lambda: column_norms(torch.relu, x, kinks=kinks, engine="transpose"),
        lambda: hessian_vector_product(torch.relu, x, x, kinks=kinks),
    ):
        with pytest.raises(InputError, match=f'linear in the direction; kinks="{kinks}" gives one-sided'):
            call()
    slope = {"right": 1.0, "left": 0.0, "mean": 0.5}[kinks]
    assert torch.equal(jacobian(torch.relu, x, kinks=kinks), slope * torch.eye(3, dtype=torch.float64))
    assert column_norms(torch.relu, x, kinks=kinks).engine == "forward"


@pytest.mark.slow
def test_a_column_is_the_derivative_along_its_own_axis():
    """|x + y| at (0, 0): to the right 1 along both axes, to the left -1, in the mean 0."""
    absolute_sum = lambda v: v.sum().abs()  # noqa: E731
    x = torch.zeros(2, dtype=torch.float64)
    for kinks, slope in {"right": 1.0, "left": -1.0, "mean": 0.0, "ad": 0.0}.items():
        for engine in ("complex", "forward"):
            found = jacobian(absolute_sum, x, kinks=kinks, engine=engine)
            assert torch.equal(found, torch.full((2,), slope, dtype=torch.float64)), (kinks, engine)


def test_kinks_can_be_refused():
    with pytest.raises(DerivativeError, match=r"stands exactly at a kink.*aten\.relu\.default 2 times"):
        jacobian(torch.relu, torch.tensor([0.0, 1.0, 0.0]), kinks="raise")
    assert jacobian(torch.relu, torch.tensor([2.0]), kinks="raise").item() == 1


# --- gradients that reach the parameters ---


@pytest.mark.parametrize("engine", ["complex", "forward", "transpose"])
@pytest.mark.parametrize("form", ["module", "method", "closure"])
def test_gradients_reach_the_parameters(engine, form):
    """The contractive penalty, the squared Frobenius norm of J, against torch.func."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 3), nn.Tanh()).double()
    x = torch.randn(5, dtype=torch.float64)
    parameters = dict(net.named_parameters())

    def penalty(values):
        return torch.func.jacrev(lambda y: torch.func.functional_call(net, values, (y,)))(x).square().sum()

    expected = torch.func.grad(penalty)(parameters)
    function = {"module": net, "method": net.forward, "closure": lambda y: net(y)}[form]
    for loss in (
        lambda: jacobian(function, x, engine=engine, differentiable=True).square().sum(),
        lambda: column_norms(function, x, engine=engine, differentiable=True).values.square().sum(),
        lambda: sum(
            jvp(function, x, e, engine=engine, differentiable=True)[1].square().sum()
            for e in torch.eye(5, dtype=torch.float64)
        ),
    ):
        net.zero_grad()
        loss().backward()
        for name, parameter in parameters.items():
            assert torch.allclose(parameter.grad, expected[name], rtol=1e-12, atol=1e-16)


def test_without_differentiable_results_are_detached():
    net = nn.Linear(3, 2).double()
    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert not jacobian(net, x).requires_grad and not jvp(net, x, x.detach())[1].requires_grad
    assert net.weight.grad is None and x.grad is None


def test_a_feature_without_influence_does_not_ruin_the_gradient():
    """sqrt has no derivative at 0, the norm of a dead column."""
    net = nn.Linear(3, 2).double()
    with torch.no_grad():
        net.weight[:, 1] = 0
    column_norms(net, torch.randn(3, dtype=torch.float64), differentiable=True).values.sum().backward()
    assert torch.isfinite(net.weight.grad).all() and torch.equal(net.weight.grad[:, 1], torch.zeros(2).double())


def test_parameters_that_gradients_cannot_reach_are_refused():
    class Plain:
        weight = nn.Parameter(torch.randn(2, 3))

    with pytest.raises(DerivativeError, match=r"must reach every parameter.*shape \(2, 3\), that belong to no"):
        jacobian(lambda x: Plain.weight @ x, torch.ones(3), differentiable=True)
    assert jacobian(lambda x: Plain.weight @ x, torch.ones(3)).shape == (2, 3)


# --- second derivatives ---


def smooth_networks():
    torch.manual_seed(4)
    gru = nn.GRU(3, 4, batch_first=True).double().requires_grad_(False)
    conv = [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.SiLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3, 2)]
    return {
        "tanh": (nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 2)), torch.randn(5)),
        "attention": (nn.Sequential(nn.Linear(5, 6), nn.GELU(), nn.LayerNorm(6), nn.Softmax(0)), torch.randn(5)),
        "conv": (nn.Sequential(*conv), torch.randn(1, 1, 4, 4)),
        "gru": (lambda x: gru(x)[0][:, -1], torch.randn(1, 3, 3)),
    }


@FORWARD_MODE
@pytest.mark.parametrize("name", ["tanh", "attention", "conv", "gru"])
def test_hessian_against_torch_func(name):
    net, x = smooth_networks()[name]
    x = x.double()
    if isinstance(net, nn.Module):
        net.double().eval().requires_grad_(False)
    expected = torch.func.hessian(net)(x)
    found = hessian(net, x)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max() / expected.abs().max()) <= 1e-13
    v = torch.randn_like(x)
    product = hessian_vector_product(net, x, v)
    assert torch.allclose(product, (expected * v).flatten(-x.ndim).sum(-1), rtol=1e-11, atol=1e-14)


def test_hessian_of_a_number_is_symmetric():
    x = torch.randn(6, dtype=torch.float64)
    found = hessian(lambda v: torch.logsumexp(v, 0) * torch.sin(v).sum(), x)
    assert found.shape == (6, 6) and torch.allclose(found, found.T, rtol=1e-13, atol=1e-15)


# --- types ---


def test_results_have_the_type_of_the_point_or_the_one_asked_for():
    net, x = nn.Sequential(nn.Linear(4, 3), nn.Tanh()).requires_grad_(False), torch.randn(4)
    exact = torch.func.jacrev(nn.Sequential(*net).double())(x.double())
    net.float()
    for engine in ("complex", "forward", "transpose"):
        single, double = jacobian(net, x, engine=engine), jacobian(net, x, engine=engine, dtype=torch.float64)
        assert single.dtype == torch.float32 and double.dtype == torch.float64
        assert torch.allclose(double, exact, rtol=1e-13) and torch.allclose(single.double(), exact, rtol=1e-5)
        assert column_norms(net, x, engine=engine).values.dtype == torch.float32
    assert net[0].weight.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused_or_computed_in_a_wider_type(dtype):
    net, x = nn.Linear(4, 3).to(dtype).requires_grad_(False), torch.randn(4).to(dtype)
    with pytest.raises(InputError, match=f"derivatives in {dtype} would have two or three right digits; ask for dtype"):
        jacobian(net, x)
    assert torch.equal(jacobian(net, x, dtype=torch.float64), net.weight.double())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "reverse"}, "`engine` must be one of: auto, complex, forward, transpose; got 'reverse'"),
        ({"kinks": "up"}, "`kinks` must be one of: ad, right, left, mean, raise; got 'up'"),
        ({"dtype": torch.float16}, "`dtype` must be torch.float32 or torch.float64; got torch.float16"),
    ],
)
def test_impossible_settings(options, message):
    with pytest.raises(InputError, match=message):
        jacobian(torch.tanh, torch.zeros(2), **options)


def test_tangents_and_vectors_must_fit():
    with pytest.raises(InputError, match=r"`tangent` must be a tensor of the point's shape, \(2,\); got \(3,\)"):
        jvp(torch.tanh, torch.zeros(2), torch.zeros(3))
    with pytest.raises(InputError, match=r"`vector` must have the point's shape, \(2,\); got \(3,\)"):
        hessian_vector_product(torch.tanh, torch.zeros(2), torch.zeros(3))


def test_a_gradient_is_that_of_one_number():
    with pytest.raises(InputError, match=r"a gradient is that of one number; this function returns \(2,\)"):
        gradient(torch.tanh, torch.zeros(2))


# --- what a function may return ---


@dataclass
class Latents:
    mean: torch.Tensor
    inner: dict


RESULTS = {
    "tuple": (lambda x: (x, 2 * x), 1),
    "negative": (lambda x: (x, 2 * x), -1),
    "dict": (lambda x: {"code": 2 * x, "other": x}, "code"),
    "nested": (lambda x: [{"a": (x, 2 * x)}], "0.a.1"),
    "dataclass": (lambda x: Latents(2 * x, {}), "mean"),
    "inside": (lambda x: Latents(x, {"scale": [2 * x]}), "inner.scale.0"),
    "namedtuple": (lambda x: namedtuple("Out", "a b")(x, 2 * x), "b"),
}


@pytest.mark.parametrize("name", sorted(RESULTS))
def test_output_picks_one_of_several_results(name):
    function, output = RESULTS[name]
    assert torch.equal(jacobian(function, torch.ones(2), output=output), 2 * torch.eye(2))
    with pytest.raises(
        EncoderError, match=r"must return one tensor of codes.*Pick a tensor of it by `output`.*; it holds: "
    ):
        jacobian(function, torch.ones(2))


def test_output_that_is_not_there_lists_what_is():
    with pytest.raises(
        EncoderError, match=r"`output` 'mu' is not there; it holds: 'mean' \(2,\), 'inner.scale' \(2,\)\."
    ):
        jacobian(lambda x: Latents(x, {"scale": x}), torch.ones(2), output="mu")
    with pytest.raises(EncoderError, match=r"`output` 5 is not there; it holds: 0 \(2,\), 1 \(2,\)\."):
        jacobian(lambda x: (x, x), torch.ones(2), output=5)
    with pytest.raises(EncoderError, match="it holds no tensor: str"):
        jacobian(lambda x: "code", torch.ones(2))


@pytest.mark.parametrize(
    ("function", "point", "message"),
    [
        (lambda x: x > 0, torch.ones(2), "this function returns torch.bool"),
        (lambda x: torch.complex(x, x), torch.ones(2), r"returns torch\.complex64.*before they become complex"),
        (
            nn.Linear(3, 2),
            torch.ones(4),
            r"must take a tensor of shape \(4,\), torch.float32, on cpu; it raised RuntimeErr",
        ),
        (nn.Linear(3, 2), torch.ones(3).double(), r"raised RuntimeError.*of one type, net\.double\(\)"),
        (nn.BatchNorm1d(3), torch.ones(2, 3), r"must be in eval mode; it \(BatchNorm1d\) is in train mode"),
        (nn.Linear, torch.ones(3), "must be a network or a function; got <class"),
    ],
)
def test_what_cannot_be_differentiated(function, point, message):
    with pytest.raises(EncoderError, match=message):
        jacobian(function, point)


def test_train_mode_is_refused_before_anything_is_run():
    layer = nn.BatchNorm1d(3)
    with pytest.raises(EncoderError, match="must be in eval mode"):
        jacobian(layer, torch.rand(2, 3))
    assert int(layer.num_batches_tracked) == 0


def test_tokens_are_refused_with_a_way_out():
    with pytest.raises(InputError, match=r"got torch\.int64\. Integers, such as the tokens.*of the embeddings"):
        jacobian(nn.Embedding(10, 3), torch.tensor([1, 2]))


def test_a_value_is_the_functions_own():
    assert torch.equal(plain_value(lambda x, y: x + y, (torch.ones(2), torch.ones(2)), None), 2 * torch.ones(2))


@pytest.mark.parametrize("step", [0.0, 1e-300, 1e-8, -1e-20, float("nan")])
def test_steps_that_are_not_exact_are_refused(step):
    with pytest.raises(InputError, match=r"`step` must lie between 1e-200.* and 2\*\*-53"):
        jacobian(torch.tanh, torch.zeros(2), step=step)


def test_the_step_must_be_small_against_the_distance_to_a_pole():
    """1 / (x + 1e-16) at 0: seen with the default step, gone with a smaller one (docs/saliency.md)."""
    x, exact = torch.zeros(1, dtype=torch.float64), -1e32
    reciprocal = lambda v: 1 / (v + 1e-16)  # noqa: E731
    found = {step: float(jacobian(reciprocal, x, engine="complex", step=step)) for step in (2.0**-66, 1e-100)}
    assert float(jacobian(reciprocal, x, engine="forward")) == pytest.approx(exact, rel=1e-14)  # has no step
    assert found[1e-100] == pytest.approx(exact, rel=1e-14)
    assert 1e-9 < abs(found[2.0**-66] / exact - 1) < 1e-7


def test_memory_budget_must_be_positive():
    with pytest.raises(InputError, match="`memory_budget` must be a positive number of bytes; got -5"):
        jacobian(torch.tanh, torch.zeros(2), memory_budget=-5)


matrices = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10**6))


class Product(nn.Module):
    """A matrix times the point, perhaps through a function; the matrix changes in place, and is traced once."""

    def __init__(self, rows, columns, then=nn.Identity):
        super().__init__()
        self.register_buffer("matrix", torch.zeros(rows, columns, dtype=torch.float64))
        self.then = then()

    def forward(self, x):
        return self.then(self.matrix @ x)


product_of = cache(Product)  # one for each size


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(matrices)
def test_jacobian_of_a_matrix_is_the_matrix(sizes):
    rows, columns, seed = sizes
    matrix = torch.randn(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    net = product_of(rows, columns)
    net.matrix.copy_(matrix)
    found = jacobian(net, torch.zeros(columns, dtype=torch.float64))
    assert torch.allclose(found, matrix, rtol=1e-15, atol=0)


@cache
def composition():
    return nn.Sequential(Product(4, 4, nn.Tanh), Product(4, 4, nn.Sigmoid))


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
def test_jacobian_of_a_composition_is_the_product(seed):
    generator = torch.Generator().manual_seed(seed)
    net = composition()
    inner, outer = net
    for part, matrix in zip(net, torch.randn(2, 4, 4, dtype=torch.float64, generator=generator), strict=True):
        part.matrix.copy_(matrix)
    x = torch.randn(4, dtype=torch.float64, generator=generator)
    whole = jacobian(net, x)
    product = jacobian(outer, inner(x)) @ jacobian(inner, x)
    assert torch.allclose(whole, product, rtol=1e-12, atol=1e-16)


def test_kinks_that_nobody_asks_for_are_not_looked_at():
    """How far a comparison of truth values is from a kink cannot be said; one point's kinks are not counted."""
    mask = torch.zeros(3, dtype=torch.bool)
    found = jacobian(lambda z: z * (z != mask), torch.rand(3, dtype=torch.float64))
    assert torch.equal(found, torch.eye(3, dtype=torch.float64))
