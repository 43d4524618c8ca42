from __future__ import annotations

import numpy as np
import pytest
from babbling import babble

from synth.loudness import BLOCK_SAMPLES, PEAK, loudness_lufs, normalised
from synth.pcm import SILENCE_DBFS, rms_dbfs


def test_the_sine_of_the_standard() -> None:
    """Catches another weighting: 997 Hz at 0 dBFS measures -3.01 LUFS in one channel (ITU-R BS.1770-4, annex 1)."""
    sine = np.sin(2 * np.pi * 997 * np.arange(48_000) / 16_000).astype(np.float32)
    assert loudness_lufs(sine) == pytest.approx(-3.01, abs=0.1)
    assert loudness_lufs(sine / 10) == pytest.approx(-23.01, abs=0.1)


@pytest.mark.parametrize("n_samples", [0, 1, BLOCK_SAMPLES - 1])
def test_short_ones_count_by_their_rms(n_samples: int) -> None:
    speech = babble(1, seconds=1.0)[:n_samples]
    assert loudness_lufs(speech) == rms_dbfs(speech)


def test_what_the_gate_takes_counts_by_its_rms() -> None:
    """Catches minus infinity, and the warnings on the way there."""
    assert loudness_lufs(np.zeros(20_000, dtype=np.float32)) == SILENCE_DBFS
    hush = babble(1, seconds=1.0) * 1e-4
    assert loudness_lufs(hush) == rms_dbfs(hush)


@pytest.mark.parametrize("target_lufs", [-40.0, -30.0, -26.0])
@pytest.mark.parametrize("n_samples", [5_000, 16_000])
def test_is_as_loud_as_asked(target_lufs: float, n_samples: int) -> None:
    speech = babble(2, seconds=1.0)[:n_samples] / 30
    assert loudness_lufs(normalised(speech, target_lufs)) == pytest.approx(target_lufs, abs=0.01)


def test_peaks_hold_the_gain_back() -> None:
    """Catches clipping, and a limiter, which would change the waveform."""
    speech = babble(3, seconds=1.0)
    loud = normalised(speech, -3.0)
    assert np.abs(loud).max() == pytest.approx(PEAK, abs=1e-6)
    assert loudness_lufs(loud) < -3.0
    assert loud == pytest.approx(speech * (PEAK / np.abs(speech).max()), abs=1e-6)


@pytest.mark.parametrize("n_samples", [0, 1, 10_000])
def test_silence_stays_silence(n_samples: int) -> None:
    quiet = normalised(np.zeros(n_samples, dtype=np.float32), -23.0)
    assert quiet.dtype == np.float32
    assert not quiet.any()
