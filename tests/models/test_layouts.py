"""Images reach a network in the layout that it wants, with every number in its place."""

import pytest
import torch
from torch import nn

from imagrad.errors import EncoderError, ImageError
from imagrad.models.layouts import OfOneSize, arranged


class Seen(nn.Module):
    """Remembers what it was given."""

    def forward(self, values):
        self.values = values
        return values.flatten(1)


IMAGES = torch.arange(2 * 3 * 6 * 5.0).reshape(2, 3, 6, 5)


@pytest.mark.parametrize(
    ("shape", "whole", "note", "seen"),
    [
        (None, None, None, IMAGES),
        ((3, 6, 5), (3, 6, 5), None, IMAGES),
        ((3, None, None), None, None, IMAGES),
        ((None, 6, 5), None, None, IMAGES),
        ((6, 5, 3), (3, 6, 5), "channels last", IMAGES.permute(0, 2, 3, 1)),
        ((None, None, 3), None, "channels last", IMAGES.permute(0, 2, 3, 1)),
        ((1, 6, 1), (1, 6, 1), None, IMAGES),  # channels first where both could be
        ((90,), None, "rows of 90 numbers", IMAGES.reshape(2, 90)),
        ((None,), None, "rows of any number of numbers", IMAGES.reshape(2, 90)),
    ],
)
def test_layouts(shape, whole, note, seen):
    network = Seen()
    module, image_shape, told = arranged(network, shape)
    module(IMAGES)
    assert torch.equal(network.values, seen) and image_shape == whole
    assert (told is None) == (note is None) and (note or "") in (told or "")


def test_images_without_channels():
    network = Seen()
    module, image_shape, told = arranged(network, (6, 5))
    module(IMAGES[:, :1])
    assert torch.equal(network.values, IMAGES[:, 0]) and image_shape == (1, 6, 5) and "without an axis" in told


def test_what_is_no_image():
    with pytest.raises(EncoderError, match=r"inputs of shape \(n, 1, 2, \?, 4\), which are no images"):
        arranged(Seen(), (1, 2, None, 4))
    module, _, _ = arranged(Seen(), (91,))
    with pytest.raises(ImageError, match=r"takes 91 numbers an image; images of shape \(3, 6, 5\) have 90"):
        module(IMAGES)


class Fixed(nn.Module):
    """Takes so many images only."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, images):
        assert len(images) == self.size
        return images.flatten(1).sin(), images.flatten(1).cos()


def test_a_network_of_one_batch_size():
    sines, cosines = OfOneSize(Fixed(1), 1)(IMAGES)
    assert torch.equal(sines, IMAGES.flatten(1).sin()) and torch.equal(cosines, IMAGES.flatten(1).cos())
    assert torch.equal(OfOneSize(Fixed(2), 2)(IMAGES)[0], sines)
    with pytest.raises(ImageError, match=r"exported for batches of 2 images; got 1\. Export it for any number"):
        OfOneSize(Fixed(2), 2)(IMAGES[:1])
