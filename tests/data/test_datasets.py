"""What is opened by name or path: digits, folders, pictures, NumPy files; and everything that is wrong with them."""

import numpy as np
import pytest
import torch
from PIL import Image

from imagrad.data.datasets import has_splits, load_dataset
from imagrad.data.fitting import Fit
from imagrad.errors import CorruptDataError, ImageError, SelectionError, UnknownNameError


def save(path, pixels, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8) if mode is None else pixels).save(path)
    return path


def grey(value, size=(4, 5)):
    return np.full(size, value, np.uint8)


# --- digits ---


def test_digits():
    train, test = load_dataset("digits:train"), load_dataset("digits")
    assert (len(train), len(test)) == (1437, 360) and test.name == "digits:test"
    images = test.images()
    assert images.shape == (360, 1, 8, 8) and images.dtype == torch.float32
    assert float(images.min()) == 0 and float(images.max()) == 1
    assert test.labels[:4].tolist() == [2, 3, 4, 5] or len(set(test.labels.tolist())) == 10


def test_digits_by_label():
    dataset = load_dataset("digits:train/label=7[:5]")
    assert dataset.labels.tolist() == [7] * 5
    assert dataset.label_names[dataset.labels[0]] == "7"


def test_fingerprint_depends_on_content_and_order():
    texts = ["digits:test", "digits:test[:10]", "digits:test[9::-1]", "digits:train[:10]"]
    prints = {text: load_dataset(text).fingerprint for text in texts}
    assert len(set(prints.values())) == 4
    assert load_dataset("digits:test[:10]").fingerprint == prints["digits:test[:10]"]


def test_fingerprint_of_images_already_read_is_the_same():
    dataset = load_dataset("digits:train")  # more than one block
    assert dataset.fingerprint_of(dataset.images()) == dataset.fingerprint


def test_batches_are_the_images(digits):
    assert torch.equal(torch.cat(list(digits.batches(100))), digits.images())


def test_unknown_data_set_lists_the_known_ones():
    with pytest.raises(
        UnknownNameError, match=r"unknown dataset 'mnits'; known: digits, mnist\. Did you mean 'mnist'\?"
    ):
        load_dataset("mnits:test")


@pytest.mark.parametrize(("text", "expected"), [("mnist:test", True), ("digits[:3]", True), ("folder/x.npy", False)])
def test_has_splits(text, expected):
    assert has_splits(text) is expected


# --- pictures ---


def test_folder_whose_sub_folders_are_labels(tmp_path):
    for name, value in (("cat/a.png", 0), ("cat/b.png", 51), ("dog/c.png", 255)):
        save(tmp_path / name, grey(value))
    dataset = load_dataset(str(tmp_path))
    assert dataset.label_names == ("cat", "dog") and dataset.labels.tolist() == [0, 0, 1]
    assert dataset.images()[:, 0, 0, 0].tolist() == pytest.approx([0, 0.2, 1])
    assert load_dataset(f"{tmp_path}/label=dog").images().shape == (1, 1, 4, 5)
    assert load_dataset(f"{tmp_path}/label=cat").names == ["cat/a.png", "cat/b.png"]


def test_folder_without_labels_and_with_other_files(tmp_path):
    save(tmp_path / "a.png", grey(9))
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden").write_text("x")
    save(tmp_path / ".trash" / "b.png", grey(9))
    dataset = load_dataset(str(tmp_path))
    assert dataset.labels is None and len(dataset) == 1
    assert "because no pictures: 1" in dataset.source.notes[0] and ".txt" in dataset.source.notes[0]


def test_loose_pictures_beside_sub_folders(tmp_path):
    save(tmp_path / "a.png", grey(0))
    save(tmp_path / "cat" / "b.png", grey(0))
    with pytest.raises(SelectionError, match=r"1 lie loose, such as a\.png"):
        load_dataset(str(tmp_path))


