"""`imagrad check` and `imagrad compare` as a user meets them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from imagrad import runs
from imagrad.checks.saved import load_check
from imagrad.cli import reproduce, studies
from imagrad.cli.main import main
from imagrad.data.datasets import load_dataset
from imagrad.training.classifier import train_classifier
from imagrad.training.config import ClassifierConfig


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a network, a classifier for the digits, and two that are for other images."""
    folder = tmp_path_factory.mktemp("made")
    options = ["--data", "digits", "--epochs", "10", "--hidden", "16", "--latents", "6"]
    assert main(["train", *options, "--out", str(folder / "network")]) == 0
    digits = load_dataset("digits:train")
    images, labels = digits.images().numpy()[:100, 0], digits.labels.numpy()[:100]
    np.savez(folder / "large.npz", images=np.pad(images, ((0, 0), (1, 1), (1, 1))), labels=labels)
    np.savez(folder / "two.npz", images=images[labels < 2], labels=labels[labels < 2])
    for name, data in {"digits": "digits", "large": f"{folder}/large.npz", "two": f"{folder}/two.npz"}.items():
        train_classifier(ClassifierConfig(data, 3, 25), folder / f"classifier-{name}")
    return folder


def run(capsys, *arguments):
    """Run a command; return exit code, stdout and stderr."""
    capsys.readouterr()
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    out = capsys.readouterr()
    return code, out.out, out.err


def last_line(text):
    return text.strip().splitlines()[-1]


def folder_of(code, out):
    """Return what --json printed and its run folder; the exit code must be that of its verdict."""
    found = json.loads(out)
    assert code == (0 if found["passed"] else 1)
    return found, runs.Path(found["out"])


# --- check ---


def test_check_locality_writes_a_run_folder(made, capsys):
    arguments = ["check", "locality", made / "network", "--data", "digits", "--images", "20"]
    code, out, err = run(capsys, *arguments, "--json")
    found, folder = folder_of(code, out)
    assert folder == runs.Path("runs/check-locality-001") and "checking saliency by locality" in err
    result = load_check(folder / "check.safetensors")
    assert result.check == "locality" and result.numbers["images"] == 20
    assert runs.read_json(folder / "metrics.json") == result.as_dict()
    assert found.items() >= result.as_dict().items() and found["text"] == str(result)
    config = runs.read_config(folder)
    assert config["command"] == "check locality" and config["options"]["images"] == 20
    assert (folder / "environment.json").is_file()
    assert found["figures"] and all(runs.Path(path).is_file() for path in found["figures"])
    code, out, _ = run(capsys, *arguments, "--out", "again")
    assert out.startswith(f"{result}\nnumbers and figures: again\n"), "the same numbers once more"
    assert out.startswith("locality, saliency: ") and code == (0 if result.passed else 1)


@pytest.mark.slow
def test_check_corruption_that_fails_says_why_and_exits_1(made, capsys):
    arguments = ["check", "corruption", made / "network", "--data", "digits", "--images", "10", "--local-maps", "2"]
    arguments += ["--classifier", made / "classifier-digits", "--corrupted-for-local", "50"]
    arguments += ["--least-clean-accuracy", "1", "--percentages", "5", "40", "--json"]
    code, out, _ = run(capsys, *arguments)
    found, folder = folder_of(code, out)
    assert code == 1 and found["verdict"].startswith("fails: it needs accuracy on clean images at least 1")
    assert found["percentages"] == [5.0, 40.0] and len(found["local_scores"]) == 2
    assert runs.read_config(folder)["options"]["percentages"] == [5.0, 40.0]
    assert not (folder / "networks").exists(), "nothing is trained when a classifier is given"
    names = {runs.Path(path).name for path in found["figures"]}
    assert {"corruption-curves.png", "corruption-curves.svg", "corruption-examples.png"} <= names


@pytest.mark.parametrize(("outcome", "expected"), [("fails", 1), ("passes", 0), ("passes, but no better than", 0)])
def test_exit_code_is_the_verdict(made, capsys, monkeypatch, outcome, expected):
    from dataclasses import replace

    from imagrad.checks import checks
    from imagrad.checks.verdicts import Verdict

    locality = checks.CHECKS["locality"]
    planted = Verdict(outcome, "it was planted", ("random",) if outcome.endswith("than") else ())
    entries = {"locality": lambda *given: replace(locality(*given), verdict=planted)}
    monkeypatch.setattr(checks, "CHECKS", entries)
    code, out, _ = run(capsys, "check", "locality", made / "network", "--data", "digits", "--images", "4")
    assert code == expected and out.startswith(f"locality, saliency: {planted}\n")


