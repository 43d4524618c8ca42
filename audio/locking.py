"""One process at a time in a folder, or at a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from audio.errors import ToolkitError, UsageError

LOCK = ".lock"
"""Held while a command writes into a folder; behind the name of a file, while one writes that."""


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
    existed = folder.exists()
    try:
        with _held(folder / LOCK, f"{folder}: another process is writing into this folder"):
            yield
    finally:
        if not existed:
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def alone_at(path: Path) -> Iterator[None]:
    """Hold the lock of a file that is about to be written, which ends with this process.

    Raises
    ------
    UsageError
        When another process holds the lock.
    ToolkitError
        When its folder cannot be written.
    """
    with _held(path.with_name(path.name + LOCK), f"{path}: another process is writing this file"):
        yield


@contextmanager
def _held(place: Path, busy: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place)
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(f"{busy}: wait, or choose another") from None
    except OSError as error:
        raise ToolkitError(f"{place.parent}: cannot be written: {error.strerror}") from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file
            place.unlink()
        lock.release()
