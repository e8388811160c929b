"""What is in a store, and that it is the same however often the work was interrupted."""

import copy
import errno
import fcntl
import os
import resource
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray
import zarr
from torch import nn
from zarr.storage import _local

from imagrad.data.datasets import load_dataset
from imagrad.errors import (
    CorruptDataError,
    DerivativeError,
    ImageError,
    InputError,
    MissingDataError,
    RunFolderError,
    StorageError,
)
from imagrad.models.opening import open_network
from imagrad.store import DataSource, StoreSettings, explain_dataset, open_store
from imagrad.store.job import versions
from imagrad.store.running import Ways

from .small import DIGITS, SMALL, files_of


def jacobians(encode, images):
    return torch.stack([torch.func.jacrev(lambda image: encode(image[None])[0])(image) for image in images])


def written(path, number):
    return (path / f"maps/c/{number}/0/0/0").stat().st_mtime_ns


def stop_after(blocks, block_size):
    """Stop as Ctrl-C does, in the middle of the block after so many."""

    def progress(done, total):
        if done > blocks * block_size:
            raise KeyboardInterrupt

    return progress


# --- what is in it ---


def test_xarray_opens_what_autograd_says(network, tmp_path):
    settings = replace(SMALL, codes=True, latent_maps=(3, 0), spectra=True, dtype="float64")
    explain_dataset(network, DIGITS, tmp_path / "maps.zarr", settings)
    found = xarray.open_zarr(tmp_path / "maps.zarr", consolidated=False)
    dataset = load_dataset(DIGITS.selection)
    images = dataset.images()
    truth = jacobians(copy.deepcopy(network.encode.__self__).double().encode, images.double()).numpy()
    assert found.maps.dims == ("image", "channel", "row", "column")
    assert found.latent_maps.dims == ("image", "latent_shown", "channel", "row", "column")
    np.testing.assert_allclose(found.maps, np.linalg.norm(truth, axis=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.latent_maps, truth[:, [3, 0]], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.codes, network.encode(images), rtol=1e-5)
    values = np.linalg.svd(truth.reshape(60, 5, 64), compute_uv=False)
    np.testing.assert_allclose(found.singular_values, values, rtol=1e-9, atol=1e-12)
    shares = np.maximum(values / values.sum(1, keepdims=True), 1e-300)
    np.testing.assert_allclose(found.effective_rank, np.exp(-(shares * np.log(shares)).sum(1)), rtol=1e-9)
    assert found.image.values.tolist() == dataset.indices.tolist()
    assert found.label.values.tolist() == dataset.labels.tolist()
    assert found.latent_shown.values.tolist() == [3, 0]
    assert set(found.status.values.tolist()) == {1} and found.attrs["complete"] is True
    assert found.attrs["summary"]["certificate"]["passed"] and found.attrs["summary"]["missing"] == 0


def test_one_shard_a_block_and_chunks_of_a_megabyte(tmp_path, undisturbed):
    store = undisturbed
    assert store.maps.shards == (16, 1, 8, 8) and store.maps.chunks == (16, 1, 8, 8)
    assert sorted(shard.name for shard in (undisturbed.path / "maps/c").iterdir()) == ["0", "1", "2", "3"]
    settings = StoreSettings().resolved(600_000)
    assert (settings.batch_size, settings.block_size) == (64, 64) and StoreSettings().resolved(3136).block_size == 512


def test_pictures_are_found_by_name(network, folder, tmp_path):
    explain_dataset(network, str(folder), tmp_path / "maps.zarr", SMALL)
    found = xarray.open_zarr(tmp_path / "maps.zarr", consolidated=False)
    image = load_dataset(str(folder)).images(10, 11)  # the first of the odd ones
    truth = jacobians(network.encode, image).norm(dim=1)[0]
    np.testing.assert_allclose(found.maps.sel(image="odd/01.png"), truth, rtol=1e-4, atol=1e-6)
    assert found.attrs["label_names"] == ["even", "odd"] and found.label.sel(image="odd/01.png") == 1


# --- going on ---


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_interrupted_and_gone_on_with_it_is_the_same_file(network, tmp_path, undisturbed, monkeypatch, blocks):
    path = tmp_path / "maps.zarr"
    with pytest.raises(KeyboardInterrupt):
        explain_dataset(network, DIGITS, path, SMALL, progress=stop_after(blocks, 16))
    half = open_store(path)
    assert not half.is_complete and half.done == 16 * blocks and "unfinished" in str(half)
    before = {number: written(path, number) for number in half.records}
    told = []
    explain_dataset(network, DIGITS, path, StoreSettings(), progress=lambda *counts: told.append(counts))
    assert files_of(path) == files_of(undisturbed.path)
    assert told[0] == (16 * blocks, 60) and told[-1] == (60, 60) and told == sorted(told)
    assert {number: written(path, number) for number in before} == before


def test_order_of_blocks_and_threads_of_the_caller_do_not_show(network, tmp_path, undisturbed):
    path = tmp_path / "maps.zarr"
    with pytest.raises(KeyboardInterrupt):
        explain_dataset(network, DIGITS, path, SMALL, progress=stop_after(0, 16))
    from imagrad.store.blocks import Place, explain_block

    job, before = open_store(path).job, torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        for number in (2, 0, 3, 2, 1):
            assert explain_block(Place(str(path), job, "cpu"), number, network) == (12 if number == 3 else 16)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
    explain_dataset(network, DIGITS, path)
    assert files_of(path) == files_of(undisturbed.path)


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"norm": "l1"}, "norm: the store has l2, asked for is l1"),
        ({"batch_size": 4}, "batch_size: the store has 8, asked for is 4"),
        ({"block_size": 24}, "block_size: the store has 16, asked for is 24"),
        ({"threads": 2}, "threads: the store has 1, asked for is 2"),
        ({"latents": (1,)}, r"latents: the store has None, asked for is \(1,\)"),
        ({"codes": True}, "codes: the store has False, asked for is True"),
        ({"seed": 1}, "seed: the store has 0, asked for is 1"),
        ({"dtype": "float64"}, "dtype: the store has float32, asked for is float64"),
    ],
)
def test_another_setting_is_refused_by_name(network, undisturbed, changes, difference):
    with pytest.raises(RunFolderError, match=difference):
        explain_dataset(network, DIGITS, undisturbed.path, StoreSettings(**changes))


