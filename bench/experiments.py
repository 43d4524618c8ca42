"""`python -m bench.experiments`: the search behind the shipped weights, one controlled run after the other.

`bench/experiments.toml` lists the runs: each changes one thing about the baseline, the network and its training or the
pool of clips that it learns from. All are trained for the same number of steps with the same seed, on one core each,
and judged on three sets that nothing was trained on:

    hybrids   the dev split of the main pool: dev speakers and dev generators, most through random channels
    whole     the dev rows of the corpus, real and fake throughout, as they were found
    foreign   other people's partial fakes (`partial_manifest.csv`), a development set

Test rows are not touched. A run that is finished is not done again; one that was stopped goes on. `--write FILE` puts
the table into a document, between two marks.
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
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from apps.comparing.trial import THREADS
from audio.atomic import put_between, replacing
from audio.errors import ToolkitError
from audio.manifest import Clip, read_manifest, read_table

PLAN = Path(__file__).with_suffix(".toml")

BASELINE, MAIN = "baseline", "main"
"""The run that all others differ from in one thing, and the pool that it learns from."""

OWN = ("question", "pool")
"""Entries of a run that are no settings of the training."""

COLUMNS: Mapping[str, str] = {
    "hybrids_macro_f1": "macro-F1",
    "hybrids_segment_eer_20ms_hybrids": "20 ms EER, hybrids",
    "hybrids_segment_eer_20ms": "20 ms EER, all",
    "hybrids_clip_eer_fake": "real/fake EER",
    "whole_clip_eer_fake": "real/fake EER, whole",
    "foreign_segment_eer_20ms": "20 ms EER, foreign",
}
"""Figures in the table, and their names there."""

BEGIN, END = "<!-- experiments begin -->", "<!-- experiments end -->"
"""Marks in a document that the table stands between."""


@dataclass(frozen=True)
class Plan:
    """The runs by name, each with `question`, `pool` and its settings; and what the pools change about `pool.toml`."""

    runs: Mapping[str, Mapping[str, Any]]
    pools: Mapping[str, Mapping[str, Any]]


def main() -> int:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser("python -m bench.experiments", description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR", help="folder with manifest.csv")
    parser.add_argument("--out", type=Path, default=Path("runs/experiments"), metavar="DIR")
    parser.add_argument("--one", metavar="NAME", help="run this one, in this process")
    parser.add_argument("-j", "--workers", type=int, default=2, help="runs side by side (default: %(default)s)")
    parser.add_argument("--table", action="store_true", help="only the table of what is finished")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this document")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    options = parser.parse_args()
    plan = read_plan()
    if options.one:
        run(options.one, plan.runs[options.one], options.out, options.corpus)
        return 0
    missing = [name for name in options.names or plan.runs if not (options.out / name / "figures.json").exists()]
    if not options.table and missing:
        build_pools(plan, {MAIN, *(plan.runs[name]["pool"] for name in missing)}, options.out, options.corpus)
        with ThreadPoolExecutor(options.workers) as executor:
            list(executor.map(partial(_in_own_process, options), missing))
    found = table(plan, options.out)
    print(found)
    if options.write:
        write_table(options.write, found)
    return 0


def _in_own_process(options: argparse.Namespace, name: str) -> None:
    """Do one run with one thread: the network is small, and two runs side by side are faster than one on two cores."""
    where = ["--corpus", options.corpus, "--out", options.out]
    command = [sys.executable, "-m", "bench.experiments", *map(str, where), "--one", name]
    subprocess.run(command, check=True, env={**os.environ, **dict.fromkeys(THREADS, "1")})


def read_plan(path: Path = PLAN) -> Plan:
    """Read the runs, each with everything that it shares with the baseline, and the pools."""
    with path.open("rb") as file:
        entries = tomllib.load(file)
    pools = entries.pop("pools")
    base = entries[BASELINE]
    return Plan({name: {**base, **_merged(base, given)} for name, given in entries.items()}, pools)


def _merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {**base.get(name, {}), **value} if isinstance(value, dict) else value for name, value in given.items()
    }


def build_pools(plan: Plan, names: set[str], out: Path, corpus: Path) -> None:
    """Gather the recordings and build those pools that are not there yet, all from `pool.toml` and what they change."""
    from apps.pretraining.__main__ import POOL, build_pool
    from apps.pretraining.gather import MAY_SHIP, gather
    from synth.order import VOICES, read_order
    from synth.prompts import fetch_prompts

    for name in sorted(names, key=lambda name: name != MAIN):
        if (out / "pools" / name / "manifest.jsonl").exists():
            continue
        changes = {**plan.pools[MAIN], **plan.pools[name]}
        ships = changes.pop("ship", MAY_SHIP)
        voices = out / "-".join(["voices", *ships])
        gather(corpus, fetch_prompts(VOICES), voices, ships=ships)
        build_pool({**read_order(POOL), **changes}, voices, out / "pools" / name, workers=os.cpu_count() or 1)


def run(name: str, asked: Mapping[str, Any], out: Path, corpus: Path) -> None:
    """Train and judge one run, and leave `figures.json`."""
    from model.training.quiet import load_tensorflow

    load_tensorflow()
    from model.bundle import BUNDLE_FOLDER
    from model.training.examples import read_set
    from model.training.fit import fit
    from model.training.run import exported
    from model.training.runs import start_run
    from model.training.settings import read_run, settings_from

    folder = out / name
    settings = {key: value for key, value in asked.items() if key not in OWN}
    if not (folder / "settings.json").exists():
        start_run(folder, settings_from(name, {**settings, "data": str(out / "pools" / asked["pool"])}))
    resumed = read_run(folder)
    began = time.process_time()
    model = fit(folder, resumed, read_set(Path(resumed.data), seed=resumed.seed))
    seconds = time.process_time() - began
    bundle = exported(model, folder / BUNDLE_FOLDER, resumed, name=name)
    figures = judge(bundle.path, out / "pools" / MAIN / "manifest.jsonl", corpus)
    facts = {"parameters": model.count_params(), "cpu_seconds": round(seconds)}
    with replacing(folder / "figures.json") as beside:
        beside.write_text(json.dumps({**facts, **figures}, indent=2) + "\n", encoding="utf-8")


def judge(bundle: Path, pool: Path, corpus: Path) -> dict[str, float | None]:
    """Calibrate on half of the pool's dev split, and judge the three sets."""
    from dataclasses import replace

    from model.bundle import read_bundle, write_bundle
    from model.training.calibrate import calibrate, gather

    dev = [clip for clip in read_manifest(pool) if clip.split == "dev"]
    partial_fakes = corpus / "partial_manifest.csv"
    sets = {
        "hybrids": (pool, dev),
        "whole": (corpus / "manifest.csv", [c for c in read_table(corpus / "manifest.csv") if c.split == "dev"]),
        "foreign": (partial_fakes, read_table(partial_fakes)),
    }
    found = calibrate(gather(bundle, pool, dev[::2], group="hybrids"))
    write_bundle(
        replace(read_bundle(bundle), calibration=found.calibration, operating_points=found.operating_points[:1])
    )
    return {
        f"{name}_{key}": value
        for name, (place, clips) in sets.items()
        for key, value in _figures(bundle, place, clips).items()
    }


