"""Weights without code: run folders, safetensors and state dicts, with a config that names a registered network."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from imagrad import runs
from imagrad.errors import CorruptDataError, InputError, MissingDataError, RunFolderError
from imagrad.models.autoencoders import NETWORKS, Autoencoder, build, config_from_dict
from imagrad.models.formats.class_paths import (
    CODE_OF_A_CLASS,
    UNPICKLING,
    importable_from_here,
    instance_of,
    is_class_path,
)
from imagrad.models.formats.contract import (
    NetworkSource,
    Opened,
    check_trust,
    existing,
    has_suffix,
    hash_file,
    register_format,
)
from imagrad.models.saved import load

_TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
_TOLD = 3  # names of weights in an error
_NESTED = ("state_dict", "model_state_dict", "model")  # where trainers keep the weights in their checkpoints


@register_format("run folder", lambda path: Path(path).is_dir())
def open_run_folder(source: NetworkSource) -> Opened:
    """Open a folder that `imagrad train` made; its config names a registered network."""
    path = None if source.path is None else Path(source.path)
    if path is not None and _class_of(path) is not None:
        return _with_weights(replace(source, path=str(path / runs.WEIGHTS)))
    return _of_ours(load(path))


@register_format("safetensors", has_suffix(".safetensors"), takes_class=True)
def open_safetensors(source: NetworkSource) -> Opened:
    """Open weights in a .safetensors file, with a config beside it (NAME.json or config.json)."""
    return _with_weights(source)


def is_state_dict_file(path: str) -> bool:
    """Say whether it looks like a file of `torch.save`, and holds no TorchScript or exported program."""
    return Path(path).suffix.lower() in _TORCH_SUFFIXES and not is_torchscript(path)


def is_torchscript(path: str) -> bool:
    """Say whether a file is an archive with the code of a TorchScript module."""
    if not Path(path).is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


@register_format("state dict", is_state_dict_file, takes_class=True)
def open_state_dict(source: NetworkSource) -> Opened:
    """Open weights in a .pt, .pth, .bin or .ckpt file of torch.save, with a config beside it or --class."""
    content = _unpickled(source)
    if isinstance(content, nn.Module):
        return Opened(content, hash_file(Path(str(source.path))))
    return _with_weights(source, content)


def _unpickled(source: NetworkSource) -> Any:
    """Read what `torch.save` wrote: tensors alone, or with `trust` anything."""
    path = existing(source)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        check_trust(source, f"it holds more than tensors, or is damaged: {UNPICKLING}")
        try:
            with importable_from_here():
                return torch.load(path, map_location="cpu", weights_only=False)
        except Exception as inner:  # unpickling raises whatever the pickled code raises
            raise CorruptDataError(f"cannot read {path}: {type(inner).__name__}: {inner}") from inner
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        raise CorruptDataError(f"cannot read {path} as a file of torch.save: {error}") from error


def _with_weights(source: NetworkSource, content: Any = None) -> Opened:
    """Build the network that the weights belong to, and give it these."""
    path = Path(str(source.path))
    tensors = _tensors(existing(source)) if content is None else _state_of(content, path)
    if source.class_path is not None:
        check_trust(source, CODE_OF_A_CLASS)
        return _loaded(instance_of(source.class_path), tensors, path)
    config = _config_beside(path)
    name = _class_named(config)
    if name is not None:
        check_trust(source, f"its config names a class, {name}, and {CODE_OF_A_CLASS}")
        arguments = config.get("arguments", {})
        if not isinstance(arguments, dict):
            raise InputError(f'"arguments" in the config of {path} must be a JSON object; got {arguments!r}.')
        return _loaded(instance_of(name, arguments), tensors, path)
    autoencoder = build(config_from_dict(config.get("network", config)), seed=0)
    return _of_ours(_loaded(autoencoder, tensors, path).module)


def _of_ours(module: nn.Module) -> Opened:
    assert isinstance(module, Autoencoder)
    return Opened(
        module.eval().requires_grad_(False),
        runs.hash_tensors(module.state_dict()),
        module.config.image_shape,
        autoencoder=module,
    )


def _loaded(module: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> Opened:
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise InputError(
            f"the weights of {path} are not those of {type(module).__name__}: {_mismatch(module, tensors)}."
        ) from error
    return Opened(module.eval(), hash_file(path))


def _mismatch(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> str:
    """Say how weights differ from those of a module: what it lacks, what it does not know, what has another shape."""
    wanted = module.state_dict()
    both = [name for name in wanted if name in tensors and wanted[name].shape != tensors[name].shape]
    found = [
        ("missing", [name for name in wanted if name not in tensors]),
        ("not known to it", [name for name in tensors if name not in wanted]),
        ("of other shapes", [f"{name} {tuple(tensors[name].shape)} for {tuple(wanted[name].shape)}" for name in both]),
    ]
    told = [f"{len(names)} {what} ({_some(names)})" for what, names in found if names]
    prefixes = {name.partition(".")[0] for name in tensors if name not in wanted}
    for prefix in prefixes if len(prefixes) == 1 else ():
        if all(name.removeprefix(f"{prefix}.") in wanted for name in tensors):
            told.append(f"they are all called {prefix}.NAME, as by a trainer: save those of the network inside it")
    return "; ".join(told)


def _some(names: list[str]) -> str:
    return ", ".join(names[:_TOLD]) + (", ..." if len(names) > _TOLD else "")


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise CorruptDataError(f"cannot read {path} as safetensors: {error}") from error


def _state_of(content: Any, path: Path) -> dict[str, torch.Tensor]:
    """Find the weights in what was read: a state dict, or a checkpoint with one in it."""
    for name in ("", *_NESTED):
        found = content.get(name) if name and isinstance(content, Mapping) else content if not name else None
        if isinstance(found, Mapping) and found and all(isinstance(x, torch.Tensor) for x in found.values()):
            return dict(found)
    raise InputError(
        f"{path} must hold a state dict (names and tensors), by itself or under one of {', '.join(_NESTED)}; it holds "
        f"{_described(content)}. Save one: torch.save(network.state_dict(), ...)."
    )


def _described(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"a mapping with the keys {', '.join(repr(key) for key in list(content)[:8])}"
    return f"a {type(content).__name__}"


# --- what the weights belong to ---


def _config_beside(path: Path) -> dict[str, Any]:
    """Read the config that belongs to a file of weights; raise `MissingDataError`, saying what it would hold."""
    for candidate in (path.with_suffix(".json"), path.with_name(runs.CONFIG)):
        if candidate.is_file():
            return runs.read_json(candidate)
    raise MissingDataError(
        f"{path.name} holds weights alone. Say what they belong to: in {path.with_suffix('.json').name} beside it, "
        '{"network": {"network": "dense", "image_shape": [1, 28, 28], "hidden": [128], "latents": 32}} for one of '
        f'{", ".join(NETWORKS)}; or by the class of your own network, --class "package.module:Encoder" --trust.'
    )


def _class_of(folder: Path) -> str | None:
    """Return the class path in the config of a run folder; None for a registered network."""
    if not (folder / runs.CONFIG).is_file():
        return None
    config = runs.read_json(folder / runs.CONFIG)
    name = _class_named(config)
    if name is not None and not (folder / runs.WEIGHTS).is_file():
        raise RunFolderError(f"{folder} has no {runs.WEIGHTS}.")
    return name


def _class_named(config: Mapping[str, Any]) -> str | None:
    """Return the class path that a config names in place of a registered network: by "network", or in it."""
    named: Any = config.get("network")
    inner: Any = named.get("network") if isinstance(named, Mapping) else named
    return inner if isinstance(inner, str) and is_class_path(inner) else None
