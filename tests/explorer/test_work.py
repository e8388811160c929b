"""The queue: bounded, in turn, and free again when the work is done."""

import asyncio
import threading

import pytest

from imagrad.explorer.work import Bench, BusyError

from .loops import done


def test_what_waits_is_bounded_and_the_place_is_free_when_the_work_is_done():
    bench, gate = Bench("test", 2), threading.Event()

    async def scene():
        under_way = [asyncio.create_task(bench.run(gate.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await bench.run(int)
        under_way[0].cancel()  # who asked is gone; the work is not
        await asyncio.sleep(0.01)
        assert bench.waiting == 2
        gate.set()
        assert await under_way[1] is True
        await asyncio.sleep(0.01)
        assert bench.waiting == 0
        assert await bench.run(int, "7") == 7

    done(scene())
    bench.close()


def test_errors_come_back_and_free_the_place():
    bench = Bench("test", 1)

    async def scene():
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await bench.run(divmod, 1, 0)
            await asyncio.sleep(0.01)

    done(scene())
    bench.close()
