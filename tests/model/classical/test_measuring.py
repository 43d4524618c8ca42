"""What a whole clip is like: no matter how loud, how long, and how much silence is around it."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_model import RATE, voice

from audio.errors import AudioError
from audio.manifest import Clip
from audio.reading import write_wav
from model.classical import measuring
from model.classical.handmade import NAMES
from model.classical.measuring import BAND_HZ, WINDOW_SAMPLES, band_levels, measure, measure_clips


def buzz(seconds: float, *, hz: float = 120.0) -> np.ndarray:
    """A steady voice: pulses with a hiss."""
    time_s = np.arange(round(seconds * RATE)) / RATE
    partials = sum(np.sin(2 * np.pi * hz * k * time_s) / k for k in range(1, 20))
    return (0.1 * partials + 0.001 * np.random.default_rng(0).standard_normal(len(time_s))).astype(np.float32)


def test_level_and_silence_say_nothing():
    """Catches pauses around speech that count as variability: genuine corpora have more of them."""
    spoken = buzz(2.0)
    silence = np.zeros(RATE, dtype=np.float32)
    plain, padded = measure(spoken), measure(np.concatenate([silence, 0.5 * spoken, silence]))
    off = NAMES.index("mfcc_2_std")
    assert padded.features[off] == pytest.approx(plain.features[off], rel=0.1)
    assert padded.bands_db == pytest.approx(plain.bands_db, abs=0.5)
    assert padded.pitch_hz == pytest.approx(120, abs=2)
    half = measure(0.5 * spoken)
    np.testing.assert_allclose(half.features, plain.features, rtol=1e-3, atol=1e-3)


def test_length_says_nothing():
    """Catches statistics over ten seconds beside such over three."""
    one = voice(np.random.default_rng(1), WINDOW_SAMPLES / RATE)
    twice = np.concatenate([one, one])
    np.testing.assert_allclose(measure(twice).features, measure(one).features, rtol=1e-5, atol=1e-5)


def test_long_recordings_are_described_by_a_few_windows(monkeypatch):
    described = []
    describe = measuring.describe
    monkeypatch.setattr(measuring, "describe", lambda window: described.append(len(window)) or describe(window))
    measure(buzz(70))
    assert described == [WINDOW_SAMPLES] * measuring.MOST_WINDOWS


def test_windows_without_a_voice_do_not_count_for_what_only_voices_have():
    """Catches a pitch that is the mean of 120 Hz and of nothing."""
    hiss = 0.1 * np.random.default_rng(2).standard_normal(WINDOW_SAMPLES).astype(np.float32)
    mixed = measure(np.concatenate([buzz(3.0), hiss]))
    assert mixed.features[NAMES.index("pitch_mean")] == pytest.approx(120, abs=5)
    assert mixed.features[NAMES.index("voiced_share")] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("hz", [260.0, 2_240.0, 7_740.0])
def test_a_tone_lies_in_its_band(hz):
    tone = np.sin(2 * np.pi * hz * np.arange(WINDOW_SAMPLES) / RATE)
    found = band_levels([tone])
    assert found.argmax() == hz // BAND_HZ
    assert 10 ** (found / 10) @ np.ones(len(found)) == pytest.approx(1)


@pytest.mark.parametrize("n_samples", [0, 1, 4_000, 16_000])
def test_too_little_speech_is_told(n_samples):
    quiet = 1e-5 * np.ones(n_samples, dtype=np.float32)
    with pytest.raises(AudioError, match=r"expected half a second of speech or more. Received: 0.00 s"):
        measure(quiet)


def test_a_bad_file_is_told_and_the_others_are_measured_once(tmp_path, monkeypatch):
    """Catches a batch that one file ends, and a second run that measures everything again."""
    for name, samples in (("a.wav", buzz(1.0)), ("c.wav", np.zeros(RATE, dtype=np.float32))):
        write_wav(tmp_path / name, samples)
    (tmp_path / "b.wav").write_bytes(b"no sound")
    clips = [Clip(f"{name}.wav", "real") for name in "abcd"]
    good, *bad = measure_clips(tmp_path, clips, folder=tmp_path / "out")
    assert [isinstance(each, str) for each in bad] == [True] * 3
    assert "c.wav: expected half a second of speech" in bad[1]
    monkeypatch.setattr(measuring, "measure", lambda samples: pytest.fail("measured again"))
    (again,) = measure_clips(tmp_path, clips[:1], folder=tmp_path / "out")
    np.testing.assert_array_equal(again.features, good.features)
    assert again.conditions == good.conditions
