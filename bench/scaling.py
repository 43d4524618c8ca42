"""`python -m bench.scaling`: one worker and two, here and on Ray; what is lost when they are killed; what costs what.

    --what speed    `script.py scan` of clips of 10 s by one worker and two, processes of this machine and workers of a
                    Ray cluster, in turns: seconds on the clock, and processor time of everything that ran. Also by one
                    worker that has one core, with driver and cluster on it too (Linux): twice the machine, so to say
    --what kills    a scan and a build, a worker of which ends by SIGKILL every 10 s, and the driver once: each item
                    once, and the same bytes as unbroken
    --what stages   processor seconds an hour of sound: reading, features, the network, all of judging; splicing

The recordings are made of genuine speech below --real, one after the other; default: the prompts in data/voices. The
Ray cluster is one of two cores on this machine, which lives as long as the measurement. Prints tables in Markdown, and
puts them between marks of the document --write; ratios are of this run, and mean something on a machine that does
nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from audio.atomic import put_between
from audio.manifest import read_manifest, recordings_below
from audio.segments import SAMPLE_RATE
from bench.scanning import speech, write_clips

BENCHES = ("speed", "kills", "stages")

CLIP_S, CORES, KILL_EVERY_S = 10, 2, 10.0

ROOT = Path(__file__).parents[1]

HOLDER = f"""
import ray
ray.init("local", num_cpus={CORES}, include_dashboard=False, log_to_driver=False, object_store_memory=2**28)
print(ray.get_runtime_context().gcs_address, flush=True)
input()
"""
"""Keeps a cluster until its stdin ends."""

LOCAL, RAY = "processes", "Ray"

KEPT = ["taskset", "--cpu-list", "0"]
"""Keeps a command, and whatever it starts, on the first core."""


def main() -> int:
    """Run what is asked for and print its tables."""
    parser = argparse.ArgumentParser("python -m bench.scaling", description=__doc__)
    parser.add_argument("--what", choices=BENCHES, action="append", help="default: all of them")
    parser.add_argument("--real", type=Path, default=Path("data", "voices"), metavar="DIR", help="genuine speech")
    parser.add_argument("--clips", type=int, default=5_000, help="clips to scan (default: %(default)s)")
    parser.add_argument("--set", type=int, default=400, help="clips to build (default: %(default)s)")
    parser.add_argument("--engine", choices=(LOCAL, RAY), action="append", help="of speed (default: both)")
    parser.add_argument("--turns", type=int, default=1, help="how often each is timed (default: %(default)s)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into this document too")
    options = parser.parse_args()
    sources = sorted(recordings_below(options.real))
    if not sources:
        parser.error(f"--real: expected recordings below {options.real}, found none")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        work = Work(Path(folder), options.real)
        for what in options.what or BENCHES:
            lines = list(_measured(what, work, sources, options))
            if options.write:
                put_between(options.write, "\n".join(lines), begin=f"<!-- {what} begin -->", end=f"<!-- {what} end -->")
    return 0


def _measured(what: str, work: Work, sources: list[Path], options: argparse.Namespace) -> Iterator[str]:
    """Measure one thing; yield the lines of its table as they are known, and print them."""
    if what != "stages" and not work.clips.exists():
        samples = speech(sources, min(options.clips, 400) * CLIP_S)
        write_clips(work.clips, samples, options.clips, CLIP_S)
    if what == "speed":
        lines = speed(work, options.clips, options.turns, options.engine or (LOCAL, RAY))
    else:
        lines = kills(work, options.set) if what == "kills" else stages(work, sources, options.set)
    for line in lines:
        print(line, flush=True)
        yield line


@contextmanager
def cluster(keep: Sequence[str] = ()) -> Iterator[str]:
    """Lend a Ray cluster, started by what `keep` says; give its address."""
    with subprocess.Popen(
        [*keep, sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=-3, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


@dataclass
class Work:
    """What is measured on, and where it goes."""

    folder: Path
    real: Path
    made: int = field(default=0)

    @property
    def clips(self) -> Path:
        """The clips to scan."""
        return self.folder / "clips"

    def scan(self, out: Path, *where: str) -> list[str]:
        """Return the command that scans."""
        return [sys.executable, "script.py", "scan", str(self.clips), "--out", str(out), *where]

    def build(self, out: Path, n_clips: int, *where: str) -> list[str]:
        """Return the command that builds; the copies of voices are in one cache."""
        words = ["--out", out, "--clips", n_clips, "--real", self.real, "--cache", self.folder / "cache", "--seed", 1]
        words += ["--engines", "lpc", "--held-out", ""]
        return [sys.executable, "-m", "synth", "build", *map(str, words), *where]

    def new(self, suffix: str = "") -> Path:
        """Return a name that nothing has yet."""
        self.made += 1
        return self.folder / f"made{self.made}{suffix}"


def environment() -> dict[str, str]:
    """Let commands join the cluster of `cluster`, which asks for a token."""
    return {**os.environ, "RAY_AUTH_MODE": "token"}


def where_of(engine: str, n: int, address: str) -> list[str]:
    """Return the options that say where to work."""
    return ["-j", str(n), *(["--engine", "ray", "--address", address] if engine == RAY else [])]


def speed(work: Work, n_clips: int, turns: int, engines: Sequence[str]) -> Iterator[str]:
    """Time the whole command in each place, in turns; yield medians and ratios."""
    places = [(engine, n) for n in (2, 1) for engine in engines]
    took: dict[tuple[str, int], list[tuple[float, ...]]] = {place: [] for place in places}
    tables: set[bytes] = set()
    small: list[tuple[float, ...]] = []
    for _ in range(turns):
        with cluster() as address:
            for place in places:
                out = work.new(".csv")
                took[place].append(timed(work.scan(out, *where_of(*place, address))))
                tables.add(out.read_bytes())
        if RAY in engines and shutil.which(KEPT[0]):
            with cluster(KEPT) as address:
                small.append(timed([*KEPT, *work.scan(work.new(".csv"), *where_of(RAY, 1, address))])[:1])
    told = "one table" if len(tables) == 1 else "TABLES DIFFER"
    yield f"{n_clips} clips of {CLIP_S} s, FLAC; medians of {turns}; {told}\n"
    yield "| workers | seconds | processor s | of that the driver | times real time |\n|---|---|---|---|---|"
    middle = {place: [statistics.median(each) for each in zip(*took[place], strict=True)] for place in places}
    for (engine, n), (seconds, cpu_s, driver_s) in middle.items():
        alone = f"{driver_s:.1f}" if engine == RAY else ""  # elsewhere workers are its children
        yield f"| {n}, {engine} | {seconds:.1f} | {cpu_s:.1f} | {alone} | {n_clips * CLIP_S / seconds:.0f} |"
    for engine in engines:
        yield f"| two over one, {engine} | {_ratios(took[engine, 1], took[engine, 2])} | | | |"
    if small:
        seconds = statistics.median(each for (each,) in small)
        yield f"| 1, Ray, all of it on one core | {seconds:.1f} | | | {n_clips * CLIP_S / seconds:.0f} |"
        yield f"| two with two cores over one with one, Ray | {_ratios(small, took[RAY, 2])} | | | |"
    for n in (1, 2) if len(engines) > 1 else ():
        ray, local = took[RAY, n], took[LOCAL, n]
        yield f"| Ray over processes, {n} | {_ratios(ray, local)} | {_ratios(ray, local, 1)} | | |"


def _ratios(above: list[tuple[float, ...]], below: list[tuple[float, ...]], column: int = 0) -> str:
    """Return the median of the turns' ratios, and from what to what they go."""
    ratios = sorted(one[column] / other[column] for one, other in zip(above, below, strict=True))
    among = f" ({ratios[0]:.2f} to {ratios[-1]:.2f})" if len(ratios) > 1 else ""
    return f"{statistics.median(ratios):.2f} x{among}"


