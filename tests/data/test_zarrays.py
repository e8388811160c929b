"""Zarr arrays and groups of both versions, read in blocks; what is damaged or would run code is refused."""

import json

import numpy as np
import pytest
import zarr

from imagrad.data.datasets import load_dataset
from imagrad.errors import CorruptDataError, ImageError, SelectionError, UntrustedCodeError

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 4, 5)).astype(np.uint8)


def write(path, pixels=PIXELS, version=3, **settings):
    return zarr.create_array(path, data=pixels, chunks=(3, *pixels.shape[1:]), zarr_format=version, **settings)


def write_group(path, version=3, **arrays):
    group = zarr.open_group(path, mode="w", zarr_format=version)
    for name, values in arrays.items():
        group.create_array(name, data=values)
    return str(path)


def chunks_of(path):
    return sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith((".z", "zarr.json")))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("text", ["", "[:7]", "[4:9]", "[::6]", "[9::-2]", "[-1]"])
def test_array(tmp_path, version, text):
    write(tmp_path / "x.zarr", version=version)
    images = load_dataset(f"{tmp_path}/x.zarr{text}").images()
    number = text.strip("[]")
    chosen = PIXELS[[-1]] if number == "-1" else PIXELS[slice(*(int(n) if n else None for n in number.split(":")))]
    assert np.array_equal(images.numpy(), (chosen / np.float32(255))[:, None].astype(np.float32))


def test_array_with_channels_and_shards(tmp_path):
    pixels = np.random.default_rng(1).random((6, 3, 4, 5))
    zarr.create_array(tmp_path / "x", data=pixels, chunks=(2, 3, 4, 5), shards=(6, 3, 4, 5))
    assert np.allclose(load_dataset(str(tmp_path / "x")).images().numpy(), pixels, atol=1e-7)


@pytest.mark.parametrize("version", [2, 3])
def test_group_with_labels(tmp_path, version):
    labels = np.arange(20) % 3
    path = write_group(tmp_path / "g.zarr", version, images=PIXELS, labels=labels, more=np.zeros((20, 2, 2)))
    dataset = load_dataset(f"{path}/label=2[1:3]")
    assert np.array_equal(dataset.images()[:, 0].numpy() * 255, PIXELS[[5, 8]])
    assert dataset.label_names == ("0", "1", "2") and dataset.labels.tolist() == [2, 2]


def test_labels_may_be_texts(tmp_path):
    group = zarr.open_group(tmp_path / "g", mode="w")
    group.create_array("x", data=PIXELS[:3])
    group.create_array("y", shape=(3,), dtype=str)[:] = np.array(["dog", "cat", "dog"])
    dataset = load_dataset(f"{tmp_path}/g/label=dog")
    assert len(dataset) == 2 and dataset.label_names == ("cat", "dog")


def test_the_only_array_that_can_be_images_is_taken(tmp_path):
    path = write_group(tmp_path / "g", faces=PIXELS, ages=np.arange(20))
    assert len(load_dataset(path)) == 20


def test_which_array_is_asked_and_answered(tmp_path):
    path = write_group(tmp_path / "g", front=PIXELS, back=PIXELS[::-1], kind=np.arange(20))
    with pytest.raises(ImageError, match=r"which array holds the images\? .* are back, front\. .*: /image=back"):
        load_dataset(path)
    dataset = load_dataset(f"{path}/image=back/labels=kind/label=19")
    assert np.array_equal(dataset.images()[0, 0].numpy() * 255, PIXELS[0])
    with pytest.raises(SelectionError, match=r"holds .*front.*; got 'side'"):
        load_dataset(f"{path}/image=side")


def test_only_the_chunks_asked_for_are_read(tmp_path):
    write(tmp_path / "x.zarr")
    chunks = chunks_of(tmp_path / "x.zarr")
    for chunk in chunks[2:]:
        chunk.write_bytes(b"damaged")
    dataset = load_dataset(str(tmp_path / "x.zarr"))
    assert len(dataset.images(0, 6)) == 6
    with pytest.raises(CorruptDataError, match=r"cannot read .*x\.zarr, images 6, \.\.\. \(RuntimeError\)"):
        dataset.images(6, 7)


