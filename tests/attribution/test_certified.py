"""The certificate of the maps: every planted fault is caught, and nothing else is."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

import imagrad
from imagrad.attribution import blocks, certified, saliency
from imagrad.complexstep import cache, norms, reductions
from imagrad.complexstep.certificate import Check
from imagrad.complexstep.rules import RULES
from imagrad.errors import DerivativeError

from ..marks import slow

WEIGHTS = torch.tensor([1.0, 0.0, 2.0, -1.0, 0.5])
VALUE, ENTRIES, DIRECTIONS = "real part", "map entries", "random directions against complex128"
DIFFERENCES, WRITTEN, RANGE = "central differences", "written to", "values of the maps"


def network():
    torch.manual_seed(4)
    layers = [nn.Conv2d(1, 3, 3), nn.GELU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(27, 5), nn.Tanh()]
    return nn.Sequential(*layers).eval().requires_grad_(False)


NETWORKS = {torch.float32: network(), torch.float64: network().double()}  # each is traced once
MASK = torch.zeros(1, 8, 8, dtype=torch.bool)
MASK[0, 1:3, 2:7] = True  # its transpose is another


@pytest.fixture(autouse=True)
def nothing_recorded():
    """What was recorded with a planted rule must not outlive it, and none without it must hide it."""
    forget()
    yield
    forget()


def forget():
    for shelf in cache._KNOWN.values():
        for known in shelf.values():
            known.graph.recorded.clear()


def photos(dtype=torch.float32, count=4):
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def failed(certificate):
    return [check.name for check in certificate.checks if not check.passed]


# --- planted faults: what is patched, and which check must see it ---


def plant_rule(monkeypatch, name, wrap):
    """Replace the rule of an operation by `wrap(rule)`."""
    entry = RULES[name]
    monkeypatch.setitem(RULES._entries, name, replace(entry, apply=wrap(entry.apply)))


def bent(factor, *, when=lambda result: True):
    """Multiply the imaginary part that a rule returns."""

    def wrap(apply):
        def wrong(*args, **kwargs):
            result = apply(*args, **kwargs)
            return result.of(result.re, factor * result.im) if when(result) else result

        return wrong

    return wrap


def linear_rule(monkeypatch):
    plant_rule(monkeypatch, "aten.avg_pool2d.default", bent(1.01))


def convolution(monkeypatch):
    plant_rule(monkeypatch, "aten.convolution.default", bent(0.99))


def formula(monkeypatch):
    plant_rule(monkeypatch, "aten.gelu.default", bent(1.01))


def pairs_only(monkeypatch):
    plant_rule(monkeypatch, "aten.tanh.default", bent(1.01, when=lambda result: not result.arithmetic.is_complex))


def complex_kernel(monkeypatch):
    plant_rule(monkeypatch, "aten.tanh.default", bent(1.01, when=lambda result: result.arithmetic.is_complex))


def nan_in_the_kernel(monkeypatch):
    plant_rule(monkeypatch, "aten.tanh.default", bent(torch.nan, when=lambda result: result.arithmetic.is_complex))


def sign(monkeypatch):
    plant_rule(monkeypatch, "aten.gelu.default", bent(-1.0))


def real_part(monkeypatch):
    def wrap(apply):
        return lambda *args, **kwargs: (lambda result: result.of(1.01 * result.re, result.im))(apply(*args, **kwargs))

    plant_rule(monkeypatch, "aten.tanh.default", wrap)


def writes(monkeypatch):
    """A rule that writes to a weight, without changing it, in complex arithmetic."""

    def wrap(apply):
        def wrong(images, weight, *rest):
            if images.arithmetic.is_complex:
                weight.add_(0)
            return apply(images, weight, *rest)

        return wrong

    plant_rule(monkeypatch, "aten.convolution.default", wrap)


def root(monkeypatch):
    monkeypatch.setattr(reductions, "root", lambda squares: squares)


def norm(monkeypatch):
    monkeypatch.setitem(norms.NORMS._entries, "l2", norms.NORMS["l1"])


def mask(monkeypatch):
    plain = norms.select_features
    transposed = lambda mask, shape: plain(None if mask is None else mask.transpose(1, 2), shape)  # noqa: E731
    monkeypatch.setattr(blocks, "select_features", transposed)


def mask_order(monkeypatch):
    """The right features, put into each other's places."""
    plain = norms.select_features
    monkeypatch.setattr(blocks, "select_features", lambda mask, shape: plain(mask, shape).flip(0))
    monkeypatch.setattr(norms, "column_blocks", backwards(norms.column_blocks))


