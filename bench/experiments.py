"""`python -m bench.experiments`: the search behind the shipped weights, one controlled run after the other.

`bench/experiments.toml` lists the runs: each changes one thing about the baseline. All are trained for the same number
of steps with the same seed on the same clips, and judged on three sets that nothing was trained on:

    hybrids   the dev split of the pool: dev speakers and dev generators, through random channels
    whole     the dev rows of the corpus, real and fake throughout, as they were found
    foreign   other people's partial fakes (`partial_manifest.csv`), a development set

Test rows are not touched. A run that is finished is not done again; one that was stopped goes on. The table goes to
stdout, in Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from audio.atomic import replacing
from audio.errors import ToolkitError
from audio.manifest import Clip, read_manifest, read_table

PLAN = Path(__file__).with_suffix(".toml")

BASELINE = "baseline"
"""The run that all others differ from in one thing."""

MOST_HYBRIDS = 960
"""Clips of the pool's dev split that are judged, spread evenly."""

THREADS = ("TF_NUM_INTRAOP_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
"""Variables that keep TensorFlow and NumPy on one core."""

COLUMNS: Mapping[str, str] = {
    "hybrids_macro_f1": "macro-F1",
    "hybrids_segment_eer_20ms_hybrids": "20 ms EER, hybrids",
    "hybrids_segment_eer_20ms": "20 ms EER, all",
    "hybrids_eer": "clip EER",
    "whole_eer": "clip EER, whole",
    "foreign_segment_eer_20ms": "20 ms EER, foreign",
}


def main() -> int:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser("python -m bench.experiments", description=__doc__)
    parser.add_argument("--pools", type=Path, required=True, metavar="DIR", help="folder with the pools of the plan")
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR", help="folder with manifest.csv")
    parser.add_argument("--out", type=Path, default=Path("runs/experiments"), metavar="DIR")
    parser.add_argument("--one", metavar="NAME", help="run this one, in this process, on one core")
    parser.add_argument("-j", "--workers", type=int, default=2, help="runs side by side (default: %(default)s)")
    parser.add_argument("--table", action="store_true", help="only print the table of what is finished")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    options = parser.parse_args()
    plan = read_plan()
    if options.one:
        run(options.one, plan[options.one], options)
        return 0
    missing = [name for name in options.names or plan if not (options.out / name / "figures.json").exists()]
    if not options.table:
        with ThreadPoolExecutor(options.workers) as pool:
            list(pool.map(partial(_in_own_process, options), missing))
    print(table(options.out, [name for name in plan if (options.out / name / "figures.json").exists()], plan))
    return 0


def _in_own_process(options: argparse.Namespace, name: str) -> None:
    """Do one run with one thread: the network is small, and two runs side by side are faster than one on two cores."""
    where = ["--pools", options.pools, "--corpus", options.corpus, "--out", options.out]
    command = [sys.executable, "-m", "bench.experiments", *map(str, where), "--one", name]
    subprocess.run(command, check=True, env={**os.environ, **dict.fromkeys(THREADS, "1")})


def read_plan(path: Path = PLAN) -> dict[str, dict[str, Any]]:
    """Return each run's `question`, `pool` and settings (`model.training.settings`), with those of the baseline."""
    with path.open("rb") as file:
        entries = tomllib.load(file)
    base = entries[BASELINE]
    return {name: {**base, **_merged(base, given)} for name, given in entries.items()}


def _merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {**base.get(name, {}), **value} if isinstance(value, dict) else value for name, value in given.items()
    }


def run(name: str, asked: Mapping[str, Any], options: argparse.Namespace) -> None:
    """Train and judge one run, and leave `figures.json`."""
    from model.training.quiet import load_tensorflow

    load_tensorflow()
    from model.bundle import BUNDLE_FOLDER, Bundle, write_bundle
    from model.training.examples import read_set
    from model.training.export import export
    from model.training.fit import fit
    from model.training.settings import read_run, settings_from, start_run

    folder = options.out / name
    settings = {key: value for key, value in asked.items() if key not in ("question", "pool")}
    if not (folder / "settings.json").exists():
        start_run(folder, settings_from(name, {**settings, "data": str(options.pools / asked["pool"])}))
    resumed = read_run(folder)
    pool = read_set(Path(resumed.data), seed=resumed.seed)
    began = time.monotonic()
    model = fit(folder, resumed, pool)
    seconds = time.monotonic() - began
    bundle = Bundle(
        folder / BUNDLE_FOLDER, name, resumed.window_samples, resumed.step_samples, resumed.features
    )
    difference = export(model, bundle.path, features=resumed.features)
    write_bundle(bundle)
    figures = judge(bundle.path, pool.manifest_path, options.corpus)
    facts = {"parameters": model.count_params(), "seconds": round(seconds), "onnx_difference": difference}
    with replacing(folder / "figures.json") as beside:
        beside.write_text(json.dumps({**facts, **figures}, indent=2) + "\n", encoding="utf-8")


def judge(bundle: Path, pool: Path, corpus: Path) -> dict[str, float | None]:
    """Calibrate on the pool's dev split, and judge the three sets."""
    from dataclasses import replace

    from model.bundle import read_bundle, write_bundle
    from model.training.calibrate import calibrate, gather

    dev = _spread([clip for clip in read_manifest(pool) if clip.split == "dev"], MOST_HYBRIDS)
    partial = corpus / "partial_manifest.csv"
    sets = {
        "hybrids": (pool, dev),
        "whole": (corpus / "manifest.csv", [c for c in read_table(corpus / "manifest.csv") if c.split == "dev"]),
        "foreign": (partial, read_table(partial)),
    }
    found = calibrate(gather(bundle, pool, dev[::2], group="hybrids"))
    write_bundle(
        replace(read_bundle(bundle), calibration=found.calibration, operating_points=found.operating_points)
    )
    return {
        f"{name}_{key}": value
        for name, (place, clips) in sets.items()
        for key, value in _figures(bundle, place, clips).items()
    }


def _figures(bundle: Path, place: Path, clips: Sequence[Clip]) -> dict[str, float | None]:
    from model.evaluation.clip_figures import ranking_figures, verdict_figures
    from model.evaluation.figures import find, sample
    from model.evaluation.place_figures import cell_figures
    from model.evaluation.scoring import Judge

    given = sample(Judge(bundle).judge(place, clips), n_resamples=1)
    found = [*verdict_figures(given), *ranking_figures(given, None), *cell_figures(given, None, resolutions_ms=(20,))]
    keys = ("macro_f1", "accuracy", "eer", "segment_eer_20ms", "segment_eer_20ms_hybrids")
    return {key: find(found, key) for key in keys}


def _spread(clips: Sequence[Clip], most: int) -> list[Clip]:
    step = max(1, -(-len(clips) // most))
    return list(clips[::step])


def table(out: Path, names: Sequence[str], plan: Mapping[str, Mapping[str, Any]]) -> str:
    """Lay out the figures of finished runs, in Markdown."""
    lines = [
        "| run | what it asks | " + " | ".join(COLUMNS.values()) + " | parameters | minutes |",
        "|---|---|" + "---|" * (len(COLUMNS) + 2),
    ]
    for name in names:
        found = json.loads((out / name / "figures.json").read_text(encoding="utf-8"))
        cells = [f"{found[key]:.3f}" if found[key] is not None else "-" for key in COLUMNS]
        facts = [f"{found['parameters']:,}", f"{found['seconds'] / 60:.0f}"]
        lines.append(f"| {name} | {plan[name]['question']} | " + " | ".join([*cells, *facts]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ToolkitError as error:
        sys.exit(f"error: {error}")
