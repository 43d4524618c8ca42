"""Workers that are processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from audio.crew import Attempt, Bundle, Done, work_through

_attempt: Attempt | None = None
"""What a worker process does with its items; set once, when it begins."""


class Process:
    """A process of this machine, by a pool of one: pools of several do not say who died at what."""

    lost: tuple[type[BaseException], ...] = (BrokenProcessPool,)

    def __init__(self, attempt: Attempt) -> None:
        self._pool = pool(1, _take, attempt)
        self.ready: Future[Any] = self._pool.submit(_nothing)

    def submit(self, bundle: Bundle) -> Future[Done]:
        """Give it something to do."""
        try:
            return self._pool.submit(_do, bundle)
        except BrokenProcessPool as error:  # it died while it had nothing to do
            broken: Future[Done] = Future()
            broken.set_exception(error)
            return broken

    def end(self) -> None:
        """Let it finish what it is at."""
        self._pool.shutdown(cancel_futures=True)


def pool(n: int, begin: Callable[..., None] | None = None, *given: Any) -> ProcessPoolExecutor:
    """Return `n` processes that leave Ctrl-C to this one and end with it, however it ends.

    They are spawned, as on Windows and macOS; each calls `begin(*given)` before anything else.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(n, mp_context=context, initializer=_start, initargs=(begin, given))


def _start(begin: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if begin is not None:
        begin(*given)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _take(attempt: Attempt) -> None:
    global _attempt
    _attempt = attempt


def _nothing() -> None:
    """What a process answers when it is ready."""


def _do(bundle: Bundle) -> Done:
    assert _attempt is not None
    return work_through(_attempt, bundle)
