"""How well scores tell fake from real, and at which threshold: fake is the positive class, higher means more fake.

A trial is called fake when its score reaches the threshold. FPR is the share of the genuine that is called fake, FNR
the share of the fake that is not. Trials count once each, or as often as `weights` says: a trial of weight 3 is three
trials with the same score, one of weight 0 is not there. Durations in samples are such weights, and make of a frame
error rate one of time. Counts stay integers up to the last division, so no figure depends on the order of the trials.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audio.errors import UsageError

_MOST_WEIGHT = 2**62
"""The sum of all weights stays below this, so that int64 sums cannot wrap; 9 million years at 16 kHz."""


@dataclass(frozen=True)
class Curve:
    """The two error rates at every threshold: what a ROC (fpr, 1 - fnr) or a DET curve (fpr, fnr) is drawn from.

    Attributes
    ----------
    thresholds
        float64 (k,), descending: +inf first, where nothing is called fake, then each distinct score.
    fpr
        float64 (k,), from 0 up to 1: the share of the genuine whose score reaches the threshold.
    fnr
        float64 (k,), from 1 down to 0: the share of the fake whose score does not.
    """

    thresholds: npt.NDArray[np.float64]
    fpr: npt.NDArray[np.float64]
    fnr: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trials:
    """Checked trials: truth bool (n,), scores finite float64 (n,), weights positive int64 (n,)."""

    is_fake: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float64]
    weights: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sweep:
    """How much is called fake at every threshold, in whole trials.

    Attributes
    ----------
    thresholds
        float64 (k,), as in `Curve`.
    hits, false_alarms
        int64 (k,): weight of the fake, and of the genuine, whose score reaches the threshold. The last entries are
        all there is of either class.
    """

    thresholds: npt.NDArray[np.float64]
    hits: npt.NDArray[np.int64]
    false_alarms: npt.NDArray[np.int64]


def checked(is_fake: npt.ArrayLike, scores: npt.ArrayLike, *, weights: npt.ArrayLike | None = None) -> Trials:
    """Return the trials as arrays, without those of weight 0.

    Parameters
    ----------
    is_fake
        bool array (n,), or one of the numbers 0 and 1.
    scores
        float array (n,), finite, higher for fake.
    weights
        Non-negative integer array (n,), durations in samples for instance; None counts every trial once.

    Raises
    ------
    UsageError
        When the shapes differ, a truth is neither 0 nor 1, a score is not finite, or a weight is negative, not whole
        or too large (2**62 together).
    """
    truth, values = _truth(is_fake), _numbers(scores)
    if truth.ndim != 1 or truth.shape != values.shape:
        raise UsageError(f"scores: expected two arrays of shape (n,), received {truth.shape} and {values.shape}")
    n_bad = int((~np.isfinite(values)).sum())
    if n_bad:
        raise UsageError(f"scores: expected finite numbers, received {n_bad} of {len(values)} that are not")
    if weights is None:
        return Trials(truth, values, np.ones(len(values), dtype=np.int64))
    counts = _weights(weights, n_trials=len(values))
    present = counts > 0
    return Trials(truth[present], values[present], counts[present])


def _truth(is_fake: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Return the truth as bool; labels such as -1 and 1, or words, would all pass for fake, so they are refused."""
    truth = np.asarray(is_fake)
    if truth.dtype.kind == "b" or truth.size == 0:
        return truth.astype(bool)
    if truth.dtype.kind not in "iuf" or not np.isin(truth, (0, 1)).all():
        raise UsageError(f"is_fake: expected True (fake) or False (genuine), received {truth.ravel()[:3].tolist()} ...")
    return truth.astype(bool)


