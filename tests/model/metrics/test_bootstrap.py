"""The bootstrap against one that really draws the groups and computes every figure anew, and its edges."""

from __future__ import annotations

import numpy as np
import pytest

from audio.errors import UsageError
from model.metrics import bootstrap
from model.metrics.bootstrap import (
    Interval,
    Resamples,
    equal_error_interval,
    equal_error_replicates,
    interval,
    resamples,
    sums,
)
from model.metrics.ranking import equal_error_rate


def made(n: int, *, n_groups: int, seed: int = 0, n_items: int | None = None):
    """Return truth, scores that lean with their group, the item of each trial and the group name of each item."""
    rng = np.random.default_rng(seed)
    n_items = n_items or 3 * n_groups
    group = np.concatenate((np.arange(n_groups), rng.integers(n_groups, size=n_items - n_groups)))
    items = rng.integers(n_items, size=n)
    is_fake = rng.random(n) < 0.3
    scores = rng.standard_normal(n) + 1.5 * is_fake + 0.7 * rng.standard_normal(n_groups)[group[items]]
    return is_fake, scores, items, [f"speaker {number}" for number in group]


def drawn_anew(is_fake, scores, *, items, draw: Resamples, weights=None) -> np.ndarray:
    """Return each resample's EER from its trials, copied as often as their group was drawn."""
    group = draw.group_of[items]
    rates = []
    for counts in draw.counts:
        inside = np.repeat(np.arange(len(scores)), counts[group])
        rate = equal_error_rate(
            is_fake[inside], scores[inside], weights=None if weights is None else np.asarray(weights)[inside]
        )
        rates.append(np.nan if rate is None else rate)
    return np.array(rates)


def test_groups_are_drawn_with_replacement_as_many_as_there_are():
    """Catches draws of clips instead of groups, and draws without replacement."""
    names = ["b", "a", "c", "a", "d", "b"]
    draw = resamples(names, n_resamples=4_000, seed=3)
    assert draw.group_of.tolist() == [1, 0, 2, 0, 3, 1]
    assert draw.counts.shape == (4_000, 4)
    assert (draw.counts.sum(axis=1) == 4).all()
    np.testing.assert_allclose(draw.counts.mean(axis=0), 1, atol=0.06)
    np.testing.assert_allclose(draw.counts.var(axis=0), 0.75, atol=0.06)  # binomial: 4 draws of 1 in 4


def test_a_draw_depends_on_names_and_seed_only():
    """Catches intervals that move with the order of the manifest, or with the number of resamples."""
    first = resamples(["x", "y", "z"], n_resamples=50, seed=1)
    shuffled = resamples(["z", "x", "x", "y"], n_resamples=20, seed=1)
    np.testing.assert_array_equal(shuffled.counts, first.counts[:20])
    assert (resamples(["x", "y", "z"], n_resamples=50, seed=2).counts != first.counts).any()


@pytest.mark.parametrize("groups", [[], ["one"], ["one"] * 9])
def test_fewer_than_two_groups_are_no_bootstrap(groups):
    """Catches an interval of width 0 for a set of one speaker."""
    assert resamples(groups) is None


def test_sums_count_an_item_as_often_as_its_group_was_drawn(monkeypatch):
    """Catches groups lost between two blocks, and values added once for each item of a group."""
    monkeypatch.setattr(bootstrap, "_BLOCK", 4)
    *_, groups = made(0, n_groups=11, n_items=40)
    draw = resamples(groups, n_resamples=30)
    values = np.random.default_rng(0).integers(0, 100, (40, 3))
    expected = [np.repeat(values, counts[draw.group_of], axis=0).sum(axis=0) for counts in draw.counts]
    np.testing.assert_array_equal(sums(draw, values), expected)
    assert sums(draw, np.zeros((40, 0))).shape == (30, 0)


def test_sums_refuse_what_would_spread():
    """Catches one NaN that makes every resample undefined."""
    draw = resamples(["a", "b"], n_resamples=5)
    with pytest.raises(UsageError, match="1 that are not"):
        sums(draw, [[1.0], [np.nan]])
    with pytest.raises(UsageError, match="2, k"):
        sums(draw, [[1.0], [2.0], [3.0]])
    with pytest.raises(UsageError, match="2, k"):
        sums(draw, [1.0, 2.0])
    with pytest.raises(UsageError, match="1 resample"):
        resamples(["a", "b"], n_resamples=0)


def test_interval_holds_the_middle_95_percent():
    """Catches 90 % intervals, and ends turned round."""
    assert interval(np.random.default_rng(0).permutation(1_001)) == Interval(25.0, 975.0)
    assert interval([0.25] * 10) == Interval(0.25, 0.25)


