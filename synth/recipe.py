"""Which clips a set has: class, split, speaker, generator and takes of each, before anything is rendered.

No speaker is in two of the splits train, dev and test; `test_unseen` has the test speakers and the generators
that were held out. From `GENERATORS_TO_SPLIT` generators on, these are divided among the splits as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from audio.errors import UsageError
from audio.labels import LABELS, REAL
from audio.manifest import SPLITS, Clip
from audio.segments import SAMPLE_RATE
from synth.codecs import fixed_coding
from synth.engines import ENGINES, engine
from synth.engines.espeak import sentences
from synth.takes import GENUINE, RECORDED, SPOKEN, TWIN, Take

TRAIN, DEV, TEST, TEST_UNSEEN = SPLITS

SHARES = {TRAIN: 0.76, DEV: 0.08, TEST: 0.08, TEST_UNSEEN: 0.08}
"""Share of the clips in each split. What `test_unseen` does not need, without held-out generators, is trained on."""

CLIP_S = (3.0, 6.0)
"""Shortest and longest clip, in seconds, drawn uniformly."""

EXCERPT_SAMPLES = 6 * SAMPLE_RATE
"""Longest excerpt of a recording, 6 s. Longer recordings are cut into equal ones, so that nobody resynthesises
a minute for the second that is heard."""

MIN_EXCERPT_SAMPLES = int(0.3 * SAMPLE_RATE)
"""Shorter recordings are not used: nothing can be spliced into 0.3 s."""

OTHER_WORDS_SAMPLES = SAMPLE_RATE
"""Length from which a recording may be the one that other words are taken from."""

GENERATORS_TO_SPLIT = 6
"""From so many generators on, train, dev and test have different ones."""

TWIN_TOLERANCE_SAMPLES = 1_600
"""A recorded fake of the same name is a twin when its length differs by at most 0.1 s: vocoders pad to their
hop, whereas another reading of the same text has another length."""

SPOKEN_TEXTS = 3
"""Texts that an engine speaks for one clip."""


@dataclass(frozen=True)
class Recipe:
    """What a set is made by; the same recipe and voices give the same set.

    Raises
    ------
    UsageError
        For fewer than one clip, a negative seed, an unknown engine among `engines`, or a generator that is
        both in use and held out.
    """

    n_clips: int
    seed: int
    engines: tuple[str, ...] = ("world", "griffin-lim")
    held_out: tuple[str, ...] = ("lpc",)
    dev_speakers: tuple[str, ...] = ()
    """Empty: drawn by the seed, as are the test speakers."""
    test_speakers: tuple[str, ...] = ()
    channel: bool = True
    """False leaves the random channel out, so that clips are exactly what their splice plans say."""

    def __post_init__(self) -> None:
        if self.n_clips < 1 or self.seed < 0:
            raise UsageError(f"clips and seed: expected at least 1 and 0, received {self.n_clips} and {self.seed}")
        if unknown := [name for name in self.engines if name not in ENGINES]:
            raise UsageError(f"engines: expected some of {', '.join(ENGINES)}, received {', '.join(unknown)}")
        if both := sorted(set(self.engines) & set(self.held_out)):
            raise UsageError(f"held out: expected no generator that is also trained on, received {', '.join(both)}")
        if both := sorted(set(self.dev_speakers) & set(self.test_speakers)):
            raise UsageError(f"speakers: expected none in both dev and test, received {', '.join(both)}")

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as what JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class ClipPlan:
    """One clip to make. `genuine` and `fake` are its takes, the last of each kept for other words.

    `twins`: fake take i copies genuine take i. A side that the class does not need may be empty.
    """

    index: int
    label: str
    split: str
    speaker: str
    generator: str
    n_samples: int
    genuine: tuple[Take, ...] = field(repr=False)
    fake: tuple[Take, ...] = field(repr=False)
    twins: bool

    @property
    def path(self) -> str:
        """Where the clip goes in its set."""
        return f"{self.label}/{self.index:06d}.wav"

    @property
    def language(self) -> str:
        """The language of its takes, or "" where they have several."""
        languages = {take.language for take in (*self.genuine, *self.fake)}
        return languages.pop() if len(languages) == 1 else ""


def plan_set(recipe: Recipe, voices: Sequence[Clip], *, fakes: Sequence[Clip] = ()) -> list[ClipPlan]:
    """Plan every clip of a set.

    Parameters
    ----------
    recipe
        What to make.
    voices
        Genuine recordings with speaker and length (`voices_from_folder`).
    fakes
        Fake recordings with generator and length (`fakes_from_folder`); their generators join the engines,
        unless held out.

    Returns
    -------
    `recipe.n_clips` plans, a third of each split for each class. Plan i depends on the seed and i, not on the
    plans before it.

    Raises
    ------
    UsageError
        For an unknown speaker or generator, fewer than three speakers, or no generator.
    """
    shelf = _Shelf(recipe, voices, fakes)
    places = [(split, k) for split, n in split_sizes(recipe).items() for k in range(n)]
    return [shelf.plan(index, split=split, place=place) for index, (split, place) in enumerate(places)]


def split_sizes(recipe: Recipe) -> dict[str, int]:
    """Return how many clips each split gets."""
    sizes = {split: int(recipe.n_clips * SHARES[split] + 0.5) for split in (DEV, TEST, TEST_UNSEEN)}
    if not recipe.held_out:
        sizes[TEST_UNSEEN] = 0
    return {TRAIN: max(recipe.n_clips - sum(sizes.values()), 0), **sizes}


def split_speakers(recipe: Recipe, speakers: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Divide speakers among the splits: as the recipe names them, else as its seed draws them.

    Raises
    ------
    UsageError
        When a named speaker does not exist, or too few are left for a split.
    """
    known = sorted(set(speakers))
    if unknown := sorted({*recipe.dev_speakers, *recipe.test_speakers} - set(known)):
        raise UsageError(f"speakers: expected some of {', '.join(known)}, received {', '.join(unknown)}")
    if len(known) < 3:
        raise UsageError(f"speakers: expected at least 3, one each for train, dev and test, received {len(known)}")
    free = [name for name in known if name not in (*recipe.dev_speakers, *recipe.test_speakers)]
    shuffled = iter(np.random.default_rng((recipe.seed, len(known))).permutation(free).tolist())
    named = {DEV: recipe.dev_speakers, TEST: recipe.test_speakers}
    drawn = {
        split: names or tuple(next(shuffled) for _ in range(max(1, int(SHARES[split] * len(known)))))
        for split, names in named.items()
        if names or free
    }
    split = {TRAIN: tuple(sorted(shuffled)), **drawn, TEST_UNSEEN: drawn.get(TEST, ())}
    if empty := [name for name in (TRAIN, DEV, TEST) if not split.get(name)]:
        raise UsageError(f"speakers: none left for {', '.join(empty)}: name fewer for the others")
    return split


