"""The splicer: a seeded plan first, a pure rendering with pydub second, and the fake spans exact to the sample.

A plan is a row of pieces, each an excerpt of one recording, and the joins between neighbours:

    base, genuine   [=========|~~~~~~~~~|=============)           one recording
    twin, fake                [#########)                         the same words, resynthesised
    replace         [=========|#########|=============)           same words, same timing
    insert          [=========|+++++|~~~~~~~~~========)           + other words
    append          [=============================|+++++)
    none            [=================================)

With an overlap, a piece runs on under the beginning of its successor, and the two are mixed there: a sample in
which anything fake sounds is fake. The shape of a plan (operation, spans, joins) is drawn in the same way for
all classes; the class only decides which side, genuine or fake, the base and the spans are taken from. So a
join alone proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from audio.errors import ToolkitError
from audio.labels import FAKE, HYBRID
from audio.segments import SAMPLE_RATE, Segment, union
from synth.pcm import Pcm, from_db, rms_dbfs, to_float

if TYPE_CHECKING:
    from pydub import AudioSegment

NONE, INSERT, REPLACE, APPEND = "none", "insert", "replace", "append"

OPERATIONS = {NONE: 0.15, INSERT: 0.20, REPLACE: 0.50, APPEND: 0.15}
"""Share of each operation. A hybrid is spliced by definition: its shares are those of the other three, so
that 59 % of hybrids from twins are in-place ones."""

HARD, CROSSFADE, OVERLAP_ADD = "hard", "crossfade", "overlap_add"

JOIN_KINDS = (HARD, CROSSFADE, OVERLAP_ADD)
"""Equally likely: a cut; an equal-power crossfade; an overlap-add with raised-cosine weights that sum to 1."""

OVERLAP_SAMPLES = (80, 640)
"""Shortest and longest overlap of a join, 5 to 40 ms, drawn uniformly."""

SPAN_SAMPLES = (4_800, 40_000)
"""Shortest and longest span, 0.3 to 2.5 s, drawn log-uniformly: from a short word to a phrase."""

SHIFT_SAMPLES = (16, 80)
"""By how much a same-class replacement is taken later from its own recording, 1 to 5 ms: without a shift its
joins would vanish, and a join would tell hybrids from the rest."""

EDGE_SAMPLES = 2 * OVERLAP_SAMPLES[1]
"""What a span leaves of a recording on either side: room for two overlaps."""

FAKE_SHARE = (0.10, 0.80)
"""Share of the speech in a hybrid that is fake: clear of both ends of the label rule in `audio.labels`."""

SPEECH_IN_SPAN = 0.6
"""Share of a span that must be speech."""

MIN_SPEECH_SAMPLES = SAMPLE_RATE
"""Speech that a clip must hold, 1 s."""

DRAWS = 100
"""Shapes drawn before an operation is given up for these recordings; most succeed within ten."""

OPERATION_DRAWS = 6
"""Operations drawn before the recordings are given up: other words need a long enough recording of them."""

FRAME_SAMPLES = 320
"""Resolution of the speech marks in a `Strip`, 20 ms."""

MAX_GAIN_DB = 12.0
"""Loudness is corrected by at most this much: more would only raise noise."""

AUDIBLE_DBFS = -60.0
"""Quieter excerpts have no loudness worth matching."""

BS1770_BLOCK_SAMPLES = 6_400
"""ITU-R BS.1770-4 measures in blocks of 400 ms; shorter excerpts are compared by their RMS."""


@dataclass(frozen=True)
class Piece:
    """The excerpt `[onset, offset)`, in samples, of recording number `source`, played with a gain.

    `stands_for` names the recording whose very words it replaces, over the same samples up to a shift of some
    milliseconds; None when it brings words of its own.
    """

    source: int
    onset: int
    offset: int
    fake: bool
    gain_db: float = 0.0
    stands_for: int | None = None

    @property
    def duration(self) -> int:
        """Length in samples."""
        return self.offset - self.onset


@dataclass(frozen=True)
class Join:
    """How a piece meets the next: `overlap_samples` of both are mixed; a hard join mixes none."""

    kind: str
    overlap_samples: int = 0


@dataclass(frozen=True)
class SplicePlan:
    """All that `render` needs: pieces in order, and one join fewer.

    Raises
    ------
    ToolkitError
        For no pieces, a wrong number of joins, an unknown operation or join, an empty piece, or overlaps that
        do not fit into a piece.
    """

    operation: str
    pieces: tuple[Piece, ...]
    joins: tuple[Join, ...]

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS:
            raise ToolkitError(f"operation: expected one of {', '.join(OPERATIONS)}, received {self.operation!r}")
        if len(self.joins) != len(self.pieces) - 1:
            raise ToolkitError(f"joins: expected one fewer than pieces, received {len(self.joins)}")
        for join in self.joins:
            _check_join(join)
        overlaps = [0, *(join.overlap_samples for join in self.joins), 0]
        for i, piece in enumerate(self.pieces):
            if not 0 <= piece.onset < piece.offset or overlaps[i] + overlaps[i + 1] > piece.duration:
                raise ToolkitError(f"piece {i}: expected room for its overlaps {overlaps[i : i + 2]}, received {piece}")

    def to_json(self) -> dict[str, Any]:
        """Return the plan as what JSON can hold; `from_json` turns it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> SplicePlan:
        """Rebuild a plan; raise `ToolkitError` when `facts` is none."""
        try:
            pieces = tuple(Piece(**piece) for piece in facts["pieces"])
            joins = tuple(Join(**join) for join in facts["joins"])
            return cls(facts["operation"], pieces, joins)
        except (KeyError, TypeError) as error:
            raise ToolkitError(f"splice plan: expected operation, pieces and joins: {error}") from None


