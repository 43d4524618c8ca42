"""Who may ask: whoever sends the key, where one is set."""

from __future__ import annotations

import hmac

from fastapi import Depends, Request
from fastapi.params import Depends as DependsOn
from fastapi.security import HTTPBearer

from apps.serving.refusals import CODES, Refusal


class KeyGuard(HTTPBearer):
    """A dependency that raises `Refusal` unless the caller sent the key; FastAPI describes it as a bearer token."""

    def __init__(self, key: str) -> None:
        super().__init__(scheme_name=HTTPBearer.__name__, auto_error=False)
        self._key = key

    async def __call__(self, request: Request) -> None:  # type: ignore[override]
        """Check the key of a request."""
        given = await super().__call__(request)
        check_key(None if given is None else given.credentials, self._key)


def key_guard(key: str | None) -> list[DependsOn]:
    """Return what a route depends on: that the caller sent the key, or nothing where there is none to send."""
    return [] if key is None else [Depends(KeyGuard(key))]


def check_key(given: str | None, key: str | None) -> None:
    """Compare a key in a time that says nothing of it; raise `Refusal` unless it is the one, or there is none."""
    if key is None:
        return
    if given is None or not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), key.encode()):
        raise Refusal(401, "unauthorized", CODES["unauthorized"])
