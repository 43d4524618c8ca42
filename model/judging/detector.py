"""The detector: a recording in, a verdict with its fake spans out.

    samples -> windows with speech -> model -> frame scores -> spans
                   |                    |                          |
                   +-> none: abstention +-> clip logits -----> verdict

Every step is a function of this recording alone; nothing is kept between two calls but the model, which may be a
network, a classical system or a stack of either (`model.judging.systems`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from audio.cleaning import speech_frames
from audio.errors import UsageError
from audio.labels import LABELS
from audio.reading import Limits, blocks
from audio.segments import SAMPLE_RATE, Segment, from_frames, to_frames
from model.bundle import BALANCED, Bundle, Calibration, OperatingPoint, find_bundle, read_bundle
from model.judging.abstain import cautions, reasons
from model.judging.explain import Explanation, explain
from model.judging.localise import Ends, ends_of, readings, with_confidence
from model.judging.quality import Quality
from model.judging.samples import as_samples
from model.judging.stream import PIECE_SAMPLES, Evidence, Listener
from model.judging.systems import LogMelNetwork, open_system
from model.judging.verdict import Verdict, judge, softmax
from model.points import point_of

SCHEMA_VERSION = 3
"""Version of the row that `Detection.to_row` gives. Version 1 had neither warnings nor operating_point, version 2 no
`score`, no `quality` and no ranges of a span's ends."""

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
    score: float | None = None
    """What recordings are ranked by, whatever the operating point: 1 - P(real) by the calibration alone."""
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
            "score": self.score,
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
        biases=(real, fake, hybrid),
        real_bias=point.real_bias,
        temperatures=point.temperatures,
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
            name of one of the bundle's, or a .json of `script.py calibrate`; None: the bundle's default.
        runtime
            what runs a network, one of `model.judging.runtime.RUNTIMES`; None: what the bundle was made for.

        Raises
        ------
        ModelError
            There is no such bundle or operating point, or it is broken.
        UsageError
            There is no such runtime, or the model is no network and one was named.
        """
        self._bundle = read_bundle(find_bundle(None if model is None else Path(model)))
        self._point = point_of(self._bundle, operating_point)
        self._asked = operating_point
        self._runtime = runtime
        self._system = open_system(self._bundle, runtime)

    @property
    def bundle(self) -> Bundle:
        """The model."""
        return self._bundle

    @property
    def operating_point(self) -> OperatingPoint:
        """What decides how much evidence an accusation needs."""
        return self._point

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as a path: a running model does not pickle."""
        return partial(type(self), operating_point=self._asked, runtime=self._runtime), (self._bundle.path,)

    def detect(
        self,
        source: str | os.PathLike[str] | npt.ArrayLike,
        *,
        sample_rate: int = SAMPLE_RATE,
        channel: int | None = None,
        limits: Limits | None = None,
    ) -> Detection:
        """Judge a recording of any length, in memory that hardly grows with it.

        Parameters
        ----------
        source
            path of an audio file in any format, or the samples of one channel, shape (n,): floats with full
            scale +-1, or PCM integers (uint8, int16, int32).
        sample_rate
            samples per second of an array; a file knows its own.
        channel
            which channel of a file, from 0; None: the mean of all. An array's is only noted.
        limits
            how much a file may turn into; None: any amount.

        Raises
        ------
        AudioError
            The file cannot be read, or the array is no mono audio; `LimitError` beyond `limits`.
        ModelError
            The model does not do what its bundle says.
        """
        listener = self.listener()
        for piece in _pieces(source, sample_rate, channel, limits):
            listener.hear(piece)
        return self.conclusion(*listener.finish(), channel=channel)

    def listener(self) -> Listener:
        """Return what hears one recording piece by piece; `conclusion` says what follows from what it heard."""
        return Listener(self._bundle, self._system)

    def conclusion(self, found: Evidence | None, quality: Quality, *, channel: int | None = None) -> Detection:
        """Draw the conclusions from what a listener heard; `channel` is only noted."""
        broken = reasons(quality, self._bundle.limits) or (("no_speech",) if found is None else ())
        if found is None or broken:
            return self._abstain(broken, quality, channel)
        return self._judge(found, quality, channel)

    def evidence(self, samples: Samples) -> Evidence | None:
        """Run the model over a recording, without drawing conclusions from it.

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
            The model does not do what its bundle says.
        """
        listener = self.listener()
        listener.hear(samples)
        return listener.finish()[0]

    def explain(self, samples: Samples, detection: Detection, *, title: str | None = None) -> Explanation:
        """Say which parts of the spectrogram carry the scores: of the spans judged fake, else of all speech.

        Takes a second or two for each window of the network that holds such frames, and explains the first
        `model.judging.explain.MOST_WINDOWS` of them.

        Parameters
        ----------
        samples
            the recording that was judged, float32 (n,) at 16 kHz.
        detection
            what `detect` said about it.
        title
            what to call the work in a progress bar on stderr, which only terminals see; None: no bar.

        Raises
        ------
        UsageError
            There is no verdict to explain, it is another recording's, or the model is no network.
        ModelError
            The model does not do what its bundle says.
        """
        if detection.abstained:
            raise UsageError("explain: expected a result with a verdict, received an abstention")
        self._bundle.require_network("explain")
        assert isinstance(self._system, LogMelNetwork)
        hop = self._bundle.frame_hop_samples
        if detection.spans:
            explained = to_frames(detection.spans, len(detection.frame_scores), hop)
        else:
            explained = speech_frames(samples, hop_samples=hop)
        return explain(samples, explained, bundle=self._bundle, network=self._system.network, title=title)

    def _judge(self, found: Evidence, quality: Quality, channel: int | None) -> Detection:
        """Draw the conclusions."""
        bundle, hop, n_samples = self._bundle, self._bundle.frame_hop_samples, quality.n_samples
        verdict = conclude(found, bundle.calibration, self._point, hop_samples=hop, n_samples=n_samples)
        return Detection(
            label=verdict.label,
            probabilities=dict(zip(LABELS, verdict.probabilities.tolist(), strict=True)),
            spans=tuple(with_confidence(s, found.frame_scores, hop_samples=hop) for s in verdict.spans),
            score=verdict.score,
            ends=tuple(self._ends(span, found, n_samples) for span in verdict.spans),
            frame_scores=found.frame_scores,
            reasons=(),
            warnings=cautions(quality),
            **self._facts(quality, channel),
        )

    def _ends(self, span: Segment, found: Evidence, n_samples: int) -> Ends:
        hop, exit = self._bundle.frame_hop_samples, self._point.thresholds.exit
        return ends_of(span, found.frame_scores, exit, hop_samples=hop, n_samples=n_samples)

    def _abstain(self, reasons: tuple[str, ...], quality: Quality, channel: int | None) -> Detection:
        """A result without a verdict."""
        return Detection(
            label=None,
            probabilities=dict.fromkeys(LABELS),
            spans=(),
            frame_scores=_NO_SCORES,
            reasons=reasons,
            **self._facts(quality, channel),
        )

    def _facts(self, quality: Quality, channel: int | None) -> dict[str, Any]:
        """What every result says, verdict or not."""
        return {
            "duration_s": quality.duration_s,
            "frame_hop_s": self._bundle.frame_hop_samples / SAMPLE_RATE,
            "quality": quality,
            "channel": channel,
            "model": self._bundle.name,
            "operating_point": self._point.name,
        }


_NO_SCORES: Samples = np.zeros(0, dtype=np.float32)
_NO_SCORES.setflags(write=False)


def _pieces(
    source: str | os.PathLike[str] | npt.ArrayLike, sample_rate: int, channel: int | None, limits: Limits | None
) -> Iterable[Samples]:
    """The samples of a file of any length, block by block, or those of an array."""
    if isinstance(source, (str, os.PathLike)):
        return blocks(Path(source), block_samples=PIECE_SAMPLES, channel=channel, limits=limits)
    return [as_samples(source, sample_rate=sample_rate)]
