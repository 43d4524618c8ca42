"""How good a detector is: fake is the positive class, higher scores mean more fake.

Every function validates, then computes; what is undefined is `None` with a stated reason in its docstring, never a
silent NaN or 0. Definitions: EER at the threshold where |FPR - FNR| is least, as the mean of the two; a cell of a
recording is fake when any part of it is (PartialSpoof's rule).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from audio.errors import UsageError
from audio.labels import LABELS


def equal_error_rate(is_fake: npt.ArrayLike, scores: npt.ArrayLike) -> float | None:
    """Return the equal error rate of `scores`, in [0, 1]; None when one of the two classes is missing.

    A trial is accepted as fake when its score reaches the threshold; the thresholds are the scores themselves and
    one above them all, so tied scores move together. Of several thresholds with the same |FPR - FNR| the highest
    counts. A perfect ranking gives 0, its inverse 1, constant scores 0.5.

    Parameters
    ----------
    is_fake
        bool array (n,).
    scores
        float array (n,), finite, higher for fake.

    Raises
    ------
    UsageError
        When the shapes differ or a score is not finite.
    """
    point = _equal_error_point(is_fake, scores)
    return None if point is None else point[0]


def equal_error_threshold(is_fake: npt.ArrayLike, scores: npt.ArrayLike) -> float | None:
    """Return the threshold that `equal_error_rate` speaks of; None when one of the two classes is missing.

    Raises `UsageError` as `equal_error_rate` does.
    """
    point = _equal_error_point(is_fake, scores)
    return None if point is None else point[1]


def _equal_error_point(is_fake: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[float, float] | None:
    """Return (rate, threshold) where the two error rates are nearest; None for one class."""
    truth, values = np.asarray(is_fake, dtype=bool), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != values.shape:
        raise UsageError(f"EER: expected two arrays of shape (n,). Received: {truth.shape} and {values.shape}")
    if not np.isfinite(values).all():
        raise UsageError(f"EER: expected finite scores. Received: {int((~np.isfinite(values)).sum())} that are not")
    n_fake, n_real = int(truth.sum()), int((~truth).sum())
    if not n_fake or not n_real:
        return None
    order = np.argsort(-values, kind="stable")
    truth, values = truth[order], values[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    hits = np.concatenate(([0], np.cumsum(truth)[last_of_tie]))
    false_alarms = np.concatenate(([0], last_of_tie + 1)) - hits
    misses = n_fake - hits
    # In integers, so that rounding never decides between two thresholds that are equally good.
    best = int(np.argmin(np.abs(false_alarms * n_fake - misses * n_real)))
    threshold = np.inf if best == 0 else values[last_of_tie[best - 1]]
    return float(false_alarms[best] / n_real + misses[best] / n_fake) / 2, float(threshold)


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
