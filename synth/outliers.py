"""Clips that stand out from the others of their speaker: Tukey's interquartile fences.

A value is an outlier when it lies more than 1.5 interquartile ranges beyond the quartiles (Tukey, Exploratory
Data Analysis, 1977). Pitch and centroid are compared on a scale of octaves, levels in dB, as they are heard.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from synth.quality import Finding, Measures, is_broken

Item = TypeVar("Item", bound=Hashable)

FENCE = 1.5
"""How many interquartile ranges lie between a quartile and its fence. Tukey's; 0.7 % of a Gaussian is beyond."""

LEAST_CLIPS = 12
"""A speaker with fewer clips is compared with the whole set. Quartiles of few values are erratic: of 12 Gaussian
values 3.2 % lie beyond the fences, of 8 values 4.1 %, of 5 values 8.6 % (simulated)."""


@dataclass(frozen=True)
class Trait:
    """Something that clips are compared by, on a scale where steps sound equal."""

    name: str
    scaled: Callable[[Measures], float | None]
    """From measures to the scale; None where there is nothing to compare."""
    unscaled: Callable[[float], float]
    """From the scale to what people read."""
    least_fence: float
    """The fence is at least this far from its quartile: what differs less is no fault, however alike the rest."""
    of_the_voice: bool = False
    """Whether a speaker may lie beyond all others: a man among women is none the worse."""


def _octaves(value: float | None) -> float | None:
    return math.log2(value) if value else None


TRAITS = (
    Trait("pitch_hz", lambda m: _octaves(m.pitch_hz), lambda x: 2.0**x, 0.25, of_the_voice=True),
    Trait("level_dbfs", lambda m: m.level_dbfs, float, 6.0),
    Trait("centroid_hz", lambda m: _octaves(m.centroid_hz), lambda x: 2.0**x, 0.5),
    Trait("flatness_db", lambda m: m.flatness_db, float, 6.0),
)
"""Pitch, energy and spectral distribution. Least fences: three semitones, half an octave, 6 dB."""


def outliers(measures: Mapping[Item, Measures], speakers: Mapping[Item, str]) -> dict[Item, Finding]:
    """Find the clips that stand out.

    Parameters
    ----------
    measures
        What each clip measures.
    speakers
        Who speaks in each clip.

    Returns
    -------
    The first trait by which a clip stands out, for those that do. A clip is compared with its speaker's, or, where
    these are fewer than 12, with the whole set, in which each speaker weighs the same; where the set is no larger,
    none stands out. In a comparison with the set, a speaker whose median lies beyond the fences as well keeps
    their pitch.
    """
    found: dict[Item, Finding] = {}
    for trait in TRAITS:
        by_speaker: dict[str, dict[Item, float]] = {}
        for item, own in measures.items():
            if (value := trait.scaled(own)) is not None:
                by_speaker.setdefault(speakers[item], {})[item] = value
        for item, finding in _beyond(trait, by_speaker):
            found.setdefault(item, finding)
    return found


def fences(
    values: Sequence[float], least_fence: float, *, weights: Sequence[float] | None = None
) -> tuple[float, float]:
    """Return the lower and the upper fence of some values, each at least `least_fence` off its quartile."""
    # Only this method takes weights; without them, the usual one.
    method: Literal["linear", "inverted_cdf"] = "linear" if weights is None else "inverted_cdf"
    low, high = np.percentile(np.asarray(values), [25, 75], weights=weights, method=method)
    reach = max(FENCE * (high - low), least_fence)
    return float(low - reach), float(high + reach)


def _beyond(trait: Trait, by_speaker: Mapping[str, Mapping[Item, float]]) -> Iterator[tuple[Item, Finding]]:
    """Yield the clips whose value lies beyond the fences that hold for their speaker."""
    everyone = [(value, 1.0 / len(own)) for own in by_speaker.values() for value in own.values()]
    for own in by_speaker.values():
        alone = len(own) >= LEAST_CLIPS
        if alone:
            low, high = fences(list(own.values()), trait.least_fence)
        elif len(everyone) >= LEAST_CLIPS:
            values, weights = zip(*everyone, strict=True)
            low, high = fences(values, trait.least_fence, weights=weights)
        else:
            continue
        if trait.of_the_voice and not alone and not low <= np.median(list(own.values())) <= high:
            continue
        for item, value in own.items():
            finding = Finding(trait.name, *(trait.unscaled(x) for x in (value, low, high)))
            if is_broken(finding):
                yield item, finding
