"""Cepstral vocoder: the spectrum smoothed by its cepstrum, as a filter of minimum phase for pulses or noise.

Oppenheim, "Speech analysis-synthesis system based on homomorphic filtering", JASA 45 (1969); the smoothed spectrum
is what statistical synthesis predicted before neural vocoders (Imai, "Cepstral analysis synthesis on the mel
frequency scale", ICASSP 1983).
"""

from __future__ import annotations

import numpy as np

from synth.engines import source_of
from synth.engines.excitation import (
    FRAME_SAMPLES,
    HOP_SAMPLES,
    RESPONSE_SAMPLES,
    Frames,
    autocorrelation,
    driven,
    filtered,
    framed,
    joined,
    window,
)
from synth.pcm import Samples

QUEFRENCIES = 32
"""Cepstral coefficients kept, 2 ms: below the shortest pitch period that is looked for (40 samples)."""

RESPONSE_LAG_SAMPLES = 14
"""How much later than its pulse the energy of a response lies (measured as for `synth.engines.lpc`)."""

FLOOR = 1e-10
"""Power added to every bin, far below the last bit, so that silence has a logarithm."""


class CepstralVocoder:
    """Analysis and resynthesis by homomorphic filtering."""

    name = "cepstral"
    makes_twins = True
    languages: tuple[str, ...] = ()

    def version(self) -> str:
        """Return the settings; the engine needs nothing but NumPy."""
        return f"numpy cepstral 1, {QUEFRENCIES} quefrencies, {FRAME_SAMPLES}/{HOP_SAMPLES}"

    def render(
        self, samples: Samples | None, *, text: str = "", language: str = "", rng: np.random.Generator
    ) -> Samples:
        """Resynthesise `samples`, with noise drawn from `rng`."""
        given = source_of(samples, self.name)
        frames = framed(given)
        response = np.exp(np.fft.rfft(_causal_cepstra(frames), RESPONSE_SAMPLES))
        # What smoothing a logarithm does to the level is undone: each frame keeps its power.
        power = np.mean(np.square(frames), axis=1) * FRAME_SAMPLES / np.sum(np.square(window()))
        gain = np.sqrt(power / np.mean(np.abs(response) ** 2, axis=1))
        excited = driven(autocorrelation(frames), rng)
        return joined(filtered(excited, response * gain[:, None]), given.size, lag=RESPONSE_LAG_SAMPLES)


def _causal_cepstra(frames: Frames) -> Frames:
    """Return the cepstra (frames, QUEFRENCIES) of filters that have minimum phase and the frames' magnitudes.

    Folding the second half of a cepstrum onto the first does that (Oppenheim and Schafer).
    """
    logarithm = 0.5 * np.log(np.abs(np.fft.rfft(frames, 2 * FRAME_SAMPLES)) ** 2 + FLOOR)
    kept = np.fft.irfft(logarithm)[:, :QUEFRENCIES]
    return kept * np.where(np.arange(QUEFRENCIES) == 0, 1.0, 2.0)


ENGINE = CepstralVocoder()
