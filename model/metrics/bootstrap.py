"""How far a figure might be off: percentile intervals from resampling whole groups, speakers for instance.

Clips of one speaker succeed and fail together, so it is speakers that are drawn with replacement, each with all its
clips: the cluster bootstrap, known here as the subset bootstrap (Bolle, Ratha & Pankanti, "Error analysis of pattern
recognition systems: the subsets bootstrap", Computer Vision and Image Understanding 93, 2004). Intervals run from the
2.5th to the 97.5th percentile of the replicates (Efron & Tibshirani, "An introduction to the bootstrap", 1993, ch. 13).

One draw of groups serves every figure of a report: whatever is a function of sums over items (accuracy, F1, durations)
gets its replicates from `sums`, the equal error rate from `equal_error_interval`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audio.errors import UsageError
from model.metrics.ranking import Sweep, Trials, checked, sweep

PERCENTILES = (2.5, 97.5)
"""Ends of a 95 % interval."""

MOST_UNDEFINED = 0.05
"""With a larger share of replicates without a value there is no interval: it would speak of lucky draws only."""

_BLOCK = 4096
"""Groups handled at a time, which bounds the memory: 33 MB of counts for 1,000 resamples."""

_ENTRIES = 2**21
"""Aimed-at size of an array with one row for each resample or group and one column for each cell: 16 MB."""

_CELLS = (32, 2048)
"""Fewest and most cells that the scores are sorted into at a time."""


Z_95 = 1.959963984540054
"""Quantile of the standard normal distribution that leaves 2.5 % above it."""


@dataclass(frozen=True, eq=False)
class Resamples:
    """Which groups were drawn, how often, in each resample.

    Attributes
    ----------
    group_of
        int64 (n_items,): the group of each item, as a column of `counts`.
    counts
        int16 (n_resamples, n_groups): how often each group was drawn. Each row adds up to n_groups. Two bytes, because
        there may be as many groups as clips: 100,000 of them take 200 MB for 1,000 resamples.
    """

    group_of: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int16]


@dataclass(frozen=True)
class Interval:
    """A 95 % interval, both ends included."""

    low: float
    high: float


def resamples(groups: Sequence[str], *, n_resamples: int = 1000, seed: int = 0) -> Resamples | None:
    """Draw groups with replacement, as many as there are, `n_resamples` times.

    The draw depends on the set of group names and the seed, not on the order of the items; the first resamples are the
    same however many follow.

    Parameters
    ----------
    groups
        For each item (clip) the name of what it shares its luck with, its speaker for instance.
    n_resamples
        Number of resamples, 1 or more; 1,000 settle the ends of an interval to about a tenth of its width.
    seed
        Seed of the draw.

    Returns
    -------
    The draw; None with fewer than two different groups, of which resampling says nothing.

    Raises
    ------
    UsageError
        When `n_resamples` is below 1.
    """
    if n_resamples < 1:
        raise UsageError(f"bootstrap: expected 1 resample or more, received {n_resamples}")
    names = {name: number for number, name in enumerate(sorted(set(groups)))}
    if len(names) < 2:
        return None
    rng = np.random.default_rng(seed)
    counts = np.empty((n_resamples, len(names)), dtype=np.int16)
    for row in counts:
        row[:] = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
    return Resamples(np.array([names[group] for group in groups], dtype=np.int64), counts)


def sums(resamples: Resamples, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Add up the values of all items in every resample; an item counts as often as its group was drawn.

    Parameters
    ----------
    resamples
        The draw, of n_items items.
    values
        float array (n_items, k), finite: what each item adds to each of k sums.

    Returns
    -------
    float64 array (n_resamples, k); whole numbers below 2**53 are exact.

    Raises
    ------
    UsageError
        When the shape does not fit or a value is not finite: a figure that is undefined for an item adds 0 to its sums.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or len(table) != len(resamples.group_of):
        raise UsageError(f"sums: expected values ({len(resamples.group_of)}, k), received {table.shape}")
    if not np.isfinite(table).all():
        raise UsageError(f"sums: expected finite values, received {int((~np.isfinite(table)).sum())} that are not")
    n_resamples, n_groups = resamples.counts.shape
    total = np.zeros((n_resamples, table.shape[1]))
    by_group = [np.bincount(resamples.group_of, weights=column, minlength=n_groups) for column in table.T]
    if by_group:
        for block in _blocks(n_groups):
            total += resamples.counts[:, block].astype(np.float64) @ np.array([column[block] for column in by_group]).T
    return total


def interval(values: npt.ArrayLike) -> Interval | None:
    """Return the 95 % percentile interval of the replicates of a figure.

    Percentiles are interpolated linearly between the two nearest replicates.

    Parameters
    ----------
    values
        float array (n_resamples,), NaN for a resample in which the figure is undefined.

    Returns
    -------
    The interval of the defined ones; None for no values, or when more than 5 % are undefined.
    """
    replicates = np.asarray(values, dtype=np.float64).ravel()
    defined = replicates[~np.isnan(replicates)]
    if not defined.size or replicates.size - defined.size > MOST_UNDEFINED * replicates.size:
        return None
    low, high = np.percentile(defined, PERCENTILES)
    return Interval(float(low), float(high))


def share_interval(chosen: npt.ArrayLike, groups: Sequence[str], *, n_resamples: int = 1000) -> Interval | None:
    """Return the 95 % interval of the share of items that are chosen, for instance of genuine clips called fake.

    From one end of the two intervals to the other: of resampled groups, which knows that clips of one speaker share
    their luck, and Wilson's (JASA 22, 1927), which knows that none in twenty is not none in all. Resampling finds
    nothing but zeros in zeros.

    Parameters
    ----------
    chosen
        bool array (n,).
    groups
        Speaker of each item; "" for one of its own.
    n_resamples
        As in `resamples`.

    Returns
    -------
    The interval; None without items.
    """
    flags = np.asarray(chosen, dtype=bool)
    if not flags.size:
        return None
    wilson = _wilson(int(flags.sum()), flags.size)
    drawn = resamples([group or f"item {i}" for i, group in enumerate(groups)], n_resamples=n_resamples)
    if drawn is None:
        return wilson
    totals = sums(drawn, np.stack([flags, np.ones(flags.size)], axis=1))
    by_group = interval(totals[:, 0] / totals[:, 1])
    if by_group is None:
        return wilson
    return Interval(min(wilson.low, by_group.low), max(wilson.high, by_group.high))


def _wilson(count: int, n: int) -> Interval:
    share, z2 = count / n, Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Interval(max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def equal_error_interval(
    is_fake: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    items: npt.ArrayLike,
    resamples: Resamples,
    weights: npt.ArrayLike | None = None,
) -> Interval | None:
    """Return the 95 % interval of the equal error rate.

    Parameters
    ----------
    is_fake, scores, weights
        Trials (n,), for instance frames, as in `model.metrics.ranking.equal_error_rate`.
    items
        int array (n,): the item of each trial, as an index into `resamples.group_of`.
    resamples
        The draw.

    Returns
    -------
    The interval; None when one of the two classes is missing in all trials or in more than 5 % of the resamples.

    Raises
    ------
    UsageError
        When the shapes do not fit, a score is not finite, a weight is negative or not whole, or an item is not one of
        the draw's.
    """
    return interval(equal_error_replicates(is_fake, scores, items=items, resamples=resamples, weights=weights))


def equal_error_replicates(
    is_fake: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    items: npt.ArrayLike,
    resamples: Resamples,
    weights: npt.ArrayLike | None = None,
) -> npt.NDArray[np.float64]:
    """Return the equal error rate of every resample; parameters and errors as in `equal_error_interval`.

    Exact where the different scores are no more than the cells. Otherwise scores are counted in cells twice, the
    second time only between the least and the greatest threshold that any resample may still need; a score shared by
    many trials gets a cell of its own, and through a cell of several scores, which holds little of either class, both
    error rates run straight. For a million trials that is off by about 1e-4, far less than the replicates differ.

    Returns
    -------
    float64 array (n_resamples,), NaN for a resample with one class only.
    """
    trials = checked(is_fake, scores, weights=weights)
    groups = _groups(items, resamples=resamples, n_trials=np.size(scores))
    if weights is not None:
        groups = groups[np.asarray(weights) > 0]
    swept = sweep(trials)
    n_resamples, n_groups = resamples.counts.shape
    if swept is None:
        return np.full(n_resamples, np.nan)
    n_cells = int(np.clip(_ENTRIES // max(n_resamples, n_groups), *_CELLS))
    places = np.array([0, len(swept.hits) - 1])
    for _ in range(2):
        places = _spread(swept, first=int(places[0]), last=int(places[-1]), n_cells=n_cells)
        single = np.diff(places) == 1
        called = _called(trials, groups, thresholds=swept.thresholds[places], counts=resamples.counts)
        meeting, defined = called.meeting(), called.defined()
        rates = called.equal_errors(meeting, single=single)
        if not defined.any() or single[meeting[defined] - 1].all():
            break
        places = places[[meeting[defined].min() - 1, meeting[defined].max()]]
    return rates


@dataclass(frozen=True, eq=False)
class _Called:
    """How much every resample calls fake at k thresholds, descending: whole numbers as float64."""

    hits: npt.NDArray[np.float64]
    """(n_resamples, k)."""
    false_alarms: npt.NDArray[np.float64]
    """(n_resamples, k)."""
    n_fake: npt.NDArray[np.float64]
    """(n_resamples, 1)."""
    n_genuine: npt.NDArray[np.float64]
    """(n_resamples, 1)."""

    def defined(self) -> npt.NDArray[np.bool_]:
        """Return which resamples have both classes."""
        return ((self.n_fake > 0) & (self.n_genuine > 0))[:, 0]

    def meeting(self) -> npt.NDArray[np.int64]:
        """Return the first threshold of every resample, after the very first, at which FPR has reached FNR."""
        # Compared times both class sizes, which is exact below 2**53.
        reached = self.false_alarms * self.n_fake >= (self.n_fake - self.hits) * self.n_genuine
        return np.maximum(1, reached.argmax(axis=1))

    def equal_errors(self, meeting: npt.NDArray[np.int64], *, single: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Return every resample's equal error rate, in the cell that ends at `meeting`; NaN for one class only."""
        pair = np.stack((meeting - 1, meeting), axis=1)
        false_alarms = np.take_along_axis(self.false_alarms, pair, axis=1)
        misses = self.n_fake - np.take_along_axis(self.hits, pair, axis=1)
        below, above = (false_alarms * self.n_fake - misses * self.n_genuine).T
        with np.errstate(invalid="ignore"):
            within = np.where(single[meeting - 1], -below > above, -below / (above - below))
            sums = false_alarms / self.n_genuine + misses / self.n_fake
        return (sums[:, 0] + within * (sums[:, 1] - sums[:, 0])) / 2


