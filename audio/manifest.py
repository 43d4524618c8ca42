"""What a set of recordings holds: one `Clip` a line in `manifest.jsonl`, a table, or plain folders named by class.

A line is a JSON object that begins with `schema_version`; the other keys are the fields of `Clip`. Paths are
relative to the folder of the manifest, so a set can be moved, and never leave it, so a set from a stranger
cannot make us read other files. Formats are promises: a file of any version must always read.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from audio import shards
from audio.atomic import replacing
from audio.errors import ManifestError, SegmentError
from audio.labels import FAKE, LABELS, REAL
from audio.segments import SAMPLE_RATE, Segment

SCHEMA_VERSION = 2
"""Version of the line format that `write_manifest` writes. Version 1 had no `traits`."""

READABLE_VERSIONS = (1, 2)
"""Versions that `read_manifest` reads."""

MANIFEST_NAMES = ("manifest.jsonl", "manifest.csv")
"""What `read_set` looks for in a folder, in this order."""

TABLE_FIELDS = ("path", "label", "speaker", "generator", "language", "split", "source_clip", "codec", "text")
"""The columns that `read_table` takes as fields of a clip; the first two must be there."""

SEGMENTS_COLUMN = "segments"
"""The column of a table in which spans stand, as JSON: `[[onset_s, offset_s, "fake"], ...]`."""

SPLITS = ("train", "dev", "test", "test_unseen")
"""What a clip is for. `test_unseen`: the test speakers, with generators that were held out of training."""

AUDIO_SUFFIXES = frozenset(
    (
        *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".mp4", ".mov", ".3gp", ".webm"),
        *(".mka", ".mkv", ".amr", ".awb", ".g722", ".wma", ".aif", ".aiff", ".au", ".caf", ".w64", ".wv"),
    )
)
"""Names, in lower case, that `scan_folder` takes for recordings."""


@dataclass(frozen=True)
class Clip:
    """One recording and everything known about it; empty text, 0, () and None mean unknown.

    Raises
    ------
    ManifestError
        For a field of the wrong type, a path that is not relative or leaves its folder, an unknown label or
        split, a segment behind the end, or a real clip with fake segments.
    """

    path: str
    """Relative to the set's folder, with forward slashes."""
    label: str
    segments: tuple[Segment, ...] = ()
    """The labelled spans, in samples at 16 kHz."""
    n_samples: int = 0
    """Length in samples at 16 kHz."""
    speaker: str = ""
    generator: str = ""
    """What made the fake part."""
    language: str = ""
    split: str = ""
    """One of `SPLITS`."""
    sources: tuple[Mapping[str, Any], ...] = ()
    """The recordings it was made from: `path`, `sha256` and whatever else its maker noted."""
    splice: Mapping[str, Any] | None = None
    """The splice plan that made it."""
    channel: Mapping[str, Any] | None = None
    """The channel plan that it went through."""
    seed: int | None = None
    sample_rate: int = SAMPLE_RATE
    """Samples per second of the file, in Hz."""
    text: str = ""
    """The words spoken."""
    codec: str = ""
    """The codec in its past, for example "g722"."""
    source_clip: str = ""
    """The genuine recording that this one copies word for word (its twin)."""
    traits: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Whatever else is known of speaker, fake and recording, as text by name: `sex`, `age`, `style` (how expressive),
    `kind` (tts, vc, vocoder ...) and so on. Evaluation breaks its figures down by them."""

    def __post_init__(self) -> None:
        """Check the fields."""
        object.__setattr__(self, "segments", tuple(self.segments))
        object.__setattr__(self, "sources", tuple(self.sources))
        _check_types(self)
        _check_path(self.path)
        _check_meaning(self)


def read_manifest(path: str | os.PathLike[str]) -> list[Clip]:
    """Read every clip of a manifest, in file order; blank lines are skipped.

    Raises
    ------
    ManifestError
        Naming file and line: for a missing file, broken JSON, another schema version, an unknown field, a
        clip that `Clip` refuses, or a path that occurs twice.
    """
    clips: dict[str, Clip] = {}
    for number, line in _lines(Path(path)):
        try:
            _add(clips, _from_json(line))
        except (ManifestError, SegmentError) as error:
            raise ManifestError(f"{path}:{number}: {error}") from None
    return list(clips.values())


def read_table(path: str | os.PathLike[str]) -> list[Clip]:
    """Read the clips of a CSV whose first line names its columns, in file order.

    Needs the columns `path` and `label` (in any case) and takes the others of `TABLE_FIELDS` and `SEGMENTS_COLUMN`;
    what else there is becomes traits. An empty cell means unknown, and so does a split that is not one of `SPLITS`.
    Clips have an unknown length.

    Raises
    ------
    ManifestError
        Naming file and line: for a missing file or column, spans that are no JSON, a clip that `Clip` refuses, or
        a path that occurs twice.
    """
    clips: dict[str, Clip] = {}
    for number, cells in _cells(Path(path)):
        try:
            _add(clips, _from_cells(cells))
        except (ManifestError, SegmentError) as error:
            raise ManifestError(f"{path}:{number}: {error}") from None
    return list(clips.values())


def read_set(path: str | os.PathLike[str]) -> tuple[Path, list[Clip]]:
    """Open a set however it is written down.

    Parameters
    ----------
    path
        A manifest, a table (`.csv`), or a folder: with `manifest.jsonl` or `manifest.csv` in it, or with `real/`,
        `fake/` and `hybrid/`.

    Returns
    -------
    what `resolve` wants beside a clip, the manifest or the folder; and the clips.

    Raises
    ------
    ManifestError
        As `read_manifest`, `read_table` and `scan_folder`.
    """
    given = Path(path)
    if given.is_dir():
        named = next((given / name for name in MANIFEST_NAMES if (given / name).is_file()), None)
        if named is None:
            return given, scan_folder(given)
        given = named
    return given, read_table(given) if given.suffix.lower() == ".csv" else read_manifest(given)


def write_manifest(path: str | os.PathLike[str], clips: Iterable[Clip]) -> None:
    """Write `clips` as JSON lines in the given order, whole or not at all.

    The same clips give the same bytes everywhere: UTF-8, fields in the order of `Clip`, line feeds.

    Raises
    ------
    ManifestError
        When a path occurs twice, a plan holds something that JSON cannot say, or the file cannot be written.
    """
    by_path: dict[str, Clip] = {}
    for clip in clips:
        _add(by_path, clip)
    try:
        with replacing(path) as beside, beside.open("wb") as file:
            file.writelines(to_line(clip) for clip in by_path.values())
    except OSError as error:
        raise ManifestError(f"{path}: cannot be written: {error.strerror}") from None


def resolve(manifest_path: str | os.PathLike[str], clip: Clip) -> Path:
    """Return where the file of `clip` lies, as an absolute path; it need not exist.

    In a sharded set it is a path into one of its shards (`audio.shards`).

    Parameters
    ----------
    manifest_path
        The manifest, or the folder of the set where there is none (see `scan_folder`).

    Raises
    ------
    ManifestError
        When the path leaves the folder of the set, by a symbolic link for example; when the set's shards are broken.
    """
    given = Path(manifest_path)
    folder = given if given.is_dir() else given.parent
    if (sharded := shards.opened(folder)) is not None:
        return sharded.address(clip.path)
    folder = folder.resolve()
    found = (folder / clip.path).resolve()
    if not found.is_relative_to(folder):
        raise ManifestError(f"{given}: {clip.path!r} leads out of the set's folder")
    return found


def fake_spans(clip: Clip, n_samples: int) -> list[Segment]:
    """Return the fake spans of a clip; a fake clip without any is fake from end to end (plain folders)."""
    fake = [segment for segment in clip.segments if segment.label == FAKE]
    return [Segment(0, n_samples)] if clip.label == FAKE and not fake else fake


def scan_folder(root: str | os.PathLike[str]) -> list[Clip]:
    """List the recordings below `real/`, `fake/` and `hybrid/` in `root`, in the order of their paths.

    Such a set tells the class and nothing else: clips have no segments and an unknown length. Folder names
    may be in any case; hidden files, other files and links to folders are passed over.

    Raises
    ------
    ManifestError
        When `root` is no folder, or holds no recording in a folder of these names.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise ManifestError(f"{folder}: expected a folder with real/, fake/ and hybrid/ in it")
    classes = [entry for entry in folder.iterdir() if entry.is_dir() and entry.name.lower() in LABELS]
    paths = sorted(p.relative_to(folder).as_posix() for entry in classes for p in recordings_below(entry))
    if not paths:
        raise ManifestError(f"{folder}: no recordings found in real/, fake/ or hybrid/")
    return [Clip(path, path.split("/")[0].lower()) for path in paths]


