"""A folder of recordings that are dear to make, named by the hash of what made them; bounded, and purgeable.

It may hold people's voices: `python -m synth purge` empties it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from audio.errors import AudioError, ToolkitError
from audio.reading import read, write_wav
from synth.pcm import Pcm, to_pcm

CACHE_FOLDER = "hybrid-audio-detection-toolkit"
"""Name of ours within the user's cache folder."""

ADDRESSES = "addresses"
"""Subfolder with copies of what lies at addresses, which is needed whole and not trimmed."""

CACHE_MAX_BYTES = 4 * 2**30
"""Size to which a cache is trimmed, about 37 hours of speech."""


def default_cache_dir() -> Path:
    """Return the cache folder of this user: XDG_CACHE_HOME, LOCALAPPDATA, ~/Library/Caches or ~/.cache."""
    named = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    at_home = Path("Library", "Caches") if sys.platform == "darwin" else Path(".cache")
    return Path(named or Path.home() / at_home) / CACHE_FOLDER


def content_key(*parts: str | Pcm) -> str:
    """Return the SHA-256, in hex, of texts and samples; where one part ends and the next begins counts too."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part.tobytes()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


@dataclass(frozen=True)
class Cache:
    """Recordings in `folder`, at most `max_bytes` of them after each `trim`. Safe between processes."""

    folder: Path
    max_bytes: int = CACHE_MAX_BYTES

    def find(self, key: str) -> Pcm | None:
        """Return the int16 samples (n,) kept under `key`, or None when there are none."""
        path = self._path(key)
        try:
            kept = to_pcm(read(path))
            os.utime(path)  # used now: `trim` takes what was not used for longest
            return kept
        except (AudioError, OSError):
            return None

    def keep(self, key: str, pcm: Pcm) -> None:
        """Keep int16 samples (n,) under `key`; raise `ToolkitError` when the folder cannot be written to."""
        path = self._path(key)
        try:
            write_wav(path, pcm)
        except OSError as error:
            raise ToolkitError(f"{path.parent}: the cache cannot be written: {error.strerror}") from None

    def trim(self) -> int:
        """Remove what was not used for longest until `max_bytes` are kept; return how many bytes went."""
        files = self._files()
        excess = sum(size for _, size, _ in files) - self.max_bytes
        removed = 0
        for _, size, path in sorted(files):
            if removed >= excess:
                break
            path.unlink(missing_ok=True)
            removed += size
        return removed

    def purge(self) -> int:
        """Remove everything kept; return how many bytes went. Other files in the folder stay."""
        copies = self.folder / ADDRESSES
        n_bytes = sum(path.stat().st_size for path in copies.rglob("*") if path.is_file())
        shutil.rmtree(copies, ignore_errors=True)
        return n_bytes + Cache(self.folder, max_bytes=0).trim()

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.wav"

    def _files(self) -> list[tuple[int, int, Path]]:
        """List (time of last use in ns, bytes, path) of every recording, leftovers of killed writers included."""
        found = []
        for path in self.folder.glob("??/*"):
            try:
                facts = path.stat()
            except FileNotFoundError:
                continue
            if path.suffix in (".wav", ".part"):
                found.append((facts.st_mtime_ns, facts.st_size, path))
        return found