def test_missing_chunks_are_named(tmp_path):
    write(tmp_path / "x.zarr")
    assert load_dataset(str(tmp_path / "x.zarr")).source.notes == ()
    chunks_of(tmp_path / "x.zarr")[0].unlink()
    (note,) = load_dataset(str(tmp_path / "x.zarr")).source.notes
    assert "1 of the 7 chunks" in note and "read as 0" in note


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((4, 4))}, r"images must have shape \(n, height, width\).* has \(4, 4\)"),
        ({"images": np.zeros((2, 8, 8, 3))}, r"Move the channels forward: images\.transpose\(0, 3, 1, 2\)"),
        ({"a": np.zeros(3)}, "must hold an array named images or x or arr_0; it holds a"),
        ({"images": np.zeros((2, 8, 8)), "labels": np.zeros(3)}, r"`labels` of .* must have shape \(2,\).*got \(3,\)"),
        ({"images": np.zeros((2, 8, 8), np.complex64)}, "pixels must be numbers; .* has complex64"),
    ],
)
def test_wrong_arrays(tmp_path, arrays, message):
    with pytest.raises(ImageError, match=message):
        load_dataset(write_group(tmp_path / "g", **arrays))


def test_not_a_number_is_named_by_its_image(tmp_path):
    pixels = np.zeros((5, 4, 4))
    pixels[3] = np.nan
    write(tmp_path / "x.zarr", pixels)
    dataset = load_dataset(str(tmp_path / "x.zarr"))
    dataset.images(0, 3)
    with pytest.raises(ImageError, match=r"image 3 of .*x\.zarr has NaN"):
        dataset.images(3, 4)


@pytest.mark.parametrize("content", ["", "[]", '{"zarr_format": 3, "node_type": "array"}'])
def test_damaged_metadata(tmp_path, content):
    (tmp_path / "x.zarr").mkdir()
    (tmp_path / "x.zarr" / "zarr.json").write_text(content)
    with pytest.raises(CorruptDataError, match=r"cannot open .*x\.zarr as Zarr"):
        load_dataset(str(tmp_path / "x.zarr"))


@pytest.mark.parametrize("place", ["filters", "compressor"])
def test_pickles_are_not_run(tmp_path, place):
    """Labels whose type zarr takes for texts, with a codec behind it that unpickles."""
    group = zarr.open_group(tmp_path / "g", mode="w", zarr_format=2)
    group.create_array("images", data=PIXELS[:3])
    group.create_array("labels", shape=(3,), dtype=str)[:] = np.array(["a", "b", "c"])
    metadata = tmp_path / "g" / "labels" / ".zarray"
    content = json.loads(metadata.read_text())
    pickled = {"id": "pickle", "protocol": 5}
    changed = {"filters": [*content["filters"], pickled]} if place == "filters" else {"compressor": pickled}
    metadata.write_text(json.dumps({**content, "compressor": None, **changed}))
    harmless = b"cos\nmkdir\n(S'" + str(tmp_path / "ran").encode() + b"'\ntR."
    (tmp_path / "g" / "labels" / "0").write_bytes(harmless)
    with pytest.raises(UntrustedCodeError, match="is stored as pickles, which run code"):
        load_dataset(str(tmp_path / "g"))
    assert not (tmp_path / "ran").exists()


def test_a_split_is_refused(tmp_path):
    write(tmp_path / "x.zarr")
    with pytest.raises(SelectionError, match=r"x\.zarr is a folder and has no split 'train'"):
        load_dataset(f"{tmp_path}/x.zarr:train")


def test_a_group_with_an_array_that_zarr_cannot_read(tmp_path):
    """Such as one of objects, of version 2, with a codec that unpickles."""
    group = zarr.open_group(tmp_path / "g.zarr", mode="w", zarr_format=2)
    group.create_array("images", data=np.zeros((2, 4, 4), np.uint8))
    bad = {"zarr_format": 2, "shape": [2], "chunks": [2], "dtype": "|O", "compressor": None, "fill_value": None,
           "order": "C", "filters": [{"id": "pickle", "protocol": 5}]}  # fmt: skip
    (tmp_path / "g.zarr" / "labels").mkdir()
    (tmp_path / "g.zarr" / "labels" / ".zarray").write_text(json.dumps(bad))
    with pytest.raises(CorruptDataError, match=r"cannot open .*g.zarr as Zarr \(ValueError\)"):
        load_dataset(str(tmp_path / "g.zarr"))
