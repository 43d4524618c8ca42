"""Channel vocoder: how loud each of a few bands is, imposed on pulses or noise.

Dudley, "The Vocoder", Bell Labs Record 18 (1939), and Gold and Rader, "The channel vocoder", IEEE Transactions on
Audio 15 (1967). The bands are as wide as those of the ear (Glasberg and Moore, "Derivation of auditory filter shapes
from notched-noise data", Hearing Research 47, 1990).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from audio.segments import SAMPLE_RATE
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

N_BANDS = 20
"""Bands up to 8 kHz, 1.7 of the ear's each."""

EARLY_SAMPLES = 512
"""Room before a pulse: the filters have no phase, so that a response begins before it."""


class ChannelVocoder:
    """Analysis and resynthesis in bands."""

    name = "channel-vocoder"
    makes_twins = True
    languages: tuple[str, ...] = ()

    def version(self) -> str:
        """Return the settings; the engine needs nothing but NumPy."""
        return f"numpy channel vocoder 1, {N_BANDS} bands, {FRAME_SAMPLES}/{HOP_SAMPLES}"

    def render(
        self, samples: Samples | None, *, text: str = "", language: str = "", rng: np.random.Generator
    ) -> Samples:
        """Resynthesise `samples`, with noise drawn from `rng`."""
        given = source_of(samples, self.name)
        frames = framed(given)
        power = np.abs(np.fft.rfft(frames, RESPONSE_SAMPLES)) ** 2 / np.sum(np.square(window()))
        gains = _band_gains(power)
        excited = driven(autocorrelation(frames), rng)
        return joined(filtered(excited, gains, early=EARLY_SAMPLES), given.size, lag=EARLY_SAMPLES)


def _band_gains(power: Frames) -> Frames:
    """Return the root of the mean power in each band, faded from band to band: (frames, bins) -> (frames, bins)."""
    bands = _bands()
    means = power @ (bands / bands.sum(axis=1, keepdims=True)).T
    return np.sqrt(means) @ bands


@lru_cache(maxsize=1)
def _bands() -> npt.NDArray[np.float64]:
    """Return triangles (N_BANDS, bins), equally wide on the scale of the ear, that add up to 1 everywhere."""
    hz = np.fft.rfftfreq(RESPONSE_SAMPLES, 1.0 / SAMPLE_RATE)
    scale = 21.4 * np.log10(1.0 + 0.00437 * hz)  # number of ear's bands below each bin, Glasberg and Moore
    place = scale / scale[-1] * N_BANDS - 0.5
    distance = np.abs(np.clip(place, 0.0, N_BANDS - 1.0)[None, :] - np.arange(N_BANDS)[:, None])
    return np.maximum(1.0 - distance, 0.0)


ENGINE = ChannelVocoder()
