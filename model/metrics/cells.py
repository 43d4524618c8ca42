"""Localisation at a resolution: recordings cut into cells, each with a score and a truth, and gathered over a set.

The equal error rate of what `gather` returns is the segment EER at that resolution, or with `cell_samples=None` the
millisecond (range) EER, which weighs every piece with its duration:

    cells = gather(recordings, cell_samples=160 * SAMPLES_PER_MS)
    equal_error_rate(cells.is_fake, cells.scores, weights=cells.weights)

    frames of 20 ms     |0.1|0.2|0.9|0.8|0.1|0.1|0.3|       frame i is [i * hop, (i + 1) * hop)
    truth                         [====fake====)
    cells of 40 ms      |  0.2  |  0.9  |  0.1  |  0.3  |   greatest score; the last frame is repeated
                        | real  | fake  | fake  | real  |   fake when any part is
    pieces              |0.1|0.2|.|.|0.8|0.1|.|.|0.3|       cut where a frame or the truth changes

The end of a recording: it has int(duration / cell + 0.5) cells (`audio.segments.n_frames`); what lies behind the last
of them is left out, so a recording shorter than half a cell has none and takes no part at that resolution. Pieces end
exactly where the recording ends.

The code that the field runs (github.com/hieuthi/partialspoof-metrics) adds the borders of cells up in floating point,
so that a cell which only touches a fake span is fake now and then, counts cells in floating point too, and sorts scores
into buckets. Here all three are exact. `python -m bench.metrics --oracles DIR` shows what that does to EERs.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from audio.errors import UsageError
from audio.labels import FAKE
from audio.segments import SAMPLE_RATE, Segment, n_frames, to_frames

RESOLUTIONS_MS = (20, 40, 80, 160, 320, 640)
"""Cells that the field reports, in ms: PartialSpoof, arXiv 2204.05177."""

SAMPLES_PER_MS = SAMPLE_RATE // 1_000
"""Samples in a millisecond."""

END_TOLERANCE_SAMPLES = SAMPLE_RATE // 10
"""How far the end of the frames may be from the end of the recording, 0.1 s: networks lose or add a few frames of
10 or 20 ms at the edges (105 labels, 103 scores); a hop that is wrong by a factor shows as far more than that."""

Scores = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False, slots=True)
class Recording:
    """What a system says of a recording, frame by frame, and where it is fake.

    Raises
    ------
    UsageError
        When frame scores are not finite or not of shape (n,), a length makes no sense, the frames end more than 0.1 s
        (or half a hop, if that is more) before the recording, or start more than 0.1 s behind its end, there is no
        frame at all though the recording is half a hop long, or a span is not labelled fake.
    """

    frame_scores: Scores
    """Float (n,), higher means more fake; frame i is `[i * hop_samples, (i + 1) * hop_samples)`. A float32 array stays
    one, anything else becomes float64: rounding would tie scores that differ."""
    hop_samples: int
    n_samples: int
    """Length of the recording at 16 kHz."""
    truth: Sequence[Segment]
    """The fake spans, in any order; what reaches behind the end is ignored."""

    def __post_init__(self) -> None:
        scores = np.asarray(self.frame_scores)
        object.__setattr__(self, "frame_scores", scores if scores.dtype == np.float32 else scores.astype(np.float64))
        if scores.ndim != 1 or not np.isfinite(self.frame_scores).all():
            raise UsageError(f"frame scores: expected finite numbers of shape (n,), received shape {scores.shape}")
        if self.hop_samples < 1 or self.n_samples < 0:
            raise UsageError(
                "frame scores: expected a hop of 1 sample or more and a length of 0 or more,"
                f" received {self.hop_samples} and {self.n_samples}"
            )
        self._check_end()
        check_fake(self.truth)

    def _check_end(self) -> None:
        """Refuse frames that cannot belong to this recording; an own rule of n_frames leaves up to half a hop over."""
        n, hop = len(self.frame_scores), self.hop_samples
        missing = self.n_samples - n * hop
        too_few = missing > max(END_TOLERANCE_SAMPLES, hop // 2) or (not n and n_frames(self.n_samples, hop) > 0)
        if too_few or (n - 1) * hop - self.n_samples > END_TOLERANCE_SAMPLES:
            raise UsageError(
                f"frame scores: expected about {n_frames(self.n_samples, hop)} frames of {hop} samples for a recording"
                f" of {self.n_samples}, at most 0.1 s more or less, received {n}"
            )


@dataclass(frozen=True, eq=False, slots=True)
class Cells:
    """Cells or pieces of many recordings, ready for `model.metrics.ranking`."""

    is_fake: npt.NDArray[np.bool_]
    """(n,)"""
    scores: Scores
    """(n,)"""
    items: npt.NDArray[np.int64]
    """(n,): the place of each one's recording in the sequence that was gathered."""
    weights: npt.NDArray[np.int64] | None = None
    """(n,): durations in samples; None where every cell counts the same."""

    def only(self, wanted: npt.ArrayLike) -> Cells:
        """Keep the cells of some recordings, for instance of the hybrids; `items` still count in the whole sequence.

        Parameters
        ----------
        wanted
            bool array (n_recordings,).
        """
        kept = np.asarray(wanted, dtype=bool)[self.items]
        weights = None if self.weights is None else self.weights[kept]
        return replace(
            self, is_fake=self.is_fake[kept], scores=self.scores[kept], items=self.items[kept], weights=weights
        )


