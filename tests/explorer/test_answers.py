"""What the API answers is what imagrad's own functions say."""

from resource import RUSAGE_SELF, getrusage
from typing import get_args

import numpy as np
import pytest
import torch

import imagrad
from imagrad.checks.rankings import flipped, pixels_of, ranking
from imagrad.complexstep.preflight import preflight
from imagrad.data.corruptions import CORRUPTIONS
from imagrad.explorer.answers import Answers, shifted
from imagrad.explorer.messages import Noise, PixelRequest
from imagrad.explorer.remembered import Remembered
from imagrad.explorer.subject import Explored, Subject

from .small import asked, floats_of, image_of, sent


@pytest.fixture(scope="module")
def encode(run_folder):
    return imagrad.load(run_folder).encode


def test_explanation_is_that_of_saliency(client, run_folder, encode, pixels):
    image = image_of(pixels)
    expected = imagrad.saliency(encode, image)
    found = asked(client, "explain", pixels=pixels, certify=True)
    assert torch.allclose(floats_of(found["saliency"]), expected.maps[0, 0], rtol=1e-6)
    assert found["largest"] == pytest.approx(float(expected.maps.max()), rel=1e-6)
    assert found["code"] == pytest.approx(expected.codes[0].tolist(), rel=1e-6)
    assert found["engine"] == expected.engine and found["ties"] == expected.ties
    assert found["certificate"]["passed"] and found["certificate"]["text"] == str(expected.certificate)
    assert found["certificate"]["sentence"].startswith("Passed: ")
    decoded = imagrad.load(run_folder).reconstruct(image)
    assert (image_of(found["reconstruction"]) - decoded.clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
@pytest.mark.parametrize("kinks", ["ad", "right", "left", "mean"])
def test_norm_and_kinks_are_passed_on(client, encode, pixels, norm, kinks):
    expected = imagrad.saliency(encode, image_of(pixels), norm=norm, kinks=kinks, certify="none")
    found = asked(client, "explain", pixels=pixels, norm=norm, kinks=kinks)
    assert torch.allclose(floats_of(found["saliency"]), expected.maps[0, 0], rtol=1e-6, atol=1e-7)
    assert found["certificate"] is None


def test_second_network_and_other_method(client, subject, pixels):
    second = asked(client, "explain", pixels=pixels, network=1)
    assert len(second["code"]) == 3 and second["reconstruction"] is None
    expected = imagrad.attribute(subject.networks[0].encode, image_of(pixels), "gradient", norm="max")
    found = asked(client, "explain", pixels=pixels, method="gradient", norm="max")
    assert torch.allclose(floats_of(found["saliency"]), expected.maps[0, 0], rtol=1e-6)


def test_latent_has_its_gradient_and_its_traversal(client, subject, encode, pixels):
    image, network = image_of(pixels), subject.networks[0]
    jacobian = imagrad.jacobian(encode, image)  # (1, 5, 1, 8, 8)
    found = asked(client, "latent", pixels=pixels, latent=3, span="deviations", certify=True)
    assert torch.allclose(floats_of(found["gradient"]), jacobian[0, 3, 0], rtol=1e-5, atol=1e-7)
    code = encode(image)[0]
    traversal = imagrad.traverse(network.decode, code, network.spread, [3], span="deviations")
    assert [step["value"] for step in found["steps"]] == pytest.approx(traversal.values[0].tolist())
    for step, expected in zip(found["steps"], traversal.images[0], strict=True):
        assert (image_of(step["pixels"])[0] - expected.clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-6
    assert found["no_traversal"] is None and found["certificate"]["passed"]


def test_without_a_decoder_the_latent_says_why_there_is_no_traversal(client, pixels):
    found = asked(client, "latent", pixels=pixels, latent=0, network=1)
    assert found["steps"] == []
    assert found["no_traversal"].endswith("is known as an encoder alone: there is no decoder to paint a traversal.")


def test_pixel_is_a_column_of_the_jacobian(client, encode, pixels):
    jacobian = imagrad.jacobian(encode, image_of(pixels))
    found = asked(client, "pixel", pixels=pixels, row=4, column=2)
    column = jacobian[0, :, 0, 4, 2]
    assert found["derivatives"] == pytest.approx(column.tolist(), rel=1e-5, abs=1e-7)
    assert found["strongest"][0] == int(column.abs().argmax())


@pytest.mark.parametrize("which", ["most", "least"])
def test_corruption_flips_the_ranked_pixels(client, subject, encode, pixels, which):
    image = image_of(pixels)
    order = ranking(imagrad.saliency(encode, image).maps[0, 0].double().numpy(), 0)
    expected = flipped(image, pixels_of(order, 25, which))
    found = asked(client, "corrupt", pixels=pixels, percentage=25, which=which)
    assert torch.equal(image_of(found["pixels"]), expected) and found["flipped"] == 16
    shares = subject.classifier(expected)[0].softmax(dim=0)
    best = int(shares.argmax())
    assert found["after"][0]["label"] == str(best)
    assert found["after"][0]["probability"] == pytest.approx(float(shares[best]), rel=1e-5)
    codes = encode(torch.cat([image, expected]))
    moved = float((codes[1] - codes[0]).norm() / codes[0].norm())
    assert found["code_moved"] == pytest.approx(moved, rel=1e-4)


def test_random_pixels_are_the_same_each_time(client, pixels):
    once, again = (asked(client, "corrupt", pixels=pixels, percentage=50, which="random") for _ in range(2))
    assert once == again and once["flipped"] == 32
    assert asked(client, "corrupt", pixels=pixels, percentage=0)["pixels"] == pixels


@pytest.mark.parametrize("noise", get_args(Noise))
def test_noise_is_that_of_the_registry(client, pixels, noise):
    generator = torch.Generator().manual_seed(5)
    expected = CORRUPTIONS[noise](image_of(pixels), 0.3, generator)
    found = asked(client, "change", pixels=pixels, noise=noise, level=0.3, seed=5)
    assert (image_of(found["pixels"]) - expected).abs().max() <= 0.5 / 255 + 1e-6


def test_every_noise_can_be_asked_for():
    assert set(get_args(Noise)) == set(CORRUPTIONS)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, -3), (-1, 4), (8, 0), (0, -9), (4096, 4096)])
