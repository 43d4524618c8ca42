"""Folders of sounds that the random channel draws from: noises and rooms, known by path and SHA-256.

A plan names a sound by both, so that a set can be rendered again wherever the folder lies, and a sound that was
changed since is noticed instead of heard.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from audio.digest import file_sha256
from audio.errors import AudioError, ToolkitError, UsageError
from audio.manifest import recordings_below
from audio.reading import blocks
from audio.segments import SAMPLE_RATE

LOG = logging.getLogger(__name__)

BLOCK_SAMPLES = 1 << 18
"""Samples that are held at a time while a recording is checked: 1 MiB."""


@dataclass(frozen=True)
class Sound:
    """A recording in a folder.

    Raises
    ------
    ToolkitError
        For a field of the wrong type.
    """

    path: str
    """Relative to the folder, with forward slashes."""
    sha256: str
    """Of the file's bytes, in hex."""
    n_samples: int
    """Length in samples at 16 kHz."""

    def __post_init__(self) -> None:
        given = (self.path, self.sha256, self.n_samples)
        if not all(isinstance(value, kind) for value, kind in zip(given, (str, str, int), strict=True)):
            raise ToolkitError(f"sound: expected path, sha256 and n_samples, received {given}")


@dataclass(frozen=True)
class SoundFolder:
    """The readable recordings of a folder, in the order of their paths."""

    root: Path
    sounds: tuple[Sound, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """Return the sounds as what JSON can hold; where the folder lies does not matter."""
        return [asdict(sound) for sound in self.sounds]

    def find(self, sound: Sound) -> Path:
        """Return where `sound` lies; raise `AudioError` when it is missing, or is not what it was."""
        path = self.root / sound.path
        try:
            path.stat()
        except OSError as error:
            raise AudioError(f"{path}: a sound of the channel cannot be opened: {error.strerror}") from None
        received = file_sha256(path)
        if received != sound.sha256:
            expected = f"expected SHA-256 {sound.sha256[:12]}..., received {received[:12]}..."
            raise AudioError(f"{path}: a sound of the channel has changed since its plan was made: {expected}")
        return path


def list_sounds(root: Path, *, longest_s: float = float("inf")) -> SoundFolder:
    """List the recordings below `root`; each is decoded once, so that none fails in the middle of a build.

    What cannot be read, is silent or longer than `longest_s` is named in the log and left out. Hidden files, other
    files and links to folders are passed over.

    Raises
    ------
    UsageError
        When `root` is no folder, or nothing in it can be used.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: expected a folder with recordings")
    names = sorted(path.relative_to(root).as_posix() for path in recordings_below(root))
    sounds = []
    for name in tqdm.tqdm(names, desc=f"sounds of {root.name}", disable=None, leave=False):
        try:
            sounds.append(_sound(root, name, longest_s=longest_s))
        except ToolkitError as error:
            LOG.warning("left out: %s", error)
    if not sounds:
        raise UsageError(f"{root}: expected a folder with recordings, received {len(names)} files, none of use")
    return SoundFolder(root, tuple(sounds))


def _sound(root: Path, name: str, *, longest_s: float) -> Sound:
    path = root / name
    n_samples, peak = 0, 0.0
    for block in blocks(path, block_samples=BLOCK_SAMPLES):
        n_samples += block.size
        peak = max(peak, float(np.abs(block).max()))
    if peak == 0.0:
        raise AudioError(f"{path}: is silent")
    if n_samples > longest_s * SAMPLE_RATE:
        raise AudioError(f"{path}: lasts {n_samples / SAMPLE_RATE:.1f} s, expected at most {longest_s:g} s")
    return Sound(name, file_sha256(path), n_samples)


def sound_from_json(facts: Mapping[str, Any]) -> Sound:
    """Rebuild a sound; raise `ToolkitError` when `facts` is none."""
    try:
        return Sound(**facts)
    except TypeError as error:
        raise ToolkitError(f"sound: {error}") from None
