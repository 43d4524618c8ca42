"""Judging in worker processes: the event loop stays free, and what takes too long is stopped with its process.

Processes, not threads: a thread cannot be stopped, and a decoder that dies takes all threads with it. Not the standard
library's pool, which cannot stop one of its workers. The event loop itself waits at the lines to the workers.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import multiprocessing
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FrameType

from apps.outside import told
from apps.serving.line import Line, WorkerEnd
from apps.serving.refusals import Refusal, internal
from apps.serving.settings import Settings
from apps.serving.telemetry import Verdict, verdicts_of
from audio.errors import AudioError, LimitError, ModelError
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
    """What a worker says: results, or why there are none, in a code of `refusals.CODES`.

    What is told with the code `internal` is for our log alone.
    """

    results: bytes
    """Rows of `Detection.to_row` as JSON, which is what callers get: nobody between looks into them."""
    verdicts: list[Verdict]
    """What is counted of them."""
    seconds: float
    code: str | None = None
    told: str = ""


_Given = tuple[Path | None, str | None, str | None]
"""What a worker loads: model, operating point, runtime."""

_given: _Given = (None, None, None)
"""Set once, when a worker begins."""

POLITE_S = 3.0
"""How long a worker has to end before it is killed."""


class Workers:
    """Processes that judge, each with the model loaded."""

    def __init__(self, n: int, settings: Settings, *, judge_s: float) -> None:
        self._judge_s = judge_s
        self._given = (settings.model, settings.operating_point, settings.runtime)
        self._burying = ThreadPoolExecutor(n, thread_name_prefix="burying")
        self._all = {_Worker(self._given) for _ in range(n)}
        self._free: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        for worker in self._all:
            self._free.put_nowait(worker)

    async def ready(self) -> None:
        """Wait until every worker has loaded the model; raise `ModelError` when one cannot."""
        try:
            await asyncio.gather(*(worker.begun() for worker in self._all))
        except (EOFError, OSError):
            raise ModelError("a worker process cannot load the model") from None

    async def judge(self, task: Task) -> Answer:
        """Judge a recording when a worker is free.

        Raises
        ------
        Refusal
            When it is no recording, beyond its limits, or takes too long; or when we failed.
        """
        worker = await self._free.get()
        try:
            answer = await self._answer(worker, task)
        except BaseException:
            self._all.remove(worker)
            worker.hang_up()
            self._burying.submit(worker.end)
            worker = _Worker(self._given)
            self._all.add(worker)
            raise
        finally:
            self._free.put_nowait(worker)
        if answer.code == "internal":
            raise internal(answer.told)
        if answer.code:
            raise Refusal(413 if answer.code == "too_long" else 422, answer.code, answer.told)
        return answer

    async def _answer(self, worker: _Worker, task: Task) -> Answer:
        """Let one worker judge; raises `Refusal` when the worker is not to be used again."""
        try:
            await worker.begun()
            async with asyncio.timeout(self._judge_s):
                return await worker.judge(task)
        except TimeoutError:
            raise Refusal(422, "too_slow", f"judging took longer than the limit of {self._judge_s:g} s") from None
        except (EOFError, OSError) as error:
            raise internal(f"a worker died: {type(error).__name__}") from None

    def stop(self) -> None:
        """End the processes, whatever they do."""
        for worker in self._all:
            worker.hang_up()
            worker.end()
        self._burying.shutdown()


class _Worker:
    """One process, and the line to it."""

    def __init__(self, given: _Given) -> None:
        context = multiprocessing.get_context("spawn")
        self._line = Line()
        self._process = context.Process(target=_work, args=(self._line.theirs, given), daemon=True)
        self._process.start()
        self._line.theirs.close()
        self._has_begun = False

    async def begun(self) -> None:
        """Wait until the model is loaded; raise `EOFError` or `OSError` when the process ends instead."""
        if not self._has_begun:
            await self._line.hear()
            self._has_begun = True

    async def judge(self, task: Task) -> Answer:
        """Ask and wait; raise `EOFError` or `OSError` when the process ends."""
        answer: Answer = await self._line.ask(task)
        return answer

    def hang_up(self) -> None:
        """Close the line, which belongs to the event loop; `end` takes long and is for another thread."""
        self._line.close()

    def end(self) -> None:
        """End the process, politely first: an ffmpeg that it started ends with it."""
        self._process.terminate()
        self._process.join(POLITE_S)
        self._process.kill()
        self._process.join()


def _work(end: socket.socket, given: _Given) -> None:
    """Be a worker: load the model, say so, and judge until nobody asks any more."""
    global _given
    _given = given
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the front, which ends us when all is answered
    signal.signal(signal.SIGTERM, _leave)
    detector(given[1])
    gc.freeze()
    line = WorkerEnd(end)
    with suppress(EOFError, OSError):  # the front has gone
        line.say(None)
        while True:
            line.say(judged(line.hear()))


def _leave(number: int, frame: FrameType | None) -> None:
    """End by an exception, which ends an ffmpeg that is under way too."""
    sys.exit(1)


@lru_cache(maxsize=8)
def detector(operating_point: str | None) -> Detector:
    """Load the model of this worker, once for each operating point."""
    model, _, runtime = _given
    return Detector(model, operating_point=operating_point, runtime=runtime)


def judged(task: Task) -> Answer:
    """Judge a recording; runs in a worker."""
    began = time.perf_counter()
    point = _given[1] if task.operating_point is None else task.operating_point
    try:
        channels = range(inspect(task.path).channels) if task.each_channel else (None,)
        judge = detector(point).detect
        rows = [judge(task.path, channel=each, limits=task.limits).to_row(task.name) for each in channels]
        return Answer(_ENCODER.encode(rows).encode(), verdicts_of(rows), time.perf_counter() - began)
    except AudioError as error:
        code = "too_long" if isinstance(error, LimitError) else "unreadable"
        return _no_answer(began, code, told(error, task.path, task.name))
    except Exception as error:  # our own fault, whatever it is: the next recording is judged all the same
        return _no_answer(began, "internal", f"{type(error).__name__}: {error}")


def _no_answer(began: float, code: str, why: str) -> Answer:
    return Answer(b"[]", [], time.perf_counter() - began, code, why)


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