def test_shift_moves_what_stays_and_fills_with_black(client, pixels, down, right):
    image = image_of(pixels)
    padded = np.zeros((8 + 2 * 16, 8 + 2 * 16), np.float32)
    row, column = 16 + max(-16, min(16, down)), 16 + max(-16, min(16, right))
    padded[row : row + 8, column : column + 8] = image[0, 0].numpy()
    found = asked(client, "change", pixels=pixels, down=down, right=right)
    assert np.array_equal(image_of(found["pixels"])[0, 0].numpy(), padded[16:24, 16:24])
    assert torch.equal(shifted(image, down, right)[0, 0], torch.from_numpy(padded[16:24, 16:24]))


def test_about_and_gallery(client, dataset):
    about = client.get("/api/about").json()
    assert about["shape"] == [1, 8, 8] and [network["latents"] for network in about["networks"]] == [5, 3]
    assert [network["has_decoder"] for network in about["networks"]] == [True, False]
    assert about["classes"] == list("0123456789") and about["methods"][0]["name"] == "saliency"
    gallery = client.get("/api/images", params={"start": 58, "count": 9}).json()
    assert gallery["total"] == 60 and [image["index"] for image in gallery["images"]] == [58, 59]
    assert gallery["images"][1]["title"] == dataset.titles[59]
    assert (image_of(gallery["images"][1]["pixels"]) - dataset.images(59, 60)).abs().max() <= 0.5 / 255 + 1e-6
    assert client.get("/api/images", params={"start": 600}).json()["images"] == []


@pytest.mark.parametrize(
    ("question", "body", "text"),
    [
        ("explain", {"pixels": "AAAA"}, "`pixels` must be the 64 bytes of an image that is grey 8 x 8; got 3."),
        ("explain", {"pixels": "é!"}, "`pixels` must be base64 of one byte a number; this is no base64."),
        ("explain", {"method": "magic"}, "unknown method 'magic'; known: "),
        ("explain", {"method": "grad-cam"}, "Grad-CAM needs"),
        ("explain", {"norm": "l3"}, "`norm`: Input should be 'l2', 'l1' or 'max'."),
        ("explain", {"path": "/etc/passwd"}, "`path`: Extra inputs are not permitted."),
        ("latent", {"latent": 5}, "`latent` must be from 0 to 4; got 5."),
        ("pixel", {"row": 8, "column": 0}, "`row` must be from 0 to 7; got 8."),
        ("corrupt", {"percentage": 51}, "`percentage`: Input should be less than or equal to 50."),
    ],
)
def test_what_cannot_be_answered_is_said_in_a_sentence(client, pixels, question, body, text):
    if body.get("method") == "grad-cam":
        pytest.importorskip("captum")
    assert asked(client, question, 422, **{"pixels": pixels, **body})["error"].startswith(text)


