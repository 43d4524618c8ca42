"""Two thresholds, beside a frame-by-frame brute force."""

from __future__ import annotations

import numpy as np
import pytest

from audio.errors import SegmentError
from audio.segments import Segment, total
from model.bundle import Thresholds
from model.judging.localise import END_SHIFT, SHIFTS, Ends, Settling, ends_of, localise, readings, with_confidence

HOP = 320
PLAIN = Thresholds(enter=0.6, exit=0.4, min_fake_samples=0, min_gap_samples=0)


def spans_of(
    scores: list[float] | np.ndarray, thresholds: Thresholds = PLAIN, *, rest: int = 0
) -> list[tuple[int, int]]:
    """Located spans, in frames."""
    frames = np.asarray(scores, dtype=np.float32)
    found = localise(frames, thresholds, hop_samples=HOP, n_samples=len(frames) * HOP + rest)
    return [(span.onset // HOP, span.offset // HOP) for span in found]


def brute_force(scores: np.ndarray, thresholds: Thresholds) -> list[tuple[int, int]]:
    """Grow from every frame that enters, both ways, while above exit; then join, then drop."""
    marked = set()
    for start in range(len(scores)):
        if scores[start] < thresholds.enter:
            continue
        for step in (-1, 1):
            i = start
            while 0 <= i < len(scores) and scores[i] >= thresholds.exit:
                marked.add(i)
                i += step
    spans: list[list[int]] = []
    for i in sorted(marked):
        if spans and (i - spans[-1][1]) * HOP < max(thresholds.min_gap_samples, 1):
            spans[-1][1] = i + 1
        else:
            spans.append([i, i + 1])
    return [(a, b) for a, b in spans if (b - a) * HOP >= thresholds.min_fake_samples]


def test_random_scores_equal_brute_force():
    rng = np.random.default_rng(3)
    for _ in range(300):
        exit_, enter = sorted(rng.uniform(0.1, 0.9, 2))
        gap, least = rng.integers(0, 5, 2) * HOP
        thresholds = Thresholds(
            enter=float(enter), exit=float(exit_), min_fake_samples=int(least), min_gap_samples=int(gap)
        )
        scores = rng.random(int(rng.integers(1, 40))).astype(np.float32)
        assert spans_of(scores, thresholds) == brute_force(scores, thresholds)


def test_a_span_must_enter_and_lasts_until_it_exits():
    assert spans_of([0.1, 0.5, 0.7, 0.5, 0.1, 0.5, 0.1]) == [(1, 4)]


def test_thresholds_include_their_own_value():
    assert spans_of(np.array([0.25, 0.5, 0.25]), Thresholds(0.5, 0.25, 0, 0)) == [(0, 3)]


def test_gaps_close_before_short_spans_are_dropped():
    """The other order would lose a fake word with a dip in it."""
    thresholds = Thresholds(enter=0.6, exit=0.4, min_fake_samples=5 * HOP, min_gap_samples=2 * HOP)
    assert spans_of([0, 0.9, 0.9, 0, 0.9, 0.9, 0, 0], thresholds) == [(1, 6)]
    assert spans_of([0, 0.9, 0.9, 0, 0, 0.9, 0.9, 0], thresholds) == []


def test_the_last_span_reaches_the_end_of_the_recording():
    scores = np.array([0.1, 0.9], dtype=np.float32)
    assert localise(scores, PLAIN, hop_samples=HOP, n_samples=2 * HOP + 100)[0].offset == 2 * HOP + 100
    assert localise(scores, PLAIN, hop_samples=HOP, n_samples=2 * HOP - 100)[0].offset == 2 * HOP - 100


def test_nothing_above_the_threshold_and_no_frames_at_all():
    assert spans_of([0.5, 0.59]) == []
    assert spans_of([]) == []


def test_scores_of_another_length_are_refused():
    with pytest.raises(SegmentError, match="frame mask"):
        localise(np.zeros(3, np.float32), PLAIN, hop_samples=HOP, n_samples=10 * HOP)


def test_confidence_is_the_mean_score_of_the_frames_a_span_touches():
    scores = np.array([0.0, 0.5, 1.0, 0.6], dtype=np.float32)
    assert with_confidence(Segment(HOP, 3 * HOP), scores, hop_samples=HOP).confidence == 0.75
    assert with_confidence(Segment(HOP + 1, 2 * HOP + 1), scores, hop_samples=HOP).confidence == 0.75
    rest = with_confidence(Segment(4 * HOP, 4 * HOP + 100), scores, hop_samples=HOP)
    assert rest.confidence == pytest.approx(0.6)


def test_readings_start_at_the_thresholds_and_raise_them():
    scores = np.random.default_rng(5).random(100).astype(np.float32)
    thresholds = Thresholds(enter=0.9, exit=0.1, min_fake_samples=0, min_gap_samples=0)
    found = list(readings(scores, thresholds, hop_samples=320, n_samples=32_000))
    assert found[0] == localise(scores, thresholds, hop_samples=320, n_samples=32_000)
    higher = Thresholds(enter=0.95, exit=0.15, min_fake_samples=0, min_gap_samples=0)
    assert found[1] == localise(scores, higher, hop_samples=320, n_samples=32_000)
    assert len(found) == 3, "0.90, 0.95 and 1.00"
    low = Thresholds(enter=0.3, exit=0.3, min_fake_samples=0, min_gap_samples=0)
    totals = [total(spans) for spans in readings(scores, low, hop_samples=320, n_samples=32_000)]
    assert len(totals) == 1 + len(SHIFTS)
    assert totals == sorted(totals, reverse=True)


def test_steep_ends_are_certain_and_slopes_are_not():
    scores = np.array([0.1, 0.9, 0.9, 0.9, 0.1, 0.1, 0.35, 0.45, 0.55, 0.9, 0.5, 0.4, 0.3, 0.1], np.float32)
    first, second = localise(scores, PLAIN, hop_samples=HOP, n_samples=14 * HOP - 5)
    at = {"hop_samples": HOP, "n_samples": 14 * HOP - 5}
    assert ends_of(first, scores, PLAIN.exit, **at) == Ends((HOP, HOP), (4 * HOP, 4 * HOP))
    assert ends_of(second, scores, PLAIN.exit, **at) == Ends((6 * HOP, 8 * HOP), (11 * HOP, 13 * HOP))


def test_the_ranges_of_ends_hold_what_other_thresholds_find():
    """Against localise at thresholds in between, on random curves: no end lies outside its range."""
    rng = np.random.default_rng(8)
    for _ in range(200):
        scores = np.convolve(rng.random(60), np.ones(5) / 5, "same").astype(np.float32)
        found = localise(scores, PLAIN, hop_samples=HOP, n_samples=60 * HOP)
        for span in found:
            ends = ends_of(span, scores, PLAIN.exit, hop_samples=HOP, n_samples=60 * HOP)
            assert ends.onset[0] <= span.onset <= ends.onset[1] < ends.offset[1]
            assert ends.onset[0] < ends.offset[0] <= span.offset <= ends.offset[1]
            for shift in (-0.9 * END_SHIFT, 0.5 * END_SHIFT, 0.9 * END_SHIFT):
                moved = Thresholds(enter=0.6, exit=0.4 + shift, min_fake_samples=0, min_gap_samples=0)
                others = localise(scores, moved, hop_samples=HOP, n_samples=60 * HOP)
                inside = [o for o in others if o.onset < span.offset and span.onset < o.offset]
                assert all(ends.onset[0] <= o.onset and o.offset <= ends.offset[1] for o in inside)


def wandering(seed: int, n: int) -> np.ndarray:
    """Scores that stay a while where they are: low, between the thresholds, or high."""
    rng = np.random.default_rng(seed)
    levels = np.repeat(rng.choice([0.1, 0.5, 0.9], n), rng.integers(1, 12, n))[:n]
    return (levels + rng.uniform(0, 0.05, n)).astype(np.float32)


@pytest.mark.parametrize("seed", range(20))
def test_settled_spans_are_those_of_the_whole_and_stay(seed):
    """Catches a span that is told too early, cut where scores were let go, told twice, or never."""
    rng, hop = np.random.default_rng(seed), 320
    thresholds = Thresholds(0.8, 0.4, 320 * int(rng.integers(0, 6)), 320 * int(rng.integers(0, 8)))
    scores, settling, told, done = wandering(seed, 300), Settling(thresholds, hop_samples=hop), [], 0

    def of(some: np.ndarray) -> list[Segment]:
        found = localise(some, thresholds, hop_samples=hop, n_samples=some.size * hop)
        return [with_confidence(s, some, hop_samples=hop) for s in found]

    while done < scores.size:
        size = int(rng.choice([0, 1, 2, 5, 40]))
        told += settling.take(scores[done : done + size])
        done = min(done + size, scores.size)
        for way in range(3):
            on = np.concatenate([scores[:done], wandering(1_000 * way + done, 40)])
            assert [s for s in of(on) if s.offset <= (told[-1].offset if told else 0)] == told
    told += settling.take(np.zeros(1 + thresholds.min_gap_samples // hop, np.float32))
    assert told == of(np.concatenate([scores, np.zeros(20, np.float32)]))
    assert settling._held.size <= 1 + thresholds.min_gap_samples // hop


def test_of_a_recording_that_is_genuine_no_score_is_held():
    settling = Settling(Thresholds(), hop_samples=320)
    for _ in range(100):
        assert settling.take(np.full(50, 0.1, np.float32)) == []
        assert settling._held.size == 0
