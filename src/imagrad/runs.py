"""The run folder: what one command made, with its cause; every file is written atomically."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from imagrad.errors import CorruptDataError, RunFolderError, StorageError

CONFIG = "config.json"
ENVIRONMENT = "environment.json"
METRICS = "metrics.json"
WEIGHTS = "weights.safetensors"
FORMAT = "imagrad-run-1"
_PARTIAL = ".partial"  # a file still being written; what a killed process leaves behind
_REPORTED_PACKAGES = ("imagrad", "torch", "numpy", "lightning-fabric", "safetensors", "matplotlib", "scikit-learn")


# --- folders ---


def create(path: Path, config: Mapping[str, Any]) -> Path:
    """Make the run folder `path` and write its resolved `config`; raise what `refuse_used` raises."""
    refuse_used(path)
    write_json(path / CONFIG, {"format": FORMAT, **config})
    write_json(path / ENVIRONMENT, environment())
    return path


def refuse_used(path: Path, but: Sequence[str] = ()) -> None:
    """Raise `RunFolderError` when `path` exists and is not empty: nothing is ever overwritten.

    Entries named in `but` may be there: what a killed command can go on with.
    """
    if path.exists() and (not path.is_dir() or any(_is_used(entry, but) for entry in path.iterdir())):
        raise RunFolderError(
            f"`out` must be a new or an empty folder; {path} exists and is not empty. "
            "Choose another name, delete it, or go on with it where the command has --resume."
        )
    remove_leftovers(path)


def _is_used(entry: Path, but: Sequence[str]) -> bool:
    return entry.suffix != _PARTIAL and entry.name not in but


def read_config(path: Path) -> dict[str, Any]:
    """Read the config of the run folder `path`; raise `RunFolderError` when it is not one."""
    if not path.is_dir():
        what = "a file" if path.exists() else "nothing"
        raise RunFolderError(f"expected a run folder, found {what} at {path}. `imagrad train --out {path}` makes one.")
    if not (path / CONFIG).is_file():
        raise RunFolderError(f"{path} is not a run folder: it has no {CONFIG}. `imagrad train` makes run folders.")
    config = read_json(path / CONFIG)
    if config.get("format") != FORMAT:
        raise RunFolderError(
            f'{path / CONFIG} must have "format": "{FORMAT}"; got {config.get("format")!r}. '
            "It was made by another program or another version of imagrad."
        )
    return config


def next_free(parent: Path, stem: str) -> Path:
    """Return `parent`/`stem`-001, or the first of -002, -003, ... that does not exist."""
    number = 1
    while (parent / f"{stem}-{number:03d}").exists():
        number += 1
    return parent / f"{stem}-{number:03d}"


def remove_leftovers(path: Path) -> None:
    """Delete the half-written files that a killed process left in the folder."""
    for leftover in path.glob(f".*{_PARTIAL}"):
        leftover.unlink(missing_ok=True)


def environment() -> dict[str, Any]:
    """Describe what the result was made with: versions, machine, command line."""
    versions = {name: metadata.version(name) for name in _REPORTED_PACKAGES}
    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "versions": versions,
    }


def hash_cause(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what decides a network: its sizes, its data, its training but for the number of epochs."""
    training = {name: value for name, value in config.get("training", {}).items() if name != "epochs"}
    cause = {"network": config.get("network"), "data": config.get("data"), "training": training}
    return hashlib.sha256(json.dumps(cause, sort_keys=True).encode()).hexdigest()


# --- files ---


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` so that `path` holds either all of it or what it held before, whatever happens.

    Raises `StorageError` when it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}{_PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}. What was saved before is untouched; "
            "make room or choose a folder that can be written to, and run the command again."
        ) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as indented JSON, atomically."""
    write_atomically(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raise `CorruptDataError` when the file holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptDataError(f"cannot read {path} as JSON: {error}") from error
    if not isinstance(content, dict):
        raise CorruptDataError(f"{path} must hold a JSON object; it holds a {type(content).__name__}.")
    return content


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
    """Write named tensors with their `facts` (JSON in the header) and their hash, as one safetensors file."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {"sha256": hash_tensors(plain), "facts": dict(facts)}
    # one entry: safetensors writes several in an order that changes from process to process
    write_atomically(path, safetensors.torch.save(plain, {"imagrad": json.dumps(header)}))


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote: the tensors and the facts.

    Raises `CorruptDataError` when the file is missing, damaged, or its tensors do not have the hash in its header.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:  # type: ignore[no-untyped-call]
            header = json.loads((file.metadata() or {}).get("imagrad", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise CorruptDataError(f"cannot read {path} as safetensors: {error}") from error
    if "sha256" not in header:
        raise CorruptDataError(f"{path} must have been written by imagrad, with a hash in its header; it has none.")
    expected, found = header["sha256"], hash_tensors(tensors)
    if expected != found:
        raise CorruptDataError(
            f"the tensors of {path} must have the sha256 {expected}, which is in its header; they have {found}. "
            "The file was changed after imagrad wrote it."
        )
    return tensors, header["facts"]


def hash_tensors(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
