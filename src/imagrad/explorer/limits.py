"""What one server does at most, so that no client can make it grow: sizes, rates, and how much waits at a time."""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTE = 2**20


@dataclass(frozen=True)
class Limits:
    """Every limit of the server; what is above one is refused by a status that says so, and by a sentence."""

    body_bytes: int = 2 * MEGABYTE
    """Of a request about an image, 413 above; room for 3 x 512 x 512 pixels."""
    upload_bytes: int = 12 * MEGABYTE
    """Of a picture file, 413 above."""
    upload_pixels: int = 4096 * 4096
    """Of a picture file, read from its header before anything is decoded; 422 above."""
    image_numbers: int = 3 * 512 * 512
    """Channels times height times width of an image that can be explored at all."""
    body_seconds: float = 10.0
    """That a request may take to arrive, 408 above."""
    large_bodies: int = 4
    """Bodies of more than `small_body` that may arrive at a time, 503 above."""
    small_body: int = 64 * 1024
    open_requests: int = 128
    """Requests under way at a time, 503 above."""
    waiting: int = 64
    """Computations that wait for their turn, 503 above."""
    a_second: float = 200.0
    """Requests of one client, 429 above; drawing makes some 40."""
    burst: float = 400.0
    """Requests of one client that may come at once."""
    clients: int = 1024
    """Clients whose rates are remembered."""
    gallery_numbers: int = 2**19
    """Numbers of all the images of the data set in one answer."""
    remembered_maps: int = 64
    """Maps kept, so that a slider does not compute its map anew."""
