"""Cross-validation: a run for each fold, side by side in one folder, and what they come to together.

RUN/fold-0/       a run like any other (model.training.run), fold 0 being its test
RUN/fold-1/       ...
RUN/metrics.json  the figures of each fold, their mean and their deviation
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from audio.atomic import replacing
from model.training.evaluate import Table, figure_text
from model.training.runs import METRICS_NAME
from model.training.splits import Division

FIGURES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "segment_eer_20ms": "20 ms segment EER",
    "segment_eer_20ms_hybrids": "20 ms segment EER, hybrids only",
}
"""Of the test table of a fold, with their words."""


def fold_folder(run: Path, fold: int) -> Path:
    """Return where the run of a fold lies."""
    return run / f"fold-{fold}"


def run_folders(run: Path, divisions: Sequence[Division]) -> list[Path]:
    """Return where the runs of a set's divisions lie: in the folder itself where there is only one."""
    return [run] if len(divisions) == 1 else [fold_folder(run, each.fold) for each in divisions]


def fold_folders(run: Path) -> list[Path]:
    """Return the runs of all folds that were begun, in order; none for a run that is no cross-validation."""
    found = [path.parent for path in run.glob("fold-*/settings.json")]
    return sorted(found, key=lambda folder: int(folder.name.removeprefix("fold-")))


def is_finished(folder: Path) -> bool:
    """Tell whether a run has its test table."""
    return (folder / METRICS_NAME).is_file()


def sum_up(run: Path, folders: Sequence[Path]) -> dict[str, Any]:
    """Write the `metrics.json` of a cross-validation and return it.

    Parameters
    ----------
    run
        The folder that holds the folds.
    folders
        Finished runs, two or more, in the order of the folds.
    """
    found = summarise([json.loads((folder / METRICS_NAME).read_text(encoding="utf-8")) for folder in folders])
    with replacing(run / METRICS_NAME) as beside:
        beside.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def summarise(tables: Sequence[Table]) -> dict[str, Any]:
    """Return the tables of the folds with mean and sample deviation of each figure, None where one is undefined."""
    found = {key: mean_and_deviation([table[key] for table in tables]) for key in FIGURES}
    return {
        "folds": list(tables),
        "mean": {key: each and each[0] for key, each in found.items()},
        "deviation": {key: each and each[1] for key, each in found.items()},
    }


def mean_and_deviation(values: Sequence[float | None]) -> tuple[float, float] | None:
    """Return mean and sample deviation of a figure over folds, two or more; None where one does not define it."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return (mean(known), stdev(known)) if len(known) == len(values) else None


def as_text(found: dict[str, Any]) -> str:
    """Lay a summary out for people: mean, deviation, and each fold."""
    lines = [f"{len(found['folds'])} folds, mean and deviation (each fold once as test; positive class: fake)"]
    for key, words in FIGURES.items():
        each = ", ".join(figure_text(table[key]) for table in found["folds"])
        lines.append(f"  {words}: {figure_text(found['mean'][key])} +- {figure_text(found['deviation'][key])} ({each})")
    return "\n".join(lines)
