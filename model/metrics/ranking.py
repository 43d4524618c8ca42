"""How well scores tell fake from real, and at which threshold: fake is the positive class, higher means more fake."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audio.errors import UsageError


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
