"""Endless examples, spliced on the fly by the same recipe as a set: nothing is written, nothing comes twice.

Example k depends on the recipe, the recordings and k alone, so that a training run can go on anywhere, and any
number of processes gives the same. Only the training speakers and generators are heard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import count
from threading import Lock

from audio.errors import ToolkitError, UsageError
from audio.processes import pool
from audio.segments import Segment
from synth.codecs import available_codings
from synth.making import Folders, Made, Maker
from synth.pcm import Samples, to_float
from synth.recipe import TRAIN, Planner, Recipe
from synth.shelf import Shelf

FIRST_INDEX = 2**32
"""Where the indices of streamed clips begin: no set has as many, so none of them is a clip of a set."""

ATTEMPTS = 8
"""Plans tried for an example before the recordings are given up: few hold so little speech."""

TOGETHER = 8
"""Examples that iterating makes at a time, to share the starts of ffmpeg."""

BATCHES_AHEAD = 2
"""Batches that each process of `Batches` has under way before they are asked for."""


@dataclass(frozen=True)
class Example:
    """A clip in memory: float32 (n,) at 16 kHz, its class, and its fake spans."""

    samples: Samples
    label: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Stream:
    """The endless training split of a recipe; see `open_stream`.

    Iterating yields example 0, 1, 2, ...; `examples` makes any of them.
    """

    planner: Planner
    maker: Maker

    def __iter__(self) -> Iterator[Example]:
        for first in count(0, TOGETHER):
            yield from self.examples(range(first, first + TOGETHER))

    def examples(self, numbers: Sequence[int]) -> list[Example]:
        """Make the examples of these numbers, 0 or more, in their order.

        Classes take turns: example k is of class k modulo 3. A plan that its recordings do not allow is drawn
        again.

        Raises
        ------
        ToolkitError
            When an engine or ffmpeg fails, or the recordings allow no splice.
        """
        made: dict[int, Example] = {}
        reason = ""
        for attempt in range(ATTEMPTS):
            missing = [number for number in dict.fromkeys(numbers) if number not in made]
            plans = [
                self.planner.plan(FIRST_INDEX + number * ATTEMPTS + attempt, split=TRAIN, place=number)
                for number in missing
            ]
            for number, clip in zip(missing, self.maker.make(plans), strict=True):
                if isinstance(clip, Made):
                    made[number] = Example(to_float(clip.pcm), clip.plan.label, clip.segments)
                else:
                    reason = clip.reason
            if len(made) == len(set(numbers)):
                return [made[number] for number in numbers]
        raise ToolkitError(f"no example could be made in {ATTEMPTS} attempts: {reason}")


def open_stream(recipe: Recipe, folders: Folders) -> Stream:
    """List the recordings and return the stream of their splices.

    Raises
    ------
    UsageError
        For a recipe that the voices do not fit.
    ToolkitError
        When a folder is missing or holds no recordings.
    """
    recipe = replace(recipe, pair_share=0.0)  # examples come one by one
    kit = folders.kit(recipe)
    voices, fakes = folders.recordings()
    planner = Planner(recipe, Shelf(recipe, voices.clips, fakes.clips), available_codings())
    return Stream(planner, Maker(recipe, folders.library(recipe), kit))


class Batches:
    """Batch k of a stream, examples `k * size` to `(k + 1) * size - 1`, made ahead by processes of its own.

    Batches may be asked for in any order and from several threads; asked for in turn, they are ready sooner.
    Use it as a context, so that the processes end.

    Raises
    ------
    UsageError
        For a size or a number of workers below 1.
    """

    def __init__(self, stream: Stream, size: int, *, workers: int = 1) -> None:
        if size < 1 or workers < 1:
            raise UsageError(f"batch size and workers: expected at least 1 each, received {size} and {workers}")
        self.size = size
        self._ahead = workers * BATCHES_AHEAD
        self._futures: dict[int, Future[list[Example]]] = {}
        self._lock = Lock()
        self._pool = pool(workers, _begin, stream)

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def batch(self, number: int) -> list[Example]:
        """Return the examples of a batch.

        Raises
        ------
        ToolkitError
            As `Stream.examples`, or when a process died.
        """
        with self._lock:
            for k in range(number, number + self._ahead):
                if k not in self._futures:
                    self._futures[k] = self._pool.submit(_make, range(k * self.size, (k + 1) * self.size))
            future = self._futures.pop(number)
        try:
            return future.result()
        except BrokenProcessPool:
            raise ToolkitError("a process that makes examples died (out of memory?): use fewer of them") from None


_stream: Stream | None = None
"""The stream of a worker process: sent once, not with every batch."""


def _begin(stream: Stream) -> None:
    global _stream
    _stream = stream


def _make(numbers: range) -> list[Example]:
    assert _stream is not None
    return _stream.examples(numbers)
