"""Norms of B W, compiled: those of the product written out in float64, for any processor, shape, type and norm."""

import ctypes

import pytest
import torch
from torch import nn

import imagrad
from imagrad.attribution import certified
from imagrad.complexstep.products import assembly, product_kernel, product_norms
from imagrad.complexstep.products.assembly import Registers
from imagrad.complexstep.reductions import NORMS
from imagrad.complexstep.threads import threads
from imagrad.errors import DerivativeError

SHAPES = [(32, 40, 128, 784), (7, 5, 3, 10), (1, 1, 1, 1), (33, 17, 130, 81), (5, 9, 20, 80)]
"""Latents, images, hidden units, features: fewer, more and as many as fit into tiles."""

EXACT = {
    "l2": lambda rows: (rows * rows).sum(0),
    "l1": lambda rows: rows.abs().sum(0),
    "max": lambda rows: rows.abs().amax(0),
}


@pytest.fixture
def other_processor(request, monkeypatch):
    """Compile as for a processor with other registers; this one runs it all the same, if its own are as wide."""
    monkeypatch.setattr(Registers, "of_host", staticmethod(lambda: request.param))
    product_kernel._kernel.cache_clear()
    yield
    product_kernel._kernel.cache_clear()


@pytest.fixture
def always(monkeypatch):
    """Take the compiled way however little there is to do; return what it was called with."""
    used = []

    class Noted(product_kernel.AddUp):
        def __call__(self, blocks):
            used.append(self)
            return super().__call__(blocks)

    monkeypatch.setattr(product_kernel, "AddUp", Noted)
    monkeypatch.setattr(product_kernel, "pays", lambda *_: True)
    monkeypatch.setattr("imagrad.complexstep.norms._FEW", 0)
    return used


def factors(latents, images, hidden, features, dtype=torch.float32, seed=0):
    """B, of which much is zero as in a ReLU network, and W."""
    generator = torch.Generator().manual_seed(seed)
    cotangents = torch.randn(latents, images, hidden, generator=generator, dtype=dtype)
    cotangents *= torch.rand(images, hidden, generator=generator) < 0.4
    cotangents *= torch.rand(latents, images, 1, generator=generator) < 0.8
    cotangents[:, 0] = 0  # an image that nothing depends on
    return cotangents, torch.randn(hidden, features, generator=generator, dtype=dtype)


def net(hidden=64, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(100, hidden), nn.ReLU(), nn.Linear(hidden, 12), nn.ReLU()).eval()


def photos(count=50, seed=1):
    return torch.rand(count, 1, 10, 10, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("norm", sorted(EXACT))
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_product(shape, norm, dtype):
    cotangents, weight = factors(*shape, dtype)
    found = product_kernel.AddUp(weight, norm)([cotangents])
    exact = EXACT[norm](cotangents.double() @ weight.double())
    assert found.shape == exact.shape and found.dtype == dtype
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=20 * torch.finfo(dtype).eps * float(exact.max()))


@pytest.mark.parametrize(
    "other_processor", [Registers(16, 16), Registers(16, 32), Registers(32, 16)], indirect=True, ids=str
)
@pytest.mark.parametrize("norm", sorted(EXACT))
def test_it_is_the_product_with_other_registers(norm, other_processor):
    for dtype in (torch.float32, torch.float64):
        cotangents, weight = factors(33, 17, 130, 81, dtype)
        exact = EXACT[norm](cotangents.double() @ weight.double())
        found = product_kernel.AddUp(weight, norm)([cotangents]).double()
        torch.testing.assert_close(found, exact, rtol=0, atol=20 * torch.finfo(dtype).eps * float(exact.max()))


def test_every_norm_of_the_registry_is_there():
    assert {entry.compiled for entry in NORMS.values()} == set(EXACT) == set(product_kernel.ADDED)


def test_parts_of_the_latents_add_up():
    cotangents, weight = factors(32, 20, 64, 100)
    add_up = product_kernel.AddUp(weight, "l2")
    torch.testing.assert_close(add_up(cotangents.split(5)), add_up([cotangents]), rtol=1e-5, atol=1e-5)


def test_an_image_depends_on_itself_alone_and_not_on_the_threads():
    cotangents, weight = factors(16, 23, 64, 100)
    add_up = product_kernel.AddUp(weight, "l2")
    whole = add_up([cotangents])
    for count in (2, 3, 40):
        with threads(count):
            assert torch.equal(add_up([cotangents]), whole)
    assert torch.equal(add_up([cotangents[:, 7:9]]), whole[7:9])


