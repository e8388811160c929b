"""The harness of the benchmarks: what differs is not timed, and every way to a map gives the same map."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def modules():
    """Import the harness, the problems, the ways and the script, as they import one another: by their own names."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import harness
        import map_problems
        import map_ways
        import maps
    finally:
        sys.path.remove(str(BENCHMARKS))
    return harness, map_problems, map_ways, maps


@pytest.fixture(scope="module")
def problem(modules):
    torch.manual_seed(0)
    net = (
        nn.Sequential(nn.Flatten(), nn.Linear(20, 6), nn.Tanh(), nn.Linear(6, 3)).double().eval().requires_grad_(False)
    )
    return modules[1].Problem("small", net, net, torch.rand(5, 1, 4, 5, dtype=torch.float64))


def test_results_that_differ_are_not_timed(modules):
    same = torch.rand(3, 4)
    assert modules[0].check_equal({"one": same, "other": same}, "one") == {"one": 0, "other": 0}
    for wrong in (same * 1.01, same.clone().fill_(torch.nan), -same):
        with pytest.raises(AssertionError, match=r"results must agree to 1e-10 .* these do not: \{'other'"):
            modules[0].check_equal({"one": same, "other": wrong}, "one")


def test_maps_that_differ_are_not_timed(modules):
    truth = torch.rand(40, 1, 4, 5)
    few, many = truth.clone(), truth.clone()
    few[:2] += 0.1  # at a kink to within rounding
    many[:3] += 0.1
    assert modules[3]._difference("a way", few, truth) == 0
    for wrong in (many, truth + 1e-3, truth * torch.nan):
        with pytest.raises(AssertionError, match=r"maps must agree to 0.0001 .* those of a way are .* off"):
            modules[3]._difference("a way", wrong, truth)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # what jacfwd imports
def test_every_way_gives_the_same_maps(modules, problem):
    harness, _, ways, _ = modules
    truth = torch.linalg.vector_norm(torch.vmap(torch.func.jacrev(problem.of_one))(problem.images), dim=1)
    compared = []
    for name, entry in ways.COMPETITORS.items():
        found = harness.attempt(lambda entry=entry: entry.run(problem, problem.images, entry.sizes[-1]))
        if isinstance(found, str):
            assert name in ("imagrad, 64 probes", "jax.jit(vmap(jacrev))"), found  # too few latents; not installed
        elif not entry.is_other:
            harness.check_equal({name: found, "truth": truth}, "truth")
            compared.append(name)
    assert len(compared) >= 9


def test_the_floor_counts_all_products_but_the_last(modules, problem):
    _, problems, _, _ = modules
    assert problem.latents == 3
    assert problem.products() == [problems.Product(1, 6, 20)]
    conv = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Flatten(), nn.Linear(3 * 4 * 5, 7)).eval()
    of_conv = problems.Problem("conv", conv, conv, torch.rand(1, 2, 4, 5))
    assert of_conv.products() == [problems.Product(20, 3, 2 * 9)]


def test_the_best_size_is_taken_and_what_does_not_fit_is_left_out(modules, problem):
    import time

    def run(problem, images, size):
        if size == 64:
            raise NotImplementedError("does not fit")
        time.sleep(0.05 if size == 16 else 0)
        return images

    entry = modules[2].Competitor(run, (64, 16, 1), of_images=False)
    assert modules[3]._best_size(problem, entry, problem.images).size == 1
    refused = modules[2].Competitor(run, (64,), of_images=False)
    assert modules[3]._best_size(problem, refused, problem.images) == "NotImplementedError: does not fit"


def test_what_takes_long_is_called_again_at_its_best_size_alone(modules, problem, monkeypatch):
    """A first call holds what a process loads once: its memory says nothing."""
    import time

    called = []

    def run(problem, images, size):
        called.append(size)
        time.sleep(0.05 if size == 3 else 0)
        return images

    monkeypatch.setattr(modules[3], "_LONG", 0.0)
    entry = modules[2].Competitor(run, (3, 1), of_images=False)
    assert modules[3]._best_size(problem, entry, problem.images).size == 1
    assert called == [3, 1, 1]


def test_the_table_has_ratios_to_imagrad_and_to_the_floor(modules):
    record = {
        "milliseconds": {"imagrad": 2.0, "loop of autograd.grad": 5.0}, "floor": 1.0, "off": {"imagrad": 0.0},
        "of_reference": {"imagrad": 1.0, "loop of autograd.grad": 2.5},
        "of_floor": {"imagrad": 2.0, "loop of autograd.grad": 5.0},
        "sizes": {"imagrad": 0, "loop of autograd.grad": 64},
        "megabytes": {"imagrad": 3.0, "loop of autograd.grad": None},
    }  # fmt: skip
    rows = {row["way"]: row for row in modules[3].table(record)}
    assert rows["loop of autograd.grad"]["of imagrad's"] == "2.50" and rows["imagrad"]["of the floor"] == "2.00"
    assert rows["floor"]["of imagrad's"] == "0.50" and rows["loop of autograd.grad"]["peak MB"] == "?"


def test_ratios_are_medians_of_rounds_in_which_the_machine_was_as_fast(modules):
    assert modules[0].median_of_ratios([2.0, 4.0, 20.0], [1.0, 2.0, 10.0, 5.0]) == 2.0
