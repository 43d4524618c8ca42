"""One run from end to end: fit, export, calibrate on dev, judge the test splits."""

from __future__ import annotations

import logging
from pathlib import Path

import keras

from model.bundle import BUNDLE_FOLDER, Bundle, write_bundle
from model.training.callbacks import read_state
from model.training.curves import draw_curves
from model.training.evaluate import Table
from model.training.examples import read_set
from model.training.export import export
from model.training.fit import fit
from model.training.recordings import Splices
from model.training.runs import finish, write_cost
from model.training.settings import TrainSettings
from model.training.team import ALONE, Team

log = logging.getLogger(__name__)


def train(
    run: Path, settings: TrainSettings, splices: Splices | None = None, *, team: Team = ALONE
) -> dict[str, Table]:
    """Train in folder `run`, go on where it stopped, and leave a bundle and `metrics.json` there.

    Parameters
    ----------
    run
        The folder.
    settings
        What was asked for; `settings.data` is the set that chooses and tests.
    splices
        Training examples made on the fly, instead of the training split of the set.
    team
        Who trains it together.

    Returns
    -------
    the table of each test split that the set has (`model.training.evaluate.evaluate`); none for a worker that is not
    the chief, which has nothing left to do and leaves nothing

    Raises
    ------
    ToolkitError
        When the set or the state of the run is broken, or a worker of the team is gone.
    """
    needed = ("train", "dev") if splices is None else ("dev",)
    training_set = read_set(Path(settings.data), seed=settings.seed, needed=needed, division=settings.division)
    if not training_set.has_spans:
        log.warning(
            "%s: no manifest.jsonl, so classes only: spans of hybrids are unknown, frames of hybrids train nothing,"
            " no segment EER, and splits may share voices",
            settings.data,
        )
    model = fit(run, settings, training_set, splices, team=team)
    if not team.is_chief:
        return {}
    state = read_state(run / "state")
    write_cost(run, parameters=model.count_params(), cpu_seconds=state["cpu_seconds"] if state else 0.0)
    draw_curves(run / "log.csv", run / "curves.png")
    bundle = exported(model, run / BUNDLE_FOLDER, settings, name=run.name)
    return finish(run, bundle, training_set, seed=settings.seed)


def exported(model: keras.Model, folder: Path, settings: TrainSettings, *, name: str) -> Bundle:
    """Write the bundle of a trained network into `folder`, not calibrated yet, and return it."""
    difference = export(model, folder, features=settings.features)
    bundle = Bundle(
        path=folder,
        name=name,
        window_samples=settings.window_samples,
        step_samples=settings.step_samples,
        features=settings.features,
        training={"settings": settings.to_json(), "onnx_difference": difference},
    )
    write_bundle(bundle)
    return bundle
