"""From plans to clips, in memory: takes are loaded, a splice is drawn and fitted, rendered, and sent its channel.

Every clip is a pure function of its plan, the recordings and the versions of the programs. Clips are made a few
at a time, because those few then share the starts of ffmpeg; none depends on its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from audio.errors import AudioError, EngineError, ToolkitError
from audio.manifest import Clip
from audio.segments import Segment
from synth.activity import speech_frames
from synth.cache import Cache, default_cache_dir
from synth.channel import ChannelKit, ChannelPlan, apply_channels, channel_kit, choose_channel
from synth.pcm import Pcm, to_float, to_pcm
from synth.planning import Material, Strip, choose_plan
from synth.recipe import ClipPlan, Recipe
from synth.seams import fitted_to
from synth.splice import SplicePlan, render
from synth.takes import Library, Take
from synth.voices import Recordings, list_fakes, list_voices

SPLICE, CHANNEL, SENT = 1, 2, 3
"""Streams of randomness of a clip, beside the one of `Planner`."""


@dataclass(frozen=True)
class Folders:
    """Where recordings are found, and where synthetic voices are kept."""

    real: Path
    fake: Path | None = None
    noise: Path | None = None
    """Recordings of noise; None: noise is generated."""
    rooms: Path | None = None
    """Impulse responses; None: rooms are simulated."""
    cache: Path = field(default_factory=default_cache_dir)

    def recordings(self) -> tuple[Recordings, Recordings]:
        """List the genuine and the fake recordings; raise `ManifestError` when a folder is missing or holds none."""
        return list_voices(self.real), Recordings((), ()) if self.fake is None else list_fakes(self.fake)

    def library(self, recipe: Recipe) -> Library:
        """Return what loads the takes of a recipe's clips."""
        return Library(self.real, self.fake, Cache(self.cache), recipe.commands)

    def kit(self, recipe: Recipe) -> ChannelKit | None:
        """Return what channels are drawn from; None when the recipe leaves the channel out."""
        return channel_kit(noise=self.noise, rooms=self.rooms) if recipe.channel else None


@dataclass(frozen=True)
class Made:
    """A clip that can be heard."""

    plan: ClipPlan
    pcm: Pcm = field(repr=False)
    segments: tuple[Segment, ...]
    splice: SplicePlan
    takes: Mapping[int, Take] = field(repr=False)
    """The takes that the splice mentions, by their numbers."""
    channel: ChannelPlan | None = None
    channel_seed: int = 0


@dataclass(frozen=True)
class Skipped:
    """A clip that could not be made, and why."""

    plan: ClipPlan
    reason: str


@dataclass(frozen=True)
class Maker:
    """Makes clips by a recipe, with the recordings of a library and the channels of a kit."""

    recipe: Recipe
    library: Library
    kit: ChannelKit | None

    def make(self, plans: Sequence[ClipPlan]) -> list[Made | Skipped]:
        """Make a few clips.

        Returns
        -------
        For each plan the clip; or why there is none, when its recordings cannot be read or allow no splice.

        Raises
        ------
        ToolkitError
            When an engine, ffmpeg or the cache fails.
        """
        from threadpoolctl import threadpool_limits

        # Processes are what runs side by side here; numeric libraries would start threads in each of them.
        with threadpool_limits(limits=1):
            heard = self._hear(take for plan in plans for take in _heard_first(plan))
            drafts = [self._draft(plan, heard) for plan in plans]
            heard |= self._hear(take for draft in drafts for take in draft.takes.values() if take not in heard)
            spliced = [_spliced(draft, heard) for draft in drafts]
            return self._through_channel(spliced)

    def _hear(self, takes: Iterable[Take]) -> dict[Take, Pcm | AudioError]:
        """Load takes; one whose recording cannot be read is answered by the reason."""
        wanted = list(dict.fromkeys(takes))
        try:
            return dict(self.library.load(wanted))
        except EngineError:
            raise
        except AudioError:
            return {take: self._hear_one(take) for take in wanted}

    def _hear_one(self, take: Take) -> Pcm | AudioError:
        try:
            return self.library.load([take])[take]
        except EngineError:
            raise
        except AudioError as error:
            return error

    def _draft(self, plan: ClipPlan, heard: Mapping[Take, Pcm | AudioError]) -> _Draft:
        rng = np.random.default_rng((self.recipe.seed, plan.draw, SPLICE))
        try:
            splice = choose_plan(rng, _material(plan, heard), plan.shape)
        except ToolkitError as error:
            return _Draft(plan, None, {}, str(error))
        mentioned = {s for piece in splice.pieces for s in (piece.source, piece.stands_for) if s is not None}
        return _Draft(plan, splice, {source: plan.takes[source] for source in sorted(mentioned)})

    def _through_channel(self, clips: Sequence[Made | Skipped]) -> list[Made | Skipped]:
        made = [clip for clip in clips if isinstance(clip, Made) and self._is_sent(clip.plan)]
        if self.kit is None or not made:
            return list(clips)
        rngs = [np.random.default_rng((self.recipe.seed, clip.plan.draw, CHANNEL)) for clip in made]
        channels = [choose_channel(rng, self.kit) for rng in rngs]
        seeds = [int(rng.integers(2**31)) for rng in rngs]
        received = apply_channels([to_float(clip.pcm) for clip in made], channels, seeds=seeds, kit=self.kit)
        finished = {
            clip.plan.index: replace(clip, pcm=to_pcm(samples), channel=channel, channel_seed=seed)
            for clip, samples, channel, seed in zip(made, received, channels, seeds, strict=True)
        }
        return [finished.get(clip.plan.index, clip) for clip in clips]

    def _is_sent(self, plan: ClipPlan) -> bool:
        """Draw whether a clip goes through the channel, apart from what the channel is drawn from."""
        share = self.recipe.channel_share
        return share >= 1.0 or np.random.default_rng((self.recipe.seed, plan.draw, SENT)).random() < share