def backwards(generate):
    def wrong(*args):
        yield from reversed(list(generate(*args)))

    return wrong


def chunks_of_columns(monkeypatch):
    monkeypatch.setattr(norms, "column_blocks", backwards(norms.column_blocks))


def chunks_of_rows(monkeypatch):
    plain = norms.row_blocks

    def wrong(*args):
        found = list(plain(*args))
        yield from ((outputs, rows) for (outputs, _), (_, rows) in zip(found, found[::-1], strict=True))

    monkeypatch.setattr(norms, "row_blocks", wrong)


def a_chunk_twice(monkeypatch):
    plain = norms.row_blocks

    def wrong(*args):
        found = list(plain(*args))
        yield from [found[0], *found]

    monkeypatch.setattr(norms, "row_blocks", wrong)


def weights_ignored(monkeypatch):
    monkeypatch.setattr(norms.Selection, "of", lambda self, derivatives: derivatives)
    monkeypatch.setattr(norms.Selection, "weigh", lambda self, rows, outputs: rows)


def weights_squared(monkeypatch):
    of, weigh = norms.Selection.of, norms.Selection.weigh
    squared = lambda selection: norms.Selection(selection.indices, selection.weights**2)  # noqa: E731
    monkeypatch.setattr(norms.Selection, "of", lambda self, rows: of(squared(self), rows))
    monkeypatch.setattr(norms.Selection, "weigh", lambda self, rows, out: weigh(squared(self), rows, out))


def stale_weights(monkeypatch):
    """What is differentiated is what the network was before it was trained further."""
    plain = blocks._trace

    def stale(*args):
        traced = plain(*args)
        both = {name: getattr(traced, name) for name in ("program", "exact")}
        old = {name: replace(program, constants=older(program.constants)) for name, program in both.items()}
        stale = replace(traced, program=old["program"])
        vars(stale)["exact"] = old["exact"]  # as if it had been asked for then
        return stale

    monkeypatch.setattr(blocks, "_trace", stale)
    monkeypatch.setattr(blocks, "check_trace", lambda off, dtype: None)


def older(constants):
    return {name: 0.98 * x if isinstance(x, torch.Tensor) else x for name, x in constants.items()}


def wrong_codes(monkeypatch):
    plain = blocks.blocks_of
    wrong = lambda *args: (replace(block, codes=block.codes.flip(1)) for block in plain(*args))  # noqa: E731
    monkeypatch.setattr(saliency, "blocks_of", wrong)


