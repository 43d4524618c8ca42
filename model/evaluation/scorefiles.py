"""Anybody's score files: read in the common formats, and written in ours.

The first line of a file decides how the rest is read, and every other line must agree with it. Scores keep the
polarity of the file; `model.evaluation.joining` turns them. Text files may be gzipped, whatever their name.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress, islice, repeat
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from audio.atomic import replacing
from audio.corpora.lines import WORDS
from audio.errors import ToolkitError, UsageError
from audio.labels import FAKE, LABELS, REAL, label_index
from audio.segments import SAMPLE_RATE, Segment, n_frames
from model.evaluation.judged import Judged

COLUMNS = ("path", "score", "label", *LABELS)
"""The columns of our own scores.csv. `label` is the verdict, not the truth."""

DETECTION_VERSIONS = (1, 2, 3)
"""Values of `schema_version` of the rows of `script.py detect --json` that can be read."""

LINES_PER_CHUNK = 1_000
"""Lines in memory as cells at a time. With many more the garbage collector, which looks at each list of cells again
and again while they are alive, takes longer than all the rest."""

HEADER_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("id", "path", "file", "filename", "file_name", "name", "utterance", "utt_id", "clip"), "id"),
    **dict.fromkeys(("score", "cm-score", "cm_score"), "score"),
    **dict.fromkeys(("key", "cm-label", "cm_label"), "key"),
    **dict.fromkeys(("start", "start_s", "onset_s"), "start"),
    **dict.fromkeys(("end", "end_s", "offset_s"), "end"),
    **{name: name for name in ("label", *LABELS)},
}
"""What the columns of a file with a header mean, by their names in lower case; others are passed over."""

TIME_TOLERANCE_SAMPLES = 80
"""5 ms, half a unit of times printed with two decimals: how far a frame may lie from its place."""

JOINT_TOLERANCE_SAMPLES = 16
"""1 ms: how far apart the end of a frame and the start of the next may be written."""

MOST_SECONDS = 1e6
"""A time or a length beyond this is a broken file, not a recording."""

LARGEST_FRAME_SCORE = float(np.finfo(np.float32).max)
"""Frame scores are kept in float32."""

SUM_TOLERANCE = 0.02
"""How far three probabilities, rounded to two digits by whoever wrote them, may be from adding up to 1."""

TRIALS = ("target", "nontarget", "spoof")
"""What a trial of speaker verification can be, in the order that `read_asv_scores` returns them."""

FORMATS = (
    "'id score', 'id key score', 'id attack key score' or 'name start end score' (with or without a header),"
    " a table with the columns real, fake and hybrid, or the JSON lines of script.py detect --json"
)

Floats = npt.NDArray[np.float64]


class _Plain(Mapping[str, "ClipScores"]):
    """Clips of which there is a number and nothing else: millions of them take half the memory and time."""

    def __init__(self, scores: dict[str, float]) -> None:
        self._scores = scores

    def __getitem__(self, name: str) -> ClipScores:
        return ClipScores(self._scores[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._scores)

    def __len__(self) -> int:
        return len(self._scores)


class ClipScores(NamedTuple):
    """What a file says of one clip, with the polarity of the file; None where it does not say."""

    score: float | None = None
    probabilities: tuple[float, ...] | None = None
    """P(real), P(fake), P(hybrid)."""
    label: str | None = None
    """The verdict; the most probable class where there are only probabilities."""
    frames: npt.NDArray[np.float32] | None = None
    """float32 (n,); frame i starts at sample `i * hop_samples`."""
    hop_samples: int | None = None
    spans: tuple[Segment, ...] | None = None
    """The fake spans found, with their confidences."""
    n_samples: int = 0
    """Length of the recording as far as the file tells it, in samples at 16 kHz; 0 where it does not."""
    key: str | None = None
    """The truth that the file itself states (`bonafide` is real, `spoof` fake), to be checked against the labels."""
    reasons: tuple[str, ...] = ()
    """Why there is no verdict, or the message of an error."""
    failed: bool = False
    """Whether it could not be judged at all."""


@dataclass(frozen=True)
class Scores:
    """A score file."""

    kind: str
    """How it is written, for people."""
    clips: Mapping[str, ClipScores]
    """By id as written there, in the order of the file."""
    higher_is: str | None
    """The class that high scores speak for, `REAL` or `FAKE`; None where the format does not say."""
    notes: tuple[str, ...] = ()
    """What was found out about it, for people."""


def read_scores(path: str | os.PathLike[str], *, hop_samples: int | None = None) -> Scores:
    """Read a score file; what kind it is shows in its first line.

    ============================================  =========================================  ==============
    kind                                          first line, for example                    high scores are
    ============================================  =========================================  ==============
    id and score                                  `LA_E_1 -2.31` or `file,score`             not said
    ASVspoof 5: filename and cm-score             `filename<TAB>cm-score`                    real [1]_
    ASVspoof: id, attack and key before a score   `LA_E_1 A07 spoof -2.31`, `id - key score` real [1]_
    frame scores                                  `CON_E_1 0.00 0.02 0.57`                   not said
    scores.csv of this toolkit                    `path,score,label,real,fake,hybrid`        fake
    three-class table                             `file,real,fake,hybrid`                    fake
    results of script.py detect --json            `{"schema_version": 1, "path": ...`        fake
    NumPy archive (.npz) of clip scores           arrays `id` and `score`                    not said
    NumPy archive (.npz) of frame scores          one float array (n,) for each name         not said
    ============================================  =========================================  ==============

    Cells are parted by tabs, commas or white space, the first of them under which the first line makes sense; with
    tabs and commas, double quotes may surround a cell. A score made from probabilities is 1 - P(real).

    Parameters
    ----------
    path
        The file.
    hop_samples
        Samples at 16 kHz between two frames: needed for an archive of frame scores, which does not tell, and
        for nothing else.

    Raises
    ------
    ToolkitError
        Naming file and line: for a file that cannot be read, another format, a line that does not fit the first, a
        number that is none or not finite, an id that occurs twice, frames with gaps, overlaps or another hop.
    UsageError
        When an archive of frame scores comes without `hop_samples`, or anything else with it.

    References
    ----------
    .. [1] The organisers' scoring packages: `compute_eer(bona_cm, spoof_cm)` of tDCF_python (2019, 2021) and the
       evaluation plan of ASVspoof 5, section on metrics: log-likelihood ratios in favour of bona fide.
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        raise ToolkitError(
            f"{path}: expected an .npz of arrays, received .npy: names in it need pickle, which can run anybody's code"
        )
    if path.suffix.lower() == ".npz":
        return _read_archive(path, hop_samples)
    if hop_samples is not None:
        raise UsageError(f"{path}: expected no hop_samples, it is for .npz archives, received {hop_samples}")
    number, line = _first_line(path)
    if line.lstrip().startswith("{"):
        return _read_detections(path)
    layout = _recognise(path, number, line=line)
    return _read_frames(path, layout) if "start" in layout.roles else _read_clips(path, layout)


