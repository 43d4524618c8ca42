"""`python -m apps.pretraining --corpus DIR`: make the bundle that comes with the toolkit, by the recipe beside this.

    gather     rows of the corpus whose licence permits it, and the Debian prompts    WORK/voices
    build      a pool of spliced clips (pool.toml)                                    WORK/pool
    train      the network (training.toml)                                            WORK/run
    calibrate  on dev: probabilities, thresholds, operating points                    WORK/run/bundle
    publish    the bundle, with where its training recordings came from               --out

Stopped at any point, it goes on from there when started again: the same corpus, recipe and machine give the same
weights. Test rows are neither built nor looked at.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.pretraining.gather import MAY_SHIP, gather, origins
from audio.atomic import replacing
from audio.errors import ToolkitError, UsageError
from audio.manifest import Clip, read_manifest, resolve
from model.bundle import BUNDLE_FOLDER, CARD_NAME, KERAS_NAME, ONNX_NAME, SHIPPED, Bundle, read_bundle, write_bundle
from model.judging.abstain import CAREFUL

if TYPE_CHECKING:
    from synth.recipe import Recipe

POOL, TRAINING = (Path(__file__).with_name(name) for name in ("pool.toml", "training.toml"))

WORK = Path("runs/pretraining")

ATTRIBUTION = "ATTRIBUTION.txt"

LICENCE = "CC BY-SA 4.0"
"""Of the weights: what the share-alike recordings among the training data ask for."""

SHIPPED_POINT = "5%"
"""Operating point that the shipped bundle uses unless told otherwise."""

_log = logging.getLogger("apps.pretraining")


def main(argv: Sequence[str] | None = None) -> int:
    """Do what is left to do; return the exit status."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        bundle = pretrain(arguments)
        _log.info("model: %s", publish(bundle, arguments.out))
    except ToolkitError as error:
        _log.error("error: %s", error)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        _log.error("interrupted; start it again to go on from here")
        sys.stderr.flush()
        os._exit(130)  # TensorFlow's threads may wait for each other for ever
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m apps.pretraining", description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR", help="folder with manifest.csv")
    parser.add_argument("--work", type=Path, default=WORK, metavar="DIR", help=f"default: {WORK}")
    parser.add_argument("--out", type=Path, default=SHIPPED, metavar="DIR", help="where the bundle goes")
    parser.add_argument("--prompts", type=Path, metavar="DIR", help="default: data/voices, fetched from Debian")
    parser.add_argument("--pool", type=Path, default=POOL, metavar="FILE", help="recipe of the pool")
    parser.add_argument("--training", type=Path, default=TRAINING, metavar="FILE", help="settings of the training")
    parser.add_argument(
        "--ship",
        default=",".join(MAY_SHIP),
        metavar="A,B",
        help="training rows to take, by their column ship (default: %(default)s); for experiments",
    )
    parser.add_argument("-j", "--workers", type=int, default=os.cpu_count() or 1, help="processes that splice")
    return parser


def pretrain(arguments: argparse.Namespace) -> Bundle:
    """Gather, build, train and calibrate.

    Raises
    ------
    ToolkitError
        When the corpus, a recipe or the state of the work is broken.
    """
    from synth.order import VOICES, read_order
    from synth.prompts import fetch_prompts

    work: Path = arguments.work
    prompts = fetch_prompts(arguments.prompts or VOICES)
    voices = gather(arguments.corpus, prompts, work / "voices", ships=arguments.ship.split(","))
    recipe = build_pool(read_order(arguments.pool), work / "voices", work / "pool", workers=arguments.workers)
    settings = train(work / "run", work / "pool", arguments.training)
    facts = {
        "settings": settings.to_json(),
        "recipe": recipe.to_json(),
        "origins": _origins(work / "voices", voices),
    }
    return calibrated(work / "run" / BUNDLE_FOLDER, work, facts)


