"""LPC vocoder: an all-pole vocal tract, driven by pulses where there is pitch and by noise elsewhere.

Atal and Hanauer, "Speech analysis and synthesis by linear prediction of the speech wave", JASA 50 (1971), and
the textbook since (Rabiner and Schafer). In NumPy, all frames at a time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from synth.engines import source_of
from synth.pcm import Samples, fitted

Frames = npt.NDArray[np.float64]
"""float64 array (frames, values)."""

ORDER = 18
"""Poles: one pair per kHz of bandwidth, and two more for the slope (Rabiner and Schafer)."""

FRAME_SAMPLES = 512
"""Length of a Hann window, 32 ms: two periods of the lowest voices."""

HOP_SAMPLES = 128
"""Step between windows, 8 ms. Hann windows at a quarter of their length add up to `WINDOW_SUM`."""

WINDOW_SUM = FRAME_SAMPLES / (2 * HOP_SAMPLES)
"""What overlapping Hann windows add up to everywhere."""

RESPONSE_SAMPLES = 2_048
"""Room for a filtered frame, 128 ms, so that the ringing of the vocal tract does not wrap around."""

RESPONSE_LAG_SAMPLES = 32
"""How much later than its pulse the energy of a response lies, 2 ms (measured on speech, by the correlation
of envelopes): taken out, so that a twin lies on its source."""

PITCH_LAGS = (40, 256)
"""Periods looked for, in samples: 400 Hz down to 62.5 Hz."""

VOICED = 0.45
"""Normalised autocorrelation from which a frame counts as voiced."""

LONG_PERIOD_COST = 0.1
"""What the longest period loses in the contest, shorter ones in proportion: two periods fit as well as one."""

BREATH = 0.15
"""Noise in voiced frames, relative to the pulses: no voice is purely periodic."""

WHITENING = 1e-4
"""Share of the power added as white noise (-40 dB) before solving, which keeps the filters stable."""

DAMPING = 0.994
"""Factor per sample that widens the formants a little (bandwidth expansion), against ringing."""


class LpcVocoder:
    """Analysis and resynthesis by linear prediction."""

    name = "lpc"
    makes_twins = True

    def version(self) -> str:
        """Return the settings; the engine needs nothing but NumPy."""
        return f"numpy lpc 1, order {ORDER}, {FRAME_SAMPLES}/{HOP_SAMPLES}"

    def render(
        self, samples: Samples | None, *, text: str = "", language: str = "", rng: np.random.Generator
    ) -> Samples:
        """Resynthesise `samples`, with noise drawn from `rng`."""
        given = source_of(samples, self.name)
        frames = _framed(given.astype(np.float64)) * _window()
        lags = _autocorrelation(frames)
        predictor, gain = _predictors(lags)
        excitation = _excitation(_pitch_periods(lags), rng)
        driven = _framed(excitation, lead=0)[: len(frames)] * _window() * gain[:, None]
        rendered = _overlap_added(_filtered(driven, predictor)) / WINDOW_SUM
        return fitted(rendered[FRAME_SAMPLES + RESPONSE_LAG_SAMPLES :], given.size)


def _window() -> npt.NDArray[np.float64]:
    """Hann, periodic: (FRAME_SAMPLES,)."""
    return np.hanning(FRAME_SAMPLES + 1)[:-1]


def _framed(samples: npt.NDArray[np.float64], *, lead: int = FRAME_SAMPLES) -> Frames:
    """Cut samples (n,), with silence around them, into overlapping frames of FRAME_SAMPLES."""
    padded = np.pad(samples, (lead, 2 * FRAME_SAMPLES))
    return np.lib.stride_tricks.sliding_window_view(padded, FRAME_SAMPLES)[::HOP_SAMPLES]


def _autocorrelation(frames: Frames) -> Frames:
    """Return lags 0 to PITCH_LAGS[1] of each frame."""
    power = np.abs(np.fft.rfft(frames, 2 * FRAME_SAMPLES)) ** 2
    return np.fft.irfft(power)[:, : PITCH_LAGS[1] + 1]


def _predictors(lags: Frames) -> tuple[Frames, npt.NDArray[np.float64]]:
    """Solve the normal equations of each frame.

    Returns
    -------
    coefficients (frames, ORDER) that predict a sample from those before it, nearest first; and what unit
    white noise must be scaled with to have the power of the prediction error, (frames,).
    """
    floor = lags[:, 0] * WHITENING + 1e-12
    distance = np.abs(np.subtract.outer(np.arange(ORDER), np.arange(ORDER)))
    matrix = lags[:, distance] + floor[:, None, None] * np.eye(ORDER)
    wanted = lags[:, 1 : ORDER + 1]
    predictor = np.linalg.solve(matrix, wanted[:, :, None])[:, :, 0]
    error = np.maximum(lags[:, 0] - np.sum(predictor * wanted, axis=1), 0.0)
    gain = np.sqrt(error / np.sum(np.square(_window())))
    return predictor * DAMPING ** np.arange(1, ORDER + 1), gain


def _pitch_periods(lags: Frames) -> npt.NDArray[np.float64]:
    """Return the period of each frame in samples, 0 where it is unvoiced."""
    shortest, longest = PITCH_LAGS
    window = _autocorrelation(_window()[None, :])[0]
    # A window correlates with itself less and less as the lag grows: divide that out.
    normalised = lags / (lags[:, :1] + 1e-12) * (window[0] / window)
    candidates = normalised[:, shortest : longest + 1]
    best = np.argmax(candidates * np.linspace(1.0, 1.0 - LONG_PERIOD_COST, longest - shortest + 1), axis=1)
    voiced = candidates[np.arange(len(best)), best] >= VOICED
    return np.where(voiced, best + float(shortest), 0.0)


def _excitation(periods: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Make pulses and noise of unit power, HOP_SAMPLES per frame, led in by half a frame."""
    per_sample = np.repeat(periods, HOP_SAMPLES)
    lead = FRAME_SAMPLES // 2 - HOP_SAMPLES // 2
    per_sample = np.concatenate((np.zeros(lead), per_sample))
    voiced = per_sample > 0.0
    phase = np.cumsum(np.where(voiced, 1.0 / np.maximum(per_sample, 1.0), 0.0))
    pulses = np.diff(np.floor(phase), prepend=0.0) * np.sqrt(per_sample)
    noise = rng.standard_normal(per_sample.size)
    return np.where(voiced, pulses + BREATH * noise, noise)


def _filtered(driven: Frames, predictor: Frames) -> Frames:
    """Pass each frame through its all-pole filter: (frames, FRAME_SAMPLES) -> (frames, RESPONSE_SAMPLES)."""
    inverse = np.concatenate((np.ones((len(predictor), 1)), -predictor), axis=1)
    spectrum = np.fft.rfft(driven, RESPONSE_SAMPLES) / np.fft.rfft(inverse, RESPONSE_SAMPLES)
    return np.fft.irfft(spectrum, RESPONSE_SAMPLES)


def _overlap_added(frames: Frames) -> npt.NDArray[np.float64]:
    """Add up frames that start HOP_SAMPLES apart."""
    per_frame = frames.shape[1] // HOP_SAMPLES
    total = np.zeros((len(frames) + per_frame, HOP_SAMPLES))
    for k in range(per_frame):
        total[k : k + len(frames)] += frames[:, k * HOP_SAMPLES : (k + 1) * HOP_SAMPLES]
    return total.reshape(-1)


ENGINE = LpcVocoder()
