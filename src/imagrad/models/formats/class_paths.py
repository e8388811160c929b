"""Class paths, "package.module:Encoder": Python code that makes a network. Only ever followed when trusted."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from imagrad.errors import EncoderError, InputError

CODE_OF_A_CLASS = "importing a class runs the code of its module"
UNPICKLING = "unpickling runs whatever code a file names"

_CLASS_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def is_class_path(text: str) -> bool:
    """Say whether a text is a module and, behind a colon, a name in it."""
    return _CLASS_PATH.fullmatch(text) is not None


def instance_of(text: str, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """Import what a class path names, call it with `arguments` where it is a class or a function; return the module.

    Modules are looked for as Python does, and in the current folder first. This runs code.
    Raises `InputError` where there is no such thing, `EncoderError` for what makes no `nn.Module`.
    """
    module, _, name = text.partition(":")
    with importable_from_here():
        found = _found(text, module, name)
        if not isinstance(found, nn.Module):
            found = _called(found, text, arguments or {})
    if not isinstance(found, nn.Module):
        raise EncoderError(
            f"{text} must be a torch.nn.Module, or a class or function that makes one; it is a {type(found).__name__}."
        )
    return found


def _found(text: str, module: str, name: str) -> Any:
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"cannot find {text}: {error}. A class path is package.module:Name, importable from the current folder."
        ) from error
    except Exception as error:  # whatever the module's own code raises
        raise InputError(f"cannot import {module}: its code raised {type(error).__name__}: {error}") from error
    return found


@contextmanager
def importable_from_here() -> Generator[None]:
    """Let modules of the current folder be imported, as `python -m` does."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _called(factory: Any, text: str, arguments: Mapping[str, Any]) -> Any:
    try:
        return factory(**arguments)
    except TypeError as error:
        raise InputError(
            f"{text} could not be called with {dict(arguments) or 'no arguments'}: {error}. Name a function without "
            'arguments that makes the network, or give "arguments" in the config beside its weights.'
        ) from error
    except Exception as error:  # whatever its own code raises
        raise InputError(f"cannot make {text}: its code raised {type(error).__name__}: {error}") from error
