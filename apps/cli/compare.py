"""`script.py compare`: train and judge every system on the same clips under one budget, and print the table."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from audio.errors import ToolkitError, UsageError
from audio.executors import Workers, add_executor, workers_of

if TYPE_CHECKING:
    from apps.comparing.outcome import Outcome
    from apps.comparing.systems import System
    from apps.comparing.trial import Plan, Trial

HELP = "Train and judge the networks and classical systems of the field on one set, in one table."

EXAMPLE = """\
examples:
  python script.py compare --data data/mine                                   all systems: hours
  python script.py compare --data data/mine --systems cnnrnnlstm,gru,forest --minutes 5
  python script.py compare --data data/mine --systems logistic,knn --windows 1000
  python script.py compare --data data/mine --systems all --leaky-split -j 2  with the naive split beside the honest one
  python script.py compare --data data/mine --folds 5                         cross-validation by speaker and generator

Each network learns for --minutes of processor time, each classical system from --windows of 4 s. All learn from the
training split of the set, are calibrated on dev and judged on its test splits; every run stays in OUT/runs, for
`script.py --model`.
Start it again after a stop: what is done is not done again, and what failed is tried again.
Writes comparison.json, comparison.csv and report.html into --out.
exit status: 0 ran, 1 a system failed, 2 wrong usage."""

OUT = Path("outputs")
"""Where comparisons go unless told otherwise."""

ALL = "all"

MINUTES = 10.0
"""Of processor time that a network learns for unless told otherwise: about a thousand steps of ours."""

WINDOWS = 2_000
"""That a classical system learns from unless told otherwise."""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="the set, with manifest.jsonl")
    add("--systems", default=ALL, metavar="A,B", help="which, by --network and --classical names (default: all)")
    add("--minutes", type=float, default=MINUTES, help="of processor time for each network's training (default: 10)")
    add("--windows", type=int, default=WINDOWS, help="that each classical system learns from (default: 2000)")
    add("--folds", type=int, metavar="K", help="cross-validation by speaker and generator: mean and deviation")
    add("--leaky-split", action="store_true", help="train all again on clips drawn at random, for columns beside")
    add("--seed", type=int, default=0, help="of folds and trainings (default: 0)")
    add("--out", type=Path, metavar="DIR", help=f"folder of the comparison (default: {OUT}/comparison-NAME)")
    add_executor(parser, default=1, told="systems side by side, a core each")
    add("--json", action="store_true", help="print one JSON object a line for each system, split and fold")


def run(arguments: argparse.Namespace) -> int:
    """Compare; return 0, or 1 when a system failed.

    Raises
    ------
    UsageError
        For unknown systems, a budget that is none, or a set that does not say who speaks.
    ToolkitError
        When the set is broken, or the results cannot be written.
    """
    from apps.comparing.systems import chosen, systems
    from apps.comparing.table import notes, table
    from apps.comparing.trial import Plan
    from audio.pages import table_text

    if not arguments.minutes > 0:
        raise UsageError(f"--minutes: expected more than 0, received {arguments.minutes:g}")
    workers, known = workers_of(arguments), systems()
    names = list(known) if arguments.systems == ALL else [name.strip() for name in arguments.systems.split(",")]
    wanted = chosen(names, known)
    out = arguments.out or OUT / f"comparison-{arguments.data.resolve().name}"
    plan = Plan(
        arguments.data,
        out,
        seed=arguments.seed,
        cpu_minutes=arguments.minutes,
        windows=arguments.windows,
        folds=arguments.folds,
        one_core=workers != 1,
    )
    _look(plan, leaky=arguments.leaky_split)
    outcomes = _outcomes(wanted, plan, leaky=arguments.leaky_split, workers=workers)
    _write(out, outcomes, plan, wanted)
    if arguments.json:
        print("\n".join(json.dumps(each.to_row(), allow_nan=False) for each in outcomes), flush=True)
    else:
        print(table_text(table(outcomes)), *notes(outcomes), sep="\n", flush=True)
    _log.info("report: %s", out / "report.html")
    return 1 if any(each.error for each in outcomes) else 0


def _look(plan: Plan, *, leaky: bool) -> None:
    """Divide the set once, so that one that cannot be compared on is refused before anything is trained.

    Raises
    ------
    UsageError
        When it cannot be divided so.
    ManifestError
        When it is missing or broken, or lacks a split.
    """
    from model.training.examples import read_set
    from model.training.splits import division_of

    if not (plan.data / "manifest.jsonl").is_file():
        told = "a set with manifest.jsonl, which says who speaks and where"
        raise UsageError(f"--data: expected {told}, received {plan.data}")
    for naive in (False, True)[: 1 + leaky]:
        division = division_of(plan.folds, None, leaky=naive)
        read_set(plan.data, seed=plan.seed, needed=("train", "dev", "test"), division=division)


def _outcomes(wanted: Sequence[System], plan: Plan, *, leaky: bool, workers: Workers) -> list[Outcome]:
    """Run all trials: first those of systems that need no other, then the rest; in the order of the systems."""
    from apps.comparing.trial import trials

    found: dict[Trial, Outcome] = {}
    for first in (True, False):
        turn = [system for system in wanted if first is not bool(system.needs)]
        found |= _run(trials(turn, plan, leaky=leaky), wanted, plan, workers=workers)
    return [found[trial] for trial in trials(wanted, plan, leaky=leaky)]


def _run(turn: Sequence[Trial], wanted: Sequence[System], plan: Plan, *, workers: Workers) -> dict[Trial, Outcome]:
    from apps.comparing.outcome import Outcome
    from apps.comparing.trial import run
    from audio import jobs

    rows = jobs.run(
        partial(run, systems={system.name: system for system in wanted}, plan=plan),
        turn,
        key=lambda trial: trial.name,
        workers=workers,
        title="comparing",
    )
    found = {}
    for trial, (row,) in zip(turn, rows, strict=True):
        if "figures" not in row:  # the row that `jobs` makes of an error
            found[trial] = Outcome(trial.system, trial.split, trial.fold, error=row["error"])
            _log.error("error: %s: %s", trial.name, row["error"])
        else:
            found[trial] = Outcome.from_row(row)
    return found


def _write(out: Path, outcomes: Sequence[Outcome], plan: Plan, wanted: Sequence[System]) -> None:
    from apps.comparing.report import write_report
    from apps.comparing.table import csv_text
    from audio.atomic import replacing

    texts = {
        "comparison.json": "".join(json.dumps(each.to_row(), allow_nan=False) + "\n" for each in outcomes),
        "comparison.csv": csv_text(outcomes),
    }
    try:
        for name, text in texts.items():
            with replacing(out / name) as beside:
                beside.write_text(text, encoding="utf-8", newline="\n")
        write_report(out / "report.html", outcomes, plan, wanted)
    except OSError as error:
        raise ToolkitError(f"{out}: the comparison cannot be written: {error.strerror}") from None
