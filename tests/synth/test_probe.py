from __future__ import annotations

import itertools

import numpy as np
import pytest

from synth.probe import CHANCE, Column, TooFewError, Trial, auc, joint_estimate, rank_estimate, shape_estimate


def trial(n: int, *, per_source: int = 1, seed: int = 0) -> Trial:
    """As many clips of either class, in turn; the same number from each source."""
    return Trial(np.arange(n) % 2 == 1, np.arange(n) // per_source, seed)


def test_auc_against_counting_pairs() -> None:
    """The fast area, with ties, weights and folds, beside a loop over all pairs."""
    rng = np.random.default_rng(1)
    for _ in range(30):
        n = int(rng.integers(2, 30))
        scores, positive = rng.integers(0, 6, n).astype(np.float64), rng.random(n) < 0.5
        weights = rng.integers(0, 4, (3, n)).astype(np.float64)
        folds = rng.integers(0, 3, n)
        for row, found in zip(weights, auc(scores, positive, weights=weights, folds=folds), strict=True):
            pairs = list(itertools.product(np.flatnonzero(positive), np.flatnonzero(~positive)))
            pairs = [(i, j) for i, j in pairs if folds[i] == folds[j]]
            gains = [(1.0 + np.sign(scores[i] - scores[j])) / 2.0 for i, j in pairs]
            won = sum(row[i] * row[j] * gain for (i, j), gain in zip(pairs, gains, strict=True))
            total = sum(row[i] * row[j] for i, j in pairs)
            assert found == pytest.approx(won / total if total else np.nan, nan_ok=True)


def test_auc_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(2)
    scores, positive = rng.normal(size=200).round(1), rng.random(200) < 0.3
    assert auc(scores, positive)[0] == pytest.approx(roc_auc_score(positive, scores))


def test_folds_never_part_a_source() -> None:
    """Catches clips of one recording in training and in test, and a fold without one of the classes."""
    rng = np.random.default_rng(3)
    groups = rng.integers(0, 40, 300)
    one = Trial(rng.random(300) < 0.3, groups)
    for fold in one.folds:
        assert all(np.unique(fold[groups == group]).size == 1 for group in range(40))
        assert np.unique(fold).size == 5
        assert all(0 < one.positive[fold == i].mean() < 1 for i in range(5))


def test_what_a_source_gives_away_is_not_learned() -> None:
    """Catches folds by clip: a level that tells the recording, and so its class, would look like a shortcut."""
    rng = np.random.default_rng(4)
    source = np.arange(320) // 16
    levels = Column("level", rng.permutation(20)[source] + 0.01 * rng.normal(size=320))
    positive = source % 2 == 1
    by_clip = Trial(positive, np.arange(320))
    assert joint_estimate([levels], by_clip).auc > 0.9
    by_source = joint_estimate([levels], Trial(positive, source))
    assert by_source.auc < 0.7
    assert not by_source.low > 0.5


def test_intervals_draw_sources_not_clips() -> None:
    """Catches a bootstrap over clips: forty copies of eight recordings know no more than the eight."""
    rng = np.random.default_rng(5)
    source = np.arange(320) // 40
    values, positive = rng.normal(size=8)[source], np.isin(source, [1, 3, 4, 6])
    alone = rank_estimate(Column("x", values), Trial(positive, np.arange(320)))
    together = rank_estimate(Column("x", values), Trial(positive, source))
    assert together.auc == alone.auc
    assert together.high - together.low > 3 * (alone.high - alone.low)


@pytest.mark.parametrize("kind", ["more", "both sides", "category", "missing"])
def test_a_fact_that_tells(kind: str) -> None:
    """Catches views that see one direction only, or drop what is missing."""
    one = trial(160)
    rng = np.random.default_rng(6)
    x = rng.normal(size=160)
    columns = {
        "more": Column("x", x - 1.5 * one.positive),
        "both sides": Column("x", x * np.where(one.positive, 3.0, 0.3)),
        "category": Column("x", (rng.random(160) < np.where(one.positive, 0.9, 0.1)).astype(np.float64), ("a", "b")),
        "missing": Column("x", np.where(rng.random(160) < 0.8 * one.positive, np.nan, x)),
    }
    learned = shape_estimate(columns[kind], one)
    assert learned.low > 0.6
    assert learned.low < learned.auc < learned.high
    assert joint_estimate([columns[kind]], one).low > 0.6
    if kind == "more":
        rank = rank_estimate(columns[kind], one)
        assert rank.auc == pytest.approx(auc(columns[kind].values, one.positive)[0])
        assert rank.high < 0.3
    if kind in ("both sides", "missing"):
        assert not rank_estimate(columns[kind], one).excludes_chance


def test_zero_is_apart_from_almost_zero() -> None:
    """Catches ranges that lump most clips' exact 0 with the small values beside it."""
    one = trial(200)
    column = Column("x", np.where(~one.positive & (np.arange(200) % 10 == 0), 1e-5, 0.0))
    assert shape_estimate(column, one).auc == pytest.approx(0.6, abs=1e-9)


@pytest.mark.parametrize("kind", ["difference", "exclusive or"])
def test_together_sees_what_no_fact_tells_alone(kind: str) -> None:
    """Catches a probe without interactions: level and peak are clean, the crest factor is not."""
    one = trial(240)
    rng = np.random.default_rng(7)
    if kind == "difference":
        level = rng.normal(-26.0, 6.0, 240)
        crest = np.where(one.positive, 15.0, 13.0) + rng.normal(size=240)
        pair = [Column("level", level), Column("peak", level + crest)]
    else:
        first = rng.normal(size=240)
        second = np.abs(rng.normal(size=240)) * np.where((first > 0) ^ one.positive, 1.0, -1.0)
        pair = [Column("a", first), Column("b", second)]
    idle = [Column(f"idle {i}", rng.normal(size=240)) for i in range(4)]
    for column in pair:
        assert shape_estimate(column, one).auc < 0.65
    assert joint_estimate([*pair, *idle], one).low > 0.7


def test_chance_is_rarely_taken_for_more() -> None:
    """Catches scores of clips that were trained on, and intervals that are too narrow: 40 facts of nothing."""
    rng = np.random.default_rng(8)
    one = trial(120, per_source=3)
    columns = [Column("x", rng.normal(size=120)) for _ in range(20)]
    found = [view(column, one) for column in columns for view in (rank_estimate, shape_estimate)]
    assert sum(estimate.low > 0.5 or estimate.high < 0.5 for estimate in found) <= 3
    assert np.mean([estimate.auc for estimate in found]) == pytest.approx(0.5, abs=0.03)
    assert joint_estimate([Column(str(i), rng.normal(size=120)) for i in range(6)], one).low < 0.5


def test_what_is_the_same_everywhere_tells_nothing() -> None:
    one = trial(40)
    constant = Column("x", np.full(40, 3.0))
    missing = Column("y", np.full(40, np.nan))
    category = Column("z", np.zeros(40), ("flac",))
    for column in (constant, missing, category):
        assert shape_estimate(column, one) == CHANCE
    assert rank_estimate(constant, one) == rank_estimate(missing, one) == CHANCE
    assert joint_estimate([constant, missing, category], one) == CHANCE


def test_the_same_seed_gives_the_same_figures() -> None:
    rng = np.random.default_rng(9)
    columns = [Column(str(i), rng.normal(size=80)) for i in range(3)]
    first, second, other = (joint_estimate(columns, trial(80, seed=seed)) for seed in (1, 1, 2))
    assert first == second
    assert first != other


@pytest.mark.parametrize(
    ("positive", "groups", "said"),
    [
        ([False] * 30, range(30), "at least 10 clips of each class, received 0"),
        ([False] * 30 + [True] * 9, range(39), "at least 10 clips of each class, received 9"),
        ([False] * 30 + [True] * 12, [*range(30), *[30] * 12], "two source recordings or more, received 1"),
    ],
)
def test_too_few_is_said(positive: list[bool], groups: range | list[int], said: str) -> None:
    with pytest.raises(TooFewError, match=said):
        Trial(np.array(positive), np.array(groups))


def test_few_sources_make_fewer_folds() -> None:
    few = Trial(np.arange(60) % 2 == 1, np.arange(60) // 20)
    assert [np.unique(fold).size for fold in few.folds] == [3, 3, 3]


def test_typical_values() -> None:
    assert Column("x", np.array([1.0, np.nan, 2.0, 40.0])).typical() == "2"
    assert Column("x", np.array([0.0, 1.0, 1.0]), ("a", "b")).typical() == "b (67%)"
    assert Column("x", np.full(3, np.nan)).typical() == "none"
