"""`train_cnnrnnlstm.py`: train a detector on a set and test it."""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.cli import fitting
from audio.errors import UsageError
from model.bundle import SHIPPED, read_bundle
from model.networks import ARCHITECTURES, DEFAULT

if TYPE_CHECKING:
    from model.training.recordings import Splices
    from model.training.settings import TrainSettings
    from model.training.splits import Division
    from model.training.team import Team
    from synth.order import Order

HELP = "Train the CNN -> SimpleRNN -> LSTM detector, or another network, on a set of real, fake and hybrid clips."

EXAMPLE = """\
examples:
  python -m synth build --out data/mine --clips 1200 --seed 1        a set to train on
  python train_cnnrnnlstm.py --data data/mine --epochs 20 --seed 1   train; the test table at the end
  python train_cnnrnnlstm.py --resume runs/mine-20260101-120000      go on after a stop, to the same weights
  python script.py --model runs/mine-20260101-120000 CLIP            judge a recording with it
  python train_cnnrnnlstm.py --recipe recipe.toml --epochs 20        train on splices made on the fly
  python train_cnnrnnlstm.py --data data/mine --from-pretrained      start from the weights that come with the toolkit
  python train_cnnrnnlstm.py --data data/mine --network gru          train another network (docs/networks.md)
  python train_cnnrnnlstm.py --data data/mine --shards data/tars     from a few large files (docs/training_at_scale.md)
  python train_cnnrnnlstm.py --data data/tars --strategy mirrored    on all GPUs of this machine, or of several: docs
  python train_cnnrnnlstm.py --data data/mine --folds 5              cross-validation by speaker and generator
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

STRATEGIES = ("one", "mirrored", "multi-worker")
"""Those of `model.training.team`, for `--help` without loading it."""

SETTINGS = ("epochs", "batch_size", "seed", "learning_rate", "patience", "window_s", "shuffle_window")
"""Arguments that are settings of the run under the same name; None leaves the default."""

NOT_RESUMED = (
    *("out", "config", "shards", "check_shards"),
    *("from_pretrained", "network", "minutes", "folds", "fold", "leaky_split", "mixed_precision"),
)
"""Other arguments that say what a run is; one that goes on knows it."""

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
        "--shards", type=Path, metavar="DIR", help="write the set there as shards, unless that is done; train from them"
    )
    parser.add_argument("--check-shards", action="store_true", help="first hash the shards, which reads all of them")
    parser.add_argument(
        "--from-pretrained",
        type=Path,
        nargs="?",
        const=SHIPPED,
        metavar="BUNDLE",
        help="fine-tune the weights of a bundle (default: the shipped ones)",
    )
    parser.add_argument(
        "--network",
        choices=ARCHITECTURES,
        metavar="NAME",
        help=f"which network: {', '.join(ARCHITECTURES)} (default: {DEFAULT})",
    )
    parser.add_argument(
        "--folds",
        type=int,
        metavar="K",
        help="cross-validation: no speaker and no generator of a test fold is heard in training",
    )
    parser.add_argument("--fold", type=int, metavar="N", help="only this fold, from 0")
    parser.add_argument(
        "--leaky-split",
        action="store_true",
        help="draw clips at random, the same voices on both sides: shows how a 99 %% comes about, and measures nothing",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="as many epochs and steps as take about so much processor time here, instead of --epochs",
    )
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder of the run (default: runs/SET-DATE-TIME)")
    _add_settings(parser)
    fitting.add_arguments(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Declare how it learns, and by whom."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings; those given here win")
    parser.add_argument("--epochs", type=int, help="most passes over the training clips (default: 20)")
    parser.add_argument("--batch-size", type=int, help="windows per step (default: 32)")
    parser.add_argument("--seed", type=int, help="the same seed gives the same weights (default: 0)")
    parser.add_argument("--learning-rate", type=float, help="highest step size of Adam (default: 0.003)")
    parser.add_argument(
        "--patience", type=int, help="stop after so many epochs without a better dev score (default: 15)"
    )
    parser.add_argument("--window-s", type=float, help="seconds that the network sees at once (default: 4)")
    parser.add_argument(
        "--shuffle-window", type=int, metavar="N", help="shuffle so many clips together, not all: for distant storage"
    )
    parser.add_argument(
        "--strategy",
        choices=STRATEGIES,
        metavar="NAME",
        help=f"who trains: {', '.join(STRATEGIES)}; all GPUs here, or all workers in TF_CONFIG (default: one)",
    )
    parser.add_argument(
        "--mixed-precision",
        choices=("bfloat16", "float16"),
        metavar="TYPE",
        help="compute in 16 bits on a GPU, bfloat16 or float16; weights and the exported model stay float32",
    )
    parser.add_argument(
        "-j", "--workers", type=int, default=os.cpu_count() or 1, help="processes that splice (default: all cores)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, print the test table, and return 0.

    Raises
    ------
    UsageError
        When settings are given with --resume, the run's folder is taken, or what is to be fine-tuned is no network.
    ToolkitError
        When the set, the recipe or the run is broken.
    """
    divisions = _divisions(arguments)
    _check_team(arguments)
    _shard(arguments)
    if fitting.is_asked_for(arguments):
        return fitting.run(arguments, RUNS, divisions)
    given = {name: getattr(arguments, name) for name in SETTINGS if getattr(arguments, name) is not None}
    if arguments.resume is not None and (given or any(getattr(arguments, name) for name in NOT_RESUMED)):
        raise UsageError("--resume goes on with the run's own settings; it takes no other argument")
    if arguments.minutes is not None and (arguments.recipe is not None or arguments.epochs is not None):
        raise UsageError("--minutes: decides the epochs on a set; it goes with neither --epochs nor --recipe")
    if arguments.shuffle_window is not None and arguments.recipe is not None:
        raise UsageError("--shuffle-window: shuffles the clips of a set; it does not go with --recipe")
    order = _read_order(arguments.recipe) if arguments.recipe is not None else None
    if arguments.from_pretrained is not None:
        read_bundle(arguments.from_pretrained).require_network("--from-pretrained")
    from model.training.quiet import load_tensorflow

    load_tensorflow()
    from model.training.folds import as_text, is_finished, sum_up
    from model.training.team import ONE, mixed_precision, open_team

    team = open_team(arguments.strategy or ONE)
    if arguments.mixed_precision is not None:
        given["precision"] = mixed_precision(arguments.mixed_precision)
    folder, runs = arguments.out or Path("."), []
    if team.is_chief and arguments.resume is None:
        folder = arguments.out or _new_folder(arguments)
        runs = _started(arguments, folder, {**_settings(arguments), **given}, order, divisions)
    elif team.is_chief:
        folder, runs = arguments.resume, _resumed(arguments.resume)
    if team.is_chief:
        _log.info("run: %s (after a stop, go on with --resume %s)", folder, folder)
    todo = [(each, settings) for each, settings in runs if len(runs) == 1 or not is_finished(each)]
    for each, settings in _told(team, todo, arguments.data):
        _train(each, settings, workers=arguments.workers, team=team)
    if len(runs) > 1:
        print(f"\n{as_text(sum_up(folder, [each for each, _ in runs]))}", flush=True)
    return 0


