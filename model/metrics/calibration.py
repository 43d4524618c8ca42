"""Whether a probability can be taken at its word: of clips called with 80 %, 80 % should be called right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audio.errors import UsageError
from audio.labels import LABELS, label_index

N_BINS = 15
"""Number of bins: as in Guo et al., "On calibration of modern neural networks" (ICML 2017)."""

_SUM_TOLERANCE = 0.02
"""How far three probabilities may be from adding up to 1: score files round to two digits."""


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy, bin by bin from the least sure clips to the surest.

    Attributes
    ----------
    confidence
        float64 (k,): mean probability of the predicted class in each bin, ascending.
    accuracy
        float64 (k,): share of the bin's clips predicted right.
    count
        int64 (k,): number of clips in each bin, none empty.
    """

    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]
    count: npt.NDArray[np.int64]


def reliability(probabilities: npt.ArrayLike, truth: Sequence[str], *, n_bins: int = N_BINS) -> Reliability:
    """Compare how sure the predictions are with how often they are right, in bins of equally many clips.

    Clips are sorted by the probability of their predicted class (the largest; of equal ones the first in the order of
    `LABELS`) with a stable sort and cut by index: the first `n % n_bins` bins hold one clip more. Fewer clips than
    bins make one bin for each clip, no clips no bin. Clips with the same probability cannot be told apart by it, so
    each counts as right by the share of them all that is right: no figure depends on the order of the clips.

    Equal-mass bins are less biased than bins of equal width (Nguyen & O'Connor, "Posterior calibration and exploratory
    analysis for natural language processing models", EMNLP 2015).

    Parameters
    ----------
    probabilities
        float array (n, 3): P(real), P(fake), P(hybrid), adding up to 1.
    truth
        n labels out of `LABELS`.
    n_bins
        Number of bins, 1 or more.

    Raises
    ------
    UsageError
        When the shapes do not fit, or a row is no distribution.
    ToolkitError
        When a label is unknown.
    """
    if n_bins < 1:
        raise UsageError(f"reliability: expected 1 bin or more, received {n_bins}")
    shares = _distributions(probabilities, n_clips=len(truth))
    if not len(truth):
        return Reliability(np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int64))
    right = shares.argmax(axis=1) == [label_index(label) for label in truth]
    confidence = shares.max(axis=1)
    order = np.argsort(confidence, kind="stable")
    pieces = np.array_split(order, min(n_bins, len(truth)))
    outcomes = _mean_of_ties(confidence, right)
    return Reliability(
        np.array([confidence[piece].mean() for piece in pieces]),
        np.array([outcomes[piece].mean() for piece in pieces]),
        np.array([piece.size for piece in pieces], dtype=np.int64),
    )


def expected_calibration_error(
    probabilities: npt.ArrayLike, truth: Sequence[str], *, n_bins: int = N_BINS
) -> float | None:
    """Return the mean distance of confidence and accuracy over the bins of `reliability`, weighted by their clips.

    In [0, 1]: 0 for predictions that are sure and right, 1 for sure and wrong ones, and for constant probabilities
    how far they are from the accuracy. None for no clips. With fewer clips than bins every clip is its own bin, and
    the figure is the mean distance of a probability from 0 or 1: it says little below some hundreds of clips. Naeini
    et al., "Obtaining well calibrated probabilities using Bayesian binning" (AAAI 2015). Parameters and errors as in
    `reliability`.
    """
    bins = reliability(probabilities, truth, n_bins=n_bins)
    if not bins.count.size:
        return None
    return float(np.average(np.abs(bins.confidence - bins.accuracy), weights=bins.count))


def _distributions(probabilities: npt.ArrayLike, *, n_clips: int) -> npt.NDArray[np.float64]:
    """Return the probabilities as float64 (n_clips, 3)."""
    shares = np.asarray(probabilities, dtype=np.float64)
    if not shares.size and not n_clips:
        return np.zeros((0, len(LABELS)))
    if shares.shape != (n_clips, len(LABELS)):
        raise UsageError(f"probabilities: expected shape ({n_clips}, {len(LABELS)}), received {shares.shape}")
    proper = ((shares >= 0) & (shares <= 1)).all(axis=1) & (np.abs(shares.sum(axis=1) - 1) <= _SUM_TOLERANCE)
    if not proper.all():
        raise UsageError(
            f"probabilities: expected rows of 0 to 1 that add up to 1, received {shares[~proper][0].tolist()}"
        )
    return shares


def _mean_of_ties(keys: npt.NDArray[np.float64], values: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Replace each value by the mean of all whose key is the same."""
    _, tie = np.unique(keys, return_inverse=True)
    return (np.bincount(tie, weights=values) / np.bincount(tie))[tie]
