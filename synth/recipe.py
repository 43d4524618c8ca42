"""Which clips a set has: class, split, speaker, generator and takes of each, before anything is rendered.

No speaker is in two of the splits train, dev and test; `test_unseen` has the test speakers and the generators
that were held out. All classes are planned in one way: whatever a hybrid draws, a real clip draws too, down to
the generator whose twins it does not use, so that no speaker or recording belongs to one class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from audio.errors import UsageError
from audio.labels import FAKE, HYBRID, LABELS, REAL
from audio.manifest import SPLITS, Clip
from audio.segments import SAMPLE_RATE
from synth.codecs import Coding
from synth.engines import ENGINES
from synth.engines.command import CommandEngine
from synth.planning import FOREIGN, IN_PLACE, PLAIN, Shape
from synth.shelf import Fill, Shelf
from synth.takes import Take
from synth.treatments import choose_treatment

TRAIN, DEV, TEST, TEST_UNSEEN = SPLITS

SHARES = {TRAIN: 0.76, DEV: 0.08, TEST: 0.08, TEST_UNSEEN: 0.08}
"""Share of the clips in each split. What `test_unseen` does not need, without held-out generators, is trained on."""

PLAIN_SHARE = 0.15
"""Share of real and fake clips that nothing is spliced into; a hybrid is spliced by definition."""

IN_PLACE_SHARE = 0.6
"""Share of spliced clips whose spans say what was there before, wherever some generator makes twins. The rest
get other words."""

SINGLE_SHARE = 0.6
"""Share of spliced clips whose base is one recording; plain clips have no other, for they must have no join."""

REVERSE_SHARE = 0.5
"""Share of hybrids that are fake speech with genuine spans in it."""

FAKE_SHARE = (0.02, 0.85)
"""Share of the speech in a hybrid that is fake: clear of both ends of the label rule in `audio.labels`."""

OTHER_SPEAKER_SHARE = 0.4
"""Share of clips with other words that take them from another speaker of the same split."""

TREATED_SHARE = 0.5
"""Share of spans from the other side that are treated (`synth.treatments`). Spans of the same side always are."""


@dataclass(frozen=True)
class Recipe:
    """What a set is made by; the same recipe and voices give the same set.

    Raises
    ------
    UsageError
        For fewer than one clip, a negative seed, an unknown engine among `engines`, a generator that is both in
        use and held out, a range that is none, or fewer than one span.
    """

    n_clips: int
    seed: int
    engines: tuple[str, ...] = ("world", "griffin-lim")
    held_out: tuple[str, ...] = ("lpc",)
    dev_speakers: tuple[str, ...] = ()
    """Empty: as the voices' manifest says, else drawn by the seed, as are the test speakers."""
    test_speakers: tuple[str, ...] = ()
    channel: bool = True
    """False leaves the random channel out, so that clips are exactly what their splice plans say."""
    commands: tuple[CommandEngine, ...] = ()
    """Engines of one's own, used like `engines`."""
    clip_s: tuple[float, float] = (3.0, 8.0)
    """Shortest and longest clip, in seconds, drawn uniformly."""
    span_s: tuple[float, float] = (0.1, 5.0)
    """Shortest and longest span, in seconds, drawn log-uniformly: from a short word to a sentence."""
    max_spans: int = 6
    channel_share: float = 1.0
    """Share of the clips of each class that go through the channel; the others stay as they were spliced."""
    pair_share: float = 0.0
    """Share of the training clips that come in pairs: a genuine one without a span, and what a generator made of it,
    with the same words, cut and channel. Training can splice those two in endless ways (`model.training.examples`)."""
    speech_power: float = 0.0
    """How much more often a speaker comes whose recordings hold more speech: as their length to this power. 0: all
    speakers come equally often, and a corpus of many drowns a few voices with hours; 1: all recordings do."""
    turns: tuple[tuple[str, int], ...] = ()
    """How often a generator comes while each other one comes once: those that teach most may come more often."""

    def __post_init__(self) -> None:
        for name in ("engines", "held_out", "dev_speakers", "test_speakers", "commands", "clip_s", "span_s"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "turns", tuple((str(name), n) for name, n in dict(self.turns).items()))
        if self.n_clips < 1 or self.seed < 0:
            raise UsageError(f"clips and seed: expected at least 1 and 0, received {self.n_clips} and {self.seed}")
        if unknown := [name for name in self.engines if name not in ENGINES]:
            raise UsageError(f"engines: expected some of {', '.join(ENGINES)}, received {', '.join(unknown)}")
        if both := sorted({*self.engines, *self.command_names} & set(self.held_out)):
            raise UsageError(f"held out: expected no generator that is also trained on, received {', '.join(both)}")
        if both := sorted(set(self.dev_speakers) & set(self.test_speakers)):
            raise UsageError(f"speakers: expected none in both dev and test, received {', '.join(both)}")
        self._check_lengths()

    def _check_lengths(self) -> None:
        for name, least in (("clip_s", 1.0), ("span_s", 0.05)):
            low, high = getattr(self, name)
            if not least <= low <= high:
                raise UsageError(f"{name}: expected {least:g} <= shortest <= longest, received {low:g} and {high:g}")
        if self.max_spans < 1:
            raise UsageError(f"spans in a clip: expected at least 1, received {self.max_spans}")
        for name in ("channel_share", "pair_share", "speech_power"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"{name}: expected 0 to 1, received {getattr(self, name)!r}")
        if wrong := [f"{name} = {n!r}" for name, n in self.turns if type(n) is not int or n < 1]:
            raise UsageError(f"turns: expected whole numbers of 1 or more, received {', '.join(wrong)}")

    @property
    def command_names(self) -> tuple[str, ...]:
        """Names of the engines of one's own."""
        return tuple(command.name for command in self.commands)

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as what JSON can hold; `from_json` turns it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Recipe:
        """Rebuild a recipe; raise `UsageError` when `facts` is none."""
        if unknown := sorted(facts.keys() - {entry.name for entry in fields(cls)}):
            raise UsageError(f"recipe: unknown entry {', '.join(unknown)}")
        try:
            commands = (CommandEngine(c["name"], tuple(c["arguments"])) for c in facts.get("commands", ()))
            return cls(**{**facts, "commands": tuple(commands)})
        except (TypeError, KeyError, ValueError) as error:
            raise UsageError(f"recipe: {error}") from None


