"""From what the windows and the frames say to one verdict that agrees with its spans.

The house rule: Real shows no fake span; Fake covers at least 90 % of the speech; anything between
is Hybrid; and the verdict is the largest of the three probabilities. Two heads of the network answer here,
and they may disagree, so the probabilities are computed such that the rule holds by construction:

1. **Windows to clip.** A clip is real only if every window of it is, and fake only if every window is. A
   fuzzy AND: P(real) and P(fake) are each the minimum over the windows. Two minima add up to at most one,
   because each is at most what one and the same window says; the rest is P(hybrid). A minimum does not care
   about order or about how often a window is counted, and a real half beside a fake half comes out as hybrid,
   which is what it is.
2. **Frames have a veto on hybrid.** Hybrid claims that a boundary exists. The frames are read at the bundle's
   thresholds first; where their spans cover the speech although the windows say hybrid, at higher ones, nearest
   first, because the level of the scores moves with the voice and the channel while their contrast within a
   clip stays. If they show a hybrid at none of them, the hybrid mass goes to what they show at the bundle's own:
   to real without a span in the speech, to fake when the spans cover it. So hybrid can win only with the spans
   of a hybrid.
3. **The verdict picks the spans.** Real shows none. Hybrid shows those located. Fake shows those located if
   they cover the speech, and otherwise all of it from its first to its last sample.

Only speech counts: spans that touch none are dropped, whatever the frames say about silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from audio.errors import ModelError
from audio.labels import FAKE, HYBRID, LABELS, REAL, label_index, label_of
from audio.segments import Segment, overlap, total

Float = NDArray[np.float64]

LEAST_ODDS = 1e-3
"""Odds against the verdict's class below which a temperature above 1 does not see."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a recording is, how sure that is, and which spans are fake.

    `probabilities` is float64 (3,) in the order of `audio.labels.LABELS`; it adds up to 1 and its largest
    entry is `label`'s. `label_of(overlap(spans, speech), total(speech))` is `label` too.
    """

    label: str
    probabilities: Float
    spans: tuple[Segment, ...]
    score: float
    """1 - P(real) by the calibration alone: what recordings are ranked by. An operating point does not move it, nor do
    the frames' veto and the temperatures, which say something of single verdicts."""


def softmax(logits: NDArray[np.floating], *, temperature: float) -> Float:
    """Turn clip logits, shape (..., 3), into calibrated probabilities, float64 of the same shape."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def clip_probabilities(window_probabilities: Float) -> Float:
    """Combine the windows of a clip: all must be real for real, all fake for fake, the rest is hybrid.

    Parameters
    ----------
    window_probabilities
        float64 (n_windows, 3) with at least one row, each adding up to 1.

    Returns
    -------
    float64 (3,), non-negative, adding up to 1.
    """
    combined = window_probabilities.min(axis=0)
    real, fake = combined[label_index(REAL)], combined[label_index(FAKE)]
    combined[label_index(HYBRID)] = max(0.0, 1.0 - real - fake)
    return combined / combined.sum()


def shifted(probabilities: Float, biases: Sequence[float]) -> Float:
    """Add `biases` to the logarithms of probabilities (3,) and normalise again; float64 (3,)."""
    powers = probabilities * np.exp(np.asarray(biases, dtype=np.float64) - max(biases))
    total_power = powers.sum()
    # All that had a probability may have been shifted out of sight of a float: then nothing is known but the shift.
    return powers / total_power if total_power > 0 else probabilities


def tempered(probabilities: Float, temperature: float) -> Float:
    """Divide the logarithms of probabilities (3,) and normalise again; float64 (3,), the largest where it was.

    Where that makes a verdict less sure, nothing counts as less than `LEAST_ODDS`: what the frames' veto took from
    hybrid, or a float lost, is not impossible, and no temperature brings it back from 0.
    """
    # Relative to the largest, which stays 1 and so the largest, whatever underflows.
    odds = probabilities / probabilities.max()
    powers = (np.maximum(odds, LEAST_ODDS) if temperature > 1.0 else odds) ** (1.0 / temperature)
    return np.asarray(powers / powers.sum())


def judge(
    window_probabilities: Float,
    *,
    readings: Iterable[Sequence[Segment]],
    speech: Sequence[Segment],
    biases: Sequence[float] = (0.0,) * len(LABELS),
    real_bias: float = 0.0,
    temperatures: Sequence[float] = (1.0,) * len(LABELS),
) -> Verdict:
    """Reach the verdict on a recording.

    Parameters
    ----------
    window_probabilities
        P(real), P(fake), P(hybrid) of each window after the temperature, float64 (n_windows, 3).
    readings
        the fake spans that the frames show at the bundle's thresholds, and then at higher ones
        (`model.judging.localise.readings`); taken one by one and no further than needed.
    speech
        where the recording has speech, at least one span.
    biases
        what the calibration adds to the log-probabilities of the clip, in the order of `LABELS`.
    real_bias
        what the operating point adds to that of real.
    temperatures
        what the log-probabilities are divided by when all is decided, for each verdict: above 1 they say less.

    Returns
    -------
    A verdict that agrees with its spans; a span made here, not located, has a confidence of None.
    """
    calibrated = shifted(clip_probabilities(window_probabilities), biases)
    combined = shifted(calibrated, [real_bias if name == REAL else 0.0 for name in LABELS])
    says_hybrid = LABELS[int(np.argmax(combined))] == HYBRID
    shown, in_speech = _read(readings if says_hybrid else islice(readings, 1), speech)
    probabilities = _give_up_hybrid(combined, shown)
    label = LABELS[int(np.argmax(probabilities))]
    told = tempered(probabilities, temperatures[label_index(label)])
    score = 1.0 - float(calibrated[label_index(REAL)])
    return Verdict(label, told, _spans(label, shown, in_speech, speech), score)


def _read(readings: Iterable[Sequence[Segment]], speech: Sequence[Segment]) -> tuple[str, tuple[Segment, ...]]:
    """The first reading that shows a hybrid, or else the first: its label, and its spans that touch speech."""
    first = None
    for spans in readings:
        in_speech = tuple(s for s in spans if overlap([s], speech))
        shown = label_of(overlap(in_speech, speech), total(speech))
        if shown == HYBRID:
            return shown, in_speech
        first = first or (shown, in_speech)
    if first is None:
        raise ModelError("judge: expected at least one reading of the frame scores, received none")
    return first


def _give_up_hybrid(probabilities: Float, shown: str) -> Float:
    """Move the hybrid mass to the label that the frames show; nothing moves when that is hybrid."""
    moved = probabilities.copy()
    moved[label_index(HYBRID)] = 0.0
    moved[label_index(shown)] += probabilities[label_index(HYBRID)]
    return moved


def _spans(label: str, shown: str, located: tuple[Segment, ...], speech: Sequence[Segment]) -> tuple[Segment, ...]:
    """The spans that belong to a verdict."""
    if label == REAL:
        return ()
    if label == shown:
        return located
    return (Segment(min(s.onset for s in speech), max(s.offset for s in speech)),)
