"""`imagrad summarize`: tables, numbers and figures of a store."""

import csv
import json

import numpy as np
import pytest

from imagrad import runs
from imagrad.cli.main import main
from imagrad.data.datasets import load_dataset
from imagrad.models.autoencoders import NetworkConfig, build
from imagrad.models.opening import Network
from imagrad.store import StoreSettings, explain_dataset


@pytest.fixture(scope="module")
def encoder():
    return Network("64-5", build(NetworkConfig("dense", (1, 8, 8), (), 5), seed=3).eval().encode, "sha", (1, 8, 8))


@pytest.fixture
def store(encoder, tmp_path):
    """Pictures without labels, one of them damaged."""
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    for number, image in enumerate(load_dataset("digits:test[:9]").images()):
        Image.fromarray((255 * image[0].numpy()).astype(np.uint8)).save(tmp_path / f"pictures/{number}.png")
    (tmp_path / "pictures/4.png").write_bytes(b"no picture")
    return explain_dataset(encoder, str(tmp_path / "pictures"), tmp_path / "maps.zarr", StoreSettings(block_size=4))


def test_tables_numbers_and_figures(store, tmp_path, capsys):
    assert main(["summarize", str(store.path), "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "maps of 8 of 9 images" in told and "1 image could not be read: 4.png" in told
    assert "certificate: passed" in told and "mean map of the other images of its class" in told
    for name in ("maps", "typical"):
        for ending in ("png", "svg"):
            assert (tmp_path / f"out/figures/{name}.{ending}").stat().st_size > 1000
    (row,) = csv.DictReader((tmp_path / "out/classes.csv").read_text().splitlines())
    assert (row["class"], row["images"], row["missing"], row["quantiles_are_exact"]) == ("all", "8", "1", "True")
    rows = {row["image"]: row for row in csv.DictReader((tmp_path / "out/images.csv").read_text().splitlines())}
    assert len(rows) == 9 and rows["4.png"]["correlation"].startswith("missing: cannot read the picture")
    metrics = runs.read_json(tmp_path / "out/metrics.json")
    ends = metrics["classes"][0]
    assert ends["most_typical"][0]["correlation"] == max(
        float(r["correlation"]) for n, r in rows.items() if n != "4.png"
    )
    assert float(rows[ends["least_typical"][0]["image"]]["correlation"]) == ends["least_typical"][0]["correlation"]
    tensors, facts = runs.read_tensors(tmp_path / "out/statistics.safetensors")
    np.testing.assert_allclose(tensors["mean"][0], np.nanmean(store.maps[:].astype(np.float64), 0), rtol=1e-12)
    assert facts["classes"] == ["all"] and tensors["quantiles"].shape == (1, 3, 1, 8, 8)
    assert runs.read_config(tmp_path / "out")["of"]["model"]["sha256"] == "sha"


def test_without_the_images_and_as_json(store, tmp_path, capsys):
    (tmp_path / "pictures").rename(tmp_path / "elsewhere")
    assert main(["summarize", str(store.path), "--by", "all", "--json", "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["done"] == 8
    assert "note: maps are shown without their images" in told.err


@pytest.mark.parametrize(
    ("options", "message", "code"),
    [
        (["nothing.zarr"], "there is no store at nothing.zarr", 1),
        (["maps.zarr", "--by", "colour"], "`by` must be one of: class, all; got 'colour'", 2),
        (["maps.zarr", "--memory", "0"], "`memory` must be a positive number of megabytes; got 0", 2),
    ],
)
def test_errors(store, tmp_path, monkeypatch, capsys, options, message, code):
    monkeypatch.chdir(tmp_path)
    assert main(["summarize", *options]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
