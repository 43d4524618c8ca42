"""Metrics against brute force and scikit-learn, and their edges."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from audio.errors import UsageError
from audio.labels import LABELS
from model.metrics import accuracy, confusion, equal_error_rate, equal_error_threshold, macro_f1


def brute_force_eer(is_fake: np.ndarray, scores: np.ndarray) -> float:
    """Try every threshold, from above all scores down."""
    best = None
    for threshold in [np.inf, *sorted(set(scores), reverse=True)]:
        called = scores >= threshold
        false_positive = Fraction(int(called[~is_fake].sum()), int((~is_fake).sum()))
        false_negative = Fraction(int((~called)[is_fake].sum()), int(is_fake.sum()))
        gap = abs(false_positive - false_negative)
        if best is None or gap < best[0]:
            best = (gap, float(false_positive + false_negative) / 2)
    return best[1]


@pytest.mark.parametrize("seed", range(40))
def test_eer_is_brute_force(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 60))
    is_fake = rng.random(n) < rng.uniform(0.1, 0.9)
    is_fake[:2] = [True, False]
    scores = np.round(rng.standard_normal(n) + is_fake * rng.uniform(-1, 2), int(rng.integers(0, 3)))
    assert equal_error_rate(is_fake, scores) == pytest.approx(brute_force_eer(is_fake, scores))


@pytest.mark.parametrize(
    ("scores", "expected"), [([0, 1, 2, 3], 0.0), ([3, 2, 1, 0], 1.0), ([7, 7, 7, 7], 0.5), ([0, 2, 1, 3], 0.5)]
)
def test_eer_of_perfect_inverted_constant_and_half_right_scores(scores, expected):
    assert equal_error_rate([False, False, True, True], scores) == expected


def test_eer_is_undefined_for_one_class_or_nothing():
    assert equal_error_rate([True, True], [0.1, 0.2]) is None
    assert equal_error_rate([], []) is None
    assert equal_error_threshold([False], [0.3]) is None


def test_threshold_separates_what_can_be_separated():
    assert equal_error_threshold([False, False, True, True], [0.1, 0.2, 0.7, 0.9]) == 0.7


@pytest.mark.parametrize("seed", range(10))
def test_error_rates_meet_at_the_threshold(seed):
    rng = np.random.default_rng(seed)
    is_fake = rng.random(2_000) < 0.4
    scores = rng.standard_normal(2_000) + is_fake
    called = scores >= equal_error_threshold(is_fake, scores)
    false_positive, false_negative = np.mean(called[~is_fake]), np.mean(~called[is_fake])
    assert abs(false_positive - false_negative) < 2e-3
    assert equal_error_rate(is_fake, scores) == pytest.approx((false_positive + false_negative) / 2)


def test_bad_scores_are_refused():
    with pytest.raises(UsageError, match="finite"):
        equal_error_rate([True, False], [0.1, np.nan])
    with pytest.raises(UsageError, match="shape"):
        equal_error_rate([True, False], [0.1])


@pytest.mark.parametrize("seed", range(10))
def test_class_figures_are_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    truth = [*LABELS, *rng.choice(LABELS, 50)]
    predicted = list(rng.choice(LABELS, 53))
    table = confusion(truth, predicted)
    np.testing.assert_array_equal(table[:, :3], confusion_matrix(truth, predicted, labels=list(LABELS)))
    assert accuracy(table) == pytest.approx(accuracy_score(truth, predicted))
    assert macro_f1(table) == pytest.approx(f1_score(truth, predicted, average="macro", labels=list(LABELS)))


def test_an_abstention_is_a_miss_and_no_false_alarm():
    table = confusion(["real", "fake", "hybrid", "real"], ["real", "fake", "hybrid", None])
    assert table[0].tolist() == [1, 0, 0, 1]
    assert accuracy(table) == 0.75
    assert macro_f1(table) == pytest.approx((2 / 3 + 1 + 1) / 3)


def test_figures_without_clips_are_undefined():
    assert accuracy(confusion([], [])) is None
    assert macro_f1(confusion(["real"], ["real"])) is None


def test_unknown_labels_are_refused():
    with pytest.raises(UsageError, match="spoof"):
        confusion(["spoof"], ["fake"])
    with pytest.raises(UsageError, match="as many"):
        confusion(["fake"], [])
