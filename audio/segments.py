"""Spans of a recording in integer samples, and the arithmetic of intervals on them.

Every span is half-open and counted in samples at 16 kHz, so neighbours touch without overlapping and a
duration is a plain difference:

    samples     0    1    2    3    4    5    6    7    8    9
                |----|----|----|----|----|----|----|----|----|
    Segment(1, 4)    [==============)
    Segment(3, 6)              [==============)
    Segment(8, 9)                                       [====)

    union            [========================)         [====)        (1, 6) (8, 9)
    gaps, extent 9
                [====)                        [=========)             (0, 1) (6, 8)
    frames of 2 samples (fake when any part is)
                [========|=========|==========|.........|====)        1 1 1 0 1

Functions take any sequence of segments, in any order, overlapping or not, and look only at where they are
unless they say otherwise. Seconds exist at the edge only: `Segment.onset_s` and `Segment.offset_s`.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from audio.errors import SegmentError
from audio.labels import FAKE, REAL

SAMPLE_RATE = 16_000
"""Samples per second of every recording inside the toolkit, in Hz."""

SEGMENT_LABELS = (REAL, FAKE)
"""What one span can be; only a whole recording can be hybrid."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One span `[onset, offset)` of a recording, in samples at 16 kHz.

    Segments sort by onset, then offset. A confidence is a probability in [0, 1], or None when unset.

    Raises
    ------
    SegmentError
        When a bound is not an integer, unless 0 <= onset < offset, or for an unknown label or a confidence
        outside [0, 1].
    """

    onset: int
    offset: int
    label: str = FAKE
    confidence: float | None = None

    def __post_init__(self) -> None:
        """Check the fields and turn NumPy numbers into plain ones."""
        object.__setattr__(self, "onset", _integer("onset", self.onset))
        object.__setattr__(self, "offset", _integer("offset", self.offset))
        if not 0 <= self.onset < self.offset:
            raise SegmentError(f"segment bounds: expected 0 <= onset < offset, received {self.onset} and {self.offset}")
        if self.label not in SEGMENT_LABELS:
            raise SegmentError(f"segment label: expected real or fake, received {self.label!r}")
        if self.confidence is not None:
            object.__setattr__(self, "confidence", _probability("segment confidence", self.confidence))

    def __lt__(self, other: Segment) -> bool:
        """Order by onset, then offset."""
        return (self.onset, self.offset) < (other.onset, other.offset)

    @property
    def duration(self) -> int:
        """Length in samples."""
        return self.offset - self.onset

    @property
    def onset_s(self) -> float:
        """Start in seconds."""
        return self.onset / SAMPLE_RATE

    @property
    def offset_s(self) -> float:
        """End in seconds."""
        return self.offset / SAMPLE_RATE


def union(segments: Iterable[Segment]) -> list[Segment]:
    """Return the support of `segments`: sorted, with overlapping and touching spans merged.

    Labels and confidences do not survive a merge: the result carries the label of the span that starts first
    and a confidence of None.
    """
    merged: list[Segment] = []
    for segment in sorted(segments):
        if merged and segment.onset <= merged[-1].offset:
            offset = max(merged[-1].offset, segment.offset)
            merged[-1] = replace(merged[-1], offset=offset)
        else:
            merged.append(replace(segment, confidence=None))
    return merged


def gaps(segments: Iterable[Segment], extent: int) -> list[Segment]:
    """Return what `segments` leave uncovered of `[0, extent)`, sorted, labelled real.

    Raises `SegmentError` when `extent` is negative.
    """
    extent = _count("extent", extent)
    support = [segment for segment in union(segments) if segment.onset < extent]
    starts = [0, *(segment.offset for segment in support)]
    ends = [*(segment.onset for segment in support), extent]
    return [Segment(a, b, REAL) for a, b in zip(starts, ends, strict=True) if a < b]


def overlap(a: Iterable[Segment], b: Iterable[Segment]) -> int:
    """Return the number of samples covered by both `a` and `b`, each sample counted once."""
    first, second = union(a), union(b)
    return total(first) + total(second) - total([*first, *second])


def total(segments: Iterable[Segment]) -> int:
    """Return the number of samples covered by `segments`, each sample counted once."""
    return sum(segment.duration for segment in union(segments))


def clip_to(segments: Iterable[Segment], onset: int, offset: int) -> list[Segment]:
    """Return `segments` as seen from the crop `[onset, offset)`: cut at its edges and shifted to start at 0.

    Labels, confidences and order are kept; spans outside the crop vanish. Raises `SegmentError` unless
    0 <= onset <= offset.
    """
    if not 0 <= onset <= offset:
        raise SegmentError(f"crop bounds: expected 0 <= onset <= offset, received {onset} and {offset}")
    return [
        replace(s, onset=max(s.onset, onset) - onset, offset=min(s.offset, offset) - onset)
        for s in segments
        if max(s.onset, onset) < min(s.offset, offset)
    ]


def n_frames(n_samples: int, hop_samples: int) -> int:
    """Return how many frames of `hop_samples` a recording of `n_samples` has: int(n / hop + 0.5), exactly.

    In integer arithmetic, so that no rounding decides: a last piece counts as a frame from half a hop on. Raises
    `SegmentError` when `n_samples` is negative or `hop_samples` is below 1.
    """
    n, hop = _count("n_samples", n_samples), _count("hop_samples", hop_samples, least=1)
    return (2 * n + hop) // (2 * hop)


def to_frames(segments: Iterable[Segment], n_frames: int, hop_samples: int) -> npt.NDArray[np.bool_]:
    """Mark the frames that `segments` touch.

    Frame i is `[i * hop_samples, (i + 1) * hop_samples)` and is marked when any part of it is covered. Spans
    behind the last frame are ignored.

    Returns
    -------
    bool array (n_frames,)
    """
    mask = np.zeros(_count("n_frames", n_frames), dtype=np.bool_)
    hop = _count("hop_samples", hop_samples, least=1)
    for segment in segments:
        mask[segment.onset // hop : -(-segment.offset // hop)] = True
    return mask


def from_frames(mask: npt.ArrayLike, hop_samples: int, n_samples: int) -> list[Segment]:
    """Turn runs of marked frames into fake segments.

    Parameters
    ----------
    mask
        bool array (n_frames,); frame i starts at `i * hop_samples`.
    hop_samples
        Length of a frame in samples.
    n_samples
        Length of the recording. No segment ends behind it, and the last frame reaches up to it: a recording
        may end up to half a frame after the last whole frame (see `n_frames`), and that rest belongs there.

    Raises
    ------
    SegmentError
        When `mask` does not have `n_frames(n_samples, hop_samples)` entries.
    """
    marked = np.asarray(mask, dtype=np.bool_)
    expected = n_frames(n_samples, hop_samples)
    if marked.shape != (expected,):
        raise SegmentError(f"frame mask: expected shape ({expected},), received {marked.shape}")
    edges = np.arange(expected + 1) * hop_samples
    edges[-1] = n_samples
    return [Segment(edges[start], edges[stop]) for start, stop in _runs(marked)]


def _runs(marked: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield (first, past the last) index of each run of True."""
    padded = np.concatenate(([False], marked, [False]))
    changes = np.flatnonzero(padded[1:] != padded[:-1])
    return zip(changes[::2], changes[1::2], strict=True)


def _integer(name: str, value: object) -> int:
    """Accept Python and NumPy integers, as a plain int; refuse floats and booleans."""
    if isinstance(value, (bool, np.bool_)):
        raise SegmentError(f"{name}: expected an integer number of samples, received {value!r}")
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        message = f"{name}: expected an integer number of samples, received {value!r}"
        raise SegmentError(message) from None


def _count(name: str, value: int, *, least: int = 0) -> int:
    number = _integer(name, value)
    if number < least:
        raise SegmentError(f"{name}: expected at least {least}, received {number}")
    return number


def _probability(name: str, value: object) -> float:
    if not isinstance(value, (int, float, np.floating)) or not 0.0 <= value <= 1.0:
        raise SegmentError(f"{name}: expected 0 to 1 or None, received {value!r}")
    return float(value)
