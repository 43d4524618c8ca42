"""Music, tones and signals made in NumPy, for benches and tests: no recording of any is part of the project.

Every function gives float32 (n,) at 16 kHz, and the same for the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from audio.segments import SAMPLE_RATE

Samples = npt.NDArray[np.float32]

SCALE_HZ = tuple(220.0 * 2.0 ** (step / 12.0) for step in (0, 2, 4, 5, 7, 9, 11, 12))
"""A major scale from A3 on."""

PARTIALS = 8
"""Partials of a note: enough to reach 3.5 kHz from A4."""

BRIGHTNESS = 0.6
"""Amplitude of a partial, in that of the one below: a soft reed."""

VIBRATO_HZ = 5.5
"""Rate of vibrato, as singers and string players have it."""

DTMF_HZ = ((697, 770, 852, 941), (1_209, 1_336, 1_477, 1_633))
"""Low and high tones of a telephone's keys (ITU-T Q.23)."""


def note(hz: float, seconds: float, *, vibrato: float = 0.0, decay_per_s: float = 1.0) -> npt.NDArray[np.float64]:
    """Return one note, float64 (n,), with an RMS of about 0.1 at its onset; `vibrato` is a share of its frequency."""
    time_s = _time_s(seconds)
    phase = 2.0 * np.pi * hz * time_s
    phase += vibrato * hz / VIBRATO_HZ * (1.0 - np.cos(2.0 * np.pi * VIBRATO_HZ * time_s))
    partials = [k for k in range(1, PARTIALS + 1) if k * hz < 0.47 * SAMPLE_RATE]
    wave = sum((BRIGHTNESS ** (k - 1) * np.sin(k * phase) for k in partials), np.zeros(time_s.size))
    attack = np.minimum(1.0, time_s / 0.01) * np.minimum(1.0, (seconds - time_s) / 0.02)
    return np.asarray(0.11 * wave * attack * np.exp(-decay_per_s * time_s))


def melody(seconds: float, *, seed: int, beat_s: float = 0.3, vibrato: float = 0.01) -> Samples:
    """Return single notes of one or two beats."""
    rng = np.random.default_rng(seed)
    notes: list[npt.NDArray[np.float64]] = [np.zeros(0)]
    while sum(each.size for each in notes) < seconds * SAMPLE_RATE:
        hz, beats = rng.choice(SCALE_HZ) * rng.choice([1, 2]), rng.choice([1, 1, 2])
        notes.append(note(float(hz), beat_s * float(beats), vibrato=vibrato))
    return _cut(np.concatenate(notes), seconds)


def chords(seconds: float, *, seed: int, chord_s: float = 1.0, vibrato: float = 0.005) -> Samples:
    """Return chords of four notes that ring."""
    rng = np.random.default_rng(seed)
    roots = rng.choice(SCALE_HZ, size=int(seconds / chord_s) + 1) / 2.0
    voiced = [[note(float(root * ratio), chord_s, vibrato=vibrato) for ratio in (1, 1.25, 1.5, 2)] for root in roots]
    return _cut(np.concatenate([np.sum(notes, axis=0) / 2.0 for notes in voiced]), seconds)


def drums(seconds: float, *, seed: int, beat_s: float = 0.25) -> Samples:
    """Return a kick, a hat, a snare and a hat, over and over."""
    rng = np.random.default_rng(seed)
    time_s = _time_s(beat_s)
    sweep = 2.0 * np.pi * (50.0 * time_s + 2.0 * (1.0 - np.exp(-30.0 * time_s)))
    beats = []
    for beat in range(int(seconds / beat_s) + 1):
        hiss = rng.standard_normal(time_s.size)
        kick, snare = 0.3 * np.sin(sweep) * np.exp(-18.0 * time_s), 0.1 * hiss * np.exp(-25.0 * time_s)
        hat = 0.03 * np.diff(hiss, prepend=0.0) * np.exp(-50.0 * time_s)
        beats.append((kick, hat, snare, hat)[beat % 4])
    return _cut(np.concatenate(beats), seconds)


def band(seconds: float, *, seed: int) -> Samples:
    """Return chords, a melody and soft drums together."""
    return _cut(chords(seconds, seed=seed) + melody(seconds, seed=seed + 1) + 0.3 * drums(seconds, seed=seed), seconds)


def tones(seconds: float, *, hz: Sequence[float], on_s: float = 0.0, off_s: float = 0.0) -> Samples:
    """Return sines together, all the time or switched on and off: dial tones, ring tones, hum, beeps."""
    time_s = _time_s(seconds)
    wave = np.sum([np.sin(2.0 * np.pi * f * time_s) for f in hz], axis=0)
    sounding = time_s % (on_s + off_s) < on_s if on_s else np.ones(time_s.size, dtype=np.bool_)
    return _cut(0.2 * wave * sounding, seconds)


def dialling(seconds: float, *, seed: int, key_s: float = 0.1, gap_s: float = 0.1) -> Samples:
    """Return the keys of a telephone, one after the other."""
    rng = np.random.default_rng(seed)
    gap = np.zeros(round(gap_s * SAMPLE_RATE))
    pairs = [(rng.choice(DTMF_HZ[0]), rng.choice(DTMF_HZ[1])) for _ in range(int(seconds / (key_s + gap_s)) + 1)]
    return _cut(np.concatenate([part for pair in pairs for part in (tones(key_s, hz=pair), gap)]), seconds)


MUSIC: Mapping[str, Callable[[float, int], Samples]] = {
    "chords": lambda seconds, seed: chords(seconds, seed=seed),
    "melody": lambda seconds, seed: melody(seconds, seed=seed),
    "band": lambda seconds, seed: band(seconds, seed=seed),
}
"""What a recording may have in its background: name -> (seconds, seed) -> samples."""


def _time_s(seconds: float) -> npt.NDArray[np.float64]:
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def _cut(samples: npt.NDArray[np.floating], seconds: float) -> Samples:
    """Cut or pad to a length in seconds."""
    size = round(seconds * SAMPLE_RATE)
    return np.pad(samples[:size], (0, max(0, size - samples.size))).astype(np.float32)
