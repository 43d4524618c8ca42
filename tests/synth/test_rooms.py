from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from babbling import babble, lag_samples

from audio.errors import AudioError, ToolkitError
from audio.reading import write_wav
from synth.rooms import (
    DISTANCE_M,
    LEAD_SAMPLES,
    LONGEST_SAMPLES,
    ROOM_HZ,
    SOUND_M_PER_S,
    WALL_M,
    Box,
    _paths,
    choose_box,
    from_direct_path,
    recorded,
    reverberated,
    room_from_json,
    room_to_json,
    simulated,
)
from synth.sounds import list_sounds

ROOM = Box((5.0, 4.0, 3.0), (1.5, 1.0, 1.2), (2.5, 1.0, 1.2), 0.25)


def _boxes(n: int) -> list[Box]:
    return [choose_box(np.random.default_rng((5, k))) for k in range(n)]


def test_drawn_rooms_are_rooms() -> None:
    """Catches places in walls, and reverberation that Sabine would not sign."""
    for box in _boxes(300):
        for place in (box.mouth_m, box.microphone_m):
            assert all(WALL_M - 0.01 <= at <= size - WALL_M + 0.01 for at, size in zip(place, box.size_m, strict=True))
        away_m = np.linalg.norm(np.subtract(box.mouth_m, box.microphone_m))
        assert 0.5 * DISTANCE_M[0] < away_m < DISTANCE_M[1] + 0.02
        assert 0.09 < box.rt60_s < 0.71


def test_paths_are_those_of_the_mirror() -> None:
    """Brute force: the direct path and the six first reflections, by mirroring the mouth in each wall."""
    delays, amplitudes = _paths(ROOM)
    microphone = np.array(ROOM.microphone_m)
    expected = [(np.linalg.norm(np.array(ROOM.mouth_m) - microphone), 1.0)]
    for axis in range(3):
        for wall_m in (0.0, ROOM.size_m[axis]):
            image = np.array(ROOM.mouth_m)
            image[axis] = 2 * wall_m - image[axis]
            expected.append((np.linalg.norm(image - microphone), np.sqrt(1 - ROOM.absorption)))
    assert delays[0] == pytest.approx(1.0 / SOUND_M_PER_S * 16_000, abs=0.01)
    for away_m, reflected in expected:
        at = np.flatnonzero(np.abs(delays - away_m / SOUND_M_PER_S * 16_000) < 0.01)
        assert np.isclose(amplitudes[at], reflected / (4 * np.pi * away_m), rtol=0.01).any(), away_m


@pytest.mark.parametrize("rt60_s", [0.2, 0.4, 0.6])
def test_decay(rt60_s: float) -> None:
    """Catches a tail that decays by power where it should by amplitude, or joins on too loud."""
    measured = []
    for k in range(12):
        absorption = ROOM.rt60_s * ROOM.absorption / rt60_s
        box = Box(ROOM.size_m, (1.0 + 0.1 * k, 2.5, 1.3), ROOM.microphone_m, absorption)
        energy = np.cumsum(np.square(simulated(box, rng=np.random.default_rng(k))[100:])[::-1])[::-1]
        level_db = 10 * np.log10(energy / energy[0] + 1e-9)
        measured.append(3 * (np.argmax(level_db < -25) - np.argmax(level_db < -5)) / 16_000)
    assert np.median(measured) == pytest.approx(rt60_s, rel=0.25)


def test_responses_begin_with_the_direct_path() -> None:
    for k, box in enumerate(_boxes(40)):
        response = simulated(box, rng=np.random.default_rng(k))
        assert response.dtype == np.float32
        assert np.argmax(response) == np.argmax(np.abs(response)) == LEAD_SAMPLES
        assert LEAD_SAMPLES < response.size <= LEAD_SAMPLES + LONGEST_SAMPLES


