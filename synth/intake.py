"""Which recordings a folder of anybody's holds, who speaks in them, and what they are called when prepared."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from audio.errors import ManifestError
from audio.labels import REAL
from audio.manifest import AUDIO_SUFFIXES, Clip, read_manifest
from synth.voices import MANIFEST

UNKNOWN = "unknown"
"""The speaker of recordings that lie in no folder of their own: taken for one person, they share a split."""


@dataclass(frozen=True)
class Intake:
    """What was found in a folder."""

    recordings: tuple[Clip, ...]
    """In the order of their paths; lengths are not known yet."""
    unusable: tuple[tuple[str, str], ...] = ()
    """Files whose name cannot be used: the name, escaped, and a line."""


def list_recordings(folder: Path) -> Intake:
    """List the genuine recordings below a folder, whether or not they can be read.

    With a `manifest.jsonl` in it, its real clips; without, every file with the suffix of a recording. The name of
    the first subfolder is taken for the speaker. Hidden files, other files and links to folders are passed over.

    Raises
    ------
    ManifestError
        When the folder is missing, holds no recording, or its manifest is broken.
    """
    if not folder.is_dir():
        raise ManifestError(f"{folder}: expected a folder of recordings, found none")
    if (folder / MANIFEST).exists():
        listed = [clip for clip in read_manifest(folder / MANIFEST) if clip.label == REAL]
        return Intake(tuple(sorted(listed, key=lambda clip: clip.path)))
    clips: list[Clip] = []
    unusable: list[tuple[str, str]] = []
    for path in sorted(_audio_files(folder)):
        try:
            clips.append(_unread(path))
        except ManifestError as error:
            unusable.append((ascii(path), f"{folder}: {error}"))
    if not clips and not unusable:
        raise ManifestError(f"{folder}: expected SPEAKER/NAME.wav or other audio files, found none")
    return Intake(tuple(clips), tuple(unusable))


def stems(paths: Iterable[str]) -> dict[str, str]:
    """Return what the prepared clips of each recording are called, without the suffix.

    It is the recording's own path without its suffix, or with it where several in a folder differ in nothing
    else (for some systems, the case of letters and the coding of accents are nothing).
    """
    paths = list(paths)
    count = Counter(_same(_stem(path)) for path in paths)
    return {path: _stem(path) if count[_same(_stem(path))] == 1 else path for path in paths}


class Names:
    """Hands out paths of WAV files, none of them twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def free(self, stem: str) -> str:
        """Return `stem` with the suffix, after as many `~` as make it new."""
        while _same(stem) in self._taken:
            stem += "~"
        self._taken.add(_same(stem))
        return f"{stem}.wav"


def _audio_files(folder: Path) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if PurePosixPath(name).suffix.lower() in AUDIO_SUFFIXES and not name.startswith("."):
                yield Path(parent, name).relative_to(folder).as_posix()


def _unread(path: str) -> Clip:
    """Return the clip of a file; raise `ManifestError` when its name cannot stand in a manifest or a log."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in path):
        raise ManifestError(f"name: expected text without control characters, received {path!a}: rename the file")
    parts = path.split("/")
    return Clip(path, REAL, speaker=parts[0] if len(parts) > 1 else UNKNOWN)


def _stem(path: str) -> str:
    return str(PurePosixPath(path).with_suffix(""))


def _same(stem: str) -> str:
    return unicodedata.normalize("NFC", stem).casefold()
