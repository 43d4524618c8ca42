r"""Where the fake spans are: from P(fake) per frame to segments, with two thresholds.

    P(fake)              ____
      enter  - - - - - -/- - \- - - - - - - - - - - - -
                     __/      \_     _/\_
      exit   - - - -/- - - - - -\- -/- - \- - - - - - -
             ______/             \_/      \____________
      spans        [=============)                          the second bump never enters

A span begins and ends where the score crosses `exit` and counts only if it reaches `enter` somewhere, so that
a score hovering around one threshold does not tear a span into pieces. Then spans that nearly touch are
joined, and only then short ones dropped, so that a fake word with a dip in it survives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from audio.segments import Segment, from_frames
from model.bundle import Thresholds

SHIFTS = (0.05, 0.1)
"""How far `readings` raises the thresholds. More finds a hole in every fake recording, and no more hybrids on dev sets.
They are never lowered: where nothing reaches the bundle's own, a search further down finds a span in anything."""


END_SHIFT = 0.1
"""How far the exit threshold is moved to see where an end might as well lie: scores of that size still say either."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Where a span may begin and end, in samples: `first <= onset <= last` for each, `[first, last]`."""

    onset: tuple[int, int]
    offset: tuple[int, int]


def localise(
    frame_scores: NDArray[np.float32], thresholds: Thresholds, *, hop_samples: int, n_samples: int
) -> list[Segment]:
    """Find the fake spans of a recording.

    Parameters
    ----------
    frame_scores
        P(fake) per frame, float32 (n_frames,); frame i starts at `i * hop_samples`.
    thresholds
        the bundle's operating point; its durations are in samples.
    hop_samples
        distance between two frames.
    n_samples
        length of the recording.

    Returns
    -------
    Fake segments in order of time, without confidence: `with_confidence` adds it.

    Raises
    ------
    SegmentError
        The number of scores does not belong to `n_samples`.
    """
    joined = _joined(frame_scores, thresholds, hop_samples=hop_samples, n_samples=n_samples)
    return [s for s in joined if s.duration >= thresholds.min_fake_samples]


