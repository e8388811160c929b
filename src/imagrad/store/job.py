"""What decides the numbers in a store: network, images and settings, as plain values."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib import metadata
from typing import Any

from imagrad.attribution.certified import CERTIFY
from imagrad.complexstep.points import ENGINES, KINKS, check_choice
from imagrad.complexstep.products.assembly import is_installed
from imagrad.complexstep.reductions import NORMS
from imagrad.data.datasets import load_dataset
from imagrad.data.fitting import FITS, Fit
from imagrad.data.sources import Dataset
from imagrad.errors import InputError
from imagrad.models.opening import NetworkSource

FORMAT = "imagrad-store-1"
VERSIONS = ("imagrad", "torch", "numpy", "zarr")
_COMPILER = "llvmlite"
_DECIDING = ("imagrad", "torch", _COMPILER)  # the versions whose numbers may differ in the last bit
_DTYPES = ("float32", "float64")
_BATCH = 64
_MOST_IMAGES = 512  # of a block: what a killed process loses
_BLOCK_BYTES = 2**25  # of the largest array of a block
_SAME_CODES = 1e-4  # relative
_BUDGET = 2**28  # bytes of perturbations at once, for each process

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class DataSource:
    """Where images are and what is done to each, as plain values, so that any process can open them."""

    selection: str
    """What `load_dataset` reads, such as "mnist:test[:1000]" or "pictures/"."""
    split: str = "test"
    """Of a named data set, where the selection names none."""
    data_dir: str | None = None
    """Where a named data set is looked for."""
    fit: str | None = None
    """How an image is brought to the network's size; None: it has it."""
    invert: bool = False
    """Whether dark is turned into bright."""
    shape: Shape | None = None
    """(channels, height, width) to fit to, for a network that does not say what it takes."""

    def open(self, shape: Shape | None) -> Dataset:
        """Open the images, for a network that takes `shape`; raises what `load_dataset` raises."""
        if self.fit is not None:
            FITS[self.fit]  # an unknown one is named before anything is read
            if shape is None:
                raise InputError("`fit` needs a size, and the network does not say which it takes. Give `shape`.")
        fit = Fit(shape, self.fit, self.invert)
        return load_dataset(self.selection, split=self.split, data_dir=self.data_dir, fit=fit)


