from __future__ import annotations

import json

import numpy as np
import pytest
from babbling import babble, lag_samples

from audio.errors import ToolkitError
from synth.channel import (
    NOISE_SLOPES,
    PEAK,
    ChannelPlan,
    apply_channel,
    apply_channels,
    band_limited,
    choose_channel,
    noise,
)
from synth.pcm import rms_dbfs

STEPS = {
    "nothing": ChannelPlan(),
    "gain": ChannelPlan(gain_db=-9.0),
    "band": ChannelPlan(low_hz=250.0, high_hz=5_500.0),
    **{kind: ChannelPlan(noise=kind, snr_db=15.0) for kind in NOISE_SLOPES},
    "all": ChannelPlan(120.0, 6_000.0, "pink", 20.0, -3.0, "aac", 32),
}


@pytest.mark.parametrize("step", STEPS)
def test_every_step_keeps_length_and_place(step: str) -> None:
    """Catches a filter with delay, and noise or codecs that lengthen."""
    speech = babble(1, seconds=1.5)
    received = apply_channel(speech, STEPS[step], seed=5)
    assert received.shape == speech.shape
    assert received.dtype == np.float32
    assert abs(lag_samples(speech, received)) < 16


def test_empty_plan_is_the_identity() -> None:
    speech = babble(1, seconds=0.5)
    assert np.array_equal(apply_channel(speech, ChannelPlan(), seed=0), speech)


@pytest.mark.parametrize("n_samples", [0, 1, 2, 7])
def test_tiny_clips(n_samples: int) -> None:
    plan = ChannelPlan(100.0, 6_000.0, "brown", 20.0, 3.0, "g722", 64)
    received = apply_channel(babble(1, seconds=0.1)[:n_samples], plan, seed=1)
    assert received.size == n_samples
    assert np.isfinite(received).all()


@pytest.mark.parametrize("snr_db", [15.0, 40.0])
def test_noise_has_the_ratio_asked_for(snr_db: float) -> None:
    speech = babble(2, seconds=2.0)
    added = apply_channel(speech, ChannelPlan(noise="pink", snr_db=snr_db), seed=3) - speech
    assert rms_dbfs(speech) - rms_dbfs(added) == pytest.approx(snr_db, abs=0.1)


def test_noise_slopes() -> None:
    """Catches amplitude taken for power: pink falls 3 dB an octave, brown 6."""
    for kind, fall_db in {"white": 0.0, "pink": 3.01, "brown": 6.02}.items():
        power = np.abs(np.fft.rfft(noise(kind, 1 << 17, rng=np.random.default_rng(1)))) ** 2
        octaves = [power[1 << k : 2 << k].mean() for k in range(12, 15)]
        falls = -np.diff(10 * np.log10(octaves))
        assert falls == pytest.approx([fall_db] * 2, abs=0.3), kind


def test_band_limits_are_where_they_should_be() -> None:
    impulse = np.zeros(16_000, dtype=np.float32)
    impulse[8_000] = 1.0
    response_db = 20 * np.log10(np.abs(np.fft.rfft(band_limited(impulse, low_hz=200.0, high_hz=6_000.0))) + 1e-9)
    assert response_db[[200, 6_000]] == pytest.approx([-3.01, -3.01], abs=0.1)
    assert response_db[1_000] == pytest.approx(0.0, abs=0.1)
    assert response_db[[100, 7_800]].max() < -8


def test_nothing_clips() -> None:
    speech = babble(3, seconds=0.5) * 3.5
    assert np.abs(apply_channel(speech, ChannelPlan(gain_db=3.0), seed=0)).max() <= PEAK + 1e-6


def test_clips_do_not_depend_on_each_other() -> None:
    """Catches a random stream or a codec process shared by the clips of a batch."""
    rng = np.random.default_rng(11)
    clips = [babble(k, seconds=0.4 + 0.1 * k) for k in range(6)]
    plans = [choose_channel(rng) for _ in clips]
    together = apply_channels(clips, plans, seeds=range(6))
    for i in (5, 0, 3):
        assert np.array_equal(together[i], apply_channel(clips[i], plans[i], seed=i))


def test_shares_of_the_steps() -> None:
    plans = [choose_channel(np.random.default_rng((1, k))) for k in range(2_000)]
    steps = ("codec", "noise", "low_hz")
    share = {name: np.mean([getattr(plan, name) is not None for plan in plans]) for name in steps}
    assert share == pytest.approx({"codec": 0.4, "noise": 0.5, "low_hz": 0.3}, abs=0.04)


def test_plan_survives_json() -> None:
    for k in range(50):
        plan = choose_channel(np.random.default_rng(k))
        assert ChannelPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


BROKEN = ({"noise": "babble", "snr_db": 3.0}, {"noise": "pink"}, {"codec": "mp3"}, {"rooms": 1})


@pytest.mark.parametrize("facts", BROKEN)
def test_broken_plans(facts: dict[str, object]) -> None:
    with pytest.raises(ToolkitError):
        ChannelPlan.from_json(facts)
