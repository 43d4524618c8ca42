"""What a voice is like, as far as its samples tell: for breaking figures down by pitch.

An estimate for sorting clips into bands, not for judging them. That of the noise is in `audio.levels`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audio.levels import SILENCE_POWER
from audio.segments import SAMPLE_RATE

Numbers = npt.NDArray[np.float64]

F0_HZ = (60.0, 500.0)
"""Range in which a fundamental frequency is looked for: low men's voices to high children's."""

F0_WINDOW_SAMPLES = 800
"""Length of the windows in which it is looked for: 50 ms, three periods of the lowest."""

VOICED = 0.45
"""Least normalised autocorrelation of a voiced window (Boersma, "Accurate short-term analysis of the fundamental
frequency and the harmonics-to-noise ratio of a sampled sound", 1993: Praat's default voicing threshold)."""

OCTAVE_COST = 0.01
"""What a lag costs for each octave it is longer, so that a period wins over its double (Boersma 1993)."""

LOUD_DB = 20.0
"""Windows further than this below the loudest are not asked: they are no vowels."""

MIN_VOICED_WINDOWS = 5
"""With fewer of them, a quarter of a second, there is no pitch to speak of."""

MOST_WINDOWS = 600
"""Windows of a long recording that are asked, evenly spread: half a minute says enough about a voice."""


def pitch_hz(samples: npt.NDArray[np.floating]) -> float | None:
    """Estimate the median fundamental frequency of the voiced windows by autocorrelation (Boersma 1993).

    Parameters
    ----------
    samples
        float (n,) at 16 kHz.

    Returns
    -------
    Hz; None where hardly anything is voiced.
    """
    windows = _loud_windows(samples)
    if not len(windows):
        return None
    lags, heights = _peaks(_autocorrelation(windows))
    best = np.argmax(heights - OCTAVE_COST * np.log2(lags), axis=1)[:, None]
    voiced = np.take_along_axis(heights, best, axis=1) >= VOICED
    if np.count_nonzero(voiced) < MIN_VOICED_WINDOWS:
        return None
    return float(SAMPLE_RATE / np.median(np.take_along_axis(lags, best, axis=1)[voiced]))


def _peaks(similarity: Numbers) -> tuple[Numbers, Numbers]:
    """Return where the peaks of autocorrelations are, and how high, both float64 (n, n_lags); -inf beside peaks.

    The shoulder of rumble or hum is high at the shortest lag and no peak. Peaks are found between the lags with
    parabolas, as Boersma does: a period that falls between two lags would otherwise lose to its double that does not.
    """
    lags = np.arange(int(SAMPLE_RATE / F0_HZ[1]), int(SAMPLE_RATE / F0_HZ[0]) + 1)
    before, here, after = (similarity[:, lags + step] for step in (-1, 0, 1))
    is_peak = (here > before) & (here >= after)
    bend = np.where(is_peak, before - 2.0 * here + after, -1.0)
    shift = (before - after) / (2.0 * bend)
    heights = np.where(is_peak, here - (before - after) * shift / 4.0, -np.inf)
    return np.asarray(lags + np.where(is_peak, shift, 0.0), dtype=np.float64), heights


def _loud_windows(samples: npt.NDArray[np.floating]) -> Numbers:
    """Cut windows without overlap, float64 (n, F0_WINDOW_SAMPLES), zero-mean, and keep the loud ones."""
    count = samples.size // F0_WINDOW_SAMPLES
    windows = np.asarray(samples[: count * F0_WINDOW_SAMPLES]).reshape(count, F0_WINDOW_SAMPLES)
    windows = windows[:: -(-count // MOST_WINDOWS) or 1].astype(np.float64)
    windows -= windows.mean(axis=1, keepdims=True)
    power = np.square(windows).mean(axis=1)
    return windows[power > max(power.max(initial=0.0) * 10.0 ** (-LOUD_DB / 10.0), SILENCE_POWER)]


def _autocorrelation(windows: Numbers) -> Numbers:
    """Normalised autocorrelation, float64 of the same shape: that of the tapered windows over that of the taper."""
    taper = np.hanning(F0_WINDOW_SAMPLES)

    def correlate(rows: Numbers) -> Numbers:
        power = np.square(np.abs(np.fft.rfft(rows, 2 * F0_WINDOW_SAMPLES)))
        found = np.fft.irfft(power)[..., :F0_WINDOW_SAMPLES]
        return found / found[..., :1]

    own = correlate(taper)
    return correlate(windows * taper) / np.maximum(own, 1e-3)
