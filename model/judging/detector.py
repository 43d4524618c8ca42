"""The detector: a recording in, a verdict with its fake spans out.

    samples -> windows with speech -> log-mel -> network -> frame scores -> spans
                   |                               |                          |
                   +-> none: abstention            +-> clip logits -----> verdict

Every step is a function of this recording alone; nothing is kept between two calls but the network.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from audio.cleaning import is_steady, speech_frames
from audio.errors import ModelError
from audio.labels import LABELS
from audio.reading import read
from audio.segments import SAMPLE_RATE, Segment, from_frames, n_frames
from model.bundle import BALANCED, Calibration, OperatingPoint, find_bundle, read_bundle
from model.features import log_mel
from model.judging.abstain import MIN_CLIP_SAMPLES, MIN_SPEECH_SAMPLES, cautions, reasons
from model.judging.localise import Ends, ends_of, readings, with_confidence
from model.judging.quality import Quality, measure
from model.judging.runtime import open_network
from model.judging.samples import as_samples
from model.judging.verdict import Verdict, judge, softmax
from model.judging.windows import Window, overlap_add, sliding_windows

SCHEMA_VERSION = 3
"""Version of the row that `Detection.to_row` gives. Version 1 had neither warnings nor operating_point, version 2 no
`quality` and no ranges of a span's ends."""

Samples = npt.NDArray[np.float32]


class Span(NamedTuple):
    """A fake span `[start_s, end_s)` in seconds; `confidence` is the mean P(fake) of its frames.

    The ranges say where its ends may lie as well (`model.judging.localise.ends_of`); None where that is not known.
    """

    start_s: float
    end_s: float
    label: str
    confidence: float | None
    start_range_s: tuple[float, float] | None = None
    end_range_s: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Detection:
    """The result for one recording.

    Either a verdict: `label` is the largest of the three `probabilities`, which add up to 1, and `spans`
    agree with it (`model.judging.verdict`). Or an abstention: `label` and the probabilities are None, there
    are no spans and no frame scores, and `reasons` says why in codes of `audio.messages.REASONS`.
    """

    label: str | None
    """"real", "fake", "hybrid" or None."""
    probabilities: Mapping[str, float | None]
    """One entry per label of `audio.labels.LABELS`."""
    spans: tuple[Segment, ...]
    """Fake spans in samples at 16 kHz, exact, in order of time."""
    frame_scores: Samples
    """P(fake) per frame, float32 (n_frames,), read-only; frame i starts at `i * frame_hop_s`."""
    reasons: tuple[str, ...]
    frame_hop_s: float
    duration_s: float
    model: str
    """Name of the bundle that judged."""
    channel: int | None = None
    """None: the downmix of all channels."""
    operating_point: str = BALANCED
    """What decided how much evidence an accusation needs."""
    ends: tuple[Ends, ...] = ()
    """Where the ends of each span may lie as well, as many as there are spans, or none."""
    quality: Quality | None = None
    """What the recording is like as a recording."""
    warnings: tuple[str, ...] = ()
    """What a person should know before trusting the verdict, in codes of `audio.messages.WARNINGS`."""

    @property
    def abstained(self) -> bool:
        """Whether there is no verdict."""
        return self.label is None

    @property
    def segments(self) -> tuple[Span, ...]:
        """The fake spans in seconds."""
        ends: tuple[Ends | None, ...] = self.ends or (None,) * len(self.spans)
        return tuple(_in_seconds(span, each) for span, each in zip(self.spans, ends, strict=True))

    def to_row(self, path: str) -> dict[str, Any]:
        """The result as a JSON object, schema `SCHEMA_VERSION`; seconds and probabilities are not rounded."""
        return {
            "schema_version": SCHEMA_VERSION,
            "path": path,
            "channel": self.channel,
            "label": self.label,
            "probabilities": dict(self.probabilities),
            "segments": [span._asdict() for span in self.segments],
            "abstained": self.abstained,
            "reasons": list(self.reasons),
            "warnings": list(self.warnings),
            "duration_s": self.duration_s,
            "quality": None if self.quality is None else self.quality.to_json(),
            "model": self.model,
            "operating_point": self.operating_point,
        }


def _in_seconds(span: Segment, ends: Ends | None) -> Span:
    onset, offset = (None, None) if ends is None else (_seconds(ends.onset), _seconds(ends.offset))
    return Span(span.onset_s, span.offset_s, span.label, span.confidence, onset, offset)


