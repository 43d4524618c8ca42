from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from babbling import babble, lag_samples

from audio.errors import AudioError, EngineError, ToolkitError, UsageError
from audio.reading import write_wav
from synth import channel
from synth.channel import (
    CODEC_SHARE,
    DISPERSION_HZ,
    DISPERSION_MS,
    DISPERSION_SHARE,
    LEVEL_DBFS,
    MAX_GAIN_DB,
    OVERLOAD_SHARES,
    PEAK,
    RESAMPLE_SHARES,
    ROOM_SHARE,
    TELEPHONE_SHARE,
    ChannelKit,
    ChannelPlan,
    active_dbfs,
    apply_channel,
    apply_channels,
    channel_kit,
    choose_channel,
    filtered,
    limited,
    resampled,
)
from synth.codecs import CODECS, available_codings
from synth.noise import NOISE_SLOPES, NoiseSpan
from synth.pcm import FULL_SCALE, from_db, rms_dbfs
from synth.rooms import Box

ROOM = Box((5.0, 4.0, 3.0), (1.5, 1.0, 1.2), (2.0, 1.3, 1.2), 0.25)
NOTHING = ChannelKit()

STEPS = {
    "nothing": ChannelPlan(),
    "room": ChannelPlan(room=ROOM),
    "gain": ChannelPlan(gain_db=-9.0),
    "level": ChannelPlan(level_dbfs=-30.0),
    "band": ChannelPlan(low_hz=200.0, high_hz=5_500.0),
    "late": ChannelPlan(dispersion_ms=(DISPERSION_MS,) * len(DISPERSION_HZ)),
    "early": ChannelPlan(dispersion_ms=(-DISPERSION_MS,) * len(DISPERSION_HZ)),
    "zigzag": ChannelPlan(dispersion_ms=tuple(DISPERSION_MS * (-1) ** k for k in range(len(DISPERSION_HZ)))),
    **{kind: ChannelPlan(noise=kind, snr_db=5.0) for kind in NOISE_SLOPES},
    **{kind: ChannelPlan(overload=kind, crest_db=8.0) for kind in OVERLOAD_SHARES},
    **{
        f"{rate_hz} {quality}": ChannelPlan(resampling=((rate_hz, quality),))
        for rate_hz in (*channel.NARROW_RATES_HZ, *channel.WIDE_RATES_HZ)
        for quality in channel.RESAMPLERS
    },
    "converter": ChannelPlan(offset_lsb=3.0, dither_lsb=3.0),
}


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> ChannelKit:
    """Return a kit with everything: all codecs, two noises and two rooms."""
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(4)
    for k in range(2):
        write_wav(folder / "noise" / f"{k}.wav", 0.1 * rng.standard_normal(30_000 + 10_000 * k))
        response = rng.standard_normal(6_000) * np.exp(-np.arange(6_000) / 900) * 0.1
        response[300] = 0.9
        write_wav(folder / "rooms" / f"{k}.wav", response)
    return channel_kit(noise=folder / "noise", rooms=folder / "rooms")


def _plans(kit: ChannelKit, n: int, *, seed: int = 1) -> list[ChannelPlan]:
    return [choose_channel(np.random.default_rng((seed, k)), kit) for k in range(n)]


# Each step.


@pytest.mark.parametrize("step", STEPS)
def test_every_step_keeps_length_and_place(step: str) -> None:
    """Catches a filter with delay, a resampler that shifts, and noise or rooms that lengthen."""
    speech = babble(1, seconds=1.5)
    received = apply_channel(speech, STEPS[step], seed=5, kit=NOTHING)
    assert received.shape == speech.shape
    assert received.dtype == np.float32
    assert abs(lag_samples(speech, received)) <= 7


def test_empty_plan_is_the_identity() -> None:
    speech = babble(1, seconds=0.5)
    assert np.array_equal(apply_channel(speech, ChannelPlan(), seed=0, kit=NOTHING), speech)