def gather(recordings: Sequence[Recording], *, cell_samples: int | None = None) -> Cells:
    """Cut many recordings into cells of one length, or into pieces weighed with their durations, at once.

    Parameters
    ----------
    cell_samples
        Length of a cell; None cuts where a frame or the truth changes (`pieces`), for the millisecond EER of
        arXiv 2305.17739.

    Returns
    -------
    Cells
        In the order of the recordings and of time. One without any frame has neither cells nor pieces.

    Raises
    ------
    UsageError
        When `cell_samples` is below 1.
    """
    line = _Line(recordings)
    return _cut_at_changes(line) if cell_samples is None else _cut_into_cells(line, cell_samples)


def cell_scores(frame_scores: npt.ArrayLike, *, hop_samples: int, n_samples: int, cell_samples: int) -> Scores:
    """Return the score of each cell: the greatest of the frames that overlap it.

    A frame longer than a cell is thereby repeated, and so is the last frame where the frames end early.

    Returns
    -------
    float array (n_frames(n_samples, cell_samples),)
        float32 if `frame_scores` are, else float64.

    Raises
    ------
    UsageError
        As `Recording` does, when `cell_samples` is below 1, and when there are cells but no frame.
    """
    recording = Recording(np.asarray(frame_scores), hop_samples, n_samples, ())
    cells = gather([recording], cell_samples=cell_samples)
    if len(cells.scores) != n_frames(n_samples, cell_samples):
        raise UsageError(f"frame scores: expected at least one for {n_samples} samples, received none")
    return cells.scores


def cell_truth(segments: Sequence[Segment], *, n_samples: int, cell_samples: int) -> npt.NDArray[np.bool_]:
    """Mark the cells of which any part is fake.

    Returns
    -------
    bool array (n_frames(n_samples, cell_samples),)

    Raises
    ------
    UsageError
        When a span is not labelled fake, or `cell_samples` is below 1.
    """
    check_fake(segments)
    _check_cell(cell_samples)
    return to_frames(segments, n_frames(n_samples, cell_samples), cell_samples)