def _numbers(scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the scores as float64."""
    try:
        return np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"scores: expected numbers, received something else: {error}") from None


def _weights(weights: npt.ArrayLike, *, n_trials: int) -> npt.NDArray[np.int64]:
    """Return the weights as int64 (n_trials,)."""
    values = np.asarray(weights)
    if values.shape != (n_trials,):
        raise UsageError(f"weights: expected an array of shape ({n_trials},), received {values.shape}")
    if values.size and values.dtype.kind not in "iu":
        raise UsageError(f"weights: expected integers (durations in samples), received {values.dtype}")
    if values.size and values.min() < 0:
        raise UsageError(f"weights: expected none below 0, received {values.min()}")
    if values.sum(dtype=np.float64) >= _MOST_WEIGHT:
        raise UsageError(f"weights: expected less than 2**62 together, received {values.sum(dtype=np.float64):.3g}")
    return values.astype(np.int64)


def sweep(trials: Trials) -> Sweep | None:
    """Count what is called fake at +inf and at each distinct score; None when one of the two classes is missing."""
    n_fake = int(trials.weights[trials.is_fake].sum())
    n_genuine = int(trials.weights.sum()) - n_fake
    if not n_fake or not n_genuine:
        return None
    # Not a stable sort, which is slower: tied trials are counted together, whatever their order.
    order = np.argsort(trials.scores)[::-1]
    scores, weights = trials.scores[order], trials.weights[order]
    last_of_tie = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    hits = np.cumsum(weights * trials.is_fake[order])[last_of_tie]
    false_alarms = np.cumsum(weights)[last_of_tie] - hits
    return Sweep(
        np.concatenate(([np.inf], scores[last_of_tie])),
        np.concatenate(([0], hits)),
        np.concatenate(([0], false_alarms)),
    )


def equal_error_rate(
    is_fake: npt.ArrayLike, scores: npt.ArrayLike, *, weights: npt.ArrayLike | None = None
) -> float | None:
    """Return the equal error rate of `scores`, in [0, 1]; None when one of the two classes is missing.

    A trial is called fake when its score reaches the threshold; the thresholds are the scores themselves and one above
    them all, so tied scores move together. The rate is the mean of FPR and FNR where |FPR - FNR| is least; of several
    thresholds with the same difference the highest counts. A perfect ranking gives 0, its inverse 1, constant scores
    0.5. With durations as weights this is the millisecond (range) EER of Zhang et al., "Range-Based Equal Error Rate
    for Spoof Localization" (Interspeech 2023), computed exactly.

    Parameters
    ----------
    is_fake
        bool array (n,).
    scores
        float array (n,), finite, higher for fake.
    weights
        Non-negative integer array (n,): how often each trial counts; None for once each.

    Raises
    ------
    UsageError
        When the shapes differ, a score is not finite, or a weight is negative or not whole.
    """
    point = _equal_error_point(checked(is_fake, scores, weights=weights))
    return None if point is None else point[0]


def equal_error_threshold(
    is_fake: npt.ArrayLike, scores: npt.ArrayLike, *, weights: npt.ArrayLike | None = None
) -> float | None:
    """Return the threshold that `equal_error_rate` speaks of; None when one of the two classes is missing.

    It is one of the scores, or +inf when calling nothing fake is best. Parameters and errors as there.
    """
    point = _equal_error_point(checked(is_fake, scores, weights=weights))
    return None if point is None else point[1]


def _equal_error_point(trials: Trials) -> tuple[float, float] | None:
    """Return (rate, threshold) where the two error rates are nearest; None for one class."""
    swept = sweep(trials)
    if swept is None:
        return None
    best = _nearest(swept)
    fpr, fnr = _rates(swept)
    return float(fpr[best] + fnr[best]) / 2, float(swept.thresholds[best])


def _nearest(swept: Sweep) -> int:
    """Return the first place where |FPR - FNR| is least.

    FPR - FNR rises strictly from -1 to 1, so the place is where it changes its sign, or the one before. It is compared
    times both class sizes, in Python's integers: rounding never decides between two thresholds that are equally good,
    and products of durations never wrap (int64 would at 50 hours of each class).
    """
    n_fake, n_genuine = int(swept.hits[-1]), int(swept.false_alarms[-1])

    def difference(place: int) -> int:
        return int(swept.false_alarms[place]) * n_fake - (n_fake - int(swept.hits[place])) * n_genuine

    below, above = 0, len(swept.hits) - 1
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if difference(middle) < 0 else (below, middle)
    return below if -difference(below) <= difference(above) else above


def _rates(swept: Sweep) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return FPR and FNR at every threshold."""
    n_fake, n_genuine = swept.hits[-1], swept.false_alarms[-1]
    return swept.false_alarms / n_genuine, (n_fake - swept.hits) / n_fake


def error_curve(is_fake: npt.ArrayLike, scores: npt.ArrayLike, *, weights: npt.ArrayLike | None = None) -> Curve | None:
    """Return both error rates at +inf and at each distinct score; None when one of the two classes is missing.

    Parameters and errors as in `equal_error_rate`.
    """
    swept = sweep(checked(is_fake, scores, weights=weights))
    return None if swept is None else Curve(swept.thresholds, *_rates(swept))


def roc_auc(is_fake: npt.ArrayLike, scores: npt.ArrayLike, *, weights: npt.ArrayLike | None = None) -> float | None:
    """Return the area under the ROC curve, in [0, 1]; None when one of the two classes is missing.

    It is the probability that a fake trial scores above a genuine one, a tie counting half (Hanley & McNeil 1982): 1
    for a perfect ranking, 0 for its inverse, 0.5 for constant scores. Parameters and errors as in `equal_error_rate`.
    """
    swept = sweep(checked(is_fake, scores, weights=weights))
    if swept is None:
        return None
    # In floats, because pairs of durations do not fit int64; whole numbers below 2**53 are still exact.
    hits = swept.hits.astype(np.float64)
    twice_won = np.sum(np.diff(swept.false_alarms) * (hits[1:] + hits[:-1]))
    return min(1.0, float(twice_won / (2.0 * hits[-1] * swept.false_alarms[-1])))


def error_rates(
    is_fake: npt.ArrayLike, scores: npt.ArrayLike, *, threshold: float, weights: npt.ArrayLike | None = None
) -> tuple[float | None, float | None]:
    """Return (FPR, FNR) at a threshold that was chosen elsewhere; None for the rate whose class is missing.

    Parameters
    ----------
    is_fake, scores, weights
        As in `equal_error_rate`.
    threshold
        Scores that reach it are called fake; may be infinite.

    Raises
    ------
    UsageError
        As `equal_error_rate`, and when `threshold` is not a number.
    """
    if np.isnan(threshold):
        raise UsageError("threshold: expected a number, received nan")
    trials = checked(is_fake, scores, weights=weights)
    called = trials.scores >= threshold
    return _share(called, trials, of=~trials.is_fake), _share(~called, trials, of=trials.is_fake)


def _share(chosen: npt.NDArray[np.bool_], trials: Trials, *, of: npt.NDArray[np.bool_]) -> float | None:
    """Return how much of the weight of the trials `of` is also `chosen`; None when there is none."""
    whole = int(trials.weights[of].sum())
    return int(trials.weights[of & chosen].sum()) / whole if whole else None


def half_total_error_rate(
    is_fake: npt.ArrayLike, scores: npt.ArrayLike, *, threshold: float, weights: npt.ArrayLike | None = None
) -> float | None:
    """Return the half total error rate (FPR + FNR) / 2 at a threshold that was chosen elsewhere.

    On a set that did not choose the threshold it says what the equal error rate cannot: what a user gets. None when
    one of the two classes is missing. Parameters and errors as in `error_rates`.
    """
    fpr, fnr = error_rates(is_fake, scores, threshold=threshold, weights=weights)
    return None if fpr is None or fnr is None else (fpr + fnr) / 2
