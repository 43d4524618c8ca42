"""The hash of a file: how a recording, a sound or a model is known, whatever it is called and wherever it lies."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from audio.errors import AudioError
from audio.shards import inside


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex; hashed once per process unless its time or size changes.

    A recording in a shard (`audio.shards`) has the hash of its bytes there. Raises `AudioError` when the file cannot be
    read.
    """
    if (found := inside(path)) is not None:
        return found[0].sha256(found[1])
    try:
        facts = path.stat()
        return _hashed(path, facts.st_mtime_ns, facts.st_size)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror}") from None


def sha256_once(path: Path) -> str:
    """Return the same, without memory of it: for whoever meets files by the million, each once."""
    try:
        return _sha256(path)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror}") from None


@lru_cache(maxsize=65_536)
def _hashed(path: Path, mtime_ns: int, size: int) -> str:
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