def _check_join(join: Join) -> None:
    if join.kind not in JOIN_KINDS or join.overlap_samples < 0:
        raise ToolkitError(f"join: expected one of {', '.join(JOIN_KINDS)} and an overlap, received {join}")
    if join.kind == HARD and join.overlap_samples:
        raise ToolkitError(f"join: a hard one has no overlap, received {join}")


# Planning: the shape of a splice, drawn from what is known about the recordings.


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


@dataclass(frozen=True)
class Material:
    """The recordings of a clip: genuine ones and fake ones, the last of each kept for words to add.

    In a plan the genuine recordings are sources 0, 1, ..., the fake ones follow. `twins`: fake recording i
    says the words of genuine recording i at the same samples. A side that the class does not need may be empty.
    """

    genuine: tuple[Strip, ...]
    fake: tuple[Strip, ...]
    twins: bool

    def side(self, fake: bool) -> range:
        """Return the source numbers of one side."""
        n_genuine = len(self.genuine)
        return range(n_genuine, n_genuine + len(self.fake)) if fake else range(n_genuine)

    def strip(self, source: int) -> Strip:
        """Return what is known of a source."""
        return (*self.genuine, *self.fake)[source]


@dataclass(frozen=True)
class _Sides:
    """Which side the base and the spans come from, and what share of the speech the spans may be."""

    base_fake: bool
    span_fake: bool
    span_share: tuple[float, float]


def choose_plan(rng: np.random.Generator, material: Material, *, label: str, n_samples: int) -> SplicePlan:
    """Draw a plan for a clip of class `label`.

    Parameters
    ----------
    rng
        The only source of randomness.
    material
        What there is to splice.
    label
        `REAL`, `FAKE` or `HYBRID`. A hybrid is fake spans in genuine speech or genuine spans in fake speech,
        with equal chances, and the fake share of its speech lies within `FAKE_SHARE`.
    n_samples
        Length aimed at. The clip comes out shorter where the recordings do not suffice, and by what its
        overlaps swallow.

    Returns
    -------
    A plan without gains (see `match_loudness`).

    Raises
    ------
    ToolkitError
        When the recordings hold too little speech, or are too short, for any plan.
    """
    for _ in range(OPERATION_DRAWS):
        operation, sides = _choose_operation(rng, label), _choose_sides(rng, label)
        for _ in range(DRAWS):
            draft = _Draft(rng, material, sides)
            plan = draft.plan(operation, n_samples)
            if plan is not None and _fits(plan, material, draft.spans, sides):
                return plan
    raise ToolkitError(f"no splice found for a {label} clip: its recordings are too short or hold too little speech")


def _choose_operation(rng: np.random.Generator, label: str) -> str:
    shares = np.array([0.0 if (name, label) == (NONE, HYBRID) else share for name, share in OPERATIONS.items()])
    return str(rng.choice(list(OPERATIONS), p=shares / shares.sum()))


def _choose_sides(rng: np.random.Generator, label: str) -> _Sides:
    """Draw the direction of the splice, for every class: the spans of all classes are bounded by its rule."""
    reverse = bool(rng.random() < 0.5)
    low, high = FAKE_SHARE
    share = (1.0 - high, 1.0 - low) if reverse else (low, high)
    if label == HYBRID:
        return _Sides(reverse, not reverse, share)
    return _Sides(label == FAKE, label == FAKE, share)


