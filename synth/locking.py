"""One process at a time in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from audio.errors import ToolkitError, UsageError

LOCK = ".lock"
"""Held while a command writes into the folder."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make a folder if needed and hold its lock, which ends with this process.

    A folder that was not there before and in which nothing was made is removed again.

    Raises
    ------
    UsageError
        When another process holds the lock.
    ToolkitError
        When the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(f"{folder}: another process is writing into this folder: wait, or choose another") from None
    except OSError as error:
        raise ToolkitError(f"{folder}: cannot be written: {error.strerror}") from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file
            (folder / LOCK).unlink()
        lock.release()
        if not existed:
            with suppress(OSError):
                folder.rmdir()