@pytest.mark.parametrize("snr_db", [5.0, 20.0, 50.0])
@pytest.mark.parametrize("kind", NOISE_SLOPES)
def test_noise_has_the_ratio_asked_for(kind: str, snr_db: float) -> None:
    """Catches a ratio to the whole clip, which would tell how much of it is pause."""
    speech = np.pad(babble(2, seconds=2.0), (8_000, 0))
    added = apply_channel(speech, ChannelPlan(noise=kind, snr_db=snr_db), seed=3, kit=NOTHING) - speech
    assert active_dbfs(speech) - rms_dbfs(added) == pytest.approx(snr_db, abs=0.2)


def test_recorded_noise_has_the_ratio_asked_for(kit: ChannelKit) -> None:
    assert kit.noises is not None
    speech = babble(2, seconds=1.0)
    plan = ChannelPlan(noise=NoiseSpan(kit.noises.sounds[1], 5_000), snr_db=12.0)
    added = apply_channel(speech, plan, seed=3, kit=kit) - speech
    assert active_dbfs(speech) - rms_dbfs(added) == pytest.approx(12.0, abs=0.1)


@pytest.mark.parametrize("level_dbfs", [LEVEL_DBFS[0], -30.0, -23.0])
def test_level_is_absolute(level_dbfs: float) -> None:
    """Catches a gain relative to what the clip had, by which a quiet corpus stays the quiet one."""
    for before_db in (-25.0, 0.0, 6.0):
        speech = np.pad(babble(3, seconds=1.0), (0, 9_000)) * np.float32(from_db(before_db))
        received = apply_channel(speech, ChannelPlan(level_dbfs=level_dbfs), seed=0, kit=NOTHING)
        assert active_dbfs(received) == pytest.approx(level_dbfs, abs=0.3)


def test_silence_is_not_raised_to_speech() -> None:
    plan = ChannelPlan(noise="white", snr_db=5.0, level_dbfs=-17.0)
    assert rms_dbfs(apply_channel(np.zeros(16_000, dtype=np.float32), plan, seed=0, kit=NOTHING)) < -120 + MAX_GAIN_DB


def test_active_level_ignores_pauses() -> None:
    speech = babble(1, seconds=1.0)
    paused = np.concatenate([np.zeros(16_000, dtype=np.float32), speech, np.zeros(32_000, dtype=np.float32)])
    assert active_dbfs(paused) == pytest.approx(active_dbfs(speech), abs=0.3)
    tone = np.sin(np.arange(16_000) * 0.3).astype(np.float32)
    assert active_dbfs(tone) == pytest.approx(-3.01, abs=0.02)


def test_band_limits_are_where_they_should_be() -> None:
    impulse = np.zeros(16_000, dtype=np.float32)
    impulse[8_000] = 1.0
    response_db = 20 * np.log10(np.abs(np.fft.rfft(filtered(impulse, low_hz=200.0, high_hz=6_000.0))) + 1e-9)
    assert response_db[[200, 6_000]] == pytest.approx([-3.01, -3.01], abs=0.1)
    assert response_db[1_000] == pytest.approx(0.0, abs=0.1)
    assert response_db[[100, 7_800]].max() < -8


def test_dispersion_passes_all_and_delays_as_planned() -> None:
    """Catches seconds for milliseconds, and a delay that is none: late is later, by as much as the plan says."""
    delays_ms = (0.0, 0.0, 0.3, -0.2, 0.1, -0.4, 0.4)
    impulse = np.zeros(16_000, dtype=np.float32)
    impulse[8_000] = 1.0
    spectrum = np.fft.rfft(filtered(impulse, dispersion_ms=delays_ms)) * np.exp(2j * np.pi * np.arange(8_001) * 0.5)
    assert np.abs(spectrum)[20:7_900] == pytest.approx(1.0, abs=0.02)
    phase = np.unwrap(np.angle(spectrum))
    at_hz = np.array(DISPERSION_HZ[1:-1], dtype=int)
    delay_ms = -(phase[at_hz + 10] - phase[at_hz - 10]) / (2 * np.pi * 20) * 1_000
    assert delay_ms == pytest.approx(delays_ms[1:-1], abs=0.03)


