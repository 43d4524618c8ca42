"""The HTTP server: uvicorn, told our limits, which ends live streams politely before it closes connections."""

from __future__ import annotations

import socket
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from apps.serving.settings import Settings

MOST_MESSAGE_BYTES = 1 << 20
"""Largest message of a live stream: half a minute of 16-bit sound."""

MOST_HEADER_BYTES = 65_536
"""Largest head of a request."""

KEEP_ALIVE_S = 15
"""How long a connection stays open behind an answer."""

HEAD_S = 20.0
"""How long the head of a request may take to arrive; up to twice as long, because that is how often is looked."""


class Connection(HttpToolsProtocol):
    """A connection that is closed when the head of a request does not end: by its length, or within `HEAD_S`."""

    def connection_made(self, transport: Any) -> None:
        """Begin to watch."""
        super().connection_made(transport)
        self._head_bytes = 0
        self._seen: Any = self  # nothing that a cycle can be
        self._look()

    def data_received(self, data: bytes) -> None:
        """Parse, and count what belongs to no request yet."""
        super().data_received(data)
        self._head_bytes = self._head_bytes + len(data) if self._is_idle() else 0
        if self._head_bytes > MOST_HEADER_BYTES:
            self.transport.close()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _look(self) -> None:
        if self not in self.connections:  # closed, or a WebSocket now
            return
        if self._is_idle() and self._seen is self.cycle:
            self.transport.close()
            return
        self._seen = self.cycle if self._is_idle() else self
        self.loop.call_later(HEAD_S, self._look)


class Server(uvicorn.Server):
    """Uvicorn, which when it is stopped first lets the live streams say their last row."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what was begun, then end."""
        if service := getattr(self._app.state, "service", None):
            await service.end_streams()
        await super().shutdown(sockets)


def configured(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """Return uvicorn's settings: no log of its own, which would hold addresses and queries."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who asks is told nobody
        http=Connection,
        ws_max_size=MOST_MESSAGE_BYTES,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=round(settings.shutdown_s),
    )