def read_asv_scores(path: str | os.PathLike[str]) -> tuple[Floats, Floats, Floats]:
    """Read the scores of a speaker verification system for min t-DCF, higher for the same speaker.

    Lines are `bonafide target 7.98`, `bonafide nontarget -3.2` or `A07 spoof 1.23`, as the organisers of ASVspoof
    2019 publish them; gzip is read too.

    Returns
    -------
    scores of target, nontarget and spoof trials, float64 (n,) each, none empty.

    Raises
    ------
    ToolkitError
        Naming file and line: for a file that cannot be read, a line of another form, an unknown trial, a score that
        is no finite number, or a kind of trial that does not occur.
    """
    path = Path(path)
    layout = _Layout("ASV scores", ("", "trial", "score"), " ")
    found: dict[str, list[Floats]] = {name: [] for name in TRIALS}
    for chunk in _chunks(path, layout):
        scores = np.array(chunk.floats("score"))
        trials = np.array(list(chunk.words("trial", dict(zip(TRIALS, TRIALS, strict=True)))))
        for name in TRIALS:
            found[name].append(scores[trials == name])
    joined = [np.concatenate(found[name] or [np.zeros(0)]) for name in TRIALS]
    if absent := [name for name, values in zip(TRIALS, joined, strict=True) if not len(values)]:
        raise ToolkitError(f"{path}: expected scores of {', '.join(TRIALS)} trials, received none of {absent[0]}")
    return joined[0], joined[1], joined[2]


