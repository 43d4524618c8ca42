"""Harmonics plus noise: a sine wave for each multiple of the pitch, and shaped noise for the rest.

McAulay and Quatieri, "Speech analysis/synthesis based on a sinusoidal representation", IEEE TASSP 34 (1986);
Stylianou, "Applying the harmonic plus noise model in concatenative speech synthesis", IEEE TSAP 9 (2001). Pitch,
envelope and share of noise come from WORLD's analysis; the synthesis is none of WORLD's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audio.segments import SAMPLE_RATE
from synth.engines import source_of
from synth.engines.world import FRAME_PERIOD_MS, Frames, Speech, analysed, world_version
from synth.pcm import Samples, fitted

HOP_SAMPLES = round(FRAME_PERIOD_MS * SAMPLE_RATE / 1_000)

SLOWEST_HZ = 50.0
"""Pitch used where there is none to interpolate; WORLD looks for pitch from 71 Hz."""


class HarmonicNoise:
    """Resynthesis as harmonics plus noise."""

    name = "harmonic-noise"
    makes_twins = True
    languages: tuple[str, ...] = ()

    def version(self) -> str:
        """Return the version of pyworld and the settings; raise `EngineError` when it is not installed."""
        return f"{world_version(self.name)}, harmonic-noise 1"

    def render(
        self, samples: Samples | None, *, text: str = "", language: str = "", rng: np.random.Generator
    ) -> Samples:
        """Resynthesise `samples`, with noise drawn from `rng`."""
        given = source_of(samples, self.name)
        speech = analysed(given)
        # Power of the noise in each bin, in WORLD's terms: all of it where there is no pitch.
        share = np.where(speech.pitch_hz[:, None] > 0.0, np.square(speech.aperiodicity), 1.0)
        noise = _noise(speech.envelope * share, rng)
        return fitted(_harmonics(speech, speech.envelope * (1.0 - share)) + noise, given.size)


def _harmonics(speech: Speech, power: Frames) -> npt.NDArray[np.float64]:
    """Return the sum of sine waves at the multiples of the pitch, (frames * HOP_SAMPLES,)."""
    pitch_hz = _without_gaps(speech.pitch_hz)
    per_sample = _upsampled(pitch_hz)
    turn = np.exp(2j * np.pi * np.cumsum(per_sample) / SAMPLE_RATE)
    spectrum = np.sqrt(power) * _minimum_phase(speech.envelope)
    total, wave = np.zeros(per_sample.size), np.ones(per_sample.size, dtype=np.complex128)
    for k in range(1, int(SAMPLE_RATE / 2 / pitch_hz.min()) + 1):
        wave *= turn
        total += (_upsampled(_amplitudes(spectrum, k * pitch_hz, pitch_hz)) * wave).real
    return total


def _amplitudes(
    spectrum: npt.NDArray[np.complex128], hz: npt.NDArray[np.float64], pitch_hz: npt.NDArray[np.float64]
) -> npt.NDArray[np.complex128]:
    """Return the amplitude and phase (frames,) of a sine wave at `hz`, 0 from half the sampling rate on.

    A wave has the power of a band as wide as the pitch, of which there are SAMPLE_RATE / 2 / pitch; noise of
    power spectrum p has the mean of p as its power. Half the square of an amplitude is its power.
    """
    frames, n_bins = np.arange(len(hz)), spectrum.shape[1]
    place = np.minimum(hz / (SAMPLE_RATE / 2) * (n_bins - 1), n_bins - 1.001)
    below = place.astype(np.intp)
    share = place - below
    value = spectrum[frames, below] * (1.0 - share) + spectrum[frames, below + 1] * share
    return np.where(hz < SAMPLE_RATE / 2, value * 2.0 * np.sqrt(pitch_hz / SAMPLE_RATE), 0.0)


def _minimum_phase(envelope: Frames) -> npt.NDArray[np.complex128]:
    """Return the phases, as numbers of magnitude 1 (frames, bins), that a vocal tract of that spectrum has.

    From the cepstrum, whose second half is folded onto the first (Oppenheim and Schafer).
    """
    cepstrum = np.fft.irfft(0.5 * np.log(envelope))
    half = cepstrum.shape[1] // 2
    cepstrum[:, 1:half] *= 2.0
    cepstrum[:, half + 1 :] = 0.0
    return np.exp(1j * np.fft.rfft(cepstrum).imag)


def _noise(power: Frames, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return noise that has a power spectrum (frames, bins) around every multiple of HOP_SAMPLES."""
    n_frames, fft_samples = len(power), 2 * (power.shape[1] - 1)
    white = rng.standard_normal((n_frames + 1) * HOP_SAMPLES)
    pieces = np.lib.stride_tricks.sliding_window_view(white, 2 * HOP_SAMPLES)[::HOP_SAMPLES]
    # Pieces that overlap hold the same noise: Hann windows, which add up to 1, keep its power.
    pieces = pieces * np.hanning(2 * HOP_SAMPLES + 1)[:-1]
    lead = fft_samples // 2 - HOP_SAMPLES  # the middle of a piece comes to the middle of its response
    padded = np.pad(pieces, ((0, 0), (lead, lead)))
    responses = np.fft.irfft(np.fft.rfft(padded) * np.sqrt(power))
    total = np.zeros(n_frames * HOP_SAMPLES + fft_samples)
    for i, response in enumerate(responses):
        total[i * HOP_SAMPLES : i * HOP_SAMPLES + fft_samples] += response
    return total[fft_samples // 2 :][: n_frames * HOP_SAMPLES]


def _without_gaps(pitch_hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Bridge frames without pitch in straight lines."""
    voiced = np.flatnonzero(pitch_hz)
    if not voiced.size:
        return np.full(len(pitch_hz), SLOWEST_HZ)
    return np.interp(np.arange(len(pitch_hz)), voiced, pitch_hz[voiced])


def _upsampled(values: npt.NDArray[np.inexact]) -> npt.NDArray[np.inexact]:
    """Draw straight lines between values HOP_SAMPLES apart: (frames,) -> (frames * HOP_SAMPLES,)."""
    steps = np.diff(values, append=values[-1:])
    return (values[:, None] + steps[:, None] * (np.arange(HOP_SAMPLES) / HOP_SAMPLES)).reshape(-1)


ENGINE = HarmonicNoise()