def _add(clips: dict[str, Clip], clip: Clip) -> None:
    if clip.path in clips:
        raise ManifestError(f"path: {clip.path!r} occurs twice")
    clips[clip.path] = clip


def recordings_below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder that are named like recordings, but not hidden ones, nor in linked folders.

    In no order, and as they are found: memory does not grow with them. Folders that cannot be read have none.
    """
    folders = [folder]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if not _is_folder(entry):
                    if named_like_recording(entry.name):
                        yield Path(entry.path)
                elif not entry.is_symlink():
                    folders.append(Path(entry.path))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def named_like_recording(name: str) -> bool:
    """Tell whether a file of this name, without its folder, is taken for a recording; hidden ones are not."""
    return os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES and not name.startswith(".")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, text) of the lines that are not blank."""
    try:
        # utf-8-sig: editors on Windows put a byte order mark in front.
        with path.open(encoding="utf-8-sig") as file:
            yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ManifestError(f"{path}: expected text in UTF-8") from None


def _cells(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number from 1, text by column) of the rows of a CSV that are not blank."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, restkey="", restval="")
            if missing := [name for name in ("path", "label") if name not in (rows.fieldnames or ())]:
                received = ", ".join(rows.fieldnames or ()) or "an empty file"
                raise ManifestError(f"{path}: expected the columns path and label, {missing[0]} is missing: {received}")
            for row in rows:
                yield rows.line_num, row
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ManifestError(f"{path}: expected text in UTF-8") from None
    except csv.Error as error:
        raise ManifestError(f"{path}: cannot be read as CSV: {error}") from None


