"""How well a few numbers tell two classes apart: areas under the ROC curve that no fit to the test clips flatters.

Two views of one fact, because neither sees everything. The rank AUC (Mann and Whitney, 1947) of the raw value needs
no fit at all and has a direction, but is blind to a class that lies on both sides of the other. The any-shape AUC
learns from some clips how often each range of values is positive, and ranks the others by that; so does every
classifier here. Clips that go back to one recording are never on both sides of such a split, and the bootstrap that
gives the intervals draws recordings, not clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from audio.errors import ToolkitError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

FOLDS = 5
"""Parts that the clips are split into; fewer when there are fewer recordings."""

REPEATS = 3
"""Splits into folds that a cross-validated AUC is the mean of: how recordings fall into folds is luck as well."""

LEAST_CLIPS = 10
"""Clips of each class below which nothing is said: the AUC of 10 against 10 is 0.5 +- 0.25 by chance."""

RESAMPLES = 500
"""Draws of the bootstrap."""

COVERAGE = 0.99
"""Of the intervals. A report shows dozens; at 95 % a few would miss 0.5 in a set without a bias."""

BINS = 8
"""Ranges of a number, of equal counts, whose shares of positives the any-shape AUC learns."""

PRIOR_CLIPS = 5.0
"""A range's share is drawn to the overall share as if this many more clips had it, so that a range with two
clips decides nothing."""


class TooFewError(ToolkitError):
    """There are too few clips, or recordings, to tell anything."""


@dataclass(frozen=True)
class Column:
    """One fact of all clips.

    `values`: float64 (n,), NaN where missing. With `categories` they are places in it.
    """

    name: str
    values: Floats
    categories: tuple[str, ...] = ()

    @property
    def is_constant(self) -> bool:
        """Whether all clips agree, also in that it is missing."""
        return np.unique(self.values).size <= 1  # NaN counts as one value

    def some(self, rows: Bools) -> Column:
        """Return the column of the marked clips."""
        return Column(self.name, self.values[rows], self.categories)

    def typical(self) -> str:
        """Return the median as text, or the commonest category with its share; "none" when all are missing."""
        known = self.values[~np.isnan(self.values)]
        if known.size == 0:
            return "none"
        if not self.categories:
            return f"{np.median(known):.4g}"
        counts = np.bincount(known.astype(np.int64))
        return f"{self.categories[int(counts.argmax())]} ({counts.max() / self.values.size:.0%})"


@dataclass(frozen=True)
class Estimate:
    """An AUC and its interval of `COVERAGE`."""

    auc: float
    low: float
    high: float

    @property
    def excludes_chance(self) -> bool:
        """Whether the interval lies to one side of 0.5."""
        return self.low > 0.5 or self.high < 0.5


CHANCE = Estimate(0.5, 0.5, 0.5)
"""What a fact that is the same everywhere tells: nothing, exactly."""


@dataclass(frozen=True)
class Trial:
    """Two classes to tell apart.

    Parameters
    ----------
    positive
        bool (n,): which clips are of the second class.
    groups
        int (n,): which recording each goes back to.
    seed
        Decides folds and resamples.

    Raises
    ------
    TooFewError
        Saying what is missing, when there are too few clips of a class, or too few recordings for two folds with
        both classes on either side.
    """

    positive: Bools
    groups: Ints
    seed: int = 0
    folds: tuple[Ints, ...] = field(init=False)
    """int (n,) for each repeat: the fold of each clip."""

    def __post_init__(self) -> None:
        n_least = min(int(self.positive.sum()), int((~self.positive).sum()))
        if n_least < LEAST_CLIPS:
            raise TooFewError(f"expected at least {LEAST_CLIPS} clips of each class, received {n_least}")
        folds = [self._folds(repeat) for repeat in range(REPEATS)]
        object.__setattr__(self, "folds", tuple(folds))

    @property
    def chance_spread(self) -> float:
        """How far from 0.5 the AUC of a fact that tells nothing lies in `COVERAGE` of sets as large as this.

        From the variance of the Mann-Whitney statistic, (n + m + 1) / (12 n m), for clips that go back to
        recordings of their own.
        """
        n, m = int(self.positive.sum()), int((~self.positive).sum())
        return float(2.576 * np.sqrt((n + m + 1) / (12.0 * n * m)))

    def _folds(self, repeat: int) -> Ints:
        """Deal the recordings into folds of like shares of the classes."""
        from sklearn.model_selection import StratifiedGroupKFold

        n_groups = min(np.unique(self.groups[side]).size for side in (self.positive, ~self.positive))
        seed = int(np.random.default_rng([self.seed, repeat]).integers(2**31))
        for n_folds in range(min(FOLDS, n_groups), 1, -1):
            fold = np.zeros(self.positive.size, dtype=np.int64)
            splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
            for i, (_, test) in enumerate(splitter.split(self.positive, self.positive, self.groups)):
                fold[test] = i
            if all(0 < self.positive[fold != i].mean() < 1 for i in range(n_folds)):
                return fold
        raise TooFewError(f"expected each class from two source recordings or more, received {n_groups}")


def auc(scores: Floats, positive: Bools, *, weights: Floats | None = None, folds: Ints | None = None) -> Floats:
    """Return the area under the ROC curve: how often a positive scores above a negative, ties counting half.

    Parameters
    ----------
    scores
        float64 (n,), no NaN.
    positive
        bool (n,)
    weights
        float64 (m, n), how often each clip counts in each of m resamples; None for one of each.
    folds
        int (n,); only clips of one fold are compared, because each fold was scored by a model of its own. Across
        folds a score is the lower, the more positives were left out to be tested, which draws the AUC of what tells
        nothing below 0.5 (measured: to 0.48 for 200 clips of two categories). None to compare all.

    Returns
    -------
    float64 (m,), or (1,) without weights; NaN where a class has no weight.
    """
    weights = np.ones((1, scores.size)) if weights is None else weights
    parts = [np.ones(scores.size, np.bool_)] if folds is None else [folds == fold for fold in np.unique(folds)]
    won, pairs = np.sum([_won(scores[part], positive[part], weights[:, part]) for part in parts], axis=0)
    return np.where(pairs > 0, won / np.where(pairs > 0, pairs, 1.0), np.nan)


def _won(scores: Floats, positive: Bools, weights: Floats) -> tuple[Floats, Floats]:
    """Return (m,) how many pairs of a positive and a negative the positive wins, and how many there are."""
    _, place = np.unique(scores, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    ranked, is_positive = weights[:, order], positive[order]
    up = np.add.reduceat(ranked * is_positive, starts, axis=1)
    down = np.add.reduceat(ranked * ~is_positive, starts, axis=1)
    below = np.cumsum(down, axis=1) - down
    return (up * (below + down / 2.0)).sum(axis=1), up.sum(axis=1) * down.sum(axis=1)


def rank_estimate(column: Column, trial: Trial) -> Estimate:
    """Return the AUC of the raw value; above 0.5 when positives have more of it. Missing values do not count."""
    known = np.isfinite(column.values)
    if column.is_constant or min(known[trial.positive].sum(), known[~trial.positive].sum()) < LEAST_CLIPS:
        return CHANCE
    all_comparable = np.zeros(int(known.sum()), dtype=np.int64)
    scored = [(column.values[known], all_comparable)]
    return _estimate(scored, trial.positive[known], trial.groups[known], trial.seed)


def shape_estimate(column: Column, trial: Trial) -> Estimate:
    """Return the cross-validated AUC of one fact whose relation to the class may have any shape.

    Below 0.5 it has found nothing.
    """
    if column.is_constant:
        return CHANCE
    scored = _out_of_fold(lambda train: _shares(column, trial.positive, train), trial.folds)
    return _estimate(scored, trial.positive, trial.groups, trial.seed)


def joint_estimate(columns: Sequence[Column], trial: Trial) -> Estimate:
    """Return the cross-validated AUC of all facts together.

    The mean probability of a logistic regression, which finds sums and differences (level and peak make the crest
    factor), and of small gradient-boosted trees, which find ranges and interactions. Below 0.5 it has found nothing.
    """
    told = [column for column in columns if not column.is_constant]
    if not told:
        return CHANCE
    return _estimate(_joint_scores(told, trial, trial.folds), trial.positive, trial.groups, trial.seed)


def leaned_on(columns: Sequence[Column], trial: Trial) -> dict[str, float]:
    """Return by how much the AUC of all facts together is lower without one of them, largest first.

    From the first split into folds alone, and without the facts that are the same everywhere.
    """
    told = [column for column in columns if not column.is_constant]
    if len(told) < 2:
        return {}

    def joint_auc(some: Sequence[Column]) -> float:
        [(scores, fold)] = _joint_scores(some, trial, trial.folds[:1])
        return float(auc(scores, trial.positive, folds=fold)[0])

    whole = joint_auc(told)
    drops = {one.name: whole - joint_auc([column for column in told if column is not one]) for one in told}
    return dict(sorted(drops.items(), key=lambda pair: -pair[1]))


def _joint_scores(columns: Sequence[Column], trial: Trial, folds: Sequence[Ints]) -> list[_Scored]:
    """Return the score of every clip, by what all facts teach, for each split into folds."""
    from threadpoolctl import threadpool_limits

    design = np.column_stack([part for column in columns for part in _encoded(column)])
    with threadpool_limits(1):  # small fits lose more to threads than they gain
        return _out_of_fold(lambda train: _classified(design, trial, train), folds)


_Scored = tuple[Floats, Ints]
"""Scores (n,) of all clips, and the fold (n,) in which each was scored."""


def _out_of_fold(score: Callable[[Bools], Floats], folds: Sequence[Ints]) -> list[_Scored]:
    """Score every clip by what the other folds teach; `score` takes the training clips and scores all."""
    repeats = []
    for fold in folds:
        scores = np.zeros(fold.size)
        for i in range(int(fold.max()) + 1):
            scores[fold == i] = score(fold != i)[fold == i]
        repeats.append((scores, fold))
    return repeats


def _estimate(repeats: Sequence[_Scored], positive: Bools, groups: Ints, seed: int) -> Estimate:
    """Return the mean AUC of the repeats, and its interval from a bootstrap over groups."""
    mean = float(np.mean([auc(scores, positive, folds=folds)[0] for scores, folds in repeats]))
    drawn = [
        np.mean([auc(scores, positive, weights=weights, folds=folds) for scores, folds in repeats], axis=0)
        for weights in _resamples(groups, seed=seed)
    ]
    tail = 50.0 * (1.0 - COVERAGE)
    low, high = np.nanpercentile(np.concatenate(drawn), [tail, 100.0 - tail])
    return Estimate(mean, float(low), float(high))


def _resamples(groups: Ints, *, seed: int) -> Iterator[Floats]:
    """Yield weights (some, n), `RESAMPLES` rows in all, few at a time to bound the memory."""
    rng = np.random.default_rng(seed)
    _, group = np.unique(groups, return_inverse=True)
    n_groups = int(group.max()) + 1
    n_at_once = max(1, min(RESAMPLES, 2_000_000 // groups.size))
    for start in range(0, RESAMPLES, n_at_once):
        size = min(n_at_once, RESAMPLES - start)
        yield rng.multinomial(n_groups, np.full(n_groups, 1.0 / n_groups), size=size)[:, group].astype(np.float64)


def _shares(column: Column, positive: Bools, train: Bools) -> Floats:
    """Return for each clip the share of positives among the training clips in its range of values."""
    place = _ranges(column, train)
    n = np.bincount(place[train], minlength=place.max() + 1)
    n_positive = np.bincount(place[train], weights=positive[train], minlength=place.max() + 1)
    prior = positive[train].mean()
    return ((n_positive + PRIOR_CLIPS * prior) / (n + PRIOR_CLIPS))[place]


def _ranges(column: Column, train: Bools) -> Ints:
    """Number the range that each value lies in; missing values have one of their own."""
    missing = np.isnan(column.values)
    if column.categories:
        return np.where(missing, len(column.categories), column.values).astype(np.int64)
    known = column.values[train & ~missing]
    edges = np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if known.size else np.zeros(0)
    # From the left: what is exactly on an edge, 0 for example, is apart from what is just above it.
    return np.where(missing, edges.size + 1, np.searchsorted(edges, column.values, side="left"))


def _encoded(column: Column) -> list[Floats]:
    """Return a column for each category, or the number itself, and a mark for missing values."""
    missing = np.isnan(column.values)
    marks = [missing.astype(np.float64)] if missing.any() else []
    if column.categories:
        return [*((column.values == i).astype(np.float64) for i in range(len(column.categories))), *marks]
    return [column.values, *marks]


def _classified(design: Floats, trial: Trial, train: Bools) -> Floats:
    """Return P(positive) of every clip from what the training clips teach."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    n_train = int(train.sum())
    trees = HistGradientBoostingClassifier(
        learning_rate=0.1,
        max_iter=60,
        max_leaf_nodes=6,
        min_samples_leaf=max(5, min(20, n_train // 20)),
        l2_regularization=1.0,
        early_stopping=False,
        random_state=trial.seed,
    )
    line = LogisticRegression(max_iter=2_000)
    scaled = _scaled(design, train)
    trees.fit(design[train], trial.positive[train])
    line.fit(scaled[train], trial.positive[train])
    return np.asarray(trees.predict_proba(design)[:, 1] + line.predict_proba(scaled)[:, 1]) / 2.0


def _scaled(design: Floats, train: Bools) -> Floats:
    """Bring every column of the training clips to mean 0 and deviation 1, without its extremes; NaN to 0."""
    scaled = np.zeros_like(design)
    for i, values in enumerate(design.T):
        known = values[train & np.isfinite(values)]
        if known.size == 0:
            continue
        low, high = np.quantile(known, [0.005, 0.995])
        held = np.clip(values, low, high)
        deviation = np.nanstd(held[train])
        scaled[:, i] = np.nan_to_num((held - np.nanmean(held[train])) / (deviation if deviation > 0 else 1.0))
    return scaled
