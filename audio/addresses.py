"""Texts that name something on a network rather than a file."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit


def is_address(text: str) -> bool:
    """Tell whether a text is a network address rather than a name of a file: a scheme, and two slashes behind it."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def folder_or_address(text: str) -> Path | str:
    """Read where something is: an address stays text, which a `Path` would break."""
    return text if is_address(text) else Path(text)


def address_shown(address: str) -> str:
    """Return an address without the name and password that it may hold, nor its query, which may hold a key."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