def test_overloads_keep_their_ceiling() -> None:
    """Catches a limiter that looks ahead too little, and a ceiling relative to full scale."""
    speech = babble(3, seconds=1.0)
    for kind in OVERLOAD_SHARES:
        plan = ChannelPlan(level_dbfs=-20.0, overload=kind, crest_db=9.0)
        received = apply_channel(speech, plan, seed=0, kit=NOTHING)
        assert np.abs(received).max() == pytest.approx(from_db(-11.0), rel=0.05), kind


def test_limiter_is_smooth_and_rests() -> None:
    """Catches a limiter that is a clipper, and one that turns down what needs no turning down."""
    tone = 0.2 * np.sin(np.arange(16_000) * 0.1).astype(np.float32)
    tone[8_000:8_100] *= 4
    made = limited(tone, 0.3)
    assert np.abs(made).max() <= 0.3 + 1e-6
    assert np.array_equal(made[:7_800], tone[:7_800])
    gain = made[7_800:8_300] / np.where(tone[7_800:8_300] == 0, 1, tone[7_800:8_300])
    assert np.abs(np.diff(gain)).max() < 0.02


def test_nothing_clips() -> None:
    speech = babble(3, seconds=0.5) * 3.5
    assert np.abs(apply_channel(speech, ChannelPlan(gain_db=3.0), seed=0, kit=NOTHING)).max() <= PEAK + 1e-6


def test_narrow_rates_are_narrow() -> None:
    hiss = np.random.default_rng(1).standard_normal(16_000).astype(np.float32)
    power = [np.abs(np.fft.rfft(resampled(hiss, rate_hz, quality="HQ"))) ** 2 for rate_hz in (8_000, 22_050)]
    assert power[0][4_400:].mean() < 1e-4 * power[0][:3_500].mean()
    assert power[1][4_400:7_000].mean() == pytest.approx(power[1][:3_500].mean(), rel=0.2)


def test_converter_sets_the_offset() -> None:
    """Catches an offset that says what the clip was: that of a limited, asymmetric voice."""
    speech = np.maximum(babble(1, seconds=1.0), 0.0)
    received = apply_channel(speech, ChannelPlan(offset_lsb=2.5, dither_lsb=1.0), seed=1, kit=NOTHING)
    assert received.mean() * FULL_SCALE == pytest.approx(2.5, abs=0.05)


def test_no_digital_silence(kit: ChannelKit) -> None:
    """Catches runs of equal samples, by which a synthesiser that knows silence would be told."""
    clip = np.pad(babble(1, seconds=1.0), (16_000, 16_000))
    clip[:16_000] = clip[-16_000:] = 0.0
    plans = _plans(kit, 24)
    for received in apply_channels([clip] * 24, plans, seeds=range(24), kit=kit):
        changes = np.flatnonzero(np.diff(np.rint(received * FULL_SCALE)))
        assert np.diff(changes).max() < 400


# Whole plans.


def test_random_plans_keep_length_and_place(kit: ChannelKit) -> None:
    """Catches steps that keep the place alone and lose it together."""
    plans = _plans(kit, 96)
    clips = [babble(k, seconds=1.0 + 0.25 * (k % 3), pitch_hz=80.0 + 2 * k) for k in range(96)]
    for clip, plan, received in zip(clips, plans, apply_channels(clips, plans, seeds=range(96), kit=kit), strict=True):
        assert received.shape == clip.shape
        assert received.dtype == np.float32
        assert np.isfinite(received).all()
        assert abs(lag_samples(clip, received)) < 16, plan


