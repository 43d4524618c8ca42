"""`python -m bench.live`: what live judging costs, and whether that grows with the session.

Hears made noise in syllables and says, after each of `--minutes`, the processor time of one update of `script.py live`:
half a second of sound heard, and what can be said by now (`Live.so_far`). The median and the largest of twenty; beside
them the share of one core that hearing itself took so far. Processor time, so that a busy machine measures the same.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model import Detector, Live

RATE = 16_000
UPDATE_SAMPLES = RATE // 2
N_UPDATES = 20


def noise(seconds: float, *, seed: int) -> np.ndarray:
    """Noise in five syllables a second, float32 (n,)."""
    n = round(seconds * RATE)
    swell = 0.05 + np.sin(np.pi * 2.5 * np.arange(n) / RATE) ** 2
    return (0.05 * swell * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def measured(live: Live, minutes: float) -> str:
    """Go on up to a length and measure updates there; return a row of Markdown."""
    began, n_before = time.process_time(), live.n_samples
    sound = noise(30, seed=0)
    while live.n_samples < minutes * 60 * RATE:
        live.hear(sound)
    share = (time.process_time() - began) / max(1e-9, (live.n_samples - n_before) / RATE)
    costs = [_update_s(live, seed) for seed in range(N_UPDATES)]
    return f"| {minutes:g} | {1e3 * statistics.median(costs):.0f} | {1e3 * max(costs):.0f} | {share:.1%} |"


def _update_s(live: Live, seed: int) -> float:
    sound, began = noise(0.5, seed=seed), time.process_time()
    live.hear(sound)
    live.so_far()
    return time.process_time() - began


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, metavar="BUNDLE")
    parser.add_argument("--minutes", type=float, nargs="+", default=[0.5, 1, 10], help="default: 0.5 1 10")
    arguments = parser.parse_args(argv)
    live = Live(Detector(arguments.model))
    print("| minutes heard | update, ms | largest | hearing, of a core |\n|---|---|---|---|")
    for minutes in sorted(arguments.minutes):
        print(measured(live, minutes), flush=True)


if __name__ == "__main__":
    main()
