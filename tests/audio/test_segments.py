"""The interval algebra beside brute force: one boolean a sample."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from audio.errors import SegmentError
from audio.segments import (
    Segment,
    clip_to,
    from_frames,
    gaps,
    n_frames,
    overlap,
    to_frames,
    total,
    union,
)

EXTENT = 60
SEEDS = range(200)


def some_segments(rng: np.random.Generator, *, most: int = 6) -> list[Segment]:
    """Up to `most` segments within EXTENT: unsorted, overlapping, touching, equal."""
    pairs = [sorted(rng.choice(EXTENT + 1, 2, replace=False)) for _ in range(rng.integers(0, most + 1))]
    return [Segment(a, b, str(rng.choice(["real", "fake"]))) for a, b in pairs]


def covered(segments: list[Segment], *, extent: int = EXTENT) -> np.ndarray:
    mask = np.zeros(extent, dtype=bool)
    for i in range(extent):
        mask[i] = any(s.onset <= i < s.offset for s in segments)
    return mask


def bounds(segments: list[Segment]) -> list[tuple[int, int]]:
    return [(s.onset, s.offset) for s in segments]


def test_picture_in_the_docstring() -> None:
    three = [Segment(8, 9), Segment(3, 6), Segment(1, 4)]
    assert bounds(union(three)) == [(1, 6), (8, 9)]
    assert bounds(gaps(three, 9)) == [(0, 1), (6, 8)]
    assert to_frames(three, 5, 2).tolist() == [True, True, True, False, True]


@pytest.mark.parametrize("seed", SEEDS)
def test_union_gaps_total_overlap_against_masks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = some_segments(rng), some_segments(rng)
    mask_a, mask_b = covered(a), covered(b)
    support = union(a)
    assert covered(support).tolist() == mask_a.tolist()
    assert all(x.offset < y.onset for x, y in pairwise(support)), "sorted, not touching"
    assert covered(gaps(a, EXTENT)).tolist() == (~mask_a).tolist()
    assert total(a) == mask_a.sum()
    assert overlap(a, b) == overlap(b, a) == (mask_a & mask_b).sum()


@pytest.mark.parametrize("seed", SEEDS)
def test_gaps_within_a_shorter_extent(seed: int) -> None:
    """Catches gaps that reach behind the extent when a segment does."""
    rng = np.random.default_rng(seed)
    segments, extent = some_segments(rng), int(rng.integers(0, EXTENT))
    assert covered(gaps(segments, extent), extent=extent).tolist() == (~covered(segments)[:extent]).tolist()
    assert all(gap.offset <= extent for gap in gaps(segments, extent))


@pytest.mark.parametrize("seed", SEEDS)
def test_clip_to_is_a_slice_of_the_mask(seed: int) -> None:
    rng = np.random.default_rng(seed)
    segments = some_segments(rng)
    onset, offset = sorted(int(x) for x in rng.integers(0, EXTENT + 1, 2))
    crop = clip_to(segments, onset, offset)
    assert covered(crop, extent=offset - onset).tolist() == covered(segments)[onset:offset].tolist()
    inside = [s for s in segments if covered([s])[onset:offset].any()]
    assert [s.label for s in crop] == [s.label for s in inside]


@pytest.mark.parametrize("seed", SEEDS)
def test_frames_against_masks(seed: int) -> None:
    """A frame is fake when any part of it is: catches flooring the end of a segment."""
    rng = np.random.default_rng(seed)
    segments, hop = some_segments(rng), int(rng.integers(1, 12))
    count = n_frames(EXTENT, hop)
    mask = np.pad(covered(segments), (0, hop))
    expected = [bool(mask[i * hop : (i + 1) * hop].any()) for i in range(count)]
    assert to_frames(segments, count, hop).tolist() == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_from_frames_and_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hop, n_samples = int(rng.integers(1, 12)), int(rng.integers(0, EXTENT))
    mask = rng.random(n_frames(n_samples, hop)) < 0.5
    segments = from_frames(mask, hop, n_samples)
    assert to_frames(segments, mask.size, hop).tolist() == mask.tolist()
    assert union(segments) == segments
    assert all(s.offset <= n_samples and s.label == "fake" for s in segments)


def test_last_frame_reaches_the_end() -> None:
    """Catches a fake recording whose last samples come out genuine, for either sign of the rounding."""
    assert bounds(from_frames([True, True], 320, 799)) == [(0, 799)]
    assert bounds(from_frames([True, True], 320, 480)) == [(0, 480)]


def test_n_frames_is_the_formula_of_the_metrics() -> None:
    for hop in (1, 2, 3, 160, 320):
        for n in range(4 * hop + 2):
            assert n_frames(n, hop) == int(n / hop + 0.5)
    assert n_frames(2**60 + 1, 2) == 2**59 + 1, "exact where a float is not"


def test_segment_in_seconds_and_samples() -> None:
    segment = Segment(8_000, 24_000, "fake", 0.5)
    assert (segment.duration, segment.onset_s, segment.offset_s) == (16_000, 0.5, 1.5)


def test_segments_sort_whatever_their_confidence() -> None:
    """Catches a comparison of None with a number."""
    a, b = Segment(1, 2, "fake", None), Segment(1, 2, "fake", 0.5)
    assert sorted([Segment(3, 4), b, a])[2] == Segment(3, 4)


def test_numpy_numbers_become_plain_ones() -> None:
    """Catches numbers that JSON cannot write."""
    segment = Segment(np.int64(1), np.int32(5), "fake", np.float32(0.5))  # type: ignore[arg-type]
    assert [type(value) for value in dataclasses.astuple(segment)] == [int, int, str, float]


@pytest.mark.parametrize(
    "bad",
    [
        (1.0, 2),
        (1, 2.5),
        (True, 2),
        ("1", 2),
        (-1, 2),
        (2, 2),
        (3, 2),
        (1, 2, "hybrid"),
        (1, 2, "fake", 1.5),
        (1, 2, "fake", float("nan")),
        (1, 2, "fake", "0.5"),
    ],
)
def test_bad_segments_are_refused(bad: tuple) -> None:
    with pytest.raises(SegmentError, match=r"expected .* received"):
        Segment(*bad)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(SegmentError, match="crop bounds"):
        clip_to([], 5, 4)
    with pytest.raises(SegmentError, match="hop_samples: expected at least 1"):
        n_frames(10, 0)
    with pytest.raises(SegmentError, match="n_samples: expected at least 0"):
        n_frames(-1, 10)
    with pytest.raises(SegmentError, match=r"expected shape \(3,\), received \(2,\)"):
        from_frames([True, False], 10, 30)
    with pytest.raises(SegmentError, match="extent"):
        gaps([], -1)
