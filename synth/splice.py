"""The splicer: a plan says which excerpts follow each other and how they are joined; rendering it is pure.

A plan is a row of pieces, each an excerpt of one source, and the joins between neighbours. With an overlap, a
piece runs on under the beginning of its successor, and the two are mixed there:

    pieces    [========|~~]            joins    a hard one mixes nothing
                       [##############|~~]      `~` both sound, weighted by the join's curve
                                      [=====]
    truth              |-----fake--------|

A sample in which anything fake sounds is fake. `synth.planning` draws plans, `synth.seams` fits their joins to
the waveforms, and the plan that the manifest keeps is what was played: `render` needs nothing else, and gives
the same samples again. The cutting and pasting is pydub's; curves are ours, because pydub counts in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from audio.errors import ToolkitError
from audio.labels import FAKE
from audio.segments import SAMPLE_RATE, Segment, union
from synth.pcm import Pcm, from_db, weighted

if TYPE_CHECKING:
    from pydub import AudioSegment

INSERT, REPLACE, APPEND, PREPEND, DELETE = "insert", "replace", "append", "prepend", "delete"

OPERATIONS = (INSERT, REPLACE, APPEND, PREPEND, DELETE)
"""What can be done to a recording: words put in, put in place of others, added at either end, or taken out."""

HARD, LINEAR, EQUAL_POWER, COSINE, OVERLAP_ADD = "hard", "linear", "equal_power", "cosine", "raised_overlap_add"

JOIN_KINDS = (HARD, LINEAR, EQUAL_POWER, COSINE, OVERLAP_ADD)
"""A cut, and the curves of `fade_out`."""

FREE, ZERO, PAUSE, CORRELATED = "free", "zero", "pause", "correlated"

POINTS = (FREE, ZERO, PAUSE, CORRELATED)
"""How the place of a join was found: anywhere, at zero crossings, in a pause, where the waveforms fit."""

BS1770, AS_IS = "bs1770", "as_is"

LOUDNESSES = (BS1770, AS_IS)
"""Whether the pieces were brought to one loudness (ITU-R BS.1770) or deliberately left as they are."""

PEDESTAL = 0.08 / 1.08
"""Where the raised overlap-add begins and ends: halves of a Hamming window, 0.54 - 0.46 cos, scaled to sum to 1."""

TILT_PIVOT_HZ = 1_000.0
"""Where a tilt changes nothing."""

TILT_RANGE_HZ = (100.0, 7_500.0)
"""A tilt goes no further outside this range."""

TILT_CONTEXT_SAMPLES = 512
"""What is filtered beside a piece, 32 ms either side, so that the filter has no edge inside it."""

_FIRST_VERSION = {"crossfade": EQUAL_POWER, "overlap_add": COSINE, HARD: HARD}
"""What sets made by version 0.1 called their joins."""


@dataclass(frozen=True)
class Piece:
    """The excerpt `[onset, offset)`, in samples, of source number `source`, as it is played.

    `span`: an operation put it there; the others are what was there before. `tilt_db` leans the spectrum, in dB
    per octave. `stands_for` names the source whose very words it replaces, over the same samples up to a shift of
    some milliseconds; None when it brings words of its own.
    """

    source: int
    onset: int
    offset: int
    fake: bool
    gain_db: float = 0.0
    tilt_db: float = 0.0
    stands_for: int | None = None
    span: bool = False

    @property
    def duration(self) -> int:
        """Length in samples."""
        return self.offset - self.onset


@dataclass(frozen=True)
class Join:
    """How a piece meets the next: `overlap_samples` of both are mixed; a hard join mixes none."""

    kind: str
    overlap_samples: int = 0
    point: str = FREE


@dataclass(frozen=True)
class SplicePlan:
    """All that `render` needs: pieces in order, and one join fewer; and what was done, for those who read it.

    `operations` are in the order in which they were done; a recording may consist of several sources in a row
    without any.

    Raises
    ------
    ToolkitError
        For no pieces, a wrong number of joins, an unknown operation, join, point or loudness, an empty piece,
        or overlaps that do not fit into a piece.
    """

    operations: tuple[str, ...]
    pieces: tuple[Piece, ...]
    joins: tuple[Join, ...]
    loudness: str = AS_IS
    tilt: bool = False
    """Whether spans were given the spectral tilt of what surrounds them."""

    def __post_init__(self) -> None:
        for operation in self.operations:
            _check_word("operation", operation, OPERATIONS)
        _check_word("loudness", self.loudness, LOUDNESSES)
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
        """Rebuild a plan, also one of version 0.1; raise `ToolkitError` when `facts` is none."""
        try:
            if "operation" in facts:
                facts = _from_first_version(facts)
            pieces = tuple(Piece(**piece) for piece in facts["pieces"])
            joins = tuple(Join(**join) for join in facts["joins"])
            return cls(tuple(facts["operations"]), pieces, joins, facts["loudness"], facts["tilt"])
        except (KeyError, TypeError) as error:
            raise ToolkitError(f"splice plan: expected operations, pieces and joins: {error}") from None


def _from_first_version(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Say in today's words what version 0.1 wrote: one operation, joins by other names, loudness always matched."""
    operations = [] if facts["operation"] == "none" else [facts["operation"]]
    joins = [{**join, "kind": _FIRST_VERSION[join["kind"]]} for join in facts["joins"]]
    return {"operations": operations, "pieces": facts["pieces"], "joins": joins, "loudness": BS1770, "tilt": False}


