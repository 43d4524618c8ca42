"""Live sound over a WebSocket: what arrives goes into a pipe, as if it were the standard input of `script.py live`.

    client --bytes--> pipe --> audio.hearing --> model.Live --rows--> client

Each stream has a thread that listens and one that fills the pipe. A client that does not read its rows is not listened
to any further, and one that sends faster than we hear waits: nothing piles up.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketState

from audio.errors import AudioError
from audio.hearing import RawFormat, heard
from audio.reading import Samples
from audio.segments import SAMPLE_RATE
from model import Detector, Live
from model.judging.detector import SCHEMA_VERSION
from model.judging.live import final_row, provisional_row

CONTAINER = "container"
"""The format of a stream that has a header, such as WebM from a browser or an MP3."""

END = "end"
"""The text message that ends the sound; closing the connection gives no last row."""

UPDATE_SAMPLES = SAMPLE_RATE // 2
"""How often a row is sent, as by `script.py live`."""

NAME = "stream"
"""What rows call the recording."""

NORMAL, RESTARTING, NO_SOUND, FAILED = 1000, 1012, 1007, 1011
"""Close codes (RFC 6455, and IANA's registry for 1012)."""

ROW_S = 30.0
"""How long a client may leave a row unread."""


@dataclass(frozen=True)
class Bounds:
    """How long a stream may be, and how long it may be silent on the wire."""

    max_seconds: float
    idle_s: float


class Streams:
    """The streams of one service, and their threads."""

    def __init__(self, n: int, detector: Detector, bounds: Bounds) -> None:
        self._detector, self._bounds = detector, bounds
        self._threads = ThreadPoolExecutor(2 * n, thread_name_prefix="stream")
        self._ending = asyncio.Event()
        self._open: set[asyncio.Task[Any]] = set()

    async def serve(self, socket: WebSocket, raw: RawFormat | None) -> list[dict[str, Any]]:
        """Listen to an accepted socket until its end; return its last row, or none."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            return await self._serve(socket, raw)
        finally:
            self._open.discard(task)

    async def end(self, seconds: float) -> None:
        """Let every stream send its last row."""
        self._ending.set()
        if self._open:
            await asyncio.wait(set(self._open), timeout=seconds)

    def stop(self) -> None:
        """End the threads that wait for work."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, socket: WebSocket, raw: RawFormat | None) -> list[dict[str, Any]]:
        loop = asyncio.get_running_loop()
        out, into = os.pipe()
        source, sink = os.fdopen(out, "rb", buffering=0), os.fdopen(into, "wb", buffering=0)
        session = _Session(Live(self._detector), loop, socket)
        telling = loop.run_in_executor(self._threads, session.run, source, raw, self._bounds.max_seconds)
        try:
            session.gone = not await self._receive(socket, sink, telling)
        finally:
            with suppress(OSError):
                sink.close()  # the listener sees the end
        last = await telling
        if not session.gone and socket.application_state == WebSocketState.CONNECTED:
            await socket.close(session.code if not self._ending.is_set() else RESTARTING)
        return last

    async def _receive(self, socket: WebSocket, sink: IO[bytes], telling: asyncio.Future[Any]) -> bool:
        """Pass sound on until it ends or nobody listens any more; return whether the client is still there."""
        loop, ending = asyncio.get_running_loop(), asyncio.ensure_future(self._ending.wait())
        try:
            while True:
                message = asyncio.ensure_future(socket.receive())
                waited = {message, telling, ending}
                await asyncio.wait(waited, timeout=self._bounds.idle_s, return_when=asyncio.FIRST_COMPLETED)
                if not message.done():
                    message.cancel()
                    return True
                found = message.result()
                if found["type"] == "websocket.disconnect":
                    return False
                if found.get("text") is not None:
                    return True
                await loop.run_in_executor(self._threads, _written, sink, found.get("bytes") or b"")
        finally:
            ending.cancel()


def _written(sink: IO[bytes], data: bytes) -> None:
    """Write all of it; when nobody listens any more, that shows elsewhere."""
    left = memoryview(data)
    with suppress(OSError, ValueError):
        while left:
            left = left[sink.write(left) :]


class _Session:
    """One stream from its first sample to its last; runs in a thread."""

    def __init__(self, live: Live, loop: asyncio.AbstractEventLoop, socket: WebSocket) -> None:
        self._live, self._loop, self._socket = live, loop, socket
        self.code = NORMAL
        self.gone = False

    def run(self, source: IO[bytes], raw: RawFormat | None, max_seconds: float) -> list[dict[str, Any]]:
        """Hear everything and send rows; return the last one."""
        at_most = round(max_seconds * SAMPLE_RATE)
        try:
            with source, closing(heard(source, raw=raw)) as pieces:
                for piece in _updates(pieces, at_most):
                    self._live.hear(piece)
                    self._send(provisional_row(self._live.so_far(), NAME))
        except AudioError as error:
            told = str(error).replace("stdin", NAME)
            self.code = NO_SOUND
            self._send({"schema_version": SCHEMA_VERSION, "path": NAME, "error": told})
            return []
        row = final_row(self._live.finish(), NAME)
        self._send(row)
        return [row]

    def _send(self, row: dict[str, Any]) -> None:
        """Hand a row to the event loop and wait until it is out."""
        if self.gone:
            return
        sent = asyncio.run_coroutine_threadsafe(self._socket.send_json(row), self._loop)
        try:
            sent.result(ROW_S)
        except Exception:  # whatever way the client has gone
            sent.cancel()
            self.gone = True


def _updates(pieces: Iterator[Samples], at_most: int) -> Iterator[Samples]:
    """Join pieces to half a second or more, up to so many samples in all; what is left at the end too."""
    held: list[Samples] = []
    n_held = n_given = 0
    for piece in pieces:
        held.append(piece[: at_most - n_given - n_held])
        n_held += held[-1].size
        if n_held >= UPDATE_SAMPLES or n_given + n_held >= at_most:
            yield np.concatenate(held)
            n_given, n_held, held = n_given + n_held, 0, []
        if n_given >= at_most:
            return
    if n_held:
        yield np.concatenate(held)