class _Draft:
    """One attempt at a plan: a list of pieces that an operation edits, then joins between them."""

    def __init__(self, rng: np.random.Generator, material: Material, sides: _Sides) -> None:
        self.rng = rng
        self.material = material
        self.sides = sides
        self.pieces: list[Piece] = []
        self.spans: set[Piece] = set()

    def plan(self, operation: str, n_samples: int) -> SplicePlan | None:
        """Return the plan, or None when the draw does not work out."""
        span_samples = self._span_samples()
        added = span_samples if operation in (INSERT, APPEND) else 0
        self._lay_base(max(n_samples - added, SPAN_SAMPLES[0]))
        if not self._edit(operation, span_samples):
            return None
        return self._joined(operation)

    def _edit(self, operation: str, span_samples: int) -> bool:
        if operation == INSERT:
            return self._insert(span_samples)
        if operation == APPEND:
            return self._append(span_samples)
        if operation == REPLACE:
            return self._replace_some(span_samples)
        return True

    def _span_samples(self) -> int:
        low, high = np.log(SPAN_SAMPLES)
        return round(float(np.exp(self.rng.uniform(low, high))))

    def _lay_base(self, n_samples: int) -> None:
        """Put recordings of the base side in a row, the last one cut, until `n_samples` are reached."""
        *sources, _ = self.material.side(self.sides.base_fake)
        missing = n_samples
        for source in sources:
            length = self.material.strip(source).n_samples
            used = min(length, missing)
            # A recording that is longer than the clip shows any part of itself.
            onset = int(self.rng.integers(length - used + 1)) if used == n_samples else 0
            if used >= SPAN_SAMPLES[0] or not self.pieces:
                self.pieces.append(Piece(source, onset, onset + used, self.sides.base_fake))
            missing -= used
            if missing < SPAN_SAMPLES[0]:
                return

    def _insert(self, span_samples: int) -> bool:
        place = self._draw_piece(2 * EDGE_SAMPLES + 1)
        span = self._other_words(span_samples)
        if place is None or span is None:
            return False
        whole = self.pieces[place]
        cut = int(self.rng.integers(whole.onset + EDGE_SAMPLES, whole.offset - EDGE_SAMPLES))
        self.pieces[place : place + 1] = [replace(whole, offset=cut), span, replace(whole, onset=cut)]
        return True

    def _append(self, span_samples: int) -> bool:
        span = self._other_words(span_samples)
        if span is not None:
            self.pieces.append(span)
        return span is not None

    def _replace_some(self, span_samples: int) -> bool:
        """Replace one to three spans; each further one is half as likely."""
        if not self._replace(span_samples):
            return False
        for _ in range(min(int(self.rng.geometric(0.5)), 3) - 1):
            self._replace(self._span_samples())
        return True

    def _replace(self, span_samples: int) -> bool:
        place = self._draw_piece(span_samples + 2 * EDGE_SAMPLES)
        if place is None:
            return False
        whole = self.pieces[place]
        onset = int(self.rng.integers(whole.onset + EDGE_SAMPLES, whole.offset - EDGE_SAMPLES - span_samples + 1))
        span = self._same_words(replace(whole, onset=onset, offset=onset + span_samples))
        if span is None:
            return False
        before, after = replace(whole, offset=onset), replace(whole, onset=onset + span_samples)
        self.pieces[place : place + 1] = [before, span, after]
        return True

    def _same_words(self, part: Piece) -> Piece | None:
        """Return what takes the place of a part of the base: its twin, itself later, or else other words."""
        if self.sides.base_fake == self.sides.span_fake:
            shift = int(self.rng.integers(*SHIFT_SAMPLES, endpoint=True))
            span = replace(part, onset=part.onset + shift, offset=part.offset + shift, stands_for=part.source)
        elif self.material.twins:
            sides = self.material.side(self.sides.base_fake), self.material.side(self.sides.span_fake)
            twin = sides[1][part.source - sides[0].start]
            span = replace(part, source=twin, fake=self.sides.span_fake, stands_for=part.source)
        else:
            return self._other_words(part.duration)
        if self._speech(span) < SPEECH_IN_SPAN * span.duration:
            return None
        self.spans.add(span)
        return span

    def _other_words(self, span_samples: int) -> Piece | None:
        """Cut a span of speech out of the recording kept for it; None when the draw is not speech enough."""
        source = self.material.side(self.sides.span_fake)[-1]
        length = self.material.strip(source).n_samples
        if length < span_samples:
            return None
        onset = int(self.rng.integers(length - span_samples + 1))
        span = Piece(source, onset, onset + span_samples, self.sides.span_fake)
        if self._speech(span) < SPEECH_IN_SPAN * span_samples:
            return None
        self.spans.add(span)
        return span

    def _speech(self, piece: Piece) -> int:
        return self.material.strip(piece.source).speech_samples(piece.onset, piece.offset)

    def _draw_piece(self, least_samples: int) -> int | None:
        """Draw a piece of the base that is long enough, in proportion to its length; None without one."""
        lengths = np.array(
            [
                float(piece.duration) if piece.duration >= least_samples and piece not in self.spans else 0.0
                for piece in self.pieces
            ]
        )
        return int(self.rng.choice(lengths.size, p=lengths / lengths.sum())) if lengths.any() else None

    def _joined(self, operation: str) -> SplicePlan | None:
        """Draw the joins; each piece runs on under its successor as far as its recording does."""
        joins = [self._draw_join() for _ in self.pieces[1:]]
        for i, join in enumerate(joins):
            piece = self.pieces[i]
            room = self.material.strip(piece.source).n_samples - piece.offset
            longer = replace(piece, offset=piece.offset + min(join.overlap_samples, room))
            if piece in self.spans:
                self.spans.add(longer)
            self.pieces[i] = longer
        try:
            return SplicePlan(operation, tuple(self.pieces), tuple(joins))
        except ToolkitError:
            return None

    def _draw_join(self) -> Join:
        kind = JOIN_KINDS[self.rng.integers(len(JOIN_KINDS))]
        overlap = int(self.rng.integers(*OVERLAP_SAMPLES, endpoint=True))
        return Join(kind, 0 if kind == HARD else overlap)