class Settling:
    """What `localise` finds while the scores still come: each span as soon as no later score can change it.

    A span is settled when it has ended, and so long ago that none that begins now, or has begun and may still enter,
    would be joined to it.
    """

    def __init__(self, thresholds: Thresholds, *, hop_samples: int) -> None:
        """Start a recording; the parameters are those of `localise`."""
        self._thresholds, self._hop = thresholds, hop_samples
        self._held: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self._first_held = 0

    def take(self, frame_scores: NDArray[np.float32]) -> list[Segment]:
        """Take the next scores, float32 (n,), and return the spans that are settled now, with confidence."""
        self._held = scores = np.concatenate([self._held, frame_scores])
        hop, first = self._hop, self._first_held
        joined = _joined(scores, self._thresholds, hop_samples=hop, n_samples=scores.size * hop)
        undecided = self._undecided_from()
        settled = [s for s in joined if undecided - s.offset >= self._thresholds.min_gap_samples]
        self._forget(min([undecided, *(s.onset for s in joined[len(settled) :])]))
        found = [s for s in settled if s.duration >= self._thresholds.min_fake_samples]
        return [moved(with_confidence(s, scores, hop_samples=hop), first) for s in found]

    def _undecided_from(self) -> int:
        """Where the stretch at or above `exit` begins that has not ended yet; the end of what is held without one."""
        below = np.flatnonzero(self._held < self._thresholds.exit)
        return int(below[-1] + 1) * self._hop if below.size else 0

    def _forget(self, before: int) -> None:
        self._held = self._held[before // self._hop :].copy()
        self._first_held += before


def readings(
    frame_scores: NDArray[np.float32], thresholds: Thresholds, *, hop_samples: int, n_samples: int
) -> Iterator[list[Segment]]:
    """Yield what `localise` finds at `thresholds`, and then with both raised by `SHIFTS`, up to 1.

    Parameters, elements and errors are those of `localise`. Computed one at a time, as they are taken.
    """
    for shift in (0.0, *SHIFTS):
        if thresholds.enter + shift <= 1.0:
            raised = replace(thresholds, enter=thresholds.enter + shift, exit=thresholds.exit + shift)
            yield localise(frame_scores, raised, hop_samples=hop_samples, n_samples=n_samples)


def with_confidence(segment: Segment, frame_scores: NDArray[np.float32], *, hop_samples: int) -> Segment:
    """Return `segment` with the mean P(fake) of the frames it touches as its confidence.

    Parameters
    ----------
    segment
        a span that touches at least one frame.
    frame_scores
        P(fake) per frame, float32 (n_frames,).
    hop_samples
        distance between two frames.
    """
    mean = float(_scores_in(segment, frame_scores, hop_samples).mean(dtype=np.float64))
    return replace(segment, confidence=min(1.0, max(0.0, mean)))


def ends_of(
    segment: Segment, frame_scores: NDArray[np.float32], exit: float, *, hop_samples: int, n_samples: int
) -> Ends:
    r"""Return how far the ends of a located span would move, were the exit threshold `END_SHIFT` lower or higher.

                   ___
        exit+ - - /- -\- - -      an end that falls off steeply is certain to the frame,
        exit  - -/- - -\ - -      one that slopes may lie anywhere on its slope
        exit- - /- - - -\- -
              __/         \__
        onset  [=]     [==]  offset

    A network that is wrong altogether is wrong outside these bounds too: they say how exactly it points, not how well.

    Parameters
    ----------
    segment
        a span that `localise` found.
    frame_scores
        P(fake) per frame, float32 (n_frames,).
    exit
        the threshold at which the span begins and ends.
    hop_samples, n_samples
        distance between two frames, and length of the recording.
    """
    first = segment.onset // hop_samples
    last = min(-(-segment.offset // hop_samples), len(frame_scores)) - 1
    below, above = frame_scores >= exit - END_SHIFT, frame_scores >= exit + END_SHIFT
    earliest, latest = first, last
    while earliest > 0 and below[earliest - 1]:
        earliest -= 1
    while latest + 1 < len(below) and below[latest + 1]:
        latest += 1
    sure = first + np.flatnonzero(above[first : last + 1])
    inner = (int(sure[0]), int(sure[-1])) if sure.size else ((first + last) // 2,) * 2

    def at(frame: int) -> int:
        return min(frame * hop_samples, n_samples)

    return Ends((at(earliest), at(inner[0])), (at(inner[1] + 1), at(latest + 1)))


def moved(segment: Segment, by_samples: int) -> Segment:
    """Return the segment so many samples later."""
    return replace(segment, onset=segment.onset + by_samples, offset=segment.offset + by_samples)


def _joined(
    frame_scores: NDArray[np.float32], thresholds: Thresholds, *, hop_samples: int, n_samples: int
) -> list[Segment]:
    """Stretches at or above `exit` that enter somewhere, joined over short gaps, however short they are."""
    above_exit = from_frames(frame_scores >= thresholds.exit, hop_samples, n_samples)
    entered = [s for s in above_exit if _scores_in(s, frame_scores, hop_samples).max() >= thresholds.enter]
    return _join(entered, thresholds.min_gap_samples)


def _scores_in(segment: Segment, frame_scores: NDArray[np.float32], hop_samples: int) -> NDArray[np.float32]:
    """Scores of the frames that `segment` touches, at least one."""
    last = len(frame_scores) - 1
    return frame_scores[min(segment.onset // hop_samples, last) : -(-segment.offset // hop_samples)]


def _join(segments: Sequence[Segment], min_gap_samples: int) -> list[Segment]:
    """Merge neighbours, sorted and disjoint, that are less than `min_gap_samples` apart."""
    joined: list[Segment] = []
    for segment in segments:
        if joined and segment.onset - joined[-1].offset < min_gap_samples:
            joined[-1] = replace(joined[-1], offset=segment.offset)
        else:
            joined.append(segment)
    return joined
