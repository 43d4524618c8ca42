"""`python -m bench.serving CLIP ...`: what the service costs over a bare detector, and fifty callers at once.

    bare      as many processes as the service has workers, each `Detector.detect` on all clips, again and again
    steady    the service, with callers enough to keep its workers busy: what is judged, and what that takes
    crowd     the service, fifty callers who come again when they were told to, and at once when they were answered

Processor time is that of the whole family of processes, by psutil: front, workers, and programs that they started. It
counts while the clips are judged, not while the service starts. Bare and steady take turns, so that a busy machine
slows both. Latencies are of answers with 200. Memory is the family's resident memory at ten points of the crowd.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import httpx
import psutil

from model import Detector

ROOT = Path(__file__).parents[1]
CALLERS = 50
TURNS, TURN_S = 7, 4.0
"""Bare and steady are measured alternately so many times, and the medians compared."""


@dataclass
class Tally:
    """What callers met."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def quantile_ms(self, share: float) -> float:
        """Latency below which a share of the answers with 200 lies."""
        ordered = sorted(self.seconds)
        return 1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Family:
    """A process and all below it."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)

    def cpu_s(self) -> float:
        """Processor time so far, of children that ended too."""
        return sum(self._cpu_of(each) for each in self._members())

    def memory_mb(self) -> float:
        """Resident memory; pages that are shared count for each."""
        return sum(each.memory_info().rss for each in self._members()) / 1e6

    def _members(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]

    @staticmethod
    def _cpu_of(process: psutil.Process) -> float:
        times = process.cpu_times()
        ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        return float(times.user + times.system + ended)


@contextmanager
def alone(n: int) -> Iterator[ProcessPoolExecutor]:
    """Lend processes with a model loaded."""
    with ProcessPoolExecutor(n, mp_context=multiprocessing.get_context("spawn"), initializer=_detector) as processes:
        yield processes


@contextmanager
def serving(workers: int, queue: int) -> Iterator[tuple[str, Family]]:
    """Run the service; give its address and its processes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "apps.api", "--port", "0", "--folder", folder]
        command += ["--workers", str(workers), "--queue", str(queue)]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            found = {}
            for line in process.stderr:
                found = json.loads(line)
                if found["event"] == "listening":
                    address = f"http://{found['address']}"
                if found["event"] == "ready":
                    break
            threading.Thread(target=process.stderr.read, daemon=True).start()
            try:
                yield address, Family(process.pid)
            finally:
                process.terminate()


def call(address: str, clips: Sequence[bytes], tally: Tally, until_s: float, *, first: int) -> None:
    """Be one caller until a moment of the monotonic clock: at once again after an answer, later when told so."""
    with httpx.Client(base_url=address, timeout=120) as client:
        for clip in itertools.islice(itertools.cycle(clips), first, None):
            if time.monotonic() >= until_s:
                return
            began = time.monotonic()
            answer = client.post("/v1/detect", content=clip, headers={"content-type": "audio/wav"})
            tally.statuses[answer.status_code] += 1
            if answer.status_code == 200:
                tally.seconds.append(time.monotonic() - began)
            elif answer.status_code == 429:
                time.sleep(float(answer.headers["Retry-After"]))


def crowd(address: str, clips: Sequence[bytes], *, callers: int, seconds: float) -> Tally:
    """Let callers call; return what they met."""
    tally, until_s = Tally(), time.monotonic() + seconds
    with ThreadPoolExecutor(callers) as threads:
        list(threads.map(lambda k: call(address, clips, tally, until_s, first=k), range(callers)))
    return tally


@lru_cache(maxsize=1)
def _detector() -> Detector:
    return Detector()


def bare_s(paths: Sequence[Path], seconds: float) -> float:
    """Judge clips in this process for a while; return the processor time for one."""
    detector = _detector()
    began, cpu = time.monotonic(), time.process_time()
    for n, path in enumerate(itertools.cycle(paths), 1):
        detector.detect(path)
        if time.monotonic() - began > seconds and n % len(paths) == 0:
            return (time.process_time() - cpu) / n
    raise AssertionError("no clips")


def steady_s(address: str, family: Family, clips: Sequence[bytes], *, callers: int, seconds: float) -> float:
    """Judge clips in the service for a while; return the processor time for one."""
    cpu = family.cpu_s()
    tally = crowd(address, clips, callers=callers, seconds=seconds)
    return (family.cpu_s() - cpu) / tally.statuses[200]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print tables; return 1 when a caller met anything but 200 or 429."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--queue", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the crowd calls")
    arguments = parser.parse_args(argv)
    clips = [path.read_bytes() for path in arguments.clips]
    n, callers = arguments.workers, 2 * arguments.workers
    with alone(n) as processes, serving(n, arguments.queue) as (address, family):
        crowd(address, clips, callers=callers, seconds=3.0)
        bare, steady = [], []
        for _ in range(TURNS):
            bare.append(statistics.mean(processes.map(bare_s, [arguments.clips] * n, [TURN_S] * n)))
            steady.append(steady_s(address, family, clips, callers=callers, seconds=TURN_S))
        print("| processor time for one, ms | bare | service | ratio |\n|---|---|---|---|")
        here, there = statistics.median(bare), statistics.median(steady)
        print(f"| median of {TURNS} | {1e3 * here:.1f} | {1e3 * there:.1f} | {there / here:.2f} |", flush=True)
        return _crowded(address, family, clips, arguments.seconds)


def _crowded(address: str, family: Family, clips: Sequence[bytes], seconds: float) -> int:
    memory: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(seconds / 10):
            memory.append(family.memory_mb())

    watching = threading.Thread(target=watch)
    watching.start()
    cpu = family.cpu_s()
    tally = crowd(address, clips, callers=CALLERS, seconds=seconds)
    cpu = family.cpu_s() - cpu
    over.set()
    watching.join()
    n = tally.statuses[200]
    print(f"\n| {CALLERS} callers, {seconds:g} s | |\n|---|---|")
    print(f"| answers by status | {', '.join(f'{s}: {c}' for s, c in sorted(tally.statuses.items()))} |")
    print(f"| processor time for one 200, refusals included, ms | {1e3 * cpu / n:.1f} |")
    told = ", ".join(f"{tally.quantile_ms(share):.0f}" for share in (0.5, 0.95, 0.99))
    print(f"| latency, ms: median, 95 %, 99 % | {told} |")
    print(f"| memory, MB | {', '.join(f'{each:.0f}' for each in memory)} |")
    return 1 if set(tally.statuses) - {200, 429} else 0


if __name__ == "__main__":
    sys.exit(main())
