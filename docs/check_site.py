"""Look at the finished site: python docs/check_site.py build/site.

Every link inside the site leads somewhere, no page fetches anything from elsewhere, every public name has its entry.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {"src", "srcset", "data", "poster"}  # attributes whose address a browser fetches by itself
FETCHED_LINKS = {"link", "image", "use"}  # elements whose href it fetches, where that of <a> waits for a click
INTERFACE = "reference/api.html"


class Page(HTMLParser):
    """What a page links to, fetches and offers as targets of links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)
        self.fetched += addresses_in_style("\n".join(re.findall(r"<style[^>]*>(.*?)</style>", text, re.DOTALL)))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one element."""
        for name, value in attrs:
            if not value:
                continue
            if name in ("id", "name"):
                self.ids.add(value)
            if name == "style":
                self.fetched += addresses_in_style(value)
            if name in FETCHED or (name.endswith("href") and tag in FETCHED_LINKS):
                self.fetched.append(value)
            elif name == "href" and tag == "a":
                self.links.append(value)


def addresses_in_style(text: str) -> list[str]:
    """List what a style sheet fetches."""
    return re.findall(r"""(?:url\(|@import )\s*["']?([^"')\s;]+)""", text)


def is_elsewhere(address: str) -> bool:
    """Whether an address is neither of this site nor held in the page itself."""
    parts = urlsplit(address)
    return parts.scheme not in ("", "data") or bool(parts.netloc)


def faults_of(site: Path, names: list[str]) -> list[str]:
    """List what is wrong with the site; `names` are those that the page of the Python interface must have."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = [f"{site} holds no page"] if not pages else []
    for path, page in pages.items():
        found += [
            f"{path.relative_to(site)} fetches {address}" for address in page.fetched if is_elsewhere(address.strip())
        ]
        for link in [*page.links, *page.fetched]:
            if not is_elsewhere(link):
                found += fault_of_link(site, path, link, pages)
    for sheet in sorted(site.rglob("*.css")):
        elsewhere = filter(is_elsewhere, addresses_in_style(sheet.read_text(encoding="utf-8")))
        found += [f"{sheet.relative_to(site)} fetches {address}" for address in elsewhere]
    interface = pages.get(site / INTERFACE)
    known: set[str] = interface.ids if interface else set()
    known = known | {name.removeprefix("module-") for name in known}
    return found + [f"{INTERFACE} has no entry for {name}" for name in names if f"imagrad.{name}" not in known]


def fault_of_link(site: Path, path: Path, link: str, pages: dict[Path, Page]) -> list[str]:
    """Say what is wrong with a link inside the site, if anything is."""
    parts = urlsplit(link)
    if parts.scheme == "data":
        return []
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    name = f"{path.relative_to(site)} links to {link}"
    if not target.is_relative_to(site) or not target.exists():
        return [f"{name}, which is not there"]
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
        return [f"{name}: that page has no such place"]
    return []


def main(folder: str) -> None:
    """Exit with what is wrong, if anything is."""
    import imagrad

    site = Path(folder).resolve()
    found = faults_of(site, [*imagrad.__all__, *(f"complexstep.{name}" for name in imagrad.complexstep.__all__)])
    if found:
        sys.exit("\n".join(found))
    print(f"{len(list(site.rglob('*.html')))} pages: all links lead somewhere, nothing is fetched from elsewhere")


if __name__ == "__main__":
    main(*sys.argv[1:])
