"""WORLD: speech taken apart into pitch, spectral envelope and aperiodicity, and put together again.

Morise, Yokomori and Ozawa, "WORLD: a vocoder-based high-quality speech synthesis system for real-time
applications", IEICE Transactions E99-D (2016), through the pyworld package.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from audio.errors import EngineError
from audio.segments import SAMPLE_RATE
from synth.engines import source_of
from synth.pcm import Samples, fitted

FRAME_PERIOD_MS = 5.0
"""Step of the analysis, WORLD's default."""

MIN_SAMPLES = 1_024
"""Shorter input is padded with silence: the envelope is estimated with an FFT of this length at 16 kHz."""


LAG_SAMPLES = 22
"""How much later than its source WORLD's synthesis lies, 1.4 ms in every band from 0.3 to 7.5 kHz (measured on
speech, by the correlation of envelopes): taken out, so that a twin lies on its source."""

Frames = npt.NDArray[np.float64]
"""float64 array (frames, bins): a row every `FRAME_PERIOD_MS`, a column every 15.6 Hz."""


@dataclass(frozen=True)
class Speech:
    """Speech taken apart: pitch in Hz (frames,), 0 where there is none; power spectrum; share of noise in it."""

    pitch_hz: npt.NDArray[np.float64]
    envelope: Frames
    aperiodicity: Frames


class World:
    """Analysis and resynthesis with WORLD (DIO, StoneMask, CheapTrick, D4C)."""

    name = "world"
    makes_twins = True
    languages: tuple[str, ...] = ()

    def version(self) -> str:
        """Return the version of pyworld and the settings; raise `EngineError` when it is not installed."""
        return world_version(self.name)

    def render(
        self, samples: Samples | None, *, text: str = "", language: str = "", rng: np.random.Generator
    ) -> Samples:
        """Resynthesise `samples`; WORLD's own noise generator is seeded, so `rng` is not drawn from."""
        given = source_of(samples, self.name)
        return synthesised(analysed(given), given.size)


def world_version(name: str) -> str:
    """Return the version and step of WORLD; raise `EngineError` in an engine's `name` when it is not installed."""
    try:
        return f"pyworld {metadata.version('pyworld')}, {FRAME_PERIOD_MS:g} ms, lag {LAG_SAMPLES}"
    except metadata.PackageNotFoundError:
        raise EngineError(f"{name}: pyworld is not installed: pip install pyworld") from None


def analysed(samples: Samples) -> Speech:
    """Take samples (n,) apart; silence follows them, for what is late, and as far as `MIN_SAMPLES`."""
    pyworld = load_pyworld()
    padded = fitted(samples, max(samples.size + LAG_SAMPLES, MIN_SAMPLES)).astype(np.float64)
    coarse_hz, times_s = pyworld.dio(padded, SAMPLE_RATE, frame_period=FRAME_PERIOD_MS)
    pitch_hz = pyworld.stonemask(padded, coarse_hz, times_s, SAMPLE_RATE)
    envelope = pyworld.cheaptrick(padded, pitch_hz, times_s, SAMPLE_RATE)
    return Speech(pitch_hz, envelope, pyworld.d4c(padded, pitch_hz, times_s, SAMPLE_RATE))


def synthesised(speech: Speech, n_samples: int) -> Samples:
    """Put speech together again, from the same time on: float32 (n_samples,)."""
    facts = (np.ascontiguousarray(part) for part in (speech.pitch_hz, speech.envelope, speech.aperiodicity))
    return fitted(load_pyworld().synthesize(*facts, SAMPLE_RATE, FRAME_PERIOD_MS)[LAG_SAMPLES:], n_samples)


def load_pyworld() -> Any:
    """Import pyworld; raise `EngineError` with the install command when it is missing."""
    try:
        with _pkg_resources():
            import pyworld
    except ImportError as error:
        raise EngineError(f"world: pyworld cannot be loaded ({error}): pip install pyworld") from None
    return pyworld


@contextmanager
def _pkg_resources() -> Iterator[None]:
    """Lend pyworld the one function of `pkg_resources` that it calls while it is imported.

    pyworld asks it for its own version. The real one belongs to setuptools, which new environments lack or
    hold in a version without it, and which warns that it is going away.
    """
    if "pkg_resources" in sys.modules:
        yield
        return
    stand_in = ModuleType("pkg_resources")
    stand_in.get_distribution = lambda name: SimpleNamespace(  # type: ignore[attr-defined]
        version=metadata.version(name)
    )
    sys.modules["pkg_resources"] = stand_in
    try:
        yield
    finally:
        del sys.modules["pkg_resources"]


ENGINE = World()