def _check_word(what: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        raise ToolkitError(f"{what}: expected one of {', '.join(known)}, received {word!r}")


def _check_join(join: Join) -> None:
    _check_word("join", join.kind, JOIN_KINDS)
    _check_word("point of a join", join.point, POINTS)
    if join.overlap_samples < 0 or (join.kind == HARD and join.overlap_samples):
        raise ToolkitError(f"join: expected an overlap of 0 or more, of 0 when hard, received {join}")


def starts(plan: SplicePlan) -> list[int]:
    """Return at which sample of the clip each piece begins to sound."""
    found = [0]
    for piece, join in zip(plan.pieces, plan.joins, strict=False):
        found.append(found[-1] + piece.duration - join.overlap_samples)
    return found


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
    for piece, join in zip(plan.pieces[1:], plan.joins, strict=True):
        played = _join(played, _cut(piece, sources), join)
    placed = zip(plan.pieces, starts(plan), strict=True)
    spans = [Segment(start, start + piece.duration, FAKE) for piece, start in placed if piece.fake]
    return _samples(played), tuple(union(spans))


def fade_out(kind: str, overlap_samples: int) -> npt.NDArray[np.float64]:
    """Return the weights (overlap_samples,) of the outgoing piece; reversed, they are the incoming one's.

    Linear, cosine (half a period, raised) and the raised overlap-add (the same between pedestals, as in the
    Hamming windows of speech coders) sum to 1, which keeps a waveform that goes on. Equal power: squares sum to
    1, which keeps the level of unrelated sounds. All are taken at the middle of each sample.
    """
    position = (np.arange(overlap_samples) + 0.5) / max(overlap_samples, 1)
    raised = np.cos(position * (np.pi / 2)) ** 2
    curves = {
        LINEAR: 1.0 - position,
        EQUAL_POWER: np.cos(position * (np.pi / 2)),
        COSINE: raised,
        OVERLAP_ADD: PEDESTAL + (1.0 - 2.0 * PEDESTAL) * raised,
    }
    return curves[kind]


def excerpt(piece: Piece, sources: Mapping[int, Pcm]) -> npt.NDArray[np.float64]:
    """Return what a piece plays before its gain, float64 (duration,) in steps of int16.

    Raises
    ------
    ToolkitError
        When its source is missing or too short.
    """
    recording = sources.get(piece.source)
    if recording is None or recording.size < piece.offset:
        length = "none" if recording is None else f"{recording.size} samples"
        raise ToolkitError(f"source {piece.source}: expected at least {piece.offset} samples, received {length}")
    if piece.tilt_db == 0.0:
        return _samples(_segment(recording).get_sample_slice(piece.onset, piece.offset)).astype(np.float64)
    first = max(piece.onset - TILT_CONTEXT_SAMPLES, 0)
    around = recording[first : piece.offset + TILT_CONTEXT_SAMPLES].astype(np.float64)
    plain = around[piece.onset - first :][: piece.duration]
    leaning = tilted(around, piece.tilt_db)[piece.onset - first :][: piece.duration]
    # As loud as before: a tilt is about colour.
    return leaning * np.sqrt((np.sum(plain**2) + 1.0) / (np.sum(leaning**2) + 1.0))


def tilted(samples: npt.NDArray[np.floating], tilt_db: float) -> npt.NDArray[np.float64]:
    """Lean the spectrum of samples (n,) by `tilt_db` per octave, without any phase; float64 (n,)."""
    return weighted(samples, lambda hz: 10.0 ** (tilt_db * np.log2(np.clip(hz, *TILT_RANGE_HZ) / TILT_PIVOT_HZ) / 20.0))


def _cut(piece: Piece, sources: Mapping[int, Pcm]) -> AudioSegment:
    return _segment(_rounded(excerpt(piece, sources) * from_db(piece.gain_db)))


def _join(played: AudioSegment, piece: AudioSegment, join: Join) -> AudioSegment:
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
