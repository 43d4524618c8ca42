"""Everything that plans draw from, sorted by split, speaker and generator.

Splits are those of the voices' manifest where it names them, else drawn by the seed; either way no speaker is in
two of them. A generator belongs to the splits that its recordings are in; engines, which can copy anybody, are
divided among the splits as soon as there are enough generators for that.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from audio.errors import UsageError
from audio.manifest import SPLITS, Clip
from audio.segments import SAMPLE_RATE
from synth.codecs import fixed_coding
from synth.engines import ENGINES, Engine, engine
from synth.takes import GENUINE, RECORDED, SPOKEN, TWIN, Take
from synth.texts import language_to_speak, sentences
from synth.voices import LEAST_SAMPLES

if TYPE_CHECKING:
    from synth.recipe import Recipe

LOG = logging.getLogger(__name__)

TRAIN, DEV, TEST, TEST_UNSEEN = SPLITS

SPEAKER_SHARE = 0.08
"""Share of the speakers, and of a generator's recordings, that dev and test get each, at least one."""

EXCERPT_SAMPLES = 10 * SAMPLE_RATE
"""Longest excerpt of a recording, 10 s. Longer recordings are cut into equal ones, so that nobody resynthesises
a minute for the second that is heard."""

GENERATORS_TO_SPLIT = 6
"""From so many generators on, train, dev and test have different ones."""

TWIN_TOLERANCE_SAMPLES = 1_600
"""A recorded fake of the same name is a twin when its length differs by at most 0.1 s: vocoders pad to their
hop, whereas another reading of the same text has another length."""

SPOKEN_TEXTS = 3
"""Texts that an engine speaks for a base of several recordings."""

SPOKEN_SAMPLES = 4 * SAMPLE_RATE
"""How long a spoken sentence is expected to be, 4 s: nobody knows before it is spoken."""

SPARE = 1.25
"""So much longer than the clip are the recordings drawn for it: silence around them is left out, and something may
be taken out of them."""

FRESH_DRAWS = 8
"""How often a recording that the clip already has is drawn again before it is accepted."""


class Pool:
    """Takes to draw from, each in proportion to its length."""

    def __init__(self, takes: Sequence[Take]) -> None:
        self.takes = tuple(sorted(takes, key=lambda take: take.n_samples))
        self._lengths = np.array([take.n_samples for take in self.takes])
        self._ends = np.cumsum(self._lengths)

    @property
    def longest(self) -> int:
        """Length of the longest take, in samples."""
        return int(self._lengths.max(initial=0))

    def cover(self, rng: np.random.Generator, n_samples: int) -> tuple[Take, ...]:
        """Draw one take of at least `n_samples`, each equally likely; the longest when there is none."""
        if not self.takes:
            return (self.draw(rng),)
        first = min(int(np.searchsorted(self._lengths, n_samples)), len(self.takes) - 1)
        return (self.takes[int(rng.integers(first, len(self.takes)))],)

    def draw(self, rng: np.random.Generator, drawn: Sequence[Take] = ()) -> Take:
        """Draw a take, another than those `drawn` as long as that is likely; raise `UsageError` without any."""
        if not self.takes:
            raise UsageError("recordings: expected some of at least 0.3 s for every speaker, received none")
        for _ in range(FRESH_DRAWS):
            place = np.searchsorted(self._ends, rng.integers(self._ends[-1]), side="right")
            if self.takes[place] not in drawn:
                break
        return self.takes[place]

    def fill(self, rng: np.random.Generator, n_samples: int) -> tuple[Take, ...]:
        """Draw takes until they are `n_samples` long together, or no others are found."""
        drawn: list[Take] = []
        while sum(take.n_samples for take in drawn) < n_samples:
            take = self.draw(rng, drawn)
            if take in drawn:
                break
            drawn.append(take)
        return tuple(drawn)


