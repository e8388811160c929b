"""`imagrad explain --out maps.zarr`: a whole data set into a Zarr store, resumable, on any number of processes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli.conventions import counted, resolve_device, say
from imagrad.cli.latents import recorded
from imagrad.cli.networks import SHIPPED, fit_of, look_first, open_model
from imagrad.errors import InputError

if TYPE_CHECKING:
    from imagrad.store.job import DataSource, StoreSettings
    from imagrad.store.reading import Store

SUFFIX = ".zarr"
AFTER_INTERRUPT = f"With --out maps{SUFFIX} the same command goes on where it stopped."

_LISTED = 10
_DEFAULTS = {"workers": 0, "scheduler": None, "strict": False, "retry_missing": False, "codes": False,
             "latent_maps": None, "dtype": "float32", "block_size": None, "batch_size": None}  # fmt: skip


def add_store_options(parser: ArgumentParser) -> None:
    """Add what is kept in a store, and how its blocks are run."""
    of_stores = f"With --out maps{SUFFIX}: "
    parser.add_argument("--codes", action="store_true", help=f"{of_stores}keep the code of each image too.")
    parser.add_argument(
        "--latent-maps", type=int, nargs="+", default=None, help=f"{of_stores}keep the signed maps of these latents."
    )
    parser.add_argument("--dtype", default="float32", help=f"{of_stores}float32 or float64.")
    parser.add_argument(
        "--block-size", type=int | None, default=None, help=f"{of_stores}images saved at once; kept when resumed."
    )
    parser.add_argument(
        "--batch-size", type=int | None, default=None, help=f"{of_stores}images at a time; kept when resumed."
    )
    parser.add_argument("--workers", type=int, default=0, help=f"{of_stores}processes on this machine; 0: this one.")
    parser.add_argument(
        "--scheduler", type=str | None, default=None, help=f"{of_stores}a Dask cluster, tcp://host:8786, to run on."
    )
    parser.add_argument("--strict", action="store_true", help=f"{of_stores}stop at an image that cannot be read.")
    parser.add_argument(
        "--retry-missing", action="store_true", help=f"{of_stores}try images again that could not be read."
    )


def is_store(options: Namespace) -> bool:
    """Say whether a store is asked for; raise `InputError` for options that only the other way takes."""
    if options["out"] is not None and Path(options["out"]).suffix.lower() == SUFFIX:
        others = [name for name in recorded(options) if name != "spectrum"]
        if others:
            raise InputError(
                f"{_spelt(others)} cannot be kept in a store; with --out maps{SUFFIX} these can: --codes, "
                "--latent-maps, --spectrum. Leave --out away for the others, on fewer images."
            )
        return True
    given = [name for name, usual in _DEFAULTS.items() if options[name] != usual]
    if given:
        got = "no --out was given" if options["out"] is None else f"got --out {options['out']}"
        raise InputError(f"{_spelt(given)} goes with a store: --out maps{SUFFIX}; {got}.")
    return False


def _spelt(names: list[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def run_store(options: Namespace) -> dict[str, Any]:
    """Make the store, or go on with it."""
    from tqdm import tqdm

    from imagrad.store.running import Ways, explain_dataset

    device = resolve_device(options["device"])
    network = open_model(options, device)
    fit = fit_of(options, network.image_shape)
    data = _data_of(options, fit.shape if network.image_shape is None else None)
    dataset = data.open(fit.shape)
    for note in dataset.source.notes:
        say(f"note: {note}")
    look_first(network, dataset, device)
    ways = Ways(options["workers"], options["scheduler"], options["strict"], options["retry_missing"])
    with tqdm(total=len(dataset), unit="image", disable=not sys.stderr.isatty()) as bar:

        def progress(done: int, total: int) -> None:
            bar.total, bar.initial = total, bar.initial if bar.n else done  # what was there is not this run's speed
            bar.update(done - bar.n)

        store = explain_dataset(
            network, data, options["out"], _settings_of(options, device), ways=ways, progress=progress
        )
    return _found(store, options)


def _data_of(options: Namespace, shape: tuple[int, int, int] | None) -> DataSource:
    from imagrad.store.job import DataSource

    return DataSource(
        options["data"], data_dir=options["data_dir"], fit=options["fit"], invert=options["invert"], shape=shape
    )


def _settings_of(options: Namespace, device: str) -> StoreSettings:
    from imagrad.store.job import StoreSettings

    chosen: list[int] | None = options["latents"]
    return StoreSettings(
        options["engine"], options["kinks"], options["norm"], None if chosen is None else tuple(chosen),
        options["dtype"], options["certify"], options["seed"], options["codes"], tuple(options["latent_maps"] or ()),
        options["spectrum"], device, options["batch_size"], options["block_size"],
    )  # fmt: skip


def _found(store: Store, options: Namespace) -> dict[str, Any]:
    """Put what is in the store into numbers."""
    facts = {"store": options["out"], "model": str(options["model"] or SHIPPED), "complete": store.is_complete}
    arrays = {name: list(array.shape) for name, array in sorted(store.group.arrays()) if array.ndim > 1}
    return {
        **facts, "images": store.job.images, "done": store.done, "missing": store.missing, "arrays": arrays,
        "summary": store.summary,
    }  # fmt: skip


def describe_store(result: dict[str, Any]) -> str:
    """Put that into words."""
    missing = result["missing"]
    whole = counted(result["images"], "image")
    lines = [f"{result['store']} holds maps of {result['done']} of {whole}, made with {result['model']}"]
    lines += [f"  {name}: {' x '.join(map(str, shape))}" for name, shape in result["arrays"].items()]
    for operation, count in result["summary"]["ties"].items():
        lines.append(f"note: {operation} stood exactly at its kink {count} times")
    if missing:
        lines.append(f"{counted(len(missing), 'image')} could not be read, and {'is' if len(missing) == 1 else 'are'} "
                     "NaN in the maps (--retry-missing tries again):")  # fmt: skip
        lines += [f"  {name}: {reason}" for name, reason in list(missing.items())[:_LISTED]]
        if len(missing) > _LISTED:
            lines.append(f"  ... and {len(missing) - _LISTED} more, in the store's records")
    return "\n".join([*lines, f"look at it: imagrad summarize {result['store']}"])
