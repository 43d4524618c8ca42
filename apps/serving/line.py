"""The line between the service and a worker: a pair of sockets; what is said goes over it pickled, behind its length.

The event loop waits at the service's end, the worker at its own. No thread stands between: to wake one up for each
request, and the event loop again behind it, costs ten times as much as the line itself.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from typing import Any

_LENGTH = struct.Struct("!Q")
"""What goes before everything that is said: how many bytes it takes."""

_MOST_AT_ONCE = 65_536


class Line:
    """The service's end. It belongs to the event loop."""

    def __init__(self) -> None:
        self._end, self.theirs = socket.socketpair()
        """`theirs` is for the process, and to be closed here when it has it: so its end is the end of the line."""
        self._end.setblocking(False)

    async def ask(self, what: Any) -> Any:
        """Say something and return what is answered; raise as `hear`, or `OSError`."""
        await asyncio.get_running_loop().sock_sendall(self._end, _packed(what))
        return await self.hear()

    async def hear(self) -> Any:
        """Return the next that is said; raise `EOFError`, or `OSError`, when the other end is closed instead."""
        heard = await self._more()
        while len(heard) < _LENGTH.size or len(heard) < _LENGTH.size + _LENGTH.unpack_from(heard)[0]:
            heard += await self._more()
        return pickle.loads(memoryview(heard)[_LENGTH.size :])

    async def _more(self) -> bytearray:
        piece = await asyncio.get_running_loop().sock_recv(self._end, _MOST_AT_ONCE)
        if not piece:
            raise EOFError
        return bytearray(piece)

    def close(self) -> None:
        """End the line."""
        self._end.close()


class WorkerEnd:
    """The worker's end."""

    def __init__(self, end: socket.socket) -> None:
        self._end, self._heard = end, end.makefile("rb")

    def hear(self) -> Any:
        """Wait for the next that is said, and return it; raise `EOFError`, or `OSError`, when the line ends instead."""
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        return pickle.loads(self._exactly(length))

    def say(self, what: Any) -> None:
        """Say something; raise `OSError` when nobody is there to hear it."""
        self._end.sendall(_packed(what))

    def _exactly(self, n_bytes: int) -> bytes:
        piece = self._heard.read(n_bytes)
        if len(piece) < n_bytes:
            raise EOFError
        return piece


def _packed(what: Any) -> bytes:
    data = pickle.dumps(what)
    return _LENGTH.pack(len(data)) + data
