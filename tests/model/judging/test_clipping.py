"""Flat tops: where they are, that nothing else is one, and that they are still found after what happens to files."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from talking import talk

from model.judging.clipping import on_flat_tops

RATE = 16_000


def speech(seed: int = 0, **options: float) -> np.ndarray:
    """Two seconds with a peak of 0.4."""
    return talk(2.0, seed=seed, **options)


def clipped(samples: np.ndarray, share_of_peak: float) -> np.ndarray:
    ceiling = share_of_peak * np.abs(samples).max()
    return np.clip(samples, -ceiling, ceiling)


def in_16_bits(samples: np.ndarray) -> np.ndarray:
    return (np.rint(samples * 32_768) / 32_768).astype(np.float32)


def stays_there(samples: np.ndarray, at: np.ndarray, *, least: int) -> np.ndarray:
    """Mark the samples of `at` that have at least so many of the same value in a row: one after the other."""
    marked = np.zeros(samples.size, dtype=bool)
    begin = 0
    for i in range(1, samples.size + 1):
        if i == samples.size or samples[i] != samples[begin]:
            marked[begin:i] = at[begin] and i - begin >= least
            begin = i
    return marked


@pytest.mark.parametrize("share_of_peak", [0.5, 0.3, 0.2])
@pytest.mark.parametrize("gain", [1.0, 0.2, 3.0])
def test_clipped_samples_are_found_where_they_are(share_of_peak, gain):
    """Catches one side alone, tops at full scale alone, and tops that end a sample early or late."""
    samples = (gain * clipped(speech(), share_of_peak)).astype(np.float32)
    marked = on_flat_tops(samples)
    at_ceiling = np.abs(samples) == np.abs(samples).max()
    tops = stays_there(samples, at_ceiling, least=4)
    for side in (samples > 0, samples < 0):
        assert (tops & side).sum() > 50
        assert (marked & tops & side).sum() > 0.95 * (tops & side).sum()
    assert (marked & ~at_ceiling).sum() < 0.1 * tops.sum()
    assert (marked & at_ceiling & ~tops).sum() < 0.15 * tops.sum()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("pitch_hz", [70.0, 120.0, 240.0])
@pytest.mark.parametrize("glide", [0.0, 0.2])
def test_speech_has_none(seed, pitch_hz, glide):
    """Catches deep or monotone voices whose peaks are taken for clipping."""
    assert on_flat_tops(in_16_bits(speech(seed, pitch_hz=pitch_hz, glide=glide))).mean() < 0.002


@pytest.mark.parametrize("hz", [20, 50, 60, 85, 100, 120, 150, 200, 441.0, 3_000])
@pytest.mark.parametrize("level", [1.0, 0.3, 0.02])
def test_tones_have_none(hz, level):
    """Catches hum and low voices, whose tops are smooth but flat enough for any fixed step."""
    tone = level * np.sin(2 * np.pi * hz * np.arange(32_000) / RATE + 0.3)
    assert on_flat_tops(in_16_bits(tone)).mean() < 0.002
    if 85 <= hz <= 500:
        assert on_flat_tops(np.clip(tone, -0.7 * level, 0.7 * level)).mean() > 0.2


def test_quiet_and_silent_recordings_have_none():
    """Catches rounding: in 16-bit silence, or a faint hum, every sample is like its neighbour."""
    rng = np.random.default_rng(0)
    hum = 2e-4 * np.sin(2 * np.pi * 50 * np.arange(32_000) / RATE)
    for samples in (np.zeros(32_000), np.full(32_000, 1 / 32_768), hum, 3e-5 * rng.standard_normal(32_000)):
        assert not on_flat_tops(in_16_bits(samples)).any()


@pytest.mark.parametrize("n", range(8))
def test_every_length(n):
    marked = on_flat_tops(np.full(n, 0.5, dtype=np.float32))
    assert marked.shape == (n,)
    assert marked.dtype == np.bool_


def test_tops_at_the_ends():
    """Catches an index before the first sample, or behind the last."""
    square = np.tile(np.repeat([0.5, -0.5], 8), 20)
    assert on_flat_tops(square).all()


@pytest.mark.parametrize("seed", range(3))
def test_still_found_after_resampling(seed):
    """Catches tops that must be exactly flat: most clipped recordings were clipped at another sample rate."""
    wide = soxr.resample(speech(seed), RATE, 48_000)
    limit = 0.25 * np.abs(wide).max()
    narrow = soxr.resample(np.clip(wide, -limit, limit), 48_000, RATE)
    share = (np.abs(soxr.resample(wide, 48_000, RATE)) > limit).mean()
    assert share > 0.1
    assert on_flat_tops(in_16_bits(narrow)).mean() > 0.2 * share
