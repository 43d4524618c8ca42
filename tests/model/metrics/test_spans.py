"""Spans against every single millisecond, and average precision against its definition."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from audio.errors import SegmentError, UsageError
from audio.segments import SAMPLE_RATE, Segment
from model.metrics.bootstrap import Resamples, interval, resamples
from model.metrics.spans import (
    T_IOUS,
    Durations,
    add2023_score,
    average_precision,
    average_precisions,
    boundary_errors,
    durations,
    false_alarms,
    false_alarms_per_hour,
    match,
    mean_average_precision,
    rank_proposals,
    span_f1,
    span_iou,
    span_precision,
    span_recall,
    span_recall_by_length,
    weighted_average_precision,
)

SAMPLES_PER_MS = 16


def spans(*bounds: tuple[int, int], confidence: float | None = None) -> list[Segment]:
    return [Segment(a, b, confidence=confidence) for a, b in bounds]


def random_spans(rng: np.random.Generator, *, n_ms: int, confident: bool = False) -> list[Segment]:
    """Up to five spans in multiples of a millisecond, which may overlap; few confidences, so that some tie."""
    bounds = [sorted(rng.choice(n_ms, 2, replace=False)) for _ in range(rng.integers(0, 6))]
    chosen = [float(rng.choice([0.2, 0.5, 0.7, 0.9])) if confident else None for _ in bounds]
    pairs = zip(bounds, chosen, strict=True)
    return [Segment(int(a) * SAMPLES_PER_MS, int(b) * SAMPLES_PER_MS, confidence=c) for (a, b), c in pairs]


def milliseconds(segments: list[Segment], n_ms: int) -> set[int]:
    places = range(n_ms)
    return {p for p in places if any(s.onset <= p * SAMPLES_PER_MS < s.offset for s in segments)}


@pytest.mark.parametrize("seed", range(60))
def test_durations_are_brute_force(seed):
    """Catches overlapping spans counted twice, and what reaches behind the end counted at all."""
    rng = np.random.default_rng(seed)
    found, truth, n_ms = random_spans(rng, n_ms=300), random_spans(rng, n_ms=300), int(rng.integers(0, 320))
    ours, theirs = milliseconds(found, n_ms), milliseconds(truth, n_ms)
    expected = [len(ours & theirs), len(ours - theirs), len(theirs - ours), n_ms - len(ours | theirs)]
    received = durations(found, truth, n_samples=n_ms * SAMPLES_PER_MS)
    assert list(received) == [ms * SAMPLES_PER_MS for ms in expected]


def test_figures_of_durations():
    """Catches precision and recall exchanged, and a sum that forgot the misses."""
    hit, false_alarm, missed, genuine = durations(spans((100, 500)), spans((200, 700)), n_samples=1_000)
    assert (hit, false_alarm, missed, genuine) == (300, 100, 200, 400)
    assert span_precision(hit, false_alarm, missed=missed) == 0.75
    assert span_recall(hit, false_alarm, missed=missed) == 0.6
    assert span_f1(hit, false_alarm, missed=missed) == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))
    assert span_iou(hit, false_alarm, missed=missed) == 0.5


@pytest.mark.parametrize(
    ("found", "truth", "expected"),
    [
        (spans((0, 50)), spans((0, 50)), (1.0, 1.0, 1.0, 1.0)),
        (spans((50, 100)), spans((0, 50)), (0.0, 0.0, 0.0, 0.0)),
        (spans((0, 100)), spans((0, 50)), (0.5, 1.0, 2 / 3, 0.5)),
        ([], spans((0, 50)), (None, 0.0, 0.0, 0.0)),
        (spans((0, 50)), [], (0.0, None, 0.0, 0.0)),
        ([], [], (None, None, None, None)),
    ],
    ids=["perfect", "inverted", "constant", "nothing found", "nothing fake", "neither"],
)
def test_edges_of_figures_of_durations(found, truth, expected):
    """Catches an undefined figure that is 0 or 1, and a defined one that is not said."""
    hit, false_alarm, missed, _ = durations(found, truth, n_samples=100)
    figures = (span_precision, span_recall, span_f1, span_iou)
    assert tuple(figure(hit, false_alarm, missed=missed) for figure in figures) == expected


def test_figures_of_arrays_are_the_figures_of_their_rows():
    """Catches a replicate of a bootstrap that is computed otherwise than the figure itself."""
    sums = np.random.default_rng(0).integers(0, 3, (50, 3)).astype(np.float64)
    for figure in (span_precision, span_recall, span_f1, span_iou):
        received = figure(sums[:, 0], sums[:, 1], missed=sums[:, 2])
        one_by_one = [figure(hit, false_alarm, missed=missed) for hit, false_alarm, missed in sums]
        np.testing.assert_array_equal(received, [np.nan if value is None else value for value in one_by_one])
        assert np.isnan(received).any()
    with pytest.raises(UsageError, match="below 0"):
        span_f1(1, -1, missed=0)


def test_durations_of_nothing():
    assert durations([], [], n_samples=0) == Durations(0, 0, 0, 0)
    assert durations(spans((0, 9)), spans((3, 9)), n_samples=0) == (0, 0, 0, 0)


def test_add_2023_score_of_the_published_winner():
    """Source: arXiv 2308.10281."""
    assert add2023_score(0.8223, 0.6066) == pytest.approx(0.6713, abs=5e-5)
    assert add2023_score(None, 0.5) is None
    assert add2023_score(0.5, None) is None


def test_false_alarms_count_once_up_to_half_a_minute_and_once_for_each_of_a_longer_one():
    """Catches three spans of one clip that are three false alarms, and an hour of recording that can have only one."""
    half_minute = 30 * SAMPLE_RATE
    clip = spans((0, 10), (20, 30), (40, 50))
    assert false_alarms(clip, n_samples=5 * SAMPLE_RATE) == (1, 1)
    assert false_alarms(clip, n_samples=half_minute) == (1, 1)
    assert false_alarms([], n_samples=half_minute + 1) == (0, 2)
    long = spans((half_minute - 1, half_minute), (3 * half_minute - 1, 3 * half_minute + 1), (0, 5))
    assert false_alarms(long, n_samples=10 * half_minute) == (3, 10)
    assert false_alarms(spans((half_minute, half_minute + 9)), n_samples=half_minute) == (0, 1)
    assert false_alarms([], n_samples=0) == (0, 0)


def test_false_alarms_an_hour():
    assert false_alarms_per_hour(3, 1_800 * SAMPLE_RATE) == 6.0
    assert false_alarms_per_hour(0, 1) == 0.0
    assert false_alarms_per_hour(0, 0) is None
    received = false_alarms_per_hour(np.array([3, 0]), np.array([3_600 * SAMPLE_RATE, 0]))
    np.testing.assert_array_equal(received, [3.0, np.nan])


@pytest.mark.parametrize("seed", range(40))
def test_recall_by_length_is_brute_force(seed):
    """Catches a share that counts overlapping found spans twice."""
    rng = np.random.default_rng(seed)
    found, truth = random_spans(rng, n_ms=80), random_spans(rng, n_ms=80)
    n_samples, share = span_recall_by_length(found, truth)
    ours, theirs = milliseconds(found, 80), [milliseconds([span], 80) for span in truth]
    assert n_samples.tolist() == [len(ms) * SAMPLES_PER_MS for ms in theirs]
    assert share.tolist() == pytest.approx([len(ms & ours) / len(ms) for ms in theirs])


def t_iou(a: Segment, b: Segment) -> Fraction:
    shared = max(0, min(a.offset, b.offset) - max(a.onset, b.onset))
    return Fraction(shared, a.duration + b.duration - shared)


def brute_force_hits(proposals: list[Segment], truth: list[Segment], threshold: Fraction) -> dict[int, bool]:
    """Take the proposals of a recording from the most confident down, each the free truth of greatest tIoU."""
    free, hits = sorted(truth), {}
    order = sorted(range(len(proposals)), key=lambda i: (-proposals[i].confidence, proposals[i]))
    for index in order:
        best = max(free, key=lambda span: t_iou(proposals[index], span), default=None)
        hits[index] = best is not None and t_iou(proposals[index], best) > threshold
        if hits[index]:
            free.remove(best)
    return hits


def brute_force_ap(proposals: list[list[Segment]], truths: list[list[Segment]], threshold: Fraction) -> float | None:
    """Try every confidence as a threshold, and integrate the greatest precision at each recall or more."""
    n_truths = sum(map(len, truths))
    if not n_truths:
        return None
    pool = [
        (proposal.confidence, hit)
        for found, truth in zip(proposals, truths, strict=True)
        for index, hit in brute_force_hits(found, truth, threshold).items()
        for proposal in [found[index]]
    ]
    curve = []
    for confidence in sorted({c for c, _ in pool}, reverse=True):
        entered = [hit for c, hit in pool if c >= confidence]
        curve.append((Fraction(sum(entered), n_truths), Fraction(sum(entered), len(entered))))
    area, before = Fraction(0), Fraction(0)
    for place, (recall, _) in enumerate(curve):
        area += (recall - before) * max(precision for _, precision in curve[place:])
        before = recall
    return float(area)


def random_set(seed: int, *, n: int = 8) -> tuple[list[list[Segment]], list[list[Segment]]]:
    rng = np.random.default_rng(seed)
    truths = [random_spans(rng, n_ms=40) for _ in range(n)]
    proposals = [random_spans(rng, n_ms=40, confident=True) for _ in range(n)]
    for found, truth in zip(proposals, truths, strict=True):
        # Some that nearly fit, or fit, so that high thresholds see hits too.
        shifts = [(span, int(rng.integers(-3, 4)) * SAMPLES_PER_MS) for span in truth if rng.random() < 0.7]
        found += [Segment(max(0, s.onset + d), s.offset + abs(d), confidence=0.7) for s, d in shifts]
    return proposals, truths


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.75, 0.95])
def test_average_precision_is_brute_force(seed, threshold):
    """Catches one truth hit twice, ties that enter one by one, and an area that is not interpolated."""
    proposals, truths = random_set(seed)
    expected = brute_force_ap(proposals, truths, Fraction(str(threshold)))
    assert average_precision(proposals, truths, t_iou=threshold) == pytest.approx(expected)


def test_average_precision_by_hand():
    """Two truths; the most confident misses, the next two hit: precision 0, 1/2, 2/3, and 2/3 from the start on."""
    truths = [spans((0, 10), (50, 60)), []]
    proposals = [[*spans((0, 10), confidence=0.8), *spans((50, 60), confidence=0.7)], spans((0, 10), confidence=0.9)]
    assert average_precision(proposals, truths, t_iou=0.5) == pytest.approx(2 / 3)
    proposals[1] = spans((0, 10), confidence=0.75)
    assert average_precision(proposals, truths, t_iou=0.5) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_a_truth_is_hit_once_and_by_the_most_confident():
    """Catches duplicates that all count as true positives."""
    twice = [[*spans((0, 10), confidence=0.6), *spans((0, 9), confidence=0.9)]]
    ranking = rank_proposals(twice, [spans((0, 10))], t_ious=(0.5, 0.95))
    assert ranking.hits.tolist() == [[True, False], [False, True]]
    assert ranking.confidences.tolist() == [0.9, 0.6]


@pytest.mark.parametrize(("offset", "threshold", "hit"), [(5, 0.5, False), (6, 0.5, True), (11, 0.55, False)])
def test_t_iou_must_be_above_the_threshold(offset, threshold, hit):
    """Catches >= for >, and 11 of 20 that is above 0.55 by a rounding error."""
    length = 20 if threshold == 0.55 else 10
    found = [spans((0, offset), confidence=0.5)]
    assert average_precision(found, [spans((0, length))], t_iou=threshold) == float(hit)


def test_edges_of_average_precision():
    """Perfect, inverted, constant, one class, empty."""
    truths = [spans((0, 10)), spans((5, 20), (30, 40)), []]
    perfect = [[Segment(s.onset, s.offset, confidence=0.3) for s in truth] for truth in truths]
    assert mean_average_precision(perfect, truths) == 1.0
    assert mean_average_precision([[], [], []], truths) == 0.0
    assert mean_average_precision([[], [], spans((0, 9), confidence=1.0)], truths) == 0.0
    # Tied with one that hits nothing: precision 3/4 at every recall.
    constant = [perfect[0], perfect[1], spans((0, 9), confidence=0.3)]
    assert mean_average_precision(constant, truths) == pytest.approx(3 / 4)
    assert mean_average_precision(perfect, [[], [], []]) is None
    assert mean_average_precision([], []) is None
    assert average_precision([[]], [[]], t_iou=0.5) is None
    assert average_precisions(rank_proposals([], [])) == (None,) * 10


def test_mean_average_precision_is_the_mean_of_ten():
    proposals, truths = random_set(4)
    expected = np.mean([average_precision(proposals, truths, t_iou=threshold) for threshold in T_IOUS])
    assert mean_average_precision(proposals, truths) == pytest.approx(expected)
    assert [round(100 * threshold) for threshold in T_IOUS] == list(range(50, 100, 5))


def drawn(proposals: list, truths: list, times: np.ndarray) -> tuple[list, list]:
    """Repeat recordings, really."""
    return [p for p, n in zip(proposals, times, strict=True) for _ in range(n)], [
        t for t, n in zip(truths, times, strict=True) for _ in range(n)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_weighted_average_precision_is_that_of_recordings_repeated(seed):
    """Catches weights on the wrong recordings, and a recall over the true spans of the whole set."""
    proposals, truths = random_set(seed, n=9)
    draw = resamples([f"speaker {i % 4}" for i in range(9)], n_resamples=20, seed=seed)
    received = weighted_average_precision(rank_proposals(proposals, truths, t_ious=(0.5, 0.75)), draw)
    assert received.shape == (20, 2)
    for row, counts in zip(received, draw.counts, strict=True):
        again = average_precisions(rank_proposals(*drawn(proposals, truths, counts[draw.group_of]), t_ious=(0.5, 0.75)))
        assert row.tolist() == pytest.approx([np.nan if area is None else area for area in again], nan_ok=True)
    assert interval(received[:, 0]) is not None


def test_resamples_without_true_spans_are_undefined():
    """Catches a replicate of 0 where there was nothing to find, which would pull an interval down."""
    draw = Resamples(np.array([0, 1]), np.array([[2, 0], [0, 2], [1, 1]], dtype=np.int16))
    ranking = rank_proposals([spans((0, 9), confidence=1.0), spans((0, 9), confidence=0.5)], [spans((0, 9)), []])
    received = weighted_average_precision(ranking, draw)
    np.testing.assert_array_equal(received, np.repeat([[1.0], [np.nan], [1.0]], 10, axis=1))
    nothing = weighted_average_precision(rank_proposals([[], []], [spans((0, 9)), []]), draw)
    np.testing.assert_array_equal(nothing[:, 0], [0.0, np.nan, 0.0])
    with pytest.raises(UsageError, match="1 recordings"):
        weighted_average_precision(rank_proposals([[]], [[]]), draw)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("threshold", [0.0, 0.4, 0.5])
def test_matches_are_brute_force(seed, threshold):
    """Catches a span that is matched twice, or not with its best partner."""
    rng = np.random.default_rng(seed)
    found, truth = random_spans(rng, n_ms=40), random_spans(rng, n_ms=40)
    found, truth = list(dict.fromkeys(found)), list(dict.fromkeys(truth))
    pairs = [(i, j) for i in range(len(found)) for j in range(len(truth)) if t_iou(found[i], truth[j]) > threshold]
    expected: list[tuple[int, int]] = []
    for i, j in sorted(pairs, key=lambda p: (-t_iou(found[p[0]], truth[p[1]]), found[p[0]], truth[p[1]])):
        if i not in [a for a, _ in expected] and j not in [b for _, b in expected]:
            expected.append((i, j))
    assert [tuple(pair) for pair in match(found, truth, t_iou=threshold).tolist()] == sorted(expected)


def test_many_spans_find_their_partners_past_a_long_one():
    """Catches a search in order of time that stops at a long span which begins early."""
    truth = [*spans(*((100 * i, 100 * i + 50) for i in range(200))), Segment(0, 20_000)]
    found = truth[::-1]
    matched = match(found, truth, t_iou=0.9)
    assert matched.tolist() == [[i, 200 - i] for i in range(201)]


def test_boundary_errors_are_found_minus_true():
    """Catches onset and offset exchanged, a sign lost, and errors of spans that only half fit."""
    truth = spans((100, 200), (300, 400), (500, 600))
    found = spans((510, 590), (90, 230), (300, 350))
    onset, offset = boundary_errors(found, truth)
    assert onset.tolist() == [10, -10]
    assert offset.tolist() == [-10, 30]


def test_boundary_errors_of_nothing_are_empty():
    for found, truth in (([], []), ([], spans((0, 9))), (spans((0, 9)), []), (spans((0, 9)), spans((9, 18)))):
        onset, offset = boundary_errors(found, truth)
        assert (onset.size, offset.size) == (0, 0)
        assert onset.dtype == offset.dtype == np.int64


def test_what_makes_no_sense_is_refused():
    real, fake = [Segment(0, 9, "real")], spans((0, 9), confidence=0.5)
    for a, b in ((real, fake), (fake, real)):
        with pytest.raises(UsageError, match="labelled real"):
            durations(a, b, n_samples=20)
        with pytest.raises(UsageError, match="labelled real"):
            span_recall_by_length(a, b)
        with pytest.raises(UsageError, match="labelled real"):
            boundary_errors(a, b)
        with pytest.raises(UsageError, match="labelled real"):
            mean_average_precision([a], [b])
    with pytest.raises(UsageError, match="labelled real"):
        false_alarms(real, n_samples=20)
    with pytest.raises(SegmentError, match="crop"):
        durations([], [], n_samples=-1)
    with pytest.raises(UsageError, match="confidence"):
        average_precision([spans((0, 9))], [fake], t_iou=0.5)
    with pytest.raises(UsageError, match="as many"):
        average_precision([fake], [], t_iou=0.5)
    for threshold in (-0.1, 1.0, np.nan):
        with pytest.raises(UsageError, match="threshold"):
            average_precision([fake], [fake], t_iou=threshold)
