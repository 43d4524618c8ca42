"""The table of a comparison: a row for each system, the best of each column marked."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import StringIO
from typing import NamedTuple

from apps.comparing.outcome import HONEST, LEAKY, Outcome, Value, joined
from audio.pages import Table


class Column(NamedTuple):
    """A figure of the table."""

    heading: str
    write: Callable[[float], str]
    lower_is_better: bool | None
    """None: neither is."""


def _share(value: float) -> str:
    return f"{value:.3f}"


COLUMNS: Mapping[str, Column] = {
    "accuracy": Column("accuracy", _share, False),
    "precision": Column("precision", _share, False),
    "recall": Column("recall", _share, False),
    "macro_f1": Column("macro-F1", _share, False),
    "clip_eer": Column("EER", _share, True),
    "segment_eer_20ms": Column("20 ms EER", _share, True),
    "segment_eer_20ms_hybrids": Column("20 ms EER, hybrids", _share, True),
    "boundary_error_s": Column("boundary error, s", lambda value: f"{value:.2f}", True),
    "parameters": Column("parameters", lambda value: f"{value:,.0f}", None),
    "cpu_seconds": Column("training, CPU min", lambda value: f"{value / 60:.1f}", None),
    "ms_per_s": Column("judging, ms per s", lambda value: f"{value:.1f}", True),
    "size_bytes": Column("MB", lambda value: f"{value / 1e6:.1f}", None),
}
"""The figures of an honest split, by their names in a row; precision, recall and F1 are means of the three classes."""

WITH_RANGE = ("macro_f1", "clip_eer", "segment_eer_20ms", "segment_eer_20ms_hybrids")
"""Figures that are told with their interval."""

NAIVE = ("accuracy", "macro_f1", "clip_eer")
"""Figures of the naive split that stand beside them."""

LOCALISATION = ("segment_eer_20ms", "segment_eer_20ms_hybrids", "boundary_error_s")
"""Figures of where: the less the better."""

OURS = "cnnrnnlstm"
"""The network that the toolkit stands on."""

FAILED = "failed"


class Row(NamedTuple):
    """A system, on the honest and on the naive split; None: not tried."""

    system: str
    honest: Outcome | None
    leaky: Outcome | None

    @property
    def errors(self) -> list[str]:
        """Why it failed where it did."""
        return [f"{each.split}: {each.error}" for each in (self.honest, self.leaky) if each is not None and each.error]


def rows(outcomes: Iterable[Outcome]) -> list[Row]:
    """Bring the outcomes of each system together, in the order in which systems come first."""
    found: dict[str, dict[str, list[Outcome]]] = {}
    for each in outcomes:
        found.setdefault(each.system, {}).setdefault(each.split, []).append(each)
    return [
        Row(system, *(joined(parts[split]) if split in parts else None for split in (HONEST, LEAKY)))
        for system, parts in found.items()
    ]


def table(outcomes: Sequence[Outcome], *, ranges: bool = False) -> Table:
    """Lay out a comparison.

    Parameters
    ----------
    outcomes
        Of all systems, splits and folds.
    ranges
        Whether intervals, or the deviation of folds, stand beside the figures `WITH_RANGE`.
    """
    found = rows(outcomes)
    naive = NAIVE if any(row.leaky is not None for row in found) else ()
    headings = [column.heading for column in COLUMNS.values()]
    header = ("system", *headings, *(f"{LEAKY} {COLUMNS[key].heading}" for key in naive))
    best = {key: _best(found, key) for key in COLUMNS}
    lines = []
    for row in found:
        cells = [_cell(row.honest, key, best[key], with_range=ranges and key in WITH_RANGE) for key in COLUMNS]
        beside = [_cell(row.leaky, key, None, with_range=False) for key in naive]
        lines.append((row.system, *cells, *beside))
    return Table(header, tuple(lines))


def _best(found: Sequence[Row], key: str) -> float | None:
    lower = COLUMNS[key].lower_is_better
    values = [v for row in found if row.honest is not None and (v := row.honest.of(key).value) is not None]
    if lower is None or len(values) < 2:
        return None
    return min(values) if lower else max(values)


def _cell(outcome: Outcome | None, key: str, best: float | None, *, with_range: bool) -> str:
    if outcome is None:
        return ""
    if outcome.error:
        return FAILED
    found = outcome.of(key)
    if found.value is None:
        return "-"
    return _text(found, COLUMNS[key], with_range=with_range) + (" *" if best == found.value else "")


def _text(found: Value, column: Column, *, with_range: bool) -> str:
    assert found.value is not None
    shown = column.write(found.value)
    if not with_range or found.low is None or found.high is None:
        return shown
    return f"{shown} ({column.write(found.low)} to {column.write(found.high)})"


def notes(outcomes: Sequence[Outcome]) -> list[str]:
    """Say what the table cannot: why systems failed."""
    return [f"{row.system}: {error}" for row in rows(outcomes) for error in row.errors]


def leaders(outcomes: Sequence[Outcome], *, ours: str = OURS) -> list[str]:
    """Say of each figure of localisation who leads, and how far ours is behind; nothing without ours."""
    found = {row.system: row.honest for row in rows(outcomes) if row.honest is not None}
    told = []
    for key in LOCALISATION:
        column = COLUMNS[key]
        values = {name: value for name, each in found.items() if (value := each.of(key).value) is not None}
        if ours not in values:
            continue
        first = min(values, key=lambda name: values[name])
        line = f"- {column.heading}: {first} leads with {column.write(values[first])}"
        ahead = f", {column.write(values[ours] - values[first])} better than ours ({column.write(values[ours])})"
        told.append(line if first == ours else line + ahead)
    return told


def csv_text(outcomes: Sequence[Outcome]) -> str:
    """Return every outcome, fold by fold, as CSV: one line each, intervals in columns of their own."""
    keys = [f"{key}{end}" for key in COLUMNS for end in ("", "_low", "_high")]
    file = StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["system", "split", "fold", "clips", *keys, "error"])
    for each in outcomes:
        values = [getattr(each.of(key), name) for key in COLUMNS for name in ("value", "low", "high")]
        fold = "" if each.fold is None else each.fold
        shown = ["" if value is None else repr(value) for value in values]
        writer.writerow([each.system, each.split, fold, each.clips, *shown, each.error])
    return file.getvalue()
