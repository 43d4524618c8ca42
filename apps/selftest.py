"""A round trip with a user's own recordings: splice them with the engines at hand, judge, and see what is recovered.

    recordings -> real, fake and hybrid clips with known spans -> verdicts -> how much of the spans was found

Nothing is trained, and no channel is added: these are the user's voices, microphones and rooms as they are. The fakes
are what the engines here can make; a good result says that the model works on such recordings, not that it knows the
synthesiser somebody else will use.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from audio import jobs
from audio.atomic import link_or_copy
from audio.errors import EngineError, ToolkitError, UsageError
from audio.executors import Workers
from audio.jobs import Row
from audio.labels import FAKE, LABELS, REAL
from audio.manifest import Clip, fake_spans, recordings_below, resolve, write_manifest
from audio.segments import SAMPLE_RATE, Segment, overlap, total
from model.judging.detector import Detector
from synth.build import build_set
from synth.engines import ENGINES, engine
from synth.making import Folders
from synth.recipe import DEV, SHARES, TEST, TEST_UNSEEN, TRAIN, Recipe

LEAST_RECORDINGS = 8
"""Fewer cannot be spliced with each other and leave something over."""

LENGTHS_S = (0.0, 0.3, 1.0, 3.0, math.inf)
"""Bands of span lengths: a syllable, a word or two, a phrase, a sentence."""

NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Judged:
    """A spliced clip and what the model says of it."""

    clip: Clip
    truth: tuple[Segment, ...]
    label: str | None
    """None: it was not judged."""
    spans: tuple[Segment, ...] = ()
    """What is taken for fake."""

    @property
    def verdict(self) -> str:
        """One of `audio.labels.LABELS`, or that there is none."""
        return self.label or NOT_JUDGED

    @property
    def has_joins(self) -> bool:
        """Whether something was spliced into it, genuine or not."""
        return self.clip.splice is not None and len(self.clip.splice["pieces"]) > 1


@dataclass(frozen=True)
class Band:
    """How well spans of a length were found."""

    low_s: float
    high_s: float
    n_spans: int
    fake_s: float
    found_share: float
    """Share of their seconds that the model marks."""


def engines_at_hand() -> tuple[str, ...]:
    """Return the engines that copy voices and are installed here."""
    return tuple(name for name in ENGINES if engine(name).makes_twins and _installed(name))


def _installed(name: str) -> bool:
    try:
        engine(name).version()
    except EngineError:
        return False
    return True


def splice(
    folder: Path, out: Path, *, n_clips: int, engines: Sequence[str], seed: int = 0, workers: Workers = 1
) -> tuple[Path, list[Clip]]:
    """Build clips from a folder of genuine recordings, a third of each class.

    Returns
    -------
    The folder of the set, and its clips.

    Raises
    ------
    UsageError
        When there are too few recordings, or they do not fit.
    ToolkitError
        When an engine or the disk fails.
    """
    places = sorted(recordings_below(folder))
    if len(places) < LEAST_RECORDINGS:
        raise UsageError(f"{folder}: expected {LEAST_RECORDINGS} recordings or more, received {len(places)}")
    gathered = out / "recordings"
    clips = []
    for number, place in enumerate(places):
        inside = place.relative_to(folder)
        link_or_copy(place, gathered / inside)
        # The splicer wants some for each split, each with its speakers; only the first is built.
        split = {len(places) - 1: TEST, len(places) - 2: DEV}.get(number, TRAIN)
        speaker = inside.parts[0] if len(inside.parts) > 1 else "all"
        clips.append(Clip(inside.as_posix(), REAL, speaker=speaker if split == TRAIN else split, split=split))
    write_manifest(gathered / "manifest.jsonl", clips)
    # Without engines that are held out, training has the share of those too.
    n_all = math.ceil(n_clips / (SHARES[TRAIN] + SHARES[TEST_UNSEEN]))
    recipe = Recipe(n_all, seed, engines=tuple(engines), held_out=(), channel=False)
    folders = Folders(gathered, cache=out / "copies")
    return out / "clips", build_set(recipe, folders, out=out / "clips", workers=workers, splits=(TRAIN,))


@dataclass(frozen=True)
class Judge:
    """`process(clip) -> rows`: what a model says of a spliced clip."""

    place: Path
    """The set, or its manifest."""
    detector: Detector
    """Pickles, and so is loaded once in each process."""

    def __call__(self, clip: Clip) -> list[Row]:
        """Judge one clip."""
        found = self.detector.detect(resolve(self.place, clip))
        return [{"label": found.label, "spans": [[span.onset, span.offset] for span in found.spans]}]


def judge(clips: Sequence[Clip], judge: Judge, *, workers: Workers = 1) -> list[Judged]:
    """Judge spliced clips, in order.

    Raises
    ------
    ToolkitError
        When a clip cannot be read: we made it.
    """
    found = []
    for clip, (row,) in zip(clips, jobs.run(judge, clips, key=_path, workers=workers, title="judging"), strict=True):
        if "error" in row:
            raise ToolkitError(row["error"])
        truth = tuple(fake_spans(clip, clip.n_samples))
        found.append(Judged(clip, truth, row["label"], tuple(Segment(*span) for span in row["spans"])))
    return found


def _path(clip: Clip) -> str:
    return clip.path


def verdicts(judged: Iterable[Judged]) -> dict[str, Counter[str]]:
    """Count the verdicts on clips that are real, real with genuine joins, fake and hybrid."""
    table: dict[str, Counter[str]] = {name: Counter() for name in (REAL, "real, spliced", *LABELS[1:])}
    for each in judged:
        spliced = each.clip.label == REAL and each.has_joins
        table["real, spliced" if spliced else each.clip.label][each.verdict] += 1
    return table


def recovery(judged: Iterable[Judged]) -> list[Band]:
    """Return how much of the fake spans of hybrids was found, by their length."""
    spans = [(span, each.spans) for each in judged if each.clip.label not in (REAL, FAKE) for span in each.truth]
    bands = []
    for low_s, high_s in pairwise(LENGTHS_S):
        inside = [(span, found) for span, found in spans if low_s <= span.offset_s - span.onset_s < high_s]
        fake = sum(span.duration for span, _ in inside)
        hit = sum(overlap([span], found) for span, found in inside)
        bands.append(Band(low_s, high_s, len(inside), fake / SAMPLE_RATE, hit / fake if fake else math.nan))
    return bands


def by_engine(judged: Iterable[Judged]) -> dict[str, tuple[int, float]]:
    """Return the number of clips and the share of fake seconds found, by what made them."""
    sums: dict[str, list[int]] = {}
    for each in judged:
        if each.clip.label == REAL:
            continue
        counts = sums.setdefault(each.clip.generator, [0, 0, 0])
        counts[0] += 1
        counts[1] += overlap(each.truth, each.spans)
        counts[2] += total(each.truth)
    return {name: (n, hit / fake if fake else math.nan) for name, (n, hit, fake) in sorted(sums.items())}