def test_no_second_network(subject, dataset, pixels):
    from dataclasses import replace

    from imagrad.errors import InputError
    from imagrad.explorer.answers import Answers
    from imagrad.explorer.messages import ExplainRequest

    alone = Answers(replace(subject, networks=subject.networks[:1]))
    with pytest.raises(InputError, match=r"`network` must be below 1; got 1\. A second one .* --compare MODEL"):
        alone.explain(ExplainRequest(pixels=pixels, network=1))


def test_no_json_and_unknown_paths_are_told(client):
    answer = client.post("/api/explain", content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 400 and answer.json()["error"].endswith("JSON decode error.")
    assert client.get("/api/nothing").json() == {"error": "Not Found."}
    assert client.get("/page/../app.py").status_code == 404
    assert client.get("/api/explain").status_code == 405


def test_last_maps_are_remembered_and_no_more():
    remembered, computed = Remembered(2), []

    def value(key):
        return remembered.get(key, lambda: computed.append(key) or key)

    assert [value(key) for key in "aabaca"] == list("aabaca")
    assert computed == list("abc") and len(remembered) == 2
    assert value("b") == "b" and computed == list("abcb")


def test_an_image_in_colour(dataset):
    from starlette.testclient import TestClient

    from imagrad.data.datasets import load_dataset
    from imagrad.data.fitting import Fit
    from imagrad.explorer.app import create_app
    from imagrad.explorer.subject import Subject, explored
    from imagrad.models.opening import open_network

    from .small import LOCAL, sent

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Tanh(), torch.nn.Flatten()).eval()
    coloured = load_dataset("digits:test[:4]", fit=Fit((3, 6, 10), "resize"))
    shown = Subject((explored(open_network(network), coloured, "cpu", 10**6),), coloured, (3, 6, 10))
    image = coloured.images(0, 1)
    pixels = sent(image)
    image = image_of(pixels, (3, 6, 10))
    with TestClient(create_app(shown), base_url=LOCAL) as client:
        found = asked(client, "explain", pixels=pixels)
        maps = imagrad.saliency(network, image).maps
        assert torch.allclose(floats_of(found["saliency"], (6, 10)), maps[0].norm(dim=0), rtol=1e-5)
        assert found["verdict"] is None and len(found["code"]) == 64
        pixel = asked(client, "pixel", pixels=pixels, row=5, column=9)
        jacobian = imagrad.jacobian(network, image)
        assert pixel["derivatives"] == pytest.approx(jacobian[0, :, :, 5, 9].sum(dim=1).tolist(), rel=1e-5, abs=1e-7)
        assert asked(client, "corrupt", pixels=pixels, percentage=10)["before"] is None
        curve = client.get("/api/curve").json()
        assert curve["state"] == "none" and "imagrad check corruption" in curve["text"]


def test_pixel_of_a_colour_image_is_the_derivative_for_grey_light(dataset):
    torch.manual_seed(0)
    encode = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(36, 7)
    ).eval()
    network = Explored("small", encode, None, 7, None, preflight(encode, torch.rand(4, 3, 8, 8)))
    answers = Answers(Subject((network,), dataset, (3, 8, 8)))
    pixels = sent(torch.rand(1, 3, 8, 8))
    columns = torch.func.jacrev(lambda image: encode(image[None])[0])(image_of(pixels, (3, 8, 8))[0])  # (7, 3, 8, 8)
    for row, column in ((0, 0), (4, 2), (7, 7)):
        found = answers.pixel(PixelRequest(pixels=pixels, row=row, column=column))
        expected = columns[:, :, row, column].sum(dim=1)
        assert found.derivatives == pytest.approx(expected.tolist(), rel=1e-4, abs=1e-6)  # autograd is in float32


def test_pixel_needs_no_memory_for_the_others(dataset):
    """A whole Jacobian of this network would be of 192 x 192 x 3 x 2000 numbers, 0.9 GB."""
    encode = torch.nn.Sequential(torch.nn.AvgPool2d(16), torch.nn.Flatten(), torch.nn.Linear(432, 2000)).eval()
    network = Explored("wide", encode, None, 2000, None, preflight(encode, torch.rand(2, 3, 192, 192)))
    answers = Answers(Subject((network,), dataset, (3, 192, 192)))
    asked = PixelRequest(pixels=sent(torch.rand(1, 3, 192, 192)), row=5, column=100)
    before = getrusage(RUSAGE_SELF).ru_maxrss
    assert len(answers.pixel(asked).derivatives) == 2000
    assert getrusage(RUSAGE_SELF).ru_maxrss - before < 300 * 1024  # kilobytes