def _fits(plan: SplicePlan, material: Material, spans: set[Piece], sides: _Sides) -> bool:
    """Tell whether there is speech enough, and the spans are the share of it that the rule allows."""
    speech = {p: material.strip(p.source).speech_samples(p.onset, p.offset) for p in plan.pieces}
    total = sum(speech.values())
    if total < MIN_SPEECH_SAMPLES or plan.operation == NONE:
        return total >= MIN_SPEECH_SAMPLES
    low, high = sides.span_share
    return low <= sum(n for piece, n in speech.items() if piece in spans) / total <= high


# Loudness: every piece is brought to that of the recording the clip begins with.


def match_loudness(plan: SplicePlan, sources: Mapping[int, Pcm]) -> SplicePlan:
    """Return `plan` with gains that make neighbours equally loud.

    The first recording sets the level. A piece that stands for words of the base gets the level of those very
    words; any other one the level of the first recording. Loudness is ITU-R BS.1770 (pyloudnorm), or the RMS
    for excerpts shorter than its 400 ms blocks.

    Parameters
    ----------
    plan
        A plan, whose gains are replaced.
    sources
        int16 (n,) of each source that the plan mentions.

    Returns
    -------
    The plan with gains within `MAX_GAIN_DB`, in steps of 0.01 dB, none of which makes its piece clip.
    """
    anchor = plan.pieces[0].source
    needed = {s for piece in plan.pieces for s in (piece.source, piece.stands_for) if s is not None}
    gains_db = {source: _gain_db(sources[anchor], sources[source]) for source in needed}
    return replace(plan, pieces=tuple(_levelled(piece, sources, gains_db=gains_db) for piece in plan.pieces))


def _levelled(piece: Piece, sources: Mapping[int, Pcm], *, gains_db: Mapping[int, float]) -> Piece:
    """Give a piece the gain of its recording, or what makes it as loud as the words that it stands for."""
    if piece.stands_for in (None, piece.source):
        return replace(piece, gain_db=gains_db[piece.source])
    span = slice(piece.onset, piece.offset)
    own, replaced = sources[piece.source][span], sources[piece.stands_for][span]
    return replace(piece, gain_db=_gain_db(replaced, own, further_db=gains_db[piece.stands_for]))


def _gain_db(wanted: Pcm, given: Pcm, *, further_db: float = 0.0) -> float:
    """Return the gain that makes `given` as loud as `wanted`, and louder by `further_db`, within the bounds."""
    peak = max(int(np.abs(given.astype(np.int32)).max(initial=0)), 1)
    headroom_db = 20.0 * float(np.log10(32_768 / peak))
    gain_db = min(_difference_db(wanted, given) + further_db, MAX_GAIN_DB, headroom_db)
    return float(np.floor(max(gain_db, -MAX_GAIN_DB) * 100.0) / 100.0)


