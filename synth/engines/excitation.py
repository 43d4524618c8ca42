"""What source-filter vocoders share: overlapping frames, the pitch of each, and pulses or noise to drive a filter.

Speech is cut into Hann windows; each vocoder says how loud its spectrum is where (`synth.engines.lpc`,
`cepstral`, `channel_vocoder`), and drives that with pulses where there is pitch and with noise elsewhere. In NumPy,
all frames at a time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from synth.pcm import Samples, fitted

Frames = npt.NDArray[np.float64]
"""float64 array (frames, values)."""

FRAME_SAMPLES = 512
"""Length of a Hann window, 32 ms: two periods of the lowest voices."""

HOP_SAMPLES = 128
"""Step between windows, 8 ms. Hann windows at a quarter of their length add up to `WINDOW_SUM`."""

WINDOW_SUM = FRAME_SAMPLES / (2 * HOP_SAMPLES)
"""What overlapping Hann windows add up to everywhere."""

RESPONSE_SAMPLES = 2_048
"""Room for a filtered frame, 128 ms, so that the ringing of the vocal tract does not wrap around."""

PITCH_LAGS = (40, 256)
"""Periods looked for, in samples: 400 Hz down to 62.5 Hz."""

VOICED = 0.45
"""Normalised autocorrelation from which a frame counts as voiced."""

LONG_PERIOD_COST = 0.1
"""What the longest period loses in the contest, shorter ones in proportion: two periods fit as well as one."""

BREATH = 0.15
"""Noise in voiced frames, relative to the pulses: no voice is purely periodic."""


def window() -> npt.NDArray[np.float64]:
    """Hann, periodic: (FRAME_SAMPLES,)."""
    return np.hanning(FRAME_SAMPLES + 1)[:-1]


def framed(samples: npt.NDArray[np.floating], *, lead: int = FRAME_SAMPLES) -> Frames:
    """Cut samples (n,), with silence around them, into overlapping frames of FRAME_SAMPLES, windowed."""
    padded = np.pad(samples.astype(np.float64), (lead, 2 * FRAME_SAMPLES))
    return np.lib.stride_tricks.sliding_window_view(padded, FRAME_SAMPLES)[::HOP_SAMPLES] * window()


def driven(lags: Frames, rng: np.random.Generator) -> Frames:
    """Return pulses and noise of unit power at the pitch of each frame, windowed: (frames, FRAME_SAMPLES).

    `lags` is the autocorrelation of the frames (frames, lags).
    """
    return framed(excitation(pitch_periods(lags), rng), lead=0)[: len(lags)]


def filtered(excited: Frames, response: npt.NDArray[np.inexact], *, early: int = 0) -> Frames:
    """Multiply the spectra of excited frames.

    Parameters
    ----------
    excited
        (frames, FRAME_SAMPLES)
    response
        (frames, RESPONSE_SAMPLES // 2 + 1), what to multiply with.
    early
        How many samples a response may begin before its pulse.

    Returns
    -------
    (frames, RESPONSE_SAMPLES), each beginning `early` samples before its frame.
    """
    spectrum = np.fft.rfft(np.pad(excited, ((0, 0), (early, 0))), RESPONSE_SAMPLES) * response
    return np.fft.irfft(spectrum, RESPONSE_SAMPLES)


def joined(responses: Frames, n_samples: int, *, lag: int = 0) -> Samples:
    """Add up responses that start HOP_SAMPLES apart, from `lag` samples after the first sample of the source."""
    total = overlap_added(responses) / WINDOW_SUM
    return fitted(total[FRAME_SAMPLES + lag :], n_samples)


def autocorrelation(frames: Frames) -> Frames:
    """Return lags 0 to PITCH_LAGS[1] of each frame."""
    power = np.abs(np.fft.rfft(frames, 2 * FRAME_SAMPLES)) ** 2
    return np.fft.irfft(power)[:, : PITCH_LAGS[1] + 1]


def pitch_periods(lags: Frames) -> npt.NDArray[np.float64]:
    """Return the period of each frame in samples, 0 where it is unvoiced."""
    shortest, longest = PITCH_LAGS
    # A window correlates with itself less and less as the lag grows: divide that out.
    fading = autocorrelation(window()[None, :])[0]
    normalised = lags / (lags[:, :1] + 1e-12) * (fading[0] / fading)
    candidates = normalised[:, shortest : longest + 1]
    best = np.argmax(candidates * np.linspace(1.0, 1.0 - LONG_PERIOD_COST, longest - shortest + 1), axis=1)
    voiced = candidates[np.arange(len(best)), best] >= VOICED
    return np.where(voiced, best + float(shortest), 0.0)


def excitation(periods: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Make pulses and noise of unit power, HOP_SAMPLES per frame, led in by half a frame."""
    per_sample = np.repeat(periods, HOP_SAMPLES)
    lead = FRAME_SAMPLES // 2 - HOP_SAMPLES // 2
    per_sample = np.concatenate((np.zeros(lead), per_sample))
    voiced = per_sample > 0.0
    phase = np.cumsum(np.where(voiced, 1.0 / np.maximum(per_sample, 1.0), 0.0))
    pulses = np.diff(np.floor(phase), prepend=0.0) * np.sqrt(per_sample)
    noise = rng.standard_normal(per_sample.size)
    return np.where(voiced, pulses + BREATH * noise, noise)


def overlap_added(frames: Frames) -> npt.NDArray[np.float64]:
    """Add up frames that start HOP_SAMPLES apart."""
    per_frame = frames.shape[1] // HOP_SAMPLES
    total = np.zeros((len(frames) + per_frame, HOP_SAMPLES))
    for k in range(per_frame):
        total[k : k + len(frames)] += frames[:, k * HOP_SAMPLES : (k + 1) * HOP_SAMPLES]
    return total.reshape(-1)
