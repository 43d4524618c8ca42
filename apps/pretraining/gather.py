"""Collect what the shipped weights learn from: rows of a corpus whose licence permits it, and the Debian prompts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from audio.atomic import link_or_copy
from audio.errors import ManifestError
from audio.labels import REAL
from audio.manifest import Clip, read_manifest, read_set, resolve, write_manifest

MANIFEST = "manifest.jsonl"

PROMPTS = "prompts"
"""Folder of the prompts among the gathered recordings."""

PROMPTS_ORIGIN, PROMPTS_LICENCE = "Debian asterisk-core-sounds", "CC BY-SA 3.0"

SHIP, LICENCE, ORIGIN = "ship", "licence", "origin"
"""Columns of the corpus: whether weights may be trained on a row (yes, unstated, no), its licence, who made it."""

MAY_SHIP = ("yes",)
"""What `ship` says of rows that the shipped weights train on."""

TRAIN, DEV, TEST = "train", "dev", "test"


@dataclass(frozen=True)
class Origin:
    """A source of training recordings."""

    name: str
    licence: str
    label: str
    clips: int
    seconds: float


def gather(corpus: Path, prompts: Path, out: Path, *, ships: Collection[str] = MAY_SHIP) -> list[Clip]:
    """Make one folder of recordings, with a manifest, from a corpus and the prompts.

    Of the training rows only those whose `ship` is among `ships` are taken; dev and test rows all, because nothing is
    trained on them. The prompts are for training. Recordings are linked where the file system can, else copied.

    Parameters
    ----------
    corpus
        Folder with a manifest that has the columns split, ship, licence and origin.
    prompts
        Folder of `synth.prompts.fetch_prompts`.
    out
        Where they go; what is there already stays.
    ships
        See above.

    Returns
    -------
    The clips of `out/manifest.jsonl`.

    Raises
    ------
    ManifestError
        When the corpus has no training rows that may be used, or a recording is missing.
    """
    place, rows = read_set(corpus)
    kept = [row for row in rows if row.split in (DEV, TEST) or (row.split == TRAIN and row.traits.get(SHIP) in ships)]
    if not any(row.split == TRAIN for row in kept):
        raise ManifestError(f"{place}: expected training rows with {SHIP} = {' or '.join(ships)}, found none")
    spoken = [_of_prompts(clip) for clip in read_manifest(prompts / MANIFEST)]
    for clip, source in [*((row, resolve(place, row)) for row in kept), *((c, _prompt(prompts, c)) for c in spoken)]:
        _link(source, out / clip.path)
    clips = [*kept, *spoken]
    write_manifest(out / MANIFEST, clips)
    return clips


def _of_prompts(clip: Clip) -> Clip:
    traits = {SHIP: "yes", LICENCE: PROMPTS_LICENCE, ORIGIN: PROMPTS_ORIGIN}
    return replace(clip, path=f"{PROMPTS}/{clip.path}", split=TRAIN, traits={**clip.traits, **traits})


def _prompt(prompts: Path, clip: Clip) -> Path:
    return prompts / clip.path.removeprefix(f"{PROMPTS}/")


def _link(source: Path, target: Path) -> None:
    try:
        link_or_copy(source, target)
    except FileNotFoundError:
        raise ManifestError(f"{source}: expected a recording, found none") from None


def origins(clips: Iterable[Clip], lengths_s: Sequence[float]) -> list[Origin]:
    """Sum up where training recordings come from, by origin, licence and class; the largest first.

    Parameters
    ----------
    clips
        Gathered clips; those of other splits than train are passed over.
    lengths_s
        The length of each, in seconds.
    """
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for clip, length_s in zip(clips, lengths_s, strict=True):
        if clip.split == TRAIN:
            found[clip.traits.get(ORIGIN, ""), clip.traits.get(LICENCE, ""), clip.label].append(length_s)
    rows = [Origin(name, licence, label, len(each), sum(each)) for (name, licence, label), each in found.items()]
    return sorted(rows, key=lambda row: (row.label != REAL, -row.seconds))
