"""Windows over any length, and overlap-add, beside brute force."""

from __future__ import annotations

import numpy as np
import pytest

from audio.errors import ModelError
from audio.segments import n_frames
from model.judging.windows import overlap_add, sliding_windows

HOP = 320
WINDOW, STEP = 10 * HOP, 4 * HOP
LENGTHS = [1, HOP - 1, HOP, WINDOW - 1, WINDOW, WINDOW + 1, WINDOW + HOP - 1, WINDOW + HOP, 3 * WINDOW + 17, 50_000]


def windows_of(n_samples: int):
    return sliding_windows(n_samples, window_samples=WINDOW, step_samples=STEP, hop_samples=HOP)


@pytest.mark.parametrize("n_samples", LENGTHS)
def test_windows_cover_every_sample_on_the_frame_grid(n_samples):
    windows = windows_of(n_samples)
    covered = np.zeros(n_samples, dtype=bool)
    for window in windows:
        covered[window.onset : window.offset] = True
    assert covered.all()
    assert all(window.onset % HOP == 0 for window in windows)
    assert windows[-1].offset == n_samples


@pytest.mark.parametrize("n_samples", LENGTHS)
def test_windows_are_equal_but_for_the_last(n_samples):
    *regular, last = windows_of(n_samples)
    assert all(window.duration == WINDOW for window in regular)
    assert last.duration == n_samples or WINDOW <= last.duration < WINDOW + HOP


def test_windows_advance_by_a_step_and_are_never_doubled():
    onsets = [window.onset for window in windows_of(WINDOW + 3 * STEP)]
    assert onsets == [0, STEP, 2 * STEP, 3 * STEP]
    assert [window.onset for window in windows_of(WINDOW + STEP + 1)] == [0, STEP]
    assert [window.onset for window in windows_of(WINDOW + STEP + HOP)] == [0, STEP, STEP + HOP]


def test_frames_of_a_window_end_where_the_recording_does():
    """A window's frame count plus its first frame never passes, and at the end meets, the recording's count."""
    for n_samples in range(WINDOW - 2 * HOP, WINDOW + 3 * HOP, 7):
        *_, last = windows_of(n_samples)
        assert last.onset // HOP + n_frames(last.duration, HOP) == n_frames(n_samples, HOP)


def brute_force(pieces: list[tuple[int, np.ndarray]], count: int) -> np.ndarray:
    joined = []
    for frame in range(count):
        total = weight = 0.0
        for first, scores in pieces:
            k = frame - first
            if 0 <= k < len(scores):
                here = min(k + 1, len(scores) - k)
                total += here * float(scores[k])
                weight += here
        joined.append(total / weight)
    return np.array(joined)


@pytest.mark.parametrize("n_samples", LENGTHS[2:])
def test_overlap_add_equals_brute_force(n_samples):
    rng = np.random.default_rng(n_samples)
    windows = windows_of(n_samples)
    pieces = [(w.onset // HOP, rng.random(n_frames(w.duration, HOP), dtype=np.float32)) for w in windows]
    count = n_frames(n_samples, HOP)
    np.testing.assert_allclose(overlap_add(iter(pieces), count), brute_force(pieces, count), rtol=1e-6)


def test_overlap_add_gives_one_window_back_bit_for_bit():
    scores = np.random.default_rng(0).random(101, dtype=np.float32)
    np.testing.assert_array_equal(overlap_add([(0, scores)], 101), scores)


def test_overlap_add_keeps_a_constant():
    pieces = [(0, np.full(10, 0.3, np.float32)), (4, np.full(10, 0.3, np.float32))]
    np.testing.assert_allclose(overlap_add(pieces, 14), 0.3, rtol=1e-6)


def test_overlap_add_of_nothing():
    assert overlap_add([], 0).shape == (0,)


def test_overlap_add_refuses_what_does_not_fit():
    with pytest.raises(ModelError, match="no window covers frame 3 of 4"):
        overlap_add([(0, np.ones(3, np.float32))], 4)
    with pytest.raises(ModelError, match="expected frames within 0 to 4, received up to 5"):
        overlap_add([(2, np.ones(3, np.float32))], 4)
