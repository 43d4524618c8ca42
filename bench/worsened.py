"""Recordings made worse step by step, one way at a time: where does a detector begin to fail?

Each way belongs to a rule of `model.judging.abstain` and moves the fact that this rule looks at, from what nobody minds
to what nobody can use. None moves a sample to another place, so the truth of a clip stays as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audio.segments import SAMPLE_RATE
from bench.music import MUSIC
from synth.channel import active_dbfs, overloaded
from synth.noise import generated, unit_rms
from synth.pcm import SILENCE_DBFS, from_db, to_float, to_pcm, weighted

Samples = npt.NDArray[np.float32]

EDGE_HZ = 200.0
"""A low-pass falls from all to nothing over this width: steep as those of telephones and codecs."""


@dataclass(frozen=True)
class Grade:
    """One way of making recordings worse, at one strength; pickles."""

    rule: str
    """Reason code of the rule whose fact it moves; "clean" for none."""
    amount: float = 0.0

    @property
    def words(self) -> str:
        """What it does, for people."""
        return WAYS[self.rule].words.format(self.amount) if self.rule != CLEAN.rule else "as they are"

    def worsen(self, samples: Samples, *, name: str) -> Samples:
        """Return a worse recording, float32 (n,) like `samples`; what is random in it follows from `name` alone."""
        if self.rule == CLEAN.rule or active_dbfs(samples) <= SILENCE_DBFS:
            return samples
        # The same music at every strength, so that strengths differ in nothing else.
        seed = int.from_bytes(hashlib.sha256(f"{self.rule}\n{name}".encode()).digest()[:8], "big")
        return WAYS[self.rule].change(samples, self.amount, seed).astype(np.float32)


@dataclass(frozen=True)
class Way:
    """How recordings get worse, and the strengths at which they are tried, the mildest first."""

    words: str
    change: Callable[[Samples, float, int], npt.NDArray[np.floating]]
    amounts: tuple[float, ...]


def _overdriven(samples: Samples, crest_db: float, seed: int) -> npt.NDArray[np.floating]:
    ceiling = from_db(active_dbfs(samples) + crest_db)
    return overloaded(samples, "hard", ceiling=ceiling)


def _low_passed(samples: Samples, edge_hz: float, seed: int) -> npt.NDArray[np.floating]:
    def gain(frequency_hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        beyond = np.clip((frequency_hz - edge_hz) / EDGE_HZ, 0.0, 1.0)
        return np.asarray(0.5 + 0.5 * np.cos(np.pi * beyond))

    return to_float(to_pcm(weighted(samples, gain)))


def _noisy(samples: Samples, snr_db: float, seed: int) -> npt.NDArray[np.floating]:
    noise = generated("pink", samples.size, rng=np.random.default_rng(seed))
    return samples + np.float32(from_db(active_dbfs(samples) - snr_db)) * noise


def _with_music(samples: Samples, over_db: float, seed: int) -> npt.NDArray[np.floating]:
    kinds = list(MUSIC)
    music = unit_rms(MUSIC[kinds[seed % len(kinds)]](samples.size / SAMPLE_RATE, seed))
    return samples + np.float32(from_db(active_dbfs(samples) - over_db)) * music


CLEAN = Grade("clean")
"""Recordings as they are."""

WAYS: Mapping[str, Way] = {
    "music_or_tone": Way("speech {:g} dB above music", _with_music, (20.0, 10.0, 5.0, 0.0, -5.0, -10.0, -20.0)),
    "clipped": Way("cut off {:g} dB above the level of the speech", _overdriven, (12.0, 9.0, 6.0, 3.0, 0.0, -3.0)),
    "narrow_band": Way(
        "nothing above {:g} Hz, in 16 bits", _low_passed, (6_000.0, 4_500.0, 3_400.0, 2_500.0, 1_800.0, 1_200.0)
    ),
    "too_noisy": Way("speech {:g} dB above pink noise", _noisy, (20.0, 15.0, 10.0, 5.0, 0.0, -5.0, -10.0)),
}
"""By the reason code of the rule."""

LADDERS: Mapping[str, tuple[Grade, ...]] = {
    rule: tuple(Grade(rule, amount) for amount in way.amounts) for rule, way in WAYS.items()
}
"""The grades of each rule."""
