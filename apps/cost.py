"""What judging costs: processor time for a second of audio, in a process that does nothing else.

Processor time and not the clock on the wall, so that a busy machine changes it little; all threads count.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audio.atomic import replacing
from audio.errors import ToolkitError
from audio.manifest import Clip
from audio.processes import pool
from audio.reading import read
from audio.segments import SAMPLE_RATE
from model.evaluation.figures import Figure
from model.judging.detector import Detector

COST = "cost"
"""What the figures are filed under, as a set."""

RUNS = 5
"""How often all clips are judged; the median counts."""

CLIPS = 60
"""Clips that are judged, spread over the set: some minutes of speech."""

CPU_FACTS = Path("/proc/cpuinfo")
"""Where Linux says which processor it runs on."""


def cost(bundle: Path, paths: Sequence[Path], *, kept: Path) -> dict[str, Any]:
    """Measure, or read what was measured before: the one figure that differs from run to run is taken once.

    Parameters
    ----------
    bundle
        Folder of the bundle.
    paths
        Recordings that are judged.
    kept
        File that remembers the outcome.

    Returns
    -------
    Milliseconds of one core for a second of audio, each the median, least and greatest of `runs` runs: `judging`
    (features included, decoding not) and `with_decoding`; and `clips`, `seconds` of audio, `runs`, `processor`.

    Raises
    ------
    ToolkitError
        When a recording cannot be read, or there is nothing to read.
    """
    if kept.is_file():
        return dict(json.loads(kept.read_text("utf-8")))
    if not paths:
        raise ToolkitError("cost of judging: expected recordings, received none")
    with pool(1) as processes:
        found = processes.submit(measure, bundle, paths).result()
    with replacing(kept) as beside:
        beside.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    return found


def spread(values: Sequence[Clip], most: int) -> list[Clip]:
    """Return at most so many, evenly spread."""
    places = np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))
    return [values[place] for place in places.tolist()]


def measure(bundle: Path, paths: Sequence[Path]) -> dict[str, Any]:
    """Judge recordings `RUNS` times in this process; see `cost`."""
    detector = Detector(bundle)
    recordings = [read(path) for path in paths]
    detector.detect(recordings[0])  # what is only done once is no cost of a second of audio
    seconds = sum(map(len, recordings)) / SAMPLE_RATE
    decoding, judging = [], []
    for _ in range(RUNS):
        start = time.process_time()
        recordings = [read(path) for path in paths]
        between = time.process_time()
        for samples in recordings:
            detector.detect(samples)
        decoding.append(between - start)
        judging.append(time.process_time() - between)
    both = [a + b for a, b in zip(decoding, judging, strict=True)]
    named = {"judging": judging, "with_decoding": both}
    return {
        **{name: _summed_up(np.array(times) * 1_000.0 / seconds) for name, times in named.items()},
        "clips": len(paths),
        "seconds": round(seconds, 1),
        "runs": RUNS,
        "processor": processor(),
    }


def _summed_up(values: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in (np.median(values), values.min(), values.max())]


def processor() -> str:
    """Name the processor of this machine."""
    lines = CPU_FACTS.read_text("utf-8").splitlines() if CPU_FACTS.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())


def cost_figures(found: dict[str, Any]) -> Iterator[Figure]:
    """Yield the outcome as figures; their ends are the least and the greatest of the runs."""
    runs = f"median of {found['runs']} runs over {found['seconds']:g} s of audio, and the least and greatest"
    names = {"judging": "judging, features included", "with_decoding": "the same with reading and decoding"}
    for key, words in names.items():
        value, low, high = found[key]
        yield Figure(
            f"{key}_ms_per_s", words, "", value, low, high, n=found["clips"], note=f"{runs}; {found['processor']}"
        )