def build_pool(recipe: Mapping[str, Any], voices: Path, out: Path, *, workers: int) -> Recipe:
    """Build the train and dev clips of a recipe from gathered voices, and return it; what is there is not built again.

    Parameters
    ----------
    recipe
        Entries of a recipe file (`synth.order.read_order`).
    voices
        Folder of `gather`.
    out
        Where the pool goes.
    workers
        Number of processes.
    """
    from synth.build import build_set
    from synth.order import order_from
    from synth.recipe import DEV, TRAIN

    order = order_from({**recipe, "real": voices, "fake": voices})
    build_set(order.recipe, order.folders, out=out, workers=workers, splits=(TRAIN, DEV))
    return order.recipe


def train(run: Path, pool: Path, training: Path) -> Any:
    """Train on a pool, or go on with it, and export the network; return the settings."""
    from model.training.quiet import load_tensorflow

    load_tensorflow()
    from model.training.examples import read_set
    from model.training.fit import fit
    from model.training.run import exported
    from model.training.runs import start_run
    from model.training.settings import TrainSettings, read_config, read_run

    if not (run / "settings.json").exists():
        start_run(run, TrainSettings(data=str(pool), **read_config(training)))
    settings = read_run(run)
    model = fit(run, settings, read_set(pool, seed=settings.seed))
    exported(model, run / BUNDLE_FOLDER, settings, name="pretrained")
    return settings


def calibrated(folder: Path, work: Path, facts: dict[str, Any]) -> Bundle:
    """Calibrate a bundle on the dev clips of the pool and on the dev recordings as they were found."""
    from model.training.calibrate import calibrate, gather

    spliced = [clip for clip in read_manifest(work / "pool" / "manifest.jsonl") if clip.split == "dev"]
    whole = [clip for clip in read_manifest(work / "voices" / "manifest.jsonl") if clip.split == "dev"]
    judged = [
        *gather(folder, work / "pool" / "manifest.jsonl", spliced, group="spliced", title="spliced dev clips"),
        *gather(folder, work / "voices" / "manifest.jsonl", whole, title="dev recordings"),
    ]
    found = calibrate(judged)
    bundle = read_bundle(folder)
    bundle = replace(
        bundle,
        calibration=found.calibration,
        operating_points=tuple(sorted(found.operating_points, key=lambda point: point.name != SHIPPED_POINT)),
        limits=CAREFUL,  # docs/pretraining.md says why
        training={**bundle.training, **facts},
        licence=LICENCE,
    )
    write_bundle(bundle)
    return bundle


def _origins(voices: Path, clips: Sequence[Clip]) -> list[dict[str, Any]]:
    """Say where the training recordings came from."""
    import soundfile

    def length_s(clip: Clip) -> float:
        return float(soundfile.info(resolve(voices, clip)).duration) if clip.split == "train" else 0.0

    return [asdict(origin) for origin in origins(clips, [length_s(clip) for clip in clips])]


def publish(bundle: Bundle, out: Path) -> Path:
    """Copy a bundle to where it is found; the facts last, so that a half-copied one is none."""
    out.mkdir(parents=True, exist_ok=True)
    (out / CARD_NAME).unlink(missing_ok=True)
    for name in (ONNX_NAME, KERAS_NAME):
        shutil.copyfile(bundle.path / name, out / name)
    with replacing(out / ATTRIBUTION) as beside:
        beside.write_text(attribution(bundle), encoding="utf-8", newline="\n")
    settings = {**bundle.training["settings"], "data": "pool"}  # not the path of a machine
    write_bundle(replace(bundle, path=out, training={**bundle.training, "settings": settings}))
    return out


def attribution(bundle: Bundle) -> str:
    """Say under which licence the weights are, and whose recordings they learned from."""
    lines = [
        f"The weights in this folder are licensed under {LICENCE} (https://creativecommons.org/licenses/by-sa/4.0/).",
        "They were trained on these recordings, and on copies that the synthesisers of this toolkit made of them;",
        "no recording is part of the weights:",
        "",
    ]
    for row in bundle.training["origins"]:
        minutes = row["seconds"] / 60
        lines.append(f"- {row['name']}: {row['clips']} {row['label']} clips, {minutes:.1f} minutes, {row['licence']}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
