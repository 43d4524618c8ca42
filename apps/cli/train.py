"""`train_cnnrnnlstm.py`: train a detector on a set and test it."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.cli import fitting
from audio.errors import UsageError
from model.bundle import SHIPPED, read_bundle

if TYPE_CHECKING:
    from model.training.recordings import Splices
    from model.training.settings import TrainSettings
    from synth.order import Order

HELP = "Train the CNN -> SimpleRNN -> LSTM detector on a set of real, fake and hybrid clips."

EXAMPLE = """\
examples:
  python -m synth build --out data/mine --clips 1200 --seed 1        a set to train on
  python train_cnnrnnlstm.py --data data/mine --epochs 20 --seed 1   train; the test table at the end
  python train_cnnrnnlstm.py --resume runs/mine-20260101-120000      go on after a stop, to the same weights
  python script.py --model runs/mine-20260101-120000 CLIP            judge a recording with it
  python train_cnnrnnlstm.py --recipe recipe.toml --epochs 20        train on splices made on the fly
  python train_cnnrnnlstm.py --data data/mine --from-pretrained      start from the weights that come with the toolkit
  python train_cnnrnnlstm.py --data data/mine --classical forest     hand-made features and a random forest instead
  python train_cnnrnnlstm.py --data data/mine --stack runs/a runs/b  a stack of runs; the like: docs/classical.md

The set is a folder with manifest.jsonl, or plain real/ fake/ hybrid/ folders of recordings: those train the
classes only, because nothing says where the fake spans are. A recipe (the options of `synth build` in a
TOML file) gives new splices in every batch instead, of its training voices and generators; its dev and test clips
are built once, into RUN/set, and an epoch is as many clips as its training split would have.
The test table goes to stdout, everything else to stderr and into the run's folder:
bundle/ (the model), metrics.json, log.csv, curves.png, tensorboard/."""

RUNS = Path("runs")
"""Where runs go unless told otherwise, and where `script.py` looks for the newest."""

SETTINGS = ("epochs", "batch_size", "seed", "learning_rate", "patience", "window_s")
"""Arguments that are settings of the run under the same name; None leaves the default."""

FINE_TUNING_RATE = 1e-3
"""Step size of Adam where weights are not random: a third of the usual, so that they are adapted and not replaced."""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--data", type=Path, metavar="DIR", help="the set to train on")
    where.add_argument("--recipe", type=Path, metavar="FILE", help="train on endless splices by this recipe")
    where.add_argument("--resume", type=Path, metavar="RUN", help="go on with a run that was stopped")
    parser.add_argument(
        "--from-pretrained",
        type=Path,
        nargs="?",
        const=SHIPPED,
        metavar="BUNDLE",
        help="fine-tune the weights of a bundle (default: the shipped ones)",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings; those given here win")
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder of the run (default: runs/SET-DATE-TIME)")
    parser.add_argument("--epochs", type=int, help="most passes over the training clips (default: 20)")
    parser.add_argument("--batch-size", type=int, help="windows per step (default: 32)")
    parser.add_argument("--seed", type=int, help="the same seed gives the same weights (default: 0)")
    parser.add_argument("--learning-rate", type=float, help="highest step size of Adam (default: 0.003)")
    parser.add_argument(
        "--patience", type=int, help="stop after so many epochs without a better dev score (default: 15)"
    )
    parser.add_argument("--window-s", type=float, help="seconds that the network sees at once (default: 4)")
    parser.add_argument(
        "-j", "--workers", type=int, default=os.cpu_count() or 1, help="processes that splice (default: all cores)"
    )
    fitting.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train, print the test table, and return 0.

    Raises
    ------
    UsageError
        When settings are given with --resume, the run's folder is taken, or what is to be fine-tuned is no network.
    ToolkitError
        When the set, the recipe or the run is broken.
    """
    if fitting.is_asked_for(arguments):
        return fitting.run(arguments, RUNS)
    given = {name: getattr(arguments, name) for name in SETTINGS if getattr(arguments, name) is not None}
    others = (arguments.out, arguments.config, arguments.from_pretrained)
    if arguments.resume is not None and (given or any(other is not None for other in others)):
        raise UsageError("--resume goes on with the run's own settings; it takes no other argument")
    order = _read_order(arguments.recipe) if arguments.recipe is not None else None
    if arguments.from_pretrained is not None:
        read_bundle(arguments.from_pretrained).require_network("--from-pretrained")
    from model.training.quiet import load_tensorflow

    load_tensorflow()
    from model.training.run import train
    from model.training.runs import report

    if arguments.resume is None:
        folder, settings = _started(arguments, {**_settings(arguments), **given}, order)
    else:
        folder, settings = _resumed(arguments)
    _log.info("run: %s (after a stop, go on with --resume %s)", folder, folder)
    with _splices(settings, workers=arguments.workers) as splices:
        print(report(train(folder, settings, splices)), flush=True)
    _log.info("model: %s", folder / "bundle")
    return 0