def test_without_gnu_openmp_it_runs_in_threads_of_its_own(monkeypatch):
    cotangents, weight = factors(16, 23, 64, 100)
    whole = product_kernel.AddUp(weight, "l2")([cotangents])
    monkeypatch.setattr(assembly.ctypes, "CDLL", lambda _: ctypes)  # which has no GOMP_parallel
    with threads(3):
        assert torch.equal(product_kernel.AddUp(weight, "l2")([cotangents]), whole)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize("norm", sorted(EXACT))
def test_what_is_not_finite_is_not_lost(norm, wrong):
    cotangents, weight = factors(8, 6, 16, 30)
    cotangents[3, 2, 5] = wrong
    found = product_kernel.AddUp(weight, norm)([cotangents])
    assert not found[2].isfinite().any()
    assert found[[0, 1, 3, 4, 5]].isfinite().all()


@pytest.mark.parametrize("norm", sorted(EXACT))
@pytest.mark.parametrize("latents", [None, [2, 7, 11], torch.linspace(-1, 1, 12)], ids=["all", "some", "weights"])
def test_maps_are_those_of_the_way_without(norm, latents, always, monkeypatch):
    mask = torch.arange(100).view(1, 10, 10) % 3 > 0
    options = {"norm": norm, "latents": latents, "features": mask, "engine": "transpose"}
    fast = imagrad.saliency(net(), photos(), **options)
    assert always and fast.certificate.passed
    monkeypatch.setattr(product_kernel, "pays", lambda *_: False)
    slow = imagrad.saliency(net(), photos(), **options)
    torch.testing.assert_close(fast.maps, slow.maps, rtol=1e-5, atol=1e-6, equal_nan=True)


def test_maps_with_little_memory_are_the_same(always):
    options = {"engine": "transpose", "certify": "none"}
    much, little = (imagrad.saliency(net(), photos(), memory_budget=budget, **options).maps for budget in (2**26, 1))
    assert len(always) == 2
    torch.testing.assert_close(little, much, rtol=1e-5, atol=1e-6)


def test_a_derivative_that_is_not_finite_is_refused(always, monkeypatch):
    plain = product_norms.row_blocks

    def broken(task, outputs):
        for at, rows in plain(task, outputs):
            yield at, torch.full_like(rows, torch.nan)

    monkeypatch.setattr(product_norms, "row_blocks", broken)
    with pytest.raises(DerivativeError, match="all derivatives must be finite; some are NaN or infinite"):
        imagrad.saliency(net(), photos(), engine="transpose")


def test_a_planted_fault_is_caught_by_the_certificate(always, monkeypatch):
    monkeypatch.setitem(product_kernel.ADDED, "l2", lambda a, total, value: a.call("fma", value, total, total))
    product_kernel._kernel.cache_clear()
    try:
        with pytest.raises(DerivativeError, match="map entries computed anew in complex128"):
            imagrad.saliency(net(), photos(), engine="transpose")
    finally:
        product_kernel._kernel.cache_clear()
    assert certified.CERTIFY[0] == "sample"


def test_it_is_taken_where_it_pays(monkeypatch):
    cotangents, weight = factors(32, 100, 64, 784)
    assert product_kernel.pays(cotangents, weight, "l2")
    assert not product_kernel.pays(cotangents, weight, "")  # a norm that it does not know
    assert not product_kernel.pays(cotangents[:, :1], weight, "l2")  # little to do
    assert not product_kernel.pays(torch.ones_like(cotangents), weight, "l2")  # nothing is dead
    assert not product_kernel.pays(cotangents.half(), weight.half(), "l2")
    assert not product_kernel.pays(*factors(4, 100, 1025, 784), "l2")
    monkeypatch.setattr(product_kernel, "is_installed", lambda: False)
    assert not product_kernel.pays(cotangents, weight, "l2")


@pytest.mark.parametrize("missing", [ImportError("no module"), OSError("no libz.so.1"), "processor"], ids=repr)
def test_it_says_when_it_is_not_there(missing, monkeypatch):
    if isinstance(missing, Exception):

        def load(name):
            raise missing

        monkeypatch.setattr(assembly, "import_module", load)
    else:
        monkeypatch.setattr(Registers, "of_host", staticmethod(lambda: None))
    assert not assembly.is_installed.__wrapped__()


@pytest.mark.parametrize(
    ("machine", "features", "registers"),
    [
        ("x86_64", {"avx512f": True, "avx2": True, "fma": True}, Registers(32, 64)),
        ("AMD64", {"avx2": True, "fma": True}, Registers(16, 32)),
        ("x86_64", {"avx2": True, "fma": False}, None),
        ("arm64", {}, Registers(32, 16)),
        ("riscv64", {}, None),
    ],
)
def test_registers_of_processors(machine, features, registers, monkeypatch):
    monkeypatch.setattr(assembly.platform, "machine", lambda: machine)
    monkeypatch.setattr(assembly, "_features", lambda: features)
    assert Registers.of_host.__wrapped__() == registers
