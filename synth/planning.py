"""Splice plans drawn at random: which spans, by which operation, joined where and how.

    base            [=========|~~~~~~~~~|=============)
    replace, twin   [=========|#########|=============)           the same words at the same time
    replace         [=========|++++++|=============)              other words in their place
    insert          [=========|+++++|~~~~~~~~~========)
    append          [=============================|+++++)         and prepend, at the other end
    delete          [=========|=============)                     taken out, and the gap closed

The shape of a plan is drawn in the same way for all classes; only the sides, genuine or fake, that base and
spans are taken from differ. So neither a join nor the number, place or length of spans tells a class. Drawing
needs the lengths of the recordings and where they hold speech; `synth.seams` listens to them afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from audio.errors import ToolkitError
from audio.segments import SAMPLE_RATE
from synth.splice import (
    APPEND,
    AS_IS,
    BS1770,
    DELETE,
    FREE,
    HARD,
    INSERT,
    JOIN_KINDS,
    PAUSE,
    POINTS,
    PREPEND,
    REPLACE,
    Join,
    Piece,
    SplicePlan,
)

PLAIN, IN_PLACE, FOREIGN = "plain", "in_place", "foreign"

KINDS = (PLAIN, IN_PLACE, FOREIGN)
"""No span; spans that say what was there before (twins); spans with words of their own."""

FOREIGN_OPERATIONS = {REPLACE: 0.3, INSERT: 0.3, APPEND: 0.2, PREPEND: 0.2}
"""Share of each operation that brings words of its own."""

DELETE_SHARE = 0.15
"""Share of clips, of every kind, that something is taken out of."""

REPLACED_LENGTH = (0.7, 1.4)
"""How much of the base makes room for other words, as a multiple of their length: words differ."""

AS_IS_SHARE = 0.2
"""Share of clips whose pieces keep the loudness that they came with."""

TILT_SHARE = 0.2
"""Share of clips whose spans get the spectral tilt of what surrounds them."""

OVERLAP_SAMPLES = (16, 1_280)
"""Shortest and longest overlap of a join that is not hard, 1 to 80 ms, drawn uniformly."""

SILENCE_SAMPLES = 800
"""Most silence that is left before and behind the speech of a recording, 50 ms, drawn uniformly: genuine speech is
recorded with more of it than what synthesisers make, and that alone would tell them apart."""

LEAST_PIECE_SAMPLES = 800
"""What is left of the base between two operations, 50 ms: shorter than any syllable."""

LEAST_BASE_SAMPLES = SAMPLE_RATE // 2
"""Shortest base that anything is spliced into."""

PAUSE_WITHIN_SAMPLES = 4_000
"""How far a cut is moved to reach a pause, 0.25 s: about a syllable."""

SPEECH_IN_SPAN = 0.5
"""Share of a span that must be speech."""

LEAST_SPEECH_SAMPLES = SAMPLE_RATE
"""Speech that a clip must hold, 1 s."""

DRAWS = 300
"""Shapes drawn before a set of recordings is given up; most succeed within five."""

FRAME_SAMPLES = 320
"""Resolution of the speech marks in a `Strip`, 20 ms."""


@dataclass(frozen=True)
class Strip:
    """What a plan needs to know of a recording: its length in samples, and which 20 ms frames are speech."""

    n_samples: int
    speech: npt.NDArray[np.bool_]

    def speech_samples(self, onset: int, offset: int) -> int:
        """Return how many samples of `[onset, offset)` lie in speech frames."""
        first, last = onset // FRAME_SAMPLES, -(-offset // FRAME_SAMPLES)
        starts = np.arange(first, last) * FRAME_SAMPLES
        covered = np.minimum(starts + FRAME_SAMPLES, offset) - np.maximum(starts, onset)
        marks = self.speech[first:last]
        return int(np.sum(covered[: marks.size][marks]))

    def spoken(self) -> tuple[int, int]:
        """Return where speech begins and where it ends, in samples; (0, 0) without any."""
        marks = np.flatnonzero(self.speech)
        if not marks.size:
            return 0, 0
        return int(marks[0]) * FRAME_SAMPLES, min(int(marks[-1] + 1) * FRAME_SAMPLES, self.n_samples)

    def pause_near(self, sample: int) -> int | None:
        """Return the middle of the frame without speech that is nearest, or None when none is near."""
        middles = np.flatnonzero(~self.speech) * FRAME_SAMPLES + FRAME_SAMPLES // 2
        near = middles[(np.abs(middles - sample) <= PAUSE_WITHIN_SAMPLES) & (middles < self.n_samples)]
        return int(near[np.argmin(np.abs(near - sample))]) if near.size else None


@dataclass(frozen=True)
class Material:
    """The recordings of a clip, in a plan numbered in this order.

    `base`: what is laid out. `twins`: as many, each saying the words of the base recording at the same place at
    the same samples; or none. `others`: what other words are cut from; or none.
    """

    base: tuple[Strip, ...]
    twins: tuple[Strip, ...] = ()
    others: tuple[Strip, ...] = ()
    base_fake: bool = False
    span_fake: bool = False

    def strip(self, source: int) -> Strip:
        """Return what is known of a source."""
        return (*self.base, *self.twins, *self.others)[source]


@dataclass(frozen=True)
class Shape:
    """What a plan should look like.

    Parameters
    ----------
    n_samples
        Length aimed at. The clip comes out shorter where the recordings do not suffice, and by what its overlaps
        swallow where they end.
    kind
        One of `KINDS`.
    span_samples
        Shortest and longest span, drawn log-uniformly.
    max_spans
        Most spans; each further one is half as likely.
    speech_share
        What share of the speech the spans may be, so that the class of the clip is what it was meant to be.
    """

    n_samples: int
    kind: str
    span_samples: tuple[int, int] = (1_600, 80_000)
    max_spans: int = 6
    speech_share: tuple[float, float] = (0.02, 0.85)


def choose_plan(rng: np.random.Generator, material: Material, shape: Shape) -> SplicePlan:
    """Draw a plan for a clip.

    Parameters
    ----------
    rng
        The only source of randomness.
    material
        What there is to splice; with twins for `IN_PLACE`, with others for `FOREIGN`.
    shape
        What it should become.

    Returns
    -------
    A plan without gains and tilts, its joins where they were drawn (see `synth.seams`).

    Raises
    ------
    ToolkitError
        When the recordings hold too little speech, or are too short, for any plan.
    """
    for _ in range(DRAWS):
        plan = _Draft(rng, material, shape).plan()
        if plan is not None and _fits(plan, material, shape):
            return plan
    raise ToolkitError(f"no {shape.kind} splice found: the recordings are too short or hold too little speech")


class _Draft:
    """One attempt: a row of pieces that operations edit, the points of the joins between them, then the joins."""

    def __init__(self, rng: np.random.Generator, material: Material, shape: Shape) -> None:
        self.rng = rng
        self.material = material
        self.shape = shape
        self.pieces: list[Piece] = []
        self.points: list[str] = []

    def plan(self) -> SplicePlan | None:
        """Return the plan, or None when the draw does not work out."""
        edits = self._draw_edits()
        grown = sum(self._growth(operation) * length for operation, length in edits)
        self._lay_base(max(self.shape.n_samples - grown, LEAST_BASE_SAMPLES))
        if not self.pieces:
            return None
        done = tuple(operation for operation, length in edits if self._edit(operation, length))
        if self.shape.kind != PLAIN and not any(piece.span for piece in self.pieces):
            return None
        if any(operation == DELETE for operation, _ in edits) and DELETE not in done:
            return None  # the base was laid out longer for it
        return self._joined(done)

    def _draw_edits(self) -> list[tuple[str, int]]:
        """Draw operations and the lengths of their spans, in samples, no more than the clip is long."""
        edits = [(DELETE, self._draw_length())] if self.rng.random() < DELETE_SHARE else []
        if self.shape.kind == PLAIN:
            return edits
        room = self.shape.n_samples - LEAST_BASE_SAMPLES
        for _ in range(min(int(self.rng.geometric(0.5)), self.shape.max_spans)):
            operation, length = self._draw_operation(), self._draw_length()
            room -= self._growth(operation) * length
            if room >= 0:
                edits.append((operation, length))
        return edits

    def _draw_operation(self) -> str:
        if self.shape.kind == IN_PLACE:
            return REPLACE
        return str(self.rng.choice(list(FOREIGN_OPERATIONS), p=list(FOREIGN_OPERATIONS.values())))

    def _draw_length(self) -> int:
        low, high = np.log(self.shape.span_samples)
        return round(float(np.exp(self.rng.uniform(low, high))))

    @staticmethod
    def _growth(operation: str) -> int:
        """Return whether an operation makes a recording longer, shorter, or neither."""
        return {DELETE: -1, REPLACE: 0}.get(operation, 1)

    def _lay_base(self, n_samples: int) -> None:
        """Put recordings of the base in a row, the last one cut, until `n_samples` are reached."""
        missing = n_samples
        for source, strip in enumerate(self.material.base):
            first, last = strip.spoken()
            first = max(first - int(self.rng.integers(SILENCE_SAMPLES)), 0)
            last = min(last + int(self.rng.integers(SILENCE_SAMPLES)), strip.n_samples)
            used = min(last - first, missing)
            # A recording that is longer than the clip shows any part of itself.
            onset = first + (int(self.rng.integers(last - first - used + 1)) if used == n_samples else 0)
            if used >= LEAST_BASE_SAMPLES or (used > 0 and not self.pieces):
                self.pieces.append(Piece(source, onset, onset + used, self.material.base_fake))
            missing -= used
            if missing < LEAST_BASE_SAMPLES:
                break
        self.points = [FREE] * max(len(self.pieces) - 1, 0)

    def _edit(self, operation: str, length: int) -> bool:
        point = POINTS[self.rng.integers(len(POINTS))]
        if operation == DELETE:
            return self._cut_in(length, None, point)
        if operation == REPLACE and self.shape.kind == IN_PLACE:
            return self._replace_by_twin(length, point)
        span, point = self._other_words(length, point)
        if span is None:
            return False
        if operation in (APPEND, PREPEND):
            return self._put_beside(0 if operation == PREPEND else len(self.pieces), span, point)
        removed = round(length * self.rng.uniform(*REPLACED_LENGTH)) if operation == REPLACE else 0
        return self._cut_in(removed, span, point)

    def _put_beside(self, place: int, span: Piece, point: str) -> bool:
        self.pieces.insert(place, span)
        self.points.insert(place and place - 1, point)
        return True

    def _replace_by_twin(self, length: int, point: str) -> bool:
        found = self._draw_stretch(length, point)
        if found is None:
            return False
        place, (onset, offset), point = found
        whole = self.pieces[place]
        twin = len(self.material.base) + whole.source
        span = Piece(twin, onset, offset, self.material.span_fake, stands_for=whole.source, span=True)
        if self._is_quiet(span):
            return False
        self._put_in(place, (onset, offset), span, point=point)
        return True

    def _cut_in(self, removed: int, span: Piece | None, point: str) -> bool:
        """Take a stretch out of the base, perhaps of no length, and put a span there, perhaps none."""
        found = self._draw_stretch(removed, point)
        if found is not None:
            place, stretch, point = found
            self._put_in(place, stretch, span, point=point)
        return found is not None

    def _put_in(self, place: int, stretch: tuple[int, int], span: Piece | None, *, point: str) -> None:
        whole = self.pieces[place]
        before, after = replace(whole, offset=stretch[0]), replace(whole, onset=stretch[1])
        between = [] if span is None else [span]
        self.pieces[place : place + 1] = [before, *between, after]
        self.points[place:place] = [point] * (1 + len(between))

    def _draw_stretch(self, length: int, point: str) -> tuple[int, tuple[int, int], str] | None:
        """Draw a piece of the base, a stretch of its source, and say what was found there; None without room."""
        place = self._draw_piece(length + 2 * LEAST_PIECE_SAMPLES)
        if place is None:
            return None
        piece = self.pieces[place]
        first, last = piece.onset + LEAST_PIECE_SAMPLES, piece.offset - LEAST_PIECE_SAMPLES
        onset = int(self.rng.integers(first, last - length + 1))
        drawn = (onset, onset + length)
        moved = self._at_pauses(piece.source, drawn) if point == PAUSE else None
        if moved is not None and first <= moved[0] <= moved[1] <= last:
            return place, moved, PAUSE
        return place, drawn, FREE if point == PAUSE else point

    def _other_words(self, length: int, point: str) -> tuple[Piece | None, str]:
        """Cut a span out of a recording kept for it; None when the draw is not speech enough."""
        first = len(self.material.base) + len(self.material.twins)
        source = first + int(self.rng.integers(len(self.material.others)))
        n_samples = self.material.strip(source).n_samples
        if n_samples < length:
            return None, point
        onset = int(self.rng.integers(n_samples - length + 1))
        moved = self._at_pauses(source, (onset, onset + length)) if point == PAUSE else None
        found = FREE if point == PAUSE and moved is None else point
        span = Piece(source, *(moved or (onset, onset + length)), self.material.span_fake, span=True)
        return (None if self._is_quiet(span) else span), found

    def _at_pauses(self, source: int, stretch: tuple[int, int]) -> tuple[int, int] | None:
        """Move both ends of a stretch to the nearest pauses; None when an end has none near, or nothing remains."""
        strip = self.material.strip(source)
        onset, offset = (strip.pause_near(sample) for sample in stretch)
        if onset is None or offset is None:
            return None
        shortest = min(self.shape.span_samples[0], stretch[1] - stretch[0])
        return (onset, offset) if offset - onset >= shortest else None

    def _is_quiet(self, span: Piece) -> bool:
        speech = self.material.strip(span.source).speech_samples(span.onset, span.offset)
        return speech < SPEECH_IN_SPAN * span.duration

    def _draw_piece(self, least_samples: int) -> int | None:
        """Draw a piece of the base that is long enough, in proportion to its length; None without one."""
        room = [0.0 if piece.span or piece.duration < least_samples else piece.duration for piece in self.pieces]
        lengths = np.array(room, dtype=np.float64)
        return int(self.rng.choice(lengths.size, p=lengths / lengths.sum())) if lengths.any() else None

    def _joined(self, operations: tuple[str, ...]) -> SplicePlan | None:
        """Draw the joins; each piece runs on under its successor as far as its recording does."""
        joins = [self._draw_join(i) for i in range(len(self.points))]
        for i, join in enumerate(joins):
            piece = self.pieces[i]
            room = self.material.strip(piece.source).n_samples - piece.offset
            self.pieces[i] = replace(piece, offset=piece.offset + min(join.overlap_samples, room))
        loudness = AS_IS if self.rng.random() < AS_IS_SHARE else BS1770
        tilt = bool(self.rng.random() < TILT_SHARE)
        try:
            return SplicePlan(operations, tuple(self.pieces), tuple(joins), loudness, tilt)
        except ToolkitError:
            return None

    def _draw_join(self, place: int) -> Join:
        """Draw how piece `place` meets the next; the shorter of the two gives at most half of itself."""
        kind = JOIN_KINDS[self.rng.integers(len(JOIN_KINDS))]
        overlap = int(self.rng.integers(*OVERLAP_SAMPLES, endpoint=True))
        room = min(piece.duration for piece in self.pieces[place : place + 2]) // 2
        return Join(kind, 0 if kind == HARD else min(overlap, room), self.points[place])


def _fits(plan: SplicePlan, material: Material, shape: Shape) -> bool:
    """Tell whether there is speech enough, and the spans are the share of it that the class allows."""
    speech = [material.strip(p.source).speech_samples(p.onset, p.offset) for p in plan.pieces]
    total = sum(speech)
    if total < LEAST_SPEECH_SAMPLES or shape.kind == PLAIN:
        return total >= LEAST_SPEECH_SAMPLES
    spans = sum(n for piece, n in zip(plan.pieces, speech, strict=True) if piece.span)
    low, high = shape.speech_share
    return low <= spans / total <= high
