"""Hand-made features: what phonetics and music information retrieval measure, every 20 ms, and its statistics.

    window -> contours, one value every 20 ms -> mean and deviation over 0.3 s around each frame    frames (n, d)
                                              -> mean and deviation over the whole window           clip (d,)

Frames and clip have the same features under the same names, so that one table (docs/classical.md) tells of both.
Contours are computed on 64 ms under a Hann window, centred on the frame as those of `model.features` are, with silence
around the window. The window is scaled to unit peak first: level says nothing. What only voiced sounds have (pitch,
formants) is counted where there are such, and is 0 where there are none.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from audio.segments import SAMPLE_RATE, n_frames
from model.features import FRAME_HOP_SAMPLES, FeatureConfig, mel_power

N_FFT = 1_024
"""Samples of the analysis window: 64 ms, three periods of a pitch of 50 Hz."""

N_MELS, N_MFCC = 64, 20

DELTA_FRAMES = 9
"""Frames that a slope is fitted to (librosa's default)."""

REACH = 7
"""Frames on either side that the statistics of a frame take in: 0.3 s in all, a syllable or two."""

ROLLOFF = 0.85
"""Share of the magnitude below the roll-off (librosa's default)."""

CONTRAST_HZ = (0, 200, 400, 800, 1_600, 3_200, 6_400)
"""Octave bands of the spectral contrast (Jiang et al., ICME 2002); the last one reaches to 8 kHz."""

CONTRAST_SHARE = 0.02
"""Share of a band's bins that are its peak, and its valley (librosa's default)."""

PITCH_HZ = (60.0, 400.0)
VOICED = 0.45
"""Normalised autocorrelation from which on a frame is voiced (Praat's voicing threshold)."""

SILENT = 0.03
"""Peak of a frame, relative to the window's, below which it is not (Praat's silence threshold)."""

OCTAVE_COST = 0.01
"""How much an octave less is held against a candidate for the pitch (Praat)."""

FORMANT_CEILING_HZ = 5_000
FORMANT_ORDER = 10
"""Poles of linear prediction up to the ceiling: five formants, as Praat has for adult voices."""

FORMANT_HZ = (90.0, 4_900.0)
MAX_BANDWIDTH_HZ = 700.0
"""Poles that may be formants; wider ones shape the spectrum as a whole."""

N_FORMANTS = 3

FLOOR = 1e-10
TOP_DB = 80.0
"""Least power, and how far below the greatest of the window levels go (librosa's defaults)."""

Numbers = NDArray[np.float64]


class Group(NamedTuple):
    """Contours that belong together, for the table of the documentation."""

    name: str
    size: int
    unit: str
    what: str
    source: str


GROUPS = (
    Group("mfcc", N_MFCC, "dB", "mel-frequency cepstral coefficients of 64 bands", "Davis & Mermelstein 1980"),
    Group("mfcc_delta", N_MFCC, "dB per frame", "their slope over 9 frames", "Furui 1986; Savitzky & Golay 1964"),
    Group("mfcc_delta2", N_MFCC, "dB per frame²", "their curvature over 9 frames", "Furui 1986"),
    Group("chroma", 12, "1", "power of each pitch class, C first, the strongest being 1", "Ellis 2007"),
    Group("zero_crossings", 1, "1", "share of samples at which the sign changes", "Rabiner & Schafer 1978"),
    Group("energy", 1, "dB", "mean power, full scale being the window's peak", "Rabiner & Schafer 1978"),
    Group("rms", 1, "1", "root mean square", "Rabiner & Schafer 1978"),
    Group("centroid", 1, "Hz", "mean frequency, weighted by magnitude", "Peeters 2004"),
    Group("bandwidth", 1, "Hz", "deviation of the frequency, weighted by magnitude", "Peeters 2004"),
    Group("rolloff", 1, "Hz", "frequency below which 85 % of the magnitude lies", "Scheirer & Slaney 1997"),
    Group("flatness", 1, "1", "geometric over arithmetic mean of the power", "Johnston 1988"),
    Group("flux", 1, "1", "what magnitudes of unit sum gain since the frame before", "Scheirer & Slaney 1997"),
    Group("contrast", len(CONTRAST_HZ) - 1, "dB", "peak over valley of octave bands from 200 Hz", "Jiang et al. 2002"),
)
"""Contours that every frame has."""

VOICED_GROUPS = (
    Group("pitch", 1, "Hz", "fundamental frequency by autocorrelation, 60 to 400 Hz", "Boersma 1993"),
    Group("harmonicity", 1, "dB", "harmonics over noise", "Boersma 1993"),
    Group("formant", N_FORMANTS, "Hz", "resonances below 5 kHz, by linear prediction", "Makhoul 1975"),
    Group("formant_bandwidth", N_FORMANTS, "Hz", "their widths, 3 dB below the peak", "Makhoul 1975"),
)
"""Contours that only voiced frames have; what is not there does not count."""

VOICE_GROUPS = (
    Group("voiced_share", 1, "1", "share of voiced frames", "Boersma 1993"),
    Group("jitter", 1, "1", "mean change of the period from frame to frame over its mean", "after Lieberman 1963"),
    Group("shimmer", 1, "1", "mean change of the RMS from frame to frame over its mean", "after Koike 1969"),
)
"""Statistics themselves, over voiced frames. From frame to frame, not from period to period as in a clinic."""


def _columns(groups: tuple[Group, ...]) -> Iterator[str]:
    for group in groups:
        yield from (group.name,) if group.size == 1 else (f"{group.name}_{i + 1}" for i in range(group.size))


NAMES: tuple[str, ...] = (
    *(f"{name}_{what}" for what in ("mean", "std") for name in _columns((*GROUPS, *VOICED_GROUPS))),
    *_columns(VOICE_GROUPS),
)
"""The features, in order: statistics of contours, then those of the voice."""


class Described(NamedTuple):
    """A window in numbers."""

    frames: NDArray[np.float32]
    """(n_frames, n_features)"""
    clip: NDArray[np.float32]
    """(n_features,)"""


def describe(samples: NDArray[np.floating[Any]]) -> Described:
    """Compute the hand-made features of one window.

    Parameters
    ----------
    samples
        float array (n_samples,), mono at 16 kHz, finite, of any length from 1.

    Returns
    -------
    float32 (n_frames, len(NAMES)) and float32 (len(NAMES),), finite; units as in `GROUPS`.
    """
    steady, voiced, periods, amplitudes = _contours(samples)
    n = len(steady)
    first, last = np.maximum(np.arange(n) - REACH, 0), np.minimum(np.arange(n) + REACH + 1, n)
    both = (np.append(first, 0), np.append(last, n))
    moments = [_moments(steady, np.ones_like(steady, dtype=bool), *both), _moments(voiced, ~np.isnan(voiced), *both)]
    means, deviations = (np.concatenate(each, axis=1) for each in zip(*moments, strict=True))
    voice = [_mean(~np.isnan(periods), *both), _unsteadiness(periods, *both), _unsteadiness(amplitudes, *both)]
    rows = np.concatenate([means, deviations, np.stack(voice, axis=1)], axis=1).astype(np.float32)
    return Described(rows[:-1], rows[-1])


def _contours(samples: NDArray[np.floating[Any]]) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Return the contours of `GROUPS`; those of `VOICED_GROUPS`, the period and the RMS, NaN where there are none."""
    peak = float(np.max(np.abs(samples), initial=0.0))
    scaled = np.asarray(samples, dtype=np.float64) / peak if peak > 0.0 else np.zeros(len(samples))
    frames = framed(scaled)
    power = np.square(np.abs(np.fft.rfft(frames * _hann(), axis=1)))
    mfcc = cepstrum(scaled)
    rms = np.sqrt(np.mean(frames**2, axis=1))
    steady = np.concatenate(
        [mfcc, *slopes(mfcc), chroma(power), zero_crossings(frames), _decibels(rms**2)[:, None], rms[:, None],
         spectral_shape(power), contrast(power)], axis=1,
    )  # fmt: skip
    period, strength = pitch_periods(frames)
    is_voiced = ~np.isnan(period)
    voiced = np.full((len(frames), 2 + 2 * N_FORMANTS), np.nan)
    voiced[:, 0] = SAMPLE_RATE / period
    voiced[:, 1] = 10.0 * np.log10(strength / (1.0 - strength))
    voiced[is_voiced, 2:] = formants(power[is_voiced])
    return steady, voiced, period, np.where(is_voiced, rms, np.nan)


def framed(samples: Numbers) -> Numbers:
    """Cut a window into frames of `N_FFT` samples, centred as those of `model.features`: float64 (n_frames, N_FFT)."""
    n, before = n_frames(len(samples), FRAME_HOP_SAMPLES), (N_FFT - FRAME_HOP_SAMPLES) // 2
    padded = np.zeros(max(n * FRAME_HOP_SAMPLES + N_FFT, before + len(samples)))
    padded[before : before + len(samples)] = samples
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::FRAME_HOP_SAMPLES][:n])


@lru_cache(maxsize=1)
def _hann() -> Numbers:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)


def _decibels(power: Numbers) -> Numbers:
    """Levels of powers, no lower than `TOP_DB` below the greatest of them all."""
    levels = 10.0 * np.log10(np.maximum(power, FLOOR))
    return np.asarray(np.maximum(levels, levels.max(initial=-np.inf) - TOP_DB))


def cepstrum(samples: Numbers) -> Numbers:
    """Mel-frequency cepstral coefficients, float64 (n_frames, N_MFCC), in dB: the cosine transform of mel levels."""
    from scipy.fft import dct

    levels = _decibels(mel_power(samples, FeatureConfig(n_fft=N_FFT, n_mels=N_MELS)).astype(np.float64))
    return np.asarray(dct(levels, type=2, norm="ortho", axis=1)[:, :N_MFCC])


def slopes(contours: Numbers) -> tuple[Numbers, Numbers]:
    """First and second derivative of contours (n_frames, n), by polynomials over `DELTA_FRAMES`, ends prolonged."""
    from scipy.signal import savgol_filter

    first, second = (
        savgol_filter(contours, DELTA_FRAMES, polyorder=order, deriv=order, axis=0, mode="nearest") for order in (1, 2)
    )
    return first, second


def chroma(power: Numbers) -> Numbers:
    """Pitch classes of power spectra (n, bins), C first: float64 (n, 12), the strongest being 1, 0 for silence."""
    classes = np.einsum("nb,bc->nc", power, _chroma_filters())  # a product of this size would wake all cores
    strongest = classes.max(axis=1, keepdims=True)
    return np.asarray(np.where(strongest > FLOOR, classes / np.maximum(strongest, FLOOR), 0.0))


@lru_cache(maxsize=1)
def _chroma_filters() -> Numbers:
    """Weights of bins in pitch classes (bins, 12): a bell over the semitones that a bin spans, and one of two octaves
    around 440 Hz (Ellis, "Chroma feature analysis and synthesis", 2007)."""
    hz = np.arange(1, N_FFT) * SAMPLE_RATE / N_FFT
    semitones = 12.0 * np.log2(hz / 27.5)  # above the lowest A of a piano
    semitones = np.append(semitones[0] - 18.0, semitones)  # there is no logarithm of 0 Hz: an octave and a half lower
    widths = np.append(np.maximum(np.diff(semitones), 1.0), 1.0)
    away = (semitones[:, None] - np.arange(12) + 6.0) % 12.0 - 6.0
    bells = np.exp(-2.0 * (away / widths[:, None]) ** 2)
    bells /= np.linalg.norm(bells, axis=1, keepdims=True)
    octave = np.exp(-0.5 * ((semitones / 12.0 - 5.0) / 2.0) ** 2)
    return np.roll(bells * octave[:, None], -3, axis=1)[: N_FFT // 2 + 1]  # from A first to C first


def zero_crossings(frames: Numbers) -> Numbers:
    """Share of the samples of frames (n, N_FFT) at which the sign changes, float64 (n, 1)."""
    signs = np.signbit(np.where(np.abs(frames) <= FLOOR, 0.0, frames))
    return np.count_nonzero(signs[:, 1:] != signs[:, :-1], axis=1)[:, None] / frames.shape[1]


def spectral_shape(power: Numbers) -> Numbers:
    """Centroid, bandwidth, roll-off in Hz, flatness and flux of power spectra (n, bins): float64 (n, 5)."""
    hz = np.linspace(0.0, SAMPLE_RATE / 2, power.shape[1])
    magnitude = np.sqrt(power)
    total = magnitude.sum(axis=1, keepdims=True)
    share = magnitude / np.maximum(total, FLOOR)
    centroid = share @ hz
    bandwidth = np.sqrt(np.maximum((share * (hz - centroid[:, None]) ** 2).sum(axis=1), 0.0))
    summed = np.cumsum(magnitude, axis=1)
    rolloff = hz[np.argmax(summed >= ROLLOFF * summed[:, -1:], axis=1)]
    floored = np.maximum(power, FLOOR)
    flatness = np.exp(np.log(floored).mean(axis=1)) / floored.mean(axis=1)
    flux = np.maximum(np.diff(share, axis=0, prepend=share[:1]), 0.0).sum(axis=1)
    return np.stack([centroid, bandwidth, rolloff, flatness, flux], axis=1)


def contrast(power: Numbers) -> Numbers:
    """How far peaks stand over valleys in octave bands of power spectra (n, bins), in dB: float64 (n, bands)."""
    magnitude = np.sqrt(power)
    peaks, valleys = (np.empty((len(power), len(CONTRAST_HZ) - 1)) for _ in range(2))
    for band, (bins, n_extreme) in enumerate(_contrast_bands(power.shape[1])):
        inside = np.sort(magnitude[:, bins], axis=1)
        peaks[:, band], valleys[:, band] = inside[:, -n_extreme:].mean(axis=1), inside[:, :n_extreme].mean(axis=1)
    return _decibels(peaks) - _decibels(valleys)


@lru_cache(maxsize=1)
def _contrast_bands(n_bins: int) -> tuple[tuple[slice, int], ...]:
    """The bins of each band, and how many of them are extreme; neighbours meet in a bin, as librosa's do."""
    hz = np.linspace(0.0, SAMPLE_RATE / 2, n_bins)
    bands, last_band = [], len(CONTRAST_HZ) - 2
    for band, (low_hz, high_hz) in enumerate(pairwise(CONTRAST_HZ)):
        inside = np.flatnonzero((hz >= low_hz) & (hz <= high_hz))
        first = inside[0] - (band > 0)
        stop = n_bins if band == last_band else inside[-1] + 1
        n_extreme = max(1, round(CONTRAST_SHARE * (stop - first)))
        bands.append((slice(int(first), int(stop - (band < last_band))), n_extreme))
    return tuple(bands)


def pitch_periods(frames: Numbers) -> tuple[Numbers, Numbers]:
    """Find the period of frames (n, N_FFT) by their autocorrelation, corrected for the window (Boersma 1993).

    Returns
    -------
    periods in samples, float64 (n,), NaN where a frame is not voiced; and the strength of the best one, in (0, 1)
    """
    shortest, longest = SAMPLE_RATE / PITCH_HZ[1], SAMPLE_RATE / PITCH_HZ[0]
    lags = np.arange(int(shortest), int(longest) + 2)
    found = _autocorrelation((frames - frames.mean(axis=1, keepdims=True)) * _hann())[:, : lags[-1] + 2]
    window = _autocorrelation(_hann()[None])[0, : lags[-1] + 2]
    ratios = found / np.maximum(found[:, :1], FLOOR) / (window / window[0])
    middle, left, right = ratios[:, lags], ratios[:, lags - 1], ratios[:, lags + 1]
    is_peak = (middle > left) & (middle >= right)
    merit = np.where(is_peak, middle - OCTAVE_COST * np.log2(lags / shortest), -np.inf)
    rows, best = np.arange(len(frames)), merit.argmax(axis=1)
    middle, left, right = middle[rows, best], left[rows, best], right[rows, best]
    bend = np.where(is_peak[rows, best], left - 2 * middle + right, -1.0)
    shift = np.clip(0.5 * (left - right) / bend, -0.5, 0.5)  # the top of the parabola through three points
    strength = np.clip(middle - 0.25 * (left - right) * shift, 1e-3, 1.0 - 1e-3)
    loud = np.abs(frames).max(axis=1) >= SILENT
    return np.where(is_peak[rows, best] & (strength >= VOICED) & loud, lags[best] + shift, np.nan), strength


def _autocorrelation(frames: Numbers) -> Numbers:
    spectrum = np.fft.rfft(frames, 2 * frames.shape[1], axis=1)
    return np.asarray(np.fft.irfft(spectrum.real**2 + spectrum.imag**2, axis=1)[:, : frames.shape[1]])


def formants(power: Numbers) -> Numbers:
    """Find resonances in power spectra (n, bins): float64 (n, 2 * N_FORMANTS), frequencies then bandwidths in Hz.

    Linear prediction of the spectrum up to `FORMANT_CEILING_HZ` alone (selective linear prediction: Makhoul 1975),
    which needs no resampling, after pre-emphasis by 6 dB an octave. NaN where there are fewer.
    """
    top = FORMANT_CEILING_HZ * N_FFT // SAMPLE_RATE
    emphasis = 1.0 + 0.97**2 - 2 * 0.97 * np.cos(2 * np.pi * np.arange(top + 1) / N_FFT)
    correlation = np.fft.irfft(power[:, : top + 1] * emphasis, axis=1)[:, : FORMANT_ORDER + 1]
    companions = np.zeros((len(power), FORMANT_ORDER, FORMANT_ORDER))
    companions[:, 0] = -_predictors(correlation)
    companions[:, range(1, FORMANT_ORDER), range(FORMANT_ORDER - 1)] = 1.0
    poles = np.linalg.eigvals(companions)
    hz = np.angle(poles) * FORMANT_CEILING_HZ / np.pi
    widths_hz = -np.log(np.maximum(np.abs(poles), FLOOR)) * 2 * FORMANT_CEILING_HZ / np.pi
    is_formant = (hz > FORMANT_HZ[0]) & (hz < FORMANT_HZ[1]) & (widths_hz < MAX_BANDWIDTH_HZ)
    hz, widths_hz = (np.where(is_formant, each, np.nan) for each in (hz, widths_hz))
    order = np.argsort(hz, axis=1)[:, :N_FORMANTS]  # NaN comes last
    return np.concatenate([np.take_along_axis(each, order, axis=1) for each in (hz, widths_hz)], axis=1)


def _predictors(correlation: Numbers) -> Numbers:
    """Levinson and Durbin's recursion on many frames: (n, order + 1) autocorrelations to (n, order) coefficients."""
    n, order = len(correlation), correlation.shape[1] - 1
    coefficients = np.zeros((n, order))
    error = np.maximum(correlation[:, 0], FLOOR) * (1.0 + 1e-9)  # a pure tone leaves none
    for i in range(order):
        known = coefficients[:, :i]
        reflection = -(correlation[:, i + 1] + (known * correlation[:, i:0:-1]).sum(axis=1)) / error
        coefficients[:, :i] = known + reflection[:, None] * known[:, ::-1]
        coefficients[:, i] = reflection
        error = np.maximum(error * (1.0 - reflection**2), FLOOR * 1e-6)
    return coefficients


def _moments(
    contours: Numbers, counted: NDArray[np.bool_], first: NDArray[np.int64], last: NDArray[np.int64]
) -> tuple[Numbers, Numbers]:
    """Mean and deviation of contours (n, k) over frames `[first, last)`, where counted: (m, k) each, 0 for none."""
    values = np.where(counted, contours, 0.0)
    centre = values.sum(axis=0) / np.maximum(np.count_nonzero(counted, axis=0), 1)
    values = np.where(counted, contours - centre, 0.0)  # small numbers, so that sums of squares lose nothing
    number = np.maximum(_sums(counted.astype(np.float64), first, last), 1.0)
    mean = _sums(values, first, last) / number
    variance = np.maximum(_sums(values**2, first, last) / number - mean**2, 0.0)
    any_counted = _sums(counted.astype(np.float64), first, last) > 0
    return np.where(any_counted, mean + centre, 0.0), np.sqrt(variance)


def _sums(values: Numbers, first: NDArray[np.int64], last: NDArray[np.int64]) -> Numbers:
    """Sums of values (n, k) over frames `[first, last)`: (m, k)."""
    summed = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    return np.asarray(summed[last] - summed[first])


def _mean(values: NDArray[Any], first: NDArray[np.int64], last: NDArray[np.int64]) -> Numbers:
    return _sums(values[:, None].astype(np.float64), first, last)[:, 0] / np.maximum(last - first, 1)


def _unsteadiness(contour: Numbers, first: NDArray[np.int64], last: NDArray[np.int64]) -> Numbers:
    """Mean change of a contour (n,) between neighbours over its mean, over frames `[first, last)`: (m,), else 0."""
    changes = np.abs(np.diff(contour, prepend=np.nan))
    pairs = np.stack([changes, contour], axis=1)
    change, level = _moments(pairs, ~np.isnan(pairs), first, last)[0].T
    return np.asarray(np.where(level > 0, change / np.maximum(level, FLOOR), 0.0))