def _called(
    trials: Trials,
    groups: npt.NDArray[np.int64],
    *,
    thresholds: npt.NDArray[np.float64],
    counts: npt.NDArray[np.int16],
) -> _Called:
    """Count what every resample calls fake at each threshold (k,), descending."""
    n_columns = len(thresholds) + 1
    first_reached = len(thresholds) - np.searchsorted(thresholds[::-1], trials.scores, side="right")
    columns = first_reached + n_columns * trials.is_fake
    total = np.zeros((len(counts), 2 * n_columns))
    for block in _blocks(counts.shape[1]):
        inside = (groups >= block.start) & (groups < block.stop)
        size = block.stop - block.start
        entries = (groups[inside] - block.start) * (2 * n_columns) + columns[inside]
        table = np.bincount(entries, weights=trials.weights[inside], minlength=size * 2 * n_columns)
        total += counts[:, block].astype(np.float64) @ table.reshape(size, 2 * n_columns)
    by_class = total.reshape(len(counts), 2, n_columns)
    genuine, fake = np.moveaxis(np.cumsum(by_class, axis=2, out=by_class), 1, 0)
    return _Called(fake[:, :-1], genuine[:, :-1], fake[:, -1:], genuine[:, -1:])


def _spread(swept: Sweep, *, first: int, last: int, n_cells: int) -> npt.NDArray[np.int64]:
    """Return places of a sweep from `first` to `last`, ascending, `n_cells` or a little more apart.

    All of them where they are few. Otherwise places after equal steps of FPR + (1 - FNR), each with the place before
    it: so what lies between two places is one score, or less than a step.
    """
    if last - first <= n_cells:
        return np.arange(first, last + 1)
    passed = swept.hits / swept.hits[-1] + swept.false_alarms / swept.false_alarms[-1]
    steps = np.linspace(passed[first], passed[last], n_cells // 2 + 1)[1:-1]
    after = np.searchsorted(passed, steps)
    return np.unique(np.concatenate(([first, last], np.clip(np.concatenate((after - 1, after)), first, last))))


def _groups(items: npt.ArrayLike, *, resamples: Resamples, n_trials: int) -> npt.NDArray[np.int64]:
    """Return the group of each trial."""
    numbers, n_items = np.asarray(items), len(resamples.group_of)
    if numbers.shape != (n_trials,) or (n_trials and numbers.dtype.kind not in "iu"):
        raise UsageError(f"items: expected {n_trials} integers, received {numbers.dtype} {numbers.shape}")
    if n_trials and not 0 <= numbers.min() <= numbers.max() < n_items:
        raise UsageError(f"items: expected 0 to {n_items - 1}, received {numbers.min()} to {numbers.max()}")
    return resamples.group_of[numbers.astype(np.int64)]


def _blocks(n_groups: int) -> Iterator[slice]:
    """Return slices of at most `_BLOCK` groups that cover all of them."""
    return (slice(start, min(start + _BLOCK, n_groups)) for start in range(0, n_groups, _BLOCK))