def pieces(
    frame_scores: npt.ArrayLike, truth: Sequence[Segment], *, hop_samples: int, n_samples: int
) -> tuple[Scores, npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Cut one recording where a frame or the truth changes; the last frame reaches to the end.

    Returns
    -------
    scores (k,), is_fake bool (k,), n_samples int64 (k,)
        The durations add up to the length of the recording; all empty when it has no frame.

    Raises
    ------
    UsageError
        As `Recording` does.
    """
    cut = gather([Recording(np.asarray(frame_scores), hop_samples, n_samples, truth)])
    assert cut.weights is not None
    return cut.scores, cut.is_fake, cut.weights


def check_fake(segments: Sequence[Segment]) -> None:
    """Refuse spans that are not labelled fake: F1 of the genuine class is a known trap.

    Raises
    ------
    UsageError
        When there is one.
    """
    if any(segment.label != FAKE for segment in segments):
        raise UsageError("spans: expected fake spans only, received one labelled real")


class _Line:
    """Recordings laid end to end, so that NumPy cuts them all at once."""

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self.n_samples = _integers([recording.n_samples for recording in recordings])
        self.hops = _integers([recording.hop_samples for recording in recordings])
        # A frame that starts behind the end says nothing about the recording.
        given = _integers([len(recording.frame_scores) for recording in recordings])
        self.n_frames = np.minimum(given, -(-self.n_samples // np.maximum(self.hops, 1)))
        frames = [r.frame_scores[:n] for r, n in zip(recordings, self.n_frames.tolist(), strict=True)]
        self.scores = np.concatenate(frames) if frames else np.zeros(0, dtype=np.float32)
        self.owners = np.repeat(np.arange(len(recordings)), _integers([len(r.truth) for r in recordings]))
        spans = list(itertools.chain.from_iterable(recording.truth for recording in recordings))
        self.onsets, self.offsets = _integers([s.onset for s in spans]), _integers([s.offset for s in spans])


def _cut_into_cells(line: _Line, cell_samples: int) -> Cells:
    _check_cell(cell_samples)
    counts = _integers([n_frames(n_samples, cell_samples) for n_samples in line.n_samples.tolist()])
    counts[line.n_frames == 0] = 0
    items = np.repeat(np.arange(len(counts)), counts)
    starts = _starts(counts)
    onsets = (np.arange(len(items)) - starts[items]) * cell_samples
    hops, last = line.hops[items], line.n_frames[items] - 1
    frames = np.empty((len(items), 2), dtype=np.int64)
    frames[:, 0] = np.minimum(onsets // hops, last)
    frames[:, 1] = np.minimum((onsets + (cell_samples - 1)) // hops, last) + 1
    frames += _starts(line.n_frames)[items, None]
    # One more entry, because the last cell ends where the scores do and reduceat wants places inside.
    padded = np.append(line.scores, line.scores[-1:])
    scores = np.maximum.reduceat(padded, frames.ravel())[::2] if len(items) else line.scores[:0]
    first = starts[line.owners] + np.minimum(line.onsets // cell_samples, counts[line.owners])
    stop = starts[line.owners] + np.minimum(-(-line.offsets // cell_samples), counts[line.owners])
    return Cells(_covered(first, stop, n=len(items)), scores, items)


def _cut_at_changes(line: _Line) -> Cells:
    bounds = np.append(_starts(line.n_samples), line.n_samples.sum())
    owners = np.repeat(np.arange(len(line.hops)), line.n_frames)
    frames = bounds[owners] + (np.arange(len(owners)) - _starts(line.n_frames)[owners]) * line.hops[owners]
    onsets = np.minimum(bounds[line.owners] + line.onsets, bounds[line.owners + 1])
    offsets = np.minimum(bounds[line.owners] + line.offsets, bounds[line.owners + 1])
    edges = _distinct(np.concatenate((frames, bounds, onsets, offsets)))
    # The right side, because several recordings start at one place when all but the last of them are empty.
    items = np.searchsorted(bounds, edges[:-1], side="right") - 1
    first, stop = np.searchsorted(edges, onsets), np.searchsorted(edges, offsets)
    is_fake = _covered(first, stop, n=len(items))
    kept = line.n_frames[items] > 0
    frame = np.searchsorted(frames, edges[:-1][kept], side="right") - 1
    return Cells(is_fake[kept], line.scores[frame], items[kept], np.diff(edges)[kept])


def _covered(first: npt.NDArray[np.int64], stop: npt.NDArray[np.int64], *, n: int) -> npt.NDArray[np.bool_]:
    """Mark the places of 0 to n - 1 that are inside any `[first, stop)`."""
    opened, closed = np.bincount(first, minlength=n + 1), np.bincount(stop, minlength=n + 1)
    return np.cumsum(opened - closed)[:n] > 0


def _starts(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return where each of several runs starts when they stand end to end."""
    return np.cumsum(counts) - counts


def _distinct(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Do what np.unique does, ten times faster where long runs are sorted already."""
    ordered = np.sort(values, kind="stable")
    return ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]


def _integers(values: list[int]) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def _check_cell(cell_samples: int) -> None:
    if cell_samples < 1:
        raise UsageError(f"cell: expected a length of 1 sample or more, received {cell_samples}")