BOTH = ("forward", "transpose")
FAULTS = {
    linear_rule: (BOTH, DIFFERENCES, {}),
    convolution: (BOTH, DIFFERENCES, {}),
    formula: (BOTH, DIFFERENCES, {}),
    sign: (BOTH, DIFFERENCES, {}),
    pairs_only: (BOTH, ENTRIES, {}),
    complex_kernel: (BOTH, ENTRIES, {}),
    nan_in_the_kernel: (BOTH, "cannot be compared", {}),
    real_part: (BOTH, VALUE, {}),
    writes: (BOTH, WRITTEN, {}),
    root: (BOTH, ENTRIES, {}),
    norm: (BOTH, ENTRIES, {}),
    mask: (BOTH, RANGE, {"features": MASK}),
    mask_order: (("forward",), ENTRIES, {"features": MASK, "memory_budget": 1}),
    chunks_of_columns: (("forward",), ENTRIES, {"memory_budget": 1}),
    chunks_of_rows: (("transpose",), ENTRIES, {"memory_budget": 1, "latents": WEIGHTS}),
    a_chunk_twice: (("transpose",), ENTRIES, {"memory_budget": 1}),
    weights_ignored: (BOTH, ENTRIES, {"latents": WEIGHTS}),
    weights_squared: (BOTH, ENTRIES, {"latents": WEIGHTS}),
    stale_weights: (BOTH, VALUE, {}),
    wrong_codes: (BOTH, VALUE, {}),
}
CASES = [(fault, engine, *rest) for fault, (engines, *rest) in FAULTS.items() for engine in engines]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("fault", "engine", "seen_by", "options"), CASES, ids=lambda x: getattr(x, "__name__", None))
def test_every_planted_fault_is_caught(monkeypatch, fault, engine, seen_by, options, dtype):
    net, images = NETWORKS[dtype], photos(dtype)
    fault(monkeypatch)
    certificate = imagrad.certify(net, images, engine=engine, **options)
    assert not certificate.passed and any(seen_by in name for name in failed(certificate)), str(certificate)
    with pytest.raises(DerivativeError, match="the maps must agree with derivatives taken by other means; they do not"):
        imagrad.saliency(net, images, engine=engine, **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_it_passes_without_them(dtype):
    net, images = NETWORKS[dtype], photos(dtype)
    cases = {str((engine, options)): (engine, options) for _, engine, _, options in CASES}
    for engine, options in cases.values():
        certificate = imagrad.certify(net, images, engine=engine, **options)
        assert certificate.passed, str(certificate)
        assert imagrad.saliency(net, images, engine=engine, **options).certificate.passed
    assert imagrad.saliency(net, images, certify="none").certificate is None


@pytest.mark.parametrize("fault", [linear_rule, formula, pairs_only, complex_kernel, root, real_part])
def test_faults_are_caught_in_the_complex_engine_too(monkeypatch, fault):
    fault(monkeypatch)
    assert not imagrad.certify(NETWORKS[torch.float64], photos(torch.float64), engine="complex").passed


@pytest.mark.parametrize("kinks", ["right", "left", "mean"])
def test_a_linear_rule_is_checked_for_one_sided_kinks_too(monkeypatch, kinks):
    certificate = imagrad.certify(NETWORKS[torch.float32], photos(), kinks=kinks)
    assert certificate.passed
    linear_rule(monkeypatch)
    assert failed(imagrad.certify(NETWORKS[torch.float32], photos(), kinks=kinks)) != []


def test_nan_in_the_derivatives_is_refused(monkeypatch):
    plant_rule(monkeypatch, "aten.tanh.default", bent(torch.nan))
    for call in (imagrad.saliency, imagrad.certify):
        with pytest.raises(DerivativeError, match="all derivatives must be finite"):
            call(NETWORKS[torch.float32], photos())


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -1.0])
def test_a_single_bad_value_in_the_maps_is_found(bad):
    net, images = NETWORKS[torch.float32], photos()
    options = blocks.Options()
    block = list(blocks.blocks_of(net, images, options))[-1]
    maps = imagrad.saliency(net, images, certify="none").maps
    assert certified.certificate_of(block, maps, images, options, "l2", 0, full=False, ties={}).passed
    maps[2, 0, 4, 5] = bad
    found = certified.certificate_of(block, maps, images, options, "l2", 0, full=False, ties={})
    check = next(check for check in found.checks if not check.passed and RANGE in check.name)
    assert str(check) == "FAILED: values of the maps that are not finite and >= 0: 1 of 256"


def test_what_is_said_when_it_fails(monkeypatch):
    linear_rule(monkeypatch)
    with pytest.raises(DerivativeError) as caught:
        imagrad.saliency(NETWORKS[torch.float32], photos())
    told = str(caught.value)
    assert "FAILED: random directions against central differences (10 numbers, worst " in told
    assert "passed" not in told and "\n" not in told
    for advice in ("ask for dtype=torch.float64", "imagrad.certify says more", 'certify="none" returns the maps'):
        assert advice in told


# --- no false alarms ---


def plain(*layers):
    torch.manual_seed(0)
    return nn.Sequential(*layers).eval().requires_grad_(False)