@dataclass(frozen=True)
class StoreSettings:
    """How a data set is explained, and what of it is kept. What is None is chosen when the store is made, and kept."""

    engine: str = "auto"
    kinks: str = "ad"
    norm: str = "l2"
    latents: tuple[int, ...] | None = None
    """The latents that count in maps and spectra; None: all."""
    dtype: str = "float32"
    """What is computed in and stored, "float32" or "float64"."""
    certify: str = "sample"
    """How much of each block is computed anew by other means: "sample", "full" or "none"."""
    seed: int = 0
    """Of what the certificates sample."""
    codes: bool = False
    """Whether to keep the code of each image."""
    latent_maps: tuple[int, ...] = ()
    """Latents whose own maps, signed, are kept."""
    spectra: bool = False
    """Whether to keep the singular values and the effective rank of each image's Jacobian."""
    device: str = "cpu"
    """The kind of device, "cpu" or "cuda": their numbers differ in the last bits."""
    batch_size: int | None = None
    """Images that are differentiated at once; default 64."""
    block_size: int | None = None
    """Images that are saved at once; default: as many batches as make 512 images or 32 MiB."""
    threads: int | None = None
    """Threads of each process; default 1."""
    memory_budget: int | None = None
    """Bytes that the perturbations of each process may take; default 256 MiB."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        check_choice("engine", self.engine, ENGINES)
        check_choice("kinks", self.kinks, KINKS)
        check_choice("dtype", self.dtype, _DTYPES)
        check_choice("certify", self.certify, CERTIFY)
        NORMS[self.norm]
        for name in _PINNED:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"`{name}` must be a positive whole number; got {value}.")

    def resolved(self, bytes_an_image: int) -> StoreSettings:
        """Choose what was left open, for images whose largest array takes so many bytes.

        Raises `InputError` for blocks that are no whole batches.
        """
        if self.batch_size and self.block_size and self.block_size % self.batch_size:
            raise InputError(
                f"`block_size` must be a multiple of `batch_size`, {self.batch_size}; got {self.block_size}."
            )
        batch = self.batch_size or min(_BATCH, self.block_size or _BATCH)
        fitting = min(_MOST_IMAGES, _BLOCK_BYTES // bytes_an_image)
        block = self.block_size or batch * max(1, fitting // batch)
        chosen = replace(
            self, batch_size=batch, block_size=block, threads=self.threads or 1,
            memory_budget=self.memory_budget or _BUDGET,
        )  # fmt: skip
        return chosen

    def completed_by(self, stored: StoreSettings) -> StoreSettings:
        """Take what was left open from the settings of a store."""
        return replace(self, **{name: getattr(self, name) or getattr(stored, name) for name in _PINNED})


_PINNED = ("batch_size", "block_size", "threads", "memory_budget")


@dataclass(frozen=True)
class Job:
    """All that decides the numbers in a store, and where its network and its images are at present."""

    network: NetworkSource
    network_name: str
    data: DataSource
    settings: StoreSettings
    model_sha256: str
    shape: Shape
    """(channels, height, width) of the images, as the network takes them."""
    images: int
    images_sha256: str
    """Of the names and labels of the images; what is in them is hashed block by block, as they are read."""
    versions: Mapping[str, str]
    probe: tuple[float, ...] = ()
    """What the codes of two images of noise come to."""

    @property
    def block_size(self) -> int:
        """Images in a block."""
        assert self.settings.block_size is not None  # resolved when the store was made
        return self.settings.block_size

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-self.images // self.block_size)

    def rows(self, number: int) -> slice:
        """Return which images a block holds."""
        return slice(number * self.block_size, min(self.images, (number + 1) * self.block_size))

    def as_attributes(self) -> dict[str, Any]:
        """Return it in plain types, as a store keeps it."""
        where = asdict(self.network)
        return {
            "format": FORMAT,
            "model": {"name": self.network_name, **where, "sha256": self.model_sha256, "probe": list(self.probe)},
            "data": {**_plain(self.data), "shape": list(self.shape), "images": self.images,
                     "names_sha256": self.images_sha256},
            "settings": _plain(self.settings),
            "versions": dict(self.versions),
        }  # fmt: skip


def stored_job(attributes: Mapping[str, Any]) -> Job:
    """Read the job back from the attributes of a store."""
    model, data = attributes["model"], attributes["data"]
    shape = tuple(data["shape"])
    return Job(
        NetworkSource(model["path"], model["latent"], model["class_path"]),
        model["name"],
        DataSource(data["selection"], data["split"], data["data_dir"], data["fit"], data["invert"], shape),
        StoreSettings(**{name: _frozen(value) for name, value in attributes["settings"].items()}),
        model["sha256"],
        shape,
        data["images"],
        data["names_sha256"],
        attributes["versions"],
        tuple(model["probe"]),
    )


def differences(stored: Job, asked: Job) -> Iterator[str]:
    """Say in which of the things that decide the numbers two jobs differ, the stored value first."""
    yield from _difference("model (sha256)", stored.model_sha256, asked.model_sha256)
    for name in ("latent", "class_path"):
        yield from _difference(name, _said(stored, name), _said(asked, name))
    if not _same_probe(stored.probe, asked.probe):
        yield "network: it gives other codes for an image of noise than when the store was begun; its code has changed"
    if stored.images_sha256 != asked.images_sha256:
        changed = " as it was" if stored.data.selection == asked.data.selection else ""
        yield f"data: the store has {stored.data.selection}{changed}, asked for is {asked.data.selection}"
    yield from _difference("number of images", stored.images, asked.images)
    yield from _difference("image shape", stored.shape, asked.shape)
    yield from _difference("fit", stored.data.fit, asked.data.fit)
    yield from _difference("invert", stored.data.invert, asked.data.invert)
    for field in fields(StoreSettings):
        yield from _difference(field.name, getattr(stored.settings, field.name), getattr(asked.settings, field.name))
    for name in _DECIDING:
        then, now = (job.versions.get(name, "none") for job in (stored, asked))
        yield from _difference(f"version of {name}", then, now)


def _difference(what: str, stored: object, asked: object) -> Iterator[str]:
    if stored != asked:
        yield f"{what}: the store has {stored}, asked for is {asked}"


def _same_probe(stored: tuple[float, ...], asked: tuple[float, ...]) -> bool:
    """Whether two networks do the same, to rounding; kernels of another processor may round otherwise."""
    size = max(abs(value) for value in stored)
    return all(abs(one - other) <= _SAME_CODES * size for one, other in zip(stored, asked, strict=True))


def _said(job: Job, name: str) -> str | None:
    """Return what was said of the network beside where it is."""
    return getattr(job.network, name)


def identity(dataset: Dataset) -> str:
    """Return the SHA-256 of the names and labels of the images, in their order; without names, of a few of them too.

    Of files, not what is in them: a damaged one may be repaired meanwhile.
    """
    if not dataset.source.names:
        return dataset.identity
    labels = [] if dataset.labels is None else dataset.labels.tolist()
    told = [dataset.names, labels, list(dataset.label_names)]
    return hashlib.sha256(repr(told).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of what computes and writes."""
    found = {name: metadata.version(name) for name in VERSIONS}
    if is_installed():
        found[_COMPILER] = metadata.version(_COMPILER)
    return {**found, "python": platform.python_version()}


def _plain(values: DataSource | StoreSettings) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(values).items()}


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
