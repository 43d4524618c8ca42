"""Label files that people and their programs read: CSV, JSON, RTTM, Audacity, Praat and SRT, written and read back.

    name       files      recordings   times               who reads it
    csv        .csv       many         exact               spreadsheets
    json       .jsonl     many         exact               programs
    rttm       .rttm      many         exact               diarisation tools (NIST RT-09 evaluation plan)
    audacity   .txt       one          exact               Audacity's label tracks
    textgrid   .TextGrid  one          exact               Praat ("TextGrid file formats" in its manual)
    srt        .srt       one          to the millisecond  video players

Only fake spans are written, as `fake 0.88` where they have a confidence; what reads back may be corrected by hand and
then also hold spans marked `real`. Formats for one recording do not say which one it was: their files are named after
it. RTTM has no line for a recording without a span.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from audio.atomic import replacing
from audio.errors import ManifestError, SegmentError, UsageError
from audio.labels import LABELS
from audio.segments import SAMPLE_RATE, SEGMENT_LABELS, Segment

SCHEMA_VERSION = 1
"""Version of the lines that format json writes."""

CSV_COLUMNS = ("path", "channel", "label", "duration_s", "start_s", "end_s", "span_label", "confidence")
"""One line a span; a recording without one has a line without a span."""

RTTM_HEADER = ";; type file channel onset_s duration_s orthography subtype name confidence lookahead"

UNKNOWN = "<NA>"
"""What RTTM has for a field that does not apply."""

TIER = "fake spans"
"""Name of the tier in TextGrids; files that have other tiers too are read at this one."""


@dataclass(frozen=True)
class Labelled:
    """What a label file says of one recording."""

    path: str = ""
    """As the file has it; "" where the format does not say."""
    spans: tuple[Segment, ...] = ()
    """In samples at 16 kHz, in order of time."""
    n_samples: int = 0
    """Length of the recording in samples at 16 kHz; 0: unknown."""
    label: str = ""
    """One of `audio.labels.LABELS`; "": unknown."""
    channel: int | None = None
    """Which channel of it, from 0; None: the mean of all. RTTM counts from 1 and has no mean."""


@dataclass(frozen=True)
class Format:
    """A kind of label file: how its text is made, and what is in it."""

    suffix: str
    many: bool
    """Whether one file may hold several recordings."""
    compose: Callable[[Sequence[Labelled]], str]
    parse: Callable[[str], list[Labelled]]


def write_labels(path: str | os.PathLike[str], labelled: Sequence[Labelled], *, format: str) -> None:
    """Write a label file, whole or not at all.

    Parameters
    ----------
    path
        Where to; the folder is made if needed.
    labelled
        The recordings: for formats of one recording exactly one.
    format
        One of `FORMATS`.

    Raises
    ------
    UsageError
        For an unknown format, or several recordings in a format of one.
    ManifestError
        When the file cannot be written.
    """
    text = compose(labelled, format=format)
    try:
        with replacing(path) as beside:
            beside.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise ManifestError(f"{path}: cannot be written: {error.strerror}") from None


def compose(labelled: Sequence[Labelled], *, format: str) -> str:
    """Return the text of a label file. Parameters and errors are those of `write_labels`."""
    kind = _format(format)
    if not kind.many and len(labelled) != 1:
        raise UsageError(f"{format}: expected one recording a file, received {len(labelled)}")
    return kind.compose(labelled)


def read_labels(path: str | os.PathLike[str], *, format: str | None = None) -> list[Labelled]:
    """Read a label file, in the order in which it names recordings.

    Parameters
    ----------
    path
        The file: UTF-8, or UTF-16 with its mark, as Praat writes it.
    format
        One of `FORMATS`; None: what the end of its name says.

    Raises
    ------
    UsageError
        For an unknown format, or a name that says nothing.
    ManifestError
        Naming the file: when it cannot be read, or something in it cannot be understood.
    """
    kind = _format(format or _format_of(Path(path)))
    try:
        data = Path(path).read_bytes()
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        return kind.parse(text)
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ManifestError(f"{path}: expected text in UTF-8 or UTF-16") from None
    except (ManifestError, SegmentError) as error:
        raise ManifestError(f"{path}: {error}") from None


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise UsageError(f"format: expected one of {', '.join(FORMATS)}, received {name!r}")
    return FORMATS[name]


def _format_of(path: Path) -> str:
    suffix = path.suffix.lower()
    for name, kind in FORMATS.items():
        if suffix == kind.suffix.lower():
            return name
    if suffix == ".json":
        return "json"
    known = ", ".join(kind.suffix for kind in FORMATS.values())
    raise UsageError(f"{path}: expected a label file, {known}, or --format")


def seconds(n_samples: int) -> str:
    """Return samples as seconds, exactly: one sample is 0.0000625 s."""
    return f"{n_samples / SAMPLE_RATE:.7f}".rstrip("0").rstrip(".")


def _samples(text: str | float, where: str) -> int:
    try:
        return round(float(text) * SAMPLE_RATE)
    except (ValueError, OverflowError, TypeError):
        raise ManifestError(f"{where}: expected seconds, received {text!r}") from None


def _words(span: Segment) -> str:
    """What stands at a span where a person reads it."""
    return span.label if span.confidence is None else f"{span.label} {span.confidence:.4f}"


def _span(onset: int, offset: int, words: str, where: str) -> Segment | None:
    """Turn what stands at a span into one; None where nothing stands there."""
    label, *rest = words.split() or [""]
    if not label:
        return None
    confidence = _confidence(rest[0], where) if rest else None
    if label.lower() not in SEGMENT_LABELS or len(rest) > 1:
        expected = "fake or real, perhaps with a confidence"
        raise ManifestError(f"{where}: expected {expected}, received {words!r}")
    return _segment(onset, offset, label.lower(), confidence, where)


def _segment(onset: int, offset: int, label: str, confidence: float | None, where: str) -> Segment:
    try:
        return Segment(onset, offset, label, confidence)
    except SegmentError as error:
        raise ManifestError(f"{where}: {error}") from None


def _confidence(text: object, where: str) -> float | None:
    if text in (None, "", UNKNOWN):
        return None
    try:
        return float(str(text))
    except ValueError:
        raise ManifestError(f"{where}: expected a confidence of 0 to 1, received {text!r}") from None


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Yield lines that are not empty, with what to call them."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield f"line {number}", line


# CSV and JSON: several recordings, one line a span or one a recording.


def _compose_csv(labelled: Sequence[Labelled]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for each in labelled:
        channel = "" if each.channel is None else each.channel
        about = [each.path, channel, each.label, seconds(each.n_samples) if each.n_samples else ""]
        for span in each.spans:
            sure = "" if span.confidence is None else repr(span.confidence)
            writer.writerow([*about, seconds(span.onset), seconds(span.offset), span.label, sure])
        if not each.spans:
            writer.writerow([*about, "", "", "", ""])
    return file.getvalue()


def _parse_csv(text: str) -> list[Labelled]:
    reader = csv.DictReader(io.StringIO(text))
    if missing := [name for name in ("path", "start_s", "end_s") if name not in (reader.fieldnames or ())]:
        raise ManifestError(f"expected the columns path, start_s and end_s, missing: {', '.join(missing)}")
    found: dict[tuple[str, str], list[tuple[str, dict[str, str]]]] = {}
    for cells in reader:
        one = cells["path"] or "", cells.get("channel") or ""
        found.setdefault(one, []).append((f"line {reader.line_num}", cells))
    return [_of_cells(path, rows) for (path, _), rows in found.items()]


def _of_cells(path: str, rows: Sequence[tuple[str, Mapping[str, str]]]) -> Labelled:
    """One recording, of the lines that name it."""
    spans = []
    for where, cells in rows:
        if cells["start_s"] or cells["end_s"]:
            bounds = _samples(cells["start_s"], where), _samples(cells["end_s"], where)
            label = cells.get("span_label") or "fake"
            spans.append(_segment(*bounds, label, _confidence(cells.get("confidence"), where), where))
    where, first = rows[0]
    length = _samples(first["duration_s"], where) if first.get("duration_s") else 0
    label, channel = _known(first.get("label") or "", where), _channel(first.get("channel"), where)
    return Labelled(path, tuple(sorted(spans)), length, label, channel)


def _channel(text: object, where: str) -> int | None:
    if text in (None, ""):
        return None
    if not str(text).isdigit():
        raise ManifestError(f"{where}: expected a channel, 0 or more, received {text!r}")
    return int(str(text))


def _known(label: str, where: str) -> str:
    if label and label not in LABELS:
        raise ManifestError(f"{where}: expected a label of {', '.join(LABELS)}, received {label!r}")
    return label


def _compose_json(labelled: Sequence[Labelled]) -> str:
    rows = [
        {
            "schema_version": SCHEMA_VERSION,
            "path": each.path,
            "channel": each.channel,
            "label": each.label or None,
            "duration_s": each.n_samples / SAMPLE_RATE if each.n_samples else None,
            "segments": [
                {"start_s": s.onset_s, "end_s": s.offset_s, "label": s.label, "confidence": s.confidence}
                for s in each.spans
            ],
        }
        for each in labelled
    ]
    return "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)


def _parse_json(text: str) -> list[Labelled]:
    """Read lines of objects, or one array of them; rows of `script.py detect --json` are such objects."""
    if text.lstrip().startswith("["):
        rows = [(f"entry {k}", row) for k, row in enumerate(_json(text, "the file"), 1)]
    else:
        rows = [(where, _json(line, where)) for where, line in _lines(text)]
    return [_of_row(where, row) for where, row in rows if not (isinstance(row, dict) and "error" in row)]


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ManifestError(f"{where}: expected JSON: {error}") from None


def _of_row(where: str, row: Any) -> Labelled:
    try:
        spans = [
            _segment(
                _samples(span["start_s"], where),
                _samples(span["end_s"], where),
                span.get("label", "fake"),
                _confidence(span.get("confidence"), where),
                where,
            )
            for span in row["segments"]
        ]
        length = _samples(row.get("duration_s") or 0, where)
        label, channel = _known(row.get("label") or "", where), _channel(row.get("channel"), where)
        return Labelled(str(row["path"]), tuple(sorted(spans)), length, label, channel)
    except (KeyError, TypeError, AttributeError):
        raise ManifestError(f"{where}: expected an object with path and segments") from None


# RTTM: several recordings, one line a span.


def _compose_rttm(labelled: Sequence[Labelled]) -> str:
    lines = [RTTM_HEADER]
    for each in labelled:
        name = quote(each.path, safe="/:@+,~") or "-"  # a file's name must not fall into fields
        for span in each.spans:
            sure = UNKNOWN if span.confidence is None else f"{span.confidence:.4f}"
            place = f"{(each.channel or 0) + 1} {seconds(span.onset)} {seconds(span.duration)}"
            lines.append(f"SPEAKER {name} {place} {UNKNOWN} {UNKNOWN} {span.label} {sure} {UNKNOWN}")
    return "\n".join(lines) + "\n"


def _parse_rttm(text: str) -> list[Labelled]:
    found: dict[str, list[Segment]] = {}
    for where, line in _lines(text):
        fields = line.split()
        if fields[0].startswith(";;") or fields[0] != "SPEAKER":
            continue
        if len(fields) < 8:
            raise ManifestError(f"{where}: expected ten fields, received {len(fields)}")
        onset, length = _samples(fields[3], where), _samples(fields[4], where)
        label, sure = fields[7], fields[8] if len(fields) > 8 else UNKNOWN
        name = unquote(fields[1])
        segment = _segment(onset, onset + length, label, _confidence(sure, where), where)
        found.setdefault(name, []).append(segment)
    return [Labelled(name, tuple(sorted(spans))) for name, spans in found.items()]


# Audacity, Praat, SRT: one recording a file.


def _compose_audacity(labelled: Sequence[Labelled]) -> str:
    return "".join(f"{seconds(s.onset)}\t{seconds(s.offset)}\t{_words(s)}\n" for s in labelled[0].spans)


def _parse_audacity(text: str) -> list[Labelled]:
    found = []
    for where, line in _lines(text):
        if line.startswith("\\"):
            continue  # the frequencies of a spectral selection, on a line behind its label's
        fields = line.split("\t")
        if len(fields) < 2:
            raise ManifestError(f"{where}: expected a start, an end and a label between tabs, received {line!r}")
        words = fields[2] if len(fields) > 2 else ""
        found.append(_span(_samples(fields[0], where), _samples(fields[1], where), words, where))
    return [_alone(found)]


def _alone(found: Iterable[Segment | None], n_samples: int = 0) -> Labelled:
    return Labelled(spans=tuple(sorted(span for span in found if span is not None)), n_samples=n_samples)


def _compose_textgrid(labelled: Sequence[Labelled]) -> str:
    """Intervals from 0 to the end, empty where nothing is fake: Praat refuses tiers with holes."""
    spans = labelled[0].spans
    end = max(labelled[0].n_samples, 1, *(span.offset for span in spans)) if spans else max(labelled[0].n_samples, 1)
    intervals: list[tuple[int, int, str]] = []
    at = 0
    for span in spans:
        if span.onset < at:
            raise ManifestError(f"textgrid: expected spans that do not overlap, received {span}")
        if span.onset > at:
            intervals.append((at, span.onset, ""))
        intervals.append((span.onset, span.offset, _words(span)))
        at = span.offset
    if at < end:
        intervals.append((at, end, ""))
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += ["xmin = 0", f"xmax = {seconds(end)}", "tiers? <exists>", "size = 1", "item []:", "    item [1]:"]
    lines += ['        class = "IntervalTier"', f'        name = "{TIER}"', "        xmin = 0"]
    lines += [f"        xmax = {seconds(end)}", f"        intervals: size = {len(intervals)}"]
    for k, (onset, offset, words) in enumerate(intervals, 1):
        lines += [f"        intervals [{k}]:", f"            xmin = {seconds(onset)}"]
        lines += [f"            xmax = {seconds(offset)}", f'            text = "{words}"']
    return "\n".join(lines) + "\n"


_PRAAT = re.compile(r'"((?:[^"]|"")*)"|(?<!\S)(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?!\S)|(?<!\S)(<exists>|<absent>)')
"""What counts in a text file of Praat, long or short: quoted texts, numbers and flags that stand free."""


def _parse_textgrid(text: str) -> list[Labelled]:
    words = iter([(m[1].replace('""', '"') if m[1] is not None else m[2] or m[3]) for m in _PRAAT.finditer(text)])
    try:
        if (next(words), next(words)) != ("ooTextFile", "TextGrid"):
            raise ManifestError('expected a text file of Praat that begins with "ooTextFile" and "TextGrid"')
        _, end, _, n_tiers = [next(words) for _ in range(4)]
        tiers = dict(_tier(words) for _ in range(int(n_tiers)))
    except (StopIteration, ValueError):
        raise ManifestError("the TextGrid ends early") from None
    named = {name: intervals for name, intervals in tiers.items() if intervals is not None}
    if not named:
        raise ManifestError("expected a tier of intervals, received none")
    name = TIER if TIER in named else next(iter(named))
    found = []
    for k, (onset, offset, said) in enumerate(named[name], 1):
        where = f"interval {k} of {name!r}"
        found.append(_span(_samples(onset, where), _samples(offset, where), said, where))
    return [_alone(found, _samples(end, "xmax"))]


def _tier(words: Iterator[str]) -> tuple[str, list[tuple[str, str, str]] | None]:
    """Read one tier: its name, and start, end and text of its intervals; None for a tier of points."""
    kind, name, _, _, size = [next(words) for _ in range(5)]
    if kind != "IntervalTier":
        _ = [next(words) for _ in range(2 * int(size))]
        return name, None
    return name, [(next(words), next(words), next(words)) for _ in range(int(size))]


def _compose_srt(labelled: Sequence[Labelled]) -> str:
    entries = [
        f"{k}\n{_clock(span.onset)} --> {_clock(span.offset)}\n{_words(span)}\n"
        for k, span in enumerate(labelled[0].spans, 1)
    ]
    return "\n".join(entries)


def _clock(n_samples: int) -> str:
    """Samples as hours:minutes:seconds,milliseconds."""
    ms = round(n_samples * 1_000 / SAMPLE_RATE)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1_000 % 60:02},{ms % 1_000:03}"


_SRT_TIMES = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{1,3})\s*-->\s*(\d+):(\d\d):(\d\d)[,.](\d{1,3})")


def _parse_srt(text: str) -> list[Labelled]:
    found = []
    for k, entry in enumerate(re.split(r"\n\s*\n", text.strip().replace("\r\n", "\n")), 1):
        if not entry.strip():
            continue
        where = f"subtitle {k}"
        times = _SRT_TIMES.search(entry)
        if times is None:
            raise ManifestError(f"{where}: expected times like 00:00:03,420 --> 00:00:04,100, received {entry!r}")
        onset, offset = (
            (int(h) * 3_600 + int(m) * 60 + int(s)) * SAMPLE_RATE + int(ms.ljust(3, "0")) * SAMPLE_RATE // 1_000
            for h, m, s, ms in (times.groups()[:4], times.groups()[4:])
        )
        found.append(_span(onset, offset, " ".join(entry[times.end() :].split()), where))
    return [_alone(found)]


FORMATS: Mapping[str, Format] = {
    "csv": Format(".csv", True, _compose_csv, _parse_csv),
    "json": Format(".jsonl", True, _compose_json, _parse_json),
    "rttm": Format(".rttm", True, _compose_rttm, _parse_rttm),
    "audacity": Format(".txt", False, _compose_audacity, _parse_audacity),
    "textgrid": Format(".TextGrid", False, _compose_textgrid, _parse_textgrid),
    "srt": Format(".srt", False, _compose_srt, _parse_srt),
}
"""All formats, by name."""
