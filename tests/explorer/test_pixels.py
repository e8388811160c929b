"""Picture files that are uploaded: read where they are pictures, refused where they are not, or too much."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from imagrad.explorer.app import create_app
from imagrad.explorer.limits import Limits

from .small import LOCAL, image_of


def file_of(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def upload(client, content, **query):
    return client.post("/api/upload", content=content, params=query)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_a_picture_of_the_right_size_is_taken_as_it_is(client, dataset, kind):
    numbers = (dataset.images(0, 1)[0, 0] * 255).round().to(torch.uint8).numpy()
    found = upload(client, file_of(Image.fromarray(numbers), kind)).json()
    assert (image_of(found["pixels"])[0, 0] * 255).round().to(torch.uint8).tolist() == numbers.tolist()
    inverted = upload(client, file_of(Image.fromarray(numbers), kind), invert="true").json()
    assert (image_of(inverted["pixels"])[0, 0] * 255).round().to(torch.uint8).tolist() == (255 - numbers).tolist()


@pytest.mark.parametrize("fit", ["pad", "crop", "resize"])
def test_other_sizes_are_fitted_as_imagrad_does(client, fit):
    from imagrad.data.fitting import FITS

    wide = Image.linear_gradient("L").resize((40, 16))
    raw = torch.from_numpy(np.asarray(wide).copy()).float()[None] / 255
    found = upload(client, file_of(wide), fit=fit).json()
    assert (image_of(found["pixels"])[0] - FITS[fit](raw, 8, 8)).abs().max() <= 0.5 / 255 + 1e-6


def bomb(width, height):
    """A PNG of a few hundred bytes that says it is very large."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "a picture must be one of PNG, JPEG, GIF, BMP, WEBP, TIFF; this file could not be read as one."),
        (b"%PDF-1.7 no picture", "a picture must be one of PNG"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "a picture must be one of PNG"),
        (bomb(60000, 60000), "a picture may not be as large as this one says it is."),
        (bomb(4097, 4096), "a picture may have 16,777,216 pixels; this one is 4097 x 4096."),
        (bomb(100, 100)[:60], "cannot read the picture the picture"),
        (file_of(Image.new("CMYK", (8, 8)), "JPEG"), "a picture must be grey or RGB, without transparency"),
        (file_of(Image.new("RGBA", (8, 8))), "a picture must be grey or RGB, without transparency"),
    ],
)
def test_what_is_no_picture_or_too_large_a_one_is_refused(client, content, text):
    answer = upload(client, content)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"].startswith(text)


def test_a_file_that_is_too_large_is_not_read(subject):
    with TestClient(create_app(subject, Limits(upload_bytes=100)), base_url=LOCAL) as client:
        answer = upload(client, file_of(Image.effect_noise((64, 64), 50)))
    assert answer.status_code == 413 and "a request may have 100 bytes" in answer.json()["error"]


def twofold():
    """A white TIFF of 8 x 8 whose first bytes another of Pillow's readers, IM, takes for 5000 x 5000."""
    text = b"II*\0" + struct.pack("<I", 1024) + b": x\nImage type: L image\nImage size (x*y): 5000*5000\n\0"
    places = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 512, 277: 1, 278: 8, 279: 64}
    entries = [struct.pack("<HHII", tag, 3 if tag not in (273, 279) else 4, 1, value) for tag, value in places.items()]
    return (
        text.ljust(511, b"\0")
        + b"\x1a"
        + b"\xff" * 512
        + struct.pack("<H", len(entries))
        + b"".join(entries)
        + bytes(4)
    )


def test_a_file_is_decoded_as_what_was_looked_at(client):
    Image.init()
    quiet = warnings.catch_warnings(action="ignore", category=DeprecationWarning)  # Pillow is to give up IM
    with quiet, Image.open(io.BytesIO(twofold())) as opened:
        assert (opened.format, opened.size) == ("IM", (5000, 5000))
    answer = upload(client, twofold())
    assert answer.status_code == 200, answer.text
    assert image_of(answer.json()["pixels"]).min() == 1