@dataclass(frozen=True)
class Fill:
    """How much to draw for the base of a clip: `n_samples`, in one recording (`single`) or in several."""

    n_samples: int
    single: bool

    def draw(self, rng: np.random.Generator, pool: Pool) -> tuple[Take, ...]:
        """Draw recordings that are `SPARE` times as long, as far as there are some."""
        needed = round(self.n_samples * SPARE)
        return pool.cover(rng, needed) if self.single else pool.fill(rng, needed)


class Shelf:
    """Genuine recordings, and what is fake of them.

    Parameters
    ----------
    recipe
        What is to be made.
    voices
        Genuine recordings with speaker and length.
    fakes
        Fake recordings with generator and length.

    Raises
    ------
    UsageError
        For an unknown speaker or generator, too few speakers, a split without a generator, or a codec in the past
        of a voice that fakes cannot pass.
    """

    def __init__(self, recipe: Recipe, voices: Sequence[Clip], fakes: Sequence[Clip]) -> None:
        recorded = sorted({clip.generator for clip in fakes})
        known = [*ENGINES, *recorded]
        if unknown := [name for name in recipe.held_out if name not in known]:
            raise UsageError(f"held out: expected some of {', '.join(known)}, received {', '.join(unknown)}")
        self.recipe = recipe
        self.voices = divide_voices(recipe, voices)
        self.excerpts = {split: _by_speaker(clips) for split, clips in self.voices.items()}
        self.recorded = _Recorded(recipe, self.voices, fakes)
        self.generators = _divide_generators(recipe, self.recorded)
        self._pools: dict[tuple[str, ...], Pool] = {}

    def generators_for(self, split: str, *, twins: bool) -> tuple[str, ...]:
        """Return the generators of a split; with `twins`, those that can copy one of its recordings, perhaps none."""
        names = self.generators[split]
        return tuple(name for name in names if self._makes_twins(split, name)) if twins else names

    def draw_speaker(self, rng: np.random.Generator, split: str, generator: str) -> str:
        """Draw a speaker, of those that the generator copies when it copies only some."""
        copied = self.recorded.twins[split].get(generator) or self.excerpts[split]
        lengths = {name: sum(take.n_samples for take in copied[name]) for name in sorted(copied)}
        long_enough = [name for name, n_samples in lengths.items() if n_samples >= self.recipe.clip_s[0] * SAMPLE_RATE]
        names = long_enough or list(lengths)
        if not self.recipe.speech_power:
            return str(rng.choice(names))
        powers = np.array([float(lengths[name]) ** self.recipe.speech_power for name in names])
        return str(rng.choice(names, p=powers / powers.sum()))

    def longest(self, split: str, who: tuple[str, str]) -> int:
        """Return up to which length, in samples, one recording is enough for a clip, whichever its class."""
        _, generator = who
        fake = self._others(split, generator)
        spoken = fake is None and not self._makes_twins(split, generator)
        fake_samples = SPOKEN_SAMPLES if spoken else EXCERPT_SAMPLES if fake is None else fake.longest
        return int(min(self._pool(split, *who).longest, fake_samples) / SPARE)

    def draw_bases(
        self, rng: np.random.Generator, split: str, who: tuple[str, str], *, fill: Fill
    ) -> tuple[tuple[Take, ...], tuple[Take, ...]]:
        """Draw what a clip is laid out from.

        Parameters
        ----------
        rng
            The only source of randomness.
        split
            Where to draw from.
        who
            Speaker and generator.
        fill
            How much is needed.

        Returns
        -------
        genuine takes and fake ones; the fake ones of a generator that makes twins copy the genuine ones, one by one.
        """
        genuine = fill.draw(rng, self._pool(split, *who))
        return genuine, self._fakes(rng, split, who, genuine=genuine, fill=fill)

    def draw_other_words(
        self, rng: np.random.Generator, split: str, who: tuple[str, str], *, like: Sequence[Take]
    ) -> tuple[Take, Take]:
        """Draw a genuine take, other than those in `like` when there is one, and a fake one."""
        genuine = self._pool(split, *who).draw(rng, like)
        return genuine, self._fakes(rng, split, who, genuine=(genuine,), fill=Fill(1, single=True))[0]

    def _fakes(
        self, rng: np.random.Generator, split: str, who: tuple[str, str], *, genuine: tuple[Take, ...], fill: Fill
    ) -> tuple[Take, ...]:
        speaker, generator = who
        if copied := self.recorded.twins[split].get(generator):
            return tuple(copied[speaker][take] for take in genuine)
        if others := self._others(split, generator):
            return tuple(self.recorded.with_past(take, genuine[0].codec) for take in fill.draw(rng, others))
        maker = self._engine(generator)
        if maker.makes_twins:
            return tuple(_twin(take, generator) for take in genuine)
        return _spoken(rng, maker, like=genuine[0], n_texts=1 if fill.single else SPOKEN_TEXTS)

    def _others(self, split: str, generator: str) -> Pool | None:
        """Return the recordings of a generator that copy nobody, or None for an engine, or one that copies."""
        if generator not in self.recorded.others[split]:
            return None
        key = (split, generator)
        if key not in self._pools:
            self._pools[key] = Pool(self.recorded.others[split][generator])
        return self._pools[key]

    def _pool(self, split: str, speaker: str, generator: str) -> Pool:
        """Return the genuine takes of a speaker; for a generator that copies only some, those."""
        copied = self.recorded.twins[split].get(generator)
        key = (split, speaker, generator if copied else "")
        if key not in self._pools:
            self._pools[key] = Pool(list(copied[speaker]) if copied else self.excerpts[split][speaker])
        return self._pools[key]

    def _makes_twins(self, split: str, generator: str) -> bool:
        if generator in self.recorded.names:
            return generator in self.recorded.twins[split]
        return self._engine(generator).makes_twins

    def _engine(self, name: str) -> Engine:
        return next((command for command in self.recipe.commands if command.name == name), None) or engine(name)


