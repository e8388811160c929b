"""Who may talk to the server, how much, and how fast: everything that is decided before a request is understood."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagrad.explorer.limits import Limits

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
_WITH_BODY = ("POST", "PUT", "PATCH")
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Refusal(Exception):
    """A request that is refused: its status, and why in a sentence."""

    def __init__(self, status: int, error: str, retry_after: int | None = None) -> None:
        """Say why; `retry_after` is in seconds."""
        super().__init__(error)
        self.status, self.error, self.retry_after = status, error, retry_after


@dataclass(frozen=True)
class Doors:
    """The names under which the server may be asked for.

    A page of another site can make a browser send requests here under a name of its own that it points at this
    machine (DNS rebinding); so names are checked, and only numbers, which nobody can point elsewhere, are free.
    """

    names: frozenset[str] = _LOCAL_NAMES
    any_address: bool = False
    """Whether any IP address is right as well: where the server listens on more than this machine's own."""

    def is_right(self, host: str) -> bool:
        """Say whether a Host header, "name:port", is one of this server's."""
        name = _name_of(host)
        return name in self.names or (self.any_address and _is_address(name))


def _name_of(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@dataclass
class Rates:
    """A token bucket for each client; of many clients those that were seen last are remembered."""

    limits: Limits
    clock: Callable[[], float] = time.monotonic
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict[str, tuple[float, float]])

    def admit(self, client: str) -> None:
        """Take a token; raise `Refusal` (429) where there is none."""
        now = self.clock()
        tokens, then = self._buckets.pop(client, (self.limits.burst, now))
        tokens = min(self.limits.burst, tokens + (now - then) * self.limits.a_second)
        self._buckets[client] = (max(0.0, tokens - 1), now)
        while len(self._buckets) > self.limits.clients:
            self._buckets.popitem(last=False)
        if tokens < 1:
            raise Refusal(429, f"at most {self.limits.a_second:g} requests a second are answered; wait a second.", 1)


class Guard:
    """An ASGI application around another: lets through what may pass, with its whole body, and adds the headers."""

    def __init__(self, app: ASGIApp, doors: Doors, limits: Limits, uploads: Iterable[str] = ()) -> None:
        """Guard `app`; the paths `uploads` take picture files, which may be larger."""
        self._app, self._doors, self._limits = app, doors, limits
        self._uploads = frozenset(uploads)
        self._rates = Rates(limits)
        self._open = 0
        self._large = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        self._open += 1
        try:
            self._check(scope)
            body = await self._body(scope, receive)
        except Refusal as refusal:
            await _refuse(refusal, send)
            return
        else:
            await self._app(scope, _replay(body, receive), _with_headers(send))
        finally:
            self._open -= 1

    def _check(self, scope: Scope) -> None:
        """Raise `Refusal` for a wrong Host or Origin, and for too much at a time."""
        hosts = _headers(scope, b"host")
        if len(hosts) != 1 or not self._doors.is_right(hosts[0]):
            raise Refusal(421, "this server answers under the address that it was started with, and no other.")
        for origin in _headers(scope, b"origin"):
            if _origin_host(origin) != hosts[0].lower():
                raise Refusal(403, "requests from pages of other sites are not answered.")
        if "cross-site" in _headers(scope, b"sec-fetch-site") and scope["path"] != "/":
            raise Refusal(403, "requests from pages of other sites are not answered.")
        client = scope.get("client")
        self._rates.admit(client[0] if client else "")
        if self._open > self._limits.open_requests:
            raise Refusal(503, "too many requests are under way; try again in a second.", 1)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """Read the body, of a bounded size in a bounded time; raise `Refusal` for more."""
        if scope["method"] not in _WITH_BODY:
            return b""
        most = self._limits.upload_bytes if scope["path"] in self._uploads else self._limits.body_bytes
        declared = _headers(scope, b"content-length")
        if declared and declared[0].isdigit() and int(declared[0]) > most:
            raise _too_large(most)
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                return await self._read(receive, most)
        except TimeoutError as error:
            seconds = f"{self._limits.body_seconds:g}"
            raise Refusal(408, f"a request must arrive within {seconds} seconds; this one did not.") from error

    async def _read(self, receive: Receive, most: int) -> bytes:
        body, is_large = bytearray(), False
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(400, "the request ended before its body did.")
                body += message.get("body", b"")
                if len(body) > most:
                    raise _too_large(most)
                if len(body) > self._limits.small_body and not is_large:
                    if self._large >= self._limits.large_bodies:
                        raise Refusal(503, "too many large requests are under way; try again in a second.", 1)
                    is_large, self._large = True, self._large + 1
                if not message.get("more_body", False):
                    return bytes(body)
        finally:
            self._large -= is_large


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"a request may have {most:,} bytes; this one has more. Send a smaller image.")


def _headers(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _origin_host(origin: str) -> str | None:
    """Return the "name:port" of an Origin; None for "null" and what is no origin of a page."""
    scheme, _, host = origin.partition("://")
    return host.lower() if scheme in ("http", "https") else None


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the application the body that was read already, then what comes after it."""
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _with_headers(send: Send) -> Send:
    async def send_more(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {key.lower() for key, _ in message.get("headers", [])}
            more = [(key.encode(), text.encode()) for key, text in HEADERS.items() if key.encode() not in own]
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await send(message)

    return send_more


async def _refuse(refusal: Refusal, send: Send) -> None:
    """Answer with a status and a sentence."""
    body = json.dumps({"error": refusal.error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refusal.retry_after is not None:
        headers.append((b"retry-after", str(refusal.retry_after).encode()))
    if refusal.status in (408, 413):
        headers.append((b"connection", b"close"))  # what is left of the body is not read
    sending = _with_headers(send)
    await sending({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await sending({"type": "http.response.body", "body": body})
