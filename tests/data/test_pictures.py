"""Folders of pictures some of which are damaged, vanish, or are of another size: each is named, alone."""

import io
import os
import warnings

import numpy as np
import pytest
from PIL import Image

from imagrad.data import pictures
from imagrad.data.datasets import load_dataset
from imagrad.data.pictures import decode_picture
from imagrad.errors import CorruptDataError, ImageError, ImagradError, MissingDataError, SelectionError


@pytest.fixture
def folder(tmp_path):
    """Eight grey pictures, 4 x 5, of the values 0, 10, ..., 70."""
    for k in range(8):
        Image.fromarray(np.full((4, 5), 10 * k, np.uint8)).save(tmp_path / f"{k}.png")
    return tmp_path


def readable(dataset):
    """Which images can be read alone, as the store does after a block could not be."""
    found = []
    for k in range(len(dataset)):
        try:
            found.append(round(float(dataset.images(k, k + 1)[0, 0, 0, 0]) * 255) // 10)
        except (MissingDataError, CorruptDataError, ImageError) as error:
            assert dataset.names[k] in str(error) or f"image {k} is" in str(error)
    return found


def test_a_picture_that_vanishes_after_the_folder_was_listed(folder):
    dataset = load_dataset(str(folder))
    (folder / "3.png").unlink()
    with pytest.raises(MissingDataError, match=r"cannot read the picture .*3\.png: there is no such file"):
        dataset.images()
    assert readable(dataset) == [0, 1, 2, 4, 5, 6, 7]


def test_a_folder_that_vanishes(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("L", (2, 2)).save(tmp_path / "a/b.png")
    dataset = load_dataset(str(tmp_path))
    (tmp_path / "a/b.png").unlink()
    (tmp_path / "a").rmdir()
    (tmp_path / "a").write_text("a file now")
    with pytest.raises(MissingDataError, match=r"b\.png: there is no such file"):
        dataset.images()


def test_damaged_pictures_are_told_one_by_one(folder):
    dataset = load_dataset(str(folder))
    for name in ("0.png", "5.png"):
        (folder / name).write_bytes((folder / name).read_bytes()[:40])
    assert dataset.image_shape == (1, 4, 5)
    assert readable(dataset) == [1, 2, 3, 4, 6, 7]


def test_a_picture_of_another_size_is_told_alone(folder):
    Image.new("L", (9, 9)).save(folder / "6.png")
    dataset = load_dataset(str(folder))
    with pytest.raises(ImageError, match=r"image 0 of .* is grey 4 x 5, image 6 is grey 9 x 9"):
        dataset.images(6, 7)
    assert readable(dataset) == [0, 1, 2, 3, 4, 5, 7]


def test_the_shape_is_that_of_the_first_readable_picture(folder):
    (folder / "0.png").write_bytes(b"")
    Image.new("L", (9, 9)).save(folder / "1.png")
    assert load_dataset(str(folder)).image_shape == (1, 9, 9)


def test_no_shape_where_nothing_can_be_read(folder):
    for path in folder.iterdir():
        path.write_bytes(b"")
    message = r"cannot read the picture .*0\.png.* Nor can the 7 images after it be read"
    with pytest.raises(CorruptDataError, match=message):
        _ = load_dataset(str(folder)).image_shape


def test_a_link_to_nowhere_is_not_left_out(folder):
    (folder / "8.png").symlink_to(folder / "nowhere.png")
    dataset = load_dataset(str(folder))
    assert len(dataset) == 9
    with pytest.raises(MissingDataError, match=r"8\.png"):
        dataset.images(8, 9)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_a_folder_that_cannot_be_listed(folder):
    (folder / "locked").mkdir(mode=0)
    with pytest.raises(CorruptDataError, match=r"cannot look into the folder .*locked: Permission denied"):
        load_dataset(str(folder))


def test_opening_decodes_nothing_and_the_shape_takes_one_picture(folder, monkeypatch):
    decoded = []
    monkeypatch.setattr(pictures, "decode_picture", lambda file, shown: decoded.append(shown) or np.zeros((1, 2, 3)))
    dataset = load_dataset(str(folder))
    assert (len(dataset), decoded) == (8, [])
    assert dataset.image_shape == dataset.image_shape == (1, 2, 3)
    assert len(decoded) == 1 and decoded[0].endswith("0.png")


@pytest.mark.parametrize("suffix", [".parquet", ".tar"])
def test_folder_of_something_that_a_pattern_reads(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_bytes(b"")
    with pytest.raises(SelectionError, match=rf"must hold pictures; .* Its {suffix} files are read as .*/\*{suffix}"):
        load_dataset(str(tmp_path))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "PPM", "SGI", "DDS", "TIFF"])
def test_any_damage_is_an_error_of_ours(kind):
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    picture = Image.fromarray(rng.integers(0, 255, (20, 20, 3)).astype(np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6  # held on its side
    picture.save(file, kind, **({"exif": exif} if kind in ("PNG", "JPEG") else {}))
    whole = file.getvalue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of damage that it can repair
        for trial in range(60):
            damaged = bytearray(whole[: rng.integers(1, len(whole))] if trial % 3 == 0 else whole)
            damaged[rng.integers(0, min(200, len(damaged)))] = rng.integers(0, 256)
            try:
                assert decode_picture(io.BytesIO(bytes(damaged)), "x").ndim == 3
            except ImagradError as error:
                assert "x" in str(error)


def test_large_pictures(monkeypatch, tmp_path):
    """Up to twice Pillow's limit they are read without a word; beyond it they are refused in ours."""
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_dataset(str(tmp_path)).images().shape == (1, 1, 10, 10)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    with pytest.raises(ImageError, match=r"may have 80 pixels; .*large.png has more\. Bring it to a smaller size"):
        load_dataset(str(tmp_path)).images()
