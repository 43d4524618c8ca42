"""Localisation by spans: durations, matches, average precision, boundary errors; in integer samples at 16 kHz.

    truth       [=======A=======)             [==B==)
    found              [====a====)   [=b=)
    durations   missed |  hit  |f.|  |f.a|    missed        every sample is one of four, the rest is genuine
    matches     A with a when tIoU(A, a) > t; b is a false alarm, B is missed

Durations add up over recordings, so every figure of sums (`span_f1` ...) gets its interval from sums of resamples;
cutting a recording in two, anywhere, changes no sum. Spans are fake spans: one labelled real is refused. Overlapping
spans count once in durations and coverage, and are spans of their own in matches. tIoU is the length of the
intersection over that of the union, compared in integers: 11 of 20 is not above 0.55.

Average precision is the area under the interpolated precision-recall curve of all recordings' proposals, as in PASCAL
VOC 2010 and ActivityNet. LAV-DF (arXiv 2204.06228) and CFPRF (arXiv 2407.16554) publish figures of code that differs in
three ways (metrics.py of github.com/ControlNet/LAV-DF): it leaves out the area before the first proposal, which costs
at most 1 / number of true spans; a true span takes the first proposal in the file, not the most confident; tied
proposals enter in the order of the files. Here tied proposals enter together, so the order of clips never matters.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt

from audio.errors import UsageError
from audio.segments import SAMPLE_RATE, Segment, clip_to, total, union
from model.metrics.bootstrap import Resamples
from model.metrics.cells import check_fake

T_IOUS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""The thresholds that mAP averages over (ActivityNet, LAV-DF)."""

MATCHED_ABOVE = 0.5
"""tIoU above which a found and a true span are one for boundary errors: above one half, of spans that do not overlap
each can match one other only, so that no order of matching decides (arXiv 1801.00868, section 4.1)."""

ALARM_WINDOW_SAMPLES = 30 * SAMPLE_RATE
"""A false alarm counts once per recording up to 30 s, and once per 30 s of a longer one."""

SAMPLES_PER_HOUR = 3_600 * SAMPLE_RATE

Integers = npt.NDArray[np.int64]

Floats = npt.NDArray[np.float64]


class Durations(NamedTuple):
    """How many samples of a recording, or of many, are what; the four add up to its length."""

    hit: int
    """Fake and found."""
    false_alarm: int
    """Genuine and found."""
    missed: int
    """Fake and not found."""
    genuine: int
    """Genuine and not found."""


def durations(found: Sequence[Segment], truth: Sequence[Segment], *, n_samples: int) -> Durations:
    """Compare found with true fake spans, sample by sample.

    Parameters
    ----------
    found, truth
        In any order, overlapping or not; what reaches behind the end is ignored.
    n_samples
        Length of the recording.

    Raises
    ------
    UsageError
        When a span is not labelled fake.
    SegmentError
        When `n_samples` is negative.
    """
    first, second = _inside(found, n_samples), _inside(truth, n_samples)
    n_found, n_fake, n_either = total(first), total(second), total([*first, *second])
    hit = n_found + n_fake - n_either
    return Durations(hit, n_found - hit, n_fake - hit, n_samples - n_either)


def _inside(segments: Sequence[Segment], n_samples: int) -> Sequence[Segment]:
    check_fake(segments)
    reaches_over = any(segment.offset > n_samples for segment in segments)
    return clip_to(segments, 0, n_samples) if reaches_over or n_samples < 0 else segments


@dataclass(frozen=True)
class SpanFigure:
    """A figure of durations, or of anything counted the same way: a ratio of weighted sums of three.

    Called with numbers it returns a float, None where the denominator is 0. Called with arrays, for instance sums of
    resamples, it returns float64 of their shape, NaN where the denominator is 0. `UsageError` for a negative one.
    """

    above: tuple[int, int, int]
    """Weights of hit, false alarm and missed above the line."""
    below: tuple[int, int, int]

    @overload
    def __call__(self, hit: float, false_alarm: float, *, missed: float) -> float | None: ...

    @overload
    def __call__(self, hit: npt.NDArray, false_alarm: npt.NDArray, *, missed: npt.NDArray) -> Floats: ...

    def __call__(
        self, hit: float | npt.NDArray, false_alarm: float | npt.NDArray, *, missed: float | npt.NDArray
    ) -> float | Floats | None:
        """Return the ratio."""
        parts = np.stack(np.broadcast_arrays(hit, false_alarm, missed), axis=-1).astype(np.float64)
        if (parts < 0).any():
            raise UsageError(f"durations: expected none below 0, received {parts.min():g}")
        return _ratio(parts @ np.asarray(self.above), parts @ np.asarray(self.below))


