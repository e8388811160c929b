"""Start the server, and say where it is."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from imagrad.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from imagrad.explorer.subject import Subject

_PACKAGES = ("fastapi", "uvicorn")
_BACKLOG = 256


@dataclass(frozen=True)
class Address:
    """Where the server listens."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: any that is free."""

    def __post_init__(self) -> None:
        """Refuse a port that cannot be: the system would take another one for it."""
        if not 0 <= self.port <= 65535:
            raise InputError(f"`port` must be from 0 (any that is free) to 65535; got {self.port}.")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def check_installed() -> None:
    """Raise `MissingExtraError` when a package of the extra is not installed."""
    for package in _PACKAGES:
        if find_spec(package) is None:
            raise MissingExtraError(
                f"the explorer needs the package {package}, which is not installed. "
                'Install it with the extra: pip install "imagrad[explorer]".'
            )


def listen(address: Address) -> socket.socket:
    """Take the port; raise `InputError` where it is taken, or where the host is none of this machine's."""
    taken: socket.socket | None = None
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        taken = socket.socket(family, kind, protocol)  # asyncio looks at it: without, each answer waits for 40 ms
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(place)
        taken.listen(_BACKLOG)
    except (OSError, UnicodeError) as error:
        if taken is not None:
            taken.close()
        raise InputError(
            f"cannot listen on {address.host} port {address.port}: {error}. Another --port, or 0 for any that is free."
        ) from error
    return taken


def url_of(taken: socket.socket) -> str:
    """Say where the page is."""
    host, port = taken.getsockname()[:2]
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/"


def serve(subject: Subject, address: Address, taken: socket.socket, ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C; call `ready` with the address of the page just before."""
    import uvicorn

    from imagrad.explorer.about import warm_up
    from imagrad.explorer.app import create_app
    from imagrad.explorer.security import Doors

    names = (
        Doors().names | {address.host.lower()} | (frozenset() if address.is_local else {socket.gethostname().lower()})
    )
    app = create_app(subject, doors=Doors(names, any_address=not address.is_local))
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, proxy_headers=False, timeout_keep_alive=5,
        limit_concurrency=512, timeout_graceful_shutdown=2, h11_max_incomplete_event_size=32 * 1024, ws="none",
    )  # fmt: skip
    threading.Thread(target=warm_up, daemon=True).start()
    ready(url_of(taken))
    uvicorn.Server(config).run(sockets=[taken])
