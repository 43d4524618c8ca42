"""Coarse magnitudes with half of the true phase: what neural vocoders and codecs leave of speech, without a network.

Their waveforms follow the voice closely at low frequencies, where phase is heard, and fill the upper bands with
something of the right loudness. Here a mel filter bank blurs the magnitudes, and each phase is moved at random, by more
the higher its frequency; a few rounds of Griffin and Lim (IEEE TASSP 32, 1984) then bring the two together. Window,
bands and blur are drawn anew for every recording, so that this is many generators and not one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from audio.segments import SAMPLE_RATE
from synth.engines import source_of
from synth.engines.griffin_lim import librosa_version
from synth.pcm import Samples, fitted

FFT_SAMPLES = (512, 1_024, 2_048)
"""Windows that are drawn, 32 to 128 ms; they overlap by three quarters."""

N_MELS = (40, 64, 80, 100)
"""Numbers of mel bands that are drawn: what acoustic models predict lies among them."""

MOST_ROUNDS = 4
"""Rounds of phase estimation, drawn from 1 on: more would find a phase of their own."""

PHASE_NOISE = (0.5, np.pi)
"""Range of the standard deviation of the phase noise at 8 kHz, in radians: from rough to random."""

PHASE_POWER = (0.5, 2.0)
"""Range of the power with which that noise grows with frequency, from 0 at 0 Hz."""


class MelPhase:
    """Resynthesis from blurred magnitudes and blurred phases."""

    name = "mel-phase"
    makes_twins = True
    languages: tuple[str, ...] = ()

    def version(self) -> str:
        """Return the version of librosa and the settings; raise `EngineError` when it is not installed."""
        return f"{librosa_version(self.name)}, mel-phase 1"

    def render(
        self, samples: Samples | None, *, text: str = "", language: str = "", rng: np.random.Generator
    ) -> Samples:
        """Resynthesise `samples` with a window, bands and blur drawn from `rng`."""
        import librosa

        given = source_of(samples, self.name)
        n_fft = int(rng.choice(FFT_SAMPLES))
        shape: dict[str, Any] = {"n_fft": n_fft, "hop_length": n_fft // 4}
        padded = fitted(given, max(given.size, n_fft))
        spectrum = librosa.stft(padded, **shape)
        to_mels, from_mels = _mel_pair(n_fft, int(rng.choice(N_MELS)))
        magnitude = np.maximum(from_mels @ (to_mels @ np.abs(spectrum)), 0.0)
        rebuilt = magnitude * np.exp(1j * (np.angle(spectrum) + _phase_noise(spectrum.shape, rng)))
        for _ in range(int(rng.integers(1, MOST_ROUNDS + 1))):
            heard = librosa.stft(librosa.istft(rebuilt, length=padded.size, **shape), **shape)
            rebuilt = magnitude * np.exp(1j * np.angle(heard))
        return fitted(librosa.istft(rebuilt, length=padded.size, **shape), given.size)


def _phase_noise(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Draw phases (bins, frames) in radians, wider the higher the bin."""
    widths = rng.uniform(*PHASE_NOISE) * np.linspace(0.0, 1.0, shape[0]) ** rng.uniform(*PHASE_POWER)
    return (widths[:, None] * rng.standard_normal(shape)).astype(np.float32)


@lru_cache(maxsize=len(FFT_SAMPLES) * len(N_MELS))
def _mel_pair(n_fft: int, n_mels: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return a filter bank (mels, bins) and its pseudo-inverse (bins, mels)."""
    import librosa

    to_mels = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=n_fft, n_mels=n_mels)
    return to_mels, np.linalg.pinv(to_mels).astype(np.float32)


ENGINE = MelPhase()
