"""`train_cnnrnnlstm.py`: train a detector on a set and test it."""

from __future__ import annotations

import argparse
import logging
from datetime import datetime
from pathlib import Path

from audio.errors import UsageError

HELP = "Train the CNN -> SimpleRNN -> LSTM detector on a set of real, fake and hybrid clips."

EXAMPLE = """\
examples:
  python -m synth build --out data/mine --clips 1200 --seed 1        a set to train on
  python train_cnnrnnlstm.py --data data/mine --epochs 20 --seed 1   train; the test table at the end
  python train_cnnrnnlstm.py --resume runs/mine-20260101-120000      go on after a stop, to the same weights
  python script.py --model runs/mine-20260101-120000 CLIP            judge a recording with it

The set is a folder with manifest.jsonl, or plain real/ fake/ hybrid/ folders of recordings: those train the
classes only, because nothing says where the fake spans are.
The test table goes to stdout, everything else to stderr and into the run's folder:
bundle/ (the model), metrics.json, log.csv, curves.png, tensorboard/."""

RUNS = Path("runs")
"""Where runs go unless told otherwise, and where `script.py` looks for the newest."""

SETTINGS = ("epochs", "batch_size", "seed", "learning_rate", "patience", "window_s")
"""Arguments that are settings of the run under the same name; None leaves the default."""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--data", type=Path, metavar="DIR", help="the set to train on")
    where.add_argument("--resume", type=Path, metavar="RUN", help="go on with a run that was stopped")
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder of the run (default: runs/SET-DATE-TIME)")
    parser.add_argument("--epochs", type=int, help="most passes over the training clips (default: 20)")
    parser.add_argument("--batch-size", type=int, help="windows per step (default: 32)")
    parser.add_argument("--seed", type=int, help="the same seed gives the same weights (default: 0)")
    parser.add_argument("--learning-rate", type=float, help="highest step size of Adam (default: 0.003)")
    parser.add_argument(
        "--patience", type=int, help="stop after so many epochs without a better dev score (default: 15)"
    )
    parser.add_argument("--window-s", type=float, help="seconds that the network sees at once (default: 4)")


def run(arguments: argparse.Namespace) -> int:
    """Train, print the test table, and return 0.

    Raises
    ------
    UsageError
        When settings are given with --resume, or the run's folder is taken.
    ToolkitError
        When the set or the run is broken.
    """
    given = {name: getattr(arguments, name) for name in SETTINGS if getattr(arguments, name) is not None}
    if arguments.resume is not None and (given or arguments.out is not None):
        raise UsageError("--resume goes on with the run's own settings; it takes no other argument")
    from model.training.quiet import load_tensorflow

    load_tensorflow()
    from model.training import fit
    from model.training.examples import read_set
    from model.training.run import report, train

    if arguments.resume is not None:
        folder, settings = arguments.resume, fit.read_run(arguments.resume)
    else:
        settings = fit.TrainSettings(data=str(arguments.data), **given)
        read_set(arguments.data, seed=settings.seed)  # so that a broken set leaves no run behind
        folder = arguments.out or RUNS / f"{arguments.data.resolve().name}-{datetime.now():%Y%m%d-%H%M%S}"
        fit.start_run(folder, settings)
    _log.info("run: %s (after a stop, go on with --resume %s)", folder, folder)
    print(report(train(folder, settings)), flush=True)
    _log.info("model: %s", folder / "bundle")
    return 0
