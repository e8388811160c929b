"""A report as one HTML file: records of what stands on it, and their rendering. Knows nothing of what is reported."""

from __future__ import annotations

import csv
import io
import re
import struct
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, get_args

from jinja2 import Environment, PackageLoader, StrictUndefined

from imagrad.errors import InputError

MediaType = Literal["image/png", "image/svg+xml"]
Verdict = Literal["reproduced", "differs", "not stated", "not measured"]

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""What can come out when a claim of the paper is measured."""

_SIGNS: dict[Verdict, str] = {"reproduced": "✓", "differs": "≠", "not stated": "?", "not measured": "○"}
_PNG = b"\x89PNG\r\n\x1a\n"
_ENDINGS: dict[str, MediaType] = {".png": "image/png", ".svg": "image/svg+xml"}
_ANCHOR = re.compile(r"[a-z][a-z0-9-]*")
_NUMBER = re.compile(r"[-+−±<>≈]?\s*\d[\d,. ]*(e[-+]?\d+)?\s*(%|s|ms|pp)?(\s*±\s*[\d.]+)?")  # noqa: RUF001  # a minus sign too


@dataclass(frozen=True)
class Picture:
    """A figure: a whole PNG file, two of its pixels to one of the screen's, or SVG file, and what it shows in words."""

    content: bytes
    media_type: MediaType
    alt: str
    caption: str
    number: str | None = None

    kind: ClassVar[str] = "picture"

    def __post_init__(self) -> None:
        """Check what was given."""
        if self.media_type not in _ENDINGS.values():
            raise InputError(f"`media_type` must be one of: {', '.join(_ENDINGS.values())}; got {self.media_type!r}.")
        if not self.alt.strip():
            raise InputError(
                f"`alt` must say what the picture shows, for those who do not see it; got nothing for {self.caption!r}."
            )
        is_whole = self.content.startswith(_PNG) if self.media_type == "image/png" else b"<svg" in self.content
        if not is_whole:
            raise InputError(
                f"`content` must be a file of type {self.media_type}; it starts with {self.content[:8]!r}."
            )

    @property
    def anchor(self) -> str | None:
        """The id of the figure on the page."""
        return _anchor("figure", self.number)

    @property
    def source(self) -> str:
        """The file as a data URI."""
        return f"data:{self.media_type};base64,{b64encode(self.content).decode()}"

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height on the screen of a PNG; an SVG says it itself."""
        if self.media_type != "image/png":
            return None
        width, height = struct.unpack(">II", self.content[16:24])  # the first chunk, IHDR
        return width // 2, height // 2


@dataclass(frozen=True)
class Table:
    """A table of texts: the first cell of each row names the row."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    number: str | None = None

    kind: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        """Check what was given."""
        for row in self.rows:
            if len(row) != len(self.header):
                raise InputError(
                    f"each of `rows` must have {len(self.header)} cells, as the header; got {len(row)} in {row!r}."
                )

    @property
    def anchor(self) -> str | None:
        """The id of the table on the page."""
        return _anchor("table", self.number)

    def csv(self) -> str:
        """Return header and rows as comma-separated values."""
        written = io.StringIO()
        csv.writer(written, lineterminator="\n").writerows([self.header, *self.rows])
        return written.getvalue()

    @property
    def alignments(self) -> tuple[str, ...]:
        """For each column "number" where all its cells are numbers, or empty; else "text"."""
        columns = zip(*self.rows, strict=True) if self.rows else ((),) * len(self.header)
        return tuple("number" if all(not c or _NUMBER.fullmatch(c) for c in column) else "text" for column in columns)


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, what was measured, and what came of it."""

    section: str
    quote: str
    measured: str
    verdict: Verdict

    def __post_init__(self) -> None:
        """Check what was given."""
        if self.verdict not in VERDICTS:
            raise InputError(f"`verdict` must be one of: {', '.join(VERDICTS)}; got {self.verdict!r}.")

    @property
    def sign(self) -> str:
        """A sign that tells the verdicts apart without colour."""
        return _SIGNS[self.verdict]


@dataclass(frozen=True)
class ClaimTable:
    """Claims of the paper beside what was measured."""

    caption: str
    claims: tuple[Claim, ...]
    number: str | None = None

    kind: ClassVar[str] = "claims"

    @property
    def anchor(self) -> str | None:
        """The id of the table on the page."""
        return _anchor("table", self.number)


@dataclass(frozen=True)
class Section:
    """A chapter of the page: paragraphs, then what they speak of. `anchor` is its address, page.html#anchor."""

    title: str
    paragraphs: tuple[str, ...]
    items: tuple[Picture | Table | ClaimTable, ...]
    anchor: str

    def __post_init__(self) -> None:
        """Check what was given."""
        if not _ANCHOR.fullmatch(self.anchor):
            raise InputError(
                f"`anchor` must be small letters, digits and hyphens, a letter first; got {self.anchor!r} "
                f"for {self.title!r}."
            )


@dataclass(frozen=True)
class Fact:
    """Where the results come from, one thing: a version, a seed, a fingerprint."""

    name: str
    value: str


@dataclass(frozen=True)
class Report:
    """All that stands on the page. Raises `InputError` where two things have one address."""

    title: str
    subtitle: str
    summary: tuple[str, ...]
    sections: tuple[Section, ...]
    facts: tuple[Fact, ...] = ()

    def __post_init__(self) -> None:
        """Check what was given."""
        items = [item.anchor for section in self.sections for item in section.items if item.anchor is not None]
        taken = Counter([*_OWN_ANCHORS, *(section.anchor for section in self.sections), *items])
        twice = [anchor for anchor, count in taken.items() if count > 1]
        if twice:
            raise InputError(f"each `anchor` and `number` must occur once on a page; twice there: {', '.join(twice)}.")

    @property
    def verdicts(self) -> tuple[tuple[Verdict, int], ...]:
        """How many claims came out in each way that occurs."""
        tables = [item for section in self.sections for item in section.items if isinstance(item, ClaimTable)]
        counted = Counter(claim.verdict for table in tables for claim in table.claims)
        return tuple((verdict, counted[verdict]) for verdict in VERDICTS if counted[verdict])


_OWN_ANCHORS = ("summary", "contents", "facts")


def render(report: Report) -> str:
    """Return the page: HTML that needs no other file, no network and no script, for any screen and for paper."""
    loader = PackageLoader("imagrad.reproduce")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.j2").render(report=report, signs=_SIGNS)


def read_picture(path: Path, *, alt: str, caption: str, number: str | None = None) -> Picture:
    """Read a figure that was saved as .png or .svg."""
    if path.suffix not in _ENDINGS:
        raise InputError(f"`path` must end in {' or '.join(_ENDINGS)}; got {str(path)!r}.")
    return Picture(path.read_bytes(), _ENDINGS[path.suffix], alt, caption, number)


def _anchor(word: str, number: str | None) -> str | None:
    """Return an address such as figure-7; what cannot stand in one becomes a hyphen."""
    return None if number is None else f"{word}-{re.sub(r'[^a-z0-9]+', '-', number.lower())}"