def timed(command: list[str]) -> tuple[float, float, float]:
    """Run a command.

    Returns
    -------
    Seconds on the clock; processor time of everything on the machine meanwhile; and that of the command's own process
    and its children, which the workers of a cluster are not.
    """
    began, cpu_s, own = time.perf_counter(), busy_s(), os.times()
    run(command)
    ended = os.times()
    own_s = ended.children_user + ended.children_system - own.children_user - own.children_system
    return time.perf_counter() - began, busy_s() - cpu_s, own_s


def busy_s() -> float:
    """Seconds that the cores of this machine have worked."""
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "nice", 0.0))  # Ray's workers are nice


def kills(work: Work, n_set: int) -> Iterator[str]:
    """Scan and build while workers are killed, and the driver once; compare with unbroken ones."""
    table, made = work.new(".csv"), work.new()
    run(work.scan(table, "-j", str(CORES)))
    run(work.build(made, n_set, "-j", str(CORES)))
    yield "| what | workers | workers killed | driver killed | outcome |\n|---|---|---|---|---|"
    with cluster() as address:
        for engine in (LOCAL, RAY):
            where = where_of(engine, CORES, address)
            out = work.new(".csv")
            killed = hunted(work.scan(out, *where), journal=out.with_name(out.name + ".journal"))
            keys = Counter(json.loads(line)["key"] for line in _journal(out).read_text().splitlines()[1:])
            once = f"{len(keys)} files, each {max(keys.values())} time(s)"
            yield f"| scan | {engine} | {killed} | 1 | {once}, {same(out, table)} |"
            out = work.new()
            killed = hunted(work.build(out, n_set, *where), journal=out / ".journal.jsonl")
            yield f"| build | {engine} | {killed} | 1 | {same(out, made)} |"


