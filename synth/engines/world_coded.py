"""WORLD from few numbers, as statistical and early neural synthesis rendered speech: smooth in frequency and in time.

Each frame is coded as an acoustic model predicts it, with cepstra of a warped spectrum and the noise in each band
(Wu, Watts and King, "Merlin: an open source neural network speech synthesis system", SSW 2016), and the codes are
smoothed over time, as such models do (Toda and Tokuda, "A speech parameter generation algorithm considering global
variance", IEICE Transactions E90-D, 2007).

Pulses and noise are WORLD's, as in `synth.engines.world`: who holds one of them out should hold out both.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from audio.segments import SAMPLE_RATE
from synth.engines import source_of
from synth.engines.world import Frames, analysed, load_pyworld, synthesised, world_version
from synth.pcm import Samples

N_COEFFICIENTS = 24
"""Numbers for the envelope of a frame; systems of that time had 24 (HTS at 16 kHz) to 60 (Merlin at 48 kHz)."""

SMOOTHING = (0.1, 0.24, 0.32, 0.24, 0.1)
"""Weights over five frames, 25 ms: symmetric, so that nothing moves."""


class WorldCoded:
    """Analysis and resynthesis with WORLD, through few and smooth numbers."""

    name = "world-coded"
    makes_twins = True
    languages: tuple[str, ...] = ()

    def version(self) -> str:
        """Return the version of pyworld and the settings; raise `EngineError` when it is not installed."""
        return f"{world_version(self.name)}, coded 1, {N_COEFFICIENTS} numbers, smoothed over {len(SMOOTHING)}"

    def render(
        self, samples: Samples | None, *, text: str = "", language: str = "", rng: np.random.Generator
    ) -> Samples:
        """Resynthesise `samples`; WORLD's own noise generator is seeded, so `rng` is not drawn from."""
        given = source_of(samples, self.name)
        pyworld = load_pyworld()
        speech = analysed(given)
        fft_samples = 2 * (speech.envelope.shape[1] - 1)
        few = pyworld.code_spectral_envelope(speech.envelope, SAMPLE_RATE, N_COEFFICIENTS)
        envelope = pyworld.decode_spectral_envelope(smoothed(few), SAMPLE_RATE, fft_samples)
        bands = pyworld.code_aperiodicity(speech.aperiodicity, SAMPLE_RATE)
        aperiodicity = pyworld.decode_aperiodicity(bands, SAMPLE_RATE, fft_samples)
        return synthesised(replace(speech, envelope=envelope, aperiodicity=aperiodicity), given.size)


def smoothed(codes: Frames) -> Frames:
    """Smooth codes (frames, n) over time; the first and the last frame go on beyond the ends."""
    reach = len(SMOOTHING) // 2
    padded = np.pad(codes, ((reach, reach), (0, 0)), mode="edge")
    return np.sum([weight * padded[k : k + len(codes)] for k, weight in enumerate(SMOOTHING)], axis=0)


ENGINE = WorldCoded()
