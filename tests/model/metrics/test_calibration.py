"""Reliability against a loop over bins, and its edges."""

from __future__ import annotations

import numpy as np
import pytest

from audio.errors import ToolkitError, UsageError
from audio.labels import LABELS
from model.metrics.calibration import N_BINS, expected_calibration_error, reliability


def made(n: int, *, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Return distributions (n, 3), all different, and labels that follow them half of the time."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet([1.0, 1.0, 1.0], n)
    follows = rng.random(n) < 0.5
    truth = np.where(follows, shares.argmax(axis=1), rng.integers(0, 3, n))
    return shares, [LABELS[index] for index in truth]


def brute_force(shares, truth) -> list[tuple[float, float, int]]:
    """Return (confidence, accuracy, count) of each bin, clip by clip; for confidences that all differ."""
    clips = sorted((max(row), LABELS[int(np.argmax(row))] == label) for row, label in zip(shares, truth, strict=True))
    n_bins = min(15, len(clips))
    bins, start = [], 0
    for number in range(n_bins):
        stop = start + len(clips) // n_bins + (number < len(clips) % n_bins)
        inside = clips[start:stop]
        bins.append((sum(c for c, _ in inside) / len(inside), sum(r for _, r in inside) / len(inside), len(inside)))
        start = stop
    return bins


@pytest.mark.parametrize("n", [1, 2, 14, 15, 16, 29, 31, 200, 1_001])
def test_bins_are_brute_force(n):
    """Catches bins of equal width, clips lost at the last border, and the probability of the true class."""
    shares, truth = made(n, seed=n)
    bins, expected = reliability(shares, truth), brute_force(shares, truth)
    np.testing.assert_allclose(np.stack((bins.confidence, bins.accuracy, bins.count), axis=1), expected, atol=1e-12)
    assert bins.count.sum() == n
    gap = sum(count * abs(confidence - accuracy) for confidence, accuracy, count in expected) / n
    assert expected_calibration_error(shares, truth) == pytest.approx(gap, abs=1e-12)


def test_bins_hold_equally_many_clips():
    """Catches empty bins below 15 clips, and bins that differ by more than one clip."""
    assert reliability(*made(7)).count.tolist() == [1] * 7
    assert reliability(*made(32)).count.tolist() == [3, 3] + [2] * 13
    assert len(reliability(*made(400)).count) == N_BINS == 15
    assert reliability(*made(10), n_bins=3).count.tolist() == [4, 3, 3]


def test_sure_predictions_right_and_wrong():
    """Catches accuracy and confidence that are both of the true class: everything would be calibrated."""
    sure = np.eye(3)[[0, 1, 2] * 10]
    assert expected_calibration_error(sure, list(LABELS) * 10) == 0.0
    assert expected_calibration_error(sure, [*LABELS[1:], LABELS[0]] * 10) == 1.0


def test_constant_probabilities_are_off_by_their_distance_from_the_accuracy():
    """Catches tied clips binned in the order of the file: real first, then fake, would look uncalibrated."""
    shares, truth = np.tile([0.6, 0.3, 0.1], (100, 1)), ["real"] * 60 + ["fake"] * 40
    assert expected_calibration_error(shares, truth) == pytest.approx(0.0, abs=1e-12)
    assert expected_calibration_error(shares, ["real"] * 20 + ["hybrid"] * 80) == pytest.approx(0.4)
    assert expected_calibration_error(shares, ["real"] * 100) == pytest.approx(0.4)  # one class in the set


def test_order_of_clips_does_not_matter():
    """Catches a bin border through tied clips that depends on which came first."""
    shares, truth = made(300, seed=5)
    shares = np.round(shares, 1)
    shares[:, 2] = np.round(1 - shares[:, 0] - shares[:, 1], 1)
    order = np.random.default_rng(1).permutation(300)
    shuffled = reliability(shares[order], [truth[index] for index in order])
    bins = reliability(shares, truth)
    np.testing.assert_array_equal(shuffled.accuracy, bins.accuracy)
    np.testing.assert_array_equal(shuffled.confidence, bins.confidence)


def test_equal_probabilities_predict_the_first_class():
    """Catches a prediction that depends on the sort."""
    assert reliability([[0.5, 0.5, 0.0]], ["real"]).accuracy.tolist() == [1.0]
    assert reliability([[0.5, 0.5, 0.0]], ["fake"]).accuracy.tolist() == [0.0]


@pytest.mark.parametrize("probabilities", [[], np.zeros((0, 3))])
def test_no_clips_have_no_bins(probabilities):
    """Catches the mean of an empty bin, which is NaN."""
    assert expected_calibration_error(probabilities, []) is None
    bins = reliability(probabilities, [])
    assert bins.confidence.shape == bins.accuracy.shape == bins.count.shape == (0,)


@pytest.mark.parametrize(
    ("probabilities", "truth", "message"),
    [
        ([[0.2, 0.8]], ["real"], "shape"),
        ([[0.2, 0.8, 0.0]], ["real", "fake"], "shape"),
        ([[-1.0, 1.0, 1.0]], ["real"], "add up"),
        ([[2.0, 1.0, 3.0]], ["real"], "add up"),
        ([[0.2, 0.2, 0.2]], ["real"], "add up"),
        ([[np.nan, 0.5, 0.5]], ["real"], "add up"),
        ([[0.2, 0.8, 0.0]], ["spoof"], "spoof"),
    ],
)
def test_what_is_no_distribution_is_refused(probabilities, truth, message):
    """Catches logits and log-probabilities, which have a largest class too."""
    with pytest.raises(ToolkitError, match=message):
        reliability(probabilities, truth)
    with pytest.raises(UsageError, match="1 bin"):
        reliability([[1.0, 0.0, 0.0]], ["real"], n_bins=0)


def test_rounded_probabilities_are_taken():
    """Catches a tolerance that refuses files with two digits."""
    assert expected_calibration_error([[0.33, 0.33, 0.33]], ["real"]) == pytest.approx(0.67)
