"""The way from the splicer to the listener: bandwidth, noise, level and codec, drawn from one distribution.

Every clip of every class passes it after splicing, so that neither level nor codec nor noise tells the class.
A plan is drawn first and applied second. Every step keeps the length and the place of each sample: filters
have no phase, and codec delays are taken out (see `synth.codecs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from audio.errors import ToolkitError
from audio.segments import SAMPLE_RATE
from synth.codecs import CODECS, Coding, pass_codecs
from synth.pcm import Samples, from_db, rms_dbfs

CODEC_SHARE = 0.4
"""Share of clips that pass a codec, each codec and each of its bitrates equally likely."""

NOISE_SHARE = 0.5
"""Share of clips that get noise."""

BAND_SHARE = 0.3
"""Share of clips that lose a little at either end of the spectrum."""

GAIN_DB = (-12.0, 3.0)
"""Range of the level change, uniform; a peak that would clip lowers it."""

LOW_HZ = (50.0, 250.0)
"""Range of the high-pass corner, uniform: handsets and microphones roll off there."""

HIGH_HZ = (5_500.0, 7_800.0)
"""Range of the low-pass corner, uniform and mild: high bands carry evidence, and telephones are issue enough."""

FILTER_ORDER = 4
"""Order of the Butterworth magnitudes: 24 dB an octave."""

SNR_DB = (15.0, 40.0)
"""Range of the ratio of clip to noise, uniform in dB: from a busy room to inaudible."""

PEAK = 0.98
"""Largest magnitude handed to a codec, so that its overshoot seldom clips."""

NOISE_SLOPES = {"white": 0.0, "pink": 0.5, "brown": 1.0}
"""Kinds of noise: the power of 1/f by which their amplitude falls."""

NOISE_FLOOR_HZ = 20.0
"""Below it noise falls no further; a fall to 0 Hz would be all offset."""


@dataclass(frozen=True)
class ChannelPlan:
    """What happens to a clip, in this order; None leaves a step out.

    Raises
    ------
    ToolkitError
        For an unknown kind of noise, or one half of a pair without the other.
    """

    low_hz: float | None = None
    high_hz: float | None = None
    noise: str | None = None
    snr_db: float | None = None
    gain_db: float = 0.0
    codec: str | None = None
    kbps: int | None = None

    def __post_init__(self) -> None:
        if self.noise is not None and self.noise not in NOISE_SLOPES:
            raise ToolkitError(f"noise: expected one of {', '.join(NOISE_SLOPES)}, received {self.noise!r}")
        if (self.noise is None) != (self.snr_db is None) or (self.codec is None) != (self.kbps is None):
            raise ToolkitError(f"channel: expected noise with snr_db and codec with kbps, received {self}")

    def to_json(self) -> dict[str, Any]:
        """Return the plan as what JSON can hold; `from_json` turns it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> ChannelPlan:
        """Rebuild a plan; raise `ToolkitError` when `facts` is none."""
        try:
            return cls(**facts)
        except TypeError as error:
            raise ToolkitError(f"channel plan: {error}") from None


def choose_channel(rng: np.random.Generator) -> ChannelPlan:
    """Draw a plan. It knows nothing of the clip, least of all its class."""
    band = rng.random() < BAND_SHARE
    low_hz, high_hz = (round(float(rng.uniform(*bounds)), 1) for bounds in (LOW_HZ, HIGH_HZ))
    noisy = rng.random() < NOISE_SHARE
    kind, snr_db = str(rng.choice(list(NOISE_SLOPES))), round(float(rng.uniform(*SNR_DB)), 2)
    coded = rng.random() < CODEC_SHARE
    codec = str(rng.choice(list(CODECS)))
    return ChannelPlan(
        low_hz=low_hz if band else None,
        high_hz=high_hz if band else None,
        noise=kind if noisy else None,
        snr_db=snr_db if noisy else None,
        gain_db=round(float(rng.uniform(*GAIN_DB)), 2),
        codec=codec if coded else None,
        kbps=int(rng.choice(CODECS[codec].bitrates_kbps)) if coded else None,
    )