def test_another_network_or_data_set_is_refused_by_name(network, undisturbed, monkeypatch):
    path = undisturbed.path
    with pytest.raises(RunFolderError, match=rf"model \(sha256\): the store has {network.sha256}, asked for is abc"):
        explain_dataset(replace(network, sha256="abc"), DIGITS, path)
    with pytest.raises(RunFolderError, match=r"number of images: the store has 60, asked for is 61.*new: "):
        explain_dataset(network, "digits:test[:61]", path)
    with pytest.raises(RunFolderError, match="invert: the store has False, asked for is True"):
        explain_dataset(network, replace(DIGITS, invert=True), path)
    explain_dataset(network, "digits:test[0:60]", path)  # the same images by another name
    without = {name: version for name, version in versions().items() if name != "llvmlite"}
    monkeypatch.setattr("imagrad.store.preparing.versions", lambda: without)
    with pytest.raises(RunFolderError, match=r"version of llvmlite: the store has 0\.\d+.*, asked for is none"):
        explain_dataset(network, DIGITS, path)
    monkeypatch.setattr("imagrad.store.preparing.versions", lambda: {"imagrad": "0.0.1", "torch": "1.0"})
    with pytest.raises(RunFolderError, match=r"version of torch: the store has 2\..*, asked for is 1\.0"):
        explain_dataset(network, DIGITS, path)


