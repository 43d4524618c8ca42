"""Jobs: what waits for a worker, and what a restart does to it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from serving_process import Running, serving
from tiny_model import voice

from apps.serving.jobs import DONE, FAILED, LOST, QUEUED, RUNNING, Job, Jobs
from apps.serving.refusals import Refusal
from apps.serving.settings import Settings
from apps.serving.telemetry import Metrics
from apps.serving.uploads import Upload
from apps.serving.work import Answer, Task, Workers
from audio.reading import Limits, write_wav

HYBRID = voice(np.random.default_rng(0), 6, fake_s=[(1, 2), (4, 4.5)])
ID = "A" * 22


@pytest.fixture
def clip(tmp_path) -> Path:
    write_wav(tmp_path / "clip.wav", HYBRID)
    return tmp_path / "clip.wav"


def finished(service: Running, id: str) -> dict:
    """Ask until a job is through."""
    while (job := service.client.get(f"/v1/jobs/{id}").json())["state"] in (QUEUED, RUNNING):
        time.sleep(0.05)
    return job


def test_a_job_from_upload_to_rows_and_through_a_kill(tmp_path, tiny_bundle, clip):
    """The rows are those of /v1/detect; what was waiting at a kill is done after the next start."""
    folder = tmp_path / "api"
    write_wav(tmp_path / "long.wav", np.tile(HYBRID, 100))
    with serving(folder, tiny_bundle) as running:
        post, headers = running.client.post, {"content-type": "audio/wav"}
        answer = post("/v1/jobs", params={"name": "c.wav"}, content=clip.read_bytes(), headers=headers)
        assert (answer.status_code, answer.headers["Location"]) == (202, f"/v1/jobs/{answer.json()['id']}")
        job = finished(running, answer.json()["id"])
        now = post("/v1/detect", params={"name": "c.wav"}, content=clip.read_bytes(), headers=headers)
        assert job["results"] == now.json()["results"]
        bad = post("/v1/jobs", files={"file": ("x.wav", b"no sound at all")}).json()["id"]
        assert (finished(running, bad)["state"], finished(running, bad)["code"]) == (FAILED, "unreadable")
        assert running.client.get(f"/v1/jobs/{ID}").status_code == 404
        assert running.client.get("/v1/jobs/..%2F..%2Fetc").status_code in (404, 422)
        assert list((folder / "jobs").glob("*.sound*")) == []
        with (tmp_path / "long.wav").open("rb") as sound:
            long = post("/v1/jobs", files={"file": ("long.wav", sound)}).json()["id"]
        last = post("/v1/jobs", files={"file": ("last.wav", clip.read_bytes())}).json()["id"]
        running.stop(signal.SIGKILL)
    with serving(folder, tiny_bundle) as running:
        assert finished(running, long)["state"] == finished(running, last)["state"] == DONE
        assert finished(running, last)["results"][0]["path"] == "last.wav"
        assert running.client.get(f"/v1/jobs/{answer.json()['id']}").json() == job


class Judge:
    """Stands for the workers; answers when it is let."""

    def __init__(self) -> None:
        self.asked: list[Task] = []
        self.may = asyncio.Event()

    async def judge(self, task: Task) -> Answer:
        self.asked.append(task)
        await self.may.wait()
        return Answer(b"[]", [], 0.0)


def jobs_in(folder: Path, judge: Judge | None = None, **settings: object) -> Jobs:
    made = Jobs(Settings(folder=folder, **settings), judge or Judge(), Metrics())
    made.recover()
    return made


def left_behind(folder: Path, state: str, *, attempts: int, sound: bool) -> None:
    (folder / "jobs").mkdir(parents=True)
    facts = {"id": ID, "name": "a.wav", "state": state, "created": "2026-01-01T00:00:00.000+00:00"}
    (folder / "jobs" / f"{ID}.json").write_text(json.dumps({**facts, "attempts": attempts}))
    if sound:
        (folder / "jobs" / f"{ID}.sound").write_bytes(b"RIFF")


@pytest.mark.parametrize(
    ("state", "attempts", "sound", "expected"),
    [
        (QUEUED, 0, True, QUEUED),
        (RUNNING, 1, True, QUEUED),
        (RUNNING, 2, True, LOST),  # it killed the service twice
        (QUEUED, 0, False, LOST),
    ],
)
def test_a_restart_takes_up_a_job_or_says_that_it_is_lost(tmp_path, state, attempts, sound, expected):
    left_behind(tmp_path, state, attempts=attempts, sound=sound)
    job = jobs_in(tmp_path).get(ID)
    assert job.state == expected
    assert ("send the recording once more" in (job.error or "")) == (expected == LOST)
    assert (tmp_path / "jobs" / f"{ID}.sound").exists() == (expected == QUEUED)


def test_a_recording_that_no_job_knows_is_removed(tmp_path):
    """It was moved here a moment before a kill, and its sender got no answer."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / f"{ID}.sound.g722").write_bytes(b"x")
    jobs_in(tmp_path)
    assert list((tmp_path / "jobs").iterdir()) == []


