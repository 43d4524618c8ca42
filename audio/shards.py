"""Reading a sharded set: a few large files instead of a file for each recording.

    DIR/shards.json      the index: which shards, how large, their SHA-256; written last, so no set is half
    DIR/manifest.jsonl   the manifest of the set that it was made of, as it was
    DIR/records.npy      a row for each clip, in the order in which they lie (`audio.sharding.layout`): where (`ROW`)
    DIR/shard-00000.tar  the recordings in the same order, `000000000.wav` with its line of the manifest beside it in
                         `000000000.json`: what WebDataset reads, and `tar -x` too

A tar and not a TFRecord, because every clip can be found by its offset: training draws each window from (seed, pass,
clip), so what it reads next is known, but lies anywhere (or not far off: `model.training.order`). One read at an offset
is what a file would cost without its opening; a stream with a shuffle buffer would give another order than files give,
and other weights. And anybody can read a tar, where a TFRecord needs TensorFlow, which does not belong in this room.

To everybody else a clip of a sharded set is a path, `DIR/shard-00000.tar/000000000.wav`, which `audio.manifest.resolve`
gives and `audio.reading` opens. `audio.sharding` writes such sets.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from audio.errors import AudioError, ManifestError

INDEX_NAME = "shards.json"
"""Not `index.json`, which sets of other people have for other things."""

RECORDS_NAME = "records.npy"

LISTING_NAME = "manifest.jsonl"

SCHEMA_VERSION = 1
"""Version of the index, and of what lies beside it."""

ROW = np.dtype(
    [("path", "<u8"), ("shard", "<u4"), ("crc32", "<u4"), ("offset", "<u8"), ("n_bytes", "<u8"), ("width", "<u8")]
)
"""Of `records.npy`: a hash of the clip's path (`path_hash`), the number of its shard, the CRC-32 of its samples, where
they begin there, how many bytes they take, and bytes a sample: 2 for 16-bit integers, 4 for float32."""

HEADER_BYTES = 44
"""Of the WAV header in front of the samples."""

SHARD_NAME = re.compile(r"shard-\d{5,}\.tar")
"""What a shard may be called, so that an index from a stranger cannot make us read other files."""

OPEN_SHARDS = 64
"""Shards that are kept open. A system allows a process 1,024 files or fewer; 5,000 hours are 2,200 shards."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Shard:
    """One file of a sharded set, as the index has it."""

    name: str
    clips: int
    n_bytes: int
    sha256: str


def path_hash(path: str) -> int:
    """Return the 64 bits by which a clip's path is found."""
    return int.from_bytes(hashlib.blake2b(path.encode(), digest_size=8).digest(), "little")


def member_name(number: int) -> str:
    """Return what the recording of clip `number` is called in its shard."""
    return f"{number:09d}.wav"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ShardedSet:
    """A sharded set that is whole; opened once in a process by `opened`."""

    def __init__(self, folder: Path, *, listed: bool, shards: tuple[Shard, ...], records: npt.NDArray[Any]) -> None:
        self.folder = folder
        self.listed = listed
        """False where plain folders were sharded: nothing says where the fake spans are."""
        self.shards = shards
        self.records = records
        self._order = np.argsort(records["path"], kind="stable")
        self._sorted = records["path"][self._order]
        self._checked = np.zeros(len(records), dtype=bool)

    def address(self, path: str) -> Path:
        """Return where a clip lies, by its path in the manifest; raises `ManifestError` for one that is not here."""
        number = self._number(path)
        return self.folder / self.shards[int(self.records[number]["shard"])].name / member_name(number)

    def _number(self, path: str) -> int:
        at = int(np.searchsorted(self._sorted, np.uint64(path_hash(path))))
        if at == len(self._sorted) or int(self._sorted[at]) != path_hash(path):
            raise ManifestError(f"{self.folder}: expected a clip of this sharded set. Received: {path!r}")
        return int(self._order[at])

    def samples(self, number: int, onset: int = 0, offset: int | None = None) -> Samples:
        """Return samples `[onset, offset)` of a clip, float32 (n,), shorter where it ends.

        Raises `AudioError` when the shard is not what the index says. What a record holds is checked when a process
        comes to it first, and the whole of it is read then.
        """
        row = self.records[number]
        width, n_bytes = int(row["width"]), int(row["n_bytes"])
        first = min(onset * width, n_bytes)
        last = n_bytes if offset is None else min(offset * width, n_bytes)
        if self._checked[number]:
            content = self._read(number, int(row["offset"]) + first, last - first)
        else:
            whole = self._read(number, int(row["offset"]), n_bytes)
            if zlib.crc32(whole) != int(row["crc32"]):
                raise AudioError(f"{self._told(number)}: expected CRC-32 {int(row['crc32']):08x}, {_received(whole)}")
            self._checked[number] = True
            content = whole[first:last]
        if width == 2:
            return np.frombuffer(content, dtype="<i2").astype(np.float32) / np.float32(32_768)
        return np.frombuffer(content, dtype="<f4").astype(np.float32)

    def sha256(self, number: int) -> str:
        """Return the SHA-256 of a clip's WAV, header and all, in hex."""
        row = self.records[number]
        start = int(row["offset"]) - HEADER_BYTES
        return hashlib.sha256(self._read(number, start, HEADER_BYTES + int(row["n_bytes"]))).hexdigest()

    def expect(self, paths: Iterable[str]) -> None:
        """Tell the system which clips are going to be read soon, so that it fetches them; only Linux listens."""
        if not hasattr(os, "posix_fadvise"):
            return
        for number in sorted(self._number(path) for path in paths):
            row, shard = self.records[number], self.shards[int(self.records[number]["shard"])]
            _open(self.folder / shard.name, shard.n_bytes).expect(int(row["offset"]), int(row["n_bytes"]))

    def check(self) -> None:
        """Hash every shard; raises `AudioError` for the first that is not as it was written."""
        for shard in self.shards:
            path = self.folder / shard.name
            _open(path, shard.n_bytes)
            if (found := _sha256(path)) != shard.sha256:
                raise AudioError(f"{path}: expected SHA-256 {shard.sha256}. Received: {found}")

    def _read(self, number: int, start: int, n_bytes: int) -> bytes:
        shard = self.shards[int(self.records[number]["shard"])]
        try:
            content = _open(self.folder / shard.name, shard.n_bytes).read(start, n_bytes)
        except OSError as error:
            raise AudioError(f"{self._told(number)}: cannot be read: {error.strerror}") from None
        if len(content) != n_bytes:
            raise AudioError(f"{self._told(number)}: expected {n_bytes} bytes at {start}, received {len(content)}")
        return content

    def _told(self, number: int) -> str:
        return str(self.folder / self.shards[int(self.records[number]["shard"])].name / member_name(number))


