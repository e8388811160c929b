"""An event loop of one's own."""

import asyncio
from concurrent.futures import ThreadPoolExecutor


def done(coroutine):
    """Run it on a thread of its own: on this one the browser's tests may have left a running event loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