def pooled():
    """Max pooling over a constant background: maxima that are equal but for rounding, and as many ReLUs at 0."""
    return plain(
        nn.Conv2d(1, 4, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(24, 5), nn.ReLU(),
    )  # fmt: skip


def deep():
    layers = [layer for _ in range(12) for layer in (nn.Linear(64, 64), nn.ReLU())]
    return plain(nn.Flatten(), *layers, nn.Linear(64, 5))


CLEAN = {"conv": network(), "pooled": pooled(), "deep": deep()}


def drawings(count=6):
    """Strokes of a few grey levels on black, as digits are, and one black image."""
    images = torch.zeros(count, 1, 14, 14)
    images[1:, :, 4:10, 5:9] = (
        4 * torch.rand(count - 1, 1, 6, 4, generator=torch.Generator().manual_seed(2))
    ).round() / 4
    return images


@pytest.mark.parametrize("name", sorted(CLEAN))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("engine", ["transpose", *slow("forward", "complex")])
def test_no_false_alarms(name, dtype, engine):
    net = CLEAN[name].to(dtype)
    images = drawings().to(dtype) if name == "pooled" else photos(dtype)
    for seed in range(2):
        certificate = imagrad.certify(net, images, engine=engine, seed=seed)
        assert certificate.passed, str(certificate)


@pytest.mark.parametrize("kinks", ["ad", "right", "left", "mean"])
def test_no_false_alarm_at_kinks(kinks):
    net = CLEAN["pooled"].float()
    certificate = imagrad.certify(net, drawings(), kinks=kinks)
    assert certificate.passed and certificate.ties["aten.relu.default"] > 0, str(certificate)
    names = [check.name for check in certificate.checks]
    assert (DIRECTIONS in names) == (kinks == "ad")
    if kinks != "ad":
        assert f'random directions at the images are not compared for kinks="{kinks}"' in certificate.notes[0]


@pytest.mark.parametrize(
    "options",
    [
        {"norm": "l1"},
        {"norm": "max"},
        {"latents": [3, 1]},
        {"latents": [0.1, 0.2, 0.0, -0.4, 0.5]},
        {"features": MASK},
        {"features": MASK, "latents": [2], "norm": "max"},
        {"batch_size": 3},
        {"memory_budget": 1},
        {"dtype": torch.float64},
        {"step": 1e-150, "engine": "complex"},
    ],
    ids=str,
)
def test_no_false_alarm_whatever_is_asked(options):
    certificate = imagrad.certify(NETWORKS[torch.float32], photos(), **options)
    assert certificate.passed, str(certificate)


def test_no_false_alarm_for_narrow_results_of_a_wide_network():
    certificate = imagrad.certify(NETWORKS[torch.float64], photos(torch.float64), dtype=torch.float32)
    assert certificate.passed, str(certificate)


@pytest.mark.parametrize("count", [2, 5])
def test_networks_of_one_batch_size(count):
    """Entries are computed anew in whole batches: none is left out."""
    net = NETWORKS[torch.float32]
    certificate = imagrad.certify(lambda x: net(x.reshape(count, 1, 8, 8)), photos(count=count))
    entries = next(check for check in certificate.checks if ENTRIES in check.name)
    assert certificate.passed and entries.count >= 16 * count
    result = imagrad.saliency(lambda x: net(x.reshape(count, 1, 8, 8)), photos(count=count))
    assert next(check for check in result.certificate.checks if ENTRIES in check.name).count >= 8


def test_held_inputs():
    net, held = NETWORKS[torch.float32], torch.rand(4, 5)
    certificate = imagrad.certify(lambda x, scale: net(x) * scale, photos(), held=(held,))
    assert certificate.passed and len(certificate.checks) == 6


def test_an_encoder_that_is_defined_for_numbers_of_one_sign():
    """Beside an image that stands at kinks there is no step into what the logarithm does not know."""
    images = torch.rand(2, 1, 8, 8).clamp_min(1e-4)
    certificate = imagrad.certify(lambda x: (x.flatten(1) - 1e-4).relu() + x.flatten(1).log(), images)
    assert certificate.passed, str(certificate)


SMALL = plain(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.mark.parametrize("value", [0.0, 1.0, -3e4, 1e-30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_constant_images(value, dtype):
    certificate = imagrad.certify(SMALL.to(dtype), torch.full((2, 6), value, dtype=dtype))
    assert certificate.passed, str(certificate)


def test_latents_that_do_not_depend_on_the_image():
    assert imagrad.certify(lambda x: x.flatten(1) * 0 + 1, photos()).passed


# --- what is sampled, what is said ---


def test_the_sample_is_seeded():
    net, images = NETWORKS[torch.float32], photos()
    first, again, other = (imagrad.saliency(net, images, seed=seed).certificate for seed in (1, 1, 2))
    assert first == again != other


def test_the_sample_grows_with_the_cost_and_full_looks_at_every_image():
    def entries(certificate):
        return next(check.count for check in certificate.checks if ENTRIES in check.name)

    net = NETWORKS[torch.float32]
    assert entries(imagrad.saliency(net, photos()).certificate) == 8
    assert entries(imagrad.saliency(net, photos(count=800)).certificate) == 20  # one for 400 of 800 * 2 * 5 passes
    assert entries(imagrad.saliency(net, photos(), certify="full").certificate) == 64


def test_every_image_can_be_picked():
    """A fault in one image of many is found when all are looked at."""
    net, images = NETWORKS[torch.float32], photos(count=30)
    options = blocks.Options()
    block = list(blocks.blocks_of(net, images, options))[-1]
    maps = imagrad.saliency(net, images, certify="none").maps
    maps[17] *= 1.001
    found = certified.certificate_of(block, maps, images, options, "l2", 0, full=True, ties={})
    assert [check.name for check in found.checks if not check.passed] == ["map entries computed anew in complex128"]


def test_the_certificate_in_words():
    text = str(imagrad.certify(NETWORKS[torch.float32], photos()))
    assert text.startswith("Certificate: passed.\n  passed: real part against the network itself (10 numbers, worst ")
    for part in (
        "passed: map entries computed anew in complex128 (64 numbers, worst",
        "passed: random directions against central differences (10 numbers, worst",
        "passed: weights and images that were written to: 0 of ",
        " operations carry the derivative, by rules of these kinds: ",
        "without a complex kernel, so checked by central differences only: aten.gelu.default.",
        "no operation stood exactly at a kink.",
    ):
        assert part in text, part
    assert "the nearest kink" not in text, "a smooth network has none"


def test_operations_and_their_kinds_are_named():
    certificate = imagrad.certify(CLEAN["pooled"].float(), drawings())
    assert certificate.operations["aten.convolution.default"] == 2 and certificate.operations["aten.relu.default"] == 3
    assert set(certificate.kinds) == set(certificate.operations) and certificate.by_formula == ()
    assert "exactly at a kink: " in str(certificate) and "aten.relu.default" in str(certificate)
    assert "the nearest kink is about " in str(certificate)


def test_a_certificate_is_kept_with_its_result(tmp_path):
    result = imagrad.saliency(NETWORKS[torch.float32], photos(), certify="full")
    result.save(tmp_path / "maps.safetensors")
    assert imagrad.load_result(tmp_path / "maps.safetensors").certificate == result.certificate
    plain = json.loads(json.dumps(result.certificate.as_dict(), allow_nan=False))
    assert imagrad.Certificate.from_dict(plain) == result.certificate and plain["passed"] is True


def test_a_certificate_is_plain_data():
    """Nothing in it keeps tensors alive."""
    certificate = imagrad.certify(NETWORKS[torch.float32], photos())
    assert all(isinstance(check, Check) and isinstance(check.count, int) for check in certificate.checks)
    assert not any(isinstance(value, torch.Tensor) for value in vars(certificate).values())


@pytest.mark.parametrize(("largest", "entries"), [(16, 8), (15, 4)])
def test_a_very_large_network_has_fewer_entries_computed_anew(monkeypatch, largest, entries):
    """Which is a matter of its size alone, not of the memory that may be used."""
    monkeypatch.setattr(certified, "_LARGE", largest)
    net, images = nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.ReLU()).eval(), torch.rand(3, 4, 4)
    for budget in (None, 1000):
        (check,) = (
            check
            for check in imagrad.certify(net, images, memory_budget=budget).checks
            if check.name.startswith("map entries")
        )
        assert check.count == 3 * 16, "all images are looked at, when asked for"
        sampled = imagrad.saliency(net, images, memory_budget=budget).certificate.checks
        assert [check.count for check in sampled if check.name.startswith("map entries")] == [entries]
