"""One kind of registry for everything that has a name: rules, corruptions, data sets, losses, ..."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from imagrad.errors import UnknownNameError

Entry = TypeVar("Entry")
Registered = TypeVar("Registered")

REGISTRIES: dict[str, Registry[Any]] = {}
"""Every registry by its plural name, e.g. "corruptions": what `imagrad list` shows."""


class Registry(Mapping[str, Entry], Generic[Entry]):
    """A dict of named entries, filled by a decorator where each entry is defined.

    >>> shapes = Registry("shape", listed=False)
    >>> @shapes.register("square")
    ... def square(side):
    ...     "Draw a square."
    >>> list(shapes)
    ['square']
    """

    def __init__(self, kind: str, *, listed: bool = True) -> None:
        """Make an empty registry of `kind` (singular); a `listed` one is shown by `imagrad list`."""
        self.kind = kind
        self._entries: dict[str, Entry] = {}
        if listed:
            REGISTRIES[f"{kind}s"] = self

    def register(self, name: str) -> Callable[[Registered], Registered]:
        """Return a decorator that files what it decorates under `name`; a name is given once."""

        def add(entry: Registered) -> Registered:
            if name in self._entries:
                raise ValueError(f"the {self.kind} {name!r} is registered twice: {self._entries[name]!r} and {entry!r}")
            self._entries[name] = entry  # type: ignore[assignment]  # a decorator returns what it was given
            return entry

        return add

    def __getitem__(self, name: str) -> Entry:
        """Return the entry of that name; raise `UnknownNameError`, listing the known ones, if there is none."""
        if name in self._entries:
            return self._entries[name]
        raise UnknownNameError(self.unknown(name))

    def __iter__(self) -> Iterator[str]:
        """Go through the names in alphabetical order."""
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        """Say whether the name is known, without raising."""
        return name in self._entries

    def unknown(self, name: str) -> str:
        """Say that `name` is not known, which names are, and which one may have been meant."""
        close = difflib.get_close_matches(name, self._entries, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return f"unknown {self.kind} {name!r}; known: {', '.join(self) or 'none'}.{hint}"

    def summaries(self) -> dict[str, str]:
        """Return what each entry says of itself, by name: its `summary`, or the first line of its docstring."""
        return {name: _summary(self[name]) for name in self}


def _summary(entry: Any) -> str:
    return getattr(entry, "summary", None) or (inspect.getdoc(entry) or "").split("\n", 1)[0]
