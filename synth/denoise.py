"""Taking stationary noise out of a recording: by a spectral gate, by spectral subtraction, by wavelet shrinkage.

All three scale what is there and leave its phase and its place alone, keep the length, and learn the noise from
the quietest tenth of the recording itself. All three leave marks (muted bands, musical noise, dulled
consonants), by which a cleaned recording can be told from an untouched one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audio.segments import SAMPLE_RATE
from synth.pcm import Samples

LEAST_SAMPLES = 10_240
"""Less than 0.64 s, ten frames of the gate, teaches nothing about noise and is returned as it is."""

QUIET_SHARE = 0.1
"""Share of the frames that noise is learnt from, the quietest: speech pauses at least that often. Learnt from
all frames, which is noisereduce's default, the gate takes 17 dB off a recording with an SNR of 20 dB."""

GATE_FFT = 1_024
"""Frame of the gate, 64 ms: noisereduce's default."""

GATE_SMOOTH_MS = 32
"""How far a gate opens early and closes late. Its default smoothing, 500 Hz and 50 ms, is wider than a harmonic
and cuts into the voice: 9 dB worse at an SNR of 20 dB."""

LEFT = 0.1
"""What a closed gate lets through and a subtraction leaves at least, -20 dB: a residue hides musical noise
(Berouti, Schwartz and Makhoul 1979)."""

FRAME_SAMPLES = 512
"""Frame of the subtraction, 32 ms; Boll (1979) has 25.6 ms."""

FRAME_HOP = FRAME_SAMPLES // 4
"""Frames overlap by three quarters, so that their squared Hann windows add up to a constant, 1.5."""

OVER_SUBTRACTION = 1.5
"""How many times the noise is subtracted (Berouti et al. 1979, who go from 1 to 5); 2 and 3 take more of the voice."""

WAVELET = "sym8"
"""Nearly symmetric, so that what is shrunk stays in its place."""

WAVELET_LEVELS = 5
"""Octaves that are shrunk, from 250 Hz up."""

MAD_OF_GAUSSIAN = 0.6745
"""Median absolute deviation of a standard Gaussian (Donoho and Johnstone 1994)."""


def spectral_gate(samples: Samples) -> Samples:
    """Close each cell of time and frequency that is no louder than the noise, by noisereduce's stationary masking.

    The noise of a frequency is its mean level in dB, a cell opens 1.5 standard deviations above (Sainburg,
    Thielk and Gentner 2020).

    Parameters
    ----------
    samples
        float32 array (n,) at 16 kHz, a clip rather than an hour; any n, also 0.

    Returns
    -------
    float32 array (n,)
    """
    quiet = _quiet_frames(samples, GATE_FFT)
    if quiet.size == 0:
        return samples.astype(np.float32)
    import noisereduce

    cleaned = noisereduce.reduce_noise(
        samples.astype(np.float64),
        SAMPLE_RATE,
        stationary=True,
        y_noise=_cut(samples.astype(np.float64), GATE_FFT)[quiet].ravel(),
        prop_decrease=1.0 - LEFT,
        freq_mask_smooth_hz=None,
        time_mask_smooth_ms=GATE_SMOOTH_MS,
        n_fft=GATE_FFT,
        chunk_size=samples.size,  # in one piece: several would pass through temporary files
        clip_noise_stationary=False,
    )
    return np.asarray(cleaned, dtype=np.float32)