def test_folder_without_pictures(tmp_path):
    with pytest.raises(SelectionError, match="must hold pictures; it holds 0 files"):
        load_dataset(str(tmp_path))


def test_pictures_of_several_sizes(tmp_path):
    save(tmp_path / "a.png", grey(0, (4, 4)))
    save(tmp_path / "b.png", grey(0, (6, 4)))
    with pytest.raises(
        ImageError, match=r"must have one shape; image 0 of .* is grey 4 x 4, image 1 is grey 6 x 4\..*--fit resize"
    ):
        load_dataset(str(tmp_path)).images()
    assert load_dataset(str(tmp_path), fit=Fit((1, 5, 5), "pad")).images().shape == (2, 1, 5, 5)


@pytest.mark.parametrize(
    ("mode", "pixels", "expected"),
    [
        ("L", 51, [0.2]),
        ("RGB", (255, 0, 51), [1, 0, 0.2]),
        ("1", 1, [1]),
        ("RGBA", (255, 0, 51, 255), [1, 0, 0.2]),
        ("LA", (51, 255), [0.2]),
        ("P", 0, [0, 0, 0]),
    ],
)
def test_kinds_of_pictures(tmp_path, mode, pixels, expected):
    picture = Image.new(mode, (5, 4), pixels)
    picture.save(tmp_path / "a.png")
    image = load_dataset(str(tmp_path / "a.png")).images()[0]
    assert image[:, 0, 0].tolist() == pytest.approx(expected)
    assert image.shape[1:] == (4, 5)


def test_sixteen_bits(tmp_path):
    save(tmp_path / "a.png", np.array([[0, 65535], [13107, 0]], np.uint16), mode="I;16")
    assert load_dataset(str(tmp_path / "a.png")).images().flatten().tolist() == pytest.approx([0, 1, 0.2, 0])


def test_camera_orientation_is_applied(tmp_path):
    picture = Image.fromarray(np.array([[255, 0, 0]], np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6  # held on its side: to be turned by 90 degrees
    picture.save(tmp_path / "a.jpg", exif=exif, quality=100)
    assert load_dataset(str(tmp_path / "a.jpg")).images().shape == (1, 1, 3, 1)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (Image.new("RGBA", (2, 2), (1, 2, 3, 100)), "it has transparent pixels"),
        (Image.new("CMYK", (2, 2)), "its mode is CMYK"),
    ],
)
def test_pictures_without_one_meaning(tmp_path, picture, message):
    picture.save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=rf"must be grey or RGB, without transparency; .*a\.tif: {message}"):
        load_dataset(str(tmp_path / "a.tif")).images()


def test_one_transparent_colour_is_transparency(tmp_path):
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "a.png", transparency=(1, 2, 3))
    with pytest.raises(ImageError, match=r"a\.png: one of its colours is transparent"):
        load_dataset(str(tmp_path / "a.png")).images()


def test_animation_is_not_cut_down_to_its_first_image(tmp_path):
    frames = [Image.new("L", (4, 4), value) for value in (0, 255)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match=r"a picture must be one image; .*a\.gif has 2"):
        load_dataset(str(tmp_path / "a.gif")).images()


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\nbroken"])
def test_broken_picture(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(CorruptDataError, match=r"cannot read the picture .*a\.png"):
        load_dataset(str(tmp_path / "a.png")).images()


def test_cut_off_picture(tmp_path):
    path = save(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (60, 60)))
    path.write_bytes(path.read_bytes()[:-800])
    with pytest.raises(CorruptDataError, match="cannot read the picture"):
        load_dataset(str(path)).images()


# --- NumPy files ---