def _journal(table: Path) -> Path:
    return table.with_name(table.name + ".journal")


def run(command: list[str]) -> None:
    """Run a command to its end."""
    subprocess.run(command, cwd=ROOT, env=environment(), check=True, capture_output=True)


def hunted(command: list[str], *, journal: Path) -> int:
    """Run a command, killing a worker every 10 s, and the driver in between; start it again until it is through.

    Returns
    -------
    How many workers were killed.
    """
    over, killed = threading.Event(), [0]
    killer = threading.Thread(target=_hunt, args=(over, killed))
    killer.start()
    try:
        with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=-3, stderr=-3) as process:
            until = time.monotonic() + 2.5 * KILL_EVERY_S
            while process.poll() is None and time.monotonic() < until:
                time.sleep(0.05)
            if process.poll() is not None:
                raise SystemExit("the work was done before the driver could be killed: give more --clips or --set")
            process.send_signal(signal.SIGKILL)
        run(command)
    finally:
        over.set()
        killer.join()
    return killed[0]


def _hunt(over: threading.Event, killed: list[int]) -> None:
    """Kill a worker every 10 s: a process of Ray's, or one that this machine's engine spawned."""
    rng = random.Random(0)
    while not over.wait(KILL_EVERY_S):
        if prey := _workers():
            with suppress(psutil.NoSuchProcess):
                rng.choice(prey).kill()
                killed[0] += 1


def _workers() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            words = process.cmdline()
            if words[0].startswith("ray::_Actor") or "spawn_main" in " ".join(words):
                found.append(process)
    return found


def same(one: Path, other: Path) -> str:
    """Say whether two files, or all files of two folders, have the same bytes."""
    return "the same bytes" if _digest(one) == _digest(other) else "OTHER BYTES"


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if each.is_file():
            digest.update(str(each.relative_to(path)).encode() + each.read_bytes())
    return digest.hexdigest()


def stages(work: Work, sources: list[Path], n_set: int) -> Iterator[str]:
    """Yield what an hour of sound costs, stage by stage, on one core."""
    from audio.digest import file_sha256
    from audio.reading import read
    from model import Detector
    from model.features import log_mel
    from model.judging.runtime import Network

    clips = write_clips(work.new(), speech(sources, 200 * CLIP_S), 200, CLIP_S)
    detector = Detector()
    config, spent = detector.bundle.features, [0.0]
    assert config is not None
    Network.run = _watched(Network.run, spent)  # type: ignore[method-assign]  # this process does nothing else
    rows = {
        "hashing the file": _cost(clips, lambda clip: file_sha256(Path(clip))),
        "reading FLAC": _cost(clips, read),
        "features": _cost([read(clip) for clip in clips], lambda samples: log_mel(samples, config)),
        "judging, all of it, reading too": _cost(clips, detector.detect),
    }
    rows["of that the network"] = spent[0] / (len(clips) + 1) / CLIP_S * 3_600
    rows["building clips, channel included; copies by LPC in the cache"] = _building(work, n_set)
    yield "| stage | processor seconds an hour of sound |\n|---|---|"
    for name, seconds in rows.items():
        yield f"| {name} | {seconds:.2f} |"


def _building(work: Work, n_set: int) -> float:
    """Processor seconds that an hour of a set costs, with all programs that it starts."""
    run(work.build(work.new(), n_set, "-j", "1"))  # fills the cache
    out, began = work.new(), os.times()
    run(work.build(out, n_set, "-j", "1"))
    ended = os.times()
    made_s = sum(clip.n_samples for clip in read_manifest(out / "manifest.jsonl")) / SAMPLE_RATE
    spent_s = ended.children_user + ended.children_system - began.children_user - began.children_system
    return spent_s / made_s * 3_600


def _cost(items: Sequence[Any], work: Callable[[Any], Any]) -> float:
    """Processor seconds an hour of sound; the first one, which loads things, does not count."""
    work(items[0])
    began = time.process_time()
    for item in items:
        work(item)
    return (time.process_time() - began) / (len(items) * CLIP_S) * 3_600


def _watched(run: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    def timed_run(self: Any, features: Any) -> Any:
        began = time.process_time()
        found = run(self, features)
        spent[0] += time.process_time() - began
        return found

    return timed_run


if __name__ == "__main__":
    sys.exit(main())
