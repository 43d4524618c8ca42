"""`script.py insight`: what distinguishes real from synthetic speech in a set, by hand-made features."""

from __future__ import annotations

import argparse
import json
import logging
import platform
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from apps.cli.evaluate import ALL, OUT, near, set_name
from audio.errors import ToolkitError, UsageError
from audio.executors import add_executor, workers_of
from audio.labels import FAKE, HYBRID, REAL
from audio.manifest import SPLITS, Clip, read_set

if TYPE_CHECKING:
    from model.classical.findings import Material

HELP = "Say what distinguishes real from synthetic speech in a set, by hand-made features."

EXAMPLE = """\
examples:
  python script.py insight --data data/mine
  python script.py insight --data data/mine --split train --clips 400 --seed 1 --out outputs/train

Measures as many real as fake clips, at most --clips in all: hand-made features of their speech (docs/classical.md).
Tells which of them differ and by how much, with intervals by speaker: mutual information, permutation importance on
speakers and generators that the classifier was not fitted on, principal components, three hypotheses of the field
(MFCC variability, pitch modulation, spectral energy), these also by sex, pitch, language and generator as far as the
set names them; and what changes between recordings and their copies, where the set has such pairs (source_clip).
Hybrids are left out. Writes insight.json, features.csv and report.html into --out, and there remembers what was
measured.
exit status: 0 ran, 1 a recording could not be measured, 2 wrong usage."""

CLIPS = 1_000
"""Most clips in the sample unless told otherwise."""

FEWEST = 4
"""Clips of each class that anything is said from."""

MOST_TOLD = 10
"""So many reasons why recordings could not be measured are told one by one."""

Folds = list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="SET", help="manifest, CSV, or folder of the labelled set")
    add("--split", metavar="NAME", default=ALL, help=f"{', '.join(SPLITS)} or {ALL} (default: {ALL})")
    add("--clips", type=int, default=CLIPS, metavar="N", help=f"most clips, half of each class (default: {CLIPS})")
    add("--seed", type=int, default=0, help="of the sample, the folds and the intervals (default: 0)")
    add("--out", type=Path, metavar="DIR", help=f"folder for the report (default: {OUT}/insight-NAME-SPLIT)")
    add("--markdown", type=Path, metavar="FILE", help="put the findings into this document too, between two marks")
    add("--json", action="store_true", help="print one JSON object instead of tables")
    add_executor(parser, default=1)


def run(arguments: argparse.Namespace) -> int:
    """Measure, compute and write; return 0, or 1 when a recording could not be measured.

    Raises
    ------
    UsageError
        For a split that is not there, or too few clips of a class.
    ToolkitError
        When the set is broken, a package is missing, or the report cannot be written.
    """
    from model.classical.heads import required

    required("sklearn")
    from model.classical.findings import Plan, find, insight_text, write_insight, write_markdown

    if arguments.clips < 2 * FEWEST:
        raise UsageError(f"--clips: expected {2 * FEWEST} or more, received {arguments.clips}")
    if arguments.markdown is not None and not arguments.markdown.is_file():
        raise UsageError(f"--markdown: expected a document with the two marks, received {arguments.markdown}")
    place, everything = read_set(arguments.data)
    clips = _of_split(everything, arguments.split)
    sample = drawn(clips, most=arguments.clips, seed=arguments.seed)
    out = arguments.out or OUT / f"insight-{set_name(place)}-{arguments.split}"
    material, failed = _measured(arguments, place, clips, sample, out)
    folds, folds_by = _folds(material.sample.clips, seed=arguments.seed)
    n_hybrids = sum(clip.label == HYBRID for clip in clips)
    plan = Plan(
        name=f"{set_name(place)}, {arguments.split}",
        facts={"command": f"python script.py insight {_as_typed(arguments)}", "Python": platform.python_version()},
        folds=folds,
        folds_by=folds_by,
        left_out={"hybrids": n_hybrids, "not drawn": len(clips) - n_hybrids - len(sample), "failed": len(failed)},
        failed=failed,
        seed=arguments.seed,
    )
    found = find(material, plan)
    _write(lambda: write_insight(out, found), out)
    if (document := arguments.markdown) is not None:
        _write(lambda: write_markdown(document, found), document)
    print(json.dumps(found.to_json(), allow_nan=False) if arguments.json else insight_text(found), flush=True)
    _log.info("report: %s", out / "report.html")
    return 1 if failed else 0


def _of_split(clips: Sequence[Clip], split: str) -> list[Clip]:
    kept = [clip for clip in clips if split in (ALL, clip.split)]
    for label in (REAL, FAKE):
        if (n := sum(clip.label == label for clip in kept)) < FEWEST:
            raise UsageError(f"--split {split}: expected {FEWEST} {label} clips or more, received {n}")
    return kept