@dataclass(frozen=True)
class ClipPlan:
    """One clip to make.

    `base`: the takes that it is laid out from. `twins`: as many, with the same words, for `IN_PLACE`; `others`:
    what other words come from, for `FOREIGN`. `base_fake` and `span_fake` say which of them are fake.
    """

    index: int
    label: str
    split: str
    speaker: str
    generator: str
    shape: Shape
    base_fake: bool
    span_fake: bool
    base: tuple[Take, ...] = field(repr=False)
    twins: tuple[Take, ...] = field(repr=False)
    others: tuple[Take, ...] = field(repr=False)
    pair: int | None = None
    """The index of the genuine clip of its pair; None for a clip that comes alone."""
    cut_like: tuple[Take, ...] = field(default=(), repr=False)
    """The genuine takes by which the fake of a pair is cut; () for its own."""

    @property
    def draw(self) -> int:
        """What its randomness is drawn from beside the seed: the same for both clips of a pair."""
        return self.index if self.pair is None else self.pair

    @property
    def source_clip(self) -> str:
        """The path of the genuine clip that it is a copy of, or ""."""
        return f"{REAL}/{self.pair:06d}.wav" if self.pair is not None and self.base_fake else ""

    @property
    def path(self) -> str:
        """Where the clip goes in its set."""
        return f"{self.label}/{self.index:06d}.wav"

    @property
    def takes(self) -> tuple[Take, ...]:
        """All takes, numbered as the sources of the splice plan."""
        return (*self.base, *self.twins, *self.others)

    @property
    def language(self) -> str:
        """The language of its takes, or "" where they have several."""
        languages = {take.language for take in self.takes}
        return languages.pop() if len(languages) == 1 else ""


