"""WORLD: speech taken apart into pitch, spectral envelope and aperiodicity, and put together again.

Morise, Yokomori and Ozawa, "WORLD: a vocoder-based high-quality speech synthesis system for real-time
applications", IEICE Transactions E99-D (2016), through the pyworld package.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from audio.errors import EngineError
from audio.segments import SAMPLE_RATE
from synth.engines import source_of
from synth.pcm import Samples, fitted

FRAME_PERIOD_MS = 5.0
"""Step of the analysis, WORLD's default."""

MIN_SAMPLES = 1_024
"""Shorter input is padded with silence: the envelope is estimated with an FFT of this length at 16 kHz."""


class World:
    """Analysis and resynthesis with WORLD (DIO, StoneMask, CheapTrick, D4C)."""

    name = "world"
    makes_twins = True

    def version(self) -> str:
        """Return the version of pyworld and the settings; raise `EngineError` when it is not installed."""
        try:
            return f"pyworld {metadata.version('pyworld')}, {FRAME_PERIOD_MS:g} ms"
        except metadata.PackageNotFoundError:
            raise EngineError("world: pyworld is not installed: pip install pyworld") from None

    def render(
        self, samples: Samples | None, *, text: str = "", language: str = "", rng: np.random.Generator
    ) -> Samples:
        """Resynthesise `samples`; WORLD's own noise generator is seeded, so `rng` is not drawn from."""
        given = source_of(samples, self.name)
        pyworld = load_pyworld()
        padded = fitted(given, max(given.size, MIN_SAMPLES)).astype(np.float64)
        coarse_hz, times_s = pyworld.dio(padded, SAMPLE_RATE, frame_period=FRAME_PERIOD_MS)
        pitch_hz = pyworld.stonemask(padded, coarse_hz, times_s, SAMPLE_RATE)
        envelope = pyworld.cheaptrick(padded, pitch_hz, times_s, SAMPLE_RATE)
        aperiodicity = pyworld.d4c(padded, pitch_hz, times_s, SAMPLE_RATE)
        rendered = pyworld.synthesize(pitch_hz, envelope, aperiodicity, SAMPLE_RATE, FRAME_PERIOD_MS)
        return fitted(rendered, given.size)


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
