"""Writing a set as shards, which `audio.shards` describes and reads.

Clips lie in an order that is drawn once (`layout`), so that what is read together has nothing in common, and a shard
looks like the set. Which clip goes into which shard follows from the manifest alone, and the same recordings give the
same bytes: shards can be written by several processes, and after a stop those that are whole are kept.

What training hears is written, at 16 kHz and mono: as 16-bit integers where that loses nothing, which it does not for a
WAV or FLAC of 16 bits at this rate, and as float32 where it would, so that training from shards equals training from
files to the last bit.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from audio import jobs, shards
from audio.atomic import replacing
from audio.digest import file_sha256
from audio.errors import ManifestError, ToolkitError, UsageError
from audio.manifest import Clip, read_manifest, resolve, scan_folder, to_line, write_manifest
from audio.reading import blocks
from audio.segments import SAMPLE_RATE
from audio.shards import HEADER_BYTES, INDEX_NAME, LISTING_NAME, RECORDS_NAME, ROW, Samples, ShardedSet

SHARD_BYTES = 256 * 2**20
"""Size that shards are planned for: two hours of speech. Object stores and tapes like files of 100 MB to 1 GB, and a
worker that writes one is done in a minute or two."""

GUESSED_SAMPLES = 10 * SAMPLE_RATE
"""Length that is planned with where the manifest says none."""

JOURNAL_NAME = ".shards.journal"
"""What has been written so far; gone when all is."""


@dataclass(frozen=True)
class Part:
    """Clips of one shard."""

    number: int
    first: int
    """Number of its first clip."""
    clips: tuple[Clip, ...]

    @property
    def name(self) -> str:
        """The shard's file."""
        return f"shard-{self.number:05d}.tar"


def write_shards(source: Path, out: Path, *, workers: int = 1, shard_bytes: int = SHARD_BYTES) -> ShardedSet:
    """Write a set as shards, go on where that stopped, or open what is whole already.

    Parameters
    ----------
    source
        A folder with `manifest.jsonl`, or with `real/`, `fake/` and `hybrid/`.
    out
        Folder of the shards; new, empty, or of an earlier try with the same set.
    workers
        Processes that decode.
    shard_bytes
        Size that a shard is planned for; it holds one clip at least.

    Raises
    ------
    UsageError
        When `source` is sharded itself, or `out` holds shards of another set or something else.
    ToolkitError
        When a recording cannot be read, or a file not be written; what is whole by then is kept.
    """
    if shards.opened(source) is not None:
        raise UsageError(f"{source}: expected a set of files, received one that is sharded already: give it as --data")
    listing = source / LISTING_NAME
    listed = listing.is_file()
    clips = read_manifest(listing) if listed else scan_folder(source)
    digest = hashlib.sha256(b"".join(map(to_line, clips))).hexdigest()
    if (found := shards.opened(out)) is not None:
        return _same(found, clips, listed)
    _expect_free(out)
    laid = [clips[i] for i in layout(clips)]
    rows, written = _written(source, out, planned(laid, shard_bytes), digest, workers)
    _write_records(out, laid, rows)
    _finish(out, clips, {"shards": written, "clips": len(clips), "listed": listed})
    whole = shards.opened(out)
    assert whole is not None
    return whole


def layout(clips: Sequence[Clip]) -> list[int]:
    """Return in which order shards hold clips, as places in `clips`.

    Splits one after the other; within each by a hash of the path, which is as good as drawn and does not change when
    clips are added; a fake beside the recording that it copies, because training takes the two together.
    """

    def key(place: int) -> tuple[str, int, str]:
        clip = clips[place]
        return clip.split, shards.path_hash(clip.source_clip or clip.path), clip.path

    return sorted(range(len(clips)), key=key)


def planned(clips: Sequence[Clip], shard_bytes: int) -> list[Part]:
    """Deal clips to shards in their order, as many to each as are expected to take `shard_bytes`."""
    starts, filled = [0] if clips else [], 0
    for number, clip in enumerate(clips):
        n_bytes = 2 * (clip.n_samples or GUESSED_SAMPLES)
        if filled and filled + n_bytes > shard_bytes:
            starts.append(number)
            filled = 0
        filled += n_bytes
    ends = [*starts[1:], len(clips)][: len(starts)]
    return [Part(i, a, tuple(clips[a:b])) for i, (a, b) in enumerate(zip(starts, ends, strict=True))]


def _same(found: ShardedSet, clips: Sequence[Clip], listed: bool) -> ShardedSet:
    """Return what is there if it was made of these clips."""
    if found.listed != listed or read_manifest(found.folder / LISTING_NAME) != list(clips):
        raise UsageError(f"{found.folder}: expected shards of this set, received those of another")
    return found


