"""How many clips got the right one of three verdicts; an abstention is a verdict of its own, and never right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from audio.errors import UsageError
from audio.labels import LABELS


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
        raise UsageError(f"confusion: expected as many verdicts as truths. Received: {len(predicted)} and {len(truth)}")
    table = np.zeros((len(LABELS), len(LABELS) + 1), dtype=np.int64)
    columns = (*LABELS, None)
    for true, verdict in zip(truth, predicted, strict=True):
        if true not in LABELS or verdict not in columns:
            raise UsageError(f"confusion: expected labels out of {LABELS}. Received: {true!r}, {verdict!r}")
        table[LABELS.index(true), columns.index(verdict)] += 1
    return table


def accuracy(table: npt.NDArray[np.int64]) -> float | None:
    """Return the share of clips judged right; an abstention is not right. None for no clips."""
    n_clips = int(table.sum())
    return float(np.trace(table[:, : len(LABELS)])) / n_clips if n_clips else None


def macro_f1(table: npt.NDArray[np.int64]) -> float | None:
    """Return the unweighted mean of the three classes' F1; None when a class has no clip.

    An abstention is a miss for the true class and a false alarm for none.
    """
    hits = np.diag(table[:, : len(LABELS)])
    actual, called = table.sum(axis=1), table[:, : len(LABELS)].sum(axis=0)
    if not actual.all():
        return None
    return float(np.mean(2 * hits / (actual + called)))
