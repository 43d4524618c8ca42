"""One system on one division of a set: trained by the command that users type, in a process of its own, then judged.

OUT/runs/NAME/          the run (`train_cnnrnnlstm.py`): its bundle can be used with `script.py --model`
OUT/runs/NAME/judged*   what it said of the test clips

A process of its own keeps a system that fails, or eats the memory, from the others; and everything is in files, so that
a comparison that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from apps.comparing.outcome import HONEST, LEAKY, Outcome, Value
from apps.comparing.systems import System
from audio.errors import ToolkitError
from audio.jobs import Row
from audio.labels import LABELS
from audio.manifest import Clip, resolve

TRAIN = (sys.executable, "-m", "apps.cli.train")
"""The training command."""

ROOT = Path(__file__).parents[2]
"""Where it is found."""

THREADS = ("TF_NUM_INTRAOP_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
"""Variables that keep TensorFlow and NumPy on one core, where several trainings run side by side."""

COST_CLIPS = 20
"""Test clips that the cost of judging is measured on."""

LAST_WORDS = 300
"""So much is told of why a system failed."""


@dataclass(frozen=True)
class Plan:
    """What all trials of a comparison share."""

    data: Path
    out: Path
    seed: int
    cpu_minutes: float
    """That each network learns for."""
    windows: int
    """That each classical system learns from."""
    folds: int | None
    one_core: bool = False


@dataclass(frozen=True)
class Trial:
    """One system on one division."""

    system: str
    split: str
    fold: int | None = None

    @property
    def name(self) -> str:
        """What its folder is called."""
        parts = [self.system, LEAKY if self.split == LEAKY else "", "" if self.fold is None else str(self.fold)]
        return "-".join(filter(None, parts))


def trials(systems: Iterable[System], plan: Plan, *, leaky: bool) -> list[Trial]:
    """List what a comparison consists of, in the order of the systems."""
    folds: Sequence[int | None] = [None] if plan.folds is None else range(plan.folds)
    splits = (HONEST, LEAKY) if leaky else (HONEST,)
    return [Trial(system.name, split, fold) for system in systems for split in splits for fold in folds]


def run(trial: Trial, *, systems: Mapping[str, System], plan: Plan) -> list[Row]:
    """Train and judge; what was trained or judged before is not done again.

    Returns
    -------
    One row, of `Outcome.to_row`.

    Raises
    ------
    ToolkitError
        When training or judging fails.
    """
    from model.training.runs import COST_NAME, METRICS_NAME

    folder = run_folder(plan, trial)
    if not (folder / METRICS_NAME).is_file():
        _train(trial, systems[trial.system], plan)
    costs = json.loads((folder / COST_NAME).read_text(encoding="utf-8"))
    place, clips = test_clips(trial, plan)
    return [_judged(trial, folder, place, clips, costs).to_row()]


def run_folder(plan: Plan, trial: Trial) -> Path:
    """Return where the run of a trial lies."""
    return plan.out / "runs" / trial.name


def _train(trial: Trial, system: System, plan: Plan) -> None:
    """Train in a process of its own.

    Raises
    ------
    ToolkitError
        When it ended with anything but 0: with the last line that it wrote to stderr.
    """
    folder = run_folder(plan, trial)
    begun = (folder / "settings.json").is_file()
    if begun and not system.is_network:
        shutil.rmtree(folder)
    words = ["--resume", str(folder)] if begun and system.is_network else asked(trial, system, plan)
    environment = {**os.environ, **(dict.fromkeys(THREADS, "1") if plan.one_core else {})}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run([*TRAIN, *words], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"]
        raise ToolkitError(lines[-1].removeprefix("error: ")[:LAST_WORDS])


def asked(trial: Trial, system: System, plan: Plan) -> list[str]:
    """Return the arguments of the training command."""
    runs = partial(_sibling, trial, plan)
    words = ["--data", str(plan.data), "--out", str(run_folder(plan, trial)), "--seed", str(plan.seed)]
    words += system.ask(runs)
    words += ["--minutes", f"{plan.cpu_minutes:g}"] if system.is_network else ["--windows", str(plan.windows)]
    words += ["--leaky-split"] if trial.split == LEAKY else []
    return words if plan.folds is None else [*words, "--folds", str(plan.folds), "--fold", str(trial.fold)]


def _sibling(trial: Trial, plan: Plan, system: str) -> Path:
    """Return the run of another system on the same division."""
    return run_folder(plan, Trial(system, trial.split, trial.fold))


def test_clips(trial: Trial, plan: Plan) -> tuple[Path, list[Clip]]:
    """Return where the set lies and those clips of it that a trial is judged on."""
    from audio.manifest import read_set
    from model.training.splits import divide, division_of

    place, everything = read_set(plan.data)
    division = division_of(plan.folds, trial.fold, leaky=trial.split == LEAKY)
    return place, [clip for clip in divide(everything, division, seed=plan.seed) if clip.split.startswith("test")]


def _judged(trial: Trial, folder: Path, place: Path, clips: list[Clip], costs: dict[str, float]) -> Outcome:
    from apps.cost import cost, spread
    from model.evaluation.clip_figures import one_table_each
    from model.evaluation.figures import sample, summarise
    from model.evaluation.scoring import Judge

    bundle = folder / "bundle"
    given = sample(Judge(bundle, folder).judge(place, clips, title=trial.name))
    found = {figure.key: Value(figure.value, figure.low, figure.high) for figure in summarise(given)}
    heard = [resolve(place, clip) for clip in spread(clips, COST_CLIPS)]
    judging = cost(bundle, heard, kept=folder / "judging.json")["judging"][0]
    sizes = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    table = one_table_each(given).sum(axis=0)
    own = {
        "precision": _mean_of(found, "precision"),
        "recall": _mean_of(found, "recall"),
        "boundary_error_s": _half(found, "onset_error_median_s", "offset_error_median_s"),
        "cpu_seconds": Value(costs["cpu_seconds"]),
        "parameters": Value(costs.get("parameters")),
        "ms_per_s": Value(judging),
        "size_bytes": Value(float(sizes)),
    }
    return Outcome(
        trial.system,
        trial.split,
        trial.fold,
        clips=len(clips),
        figures={**found, **own},
        confusion=tuple(tuple(int(n) for n in row) for row in table),
    )


def _mean_of(found: dict[str, Value], name: str) -> Value:
    """The mean over the classes; a class that nothing is called has a precision of 0, as in scikit-learn."""
    values = [found[f"{name}_{label}"].value for label in LABELS]
    return Value(sum(value or 0.0 for value in values) / len(values))


def _half(found: dict[str, Value], *keys: str) -> Value:
    """The mean of figures that are all defined."""
    values = [found[key].value for key in keys if key in found]
    known = [value for value in values if value is not None]
    return Value(sum(known) / len(known) if len(known) == len(keys) else None)
