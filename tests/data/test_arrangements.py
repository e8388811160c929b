"""Canvases and shuffles: where each pixel goes, and back."""

import pytest
import torch

from imagrad.data.arrangements import CENTRE, CORNERS, Arrangement, parse_arrangement
from imagrad.errors import InputError


@pytest.fixture
def images():
    return torch.rand(3, 2, 4, 5, generator=torch.Generator().manual_seed(0)) + 0.1  # no pixel is black


PLACES = {"top-left": (0, 0), "top-right": (0, 5), "bottom-left": (6, 0), "bottom-right": (6, 5), "centre": (3, 2)}


@pytest.mark.parametrize("place", [*CORNERS, CENTRE])
def test_an_image_stands_where_it_should_and_all_else_is_black(images, place):
    found = parse_arrangement(f"{place}:10").apply(images)
    top, left = PLACES[place]
    assert found.shape == (3, 2, 10, 10) and parse_arrangement(f"{place}:10").offset(4, 5) == (top, left)
    assert torch.equal(found[..., top : top + 4, left : left + 5], images)
    assert int(found.count_nonzero()) == images.numel()


def test_mnist_on_42_pixels_is_moved_by_7():
    corner, centre = (Arrangement(place, 42).offset(28, 28) for place in ("top-left", "centre"))
    assert corner == (0, 0) and centre == (7, 7)


def test_a_canvas_of_the_images_own_size(images):
    square = images[..., :4]
    for place in PLACES:
        assert torch.equal(Arrangement(place, 4).apply(square), square)


def test_as_they_are(images):
    same = parse_arrangement("as they are")
    assert same == Arrangement() and same.apply(images) is images and same.undo(images) is images


@pytest.mark.parametrize("seed", [0, 7])
def test_shuffled_pixels_are_those_of_the_image_and_go_back(images, seed):
    shuffle = parse_arrangement(f"shuffled:{seed}")
    found = shuffle.apply(images)
    assert found.shape == images.shape and not torch.equal(found, images)
    assert torch.equal(found.flatten(-2).sort().values, images.flatten(-2).sort().values)
    assert torch.equal(shuffle.undo(found), images)
    numbers = torch.arange(20).view(1, 4, 5)
    assert torch.equal(found[1, 1], images[1, 1].flatten()[shuffle.apply(numbers)[0]]), "one order for all"


def test_the_seed_decides_the_order(images):
    first, again, other = (parse_arrangement(f"shuffled:{seed}").apply(images) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_pixels_on_a_canvas_cannot_be_put_back(images):
    with pytest.raises(InputError, match="only shuffled pixels can be put back; these were put top-left on a canvas"):
        parse_arrangement("top-left:10").undo(images)


def test_a_canvas_that_is_too_small(images):
    message = r"at least as large as the images; got 4 x 4 for images of 4 x 5. Give a larger size: top-left:7"
    with pytest.raises(InputError, match=message):
        parse_arrangement("top-left:4").apply(images)


@pytest.mark.parametrize("text", ["", "top-left", "top-left:", "top-left:0", "top-left:-3", "top-left:4.5", "middle:9",
                                  "shuffled", "shuffled:x", "shuffled:-1", "As they are"])  # fmt: skip
def test_what_cannot_be_read(text):
    with pytest.raises(InputError, match=f"cannot read the arrangement {text!r}; expected something like"):
        parse_arrangement(text)
