"""Processing that leaves real speech real, and fake speech fake: what decoys are made with, and half of all twins.

A span that was processed and put back has joins, and sounds a little different from its surroundings; that does
not make it fake. So spans of every class are treated in the same way: a genuine span in genuine speech is always
treated (untreated, it would be the recording itself), a fake one in genuine speech in half of the cases.
Every treatment keeps the length, and the place of each sample to 5 ms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from audio.errors import ToolkitError
from audio.segments import SAMPLE_RATE
from synth.codecs import Coding, pass_codecs
from synth.pcm import Samples, fitted, from_db, weighted

SHIFT, RESAMPLE, EQUALISE, GAIN, CODEC, DENOISE = "shift", "resample", "equalise", "gain", "codec", "denoise"

TREATMENTS = {SHIFT: 0.25, RESAMPLE: 0.15, EQUALISE: 0.2, GAIN: 0.1, CODEC: 0.2, DENOISE: 0.1}
"""Share of each."""

SHIFT_SAMPLES = (16, 79)
"""Shortest and longest time shift, 1 to 5 ms."""

RATES_HZ = (11_025, 12_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Sample rates that recordings pass on their way."""

BANDS_HZ = (125.0, 250.0, 500.0, 1_000.0, 2_000.0, 4_000.0, 6_000.0)
"""Centres of the equaliser: octaves, as on mixing desks (ISO 266), the last one below the edge at 8 kHz."""

BAND_DB = 6.0
"""The equaliser raises or lowers a band by up to this much."""

GAIN_DB = 6.0
"""A gain is up to this much either way; a peak that would clip lowers it."""


@dataclass(frozen=True)
class Treatment:
    """One way to process a recording; only what belongs to its `kind` is set.

    Raises
    ------
    ToolkitError
        For an unknown kind.
    """

    kind: str
    shift_samples: int = 0
    rate_hz: int = 0
    bands_db: tuple[float, ...] = ()
    gain_db: float = 0.0
    codec: str = ""
    kbps: float = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands_db", tuple(self.bands_db))
        if self.kind not in TREATMENTS:
            raise ToolkitError(f"treatment: expected one of {', '.join(TREATMENTS)}, received {self.kind!r}")

    def to_json(self) -> dict[str, Any]:
        """Return what is set, as JSON can hold it; `from_json` turns it back."""
        return {name: value for name, value in asdict(self).items() if value not in ((), 0, "")}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Treatment:
        """Rebuild a treatment; raise `ToolkitError` when `facts` is none."""
        try:
            return cls(**facts)
        except TypeError as error:
            raise ToolkitError(f"treatment: {error}") from None


def choose_treatment(rng: np.random.Generator, codings: Sequence[Coding]) -> Treatment:
    """Draw a treatment; `codings` are what this machine can code with, none of them leaves codecs out."""
    kind = str(rng.choice(list(TREATMENTS), p=list(TREATMENTS.values())))
    if kind == SHIFT or (kind == CODEC and not codings):
        shift = int(rng.integers(*SHIFT_SAMPLES, endpoint=True)) * int(rng.choice((-1, 1)))
        return Treatment(SHIFT, shift_samples=shift)
    if kind == RESAMPLE:
        return Treatment(kind, rate_hz=int(rng.choice(RATES_HZ)))
    if kind == EQUALISE:
        return Treatment(kind, bands_db=tuple(np.round(rng.uniform(-BAND_DB, BAND_DB, len(BANDS_HZ)), 2).tolist()))
    if kind == GAIN:
        return Treatment(kind, gain_db=round(float(rng.uniform(-GAIN_DB, GAIN_DB)), 2))
    if kind == CODEC:
        coding = codings[int(rng.integers(len(codings)))]
        return Treatment(kind, codec=coding.codec, kbps=coding.kbps)
    return Treatment(kind)


def treat(recordings: Sequence[Samples], treatments: Sequence[Treatment]) -> list[Samples]:
    """Process each recording by the treatment at the same place, all codecs together.

    Parameters
    ----------
    recordings
        float32 arrays (n,) at 16 kHz; any n, also 0.
    treatments
        As many as recordings.

    Returns
    -------
    float32 arrays of the same lengths. None depends on another.

    Raises
    ------
    EngineError
        When a codec is asked for and ffmpeg is missing or cannot code it.
    """
    coded = [i for i, treatment in enumerate(treatments) if treatment.kind == CODEC]
    codings = [Coding(treatments[i].codec, treatments[i].kbps) for i in coded]
    returned = dict(zip(coded, pass_codecs([recordings[i] for i in coded], codings), strict=True))
    pairs = zip(recordings, treatments, strict=True)
    return [returned[i] if i in returned else _treated(samples, t) for i, (samples, t) in enumerate(pairs)]


def _treated(samples: Samples, treatment: Treatment) -> Samples:
    if treatment.kind == SHIFT:
        return _shifted(samples, treatment.shift_samples)
    if treatment.kind == RESAMPLE:
        return _there_and_back(samples, treatment.rate_hz)
    if treatment.kind == EQUALISE:
        return _equalised(samples, treatment.bands_db)
    if treatment.kind == GAIN:
        peak = float(np.abs(samples).max(initial=1e-9))
        return samples * np.float32(min(from_db(treatment.gain_db), 1.0 / peak))
    from synth.denoise import spectral_gate

    return spectral_gate(samples)


def _shifted(samples: Samples, shift_samples: int) -> Samples:
    """Play samples later, or earlier when negative; silence comes in at the end that opens."""
    if shift_samples < 0:
        return fitted(samples[-shift_samples:], samples.size)
    return fitted(np.pad(samples, (shift_samples, 0)), samples.size)


def _there_and_back(samples: Samples, rate_hz: int) -> Samples:
    import soxr

    there = soxr.resample(samples, SAMPLE_RATE, rate_hz)
    return fitted(soxr.resample(there, rate_hz, SAMPLE_RATE), samples.size)


def _equalised(samples: Samples, bands_db: tuple[float, ...]) -> Samples:
    """Filter without phase: gains in dB, linear between the centres on a logarithmic scale of frequency."""
    centres = np.log2(BANDS_HZ)
    filtered = weighted(samples, lambda hz: 10.0 ** (np.interp(np.log2(np.maximum(hz, 1.0)), centres, bands_db) / 20.0))
    peak = float(np.abs(filtered).max(initial=0.0))
    return np.asarray(filtered / max(peak, 1.0), dtype=np.float32)
