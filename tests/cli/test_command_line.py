"""The command line as a user meets it: whole processes for what must hold of them, `main` for the rest."""

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import imagrad
from imagrad import runs
from imagrad.cli.conventions import Group
from imagrad.cli.main import COMMANDS, main
from imagrad.complexstep import reductions


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The run folder of a small network for the digits."""
    out = tmp_path_factory.mktemp("runs") / "dae"
    assert main(["train", "--data", "digits:train[:300]", "--epochs", "2", "--latents", "6", "--out", str(out)]) == 0
    return out


def run(capsys, *arguments):
    """Run a command; return exit code, stdout and stderr."""
    capsys.readouterr()
    try:
        code = main(list(arguments))
    except SystemExit as stop:
        code = stop.code
    out = capsys.readouterr()
    return code, out.out, out.err


def last_line(text):
    return text.strip().splitlines()[-1]


# --- help, version, usage ---


GROUPS = {name: entry for name, entry in COMMANDS.items() if isinstance(entry, Group)}
HELPS = ["", *COMMANDS, *(f"{name} {part}" for name, group in GROUPS.items() for part in group.commands)]


HELP_OF_ALL = """
import contextlib, io, json, sys
from imagrad.cli.main import main
heavy, helps = ("torch", "matplotlib", "sklearn", "lightning_fabric"), {}
for command in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            main([*command.split(), "--help"])
        except SystemExit as stop:
            code = stop.code
    helps[command] = (code, out.getvalue(), [name for name in heavy if name in sys.modules])