span_precision = SpanFigure((1, 0, 0), (1, 1, 0))
"""Share of what was found that is fake; undefined when nothing was found."""

span_recall = SpanFigure((1, 0, 0), (1, 0, 1))
"""Share of what is fake that was found; undefined when nothing is fake."""

span_f1 = SpanFigure((2, 0, 0), (2, 1, 1))
"""Harmonic mean of precision and recall, 0 without a hit; undefined when nothing is fake and nothing was found."""

span_iou = SpanFigure((1, 0, 0), (1, 1, 1))
"""Intersection over union of found and fake; undefined as F1 is."""


def _ratio(above: npt.NDArray, below: npt.NDArray) -> float | Floats | None:
    """Divide; where the denominator is 0, None for numbers and NaN in arrays."""
    quotient = np.divide(above, below, out=np.full(np.shape(below), np.nan), where=np.asarray(below) != 0)
    if np.ndim(quotient):
        return quotient
    return None if np.isnan(quotient) else float(quotient)


def add2023_score(sentence_accuracy: float | None, segment_f1: float | None) -> float | None:
    """Return the score of the ADD 2023 challenge's region location track: 0.3 of sentence accuracy, 0.7 of segment F1.

    Source: arXiv 2305.13774; its winner, arXiv 2308.10281, prints 82.23 %, 60.66 % and 0.6713. Segment F1 is
    `span_f1`, of durations and of the fake class. None when either is.
    """
    if sentence_accuracy is None or segment_f1 is None:
        return None
    return 0.3 * sentence_accuracy + 0.7 * segment_f1


class FalseAlarms(NamedTuple):
    """How often a genuine recording was called partly fake, out of how many chances."""

    n_alarms: int
    n_windows: int