def apply_channel(samples: Samples, plan: ChannelPlan, *, seed: int) -> Samples:
    """Send one clip through its channel; see `apply_channels`."""
    return apply_channels([samples], [plan], seeds=[seed])[0]


def apply_channels(clips: Sequence[Samples], plans: Sequence[ChannelPlan], *, seeds: Sequence[int]) -> list[Samples]:
    """Send each clip through the channel at the same place, all codecs together in two processes.

    Parameters
    ----------
    clips
        float32 arrays (n,) at 16 kHz; any n, also 0.
    plans
        As many as clips.
    seeds
        As many as clips: what the noise is drawn from.

    Returns
    -------
    float32 arrays of the same lengths, aligned with the clips to less than 1 ms. None depends on another.

    Raises
    ------
    EngineError
        When a codec is asked for and ffmpeg is missing or cannot code it.
    """
    given = zip(clips, plans, seeds, strict=True)
    sent = [_before_codec(samples, plan, np.random.default_rng(seed)) for samples, plan, seed in given]
    codings = {i: Coding(p.codec, p.kbps) for i, p in enumerate(plans) if p.codec is not None and p.kbps is not None}
    received = pass_codecs([sent[i] for i in codings], list(codings.values()))
    for i, samples in zip(codings, received, strict=True):
        sent[i] = samples
    return sent


def _before_codec(samples: Samples, plan: ChannelPlan, rng: np.random.Generator) -> Samples:
    changed = band_limited(samples, low_hz=plan.low_hz, high_hz=plan.high_hz)
    if plan.noise is not None and plan.snr_db is not None:
        level_dbfs = rms_dbfs(changed) - plan.snr_db
        changed = changed + noise(plan.noise, changed.size, rng=rng) * from_db(level_dbfs)
    changed = changed * from_db(plan.gain_db)
    peak = float(np.abs(changed).max(initial=0.0))
    return (changed * min(1.0, PEAK / peak) if peak > 0.0 else changed).astype(np.float32)


def band_limited(
    samples: Samples, *, low_hz: float | None = None, high_hz: float | None = None
) -> npt.NDArray[np.float64]:
    """Attenuate what lies below `low_hz` and above `high_hz`, 3 dB at the corners, without any phase.

    Returns
    -------
    float64 (n,)
    """
    if samples.size == 0 or (low_hz is None and high_hz is None):
        return samples.astype(np.float64)
    size = _transform_size(2 * samples.size)  # twice: its end must not ring into its beginning
    frequency_hz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    spectrum = np.fft.rfft(samples, size)
    if low_hz is not None:
        spectrum *= _butterworth(low_hz / np.maximum(frequency_hz, 1e-3))
    if high_hz is not None:
        spectrum *= _butterworth(frequency_hz / high_hz)
    return np.fft.irfft(spectrum, size)[: samples.size]


def _butterworth(ratio: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return the magnitude at a frequency that is `ratio` times the corner, into the stop band."""
    return 1.0 / np.sqrt(1.0 + np.minimum(ratio, 1e6) ** (2 * FILTER_ORDER))


def noise(kind: str, n_samples: int, *, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return stationary Gaussian noise (n_samples,) with an RMS of 1, of a kind in `NOISE_SLOPES`."""
    white = rng.standard_normal(n_samples)
    if n_samples == 0 or NOISE_SLOPES[kind] == 0.0:
        return white
    size = _transform_size(n_samples)
    frequency_hz = np.maximum(np.fft.rfftfreq(size, 1 / SAMPLE_RATE), NOISE_FLOOR_HZ)
    shaped = np.fft.irfft(np.fft.rfft(white, size) / frequency_hz ** NOISE_SLOPES[kind], size)[:n_samples]
    return shaped / max(float(np.sqrt(np.mean(np.square(shaped)))), 1e-12)


def _transform_size(n_samples: int) -> int:
    """Return the power of two from `n_samples` on: a length with large prime factors is four times slower."""
    return 1 << max(n_samples - 1, 1).bit_length()
