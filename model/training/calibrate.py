"""Operating point and temperature of a fresh bundle, from the dev split and never from test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audio import reading, segments
from audio.labels import label_index
from audio.manifest import Clip
from model import metrics
from model.bundle import Thresholds
from model.features import FRAME_HOP_SAMPLES
from model.judging.detector import Detector, Evidence
from model.judging.verdict import clip_probabilities, softmax
from model.training.examples import TrainingSet, fake_spans

EXIT_BELOW_ENTER = 0.15
"""How far the threshold that ends a span lies below the one that opens it; Silero VAD's rule."""

TEMPERATURES = np.geomspace(0.2, 5.0, 65)
"""What the search for the temperature tries."""


@dataclass(frozen=True)
class OperatingPoint:
    """What dev says about how to read a network's outputs."""

    thresholds: Thresholds
    temperature: float


def calibrate(detector: Detector, dev: TrainingSet) -> OperatingPoint:
    """Choose both on the clips of `dev`; without known spans the thresholds stay at their defaults.

    The span threshold is that of the frame EER. The temperature minimises the negative log-likelihood of the clips'
    classes (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017), after the windows are combined.
    """
    judged = [(clip, evidence) for clip in dev.clips if (evidence := _evidence(detector, dev, clip)) is not None]
    if not judged:
        return OperatingPoint(Thresholds(), 1.0)
    return OperatingPoint(_thresholds(judged) if dev.has_spans else Thresholds(), _temperature(judged))


def _evidence(detector: Detector, dev: TrainingSet, clip: Clip) -> Evidence | None:
    return detector.evidence(reading.read(dev.path(clip)))


def _thresholds(judged: Sequence[tuple[Clip, Evidence]]) -> Thresholds:
    is_fake = [
        segments.to_frames(fake_spans(clip, clip.n_samples), len(found.frame_scores), FRAME_HOP_SAMPLES)
        for clip, found in judged
    ]
    scores = np.concatenate([found.frame_scores for _, found in judged])
    enter = metrics.equal_error_threshold(np.concatenate(is_fake), scores)
    if enter is None or not np.isfinite(enter):
        return Thresholds()
    return Thresholds(enter=enter, exit=max(0.0, enter - EXIT_BELOW_ENTER))


def _temperature(judged: Sequence[tuple[Clip, Evidence]]) -> float:
    def loss(temperature: float) -> float:
        probabilities = [
            clip_probabilities(softmax(found.window_logits, temperature=temperature))[label_index(clip.label)]
            for clip, found in judged
        ]
        return float(-np.log(np.maximum(probabilities, 1e-12)).mean())

    return float(min(TEMPERATURES, key=loss))