@pytest.mark.parametrize("n_samples", [0, 1, 2, 7, 500])
def test_tiny_clips(n_samples: int, kit: ChannelKit) -> None:
    plans = _plans(kit, 24, seed=2)
    clips = [babble(1, seconds=0.1)[:n_samples]] * 24
    for received in apply_channels(clips, plans, seeds=range(24), kit=kit):
        assert received.size == n_samples
        assert np.isfinite(received).all()


def test_clips_do_not_depend_on_each_other(kit: ChannelKit) -> None:
    """Catches a random stream or a codec process shared by the clips of a batch, and clips that are written to."""
    clips = [babble(k, seconds=0.4 + 0.1 * k) for k in range(8)]
    copies = [clip.copy() for clip in clips]
    plans = _plans(kit, 8, seed=3)
    together = apply_channels(clips, plans, seeds=range(8), kit=kit)
    backwards = apply_channels(clips[::-1], plans[::-1], seeds=range(8)[::-1], kit=kit)[::-1]
    assert all(map(np.array_equal, clips, copies))
    for i, received in enumerate(together):
        assert np.array_equal(received, backwards[i])
        assert np.array_equal(received, apply_channel(clips[i], plans[i], seed=i, kit=kit))


def test_plans_render_again_from_json(kit: ChannelKit) -> None:
    """Catches whatever decides samples and is not in the plan."""
    clips = [babble(k, seconds=0.5) for k in range(24)]
    plans = _plans(kit, 24, seed=4)
    read = [ChannelPlan.from_json(json.loads(json.dumps(plan.to_json()))) for plan in plans]
    assert read == plans
    once, again = (apply_channels(clips, given, seeds=range(24), kit=kit) for given in (plans, read))
    assert all(map(np.array_equal, once, again))
    other = apply_channels(clips, plans, seeds=range(1, 25), kit=kit)
    assert not any(map(np.array_equal, once, other))


def test_changed_and_missing_sounds(tmp_path: Path) -> None:
    write_wav(tmp_path / "noise.wav", babble(5, seconds=1.0))
    kit = channel_kit(noise=tmp_path, rooms=tmp_path, codecs=())
    assert kit.noises is not None
    speech = babble(1, seconds=0.3)
    plans = [ChannelPlan(noise=NoiseSpan(kit.noises.sounds[0], 9), snr_db=9.0), ChannelPlan(room=kit.noises.sounds[0])]
    for plan in plans:
        apply_channel(speech, plan, seed=1, kit=kit)
        with pytest.raises(UsageError, match=r"expected the folder with 'noise\.wav'"):
            apply_channel(speech, plan, seed=1, kit=NOTHING)
    write_wav(tmp_path / "noise.wav", babble(6, seconds=1.1))
    for plan in plans:
        with pytest.raises(AudioError, match="has changed"):
            apply_channel(speech, plan, seed=1, kit=kit)
    (tmp_path / "noise.wav").unlink()
    for plan in plans:
        with pytest.raises(AudioError, match="No such file"):
            apply_channel(speech, plan, seed=1, kit=kit)


# Drawing.


def test_plans_know_nothing_of_the_clip() -> None:
    """Catches a second distribution: whatever a plan is drawn from is here."""
    assert list(inspect.signature(choose_channel).parameters) == ["rng", "kit"]
    assert set(ChannelKit.__dataclass_fields__) == {"codings", "noises", "rooms"}


