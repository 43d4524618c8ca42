"""espeak-ng: synthesis by rule from text, by the program of that name. It speaks; it makes no twins.

The program has two synthesisers: its own, which adds up formants and recorded consonants, and one after Klatt
("Software for a cascade/parallel formant synthesizer", JASA 67, 1980), which some of its voice variants ask for. Here
they are two engines, `espeak` and `espeak-klatt`, so that one can be held out while the other is trained on. Each
draws an accent of the language and one of the variants, which change timbre, pitch and pace.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from audio.errors import EngineError
from synth.engines import spoken_by, text_of
from synth.engines.programs import Program, read_rendered, wav_to_write
from synth.pcm import Samples

PROGRAM = "espeak-ng"

INSTALL = "sudo apt-get install espeak-ng (Debian, Ubuntu), brew install espeak-ng (macOS)"

WORDS_PER_MINUTE = (130, 190)
"""Speaking rate, drawn uniformly; the program's own default is 175."""

PITCH = (30, 70)
"""Pitch on the program's scale of 0 to 99, drawn uniformly; its own default is 50."""

AMPLITUDE = 50
"""Half of the program's default, at which its louder variants clip."""

PLAIN_SHARE = 0.2
"""Share of texts spoken without a variant, where the synthesiser has a voice without one."""

NO_VOICES = ("fast",)
"""Variants that are experiments of the program's authors and sound like no variant."""


@dataclass(frozen=True)
class Espeak:
    """Text to speech with one of espeak-ng's two synthesisers, in every language that it knows."""

    name: str
    by_klatt: bool

    makes_twins = False
    languages: ClassVar[tuple[str, ...]] = ()

    def version(self) -> str:
        """Return the version of the program and a hash of its voices; raise `EngineError` when it is missing."""
        return _version(self.name)

    def render(self, samples: Samples | None = None, *, text: str, language: str, rng: np.random.Generator) -> Samples:
        """Speak `text` in a voice of `language`, with variant, rate and pitch drawn from `rng`."""
        voice = self.draw_voice(spoken_by(self, language), rng)
        rate, pitch = (str(rng.integers(low, high + 1)) for low, high in (WORDS_PER_MINUTE, PITCH))
        with wav_to_write(self.name) as wav:
            how = ["-v", voice, "-s", rate, "-p", pitch, "-a", str(AMPLITUDE)]
            _program(self.name).run([*how, "-b", "1", "-w", str(wav), "--stdin"], given=text_of(text, self.name))
            return read_rendered(self.name, wav)

    def draw_voice(self, language: str, rng: np.random.Generator) -> str:
        """Draw an accent and a variant, as the program's option -v takes them."""
        accent = str(rng.choice(_accents(self.name, language)))
        variants = _variants(self.name)[self.by_klatt]
        if not variants:
            raise EngineError(f"{self.name}: {PROGRAM} has no such voices: {INSTALL}")
        plain = rng.random() < PLAIN_SHARE and not self.by_klatt
        variant = str(rng.choice(variants))
        return accent if plain else f"{accent}+{variant}"


def _program(name: str) -> Program:
    return Program(name, PROGRAM, INSTALL)


@lru_cache(maxsize=2)
def _version(name: str) -> str:
    program = _program(name)
    number = re.search(r"\d[\w.-]*", program.run(["--version"]))
    voices = program.run(["--voices"]) + program.run(["--voices=variant"])
    digest = hashlib.sha256(voices.encode()).hexdigest()[:8]
    return f"{PROGRAM} {number[0] if number else 'unknown version'}, voices {digest}, draw 2"


@lru_cache(maxsize=64)
def _accents(name: str, language: str) -> tuple[str, ...]:
    """Return the voices of a language by the program's file names; raise `EngineError` when there is none.

    The program lists neighbours as well (Cantonese with Chinese); those that share the first one's code are taken,
    but none that reads another script (Pinyin), and none that needs the program mbrola.
    """
    listed = [
        (code.split("-")[0], file)
        for code, file in _listed(name, f"--voices={language}")
        if not file.startswith(("mb/", "!v/")) and "-latn" not in code
    ]
    if not re.fullmatch(r"[a-z]{2,3}(-[a-z0-9]+)*", language) or not listed:
        there = f"expected a language that {PROGRAM} speaks (see {PROGRAM} --voices)"
        raise EngineError(f"{name}: {there}, received {language!r}")
    return tuple(file for code, file in listed if code == listed[0][0])


@lru_cache(maxsize=2)
def _variants(name: str) -> dict[bool, tuple[str, ...]]:
    """Return the variants by whether they are Klatt's, which the program's own files say of them."""
    told = re.search(r"Data at: (.+)", _program(name).run(["--version"]))
    folder = Path(told[1].strip() if told else "", "voices", "!v")
    names = [file.removeprefix("!v/") for _, file in _listed(name, "--voices=variant") if file.startswith("!v/")]
    found: dict[bool, list[str]] = {False: [], True: []}
    for variant in sorted({*names} - {*NO_VOICES}):
        found[_asks_for_klatt(folder / variant)].append(variant)
    return {by_klatt: tuple(variants) for by_klatt, variants in found.items()}


def _asks_for_klatt(file: Path) -> bool:
    try:
        return re.search(r"^klatt\s+[1-9]", file.read_text("utf-8", errors="replace"), re.MULTILINE) is not None
    except OSError:
        return file.name.startswith("klatt")


def _listed(name: str, option: str) -> Iterator[tuple[str, str]]:
    """Yield language code and file of each voice in a list of the program's."""
    for line in _program(name).run([option]).splitlines()[1:]:
        _, code, _, _, rest = line.split(maxsplit=4)
        yield code, re.split(r"\s{2,}|\s*\(", rest.strip())[0]


ENGINE = Espeak("espeak", by_klatt=False)
