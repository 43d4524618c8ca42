"""Engines of one's own: any program that writes a recording, named by its command line and run without a shell.

    mytts --text {text} --out {wav}                   speaks; the text is an argument
    joe=piper -m en_US-joe-medium.onnx -f {wav}       speaks; without {text}, the text comes on standard input
    codec=python resynthesise.py {source} {wav}       copies the recording {source}

The command line is split as a shell would, and then each `{text}`, `{wav}`, `{language}`, `{seed}` and `{source}`
in it is filled in; other braces stay as they are. Nothing that is filled in can become a second argument, an
option, or another placeholder. Files in it are found from the current folder; on Windows, write their paths with /.
The program may write at any sampling rate and in any number of channels; {source} is a mono WAV at 16 kHz.

piper draws its noise anew each time and takes no seed: for a set that can be made again, add `--noise-scale 0
--noise-w-scale 0` (measured with piper-tts 1.8.0 and that voice: then two runs are equal).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import ClassVar

import numpy as np

from audio.digest import file_sha256
from audio.errors import AudioError, EngineError, UsageError
from audio.reading import write_wav
from synth.engines import ENGINES, source_of, text_of
from synth.engines.programs import Program, read_rendered, wav_to_write
from synth.pcm import Samples, fitted

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
"""Names that can stand in a manifest, on a command line and in a file's name."""

PLACEHOLDERS = re.compile(r"\{(text|wav|language|seed|source)\}")

SECONDS_AT_MOST = 300.0
"""Patience with one text: a neural program loads its weights every time."""

LENGTH_TOLERANCE_SAMPLES = 800
"""How far a copy may differ from its source in length, 50 ms: vocoders and codecs render whole frames. What is
missing at its end is silence."""

INSTALL: Mapping[str, str] = {
    "piper": "pip install piper-tts, and a voice: python -m piper.download_voices en_US-lessac-medium",
    "pico2wave": "sudo apt-get install libttspico-utils (Debian, non-free; Ubuntu)",
    "say": "it comes with macOS",
}
"""How to get programs that people often name."""


@dataclass(frozen=True)
class CommandEngine:
    """A program as an engine: it copies recordings when its command has {source}, else it speaks texts.

    It is trusted to render the same for the same input and {seed}, and a copy to lie beside its source: nobody
    can check the first, and the second shows only in how a splice sounds.

    Raises
    ------
    UsageError
        For a name that is none or a built-in engine's, or a command without {wav} or with both {text} and {source}.
    """

    name: str
    arguments: tuple[str, ...]
    """The program and its arguments, with placeholders."""

    languages: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", tuple(self.arguments))
        if not NAME.fullmatch(self.name):
            wanted = "a name of letters, digits and . _ + -, as in mytts=python tts.py --out {wav}"
            raise UsageError(f"engine command: expected {wanted}, received {self.name!r}")
        if self.name in ENGINES:
            other = f"another name, as in my-{self.name}={self}"
            raise UsageError(f"engine command: {self.name} is a built-in engine: expected {other}")
        if not self._has("wav"):
            raise UsageError(f"engine command: expected {{wav}}, where the program writes to, in {str(self)!r}")
        if self._has("text") and self._has("source"):
            raise UsageError(f"engine command: expected {{text}} to speak or {{source}} to copy, not both, in {self}")

    def __str__(self) -> str:
        return shlex.join(self.arguments)

    @property
    def makes_twins(self) -> bool:
        """Whether it copies recordings."""
        return self._has("source")

    def version(self) -> str:
        """Return the command and the SHA-256 of every file that it names, the program's own among them.

        What these files load is not looked at: after an update of that, give the command another name.

        Raises
        ------
        EngineError
            When there is no such program, or a file cannot be read.
        """
        files = [self._program.find(), *self._files()]
        try:
            hashes = [file_sha256(Path(path)) for path in files]
        except AudioError as error:
            raise EngineError(f"{self.name}: {error}") from None
        return " ".join((str(self), *(digest[:16] for digest in hashes)))

    def render(
        self, samples: Samples | None, *, text: str = "", language: str = "", rng: np.random.Generator
    ) -> Samples:
        """Speak `text`, or copy `samples`, with a seed drawn from `rng`."""
        values = {"language": language or "en", "seed": str(rng.integers(2**31))}
        with wav_to_write(self.name) as wav:
            values["wav"] = str(wav)
            if not self.makes_twins:
                return self._rendered(wav, {**values, "text": text_of(text, self.name)})
            given = source_of(samples, self.name)
            if not given.size:
                return given
            source = wav.with_name("source.wav")
            write_wav(source, given)
            return self._as_long(self._rendered(wav, {**values, "source": str(source)}), given.size)

    @property
    def _program(self) -> Program:
        name = self.arguments[0]
        install = INSTALL.get(PurePath(name).name, f"install it, or correct the command {str(self)!r}")
        return Program(self.name, name, install, SECONDS_AT_MOST)

    def _has(self, placeholder: str) -> bool:
        return any(f"{{{placeholder}}}" in argument for argument in self.arguments)

    def _files(self) -> Iterator[str]:
        """Yield the files among the arguments, also behind the = of an option."""
        for argument in self.arguments[1:]:
            for part in (argument, argument.partition("=")[2]):
                if part and Path(part).is_file():
                    yield part

    def _rendered(self, wav: Path, values: Mapping[str, str]) -> Samples:
        arguments = [_filled(argument, values) for argument in self.arguments[1:]]
        on_stdin = "" if self._has("text") or self.makes_twins else values["text"] + "\n"
        self._program.run(arguments, given=on_stdin)
        return read_rendered(self.name, wav, may_be_silent=self.makes_twins)

    def _as_long(self, samples: Samples, n_samples: int) -> Samples:
        if abs(samples.size - n_samples) > LENGTH_TOLERANCE_SAMPLES:
            wanted = f"a copy of {n_samples} samples at 16 kHz, give or take {LENGTH_TOLERANCE_SAMPLES}"
            raise EngineError(f"{self.name}: expected {wanted}, received {samples.size} from {self}")
        return fitted(samples, n_samples)


def parse_command(text: str) -> CommandEngine:
    """Return the engine that a command line names.

    Parameters
    ----------
    text
        `PROGRAM ARGUMENT...`, or `NAME=PROGRAM ARGUMENT...`; without a name it is called like its program.

    Raises
    ------
    UsageError
        For a command line without a program, with an open quote, or that `CommandEngine` refuses.
    """
    try:
        first, *others = shlex.split(text) or [""]
    except ValueError as error:
        raise UsageError(f"engine command: {str(error).lower()} in {text!r}") from None
    name, named, program = first.partition("=")
    if not (named and NAME.fullmatch(name)):
        name, program = PurePath(first).name, first
    arguments = [program, *others] if program else others
    if not arguments:
        raise UsageError(f"engine command: expected a program and its arguments, received {text!r}")
    return CommandEngine(name, tuple(arguments))


def _filled(argument: str, values: Mapping[str, str]) -> str:
    """Fill the placeholders of an argument; a text that begins it cannot look like an option."""
    # `-5 degrees` at the front would be taken for one; a space before it is not spoken.
    guard = " " if argument.startswith("{text}") and not values["text"][0].isalnum() else ""
    return guard + PLACEHOLDERS.sub(lambda match: values[match[1]], argument)
