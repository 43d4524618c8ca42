"""What is gained by not judging: the risk of those verdicts that are given, over the share of clips that get one.

Clips are taken in the order of some confidence, the surest first; any number will do that is higher for clips that are
more likely to be judged right: a probability, or a fact about the recording such as its signal-to-noise ratio. The risk
at a coverage is the mean loss of the clips taken so far (El-Yaniv & Wiener, "On the foundations of noise-free selective
classification", JMLR 2010; Geifman & El-Yaniv, "Selective classification for deep neural networks", NeurIPS 2017).

Clips of equal confidence cannot be told apart by it: no threshold parts them, and no figure depends on their order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audio.errors import UsageError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RiskCoverage:
    """Risk and coverage at every threshold.

    Attributes
    ----------
    thresholds
        float64 (k,), descending: each distinct confidence. Clips that reach it are judged.
    coverage
        float64 (k,), above 0 and ascending to 1: the share of the clips that are judged.
    risk
        float64 (k,): the mean loss of those.
    """

    thresholds: Floats
    coverage: Floats
    risk: Floats


def risk_coverage(confidence: npt.ArrayLike, losses: npt.ArrayLike) -> RiskCoverage | None:
    """Return risk and coverage at each distinct confidence; None for no clips.

    Parameters
    ----------
    confidence
        float array (n,), higher for clips to be judged before others; infinite is allowed, NaN is not.
    losses
        bool or float array (n,), 0 to 1: whether, or how much, the verdict on each clip is wrong.

    Raises
    ------
    UsageError
        When the shapes differ, a confidence is NaN or a loss is not between 0 and 1.
    """
    keys, values = _checked(confidence, losses)
    if not keys.size:
        return None
    thresholds, sums, counts = _by_confidence(keys, values)
    n_judged = np.cumsum(counts)
    return RiskCoverage(thresholds, n_judged / keys.size, np.cumsum(sums) / n_judged)


def area_under_risk_coverage(confidence: npt.ArrayLike, losses: npt.ArrayLike) -> float | None:
    """Return the area under the risk-coverage curve (AURC): the mean of the risks at 1, 2 ... n judged clips, 0 to 1.

    0 for no errors. For constant confidence it is the risk of all clips; a confidence that ranks the right before the
    wrong makes it smaller (Geifman, Uziel & El-Yaniv, "Bias-reduced uncertainty estimation for deep neural
    classifiers", ICLR 2019). Where confidences are equal it is the mean over all orders of those clips. None for no
    clips. Parameters and errors as in `risk_coverage`.
    """
    keys, values = _checked(confidence, losses)
    if not keys.size:
        return None
    _, sums, counts = _by_confidence(keys, values)
    expected = np.repeat(sums / counts, counts)
    return float((np.cumsum(expected) / np.arange(1, keys.size + 1)).mean())


def coverage_at_risk(confidence: npt.ArrayLike, losses: npt.ArrayLike, *, risk: float) -> float | None:
    """Return the largest share of clips that can be judged with a risk of at most `risk`; 0 when there is none.

    None for no clips. Parameters and errors as in `risk_coverage`.
    """
    curve = risk_coverage(confidence, losses)
    if curve is None:
        return None
    allowed = _allowed(curve, risk)
    return float(curve.coverage[allowed[-1]]) if allowed.size else 0.0


def threshold_at_risk(confidence: npt.ArrayLike, losses: npt.ArrayLike, *, risk: float) -> float | None:
    """Return the lowest confidence at which judging all clips that reach it has a risk of at most `risk`.

    None when there is no such confidence, or no clip. Parameters and errors as in `risk_coverage`.
    """
    curve = risk_coverage(confidence, losses)
    if curve is None:
        return None
    allowed = _allowed(curve, risk)
    return float(curve.thresholds[allowed[-1]]) if allowed.size else None


def _allowed(curve: RiskCoverage, risk: float) -> npt.NDArray[np.int64]:
    return np.flatnonzero(curve.risk <= risk)


def _checked(confidence: npt.ArrayLike, losses: npt.ArrayLike) -> tuple[Floats, Floats]:
    keys, values = np.asarray(confidence, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if keys.ndim != 1 or keys.shape != values.shape:
        raise UsageError(
            f"risk and coverage: expected two arrays of shape (n,), received {keys.shape} and {values.shape}"
        )
    if np.isnan(keys).any():
        raise UsageError(f"confidence: expected numbers, received {int(np.isnan(keys).sum())} that are none")
    if not ((values >= 0) & (values <= 1)).all():
        raise UsageError(f"losses: expected 0 to 1, received {values[~((values >= 0) & (values <= 1))][0]}")
    return keys, values


def _by_confidence(keys: Floats, values: Floats) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Return the distinct confidences, descending, and the sum of the losses and the number of clips at each."""
    distinct, place, counts = np.unique(keys, return_inverse=True, return_counts=True)
    sums = np.bincount(place, weights=values, minlength=distinct.size).astype(np.float64)
    return distinct[::-1], sums[::-1], counts[::-1].astype(np.int64)
