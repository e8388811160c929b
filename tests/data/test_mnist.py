"""MNIST on disk in each layout, and its download from a local server that misbehaves in each way."""

import gzip
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pooch
import pytest
import torch

from imagrad.data import mnist
from imagrad.data.datasets import load_dataset
from imagrad.errors import CorruptDataError, MissingDataError, SelectionError


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture
def small(monkeypatch):
    """A small data set in MNIST's place: payloads by file name, with their sums in the table."""
    rng = np.random.default_rng(0)
    payloads = {}
    for split, count in (("train", 6), ("t10k", 4)):
        payloads[f"{split}-images-idx3-ubyte"] = idx(rng.integers(0, 256, (count, 28, 28)).astype(np.uint8))
        payloads[f"{split}-labels-idx1-ubyte"] = idx(rng.integers(0, 10, count).astype(np.uint8))
    for name, payload in payloads.items():
        monkeypatch.setitem(mnist.SHA256, name, hashlib.sha256(payload).hexdigest())
    return payloads


@pytest.mark.parametrize("layout", ["", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
def test_found_in_every_layout(tmp_path, small, layout, packed):
    folder = tmp_path / layout
    folder.mkdir(parents=True, exist_ok=True)
    for name, payload in small.items():
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(payload) if packed else payload)
    dataset = load_dataset("mnist", data_dir=str(tmp_path))
    assert dataset.name == "mnist:test"
    expected = np.frombuffer(small["t10k-images-idx3-ubyte"][16:], np.uint8).reshape(4, 1, 28, 28) / 255
    assert torch.allclose(dataset.images().double(), torch.from_numpy(expected), atol=1e-7)
    assert dataset.labels.tolist() == list(small["t10k-labels-idx1-ubyte"][8:])


def test_search_order(monkeypatch, tmp_path):
    monkeypatch.delenv(mnist.DATA_VARIABLE, raising=False)
    assert [folder.name for folder in mnist.search_folders(None)] == ["imagrad"]
    monkeypatch.setenv(mnist.DATA_VARIABLE, "/somewhere")
    assert str(mnist.search_folders(None)[0]) == "/somewhere"
    assert mnist.search_folders(str(tmp_path)) == [tmp_path]


def test_wrong_checksum(tmp_path, small):
    changed = bytearray(small["t10k-images-idx3-ubyte"])
    changed[-1] ^= 1
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(changed)
    with pytest.raises(CorruptDataError, match=r"must have the sha256 \w{64} \(uncompressed\); it has \w{64}"):
        load_dataset("mnist:test", data_dir=str(tmp_path))


def test_unknown_split():
    with pytest.raises(SelectionError, match="mnist has the splits train and test; got 'valid'"):
        load_dataset("mnist:valid")


def test_missing_says_where_it_looked_and_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "MIRRORS", ("http://127.0.0.1:9/",))
    monkeypatch.setattr(mnist, "_RETRIES", 0)
    with pytest.raises(MissingDataError) as caught:
        load_dataset("mnist:test", data_dir=str(tmp_path))
    for part in (str(tmp_path), "MNIST/raw", "http://127.0.0.1:9/", "--data-dir", "$IMAGRAD_DATA", "digits"):
        assert part in str(caught.value)


# --- the download ---

NAME = "t10k-labels-idx1-ubyte"


class Server:
    """A local HTTP server; `behaviour` maps a mirror's path to what it does with each request in turn."""

    def __init__(self, payload):
        self.payload = gzip.compress(payload)
        self.behaviour = {}
        self.requests = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                mirror = self.path.split("/")[1]
                server.requests.append(mirror)
                behaviour = server.behaviour[mirror]
                server.answer(self, behaviour.pop(0) if len(behaviour) > 1 else behaviour[0])

            def log_message(self, *arguments):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, handler, how):
        if how == "404":
            handler.send_error(404)
            return
        content = gzip.compress(b"\0\0\x08\x01\0\0\0\x02ab") if how == "wrong content" else self.payload
        content = b"<html>busy</html>" if how == "a web page" else content
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2] if how == "truncated" else content)

    def mirrors(self, *behaviours):
        self.behaviour = {f"m{k}": list(behaviour) for k, behaviour in enumerate(behaviours)}
        return [f"http://127.0.0.1:{self.http.server_address[1]}/m{k}/" for k in range(len(behaviours))]


@pytest.fixture
def server(small, monkeypatch):
    monkeypatch.setattr(pooch.core, "time", SimpleNamespace(sleep=lambda seconds: None))  # between two tries
    server = Server(small[NAME])
    yield server
    server.http.shutdown()
    server.http.server_close()


def download(server, folder, *behaviours):
    return mnist.download(NAME, folder, server.mirrors(*behaviours), progress=False)


def test_download_is_verified_and_kept(server, small, tmp_path):
    assert download(server, tmp_path / "mnist", ["good"], ["good"]) == small[NAME]
    assert (tmp_path / "mnist" / f"{NAME}.gz").is_file()
    assert server.requests == ["m0"]
    assert mnist.fetch(NAME, str(tmp_path)) == small[NAME]  # the second time from disk
    assert server.requests == ["m0"]


@pytest.mark.parametrize("fault", ["404", "truncated", "wrong content", "a web page"])
def test_mirror_two_takes_over(server, small, tmp_path, fault):
    assert download(server, tmp_path, [fault], ["good"]) == small[NAME]
    assert server.requests[-1] == "m1"


@pytest.mark.parametrize("fault", ["404", "truncated"])
def test_a_passing_fault_is_tried_again(server, small, tmp_path, fault):
    assert download(server, tmp_path, [fault, "good"]) == small[NAME]
    assert server.requests == ["m0", "m0"]


@pytest.mark.parametrize(
    ("fault", "answer"),
    [("404", "404"), ("truncated", "IncompleteRead"), ("wrong content", "sha256"), ("a web page", "magic number")],
)
def test_no_mirror_is_good(server, tmp_path, fault, answer):
    with pytest.raises(MissingDataError, match=f"Downloading failed: .*m0/: .*{answer}.*m1/: .*{answer}"):
        download(server, tmp_path, [fault], [fault])
    assert not tmp_path.exists() or list(tmp_path.iterdir()) == []  # nothing bad is left to be found the next time


def test_progress_bar_is_shown(server, tmp_path, capfd):
    mnist.download(NAME, tmp_path, server.mirrors(["good"]))
    assert "100%" in capfd.readouterr().err


# --- the real thing ---


def test_real_mnist(mnist_folder):
    dataset = load_dataset("mnist:test", data_dir=str(mnist_folder))
    assert len(dataset) == 10_000 and dataset.image_shape == (1, 28, 28)
    assert torch.bincount(dataset.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert dataset.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]  # the order is the original one
    assert float(dataset.images().mean()) == pytest.approx(0.13251, abs=1e-5)  # known mean of the test images


def test_real_mnist_by_label(mnist_folder):
    dataset = load_dataset("mnist:train/label=3[:50]", data_dir=str(mnist_folder))
    assert len(dataset) == 50 and set(dataset.labels.tolist()) == {3}
