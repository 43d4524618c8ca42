"""`script.py corpora`: turn a known data set's own folder into a manifest."""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from audio.errors import UsageError
from audio.labels import LABELS
from audio.manifest import SPLITS, Clip, write_manifest

if TYPE_CHECKING:
    from audio.corpora import Corpus

HELP = "Turn a known data set's own folder into a manifest, and check that it is whole."

EXAMPLE = """\
examples:
  python script.py corpora                                                   which data sets, and how they look
  python script.py corpora asvspoof2019-la data/LA                           writes data/LA/manifest.jsonl
  python script.py corpora in-the-wild data/release_in_the_wild --partial    takes what is there
  python script.py corpora had data/HAD --out data/had.jsonl                 a folder above the recordings

A missing recording, an unknown label, an id that occurs twice or a count that disagrees with the published one is an
error; with --partial, missing recordings are left out and counts are not checked. No recording is opened."""

MOST_NAMES = 12
"""Generators that the summary names; of others only the number is told."""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add = parser.add_argument
    add("name", nargs="?", metavar="NAME", help="the data set (none: list them all)")
    add("folder", nargs="?", type=Path, metavar="DIR", help="its folder (none: tell how it should look)")
    add("--out", type=Path, metavar="JSONL", help="the manifest, in DIR or above it (default: DIR/manifest.jsonl)")
    add("--partial", action="store_true", help="take the recordings that are there; do not check the counts")
    add("--list", action="store_true", help="list the data sets and how their folders look")


def run(arguments: argparse.Namespace) -> int:
    """Write the manifest of a data set and print what it holds, or list the data sets; return 0.

    Raises
    ------
    UsageError
        For a name that is not known, or a manifest that would not be above the recordings.
    ManifestError
        When the data set is not as it should be.
    ToolkitError
        When the manifest cannot be written.
    """
    from audio.corpora import CORPORA, corpus_named, read_corpus

    if arguments.list or arguments.name is None:
        print("\n\n".join(map(described, CORPORA.values())), flush=True)
        return 0
    if arguments.folder is None:
        print(described(corpus_named(arguments.name)), flush=True)
        return 0
    out = arguments.out or arguments.folder / "manifest.jsonl"
    prefix = _prefix(arguments.folder, out)
    reading = read_corpus(arguments.name, arguments.folder, partial=arguments.partial)
    write_manifest(out, [_moved(clip, prefix) for clip in reading.clips])
    _log.info("%s: %d clips", out, len(reading.clips))
    print(summary(reading.clips, reading.notes), flush=True)
    return 0


def described(corpus: Corpus) -> str:
    """Tell in words what a data set is called, where it comes from, how its folder looks and what was counted."""
    lines = [
        f"{corpus.name}: {corpus.title}",
        f"  {corpus.url}",
        *(f"    {line}" for line in corpus.layout.split("\n")),
    ]
    return "\n".join([*lines, *(["  expected: " + "; ".join(map(str, corpus.counts))] if corpus.counts else [])])


def summary(clips: Sequence[Clip], notes: Iterable[str]) -> str:
    """Tell what was read: clips by split and class, speakers, generators, and the notes."""
    from audio.pages import Table, table_text

    splits = [split for split in (*SPLITS, "") if any(clip.split == split for clip in clips)]
    rows = [_row(split or "no split", [clip for clip in clips if clip.split == split]) for split in splits]
    total = [_row("all", clips)] if len(rows) > 1 else []
    table = Table(("split", *LABELS, "clips", "speakers"), (*rows, *total))
    return "\n".join([table_text(table), _generators(clips), *(f"note: {note}" for note in notes)])


def _row(name: str, clips: Sequence[Clip]) -> tuple[str, ...]:
    counts = Counter(clip.label for clip in clips)
    speakers = {clip.speaker for clip in clips} - {""}
    return (name, *(str(counts[label]) for label in LABELS), str(len(clips)), str(len(speakers) or "-"))


def _generators(clips: Sequence[Clip]) -> str:
    names = sorted({clip.generator for clip in clips} - {""})
    if not names:
        return "generators: not told"
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"generators ({len(names)}): {', '.join(names[:MOST_NAMES])}{more}"


def _prefix(folder: Path, out: Path) -> str:
    """Return what to put in front of paths relative to `folder`, so that they are relative to the manifest."""
    inside, above = folder.resolve(), out.resolve().parent
    if not inside.is_relative_to(above):
        raise UsageError(f"--out: expected a manifest in {folder} or in a folder above it, received {out}")
    relative = inside.relative_to(above).as_posix()
    return "" if relative == "." else f"{relative}/"


def _moved(clip: Clip, prefix: str) -> Clip:
    source = f"{prefix}{clip.source_clip}" if clip.source_clip else ""
    return replace(clip, path=prefix + clip.path, source_clip=source) if prefix else clip