def split_generators(recipe: Recipe, generators: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Say which generators each split uses; raise `UsageError` when there are none."""
    if not generators:
        raise UsageError("generators: expected at least one engine or folder of fakes, received none")
    every = dict.fromkeys((TRAIN, DEV, TEST), tuple(generators))
    if len(generators) >= GENERATORS_TO_SPLIT:
        shuffled = np.random.default_rng((recipe.seed, len(generators))).permutation(list(generators)).tolist()
        n_held = len(generators) // GENERATORS_TO_SPLIT
        dev, test, train = shuffled[:n_held], shuffled[n_held : 2 * n_held], shuffled[2 * n_held :]
        every = {TRAIN: tuple(sorted(train)), DEV: tuple(sorted(dev)), TEST: tuple(sorted(test))}
    return {**every, TEST_UNSEEN: recipe.held_out}


class _Shelf:
    """Everything that plans draw from, sorted by split, speaker and generator."""

    def __init__(self, recipe: Recipe, voices: Sequence[Clip], fakes: Sequence[Clip]) -> None:
        recorded = sorted({clip.generator for clip in fakes})
        known = [*ENGINES, *recorded]
        if unknown := [name for name in recipe.held_out if name not in known]:
            raise UsageError(f"held out: expected some of {', '.join(known)}, received {', '.join(unknown)}")
        in_use = [*recipe.engines, *(name for name in recorded if name not in recipe.held_out)]
        self.recipe = recipe
        self.speakers = split_speakers(recipe, (clip.speaker for clip in voices))
        self.generators = split_generators(recipe, in_use)
        self.genuine = _by_speaker(voices)
        self.recorded = _RecordedFakes(recipe, voices, fakes)

    def plan(self, index: int, *, split: str, place: int) -> ClipPlan:
        """Plan clip `index`, number `place` of its split; classes and generators take turns."""
        rng = np.random.default_rng((self.recipe.seed, index))
        label = LABELS[place % len(LABELS)]
        speaker = str(rng.choice(self.speakers[split]))
        n_samples = int(rng.uniform(*CLIP_S) * SAMPLE_RATE)
        generators = self.generators[split]
        generator = "" if label == REAL else generators[place // len(LABELS) % len(generators)]
        excerpts = self.genuine[speaker]
        genuine, fake, twins = self._takes(rng, excerpts, split=split, generator=generator, n_samples=n_samples)
        return ClipPlan(index, label, split, speaker, generator, n_samples, genuine, fake, twins)

    def _takes(
        self, rng: np.random.Generator, excerpts: Sequence[Take], *, split: str, generator: str, n_samples: int
    ) -> tuple[tuple[Take, ...], tuple[Take, ...], bool]:
        """Draw genuine and fake takes; True with them when they are twins."""
        if not generator:
            return _draw_takes(rng, excerpts, n_samples), (), False
        if generator in ENGINES and engine(generator).makes_twins:
            genuine = _draw_takes(rng, excerpts, n_samples)
            return genuine, tuple(_twin(take, generator) for take in genuine), True
        if generator in ENGINES:
            genuine = _draw_takes(rng, excerpts, n_samples)
            return genuine, _spoken(rng, generator, like=genuine[0]), False
        if twins := self.recorded.twins_of(excerpts, generator):
            genuine = _draw_takes(rng, list(twins), n_samples)
            return genuine, tuple(twins[take] for take in genuine), True
        genuine = _draw_takes(rng, excerpts, n_samples)
        fakes = self.recorded.without_twin(split, generator, codec=genuine[0].codec)
        return genuine, _draw_takes(rng, fakes, n_samples), False


class _RecordedFakes:
    """Fake recordings from a folder: twins by the genuine recording they copy, the others by split."""

    def __init__(self, recipe: Recipe, voices: Sequence[Clip], fakes: Sequence[Clip]) -> None:
        self.twins: dict[tuple[str, str], Clip] = {}
        self.others: dict[str, list[Clip]] = defaultdict(list)
        self.seed = recipe.seed
        sources = _unique_names(voices)
        for fake in fakes:
            source = sources.get(fake.source_clip) or sources.get(PurePosixPath(fake.path).name)
            if source and abs(source.n_samples - fake.n_samples) <= TWIN_TOLERANCE_SAMPLES:
                self.twins[fake.generator, source.path] = fake
            else:
                self.others[fake.generator].append(fake)

    def twins_of(self, excerpts: Iterable[Take], generator: str) -> dict[Take, Take]:
        """Return genuine excerpts that have a twin by `generator`, each with that twin."""
        found = {}
        for take in excerpts:
            if fake := self.twins.get((generator, take.path)):
                found[take] = _recorded(fake, take.onset, take.offset, codec=take.codec)
        return found

    def without_twin(self, split: str, generator: str, *, codec: str) -> list[Take]:
        """Return the excerpts of a generator's recordings that fall to a split; two splits share none.

        Raises `UsageError` when there is none.
        """
        clips = self.others[generator]
        order = np.random.default_rng((self.seed, len(clips))).permutation(len(clips))
        n_dev, n_test = (max(1, int(SHARES[name] * len(clips))) for name in (DEV, TEST))
        parts = {DEV: order[:n_dev], TEST: order[n_dev : n_dev + n_test], TRAIN: order[n_dev + n_test :]}
        chosen = order if split == TEST_UNSEEN else parts[split]
        takes = [_recorded(clips[i], *bounds, codec=codec) for i in chosen for bounds in _excerpts(clips[i].n_samples)]
        if not takes:
            raise UsageError(f"{generator}: expected recordings for {split}, received {len(clips)} for all splits")
        return takes


def _unique_names(voices: Iterable[Clip]) -> dict[str, Clip]:
    """Map paths, file names and names without suffix to recordings, leaving out names that several have."""
    found: dict[str, list[Clip]] = defaultdict(list)
    for clip in voices:
        path = PurePosixPath(clip.path)
        for name in {clip.path, path.name, path.stem}:
            found[name].append(clip)
    return {name: clips[0] for name, clips in found.items() if len(clips) == 1}


def _by_speaker(voices: Iterable[Clip]) -> Mapping[str, list[Take]]:
    """Cut every recording into excerpts, sorted by speaker; refuse a codec that fakes could not pass."""
    found: dict[str, list[Take]] = defaultdict(list)
    for clip in voices:
        if clip.codec:
            fixed_coding(clip.codec)
        for onset, offset in _excerpts(clip.n_samples):
            take = Take(GENUINE, clip.path, onset, offset, language=clip.language, codec=clip.codec)
            found[clip.speaker].append(take)
    return found


def _excerpts(n_samples: int) -> list[tuple[int, int]]:
    """Cut `[0, n_samples)` into equal parts of at most `EXCERPT_SAMPLES`; none when it is too short."""
    if n_samples < MIN_EXCERPT_SAMPLES:
        return []
    n_parts = -(-n_samples // EXCERPT_SAMPLES)
    edges = [n_samples * i // n_parts for i in range(n_parts + 1)]
    return list(pairwise(edges))


def _draw_takes(rng: np.random.Generator, excerpts: Sequence[Take], n_samples: int) -> tuple[Take, ...]:
    """Draw takes that fill `n_samples`, and one more for other words, each in proportion to its length.

    Takes differ as long as there are enough. Raises `UsageError` when there is nothing to draw from.
    """
    if not excerpts:
        raise UsageError("recordings: expected some of at least 0.3 s for every speaker, received none")
    lengths = np.array([take.n_samples for take in excerpts], dtype=np.float64)
    drawn: list[Take] = []
    while sum(take.n_samples for take in drawn) < n_samples:
        drawn.append(_draw(rng, excerpts, weights=lengths, drawn=drawn))
    long_enough = np.where(lengths >= OTHER_WORDS_SAMPLES, lengths, 0.0)
    weights = long_enough if long_enough.any() else lengths
    return (*drawn, _draw(rng, excerpts, weights=weights, drawn=drawn))


def _draw(
    rng: np.random.Generator, excerpts: Sequence[Take], *, weights: npt.NDArray[np.float64], drawn: Sequence[Take]
) -> Take:
    fresh = np.where([take in drawn for take in excerpts], 0.0, weights)
    chances = fresh if fresh.any() else weights
    return excerpts[int(rng.choice(chances.size, p=chances / chances.sum()))]


def _twin(take: Take, generator: str) -> Take:
    return Take(TWIN, take.path, take.onset, take.offset, generator, language=take.language, codec=take.codec)


def _recorded(fake: Clip, onset: int, offset: int, *, codec: str) -> Take:
    """Name an excerpt of a fake recording; one that has a codec in its past already passes no other."""
    past = "" if fake.codec else codec
    return Take(RECORDED, fake.path, onset, offset, fake.generator, language=fake.language, codec=past)


def _spoken(rng: np.random.Generator, generator: str, *, like: Take) -> tuple[Take, ...]:
    texts = rng.choice(sentences(like.language), SPOKEN_TEXTS, replace=False).tolist()
    return tuple(
        Take(SPOKEN, generator=generator, text=text, language=like.language, codec=like.codec) for text in texts
    )
