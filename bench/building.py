"""`python -m bench.building`: how fast sets are built, on one worker and on two, and how much memory it takes.

One core for one worker, two cores for two: the single build is kept on one core, so that ffmpeg's processes, which
work while Python waits, cannot borrow the other one. Twins are in the cache before anything is timed. The voices are
the prompts that Debian packages; clips are 5 s long. Prints a table in Markdown; ratios are of this run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

CLIP_S = 5.0

SAMPLE_EVERY_S = 0.5

BUILD = """
import os, sys
os.sched_setaffinity(0, eval(sys.argv[1]))
from synth.__main__ import main
sys.exit(main(sys.argv[2:]))
"""
"""A build on certain cores."""


@dataclass(frozen=True)
class Measured:
    """One build: seconds on the clock, and the memory of all its processes over time, in MB."""

    seconds: float
    memory_mb: tuple[float, ...]


def main() -> int:
    """Run the measurements and print their table."""
    parser = argparse.ArgumentParser("python -m bench.building", description=__doc__)
    parser.add_argument("--clips", type=int, default=2_000, help="clips of each timed build (default: %(default)s)")
    parser.add_argument("--memory-clips", type=int, default=0, help="clips of the build whose memory is watched")
    parser.add_argument("--real", type=Path, default=Path("data", "voices"), help="default: the prompts, %(default)s")
    options = parser.parse_args()
    if not hasattr(os, "sched_setaffinity"):
        parser.error("expected a system that can keep a process on a core (Linux)")
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bench = Bench(Path(folder), options.real)
        _print_speed(bench, options.clips, cores)
        if options.memory_clips:
            _print_memory(bench, options.memory_clips, cores)
    return 0


def _print_speed(bench: Bench, n_clips: int, cores: list[int]) -> None:
    print(f"{n_clips} clips of {CLIP_S:g} s, channel on, twins cached\n")
    bench.build(n_clips, cores[:2])
    print("| workers | cores | seconds | times real time | speed-up |\n|---|---|---|---|---|")
    one = bench.build(n_clips, cores[:1])
    two = bench.build(n_clips, cores[:2])
    for n, measured in ((1, one), (2, two)):
        speed, ratio = n_clips * CLIP_S / measured.seconds, one.seconds / measured.seconds
        print(f"| {n} | {n} | {measured.seconds:.1f} | {speed:.0f} | {ratio:.2f} |", flush=True)


def _print_memory(bench: Bench, n_clips: int, cores: list[int]) -> None:
    measured = bench.build(n_clips, cores[:2])
    memory = measured.memory_mb
    print(f"\n{n_clips} clips, two workers: memory of all processes, in MB\n")
    print("| after | 10 % | 25 % | 50 % | 75 % | 100 % |\n|---|---|---|---|---|---|")
    places = [memory[min(int(share * len(memory)), len(memory) - 1)] for share in (0.1, 0.25, 0.5, 0.75, 0.99)]
    print("| MB | " + " | ".join(f"{mb:.0f}" for mb in places) + " |")
    print(f"\n{n_clips * CLIP_S / measured.seconds:.0f} times real time")


class Bench:
    """Builds the same recipe again and again, each time into a new folder, with one cache."""

    def __init__(self, folder: Path, real: Path) -> None:
        self.folder = folder
        self.real = real
        self.builds = 0

    def build(self, n_clips: int, cores: list[int]) -> Measured:
        """Build with one worker on each of `cores`."""
        self.builds += 1
        out, cache = self.folder / f"set{self.builds}", self.folder / "cache"
        what = ["build", "--out", out, "--clips", n_clips, "--real", self.real, "--cache", cache, "--seed", 1]
        how = ["--clip-s", CLIP_S, CLIP_S, "-j", len(cores)]
        command = [sys.executable, "-c", BUILD, repr(set(cores)), *map(str, [*what, *how])]
        started = time.perf_counter()
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        memory: list[float] = []
        watcher = threading.Thread(target=_watch, args=(process, memory))
        watcher.start()
        said = process.communicate()[1]
        seconds = time.perf_counter() - started
        watcher.join()
        if process.returncode:
            raise SystemExit(f"the build failed: {said.strip()}")
        return Measured(seconds, tuple(memory))


def _watch(process: subprocess.Popen[str], memory: list[float]) -> None:
    """Note the memory of a process and its children until it ends."""
    while process.poll() is None:
        memory.append(sum(_resident_mb(pid) for pid in _family(process.pid)))
        time.sleep(SAMPLE_EVERY_S)


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(member for child in children for member in _family(int(child)))]


def _resident_mb(pid: int) -> float:
    """Return the proportional set size: memory that processes share is counted once."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1_000
    except (OSError, StopIteration):
        return 0.0


if __name__ == "__main__":
    sys.exit(main())
