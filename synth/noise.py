"""Noise: drawn from a spectrum, or cut from the recordings of a folder; always with an RMS of 1.

All of it is stationary or as found: no voices are mixed into babble here, because a voice is evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from audio.errors import ToolkitError
from audio.reading import read_span
from audio.segments import SAMPLE_RATE
from synth.pcm import Samples
from synth.sounds import Sound, SoundFolder, sound_from_json

NOISE_SLOPES = {"white": 0.0, "pink": 0.5, "brown": 1.0, "hum": 0.5}
"""Kinds of noise: the power of 1/f by which their amplitude falls. Hum is mains over pink noise."""

NOISE_FLOOR_HZ = 20.0
"""Below it noise falls no further; a fall to 0 Hz would be all offset."""

MAINS_HZ = (50.0, 60.0)
"""Frequencies of the world's power lines."""

MAINS_HARMONICS = 12
"""Harmonics of hum: up to 600 or 720 Hz, where it falls below its noise."""

HUM_SHARE = 0.7
"""Share of the power of hum that is mains, the rest noise."""

LOOP_SAMPLES = 320
"""Length of the crossfade by which a short recording is looped: 20 ms, too short to hear as a fade."""


@dataclass(frozen=True)
class NoiseSpan:
    """Noise of a recording, from sample `onset` on; where the recording ends it begins again.

    Raises
    ------
    ToolkitError
        For an onset that is no sample of the recording.
    """

    sound: Sound
    onset: int

    def __post_init__(self) -> None:
        if not isinstance(self.onset, int) or not 0 <= self.onset < self.sound.n_samples:
            raise ToolkitError(f"noise onset: expected 0 to {self.sound.n_samples - 1}, received {self.onset!r}")


Noise = str | NoiseSpan
"""A kind of `NOISE_SLOPES`, or a span of a recording."""


def choose_noise(rng: np.random.Generator, folder: SoundFolder | None, *, recorded_share: float) -> Noise:
    """Draw a noise: with a folder, `recorded_share` of them are recordings, each equally likely from any sample."""
    kind = str(rng.choice(list(NOISE_SLOPES)))
    if folder is None or rng.random() >= recorded_share:
        return kind
    sound = folder.sounds[int(rng.integers(len(folder.sounds)))]
    return NoiseSpan(sound, int(rng.integers(sound.n_samples)))


def generated(kind: str, n_samples: int, *, rng: np.random.Generator) -> Samples:
    """Return stationary Gaussian noise, float32 (n_samples,), of a kind in `NOISE_SLOPES`, with an RMS of 1."""
    import scipy.fft

    if n_samples == 0 or NOISE_SLOPES[kind] == 0.0:
        return rng.standard_normal(n_samples, dtype=np.float32)
    # Drawn as a spectrum: a periodic noise, cut from a period that is no shorter than the clip.
    size = scipy.fft.next_fast_len(n_samples, real=True)
    frequency_hz = np.maximum(np.arange(size // 2 + 1, dtype=np.float32) * (SAMPLE_RATE / size), NOISE_FLOOR_HZ)
    spectrum = rng.standard_normal((frequency_hz.size, 2), dtype=np.float32).view(np.complex64)[:, 0]
    shaped = scipy.fft.irfft(spectrum / frequency_hz ** np.float32(NOISE_SLOPES[kind]), size)[:n_samples]
    shaped = unit_rms(shaped)
    return shaped if kind != "hum" else unit_rms(shaped * (1 - HUM_SHARE) ** 0.5 + _mains(n_samples, rng=rng))


def _mains(n_samples: int, *, rng: np.random.Generator) -> Samples:
    """Return mains (n_samples,) with the power `HUM_SHARE`: harmonics that fall as 1/k on average."""
    mains_hz = rng.choice(MAINS_HZ)
    harmonics = np.arange(1, MAINS_HARMONICS + 1)
    amplitudes = rng.uniform(0.0, 1.0, harmonics.size) / harmonics
    phases = rng.uniform(0.0, 2.0 * np.pi, harmonics.size)
    # One second holds whole periods of every harmonic.
    time_s = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    angles = 2.0 * np.pi * mains_hz * harmonics[:, None] * time_s + phases[:, None]
    # Not @: a matrix product may round differently with another number of threads.
    second = unit_rms(np.sum(amplitudes[:, None] * np.sin(angles), axis=0)) * HUM_SHARE**0.5
    return np.resize(second, n_samples).astype(np.float32)


def recorded(folder: SoundFolder, span: NoiseSpan, *, n_samples: int) -> Samples:
    """Return noise of a recording, float32 (n_samples,), with an RMS of 1 unless it is silent there.

    A recording that ends too early is looped with a crossfade of `LOOP_SAMPLES`.

    Raises
    ------
    AudioError
        When the file is missing, is not the one of the plan, or cannot be read.
    """
    path = folder.find(span.sound)
    cut = read_span(path, span.onset, span.onset + n_samples)
    if cut.size < n_samples:
        loop = looped(read_span(path, 0, span.sound.n_samples))
        cut = np.resize(np.roll(loop, -span.onset), n_samples)
    return unit_rms(cut)


def looped(samples: Samples) -> Samples:
    """Return `samples` (n,) shortened by a crossfade of end into beginning, so that they repeat without a click."""
    n_fade = min(LOOP_SAMPLES, samples.size // 2)
    # A quarter of a sine and of a cosine: noise keeps its power.
    rising = np.sin(0.5 * np.pi * np.arange(n_fade) / max(n_fade, 1)).astype(np.float32)
    loop = samples[: samples.size - n_fade].copy()
    loop[:n_fade] = samples[:n_fade] * rising + samples[samples.size - n_fade :] * rising[::-1]
    return loop


def unit_rms(samples: npt.NDArray[np.floating]) -> Samples:
    """Return `samples` (n,) as float32 with an RMS of 1; silence stays silent."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if samples.size else 0.0
    return (samples / power**0.5 if power > 0.0 else samples).astype(np.float32)


def noise_to_json(noise: Noise) -> str | dict[str, Any]:
    """Return a noise as what JSON can hold; `noise_from_json` turns it back."""
    return noise if isinstance(noise, str) else asdict(noise)


def noise_from_json(facts: str | Mapping[str, Any]) -> Noise:
    """Rebuild a noise; raise `ToolkitError` when `facts` is none."""
    if isinstance(facts, str):
        if facts not in NOISE_SLOPES:
            raise ToolkitError(f"noise: expected one of {', '.join(NOISE_SLOPES)}, received {facts!r}")
        return facts
    try:
        return NoiseSpan(sound_from_json(facts["sound"]), facts["onset"])
    except (TypeError, KeyError) as error:
        raise ToolkitError(f"noise: expected sound and onset, received {facts!r} ({error})") from None