def test_a_folder_in_use_is_refused_but_networks_may_be_there(made, capsys):
    shutil.copytree(made / "network", "taken")
    given = ["check", "locality", made / "network", "--data", "digits", "--images", "4"]
    code, _, err = run(capsys, *given, "--out", "taken")
    assert code == 1 and "taken exists and is not empty" in last_line(err)
    runs.Path("begun/networks").mkdir(parents=True)
    assert run(capsys, *given, "--out", "begun", "--json")[1]


# --- compare ---


def test_compare_ranks_methods(made, capsys):
    arguments = ["compare", made / "network", "--data", "digits", "--methods", "saliency", "gradient"]
    arguments += ["--checks", "locality", "randomisation", "--epochs", "1", "--hidden", "8", "--latents", "3"]
    code, out, err = run(capsys, *arguments, "--workers", "1", "--json")
    found = json.loads(out)
    assert code == 0 and "comparing: saliency" in err and "comparing: gradient" in err
    folder = runs.Path(found["out"])
    assert runs.read_json(folder / "metrics.json") == {"rows": found["rows"]}
    assert {row["method"] for row in found["rows"]} == {"saliency", "gradient"}
    ranks = [row["mean_rank"] for row in found["rows"]]
    assert ranks == sorted(ranks) and sum(ranks) == 3  # 1 + 2, or twice 1.5
    assert all(list(row["checks"]) == ["locality", "randomisation"] for row in found["rows"])
    assert sorted(path.name for path in (folder / "figures").iterdir()) == ["comparison.png", "comparison.svg"]
    assert sorted(path.name for path in (folder / "networks").iterdir()) == ["shuffled"]


@pytest.mark.slow
def test_compare_prints_a_table(made, capsys):
    arguments = ["compare", made / "network", "--data", "digits", "--methods", "saliency", "gradient"]
    code, out, _ = run(capsys, *arguments, "--checks", "locality", "--out", "c")
    header, *lines = out.splitlines()
    assert code == 0 and header.split() == ["method", "mean", "rank", "locality"]
    rows = {row["method"]: row for row in runs.read_json(runs.Path("c/metrics.json"))["rows"]}
    for line in lines[:2]:
        method, rank, score, verdict = line.split()
        check = rows[method]["checks"]["locality"]
        assert (float(rank), score) == (rows[method]["mean_rank"], f"{check['score']['value']:.3f}")
        assert verdict == ("pass" if check["passed"] else "FAIL")
    assert lines[-3] == "numbers and figure: c"


# --- errors ---

