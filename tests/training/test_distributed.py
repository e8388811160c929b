"""One training on several processes: the shares in this process, and the whole under torchrun."""

import json
import os
import subprocess
import sys

import pytest
import torch

from imagrad import runs
from imagrad.cli.main import main
from imagrad.errors import InputError
from imagrad.models.autoencoders import NetworkConfig, build
from imagrad.training import distributed
from imagrad.training.config import DEFAULTS, TrainingConfig
from imagrad.training.contraction import Contraction
from imagrad.training.distributed import Share, is_first, make_fabric, processes, refuse_several, share_of
from imagrad.training.losses import VARIANTS, Step
from imagrad.training.side_by_side import train_all

HOWS = [
    ("denoising", {}),
    ("sparse", {}),
    ("sparse-kl", {}),
    ("contractive", {"jacobian": "closed", "hidden": ()}),
    ("contractive", {"jacobian": "engine"}),
    ("contractive", {"jacobian": "probes", "probes": 2}),
    ("variational", {}),
]
NAMES = [" ".join([variant, *(str(value) for value in more.values())]) for variant, more in HOWS]


def test_every_variant_is_tested():
    assert {variant for variant, _ in HOWS} == set(VARIANTS) == set(DEFAULTS)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("batch", [1, 2, 12, 25])
def test_shares_cover_the_batch_once_and_evenly(batch, size):
    shares = [share_of(batch, rank, size) for rank in range(size)]
    rows = [row for share in shares if share.count for row in range(batch)[share.rows]]
    assert rows == list(range(batch))
    counts = [share.count for share in shares]
    assert max(counts) - min(counts) <= 1
    assert all(len(range(batch)[share.rows]) == max(share.count, 1) for share in shares)  # none is without a row


# --- one step, the processes one after the other ---


def problem(config, batch):
    """Return a network, and corrupted and clean images, float64."""
    network = build(NetworkConfig("dense", (1, 4, 4), config.hidden, 3, config.ending), 0).double()
    return network, torch.rand(2, batch, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def gradient(config, batch, size=1, weighted=Share.weighted):
    """Return the gradient of one step on `batch` images, averaged over the processes as DDP does."""
    network, images = problem(config, batch)
    for rank in range(size):
        draws = torch.Generator().manual_seed(2)
        share = share_of(batch, rank, size)
        corrupted, clean = share.of(images[0]), share.of(images[1])
        contraction = Contraction(network, config.jacobian, config.probes)
        terms = VARIANTS[config.variant](Step(network, corrupted, clean, config, contraction, draws, share))
        (weighted(share, terms.total) / size).backward()
    return torch.cat([weight.grad.flatten() for weight in network.parameters()])


def share_activations(monkeypatch, config, batch):
    """Let the processes, which run one after the other here, find each other's mean activations."""
    network, images = problem(config, batch)
    with torch.no_grad():
        mean = network.encode(images[0]).mean(dim=0)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda own: own.copy_(mean.view_as(own)))


def settings(variant, changes):
    return TrainingConfig(data="digits", variant=variant, **{"hidden": (5,), "latents": 3, **changes})


@pytest.mark.parametrize(("batch", "size"), [(25, 2), (5, 3), (1, 2)])
@pytest.mark.parametrize(("variant", "changes"), HOWS, ids=NAMES)
def test_the_mean_of_the_weighted_shares_is_the_step_of_one_process(variant, changes, batch, size, monkeypatch):
    config = settings(variant, changes)
    whole = gradient(config, batch)
    share_activations(monkeypatch, config, batch)
    assert torch.allclose(gradient(config, batch, size), whole, rtol=0, atol=1e-14 + 1e-12 * float(whole.abs().max()))


@pytest.mark.parametrize(("batch", "size"), [(25, 2), (5, 3), (2, 3)])
def test_a_plain_mean_of_unequal_shares_would_be_noticed(batch, size):
    """The planted fault."""
    config = settings("denoising", {})
    whole = gradient(config, batch)
    off = gradient(config, batch, size, weighted=lambda share, loss: loss)
    assert float((off - whole).abs().max() / whole.abs().max()) > 1e-3


# --- who is who ---


def under_torchrun(monkeypatch, rank):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", str(rank))


def test_roles(monkeypatch):
    assert (processes(), is_first()) == (1, True)
    monkeypatch.setenv("WORLD_SIZE", "4")  # others than torchrun set it, for work that is no one training
    assert (processes(), is_first()) == (1, True)
    under_torchrun(monkeypatch, 0)
    assert (processes(), is_first()) == (2, True)
    under_torchrun(monkeypatch, 1)
    assert (processes(), is_first()) == (2, False)