def test_another_inner_tensor_or_other_code_of_the_same_weights_is_refused(tmp_path):
    """Of an object that is here alone, too; and where no name tells them apart, by what the network does."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Tanh(), nn.Linear(4, 4))
    first = open_network(module, latent="1")
    explain_dataset(first, "digits:test[:4]", tmp_path / "a.zarr", SMALL)
    with pytest.raises(RunFolderError, match="latent: the store has 1, asked for is 3"):
        explain_dataset(open_network(module, latent="3"), "digits:test[:4]", tmp_path / "a.zarr")
    module[0] = nn.Sequential(nn.Flatten(), nn.Sigmoid())  # the same weights
    with pytest.raises(RunFolderError, match="network: it gives other codes for an image of noise"):
        explain_dataset(open_network(module, latent="1"), "digits:test[:4]", tmp_path / "a.zarr")


def test_other_pixels_under_the_same_names_are_refused(network, tmp_path):
    images = load_dataset(DIGITS.selection).images().numpy()
    np.save(tmp_path / "images.npy", images)
    with pytest.raises(KeyboardInterrupt):
        explain_dataset(network, str(tmp_path / "images.npy"), tmp_path / "a.zarr", SMALL, progress=stop_after(2, 16))
    np.save(tmp_path / "images.npy", 1 - images)
    with pytest.raises(RunFolderError, match=r"data: the store has .*images.npy as it was, asked for is .*images.npy"):
        explain_dataset(network, str(tmp_path / "images.npy"), tmp_path / "a.zarr")
    images[1] = 1 - images[1]  # none of those that are looked at first
    np.save(tmp_path / "images.npy", images)
    with pytest.raises(RunFolderError, match="images 0 to 15 have the names, but not the pixels"):
        explain_dataset(network, str(tmp_path / "images.npy"), tmp_path / "a.zarr")


# --- images that cannot be read ---


@pytest.fixture
def damaged(folder):
    path = folder / "odd/07.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:60])
    return path, whole


def test_a_broken_picture_is_recorded_and_can_be_tried_again(network, folder, tmp_path, damaged):
    path, whole = damaged
    store = explain_dataset(network, str(folder), tmp_path / "maps.zarr", SMALL)
    assert store.done == 19 and store.is_complete and store.attributes["summary"]["missing"] == 1
    (name,) = store.missing
    row = store.names.index(name)
    assert name == "odd/07.png" and "cannot read the picture" in store.missing[name]
    assert store.status[row] == 2 and np.isnan(store.maps[row]).all() and np.isfinite(store.maps[row - 1]).all()

    path.write_bytes(whole)
    assert explain_dataset(network, str(folder), store.path).missing == store.missing  # it stays as it was recorded
    again = explain_dataset(network, str(folder), store.path, ways=Ways(retry_missing=True))
    assert again.done == 20 and not again.missing
    explain_dataset(network, str(folder), tmp_path / "undisturbed.zarr", SMALL)
    assert files_of(again.path) == files_of(tmp_path / "undisturbed.zarr")


def test_a_broken_picture_is_fatal_when_that_is_asked_for(network, folder, tmp_path, damaged):
    ways = Ways(strict=True)
    with pytest.raises(CorruptDataError, match=r"image odd/07\.png cannot be read: cannot read the picture"):
        explain_dataset(network, str(folder), tmp_path / "maps.zarr", SMALL, ways=ways)
    explain_dataset(network, str(folder), tmp_path / "maps.zarr")
    with pytest.raises(CorruptDataError, match=r"image odd/07\.png cannot be read"):  # nor is it in what was finished
        explain_dataset(network, str(folder), tmp_path / "maps.zarr", ways=ways)
    assert not open_store(tmp_path / "maps.zarr").is_complete


def test_an_image_that_vanished_is_missing_and_moves_no_other(network, folder, tmp_path):
    explain_dataset(network, str(folder), tmp_path / "undisturbed.zarr", SMALL)
    with pytest.raises(KeyboardInterrupt):
        explain_dataset(network, str(folder), tmp_path / "maps.zarr", SMALL, progress=stop_after(0, 16))
    (folder / "even/02.png").unlink()
    store = explain_dataset(network, str(folder), tmp_path / "maps.zarr")
    assert store.missing == {"even/02.png": "it is not there any more"}
    maps, whole = store.maps[:], open_store(tmp_path / "undisturbed.zarr").maps[:]
    np.testing.assert_allclose(np.delete(maps, 1, 0), np.delete(whole, 1, 0), rtol=1e-4, atol=1e-6)
    (folder / "even/03.png").write_bytes((folder / "odd/03.png").read_bytes())
    with pytest.raises(RunFolderError, match=r"new: even/03\.png; not there any more: even/02\.png"):
        explain_dataset(network, str(folder), tmp_path / "maps.zarr")


def test_a_folder_that_vanished_is_no_folder_of_missing_images(network, folder, tmp_path):
    def vanish(done, total):
        if done == 16 and folder.exists():
            folder.rename(tmp_path / "elsewhere")

    with pytest.raises(MissingDataError, match="pictures is not there any more"):
        explain_dataset(network, str(folder), tmp_path / "maps.zarr", SMALL, progress=vanish)
    (tmp_path / "elsewhere").rename(folder)
    assert explain_dataset(network, str(folder), tmp_path / "maps.zarr").done == 20


def test_one_image_of_another_size_is_missing_and_all_are_an_error(network, folder, tmp_path):
    from PIL import Image

    Image.new("L", (9, 9)).save(folder / "even/00.png")
    store = explain_dataset(network, str(folder), tmp_path / "maps.zarr", SMALL)
    assert store.missing == {"even/00.png": "it is grey 9 x 9; the network takes grey 8 x 8"}
    with pytest.raises(ImageError, match=r"takes images that are grey 8 x 8; .* has grey 28 x 28\. Give `fit`"):
        explain_dataset(network, big(tmp_path), tmp_path / "other.zarr", SMALL)


def big(tmp_path):
    np.save(tmp_path / "big.npy", np.zeros((20, 28, 28), np.uint8))
    return str(tmp_path / "big.npy")


def test_a_failing_network_is_named_with_its_block(tmp_path):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3, bias=False), torch.nn.ReLU()).eval()
    np.save(tmp_path / "black.npy", np.zeros((20, 8, 8), np.uint8))
    with pytest.raises(DerivativeError, match=r"block 0, images 0 to 15: .*kink"):
        explain_dataset(network, str(tmp_path / "black.npy"), tmp_path / "a.zarr", replace(SMALL, kinks="raise"))


# --- disks ---


def test_a_full_disk_is_clear_and_no_part_of_a_block_counts(network, tmp_path, undisturbed, monkeypatch):
    put, left = _local._put, [11]

    def full(path, *arguments, **options):
        if "maps.zarr" in str(path) and not path.name == "zarr.json":
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return put(path, *arguments, **options)

    path = tmp_path / "maps.zarr"
    monkeypatch.setattr(_local, "_put", full)
    with pytest.raises(StorageError, match=r"cannot write to .*maps\.zarr: No space left on device.*goes on where"):
        explain_dataset(network, DIGITS, path, SMALL)
    monkeypatch.undo()
    half = open_store(path)
    assert sorted(half.records) == [0] and half.status.sum() == 16  # 8 index files and one block of three; then no more
    explain_dataset(network, DIGITS, path)
    assert files_of(path) == files_of(undisturbed.path)


def test_a_limit_of_the_system_is_clear_too(network, tmp_path, undisturbed):
    path = tmp_path / "maps.zarr"
    with pytest.raises(KeyboardInterrupt):
        explain_dataset(network, DIGITS, path, SMALL, progress=stop_after(1, 16))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # bytes of a file
    try:
        with pytest.raises(StorageError, match=r"cannot write to .*maps\.zarr: File too large"):
            explain_dataset(network, DIGITS, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(open_store(path).records) == [0]
    explain_dataset(network, DIGITS, path)
    assert files_of(path) == files_of(undisturbed.path)


@pytest.mark.parametrize("place", ["/proc/maps.zarr", "file/maps.zarr"])
def test_a_folder_that_cannot_be_written_to_is_said_so(network, tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write to .*maps\.zarr"):
        explain_dataset(network, DIGITS, tmp_path / place, SMALL)


def test_what_is_no_store_is_left_alone(network, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="must be a store that imagrad made; it is none"):
        explain_dataset(network, DIGITS, tmp_path / "notes", SMALL)
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(RunFolderError, match="of the format imagrad-store-1; its format is None"):
        explain_dataset(network, DIGITS, tmp_path / "other.zarr", SMALL)
    assert files_of(tmp_path / "notes") == {"a.txt": b"mine"}
    with pytest.raises(RunFolderError, match=r"there is no store at .*nothing"):
        open_store(tmp_path / "nothing.zarr")


def test_a_store_has_one_master(network, undisturbed):
    folder = os.open(undisturbed.path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with pytest.raises(RunFolderError, match="is being worked on by another command"):
        explain_dataset(network, DIGITS, undisturbed.path)
    os.close(folder)
    explain_dataset(network, DIGITS, undisturbed.path)


def test_a_record_that_was_cut_off_is_done_again(network, tmp_path, undisturbed):
    expected = files_of(undisturbed.path)
    (undisturbed.path / "record/c/1").write_bytes(b"")
    assert open_store(undisturbed.path).done == 44
    (undisturbed.path / "maps/c/1/0/0/0.1234.partial").write_bytes(b"half")
    explain_dataset(network, DIGITS, undisturbed.path)
    assert files_of(undisturbed.path) == expected


# --- options ---


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"norm": "l3"}, "unknown norm 'l3'"),
        ({"engine": "fast"}, "`engine` must be one of"),
        ({"batch_size": 0}, "`batch_size` must be a positive whole number; got 0"),
        ({"dtype": "float16"}, "`dtype` must be one of: float32, float64"),
        ({"batch_size": 7, "block_size": 16}, "`block_size` must be a multiple of `batch_size`, 7; got 16"),
        ({"latent_maps": (9,)}, "`latents` must be different indices from 0 to 4"),
    ],
)
def test_settings_that_cannot_be_are_refused(network, tmp_path, wrong, message):
    with pytest.raises(InputError, match=message):
        explain_dataset(network, DIGITS, tmp_path / "maps.zarr", StoreSettings(**wrong))
    assert not (tmp_path / "maps.zarr").exists()


def test_ways_that_exclude_each_other_are_refused(network, tmp_path):
    for ways, message in [
        (Ways(workers=-1), "must not be negative"),
        (Ways(2, "tcp://localhost:8786"), "not both"),
    ]:
        with pytest.raises(InputError, match=message):
            explain_dataset(network, DIGITS, tmp_path / "maps.zarr", SMALL, ways=ways)
    for here in (nn.Flatten(), open_network(nn.Flatten())):
        with pytest.raises(InputError, match="in this process only"):
            explain_dataset(here, DIGITS, tmp_path / "maps.zarr", SMALL, ways=Ways(workers=2))


def test_a_fit_needs_a_size(tmp_path):
    data = DataSource("digits:test[:5]", fit="resize")
    encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)).eval()
    with pytest.raises(InputError, match="`fit` needs a size"):
        explain_dataset(encoder, data, tmp_path / "maps.zarr", SMALL)
    store = explain_dataset(encoder, replace(data, shape=(1, 4, 4)), tmp_path / "maps.zarr", SMALL)
    assert store.maps.shape == (5, 1, 4, 4) and store.attributes["model"]["name"] == "Sequential"
    assert explain_dataset(encoder, replace(data, shape=(1, 4, 4)), tmp_path / "maps.zarr").is_complete