def _seconds(bounds: tuple[int, int]) -> tuple[float, float]:
    return bounds[0] / SAMPLE_RATE, bounds[1] / SAMPLE_RATE


@dataclass(frozen=True, eq=False, slots=True)
class Evidence:
    """What the network says about a recording, before thresholds and calibration."""

    frame_scores: Samples
    """P(fake) per frame, float32 (n_frames,), read-only."""
    window_logits: Samples
    """Clip logits of each window that has something to say, float32 (n_votes, 3), at least one."""
    speech: npt.NDArray[np.bool_]
    """Which frames are speech, bool (n_frames,)."""

    @property
    def mean_frame_score(self) -> float:
        """Mean P(fake) of the frames with speech; of all where there is none."""
        heard = self.frame_scores[self.speech] if self.speech.any() else self.frame_scores
        return float(heard.mean(dtype=np.float64))


def conclude(
    found: Evidence, calibration: Calibration, point: OperatingPoint, *, hop_samples: int, n_samples: int
) -> Verdict:
    """Draw the verdict on a recording of `n_samples` from what the network says, at an operating point.

    Detecting and calibrating both come through here, so that what is calibrated is what is used.
    """
    real, fake, hybrid = calibration.added(found.mean_frame_score)
    return judge(
        softmax(found.window_logits, temperature=calibration.temperature),
        readings=readings(found.frame_scores, point.thresholds, hop_samples=hop_samples, n_samples=n_samples),
        speech=from_frames(found.speech, hop_samples, n_samples),
        biases=(real + point.real_bias, fake, hybrid),
        temperature=point.temperature,
    )


