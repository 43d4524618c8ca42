"""Griffin-Lim from linear magnitudes, sharpened, as Tacotron rendered them.

Wang et al., "Tacotron: Towards end-to-end speech synthesis", Interspeech 2017: frames of 50 ms every 12.5 ms,
magnitudes to the power of 1.2, then Griffin and Lim's rounds. Unlike `synth.engines.griffin_lim`, no mel bands.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from synth.engines import source_of
from synth.engines.griffin_lim import librosa_version
from synth.pcm import Samples, fitted

FFT_SAMPLES = 1_024
"""Length of the transform; the paper's 2,048 are for 24 kHz."""

WINDOW_SAMPLES = 800
"""Length of a window, 50 ms."""

HOP_SAMPLES = 200
"""Step between windows, 12.5 ms."""

SHARPENING = 1.2
"""Power of the magnitudes, which quietens what lies between the harmonics."""

ITERATIONS = 30
"""Rounds of phase estimation, without momentum; the paper found about 30 enough."""


class GriffinLimLinear:
    """Resynthesis from magnitudes alone."""

    name = "griffin-lim-linear"
    makes_twins = True
    languages: tuple[str, ...] = ()

    def version(self) -> str:
        """Return the version of librosa and the settings; raise `EngineError` when it is not installed."""
        settings = f"{WINDOW_SAMPLES}/{HOP_SAMPLES}, power {SHARPENING:g}, {ITERATIONS} rounds"
        return f"{librosa_version(self.name)}, linear 1, {settings}"

    def render(
        self, samples: Samples | None, *, text: str = "", language: str = "", rng: np.random.Generator
    ) -> Samples:
        """Resynthesise `samples`, starting from phases drawn from `rng`."""
        import librosa

        given = source_of(samples, self.name)
        padded = fitted(given, max(given.size, FFT_SAMPLES))
        shape: dict[str, Any] = {"n_fft": FFT_SAMPLES, "hop_length": HOP_SAMPLES, "win_length": WINDOW_SAMPLES}
        magnitude = np.abs(librosa.stft(padded, **shape))
        loudest = magnitude.max() or 1.0
        rendered = librosa.griffinlim(
            loudest * (magnitude / loudest) ** SHARPENING,
            n_iter=ITERATIONS,
            momentum=0.0,
            length=padded.size,
            random_state=int(rng.integers(2**31)),
            **shape,
        )
        return fitted(rendered, given.size)


ENGINE = GriffinLimLinear()