def test_interval_needs_19_of_20_replicates():
    """Catches NaN in an interval, and intervals of the few resamples that had both classes."""
    values = np.linspace(0, 1, 100)
    values[:5] = np.nan
    assert interval(values) == Interval(*np.percentile(values[5:], [2.5, 97.5]))
    values[5] = np.nan
    assert interval(values) is None
    assert interval([np.nan]) is None
    assert interval([]) is None


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "n_groups"), [(40, 2), (60, 9), (400, 30), (900, 200)])
def test_few_scores_make_exact_replicates(n, n_groups, weighted):
    """Catches counts that go to a neighbour's cell or group, and interpolation where none is needed."""
    is_fake, scores, items, groups = made(n, n_groups=n_groups, seed=n)
    weights = np.random.default_rng(n).integers(0, 320, n) if weighted else None
    draw = resamples(groups, n_resamples=60)
    for values in (scores, np.round(scores, 1), np.round(scores)):
        found = equal_error_replicates(is_fake, values, items=items, resamples=draw, weights=weights)
        expected = drawn_anew(is_fake, values, items=items, draw=draw, weights=weights)
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["continuous", "saturated", "one score in three tied", "rare", "weighted"])
@pytest.mark.parametrize(("n_groups", "n_cells"), [(3, 2048), (50, 512), (1_000, 64)])
def test_many_scores_are_near_a_bootstrap_that_draws(kind, n_groups, n_cells, monkeypatch):
    """Catches cells too wide, ties inside a cell run through, and a second pass that leaves a crossing out.

    With the cells that so many groups have, or fewer.
    """
    monkeypatch.setattr(bootstrap, "_CELLS", (32, n_cells))
    is_fake, scores, items, groups = made(20_000, n_groups=n_groups, seed=n_groups)
    if kind == "saturated":
        scores = 1 / (1 + np.exp(-8 * scores.astype(np.float32)))
    if kind == "one score in three tied":
        scores = np.where(np.abs(scores - 0.5) < 0.5, 0.5, scores)
    if kind == "rare":
        is_fake = is_fake & (np.arange(20_000) % 30 == 0)
    weights = np.arange(20_000) % 321 if kind == "weighted" else None
    draw = resamples(groups, n_resamples=40)
    found = equal_error_replicates(is_fake, scores, items=items, resamples=draw, weights=weights)
    expected = drawn_anew(is_fake, scores, items=items, draw=draw, weights=weights)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    ends = equal_error_interval(is_fake, scores, items=items, resamples=draw, weights=weights)
    np.testing.assert_allclose([ends.low, ends.high], np.percentile(expected, [2.5, 97.5]), atol=1e-3)


def test_blocks_of_groups_make_no_difference(monkeypatch):
    """Catches groups lost or counted twice where one block ends."""
    is_fake, scores, items, groups = made(3_000, n_groups=100)
    draw = resamples(groups, n_resamples=25)
    whole = equal_error_replicates(is_fake, scores, items=items, resamples=draw)
    monkeypatch.setattr(bootstrap, "_BLOCK", 7)
    np.testing.assert_array_equal(equal_error_replicates(is_fake, scores, items=items, resamples=draw), whole)


def test_order_of_trials_does_not_matter():
    """Catches sums whose rounding depends on the order."""
    is_fake, scores, items, groups = made(5_000, n_groups=20)
    draw = resamples(groups, n_resamples=30)
    order = np.random.default_rng(2).permutation(5_000)
    found = equal_error_replicates(is_fake[order], scores[order], items=items[order], resamples=draw)
    np.testing.assert_array_equal(found, equal_error_replicates(is_fake, scores, items=items, resamples=draw))


def test_interval_covers_the_truth_about_as_often_as_it_says():
    """Catches intervals of trials taken for independent, which are far too narrow for leaning groups."""
    truth_rng = np.random.default_rng(0)
    # Scores of N(0, 1) and N(2, 1), each shifted by its speaker, N(0, 1): the EER is P(N(0, 2) > 1).
    true_rate, covered = 0.2398, 0
    for seed in range(60):
        speaker = np.repeat(np.arange(40), 20)
        is_fake = np.tile([False, True], 400)
        scores = truth_rng.standard_normal(800) + 2 * is_fake + truth_rng.standard_normal(40)[speaker]
        draw = resamples([str(number) for number in range(40)], n_resamples=200, seed=seed)
        ends = equal_error_interval(is_fake, scores, items=speaker, resamples=draw)
        covered += ends.low <= true_rate <= ends.high
    assert 50 <= covered <= 60


@pytest.mark.parametrize(
    ("scores", "expected"), [([0, 1, 2, 3], (0, 0)), ([3, 2, 1, 0], (1, 1)), ([7, 7, 7, 7], (0.5, 0.5))]
)
def test_perfect_inverted_and_constant_scores(scores, expected):
    """Catches a crossing looked for beyond the first or last threshold."""
    draw = resamples([str(number % 20) for number in range(80)], n_resamples=100)
    is_fake = [False, False, True, True] * 20
    ends = equal_error_interval(is_fake, scores * 20, items=np.arange(80) // 4, resamples=draw)
    assert (ends.low, ends.high) == expected


@pytest.mark.parametrize(("truth", "scores"), [([True, True], [1.0, 2.0]), ([False], [1.0]), ([], [])])
def test_one_class_or_nothing_is_undefined(truth, scores):
    """Catches 0 / 0 in a resample."""
    draw = resamples(["a", "b", "c"], n_resamples=30)
    items = np.arange(len(truth))
    assert np.isnan(equal_error_replicates(truth, scores, items=items, resamples=draw)).all()
    assert equal_error_interval(truth, scores, items=items, resamples=draw) is None


def test_resamples_without_a_class_are_left_out_or_stop_it():
    """Catches a warning, and an interval that rests on the half of the resamples that drew the only fake speaker."""
    names = [str(number) for number in range(6)]
    draw = resamples(names, n_resamples=200)
    items, scores = np.arange(6), np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.45])
    is_fake = np.arange(6) == 5
    found = equal_error_replicates(is_fake, scores, items=items, resamples=draw)
    expected = drawn_anew(is_fake, scores, items=items, draw=draw)
    assert 0.2 < np.isnan(found).mean() < 0.5
    np.testing.assert_allclose(found, expected)
    assert equal_error_interval(is_fake, scores, items=items, resamples=draw) is None


def test_bad_items_are_refused():
    """Catches trials that are given to the last item by a negative number, and items as names."""
    draw = resamples(["a", "b"], n_resamples=5)
    for items, message in (([0, 2], "0 to 1"), ([-1, 0], "0 to 1"), ([0], "2 integers"), ([0.0, 1.0], "2 integers")):
        with pytest.raises(UsageError, match=message):
            equal_error_interval([True, False], [0.1, 0.2], items=items, resamples=draw)