def _received(content: bytes) -> str:
    return f"received {zlib.crc32(content):08x}: the shard was changed or damaged"


class _Open:
    """A shard that is open; closed when nobody holds it any more, which may be after the cache forgot it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._lock = threading.Lock()
        self.n_bytes = os.fstat(self._file.fileno()).st_size

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def read(self, start: int, n_bytes: int) -> bytes:
        """Read at a place; fewer bytes where the file ends."""
        parts: list[bytes] = []
        while n_bytes > 0 and (part := self._some(start, n_bytes)):  # Linux gives 2 GiB at a time
            parts.append(part)
            start, n_bytes = start + len(part), n_bytes - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def expect(self, start: int, n_bytes: int) -> None:
        """Let the system fetch a stretch that is going to be read."""
        os.posix_fadvise(self._file.fileno(), start, n_bytes, os.POSIX_FADV_WILLNEED)

    def _some(self, start: int, n_bytes: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), n_bytes, start)
        with self._lock:  # Windows: place and reading are two calls
            self._file.seek(start)
            return self._file.read(n_bytes) or b""


@lru_cache(maxsize=OPEN_SHARDS)
def _open(path: Path, n_bytes: int) -> _Open:
    """Open a shard of a known size; raises `AudioError` when it is missing or has another."""
    try:
        found = _Open(path)
    except OSError as error:
        raise AudioError(f"{path}: expected a shard: {error.strerror}") from None
    if found.n_bytes != n_bytes:
        raise AudioError(f"{path}: expected a shard of {n_bytes} bytes, received {found.n_bytes}")
    return found


def opened(folder: str | os.PathLike[str]) -> ShardedSet | None:
    """Open a sharded set, or return None where a folder has no index of one.

    Raises
    ------
    ManifestError
        When the index is broken or of another version, or what lies beside it is missing or was changed.
    """
    path = Path(folder).absolute() / INDEX_NAME
    try:
        facts = path.stat()
    except OSError:
        return None
    return _opened(path, facts.st_mtime_ns, facts.st_size)


def inside(path: Path) -> tuple[ShardedSet, int] | None:
    """Return the set and the clip's number where a path leads into a shard (`ShardedSet.address`), else None."""
    if path.parent.suffix != ".tar":  # nearly every path, and nothing is looked for
        return None
    found = opened(path.parent.parent)
    if found is None or not path.stem.isdecimal() or not int(path.stem) < len(found.records):
        return None
    number = int(path.stem)
    return (found, number) if found.shards[int(found.records[number]["shard"])].name == path.parent.name else None


@lru_cache(maxsize=4)
def _opened(path: Path, mtime_ns: int, size: int) -> ShardedSet:
    """Read an index, once as long as it stays as it is."""
    folder = path.parent
    index = _index(path)
    try:
        shards = tuple(Shard(each["name"], each["clips"], each["bytes"], each["sha256"]) for each in index["shards"])
        for name in (RECORDS_NAME, LISTING_NAME):
            _expect(folder / name, index["files"][name])
        listed = bool(index["listed"])
    except (KeyError, TypeError) as error:
        raise ManifestError(f"{path}: not an index of shards: {error!r}") from None
    if unknown := [shard.name for shard in shards if not SHARD_NAME.fullmatch(str(shard.name))]:
        raise ManifestError(f"{path}: expected shards named like shard-00000.tar. Received: {unknown[0]!r}")
    try:
        records = np.load(folder / RECORDS_NAME, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ManifestError(f"{folder / RECORDS_NAME}: cannot be read: {error}") from None
    if records.dtype != ROW or len(records) != sum(shard.clips for shard in shards):
        raise ManifestError(f"{folder / RECORDS_NAME}: expected a row for each clip, received {records.shape}")
    return ShardedSet(folder, listed=listed, shards=shards, records=records)


def _index(path: Path) -> dict[str, Any]:
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path}: not an index of shards: {error}") from None
    version = index.get("schema_version") if isinstance(index, dict) else None
    if version != SCHEMA_VERSION:
        raise ManifestError(f"{path}: schema_version: expected {SCHEMA_VERSION}, received {version!r}")
    return dict(index)


def _expect(path: Path, sha256: str) -> None:
    try:
        found = _sha256(path)
    except OSError as error:
        raise ManifestError(f"{path}: expected beside {INDEX_NAME}: {error.strerror}") from None
    if found != sha256:
        raise ManifestError(f"{path}: expected SHA-256 {sha256}, as {INDEX_NAME} says. Received: {found}")
