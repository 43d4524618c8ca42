"""The part of `train_cnnrnnlstm.py` that trains no network: classical systems and stacks."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audio.errors import UsageError
from model.bundle import SHIPPED
from model.classical.pipelines import EMBEDDINGS, SYSTEMS
from model.classical.selection import SELECTIONS

if TYPE_CHECKING:
    from model.training.evaluate import Table
    from model.training.splits import Division

METAS = ("logistic", "xgboost")
"""Those of `model.training.stacking`, for `--help` without loading it."""

OURS = ("selection", "windows", "meta", "stack_folds")
"""Arguments that networks do not take."""

NETWORK_ONLY = (
    *("recipe", "resume", "config", "epochs", "batch_size", "learning_rate", "patience", "network", "minutes"),
    *("shuffle_window", "strategy", "mixed_precision"),
)
"""Arguments that only networks take."""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of what is no network."""
    what = parser.add_mutually_exclusive_group()
    told = f"a classical system instead of a network: {', '.join(SYSTEMS)}; {EMBEDDINGS}: of --from-pretrained"
    what.add_argument("--classical", choices=SYSTEMS, metavar="NAME", help=told)
    what.add_argument("--stack", type=Path, nargs="+", metavar="RUN", help="a stack of finished runs on the same set")
    add = parser.add_argument
    told = f"features of a classical system: {', '.join(SELECTIONS)} (default: {SELECTIONS[0]})"
    add("--selection", choices=SELECTIONS, metavar="NAME", help=told)
    add("--windows", type=int, help="windows that a classical system or a stack learns from (default: 2000)")
    add("--meta", choices=METAS, metavar="NAME", help=f"what weighs a stack: {', '.join(METAS)} (default: {METAS[0]})")
    told = "parts, by speaker, that a stack's members are fitted anew without (default: 3)"
    add("--stack-folds", type=int, metavar="K", help=told)


def is_asked_for(arguments: argparse.Namespace) -> bool:
    """Tell whether something else than a network is to be trained.

    Raises
    ------
    UsageError
        When arguments do not go together.
    """
    other = arguments.classical is not None or arguments.stack is not None
    unfit = [name for name in (NETWORK_ONLY if other else OURS) if getattr(arguments, name, None) is not None]
    unfit += [name for name in ("meta", "stack_folds") if arguments.classical and getattr(arguments, name) is not None]
    if arguments.stack is not None:
        unfit += [n for n in ("selection", "window_s", "from_pretrained") if getattr(arguments, n) is not None]
    if arguments.classical == EMBEDDINGS:
        unfit += [name for name in ("selection", "window_s") if getattr(arguments, name) is not None]
    elif arguments.classical is not None and arguments.from_pretrained is not None:
        unfit.append("from_pretrained")
    if unfit:
        what = "--stack" if arguments.stack else f"--classical {arguments.classical}" if other else "a network"
        names = ", ".join(f"--{name.replace('_', '-')}" for name in dict.fromkeys(unfit))
        raise UsageError(f"{what} takes no {names}")
    return other


def run(arguments: argparse.Namespace, runs: Path, divisions: Sequence[Division]) -> int:
    """Train what was asked for, once for each division of the set, print the test tables, and return 0.

    Raises
    ------
    UsageError
        When the run's folder is taken, or the members of a stack do not go together.
    ToolkitError
        When the set or a member is broken, or a package is missing.
    """
    from model.training.folds import as_text, run_folders, sum_up
    from model.training.runs import report

    what = arguments.classical or "stack"
    folder = arguments.out or runs / f"{arguments.data.resolve().stem}-{what}-{datetime.now():%Y%m%d-%H%M%S}"
    _log.info("run: %s", folder)
    train = _stack if arguments.classical is None else _classical
    folders = run_folders(folder, divisions)
    for each, division in zip(folders, divisions, strict=True):
        print(report(train(arguments, each, division)), flush=True)
        _log.info("model: %s", each / "bundle")
    if len(folders) > 1:
        print(f"\n{as_text(sum_up(folder, folders))}", flush=True)
    return 0


def _given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}


def _classical(arguments: argparse.Namespace, folder: Path, division: Division) -> dict[str, Table]:
    from model.training.classical import ClassicalSettings, train_classical

    given = _given(arguments, "seed", "window_s", "windows", "selection")
    if arguments.classical == EMBEDDINGS:
        given["network"] = str(_member(arguments.from_pretrained or SHIPPED, division))
    settings = ClassicalSettings(str(arguments.data), arguments.classical, division=division, **given)
    return train_classical(folder, settings)


def _stack(arguments: argparse.Namespace, folder: Path, division: Division) -> dict[str, Table]:
    from model.training.stacking import StackSettings, train_stack

    given = _given(arguments, "seed", "windows", "meta", "stack_folds")
    members = tuple(str(_member(run, division)) for run in arguments.stack)
    return train_stack(folder, StackSettings(str(arguments.data), members, division=division, **given))


def _member(run: Path, division: Division) -> Path:
    """Return the run that belongs to a division: that of its fold, where a cross-validation is given."""
    from model.training.folds import fold_folder

    fold = fold_folder(run, division.fold)
    return fold if fold.is_dir() else run
