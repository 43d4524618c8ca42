"""Judging an archive: many files to one table, over days, kills and machines.

    files -> items (path, size, time of change) -> rows: one a file, one a span -> results.csv
                                  |
                                  results.csv.journal remembers what is done

A file is judged once: as long as its path, size and time of change and the model are the same, a second run takes its
rows from the journal, whatever stopped the first. The table is written beside its place, in the order of the files
unless told otherwise, and moved onto it at the end: a broken run and an unbroken one leave the same bytes. What lies at
an address is copied by the worker that judges it, for that long.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from audio import jobs
from audio.addresses import is_address
from audio.digest import sha256_once
from audio.errors import AudioError, ToolkitError
from audio.executors import Workers
from audio.labels import LABELS
from audio.listing import Item
from audio.locking import alone_at
from audio.remote import local_copy
from audio.segments import SAMPLE_RATE
from model.bundle import find_bundle, read_bundle
from model.judging.detector import Detection, Detector
from model.judging.tables import COLUMNS, ERROR, FILE, RANGES, SCHEMA_VERSION, SPAN, Table
from model.points import model_sha256, point_of

JOURNAL_SUFFIX = ".journal"
"""What stands behind the name of the table, beside it."""


@dataclass(frozen=True)
class How:
    """With what files are judged."""

    model: Path
    operating_point: str | None = None
    runtime: str | None = None
    each_channel: bool = False

    def settings(self) -> str:
        """Everything that decides a row besides the file: a journal of other settings is refused."""
        bundle = read_bundle(find_bundle(self.model))
        point = json.dumps(point_of(bundle, self.operating_point).to_json(), sort_keys=True)
        return f"{SCHEMA_VERSION} {model_sha256(bundle)} {point} {self.runtime} {self.each_channel}"


def scan(
    items: Iterable[Item], out: Table, how: How, *, workers: Workers = 1, ordered: bool = True
) -> Iterator[list[jobs.Row]]:
    """Judge files and write their table, yielding the rows of each file as they are written.

    The table is whole only when the last was yielded.

    Parameters
    ----------
    items
        The files, each once; taken as they are judged.
    out
        The table.
    how
        The model, and how it judges.
    workers
        Number of processes, or another place to work.
    ordered
        Rows in the order of the files; False: as they are done.

    Raises
    ------
    UsageError
        When another process is writing this table, or it cannot be where it is to be.
    ToolkitError
        When there is no such model, the journal is of other settings, or the table cannot be written.
    """
    with alone_at(out.path), out.writing() as write:
        for rows in _scan(items, out.path, how, workers=workers, ordered=ordered):
            write(rows)
            yield rows


def _scan(items: Iterable[Item], out: Path, how: How, *, workers: Workers, ordered: bool) -> Iterator[list[jobs.Row]]:
    done = jobs.run(
        partial(_judged, how=how),
        items,
        key=lambda item: item.key,
        workers=workers,
        journal=out.with_name(out.name + JOURNAL_SUFFIX),
        title="files",
        settings=how.settings(),
        n_items=len(items) if isinstance(items, Sized) else None,
        ordered=ordered,
    )
    for rows in done:
        yield [_error_row(Item.parse(rows[0]["key"]), rows[0]["error"])] if "key" in rows[0] else rows


def _judged(item: Item, how: How) -> list[jobs.Row]:
    """Judge one file: its rows. Runs in a worker; raises `ToolkitError` for what cannot be judged."""
    if not is_address(item.path):
        if item.n_bytes < 0:
            raise AudioError(f"{item.path}: cannot be opened: No such file or directory")
        return _rows_of(item.path, {"path": item.path, "bytes": item.n_bytes}, how)
    with local_copy(item.path) as copy:
        try:
            return _rows_of(str(copy), {"path": item.path, "bytes": copy.stat().st_size}, how)
        except ToolkitError as error:
            raise AudioError(str(error).replace(str(copy), item.path)) from None


def _rows_of(path: str, about: Mapping[str, Any], how: How) -> list[jobs.Row]:
    detector = _detector(how.model, how.operating_point, how.runtime)
    about = {**about, "sha256": sha256_once(Path(path))}
    return [row for channel in _channels(path, how) for row in _rows(detector.detect(path, channel=channel), about)]


def _channels(path: str, how: How) -> Sequence[int | None]:
    from audio.reading import inspect

    return range(inspect(path).channels) if how.each_channel else (None,)


@lru_cache(maxsize=1)
def _detector(model: Path, operating_point: str | None, runtime: str | None) -> Detector:
    """Load the model once a process."""
    return Detector(model, operating_point=operating_point, runtime=runtime)


def _rows(found: Detection, about: Mapping[str, Any]) -> Iterator[jobs.Row]:
    """Lay out a result: a row for the file, and one for each of its spans."""
    quality = None if found.quality is None else found.quality.to_json()
    facts = {
        "label": found.label,
        **{f"p_{label}": _short(found.probabilities[label]) for label in LABELS},
        "reasons": " ".join(found.reasons),
        "warnings": " ".join(found.warnings),
        "duration_s": found.duration_s,
        "speech_s": quality and quality["speech_samples"] / SAMPLE_RATE,
        "bandwidth_hz": quality and quality["bandwidth_hz"],
        "snr_db": quality and _short(quality["snr_db"]),
        "model": found.model,
        "operating_point": found.operating_point,
    }
    yield _row(FILE, {**about, "channel": found.channel, **facts})
    for span in found.segments:
        start, end = span.start_range_s or (None, None), span.end_range_s or (None, None)
        where = {
            "label": span.label,
            "start_s": span.start_s,
            "end_s": span.end_s,
            "confidence": _short(span.confidence),
            **dict(zip(RANGES, (*start, *end), strict=True)),
        }
        yield _row(SPAN, {**about, "channel": found.channel, **where})


def _short(value: float | None) -> float | None:
    """Four digits behind the point: more are noise in a table, and differ between machines."""
    return None if value is None else round(value, 4)


def _error_row(item: Item, message: str) -> jobs.Row:
    n_bytes = item.n_bytes if item.n_bytes >= 0 else None
    return _row(ERROR, {"path": item.path, "bytes": n_bytes, "error": " ".join(message.split())})


def _row(kind: str, facts: Mapping[str, Any]) -> jobs.Row:
    known = {"row": kind, "schema_version": SCHEMA_VERSION, **facts}
    return {name: "" if known.get(name) is None else known[name] for name in COLUMNS}