def _from_cells(cells: Mapping[str, str]) -> Clip:
    facts = {name: cells[name].strip() for name in TABLE_FIELDS if name in cells}
    facts |= {"path": cells["path"], "label": facts["label"].lower()}
    if facts.get("split") not in SPLITS:
        facts["split"] = ""
    others = {name: value.strip() for name, value in cells.items() if name and name not in _COLUMNS}
    traits = {name: value for name, value in others.items() if value}
    return Clip(**facts, segments=_from_cell(cells.get(SEGMENTS_COLUMN, "")), traits=traits)  # type: ignore[arg-type]


_COLUMNS = (*TABLE_FIELDS, SEGMENTS_COLUMN)


def _from_cell(cell: str) -> tuple[Segment, ...]:
    """Read the spans in a cell of `SEGMENTS_COLUMN`."""
    try:
        spans = [(float(onset_s), float(offset_s), label) for onset_s, offset_s, label in json.loads(cell or "[]")]
        return tuple(Segment(round(a * SAMPLE_RATE), round(b * SAMPLE_RATE), label) for a, b, label in spans)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, SegmentError):
            raise
        expected = 'expected JSON like [[1.28, 2.02, "fake"]], in seconds'
        raise ManifestError(f"{SEGMENTS_COLUMN}: {expected}, received {cell[:60]!r}") from None


def to_line(clip: Clip) -> bytes:
    """Return a clip as a line of a manifest, with its line feed; raises `ManifestError` for what JSON cannot say."""
    facts = {field.name: getattr(clip, field.name) for field in fields(Clip)}
    facts["segments"] = [_segment_to_json(segment) for segment in clip.segments]
    try:
        line = json.dumps({"schema_version": SCHEMA_VERSION, **facts}, ensure_ascii=False, allow_nan=False)
        return line.encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise ManifestError(f"{clip.path}: cannot be written as JSON: {error}") from None


def _segment_to_json(segment: Segment) -> dict[str, Any]:
    facts: dict[str, Any] = {"onset": segment.onset, "offset": segment.offset, "label": segment.label}
    if segment.confidence is not None:
        facts["confidence"] = segment.confidence
    return facts


