"""espeak-ng: formant synthesis from text, by the program of that name. It speaks; it makes no twins."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from audio.errors import EngineError
from audio.reading import read
from synth.pcm import Samples

PROGRAM = "espeak-ng"

INSTALL = "sudo apt-get install espeak-ng (Debian, Ubuntu), brew install espeak-ng (macOS)"

SECONDS_AT_MOST = 60
"""Patience with one sentence."""

WORDS_PER_MINUTE = (130, 190)
"""Speaking rate, drawn uniformly; the program's own default is 175."""

PITCH = (30, 70)
"""Pitch on the program's scale of 0 to 99, drawn uniformly; its own default is 50."""

SENTENCES = {
    "en": (
        "The train to the north leaves from the second platform in ten minutes.",
        "Please leave your name and number, and somebody will call you back tomorrow.",
        "She opened the window because the room had become too warm for her.",
        "We need three more chairs before the guests arrive this evening.",
    ),
    "es": (
        "El tren del norte sale del segundo andén dentro de diez minutos.",
        "Deje su nombre y su número, por favor, y alguien le llamará mañana.",
        "Abrió la ventana porque hacía demasiado calor en la habitación.",
    ),
    "fr": (
        "Le train du nord part du deuxième quai dans dix minutes.",
        "Laissez votre nom et votre numéro, et quelqu'un vous rappellera demain.",
        "Elle a ouvert la fenêtre parce qu'il faisait trop chaud dans la chambre.",
    ),
    "it": (
        "Il treno per il nord parte dal secondo binario fra dieci minuti.",
        "Lasci il suo nome e il suo numero, e qualcuno la richiamerà domani.",
        "Ha aperto la finestra perché nella stanza faceva troppo caldo.",
    ),
    "ru": (
        "Поезд на север отходит через десять минут от второй платформы.",
        "Оставьте ваше имя и номер, и вам перезвонят завтра утром.",
        "Она открыла окно, потому что в комнате стало слишком жарко.",
    ),
}
"""What is said where a set has no texts. Other languages hear English."""


class Espeak:
    """Text to speech with espeak-ng."""

    name = "espeak"
    makes_twins = False

    def version(self) -> str:
        """Return the version of the program; raise `EngineError` with the install command when it is missing."""
        return _version()

    def render(self, samples: Samples | None = None, *, text: str, language: str, rng: np.random.Generator) -> Samples:
        """Speak `text` in the voice of `language`, with a rate and pitch drawn from `rng`."""
        rate, pitch = (str(rng.integers(low, high + 1)) for low, high in (WORDS_PER_MINUTE, PITCH))
        with tempfile.TemporaryDirectory(prefix="espeak-") as folder:
            wav = Path(folder, "spoken.wav")
            _run(["-v", language or "en", "-s", rate, "-p", pitch, "-w", str(wav), "--stdin"], text=text)
            return read(wav)


def sentences(language: str) -> tuple[str, ...]:
    """Return built-in sentences in `language`, a two-letter code, or in English."""
    return SENTENCES.get(language, SENTENCES["en"])


@lru_cache(maxsize=1)
def _version() -> str:
    words = _run(["--version"]).split()
    number = next((word for word in words if word[0].isdigit()), "unknown version")
    return f"{PROGRAM} {number}"


def _run(arguments: list[str], *, text: str = "") -> str:
    program = shutil.which(PROGRAM)
    if program is None:
        raise EngineError(f"espeak: the program {PROGRAM} was not found: {INSTALL}")
    try:
        done = subprocess.run(
            [program, *arguments],
            input=text,
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS_AT_MOST,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineError(f"espeak: {PROGRAM} failed: {error}") from None
    return done.stdout


ENGINE = Espeak()