def _expect_free(out: Path) -> None:
    """Refuse a folder with anything in it but an earlier try."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: expected a folder for the shards, received a file")
    held = {path.name for path in out.iterdir()} if out.exists() else set()
    if held and JOURNAL_NAME not in held:
        raise UsageError(f"{out}: expected a new folder for the shards, received one that holds {min(held)}")


def _written(
    source: Path, out: Path, parts: Sequence[Part], digest: str, workers: int
) -> tuple[list[list[int]], list[dict[str, Any]]]:
    """Write the shards that are missing; return the numbers of each record, and what the index says of each shard."""
    outcomes = jobs.run(
        _Write(source, out),
        parts,
        key=lambda part: part.name,
        workers=min(workers, max(1, len(parts))),
        journal=out / JOURNAL_NAME,
        title="writing shards",
        settings=f"{shards.SCHEMA_VERSION} {digest} {[part.first for part in parts]}",
    )
    records, written = [], []
    for part, (row,) in zip(parts, outcomes, strict=True):
        if "error" in row:
            raise ManifestError(f"{row['error']} (no shards without it; those that are whole are kept)")
        path = out / part.name
        if not path.is_file() or path.stat().st_size != row["bytes"]:
            raise ManifestError(f"{path}: expected {row['bytes']} bytes, written before. Remove {out} to start over")
        records += row["records"]
        written.append({"name": part.name, "clips": len(part.clips), "bytes": row["bytes"], "sha256": row["sha256"]})
    return records, written


@dataclass(frozen=True)
class _Write:
    """`process(part) -> rows`: write a shard."""

    source: Path
    out: Path

    def __call__(self, part: Part) -> list[jobs.Row]:
        """Write it beside its place, and move it there when it is whole."""
        path, records = self.out / part.name, []
        place = self.source / LISTING_NAME if (self.source / LISTING_NAME).is_file() else self.source
        try:
            with replacing(path) as beside, beside.open("wb") as file, _tar(file) as tar:
                for number, clip in enumerate(part.clips, part.first):
                    content, width = _encoded(_heard(resolve(place, clip)))
                    _add(tar, shards.member_name(number), _wav_header(len(content), width, clip.path) + content)
                    offset = tar.offset - _padded(HEADER_BYTES + len(content)) + HEADER_BYTES
                    _add(tar, f"{number:09d}.json", to_line(clip))
                    records.append([part.number, zlib.crc32(content), offset, len(content), width])
            return [{"records": records, "bytes": path.stat().st_size, "sha256": file_sha256(path)}]
        except OSError as error:
            raise ToolkitError(f"{path}: cannot be written: {error.strerror}") from None


def _tar(file: IO[bytes]) -> tarfile.TarFile:
    return tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file that says nothing of who wrote it when: the same set gives the same bytes."""
    facts = tarfile.TarInfo(name)
    facts.size, facts.mode = len(content), 0o644
    tar.addfile(facts, io.BytesIO(content))


def _padded(n_bytes: int) -> int:
    """What a file takes in a tar, without its header."""
    return -(-n_bytes // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _heard(path: Path) -> Iterator[Samples]:
    return blocks(path, block_samples=1 << 20)


def _encoded(pieces: Iterator[Samples]) -> tuple[bytes, int]:
    """Return samples as little-endian bytes, and how many a sample: 2 where 16 bits say it all, else 4."""
    samples = np.concatenate([np.zeros(0, dtype=np.float32), *pieces])
    scaled = samples * np.float32(32_768)  # exact: a power of two
    if np.array_equal(scaled, np.rint(scaled)) and np.abs(scaled + 0.5).max(initial=0.0) <= 32_767.5:
        return scaled.astype("<i2").tobytes(), 2
    return samples.astype("<f4").tobytes(), 4


def _wav_header(n_bytes: int, width: int, name: str) -> bytes:
    """Return the 44 bytes in front of mono samples at 16 kHz: integers (format 1) or floats (format 3)."""
    if n_bytes > 0xFFFF_FFFF - HEADER_BYTES:
        raise ManifestError(f"{name}: expected a recording that fits a WAV of 4 GiB, received {n_bytes} bytes")
    kind = 1 if width == 2 else 3
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, kind, 1, SAMPLE_RATE, SAMPLE_RATE * width, width, 8 * width)
    return struct.pack("<4sI4s", b"RIFF", 36 + n_bytes, b"WAVE") + fmt + struct.pack("<4sI", b"data", n_bytes)


def _write_records(out: Path, clips: Sequence[Clip], rows: list[list[int]]) -> None:
    """Write where each clip lies, in the order of the shards."""
    records = np.zeros(len(clips), dtype=ROW)
    records["path"] = [shards.path_hash(clip.path) for clip in clips]
    if len(np.unique(records["path"])) < len(clips):  # one set of five million in two million
        raise ManifestError(f"{out}: two paths have the same hash of 64 bits: rename a clip")
    for name, column in zip(("shard", "crc32", "offset", "n_bytes", "width"), zip(*rows, strict=True), strict=False):
        records[name] = column
    try:
        with replacing(out / RECORDS_NAME) as beside, beside.open("wb") as file:
            np.save(file, records)
    except OSError as error:
        raise ToolkitError(f"{out / RECORDS_NAME}: cannot be written: {error.strerror}") from None


def _finish(out: Path, clips: Sequence[Clip], facts: dict[str, Any]) -> None:
    """Write the manifest, and the index last."""
    try:
        write_manifest(out / LISTING_NAME, clips)
        files = {name: file_sha256(out / name) for name in (RECORDS_NAME, LISTING_NAME)}
        index = {"schema_version": shards.SCHEMA_VERSION, **facts, "files": files}
        with replacing(out / INDEX_NAME) as beside:
            beside.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
        with suppress(OSError):
            (out / JOURNAL_NAME).unlink()
    except OSError as error:
        raise ToolkitError(f"{out}: cannot be written: {error.strerror}") from None
