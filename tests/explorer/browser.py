"""A real Chromium without a window, that writes down whatever a page asks for or complains about."""

import os
import shutil
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


def needed():
    """Return the path of Chromium; skip by name where it or playwright is missing, which CI does not allow."""
    found = os.environ.get("IMAGRAD_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        found, message = None, "the tests of the page need the Python package playwright"
    else:
        message = "the tests of the page need Chromium: apt-get install chromium, or name it in $IMAGRAD_CHROMIUM"
    if found is None:
        (pytest.fail if os.environ.get("IMAGRAD_REQUIRE_MNIST") else pytest.skip)(message)
    return found


@dataclass
class Watched:
    """What a page asked for, and what it complained about."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self, page):
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def strangers(self, url):
        """List the requests that left the server."""
        allowed = urlsplit(url).netloc
        return [
            one
            for one in self.requests
            if urlsplit(one).scheme not in ("data", "blob") and urlsplit(one).netloc != allowed
        ]


def settled(page):
    """Wait until everything that was asked is answered and drawn."""
    page.wait_for_selector("#map-a path", state="attached")
    page.wait_for_selector("main[aria-busy=false]")
    page.wait_for_selector("#trust >> text=Certificate: Passed")


def shapes(page, what="#map-a"):
    return page.locator(what).inner_html()


def changes(page, before, what="#map-a"):
    """Wait until something is drawn anew."""
    for _ in range(200):
        if (after := shapes(page, what)) != before:
            return after
        page.wait_for_timeout(20)
    raise AssertionError(f"{what} was not drawn anew")


def stroke(page, points, lift=True):
    box = page.locator("#picture").bounding_box()
    x, y = points[0]
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.mouse.down()
    for x, y in points[1:]:
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
    if lift:
        page.mouse.up()


def bars(page, what="#code"):
    return [button.get_attribute("aria-label") for button in page.locator(f"{what} button").all()]