def _figures(bundle: Path, place: Path, clips: Sequence[Clip]) -> dict[str, float | None]:
    from model.evaluation.clip_figures import ranking_figures, verdict_figures
    from model.evaluation.figures import sample
    from model.evaluation.place_figures import cell_figures
    from model.evaluation.scoring import Judge

    given = sample(Judge(bundle).judge(place, clips), n_resamples=1)
    found = [*verdict_figures(given), *ranking_figures(given, None), *cell_figures(given, None, resolutions_ms=(20,))]
    return {figure.key: figure.value for figure in found}


def table(plan: Plan, out: Path) -> str:
    """Lay out the figures of finished runs, in Markdown."""
    lines = [
        "| run | what it asks | " + " | ".join(COLUMNS.values()) + " | parameters | CPU minutes |",
        "|---|---|" + "---|" * (len(COLUMNS) + 2),
    ]
    for name, asked in plan.runs.items():
        path = out / name / "figures.json"
        if not path.exists():
            continue
        found = json.loads(path.read_text(encoding="utf-8"))
        cells = [f"{found[key]:.3f}" if found.get(key) is not None else "-" for key in COLUMNS]
        facts = [f"{found['parameters']:,}", f"{found['cpu_seconds'] / 60:.0f}"]
        lines.append(f"| {name} | {asked['question']} | " + " | ".join([*cells, *facts]) + " |")
    return "\n".join(lines)


def write_table(path: Path, found: str) -> None:
    """Put the table into a document; raises `ToolkitError` when its marks are not there."""
    put_between(path, found, begin=BEGIN, end=END)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ToolkitError as error:
        sys.exit(f"error: {error}")
