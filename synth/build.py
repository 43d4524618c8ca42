"""Make a set from its recipe: plan, render, write; in several processes, resumable, the same bytes each time.

Every clip is a pure function of its plan, the voices and the versions of the programs. Clips are made a few
at a time, because those few then share the starts of ffmpeg. A build that was stopped, even by a power cut,
goes on where it was when it is started again with the same arguments.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from audio import jobs
from audio.atomic import replacing
from audio.cleaning import speech_frames
from audio.errors import ToolkitError, UsageError
from audio.manifest import Clip, read_manifest, write_manifest
from audio.reading import ffmpeg_version, find_ffmpeg, write_wav
from audio.segments import Segment
from synth.cache import Cache, default_cache_dir
from synth.channel import ChannelPlan, apply_channels, choose_channel
from synth.engines import ENGINES, engine
from synth.pcm import Pcm, to_float, to_pcm
from synth.recipe import ClipPlan, Recipe, plan_set
from synth.splice import FRAME_SAMPLES, Material, SplicePlan, Strip, choose_plan, match_loudness, render
from synth.takes import Library, Take
from synth.voices import MANIFEST, fakes_from_folder, voices_from_folder

BUILD_FILE = "build.json"
BUILD_VERSION = 1
"""Version of the format of `build.json`."""

JOURNAL = ".journal.jsonl"
"""What is finished while a set is being built; gone when it is complete."""

CLIPS_PER_ITEM = 8
"""Clips that one worker makes at a time: they share two ffmpeg processes, and are lost together in a kill."""

PACKAGES = ("numpy", "scipy", "pydub", "pyloudnorm", "soxr")
"""Whose versions `build.json` records, beside those of the engines in use."""

SPLICE, CHANNEL = 1, 2
"""Streams of randomness of a clip, beside the one of `plan_set`."""


@dataclass(frozen=True)
class Places:
    """The folders of a build."""

    out: Path
    real: Path
    fake: Path | None = None
    cache: Path = field(default_factory=default_cache_dir)


def build_set(recipe: Recipe, places: Places, *, workers: int = 1) -> list[Clip]:
    """Build a set, or go on with it.

    Parameters
    ----------
    recipe
        What to make.
    places
        Where the voices are, and where the set goes: `real/`, `fake/` and `hybrid/` with 16-bit WAV files,
        `manifest.jsonl` and `build.json`.
    workers
        Number of processes; the bytes do not depend on it.

    Returns
    -------
    The clips of the manifest, in its order. A clip for which no splice was found, because its recordings hold
    too little speech, is missing from it; `skipped` in `build.json` says which and why.

    Raises
    ------
    UsageError
        For a recipe that the voices do not fit, or a folder with something else in it.
    ToolkitError
        When a recording, an engine or ffmpeg fails. What is finished is kept.
    """
    voices = voices_from_folder(places.real)
    fakes = fakes_from_folder(places.fake) if places.fake is not None else []
    plans = plan_set(recipe, voices, fakes=fakes)
    facts = _facts(recipe, plans)
    if _is_complete(places.out, facts):
        return read_manifest(places.out / MANIFEST)
    cache = Cache(places.cache)
    cache.trim()
    library = Library(places.real, places.fake, cache)
    process = partial(make_clips, recipe=recipe, library=library, out=places.out)
    done = jobs.run(
        process,
        [plans[i : i + CLIPS_PER_ITEM] for i in range(0, len(plans), CLIPS_PER_ITEM)],
        key=_item_key,
        workers=workers,
        journal=places.out / JOURNAL,
        title=f"{CLIPS_PER_ITEM} clips each",
        settings=json.dumps(facts, sort_keys=True),
    )
    clips = _finish(places.out, facts, list(chain.from_iterable(done)))
    cache.trim()
    return clips


def make_clips(plans: Sequence[ClipPlan], *, recipe: Recipe, library: Library, out: Path) -> list[jobs.Row]:
    """Make a few clips and write their files.

    Returns
    -------
    A row for each plan: the fields of its `Clip`, or `skipped` (its path) and `reason` when no splice was found.

    Raises
    ------
    ToolkitError
        When a recording, an engine, ffmpeg or the disk fails.
    """
    from threadpoolctl import threadpool_limits

    # Processes are what runs side by side here; numeric libraries would start threads in each of them.
    with threadpool_limits(limits=1):
        heard = library.load(take for plan in plans for take in _heard_first(plan))
        drafts = [_draft(plan, heard, seed=recipe.seed) for plan in plans]
        heard |= library.load(take for draft in drafts for take in draft.takes.values() if take not in heard)
        spliced = [_splice(draft, heard) for draft in drafts if draft.splice is not None]
        finished = _through_channel(spliced, recipe)
    for clip in finished:
        _write(out / clip.draft.plan.path, clip.pcm)
    rows = {clip.draft.plan.path: _row(clip, library, seed=recipe.seed) for clip in finished}
    skipped = {draft.plan.path: {"skipped": draft.plan.path, "reason": draft.reason} for draft in drafts}
    return list((skipped | rows).values())


@dataclass(frozen=True)
class _Draft:
    """A clip on its way: its splice plan with the takes that it mentions, or the reason why there is none."""

    plan: ClipPlan
    splice: SplicePlan | None
    takes: Mapping[int, Take]
    reason: str = ""


@dataclass(frozen=True)
class _Clip:
    """A clip that can be heard."""

    draft: _Draft
    splice: SplicePlan
    pcm: Pcm
    segments: tuple[Segment, ...]
    channel: ChannelPlan | None = None
    noise_seed: int = 0


def _heard_first(plan: ClipPlan) -> tuple[Take, ...]:
    """Return the takes that must be heard to plan the splice; of twins, the genuine ones tell enough."""
    return plan.genuine if plan.twins else (*plan.genuine, *plan.fake)


def _draft(plan: ClipPlan, heard: Mapping[Take, Pcm], *, seed: int) -> _Draft:
    genuine = tuple(_strip(heard[take]) for take in plan.genuine)
    fake = genuine if plan.twins else tuple(_strip(heard[take]) for take in plan.fake)
    rng = np.random.default_rng((seed, plan.index, SPLICE))
    material = Material(genuine, fake, plan.twins)
    try:
        splice = choose_plan(rng, material, label=plan.label, n_samples=plan.n_samples)
    except ToolkitError as error:
        return _Draft(plan, None, {}, str(error))
    mentioned = {s for piece in splice.pieces for s in (piece.source, piece.stands_for) if s is not None}
    takes = (*plan.genuine, *plan.fake)
    return _Draft(plan, splice, {source: takes[source] for source in sorted(mentioned)})


def _strip(pcm: Pcm) -> Strip:
    return Strip(pcm.size, speech_frames(to_float(pcm), hop_samples=FRAME_SAMPLES))


def _splice(draft: _Draft, heard: Mapping[Take, Pcm]) -> _Clip:
    assert draft.splice is not None
    sources = {source: heard[take] for source, take in draft.takes.items()}
    splice = match_loudness(draft.splice, sources)
    pcm, segments = render(splice, sources)
    return _Clip(draft, splice, pcm, segments)


def _through_channel(clips: Sequence[_Clip], recipe: Recipe) -> list[_Clip]:
    if not recipe.channel:
        return list(clips)
    rngs = [np.random.default_rng((recipe.seed, clip.draft.plan.index, CHANNEL)) for clip in clips]
    channels = [choose_channel(rng) for rng in rngs]
    seeds = [int(rng.integers(2**31)) for rng in rngs]
    received = apply_channels([to_float(clip.pcm) for clip in clips], channels, seeds=seeds)
    return [
        replace(clip, pcm=to_pcm(samples), channel=channel, noise_seed=seed)
        for clip, samples, channel, seed in zip(clips, received, channels, seeds, strict=True)
    ]


def _write(path: Path, pcm: Pcm) -> None:
    try:
        write_wav(path, pcm)
    except OSError as error:
        raise ToolkitError(f"{path}: cannot be written: {error.strerror}") from None


def _row(clip: _Clip, library: Library, *, seed: int) -> jobs.Row:
    plan, takes = clip.draft.plan, clip.draft.takes
    return {
        "path": plan.path,
        "label": plan.label,
        "segments": [[segment.onset, segment.offset] for segment in clip.segments],
        "n_samples": clip.pcm.size,
        "speaker": plan.speaker,
        "generator": plan.generator,
        "language": plan.language,
        "split": plan.split,
        "sources": [{"source": source, **library.describe(take)} for source, take in takes.items()],
        "splice": clip.splice.to_json(),
        "channel": None if clip.channel is None else {**clip.channel.to_json(), "seed": clip.noise_seed},
        "seed": seed,
        "codec": plan.genuine[0].codec,
    }


def _clip(row: jobs.Row) -> Clip:
    segments = tuple(Segment(onset, offset) for onset, offset in row["segments"])
    return Clip(**{**row, "segments": segments})


def _item_key(plans: Sequence[ClipPlan]) -> str:
    return f"{plans[0].index:06d}"


def _facts(recipe: Recipe, plans: Sequence[ClipPlan]) -> dict[str, Any]:
    """Return everything that decides the bytes of a set, except the recordings themselves.

    Asking the engines for their versions here tells about a missing one before the work begins.
    """
    used = {plan.generator for plan in plans if plan.generator in ENGINES}
    return {
        "schema_version": BUILD_VERSION,
        "recipe": json.loads(json.dumps(recipe.to_json())),
        "plans_sha256": hashlib.sha256(repr(plans).encode()).hexdigest(),
        "engines": {name: engine(name).version() for name in sorted(used)},
        "ffmpeg": ffmpeg_version(find_ffmpeg()),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "machine": platform.machine(),
    }


def _is_complete(out: Path, facts: Mapping[str, Any]) -> bool:
    """Tell whether `out` holds this very set; refuse a folder that holds anything else."""
    if (out / BUILD_FILE).exists():
        found = json.loads((out / BUILD_FILE).read_text("utf-8"))
        if {name: found.get(name) for name in facts} == facts:
            return True
        raise UsageError(f"{out}: holds another set: choose another --out, or remove the folder")
    if out.exists() and any(out.iterdir()) and not (out / JOURNAL).exists():
        raise UsageError(f"{out}: expected an empty or absent folder, found other files: choose another --out")
    return False


def _finish(out: Path, facts: Mapping[str, Any], rows: Sequence[jobs.Row]) -> list[Clip]:
    """Write what makes a set complete, `build.json` last, or say what is missing."""
    if failed := [row["error"] for row in rows if "error" in row]:
        raise ToolkitError(f"{failed[0]} ({len(failed)} groups of clips failed; the same command tries them again)")
    skipped = [row for row in rows if "skipped" in row]
    clips = [_clip(row) for row in rows if "skipped" not in row]
    for leftover in out.glob("*/.*.part"):
        leftover.unlink(missing_ok=True)
    write_manifest(out / MANIFEST, clips)
    with replacing(out / BUILD_FILE) as beside:
        beside.write_text(json.dumps({**facts, "skipped": skipped}, indent=2) + "\n", "utf-8", newline="\n")
    (out / JOURNAL).unlink()
    return clips
