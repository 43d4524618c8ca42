"""Which clips are rejected, for which rule, and the table that says so."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from audio.atomic import replacing
from audio.segments import SAMPLE_RATE
from synth.cutting import Span
from synth.outliers import outliers
from synth.quality import Finding, Measures, fault

REPORT = "report.csv"
REPORT_VERSION = 1
"""Version of the columns of `report.csv`."""

KEPT, REJECTED, FAILED = "kept", "rejected", "failed"

COLUMNS = (
    *("schema_version", "path", "onset_s", "offset_s", "status", "rule", "value", "least", "most", "message"),
    *(field.name for field in fields(Measures)),
)
"""Of `report.csv`: the recording and its excerpt, what became of it, which rule it breaks, what it measures."""


@dataclass(frozen=True)
class Piece:
    """A clip cut from a recording, and what it measures."""

    recording: str
    index: int
    """Its number among those cut from the recording."""
    whole: Span
    """Its span in the recording before it was trimmed, in samples."""
    kept: Span
    """Its span after."""
    measures: Measures


@dataclass(frozen=True)
class Judged:
    """A clip and what speaks against it; an outlier may be kept all the same."""

    piece: Piece
    finding: Finding | None
    kept: bool

    def __str__(self) -> str:
        """Say which clip breaks which rule."""
        onset, offset = (sample / SAMPLE_RATE for sample in self.piece.kept)
        return f"{self.piece.recording} ({onset:.2f} to {offset:.2f} s): {self.finding or 'kept'}"


def judge(pieces: Sequence[Piece], speakers: Mapping[str, str], *, keep_outliers: bool) -> list[Judged]:
    """Judge each clip on its own, and those without a fault beside each other.

    Parameters
    ----------
    pieces
        All clips.
    speakers
        Who speaks in each recording.
    keep_outliers
        Whether clips that only stand out are kept.

    Returns
    -------
    One for each piece, in their order.
    """
    faults = {piece: finding for piece in pieces if (finding := fault(piece.measures)) is not None}
    good = [piece for piece in pieces if piece not in faults]
    standing_out = outliers({p: p.measures for p in good}, {p: speakers[p.recording] for p in good})
    return [
        Judged(
            piece,
            faults.get(piece) or standing_out.get(piece),
            piece not in faults and (keep_outliers or piece not in standing_out),
        )
        for piece in pieces
    ]


def write_report(path: Path, judged: Sequence[Judged], *, failed: Mapping[str, str]) -> None:
    """Write the table of every clip, kept or rejected, and of every recording that could not be used.

    Parameters
    ----------
    path
        Of the CSV file, in UTF-8.
    judged
        The clips, in the order of the table.
    failed
        Recording -> what was wrong with it.
    """
    rows = [_row(entry) for entry in judged]
    rows += [{"path": name, "status": FAILED, "message": message} for name, message in failed.items()]
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows({"schema_version": REPORT_VERSION, **row} for row in rows)


def _row(entry: Judged) -> dict[str, Any]:
    piece, finding = entry.piece, entry.finding
    onset_s, offset_s = (sample / SAMPLE_RATE for sample in piece.kept)
    against = {} if finding is None else {**asdict(finding), "message": str(finding)}
    facts = {
        "path": piece.recording,
        "onset_s": onset_s,
        "offset_s": offset_s,
        "status": KEPT if entry.kept else REJECTED,
        **against,
        **asdict(piece.measures),
    }
    return {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in facts.items()}