def _difference_db(wanted: Pcm, given: Pcm) -> float:
    """Return by how many dB `given` must be raised to be as loud as `wanted`; 0 when either is silence."""
    if wanted is given:
        return 0.0
    first, second = to_float(wanted), to_float(given)
    if min(rms_dbfs(first), rms_dbfs(second)) < AUDIBLE_DBFS:
        return 0.0
    if min(first.size, second.size) < BS1770_BLOCK_SAMPLES:
        return rms_dbfs(first) - rms_dbfs(second)
    return _loudness_lufs(first) - _loudness_lufs(second)


def _loudness_lufs(samples: npt.NDArray[np.float32]) -> float:
    """Return the integrated loudness; audible excerpts whose every block is gated away count by their RMS."""
    import pyloudnorm

    loudness = float(pyloudnorm.Meter(SAMPLE_RATE).integrated_loudness(samples))
    return loudness if np.isfinite(loudness) else rms_dbfs(samples)


# Rendering: no randomness, nothing but the plan and the samples.


def render(plan: SplicePlan, sources: Mapping[int, Pcm]) -> tuple[Pcm, tuple[Segment, ...]]:
    """Play a plan.

    Parameters
    ----------
    plan
        What to play.
    sources
        int16 (n,) of each source that the plan mentions, 16 kHz mono.

    Returns
    -------
    samples
        int16 (n,): the sum of the pieces' lengths, less the overlaps.
    segments
        The fake spans, sorted and merged. A sample is in one when a fake piece has a share in it.

    Raises
    ------
    ToolkitError
        When a source is missing or shorter than a piece of it.
    """
    played = _cut(plan.pieces[0], sources)
    fakes = [(plan.pieces[0], 0)]
    for piece, join in zip(plan.pieces[1:], plan.joins, strict=True):
        start = int(played.frame_count()) - join.overlap_samples
        played = _join(played, _cut(piece, sources), join)
        fakes.append((piece, start))
    spans = [Segment(start, start + piece.duration, FAKE) for piece, start in fakes if piece.fake]
    return _samples(played), tuple(union(spans))


def fade_out(kind: str, overlap_samples: int) -> npt.NDArray[np.float64]:
    """Return the weights (overlap_samples,) of the outgoing piece; reversed, they are the incoming one's.

    Equal power: squares sum to 1, which keeps the level of unrelated sounds. Overlap-add: weights sum to 1,
    which keeps a waveform that goes on. Both are taken at the middle of each sample.
    """
    angle = (np.arange(overlap_samples) + 0.5) / max(overlap_samples, 1) * (np.pi / 2)
    return np.cos(angle) if kind == CROSSFADE else np.cos(angle) ** 2


def _cut(piece: Piece, sources: Mapping[int, Pcm]) -> AudioSegment:
    """Cut a piece out of its recording and apply its gain."""
    recording = sources.get(piece.source)
    if recording is None or recording.size < piece.offset:
        length = "none" if recording is None else f"{recording.size} samples"
        raise ToolkitError(f"source {piece.source}: expected at least {piece.offset} samples, received {length}")
    cut = _segment(recording).get_sample_slice(piece.onset, piece.offset)
    return cut if piece.gain_db == 0.0 else _segment(_rounded(_samples(cut) * from_db(piece.gain_db)))


def _join(played: AudioSegment, piece: AudioSegment, join: Join) -> AudioSegment:
    """Concatenate, with the overlap mixed in NumPy: pydub's own fades are counted in milliseconds."""
    n_overlap = join.overlap_samples
    if n_overlap == 0:
        return played + piece
    kept = int(played.frame_count()) - n_overlap
    weights = fade_out(join.kind, n_overlap)
    outgoing = _samples(played.get_sample_slice(kept)) * weights
    incoming = _samples(piece.get_sample_slice(0, n_overlap)) * weights[::-1]
    mixed = _segment(_rounded(outgoing + incoming))
    return played.get_sample_slice(0, kept) + mixed + piece.get_sample_slice(n_overlap)


def _rounded(samples: npt.NDArray[np.floating]) -> Pcm:
    """Round sums of int16 steps to int16."""
    return np.clip(np.rint(samples), -32_768, 32_767).astype(np.int16)


def _segment(samples: Pcm) -> AudioSegment:
    audio_segment = _load_pydub()
    return audio_segment(data=samples.astype("<i2").tobytes(), sample_width=2, frame_rate=SAMPLE_RATE, channels=1)


def _samples(segment: AudioSegment) -> Pcm:
    return np.frombuffer(segment.raw_data, dtype="<i2").astype(np.int16)


def _load_pydub() -> type[AudioSegment]:
    """Import pydub without its warning that ffmpeg is not on PATH: nothing here needs it to find one."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pydub import AudioSegment
    return AudioSegment
