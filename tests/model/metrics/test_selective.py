"""Risk and coverage against loops over clips, and their edges."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from audio.errors import UsageError
from model.metrics.selective import area_under_risk_coverage, coverage_at_risk, risk_coverage, threshold_at_risk


def made(n: int, *, seed: int = 0, levels: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Return confidences, many of them equal, and errors that are rarer where it is high."""
    rng = np.random.default_rng(seed)
    confidence = rng.integers(0, levels, n) / levels
    return confidence, rng.random(n) > 0.3 + 0.6 * confidence


def brute_force(confidence, errors) -> list[tuple[float, float, float]]:
    """Return (threshold, coverage, risk), threshold by threshold."""
    points = []
    for threshold in sorted(set(confidence), reverse=True):
        judged = [error for c, error in zip(confidence, errors, strict=True) if c >= threshold]
        points.append((threshold, len(judged) / len(errors), sum(judged) / len(judged)))
    return points


@pytest.mark.parametrize("n", [1, 2, 10, 200])
@pytest.mark.parametrize("seed", range(3))
def test_the_curve_is_brute_force(n, seed):
    """Catches ties that are parted, and a risk over all clips instead of those judged."""
    confidence, errors = made(n, seed=seed)
    curve = risk_coverage(confidence, errors)
    np.testing.assert_allclose(
        np.stack((curve.thresholds, curve.coverage, curve.risk), axis=1), brute_force(confidence, errors), atol=1e-12
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_area_is_the_mean_over_all_orders_of_ties(seed):
    """Catches an area that depends on the order of the clips, and one taken with trapezoids."""
    confidence, errors = made(6, seed=seed, levels=3)
    areas = []
    for order in itertools.permutations(range(6)):
        ordered = sorted(order, key=lambda i: -confidence[i])
        areas.append(np.mean([np.mean(errors[ordered[:k]]) for k in range(1, 7)]))
    assert area_under_risk_coverage(confidence, errors) == pytest.approx(np.mean(areas))


def test_known_areas():
    """Catches coverage counted from the unsure end: the best order of 2 errors in 4 is (0 + 0 + 1/3 + 1/2) / 4."""
    errors = [False, False, True, True]
    assert area_under_risk_coverage([4, 3, 2, 1], errors) == pytest.approx((1 / 3 + 1 / 2) / 4)
    assert area_under_risk_coverage([1, 2, 3, 4], errors) == pytest.approx((1 + 1 + 2 / 3 + 1 / 2) / 4)
    assert area_under_risk_coverage([5, 5, 5, 5], errors) == pytest.approx(0.5)
    assert area_under_risk_coverage([4, 3, 2, 1], [False] * 4) == 0.0
    assert area_under_risk_coverage([4, 3], [0.25, 0.75]) == pytest.approx((0.25 + 0.5) / 2)


def test_the_largest_coverage_counts():
    """Catches a search that stops at the first threshold that is too risky: the risk may fall again."""
    confidence, errors = [5, 4, 3, 2, 1], [True, False, False, False, True]
    assert coverage_at_risk(confidence, errors, risk=0.25) == 0.8
    assert threshold_at_risk(confidence, errors, risk=0.25) == 2
    assert coverage_at_risk(confidence, errors, risk=0.4) == 1.0
    assert coverage_at_risk(confidence, errors, risk=0.2) == 0.0
    assert threshold_at_risk(confidence, errors, risk=0.2) is None


@pytest.mark.parametrize("risk", [0.0, 0.1, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_threshold_gives_the_coverage(risk, seed):
    """Catches a threshold and a coverage of two different points."""
    confidence, errors = made(80, seed=seed)
    coverage, threshold = (f(confidence, errors, risk=risk) for f in (coverage_at_risk, threshold_at_risk))
    allowed = [point for point in brute_force(confidence, errors) if point[2] <= risk]
    assert coverage == pytest.approx(max((point[1] for point in allowed), default=0.0))
    assert threshold == (min(point[0] for point in allowed) if allowed else None)


def test_infinite_confidence_is_allowed():
    """Catches facts that a recording does not show, which refuse nothing."""
    curve = risk_coverage([np.inf, 1.0, -np.inf], [False, True, True])
    assert curve.coverage.tolist() == pytest.approx([1 / 3, 2 / 3, 1])


def test_no_clips():
    assert risk_coverage([], []) is None
    assert area_under_risk_coverage([], []) is None
    assert coverage_at_risk([], [], risk=0.1) is None
    assert threshold_at_risk([], [], risk=0.1) is None


@pytest.mark.parametrize(
    ("confidence", "losses", "message"),
    [
        ([1.0], [True, False], r"two arrays of shape \(n,\), received \(1,\) and \(2,\)"),
        ([[1.0]], [[True]], r"two arrays of shape \(n,\)"),
        ([float("nan"), 1.0], [True, False], "confidence: expected numbers, received 1"),
        ([1.0, 2.0], [0.0, 1.5], "losses: expected 0 to 1, received 1.5"),
        ([1.0, 2.0], [0.0, float("nan")], "losses: expected 0 to 1, received nan"),
    ],
)
def test_what_is_no_curve_is_one_clear_line(confidence, losses, message):
    with pytest.raises(UsageError, match=message):
        risk_coverage(confidence, losses)