def spectral_subtract(samples: Samples) -> Samples:
    """Subtract the noise's mean magnitude from that of each frame, down to a floor (Boll 1979).

    Parameters
    ----------
    samples
        float32 array (n,) at 16 kHz, a clip rather than an hour; any n, also 0.

    Returns
    -------
    float32 array (n,)
    """
    quiet = _quiet_frames(samples, FRAME_SAMPLES)
    if quiet.size == 0:
        return samples.astype(np.float32)
    window = np.hanning(FRAME_SAMPLES + 1)[:-1]
    noise = np.abs(np.fft.rfft(_cut(samples, FRAME_SAMPLES)[quiet] * window))
    noise_power = np.square(noise).mean(axis=0)
    # A frame of silence at either end: every sample lies in four frames.
    padded = np.pad(samples, (FRAME_SAMPLES, FRAME_SAMPLES - samples.size % FRAME_HOP + FRAME_HOP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME_SAMPLES)[::FRAME_HOP]
    spectra = np.fft.rfft(frames * window)
    ratio = OVER_SUBTRACTION * np.sqrt(noise_power) / np.maximum(np.abs(spectra), 1e-12)
    cleaned = np.fft.irfft(spectra * np.maximum(1.0 - ratio, LEFT), FRAME_SAMPLES) * window / 1.5
    return _overlap_added(cleaned, padded.size)[FRAME_SAMPLES : FRAME_SAMPLES + samples.size].astype(np.float32)


def wavelet(samples: Samples) -> Samples:
    """Set to zero each wavelet coefficient that noise could have made, by PyWavelets.

    The threshold is the universal one, sigma * sqrt(2 ln n) (Donoho and Johnstone 1994), n being the
    coefficients of a level in a frame of 32 ms. Sigma is learnt for each level, since noise is seldom white
    (Johnstone and Silverman 1997), and the transform is the translation-invariant one, in which a hard
    threshold loses to none (Coifman and Donoho 1995): a soft one takes 3 to 4 dB more off the voice.

    Parameters
    ----------
    samples
        float32 array (n,) at 16 kHz, a clip rather than an hour; any n, also 0.

    Returns
    -------
    float32 array (n,)
    """
    quiet = _quiet_frames(samples, FRAME_SAMPLES)
    if quiet.size == 0:
        return samples.astype(np.float32)
    import pywt

    # Silence behind: the transform is circular, and its length a multiple of 32.
    padded = np.pad(samples.astype(np.float64), (0, 2 * FRAME_SAMPLES - samples.size % FRAME_SAMPLES))
    rest, *details = pywt.swt(padded, WAVELET, level=WAVELET_LEVELS, trim_approx=True, norm=True)
    kept = [
        _thresholded(detail, quiet, n=FRAME_SAMPLES >> level)
        for level, detail in zip(range(WAVELET_LEVELS, 0, -1), details, strict=True)
    ]
    return np.asarray(pywt.iswt([rest, *kept], WAVELET, norm=True)[: samples.size], dtype=np.float32)


def _thresholded(detail: npt.NDArray[np.float64], quiet: npt.NDArray[np.intp], *, n: int) -> npt.NDArray[np.float64]:
    """Zero the coefficients below the universal threshold of `n`, the noise being that of the `quiet` frames."""
    sigma = np.median(np.abs(_cut(detail, FRAME_SAMPLES)[quiet])) / MAD_OF_GAUSSIAN
    return np.where(np.abs(detail) > sigma * np.sqrt(2.0 * np.log(n)), detail, 0.0)


def _cut(samples: npt.NDArray[np.floating], size: int) -> npt.NDArray[np.floating]:
    """Return the whole frames (n_frames, size), one after the other; a rest is left out."""
    return samples[: samples.size - samples.size % size].reshape(-1, size)


def _quiet_frames(samples: Samples, size: int) -> npt.NDArray[np.intp]:
    """Return which frames of `_cut` are the quietest tenth of those with sound in them; none for short recordings.

    The neighbours of digital silence are left out with it: partly silent, they would pass for quiet.
    """
    if samples.size < LEAST_SAMPLES:
        return np.zeros(0, dtype=np.intp)
    power = np.square(_cut(samples, size), dtype=np.float64).sum(axis=1)
    silent = np.convolve(power == 0.0, np.ones(3), mode="same") > 0
    sounding = np.flatnonzero(~silent)
    by_power = sounding[np.argsort(power[sounding], kind="stable")]
    return by_power[: -(-by_power.size // round(1 / QUIET_SHARE))]


def _overlap_added(frames: npt.NDArray[np.float64], n_samples: int) -> npt.NDArray[np.float64]:
    summed = np.zeros(n_samples)
    for i, frame in enumerate(frames):
        summed[i * FRAME_HOP : i * FRAME_HOP + FRAME_SAMPLES] += frame
    return summed
