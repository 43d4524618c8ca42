"""Powers of frames, and how far sounds of a known level stand above a known noise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from audio.errors import SegmentError
from audio.levels import AT_ONCE, frame_powers, snr_db, snr_of_frames
from audio.segments import n_frames

RATE = 16_000


def noise(*, seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=int(seconds * RATE))


def bursts(*, seconds: float, share: float, seed: int) -> np.ndarray:
    """Noise that is there for a share of every half second, as syllables are."""
    time = np.arange(int(seconds * RATE))
    return noise(seconds=seconds, seed=seed) * (time % 8_000 < share * 8_000)


@pytest.mark.parametrize("hop", [1, 7, 320])
@pytest.mark.parametrize("extra", [0, 1, 3, 4, 159, 160, 319])
@pytest.mark.parametrize("whole", [0, 1, AT_ONCE, AT_ONCE + 1])
def test_powers_against_brute_force(hop, extra, whole):
    """Catches a last frame that is lost or divided by its own length, and frames lost between two batches."""
    samples = noise()[: whole * hop % 15_000 + extra].astype(np.float32)
    expected = []
    for i in range(n_frames(samples.size, hop)):
        expected.append(sum(float(x) ** 2 for x in samples[i * hop : (i + 1) * hop]) / hop)
    np.testing.assert_allclose(frame_powers(samples, hop_samples=hop), expected, rtol=1e-12)


def test_batches_join():
    """Catches an error at the border of what is squared at once."""
    samples = np.repeat(np.arange(1, 2 * AT_ONCE + 4), 320) / 1e4
    np.testing.assert_allclose(frame_powers(samples), (np.arange(1, 2 * AT_ONCE + 4) / 1e4) ** 2, rtol=1e-12)


def test_bad_hop_is_refused():
    with pytest.raises(SegmentError, match="hop_samples"):
        frame_powers(np.zeros(10), hop_samples=0)


@pytest.mark.parametrize("expected_db", [10, 20, 30])
@pytest.mark.parametrize("share", [0.4, 0.65, 0.85])
def test_speech_above_its_noise(expected_db, share):
    """Catches amplitudes taken for powers, noise counted as speech, and a dropout taken for the floor."""
    speech = 0.1 * bursts(seconds=6.0, share=share, seed=1)
    power = np.square(speech).mean() / 10 ** (expected_db / 10)
    samples = speech + np.sqrt(power) * noise(seconds=6.0, seed=2)
    assert snr_db(samples) == pytest.approx(expected_db, abs=2)
    samples[320:640] = 0.0
    assert snr_db(samples) == pytest.approx(expected_db, abs=2)


def test_nothing_above_the_noise():
    """Catches the logarithm of nothing, endless ratios above digital silence, and -158 dB for a tone."""
    tone = 0.3 * np.sin(2 * np.pi * 1_000 * np.arange(RATE) / RATE)
    for samples in (np.zeros(RATE), np.full(RATE, 0.25), tone, np.zeros(0), np.ones(319)):
        assert snr_db(samples) is None
    assert snr_db(0.1 * noise()) < 0
    clean = snr_db(0.1 * bursts(seconds=2.0, share=0.5, seed=0))
    assert 60 < clean < 90


def test_an_offset_is_no_noise():
    """Catches speech 13 dB above its noise that reads -4 dB because a converter had an offset of a quarter."""
    samples = 0.1 * bursts(seconds=4.0, share=0.5, seed=3) + 0.005 * noise(seconds=4.0, seed=4)
    assert snr_db(samples + 0.25) == pytest.approx(snr_db(samples), abs=0.01)


def test_short_recordings_have_no_ratio():
    """Catches a floor taken from less than one frame."""
    assert snr_of_frames(np.arange(9.0)) is None
    assert math.isfinite(snr_of_frames(np.arange(1.0, 11.0)))
    assert snr_db(noise()[: 10 * 320 - 1]) is None
