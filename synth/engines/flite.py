"""flite: English diphone and statistical voices, by the program of that name. It speaks; it makes no twins.

Black and Lenzo, "Flite: a small fast run-time synthesis engine", SSW 2001; Black, "CLUSTERGEN: a statistical
parametric synthesizer using trajectory modeling", Interspeech 2006 (the voices awb, rms and slt).
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from audio.errors import EngineError
from synth.engines import spoken_by, text_of
from synth.engines.programs import Program, read_rendered, wav_to_write
from synth.pcm import Samples

INSTALL = "sudo apt-get install flite (Debian, Ubuntu), brew install flite (macOS)"

PITCH_HZ = {"kal16": (80, 140), "awb": (85, 150), "rms": (80, 130), "slt": (140, 210)}
"""Its voices at 16 kHz that read any text, and the mean pitch drawn uniformly for each. Its kal has 8 kHz."""

STRETCH = (0.85, 1.25)
"""What durations are multiplied with, drawn uniformly."""


class Flite:
    """Text to speech with flite."""

    name = "flite"
    makes_twins = False
    languages: tuple[str, ...] = ("en",)

    def version(self) -> str:
        """Return the version of the program and its voices; raise `EngineError` when it is missing."""
        number = re.search(r"flite-(\S+)", _PROGRAM.run(["--version"], success=(0, 1)))
        return f"flite {number[1] if number else 'of unknown version'}, {' '.join(_voices())}, draw 1"

    def render(self, samples: Samples | None = None, *, text: str, language: str, rng: np.random.Generator) -> Samples:
        """Speak `text`, which must be English, in a voice and with pitch and pace drawn from `rng`."""
        spoken_by(self, language)
        voice = str(rng.choice(_voices()))
        settings = {"int_f0_target_mean": rng.uniform(*PITCH_HZ[voice]), "duration_stretch": rng.uniform(*STRETCH)}
        options = [part for key, value in settings.items() for part in ("--setf", f"{key}={value:.3f}")]
        with wav_to_write(self.name) as wav:
            # -t takes whatever comes next, so that a text is never an option or the name of a file.
            _PROGRAM.run(["-voice", voice, *options, "-t", text_of(text, self.name), "-o", str(wav)])
            return read_rendered(self.name, wav)


_PROGRAM = Program(Flite.name, "flite", INSTALL)


@lru_cache(maxsize=1)
def _voices() -> tuple[str, ...]:
    there = _PROGRAM.run(["-lv"]).split()
    voices = tuple(voice for voice in PITCH_HZ if voice in there)
    if not voices:
        raise EngineError(f"flite: expected one of its voices {', '.join(PITCH_HZ)}, received {' '.join(there)}")
    return voices


ENGINE = Flite()