class _Recorded:
    """Fake recordings from a folder: by split, twins with the genuine excerpts that they copy, and the others."""

    def __init__(self, recipe: Recipe, voices: Mapping[str, Sequence[Clip]], fakes: Sequence[Clip]) -> None:
        self.names = tuple(sorted({clip.generator for clip in fakes}))
        self.twins: dict[str, dict[str, dict[str, dict[Take, Take]]]] = {split: {} for split in SPLITS}
        self.others: dict[str, dict[str, list[Take]]] = {split: {} for split in SPLITS}
        self.given = any(clip.split for clip in fakes)
        self.coded = frozenset(clip.path for clip in fakes if clip.codec)
        sources = _unique_names(clip for clips in voices.values() for clip in clips)
        homes: dict[str, list[str]] = defaultdict(list)
        for split, clip in ((split, clip) for split, clips in voices.items() for clip in clips):
            homes[clip.path].append(split)
        loose: dict[str, list[Clip]] = defaultdict(list)
        for fake in fakes:
            source = sources.get(fake.source_clip) or sources.get(PurePosixPath(fake.path).name)
            if source and abs(source.n_samples - fake.n_samples) <= TWIN_TOLERANCE_SAMPLES:
                self._add_twin(homes[source.path], source, fake)
            else:
                loose[fake.generator].append(fake)
        for generator, clips in loose.items():
            self._add_others(recipe, generator, clips)

    def with_past(self, take: Take, codec: str) -> Take:
        """Let a recorded fake pass the codec of the genuine voices, unless it has one in its past already."""
        return take if take.path in self.coded else replace(take, codec=codec)

    def _add_twin(self, splits: Iterable[str], source: Clip, fake: Clip) -> None:
        for split in splits:
            of_generator = self.twins[split].setdefault(fake.generator, defaultdict(dict))
            for take in _excerpts(source):
                twin = _recorded(fake, take.onset, take.offset)
                of_generator[source.speaker][take] = self.with_past(twin, take.codec)

    def _add_others(self, recipe: Recipe, generator: str, clips: list[Clip]) -> None:
        """Divide the recordings of a generator: as their manifest says, else by the seed; two splits share none."""
        if self.given:
            parts = {split: [clip for clip in clips if clip.split == split] for split in (TRAIN, DEV, TEST)}
        else:
            order = np.random.default_rng((recipe.seed, len(clips))).permutation(len(clips)).tolist()
            held = max(1, int(SPEAKER_SHARE * len(clips)))
            cuts = {DEV: order[:held], TEST: order[held : 2 * held], TRAIN: order[2 * held :]}
            parts = {split: [clips[i] for i in chosen] for split, chosen in cuts.items()}
        parts[TEST_UNSEEN] = clips if generator in recipe.held_out else []
        for split, chosen in parts.items():
            takes = [_recorded(clip, *bounds) for clip in chosen for bounds in _bounds(clip.n_samples)]
            if takes and generator not in self.twins[split]:
                self.others[split][generator] = takes

    def of_split(self, split: str) -> tuple[str, ...]:
        """Return the generators that have recordings for a split."""
        return tuple(name for name in self.names if name in self.twins[split] or name in self.others[split])