def _from_json(line: str) -> Clip:
    facts = _json_object(line)
    version = facts.pop("schema_version", None)
    if version not in READABLE_VERSIONS:
        known = " or ".join(map(str, READABLE_VERSIONS))
        raise ManifestError(f"schema_version: expected {known}, received {version!r}")
    _check_keys(facts, "clip", required={"path", "label"}, known={field.name for field in fields(Clip)})
    facts["segments"] = tuple(_segment_from_json(s) for s in _json_list(facts, "segments"))
    facts["sources"] = tuple(_json_list(facts, "sources"))
    return Clip(**facts)


def _json_object(line: str) -> dict[str, Any]:
    try:
        facts = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"expected a JSON object: {error}") from None
    if not isinstance(facts, dict):
        raise ManifestError(f"expected a JSON object, received {line.strip()[:40]!r}")
    return facts


def _json_list(facts: Mapping[str, Any], name: str) -> list[Any]:
    value = facts.get(name, [])
    if not isinstance(value, list):
        raise ManifestError(f"{name}: expected a list, received {value!r}")
    return value


def _segment_from_json(facts: object) -> Segment:
    if not isinstance(facts, dict):
        raise ManifestError(f"segment: expected an object with onset and offset, received {facts!r}")
    known = {field.name for field in fields(Segment)}
    _check_keys(facts, "segment", required={"onset", "offset"}, known=known)
    return Segment(**facts)


def _check_keys(facts: Mapping[str, Any], what: str, *, required: set[str], known: set[str]) -> None:
    if missing := sorted(required - facts.keys()):
        raise ManifestError(f"{what}: missing {', '.join(missing)}")
    if unknown := sorted(facts.keys() - known):
        raise ManifestError(f"{what}: unknown field {', '.join(unknown)}")


_FIELD_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("path", "label", "speaker", "generator", "language"), (str,)),
    **dict.fromkeys(("split", "text", "codec", "source_clip"), (str,)),
    **dict.fromkeys(("n_samples", "sample_rate"), (int,)),
    **dict.fromkeys(("splice", "channel"), (Mapping, type(None))),
    "traits": (Mapping,),
    "seed": (int, type(None)),
}


def _check_types(clip: Clip) -> None:
    for name, types in _FIELD_TYPES.items():
        value = getattr(clip, name)
        if not isinstance(value, types) or isinstance(value, bool):
            expected = " or ".join("None" if t is type(None) else t.__name__ for t in types)
            raise ManifestError(f"{name}: expected {expected}, received {value!r}")
    if not all(isinstance(text, str) for pair in clip.traits.items() for text in pair):
        raise ManifestError(f"traits: expected text by name, received {dict(clip.traits)!r}")
    if not all(isinstance(source, Mapping) for source in clip.sources):
        raise ManifestError(f"sources: expected objects, received {clip.sources!r}")


def _check_path(path: str) -> None:
    """Refuse whatever could mean a place outside the set's folder, on this system or another."""
    absolute = PurePosixPath(path).is_absolute() or PureWindowsPath(path).drive
    if not path or absolute or "\\" in path or ".." in PurePosixPath(path).parts:
        raise ManifestError(f"path: expected a/relative/path inside the set's folder, received {path!r}")


def _check_meaning(clip: Clip) -> None:
    if clip.label not in LABELS:
        raise ManifestError(f"label: expected one of {', '.join(LABELS)}, received {clip.label!r}")
    if clip.split and clip.split not in SPLITS:
        raise ManifestError(f"split: expected one of {', '.join(SPLITS)}, received {clip.split!r}")
    if clip.n_samples < 0:
        raise ManifestError(f"n_samples: expected 0 or more, received {clip.n_samples}")
    if clip.sample_rate < 1:
        raise ManifestError(f"sample_rate: expected 1 Hz or more, received {clip.sample_rate}")
    end = max((segment.offset for segment in clip.segments), default=0)
    if clip.n_samples and end > clip.n_samples:
        raise ManifestError(f"segments: expected to end by sample {clip.n_samples}, received {end}")
    if clip.label == REAL and any(segment.label == FAKE for segment in clip.segments):
        raise ManifestError("segments: expected no fake one in a real clip, received some")
