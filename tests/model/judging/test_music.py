"""Music and tones against voices of every kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from talking import talk

from audio.cleaning import speech_frames
from bench import music
from model.judging.quality import measure

SPEECHES: dict[str, Callable[[int], np.ndarray]] = {
    "speech": lambda seed: talk(4.0, seed=seed),
    "monotone": lambda seed: talk(4.0, seed=seed, glide=0.0),
    "monotone and slow": lambda seed: talk(4.0, seed=seed, glide=0.0, slower=2.0),
    "slow": lambda seed: talk(4.0, seed=seed, slower=2.0),
    "a child's, monotone": lambda seed: talk(4.0, seed=seed, pitch_hz=300.0, glide=0.0),
    "babble": lambda seed: sum(talk(4.0, seed=10 * seed + k, pitch_hz=90.0 + 23 * k) for k in range(5)) / 5,
    "over music": lambda seed: talk(4.0, seed=seed) + 0.3 * music.chords(4.0, seed=seed),
    "over hum": lambda seed: talk(4.0, seed=seed) + 0.02 * music.tones(4.0, hz=(50, 100, 150)),
    "over noise": lambda seed: talk(4.0, seed=seed) + 0.02 * np.random.default_rng(seed).standard_normal(64_000),
}

SOUNDS: dict[str, Callable[[int], np.ndarray]] = {
    "chords": lambda seed: music.chords(4.0, seed=seed, chord_s=(0.4, 1.0, 2.0)[seed % 3]),
    "melody": lambda seed: music.melody(4.0, seed=seed, beat_s=(0.25, 0.3, 0.5)[seed % 3]),
    "band": lambda seed: music.band(4.0, seed=seed),
    "dial tone": lambda seed: music.tones(4.0, hz=(350, 440)),
    "ring tone": lambda seed: music.tones(4.0, hz=(440, 480), on_s=2.0, off_s=1.0),
    "busy tone": lambda seed: music.tones(4.0, hz=(425,), on_s=0.5, off_s=0.5),
    "beeps": lambda seed: music.tones(4.0, hz=(1_000,), on_s=0.1, off_s=0.1),
    "keys": lambda seed: music.dialling(4.0, seed=seed),
    "hum": lambda seed: music.tones(4.0, hz=(60, 120, 180, 240)),
}


def music_share(samples: np.ndarray) -> float:
    return measure(samples, speech_frames(samples)).music_share


@pytest.mark.parametrize("kind", SPEECHES)
@pytest.mark.parametrize("seed", range(3))
def test_voices_are_no_music(kind, seed):
    """Catches a rule by steady partials alone (monotone voices), and one by lack of movement alone (babble)."""
    assert music_share(SPEECHES[kind](seed).astype(np.float32)) == 0.0


@pytest.mark.parametrize("kind", SOUNDS)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("gain", [1.0, 0.1])
def test_music_and_tones_are(kind, seed, gain):
    """Catches a rule that a change of note, a beat or a pause breaks, and levels that decide."""
    assert music_share((gain * SOUNDS[kind](seed)).astype(np.float32)) > 0.6


def test_the_share_is_of_what_sounds():
    """Catches a share of the duration, of blocks, or one that a block too many or too few changes."""
    parts = [music.chords(8.0, seed=1), talk(8.0, seed=1), np.zeros(64_000)]
    samples = np.concatenate(parts).astype(np.float32)
    speech = speech_frames(samples)
    assert music_share(samples) == pytest.approx(400 / np.count_nonzero(speech), abs=0.005)


def test_noise_and_silence_are_neither():
    """Catches noise whose peaks look like partials, and the logarithm of nothing."""
    rng = np.random.default_rng(0)
    for samples in (np.zeros(96_000), 0.1 * rng.standard_normal(96_000), np.full(96_000, 0.2)):
        assert music_share(samples.astype(np.float32)) == 0.0


def test_less_than_a_second_is_no_evidence():
    """Catches one sung or shouted vowel taken for a tone."""
    assert music_share(music.tones(0.99, hz=(440,))) == 0.0
    assert music_share(music.tones(1.01, hz=(440,))) == 1.0
