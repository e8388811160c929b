"""From a function to a graph: what is taken, what is refused by name, and that nothing of the user's is changed."""

import logging

import pytest
import torch
from torch import nn

from imagrad.complexstep import jacobian
from imagrad.complexstep.number import PAIR, Lifted
from imagrad.complexstep.program import bind
from imagrad.complexstep.tracing import export
from imagrad.errors import EncoderError, ExportError, UnsupportedOperationError


def encoder():
    torch.manual_seed(5)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.ReLU(), nn.Linear(7, 3), nn.Tanh()).requires_grad_(False)


X = torch.rand(4, 3, 4, generator=torch.Generator().manual_seed(0))


def test_one_program_takes_any_number_of_images():
    net = encoder()
    graph = export(net, (X,), batched=True)
    assert graph.batch is None
    for dtype in (torch.float32, torch.float64):
        program = bind(graph, net, dtype, "cpu")
        for count in (1, 2, 7):
            images = torch.rand(count, 3, 4)
            codes, ties = program.ties(images.to(dtype))
            assert codes.dtype == dtype and torch.allclose(codes.float(), net(images), atol=1e-6)
            assert ties == {}


def test_a_single_image_is_enough_to_export():
    assert export(encoder(), (X[:1],), batched=True).batch is None


def test_a_network_made_for_one_batch_size_says_so():
    program = export(lambda x: x.reshape(4, 12), (X,), batched=True)
    assert program.batch == 4


def test_a_size_hidden_in_the_middle_is_noticed():
    program = export(lambda x: x.reshape(2, 24).reshape(x.shape[0], -1), (X,), batched=True)
    assert program.batch == 4


@pytest.mark.parametrize("most", [10, 10**6])
def test_many_weights_are_converted_when_they_are_used(monkeypatch, most):
    """In programs for checks: to the same numbers, and no second copy of them is held."""
    monkeypatch.setattr("imagrad.complexstep.program._MANY", most)
    net, point = encoder(), X.double()
    graph = export(net, (X,), batched=True)
    late, early = (bind(graph, net, torch.float64, "cpu", is_for_checks=x) for x in (True, False))
    held = {x.data_ptr() for x in late.constants.values()}
    assert (held == {x.data_ptr() for x in net.parameters()}) == (most == 10)
    assert torch.equal(late.run_real(point), early.run_real(point))
    assert torch.equal(late.run_real(point), encoder().double()(point))
    moved = Lifted(point, torch.rand_like(point), PAIR)
    assert torch.equal(late.run(moved).im, early.run(moved).im)


def test_a_constant_of_many_weights_is_computed_in_the_type_asked_for(monkeypatch):
    """Not in the type of the weights, and converted afterwards."""
    monkeypatch.setattr("imagrad.complexstep.program._MANY", 1)
    weight = nn.Parameter(torch.full((2,), 0.1))
    net = nn.Module()
    net.weight, net.forward = weight, lambda x: x * (weight * weight)
    program = bind(export(net, (X[:, 0, :2],), batched=True), net, torch.float64, "cpu", is_for_checks=True)
    expected = weight.detach().double() ** 2
    assert torch.equal(program.run_real(torch.ones(1, 2, dtype=torch.float64))[0], expected)


def test_each_weight_comes_right_before_what_uses_it_first():
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.unused = encoder(), nn.Linear(3, 3)

        def forward(self, images):
            return self.net(images)

    graph = export(Spare(), (X,), batched=True)
    weights = [node for node in graph.nodes if node.op == "placeholder" and node.name not in graph.inputs]
    assert len(weights) == 4
    places = {node: k for k, node in enumerate(graph.nodes)}
    for node in weights:
        between = graph.nodes[places[node] + 1 : min(places[user] for user in node.users)]
        assert all(other in weights for other in between)


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = encoder()

    def encode(self, images):
        return self.inner(images)


@pytest.mark.parametrize("form", ["module", "bound method", "closure", "weights in a closure"])
def test_networks_come_in_many_forms(form):
    wrapped = Wrapped()
    linear = wrapped.inner[1]
    functions = {
        "module": wrapped.inner,
        "bound method": wrapped.encode,
        "closure": lambda x: wrapped.inner(x),
        "weights in a closure": lambda x: x.flatten(1) @ linear.weight.T,
    }
    x = X[:1]
    double = Wrapped().double()
    expected = torch.func.jacrev(
        double.inner if "weights" not in form else lambda v: v.flatten(1) @ double.inner[1].weight.T
    )
    assert torch.allclose(
        jacobian(functions[form], x, dtype=torch.float64), expected(x.double()), rtol=1e-12, atol=1e-14
    )


