"""Writing down sound while it comes: 16 kHz mono 16-bit, whole when it ends, however it ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from audio.atomic import replacing
from audio.errors import AudioError, UsageError
from audio.levels import to_int16
from audio.segments import SAMPLE_RATE

Samples = npt.NDArray[np.float32]
Keep = Callable[[Samples], Samples]

FORMATS = {".wav": "WAV", ".flac": "FLAC"}
"""Suffix -> what libsndfile calls the format."""


@contextmanager
def keeping(path: str | os.PathLike[str]) -> Iterator[Keep]:
    """Lend a function that writes the next samples, float32 (n,) at 16 kHz, and returns them as the file holds them.

    What it returns is rounded to 16 bits and clipped at full scale, so that what is judged live is what the file will
    say: the same float32 values as `audio.reading.read` gives back. The file is written beside its place and appears
    when the body ends. It does so as well when the body raises: what was heard is heard. Without a sample nothing is
    written, and an older file stays.

    Raises
    ------
    UsageError
        When the name does not end in .wav or .flac.
    AudioError
        When the file cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise UsageError(f"{target}: expected a name that ends in {' or '.join(FORMATS)}")
    raised: BaseException | None = None
    with _one_line(target), suppress(_NothingHeard), replacing(target) as beside:
        with soundfile.SoundFile(beside, "w", SAMPLE_RATE, 1, "PCM_16", format=FORMATS[target.suffix.lower()]) as file:
            try:
                yield lambda samples: _written(target, file, samples)
            except BaseException as error:
                raised = error
            empty = file.frames == 0
        if empty:
            raise _NothingHeard
    if raised is not None:
        raise raised


def not_keeping() -> nullcontext[Keep]:
    """Return what `keeping` returns, for sound that is not kept: it comes back as it is."""
    return nullcontext(lambda samples: samples)


class _NothingHeard(Exception):
    """Leaves the file that may be there as it is."""


def _written(target: Path, file: soundfile.SoundFile, samples: Samples) -> Samples:
    pcm = to_int16(samples)
    with _one_line(target):
        file.write(pcm)
    return np.asarray(pcm / np.float32(32768.0), dtype=np.float32)


@contextmanager
def _one_line(target: Path) -> Iterator[None]:
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{target}: cannot be written: {error.error_string}") from None
    except OSError as error:
        raise AudioError(f"{target}: cannot be written: {error.strerror or error}") from None
