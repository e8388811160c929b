"""Images as the page sends and gets them: 8 bits a number, in base64; and picture files that somebody uploads."""

from __future__ import annotations

import base64
import binascii
import io
import warnings

import numpy as np
import torch
from PIL import Image

from imagrad.data.fitting import Fit, fit_image
from imagrad.data.pictures import decode_picture
from imagrad.data.sources import in_unit_range, shape_text
from imagrad.errors import ImageError

_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")


def unpacked(pixels: str, shape: tuple[int, int, int]) -> torch.Tensor:
    """Read an image (1, channels, height, width) in [0, 1] from base64; raise `ImageError` for anything else."""
    try:
        content = base64.b64decode(pixels.encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError("`pixels` must be base64 of one byte a number; this is no base64.") from error
    wanted = shape[0] * shape[1] * shape[2]
    if len(content) != wanted:
        raise ImageError(
            f"`pixels` must be the {wanted} bytes of an image that is {shape_text(shape)}; got {len(content)}."
        )
    return torch.from_numpy(np.frombuffer(content, np.uint8).astype(np.float32) / np.float32(255)).view(1, *shape)


def packed(image: torch.Tensor) -> str:
    """Write an image in [0, 1] as base64 of one byte a number, rounded, what is outside clipped."""
    numbers = (image.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    return base64.b64encode(numpy_bytes(numbers)).decode("ascii")


def packed_floats(values: torch.Tensor) -> str:
    """Write numbers as base64 of float32, the lowest byte first."""
    return base64.b64encode(np.ascontiguousarray(values.detach().cpu().numpy(), dtype="<f4").tobytes()).decode("ascii")


def numpy_bytes(values: torch.Tensor) -> bytes:
    """Return the bytes of a tensor, row by row."""
    return values.contiguous().numpy().tobytes()


def uploaded(content: bytes, fit: Fit, most_pixels: int) -> torch.Tensor:
    """Decode a picture file and bring it to the shape of `fit`: (channels, height, width) in [0, 1].

    Its size and kind are read from the header first, so that a small file cannot ask for much memory. Raises
    `ImageError` for a picture of more than `most_pixels` or of an unknown kind, `CorruptDataError` for a damaged one.
    """
    width, height = _size(content)
    if width * height > most_pixels:
        raise ImageError(
            f"a picture may have {most_pixels:,} pixels; this one is {width} x {height}. "
            "Bring it to a smaller size first."
        )
    raw = decode_picture(io.BytesIO(content), "the picture", _FORMATS)
    image = in_unit_range(raw[None], "the picture", np.zeros(1, np.intp))[0]
    return fit_image(image, fit)


def _size(content: bytes) -> tuple[int, int]:
    """Read width and height from the header alone, whatever they are."""
    quiet = warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning)
    try:
        with quiet, Image.open(io.BytesIO(content), formats=_FORMATS) as opened:
            return opened.size
    except Image.DecompressionBombError as error:
        raise ImageError("a picture may not be as large as this one says it is. Bring it to a smaller size.") from error
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly anything
        kinds = ", ".join(_FORMATS)
        raise ImageError(f"a picture must be one of {kinds}; this file could not be read as one.") from error
