"""`imagrad serve`: what it opens, where it listens, and how it ends."""

import socket
from importlib import util

import httpx
import pytest
import torch

from imagrad import runs
from imagrad.checks.saved import save_check
from imagrad.cli.main import main
from imagrad.errors import ImageError, InputError
from imagrad.explorer import serving
from imagrad.explorer.found import shown_of
from imagrad.explorer.serving import Address, listen, url_of
from imagrad.explorer.subject import check_shape, explored
from imagrad.models.opening import open_network

from .serving import served


def test_a_server_is_started_answers_and_ends_by_interruption(run_folder):
    with served(run_folder, "--data", "digits:test[:5]") as (process, url, lines):
        assert url.startswith("http://127.0.0.1:")
        about = httpx.get(f"{url}api/about").json()
        assert about["images"] == 5 and about["networks"][0]["latents"] == 5
        assert httpx.get(f"{url}api/about", headers={"host": "evil.example"}).status_code == 421
        assert not [line for line in lines if "warning" in line]
    assert process.returncode in (0, 130)


def test_another_host_is_warned_of(run_folder, monkeypatch, capsys):
    monkeypatch.setattr(serving, "serve", lambda subject, address, taken, ready: ready(url_of(taken)))
    assert main(["serve", str(run_folder), "--data", "digits:test[:3]", "--host", "0.0.0.0", "--port", "0"]) == 0
    told = capsys.readouterr()
    assert "warning: with --host 0.0.0.0 everybody who can reach this machine can use the explorer" in told.err
    assert told.out.startswith("the explorer at http://127.0.0.1:") and told.out.endswith(" has ended\n")


def test_everything_is_opened_that_was_named(run_folder, classifier_folder, monkeypatch):
    seen = []
    monkeypatch.setattr(serving, "serve", lambda subject, address, taken, ready: (seen.append(subject), ready("there")))
    options = ["--data", "digits:test[:9]", "--classifier", str(classifier_folder), "--compare", str(run_folder)]
    assert main(["serve", str(run_folder), *options, "--port", "0"]) == 0
    (subject,) = seen
    assert [network.latents for network in subject.networks] == [5, 5] and len(subject.dataset) == 9
    assert subject.can_measure_curve and subject.curve is None


def test_a_port_that_is_taken_is_told():
    with listen(Address()) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"cannot listen on 127\.0\.0\.1 port {port}: .*Another --port, or 0"):
            listen(Address("127.0.0.1", port))
        assert url_of(taken) == f"http://127.0.0.1:{port}/"
    with pytest.raises(InputError, match=r"`port` must be from 0 .* to 65535; got 99999"):
        Address("127.0.0.1", 99999)
    with pytest.raises(InputError, match=r"cannot listen on 203\.0\.113\.1 port 0: "):
        listen(Address("203.0.113.1"))  # no address of this machine


def test_answers_do_not_wait_for_acknowledgements():
    """Without its protocol a socket keeps Nagle's algorithm under asyncio, and each answer waits for 40 ms."""
    with listen(Address()) as taken:
        assert taken.proto == socket.IPPROTO_TCP


@pytest.mark.parametrize(
    ("host", "is_local"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("box", False)]
)
def test_local_addresses_are_known(host, is_local):
    assert Address(host).is_local is is_local


@pytest.mark.parametrize("package", ["fastapi", "uvicorn"])
def test_missing_packages_are_named(monkeypatch, capsys, package):
    find = util.find_spec
    monkeypatch.setattr(serving, "find_spec", lambda name: None if name == package else find(name))
    assert main(["serve"]) == 1
    assert capsys.readouterr().err == (
        f"imagrad serve: error: the explorer needs the package {package}, which is not installed. "
        'Install it with the extra: pip install "imagrad[explorer]".\n'
    )


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((2, 8, 8), "the explorer draws images of 1 or 3 channels; these are 2-channel 8 x 8"),
        ((1, 1, 8), "at least 2 x 2 and at most 100 numbers; these are grey 1 x 8"),
        ((1, 11, 10), "at least 2 x 2 and at most 100 numbers; these are grey 11 x 10"),
    ],
)
def test_what_cannot_be_drawn_is_refused(shape, text):
    with pytest.raises(ImageError, match=text):
        check_shape(shape, 100)


def test_a_network_that_fails_its_preflight_is_not_served(dataset):
    from imagrad.errors import DerivativeError

    noisy = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3), torch.nn.Dropout())
    with pytest.raises(DerivativeError, match="cannot be explained as it is"):
        explored(open_network(noisy.train()), dataset, "cpu", 10**6)


def test_the_run_folder_of_a_check_brings_its_classifier_and_its_curve(run_folder, classifier_folder, tmp_path):
    out = tmp_path / "check"
    runs.create(
        out,
        {"command": "check corruption", "options": {"model": str(run_folder), "classifier": None, "networks": None}},
    )
    assert shown_of(str(out)).classifier is None  # not trained yet
    (out / "networks").mkdir()
    (out / "networks" / "classifier").symlink_to(classifier_folder)
    save_check(_checked(), out / "check.safetensors")
    shown = shown_of(str(out))
    assert shown.model == str(run_folder) and shown.check == out / "check.safetensors"
    assert shown.classifier == out / "networks" / "classifier"
    assert shown_of(str(run_folder)).model == str(run_folder) and shown_of(None).model is None


def test_a_saved_curve_is_read(tmp_path):
    from imagrad.explorer.curves import curve_of

    save_check(_checked(), tmp_path / "check.safetensors")
    curve = curve_of(tmp_path / "check.safetensors")
    assert curve.percentages == (0.0, 10.0, 20.0)
    assert curve.accuracies == {"most": (0.9, 0.5, 0.25), "least": (0.9, 0.8, 0.75), "random": (0.9, 0.7, 0.6)}
    assert curve.source == "the check corruption of saliency on digits:test, 40 images"


def _checked():
    from imagrad.checks.intervals import Estimate
    from imagrad.checks.verdicts import CheckResult, Verdict

    def estimates(*values):
        return [{"value": value, "low": value, "high": value} for value in values]

    numbers = {
        "data": "digits:test",
        "corrupted_images": 40,
        "percentages": [10.0, 20.0],
        "clean_accuracy": estimates(0.9)[0],
        "global_map": {"most": estimates(0.5, 0.25), "least": estimates(0.8, 0.75)},
        "controls_curves": {"random": {"most": estimates(0.7, 0.6), "least": estimates(0.6, 0.6)}},
    }
    verdict = Verdict("passes", "it does")
    return CheckResult("corruption", "saliency", Estimate(0.3, 0.2, 0.4), "apart", (), (), verdict, numbers)


def test_what_a_check_named_is_found_from_another_folder(tmp_path, monkeypatch):
    """A config names the network as it was named then, relative to the folder of that command."""
    (tmp_path / "work" / "dae").mkdir(parents=True)
    out = tmp_path / "work" / "runs" / "check"
    options = {"model": "dae", "classifier": None, "networks": None, "latent": "fc", "class": "package:Encoder"}
    runs.create(out, {"command": "check corruption", "options": options})
    monkeypatch.chdir(tmp_path)
    shown = shown_of(str(out))
    assert shown.model == str(tmp_path / "work" / "dae")
    assert (shown.latent, shown.class_path) == ("fc", "package:Encoder")
    monkeypatch.chdir(tmp_path / "work")
    assert shown_of("runs/check").model == "dae"