def plan_set(
    recipe: Recipe, voices: Sequence[Clip], *, fakes: Sequence[Clip] = (), codings: Sequence[Coding] = ()
) -> list[ClipPlan]:
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
    codings
        What treatments may code with; without any they leave codecs out.

    Returns
    -------
    `recipe.n_clips` plans, a third of each split for each class. Plan i depends on the seed and i, not on the
    plans before it.

    Raises
    ------
    UsageError
        For an unknown speaker or generator, too few speakers, or no generator.
    """
    planner = Planner(recipe, Shelf(recipe, voices, fakes), tuple(codings))
    places = [(split, k) for split, n in split_sizes(recipe).items() for k in range(n)]
    return [planner.plan(index, split=split, place=place) for index, (split, place) in enumerate(places)]


def split_sizes(recipe: Recipe) -> dict[str, int]:
    """Return how many clips each split gets."""
    sizes = {split: int(recipe.n_clips * SHARES[split] + 0.5) for split in (DEV, TEST, TEST_UNSEEN)}
    if not recipe.held_out:
        sizes[TEST_UNSEEN] = 0
    return {TRAIN: max(recipe.n_clips - sum(sizes.values()), 0), **sizes}


@dataclass(frozen=True)
class Planner:
    """Plans clip after clip from one shelf."""

    recipe: Recipe
    shelf: Shelf
    codings: tuple[Coding, ...]

    def plan(self, index: int, *, split: str, place: int) -> ClipPlan:
        """Plan clip `index`, number `place` of its split; classes and generators take turns. Pairs come first."""
        n_paired = self.n_paired if split == TRAIN else 0
        if place < n_paired:
            return self._plan_paired(index, place)
        place -= n_paired
        rng = np.random.default_rng((self.recipe.seed, index))
        label = LABELS[place % len(LABELS)]
        kind, generator = self._draw_kind(rng, label, (split, place // len(LABELS)))
        reverse = bool(rng.random() < REVERSE_SHARE)
        base_fake = label == FAKE or (label == HYBRID and reverse)
        span_fake = label == FAKE or (label == HYBRID and not reverse)
        speaker = self.shelf.draw_speaker(rng, split, generator)
        n_samples = self._draw_length(rng, self.shelf.longest(split, (speaker, generator)))
        fill = Fill(n_samples, single=bool(rng.random() < SINGLE_SHARE) or kind == PLAIN)
        bases = self.shelf.draw_bases(rng, split, (speaker, generator), fill=fill)
        twins: tuple[Take, ...] = ()
        others: tuple[Take, ...] = ()
        if kind == IN_PLACE:
            twins = self._treated(rng, bases[span_fake], always=base_fake == span_fake)
        if kind == FOREIGN:
            words = self._draw_words(rng, split, (speaker, generator), like=bases[0])
            others = self._treated(rng, (words[span_fake],), always=False)
        shape = self._shape(n_samples, kind, reverse=reverse)
        named, base = "" if label == REAL else generator, bases[base_fake]
        return ClipPlan(index, label, split, speaker, named, shape, base_fake, span_fake, base, twins, others)

    @property
    def n_paired(self) -> int:
        """How many of the training clips come in pairs: an even number, none where no generator makes twins."""
        n_pairs = int(self.recipe.pair_share * split_sizes(self.recipe)[TRAIN] / 2)
        return 2 * n_pairs if n_pairs and self.shelf.generators_for(TRAIN, twins=True) else 0

    def _plan_paired(self, index: int, place: int) -> ClipPlan:
        """Plan one clip of a pair: both draw the same, and differ in which take they use."""
        number, is_fake = divmod(place, 2)
        pair = index - is_fake
        rng = np.random.default_rng((self.recipe.seed, pair))
        generators = self.shelf.generators_for(TRAIN, twins=True)
        generator = generators[number % len(generators)]
        who = (self.shelf.draw_speaker(rng, TRAIN, generator), generator)
        n_samples = self._draw_length(rng, self.shelf.longest(TRAIN, who))
        genuine, fake = self.shelf.draw_bases(rng, TRAIN, who, fill=Fill(n_samples, single=True))
        return ClipPlan(
            index,
            FAKE if is_fake else REAL,
            TRAIN,
            who[0],
            who[1] if is_fake else "",
            self._shape(n_samples, PLAIN, reverse=False),
            base_fake=bool(is_fake),
            span_fake=bool(is_fake),
            base=fake if is_fake else genuine,
            twins=(),
            others=(),
            pair=pair,
            cut_like=genuine if is_fake else (),
        )

    def _draw_kind(self, rng: np.random.Generator, label: str, turn: tuple[str, int]) -> tuple[str, str]:
        """Draw the kind of splice, and take the generator whose turn it is in this split.

        Plain clips have the generators, and so the voices and lengths, of those that are spliced.
        """
        split, number = turn
        kind = IN_PLACE if rng.random() < IN_PLACE_SHARE else FOREIGN
        plain = rng.random() < PLAIN_SHARE and label != HYBRID
        generators = self.shelf.generators_for(split, twins=kind == IN_PLACE)
        if kind == IN_PLACE and not generators:
            kind, generators = FOREIGN, self.shelf.generators_for(split, twins=False)
        return PLAIN if plain else kind, generators[number % len(generators)]

    def _draw_words(
        self, rng: np.random.Generator, split: str, who: tuple[str, str], *, like: Sequence[Take]
    ) -> tuple[Take, Take]:
        """Draw other words, of the same speaker or of another, as a genuine take and as a fake one."""
        speaker, generator = who
        if rng.random() < OTHER_SPEAKER_SHARE:
            speaker = self.shelf.draw_speaker(rng, split, generator)
        return self.shelf.draw_other_words(rng, split, (speaker, generator), like=like)

    def _draw_length(self, rng: np.random.Generator, longest: int) -> int:
        """Draw the length of a clip, no longer than what one recording allows: else long clips had always joins."""
        return min(round(float(rng.uniform(*self.recipe.clip_s)) * SAMPLE_RATE), longest)

    def _shape(self, n_samples: int, kind: str, *, reverse: bool) -> Shape:
        """Say what the clip should look like; `reverse` is drawn for every class, and bounds its spans alike."""
        low, high = FAKE_SHARE
        share = (1.0 - high, 1.0 - low) if reverse else (low, high)
        shortest, longest = (round(length_s * SAMPLE_RATE) for length_s in self.recipe.span_s)
        return Shape(n_samples, kind, (shortest, longest), self.recipe.max_spans, share)

    def _treated(self, rng: np.random.Generator, takes: Sequence[Take], *, always: bool) -> tuple[Take, ...]:
        """Give takes that spans are cut from one treatment, or none."""
        if not always and rng.random() >= TREATED_SHARE:
            return tuple(takes)
        return tuple(take.treated(choose_treatment(rng, self.codings)) for take in takes)
