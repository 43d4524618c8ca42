"""Workers, what each of them is at, and what happens when one dies: for processes here as for those of a cluster.

    todo ----> [ worker: at a b, c d waits ]
               [ worker: at e f, g h waits ] ----> outcomes, in item order or as they come
               [ worker: at i j, k l waits ]

A worker does what it is given one after the other, quick items a few at a time. What it was at when it dies, by a
crash, for want of memory or with its machine, is tried again, each item alone: so it becomes known which one ends
workers, and that is told of as an error after a few tries, while everything else goes on with a new worker. Whoever
takes outcomes slowly slows the work.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from typing import Any, Protocol

from audio.errors import ToolkitError

Outcome = tuple[list[dict[str, Any]] | None, str]
"""The rows of an item, or None and why there are none."""

Attempt = Callable[[str, Any], Outcome]
"""From the name of an item and the item to its outcome. Pickles where it goes to other processes."""


class Known(Enum):
    """Stands in the place of an item that needs no work, and of its outcome."""

    DONE = 0


Todo = Iterator[tuple[str, Any]]
"""Names and items; an item may be `Known.DONE`."""

Bundle = list[tuple[str, Any]]
"""A few names and items."""

Outcomes = Generator[tuple[str, Outcome | Known]]

Done = tuple[list[Outcome], float]
"""What came of a few items, and how many seconds they took."""

AHEAD = 2
"""Bundles of items that a worker holds: the one that it is at, and one so that it need not wait for us."""

BUNDLE_S = 0.25
"""So long a bundle should take: calling a worker costs a millisecond, and what is lost with one is worked again."""

MOST_BUNDLED = 16
"""Items in a bundle at the most."""

WINDOW = 2 * AHEAD * MOST_BUNDLED
"""Items for each worker that may be begun before the first of them is done, where order is kept."""

TRIES = 4
"""So often an item may end its worker before it is told of as an error."""

MOST_LOSSES = 12
"""So many workers in a row may end before it is not the items' fault: three times the tries of one."""

MOST_FALSE_STARTS = 3
"""So many may end before any was ready at all."""

WAIT_S = 30.0
"""After so long without any worker ready, it is said what is waited for."""

_log = logging.getLogger(__name__)


def work_through(attempt: Attempt, bundle: Bundle) -> Done:
    """Do what a worker was given."""
    began = time.perf_counter()
    return [attempt(name, item) for name, item in bundle], time.perf_counter() - began


class Worker(Protocol):
    """Somebody who works through what they are given, in its order."""

    ready: Future[Any]
    """Done when it can be given work; an exception says that it never will."""

    lost: tuple[type[BaseException], ...]
    """What its futures raise when it has died."""

    def submit(self, bundle: Bundle) -> Future[Done]:
        """Give it something to do: `work_through`."""

    def end(self) -> None:
        """Let it go."""


@dataclass(eq=False)
class _Task:
    """An item on its way."""

    name: str
    item: Any
    losses: int = 0
    is_suspect: bool = False
    """Whether a worker died while it held this: then it is worked on with nothing else in the same worker."""
    outcome: Outcome | Known | None = None


@dataclass(eq=False)
class _Hand:
    """A worker, and what it was given and has not answered, in that order."""

    worker: Worker
    given: deque[tuple[list[_Task], Future[Done]]] = field(default_factory=deque)

    @property
    def room(self) -> int:
        """How much it can be given: nothing before it is ready, or when it never will be."""
        ready = self.worker.ready
        if not ready.done() or ready.exception() is not None or (self.given and self.given[0][0][0].is_suspect):
            return 0
        return AHEAD - len(self.given)

    @property
    def next(self) -> Future[Any]:
        """What it will have done next."""
        return self.given[0][1] if self.given else self.worker.ready


def outcomes(start: Callable[[], Worker], n: int, todo: Todo, *, ordered: bool) -> Outcomes:
    """Keep `n` workers busy, a bounded number of items at a time.

    Yields
    ------
    The name and outcome of each item, in their order or, if not `ordered`, as they come.

    Raises
    ------
    ToolkitError
        When workers do not stay alive, whatever they are given.
    Exception
        Whatever a worker raised.
    """
    crew = _Crew(start, n)
    begun: deque[_Task] = deque()
    try:
        while True:
            idle = crew.fill(_begin(todo, begun, most=n * WINDOW))
            done = _taken(begun, ordered=ordered)
            yield from done
            if done:
                continue
            if idle and not begun:
                return
            crew.work()
    finally:
        crew.end()


