"""Sliding windows over a recording of any length, and the overlap-add that joins their frame scores again.

Every window starts on the grid of frame scores, so frame k of a window that starts at frame f is frame f + k
of the recording and nothing is ever rounded:

    recording   |----|----|----|----|----|----|----|----|----|-->      9 frames and a rest
    windows     [===================)                                  4 frames long, every 2 frames
                          [===================)
                                         [======================)      the last one reaches the end
    weights      1    2    2    1                                      a triangle, so that a seam counts least
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio.errors import ModelError


@dataclass(frozen=True, slots=True)
class Window:
    """The samples `[onset, offset)` of a recording that the network sees at once."""

    onset: int
    offset: int

    @property
    def duration(self) -> int:
        """Length in samples."""
        return self.offset - self.onset


def sliding_windows(n_samples: int, *, window_samples: int, step_samples: int, hop_samples: int) -> list[Window]:
    """Cover a recording with windows that start on the frame grid.

    A recording shorter than a window gives one window of its own length. Otherwise all windows but the last
    have `window_samples`; the last one is anchored to the end of the recording and less than a hop longer, so
    that it starts on the grid as well. (`model.bundle.Bundle` sees to it that window and step fit the grid.)

    Parameters
    ----------
    n_samples
        length of the recording, at least 1.
    window_samples
        length of a window, a multiple of `hop_samples`.
    step_samples
        distance between two windows, a multiple of `hop_samples`, at most `window_samples`.
    hop_samples
        distance between two frame scores.

    Returns
    -------
    Windows in order of time; together they cover every sample.
    """
    last = max(0, n_samples - window_samples) // hop_samples * hop_samples
    regular = [Window(onset, onset + window_samples) for onset in range(0, last, step_samples)]
    return [*regular, Window(last, n_samples)]


def overlap_add(pieces: Iterable[tuple[int, NDArray[np.float32]]], n_frames: int) -> NDArray[np.float32]:
    """Average the frame scores of overlapping windows, each weighted by a triangle.

    The weights are whole numbers, 1 at both ends of a window and largest in its middle, where the network saw
    most on either side.

    Parameters
    ----------
    pieces
        for each window its first frame and its scores, float32 (frames,). Consumed one at a time.
    n_frames
        number of frames of the recording.

    Returns
    -------
    float32 array (n_frames,).

    Raises
    ------
    ModelError
        A piece does not fit into the recording, or a frame is left without a score.
    """
    joined = Joined()
    for first, scores in pieces:
        joined.add(first, scores)
    return joined.scores(n_frames)


class Joined:
    """Frame scores of a recording whose length is not known yet: `overlap_add`, window by window."""

    def __init__(self) -> None:
        """Start without a frame."""
        self._total = np.zeros(0, dtype=np.float64)
        self._weight = np.zeros(0, dtype=np.int64)
        self._reach = 0

    def add(self, first: int, scores: NDArray[np.float32]) -> None:
        """Add a window's scores, float32 (frames,), from its first frame on."""
        if first < 0:
            raise ModelError(f"frame scores: expected a first frame of 0 or more, received {first}")
        end = first + len(scores)
        if end > self._total.size:
            size = max(end, 2 * self._total.size)
            self._total, self._weight = _grown(self._total, size), _grown(self._weight, size)
        weights = triangle(len(scores))
        self._total[first:end] += weights * scores
        self._weight[first:end] += weights
        self._reach = max(self._reach, end)

    def scores(self, n_frames: int) -> NDArray[np.float32]:
        """Return the averages of all `n_frames` frames; errors are those of `overlap_add`."""
        if self._reach > n_frames:
            raise ModelError(f"frame scores: expected frames within 0 to {n_frames}, received up to {self._reach}")
        weight = _grown(self._weight[:n_frames], n_frames)
        if not weight.all():
            raise ModelError(f"frame scores: no window covers frame {int(np.argmin(weight))} of {n_frames}")
        return (self._total[:n_frames] / weight).astype(np.float32)

    def between(self, first: int, last: int) -> NDArray[np.float32]:
        """Return the averages so far of the frames `[first, last)`, float32, each covered by a window."""
        return (self._total[first:last] / self._weight[first:last]).astype(np.float32)

    def since(self, first: int) -> Joined:
        """Return what is known of the frames from `first` on, counted from there: one that goes its own way."""
        later = Joined()
        later._total = self._total[first : self._reach].copy()
        later._weight = self._weight[first : self._reach].copy()
        later._reach = later._total.size
        return later


def _grown(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Return the array with zeros behind it, up to a size."""
    return array if array.size == size else np.concatenate([array, np.zeros(size - array.size, array.dtype)])


def triangle(length: int) -> NDArray[np.int64]:
    """Return the weights 1, 2, 3 ... 3, 2, 1 of a window of `length` frames, int64 (length,)."""
    rising = np.arange(1, length + 1)
    return np.minimum(rising, rising[::-1])