def test_shares_of_the_steps(kit: ChannelKit) -> None:
    plans = _plans(kit, 3_000)
    coded = [plan for plan in plans if plan.codec is not None]
    share = {
        "room": np.mean([plan.room is not None for plan in plans]),
        "box": np.mean([isinstance(plan.room, Box) for plan in plans]),
        "span": np.mean([isinstance(plan.noise, NoiseSpan) for plan in plans]),
        "dispersion": np.mean([plan.dispersion_ms != () for plan in plans]),
        "resampled": np.mean([plan.resampling != () for plan in plans]),
        "codec": len(coded) / 3_000,
        "telephone": np.mean([CODECS[plan.codec or ""].is_narrowband for plan in coded]),
        **{kind: np.mean([plan.overload == kind for plan in plans]) for kind in OVERLOAD_SHARES},
    }
    expected = {
        "room": ROOM_SHARE,
        "box": ROOM_SHARE / 2,
        "span": 0.5,
        "dispersion": DISPERSION_SHARE,
        "resampled": 1 - RESAMPLE_SHARES[0],
        "codec": CODEC_SHARE,
        "telephone": TELEPHONE_SHARE,
        **OVERLOAD_SHARES,
    }
    assert share == pytest.approx(expected, abs=0.04)
    assert {plan.codec for plan in coded} == {coding.codec for coding in available_codings()}
    assert all(plan.noise is not None and plan.level_dbfs is not None and plan.low_hz is not None for plan in plans)


def test_plans_without_folders_or_codecs() -> None:
    plans = _plans(NOTHING, 200)
    assert {type(plan.room) for plan in plans} == {Box, type(None)}
    assert {plan.noise for plan in plans} == set(NOISE_SLOPES)
    assert {plan.codec for plan in plans} == {None}


def test_kit_of_named_codecs() -> None:
    """Catches names that are ignored, and a kit of none that still looks for ffmpeg."""
    assert {coding.codec for coding in channel_kit(codecs=("opus", "gsm")).codings} == {"opus", "gsm"}
    assert channel_kit(codecs=()).codings == ()
    assert channel_kit().codings == available_codings()


def test_kit_of_codecs_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"expected some of mp3, .*received wax"):
        channel_kit(codecs=("mp3", "wax"))
    few = tuple(coding for coding in available_codings() if coding.codec != "opus")
    monkeypatch.setattr("synth.channel.available_codings", lambda: few)
    with pytest.raises(EngineError, match="cannot code opus: put a full build on PATH"):
        channel_kit(codecs=("mp3", "opus"))


def test_kit_without_recordings(tmp_path: Path) -> None:
    for name in ("noise", "rooms"):
        with pytest.raises(UsageError, match="expected a folder with recordings"):
            channel_kit(**{name: tmp_path})  # type: ignore[arg-type]


def test_kit_in_json_is_the_same_wherever_it_lies(kit: ChannelKit) -> None:
    assert kit.noises is not None
    moved = replace(kit, noises=replace(kit.noises, root=Path("elsewhere")))
    assert json.dumps(kit.to_json()) == json.dumps(moved.to_json())
    assert [noise["path"] for noise in json.loads(json.dumps(kit.to_json()))["noises"]] == ["0.wav", "1.wav"]


# Formats.

VERSION_1 = {
    "low_hz": 120.3,
    "high_hz": 6_000.1,
    "noise": "pink",
    "snr_db": 20.5,
    "gain_db": -3.0,
    "codec": "aac",
    "kbps": 32,
}


def test_plans_of_version_1_are_read() -> None:
    plan = ChannelPlan.from_json(VERSION_1)
    assert {name: getattr(plan, name) for name in VERSION_1} == VERSION_1
    speech = babble(1, seconds=0.5)
    assert abs(lag_samples(speech, apply_channel(speech, plan, seed=1, kit=NOTHING))) < 16


BROKEN: tuple[dict[str, object], ...] = (
    {"noise": "babble", "snr_db": 3.0},
    {"noise": "pink"},
    {"codec": "mp3"},
    {"overload": "hard"},
    {"overload": "tape", "crest_db": 3.0},
    {"rooms": 1},
    {"room": {"size_m": 3}},
    {"resampling": [[8_000, "best"]]},
    {"resampling": [8_000]},
    {"dispersion_ms": [0.1]},
    {"level_dbfs": "loud"},
)


@pytest.mark.parametrize("facts", BROKEN)
def test_broken_plans(facts: dict[str, object]) -> None:
    with pytest.raises(ToolkitError):
        ChannelPlan.from_json(facts)
