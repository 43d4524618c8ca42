"""Festival: diphone and HTS voices, by its program text2wave. It speaks English; it makes no twins.

Taylor, Black and Caley, "The architecture of the Festival speech synthesis system", SSW 1998. Which voices it has
depends on what is installed; the English ones among them are drawn from.
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from audio.errors import EngineError
from synth.engines import spoken_by, text_of
from synth.engines.programs import Program, read_rendered, wav_to_write
from synth.pcm import Samples

INSTALL = "sudo apt-get install festival festvox-kallpc16k (Debian, Ubuntu); elsewhere, build it from festvox.org"

ENGLISH_VOICES = re.compile(r"(kal|ked|rab|don|gsw)_diphone|(cmu|nitech)_us_\w+|us\d_mbrola|en1_mbrola")
"""Names of English voices, as its manual and Debian's packages have them."""

STRETCH = (0.85, 1.25)
"""What durations are multiplied with, drawn uniformly."""

PITCH_HZ = (80.0, 150.0)
"""Mean pitch, drawn uniformly; its own for the voice kal is 105."""

MODEL_HZ = (170, 34)
"""Mean and deviation of the voice that the pitch model was trained on, which the voices' own settings name."""


class Festival:
    """Text to speech with Festival."""

    name = "festival"
    makes_twins = False
    languages: tuple[str, ...] = ("en",)

    def version(self) -> str:
        """Return the version of the program and its voices; raise `EngineError` when it is missing."""
        _TEXT2WAVE.find()
        number = re.search(r"\d+(\.\d+)+", _FESTIVAL.run(["--version"]))
        return f"festival {number[0] if number else 'of unknown version'}, {' '.join(_voices())}, draw 1"

    def render(self, samples: Samples | None = None, *, text: str, language: str, rng: np.random.Generator) -> Samples:
        """Speak `text`, which must be English, in a voice and with pitch and pace drawn from `rng`."""
        spoken_by(self, language)
        voice = str(rng.choice(_voices()))
        how = _setting(voice, rng.uniform(*PITCH_HZ), rng.uniform(*STRETCH))
        with wav_to_write(self.name) as wav:
            _TEXT2WAVE.run(["-eval", how, "-o", str(wav)], given=text_of(text, self.name))
            return read_rendered(self.name, wav)


_FESTIVAL = Program(Festival.name, "festival", INSTALL)

_TEXT2WAVE = Program(Festival.name, "text2wave", INSTALL)


def _setting(voice: str, pitch_hz: float, stretch: float) -> str:
    """Return the Scheme expression that selects a voice and sets its pitch and pace."""
    own = f"(target_f0_mean {pitch_hz:.1f}) (target_f0_std {pitch_hz / 8:.1f})"
    model = "(model_f0_mean {}) (model_f0_std {})".format(*MODEL_HZ)
    pace = f"(Parameter.set 'Duration_Stretch {stretch:.3f})"
    return f"(begin (voice_{voice}) {pace} (set! int_lr_params '({own} {model})))"


@lru_cache(maxsize=1)
def _voices() -> tuple[str, ...]:
    there = re.findall(r"[\w-]+", _FESTIVAL.run(["--batch", "(print (voice.list))"]))
    voices = tuple(sorted(voice for voice in there if ENGLISH_VOICES.fullmatch(voice)))
    if not voices:
        raise EngineError(f"festival: it has no English voice: {INSTALL}")
    return voices


ENGINE = Festival()
