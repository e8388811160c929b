"""The files of the page, read once: what is served is a table, and no path comes from a client."""

from __future__ import annotations

from importlib.resources import files

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain; charset=utf-8",
}


def page_files() -> dict[str, tuple[bytes, str]]:
    """Return content and type by path: "/" and "/page/...", vendored files with their licences among them."""
    folder = files("imagrad.explorer") / "page"
    found: dict[str, tuple[bytes, str]] = {}
    for place, parent in (("", folder), ("vendor/", folder / "vendor")):
        for file in parent.iterdir():
            kind = next((kind for suffix, kind in _KINDS.items() if file.name.endswith(suffix)), None)
            if kind is not None:
                found[f"/page/{place}{file.name}"] = (file.read_bytes(), kind)
    return {"/": found.pop("/page/index.html"), **found}
