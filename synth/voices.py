"""Recordings to build from: genuine voices in folders by speaker, fake ones in folders by generator.

A folder may also hold a `manifest.jsonl` or `manifest.csv` that says what its recordings are; then it may be one
folder for both.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from audio.errors import AudioError, EngineError, ManifestError
from audio.labels import FAKE, REAL
from audio.manifest import AUDIO_SUFFIXES, MANIFEST_NAMES, Clip, read_set, resolve
from audio.reading import read
from audio.segments import SAMPLE_RATE

LOG = logging.getLogger(__name__)

MANIFEST = "manifest.jsonl"
TABLE = "clips.csv"

LEAST_SAMPLES = int(0.3 * SAMPLE_RATE)
"""Shorter recordings are not used: nothing can be spliced into 0.3 s."""


@dataclass(frozen=True)
class Recordings:
    """What a folder holds: the clips in the order of their paths, and a line for each file that cannot be read."""

    clips: tuple[Clip, ...]
    unreadable: tuple[str, ...]


def voices_from_folder(folder: str | Path) -> list[Clip]:
    """List the genuine recordings in `folder`; see `list_voices`."""
    return list(list_voices(folder).clips)


def list_voices(folder: str | Path) -> Recordings:
    """List the genuine recordings in `folder`.

    With a manifest in it, its real clips; one whose speaker is unknown needs a split, and counts as one of the
    unknown speakers of its folder and split. Without, every recording in the first-level subfolders, whose names
    are taken for the speakers. Recordings that cannot be read are named in the log and left out.

    Returns
    -------
    Clips with paths relative to `folder`, with `speaker` and `n_samples` set.

    Raises
    ------
    ManifestError
        When the folder is missing, holds no genuine recording, or its manifest is broken or names no speaker.
    """
    root = _folder(folder)
    clips = _listed(root, REAL)
    if clips is None:
        clips = [Clip(path, REAL, speaker=path.split("/")[0]) for path in _recordings(root)]
    if nameless := next((clip.path for clip in clips if not clip.speaker and not clip.split), None):
        raise ManifestError(f"{root}: {nameless}: expected a speaker, received none")
    named = [clip if clip.speaker else replace(clip, speaker=_unknown(clip)) for clip in clips]
    return _measured(root, named, what="genuine recordings: expected SPEAKER/NAME.wav or other audio files")


def _unknown(clip: Clip) -> str:
    return f"unknown, {clip.split}, {PurePosixPath(clip.path).parent}"


def fakes_from_folder(folder: str | Path) -> list[Clip]:
    """List the fake recordings in `folder`; see `list_fakes`."""
    return list(list_fakes(folder).clips)


def list_fakes(folder: str | Path) -> Recordings:
    """List the fake recordings in `folder`, first-level subfolder = generator.

    A manifest in the folder, or a `clips.csv` (columns `path` and `source_clip`, further ones ignored) says which
    genuine recording each one copies; without either, `source_clip` is the file name without its suffix, so that
    equal names make twins.

    Returns
    -------
    Clips with paths relative to `folder`, with `generator`, `n_samples` and, where known, `source_clip` set.

    Raises
    ------
    ManifestError
        When the folder is missing, holds no fake recording, or its table is broken.
    """
    root = _folder(folder)
    clips = _listed(root, FAKE)
    if clips is None:
        sources = _source_table(root / TABLE)
        clips = [
            Clip(path, FAKE, generator=path.split("/")[0], source_clip=sources.get(path, Path(path).stem))
            for path in _recordings(root)
        ]
    if nameless := next((clip.path for clip in clips if not clip.generator), None):
        raise ManifestError(f"{root}: {nameless}: expected a generator, received none")
    return _measured(root, clips, what="fake recordings: expected GENERATOR/NAME.wav or other audio files")


def _listed(root: Path, label: str) -> list[Clip] | None:
    """Return the clips of one class that the manifest in a folder lists, or None without a manifest."""
    if not any((root / name).is_file() for name in MANIFEST_NAMES):
        return None
    return [clip for clip in read_set(root)[1] if clip.label == label]


def _folder(folder: str | Path) -> Path:
    if not Path(folder).is_dir():
        raise ManifestError(f"{folder}: expected a folder of recordings, found none")
    return Path(folder)


def _recordings(root: Path) -> Iterator[str]:
    """Yield the relative paths of recordings at least one folder down, sorted; hidden files are passed over."""
    for path in sorted(p.relative_to(root).as_posix() for p in root.glob("*/**/*") if p.is_file()):
        hidden = any(part.startswith(".") for part in path.split("/"))
        if Path(path).suffix.lower() in AUDIO_SUFFIXES and not hidden:
            yield path


def _source_table(path: Path) -> Mapping[str, str]:
    """Read path -> source_clip from a CSV; an absent file is an empty table."""
    if not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        return {row["path"]: row["source_clip"] or "" for row in rows}
    except KeyError as error:
        raise ManifestError(f"{path}: expected the columns path and source_clip, {error} is missing") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: cannot be read as CSV: {error}") from None


def _measured(root: Path, clips: Iterable[Clip], *, what: str) -> Recordings:
    """Set `n_samples` where it is unknown, leaving out what cannot be read; refuse to end up with nothing."""
    measured, unreadable = [], []
    for clip in clips:
        try:
            measured.append(replace(clip, n_samples=clip.n_samples or _length(resolve(root, clip))))
        except (AudioError, EngineError) as error:
            LOG.warning("left out: %s", error)
            unreadable.append(str(error))
    used = sorted((clip for clip in measured if clip.n_samples >= LEAST_SAMPLES), key=lambda clip: clip.path)
    if n_short := len(measured) - len(used):
        LOG.warning("left out: %d recordings in %s that are shorter than 0.3 s", n_short, root)
    if not used:
        raise ManifestError(f"{root}: no {what}")
    return Recordings(tuple(used), tuple(unreadable))


def _length(path: Path) -> int:
    """Return the length of a recording in samples at 16 kHz, by its header where that is enough."""
    import soundfile

    if path.suffix.lower() in (".wav", ".flac"):
        with suppress(soundfile.LibsndfileError, OSError):
            facts = soundfile.info(path)
            if facts.samplerate == SAMPLE_RATE and facts.frames > 0:
                return int(facts.frames)
    return int(read(path).size)
