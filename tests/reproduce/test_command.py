"""`imagrad reproduce` and `imagrad demo` on a study that is there: what they print, and what they make again."""

import json
import shutil

import pytest

from imagrad.cli.main import main
from imagrad.reproduce import report
from imagrad.reproduce.presets import PRESETS


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def short(short_study, tmp_path, monkeypatch):
    """A copy of the study of the fifth check; its preset can be named."""
    monkeypatch.setitem(PRESETS, "tiny", short_study.preset)
    return shutil.copytree(short_study.out, tmp_path / "run")


def test_the_report_can_be_made_again_from_the_results(short, short_study, capsys):
    made = ("report.html", "metrics.json", "verdicts.csv")
    shutil.rmtree(short / "figures")
    for name in made:
        (short / name).unlink()
    assert main(["reproduce", "--preset", "tiny", "--only", "report", "--out", "run", "--json"]) == 0
    for name in made:
        assert (short / name).read_bytes() == (short_study.out / name).read_bytes(), name
    assert (short / "figures" / "locality-maps.png").is_file()
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "out": "run",
        "report": "run/report.html",
        "training": {},
        "verdicts": {"locality": str(short_study.checks()["locality"].verdict)},
        "seconds": short_study.seconds(),
    }


def test_a_report_with_another_preset_is_refused(short, capsys):
    before = (short / "report.html").read_bytes()
    assert main(["reproduce", "--only", "report", "--out", "run"]) == 1
    assert capsys.readouterr().err == (
        "imagrad reproduce: error: run was begun with preset.name = tiny, not quick. "
        "Choose another folder with --out.\n"
    )
    assert (short / "report.html").read_bytes() == before
    assert main(["reproduce", "--only", "report", "--out", "nowhere"]) == 1
    assert capsys.readouterr().err == (
        "imagrad reproduce: error: expected a reproduction, found none in nowhere. "
        "`imagrad reproduce --preset quick --out nowhere` makes one.\n"
    )


@pytest.fixture
def whole(study, tmp_path, monkeypatch):
    """A copy of the whole study, under the name of the quick one; its report is there already."""
    monkeypatch.setitem(PRESETS, "quick", study.preset)
    monkeypatch.setattr(report, "write_report", lambda study: study.out / "report.html")
    return shutil.copytree(study.out, tmp_path / "run")


def test_reproduce_tells_steps_verdicts_and_times(whole, study, capsys):
    assert main(["reproduce", "--out", "run"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[:5] == [f"{name}: {result.verdict}" for name, result in study.checks().items()]
    assert lines[5].startswith("time: networks ") and lines[6].startswith("in all ")
    assert lines[7:] == ["report: run/report.html"]
    assert err.splitlines()[0] == "[1/8] train all networks that the steps need"
    assert err.splitlines()[7] == "[8/8] compare attribution methods"


def test_demo_shows_numbers_a_map_and_verdicts(whole, study, capsys):
    assert main(["demo", "--out", "run"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "a denoising autoencoder, trained for 2 epochs:"
    assert out.splitlines()[-1] == "everything is in run; begin with run/report.html"
    for name, result in study.checks().items():
        assert f"\n  {name}: {result.verdict}\n" in out
    text_map = [line for line in out.splitlines() if " | " in line and "image" not in line]
    assert len(text_map) == 8 and all(len(line) == len(text_map[0]) for line in text_map)


def test_reproduce_takes_another_seed_as_another_study(whole, capsys):
    assert main(["reproduce", "--seed", "1", "--out", "run"]) == 1
    assert "run was begun with preset.autoencoder.seed = 0, not 1" in capsys.readouterr().err