def test_the_queue_is_bounded_and_an_end_waits_for_the_one_under_way(tmp_path):
    async def story() -> None:
        judge = Judge()
        jobs = jobs_in(tmp_path, judge, jobs_queue=1)
        running = asyncio.create_task(jobs.run())
        added = []
        for k in range(3):
            (tmp_path / f"{k}").write_bytes(b"x")
            added.append(jobs.add(Upload(tmp_path / f"{k}", "x", 1), operating_point=None, each_channel=False))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        with pytest.raises(Refusal) as refusal:
            jobs.expect_room()
        assert (refusal.value.status, refusal.value.retry_after_s) == (429, 60)
        jobs.stop()
        judge.may.set()
        await asyncio.wait_for(running, 10)
        assert [jobs.get(job.id).state for job in added] == [DONE, QUEUED, QUEUED]

    asyncio.run(story())


def test_an_end_that_cannot_wait_is_not_the_job_s_fault(tmp_path):
    """Catches a long job that is lost because the service was stopped twice."""

    async def story() -> None:
        judge = Judge()
        jobs = jobs_in(tmp_path, judge)
        (tmp_path / "x").write_bytes(b"x")
        job = jobs.add(Upload(tmp_path / "x", "x", 1), operating_point=None, each_channel=False)
        running = asyncio.create_task(jobs.run())
        while not judge.asked:
            await asyncio.sleep(0)
        assert jobs.get(job.id).attempts == 1
        running.cancel()
        await asyncio.wait([running])
        assert (jobs.get(job.id).state, jobs.get(job.id).attempts) == (QUEUED, 0)

    asyncio.run(story())


def test_old_outcomes_are_forgotten(tmp_path):
    jobs = jobs_in(tmp_path, jobs_keep_hours=1)
    for id, finished_at in (("B" * 22, "2020-01-01T00:00:00+00:00"), ("C" * 22, "2999-01-01T00:00:00+00:00")):
        jobs._keep(Job(id, "x", DONE, finished_at, finished=finished_at))
    jobs._forget_old()
    assert jobs.get("B" * 22) is None
    assert jobs.get("C" * 22) is not None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_what_takes_too_long_is_stopped_and_a_dead_worker_is_replaced(tmp_path, tiny_bundle, clip):
    """A pipe that nobody writes into stands for a decoder that hangs: catches a worker that is lost for good."""
    os.mkfifo(tmp_path / "hangs.wav")
    short = Limits(max_seconds=60)

    async def story() -> None:
        workers = Workers(1, Settings(model=tiny_bundle), judge_s=3.0)
        try:
            await workers.ready()
            with pytest.raises(Refusal) as refusal:
                await workers.judge(Task(tmp_path / "hangs.wav", "hangs.wav", short))
            assert (refusal.value.status, refusal.value.code) == (422, "too_slow")
            assert (await workers.judge(Task(clip, "clip.wav", short))).verdicts == [("hybrid", 6.0)]
            hanging = asyncio.create_task(workers.judge(Task(tmp_path / "hangs.wav", "hangs.wav", short)))
            await asyncio.sleep(0.5)
            for worker in psutil.Process().children():
                if "spawn_main" in " ".join(worker.cmdline()):
                    worker.kill()
            with pytest.raises(Refusal) as refusal:
                await hanging
            assert (refusal.value.status, refusal.value.code) == (500, "internal")
            assert str(tmp_path) not in refusal.value.told
            assert (await workers.judge(Task(clip, "clip.wav", short))).verdicts == [("hybrid", 6.0)]
        finally:
            workers.stop()

    asyncio.run(story())
