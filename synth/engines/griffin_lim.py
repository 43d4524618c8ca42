"""Griffin-Lim: a mel spectrogram keeps no phase, so phases are invented until they agree with each other.

Griffin and Lim, "Signal estimation from modified short-time Fourier transform", IEEE TASSP 32 (1984), with
the momentum of Perraudin, Balazs and Sondergaard (2013), through librosa. The magnitudes first pass a mel
filter bank and back, as they do where an acoustic model predicts mel frames (Tacotron and its like).
"""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata

import numpy as np
import numpy.typing as npt

from audio.errors import EngineError
from audio.segments import SAMPLE_RATE
from synth.engines import source_of
from synth.pcm import Samples, fitted

FFT_SAMPLES = 1_024
"""Length of a window, 64 ms."""

HOP_SAMPLES = 256
"""Step between windows, 16 ms."""

N_MELS = 80
"""Mel bands, as in most acoustic models."""

ITERATIONS = 16
"""Rounds of phase estimation. The error falls fast at first; 32 rounds sound alike and cost twice as much."""


class GriffinLim:
    """Resynthesis from mel magnitudes alone."""

    name = "griffin-lim"
    makes_twins = True
    languages: tuple[str, ...] = ()

    def version(self) -> str:
        """Return the version of librosa and the settings; raise `EngineError` when it is not installed."""
        return f"{librosa_version(self.name)}, {FFT_SAMPLES}/{HOP_SAMPLES}, {N_MELS} mels, {ITERATIONS} rounds"

    def render(
        self, samples: Samples | None, *, text: str = "", language: str = "", rng: np.random.Generator
    ) -> Samples:
        """Resynthesise `samples`, starting from phases drawn from `rng`."""
        import librosa

        given = source_of(samples, self.name)
        padded = fitted(given, max(given.size, FFT_SAMPLES))
        magnitude = np.abs(librosa.stft(padded, n_fft=FFT_SAMPLES, hop_length=HOP_SAMPLES))
        rendered = librosa.griffinlim(
            through_mels(magnitude),
            n_iter=ITERATIONS,
            hop_length=HOP_SAMPLES,
            n_fft=FFT_SAMPLES,
            length=padded.size,
            random_state=int(rng.integers(2**31)),
        )
        return fitted(rendered, given.size)


def librosa_version(name: str) -> str:
    """Return the version of librosa; raise `EngineError` in an engine's `name` when it is not installed."""
    try:
        return f"librosa {metadata.version('librosa')}"
    except metadata.PackageNotFoundError:
        raise EngineError(f"{name}: librosa is not installed: pip install librosa") from None


def through_mels(magnitude: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Take magnitudes (bins, frames) to `N_MELS` bands and back by least squares, cut off at 0."""
    to_mels, from_mels = _mel_pair()
    restored = np.maximum(from_mels @ (to_mels @ magnitude), 0.0)
    return np.asarray(restored, dtype=np.float32)


@lru_cache(maxsize=1)
def _mel_pair() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the filter bank (mels, bins) and its pseudo-inverse (bins, mels)."""
    import librosa

    to_mels = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=FFT_SAMPLES, n_mels=N_MELS)
    return to_mels, np.linalg.pinv(to_mels).astype(np.float32)


ENGINE = GriffinLim()
