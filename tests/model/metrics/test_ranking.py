"""Figures of a ranking against brute force and scikit-learn, and their edges."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from audio.errors import UsageError
from model.metrics.ranking import (
    equal_error_rate,
    equal_error_threshold,
    error_curve,
    error_rates,
    half_total_error_rate,
    roc_auc,
)

PERFECT, INVERTED, CONSTANT, TIED = [0, 1, 2, 3], [3, 2, 1, 0], [7, 7, 7, 7], [0, 1, 1, 2]
TRUTH = [False, False, True, True]


def brute_force_point(is_fake, scores, weights=None) -> tuple[Fraction, float]:
    """Try every threshold, from above all scores down, in fractions; return (EER, its threshold)."""
    weights = np.ones(len(scores), dtype=int) if weights is None else np.asarray(weights)
    n_genuine, n_fake = int(weights[~is_fake].sum()), int(weights[is_fake].sum())
    best = None
    for threshold in [np.inf, *sorted(set(scores[weights > 0].tolist()), reverse=True)]:
        called = scores >= threshold
        false_positive = Fraction(int(weights[called & ~is_fake].sum()), n_genuine)
        false_negative = Fraction(int(weights[~called & is_fake].sum()), n_fake)
        gap = abs(false_positive - false_negative)
        if best is None or gap < best[0]:
            best = (gap, (false_positive + false_negative) / 2, threshold)
    return best[1], best[2]


def made(seed: int, *, n_most: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return truth, scores (often tied) and weights (some 0) with both classes in them."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, n_most))
    is_fake = rng.random(n) < rng.uniform(0.1, 0.9)
    is_fake[:2] = [True, False]
    weights = rng.integers(0, 5, n)
    weights[:2] = [1, 3]
    scores = np.round(rng.standard_normal(n) + is_fake * rng.uniform(-1, 2), int(rng.integers(0, 3)))
    return is_fake, scores, weights


@pytest.mark.parametrize("seed", range(40))
def test_eer_is_brute_force(seed):
    """Catches ties that are split, and a threshold that is off by one trial."""
    is_fake, scores, _ = made(seed)
    rate, threshold = brute_force_point(is_fake, scores)
    assert equal_error_rate(is_fake, scores) == pytest.approx(float(rate), abs=1e-15)
    assert equal_error_threshold(is_fake, scores) == threshold


@pytest.mark.parametrize("seed", range(40))
def test_weighted_eer_is_brute_force(seed):
    """Catches weights that reach one of the two rates only, and trials of weight 0 that still set a threshold."""
    is_fake, scores, weights = made(seed)
    rate, threshold = brute_force_point(is_fake, scores, weights)
    assert equal_error_rate(is_fake, scores, weights=weights) == pytest.approx(float(rate), abs=1e-15)
    assert equal_error_threshold(is_fake, scores, weights=weights) == threshold


@pytest.mark.parametrize("figure", [equal_error_rate, equal_error_threshold, roc_auc])
@pytest.mark.parametrize("seed", range(10))
def test_a_weight_is_as_many_trials(seed, figure):
    """Catches weights that are normalised, or rounded, anywhere."""
    is_fake, scores, weights = made(seed)
    repeated = figure(np.repeat(is_fake, weights), np.repeat(scores, weights))
    assert figure(is_fake, scores, weights=weights) == repeated


@pytest.mark.parametrize("size", [10**3, 10**9, 10**17])
@pytest.mark.parametrize(("false_alarms", "hits", "expected"), [(2, 3, 6), (3, 2, 6), (4, 3, 7)])
def test_nearly_equal_gaps_are_told_apart_at_any_size(size, false_alarms, hits, expected):
    """Catches products of durations that wrap in int64 or lose digits in float64.

    At 7 three samples more are missed than are false alarms; at 6 so many false alarms and hits have been added.
    """
    missed_more = 3
    is_fake, scores = [False, True] * 3, [7, 7, 6, 6, 5, 5]
    weights = [size, size - missed_more, false_alarms, hits, size - false_alarms, size + missed_more - hits]
    assert equal_error_threshold(is_fake, scores, weights=weights) == expected
    rate, threshold = brute_force_point(np.array(is_fake), np.array(scores), np.array(weights))
    assert threshold == expected
    assert equal_error_rate(is_fake, scores, weights=weights) == pytest.approx(float(rate))


@pytest.mark.parametrize(
    ("scores", "eer", "auc"),
    [(PERFECT, 0.0, 1.0), (INVERTED, 1.0, 0.0), (CONSTANT, 0.5, 0.5), (TIED, 0.25, 0.875), ([0, 2, 1, 3], 0.5, 0.75)],
)
def test_perfect_inverted_constant_tied_and_half_right_scores(scores, eer, auc):
    """Catches the polarity turned round, and ties counted for one side."""
    assert equal_error_rate(TRUTH, scores) == eer
    assert roc_auc(TRUTH, scores) == auc


@pytest.mark.parametrize(("truth", "scores"), [([True, True], [0.1, 0.2]), ([False], [0.3]), ([], [])])
@pytest.mark.parametrize("weighted", [False, True])
def test_one_class_or_nothing_is_undefined(truth, scores, weighted):
    """Catches a 0 or a NaN in the place of "nobody knows"."""
    weights = [5] * len(truth) if weighted else None
    for figure in (equal_error_rate, equal_error_threshold, error_curve, roc_auc):
        assert figure(truth, scores, weights=weights) is None
    assert half_total_error_rate(truth, scores, threshold=0.0, weights=weights) is None


def test_a_class_of_no_weight_is_missing():
    """Catches a division by a duration of 0."""
    assert equal_error_rate(TRUTH, PERFECT, weights=[1, 1, 0, 0]) is None
    assert error_rates(TRUTH, PERFECT, threshold=1, weights=[1, 3, 0, 0]) == (0.75, None)


def test_threshold_separates_what_can_be_separated():
    """Catches a threshold that is itself on the wrong side."""
    assert equal_error_threshold([False, False, True, True], [0.1, 0.2, 0.7, 0.9]) == 0.7


@pytest.mark.parametrize("seed", range(10))
def test_error_rates_meet_at_the_threshold(seed):
    """Catches a rate and a threshold that belong to different places."""
    rng = np.random.default_rng(seed)
    is_fake = rng.random(2_000) < 0.4
    scores = rng.standard_normal(2_000) + is_fake
    threshold = equal_error_threshold(is_fake, scores)
    fpr, fnr = error_rates(is_fake, scores, threshold=threshold)
    assert abs(fpr - fnr) < 2e-3
    assert equal_error_rate(is_fake, scores) == pytest.approx((fpr + fnr) / 2)
    assert half_total_error_rate(is_fake, scores, threshold=threshold) == pytest.approx((fpr + fnr) / 2)


@pytest.mark.parametrize("seed", range(20))
def test_curve_is_scikit_learns(seed):
    """Catches a curve without its first or last point, or with one for each trial of a tie."""
    is_fake, scores, weights = made(seed)
    curve = error_curve(is_fake, scores, weights=weights)
    present = weights > 0
    fpr, tpr, thresholds = roc_curve(
        is_fake[present], scores[present], sample_weight=weights[present], drop_intermediate=False
    )
    np.testing.assert_allclose(curve.fpr, fpr, atol=1e-15)
    np.testing.assert_allclose(1 - curve.fnr, tpr, atol=1e-15)
    np.testing.assert_array_equal(curve.thresholds, thresholds)


@pytest.mark.parametrize("seed", range(20))
def test_area_is_scikit_learns_and_that_of_all_pairs(seed):
    """Catches ties that win or lose instead of counting half."""
    is_fake, scores, weights = made(seed)
    expected = roc_auc_score(is_fake, scores, sample_weight=weights)
    assert roc_auc(is_fake, scores, weights=weights) == pytest.approx(expected, abs=1e-12)
    beaten = scores[is_fake][:, None] - scores[~is_fake]
    assert roc_auc(is_fake, scores) == pytest.approx(np.mean((beaten > 0) + (beaten == 0) / 2), abs=1e-12)


def test_area_of_durations_never_leaves_the_unit():
    """Catches int64 pairs of durations that wrap, and rounding above 1."""
    genuine = [6504592763, 6884467306, 3889214240, 1350965051, 7214883402, 5253543225]
    truth, weights = [False] * 6 + [True], [*genuine, 3102418756]
    assert roc_auc(truth, range(7), weights=weights) == 1.0
    assert roc_auc(truth, [7, 6, 5, 4, 3, 2, 1], weights=weights) == 0.0


def test_error_rates_at_a_threshold_count_by_hand():
    """Catches > in the place of >=, and a rate divided by all trials."""
    truth, scores = [False, False, False, True, True], [0.1, 0.5, 0.9, 0.5, 0.4]
    assert error_rates(truth, scores, threshold=0.5) == (2 / 3, 0.5)
    assert half_total_error_rate(truth, scores, threshold=0.5) == pytest.approx(7 / 12)
    assert error_rates(truth, scores, threshold=0.5, weights=[1, 2, 5, 3, 1]) == (7 / 8, 0.25)
    assert error_rates(truth, scores, threshold=np.inf) == (0.0, 1.0)
    assert error_rates(truth, scores, threshold=-np.inf) == (1.0, 0.0)
    assert error_rates([True], [0.2], threshold=0.5) == (None, 1.0)


trials = st.lists(st.tuples(st.booleans(), st.integers(-40, 40), st.integers(0, 6)), min_size=1, max_size=40)


@given(trials=trials, order=st.randoms(use_true_random=False))
def test_figures_ignore_order_and_increasing_maps(trials, order):
    """Catches a sort that decides between tied trials, and a figure that depends on the scale of scores."""
    shuffled = order.sample(trials, len(trials))
    for figure in (equal_error_rate, roc_auc):
        is_fake, scores, weights = zip(*trials, strict=True)
        value = figure(is_fake, scores, weights=weights)
        assert value is None or 0 <= value <= 1
        is_fake, scores, weights = zip(*shuffled, strict=True)
        assert figure(is_fake, np.exp(np.array(scores) / 8) - 5, weights=weights) == value


def test_bad_trials_are_refused():
    """Catches NaN that sorts to one end, and words, or -1, that pass for fake."""
    with pytest.raises(UsageError, match="finite"):
        equal_error_rate([True, False], [0.1, np.nan])
    with pytest.raises(UsageError, match="finite"):
        roc_auc([True, False], [0.1, np.inf])
    with pytest.raises(UsageError, match="shape"):
        equal_error_rate([True, False], [0.1])
    with pytest.raises(UsageError, match="True"):
        equal_error_rate([-1, 1], [0.1, 0.2])
    with pytest.raises(UsageError, match="bonafide"):
        equal_error_rate(["bonafide", "spoof"], [0.1, 0.2])
    with pytest.raises(UsageError, match="numbers"):
        equal_error_rate([True, False], ["high", "low"])
    with pytest.raises(UsageError, match="nan"):
        error_rates([True, False], [0.1, 0.2], threshold=np.nan)


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1], "shape"), ([1, -1], "below 0"), ([0.5, 0.5], "integers"), ([2**62, 2**62], "together")],
)
def test_bad_weights_are_refused(weights, message):
    """Catches seconds in the place of samples, and sums that wrap."""
    with pytest.raises(UsageError, match=message):
        equal_error_rate([True, False], [0.1, 0.2], weights=weights)


def test_truth_may_be_numbers():
    """Catches an array of 0 and 1, as score files have it, being refused."""
    assert equal_error_rate(np.array([0, 0, 1, 1]), PERFECT) == 0.0
    assert equal_error_rate(np.array([0.0, 1.0], dtype=np.float32), [1, 0]) == 1.0
