"""Recordings that are judged later: a folder remembers them, so that a restart forgets none.

    jobs/ID.json    what is known of a job: state, when, how, and in the end its rows or why there are none
    jobs/ID.sound   its recording, until it is judged

One process owns the folder. When it starts, what waited waits again, and what was being judged is begun once more; a
job that was being judged twice when the service died, or whose recording is gone, is `lost`, and says so.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import secrets
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apps.serving.places import LONGEST_RETRY_S
from apps.serving.refusals import Refusal
from apps.serving.settings import Settings
from apps.serving.telemetry import Metrics
from apps.serving.uploads import Upload
from apps.serving.work import Task, Workers
from audio.atomic import replacing

QUEUED, RUNNING, DONE, FAILED, LOST = "queued", "running", "done", "failed", "lost"
STATES = (QUEUED, RUNNING, DONE, FAILED, LOST)

ID = r"[A-Za-z0-9_-]{22}"
"""What the number of a job looks like: 128 random bits, so that nobody guesses another's."""

MOST_ATTEMPTS = 2
"""So often judging is begun: a recording that kills the service does not do so for ever."""

SOUND = ".sound"

CLEAN_EVERY_S = 300.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What is known of a job."""

    id: str
    name: str
    state: str
    created: str
    """When it was received, ISO 8601."""
    operating_point: str | None = None
    each_channel: bool = False
    attempts: int = 0
    finished: str | None = None
    suffix: str = ""
    results: list[dict[str, Any]] | None = None
    code: str | None = None
    error: str | None = None

    def to_answer(self) -> dict[str, Any]:
        """What its owner is told."""
        names = ("id", "state", "created", "finished", "results", "code", "error")
        return {name: getattr(self, name) for name in names}


class Jobs:
    """The jobs of one service."""

    def __init__(self, settings: Settings, workers: Workers, metrics: Metrics) -> None:
        self._settings, self._workers, self._metrics = settings, workers, metrics
        self._folder = settings.folder / "jobs"
        self._waiting: deque[Job] = deque()
        self._came = asyncio.Event()
        self._ending = False

    def recover(self) -> None:
        """Take up what the last run of the service left."""
        self._folder.mkdir(parents=True, exist_ok=True)
        known = sorted(self._all(), key=lambda job: job.created)
        for job in known:
            if job.state in (QUEUED, RUNNING):
                self._take_up(job)
        for left in self._folder.glob(f"*{SOUND}*"):
            if left.name.partition(SOUND)[0] not in {job.id for job in self._waiting}:
                left.unlink()

    def _take_up(self, job: Job) -> None:
        if not self._sound(job).is_file() or job.attempts >= MOST_ATTEMPTS:
            told = "the service ended while it had this job, and cannot take it up again: send the recording once more"
            self._finish(job, LOST, code="internal", error=told)
            return
        self._wait(self._keep(replace(job, state=QUEUED)))

    def expect_room(self) -> None:
        """Raise `Refusal` when too many wait already."""
        if len(self._waiting) > self._settings.jobs_queue:
            raise Refusal(429, "busy", "too many jobs wait already", retry_after_s=LONGEST_RETRY_S)

    def add(self, upload: Upload, *, operating_point: str | None, each_channel: bool) -> Job:
        """Take a recording over and remember it; raise `Refusal` when too many wait already."""
        self.expect_room()
        id, suffix = secrets.token_urlsafe(16), upload.path.suffix
        job = Job(id, upload.name, QUEUED, _now(), operating_point, each_channel, suffix=suffix)
        os.replace(upload.path, self._sound(job))
        self._wait(self._keep(job))
        return job

    def get(self, id: str) -> Job | None:
        """Return a job, or None where there is none of that number."""
        if not re.fullmatch(ID, id):
            return None
        return self._read(self._folder / f"{id}.json")

    async def run(self) -> None:
        """Judge what waits, one after the other, until `stop`."""
        while not self._ending:
            if not self._waiting:
                self._came.clear()
                self._forget_old()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._came.wait(), CLEAN_EVERY_S)
                continue
            try:
                await self._judge(self._waiting.popleft())
            except Exception:  # a full disk, for example: the next job may fit, and this one is tried at the next start
                _log.exception("job failed")
            self._metrics.jobs.set(len(self._waiting))

    def stop(self) -> None:
        """Begin no other; the one under way goes on. What waits is taken up at the next start."""
        self._ending = True
        self._came.set()

    async def _judge(self, job: Job) -> None:
        job = self._keep(replace(job, state=RUNNING, attempts=job.attempts + 1))
        task = Task(self._sound(job), job.name, self._settings.jobs_limits, job.operating_point, job.each_channel)
        began = time.perf_counter()
        try:
            answer = await self._workers.judge(task)
        except asyncio.CancelledError:  # the service ends, and that is not the job's fault
            self._keep(replace(job, state=QUEUED, attempts=job.attempts - 1))
            raise
        except Refusal as error:
            job = self._finish(job, FAILED, code=error.code, error=error.told)
        else:
            job = self._finish(job, DONE, results=json.loads(answer.results))
            self._metrics.judged("job", answer.verdicts, answer.seconds)
        took_s = round(time.perf_counter() - began, 3)
        facts = {"job": job.id[:8], "state": job.state, "code": job.code, "took_s": took_s}
        _log.info("job", extra={"facts": facts})

    def _finish(self, job: Job, state: str, **outcome: Any) -> Job:
        job = self._keep(replace(job, state=state, finished=_now(), **outcome))
        self._sound(job).unlink(missing_ok=True)
        return job

    def _wait(self, job: Job) -> None:
        self._waiting.append(job)
        self._metrics.jobs.set(len(self._waiting))
        self._came.set()

    def _sound(self, job: Job) -> Path:
        return self._folder / f"{job.id}{SOUND}{job.suffix}"

    def _keep(self, job: Job) -> Job:
        with replacing(self._folder / f"{job.id}.json") as beside:
            beside.write_text(json.dumps(asdict(job)), encoding="utf-8")
        return job

    def _all(self) -> Iterator[Job]:
        for path in self._folder.glob("*.json"):
            if job := self._read(path):
                yield job

    def _read(self, path: Path) -> Job | None:
        try:
            return Job(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            _log.error("job cannot be read", extra={"facts": {"job": path.stem, "why": str(error)}})
            return None

    def _forget_old(self) -> None:
        """Remove what is finished and was kept for long enough."""
        for job in list(self._all()):
            if job.finished and _age_s(job.finished) > self._settings.jobs_keep_hours * 3_600:
                (self._folder / f"{job.id}.json").unlink(missing_ok=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _age_s(when: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(when)).total_seconds()