def _resumed(arguments: argparse.Namespace) -> tuple[Path, TrainSettings]:
    from model.training.settings import read_run

    return arguments.resume, read_run(arguments.resume)


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the file, and of the network that is fine-tuned.

    Raises
    ------
    UsageError
        When the file asks for another network than the one that is fine-tuned.
    """
    from model.training.settings import read_config, settings_like

    settings = {} if arguments.config is None else read_config(arguments.config)
    if arguments.from_pretrained is None:
        return settings
    bundle = read_bundle(arguments.from_pretrained)
    wanted = {**settings_like(bundle), "start_from": str(bundle.path.resolve())}
    if other := sorted(name for name in wanted.keys() & settings.keys() if settings[name] != wanted[name]):
        raise UsageError(f"{arguments.config}: expected {', '.join(other)} of {bundle.path}, or none. Leave them out")
    return {"learning_rate": FINE_TUNING_RATE, **settings, **wanted}


def _read_order(recipe: Path) -> Order:
    """Read a recipe and list its recordings, before anything slow is loaded or any run begun."""
    from synth.order import order_from, read_order
    from synth.stream import open_stream

    order = order_from(read_order(recipe))
    open_stream(order.recipe, order.folders)
    return order


def _started(
    arguments: argparse.Namespace, given: dict[str, Any], order: Order | None
) -> tuple[Path, TrainSettings]:
    """Begin a run, after a look at its set, so that a broken one leaves no run behind."""
    from model.training.examples import read_set
    from model.training.runs import start_run
    from model.training.settings import TrainSettings

    source = arguments.data if arguments.data is not None else arguments.recipe
    folder = arguments.out or RUNS / f"{source.resolve().stem}-{datetime.now():%Y%m%d-%H%M%S}"
    if order is None:
        settings = TrainSettings(data=str(arguments.data), **given)
        read_set(arguments.data, seed=settings.seed)
    else:
        settings = TrainSettings(data=str(folder / "set"), splices=order.to_json(), **given)
    start_run(folder, settings)
    return folder, settings


@contextmanager
def _splices(settings: TrainSettings, *, workers: int) -> Iterator[Splices | None]:
    """Lend the splices of a run's recipe, and build the set that it is chosen and tested with; else nothing."""
    if settings.splices is None:
        yield None
        return
    from model.training.recordings import Splices
    from synth.build import build_set
    from synth.order import Order
    from synth.recipe import DEV, TEST, TEST_UNSEEN, TRAIN, split_sizes
    from synth.stream import Batches, open_stream

    order = Order.from_json(settings.splices)
    splits = (DEV, TEST, TEST_UNSEEN)
    build_set(order.recipe, order.folders, out=Path(settings.data), workers=workers, splits=splits)
    steps_per_epoch = max(1, split_sizes(order.recipe)[TRAIN] // settings.batch_size)
    with Batches(open_stream(order.recipe, order.folders), settings.batch_size, workers=workers) as batches:
        yield Splices(batches.batch, steps_per_epoch)
