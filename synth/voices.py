"""Recordings to build from: genuine voices in folders by speaker, fake ones in folders by generator."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from audio.errors import AudioError, EngineError, ManifestError
from audio.labels import FAKE, REAL
from audio.manifest import AUDIO_SUFFIXES, Clip, read_manifest, resolve
from audio.reading import read

LOG = logging.getLogger(__name__)

MANIFEST = "manifest.jsonl"
TABLE = "clips.csv"


def voices_from_folder(folder: str | Path) -> list[Clip]:
    """List the genuine recordings in `folder`.

    With a `manifest.jsonl` in it, its real clips; without, every recording in the first-level subfolders, whose
    names are taken for the speakers. Recordings that cannot be read are named in the log and left out.

    Returns
    -------
    Clips in the order of their paths, relative to `folder`, with `speaker` and `n_samples` set.

    Raises
    ------
    ManifestError
        When the folder is missing, holds no genuine recording, or its manifest is broken or names no speaker.
    """
    root = _folder(folder)
    if (root / MANIFEST).exists():
        clips = [clip for clip in read_manifest(root / MANIFEST) if clip.label == REAL]
    else:
        clips = [Clip(path, REAL, speaker=path.split("/")[0]) for path in _recordings(root)]
    if nameless := next((clip.path for clip in clips if not clip.speaker), None):
        raise ManifestError(f"{root / MANIFEST}: {nameless}: expected a speaker, received none")
    return _measured(root, clips, what="genuine recordings: expected SPEAKER/NAME.wav or other audio files")


def fakes_from_folder(folder: str | Path) -> list[Clip]:
    """List the fake recordings in `folder`, first-level subfolder = generator.

    A `clips.csv` (columns `path` and `source_clip`, further ones ignored) or a `manifest.jsonl` in the folder
    says which genuine recording each one copies; without either, `source_clip` is the file name without its
    suffix, so that equal names make twins.

    Returns
    -------
    Clips in the order of their paths, relative to `folder`, with `generator`, `n_samples` and, where known,
    `source_clip` set.

    Raises
    ------
    ManifestError
        When the folder is missing, holds no fake recording, or its table is broken.
    """
    root = _folder(folder)
    if (root / MANIFEST).exists():
        clips = [clip for clip in read_manifest(root / MANIFEST) if clip.label == FAKE]
    else:
        sources = _source_table(root / TABLE)
        clips = [
            Clip(path, FAKE, generator=path.split("/")[0], source_clip=sources.get(path, Path(path).stem))
            for path in _recordings(root)
        ]
    if nameless := next((clip.path for clip in clips if not clip.generator), None):
        raise ManifestError(f"{root / MANIFEST}: {nameless}: expected a generator, received none")
    return _measured(root, clips, what="fake recordings: expected GENERATOR/NAME.wav or other audio files")


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


def _measured(root: Path, clips: list[Clip], *, what: str) -> list[Clip]:
    """Set `n_samples` where it is unknown, leaving out what cannot be read; refuse to end up with nothing."""
    measured = []
    for clip in clips:
        try:
            n_samples = clip.n_samples or read(resolve(root, clip)).size
        except (AudioError, EngineError) as error:
            LOG.warning("left out: %s", error)
            continue
        measured.append(replace(clip, n_samples=n_samples))
    if not measured:
        raise ManifestError(f"{root}: no {what}")
    return sorted(measured, key=lambda clip: clip.path)
