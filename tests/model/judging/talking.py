"""Something like speech, made in NumPy: hisses, vowels that glide from one to another, and pauses."""

from __future__ import annotations

import numpy as np

RATE = 16_000
VOWELS_HZ = ((300, 2_300, 3_000), (500, 1_800, 2_500), (750, 1_200, 2_450), (450, 900, 2_400), (320, 800, 2_250))
"""First three formants of i, e, a, o, u of a man (Peterson & Barney 1952, rounded)."""


def talk(seconds: float, *, seed: int, pitch_hz: float = 120.0, glide: float = 0.2, slower: float = 1.0) -> np.ndarray:
    """Syllables, float32 (n,), with a peak of 0.4 over faint noise.

    `glide` is how far the pitch moves about `pitch_hz` within a syllable, as a share of it: 0 for a monotone voice.
    """
    rng = np.random.default_rng(seed)
    pieces, size = [], round(seconds * RATE)
    while sum(piece.size for piece in pieces) < size:
        pieces.append(_hiss(rng, slower * rng.uniform(0.05, 0.12)))
        begin, end = rng.uniform(-glide, glide, 2)
        pieces.append(_vowels(rng, slower * rng.uniform(0.12, 0.3), pitch_hz * (1 + begin), pitch_hz * (1 + end)))
        pieces.append(np.zeros(round(slower * rng.choice([0.03, 0.05, 0.25]) * RATE)))
    voice = np.concatenate(pieces)[:size]
    return (0.4 * voice / np.abs(voice).max() + 3e-4 * rng.standard_normal(size)).astype(np.float32)


def _hiss(rng: np.random.Generator, seconds: float) -> np.ndarray:
    noise = rng.standard_normal(round(seconds * RATE) + 2)
    return 0.06 * np.diff(noise, 2) * np.hanning(noise.size - 2)


def _vowels(rng: np.random.Generator, seconds: float, from_hz: float, to_hz: float) -> np.ndarray:
    """Harmonics under two sets of formants, one fading into the other, from one pitch to another."""
    n = round(seconds * RATE)
    across = np.linspace(0, 1, n)
    first, second = (np.array(VOWELS_HZ[i]) for i in rng.choice(len(VOWELS_HZ), 2, replace=False))
    f0_hz = from_hz + (to_hz - from_hz) * across
    phase = 2 * np.pi * np.cumsum(f0_hz) / RATE
    wave = np.zeros(n)
    for k in range(1, int(4_000 / f0_hz.max())):
        gains = (
            [(1 / (1 + ((k * f0_hz - f) / 80) ** 2)) for f in first],
            [1 / (1 + ((k * f0_hz - f) / 80) ** 2) for f in second],
        )
        wave += ((1 - across) * sum(gains[0]) + across * sum(gains[1])) * np.sin(k * phase + k * k) / k**0.3
    return wave * np.hanning(n) ** 0.5
