from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from babbling import babble, envelope

from audio.errors import ToolkitError, UsageError
from audio.reading import write_wav
from synth import augment
from synth.augment import (
    CHANGES,
    PITCH,
    TOLERANCE_SAMPLES,
    Variation,
    at_pitch,
    at_speed,
    at_tempo,
    choose_variation,
    varied,
    with_noise,
)
from synth.noise import NoiseSpan
from synth.pcm import Samples, rms_dbfs
from synth.sounds import list_sounds

FACTORS = (0.9, 0.95, 1.0, 1.04, 1.1)
TIMED = {"speed": at_speed, "tempo": at_tempo}


def clicks(seconds: float = 2.0) -> Samples:
    """One burst of 8 ms every quarter of a second, all different."""
    samples = np.zeros(int(16_000 * seconds), dtype=np.float32)
    rng = np.random.default_rng(1)
    for onset in range(2_000, samples.size - 200, 4_000):
        samples[onset : onset + 128] = 0.3 * rng.standard_normal(128)
    return samples


def pitch_hz(samples: Samples) -> float:
    """Return the frequency of the strongest line, by a spectrum of a million points."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size), 1 << 20))
    return float(np.argmax(spectrum) * 16_000 / (1 << 20))


def tone(frequency_hz: float, seconds: float = 1.5) -> Samples:
    return (0.3 * np.sin(2 * np.pi * frequency_hz * np.arange(int(16_000 * seconds)) / 16_000)).astype(np.float32)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("change", [at_speed, at_tempo, at_pitch])
@pytest.mark.parametrize("n_samples", [0, 1, 2, 159, 320, 641, 16_000, 16_001])
def test_lengths(change, factor: float, n_samples: int) -> None:  # type: ignore[no-untyped-def]
    """Catches frames that drop the end of a recording, and short ones that crash."""
    changed = change(babble(3, seconds=1.1)[:n_samples], factor)
    assert changed.size == (n_samples if change is at_pitch else int(n_samples / factor + 0.5))
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("frequency_hz", [70.0, 131.0, 440.0])
def test_pitch_moves_where_it_should_and_nowhere_else(factor: float, frequency_hz: float) -> None:
    """Catches a factor turned upside down, and frames joined out of phase, which smear or shift a line."""
    given = tone(frequency_hz)
    assert pitch_hz(at_speed(given, factor)) == pytest.approx(frequency_hz * factor, rel=2e-3)
    assert pitch_hz(at_tempo(given, factor)) == pytest.approx(frequency_hz, rel=4e-3)
    assert pitch_hz(at_pitch(given, factor)) == pytest.approx(frequency_hz * factor, rel=4e-3)


@pytest.mark.parametrize("factor", FACTORS)
def test_tempo_keeps_a_tone_whole(factor: float) -> None:
    """Catches frames put down without looking for where they fit: overlapped out of phase, they cancel."""
    inner = at_tempo(tone(150.0), factor)[2_000:18_000]
    level = np.sqrt(np.mean(np.square(inner.reshape(-1, 800)), axis=1))
    assert level.min() > 0.9 * 0.3 / np.sqrt(2)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("change", TIMED)
def test_what_was_at_t_is_at_t_over_the_factor(change: str, factor: float) -> None:
    """Catches a delay, and drift that grows along the recording."""
    changed = TIMED[change](clicks(), factor)
    for onset in range(2_000, 32_000 - 200, 4_000):
        middle = (onset + 64) / factor
        around = np.abs(changed[int(middle) - 1_500 : int(middle) + 1_500])
        found = int(middle) - 1_500 + float((np.square(around) @ np.arange(around.size)) / np.square(around).sum())
        assert abs(found - middle) < (TOLERANCE_SAMPLES + 64 if change == "tempo" else 40)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_pitch_leaves_the_syllables_in_place(factor: float) -> None:
    speech = babble(5, seconds=2.0)
    before, after = envelope(speech), envelope(at_pitch(speech, factor))
    assert before @ after / np.sqrt((before @ before) * (after @ after)) > 0.9


@pytest.mark.parametrize("change", [at_speed, at_tempo, at_pitch])
def test_factor_one_changes_nothing(change) -> None:  # type: ignore[no-untyped-def]
    speech = babble(2, seconds=1.0)
    assert change(speech, 1.0) == pytest.approx(speech, abs=1e-5)


@pytest.mark.parametrize("change", [at_speed, at_tempo, at_pitch])
@pytest.mark.parametrize("factor", [0.89, 1.11, float("nan")])
def test_real_ends_at_a_tenth(change, factor: float) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=r"factor: expected 0\.9 to 1\.1"):
        change(babble(1, seconds=0.2), factor)


def test_silence_stays_silence() -> None:
    for change in (at_speed, at_tempo, at_pitch):
        assert not change(np.zeros(5_000, dtype=np.float32), 1.07).any()


@pytest.mark.parametrize("snr_db", [10.0, 30.0])
def test_noise_has_the_ratio_asked_for(snr_db: float) -> None:
    speech = babble(2, seconds=1.0)
    added = with_noise(speech, np.random.default_rng(1).standard_normal(speech.size), snr_db=snr_db) - speech
    assert rms_dbfs(speech) - rms_dbfs(added) == pytest.approx(snr_db, abs=0.1)


def test_silent_noise_adds_nothing() -> None:
    """Catches a gain of infinity."""
    speech = babble(2, seconds=0.5)
    assert np.array_equal(with_noise(speech, np.zeros(speech.size), snr_db=10.0), speech)


def test_recorded_noise(tmp_path: Path) -> None:
    write_wav(tmp_path / "hum.wav", tone(50.0, seconds=0.2))
    sounds = list_sounds(tmp_path)
    speech = babble(2, seconds=1.0)
    plan = Variation(noise=NoiseSpan(sounds.sounds[0], 7), snr_db=20.0)
    assert pitch_hz(varied(speech, plan, sounds=sounds) - speech) == pytest.approx(50.0, abs=1.0)
    with pytest.raises(UsageError, match=r"expected the folder of hum\.wav"):
        varied(speech, plan)


def test_drawn_plans_keep_the_limits() -> None:
    """Catches two changes in one copy, a copy of which nothing is changed, and factors beyond a tenth."""
    plans = [choose_variation(np.random.default_rng((7, k))) for k in range(500)]
    assert {plan.change for plan in plans} == {None, *CHANGES}
    assert all(0.03 <= abs(plan.factor - 1.0) <= 0.1 + 1e-9 for plan in plans if plan.factor is not None)
    assert all(plan.change or plan.noise for plan in plans)


def test_a_plan_says_everything(tmp_path: Path) -> None:
    """Catches randomness beside the plan, and what JSON loses."""
    write_wav(tmp_path / "hum.wav", tone(50.0, seconds=0.2))
    sounds = list_sounds(tmp_path)
    speech = babble(4, seconds=0.6)
    for k in range(10):
        plan = choose_variation(np.random.default_rng(k), sounds if k % 2 else None)
        assert isinstance(plan.noise, NoiseSpan | None) or k % 2 == 0
        again = Variation.from_json(json.loads(json.dumps(plan.to_json())))
        assert again == plan
        assert np.array_equal(varied(speech, plan, sounds=sounds), varied(speech, again, sounds=sounds))


BROKEN = ({"change": "phase"}, {"change": PITCH}, {"noise": "pink"}, {"change": PITCH, "factor": 1.2}, {"rooms": 1})


@pytest.mark.parametrize("facts", BROKEN)
def test_broken_plans(facts: dict[str, object]) -> None:
    with pytest.raises(ToolkitError):
        Variation.from_json({"noise": None, **facts})


def test_no_phase_vocoder() -> None:
    """Catches a time stretch by spectra: real would become neither real nor fake."""
    source = inspect.getsource(augment)
    assert "librosa" not in source
    assert "fft" not in source
