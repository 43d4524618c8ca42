"""Judging in worker processes: the event loop stays free, and what takes too long is stopped with its process.

Processes, not threads: a thread cannot be stopped, and a decoder that dies takes all threads with it. Pebble's pool
stops the worker of a task that is over its time and starts another, which the standard library's does not.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
import time
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

from pebble import ProcessExpired, ProcessPool

from apps.serving.refusals import Refusal, internal
from apps.serving.settings import Settings
from audio.errors import AudioError, LimitError
from audio.reading import Limits, inspect
from model import Detector


@dataclass(frozen=True)
class Task:
    """A recording to judge, and how."""

    path: Path
    name: str
    """What to call it in answers."""
    limits: Limits
    operating_point: str | None = None
    each_channel: bool = False


@dataclass(frozen=True)
class Answer:
    """What a worker says: rows of `Detection.to_row`, or why there are none, in a code of `refusals.CODES`."""

    rows: list[dict[str, Any]]
    seconds: float
    code: str | None = None
    told: str = ""


class Workers:
    """Processes that judge, each with the model loaded."""

    def __init__(self, n: int, settings: Settings, *, judge_s: float) -> None:
        self._judge_s = judge_s
        given = (settings.model, settings.operating_point, settings.runtime)
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPool(n, initializer=_begin, initargs=(given,), context=context)

    async def ready(self) -> None:
        """Wait for the first worker."""
        await asyncio.wrap_future(self._pool.schedule(os.getpid))

    async def judge(self, task: Task) -> Answer:
        """Judge a recording when a worker is free.

        Raises
        ------
        Refusal
            When it is no recording, beyond its limits, or takes too long; or when we failed.
        """
        answer = await self._answer(task)
        if answer.code == "too_long":
            raise Refusal(413, answer.code, answer.told)
        if answer.code:
            raise Refusal(422, answer.code, answer.told)
        return answer

    async def _answer(self, task: Task) -> Answer:
        future = self._pool.schedule(judged, (task,), timeout=self._judge_s)
        try:
            return await asyncio.wrap_future(future)
        except TimeoutError:
            raise Refusal(422, "too_slow", f"judging took longer than the limit of {self._judge_s:g} s") from None
        except (ProcessExpired, CancelledError) as error:
            raise internal(f"a worker died: {type(error).__name__}") from None
        except Exception as error:
            raise internal(f"{type(error).__name__}: {error}") from error

    def stop(self) -> None:
        """End the processes, whatever they do."""
        self._pool.stop()
        self._pool.join()


_given: tuple[Path | None, str | None, str | None] = (None, None, None)
"""What a worker loads: model, operating point, runtime. Set once, when the process begins."""


def _begin(given: tuple[Path | None, str | None, str | None]) -> None:
    global _given
    _given = given
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGTERM, _leave)
    detector(given[1])


def _leave(number: int, frame: FrameType | None) -> None:
    """End by an exception, which ends an ffmpeg that is under way too."""
    sys.exit(1)


@lru_cache(maxsize=8)
def detector(operating_point: str | None) -> Detector:
    """Load the model of this worker, once for each operating point."""
    model, _, runtime = _given
    return Detector(model, operating_point=operating_point, runtime=runtime)


def judged(task: Task) -> Answer:
    """Judge a recording; runs in a worker. Whatever is our own fault is raised."""
    began = time.perf_counter()
    point = _given[1] if task.operating_point is None else task.operating_point
    try:
        channels = range(inspect(task.path).channels) if task.each_channel else (None,)
        judge = detector(point).detect
        rows = [judge(task.path, channel=each, limits=task.limits).to_row(task.name) for each in channels]
        return Answer(rows, time.perf_counter() - began)
    except AudioError as error:
        code = "too_long" if isinstance(error, LimitError) else "unreadable"
        return Answer([], time.perf_counter() - began, code, str(error).replace(str(task.path), task.name))
