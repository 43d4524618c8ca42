"""The service: `python -m apps.api`, or any ASGI server with `apps.api:app`, one process of it.

One process, because it holds the queue and the jobs; the judging is in processes of its own.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from audio.errors import ToolkitError, UsageError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from apps.serving.settings import Settings

EPILOG = """\
Every option can be set in the environment too: --max-mb as HYBRID_AUDIO_API_MAX_MB. HYBRID_AUDIO_API_KEY, which has no
option, is what callers must send as 'Authorization: Bearer KEY'. docs/serving.md says what is answered."""

NEEDED = "the service needs FastAPI and others: install them with 'pip install -e .[api]'"

OK, FAILED, USAGE = 0, 1, 2

_log = logging.getLogger(__name__)


def __getattr__(name: str) -> Any:
    """Make `app` when a server asks for it, and not in the worker processes, which import this module too."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from apps.serving.settings import Settings

    return _app(Settings.read({}, os.environ))


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal comes, and finish what was begun; return the exit status."""
    try:
        import uvicorn  # noqa: F401
    except ImportError:
        print(f"error: {NEEDED}", file=sys.stderr)
        return FAILED
    from apps.serving.settings import Settings

    try:
        settings = Settings.read(vars(_parser().parse_args(argv)), os.environ)
        return _serve(settings)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except ToolkitError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    from apps.serving.settings import add_arguments

    parser = argparse.ArgumentParser(prog="python -m apps.api", description=__doc__, epilog=EPILOG)
    add_arguments(parser)
    return parser


def _app(settings: Settings) -> FastAPI:
    try:
        from apps.serving.app import create_app
    except ImportError as error:
        raise ToolkitError(f"{NEEDED} ({error})") from None
    return create_app(settings)


def _serve(settings: Settings) -> int:
    from apps.serving.server import Server, configured
    from apps.serving.telemetry import log_as_json
    from model.bundle import find_bundle, read_bundle

    read_bundle(find_bundle(settings.model))  # before anything else: one line when there is none
    app = _app(settings)
    with _listening(settings) as listener:
        log_as_json()  # from here on; what hinders the start is a plain line
        _log.info("listening", extra={"facts": {"address": "{}:{}".format(*listener.getsockname()[:2])}})
        server = Server(configured(app, settings), app)
        with suppress(KeyboardInterrupt):  # which uvicorn raises again when all is ended
            server.run(sockets=[listener])
    return OK if server.started else FAILED


def _listening(settings: Settings) -> socket.socket:
    try:
        return socket.create_server((settings.host, settings.port), backlog=256)
    except OSError as error:
        raise UsageError(f"{settings.host}:{settings.port}: cannot listen: {error.strerror or error}") from None


if __name__ == "__main__":
    sys.exit(main())
