"""Who may ask: whoever sends the key, where one is set."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from apps.serving.refusals import CODES, Refusal

Given = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]


def key_checker(key: str | None) -> Callable[..., None]:
    """Return a dependency that raises `Refusal` unless the caller sent the key; None: there is none to send."""
    if key is None:
        return lambda: None

    def check(given: Given) -> None:
        check_key(None if given is None else given.credentials, key)

    return check


def check_key(given: str | None, key: str | None) -> None:
    """Compare a key in a time that says nothing of it; raise `Refusal` unless it is the one, or there is none."""
    if key is None:
        return
    if given is None or not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), key.encode()):
        raise Refusal(401, "unauthorized", CODES["unauthorized"])