def test_the_network_is_not_changed():
    net = encoder().requires_grad_(True)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    jacobian(net, X[:1])
    assert all(
        torch.equal(before[name], value) and value.dtype == torch.float32 for name, value in net.state_dict().items()
    )
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())


def test_float32_network_is_differentiated_in_float64():
    net = encoder()
    assert jacobian(net, X[:1], dtype=torch.float64).dtype == torch.float64


def test_weights_made_in_the_forward_pass():
    found = jacobian(lambda x: x @ torch.ones(4, 2) * torch.arange(2), torch.rand(3, 4))
    expected = torch.func.jacrev(lambda x: x @ torch.ones(4, 2).double() * torch.arange(2))(torch.rand(3, 4).double())
    assert torch.equal(found, expected.float())


def test_a_code_that_does_not_depend_on_the_input_has_derivative_zero():
    assert torch.equal(jacobian(lambda x: torch.ones(2), torch.rand(3)), torch.zeros(2, 3))


def test_unknown_operation_is_named_with_its_place():
    net = nn.Sequential(nn.Linear(4, 4), nn.Sequential(Spectrum())).eval()
    with pytest.raises(
        UnsupportedOperationError,
        match=r"the operation aten\.\S+ in the module 1\.0 has no complex-step rule \(\S+test_program\.py, "
        r"line \d+: return .*\)\. \d+ operations have one \(`imagrad list rules`\)\. Explain a part of the network "
        r"without it, or add a rule, one to three lines: imagrad\.complexstep\.register_rule, see CONTRIBUTING\.md",
    ):
        export(net, (torch.rand(2, 4),), batched=True)


def test_an_operation_on_constants_alone_needs_no_rule():
    weights = torch.rand(4)
    found = jacobian(lambda x: x * torch.fft.fft(weights.double()).real, torch.rand(4).double())
    assert torch.allclose(found, torch.diag(torch.fft.fft(weights.double()).real), rtol=1e-15)


@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        (lambda x: x if x.sum() > 0 else -x, ExportError, r"same operations whatever the values.*branch.*torch\.where"),
        (lambda x: torch.from_numpy(x.numpy()), ExportError, r"traceable by torch\.export, which refused it"),
        (lambda x: (x, 2 * x), EncoderError, "must return one tensor of codes.*returns a tuple"),
        (lambda x: {"code": x}, EncoderError, "must return one tensor of codes"),
    ],
)
def test_what_is_no_encoder_is_refused(function, error, text):
    with pytest.raises(error, match=text):
        export(function, (X,), batched=True)


def test_a_network_that_writes_to_itself_is_refused():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return x * 2

    with pytest.raises(EncoderError, match=r"must not change its state while it runs; this one writes to .*calls"):
        export(Counting(), (X,), batched=True)


class Spectrum(nn.Module):
    def forward(self, x):
        return torch.fft.fft(x).real


def test_unknown_operation_is_named_with_the_line_in_the_users_network():
    net = nn.Sequential(nn.Flatten(), Spectrum()).eval()
    with pytest.raises(
        UnsupportedOperationError, match=r"in the module 1 .*test_program\.py, line \d+: return torch\.fft"
    ):
        export(net, (X,), batched=True)


def test_unknown_operation_is_named_with_the_users_own_line():
    with pytest.raises(UnsupportedOperationError, match=r"in <lambda> of \S+test_program\.py, line \d+"):
        export(lambda x: torch.fft.fft(x).real, (X,), batched=True)


def test_a_function_that_works_in_place_may(capfd):
    def centred(x):
        x -= x.mean((1, 2), keepdim=True)
        return x.flatten(1)

    images = X.clone()
    found = jacobian(centred, images[:1])
    assert torch.equal(images, X)
    assert torch.allclose(found[0, :, 0].reshape(12, 12), torch.eye(12) - 1 / 12, atol=1e-7)


def test_torch_keeps_its_graph_dumps_to_itself(capfd):
    with pytest.raises(ExportError):
        export(lambda x: x if x.sum() > 0 else -x, (X,), batched=True)
    out, err = capfd.readouterr()
    assert out == err == ""


def test_export_leaves_logging_alone():
    before = logging.root.manager.disable
    export(encoder(), (X,), batched=True)
    assert logging.root.manager.disable == before