class Detector:
    """Judges recordings with one trained model.

    >>> from model import Detector
    >>> result = Detector().detect("interview.wav")
    >>> result.label, result.segments
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        operating_point: str | None = None,
        runtime: str | None = None,
    ) -> None:
        """Load a model.

        Parameters
        ----------
        model
            folder of a bundle; None takes the shipped one, or else the newest run.
        operating_point
            name of one of the bundle's; None: its default.
        runtime
            what runs the network, one of `model.judging.runtime.RUNTIMES`; None: what the bundle was made for.

        Raises
        ------
        ModelError
            There is no such bundle, operating point or runtime, or it is broken.
        """
        self._bundle = read_bundle(find_bundle(None if model is None else Path(model)))
        self._point = self._bundle.operating_point(operating_point)
        self._runtime = runtime
        self._network = open_network(self._bundle, runtime)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as a path: a running network does not pickle."""
        return partial(type(self), operating_point=self._point.name, runtime=self._runtime), (self._bundle.path,)

    def detect(
        self,
        source: str | os.PathLike[str] | npt.ArrayLike,
        *,
        sample_rate: int = SAMPLE_RATE,
        channel: int | None = None,
    ) -> Detection:
        """Judge a recording of any length.

        Parameters
        ----------
        source
            path of an audio file in any format, or the samples of one channel, shape (n,): floats with full
            scale +-1, or PCM integers (uint8, int16, int32).
        sample_rate
            samples per second of an array; a file knows its own.
        channel
            which channel of a file, from 0; None: the mean of all. An array's is only noted.

        Raises
        ------
        AudioError
            The file cannot be read, or the array is no mono audio.
        ModelError
            The network does not do what its bundle says.
        """
        samples = _load(source, sample_rate, channel)
        return replace(self._detect(samples), channel=channel)

    def _detect(self, samples: Samples) -> Detection:
        """Judge samples at 16 kHz."""
        speech = speech_frames(samples, hop_samples=self._bundle.frame_hop_samples)
        quality = measure(samples, speech)
        if broken := reasons(quality, self._bundle.limits):
            return self._abstain(samples, broken, quality)
        found = self._evidence(samples, speech)
        if found is None:
            return self._abstain(samples, ("no_speech",), quality)
        return self._judge(samples, found, quality)

    def evidence(self, samples: Samples) -> Evidence | None:
        """Run the network over a recording, without drawing conclusions from it.

        Parameters
        ----------
        samples
            float32 (n,) at 16 kHz, finite, as `audio.reading.read` gives them.

        Returns
        -------
        What the windows say, or None where the recording is too short or holds no speech.

        Raises
        ------
        ModelError
            The network does not do what its bundle says.
        """
        return self._evidence(samples, speech_frames(samples, hop_samples=self._bundle.frame_hop_samples))

    def _evidence(self, samples: Samples, speech: npt.NDArray[np.bool_]) -> Evidence | None:
        """The same, for a recording whose frames with speech are known."""
        if len(samples) < MIN_CLIP_SAMPLES:
            return None
        hop = self._bundle.frame_hop_samples
        windows = self._windows(len(samples))
        votes = _votes(windows, samples, speech=speech, hop_samples=hop)
        if not any(votes):
            return None
        scored = [self._run(samples[w.onset : w.offset]) for w in windows]
        pieces = ((w.onset // hop, scores) for w, (scores, _) in zip(windows, scored, strict=True))
        logits = [logits for vote, (_, logits) in zip(votes, scored, strict=True) if vote]
        return Evidence(_read_only(overlap_add(pieces, len(speech))), np.stack(logits), speech)

    def _windows(self, n_samples: int) -> list[Window]:
        return sliding_windows(
            n_samples,
            window_samples=self._bundle.window_samples,
            step_samples=self._bundle.step_samples,
            hop_samples=self._bundle.frame_hop_samples,
        )

    def _judge(self, samples: Samples, found: Evidence, quality: Quality) -> Detection:
        """Draw the conclusions."""
        bundle, hop = self._bundle, self._bundle.frame_hop_samples
        verdict = conclude(found, bundle.calibration, self._point, hop_samples=hop, n_samples=len(samples))
        return Detection(
            label=verdict.label,
            probabilities=dict(zip(LABELS, verdict.probabilities.tolist(), strict=True)),
            spans=tuple(with_confidence(s, found.frame_scores, hop_samples=hop) for s in verdict.spans),
            ends=tuple(self._ends(span, found, len(samples)) for span in verdict.spans),
            frame_scores=found.frame_scores,
            reasons=(),
            quality=quality,
            warnings=cautions(quality),
            **self._facts(samples),
        )

    def _run(self, window: Samples) -> tuple[Samples, Samples]:
        """Frame scores (frames,) and clip logits (3,) of one window."""
        bundle = self._bundle
        scores, logits = self._network.run(log_mel(window, bundle.features))
        expected = n_frames(len(window), bundle.frame_hop_samples)
        if len(scores) != expected:
            raise ModelError(
                f"{bundle.onnx_path}: expected {expected} frame scores for {len(window)} samples, "
                f"received {len(scores)}"
            )
        return scores, logits

    def _ends(self, span: Segment, found: Evidence, n_samples: int) -> Ends:
        hop, exit = self._bundle.frame_hop_samples, self._point.thresholds.exit
        return ends_of(span, found.frame_scores, exit, hop_samples=hop, n_samples=n_samples)

    def _abstain(self, samples: Samples, reasons: tuple[str, ...], quality: Quality) -> Detection:
        """A result without a verdict."""
        return Detection(
            label=None,
            probabilities=dict.fromkeys(LABELS),
            spans=(),
            frame_scores=_read_only(np.zeros(0, dtype=np.float32)),
            reasons=reasons,
            quality=quality,
            **self._facts(samples),
        )

    def _facts(self, samples: Samples) -> dict[str, Any]:
        """What every result says, verdict or not."""
        return {
            "duration_s": len(samples) / SAMPLE_RATE,
            "frame_hop_s": self._bundle.frame_hop_samples / SAMPLE_RATE,
            "model": self._bundle.name,
            "operating_point": self._point.name,
        }


def _load(source: str | os.PathLike[str] | npt.ArrayLike, sample_rate: int, channel: int | None) -> Samples:
    if isinstance(source, (str, os.PathLike)):
        return read(Path(source), channel=channel)
    return as_samples(source, sample_rate=sample_rate)


def _votes(windows: list[Window], samples: Samples, *, speech: npt.NDArray[np.bool_], hop_samples: int) -> list[bool]:
    """Which windows have something to say about the clip: those with enough speech that is no steady sound.

    Speech scattered so thinly that no window has enough is judged where there is most of it. No window votes
    when the whole recording has too little of it, or nothing but tones, hum and the like.
    """
    enough = MIN_SPEECH_SAMPLES // hop_samples
    if np.count_nonzero(speech) < enough:
        return [False] * len(windows)
    counts = [int(np.count_nonzero(speech[w.onset // hop_samples : -(-w.offset // hop_samples)])) for w in windows]
    enough = min(enough, max(counts))
    return [
        count >= enough and not is_steady(samples[w.onset : w.offset]) for w, count in zip(windows, counts, strict=True)
    ]


def _read_only(array: Samples) -> Samples:
    array.setflags(write=False)
    return array
