"""Judging an archive: many files to one table, over days, kills and machines.

    files -> items (path, size, time of change) -> rows: one a file, one a span -> results.csv
                                  |
                                  results.csv.journal remembers what is done

A file is judged once: as long as its path, size and time of change and the model are the same, a second run takes its
rows from the journal, whatever stopped the first. The table is written beside its place, in the order of the files,
and moved onto it at the end: a broken run and an unbroken one leave the same bytes.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, Any

from audio import jobs
from audio.digest import file_sha256
from audio.errors import AudioError, ToolkitError, UsageError
from audio.executors import Workers
from audio.labels import LABELS
from audio.locking import alone_at
from audio.segments import SAMPLE_RATE
from model.bundle import find_bundle, read_bundle
from model.judging.detector import Detection, Detector
from model.points import model_sha256, point_of

SCHEMA_VERSION = 1
"""Version of the table. A column may be added at its end; a new version says when others change."""

FILE, SPAN, ERROR = "file", "span", "error"
"""Kinds of rows: a verdict or an abstention, one of its fake spans, a file that could not be judged."""

RANGES = ("start_low_s", "start_high_s", "end_low_s", "end_high_s")
"""Columns for where the ends of a span may lie as well."""

COLUMNS = (
    *("row", "path", "channel", "label", "p_real", "p_fake", "p_hybrid"),
    *("start_s", "end_s", "confidence", *RANGES),
    *("reasons", "warnings", "duration_s", "speech_s", "bandwidth_hz", "snr_db", "bytes", "sha256"),
    *("model", "operating_point", "error", "schema_version"),
)

JOURNAL_SUFFIX, PART_SUFFIX = ".journal", ".part"
"""What stands behind the name of the table, while and after it is made."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file to judge, as it was when the scan began; -1 bytes: it was not there."""

    path: str
    n_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str) -> Item:
        """Look at a file."""
        try:
            facts = os.stat(path)
        except OSError:
            return cls(path, -1, 0)
        return cls(path, facts.st_size, facts.st_mtime_ns)

    @property
    def key(self) -> str:
        """What a second run knows it by."""
        return f"{self.n_bytes} {self.mtime_ns} {self.path}"


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


def scan(paths: Iterable[str], out: Path, how: How, *, workers: Workers = 1) -> Iterator[list[jobs.Row]]:
    """Judge files and write their table, yielding the rows of each file as they are written.

    The table is whole only when the last was yielded.

    Parameters
    ----------
    paths
        The files, each once.
    out
        The table.
    how
        The model, and how it judges.
    workers
        Number of processes, or another place to work.

    Raises
    ------
    UsageError
        When another process is writing this table.
    ToolkitError
        When there is no such model, the journal is of other settings, or the table cannot be written.
    """
    with alone_at(out):
        yield from _scan(paths, out, how, workers=workers)


def _scan(paths: Iterable[str], out: Path, how: How, *, workers: Workers) -> Iterator[list[jobs.Row]]:
    items = [Item.of(path) for path in dict.fromkeys(paths)]
    done = jobs.run(
        partial(_judged, how=how),
        items,
        key=lambda item: item.key,
        workers=workers,
        journal=out.with_name(out.name + JOURNAL_SUFFIX),
        title="files",
        settings=how.settings(),
    )
    beside = out.with_name(out.name + PART_SUFFIX)
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            table = _table(file)
            for item, rows in zip(items, done, strict=True):
                found = [_error_row(item, rows[0]["error"])] if "key" in rows[0] else rows
                table.writerows(found)
                yield found
        os.replace(beside, out)
    except OSError as error:
        raise ToolkitError(f"{out}: cannot be written: {error.strerror}") from None


def merge(tables: Sequence[Path], out: Path) -> int:
    """Join tables of several machines into one, in the order given; return how many files it tells of.

    Raises
    ------
    UsageError
        When one file is told of in two tables, or their models differ: which one is right, only a person knows.
    ToolkitError
        When one is no such table, or the new one cannot be written.
    """
    seen: dict[str, Path] = {}
    models: dict[tuple[str, str], Path] = {}
    beside = out.with_name(out.name + PART_SUFFIX)
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            table = _table(file)
            for place in tables:
                for row in _read(place):
                    _check_merge(row, place, seen, models)
                    table.writerow(row)
        os.replace(beside, out)
    except OSError as error:
        raise ToolkitError(f"{error.filename or out}: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)
    return len(seen)


def _check_merge(
    row: Mapping[str, str], place: Path, seen: dict[str, Path], models: dict[tuple[str, str], Path]
) -> None:
    if seen.setdefault(row["path"], place) != place:
        told = f"{row['path']} in {seen[row['path']]} and {place}"
        raise UsageError(f"merge: expected each file in one table, received {told}")
    if row["row"] == FILE:
        models.setdefault((row["model"], row["operating_point"]), place)
    if len(models) > 1:
        told = " and ".join(f"{model} at {point} in {where}" for (model, point), where in models.items())
        raise UsageError(f"merge: expected tables of one model, received {told}")


def _read(place: Path) -> Iterator[dict[str, str]]:
    with place.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ToolkitError(f"{place}: expected a table of script.py scan, received other columns")
        yield from reader


def _table(file: IO[str]) -> csv.DictWriter[str]:
    table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    table.writeheader()
    return table


def _judged(item: Item, how: How) -> list[jobs.Row]:
    """Judge one file: its rows. Runs in a worker; raises `ToolkitError` for what cannot be judged."""
    if item.n_bytes < 0:
        raise AudioError(f"{item.path}: cannot be opened: No such file or directory")
    detector = _detector(how.model, how.operating_point, how.runtime)
    about = {"path": item.path, "bytes": item.n_bytes, "sha256": file_sha256(Path(item.path))}
    return [
        row for channel in _channels(item, how) for row in _rows(detector.detect(item.path, channel=channel), about)
    ]


def _channels(item: Item, how: How) -> Sequence[int | None]:
    from audio.reading import inspect

    return range(inspect(item.path).channels) if how.each_channel else (None,)


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