def divide_voices(recipe: Recipe, voices: Sequence[Clip]) -> dict[str, list[Clip]]:
    """Divide genuine recordings among the splits, so that no speaker is in two of train, dev and test.

    As the recipe names speakers; else as the recordings' own splits say, where a speaker who is in several stays
    in the one with most recordings, and recordings without a split are left out; else by the recipe's seed.

    Raises
    ------
    UsageError
        When a named speaker does not exist, or too few are left for a split.
    """
    if any(clip.split for clip in voices) and not (recipe.dev_speakers or recipe.test_speakers):
        home = _homes(voices)
        parts = {split: [c for c in voices if c.split == split == home[c.speaker]] for split in (TRAIN, DEV, TEST)}
        if left := len(voices) - sum(map(len, parts.values())):
            LOG.warning("left out: %d recordings without a split, or of speakers who are in another one", left)
    else:
        speakers = split_speakers(recipe, (clip.speaker for clip in voices))
        parts = {split: [c for c in voices if c.speaker in speakers[split]] for split in (TRAIN, DEV, TEST)}
    if empty := [split for split, clips in parts.items() if not clips]:
        raise UsageError(f"voices: expected some for each of train, dev and test, received none for {', '.join(empty)}")
    return {**parts, TEST_UNSEEN: parts[TEST]}


def _homes(voices: Sequence[Clip]) -> dict[str, str]:
    """Return the split of each speaker: the one that holds most of their recordings."""
    counts = Counter((clip.speaker, clip.split) for clip in voices if clip.split)
    return {speaker: split for (speaker, split), _ in sorted(counts.items(), key=lambda item: item[1])}


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
        split: names or tuple(next(shuffled) for _ in range(max(1, int(SPEAKER_SHARE * len(known)))))
        for split, names in named.items()
        if names or free
    }
    split = {TRAIN: tuple(sorted(shuffled)), **drawn, TEST_UNSEEN: drawn.get(TEST, ())}
    if empty := [name for name in (TRAIN, DEV, TEST) if not split.get(name)]:
        raise UsageError(f"speakers: none left for {', '.join(empty)}: name fewer for the others")
    return split


def _divide_generators(recipe: Recipe, recorded: _Recorded) -> dict[str, tuple[str, ...]]:
    """Say which generators each split uses; raise `UsageError` for a split without any."""
    engines = (*recipe.engines, *recipe.command_names)
    if recorded.given:
        own = {split: _in_use(recipe, recorded.of_split(split)) for split in (TRAIN, DEV, TEST)}
        parts = {split: (*names, *(engines if split == TRAIN or not names else ())) for split, names in own.items()}
    else:
        in_use = (*engines, *_in_use(recipe, recorded.names))
        parts = split_generators(recipe, in_use)
        for split in (TRAIN, DEV, TEST):
            there = (*engines, *recorded.of_split(split))
            parts[split] = tuple(name for name in parts[split] if name in there)
    if empty := [split for split in (TRAIN, DEV, TEST) if not parts[split]]:
        raise UsageError(
            f"generators: expected at least one engine or folder of fakes for {', '.join(empty)}, received none"
        )
    if unknown := [name for name, _ in recipe.turns if name not in (*engines, *recorded.names)]:
        raise UsageError(f"turns: expected generators in use, received {', '.join(unknown)}")
    if missing := [name for name in recipe.held_out if name not in (*ENGINES, *recorded.of_split(TEST_UNSEEN))]:
        raise UsageError(f"held out: expected test recordings of {', '.join(missing)}, received none")
    turns = dict(recipe.turns)
    often = {split: tuple(name for name in names for _ in range(turns.get(name, 1))) for split, names in parts.items()}
    return {**often, TEST_UNSEEN: recipe.held_out}