def test_what_one_process_must_do_is_refused_under_torchrun(monkeypatch):
    refuse_several("this")
    under_torchrun(monkeypatch, 0)
    with pytest.raises(InputError, match="2 processes train one network; this is not shared"):
        refuse_several("this")
    with pytest.raises(InputError, match="side by side is not shared"):
        train_all([])
    with pytest.raises(InputError, match=r"each process takes its own device; got `device` cuda:1\. Give cuda"):
        make_fabric("cuda:1")


def test_the_command_line_need_not_import_torch_to_know_its_role():
    code = "import sys, imagrad.training.distributed; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_without_torchrun_nothing_is_scaled_or_copied():
    share, images = share_of(25), torch.rand(25, 1, 4, 4)
    assert share.of(images) is images
    assert share.weighted(images) is images
    assert share.batch_mean(images) is images
    assert distributed.summed(make_fabric("cpu"), images) is images


# --- under torchrun ---


def train_command(out, *more):
    data = ["--data", "digits:train[:101]", "--validation", "digits:test[:20]"]  # a last batch of one image
    return ["train", *data, "--epochs", "2", "--out", str(out), "--json", *more]


IN_TURN = """
import json, sys
from imagrad.cli.main import main
if __name__ == "__main__":
    for arguments in json.loads(sys.argv[1]):
        code = main(arguments)
        if code:
            sys.exit(code)
"""


def launch(folder, *commands):
    """Run `imagrad` with these arguments, one after the other, on two processes."""
    script = folder / "in_turn.py"
    script.write_text(IN_TURN)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *torchrun, str(script), json.dumps(commands)],
        capture_output=True, text=True, timeout=300, env=environment,
    )  # fmt: skip


def weights_of(out):
    tensors, _ = runs.read_tensors(out / runs.WEIGHTS)
    return torch.cat([tensors[name].flatten() for name in sorted(tensors)])


KINDS = {
    "sparse-kl": ["--variant", "sparse-kl", "--lambda", "0.1"],  # whose mean is over the whole batch
    "variational": ["--variant", "variational"],  # whose loss draws
}
TOGETHER = pytest.mark.xdist_group("torchrun")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder in which two processes have trained each kind, and a third network in two parts; what they printed."""
    folder = tmp_path_factory.mktemp("two")
    parts = train_command(folder / "parts")
    run = launch(
        folder,
        *(train_command(folder / kind, *more) for kind, more in KINDS.items()),
        [*parts, "--epochs", "1"],
        [*parts, "--resume"],
    )
    assert run.returncode == 0, run.stderr
    return folder, run


@TOGETHER
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_what_one_does(kind, trained, tmp_path, capsys):
    folder, run = trained
    capsys.readouterr()
    assert main(train_command(tmp_path / "1", *KINDS[kind])) == 0
    before = json.loads(capsys.readouterr().out)
    printed = {line["out"]: line for line in map(json.loads, run.stdout.splitlines())}
    assert len(run.stdout.splitlines()) == 4, "each prints once"
    after = printed[str(folder / kind)]
    assert after["loss"] == pytest.approx(before["loss"], rel=1e-5)
    assert after["penalty"] == pytest.approx(before["penalty"], rel=1e-5)
    expected, found = weights_of(tmp_path / "1"), weights_of(folder / kind)
    # ten steps of Adam, which turns rounding of tiny gradients into steps
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5
    assert json.loads((folder / kind / runs.ENVIRONMENT).read_text())["processes"] == 2


@TOGETHER
@pytest.mark.slow
def test_two_processes_tell_each_epoch_once(trained):
    assert trained[1].stderr.count("epoch 2/2") == 3 and trained[1].stderr.count("epoch 1/1") == 1


@TOGETHER
@pytest.mark.slow
def test_resumed_under_torchrun(trained, tmp_path):
    parts = trained[0] / "parts"
    assert main(train_command(tmp_path / "one")) == 0
    expected = weights_of(tmp_path / "one")
    assert float((weights_of(parts) - expected).abs().max() / expected.abs().max()) < 1e-5
    assert sorted(path.name for path in parts.iterdir()) == sorted(path.name for path in (tmp_path / "one").iterdir())


@pytest.mark.slow
def test_an_error_of_the_first_process_ends_all(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("kept")
    run = launch(tmp_path, train_command(out))
    assert run.returncode != 0
    assert "`out` must be a new or an empty folder" in run.stderr
    assert [path.name for path in out.iterdir()] == ["mine"]


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_told_and_ends_all(tmp_path):
    run = launch(tmp_path, train_command(tmp_path / "out", "--learning-rate", "1e30"))
    assert run.returncode != 0
    assert "the loss must stay finite" in run.stderr