def _begin(todo: Todo, begun: deque[_Task], *, most: int) -> Iterator[_Task]:
    """Yield what is to be given to workers; what is done already only takes its place among what was begun."""
    while len(begun) < most and (pair := next(todo, None)) is not None:
        task = _Task(*pair)
        begun.append(task)
        if task.item is Known.DONE:
            task.outcome = Known.DONE
        else:
            yield task


def _taken(begun: deque[_Task], *, ordered: bool) -> list[tuple[str, Outcome | Known]]:
    """Take what is done out of what was begun: up to the first that is not, where order is kept."""
    taken: list[tuple[str, Outcome | Known]] = []
    kept: list[_Task] = []
    while begun and not (ordered and begun[0].outcome is None):
        task = begun.popleft()
        if task.outcome is None:
            kept.append(task)
        else:
            taken.append((task.name, task.outcome))
    begun.extendleft(reversed(kept))
    return taken


class _Crew:
    """Workers, and what goes on when one of them dies."""

    def __init__(self, start: Callable[[], Worker], n: int) -> None:
        self._start, self._n = start, n
        self._hands: list[_Hand] = []
        self._again: deque[_Task] = deque()
        self._losses = 0
        """Since anything was done."""
        self._may_lose = MOST_FALSE_STARTS
        self._size = 1
        """Of a bundle."""

    def fill(self, tasks: Iterator[_Task]) -> bool:
        """Give everybody something to do, those first who have least; return whether somebody finds nothing.

        Nobody is started before there is something to do at all.
        """
        if not self._hands:
            if (first := next(tasks, None)) is None:
                return True
            self._again.append(first)
            self._hands = [_Hand(self._start()) for _ in range(self._n)]
        while (hand := max(self._hands, key=lambda each: each.room)).room:
            # What Ray's workers answered last may be lost with them: who was at what is known of one item alone.
            if self._again and hand.room < AHEAD:
                return False
            bundle = [self._again.popleft()] if self._again else list(islice(tasks, self._size))
            if not bundle:
                return True
            hand.given.append((bundle, hand.worker.submit([(task.name, task.item) for task in bundle])))
        return False

    def work(self) -> None:
        """Wait until somebody has done something, and put down what."""
        awaited = [hand.next for hand in self._hands if hand.given or not hand.room]
        if not wait(awaited, timeout=WAIT_S, return_when=FIRST_COMPLETED).done:
            if not any(hand.worker.ready.done() for hand in self._hands):
                _log.warning("no worker is ready yet: waiting for a free core")
            return
        for place, hand in enumerate(self._hands):
            self._put_down(place, hand)

    def _put_down(self, place: int, hand: _Hand) -> None:
        """Note what one worker has done since it was last asked."""
        while (future := hand.next).done():
            error = future.exception()
            if isinstance(error, hand.worker.lost):
                self._replace(place, hand, error)
                return
            self._may_lose = MOST_LOSSES
            if error is not None:
                raise _cause(error)
            if not hand.given:  # it is ready, and has nothing to do
                return
            self._losses = 0
            bundle, _ = hand.given.popleft()
            outcomes, seconds = future.result()
            for task, outcome in zip(bundle, outcomes, strict=True):
                task.outcome = outcome
            self._size = max(1, min(MOST_BUNDLED, int(BUNDLE_S * len(bundle) / max(seconds, 1e-6))))

    def _replace(self, place: int, hand: _Hand, error: BaseException) -> None:
        """Take a new worker in the place of one that died; what it had waiting is done first of all."""
        self._losses += 1
        if self._losses >= self._may_lose:
            told = "; out of memory? Then run again with fewer workers; what is finished is kept"
            why = str(error).strip().splitlines()[-1:]
            raise ToolkitError(f"a worker process died, {self._losses} times in a row: {' '.join(why)}{told}") from None
        if hand.given:
            bundle, _ = hand.given[0]
            _log.warning("a worker died while it worked on %s", " or ".join(task.name for task in bundle))
            if bundle[0].is_suspect:
                _blame(bundle[0])
        for task in (task for bundle, _ in hand.given for task in bundle if task.outcome is None):
            task.is_suspect = True
            self._again.append(task)
        hand.worker.end()
        self._hands[place] = _Hand(self._start())

    def end(self) -> None:
        """Let everybody go."""
        for hand in self._hands:
            hand.worker.end()


def _blame(task: _Task) -> None:
    """Count that a worker died at this item; when it was the last time, that is its outcome."""
    task.losses += 1
    if task.losses >= TRIES:
        task.outcome = (None, f"{task.name}: ended the process that worked on it, {TRIES} times")


def _cause(error: BaseException) -> BaseException:
    """Return what went wrong in a worker, without what Ray wraps it in."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, BaseException) else error
