"""One run from end to end: fit, export, calibrate on dev, judge the test splits."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from audio.atomic import replacing
from model.bundle import BUNDLE_FOLDER, Bundle, write_bundle
from model.training.calibrate import calibrate, gather
from model.training.callbacks import read_state
from model.training.curves import draw_curves
from model.training.evaluate import Table, as_text, evaluate
from model.training.examples import TrainingSet, read_set
from model.training.export import export
from model.training.fit import fit
from model.training.recordings import Splices
from model.training.settings import TrainSettings

TEST_SPLITS = ("test", "test_unseen")
"""Splits that nothing was chosen on. `test_unseen` holds generators that training never heard."""

METRICS_NAME = "metrics.json"
"""The test table of a run; written last."""

COST_NAME = "cost.json"
"""Where a run says what it cost: not in the bundle, whose bytes are the same wherever it was trained."""

log = logging.getLogger(__name__)


def train(run: Path, settings: TrainSettings, splices: Splices | None = None) -> dict[str, Table]:
    """Train in folder `run`, go on where it stopped, and leave a bundle and `metrics.json` there.

    Parameters
    ----------
    run
        The folder.
    settings
        What was asked for; `settings.data` is the set that chooses and tests.
    splices
        Training examples made on the fly, instead of the training split of the set.

    Returns
    -------
    the table of each test split that the set has (`model.training.evaluate.evaluate`)

    Raises
    ------
    ToolkitError
        When the set or the state of the run is broken.
    """
    needed = ("train", "dev") if splices is None else ("dev",)
    training_set = read_set(Path(settings.data), seed=settings.seed, needed=needed, division=settings.division)
    if not training_set.has_spans:
        log.warning(
            "%s: no manifest.jsonl, so classes only: spans of hybrids are unknown, frames of hybrids train nothing,"
            " no segment EER, and splits may share voices",
            settings.data,
        )
    model = fit(run, settings, training_set, splices)
    state = read_state(run / "state")
    write_cost(run, parameters=model.count_params(), cpu_seconds=state["cpu_seconds"] if state else 0.0)
    draw_curves(run / "log.csv", run / "curves.png")
    folder = run / BUNDLE_FOLDER
    bundle = exported(model, folder, settings, name=run.name)
    dev = gather(folder, training_set.manifest_path, training_set.split("dev").clips, group="dev")
    found = calibrate(dev, has_spans=training_set.has_spans)
    write_bundle(replace(bundle, calibration=found.calibration, operating_points=found.operating_points))
    return _test(run, training_set, settings)


def write_cost(run: Path, *, parameters: int, cpu_seconds: float) -> None:
    """Write `cost.json`: numbers that were learnt, and seconds of processor time that learning took, all threads."""
    with replacing(run / COST_NAME) as beside:
        beside.write_text(json.dumps({"parameters": parameters, "cpu_seconds": cpu_seconds}) + "\n", encoding="utf-8")


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


def _test(run: Path, training_set: TrainingSet, settings: TrainSettings) -> dict[str, Table]:
    tables = {
        name: evaluate(run / BUNDLE_FOLDER, training_set.split(name), title=f"judging {name}")
        for name in TEST_SPLITS
        if training_set.split(name).clips
    }
    with replacing(run / METRICS_NAME) as beside:
        beside.write_text(json.dumps(summary(tables, seed=settings.seed), indent=2) + "\n", encoding="utf-8")
    return tables


def summary(tables: dict[str, Table], *, seed: int) -> dict[str, Any]:
    """Sum up for programs: the figures of `test` at the top, each other split under its name."""
    return {**tables.get("test", {}), "seed": seed, **{k: v for k, v in tables.items() if k != "test"}}


def report(tables: dict[str, Table]) -> str:
    """Lay the tables out for people."""
    notes = {"test": "test (nothing was chosen on it)", "test_unseen": "test, generators never heard in training"}
    return "\n\n".join(as_text(notes.get(name, name), table) for name, table in tables.items())
