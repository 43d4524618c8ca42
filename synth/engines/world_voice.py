"""Voice change with WORLD: the same words at the same time, with another pitch and another vocal tract.

The envelope is stretched in frequency, as a shorter or longer vocal tract does with its resonances (the idea of
frequency warping in vocal tract length normalisation: Lee and Rose, ICASSP 1996); the pitch is multiplied.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from synth.engines import source_of
from synth.engines.world import Frames, analysed, synthesised, world_version
from synth.pcm import Samples

PITCH_RATIOS = (0.75, 1.35)
"""Bounds of what the pitch is multiplied with: from a fourth down to one up, where speech still sounds human."""

FORMANT_RATIOS = (0.85, 1.2)
"""Bounds of what resonances are multiplied with: women's are 1.1 to 1.2 times those of men
(Peterson and Barney, JASA 24, 1952)."""

LEAST_PITCH_CHANGE, LEAST_FORMANT_CHANGE = 1.1, 1.05
"""One of the two changes is at least this large, up or down; less of both would be the same voice."""


@dataclass(frozen=True)
class Voice:
    """What the pitch and the resonances are multiplied with."""

    pitch_ratio: float
    formant_ratio: float

    @property
    def is_another(self) -> bool:
        """Whether anybody would notice."""
        pitch, formants = (abs(math.log(ratio)) for ratio in (self.pitch_ratio, self.formant_ratio))
        return pitch >= math.log(LEAST_PITCH_CHANGE) or formants >= math.log(LEAST_FORMANT_CHANGE)


class WorldVoice:
    """Analysis with WORLD, and synthesis in another voice."""

    name = "world-voice"
    makes_twins = True
    languages: tuple[str, ...] = ()

    def version(self) -> str:
        """Return the version of pyworld and the settings; raise `EngineError` when it is not installed."""
        bounds = "pitch {:g} to {:g}, formants {:g} to {:g}".format(*PITCH_RATIOS, *FORMANT_RATIOS)
        return f"{world_version(self.name)}, voice 1, {bounds}"

    def render(
        self, samples: Samples | None, *, text: str = "", language: str = "", rng: np.random.Generator
    ) -> Samples:
        """Resynthesise `samples` in a voice drawn from `rng`."""
        given = source_of(samples, self.name)
        voice = draw_voice(rng)
        speech = analysed(given)
        envelope = stretched(speech.envelope, voice.formant_ratio)
        changed = replace(speech, pitch_hz=speech.pitch_hz * voice.pitch_ratio, envelope=envelope)
        return synthesised(changed, given.size)


def draw_voice(rng: np.random.Generator) -> Voice:
    """Draw ratios, uniform in their logarithms, until the voice is another one."""
    while True:
        pitch, formants = (math.exp(rng.uniform(*np.log(bounds))) for bounds in (PITCH_RATIOS, FORMANT_RATIOS))
        if (voice := Voice(pitch, formants)).is_another:
            return voice


def stretched(envelope: Frames, ratio: float) -> Frames:
    """Move what stands at each frequency of power spectra (frames, bins) to `ratio` times that frequency.

    Between bins logarithms are interpolated; what would come from above the last bin repeats that bin.
    """
    n_bins = envelope.shape[1]
    place = np.minimum(np.arange(n_bins) / ratio, n_bins - 1)
    below = np.minimum(place.astype(np.intp), n_bins - 2)
    share = place - below
    logarithm = np.log(envelope)
    return np.exp(logarithm[:, below] * (1.0 - share) + logarithm[:, below + 1] * share)


ENGINE = WorldVoice()
