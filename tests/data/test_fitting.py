import numpy as np
import pytest
import torch
from PIL import Image

from imagrad.data.fitting import FITS, Fit, fit_image
from imagrad.errors import ImageError


def ramp(height, width):
    """Grey rises from 0 at the left to 1 at the right."""
    return torch.linspace(0, 1, width).expand(1, height, width).contiguous()


def mark(height, width, row, column, size):
    """A white square on black."""
    image = torch.zeros(1, height, width)
    image[:, row : row + size, column : column + size] = 1
    return image


@pytest.mark.parametrize("how", sorted(FITS))
@pytest.mark.parametrize("size", [(28, 28), (10, 50), (97, 31), (3, 3)])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 20)])
def test_any_size_to_any_shape(how, size, shape):
    image = torch.rand(1, *size, generator=torch.Generator().manual_seed(0))
    fitted = fit_image(image, Fit(shape, how))
    assert tuple(fitted.shape) == shape
    assert 0 <= float(fitted.min()) and float(fitted.max()) <= 1
    flat = fit_image(torch.full((1, *size), 0.25), Fit(shape, how))
    assert torch.allclose(flat, torch.full(shape, 0.25), atol=1e-6), "a flat picture stays flat"


@pytest.mark.parametrize("how", sorted(FITS))
def test_stays_upright(how):
    fitted = fit_image(mark(64, 64, 4, 40, 16), Fit((1, 16, 16), how))[0]  # top right
    assert float(fitted[:8, 8:].mean()) > 0.1
    assert float(fitted[8:].max()) == 0 and float(fitted[:, :8].max()) == 0


def test_resize_agrees_with_pillow():
    image = torch.rand(1, 60, 45, generator=torch.Generator().manual_seed(2))
    pillow = Image.fromarray(image[0].numpy()).resize((28, 28), Image.Resampling.BILINEAR)
    assert np.allclose(FITS["resize"](image, 28, 28)[0].numpy(), np.asarray(pillow), atol=1e-5)


def test_pad_keeps_proportions_and_fills_with_the_border():
    paper = torch.ones(1, 20, 40)
    paper[:, 8:12, 10:30] = 0
    fitted = fit_image(paper, Fit((1, 20, 20), "pad"))[0]
    assert torch.allclose(fitted[[0, 1, -1]], torch.ones(3, 20)), "paper is continued"
    ink = fitted < 0.5
    assert int(ink.any(1).sum()) == 2 and int(ink.any(0).sum()) == 10  # half as large in both directions


@pytest.mark.parametrize("size", [(40, 20), (20, 40)])
def test_pad_puts_the_picture_in_the_middle(size):
    image = torch.rand(1, *size, generator=torch.Generator().manual_seed(0)) + 1  # the border's median is its own
    image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1] = 0, 0, 0, 0
    fitted = fit_image(image, Fit((1, 40, 40), "pad"))
    inside = fitted[:, :, 10:30] if size == (40, 20) else fitted[:, 10:30]
    assert torch.allclose(inside, image.clamp(0, 1))
    assert float(fitted.sum()) == pytest.approx(float(inside.sum()))


@pytest.mark.parametrize("size", [(40, 20), (20, 40)])
def test_crop_takes_the_middle(size):
    image = torch.rand(1, *size, generator=torch.Generator().manual_seed(0))
    middle = image[:, 10:30] if size == (40, 20) else image[:, :, 10:30]
    assert torch.allclose(fit_image(image, Fit((1, 20, 20), "crop")), middle)


def test_crop_keeps_proportions_and_cuts_evenly():
    assert torch.allclose(fit_image(ramp(20, 40), Fit((1, 20, 20), "crop")), ramp(20, 40)[:, :, 10:30])


def test_invert():
    image = torch.rand(1, 4, 4)
    assert torch.equal(fit_image(image, Fit(invert=True)), 1 - image)


def test_matching_shape_is_not_touched():
    image = torch.rand(1, 8, 8)
    assert fit_image(image, Fit((1, 8, 8), "resize")) is image


def test_colour_to_grey_uses_luma():
    red = torch.zeros(3, 2, 2)
    red[0] = 1
    assert torch.allclose(fit_image(red, Fit((1, 2, 2), "resize")), torch.full((1, 2, 2), 0.299))


def test_channels_that_cannot_be_fitted():
    with pytest.raises(ImageError, match="a picture with 3 channels cannot be fitted to 5"):
        fit_image(torch.rand(3, 4, 4), Fit((5, 4, 4), "resize"))
