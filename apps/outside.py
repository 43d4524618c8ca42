"""What page and service do with what comes from outside: its name, and what may be told of it."""

from __future__ import annotations

from pathlib import Path

LONGEST_NAME = 200
"""A name is said back so far, in characters."""

UNNAMED = "upload"


def shown_name(name: str | None) -> str:
    """Return the last part of a name that came from outside, without what could move a cursor or leave a folder."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    shown = "".join(char for char in last if char.isprintable())[:LONGEST_NAME].strip()
    return shown if shown.strip(".") else UNNAMED


def told(error: Exception, path: Path, name: str) -> str:
    """Return what an error says of a file of ours, by the name that its sender gave it."""
    return str(error).replace(str(path), name)
