"""Judging while the sound still comes: what can be said by now, and which of it stays.

    heard     |------------------------------------------------->|  now
    part                    |<------------- 30 s, or all -------->|  what the verdict in between is about
    frames    |=================== final =================|- - - -|  a window to come may still cover these
    spans          [==)            [=====)             [==|==)        the last one is still open

The verdict in between is the one that `detect` would give, were the recording over now; beyond 30 s it is about the
last 30 s, as long recordings are judged. A span is final when no window to come can move its ends. The verdict on the
whole comes at the end, by `Detector.detect`'s own steps, and shows the spans that agree with it: none when it is real.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from audio.segments import SAMPLE_RATE, Segment
from model.judging.detector import Detection, Detector, Span
from model.judging.localise import Ends, Settling, moved

LIVE_VERSION = 1
"""Version of what `live` holds in `provisional_row` and `final_row`."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)
class Glimpse:
    """What can be said by now."""

    detection: Detection
    """The verdict on the last part. Its spans are counted from the beginning of the recording, its duration and its
    frame scores are those of the part."""
    onset: int
    """Where the part begins, in samples."""
    n_samples: int
    """How much was heard."""
    n_final: int
    """Up to which sample the frame scores are final."""
    final_spans: tuple[Segment, ...]
    """Spans of the verdict that became final since the last glimpse, with confidence."""


class Live:
    """Judges one recording while it is being made.

    >>> from model import Detector, Live
    >>> live = Live(Detector())
    >>> live.hear(samples)  # float32 at 16 kHz, again and again
    >>> live.so_far().detection.label
    >>> live.finish().label
    """

    def __init__(self, detector: Detector) -> None:
        """Start a recording, judged by `detector`."""
        self._detector, self._listener = detector, detector.listener()
        hop = detector.bundle.frame_hop_samples
        self._settling = Settling(detector.operating_point.thresholds, hop_samples=hop)
        self._n_settled = 0
        self._settled: list[Segment] = []

    @property
    def n_samples(self) -> int:
        """How much was heard."""
        return self._listener.n_samples

    def hear(self, samples: Samples) -> None:
        """Take the next samples, float32 (n,) at 16 kHz, finite.

        Raises
        ------
        ModelError
            The network does not do what its bundle says.
        """
        self._listener.hear(samples)
        self._settled += self._settling.take(self._listener.final_scores(self._n_settled))
        self._n_settled = self._listener.n_final

    def so_far(self) -> Glimpse:
        """Tell what can be said by now, which changes nothing of what will be said.

        The cost is that of a window, whatever was heard before.

        Raises
        ------
        ModelError
            The network does not do what its bundle says.
        """
        part = self._listener.so_far()
        found = _later(self._detector.conclusion(part.evidence, part.quality), part.onset)
        final = self._newly_final(found, part.onset)
        return Glimpse(found, part.onset, self.n_samples, self._listener.n_final, final)

    def finish(self) -> Detection:
        """Hear the end and return the verdict on the whole: what `Detector.detect` says of the same samples.

        Raises
        ------
        ModelError
            The network does not do what its bundle says.
        """
        return self._detector.conclusion(*self._listener.finish())

    def _newly_final(self, found: Detection, onset: int) -> tuple[Segment, ...]:
        """Take the settled spans that the verdict shows; those before the part will not be shown any more.

        A span is known by its end, because the part may cut off its beginning.
        """
        shown = {span.offset for span in found.spans}
        final = tuple(span for span in self._settled if span.offset in shown)
        self._settled = [span for span in self._settled if span.offset not in shown and span.offset > onset]
        return final


def _later(found: Detection, by_samples: int) -> Detection:
    """Return the result with its spans so many samples later."""
    ends = tuple(Ends(*(_both_later(each, by_samples) for each in (e.onset, e.offset))) for e in found.ends)
    return replace(found, spans=tuple(moved(span, by_samples) for span in found.spans), ends=ends)


def _both_later(bounds: tuple[int, int], by_samples: int) -> tuple[int, int]:
    return bounds[0] + by_samples, bounds[1] + by_samples


def provisional_row(glimpse: Glimpse, path: str, *, overflows: int = 0) -> dict[str, Any]:
    """Return a glimpse as a JSON object: the row of its detection, and `live` beside it.

    Parameters
    ----------
    glimpse
        What can be said by now.
    path
        What to call the recording.
    overflows
        How many times sound was lost until now.
    """
    onset_s, final_s = glimpse.onset / SAMPLE_RATE, glimpse.n_final / SAMPLE_RATE
    return {**glimpse.detection.to_row(path), "live": _live(False, onset_s, final_s, glimpse.final_spans, overflows)}


def final_row(detection: Detection, path: str, *, overflows: int = 0) -> dict[str, Any]:
    """Return the verdict on the whole as a JSON object; the parameters are those of `provisional_row`."""
    return {**detection.to_row(path), "live": _live(True, 0.0, detection.duration_s, (), overflows)}


def _live(final: bool, onset_s: float, final_s: float, spans: Sequence[Segment], overflows: int) -> dict[str, Any]:
    return {
        "schema_version": LIVE_VERSION,
        "final": final,
        "onset_s": onset_s,
        "final_s": final_s,
        "final_segments": [Span(s.onset_s, s.offset_s, s.label, s.confidence)._asdict() for s in spans],
        "overflows": overflows,
    }