@dataclass(frozen=True)
class _Draft:
    """A clip on its way: its splice plan with the takes that it mentions, or the reason why there is none."""

    plan: ClipPlan
    splice: SplicePlan | None
    takes: Mapping[int, Take]
    reason: str = ""


def _heard_first(plan: ClipPlan) -> tuple[Take, ...]:
    """Return the takes that must be heard to plan the splice; twins say the same as the base at the same time."""
    return (*(plan.cut_like or plan.base), *plan.others)


def _material(plan: ClipPlan, heard: Mapping[Take, Pcm | AudioError]) -> Material:
    base = tuple(_strip(heard[take]) for take in plan.cut_like or plan.base)
    others = tuple(_strip(heard[take]) for take in plan.others)
    return Material(base, base if plan.twins else (), others, plan.base_fake, plan.span_fake)


def _strip(heard: Pcm | AudioError) -> Strip:
    if isinstance(heard, AudioError):
        raise heard
    return Strip(heard.size, speech_frames(to_float(heard)))


def _spliced(draft: _Draft, heard: Mapping[Take, Pcm | AudioError]) -> Made | Skipped:
    if draft.splice is None:
        return Skipped(draft.plan, draft.reason)
    sources: dict[int, Pcm] = {}
    for source, take in draft.takes.items():
        samples = heard[take]
        if isinstance(samples, AudioError):
            return Skipped(draft.plan, str(samples))
        sources[source] = samples
    splice = fitted_to(draft.splice, sources)
    pcm, segments = render(splice, sources)
    return Made(draft.plan, pcm, segments, splice, draft.takes)


def remake(clip: Clip, library: Library, kit: ChannelKit | None) -> tuple[Pcm, tuple[Segment, ...]]:
    """Make a clip again from what its manifest line says.

    Parameters
    ----------
    clip
        A clip with `sources`, `splice` and, unless the channel was left out, `channel`.
    library
        The folders that its sources come from.
    kit
        The folders of the channel; may be None for a clip without one.

    Returns
    -------
    samples
        int16 (n,), bit for bit those of the clip, with the same versions of the programs.
    segments
        Its fake spans.

    Raises
    ------
    ToolkitError
        When the line says too little, or a recording, an engine or ffmpeg fails.
    """
    if clip.splice is None:
        raise ToolkitError(f"{clip.path}: expected a splice plan in the manifest, received none")
    takes = {source["source"]: Take.from_json(source) for source in clip.sources}
    heard = library.load(takes.values())
    pcm, segments = render(SplicePlan.from_json(clip.splice), {source: heard[take] for source, take in takes.items()})
    if clip.channel is None:
        return pcm, segments
    facts: dict[str, Any] = dict(clip.channel)
    seed, plan = facts.pop("seed"), ChannelPlan.from_json(facts)
    kit = channel_kit() if kit is None else kit
    return to_pcm(apply_channels([to_float(pcm)], [plan], seeds=[seed], kit=kit)[0]), segments
