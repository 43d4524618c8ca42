"""Copies of a recording that are still genuine: a little faster, higher or slower, and with noise.

Speed is changed by resampling, tempo in the time domain (WSOLA), pitch by both, each by at most 10 %: beyond, and
with a phase vocoder at any distance, "real" would no longer be true. A plan is drawn first and applied second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from audio.errors import ToolkitError, UsageError
from audio.segments import SAMPLE_RATE
from synth.noise import Noise, NoiseSpan, choose_noise, generated, noise_from_json, noise_to_json, recorded
from synth.pcm import Samples, fitted, from_db, rms_dbfs
from synth.sounds import SoundFolder

SPEED, TEMPO, PITCH = "speed", "tempo", "pitch"

CHANGES = (SPEED, TEMPO, PITCH)
"""Faster and higher; faster; higher. A copy goes through one of them at most: two would add up beyond 10 %."""

MOST_CHANGE = 0.1
"""By how much a genuine recording may change and stay one (this toolkit's definition of real)."""

LEAST_CHANGE = 0.03
"""Half a semitone. Less is hardly a change."""

CHANGED_SHARE = 0.75
"""Share of copies that change speed, tempo or pitch; the others only get noise."""

NOISY_SHARE = 0.5
"""Share of the changed copies that get noise as well."""

SNR_DB = (10.0, 30.0)
"""Range of the ratio of recording to noise, uniform in dB: from a busy street to a quiet office."""

FRAME_SAMPLES = 640
"""Frame of WSOLA, 40 ms: at least two periods of a voice down to 50 Hz."""

FRAME_HOP = FRAME_SAMPLES // 2
"""Hann windows that overlap by half add up to one."""

TOLERANCE_SAMPLES = 160
"""How far WSOLA looks around the place of a frame for one that goes on like the last, 10 ms either way: with both
sides a whole period down to 50 Hz."""


@dataclass(frozen=True)
class Variation:
    """What happens to a copy, in this order; None leaves a step out.

    Raises
    ------
    UsageError
        For an unknown change, a factor beyond 10 %, or one half of a pair without the other.
    """

    change: str | None = None
    """One of `CHANGES`."""
    factor: float | None = None
    """How many times faster, or higher."""
    noise: Noise | None = None
    snr_db: float | None = None
    seed: int = 0
    """What generated noise is drawn from."""

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.change is not None and self.change not in CHANGES:
            raise UsageError(f"change: expected one of {', '.join(CHANGES)}, received {self.change!r}")
        if (self.change is None) != (self.factor is None) or (self.noise is None) != (self.snr_db is None):
            raise UsageError(f"variation: expected change with factor and noise with snr_db, received {self}")
        if self.factor is not None:
            _check_factor(self.factor)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as what JSON can hold; `from_json` turns it back."""
        return {**asdict(self), "noise": None if self.noise is None else noise_to_json(self.noise)}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Variation:
        """Rebuild a plan; raise `ToolkitError` when `facts` is none."""
        try:
            noise = facts["noise"]
            return cls(**{**facts, "noise": None if noise is None else noise_from_json(noise)})
        except (TypeError, KeyError) as error:
            raise ToolkitError(f"variation: {error}") from None


def choose_variation(rng: np.random.Generator, sounds: SoundFolder | None = None) -> Variation:
    """Draw a plan; noise comes from one of the recordings in `sounds`, or is generated without them."""
    changed = bool(rng.random() < CHANGED_SHARE)
    change, up = str(rng.choice(CHANGES)), bool(rng.random() < 0.5)
    factor = round(1.0 + float(rng.uniform(LEAST_CHANGE, MOST_CHANGE)) * (1 if up else -1), 4)
    noisy = bool(rng.random() < NOISY_SHARE) or not changed
    noise, snr_db = choose_noise(rng, sounds, recorded_share=1.0), round(float(rng.uniform(*SNR_DB)), 2)
    return Variation(
        change=change if changed else None,
        factor=factor if changed else None,
        noise=noise if noisy else None,
        snr_db=snr_db if noisy else None,
        seed=int(rng.integers(2**31)),
    )


def varied(samples: Samples, plan: Variation, *, sounds: SoundFolder | None = None) -> Samples:
    """Carry out a plan.

    Parameters
    ----------
    samples
        float32 array (n,) at 16 kHz; any n, also 0.
    plan
        What to do.
    sounds
        Where recorded noise lies, when the plan asks for it.

    Returns
    -------
    float32 array (m,): m = n, or n / factor where speed or tempo change, to the nearest.

    Raises
    ------
    UsageError
        When recorded noise is asked for and there is no folder.
    AudioError
        When the noise is missing, is not the one of the plan, or cannot be read.
    """
    if plan.change is not None and plan.factor is not None:
        samples = {SPEED: at_speed, TEMPO: at_tempo, PITCH: at_pitch}[plan.change](samples, plan.factor)
    if plan.noise is None or plan.snr_db is None:
        return samples
    return with_noise(samples, _noise(plan, samples.size, sounds=sounds), snr_db=plan.snr_db)


def at_speed(samples: Samples, factor: float) -> Samples:
    """Play (n,) `factor` times faster and higher, by resampling: float32 (n / factor,), to the nearest.

    Played slower, it has nothing above 8 kHz * `factor`. Raises `UsageError` beyond 10 %.
    """
    _check_factor(factor)
    n_samples = _nearest(samples.size / factor)
    if n_samples == 0:
        return np.zeros(0, dtype=np.float32)
    import soxr

    played = soxr.resample(samples, SAMPLE_RATE * factor, SAMPLE_RATE, quality="HQ")
    return fitted(played, n_samples)


def at_tempo(samples: Samples, factor: float) -> Samples:
    """Speak (n,) `factor` times faster at the same pitch: float32 (n / factor,), to the nearest.

    WSOLA (Verhelst and Roelands 1993): frames are taken `factor` times as far apart as they are put down, each
    moved by up to 10 ms to where it best goes on as the one before did. What was at sample t is at t / factor,
    within those 10 ms. Raises `UsageError` beyond 10 %.
    """
    _check_factor(factor)
    return _spoken(samples, factor)


def at_pitch(samples: Samples, factor: float) -> Samples:
    """Speak (n,) `factor` times higher at the same tempo, float32 (n,): slower by WSOLA, then faster by resampling.

    The formants move along, as with a smaller person. Raises `UsageError` beyond 10 %.
    """
    _check_factor(factor)
    return fitted(at_speed(_spoken(samples, 1.0 / factor), factor), samples.size)


def with_noise(samples: Samples, added: npt.NDArray[np.floating], *, snr_db: float) -> Samples:
    """Add noise (n,) to a recording (n,), at this ratio of their RMS; silent noise adds nothing."""
    if not np.any(added):
        return samples
    gain = from_db(rms_dbfs(samples) - snr_db - rms_dbfs(added))
    return np.asarray(samples + gain * added, dtype=np.float32)


def _spoken(samples: Samples, factor: float) -> Samples:
    """WSOLA; see `at_tempo`. Frame i ends up with its middle at i * FRAME_HOP, taken from `factor` times there."""
    n_samples = _nearest(samples.size / factor)
    n_frames = n_samples // FRAME_HOP + 2
    # Silence before and behind: every frame, wherever it is looked for, has all its samples.
    before = FRAME_HOP + TOLERANCE_SAMPLES
    needed = _nearest(n_frames * FRAME_HOP * factor) + 2 * (FRAME_SAMPLES + TOLERANCE_SAMPLES)
    source = np.zeros(max(needed, before + samples.size))
    source[before : before + samples.size] = samples
    window = np.hanning(FRAME_SAMPLES + 1)[:-1]
    spoken = np.zeros((n_frames + 1) * FRAME_HOP)
    start = TOLERANCE_SAMPLES
    for i in range(n_frames):
        if i > 0:
            wanted = TOLERANCE_SAMPLES + _nearest(i * FRAME_HOP * factor)
            start = _best_start(source, wanted=wanted, going_on=start + FRAME_HOP)
        spoken[i * FRAME_HOP : i * FRAME_HOP + FRAME_SAMPLES] += window * source[start : start + FRAME_SAMPLES]
    return spoken[FRAME_HOP : FRAME_HOP + n_samples].astype(np.float32)


_MOVES = np.array(sorted(range(-TOLERANCE_SAMPLES, TOLERANCE_SAMPLES + 1), key=abs))
"""Where WSOLA looks, nearest first: of equal matches the nearest wins."""


def _best_start(source: npt.NDArray[np.float64], *, wanted: int, going_on: int) -> int:
    """Return where, within the tolerance of `wanted`, a frame is most like the one that starts at `going_on`."""
    model = source[going_on : going_on + FRAME_SAMPLES]
    region = source[wanted - TOLERANCE_SAMPLES : wanted + TOLERANCE_SAMPLES + FRAME_SAMPLES]
    energy = np.concatenate(([0.0], np.cumsum(np.square(region))))
    energy = np.maximum(energy[FRAME_SAMPLES:] - energy[:-FRAME_SAMPLES], 1e-12)
    likeness = np.correlate(region, model, mode="valid") / np.sqrt(energy)
    return wanted + int(_MOVES[np.argmax(likeness[_MOVES + TOLERANCE_SAMPLES])])


def _noise(plan: Variation, n_samples: int, *, sounds: SoundFolder | None) -> Samples:
    if isinstance(plan.noise, NoiseSpan):
        if sounds is None:
            raise UsageError(f"sounds: expected the folder of {plan.noise.sound.path}, received none")
        return recorded(sounds, plan.noise, n_samples=n_samples)
    return generated(plan.noise or "white", n_samples, rng=np.random.default_rng(plan.seed))


def _nearest(value: float) -> int:
    return int(value + 0.5)


def _check_factor(factor: float) -> None:
    if not 1.0 - MOST_CHANGE <= factor <= 1.0 + MOST_CHANGE:
        raise UsageError(f"factor: expected {1 - MOST_CHANGE:g} to {1 + MOST_CHANGE:g}, received {factor}")