print(json.dumps(helps))
"""


@pytest.fixture(scope="module")
def helps():
    """What every command answers to --help and what has been imported by then, in one fresh process."""
    command = [sys.executable, "-c", HELP_OF_ALL, json.dumps(HELPS)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("command", HELPS)
def test_help_is_quick_and_imports_nothing_heavy(helps, command):
    code, out, heavy = helps[command]
    assert code == 0 and f"usage: imagrad {command}".rstrip() in out and heavy == []


def test_version(capsys):
    code, out, _ = run(capsys, "--version")
    assert code == 0 and out.strip() == f"imagrad {imagrad.__version__}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["trian"], "trian"),
        (["train"], "data"),
        (["train", "--data", "digits", "--epochs", "many"], "epochs"),
        (["train", "--data", "digits", "--epoch", "3"], "epoch"),
        (["explain", "--data"], "data"),
    ],
)
def test_wrong_usage_exits_2(capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert code == 2 and message in err and out == "" and "Traceback" not in err


def test_config_file_and_print_config(capsys):
    code, out, _ = run(capsys, "train", "--data", "digits", "--kappa", "0.3", "--print_config")
    assert code == 0 and "kappa: 0.3" in out
    with open("c.yaml", "w") as file:  # noqa: PTH123
        file.write(out.replace("epochs: 100", "epochs: 1").replace("latents: 32", "latents: 3"))
    code, out, _ = run(capsys, "train", "--config", "c.yaml", "--out", "runs/x", "--json")
    assert code == 0 and json.loads(out)["epochs"] == 1
    assert runs.read_config(runs.Path("runs/x"))["training"]["kappa"] == 0.3
    with open("c.yaml", "a") as file:  # noqa: PTH123
        file.write("kapa: 1\n")
    code, _, err = run(capsys, "train", "--config", "c.yaml")
    assert code == 2 and "kapa" in err


# --- train ---


def test_train_prints_the_numbers_and_where_they_are(trained, capsys):
    code, out, err = run(capsys, "train", "--data", "digits", "--epochs", "1", "--latents", "3")
    assert code == 0
    assert "trained 1 epoch into runs/train-001" in out and "cross-entropy, validation images" in out
    assert "epoch 1/1" in err
    code, out, _ = run(capsys, "train", "--data", "digits", "--epochs", "1", "--latents", "3", "--json")
    assert json.loads(out)["out"] == "runs/train-002"


def test_resume_on_the_command_line(capsys):
    options = ["--data", "digits[:200]", "--latents", "3", "--out", "r"]
    assert run(capsys, "train", *options, "--epochs", "1")[0] == 0
    code, _, err = run(capsys, "train", *options, "--epochs", "2")
    assert code == 1 and "exists and is not empty" in err
    code, out, _ = run(capsys, "train", *options, "--epochs", "2", "--resume", "--json")
    assert code == 0 and json.loads(out)["epochs"] == 2
    assert run(capsys, "train", "--data", "digits", "--resume")[2].strip().endswith("the run folder to go on with.")


BAD_TRAINING = [
    (["--noise", "pink"], 2, "unknown corruption 'pink'; known: gaussian, poisson, salt-and-pepper, speckle"),
    (["--variant", "sparce"], 2, "unknown variant 'sparce'; known: contractive, denoising"),
    (["--kappa", "-1"], 2, "the level of gaussian noise (`kappa`) must be 0 (no noise) or a positive number; got -1"),
    (["--data", "digits/label=11"], 2, "digits has the labels 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; got '11'"),
    (["--data", "digits[5000:]"], 2, "selects no image"),
    (
        ["--data", "nothing/here"],
        1,
        "there is no file or folder nothing/here; the data sets known by name: digits, mnist",
    ),
    (["--data", "nothing"], 2, "There is no file or folder of that name either"),
    (["--device", "cuda:9"], 2, "`device` must be one that this machine has; 'cuda:9' is not"),
    (["--device", "quantum"], 2, "`device` must be one that this machine has"),
    (["--epochs", "0"], 2, "`epochs` must be at least 1; got 0"),
    (["--out", "/proc/imagrad"], 1, "cannot write /proc/imagrad/config.json"),
    (["--learning-rate", "1e30"], 1, "the loss must stay finite"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), BAD_TRAINING)
def test_bad_training_is_one_line(capsys, arguments, code, message):
    given = ["--data", "digits[:200]", *arguments] if "--data" not in arguments else arguments
    found, out, err = run(capsys, "train", "--epochs", "3", *given)
    assert found == code and out == "" and "Traceback" not in err
    assert last_line(err).startswith("imagrad train: error: ") and message in last_line(err)


def test_debug_shows_the_traceback(capsys):
    _, _, err = run(capsys, "train", "--data", "digits", "--noise", "pink", "--debug")
    assert "Traceback" in err and last_line(err).startswith("imagrad train: error: unknown corruption")


def test_missing_mnist_is_one_line(capsys, monkeypatch):
    from imagrad.data import mnist

    monkeypatch.setattr(mnist, "MIRRORS", ("http://127.0.0.1:9/",))
    monkeypatch.setattr(mnist, "_RETRIES", 0)
    code, _, err = run(capsys, "train", "--data", "mnist", "--data-dir", "empty")
    assert code == 1 and "MNIST is not on this machine" in last_line(err) and "empty" in last_line(err)


def test_unexpected_error_is_still_one_line(capsys, monkeypatch):
    from dataclasses import replace

    def broken(options):
        raise KeyError("surprise")

    monkeypatch.setitem(COMMANDS, "list", replace(COMMANDS["list"], run=broken))
    code, _, err = run(capsys, "list")
    assert code == 1 and err.startswith("imagrad list: unexpected KeyError: 'surprise' (--debug shows where")


@pytest.mark.slow
def test_ctrl_c_keeps_every_finished_epoch(tmp_path):
    command = [sys.executable, "-m", "imagrad", "train", "--data", "digits", "--epochs", "10000", "--out", "r"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "r" / "log.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in err
    assert last_line(err) == (
        "imagrad train: interrupted. Every finished epoch is saved: the same command with --resume goes on."
    )
    assert imagrad.load("r").config.latents == 32


@pytest.mark.slow
def test_progress_bar_on_a_terminal(tmp_path):
    """Loss, validation loss and time left are shown where a person looks."""
    main_end, child_end = pty.openpty()
    fcntl.ioctl(child_end, termios.TIOCSWINSZ, struct.pack("4H", 24, 140, 0, 0))
    command = [sys.executable, "-m", "imagrad", "train", "--data", "digits", "--epochs", "40", "--out", "r"]
    process = subprocess.Popen(command, stderr=child_end, stdout=subprocess.PIPE)
    os.close(child_end)
    shown = b""
    while True:
        try:
            part = os.read(main_end, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    assert process.wait() == 0
    os.close(main_end)
    process.stdout.close()
    text = shown.decode()
    for part in ("epoch ", "loss=", "validation=0.", "step/s", "<", "2320/2320"):
        assert part in text, part


# --- explain ---


def test_explain_makes_a_run_folder(trained, capsys):
    code, out, _ = run(capsys, "explain", str(trained), "--data", "digits:test[:3]", "--out", "e")
    assert code == 0 and "explained 3 images" in out and "e/figures/saliency.png" in out
    folder = runs.Path("e")
    result = imagrad.load_result(folder / "maps.safetensors")
    expected = imagrad.saliency(imagrad.load(trained).encode, imagrad.load_dataset("digits:test[:3]").images())
    assert torch.equal(result.maps, expected.maps)
    config = runs.read_config(folder)
    assert config["data"]["sha256"] == imagrad.load_dataset("digits:test[:3]").fingerprint
    assert config["model"]["sha256"] == runs.hash_tensors(imagrad.load(trained).state_dict())
    metrics = runs.read_json(folder / "metrics.json")
    row, column = metrics["images"][1]["row"], metrics["images"][1]["column"]
    assert float(result.maps[1, 0, row, column]) == metrics["images"][1]["largest"] == float(result.maps[1].max())
    assert metrics["images"][1]["mean"] == pytest.approx(float(result.maps[1].mean()))
    assert metrics["images"][1]["active_latents"] == int((result.codes[1] > 0).sum())
    labels = imagrad.load_dataset("digits:test[:3]").labels.tolist()
    assert [image["label"] for image in metrics["images"]] == [str(label) for label in labels]
    svg = (folder / "figures/saliency.svg").read_text()
    assert re.findall(r"label (\d)", svg) == [str(label) for label in labels]
    with Image.open(folder / "figures/saliency.png") as picture:
        assert picture.size[0] > 300


def test_explain_options_reach_the_map(trained, capsys):
    arguments = [
        "explain",
        str(trained),
        "--data",
        "digits:test[:2]",
        "--norm",
        "max",
        "--latents",
        "0",
        "3",
        "--out",
        "e",
    ]
    assert run(capsys, *arguments)[0] == 0
    network = imagrad.load(trained)
    images = imagrad.load_dataset("digits:test[:2]").images()
    expected = imagrad.saliency(network.encode, images, norm="max", latents=[0, 3])
    assert torch.equal(imagrad.load_result("e/maps.safetensors").maps, expected.maps)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--engine", "transpose"], {"engine": "transpose"}),
        (["--engine", "complex"], {"engine": "complex", "step": 2.0**-66}),
        (["--kinks", "mean"], {"engine": "forward", "kinks": "mean"}),
        (["--certify", "none"], {"certificate": None}),
    ],
)
def test_engine_kinks_and_certify_reach_the_map(trained, capsys, arguments, expected):
    given = ["explain", str(trained), "--data", "digits:test[:2]", "--out", "e", *arguments]
    code, out, _ = run(capsys, *given)
    result = imagrad.load_result("e/maps.safetensors")
    assert code == 0 and {name: getattr(result, name) for name in expected} == expected
    told = "certificate: passed; 8 entries of the maps were computed anew in complex128"
    assert (told in out) == (result.certificate is not None)
    assert runs.read_config(runs.Path("e"))["options"][arguments[0][2:]] == arguments[1]
    assert runs.read_json(runs.Path("e/metrics.json"))["kinks"] == result.kinks


@pytest.mark.slow
def test_certify_full_of_explain_and_its_seed(trained, capsys):
    certificates = []
    for seed in ("1", "1", "2"):
        arguments = ["--certify", "full", "--seed", seed, "--json"]
        code, out, _ = run(capsys, "explain", str(trained), "--data", "digits:test[:2]", *arguments)
        certificates.append(json.loads(out)["certificate"])
        assert code == 0 and certificates[-1]["passed"] is True
    assert certificates[0] == certificates[1] != certificates[2]
    assert next(check["count"] for check in certificates[0]["checks"] if "entries" in check["name"]) == 32


def test_maps_that_fail_their_check_are_not_written(trained, capsys, monkeypatch):
    monkeypatch.setattr(reductions, "root", lambda squares: squares)
    code, out, err = run(capsys, "explain", str(trained), "--data", "digits:test[:2]", "--out", "e")
    assert code == 1 and out == "" and not runs.Path("e").exists()
    assert "the maps must agree with derivatives taken by other means; they do not" in last_line(err)
    assert len(err.strip().splitlines()) == 1


def test_explain_names_the_pictures_of_a_folder(trained, capsys):
    for name in ("b/two.png", "a/one.png"):
        runs.Path(f"pictures/{name}").parent.mkdir(parents=True)
        Image.new("L", (8, 8), 90).save(f"pictures/{name}")
    code, out, _ = run(capsys, "explain", str(trained), "--data", "pictures")
    assert code == 0 and [line.split()[0] for line in out.splitlines()[2:4]] == ["a/one.png", "b/two.png"]


@pytest.mark.slow
def test_explain_says_how_many_maps_its_figure_shows(trained, capsys):
    code, out, _ = run(capsys, "explain", str(trained), "--data", "digits:test[:14]")
    assert code == 0 and "note: the figure shows the first 12 of 14 maps; maps.safetensors has all" in out


@pytest.mark.slow
def test_kinks_reach_the_map(trained, capsys):
    shutil.copytree(trained, "tied")
    folder = runs.Path("tied")
    tensors, facts = runs.read_tensors(folder / "weights.safetensors")
    tensors["encoder.1.bias"].zero_()  # every unit stands at its kink for a black image
    runs.write_tensors(folder / "weights.safetensors", tensors, facts)
    np.save("black.npy", np.zeros((1, 8, 8)))
    code, out, _ = run(capsys, "explain", "tied", "--data", "black.npy")
    assert code == 0 and "note: aten.relu.default stood exactly at its kink 128 times" in out
    code, _, err = run(capsys, "explain", "tied", "--data", "black.npy", "--kinks", "raise")
    assert code == 1 and "this input stands exactly at a kink" in last_line(err)


@pytest.mark.slow
def test_output_that_cannot_be_written_is_one_line(trained):
    command = [sys.executable, "-m", "imagrad", "list"]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("imagrad list: unexpected OSError: [Errno 28] No space left on device")


def photo():
    """Dark ink on bright paper, in colour, 60 x 90: as users have them."""
    paper = np.full((60, 90, 3), 230, np.uint8)
    paper[10:50, 40:46] = (40, 30, 60)
    Image.fromarray(paper).save("photo.png")


def test_the_shipped_network_explains_a_picture_at_once(capsys):
    photo()
    code, out, _ = run(capsys, "explain", "--data", "photo.png", "--fit", "pad", "--invert", "--json")
    assert code == 0
    result = imagrad.load_result(json.loads(out)["out"] + "/maps.safetensors")
    assert result.images.shape == (1, 1, 28, 28)
    rows, columns = (result.images[0, 0] > 0.5).nonzero(as_tuple=True)
    assert len(rows) > 10 and rows.min() >= 4 and columns.min() >= 11 and columns.max() <= 15, "the stroke is bright"


def test_a_picture_that_does_not_fit_says_what_to_do(capsys):
    photo()
    code, _, err = run(capsys, "explain", "--data", "photo.png")
    assert code == 2
    for part in (
        "takes images that are grey 28 x 28; photo.png is colour 60 x 90",
        "--fit resize",
        "pad",
        "crop",
        "--invert",
    ):
        assert part in last_line(err), part


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--data", "photo.png", "--fit", "stretch"], 2, "unknown fit 'stretch'; known: crop, pad, resize"),
        (["--data", "digits:test[:1]"], 2, "takes images that are grey 28 x 28; digits:test[:1] is grey 8 x 8"),
        (["nowhere", "--data", "digits"], 1, "there is no network at nowhere: neither a run folder"),
        (["--data", "nan.npy"], 2, "pixels must be finite; image 0 of nan.npy"),
        (["--data", "large.npy"], 2, "pixels must lie in [0, 1]; image 0 of large.npy has 3"),
        (["--data", "digits[:1]", "--fit", "pad", "--norm", "l9"], 2, "unknown norm 'l9'; known: l1, l2, max"),
        (["--data", "digits[:1]", "--fit", "pad", "--latents", "99"], 2, "different indices from 0 to 31; got [99]"),
        (["--data", "digits[:1]", "--fit", "pad", "--out", "/proc/e"], 1, "cannot write /proc/e/config.json"),
    ],
)
def test_bad_explanations_are_one_line(capsys, arguments, code, message):
    photo()
    np.save("nan.npy", np.full((1, 28, 28), np.nan))
    np.save("large.npy", np.full((1, 28, 28), 3.0))
    found, out, err = run(capsys, "explain", *arguments)
    assert found == code and out == "" and "Traceback" not in err
    assert last_line(err).startswith("imagrad explain: error: ") and message in last_line(err)


def test_folder_of_a_broken_run(trained, capsys):
    shutil.copytree(trained, "broken")
    content = bytearray(runs.Path("broken/weights.safetensors").read_bytes())
    content[-1] ^= 1
    runs.Path("broken/weights.safetensors").write_bytes(content)
    code, _, err = run(capsys, "explain", "broken", "--data", "digits[:1]")
    assert code == 1 and "was changed after imagrad wrote it" in last_line(err)


# --- certify, preflight ---


@pytest.mark.parametrize("command", ["certify", "preflight"])
def test_networks_are_looked_at_without_any_option(capsys, command):
    code, out, _ = run(capsys, command)
    assert code == 0 and out.startswith("8 images of digits:test[:8] with the network that ships with imagrad\n")
    assert {"certify": "Certificate: passed.", "preflight": "Preflight: ready to be explained; "}[command] in out
    code, out, _ = run(capsys, command, "--json")
    found = json.loads(out)
    assert code == 0 and found["passed"] is True and found["images"] == 8
    assert found["text"].startswith({"certify": "Certificate: passed.", "preflight": "Preflight: ready"}[command])


@pytest.mark.slow
def test_certify_options_reach_the_certificate(trained, capsys):
    arguments = ["--engine", "transpose", "--norm", "max", "--seed", "3", "--json"]
    code, out, _ = run(capsys, "certify", str(trained), "--data", "digits:test[:3]", *arguments)
    found = json.loads(out)
    images = imagrad.load_dataset("digits:test[:3]").images()
    expected = imagrad.certify(imagrad.load(trained).encode, images, engine="transpose", norm="max", seed=3)
    assert code == 0 and {name: found[name] for name in expected.as_dict()} == expected.as_dict()
    code, out, _ = run(capsys, "certify", str(trained), "--data", "digits:test[:3]", "--kinks", "left")
    assert code == 0 and 'note: random directions at the images are not compared for kinks="left"' in out


def test_a_certificate_that_fails_exits_1(trained, capsys, monkeypatch):
    monkeypatch.setattr(reductions, "root", lambda squares: squares)
    code, out, err = run(capsys, "certify", str(trained), "--data", "digits:test[:2]")
    assert code == 1 and err == "" and "Certificate: FAILED.\n" in out and "  FAILED: map entries computed anew" in out
    code, out, _ = run(capsys, "certify", str(trained), "--data", "digits:test[:2]", "--json")
    assert code == 1 and json.loads(out)["passed"] is False


def test_a_network_that_is_not_ready_exits_1(trained, capsys, monkeypatch):
    network = imagrad.load(trained)
    network.encoder.append(torch.nn.Dropout()).train()
    opened = replace(imagrad.open_network(trained), encode=network.encode)
    monkeypatch.setattr("imagrad.cli.preflight.open_model", lambda *_: opened)
    code, out, err = run(capsys, "preflight", "--data", "digits:test[:2]")
    assert code == 1 and err == "" and "Preflight: cannot be explained as it is" in out
    assert "  problem (train mode): encoder.5 (Dropout) is in train mode; call .eval()." in out
    code, out, _ = run(capsys, "preflight", "--data", "digits:test[:2]", "--json")
    found = json.loads(out)
    assert code == 1 and found["passed"] is False and found["images"] == 2
    assert {"train mode", "randomness"} <= {finding["kind"] for finding in found["findings"]}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["certify", "nowhere"], 1, "there is no network at nowhere: neither a run folder"),
        (["preflight", "nowhere"], 1, "there is no network at nowhere: neither a run folder"),
        (
            ["certify", "--data", "digits:test[:1]"],
            2,
            "takes images that are grey 28 x 28; digits:test[:1] is grey 8 x 8",
        ),
        (["certify", "--fit", "stretch"], 2, "unknown fit 'stretch'; known: crop, pad, resize"),
        (["certify", "--engine", "fast"], 2, "`engine` must be one of: auto, complex, forward, transpose; got 'fast'"),
        (["certify", "--kinks", "up"], 2, "`kinks` must be one of: ad, right, left, mean, raise; got 'up'"),
        (["certify", "--norm", "l9"], 2, "unknown norm 'l9'; known: l1, l2, max"),
        (["explain", "--data", "digits[:1]", "--fit", "pad", "--certify", "maybe"], 2, "`certify` must be one of"),
        (
            ["explain", "--data", "digits[:1]", "--fit", "pad", "--engine", "transpose", "--kinks", "left"],
            2,
            "the transpose",
        ),
        (["explain"], 2, "data"),
    ],
)
def test_bad_checks_are_one_line(capsys, arguments, code, message):
    found, out, err = run(capsys, *arguments)
    assert found == code and out == "" and "Traceback" not in err and message in err


# --- list, demo ---


def test_list_shows_the_registries(capsys):
    code, out, _ = run(capsys, "list", "--json")
    listed = json.loads(out)
    assert code == 0 and {"corruptions", "datasets", "fits", "networks", "norms", "rules", "variants"} <= set(listed)
    assert set(listed["corruptions"]) == {"gaussian", "salt-and-pepper", "poisson", "speckle"}
    code, out, _ = run(capsys, "list", "datasets")
    assert out.splitlines()[0] == "datasets" and "embedded, no download" in out
    code, _, err = run(capsys, "list", "colours")
    assert code == 2 and "unknown kind 'colours'; there are: checks, controls, corruptions, datasets" in err


@pytest.fixture
def demo(tmp_path, capsys):
    """What `imagrad demo` said, and where it ran: in CI before the tests ($IMAGRAD_DEMO names its words), else here."""
    if said := os.environ.get("IMAGRAD_DEMO"):
        return runs.Path(said).read_text(), runs.Path(__file__).parents[2]
    code, out, _ = run(capsys, "demo")
    assert code == 0 and out.splitlines()[-1].startswith("everything is in runs/demo-001; ")
    return out, tmp_path


@pytest.mark.slow
def test_demo_makes_everything(demo):
    out, place = demo
    assert "cross-entropy of training images" in out
    told = re.fullmatch(r"everything is in (runs/demo-\d{3}); begin with \1/report\.html", out.splitlines()[-1])
    assert told, out.splitlines()[-1]
    folder = place / told[1]
    assert (folder / "report.html").is_file()
    figures = sorted(path.name for path in (folder / "maps" / "figures").glob("*.png"))
    assert figures == ["figure-5-corruption.png", "figure-6-reconstruction.png", "figure-7-saliency.png"]
    metrics = runs.read_json(folder / "metrics.json")
    assert len(metrics["training"]["largest_saliency"]) == 4 and metrics["training"]["epochs"] == 60
    assert sorted(metrics["checks"]) == ["corruption", "locality", "one-class", "randomisation", "translation"]
    for name, check in metrics["checks"].items():
        assert f"  {name}: {check['verdict']}" in out
    text_map = [line for line in out.splitlines() if " | " in line and "image" not in line]
    assert len(text_map) == 8 and all(len(line) == len(text_map[0]) for line in text_map)
