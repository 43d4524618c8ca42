from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soxr
from babbling import babble

from synth.activity import speech_frames
from synth.pcm import Samples
from synth.quality import CLIPPED, DISTORTED, DROPOUTS, SHORT, SILENT, Finding, Measures, fault, measure

SPEECH = babble(1, seconds=2.0, pitch_hz=130.0)


def measured(samples: Samples) -> Measures:
    return measure(samples, speech_frames(samples))


def rule_of(samples: np.ndarray) -> str | None:
    finding = fault(measured(np.asarray(samples, dtype=np.float32)))
    return None if finding is None else finding.rule


@pytest.mark.parametrize("gain", [0.02, 0.3, 1.0, 3.5])
def test_good_speech_has_no_fault_at_any_level(gain: float) -> None:
    assert rule_of(SPEECH * gain) is None


def test_faults() -> None:
    """Catches a rule that never fires."""
    peak = float(np.abs(SPEECH).max())
    lossy = SPEECH.copy()
    lossy[: SPEECH.size // 1_600 * 1_600].reshape(-1, 1_600)[:, :200] = 0.0
    assert rule_of(SPEECH[:0]) == SHORT
    assert rule_of(SPEECH[:1]) == SHORT
    assert rule_of(SPEECH[:7_000]) == SHORT
    assert rule_of(np.zeros(16_000)) == SILENT
    assert rule_of(np.clip(SPEECH / peak * 4, -1, 1)) == CLIPPED
    assert rule_of(np.clip(SPEECH / peak * 4, -1, 1) * 0.3) == CLIPPED
    assert rule_of(np.tanh(SPEECH / peak * 30) * 0.5 + 0.02 * babble(2, seconds=2.0)) in (DISTORTED, CLIPPED)
    assert rule_of(lossy) == DROPOUTS


def test_clipping_is_seen_through_resampling() -> None:
    """Catches a search for equal samples: resampling makes ripples of flat tops."""
    fast = soxr.resample(SPEECH / np.abs(SPEECH).max() * 4, 16_000, 44_100)
    assert rule_of(soxr.resample(np.clip(fast, -1, 1), 44_100, 16_000)) == CLIPPED


def test_one_full_peak_is_not_clipping() -> None:
    """Catches recordings rejected for having been normalised to full scale."""
    assert rule_of(SPEECH / np.abs(SPEECH).max()) is None


def test_measures_are_what_they_are_called() -> None:
    pitched = measured(SPEECH)
    assert pitched.pitch_hz == pytest.approx(130.0, rel=0.1)
    quiet = measured(SPEECH / 10)
    assert quiet.level_dbfs == pytest.approx(pitched.level_dbfs - 20.0, abs=0.5)
    assert quiet.crest_db == pytest.approx(pitched.crest_db, abs=0.5)


def test_spectrum_of_noise() -> None:
    """Catches power taken for amplitude, and bins outside the range."""
    noise = (0.1 * np.random.default_rng(1).standard_normal(64_000)).astype(np.float32)
    white = measure(noise, np.ones(200, dtype=bool))
    assert white.flatness_db == pytest.approx(0.0, abs=0.2)
    assert white.centroid_hz == pytest.approx((80 + 7_500) / 2, rel=0.02)


def test_nothing_to_measure() -> None:
    empty = measure(SPEECH[:0], np.zeros(0, dtype=bool))
    assert (empty.n_samples, empty.speech_s, empty.pitch_hz, empty.clipped) == (0, 0.0, None, 0.0)


@pytest.mark.parametrize("n_samples", [0, 1, 160, 319, 511, 512, 513, 4_000])
def test_every_length(n_samples: int) -> None:
    found = measured(SPEECH[:n_samples])
    assert all(np.isfinite(value) for value in vars(replace(found, pitch_hz=0.0)).values())


def test_a_finding_says_what_was_expected() -> None:
    assert str(Finding("short", 0.25, least=0.5)) == "short: 0.25, expected at least 0.5"
    assert str(Finding("clipped", 0.01, most=0.0005)) == "clipped: 0.01, expected at most 0.0005"
    assert str(Finding("pitch_hz", 400.0, 80.0, 250.0)) == "pitch_hz: 400, expected 80 to 250"