def _in_use(recipe: Recipe, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in recipe.held_out)


def split_generators(recipe: Recipe, generators: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Say which generators each split uses, from `GENERATORS_TO_SPLIT` on different ones."""
    if len(generators) < GENERATORS_TO_SPLIT:
        return dict.fromkeys((TRAIN, DEV, TEST), tuple(generators))
    shuffled = np.random.default_rng((recipe.seed, len(generators))).permutation(list(generators)).tolist()
    n_held = len(generators) // GENERATORS_TO_SPLIT
    dev, test, train = shuffled[:n_held], shuffled[n_held : 2 * n_held], shuffled[2 * n_held :]
    return {TRAIN: tuple(sorted(train)), DEV: tuple(sorted(dev)), TEST: tuple(sorted(test))}


def _unique_names(voices: Iterable[Clip]) -> dict[str, Clip]:
    """Map paths, file names and names without suffix to recordings, leaving out names that several have."""
    found: dict[str, dict[str, Clip]] = defaultdict(dict)
    for clip in voices:
        path = PurePosixPath(clip.path)
        for name in {clip.path, path.name, path.stem}:
            found[name][clip.path] = clip
    return {name: next(iter(clips.values())) for name, clips in found.items() if len(clips) == 1}


def _by_speaker(voices: Iterable[Clip]) -> dict[str, list[Take]]:
    """Cut every recording into excerpts, sorted by speaker; refuse a codec that fakes could not pass."""
    found: dict[str, list[Take]] = defaultdict(list)
    for clip in voices:
        if clip.codec:
            fixed_coding(clip.codec)
        if takes := _excerpts(clip):
            found[clip.speaker] += takes
    return dict(found)


def _excerpts(clip: Clip) -> list[Take]:
    """Cut a genuine recording into takes."""
    whole = Take(GENUINE, clip.path, language=clip.language, codec=clip.codec, speaker=clip.speaker)
    return [replace(whole, onset=onset, offset=offset) for onset, offset in _bounds(clip.n_samples)]


def _bounds(n_samples: int) -> list[tuple[int, int]]:
    """Cut `[0, n_samples)` into equal parts of at most `EXCERPT_SAMPLES`; none when it is too short."""
    if n_samples < LEAST_SAMPLES:
        return []
    n_parts = -(-n_samples // EXCERPT_SAMPLES)
    edges = [n_samples * i // n_parts for i in range(n_parts + 1)]
    return list(pairwise(edges))


def _twin(take: Take, generator: str) -> Take:
    return replace(take, kind=TWIN, generator=generator)


def _recorded(fake: Clip, onset: int, offset: int) -> Take:
    return Take(RECORDED, fake.path, onset, offset, fake.generator, language=fake.language, speaker=fake.speaker)


def _spoken(rng: np.random.Generator, engine: Engine, *, like: Take, n_texts: int) -> tuple[Take, ...]:
    """Draw texts in the language of a recording, or in English where the engine does not speak it."""
    language = language_to_speak(like.language, spoken=engine.languages)
    texts = rng.choice(sentences(language), n_texts, replace=False).tolist()
    return tuple(Take(SPOKEN, generator=engine.name, text=text, language=language, codec=like.codec) for text in texts)
