from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from conftest import chirp

from audio.cleaning import (
    HANGOVER_SAMPLES,
    SPEECH_FLOOR_DBFS,
    STEADY_AT_ONCE,
    STEADY_BANDS_HZ,
    is_steady,
    speech_frames,
)
from audio.errors import SegmentError
from audio.segments import n_frames

RATE = 16_000
HELD = HANGOVER_SAMPLES // 320


def tone(seconds: float, *, hz: float = 440.0, level: float = 0.3) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)


def syllables(seconds: float, *, seed: int = 0) -> np.ndarray:
    """A buzz whose pitch, timbre and level move four times a second, as speech does."""
    rng = np.random.default_rng(seed)
    pieces = []
    for _ in range(round(seconds * 4)):
        t = np.arange(RATE // 4) / RATE
        pitch, brightness = rng.uniform(90, 250), rng.uniform(0.3, 0.9)
        buzz = sum(brightness**k * np.sin(2 * np.pi * k * pitch * t) for k in range(1, 15))
        pieces.append(0.1 * np.hanning(t.size) * buzz)
    return np.concatenate(pieces)


def test_frames_against_brute_force() -> None:
    """Catches a hangover that starts late, leaks backwards or restarts itself."""
    rng = np.random.default_rng(1)
    for hop in (160, 320, 777):
        gains = np.repeat(10.0 ** rng.uniform(-6, 0, 40), 900)[: rng.integers(20_000, 36_000)]
        samples = gains * rng.standard_normal(gains.size)
        padded = np.concatenate([samples, np.zeros(hop)])
        count = n_frames(samples.size, hop)
        power = [np.mean(padded[i * hop : (i + 1) * hop] ** 2) for i in range(count)]
        loud = [10 * np.log10(p) >= SPEECH_FLOOR_DBFS for p in power]
        expected = [any(loud[max(0, i - HANGOVER_SAMPLES // hop) : i + 1]) for i in range(count)]
        assert speech_frames(samples, hop_samples=hop).tolist() == expected


def test_a_frame_depends_on_its_own_past_only() -> None:
    """Catches a reference level taken from the whole file: rule 1 of the house."""
    quiet = 0.01 * syllables(1.0)
    alone = speech_frames(quiet)
    beside_loud = speech_frames(np.concatenate([quiet, 50 * syllables(1.0)]))
    assert np.array_equal(beside_loud[: alone.size], alone)


def test_threshold_is_absolute() -> None:
    just = 10 ** (SPEECH_FLOOR_DBFS / 20)
    assert speech_frames(np.full(RATE, 1.01 * just)).all()
    assert not speech_frames(np.full(RATE, 0.99 * just)).any()


@pytest.mark.parametrize("n", [0, 1, 159, 160, 319, 320, 321, 480])
def test_every_length_has_its_frames(n: int) -> None:
    frames = speech_frames(np.ones(n, dtype=np.float32))
    assert frames.dtype == np.bool_
    assert frames.tolist() == [True] * n_frames(n, 320)


def test_hangover_ends() -> None:
    samples = np.zeros(RATE)
    samples[:320] = 0.5
    assert speech_frames(samples).sum() == 1 + HELD


def test_bad_hop_is_refused() -> None:
    with pytest.raises(SegmentError, match="hop_samples"):
        speech_frames(np.zeros(10), hop_samples=0)


@pytest.mark.parametrize("level", [0.9, 0.1, 0.003])
def test_steady_sounds(level: float) -> None:
    """Catches a verdict on a dial tone, mains hum, a fan or nothing at all."""
    rng = np.random.default_rng(2)
    noise = rng.standard_normal(10 * RATE)
    low = np.convolve(noise, np.full(16, 0.25), "same")
    hum = tone(10, hz=50) + tone(10, hz=150, level=0.1) + 1e-3 * noise
    for sound in (tone(10), tone(10, hz=3_333.3), hum, 0.3 * noise, 0.3 * low, 0 * noise):
        assert is_steady(level * sound)
        assert is_steady((level * sound).astype(np.float32))


@pytest.mark.parametrize("seed", range(5))
def test_speech_is_not_steady(seed: int) -> None:
    """Catches an abstention on a single word in a long quiet recording."""
    rng = np.random.default_rng(seed)
    assert not is_steady(syllables(2.0, seed=seed))
    word = 1e-4 * rng.standard_normal(60 * RATE)
    word[30 * RATE : 30 * RATE + RATE // 2] += syllables(0.5, seed=seed)
    assert not is_steady(word)
    assert not is_steady(chirp(3.0))


def moves_db(samples: np.ndarray) -> float:
    """By how much the band levels of the block that stands out most differ from the medians: block by block."""
    levels = []
    for block in samples[: samples.size // 1_600 * 1_600].reshape(-1, 1_600):
        spectra = [np.abs(np.fft.rfft(block[i : i + 512] * np.hanning(512))) ** 2 for i in range(0, 1_600 - 511, 256)]
        power = np.mean(spectra, axis=0) / (512 * 0.375)
        edges = [round(hz * 512 / RATE) for hz in STEADY_BANDS_HZ[:-1]] + [257]
        bands = [power[a:b].sum() / (b - a) for a, b in pairwise(edges)]
        levels.append(10 * np.log10(np.array(bands) + 1e-9))
    return float(np.abs(np.array(levels) - np.median(levels, axis=0)).mean(axis=1).max())


@pytest.mark.parametrize(
    "n_blocks", [5, 2 * STEADY_AT_ONCE - 1, 2 * STEADY_AT_ONCE, 2 * STEADY_AT_ONCE + 1, 4 * STEADY_AT_ONCE + 3]
)
def test_one_block_decides_wherever_it_is(n_blocks: int) -> None:
    """Catches a block that is lost between two batches, and levels of one batch compared with medians of it alone."""
    noise = 0.01 * np.random.default_rng(n_blocks).standard_normal(n_blocks * 1_600 + 700)
    assert is_steady(noise)
    for place in {0, 1, n_blocks // 2, n_blocks - 2, n_blocks - 1}:
        for gain in (1.2, 1.3, 1.4, 1.5, 1.7):
            louder = noise.copy()
            louder[place * 1_600 : (place + 1) * 1_600] *= gain
            assert is_steady(louder) == (moves_db(louder) < 3.0)


@pytest.mark.parametrize("n", [0, 1, 1_600, 7_999])
def test_too_little_is_no_evidence(n: int) -> None:
    assert not is_steady(np.zeros(n))
