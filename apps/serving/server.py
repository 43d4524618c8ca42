"""The HTTP server: uvicorn, told our limits, which ends live streams politely before it closes connections."""

from __future__ import annotations

import socket
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from apps.serving.settings import Settings

MOST_MESSAGE_BYTES = 1 << 20
"""Largest message of a live stream: half a minute of 16-bit sound."""

MOST_HEADER_BYTES = 65_536
"""Largest head of a request."""

KEEP_ALIVE_S = 15
"""How long a connection stays open behind an answer."""

HEAD_S = 20.0
"""How long the head of a request may take to arrive; up to twice as long, because that is how often is looked."""


class Patient(H11Protocol):
    """A connection that is closed when it brings no whole head of a request for `HEAD_S`: uvicorn would wait."""

    def connection_made(self, transport: Any) -> None:
        """Begin to watch."""
        super().connection_made(transport)
        self._seen: Any = self  # nothing that a cycle can be
        self._look()

    def _look(self) -> None:
        if self not in self.connections:  # closed, or a WebSocket now
            return
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and self._seen is self.cycle:
            self.transport.close()
            return
        self._seen = self.cycle if is_idle else self
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
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        http=Patient,
        ws_max_size=MOST_MESSAGE_BYTES,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=round(settings.shutdown_s),
    )
