"""The line to a worker: what is said comes whole, and an end of the line is noticed."""

from __future__ import annotations

import asyncio
import struct
import threading

import pytest

from apps.serving.line import Line, WorkerEnd

LONG = list(range(1_000_000))
"""Far more than a socket holds."""


def test_long_and_short_come_whole_both_ways():
    """Catches an answer that is taken for whole after its first piece, and one that keeps some of the one before."""

    def echo() -> None:
        end = WorkerEnd(line.theirs)
        for _ in range(4):
            end.say(end.hear())

    async def story() -> list[object]:
        return [await line.ask(what) for what in ("a", LONG, None, "b")]

    line = Line()
    worker = threading.Thread(target=echo)
    worker.start()
    assert asyncio.run(story()) == ["a", LONG, None, "b"]
    worker.join()
    line.theirs.close()
    line.close()


@pytest.mark.parametrize("said", [b"", b"\0\0", struct.pack("!Q", 100) + b"half"])
def test_an_end_in_the_middle_is_an_end(said):
    """Catches a service that waits for ever for a worker that died while it spoke, and the other way round."""
    line = Line()
    line.theirs.sendall(said)
    line.theirs.close()
    with pytest.raises(EOFError):
        asyncio.run(line.hear())
    line.close()
    line = Line()
    line._end.sendall(said)
    line.close()
    with pytest.raises(EOFError):
        WorkerEnd(line.theirs).hear()
    line.theirs.close()


def test_the_event_loop_goes_on_while_half_an_answer_is_there():
    """Catches a line that reads on, blocking, once something has come: one stuck worker would stop the service."""

    async def story() -> None:
        line.theirs.sendall(struct.pack("!Q", 100) + b"half")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await line.hear()

    line = Line()
    asyncio.run(story())
    line.theirs.close()
    line.close()
