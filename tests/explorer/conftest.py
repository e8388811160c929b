"""What the tests of the explorer share: a small network for the embedded digits, and a client of its server."""

import os
from pathlib import Path

import pytest
import torch

from imagrad.cli.main import main
from imagrad.data.datasets import load_dataset
from imagrad.models.opening import open_network
from imagrad.training.classifier import load_classifier, train_classifier
from imagrad.training.config import ClassifierConfig

from .browser import FLAGS, Watched, needed, settled
from .serving import served
from .small import LOCAL, sent

try:
    from starlette.testclient import TestClient

    from imagrad.explorer.app import create_app
    from imagrad.explorer.subject import Subject, explored
except ModuleNotFoundError:
    if os.environ.get("IMAGRAD_REQUIRE_MNIST"):  # in CI nothing may be missing
        raise
    # what is left says why the others are not run
    collect_ignore = [path.name for path in Path(__file__).parent.glob("test_*.py") if path.name != "test_extra.py"]


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """The run folder of a small network for the digits, 8 x 8 to 5."""
    out = tmp_path_factory.mktemp("runs") / "dae"
    options = ["--data", "digits:train[:300]", "--hidden", "16", "--latents", "5", "--epochs", "5"]
    assert main(["train", *options, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("classifiers") / "classifier"
    train_classifier(ClassifierConfig("digits", epochs=6, batch_size=25), out)
    return out


@pytest.fixture(scope="session")
def dataset():
    return load_dataset("digits:test[:60]")


@pytest.fixture(scope="session")
def subject(run_folder, classifier_folder, dataset):
    """Two networks, the second with other weights, a classifier, and images with its labels."""
    first = open_network(str(run_folder))
    second = open_network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3), torch.nn.ReLU()).eval())
    networks = tuple(explored(network, dataset, "cpu", 10**6) for network in (first, second))
    return Subject(networks, dataset, (1, 8, 8), "cpu", load_classifier(classifier_folder))


@pytest.fixture
def client(subject):
    with TestClient(create_app(subject), base_url=LOCAL) as client:
        yield client


@pytest.fixture
def pixels(dataset):
    """The first digit as the page sends it."""
    return sent(dataset.images(0, 1))


@pytest.fixture(scope="session")
def url(run_folder, classifier_folder):
    options = ["--data", "digits:test[:40]", "--classifier", classifier_folder, "--compare", run_folder]
    with served(run_folder, *options) as (_, url, _):
        yield url


@pytest.fixture(scope="session")
def chromium():
    path = needed()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(params=["desktop"])
def page(request, chromium, url):
    """The page, opened and ready; at the end it must not have complained, nor asked anybody else."""
    phone = request.param == "phone"
    size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 900}
    context = chromium.new_context(viewport=size, has_touch=phone, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page, watched = context.new_page(), Watched()
    watched.watch(page)
    page.goto(url)
    settled(page)
    yield page
    assert watched.strangers(url) == [] and len(watched.requests) > 5
    assert [text for text in watched.complaints if "Failed to load resource" not in text] == []
    context.close()
