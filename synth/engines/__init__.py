"""Synthesisers behind one protocol: genuine samples, or text, in; a regenerated waveform out.

One file an engine. Registering it here is all that the rest of the package needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

import numpy as np

from audio.errors import EngineError
from synth.pcm import Samples


class Engine(Protocol):
    """What every engine offers."""

    name: str
    """As written in manifests and on the command line."""

    makes_twins: bool
    """True: it resynthesises given speech, same words, voice and timing. False: it speaks a text."""

    def version(self) -> str:
        """Return implementation, version and settings: two equal texts render equal samples."""

    def render(self, samples: Samples | None, *, text: str, language: str, rng: np.random.Generator) -> Samples:
        """Render one recording.

        Parameters
        ----------
        samples
            float32 (n,) at 16 kHz, what a twin copies; None for an engine that speaks.
        text, language
            What to say, and its two-letter language code; "" for an engine that makes twins.
        rng
            The only source of randomness.

        Returns
        -------
        float32 (n,) at 16 kHz. A twin has exactly the length of `samples` and lies less than 1 ms beside it.

        Raises
        ------
        EngineError
            When the engine is missing (with its install command) or fails.
        """


_MODULES = {
    "world": "synth.engines.world",
    "griffin-lim": "synth.engines.griffin_lim",
    "lpc": "synth.engines.lpc",
    "espeak": "synth.engines.espeak",
}

ENGINES = tuple(_MODULES)
"""Names of all engines; whether the packages or programs they need are there shows when they render."""


def engine(name: str) -> Engine:
    """Return the engine called `name`; raise `EngineError` for any other name."""
    if name not in _MODULES:
        raise EngineError(f"engine: expected one of {', '.join(ENGINES)}, received {name!r}")
    return cast(Engine, import_module(_MODULES[name]).ENGINE)


def source_of(samples: Samples | None, name: str) -> Samples:
    """Return `samples`, or raise `EngineError` when an engine that copies was given none."""
    if samples is None:
        raise EngineError(f"{name}: expected samples to copy, received none")
    return samples
