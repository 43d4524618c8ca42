"""Speech-like recordings made on the spot, and how far one recording lies behind another."""

from __future__ import annotations

import numpy as np
import scipy.signal

from audio.reading import SAMPLE_RATE
from synth.pcm import Samples


def babble(seed: int, *, seconds: float, pitch_hz: float = 120.0) -> Samples:
    """Return syllables of 0.2 s, pulses through three resonances, and a pause after every fifth."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = np.cumsum(pitch_hz * (1 + 0.1 * np.sin(2 * np.pi * 1.3 * time_s + seed))) / SAMPLE_RATE
    voice = np.diff(np.floor(phase), prepend=0.0) + 0.02 * rng.standard_normal(time_s.size)
    for formant_hz in (500 + 40 * (seed % 7), 1_400 + 50 * (seed % 5), 2_600):
        angle, radius = 2 * np.pi * formant_hz / SAMPLE_RATE, 0.97
        voice = scipy.signal.lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], voice)
    syllables = np.abs(np.sin(np.pi * time_s / 0.2)) * (np.floor(time_s / 0.2) % 6 != 5)
    loud = voice * syllables * (0.6 + 0.4 * np.sin(2 * np.pi * 0.7 * time_s + seed))
    return (0.25 * loud / np.abs(loud).max() + 0.0005 * rng.standard_normal(loud.size)).astype(np.float32)


def lag_samples(earlier: np.ndarray, later: np.ndarray, *, within: int = 2_000) -> int:
    """Return by how many samples `later` lies behind `earlier`: the best of all shifts up to `within`."""
    size = 1 << (earlier.size + later.size).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(later, size) * np.conj(np.fft.rfft(earlier, size)), size)
    shifts = np.arange(-within, within + 1)
    return int(shifts[np.argmax(correlation[shifts])])


def envelope(samples: np.ndarray) -> np.ndarray:
    """Return the amplitude over 40 ms, without its mean: several periods, so that their phases do not matter."""
    smooth = np.convolve(np.abs(samples), np.hanning(640) / 320, mode="same")
    return smooth - smooth.mean()
