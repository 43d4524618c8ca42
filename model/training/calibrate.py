"""Operating point and temperature of a fresh bundle, from the dev split and never from test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from audio import reading, segments
from audio.labels import label_index
from audio.manifest import Clip, fake_spans
from model import metrics
from model.bundle import Thresholds
from model.features import FRAME_HOP_SAMPLES
from model.judging.detector import Detector, Evidence, conclude
from model.judging.verdict import Verdict, clip_probabilities, softmax
from model.training.examples import TrainingSet

ENTER = tuple(round(0.05 * step, 2) for step in range(4, 19))
"""What is tried for the threshold that opens a span: 0.2 to 0.9."""

EXIT_BELOW_ENTER = (0.0, 0.05, 0.1, 0.15)
"""How far the threshold that ends it may lie below; the last is Silero VAD's rule."""

TEMPERATURES = np.geomspace(0.2, 5.0, 65)
"""What the search for the temperature tries."""


@dataclass(frozen=True)
class OperatingPoint:
    """What dev says about how to read a network's outputs."""

    thresholds: Thresholds
    temperature: float


@dataclass(frozen=True)
class _Judged:
    """A dev clip and what the network says of it."""

    clip: Clip
    n_samples: int
    evidence: Evidence


def calibrate(detector: Detector, dev: TrainingSet) -> OperatingPoint:
    """Choose both on the clips of `dev`; without known spans the thresholds stay at their defaults.

    The temperature minimises the negative log-likelihood of the clips' classes (Guo et al., "On Calibration of Modern
    Neural Networks", ICML 2017), after the windows are combined. The thresholds are those whose verdicts and spans are
    best: highest sum of macro-F1 of the clips and F1 of the fake seconds, ties to the lowest.
    """
    judged = [found for clip in dev.clips if (found := _judge(detector, dev, clip)) is not None]
    if not judged:
        return OperatingPoint(Thresholds(), 1.0)
    temperature = _temperature(judged)
    return OperatingPoint(_thresholds(judged, temperature) if dev.has_spans else Thresholds(), temperature)


def _judge(detector: Detector, dev: TrainingSet, clip: Clip) -> _Judged | None:
    samples = reading.read(dev.path(clip))
    evidence = detector.evidence(samples)
    return None if evidence is None else _Judged(clip, len(samples), evidence)


def _thresholds(judged: Sequence[_Judged], temperature: float) -> Thresholds:
    tried = [replace(Thresholds(), enter=e, exit=round(e - below, 2)) for e in ENTER for below in EXIT_BELOW_ENTER]
    return max(tried, key=lambda thresholds: _quality(judged, thresholds, temperature))


def _quality(judged: Sequence[_Judged], thresholds: Thresholds, temperature: float) -> float:
    verdicts = [_verdict(found, thresholds, temperature) for found in judged]
    table = metrics.confusion([found.clip.label for found in judged], [verdict.label for verdict in verdicts])
    return (metrics.macro_f1(table) or 0.0) + _span_f1(judged, verdicts)


def _verdict(found: _Judged, thresholds: Thresholds, temperature: float) -> Verdict:
    return conclude(
        found.evidence,
        thresholds,
        temperature=temperature,
        hop_samples=FRAME_HOP_SAMPLES,
        n_samples=found.n_samples,
    )


def _span_f1(judged: Sequence[_Judged], verdicts: Sequence[Verdict]) -> float:
    """F1 of the fake samples over all clips; 0 when there are none in truth or verdict."""
    truths = [fake_spans(found.clip, found.n_samples) for found in judged]
    hits = sum(segments.overlap(verdict.spans, truth) for verdict, truth in zip(verdicts, truths, strict=True))
    called = sum(segments.total(verdict.spans) for verdict in verdicts)
    return 2 * hits / max(1, called + sum(map(segments.total, truths)))


def _temperature(judged: Sequence[_Judged]) -> float:
    def loss(temperature: float) -> float:
        probabilities = [
            clip_probabilities(softmax(found.evidence.window_logits, temperature=temperature))[
                label_index(found.clip.label)
            ]
            for found in judged
        ]
        return float(-np.log(np.maximum(probabilities, 1e-12)).mean())

    return float(min(TEMPERATURES, key=loss))
