"""`python -m bench.scanning`: what judging costs beside what cannot be saved, all measured in this run.

    --what cold    from the start of the process to a verdict on a WAV of 10 s, beside importing TensorFlow alone
    --what scan    clips of 10 s in FLAC on two workers: everything but the network's own run time, beside the floor
                   (decoding and one STFT of each clip, in a NumPy loop, on two workers too); and `script.py scan` whole
    --what kills   a scan of 2,000 clips of 2 s that SIGKILL ends 20 times: how often each file was judged, and whether
                   its table has the bytes of an unbroken one
    --what memory  a scan of --items short clips (links to a few), on two workers of this machine and of a Ray cluster:
                   memory of the driver and of its largest worker while it goes on
    --what long    one FLAC of ten hours: peak memory, and whether its end is heard as it is alone

The recordings are made of genuine speech below --real, one after the other; default: the prompts in data/voices.
Prints tables in Markdown; ratios are of this run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from audio.executors import LOCAL, RAY
from audio.manifest import recordings_below
from audio.reading import read
from audio.segments import SAMPLE_RATE

BENCHES = ("cold", "scan", "kills", "memory", "long")

CLIP_S, SHORT_S, ROUNDS, WORKERS = 10, 2, 5, 2

FEW, SHARES, SAMPLE_S = 20, (0.1, 0.5, 0.9), 0.5
"""Of `memory`: different clips, what is told of, and how often it is looked."""

STFT_SAMPLES, STFT_STEP = 1024, 320
"""Of the floor: the analysis windows that the features have too, each sample looked at once."""

ROOT = Path(__file__).parents[1]

WATCHED = """
import hashlib, json, resource, sys
from model import Detector
found = Detector().detect(sys.argv[1])
last = found.frame_scores[-round(9 * 60 / found.frame_hop_s):]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"duration_s": found.duration_s, "last": hashlib.sha256(last.tobytes()).hexdigest(), "peak": peak}))
"""
"""Judges a recording; tells its length, what it says of the last nine minutes, and its peak memory, KiB on Linux."""

Samples = npt.NDArray[np.float32]


def main() -> int:
    """Run what is asked for and print its tables."""
    parser = argparse.ArgumentParser("python -m bench.scanning", description=__doc__)
    parser.add_argument("--what", choices=BENCHES, action="append", help="default: all of them")
    parser.add_argument("--real", type=Path, default=Path("data", "voices"), metavar="DIR", help="genuine speech")
    parser.add_argument("--clips", type=int, default=400, help="clips of 10 s to scan (default: %(default)s)")
    parser.add_argument(
        "--files", type=int, default=2_000, help="files of the scan that is killed (default: %(default)s)"
    )
    parser.add_argument("--kills", type=int, default=20, help="how often (default: %(default)s)")
    parser.add_argument("--items", type=int, nargs="+", default=[1_000, 50_000], help="of --what memory")
    parser.add_argument("--engine", choices=(LOCAL, RAY), nargs="+", default=[LOCAL, RAY], help="of --what memory")
    parser.add_argument("--hours", type=float, default=10.0, help="length of the long recording (default: %(default)s)")
    options = parser.parse_args()
    sources = sorted(recordings_below(options.real))
    if not sources:
        parser.error(f"--real: expected recordings below {options.real}, found none")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for what in options.what or BENCHES:
            if what == "cold":
                cold(Path(folder), sources)
            elif what == "scan":
                scan(Path(folder), sources, options.clips)
            elif what == "kills":
                kills(Path(folder), sources, options.files, options.kills)
            elif what == "memory":
                memory(Path(folder), sources, options.items, options.engine)
            else:
                long(Path(folder), sources, options.hours)
    return 0


def speech(sources: list[Path], seconds: float) -> Samples:
    """Join recordings until they last so long, float32 (n,)."""
    found, n_samples, wanted = [], 0, round(seconds * SAMPLE_RATE)
    for path in cycle(sources):
        found.append(read(path))
        n_samples += found[-1].size
        if n_samples >= wanted:
            return np.concatenate(found)[:wanted]
    raise AssertionError("cycle never ends")


def cold(folder: Path, sources: list[Path]) -> None:
    """Time both kinds of process in turns and print the medians."""
    clip = folder / "clip.wav"
    soundfile.write(clip, speech(sources, CLIP_S), SAMPLE_RATE)
    commands = {
        "`script.py detect`, to the verdict": [sys.executable, "script.py", "detect", str(clip)],
        "importing TensorFlow": [sys.executable, "-c", "import tensorflow"],
    }
    took: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
            took[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times[1:]) for name, times in took.items()}  # the first one fills the caches
    print(f"\nA process from its start, a WAV of {CLIP_S} s, medians of {ROUNDS}\n\n| process | seconds |\n|---|---|")
    for name, seconds in medians.items():
        print(f"| {name} | {seconds:.2f} |")
    ours, theirs = medians.values()
    print(f"| ratio | {ours / theirs:.2f} |", flush=True)


def scan(folder: Path, sources: list[Path], n_clips: int) -> None:
    """Time the floor and the judging of the same clips in turns, on two workers, then the whole command."""
    clips = write_clips(folder / "clips", speech(sources, min(n_clips, 40) * CLIP_S), n_clips, CLIP_S)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        shares = [clips[worker::WORKERS] for worker in range(WORKERS)]
        totals = np.sum(list(pool.map(_costs, shares)), axis=0)
    floor_s, judging_s, network_s = totals / n_clips
    print(f"\n{n_clips} clips of {CLIP_S} s, FLAC, {WORKERS} workers; milliseconds of one core a clip\n")
    print("| what | ms |\n|---|---|")
    print(f"| floor: decoding and one STFT | {1e3 * floor_s:.1f} |")
    print(f"| judging, without the network | {1e3 * (judging_s - network_s):.1f} |")
    print(f"| the network | {1e3 * network_s:.1f} |")
    print(f"| without the network, times the floor | {(judging_s - network_s) / floor_s:.2f} |")
    began = time.perf_counter()
    subprocess.run(_scanning(folder / "clips", folder / "results.csv"), cwd=ROOT, check=True, capture_output=True)
    seconds = time.perf_counter() - began
    speed = n_clips * CLIP_S / seconds
    print(f"\n`script.py scan -j {WORKERS}`: {seconds:.1f} s, {speed:.0f} times real time", flush=True)


def _scanning(clips: Path, out: Path) -> list[str]:
    return [sys.executable, "script.py", "scan", str(clips), "--out", str(out), "-j", str(WORKERS)]


def write_clips(folder: Path, samples: Samples, n_clips: int, clip_s: int) -> list[str]:
    """Write clips of the same length, those of `samples` again and again."""
    folder.mkdir()
    paths = [folder / f"{k:05}.flac" for k in range(n_clips)]
    different = samples.reshape(-1, clip_s * SAMPLE_RATE)
    for path, clip in zip(paths, cycle(different), strict=False):
        soundfile.write(path, clip, SAMPLE_RATE)
    return [str(path) for path in paths]


def kills(folder: Path, sources: list[Path], n_files: int, n_kills: int) -> None:
    """Kill a scan after a random number of files, again and again, and compare it with an unbroken one."""
    write_clips(folder / "short", speech(sources, min(n_files, 200) * SHORT_S), n_files, SHORT_S)
    whole, broken = folder / "whole.csv", folder / "broken.csv"
    subprocess.run(_scanning(folder / "short", whole), cwd=ROOT, check=True, capture_output=True)
    journal, rng, n_killed = broken.with_name(broken.name + ".journal"), random.Random(0), 0
    for k in range(n_kills):
        done = _n_lines(journal)
        # On average an equal share of what is left for each kill to come: the last one still finds work.
        wanted = done + rng.randint(1, max(1, 2 * (n_files - done) // (n_kills - k + 1) - 1))
        with subprocess.Popen(
            _scanning(folder / "short", broken), cwd=ROOT, stdout=-3, stderr=-3, start_new_session=True
        ) as process:
            while process.poll() is None and _n_lines(journal) < wanted:
                time.sleep(0.001)
            with suppress(ProcessLookupError):  # on a busy machine a scan may end before we look
                os.killpg(process.pid, signal.SIGKILL)
                n_killed += 1
    subprocess.run(_scanning(folder / "short", broken), cwd=ROOT, check=True, capture_output=True)
    keys = Counter(json.loads(line)["key"] for line in journal.read_text().splitlines()[1:])
    same = "the same bytes" if whole.read_bytes() == broken.read_bytes() else "OTHER BYTES"
    print(f"\n{n_files} files of {SHORT_S} s, killed {n_killed} times: {same} as unbroken; ", end="")
    print(f"{len(keys)} files judged, most often {max(keys.values())} times", flush=True)


def _n_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def memory(folder: Path, sources: list[Path], counts: list[int], engines: list[str]) -> None:
    """Watch the memory of scans of listings of several lengths."""
    clips = write_clips(folder / "few", speech(sources, FEW * SHORT_S), FEW, SHORT_S)
    told = " | ".join(f"{who} at {share:.0%}" for who in ("driver", "worker") for share in SHARES)
    print(f"\nScans of links to {FEW} clips of {SHORT_S} s, {WORKERS} workers; MB, of the largest worker\n")
    print(f"| items | engine | {told} | driver's peak | worker's peak |\n|{'---|' * (4 + 2 * len(SHARES))}")
    for n_items in counts:
        _link(clips, folder / str(n_items), n_items)
        for engine in engines:
            seen = _watched_scan(folder / str(n_items), folder / f"{n_items}-{engine}.csv", engine, n_items)
            at = [next(sample for sample in seen if sample[0] >= share or sample is seen[-1]) for share in SHARES]
            figures = [sample[who] for who in (1, 2) for sample in at] + [max(s[who] for s in seen) for who in (1, 2)]
            print(f"| {n_items} | {engine} | {' | '.join(f'{mb:.0f}' for mb in figures)} |", flush=True)


def _link(clips: list[str], folder: Path, n_items: int) -> None:
    """Make so many names for a few files, a thousand in a folder."""
    for k, clip in zip(range(n_items), cycle(clips), strict=False):
        place = folder / f"{k // 1000:03}" / f"{k:06}.flac"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(clip)


def _watched_scan(clips: Path, out: Path, engine: str, n_items: int) -> list[tuple[float, float, float]]:
    """Scan, and return samples once a second: the share that is done, MB of the driver, MB of its largest worker."""
    import psutil

    journal, samples, place, n_done = out.with_name(out.name + ".journal"), [], 0, -1
    command = [*_scanning(clips, out), "--engine", engine]
    with tempfile.TemporaryFile("w+") as said, subprocess.Popen(command, cwd=ROOT, stdout=-3, stderr=said) as process:
        while process.poll() is None:
            time.sleep(SAMPLE_S)
            if journal.exists():
                with journal.open("rb") as file:
                    file.seek(place)
                    n_done += (grown := file.read()).count(b"\n")
                    place += len(grown)
            with suppress(psutil.NoSuchProcess):  # it has ended
                family = psutil.Process(process.pid).children(recursive=True)
                workers = [_mb(each.pid) for each in family if _works(each)]
                if (driver := _mb(process.pid)) > 0:  # it is not about to end
                    samples.append((n_done / n_items, driver, max(workers, default=0.0)))
        said.seek(0)
        if process.returncode or not samples:
            raise SystemExit(f"{' '.join(command)}: exit status {process.returncode}:\n{said.read()}")
    return samples


def _works(process: Any) -> bool:
    """Tell a worker from what else a scan starts: Ray's servers, Python's keeper of semaphores."""
    import psutil

    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return "spawn_main" in command or command.startswith("ray::_Actor")


def _mb(pid: int) -> float:
    """Return the memory of a process: its share of what several map where the system tells, else all it maps."""
    import psutil

    with suppress(OSError, StopIteration), open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
        return int(next(line for line in file if line.startswith("Pss:")).split()[1]) / 1024
    with suppress(psutil.Error):
        return float(psutil.Process(pid).memory_info().rss) / 2**20
    return 0.0


def _costs(clips: list[str]) -> tuple[float, float, float]:
    """Seconds of one core that the floor, judging, and the network within it took for some clips. In a worker."""
    from audio.listing import Item
    from model.bundle import find_bundle
    from model.judging.runtime import Network
    from model.judging.scan import How, _judged

    spent = [0.0]
    run = Network.run

    def timed(self: Network, features: Any) -> Any:
        began = time.thread_time()
        found = run(self, features)
        spent[0] += time.thread_time() - began
        return found

    Network.run = timed  # type: ignore[method-assign]  # this process does nothing else
    judge, took = partial(_judged, how=How(find_bundle(None))), np.zeros(2)
    judge(Item.of(clips[0]))
    spent[0] = 0.0
    for clip in clips:
        for kind, work in enumerate((_floor, lambda path: judge(Item.of(path)))):
            began = time.thread_time()
            work(clip)
            took[kind] += time.thread_time() - began
    return float(took[0]), float(took[1]), spent[0]


def _floor(path: str) -> npt.NDArray[np.float64]:
    """Decode a clip and transform it once: no judging of spectra can do without it."""
    samples, _ = soundfile.read(path, dtype="float32")
    padded = np.pad(samples, STFT_SAMPLES // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, STFT_SAMPLES)[::STFT_STEP]
    spectra = np.fft.rfft(frames * np.hanning(STFT_SAMPLES))
    return np.asarray(np.square(spectra.real) + np.square(spectra.imag))


def long(folder: Path, sources: list[Path], hours: float) -> None:
    """Judge one long recording and its last ten minutes alone; print its peak memory and whether they agree."""
    path, last = folder / "long.flac", folder / "last.flac"
    ten_minutes = speech(sources, 600)
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1) as file:
        for _ in range(round(6 * hours)):
            file.write(ten_minutes)
    soundfile.write(last, ten_minutes, SAMPLE_RATE)
    began = time.perf_counter()
    found = _watched(path)
    seconds = time.perf_counter() - began
    alone = _watched(last)
    print(f"\nOne FLAC of {hours:g} h: {seconds:.0f} s, {hours * 3600 / seconds:.0f} times real time\n")
    print("| what | ten hours | its last ten minutes alone |\n|---|---|---|".replace("ten hours", f"{hours:g} h"))
    print(f"| peak memory, MB | {found['peak'] / 1024:.0f} | {alone['peak'] / 1024:.0f} |")
    print(f"| length told, s | {found['duration_s']} | {alone['duration_s']} |")
    same = "the same bits" if found["last"] == alone["last"] else "DIFFERENT"
    print(f"| scores of the last nine minutes | {same} | |", flush=True)


def _watched(path: Path) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", WATCHED, path], cwd=ROOT, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    sys.exit(main())
