"""What the service says when it gives no result: one kind of body for every cause, and nothing of the inside."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

_log = logging.getLogger(__name__)

CODES = {
    "bad_request": "the request cannot be understood",
    "unauthorized": "the key is missing or wrong",
    "not_found": "there is no such address or job, or it was deleted after its time",
    "method_not_allowed": "the address takes other methods",
    "upload_timeout": "the body did not arrive in time",
    "too_large": "the body is larger than the limit",
    "too_long": "the recording is longer than the limit, or decodes to more",
    "unsupported_type": "the body is neither sound nor a form with a file",
    "invalid_parameter": "a parameter, or the form, is not as documented",
    "unreadable": "the body is no recording that can be read, or has no such channel",
    "too_slow": "judging took longer than the limit",
    "busy": "too much is being judged or sent already: try again after Retry-After seconds",
    "internal": "the service failed; its log says why",
}
"""Code -> what it means. Programs read the code; the words in `error` may change."""


BODY_OVER = "body_over"
"""Key of a request's scope that says that there is no more to receive (`telemetry.Watched`)."""

MOST_DRAINED_BYTES, DRAIN_S = 8_388_608, 2.0
"""How much of a refused body is still taken, and for how long: who is cut off while sending often reads no answer."""

GONE = 499
"""Status in the log of a request whose sender has gone; nobody gets it."""


class Refusal(Exception):
    """Why there is no result: HTTP status, a code of `CODES`, one line, and when to try again."""

    def __init__(self, status: int, code: str, told: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(told)
        self.status, self.code, self.told, self.retry_after_s = status, code, told, retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """What is said beside the body."""
        found = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        return found | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})

    def body(self) -> dict[str, str]:
        """What the caller reads."""
        return {"code": self.code, "error": self.told}


_OF_STATUS = {404: "not_found", 405: "method_not_allowed"}
"""Codes of what the framework refuses by itself; any other is a bad request."""


def answer_refusals(app: FastAPI) -> None:
    """Make every refusal and every failure of an app an answer of the same form."""

    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> JSONResponse:
        request.scope["refused"] = error.code
        return await _answer(request, error.status, error.body(), error.headers)

    @app.exception_handler(HTTPException)
    async def refused_by_framework(request: Request, error: HTTPException) -> JSONResponse:
        code = _OF_STATUS.get(error.status_code, "bad_request")
        return await _answer(request, error.status_code, {"code": code, "error": CODES[code]}, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=GONE)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        told = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
        return await _answer(request, 422, {"code": "invalid_parameter", "error": told})

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"code": "internal", "error": CODES["internal"]}, 500)


async def _answer(
    request: Request, status: int, body: dict[str, str], headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return an answer, behind the body that nobody wants; where that does not end, the connection does."""
    await _drained(request)
    over = {} if request.scope.get(BODY_OVER) else {"Connection": "close"}
    return JSONResponse(body, status, headers={**(headers or {}), **over})


async def _drained(request: Request) -> None:
    """Take the rest of a body that nobody wants, within reason, so that its sender reads why."""
    n_bytes = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            while not request.scope.get(BODY_OVER) and n_bytes < MOST_DRAINED_BYTES:
                message = await request.receive()
                n_bytes += len(message.get("body", b""))


def internal(why: object, **facts: Any) -> Refusal:
    """Return what the caller is told of our own failure; the log gets the rest."""
    _log.error("failed", extra={"facts": {"why": str(why), **facts}})
    return Refusal(500, "internal", CODES["internal"])
