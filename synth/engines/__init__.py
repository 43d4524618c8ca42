"""Synthesisers behind one protocol: genuine samples, or text, in; a regenerated waveform out.

One file an engine. Registering it here is all that the rest of the package needs. Any other program that
synthesises joins by its command (`synth.engines.command`).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

import numpy as np

from audio.errors import EngineError
from synth.pcm import Samples


class Engine(Protocol):
    """What every engine offers."""

    @property
    def name(self) -> str:
        """As written in manifests and on the command line."""

    @property
    def makes_twins(self) -> bool:
        """True: it resynthesises given speech, same words and timing. False: it speaks a text."""

    @property
    def languages(self) -> tuple[str, ...]:
        """Two-letter codes of all that it speaks; none: whatever it is asked for, or copies."""

    def version(self) -> str:
        """Return implementation, version and settings: two equal texts render equal samples.

        Raises
        ------
        EngineError
            When the engine is missing, with its install command.
        """

    def render(self, samples: Samples | None, *, text: str, language: str, rng: np.random.Generator) -> Samples:
        """Render one recording.

        Parameters
        ----------
        samples
            float32 (n,) at 16 kHz, what a twin copies; None for an engine that speaks.
        text, language
            What to say, and its two-letter language code ("" is English); "" for an engine that makes twins.
        rng
            The only source of randomness.

        Returns
        -------
        float32 (n,) at 16 kHz. A twin has exactly the length of `samples` and lies less than 1 ms beside it.

        Raises
        ------
        EngineError
            When the engine is missing (with its install command), does not speak the language, or fails.
        """


_MODULES = {
    "world": "synth.engines.world",
    "world-voice": "synth.engines.world_voice",
    "world-coded": "synth.engines.world_coded",
    "harmonic-noise": "synth.engines.harmonic_noise",
    "griffin-lim": "synth.engines.griffin_lim",
    "griffin-lim-linear": "synth.engines.griffin_lim_linear",
    "mel-phase": "synth.engines.mel_phase",
    "fargan": "synth.engines.fargan",
    "fargan-coded": "synth.engines.fargan_coded",
    "lpc": "synth.engines.lpc",
    "cepstral": "synth.engines.cepstral",
    "channel-vocoder": "synth.engines.channel_vocoder",
    "espeak": "synth.engines.espeak",
    "espeak-klatt": "synth.engines.espeak_klatt",
    "flite": "synth.engines.flite",
    "festival": "synth.engines.festival",
}

ENGINES = tuple(_MODULES)
"""Names of all engines; whether the packages or programs they need are there shows when they render."""


@dataclass(frozen=True)
class EngineFacts:
    """What a list of engines says of one; `missing` is "" where it is installed, else what to do about it."""

    name: str
    makes_twins: bool
    languages: tuple[str, ...]
    version: str
    missing: str


def engine(name: str) -> Engine:
    """Return the engine called `name`; raise `EngineError` for any other name."""
    if name not in _MODULES:
        raise EngineError(f"engine: expected one of {', '.join(ENGINES)}, received {name!r}")
    return cast(Engine, import_module(_MODULES[name]).ENGINE)


def survey() -> list[EngineFacts]:
    """Return what there is to say of every engine on this machine; a missing one is no error."""
    return [_facts(engine(name)) for name in ENGINES]


def _facts(maker: Engine) -> EngineFacts:
    version, missing = "", ""
    try:
        version = maker.version()
    except EngineError as error:
        missing = str(error)
    return EngineFacts(maker.name, maker.makes_twins, maker.languages, version, missing)


def source_of(samples: Samples | None, name: str) -> Samples:
    """Return `samples`, or raise `EngineError` when an engine that copies was given none."""
    if samples is None:
        raise EngineError(f"{name}: expected samples to copy, received none")
    return samples


def text_of(text: str, name: str) -> str:
    """Return `text` in one line, or raise `EngineError` when there is nothing in it to speak."""
    words = text.split()
    if not words or "\0" in text:
        raise EngineError(f"{name}: expected a text to speak, received {text!r}")
    return " ".join(words)


def spoken_by(engine: Engine, language: str) -> str:
    """Return `language`, or English for ""; raise `EngineError` when the engine does not speak it."""
    wanted = language or "en"
    if engine.languages and wanted not in engine.languages:
        raise EngineError(f"{engine.name}: expected a text in {', '.join(engine.languages)}, received {wanted!r}")
    return wanted