def drawn(clips: Sequence[Clip], *, most: int, seed: int) -> list[Clip]:
    """Draw as many real as fake clips, spread over the speakers of the one and the generators of the other.

    From each speaker or generator one, then from each a second, and so on, in an order that the seed decides; so the
    same clips whatever their order in the set.
    """
    luck = dict(zip(sorted(clip.path for clip in clips), np.random.default_rng(seed).random(len(clips)), strict=True))
    found = []
    for label in (REAL, FAKE):
        own = sorted((clip for clip in clips if clip.label == label), key=lambda clip: luck[clip.path])
        counts: dict[str, int] = {}
        turns = []
        for clip in own:
            name = clip.speaker if label == REAL else clip.generator
            counts[name] = turn = counts.get(name, -1) + 1
            turns.append((turn, luck[clip.path], clip))
        found.append([clip for *_, clip in sorted(turns, key=lambda each: each[:2])])
    n = min(most // 2, *map(len, found))
    return [clip for own in found for clip in own[:n]]


def some_pairs(clips: Sequence[Clip], *, most: int, seed: int) -> list[Clip]:
    """Draw fakes that copy a clip of the set, in the order of their paths; all of them where there are no more."""
    paths = {clip.path for clip in clips}
    copies = sorted((c for c in clips if c.label == FAKE and c.source_clip in paths), key=lambda clip: clip.path)
    chosen = np.random.default_rng(seed).permutation(len(copies))[:most]
    return [copies[i] for i in sorted(chosen.tolist())]


def _measured(
    arguments: argparse.Namespace, place: Path, clips: Sequence[Clip], sample: Sequence[Clip], out: Path
) -> tuple[Material, dict[str, str]]:
    """Measure the sample, and pairs of recordings and their copies; say which could not be measured, and why."""
    from model.classical.findings import Material
    from model.classical.measuring import measure_clips

    by_path = {clip.path: clip for clip in clips}
    copies = some_pairs(clips, most=arguments.clips // 2, seed=arguments.seed)
    wanted = {clip.path: clip for clip in [*sample, *copies, *(by_path[clip.source_clip] for clip in copies)]}
    looked_at = list(wanted.values())
    found = measure_clips(place, looked_at, folder=out, workers=workers_of(arguments))
    failed = {clip.path: each for clip, each in zip(looked_at, found, strict=True) if isinstance(each, str)}
    for reason in list(failed.values())[:MOST_TOLD]:
        _log.error("error: %s", reason)
    if len(failed) > MOST_TOLD:
        _log.error("error: and %d more like these", len(failed) - MOST_TOLD)
    chosen = {clip.path for clip in sample}
    kept = [(clip, each) for clip, each in zip(looked_at, found, strict=True) if not isinstance(each, str)]
    for label in (REAL, FAKE):
        if (n := sum(clip.label == label and clip.path in chosen for clip, _ in kept)) < FEWEST:
            raise ToolkitError(f"{place}: expected {FEWEST} {label} clips that can be measured, received {n}")
    measured = tuple(each for _, each in kept)
    return Material(tuple(clip for clip, _ in kept), measured, tuple(clip.path in chosen for clip, _ in kept)), failed


def _folds(clips: Sequence[Clip], *, seed: int) -> tuple[Folds, str]:
    """Divide clips so that nobody is heard on both sides; with enough generators, none of them either."""
    from model.classical.findings import voice
    from model.training.splits import FEWEST_FOLDS, GROUPED, USUAL_FOLDS, Division, divide

    named = [replace(clip, speaker=voice(clip)) for clip in clips]
    makers = {clip.generator for clip in named} - {""}
    what = "by speaker and generator"
    if len(makers) < FEWEST_FOLDS:
        # A generator for each voice goes where the voice goes.
        named = [replace(clip, generator=clip.speaker if clip.label == FAKE else "") for clip in named]
        makers, what = {clip.generator for clip in named} - {""}, "by speaker"
    n_folds = min(USUAL_FOLDS, len(makers), len({clip.speaker for clip in named}))
    folds: Folds = []
    if n_folds < FEWEST_FOLDS:
        return folds, f"expected {FEWEST_FOLDS} speakers of fakes or more, received {len(makers)}"
    for fold in range(n_folds):
        splits = {clip.path: clip.split for clip in divide(named, Division(GROUPED, n_folds, fold), seed=seed)}
        of = np.array([splits.get(clip.path, "") for clip in named])
        folds.append((np.isin(of, ("train", "dev")), of == "test"))
    return folds, what


def _as_typed(arguments: argparse.Namespace) -> str:
    """The arguments as one would type them, without paths above the working folder."""
    told = [f"--data {shlex.quote(near(arguments.data))}", f"--split {arguments.split}"]
    told += [f"--clips {arguments.clips}"] if arguments.clips != CLIPS else []
    told += [f"--markdown {shlex.quote(near(arguments.markdown))}"] if arguments.markdown is not None else []
    return " ".join([*told, f"--seed {arguments.seed}"])


def _write(write: Callable[[], None], where: Path) -> None:
    try:
        write()
    except OSError as error:
        raise ToolkitError(f"{where}: the findings cannot be written: {error.strerror}") from None
