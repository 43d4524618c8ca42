"""Pitch of sounds that were made with a known pitch; and what holds for the noise as well (`audio.levels`)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.levels import snr_db
from audio.segments import SAMPLE_RATE
from model.evaluation.measures import F0_HZ, pitch_hz

laws = settings(derandomize=True, deadline=None, max_examples=60)


def tone(f0_hz: float, *, seconds: float = 1.0, n_harmonics: int = 8) -> np.ndarray:
    """Harmonics that fall by 6 dB an octave, in odd phases so that they do not peak together."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return 0.1 * sum(np.sin(2 * np.pi * f0_hz * k * time + k * k) / k for k in range(1, n_harmonics + 1))


def noise(*, seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=int(seconds * SAMPLE_RATE))


@pytest.mark.parametrize("f0_hz", [62, 97, 131, 180, 210, 263, 330, 387, 411, 470, 498])
@pytest.mark.parametrize("n_harmonics", [1, 3, 8, 14])
def test_the_pitch_of_a_tone(f0_hz, n_harmonics):
    """Catches periods between two lags that lose to their double (330 Hz was 165), and lags off by one."""
    assert pitch_hz(tone(f0_hz, n_harmonics=n_harmonics)) == pytest.approx(f0_hz, rel=0.005)


def test_the_pitch_of_a_tone_without_its_fundamental():
    """Catches the loudest harmonic taken for the voice: telephones cut the fundamental away."""
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    assert pitch_hz(sum(np.sin(2 * np.pi * 120 * k * time + k) for k in (3, 4, 5, 6))) == pytest.approx(120, rel=0.02)


def test_the_pitch_is_the_median_of_what_is_voiced():
    """Catches noise, silence and a minority of windows that shift it."""
    parts = [tone(110, seconds=0.7), 0.05 * noise(seconds=0.5), np.zeros(8_000), tone(300, seconds=0.4)]
    assert pitch_hz(np.concatenate(parts)) == pytest.approx(110, rel=0.02)
    assert pitch_hz(tone(150) + 0.01 * noise() + 0.3) == pytest.approx(150, rel=0.02)


def test_what_has_no_pitch():
    """Catches hum or rumble, which are alike from one lag to the next, taken for a child of 500 Hz."""
    hum = 0.3 * np.sin(2 * np.pi * 50 * np.arange(32_000) / SAMPLE_RATE)
    for samples in (0.1 * noise(), np.zeros(16_000), np.full(16_000, 0.5), hum, 1e-6 * tone(200)):
        assert pitch_hz(samples) is None
    rumble = np.cumsum(noise(seconds=4.0))
    assert pitch_hz(rumble / np.abs(rumble).max()) != pytest.approx(F0_HZ[1], rel=0.05)


def test_a_long_recording_is_asked_throughout():
    """Catches a long recording judged by its beginning."""
    assert pitch_hz(np.concatenate([tone(110, seconds=35), tone(140, seconds=50)])) == pytest.approx(140, rel=0.02)


@laws
@given(
    st.integers(0, 12_000),
    st.sampled_from(["silence", "noise", "tone", "constant", "click"]),
    st.sampled_from([np.float32, np.float64]),
    st.floats(1e-7, 1.0),
)
def test_any_length_gives_a_number_or_none(n, kind, dtype, scale):
    """Catches means of nothing, NaN, and too short a recording that is measured all the same."""
    whole = {
        "silence": np.zeros(16_000),
        "noise": noise(),
        "tone": tone(200),
        "constant": np.ones(16_000),
        "click": np.eye(1, 16_000, 5_000)[0],
    }
    samples = (scale * whole[kind])[:n].astype(dtype)
    pitch, ratio = pitch_hz(samples), snr_db(samples)
    assert pitch is None or F0_HZ[0] - 1 <= pitch <= F0_HZ[1] + 20
    assert ratio is None or math.isfinite(ratio)
    assert pitch is None or n >= 5 * 800
    assert ratio is None or n >= 10 * 320


@laws
@given(st.sampled_from([0.01, 0.1, 0.5, 4.0]), st.integers(0, 5))
def test_no_measure_depends_on_the_level(gain, seed):
    """Catches thresholds of absolute power where relative ones are meant."""
    samples = tone(170, seconds=0.6) + 0.005 * noise(seconds=0.6, seed=seed)
    samples[4_000:7_000] = 0.005 * noise(seed=seed + 1)[:3_000]
    assert pitch_hz(gain * samples) == pytest.approx(pitch_hz(samples))
    assert snr_db(gain * samples) == pytest.approx(snr_db(samples))
