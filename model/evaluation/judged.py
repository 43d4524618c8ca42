"""What every figure is computed from: a clip, its truth, and what some system says of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audio.errors import UsageError
from audio.labels import LABELS, REAL
from audio.manifest import Clip, fake_spans
from audio.segments import Segment, clip_to


@dataclass(frozen=True, eq=False, slots=True)
class Judged:
    """One clip and what a system, ours or anybody's, says of it; None means that the system does not say.

    Raises
    ------
    UsageError
        When a score or a probability is not finite, or an array has the wrong shape.
    """

    clip: Clip
    n_samples: int
    """Length in samples at 16 kHz."""
    score: float | None = None
    """How surely there is anything fake in it, higher means more fake; None for a clip without a score."""
    label: str | None = None
    """The verdict, one of `audio.labels.LABELS`; None for an abstention, or a system without verdicts."""
    probabilities: tuple[float, ...] | None = None
    """P(real), P(fake), P(hybrid)."""
    frame_scores: npt.NDArray[np.float32] | None = None
    """Fakeness of each frame, float32 (n,); frame i starts at sample `i * hop_samples`."""
    hop_samples: int = 320
    spans: tuple[Segment, ...] | None = None
    """The fake spans that it found, with their confidences; None for a system that locates nothing."""
    reasons: tuple[str, ...] = ()
    """Why it abstained, or the message of the error."""
    failed: bool = False
    """Whether the recording could not be judged at all."""
    pitch_hz: float | None = None
    """Median fundamental frequency, where it was measured."""
    snr_db: float | None = None
    """How far the recording stands above its own noise, where it was measured."""

    def __post_init__(self) -> None:
        frames = np.zeros(0) if self.frame_scores is None else self.frame_scores
        if not all(map(math.isfinite, (self.score or 0.0, *(self.probabilities or ())))) or not _is_finite(frames):
            raise UsageError(f"{self.clip.path}: expected finite scores. Received some that are not")
        if self.probabilities is not None and len(self.probabilities) != len(LABELS):
            raise UsageError(f"{self.clip.path}: expected 3 probabilities. Received: {self.probabilities}")
        if frames.ndim != 1 or self.hop_samples < 1:
            raise UsageError(
                f"{self.clip.path}: expected frame scores (n,) and a hop of 1 sample or more."
                f" Received: {frames.shape}, {self.hop_samples}"
            )

    @property
    def truth(self) -> list[Segment] | None:
        """The fake spans; None where nobody says where they are: in hybrids without spans, and fakes without length."""
        spans = fake_spans(self.clip, self.n_samples) if self.n_samples or self.clip.segments else []
        if self.clip.label != REAL and not spans:
            return None
        # Times in label files are rounded: a last span may end a little behind the recording. Where all of them lie
        # behind it, they are of another recording.
        inside = clip_to(spans, 0, self.n_samples) if self.n_samples else spans
        return None if spans and not inside else inside

    @property
    def group(self) -> str:
        """What the clip shares its luck with: its speaker; a clip of an unknown one stands alone."""
        return f"speaker {self.clip.speaker}" if self.clip.speaker else f"clip {self.clip.path}"


def _is_finite(scores: npt.NDArray[np.floating]) -> bool:
    return not scores.size or bool(np.isfinite(scores).all())
