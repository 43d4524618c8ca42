"""Treatments: what they change, and that length and place stay."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from babbling import babble, lag_samples

from audio.errors import ToolkitError
from synth.codecs import Coding
from synth.pcm import rms_dbfs
from synth.treatments import (
    BANDS_HZ,
    CODEC,
    DENOISE,
    EQUALISE,
    GAIN,
    RATES_HZ,
    RESAMPLE,
    SHIFT,
    SHIFT_SAMPLES,
    TREATMENTS,
    Treatment,
    choose_treatment,
    treat,
)

CODINGS = (Coding("mp3", 64), Coding("pcm_mulaw", 128))
SPEECH = babble(3, seconds=2.0)


def drawn(count: int, *, codings: tuple[Coding, ...] = CODINGS) -> list[Treatment]:
    return [choose_treatment(np.random.default_rng((1, k)), codings) for k in range(count)]


def test_each_kind_is_drawn_as_often_as_it_should() -> None:
    counts = Counter(treatment.kind for treatment in drawn(2_000))
    assert {kind: n / 2_000 for kind, n in counts.items()} == pytest.approx(TREATMENTS, abs=0.04)
    assert CODEC not in {treatment.kind for treatment in drawn(200, codings=())}


def test_every_treatment_keeps_length_and_place() -> None:
    """Catches filters with delay: a decoy that is late would be a cue of its own."""
    treatments = drawn(60)
    for treatment, heard in zip(treatments, treat([SPEECH] * 60, treatments), strict=True):
        assert heard.dtype == np.float32
        assert heard.shape == SPEECH.shape
        assert np.abs(heard).max() <= 1.0
        assert lag_samples(SPEECH, heard, within=200) == pytest.approx(treatment.shift_samples, abs=2)


@pytest.mark.parametrize("n_samples", [0, 1, 100, 1_000])
def test_any_length(n_samples: int) -> None:
    treatments = [Treatment(RESAMPLE, rate_hz=rate) for rate in RATES_HZ]
    treatments += [Treatment(SHIFT, shift_samples=-30), Treatment(GAIN, gain_db=6.0), Treatment(DENOISE)]
    treatments += [Treatment(EQUALISE, bands_db=(3.0,) * len(BANDS_HZ)), Treatment(CODEC, codec="mp3", kbps=64)]
    for heard in treat([SPEECH[:n_samples]] * len(treatments), treatments):
        assert heard.shape == (n_samples,)
        assert np.isfinite(heard).all()


def test_shift_by_hand() -> None:
    samples = np.arange(1, 101, dtype=np.float32)
    later, earlier = treat([samples, samples], [Treatment(SHIFT, shift_samples=by) for by in (16, -16)])
    assert np.array_equal(later, [*[0.0] * 16, *samples[:-16]])
    assert np.array_equal(earlier, [*samples[16:], *[0.0] * 16])
    assert all(16 <= abs(t.shift_samples) <= SHIFT_SAMPLES[1] for t in drawn(300) if t.kind == SHIFT)


def test_equaliser_raises_its_bands() -> None:
    """Catches gains on the wrong band, or counted as power."""
    time_s = np.arange(16_000) / 16_000
    for place, hz in enumerate(BANDS_HZ[:-1]):
        tone = (0.1 * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)
        gains = tuple(5.0 if k == place else 0.0 for k in range(len(BANDS_HZ)))
        heard = treat([tone], [Treatment(EQUALISE, bands_db=gains)])[0]
        assert rms_dbfs(heard) - rms_dbfs(tone) == pytest.approx(5.0, abs=0.3)


def test_gain_never_clips() -> None:
    loud = SPEECH / np.abs(SPEECH).max()
    up, down = treat([loud, loud], [Treatment(GAIN, gain_db=6.0), Treatment(GAIN, gain_db=-6.0)])
    assert np.abs(up).max() == pytest.approx(1.0)
    assert rms_dbfs(down) - rms_dbfs(loud) == pytest.approx(-6.0, abs=0.01)


def test_resampling_there_and_back_keeps_the_lower_band() -> None:
    heard = treat([SPEECH], [Treatment(RESAMPLE, rate_hz=11_025)])[0]
    power = [np.abs(np.fft.rfft(samples)) ** 2 for samples in (SPEECH, heard)]
    hz = np.fft.rfftfreq(SPEECH.size, 1 / 16_000)
    assert power[1][hz > 6_000].sum() < 1e-3 * power[0][hz > 6_000].sum()
    assert power[1][hz < 5_000].sum() == pytest.approx(power[0][hz < 5_000].sum(), rel=0.02)


def test_denoising_lowers_noise_more_than_speech() -> None:
    noisy = (SPEECH + 0.01 * np.random.default_rng(1).standard_normal(SPEECH.size)).astype(np.float32)
    heard = treat([noisy], [Treatment(DENOISE)])[0]
    assert rms_dbfs(heard - SPEECH) < rms_dbfs(noisy - SPEECH) - 1.0


def test_batch_mates_do_not_matter() -> None:
    treatments = drawn(20)
    together = treat([SPEECH] * 20, treatments)
    for treatment, heard in zip(treatments, together, strict=True):
        assert np.array_equal(treat([SPEECH], [treatment])[0], heard)


def test_treatment_survives_json() -> None:
    for treatment in drawn(40):
        facts = json.loads(json.dumps(treatment.to_json()))
        assert Treatment.from_json(facts) == treatment
        assert all(value or name == "kind" for name, value in facts.items()), "only what is set"


@pytest.mark.parametrize("facts", [{}, {"kind": "magic"}, {"kind": SHIFT, "amount": 3}])
def test_what_is_no_treatment_is_refused(facts: dict) -> None:
    with pytest.raises(ToolkitError, match="treatment"):
        Treatment.from_json(facts)