KNOWN_STEPS = "networks, maps, check1, check2, check3, check4, check5, compare, report"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "corruption", "--percentages", "0", "20"], "`percentages` must lie between 0 and 100; got [0.0, "),
        (["check", "corruption", "--percentages", "20", "100"], "must lie between 0 and 100; got [20.0, 100.0]"),
        (["check", "corruption", "--percentages", "30", "20"], "`percentages` must rise; got [30.0, 20.0]"),
        (["check", "locality", "--images", "1"], "`images` must be at least 2, as an interval needs a spread; got 1"),
        (["check", "translation", "--corners", "middle"], "`corners` must be all or one of: top-left, "),
        (["check", "translation", "--canvas", "8"], "`canvas` must be larger than the images, 8 x 8; got 8"),
        (["check", "one-class", "--method", "salience"], "unknown method 'salience'; known: "),
        (["check", "locality", "--images", "5000"], "the check explains 5000 test images; digits:test has 360"),
        (["check", "translation", "--images", "5000"], "the check explains 5000 test images; digits:test has 360"),
        (["compare", "--methods", "salience"], "unknown method 'salience'; known: "),
        (["compare", "--checks", "locale"], "unknown check 'locale'; known: corruption, locality, one-class, "),
    ],
)  # fmt: skip
def test_wrong_options_are_one_line_and_train_nothing(made, capsys, arguments, message):
    name, *options = arguments
    place = [name] if name == "compare" else [name, options.pop(0)]
    data = ["--data", "digits", "--classifier", made / "classifier-digits", "--out", "r"]
    code, out, err = run(capsys, *place, made / "network", *data, *options)
    assert code == 2 and out == "" and "Traceback" not in err
    assert last_line(err).startswith(f"imagrad {' '.join(place)}: error: ") and message in last_line(err)
    assert not runs.Path("r").exists(), "it is refused before the work"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "contour"], "contour"),
        (["check"], "COMMAND"),
        (["check", "locality", "--percentages", "10"], "percentages"),
        (["reproduce", "--preset", "fast"], "unknown preset 'fast'; known: paper, quick."),
        (["reproduce", "--only", "check6"], f"unknown step 'check6'; known: {KNOWN_STEPS}."),
        (["reproduce", "--methods", "salience"], "unknown method 'salience'; known: "),
        (["reproduce", "--seed", "-1"], "`seed` must not be negative; got -1"),
    ],
)
def test_wrong_names_exit_2(capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert code == 2 and message in err and out == "" and "Traceback" not in err
    assert not runs.Path("runs").exists()


@pytest.mark.parametrize("command", [["check", "locality"], ["compare"]])
def test_a_network_for_other_images_is_refused(made, capsys, command):
    code, _, err = run(capsys, *command, "--data", "digits")  # the network that ships with imagrad
    assert code == 2 and last_line(err).endswith(
        "error: the network takes images of shape (1, 28, 28); digits:test has (1, 8, 8). Name the run folder of a "
        "network for these images: imagrad train --data digits makes one."
    )


@pytest.mark.parametrize(
    ("classifier", "code", "message"),
    [
        ("classifier-large", 2, "takes images of shape (1, 10, 10); those of digits:test have (1, 8, 8). Train one"),
        ("classifier-two", 2, "must give one logit for each of the 10 classes of digits:test; for one image it gave "
                              "(1, 2), not (1, 10)"),
        ("nothing", 1, "expected a run folder, found nothing at "),
        ("network", 1, "classifier"),
    ],
)  # fmt: skip
def test_a_classifier_for_other_images_is_refused(made, capsys, classifier, code, message):
    given = ["check", "corruption", made / "network", "--data", "digits", "--classifier", made / classifier]
    found, out, err = run(capsys, *given, "--images", "4", "--local-maps", "2")
    assert found == code and out == "" and "Traceback" not in err
    assert last_line(err).startswith("imagrad check corruption: error: ") and message in last_line(err)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("one-class", "this check needs at least 2 classes; plain.npy has 0. Give labelled images."),
        ("corruption", "this check needs labelled images; plain.npy has no labels."),
    ],
)
def test_images_without_labels_are_refused(made, capsys, check, message):
    np.save("plain.npy", load_dataset("digits:test").images().numpy()[:50, 0])
    given = ["check", check, made / "network", "--data", "plain.npy", "--images", "4", "--local-maps", "2"]
    given = given if check == "corruption" else given[:-2]
    code, _, err = run(capsys, *given, "--classifier", made / "classifier-digits")
    assert code == 2 and last_line(err) == f"imagrad check {check}: error: {message}"


# --- progress ---


def test_trainings_tell_the_time_left(monkeypatch, capsys):
    seconds = iter([0, 60, 62, 4000, 4001, 4010])
    monkeypatch.setattr(studies.time, "monotonic", lambda: next(seconds))
    told = studies.training_told()
    for name, done in (("one", 0), ("one", 25), ("one", 26), ("two", 90), ("two", 91), ("two", 100)):
        told(Path("networks") / name, done, 100)
    assert capsys.readouterr().err.splitlines() == [
        "  network one: 0 of 100 epochs",
        "  network one: 25 of 100 epochs, about 3 min left",
        "  network two: 90 of 100 epochs",
        "  network two: 100 of 100 epochs",
    ]


def test_methods_tell_the_time_left(monkeypatch, capsys):
    seconds = iter([0, 20, 30])
    monkeypatch.setattr(reproduce.time, "monotonic", lambda: next(seconds))
    told = reproduce.method_told()
    for number, method in enumerate(("saliency", "lime", "lrp"), start=1):
        told(method, number, 3)
    assert capsys.readouterr().err.splitlines() == [
        "  method saliency: 1 of 3",
        "  method lime: 2 of 3, about 40 s left",
        "  method lrp: 3 of 3, about 15 s left",
    ]
