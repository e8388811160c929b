"""What a format is: how a file of it is recognised, whether opening one runs code, and what it opens to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from imagrad.errors import InputError, MissingDataError, UntrustedCodeError
from imagrad.models.parts import Autoencoding
from imagrad.registry import Registry


@dataclass(frozen=True)
class NetworkSource:
    """Where a network is and which of its tensors is the code; plain values, so that any process can open it."""

    path: str | None = None
    """A run folder, a file, or a class path such as "package.module:Encoder"; None: the network that ships here."""
    latent: str | None = None
    """The inner tensor that is the code, by its name; None: what the network returns."""
    class_path: str | None = None
    """What the weights of a file belong to, where the file does not say: a class path."""
    trust: bool = False
    """Whether code that comes with the network may run."""

    @property
    def shown(self) -> str:
        """What a reader is told that it is."""
        return "the network that ships with imagrad" if self.path is None else self.path


@dataclass(frozen=True)
class Layer:
    """An inner tensor that can be the code."""

    name: str
    """What `latent` takes."""
    kind: str
    """What makes it: the class of a module, an operation."""
    shape: tuple[int | None, ...] | None
    """Of one image; None where the file does not say."""


@dataclass(frozen=True)
class Opened:
    """What a file was opened to."""

    module: nn.Module
    """Maps a batch of images to codes, or to several things."""
    sha256: str
    """Of the file; of a class path, of the weights that it made."""
    input_shape: tuple[int | None, ...] | None = None
    """Of one image, as the network wants it; None where it does not say."""
    batch: int | None = None
    """The only number of images that it takes; None where it takes any."""
    autoencoder: Autoencoding | None = None
    """The whole autoencoder, where the network is the encoder of one."""
    is_cut: bool = False
    """Whether `latent` has been seen to already."""
    notes: tuple[str, ...] = ()
    """What a user should know, one sentence each."""


@dataclass(frozen=True)
class Format:
    """A kind of file."""

    summary: str
    claims: Callable[[str], bool]
    """Whether a path is of this kind."""
    open: Callable[[NetworkSource], Opened]
    runs_code: str | None
    """Why opening it runs code that comes with it; None where it does not."""
    layers: Callable[[NetworkSource], tuple[Layer, ...]] | None = None
    """Lists the inner tensors from the file alone; None where the network has to be run for that."""
    takes_class: bool = False
    """Whether it is weights, which a class path may say the network of."""


FORMATS: Registry[Format] = Registry("format")


def register_format(
    name: str, claims: Callable[[str], bool], runs_code: str | None = None,
    layers: Callable[[NetworkSource], tuple[Layer, ...]] | None = None, takes_class: bool = False,
) -> Callable[[Callable[[NetworkSource], Opened]], Callable[[NetworkSource], Opened]]:  # fmt: skip
    """Return a decorator that files a function as a format, under the first line of its docstring."""

    def add(function: Callable[[NetworkSource], Opened]) -> Callable[[NetworkSource], Opened]:
        summary = (function.__doc__ or "").partition("\n")[0]
        FORMATS.register(name)(Format(summary, claims, function, runs_code, layers, takes_class))
        return function

    return add


def has_suffix(*suffixes: str) -> Callable[[str], bool]:
    """Return the test whether a path ends in one of these."""
    return lambda path: Path(path).suffix.lower() in suffixes


def format_of(source: NetworkSource) -> Format:
    """Return the format of a source.

    Raises `MissingDataError` when there is nothing, `InputError` for a file of no known kind, `UntrustedCodeError`
    when opening it would run code that nobody said may run.
    """
    claiming = (
        [FORMATS["run folder"]]
        if source.path is None
        else [FORMATS[name] for name in FORMATS if FORMATS[name].claims(source.path)]
    )
    if not claiming and not Path(str(source.path)).exists():
        raise MissingDataError(
            f"there is no network at {source.path}: neither a run folder, nor a file, nor a class path such as "
            "package.module:Encoder."
        )
    if not claiming:
        raise InputError(
            f"{source.path} is no file that a network is read from; the kinds that are: {', '.join(FORMATS)}. "
            "imagrad list formats says more."
        )
    if source.class_path is not None and not claiming[0].takes_class:
        raise InputError(
            f"a class (--class {source.class_path}) says what the weights of a file belong to; {source.shown} is "
            "no file of weights alone. Leave --class out."
        )
    check_trust(source, claiming[0].runs_code)
    return claiming[0]


def check_trust(source: NetworkSource, reason: str | None) -> None:
    """Raise `UntrustedCodeError` for a reason to think that code would run, unless that is allowed."""
    if reason is not None and not source.trust:
        raise UntrustedCodeError(
            f"{source.shown} is not opened without --trust (trust=True): {reason}. Give it if you know where the file "
            "comes from; safetensors, state dicts and ONNX files run no code."
        )


def existing(source: NetworkSource) -> Path:
    """Return the file of a source; raise `MissingDataError` where there is none."""
    path = Path(str(source.path))
    if not path.is_file():
        raise MissingDataError(f"there is no file {path}. Name a file that holds a network (imagrad list formats).")
    return path


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
