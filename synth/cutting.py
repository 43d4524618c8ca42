"""Recordings of any length cut into clips, at pauses, and clips trimmed to their speech; memory stays bounded.

A cut in a pause makes two genuine clips of one. Pauses within a clip stay: taking them out would splice it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audio.errors import AudioError
from audio.reading import blocks
from audio.segments import SAMPLE_RATE
from synth.activity import HOP_SAMPLES, speech_frames
from synth.pcm import Samples

Span = tuple[int, int]
"""From and up to which sample."""

MOST_SAMPLES = 20 * SAMPLE_RATE
"""Length of the longest clip, 20 s: as long as the sentences of read corpora, and light in memory."""

LEAST_SAMPLES = 10 * SAMPLE_RATE
"""A longer recording is cut behind its first 10 s, so that clips are 10 to 20 s long, the last one shorter."""

MARGIN_FRAMES = 10
"""What trimming leaves before and behind the speech, 200 ms: soft onsets, and consonants that the detector misses."""


def cut(path: Path) -> Iterator[tuple[int, Samples]]:
    """Read a recording of any length and cut it at pauses.

    Yields
    ------
    Where each clip starts, in samples, and the clip: float32 (n,), n at most `MOST_SAMPLES`. End to end they
    are the recording; one of at most `MOST_SAMPLES`, an empty one too, is a single clip.

    Raises
    ------
    AudioError, EngineError
        As `audio.reading.blocks`, when the reading comes to the fault.
    """
    start, held = 0, np.zeros(0, dtype=np.float32)
    for block in _read(path):
        held = np.concatenate([held, block])
        while held.size > MOST_SAMPLES:
            at = _best_cut(held[:MOST_SAMPLES])
            yield start, held[:at]
            start, held = start + at, held[at:]
    if held.size or start == 0:
        yield start, held


def excerpts(path: Path, spans: Sequence[Span]) -> Iterator[Samples]:
    """Read the excerpts of a recording in one go, in order; they must follow each other.

    Yields
    ------
    float32 (offset - onset,) for each span, shorter where the recording ends.

    Raises
    ------
    AudioError, EngineError
        As `audio.reading.blocks`.
    """
    start, held = 0, np.zeros(0, dtype=np.float32)
    with closing(_read(path)) as pieces:
        for onset, offset in spans:
            while start + held.size < offset and (block := next(pieces, None)) is not None:
                passed = min(max(0, onset - start), held.size)
                start, held = start + passed, np.concatenate([held[passed:], block])
            yield held[max(0, onset - start) : offset - start]


def trimmed(speech: npt.NDArray[np.bool_], n_samples: int) -> Span:
    """Return from where to where a clip of `n_samples` has speech, with a margin; all of it where it has none.

    `speech` is its bool array (n_frames,), as `synth.activity.speech_frames` gives it. The onset is a multiple of
    the frames' length.
    """
    heard = np.flatnonzero(speech)
    if heard.size == 0:
        return 0, n_samples
    first, last = int(heard[0]) - MARGIN_FRAMES, int(heard[-1]) + 1 + MARGIN_FRAMES
    return max(0, first) * HOP_SAMPLES, min(n_samples, last * HOP_SAMPLES)


def _read(path: Path) -> Generator[Samples]:
    """Yield the recording in blocks; whatever the system says about the file becomes an `AudioError`."""
    try:
        yield from blocks(path, block_samples=MOST_SAMPLES)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror}") from None


def _best_cut(samples: Samples) -> int:
    """Return where to cut: in the middle of the longest pause from `LEAST_SAMPLES` on, else in the quietest frame."""
    speech = speech_frames(samples)
    first = LEAST_SAMPLES // HOP_SAMPLES
    edges = np.flatnonzero(np.diff(np.concatenate(([True], speech[first:], [True]))))
    starts, stops = edges[::2], edges[1::2]
    if starts.size:
        longest = int(np.argmax(stops - starts))
        return (first + int(starts[longest] + stops[longest]) // 2) * HOP_SAMPLES
    power = np.square(samples, dtype=np.float64).reshape(-1, HOP_SAMPLES).sum(axis=1)
    return (first + int(np.argmin(power[first:]))) * HOP_SAMPLES