def write_scores(path: str | os.PathLike[str], rows: Sequence[Judged]) -> None:
    """Write our own scores.csv, one line a clip, with all digits; an empty cell means that there is nothing.

    Raises
    ------
    ToolkitError
        When a path holds a line break.
    """
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for row in rows:
            numbers = (row.score, *(row.probabilities or (None,) * len(LABELS)))
            score, *shares = ("" if number is None else repr(float(number)) for number in numbers)
            table.writerow((_one_line(row.clip.path), score, row.label or "", *shares))


def write_frame_scores(path: str | os.PathLike[str], rows: Sequence[Judged]) -> None:
    """Write frame scores as lines `name start end score`, in seconds, with all digits; compressed for a .gz.

    Clips without frames are left out. A frame ends where the next begins, the last with the recording. Cells
    are parted by spaces, or by tabs as soon as a name holds white space, a comma or a quote.

    Raises
    ------
    ToolkitError
        When a path holds a tab or a line break.
    """
    held = [row for row in rows if row.frame_scores is not None and len(row.frame_scores)]
    plain = not any(set(row.clip.path) & set(',"') or len(row.clip.path.split()) > 1 for row in held)
    with replacing(path) as beside, beside.open("wb") as raw, _packed(raw, Path(path)) as file:
        for row in held:
            file.write("".join(_frame_lines(row, " " if plain else "\t")).encode())


# Which format it is


@dataclass(frozen=True)
class _Layout:
    """How the lines of a text file are to be read."""

    kind: str
    roles: tuple[str, ...]
    """What each column means, as in `HEADER_NAMES`; "" for one that is passed over."""
    delimiter: str
    """A space stands for white space of any length."""
    header: bool = False
    higher_is: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def may_be_empty(self) -> bool:
        """Whether a clip may be without scores: only our own files have a cell for everything."""
        return set(COLUMNS[1:]) <= set(self.roles)


def _recognise(path: Path, number: int, *, line: str) -> _Layout:
    """Find the format under which the first line makes sense."""
    for delimiter in "\t, ":
        cells = _cells(line, delimiter)
        if layout := _titled(cells, delimiter) or _untitled(cells, delimiter):
            return layout
    if [*line.split(), "", ""][1] in TRIALS:
        raise _wrong(
            path, number, expected="scores of clips (scores of speaker verification are read elsewhere)", received=line
        )
    raise _wrong(path, number, expected=FORMATS, received=line)


def _cells(line: str, delimiter: str) -> list[str]:
    """Cut a line; no cells where it cannot be cut."""
    if delimiter == " ":
        return line.split()
    try:
        return next(csv.reader([line.strip("\r\n")], delimiter=delimiter))
    except csv.Error:
        return []


def _titled(cells: Sequence[str], delimiter: str) -> _Layout | None:
    """Read a first line as a header; None when it is none."""
    titles = [cell.strip().lower() for cell in cells]
    roles = tuple(HEADER_NAMES.get(title, "") for title in titles)
    told = {role for role in roles if role}
    sorted_out = len(told) == sum(map(bool, roles))
    if not sorted_out or "id" not in told or not (set(LABELS) <= told or "score" in told):
        return None
    unread = [cell for cell, role in zip(cells, roles, strict=True) if not role]
    notes = (f"columns passed over: {', '.join(unread)}",) if unread else ()
    kind, higher_is = _titled_kind(tuple(titles), told)
    return _Layout(kind, roles, delimiter, header=True, higher_is=higher_is, notes=notes)