def false_alarms(found: Sequence[Segment], *, n_samples: int) -> FalseAlarms:
    """Count false alarms in a genuine recording: one up to 30 s, in a longer one the 30 s windows that a span touches.

    A last window shorter than 30 s is one; a recording without samples has no window.

    Raises
    ------
    UsageError
        When a span is not labelled fake.
    """
    windows = {
        window
        for segment in _inside(found, n_samples)
        for window in range(segment.onset // ALARM_WINDOW_SAMPLES, -(-segment.offset // ALARM_WINDOW_SAMPLES))
    }
    return FalseAlarms(len(windows), -(-n_samples // ALARM_WINDOW_SAMPLES))


@overload
def false_alarms_per_hour(n_alarms: float, n_samples: float) -> float | None: ...


@overload
def false_alarms_per_hour(n_alarms: npt.NDArray, n_samples: npt.NDArray) -> Floats: ...


def false_alarms_per_hour(n_alarms: float | npt.NDArray, n_samples: float | npt.NDArray) -> float | Floats | None:
    """Return false alarms in an hour of genuine audio, from sums over genuine recordings.

    None (in arrays NaN) where there are no samples.
    """
    return _ratio(np.multiply(n_alarms, SAMPLES_PER_HOUR, dtype=np.float64), np.asarray(n_samples))


class Coverage(NamedTuple):
    """For each true span, in the order given."""

    n_samples: Integers
    """int64 (n_truths,): its length."""
    share: Floats
    """float64 (n_truths,): how much of it was found, 0 to 1."""


def span_recall_by_length(found: Sequence[Segment], truth: Sequence[Segment]) -> Coverage:
    """Return the length of each true span of a recording, and the share of it that was found.

    Raises
    ------
    UsageError
        When a span is not labelled fake.
    """
    check_fake(found)
    support = _bounds(union(found))
    onsets, offsets = _bounds(truth)
    covered = _covered_before(offsets, support) - _covered_before(onsets, support)
    return Coverage(offsets - onsets, covered / (offsets - onsets))


def match(found: Sequence[Segment], truth: Sequence[Segment], *, t_iou: float) -> Integers:
    """Pair found and true spans of one recording, one to one, the greatest tIoU first.

    Confidences play no part; of equal tIoU, the earlier found and then the earlier true span goes first.

    Returns
    -------
    int64 array (n_pairs, 2)
        Places in `found` and in `truth`, in the order of `found`; tIoU is above `t_iou` in every pair.

    Raises
    ------
    UsageError
        When a span is not labelled fake, or unless 0 <= t_iou < 1.
    """
    pairs = _overlapping([found], [truth])
    keys = (-pairs.t_iou, pairs.onset, pairs.offset, pairs.true_onset, pairs.true_offset)
    matched = _assign(pairs, keys, t_iou=t_iou)
    places = np.stack((pairs.found[matched], pairs.true[matched]), axis=1)
    return places[np.argsort(places[:, 0])]


class BoundaryErrors(NamedTuple):
    """Found minus true bounds of matched spans, in samples: below 0 is too early. Usually read as absolute values."""

    onset: Integers
    """int64 (n_matched,)"""
    offset: Integers
    """int64 (n_matched,)"""


def boundary_errors(found: Sequence[Segment], truth: Sequence[Segment]) -> BoundaryErrors:
    """Return how far the bounds of found spans are from those of the true spans that they match (`MATCHED_ABOVE`).

    Both arrays are empty when nothing matches; median and mean are the caller's, undefined without a match. Spans
    without a match do not show here: say how many matched.

    Raises
    ------
    UsageError
        When a span is not labelled fake.
    """
    matched = match(found, truth, t_iou=MATCHED_ABOVE)
    (onsets, offsets), (true_onsets, true_offsets) = _bounds(found), _bounds(truth)
    ours, theirs = matched[:, 0], matched[:, 1]
    return BoundaryErrors(onsets[ours] - true_onsets[theirs], offsets[ours] - true_offsets[theirs])


@dataclass(frozen=True, eq=False, slots=True)
class Ranking:
    """Proposals of many recordings, the most confident first, and which of them are true positives."""

    t_ious: tuple[float, ...]
    hits: npt.NDArray[np.bool_]
    """(n_t_ious, n_proposals)"""
    confidences: Floats
    """float64 (n_proposals,), descending."""
    items: Integers
    """int64 (n_proposals,): the place of each one's recording in the sequences that were ranked."""
    n_truths: Integers
    """int64 (n_recordings,): true spans of each recording."""


def rank_proposals(
    proposals: Sequence[Sequence[Segment]], truths: Sequence[Sequence[Segment]], *, t_ious: Sequence[float] = T_IOUS
) -> Ranking:
    """Pool the proposals of all recordings, most confident first, and say which are true positives.

    Inside a recording they are taken from the most confident down; each is a true positive if a true span with a
    tIoU above the threshold is still free, and takes the one with the greatest. Of equal confidence, the earlier
    goes first.

    Parameters
    ----------
    proposals, truths
        One sequence of fake spans for each recording, empty where there are none; every proposal has a confidence.
    t_ious
        Thresholds, each 0 <= t_iou < 1.

    Raises
    ------
    UsageError
        When the two differ in length, a span is not labelled fake, a proposal has no confidence, or a threshold is
        outside [0, 1).
    """
    pairs = _overlapping(proposals, truths)
    confidences = _confidences(proposals)
    order = np.argsort(-confidences, kind="stable")
    keys = (-confidences[pairs.found], pairs.onset, pairs.offset, -pairs.t_iou, pairs.true_onset, pairs.true_offset)
    hits = np.zeros((len(t_ious), len(confidences)), dtype=bool)
    for row, t_iou in zip(hits, t_ious, strict=True):
        row[pairs.found[_assign(pairs, keys, t_iou=t_iou)]] = True
    items = np.repeat(np.arange(len(proposals)), _sizes(proposals))
    return Ranking(tuple(t_ious), hits[:, order], confidences[order], items[order], _sizes(truths))


def average_precisions(ranking: Ranking) -> tuple[float | None, ...]:
    """Return the average precision at each threshold of a ranking: the area under its interpolated curve.

    The sum, over the proposals' distinct confidences, of the gain in recall times the best precision at this recall or
    more. Perfect proposals give 1, none at all 0; constant confidences give recall times precision. None when there is
    no true span.
    """
    if not ranking.n_truths.sum():
        return (None,) * len(ranking.t_ious)
    return tuple(_areas(ranking, np.ones((1, len(ranking.n_truths))))[0].tolist())


def average_precision(
    proposals: Sequence[Sequence[Segment]], truths: Sequence[Sequence[Segment]], *, t_iou: float
) -> float | None:
    """Return AP@tIoU, in [0, 1]; None when there is no true span. See `rank_proposals` and `average_precisions`."""
    return average_precisions(rank_proposals(proposals, truths, t_ious=(t_iou,)))[0]


def mean_average_precision(proposals: Sequence[Sequence[Segment]], truths: Sequence[Sequence[Segment]]) -> float | None:
    """Return the mean of AP@tIoU over `T_IOUS`, 0.5:0.05:0.95; None when there is no true span."""
    areas = [area for area in average_precisions(rank_proposals(proposals, truths)) if area is not None]
    return float(np.mean(areas)) if areas else None


def weighted_average_precision(ranking: Ranking, resamples: Resamples) -> Floats:
    """Return `average_precisions` of each resample, where a recording counts as often as its group was drawn.

    The mean of a row over `T_IOUS` is mAP of that resample.

    Returns
    -------
    float64 array (n_resamples, n_t_ious)
        NaN in a resample without a true span.

    Raises
    ------
    UsageError
        When the resamples are of another number of recordings.
    """
    if len(resamples.group_of) != len(ranking.n_truths):
        raise UsageError(
            f"resamples: expected {len(ranking.n_truths)} recordings, one for each ranked,"
            f" received {len(resamples.group_of)}"
        )
    # A chunk fits into the processor's cache.
    n_at_once = max(1, 200_000 // max(len(ranking.n_truths), len(ranking.confidences), 1))
    chunks = (resamples.counts[start : start + n_at_once] for start in range(0, len(resamples.counts), n_at_once))
    return np.concatenate([_areas(ranking, counts[:, resamples.group_of]) for counts in chunks])


def _areas(ranking: Ranking, weights: npt.NDArray) -> Floats:
    """Return the average precisions when recordings count `weights` (n_resamples, n_recordings) times.

    Precision is greatest where a true positive just entered, so the curve is drawn at those proposals only: where
    a tie ends that has one.
    """
    drawn = weights[:, ranking.items].astype(np.float64)
    entered = np.cumsum(drawn, axis=1)
    last_of_tie = np.searchsorted(-ranking.confidences, -ranking.confidences, side="right") - 1
    areas = np.zeros((len(weights), len(ranking.t_ious)))
    for column, hits in enumerate(ranking.hits):
        places = np.flatnonzero(hits)
        first_of_tie = np.flatnonzero(np.diff(last_of_tie[places], prepend=-1))
        ends = last_of_tie[places[first_of_tie]]
        areas[:, column] = _area(np.add.reduceat(drawn[:, places], first_of_tie, axis=1), entered[:, ends])
    n_truths = weights @ ranking.n_truths.astype(np.float64)
    return np.divide(areas, n_truths[:, None], out=np.full_like(areas, np.nan), where=n_truths[:, None] > 0)


def _area(gained: Floats, entered: Floats) -> Floats:
    """Return the areas times the number of true spans, from true positives gained and proposals entered so far."""
    precision = np.cumsum(gained, axis=1) / np.maximum(entered, 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return np.einsum("ij,ij->i", gained, best)


@dataclass(frozen=True, eq=False, slots=True)
class _Pairs:
    """Found and true spans of one recording that overlap, for many recordings laid end to end."""

    found: Integers
    """Place of the found span among all found spans."""
    true: Integers
    onset: Integers
    offset: Integers
    true_onset: Integers
    true_offset: Integers

    @property
    def shared(self) -> Integers:
        """Samples in both."""
        return np.minimum(self.offset, self.true_offset) - np.maximum(self.onset, self.true_onset)

    @property
    def united(self) -> Integers:
        """Samples in either: they overlap, so no gap is in between."""
        return np.maximum(self.offset, self.true_offset) - np.minimum(self.onset, self.true_onset)

    @property
    def t_iou(self) -> Floats:
        """For sorting; equal ratios of integers give equal floats."""
        return self.shared / self.united


def _overlapping(found: Sequence[Sequence[Segment]], truths: Sequence[Sequence[Segment]]) -> _Pairs:
    """Find all pairs that overlap; in order of time, the partners of a span are a run."""
    (onsets, offsets), (true_onsets, true_offsets) = _end_to_end(found, truths)
    order = np.argsort(true_onsets, kind="stable")
    reached = np.maximum.accumulate(true_offsets[order])
    first = np.searchsorted(reached, onsets, side="right")
    counts = np.maximum(np.searchsorted(true_onsets[order], offsets, side="left") - first, 0)
    ours = np.repeat(np.arange(len(onsets)), counts)
    theirs = order[np.arange(len(ours)) - np.repeat(np.cumsum(counts) - counts - first, counts)]
    # A long span before a short one makes the run longer than it need be.
    kept = (true_offsets[theirs] > onsets[ours]) & (true_onsets[theirs] < offsets[ours])
    ours, theirs = ours[kept], theirs[kept]
    return _Pairs(ours, theirs, onsets[ours], offsets[ours], true_onsets[theirs], true_offsets[theirs])


def _end_to_end(*sides: Sequence[Sequence[Segment]]) -> list[tuple[Integers, Integers]]:
    """Return the bounds of all found, then of all true spans, with each recording behind the one before."""
    if len({len(side) for side in sides}) != 1:
        raise UsageError(f"spans: expected as many recordings as truths, received {[len(side) for side in sides]}")
    recordings = [[*itertools.chain(*spans)] for spans in zip(*sides, strict=True)]
    lengths = np.array([max((s.offset for s in spans), default=0) for spans in recordings], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    bounds = []
    for side in sides:
        shift = np.repeat(starts, _sizes(side))
        onsets, offsets = _bounds([*itertools.chain.from_iterable(side)])
        bounds.append((onsets + shift, offsets + shift))
    return bounds


def _assign(pairs: _Pairs, keys: Sequence[npt.NDArray], *, t_iou: float) -> Integers:
    """Return the pairs that are matched at a threshold: greedily in the order of `keys`, each span at most once."""
    if not 0 <= t_iou < 1:
        raise UsageError(f"tIoU: expected a threshold from 0 to below 1, received {t_iou}")
    threshold = Fraction(t_iou).limit_denominator(10_000)
    above = np.flatnonzero(pairs.shared * threshold.denominator > pairs.united * threshold.numerator)
    order = above[np.lexsort([key[above] for key in reversed(keys)])]
    taken: tuple[set[int], set[int]] = (set(), set())
    matched = []
    for pair, ours, theirs in zip(order.tolist(), pairs.found[order].tolist(), pairs.true[order].tolist(), strict=True):
        if ours not in taken[0] and theirs not in taken[1]:
            taken[0].add(ours)
            taken[1].add(theirs)
            matched.append(pair)
    return np.array(matched, dtype=np.int64)


def _confidences(proposals: Sequence[Sequence[Segment]]) -> Floats:
    given = [segment.confidence for segment in itertools.chain.from_iterable(proposals)]
    if None in given:
        raise UsageError("proposals: expected a confidence for each, received one without")
    return np.array(given, dtype=np.float64)


def _covered_before(points: Integers, support: tuple[Integers, Integers]) -> Integers:
    """Return how many samples before each point lie in disjoint spans, given by their bounds in order."""
    onsets, offsets = support
    before = np.concatenate(([0], np.cumsum(offsets - onsets)))
    index = np.searchsorted(onsets, points, side="right")
    reached = np.concatenate(([0], offsets))[index]
    return before[index] - np.maximum(reached - points, 0)


def _bounds(segments: Sequence[Segment]) -> tuple[Integers, Integers]:
    """Return the onsets and the offsets of fake spans."""
    check_fake(segments)
    onsets, offsets = [s.onset for s in segments], [s.offset for s in segments]
    return np.array(onsets, dtype=np.int64), np.array(offsets, dtype=np.int64)


def _sizes(recordings: Sequence[Sequence[Segment]]) -> Integers:
    return np.array([len(spans) for spans in recordings], dtype=np.int64)
