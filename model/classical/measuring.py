"""What a whole clip is like in hand-made features: measured in windows of its speech, so that length says nothing.

    recording -> from its first sound of speech to its last -> windows of 3 s -> `handmade.describe` each -> their mean

Silence around speech is cut off first, and a clip of ten seconds is described by the mean of three windows: a deviation
over ten seconds is not comparable with one over three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio import jobs
from audio.cleaning import FRAME_HOP_SAMPLES, SPEECH_FLOOR_DBFS, speech_frames
from audio.digest import file_sha256
from audio.errors import AudioError, ToolkitError
from audio.executors import Workers
from audio.levels import frame_powers
from audio.manifest import Clip, resolve
from audio.reading import read
from audio.segments import SAMPLE_RATE
from model.classical.handmade import N_FFT, NAMES, VOICED_GROUPS, describe, framed
from model.evaluation.measures import pitch_hz
from model.judging import quality

VERSION = 1
"""Version of the rows in a journal; another one starts a new journal."""

WINDOW_SAMPLES = 48_000
"""Three seconds: some ten syllables. What does not fill the last window is left out; a shorter clip is one window."""

MOST_WINDOWS = 20
"""Windows of a long recording that are described, evenly spread."""

LEAST_SAMPLES = 8_000
"""Less than half a second of speech has no statistics."""

BAND_HZ = 500
N_BANDS = SAMPLE_RATE // 2 // BAND_HZ
"""Bands of the mean spectrum: 16."""

FLOOR = 1e-12
"""Least power of a band; the whole has 1."""

CONDITIONS = ("level_dbfs", "snr_db", "bandwidth_hz", "duration_s")
"""Facts about the recording and not about the voice."""

_VOICED = np.array([name.startswith(tuple(f"{group.name}_" for group in VOICED_GROUPS)) for name in NAMES])

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measured:
    """A clip in numbers; None for what it does not show."""

    features: Numbers
    """float64 (len(NAMES),), as `handmade.describe` has them."""
    bands_db: Numbers
    """float64 (N_BANDS,): power of each band over that of the whole, in dB."""
    pitch_hz: float | None
    """Median fundamental frequency."""
    conditions: tuple[float | None, ...]
    """As in `CONDITIONS`."""

    def to_row(self) -> jobs.Row:
        """Return it as what JSON can hold."""
        return {
            "features": self.features.tolist(),
            "bands_db": self.bands_db.tolist(),
            "pitch_hz": self.pitch_hz,
            "conditions": list(self.conditions),
        }

    @classmethod
    def from_row(cls, row: jobs.Row) -> Measured:
        """Rebuild from `to_row`."""
        features, bands_db = (np.array(row[name]) for name in ("features", "bands_db"))
        return cls(features, bands_db, row["pitch_hz"], tuple(row["conditions"]))


def measure(samples: NDArray[np.floating[Any]]) -> Measured:
    """Measure a recording, float (n_samples,) at 16 kHz.

    Raises
    ------
    AudioError
        When from its first sound of speech to its last there is less than half a second.
    """
    heard = _from_sound_to_sound(samples)
    if len(heard) < LEAST_SAMPLES:
        raise AudioError(f"expected half a second of speech or more. Received: {len(heard) / SAMPLE_RATE:.2f} s")
    found = quality.measure(samples, speech_frames(samples))
    windows = _windows(heard)
    conditions = (found.level_dbfs, found.snr_db, found.bandwidth_hz, found.duration_s)
    return Measured(_features(windows), band_levels(windows), pitch_hz(samples), conditions)


def _from_sound_to_sound(samples: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Cut off what is too quiet for speech at both ends; without hangover, for what follows may be digital silence."""
    loud = np.flatnonzero(frame_powers(samples, hop_samples=FRAME_HOP_SAMPLES) >= 10.0 ** (SPEECH_FLOOR_DBFS / 10.0))
    if not loud.size:
        return samples[:0]
    return samples[loud[0] * FRAME_HOP_SAMPLES : (loud[-1] + 1) * FRAME_HOP_SAMPLES]


def _windows(samples: NDArray[np.floating[Any]]) -> list[NDArray[np.floating[Any]]]:
    n_windows = max(1, len(samples) // WINDOW_SAMPLES)
    chosen = np.unique(np.linspace(0, n_windows - 1, min(n_windows, MOST_WINDOWS)).astype(np.int64))
    return [samples[i * WINDOW_SAMPLES : (i + 1) * WINDOW_SAMPLES] for i in chosen.tolist()]


def _features(windows: Sequence[NDArray[np.floating[Any]]]) -> Numbers:
    """Mean of what windows are like; what only voiced sounds have is counted in windows with such."""
    rows = np.array([describe(window).clip for window in windows], dtype=np.float64)
    counted = np.ones_like(rows)
    counted[:, _VOICED] = rows[:, [NAMES.index("voiced_share")]] > 0
    return np.asarray((rows * counted).sum(axis=0) / np.maximum(counted.sum(axis=0), 1.0))


def band_levels(windows: Sequence[NDArray[np.floating[Any]]]) -> Numbers:
    """Return the mean power of windows in bands of `BAND_HZ` over that of the whole, in dB: float64 (N_BANDS,)."""
    power = np.zeros(N_FFT // 2 + 1)
    for window in windows:
        frames = framed(np.asarray(window, dtype=np.float64))
        power += np.square(np.abs(np.fft.rfft(frames * np.hanning(N_FFT), axis=1))).sum(axis=0)
    bands = power[1:].reshape(N_BANDS, -1).sum(axis=1)  # without 0 Hz, which is no sound
    return np.asarray(10.0 * np.log10(np.maximum(bands / max(bands.sum(), FLOOR), FLOOR)))


def measure_clips(
    place: Path, clips: Sequence[Clip], *, folder: Path | None = None, workers: Workers = 1
) -> list[Measured | str]:
    """Measure the clips of a set, in order; what was measured before is read from a journal.

    Parameters
    ----------
    place
        The manifest, or the folder of a set without one (`audio.manifest.read_set`).
    clips
        Those of it that are wanted.
    folder
        Where the journal lies; None keeps none.
    workers
        Number of processes, or another place to work.

    Returns
    -------
    One for each clip; instead of one that cannot be measured, why.
    """
    process = _Process(place)
    rows = jobs.run(
        process,
        clips,
        key=process.key,
        workers=workers,
        journal=None if folder is None else folder / f"measured-{VERSION}.jsonl",
        title="measuring",
        settings=f"measured {VERSION}",
    )
    return [row["error"] if "error" in row else Measured.from_row(row) for (row,) in rows]


@dataclass(frozen=True)
class _Process:
    """`process(clip) -> rows`."""

    place: Path

    def key(self, clip: Clip) -> str:
        """Name a clip by path and content."""
        try:
            return f"{clip.path} {file_sha256(resolve(self.place, clip))[:16]}"
        except ToolkitError:
            return f"{clip.path} unreadable"

    def __call__(self, clip: Clip) -> list[jobs.Row]:
        """Read and measure."""
        path = resolve(self.place, clip)
        samples = read(path)
        try:
            return [measure(samples).to_row()]
        except AudioError as error:
            raise AudioError(f"{path}: {error}") from None