def _titled_kind(titles: tuple[str, ...], told: set[str]) -> tuple[str, str | None]:
    """Return the kind of a file with this header, and what its high scores speak for."""
    if {"start", "end", "score"} <= told:
        return "frame scores (name, start, end, score)", None
    if titles == COLUMNS:
        return "scores.csv of this toolkit", FAKE
    if set(LABELS) <= told:
        return "three-class table (real, fake, hybrid)", None if "score" in told else FAKE
    if titles[:2] == ("filename", "cm-score"):
        return "ASVspoof 5 (filename, cm-score)", REAL
    return "id and score", None


def _untitled(cells: Sequence[str], delimiter: str) -> _Layout | None:
    """Read a first line as data; None when it is no kind of it."""
    numeric = [_is_number(cell) for cell in cells]
    is_key = [cell.strip().lower() in WORDS for cell in cells]
    if len(cells) == 4 and all(numeric[1:]):
        return _Layout("frame scores (name, start, end, score)", ("id", "start", "end", "score"), delimiter)
    if len(cells) in (3, 4) and numeric[-1] and is_key[-2]:
        roles = ("id", "", "key", "score") if len(cells) == 4 else ("id", "key", "score")
        return _Layout("ASVspoof (id, attack, key, score)", roles, delimiter, higher_is=REAL)
    if len(cells) == 2 and numeric[1]:
        return _Layout("id and score", ("id", "score"), delimiter)
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# Lines of text, in chunks


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    """Open a text file, compressed or not; what goes wrong while it is read is one line."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            plain: Any = gzip.GzipFile(fileobj=raw) if packed else raw
            # utf-8-sig: editors on Windows put a byte order mark in front.
            with io.TextIOWrapper(plain, encoding="utf-8-sig", newline="") as file:
                yield file
    except UnicodeDecodeError:
        raise ToolkitError(f"{path}: expected text in UTF-8") from None
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise ToolkitError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _first_line(path: Path) -> tuple[int, str]:
    """Return number and text of the first line that is not blank."""
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                return number, line
    raise ToolkitError(f"{path}: expected scores, received an empty file")


class _Chunk(NamedTuple):
    """Some lines of a file, by column; without header and blank lines."""

    path: Path
    numbers: Sequence[int]
    """Of the lines, from 1."""
    cells: Mapping[str, tuple[str, ...]]
    """By what the column means."""

    def wrong(self, at: int, role: str, *, expected: str) -> ToolkitError:
        """The error for a cell, given by its place in this chunk."""
        return _wrong(self.path, self.numbers[at], expected=expected, received=self.cells[role][at])

    def floats(self, role: str) -> list[float]:
        """Turn a column into finite numbers."""
        cells = self.cells[role]
        try:
            values = list(map(float, cells))
        except ValueError:
            at = next(i for i, cell in enumerate(cells) if not _is_number(cell))
            raise self.wrong(at, role, expected="a number") from None
        finite = np.isfinite(values)
        if not finite.all():
            raise self.wrong(int(np.argmin(finite)), role, expected="a finite number")
        return values

    def filled(self, role: str) -> _Chunk:
        """The lines with something in a column."""
        cells = self.cells[role]
        return _Chunk(self.path, list(compress(self.numbers, cells)), {role: tuple(filter(None, cells))})

    def floats_or_none(self, role: str, *, may_be_empty: bool) -> Iterable[float | None]:
        """Turn a column, if there is one, into numbers; None for an empty cell where those are allowed."""
        if role not in self.cells:
            return repeat(None, len(self.numbers))
        if not may_be_empty:
            return self.floats(role)
        values = iter(self.filled(role).floats(role))
        return [next(values) if cell else None for cell in self.cells[role]]

    def words(self, role: str, known: Mapping[str, str], *, may_be_empty: bool = False) -> Iterable[str | None]:
        """Turn a column of words, if there is one, into our labels."""
        if role not in self.cells:
            return repeat(None, len(self.numbers))
        cells = self.cells[role]
        found = {cell: known.get(cell.strip().lower()) for cell in set(cells)}
        for at, cell in enumerate(cells):
            if found[cell] is None and (cell.strip() or not may_be_empty):
                raise self.wrong(at, role, expected=f"one of {', '.join(known)}")
        return map(found.__getitem__, cells)


def _chunks(path: Path, layout: _Layout) -> Iterator[_Chunk]:
    """Yield the lines of a file, `LINES_PER_CHUNK` at a time."""
    skip, seen = layout.header, 0
    with _opened(path) as file:
        rows = map(str.split, file) if layout.delimiter == " " else _quoted(file, layout.delimiter)
        while lines := list(islice(rows, LINES_PER_CHUNK)):
            numbers: Sequence[int] = range(seen + 1, seen + len(lines) + 1)
            seen += len(lines)
            if [] in lines:
                numbers, lines = list(compress(numbers, lines)), list(filter(None, lines))
            if skip and lines:
                numbers, lines, skip = numbers[1:], lines[1:], False
            if lines:
                yield _chunk(path, layout, numbers=numbers, lines=lines)


def _quoted(file: IO[str], delimiter: str) -> Iterator[list[str]]:
    return csv.reader(file, delimiter=delimiter, strict=True)


def _chunk(path: Path, layout: _Layout, *, numbers: Sequence[int], lines: Sequence[Sequence[str]]) -> _Chunk:
    width = len(layout.roles)
    if set(map(len, lines)) != {width}:
        at = next(i for i, line in enumerate(lines) if len(line) != width)
        raise _wrong(path, numbers[at], expected=f"{width} columns as in the first line", received=" ".join(lines[at]))
    columns = zip(layout.roles, zip(*lines, strict=True), strict=True)
    return _Chunk(path, numbers, {role: cells for role, cells in columns if role})


def _wrong(path: Path, number: int, *, expected: str, received: object) -> ToolkitError:
    text = received.strip() if isinstance(received, str) else repr(received)
    return ToolkitError(f"{path}:{number}: expected {expected}, received {text[:80]!r}")


# Scores of clips


def _read_clips(path: Path, layout: _Layout) -> Scores:
    """Read a file with one line a clip."""
    found: dict[str, Any] = {}
    plain = {"id", "score"} == {role for role in layout.roles if role}
    for chunk in _chunks(path, layout):
        ids = chunk.cells["id"]
        if len(set(ids)) < len(ids) or not found.keys().isdisjoint(ids):
            raise _twice(chunk, found)
        scores = chunk.floats("score") if plain else _clip_scores(chunk, layout)
        found.update(zip(ids, scores, strict=True))
    if not found:
        raise ToolkitError(f"{path}: expected scores, received nothing but a header")
    return Scores(layout.kind, _Plain(found) if plain else found, layout.higher_is, layout.notes)


def _twice(chunk: _Chunk, before: Iterable[str]) -> ToolkitError:
    """The error for the first id that is there already."""
    seen = set(before)
    for at, name in enumerate(chunk.cells["id"]):
        if name in seen:
            return chunk.wrong(at, "id", expected="each id once")
        seen.add(name)
    raise AssertionError("no id occurs twice")


def _clip_scores(chunk: _Chunk, layout: _Layout) -> Iterator[ClipScores]:
    """Yield what the lines say."""
    empty = layout.may_be_empty
    scores = chunk.floats_or_none("score", may_be_empty=empty)
    shares = [chunk.floats_or_none(label, may_be_empty=empty) for label in LABELS]
    verdicts = chunk.words("label", dict(zip(LABELS, LABELS, strict=True)), may_be_empty=True)
    keys = chunk.words("key", WORDS)
    for number, score, verdict, key, *parts in zip(chunk.numbers, scores, verdicts, keys, *shares, strict=True):
        probabilities = _probabilities(chunk.path, number, parts=parts)
        if probabilities is not None and score is None:
            score = 1.0 - probabilities[label_index(REAL)]
        yield ClipScores(score, probabilities, verdict or _largest(probabilities), key=key)


def _probabilities(path: Path, number: int, *, parts: Sequence[float | None]) -> tuple[float, ...] | None:
    """Check three probabilities; None when there are none."""
    if all(part is None for part in parts):
        return None
    known = tuple(part for part in parts if part is not None)
    if len(known) < len(parts) or min(known) < 0.0 or abs(sum(known) - 1.0) > SUM_TOLERANCE:
        raise _wrong(
            path, number, expected="probabilities of real, fake and hybrid that add up to 1", received=tuple(parts)
        )
    return known


def _largest(probabilities: tuple[float, ...] | None) -> str | None:
    return None if probabilities is None else LABELS[probabilities.index(max(probabilities))]


# Scores of frames


class _Frames(NamedTuple):
    """The frames of a file, those of a clip next to each other, in the order of the file."""

    numbers: npt.NDArray[np.int64]
    clip: npt.NDArray[np.int64]
    start: Floats
    """In samples at 16 kHz, not rounded, as `end`."""
    end: Floats
    score: Floats


def _read_frames(path: Path, layout: _Layout) -> Scores:
    """Read a file with one line a frame."""
    names: dict[str, int] = {}
    pieces = [_frame_chunk(chunk, names) for chunk in _chunks(path, layout)]
    if not pieces:
        raise ToolkitError(f"{path}: expected scores, received nothing but a header")
    joined = [np.concatenate(parts) for parts in zip(*pieces, strict=True)]
    order = np.argsort(joined[1], kind="stable")
    frames = _Frames(*(part[order] for part in joined))
    firsts = np.flatnonzero(np.diff(frames.clip, prepend=-1))
    _check_joints(path, frames, firsts=firsts, names=list(names))
    hop = _hop(path, frames, firsts=firsts)
    _check_places(path, frames, firsts=firsts, hop=hop, names=list(names))
    ends = np.append(firsts[1:], len(frames.clip))
    scores = frames.score.astype(np.float32)
    clips = {
        name: ClipScores(frames=scores[a:b], hop_samples=hop, n_samples=round(frames.end[b - 1]))
        for name, a, b in zip(names, firsts.tolist(), ends.tolist(), strict=True)
    }
    notes = (f"frames of {hop / SAMPLE_RATE * 1e3:g} ms", *layout.notes)
    return Scores(layout.kind, clips, layout.higher_is, notes)


def _frame_chunk(chunk: _Chunk, names: dict[str, int]) -> _Frames:
    """Turn the lines of a chunk into numbers; new names get the next number."""
    start, end, score = (np.array(chunk.floats(role)) for role in ("start", "end", "score"))
    clip = np.array([names.setdefault(name, len(names)) for name in chunk.cells["id"]], dtype=np.int64)
    bad = ~((start >= 0.0) & (start < end) & (end <= MOST_SECONDS))
    if bad.any():
        at = int(np.argmax(bad))
        received = f"{start[at]:g} and {end[at]:g}"
        raise _wrong(chunk.path, chunk.numbers[at], expected="0 <= start < end in seconds", received=received)
    if (huge := np.abs(score) > LARGEST_FRAME_SCORE).any():
        raise chunk.wrong(int(np.argmax(huge)), "score", expected="a score that float32 can hold")
    return _Frames(np.array(chunk.numbers, dtype=np.int64), clip, start * SAMPLE_RATE, end * SAMPLE_RATE, score)


def _hop(path: Path, frames: _Frames, *, firsts: npt.NDArray[np.int64]) -> int:
    """Derive the hop of a file from its clip with the most frames, in samples."""
    lengths = np.diff(firsts, append=len(frames.clip))
    longest = int(np.argmax(lengths))
    first, count = int(firsts[longest]), int(lengths[longest])
    last = first + count - 1
    if count == 1:
        hop = round(frames.end[first] - frames.start[first])
    else:
        hop = round((frames.start[last] - frames.start[first]) / (count - 1))
    if hop < 1:
        raise _wrong(
            path, int(frames.numbers[first]), expected="frames in order of time", received=f"a hop of {hop} samples"
        )
    return hop


def _check_joints(path: Path, frames: _Frames, *, firsts: npt.NDArray[np.int64], names: Sequence[str]) -> None:
    """Raise for the first frame that does not start where the one before it ends."""
    before = np.roll(frames.end, 1)
    apart = np.abs(frames.start - before) > JOINT_TOLERANCE_SAMPLES
    apart[firsts] = False
    if apart.any():
        at = _first_line_of(frames, apart)
        what = "a gap" if frames.start[at] > before[at] else "an overlap"
        raise ToolkitError(
            f"{path}:{frames.numbers[at]}: expected a frame of {names[frames.clip[at]]!r} from"
            f" {before[at] / SAMPLE_RATE:g} s, where the one before it ends, received one from"
            f" {frames.start[at] / SAMPLE_RATE:g} s: {what}"
        )


def _check_places(
    path: Path, frames: _Frames, *, firsts: npt.NDArray[np.int64], hop: int, names: Sequence[str]
) -> None:
    """Raise for the first frame that is not where the hop puts it."""
    lengths = np.diff(firsts, append=len(frames.clip))
    places = (np.arange(len(frames.clip)) - np.repeat(firsts, lengths)) * hop
    tolerance = min(TIME_TOLERANCE_SAMPLES, hop / 2) + 0.01
    bad = np.abs(frames.start - places) > tolerance
    # The last frame ends with the recording: up to half a hop behind its own end (`audio.segments.n_frames`).
    lasts = firsts + lengths - 1
    bad[lasts] |= frames.end[lasts] - frames.start[lasts] > 1.5 * hop + tolerance
    if bad.any():
        at = _first_line_of(frames, bad)
        raise ToolkitError(
            f"{path}:{frames.numbers[at]}: expected frames of {hop / SAMPLE_RATE:g} s throughout (a whole number of"
            f" samples at 16 kHz), this one of {names[frames.clip[at]]!r} from {places[at] / SAMPLE_RATE:g} s,"
            f" received {frames.start[at] / SAMPLE_RATE:g} to {frames.end[at] / SAMPLE_RATE:g} s"
        )


def _first_line_of(frames: _Frames, marked: npt.NDArray[np.bool_]) -> int:
    """Index of that one of the marked frames which comes first in the file."""
    return int(np.argmin(np.where(marked, frames.numbers, np.iinfo(np.int64).max)))


# Results of script.py detect --json


def _read_detections(path: Path) -> Scores:
    """Read the rows of `Detection.to_row`."""
    clips: dict[str, ClipScores] = {}
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            name, found = _placed(path, number, line=line)
            if name in clips:
                raise _wrong(path, number, expected="each path once", received=name)
            clips[name] = found
    return Scores("results of script.py detect --json", clips, FAKE)


def _placed(path: Path, number: int, *, line: str) -> tuple[str, ClipScores]:
    """Parse a row; whatever is wrong with it is one line."""
    try:
        return _detection(line)
    except RecursionError:
        raise _wrong(
            path, number, expected="a row of script.py detect --json", received="an object in too many others"
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:  # SegmentError is a ValueError
        what = f"a row without {error}" if isinstance(error, KeyError) else str(error)
        raise _wrong(path, number, expected="a row of script.py detect --json", received=what) from None


def _detection(line: str) -> tuple[str, ClipScores]:
    """Read one row; raises ValueError and the like for anything strange."""
    row = json.loads(line)
    if row["schema_version"] not in DETECTION_VERSIONS:
        raise ValueError(f"schema_version {row['schema_version']!r}")
    name = row["path"]
    if not isinstance(name, str):
        raise ValueError(f"path {name!r}")
    if "error" in row:
        return name, ClipScores(reasons=(str(row["error"]),), failed=True)
    length = float(row["duration_s"])
    if not 0.0 <= length <= MOST_SECONDS:
        raise ValueError(f"duration_s {length}")
    n_samples, reasons = round(length * SAMPLE_RATE), tuple(map(str, row["reasons"]))
    if row["label"] is None:
        return name, ClipScores(n_samples=n_samples, reasons=reasons)
    probabilities = tuple(float(row["probabilities"][label]) for label in LABELS)
    if row["label"] not in LABELS or not all(0.0 <= part <= 1.0 for part in probabilities):
        raise ValueError(f"label {row['label']!r} with probabilities {probabilities}")
    spans = tuple(_span(facts) for facts in row["segments"])
    # Rows had no score of their own before version 3.
    score = 1.0 - probabilities[label_index(REAL)] if row.get("score") is None else float(row["score"])
    return name, ClipScores(score, probabilities, row["label"], spans=spans, n_samples=n_samples, reasons=reasons)


def _span(facts: Mapping[str, Any]) -> Segment:
    start_s, end_s = float(facts["start_s"]), float(facts["end_s"])
    if not 0.0 <= start_s < end_s <= MOST_SECONDS:
        raise ValueError(f"a segment from {start_s} to {end_s} s")
    return Segment(round(start_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE), facts["label"], facts["confidence"])


# NumPy archives


def _read_archive(path: Path, hop_samples: int | None) -> Scores:
    """Read an .npz: arrays `id` and `score`, or one array of frame scores for each name."""
    arrays = _arrays(path)
    if set(arrays) == {"id", "score"}:
        if hop_samples is not None:
            raise UsageError(f"{path}: expected no hop_samples for scores of clips, received {hop_samples}")
        return _archive_of_clips(path, ids=arrays["id"], scores=arrays["score"])
    if hop_samples is None or hop_samples < 1:
        raise UsageError(
            f"{path}: expected hop_samples, the samples at 16 kHz between two frames, which an archive of frame scores"
            f" does not tell, received {hop_samples}"
        )
    clips = {
        name: ClipScores(frames=_float_array(path, name, values=values).astype(np.float32), hop_samples=hop_samples)
        for name, values in arrays.items()
    }
    return Scores("NumPy archive of frame scores", clips, None, (f"frames of {hop_samples / 16:g} ms",))


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Load every array; nothing that needs pickle."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise ToolkitError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error):
        raise ToolkitError(f"{path}: expected an .npz of plain arrays, without pickle, received another file") from None
    if not arrays:
        raise ToolkitError(f"{path}: expected scores, received an empty archive")
    return arrays


def _archive_of_clips(path: Path, *, ids: npt.NDArray[Any], scores: npt.NDArray[Any]) -> Scores:
    values = _float_array(path, "score", values=scores).astype(np.float64)
    if ids.dtype.kind != "U" or ids.shape != values.shape:
        received = f"{ids.dtype} {ids.shape}"
        raise ToolkitError(f"{path}: id: expected text of the shape {values.shape} of score, received {received}")
    clips = dict(zip(ids.tolist(), map(ClipScores, values.tolist()), strict=True))
    if len(clips) < len(ids):
        raise ToolkitError(f"{path}: id: expected each once, received {len(ids)} of which {len(clips)} differ")
    return Scores("NumPy archive of clip scores", clips, None)


def _float_array(path: Path, name: str, *, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Check that an array holds scores, which float32 can hold too."""
    sound = values.dtype.kind == "f" and values.ndim == 1
    if not sound or not (np.abs(values) <= LARGEST_FRAME_SCORE).all():
        received = f"{values.dtype} {values.shape}" if not sound else "others"
        raise ToolkitError(f"{path}: {name}: expected finite floats of the shape (n,), received {received}")
    return values


# Writing


def _one_line(name: str, *, strange: str = "\r\n") -> str:
    if set(name) & set(strange):
        raise ToolkitError(f"path: expected one without tabs and line breaks, received {name!r}")
    return name


def _frame_lines(row: Judged, delimiter: str) -> Iterator[str]:
    """Yield the lines of one clip, which has frames."""
    frames = row.frame_scores if row.frame_scores is not None else np.zeros(0, np.float32)
    edges = np.arange(len(frames) + 1) * row.hop_samples
    if n_frames(row.n_samples, row.hop_samples) == len(frames):
        edges[-1] = row.n_samples
    name = _one_line(row.clip.path, strange="\t\r\n")
    times = [repr(edge / SAMPLE_RATE) for edge in edges.tolist()]
    for start, end, score in zip(times[:-1], times[1:], frames.tolist(), strict=True):
        yield delimiter.join((name, start, end, f"{score!r}\n"))


@contextmanager
def _packed(raw: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    """Compress what is written for a name that ends in .gz; the same scores give the same bytes."""
    if path.suffix.lower() != ".gz":
        yield raw
        return
    with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as packed:
        yield packed  # type: ignore[misc]
