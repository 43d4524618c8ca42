"""How many clips got the right one of three verdicts; an abstention is a verdict of its own, and never right.

Every figure is computed from a table of counts: of one table (3, 4) it is a plain number, None where it is undefined;
of a stack of tables (..., 3, 4), as a bootstrap makes them, a float64 array over the leading axes, NaN where it is
undefined. An abstention is a miss for the true class and a false alarm for none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from audio.errors import UsageError
from audio.labels import LABELS

Table = npt.NDArray[np.int64] | npt.NDArray[np.float64]
"""Whole numbers of clips (..., 3, 4): rows by true class, columns by verdict, the last for abstentions."""


def confusion(truth: Sequence[str], predicted: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """Count clips by true class (rows: real, fake, hybrid) and verdict (columns: the same, then abstained).

    Returns
    -------
    int64 array (3, 4)

    Raises
    ------
    UsageError
        When the lengths differ or a label is unknown.
    """
    if len(truth) != len(predicted):
        raise UsageError(f"confusion: expected as many verdicts as truths, received {len(predicted)} and {len(truth)}")
    table = np.zeros((len(LABELS), len(LABELS) + 1), dtype=np.int64)
    columns = (*LABELS, None)
    for true, verdict in zip(truth, predicted, strict=True):
        if true not in LABELS or verdict not in columns:
            raise UsageError(f"confusion: expected labels out of {LABELS}, received {true!r}, {verdict!r}")
        table[LABELS.index(true), columns.index(verdict)] += 1
    return table


def accuracy(table: Table) -> Any:
    """Return the share of clips judged right, an abstention being wrong; undefined for no clips.

    Parameters
    ----------
    table
        Counts (3, 4), or a stack of them (..., 3, 4).

    Returns
    -------
    float or None for one table, float64 (...) with NaN for a stack.

    Raises
    ------
    UsageError
        When `table` has another shape.
    """
    hits, actual, _ = _counts(table)
    return _figure(_shares(hits.sum(axis=-1), actual.sum(axis=-1)))


def precision(table: Table) -> Any:
    """Return, for each class, the share of the clips called so that are so; undefined when none is called so.

    Parameters and errors as in `accuracy`.

    Returns
    -------
    Tuple of three (real, fake, hybrid), each float or None, for one table; float64 (..., 3) with NaN for a stack.
    """
    hits, _, called = _counts(table)
    return _figures(_shares(hits, called))


def recall(table: Table) -> Any:
    """Return, for each class, the share of its clips that are called so; undefined for a class without clips.

    Parameters, returned values and errors as in `precision`.
    """
    hits, actual, _ = _counts(table)
    return _figures(_shares(hits, actual))


def f1(table: Table) -> Any:
    """Return, for each class, the harmonic mean of precision and recall; undefined for a class without clips.

    Computed as 2 hits / (clips of the class + clips called so), so a class that is there but never called has 0.
    Parameters, returned values and errors as in `precision`.
    """
    return _figures(_f1(table))


def macro_f1(table: Table) -> Any:
    """Return the unweighted mean of the three classes' F1; undefined when any class has no clip.

    Parameters, returned values and errors as in `accuracy`.
    """
    return _figure(_f1(table).mean(axis=-1))


def two_class_accuracy(table: Table) -> Any:
    """Return the share of clips rightly called real or not real, an abstention being wrong; undefined for no clips.

    Not real is fake or hybrid, as truth and as verdict. Parameters, returned values and errors as in `accuracy`.
    """
    hits, actual, _ = _two_classes(table)
    return _figure(_shares(hits.sum(axis=-1), actual.sum(axis=-1)))


def two_class_macro_f1(table: Table) -> Any:
    """Return the unweighted mean of the F1 of real and of not real; undefined when either has no clip.

    What the literature of two-class sets such as ASVspoof calls macro-F1. Not real is fake or hybrid, as truth and as
    verdict. Parameters, returned values and errors as in `accuracy`.
    """
    hits, actual, called = _two_classes(table)
    return _figure(_shares(2 * hits, np.where(actual > 0, actual + called, 0)).mean(axis=-1))


def _two_classes(table: Table) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the counts of `_counts` for real and for not real, each (..., 2)."""
    hits, actual, called = _counts(table)
    mixed = np.asarray(table, dtype=np.float64)[..., 1:, 1 : len(LABELS)].sum(axis=(-2, -1))
    ours = (np.stack([each[..., 0], each[..., 1:].sum(axis=-1)], axis=-1) for each in (actual, called))
    return np.stack([hits[..., 0], mixed], axis=-1), *ours  # type: ignore[return-value]


def _f1(table: Table) -> npt.NDArray[np.float64]:
    """Return F1 (..., 3), NaN for a class without clips."""
    hits, actual, called = _counts(table)
    return _shares(2 * hits, np.where(actual > 0, actual + called, 0))


def _counts(table: Table) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return, each (..., 3): how many of each class are called so, how many there are, how many are called so."""
    counts = np.asarray(table, dtype=np.float64)
    if counts.shape[-2:] != (len(LABELS), len(LABELS) + 1):
        raise UsageError(f"table of verdicts: expected shape (..., 3, 4), received {counts.shape}")
    verdicts = counts[..., : len(LABELS)]
    return np.diagonal(verdicts, axis1=-2, axis2=-1), counts.sum(axis=-1), verdicts.sum(axis=-2)


def _shares(part: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return part / whole, NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _figure(values: npt.NDArray[np.float64]) -> Any:
    """Return a stack's values as they are, one table's as a plain number, None for NaN."""
    if values.ndim:
        return values
    return None if np.isnan(values) else float(values)


def _figures(values: npt.NDArray[np.float64]) -> Any:
    """Return a stack's values as they are, one table's as three plain numbers."""
    return values if values.ndim > 1 else tuple(_figure(value) for value in values)