def _check_team(arguments: argparse.Namespace) -> None:
    """Refuse what only a process on its own can do, by `UsageError`."""
    alone = {"multi-worker": ("recipe", "minutes", "shards"), "mirrored": ("minutes",)}.get(arguments.strategy, ())
    if unfit := [f"--{name}" for name in alone if getattr(arguments, name) is not None]:
        raise UsageError(f"--strategy {arguments.strategy} takes no {', '.join(unfit)}")


def _told(
    team: Team, runs: Sequence[tuple[Path, TrainSettings]], data: Path | None
) -> list[tuple[Path, TrainSettings]]:
    """Return the runs that the chief has begun; a worker reads them from the set that it was given itself."""
    from model.training.settings import TrainSettings

    if not team.is_spread:
        return list(runs)
    content = json.dumps([[str(folder), settings.to_json()] for folder, settings in runs])
    told = json.loads(team.told(content.encode() if team.is_chief else b""))
    found = [(Path(folder), TrainSettings.from_json(settings)) for folder, settings in told]
    if any(settings.splices is not None for _, settings in found):
        raise UsageError("--strategy multi-worker: expected a run on a set, received one on a recipe")
    if data is None or team.is_chief:
        return found
    return [(folder, replace(settings, data=str(data))) for folder, settings in found]


