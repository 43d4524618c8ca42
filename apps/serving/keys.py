"""Who may ask: whoever sends the key, where one is set."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from apps.serving.refusals import CODES, Refusal

Given = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]


def key_checker(key: str | None) -> Callable[..., Awaitable[None]]:
    """Return a dependency that raises `Refusal` unless the caller sent the key; None: there is none to send."""

    async def nothing() -> None:  # FastAPI takes what is not async to a thread, which costs a fifth of a short request
        return None

    async def check(given: Given) -> None:
        check_key(None if given is None else given.credentials, key)

    return nothing if key is None else check


def check_key(given: str | None, key: str | None) -> None:
    """Compare a key in a time that says nothing of it; raise `Refusal` unless it is the one, or there is none."""
    if key is None:
        return
    if given is None or not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), key.encode()):
        raise Refusal(401, "unauthorized", CODES["unauthorized"])
