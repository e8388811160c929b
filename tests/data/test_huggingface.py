"""Parquet, WebDataset and saved data sets, written here by pyarrow and tarfile, opened without the network."""

import ast
import errno
import inspect
import io
import shutil
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from imagrad.data import huggingface, zarrays
from imagrad.data.datasets import is_there, load_dataset
from imagrad.errors import (
    CorruptDataError,
    MissingDataError,
    MissingExtraError,
    SelectionError,
    StorageError,
)

datasets = pytest.importorskip("datasets")

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 4, 5)).astype(np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder))
    return folder


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_parquet(path, numbers=range(10)):
    rows = {
        "image": [{"bytes": png(PIXELS[k]), "path": f"{k}.png"} for k in numbers],
        "label": [k % 3 for k in numbers],
    }
    pq.write_table(pa.table(rows), path)
    return str(path)


def write_shard(path, numbers=range(10), ending="png"):
    with tarfile.open(path, "w") as archive:
        for k in numbers:
            for name, content in ((f"{k:03}.{ending}", png(PIXELS[k])), (f"{k:03}.cls", str(k % 3).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return str(path)


def save(path, **splits):
    """Write a folder by save_to_disk, of one data set or several."""
    features = datasets.Features({"picture": datasets.Image(), "kind": datasets.ClassLabel(names=["a", "b", "c"])})

    def made(numbers):
        rows = {"picture": [Image.fromarray(PIXELS[k]) for k in numbers], "kind": [k % 3 for k in numbers]}
        return datasets.Dataset.from_dict(rows, features=features)

    whole = (
        datasets.DatasetDict({name: made(numbers) for name, numbers in splits.items()}) if splits else made(range(10))
    )
    whole.save_to_disk(path)
    return str(path)


def pixels_of(dataset):
    return (dataset.images()[:, 0].numpy() * 255).round().astype(np.uint8)


# --- Parquet ---


@pytest.mark.parametrize("text", ["", "[:3]", "[2:7]", "[::4]", "[8::-3]"])
def test_parquet(tmp_path, text):
    path = write_parquet(tmp_path / "images.parquet")
    dataset = load_dataset(f"{path}{text}")
    start_stop_step = [int(n) if n else None for n in text.strip("[]").split(":")]
    chosen = slice(None) if not text else slice(*start_stop_step)
    assert np.array_equal(pixels_of(dataset), PIXELS[chosen])
    assert dataset.labels.tolist() == [k % 3 for k in range(10)][chosen]
    assert dataset.names == [f"{k}.png" for k in range(10)][chosen]


def test_parquet_by_pattern_is_in_the_order_of_names(tmp_path):
    write_parquet(tmp_path / "b.parquet", range(4, 10))
    write_parquet(tmp_path / "a.parquet", range(4))
    dataset = load_dataset(f"{tmp_path}/*.parquet/label=1")
    assert np.array_equal(pixels_of(dataset), PIXELS[[1, 4, 7]])


def test_a_parquet_file_that_changes_is_read_again(tmp_path):
    path = write_parquet(tmp_path / "a.parquet")
    assert len(load_dataset(path)) == 10
    write_parquet(tmp_path / "a.parquet", range(3))
    assert len(load_dataset(path)) == 3


def test_the_cache_is_memory_mapped_and_named_by_the_library(tmp_path, cache):
    path = write_parquet(tmp_path / "a.parquet")
    load_dataset(path).images(0, 1)
    (arrow,) = cache.rglob("*.arrow")
    assert arrow.stat().st_size > sum(len(png(one)) for one in PIXELS)


def test_the_environment_is_left_as_it_is(tmp_path):
    import huggingface_hub.constants as constants

    before = (datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE)
    load_dataset(write_parquet(tmp_path / "a.parquet"))
    assert (datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE) == before


def test_damaged_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    write_parquet(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(CorruptDataError, match=r"cannot read .*a\.parquet by the datasets library \(ArrowInvalid"):
        load_dataset(str(path))


def test_patterns_that_do_not_fit(tmp_path):
    write_parquet(tmp_path / "a.parquet")
    write_shard(tmp_path / "a.tar")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(MissingDataError, match=r"no file is named like .*x\*\.parquet"):
        load_dataset(f"{tmp_path}/x*.parquet")
    with pytest.raises(SelectionError, match=r"files of one kind, \.parquet or \.tar; it names \.parquet, \.tar"):
        load_dataset(f"{tmp_path}/a.*a*")
    with pytest.raises(SelectionError, match=r"files of one kind, \.parquet or \.tar; it names \.txt"):
        load_dataset(f"{tmp_path}/?.txt")
    with pytest.raises(SelectionError, match="is a pattern and has no split 'train'"):
        load_dataset(f"{tmp_path}/*.parquet:train")


def test_whether_the_data_are_still_there(tmp_path):
    write_parquet(tmp_path / "a.parquet")
    for text in ("mnist", "hf:owner/name", f"{tmp_path}/a.parquet[:3]", f"{tmp_path}/*.parquet", f"hf:{tmp_path}"):
        assert is_there(text)
    (tmp_path / "a.parquet").unlink()
    for text in (f"{tmp_path}/a.parquet[:3]", f"{tmp_path}/*.parquet", "nowhere"):
        assert not is_there(text)


def test_a_full_disk_is_named(tmp_path, monkeypatch, cache):
    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(datasets, "load_dataset", full)
    with pytest.raises(StorageError, match=r"first written into .*cache.*No space left.*\$HF_DATASETS_CACHE"):
        load_dataset(write_parquet(tmp_path / "a.parquet"))


def test_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "imagrad\[hf\]"'):
        load_dataset(write_parquet(tmp_path / "a.parquet"))


# --- WebDataset ---


@pytest.mark.parametrize("ending", ["png", "front.png"])
def test_shards(tmp_path, ending):
    write_shard(tmp_path / "s-0.tar", range(4), ending)
    write_shard(tmp_path / "s-1.tar", range(4, 10), ending)
    dataset = load_dataset(f"{tmp_path}/s-*.tar")
    assert np.array_equal(pixels_of(dataset), PIXELS) and dataset.source.notes == ()
    assert dataset.label_names == ("0", "1", "2") and dataset.labels.tolist() == [k % 3 for k in range(10)]
    assert dataset.names[3:5] == ["003", "004"]


@pytest.mark.parametrize("kept", [700, 1024])
def test_a_shard_that_was_cut_off(tmp_path, kept):
    path = tmp_path / "s.tar"
    write_shard(path)
    path.write_bytes(path.read_bytes()[:kept] if kept == 700 else path.read_bytes()[: 4 * 1024])
    if kept == 700:
        with pytest.raises(CorruptDataError, match=r"cannot read .*s\.tar by the datasets library \(ReadError"):
            load_dataset(str(path))
    else:  # between two members, which the reader does not see
        dataset = load_dataset(str(path))
        assert len(dataset) == 2 and "s.tar does not end as a tar archive should" in dataset.source.notes[0]


def test_keys_that_repeat_in_another_shard_are_no_names(tmp_path):
    for shard in ("a", "b"):
        write_shard(tmp_path / f"{shard}.tar", range(3))
    assert load_dataset(f"{tmp_path}/*.tar[2:4]").names == ["2", "3"]


# --- saved by the library, or fetched by it ---


def test_saved(tmp_path):
    path = save(tmp_path / "saved")
    dataset = load_dataset(f"{path}/label=b[1:]")
    assert np.array_equal(pixels_of(dataset), PIXELS[[4, 7]])
    assert dataset.label_names == ("a", "b", "c")
    assert load_dataset(f"hf:{path}").identity == load_dataset(path).identity


def test_saved_with_splits(tmp_path):
    path = save(tmp_path / "saved", train=range(6), test=range(6, 10))
    assert np.array_equal(pixels_of(load_dataset(f"{path}:test[1:]")), PIXELS[7:])
    with pytest.raises(SelectionError, match=r"has the splits train, test; none was named\. Write .*saved:train"):
        load_dataset(path)
    with pytest.raises(SelectionError, match="has the splits train, test; got 'valid'"):
        load_dataset(f"{path}:valid")
    with pytest.raises(SelectionError, match="is one data set and has no split 'test'"):
        load_dataset(f"{path}/test:test")


def test_damaged_saved_folder(tmp_path):
    path = save(tmp_path / "saved")
    (arrow,) = (tmp_path / "saved").glob("*.arrow")
    arrow.write_bytes(arrow.read_bytes()[:200])
    with pytest.raises(CorruptDataError, match=r"cannot read .*saved by the datasets library \(ArrowInvalid"):
        load_dataset(path)


def test_from_the_cache_of_the_hub(tmp_path, cache):
    made = datasets.load_dataset("parquet", data_files=[write_parquet(tmp_path / "a.parquet")], split="train")
    (arrow,) = [file["filename"] for file in made.cache_files]
    folder = cache / "owner___digits" / "default" / "0.0.0" / "1234"
    folder.mkdir(parents=True)
    shutil.copy(arrow, folder / "digits-train.arrow")
    info = (cache / arrow).parent / "dataset_info.json"
    (folder / "dataset_info.json").write_text(
        info.read_text().replace('"dataset_name": "parquet"', '"dataset_name": "digits"')
    )
    dataset = load_dataset("hf:owner/digits/label=0")
    assert np.array_equal(pixels_of(dataset), PIXELS[::3])
    assert len(load_dataset("hf:owner/digits:train")) == 10


@pytest.mark.parametrize("name", ["nowhere", "owner/nowhere"])
def test_the_hub_is_not_reached(name):
    message = rf"hf:{name} is no file .* never downloads: .*load_dataset\(\"{name}\"\).*Offline"
    with pytest.raises(MissingDataError, match=message):
        load_dataset(f"hf:{name}")


@pytest.mark.parametrize("module", [huggingface, zarrays])
def test_heavy_libraries_are_imported_only_when_needed(module):
    tree = ast.parse(inspect.getsource(module))
    at_once = [ast.unparse(node) for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert at_once and not any(
        name in line for line in at_once for name in ("import datasets", "tables", "import zarr")
    )
