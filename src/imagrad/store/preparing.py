"""Before the first block: the store is made, or the one that is there is held against what is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from imagrad.attribution.encoders import plain_codes
from imagrad.complexstep.selection import select
from imagrad.errors import RunFolderError
from imagrad.models.opening import Network
from imagrad.store.images import Images, example, open_images, read_images
from imagrad.store.job import DataSource, Job, Shape, StoreSettings, differences, identity, versions
from imagrad.store.layout import create, kept_arrays
from imagrad.store.reading import Store, open_store

_TOLD = 3  # names
_PROBES = 4


def prepare(path: Path, network: Network, data: DataSource, settings: StoreSettings) -> None:
    """Make the store where there is none; else see that the one that is there is of the same job.

    Raises `RunFolderError`, with the differences named, where it is not.
    """
    stored = open_store(path) if path.exists() else None
    shape = network.image_shape or data.shape or (stored.job.shape if stored else None)
    images = open_images(data, shape)
    job = Job(
        network.source, network.name, data, settings, network.sha256, shape or (0, 0, 0), len(images.dataset),
        identity(images.dataset), versions(),
    )  # fmt: skip
    if stored is None:
        first = example(images.dataset, shape)
        channels, height, width = first.shape[1:]
        probe = probe_of(network, (channels, height, width), settings.device)
        _make(path, network, replace(job, shape=(channels, height, width), probe=probe), images, first)
    else:
        if shape is not None:
            job = replace(job, probe=probe_of(network, shape, settings.device))
        _refuse_another(stored, replace(job, settings=settings.completed_by(stored.job.settings)), images)


def probe_of(network: Network, shape: Shape, device: str) -> tuple[float, ...]:
    """Return some numbers that the codes of two images of noise come to: they tell a network from another.

    The code behind a class path may change while the weights stay, and then their hash does not.
    """
    noise = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.no_grad():
        codes = plain_codes(network.encode, noise, (), None).flatten().double().cpu()
    directions = torch.randn(_PROBES, len(codes), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return tuple((directions @ codes).tolist())


def _make(path: Path, network: Network, job: Job, images: Images, first: torch.Tensor) -> None:
    """Choose what was left open, and make the store."""
    device = job.settings.device
    with torch.no_grad():
        latents = plain_codes(network.encode, first.to(device), (), None)[0].numel()
    for chosen in (job.settings.latents, job.settings.latent_maps or None):
        select(chosen, latents, torch.device("cpu"))  # refuses what is not there
    largest = max(kept.row_bytes for kept in kept_arrays(job, latents))
    job = replace(job, settings=job.settings.resolved(largest))
    dataset = images.dataset
    labels = None if dataset.labels is None else dataset.labels.to(torch.int64).numpy()
    told = {"label_names": list(dataset.label_names)} if labels is not None else {}
    notes = [*network.notes, *dataset.source.notes]
    create(path, job, kept_arrays(job, latents), images.names, labels, {**told, **({"notes": notes} if notes else {})})


def _refuse_another(stored: Store, asked: Job, images: Images) -> None:
    """Raise `RunFolderError` unless a store is of the job that is asked for; images may have vanished since."""
    have = stored.job
    if asked.images_sha256 != have.images_sha256 and _have_only_vanished(stored, images):
        asked = replace(asked, images=have.images, images_sha256=have.images_sha256)
    found = [*differences(have, asked)]
    if asked.images_sha256 != have.images_sha256:
        found += _other_names(stored, images)
    if not found:
        found += _other_pixels(stored, images, asked.shape)
    if found:
        raise RunFolderError(
            f"{stored.path} was begun with something else. {'; '.join(found)}. Ask for what it has, to go on with it, "
            "or choose another name."
        )


def _have_only_vanished(stored: Store, images: Images) -> bool:
    """Say whether the images are those of the store, but for some that are not there any more."""
    if not images.dataset.source.names:
        return False  # numbers are not what images are called: the third may be another one by now
    left = set(images.names)
    return left < set(stored.names) and [name for name in stored.names if name in left] == list(images.names)


def _other_names(stored: Store, images: Images) -> Iterator[str]:
    """Say which images are new, which have vanished, and that labels differ where neither is so."""
    then, now = stored.names, [str(name) for name in np.asarray(images.names).tolist()]
    new, gone = sorted(set(now) - set(then)), sorted(set(then) - set(now))
    for what, names in (("new", new), ("not there any more", gone)):
        if names:
            yield f"{what}: {', '.join(names[:_TOLD])}{f' and {len(names) - _TOLD} more' if len(names) > _TOLD else ''}"
    if not new and not gone:
        yield "the images are in another order, or have other labels"


def _other_pixels(stored: Store, images: Images, shape: Shape) -> Iterator[str]:
    """Read some blocks that are done once more: files of the same names may hold something else by now."""
    done = sorted(stored.records)
    for number in sorted({*done[:1], *done[len(done) // 2 :][:1], *done[-1:]}):
        record, rows = stored.records[number], stored.job.rows(number)
        names = np.asarray(stored.array("image")[rows])
        read = read_images(images, names, rows.start, shape)
        if set(read.missing) == set(record.missing) and read.sha256 != record.images_sha256:
            yield f"the images {rows.start} to {rows.stop - 1} have the names, but not the pixels, that they had"
            return