def test_same_room_same_samples() -> None:
    one, two, other = (simulated(ROOM, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_any_room_keeps_the_place() -> None:
    """Catches direct paths that are not at 0, and reflections that drown them."""
    for k, box in enumerate(_boxes(40)):
        speech = babble(k, seconds=1.0, pitch_hz=80.0 + 4 * k)
        heard = reverberated(speech, simulated(box, rng=np.random.default_rng(k)))
        assert heard.shape == speech.shape
        assert abs(lag_samples(speech, heard)) <= 6


def test_reflection_a_period_later_is_turned_down() -> None:
    """Catches a response that passes its own check and still shifts a voice of just that pitch."""
    response = np.zeros(3_000)
    response[LEAD_SAMPLES] = 1.0
    response[LEAD_SAMPLES + np.arange(160, 2_400, 160)] = 0.9
    tone = np.sin(2 * np.pi * 100.0 * np.arange(16_000) / 16_000) * np.linspace(0, 1, 16_000)
    assert abs(lag_samples(tone, reverberated(tone.astype(np.float32), response.astype(np.float32)))) <= 6


def test_direct_alone_is_the_identity() -> None:
    response = np.zeros(100, dtype=np.float32)
    response[LEAD_SAMPLES] = 1.0
    speech = babble(1, seconds=0.5)
    assert np.abs(reverberated(speech, response) - speech).max() < 1e-6


@pytest.mark.parametrize("n_samples", [0, 1, 2, 100])
def test_tiny_clips(n_samples: int) -> None:
    heard = reverberated(babble(1, seconds=0.1)[:n_samples], simulated(ROOM, rng=np.random.default_rng(1)))
    assert heard.size == n_samples
    assert np.isfinite(heard).all()


@pytest.mark.parametrize("n_samples", [1, 2, 10, 30_000])
def test_any_response(n_samples: int) -> None:
    response = np.zeros(n_samples)
    response[n_samples // 2] = -0.3  # upside down, and late
    made = from_direct_path(response)
    assert made[LEAD_SAMPLES] == pytest.approx(1.0)
    assert made.size <= LEAD_SAMPLES + LONGEST_SAMPLES
    speech = babble(1, seconds=0.3)
    assert np.abs(reverberated(speech, made) - speech).max() < 1e-5


def test_rooms_of_a_folder(tmp_path: Path) -> None:
    """Catches a response that is used with the silence before it, and one that was exchanged."""
    rng = np.random.default_rng(3)
    response = np.zeros(8_000)
    response[700] = 0.8
    response[750:] = 0.05 * rng.standard_normal(7_250) * np.exp(-np.arange(7_250) / 1_500)
    write_wav(tmp_path / "hall.wav", response)
    folder = list_sounds(tmp_path)
    speech = babble(2, seconds=1.0)
    heard = reverberated(speech, recorded(folder, folder.sounds[0]))
    assert abs(lag_samples(speech, heard)) <= 6
    assert np.corrcoef(speech, heard)[0, 1] < 0.99
    write_wav(tmp_path / "hall.wav", np.roll(response, 9)[:7_900])
    with pytest.raises(AudioError, match="has changed"):
        recorded(folder, folder.sounds[0])


def test_no_tones_below_voices() -> None:
    """Catches image sources that add up to an offset: reflections of one sign."""
    for k, box in enumerate(_boxes(20)):
        late = simulated(box, rng=np.random.default_rng(k))[2 * LEAD_SAMPLES :]
        power = np.abs(np.fft.rfft(late, 16_000)) ** 2
        assert power[: int(ROOM_HZ / 4)].mean() < power[300:2_000].mean()


def test_json() -> None:
    sound = {"path": "a.wav", "sha256": "0", "n_samples": 5}
    assert room_from_json(json.loads(json.dumps(room_to_json(ROOM)))) == ROOM
    assert room_to_json(room_from_json(sound)) == sound


BROKEN = (
    {},
    {"size_m": [1, 1, 1]},
    {**room_to_json(ROOM), "size_m": [5, 4]},
    {**room_to_json(ROOM), "mouth_m": [9, 1, 1]},
    {**room_to_json(ROOM), "absorption": 0},
    {**room_to_json(ROOM), "microphone_m": list(ROOM.mouth_m)},
    {**room_to_json(ROOM), "absorption": "soft"},
    {"sha256": "0"},
    {"sha256": 0, "path": "a", "n_samples": 1},
)


@pytest.mark.parametrize("facts", BROKEN)
def test_broken_json(facts: dict[str, object]) -> None:
    with pytest.raises(ToolkitError):
        room_from_json(facts)
