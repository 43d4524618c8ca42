"""Make a set from its recipe: plan, make, write; in several processes, resumable, the same bytes each time.

A build that was stopped, even by a power cut, goes on where it was when it is started again with the same
arguments. Only one build at a time writes into a folder.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

from audio import jobs
from audio.atomic import replacing
from audio.errors import ManifestError, ToolkitError, UsageError
from audio.executors import Workers
from audio.ffmpeg import ffmpeg_version, find_ffmpeg
from audio.locking import LOCK, alone_in
from audio.manifest import Clip, read_manifest, write_manifest
from audio.reading import write_wav
from audio.segments import Segment
from synth.codecs import available_codings
from synth.engines import ENGINES
from synth.making import Folders, Made, Maker, Skipped
from synth.pcm import Pcm
from synth.recipe import ClipPlan, Recipe, plan_set
from synth.takes import Library
from synth.voices import MANIFEST

BUILD_FILE = "build.json"
BUILD_VERSION = 2
"""Version of the format of `build.json`."""

JOURNAL = ".journal.jsonl"
"""What is finished while a set is being built; gone when it is complete."""

CLIPS_PER_ITEM = 8
"""Clips that are made together: enough to share the starts of ffmpeg, few enough to lose when killed."""

PACKAGES = ("numpy", "scipy", "soxr", "pydub", "pyloudnorm", "soundfile", "noisereduce", "pyroomacoustics")
"""Whose versions `build.json` records, beside those of the engines in use."""

SPEAKER_TRAITS = ("sex", "age")
"""Traits of recordings that clips of the same speaker get."""

FAKE_TRAITS = ("kind",)
"""Traits of fakes that clips of the same generator get."""


def build_set(
    recipe: Recipe, folders: Folders, *, out: Path, workers: Workers = 1, splits: tuple[str, ...] = ()
) -> list[Clip]:
    """Build a set, or go on with it.

    Parameters
    ----------
    recipe
        What to make.
    folders
        Where the recordings are.
    out
        Where the set goes: `real/`, `fake/` and `hybrid/` with 16-bit WAV files, `manifest.jsonl` and `build.json`.
    workers
        Number of processes, or another place to work; the bytes do not depend on it.
    splits
        Only clips of these splits, the same as in the whole set; () for all.

    Returns
    -------
    The clips of the manifest, in its order. A clip for which no splice was found, because its recordings hold
    too little speech or cannot be read, is missing from it; `skipped` in `build.json` says which and why, and
    `unreadable` which recordings could not even be listed.

    Raises
    ------
    UsageError
        For a recipe that the voices do not fit, a folder with something else in it, or one that another build is
        writing into.
    ToolkitError
        When an engine, ffmpeg or the disk fails. What is finished is kept.
    """
    with alone_in(out):
        library, kit = folders.library(recipe), folders.kit(recipe)
        voices, fakes = folders.recordings()
        plans = plan_set(recipe, voices.clips, fakes=fakes.clips, codings=available_codings())
        plans = [plan for plan in plans if plan.split in (splits or plan.split)]
        maker = Maker(recipe, library, kit)
        traits = known_traits(voices.clips, "speaker", SPEAKER_TRAITS)
        traits |= known_traits(fakes.clips, "generator", FAKE_TRAITS)
        facts = {**_facts(maker, plans), **({"traits": traits} if traits else {})}
        if _is_complete(out, facts):
            return read_manifest(out / MANIFEST)
        library.cache.trim()
        _make_all(maker, plans, settings=facts, out=out, workers=workers)
        clips = _finish(out, {**facts, "unreadable": [*voices.unreadable, *fakes.unreadable]})
        library.cache.trim()
        return clips


def _make_all(
    maker: Maker, plans: Sequence[ClipPlan], *, settings: Mapping[str, Any], out: Path, workers: Workers
) -> None:
    """Make every clip; the journal remembers their rows, so that nothing is kept in memory meanwhile."""
    done = jobs.run(
        partial(write_clips, maker=maker, out=out),
        [plans[i : i + CLIPS_PER_ITEM] for i in range(0, len(plans), CLIPS_PER_ITEM)],
        key=_item_key,
        workers=workers,
        journal=out / JOURNAL,
        title=f"{CLIPS_PER_ITEM} clips each",
        settings=json.dumps(settings, sort_keys=True),
    )
    if failed := [row["error"] for rows in done for row in rows if "error" in row]:
        raise ToolkitError(f"{failed[0]} ({len(failed)} groups of clips failed; the same command tries them again)")


def write_clips(plans: Sequence[ClipPlan], *, maker: Maker, out: Path) -> list[jobs.Row]:
    """Make a few clips and write their files.

    Returns
    -------
    A row for each plan: the fields of its `Clip`, or `skipped` (its path) and `reason`.

    Raises
    ------
    ToolkitError
        When an engine, ffmpeg or the disk fails, or this machine does not see `out`.
    """
    if not (out / JOURNAL).exists():
        told = "expected the folder that the build was begun in, found none: machines of a cluster must share it"
        raise ToolkitError(f"{out}: {told}")
    rows = []
    for clip in maker.make(plans):
        if isinstance(clip, Skipped):
            rows.append({"skipped": clip.plan.path, "reason": clip.reason})
            continue
        _write(out / clip.plan.path, clip.pcm)
        rows.append(_row(clip, maker.library, seed=maker.recipe.seed))
    return rows


def _write(path: Path, pcm: Pcm) -> None:
    try:
        write_wav(path, pcm)
    except OSError as error:
        raise ToolkitError(f"{path}: cannot be written: {error.strerror}") from None


def _row(clip: Made, library: Library, *, seed: int) -> jobs.Row:
    plan = clip.plan
    return {
        "path": plan.path,
        "label": plan.label,
        "segments": [[segment.onset, segment.offset] for segment in clip.segments],
        "n_samples": clip.pcm.size,
        "speaker": plan.speaker,
        "generator": plan.generator,
        "language": plan.language,
        "split": plan.split,
        "sources": [{"source": source, **library.describe(take)} for source, take in clip.takes.items()],
        "splice": clip.splice.to_json(),
        "channel": None if clip.channel is None else {**clip.channel.to_json(), "seed": clip.channel_seed},
        "seed": seed,
        "codec": plan.base[0].codec,
        "source_clip": plan.source_clip,
    }


def _number(row: jobs.Row) -> int:
    return int(Path(row.get("path") or row["skipped"]).stem)


def _clip(row: jobs.Row, traits: Mapping[str, Mapping[str, str]]) -> Clip:
    segments = tuple(Segment(onset, offset) for onset, offset in row["segments"])
    own = {**traits.get(f"speaker {row['speaker']}", {}), **traits.get(f"generator {row['generator']}", {})}
    return Clip(**{**row, "segments": segments, "traits": own})


def _item_key(plans: Sequence[ClipPlan]) -> str:
    return f"{plans[0].index:06d}"


def _facts(maker: Maker, plans: Sequence[ClipPlan]) -> dict[str, Any]:
    """Return everything that decides the bytes of a set, except the recordings themselves.

    Asking the engines for their versions here tells about a missing one before the work begins.
    """
    recipe = maker.recipe
    used = {plan.generator for plan in plans if plan.generator in (*ENGINES, *recipe.command_names)}
    return {
        "schema_version": BUILD_VERSION,
        "recipe": json.loads(json.dumps(recipe.to_json())),
        "plans_sha256": hashlib.sha256(repr(plans).encode()).hexdigest(),
        "channel": None if maker.kit is None else json.loads(json.dumps(maker.kit.to_json())),
        "engines": {name: maker.library.engine(name).version() for name in sorted(used)},
        "ffmpeg": ffmpeg_version(find_ffmpeg()),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "machine": platform.machine(),
    }


def read_facts(out: Path) -> dict[str, Any]:
    """Read the `build.json` of a set; raise `ManifestError` when there is none, or it is broken."""
    path = out / BUILD_FILE
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ManifestError(f"{path}: expected what a build wrote: {error}") from None


def _is_complete(out: Path, facts: Mapping[str, Any]) -> bool:
    """Tell whether `out` holds this very set; refuse a folder that holds anything else."""
    if (out / BUILD_FILE).exists():
        found = read_facts(out)
        if {name: found.get(name) for name in facts} == facts:
            return True
        raise UsageError(f"{out}: holds another set: choose another --out, or remove the folder")
    if any(path.name != LOCK for path in out.iterdir()) and not (out / JOURNAL).exists():
        raise UsageError(f"{out}: expected an empty or absent folder, found other files: choose another --out")
    return False


def known_traits(clips: Iterable[Clip], owner: str, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return those of the named traits in which all clips of an owner, a speaker or a generator, agree; by owner."""
    values: dict[tuple[str, str], set[str]] = {}
    for clip in clips:
        for name in names:
            values.setdefault((getattr(clip, owner), name), set()).add(clip.traits.get(name, ""))
    known: dict[str, dict[str, str]] = {}
    for (who, name), held in values.items():
        if who and len(held) == 1 and (value := held.pop()):
            known.setdefault(f"{owner} {who}", {})[name] = value
    return known


def _finish(out: Path, facts: Mapping[str, Any]) -> list[Clip]:
    """Write what makes a set complete, `build.json` last."""
    # Items that failed at first were finished last: back to the order of their numbers.
    groups = sorted(jobs.read_journal(out / JOURNAL), key=lambda group: _number(group[0]))
    rows = list(chain.from_iterable(groups))
    skipped = [row for row in rows if "skipped" in row]
    clips = [_clip(row, facts.get("traits", {})) for row in rows if "skipped" not in row]
    for leftover in out.glob("*/.*.part"):
        leftover.unlink(missing_ok=True)
    try:
        write_manifest(out / MANIFEST, clips)
        with replacing(out / BUILD_FILE) as beside:
            beside.write_text(json.dumps({**facts, "skipped": skipped}, indent=2) + "\n", "utf-8", newline="\n")
    except OSError as error:
        raise ToolkitError(f"{out}: cannot be written: {error.strerror}") from None
    (out / JOURNAL).unlink()
    return clips