def _shard(arguments: argparse.Namespace) -> None:
    """Write the set as shards, if asked to, and let those be the set; check them, if asked to.

    Raises
    ------
    UsageError
        When there is no set, or none of shards, to do so with.
    ToolkitError
        When the shards cannot be written, or are not as they were written.
    """
    if arguments.data is None and (arguments.shards is not None or arguments.check_shards):
        raise UsageError("--shards and --check-shards: expected --data beside them")
    if arguments.shards is not None:
        from audio.sharding import write_shards

        write_shards(arguments.data, arguments.shards, workers=arguments.workers)
        arguments.data = arguments.shards
    if arguments.check_shards:
        from audio import shards

        if (found := shards.opened(arguments.data)) is None:
            raise UsageError(f"--check-shards: expected a sharded set. Received: {arguments.data}")
        found.check()


def _train(folder: Path, settings: TrainSettings, *, workers: int, team: Team) -> None:
    """Train one run and print its table."""
    from model.training.run import train
    from model.training.runs import report

    with _splices(settings, workers=workers) as splices:
        tables = train(folder, settings, splices, team=team)
    if team.is_chief:
        print(report(tables), flush=True)
        _log.info("model: %s", folder / "bundle")


def _divisions(arguments: argparse.Namespace) -> list[Division]:
    """Return how the set is divided, once for each run.

    Raises
    ------
    UsageError
        For folds that are too few or not there, or asked of splices made on the fly.
    """
    from model.training.splits import division_of

    folds, fold, leaky = arguments.folds, arguments.fold, arguments.leaky_split
    if folds is None and fold is not None:
        raise UsageError(f"--fold: expected --folds beside it, received {fold} alone")
    if arguments.recipe is not None and (leaky or folds is not None):
        raise UsageError("--folds and --leaky-split divide a set: expected --data, received --recipe")
    if folds is None or fold is not None:
        return [division_of(folds, fold, leaky=leaky)]
    return [division_of(folds, each, leaky=leaky) for each in range(division_of(folds, 0, leaky=leaky).folds)]


def _resumed(folder: Path) -> list[tuple[Path, TrainSettings]]:
    from model.training.folds import fold_folders
    from model.training.settings import read_run

    return [(each, read_run(each)) for each in fold_folders(folder) or [folder]]


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the file, and of the network that is asked for or fine-tuned.

    Raises
    ------
    UsageError
        When another network is asked for than the one that is fine-tuned.
    """
    from model.networks import config_type
    from model.training.settings import read_config, settings_like

    asked = arguments.network
    settings = {} if arguments.config is None else read_config(arguments.config, architecture=asked)
    if arguments.from_pretrained is None:
        return settings if asked is None else {"network": config_type(asked)(), **settings}
    bundle = read_bundle(arguments.from_pretrained)
    wanted = {**settings_like(bundle), "start_from": str(bundle.path.resolve())}
    if asked not in (None, wanted["network"].architecture):
        raise UsageError(f"--network: expected {wanted['network'].architecture} like {bundle.path}. Received: {asked}")
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


def _new_folder(arguments: argparse.Namespace) -> Path:
    source = arguments.data if arguments.data is not None else arguments.recipe
    return RUNS / f"{source.resolve().stem}-{datetime.now():%Y%m%d-%H%M%S}"


def _started(
    arguments: argparse.Namespace,
    folder: Path,
    given: dict[str, Any],
    order: Order | None,
    divisions: Sequence[Division],
) -> list[tuple[Path, TrainSettings]]:
    """Begin a run, or one for each fold, after a look at the set, so that a broken one leaves no run behind."""
    from model.training.examples import read_set
    from model.training.folds import run_folders
    from model.training.pace import within
    from model.training.runs import start_run
    from model.training.settings import TrainSettings
    from model.training.splits import OWN

    if order is None:
        all_settings = [TrainSettings(data=str(arguments.data), division=each, **given) for each in divisions]
        needed = ("train", "dev") if divisions[0].kind == OWN else ("train", "dev", "test")
        for settings in all_settings:
            read_set(arguments.data, seed=settings.seed, needed=needed, division=settings.division)
    else:
        all_settings = [TrainSettings(data=str(folder / "set"), splices=order.to_json(), **given)]
    if arguments.minutes is not None:
        paced = within(all_settings[0], arguments.minutes)  # once: every fold gets the same number of steps
        all_settings = [
            replace(each, epochs=paced.epochs, steps_per_epoch=paced.steps_per_epoch) for each in all_settings
        ]
    folders = run_folders(folder, divisions)
    for each, settings in zip(folders, all_settings, strict=True):
        start_run(each, settings)
    return list(zip(folders, all_settings, strict=True))


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


if __name__ == "__main__":
    import sys

    from apps.cli.main import run_alone

    sys.exit(run_alone(sys.modules[__name__], program="train_cnnrnnlstm.py"))
