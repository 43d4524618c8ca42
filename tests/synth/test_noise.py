from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from babbling import babble

from audio.errors import ToolkitError
from audio.reading import read, write_wav
from synth.noise import (
    NOISE_SLOPES,
    NoiseSpan,
    choose_noise,
    generated,
    looped,
    noise_from_json,
    noise_to_json,
    recorded,
)
from synth.sounds import Sound, SoundFolder, list_sounds


@pytest.fixture
def folder(tmp_path: Path) -> SoundFolder:
    for k in range(3):
        write_wav(tmp_path / f"{k}.wav", babble(k, seconds=1.0 + 0.5 * k))
    return list_sounds(tmp_path)


def test_slopes() -> None:
    """Catches amplitude taken for power: pink falls 3 dB an octave, brown 6."""
    for kind, fall_db in {"white": 0.0, "pink": 3.01, "brown": 6.02}.items():
        power = np.abs(np.fft.rfft(generated(kind, 1 << 17, rng=np.random.default_rng(1)))) ** 2
        octaves = [power[1 << k : 2 << k].mean() for k in range(12, 15)]
        falls = -np.diff(10 * np.log10(octaves))
        assert falls == pytest.approx([fall_db] * 2, abs=0.3), kind


@pytest.mark.parametrize("kind", NOISE_SLOPES)
@pytest.mark.parametrize("n_samples", [0, 1, 2, 7, 320, 33_333])
def test_any_length(kind: str, n_samples: int) -> None:
    noise = generated(kind, n_samples, rng=np.random.default_rng(2))
    assert noise.shape == (n_samples,)
    assert noise.dtype == np.float32
    assert np.isfinite(noise).all()
    if n_samples > 10_000:
        assert np.sqrt(np.mean(noise**2)) == pytest.approx(1.0, abs=0.02)


def test_hum_is_mains() -> None:
    """Catches harmonics that are none: what stands out lies at multiples of 50 or 60 Hz."""
    for seed in range(6):
        hum = generated("hum", 32_000, rng=np.random.default_rng(seed))
        loudest_hz = np.argsort(np.abs(np.fft.rfft(hum)))[-3:] / 2
        assert all((loudest_hz % 50 == 0).tolist()) or all((loudest_hz % 60 == 0).tolist())


def test_span_is_the_recording(folder: SoundFolder) -> None:
    samples = read(folder.root / "2.wav")
    span = NoiseSpan(folder.sounds[2], 5_000)
    cut = recorded(folder, span, n_samples=4_000)
    assert np.sqrt(np.mean(cut**2)) == pytest.approx(1.0, abs=1e-4)
    assert np.corrcoef(cut, samples[5_000:9_000])[0, 1] == pytest.approx(1.0, abs=1e-6)


def test_short_recordings_repeat(folder: SoundFolder) -> None:
    """Catches noise that ends before the clip does, and the click of a hard loop."""
    short = NoiseSpan(folder.sounds[0], 15_000)
    noise = recorded(folder, short, n_samples=50_000)
    period = looped(read(folder.root / "0.wav")).size
    assert np.allclose(noise[period : 2 * period], noise[:period])
    assert np.isfinite(noise).all()


def test_loop_has_no_click() -> None:
    ramp = np.linspace(0.0, 1.0, 5_000, dtype=np.float32)
    steps = np.abs(np.diff(np.tile(looped(ramp), 3)))
    assert steps.max() < 0.02


@pytest.mark.parametrize("n_samples", [1, 2, 3, 100])
def test_tiny_recordings_repeat(tmp_path: Path, n_samples: int) -> None:
    write_wav(tmp_path / "tiny.wav", np.full(n_samples, 1_000, dtype=np.int16))
    tiny = list_sounds(tmp_path)
    noise = recorded(tiny, NoiseSpan(tiny.sounds[0], n_samples - 1), n_samples=500)
    assert noise.shape == (500,)
    assert np.isfinite(noise).all()


def test_shares_of_a_folder(folder: SoundFolder) -> None:
    rng = np.random.default_rng(3)
    drawn = [choose_noise(rng, folder, recorded_share=0.5) for _ in range(2_000)]
    spans = [noise for noise in drawn if isinstance(noise, NoiseSpan)]
    assert len(spans) / 2_000 == pytest.approx(0.5, abs=0.04)
    assert {span.sound.path for span in spans} == {"0.wav", "1.wav", "2.wav"}
    assert {noise for noise in drawn if isinstance(noise, str)} == set(NOISE_SLOPES)
    assert all(isinstance(choose_noise(rng, None, recorded_share=0.5), str) for _ in range(20))


def test_json(folder: SoundFolder) -> None:
    for noise in ("hum", NoiseSpan(folder.sounds[1], 77)):
        assert noise_from_json(json.loads(json.dumps(noise_to_json(noise)))) == noise


SOUND = {"path": "a.wav", "sha256": "0", "n_samples": 5}


BROKEN = ("babble", {}, {"sound": SOUND}, {"sound": SOUND, "onset": 5}, {"sound": 1, "onset": 1})


@pytest.mark.parametrize("facts", BROKEN)
def test_broken_json(facts: object) -> None:
    with pytest.raises(ToolkitError):
        noise_from_json(facts)  # type: ignore[arg-type]


def test_onset_is_checked() -> None:
    with pytest.raises(ToolkitError, match="expected 0 to 4, received -1"):
        NoiseSpan(Sound("a.wav", "0", 5), -1)
