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
    total = np.zeros(n_frames, dtype=np.float64)
    weight = np.zeros(n_frames, dtype=np.int64)
    for first, scores in pieces:
        where = slice(first, first + len(scores))
        if not 0 <= first <= where.stop <= n_frames:
            raise ModelError(f"frame scores: expected frames within 0 to {n_frames}, received {first} to {where.stop}")
        triangle = _triangle(len(scores))
        total[where] += triangle * scores
        weight[where] += triangle
    if not weight.all():
        raise ModelError(f"frame scores: no window covers frame {int(np.argmin(weight))} of {n_frames}")
    return (total / weight).astype(np.float32)


def _triangle(length: int) -> NDArray[np.int64]:
    """Weights 1, 2, 3 ... 3, 2, 1 of a window of `length` frames, int64 (length,)."""
    rising = np.arange(1, length + 1)
    return np.minimum(rising, rising[::-1])
