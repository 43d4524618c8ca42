"""A label file without its audio: `read_keys` finds out how it is written and returns its clips by utterance id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from audio.corpora.lines import (
    ASVSPOOF_2021_DF,
    ASVSPOOF_2021_LA,
    FORMS,
    HALF_TRUTH,
    SPLIT_NAMES,
    LineForm,
    is_label,
    known,
    label_named,
    labelled_lines,
    placed,
    settle_classes,
    text_lines,
)
from audio.corpora.tables import column_names, table_rows
from audio.errors import ManifestError
from audio.labels import LABELS
from audio.manifest import SEGMENTS_COLUMN, TABLE_FIELDS, Clip, read_manifest, read_table

ID_COLUMNS = ("path", "file", "filename", "name", "id", "utterance", "sample_id")
"""The columns of a table that can name a recording; the first that is there does."""

LABEL_COLUMNS = ("label", "cm-label", "key")
"""The columns of a table that can hold the label."""

_TAGS = ("0", "1", "0.0", "1.0")


@dataclass(frozen=True)
class Keys:
    """What a label file says.

    `Clip.path` is the id as the file writes it. Lengths are as exact as the file's times are.
    """

    kind: str
    """How the file is written, for people."""
    clips: dict[str, Clip]
    """By utterance id, in file order."""
    notes: tuple[str, ...] = ()
    """What was found out about it, for people."""


def read_keys(path: Path) -> Keys:
    """Read a label or protocol file of any kind that this project knows.

    Known are our own manifest (.jsonl), a CSV or tab-separated table with a header that names a column for the file
    and one for the label (In-the-Wild, the ASVspoof 5 scoring package), and every form of `audio.corpora.lines.FORMS`.
    The first line decides. ASVspoof 2021 "hidden" and "progress" trials are kept, with the trait `phase`.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ManifestError
        Naming the file, and the line where there is one: for a file that cannot be read, a layout that is not known,
        labels that are bare 0 and 1, a label that means nothing, a line that contradicts itself, an id that occurs
        twice.
    """
    path = Path(path)
    first = next((line for _, line in text_lines(path)), None)
    if first is None:
        raise ManifestError(f"{path}: expected label lines, received an empty file")
    if first.lstrip().startswith("{"):
        return Keys("manifest", {clip.path: clip for clip in read_manifest(path)})
    if (delimiter := _delimiter(first)) is not None:
        return _read_table(path, delimiter)
    form = next((form for form in FORMS if form.fits(first.split())), None)
    if form is None:
        raise ManifestError(f"{path}:1: {_why_unknown(first)}")
    return _read_lines(path, form)


def unique(labelled: Iterable[tuple[str, Clip]]) -> dict[str, Clip]:
    """Return clips by their path; raise `ManifestError` with both places when one occurs twice."""
    clips: dict[str, Clip] = {}
    places: dict[str, str] = {}
    for where, clip in labelled:
        if clip.path in clips:
            raise ManifestError(f"{where}: expected {clip.path!r} once, received it also at {places[clip.path]}")
        clips[clip.path], places[clip.path] = clip, where
    return clips


def _read_lines(path: Path, form: LineForm) -> Keys:
    labelled: Iterable[tuple[str, Clip]] = labelled_lines(path, form.parse)
    notes: tuple[str, ...] = ()
    if form is HALF_TRUTH:
        by_place, said = settle_classes(dict(labelled))
        labelled, notes = by_place.items(), (said,)
    clips = unique(labelled)
    if form in (ASVSPOOF_2021_LA, ASVSPOOF_2021_DF):
        notes = (_phases(clips.values()),)
    return Keys(form.kind, clips, notes)


def _phases(clips: Iterable[Clip]) -> str:
    """Say how the trials are shared out: published figures are on the phase eval alone."""
    counts: dict[str, int] = {}
    for clip in clips:
        phase = clip.traits.get("phase", "none")
        counts[phase] = counts.get(phase, 0) + 1
    return "trials by phase: " + ", ".join(f"{phase} {count}" for phase, count in counts.items())


# Tables


def _delimiter(first: str) -> str | None:
    """Return what separates the columns of a table with a header, None when the line is no such header."""
    for delimiter in (",", "\t"):
        header = column_names(first.split(delimiter))
        if not (set(header).isdisjoint(ID_COLUMNS) or set(header).isdisjoint(LABEL_COLUMNS)):
            return delimiter
    return None


def _read_table(path: Path, delimiter: str) -> Keys:
    rows = list(table_rows(path, delimiter))
    if delimiter == "," and _is_ours(rows):
        return Keys("table", {clip.path: clip for clip in read_table(path)})
    clips = unique((where, placed(where, partial(_from_row, row))) for where, row in rows)
    return Keys(_table_kind(rows), clips)


def _is_ours(rows: Sequence[tuple[str, Mapping[str, str]]]) -> bool:
    """Tell whether a table has our columns, and spans or our words for labels, so that `read_table` reads it."""
    header = rows[0][1] if rows else {}
    return {"path", "label"} <= header.keys() and (SEGMENTS_COLUMN in header or header["label"].lower() in LABELS)


def _table_kind(rows: Sequence[tuple[str, Mapping[str, str]]]) -> str:
    header = tuple(rows[0][1]) if rows else ()
    if header == ("file", "speaker", "label"):
        return "In-the-Wild meta.csv"
    return "ASVspoof 5 scoring key" if "cm-label" in header else "table"


def _from_row(row: Mapping[str, str]) -> Clip:
    # `_delimiter` has seen both.
    name = next(column for column in ID_COLUMNS if column in row)
    label = next(column for column in LABEL_COLUMNS if column in row)
    if row[label] in _TAGS:
        raise ManifestError(_no_polarity(row[label]))
    others = {key: value for key, value in row.items() if key not in (name, label)}
    said = {key: others.pop(key) for key in _TEXT_FIELDS if others.get(key)}
    if others.get("split", "").lower() in SPLIT_NAMES:
        said["split"] = SPLIT_NAMES[others.pop("split").lower()]
    return Clip(row[name], label_named(row[label]), **said, traits=known(**others))  # type: ignore[arg-type]


_TEXT_FIELDS = tuple(
    field.name for field in fields(Clip) if field.name in TABLE_FIELDS and field.name not in ("path", "label", "split")
)


# What is not known


def _why_unknown(first: str) -> str:
    cells = first.replace(",", " ").split()
    if len(cells) >= 2 and cells[-1] in _TAGS:
        return _no_polarity(cells[-1])
    if any(map(is_label, cells)):
        return f"a label, but in no layout that is known. {_known_kinds(first)}"
    return f"no layout that is known. {_known_kinds(first)}"


def _no_polarity(tag: str) -> str:
    return (
        f"label: expected a word (real, fake, hybrid, bonafide, spoof, genuine), received {tag}: "
        "in some data sets 1 is genuine and in others it is fake, so bare numbers are not taken"
    )


def _known_kinds(first: str) -> str:
    forms = "; ".join(f"{form.kind} ({form.columns})" for form in FORMS)
    return (
        f"Expected a manifest (.jsonl), a table with a header (path or file, and label), or lines of: {forms}. "
        f"Received {first.strip()[:100]!r}"
    )
