"""LPC vocoder: an all-pole vocal tract, driven by pulses where there is pitch and by noise elsewhere.

Atal and Hanauer, "Speech analysis and synthesis by linear prediction of the speech wave", JASA 50 (1971), and
the textbook since (Rabiner and Schafer).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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

ORDER = 18
"""Poles: one pair per kHz of bandwidth, and two more for the slope (Rabiner and Schafer)."""

RESPONSE_LAG_SAMPLES = 16
"""How much later than its pulse the energy of a response lies, 1 ms: taken out, so that a twin lies on its source.
Measured on speech, by the correlation of envelopes: 2 ms below 800 Hz, 0.4 ms above."""

WHITENING = 1e-4
"""Share of the power added as white noise (-40 dB) before solving, which keeps the filters stable."""

DAMPING = 0.994
"""Factor per sample that widens the formants a little (bandwidth expansion), against ringing."""


class LpcVocoder:
    """Analysis and resynthesis by linear prediction."""

    name = "lpc"
    makes_twins = True
    languages: tuple[str, ...] = ()

    def version(self) -> str:
        """Return the settings; the engine needs nothing but NumPy."""
        return f"numpy lpc 2, order {ORDER}, {FRAME_SAMPLES}/{HOP_SAMPLES}"

    def render(
        self, samples: Samples | None, *, text: str = "", language: str = "", rng: np.random.Generator
    ) -> Samples:
        """Resynthesise `samples`, with noise drawn from `rng`."""
        given = source_of(samples, self.name)
        lags = autocorrelation(framed(given))
        predictor, gain = predictors(lags)
        inverse = np.concatenate((np.ones((len(predictor), 1)), -predictor), axis=1)
        response = gain[:, None] / np.fft.rfft(inverse, RESPONSE_SAMPLES)
        return joined(filtered(driven(lags, rng), response), given.size, lag=RESPONSE_LAG_SAMPLES)


def predictors(lags: Frames) -> tuple[Frames, npt.NDArray[np.float64]]:
    """Solve the normal equations of each frame, of which `lags` is the autocorrelation.

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
    gain = np.sqrt(error / np.sum(np.square(window())))
    return predictor * DAMPING ** np.arange(1, ORDER + 1), gain


ENGINE = LpcVocoder()