@pytest.mark.parametrize("shape", [(5, 4, 3), (5, 1, 4, 3), (5, 3, 4, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.bool_])
def test_npy(tmp_path, shape, dtype):
    values = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    np.save(tmp_path / "x.npy", values)
    dataset = load_dataset(f"{tmp_path}/x.npy[1:]")
    scale = 255 if dtype is np.uint8 else 1
    expected = values.reshape(5, -1, 4, 3)[1:] / scale
    assert np.allclose(dataset.images().numpy(), expected, atol=1e-7)


def test_foreign_byte_order_and_capital_suffix(tmp_path):
    values = np.linspace(0, 1, 24).reshape(2, 4, 3)
    np.save(tmp_path / "x.npy", values.astype(">f8"))
    (tmp_path / "x.npy").rename(tmp_path / "X.NPY")
    assert np.allclose(load_dataset(str(tmp_path / "X.NPY")).images()[:, 0].numpy(), values, atol=1e-7)


def test_any_damage_to_a_compressed_npz_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    np.savez_compressed(tmp_path / "x.npz", images=rng.integers(0, 255, (3, 8, 8)).astype(np.uint8))
    whole = (tmp_path / "x.npz").read_bytes()
    for position in range(40, 200, 10):
        (tmp_path / "y.npz").write_bytes(whole[:position] + bytes([whole[position] ^ 255]) + whole[position + 1 :])
        try:
            load_dataset(str(tmp_path / "y.npz")).images()
        except (CorruptDataError, ImageError) as error:
            assert "y.npz" in str(error)


def test_npy_is_memory_mapped(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((5, 4, 3), np.uint8))
    source = load_dataset(str(tmp_path / "x.npy")).source
    arrays = [cell.cell_contents for cell in source.read.__closure__]
    assert any(isinstance(array, np.memmap) for array in arrays)


def test_npz_with_labels(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.zeros((3, 4, 4)), labels=np.array(["b", "a", "b"]))
    dataset = load_dataset(f"{tmp_path}/x.npz/label=b")
    assert len(dataset) == 2 and dataset.label_names == ("a", "b")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((4, 4))}, r"images must have shape \(n, height, width\)"),
        ({"images": np.zeros((2, 8, 8, 3))}, r"Move the channels forward: images\.transpose\(0, 3, 1, 2\)"),
        ({"pictures": np.zeros((2, 8, 8))}, "must hold an array named images or x or arr_0; it holds pictures"),
        ({"images": np.zeros((2, 8, 8)), "labels": np.zeros(3)}, r"`labels` of .* must have shape \(2,\).*got \(3,\)"),
    ],
)
def test_wrong_arrays(tmp_path, arrays, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(ImageError, match=message):
        load_dataset(str(tmp_path / "x.npz")).images()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([0.5, np.nan]), r"pixels must be finite; image 1 of .* has NaN or infinity"),
        (np.array([np.inf, 0.5]), r"pixels must be finite; image 0 of"),
        (np.array([0.5, 1.5]), r"pixels must lie in \[0, 1\]; image 1 of .* has 1\.5.*nothing is clipped"),
        (np.array([-0.1, 0.5]), r"pixels must lie in \[0, 1\]; image 0 of .* has -0\.1"),
        (np.array([1, 2], np.int64), "pixels must be uint8, uint16, bool or float in .* has int64"),
    ],
)
def test_pixel_values(tmp_path, values, message):
    np.save(tmp_path / "x.npy", np.broadcast_to(values[:, None, None], (2, 3, 3)).copy())
    with pytest.raises(ImageError, match=message):
        load_dataset(str(tmp_path / "x.npy")).images()


def test_pickles_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(CorruptDataError, match=r"cannot read .*x\.npy as a NumPy file of plain numbers"):
        load_dataset(str(tmp_path / "x.npy"))


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_broken_numpy_files(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\3\4 nothing" if name.endswith("z") else b"\x93NUMPY")
    with pytest.raises(CorruptDataError, match="as a NumPy file of plain numbers"):
        load_dataset(str(tmp_path / name))


def test_split_of_a_path(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((5, 4, 3), np.uint8))
    with pytest.raises(SelectionError, match="is a file and has no split 'train'"):
        load_dataset(f"{tmp_path}/x.npy:train")
