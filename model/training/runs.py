"""How every run begins and ends, whatever is trained: its settings on disk; calibration on dev; the test tables.

Nothing here knows TensorFlow.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from audio.atomic import replacing
from audio.errors import ModelError, UsageError
from model.bundle import BUNDLE_FOLDER, Bundle, write_bundle
from model.training.calibrate import calibrate, gather
from model.training.evaluate import Table, as_text, evaluate
from model.training.examples import TrainingSet

SETTINGS_NAME = "settings.json"

METRICS_NAME = "metrics.json"
"""The test table of a run; written last."""

COST_NAME = "cost.json"
"""Where a run says what it cost: not in the bundle, whose bytes are the same wherever it was trained."""

TEST_SPLITS = ("test", "test_unseen")
"""Splits that nothing was chosen on. `test_unseen` holds generators that training never heard."""


class Settings(Protocol):
    """What a run was asked to do."""

    def to_json(self) -> dict[str, Any]:
        """The settings as a JSON object."""


def start_run(run: Path, settings: Settings) -> None:
    """Make the folder of a new run.

    Raises
    ------
    UsageError
        When the folder already holds a run.
    """
    expect_new(run)
    with replacing(run / SETTINGS_NAME) as beside:
        beside.write_text(json.dumps(settings.to_json(), indent=2) + "\n", encoding="utf-8")


def expect_new(run: Path) -> None:
    """Refuse a folder that already holds a run, by `UsageError`."""
    if (run / SETTINGS_NAME).exists():
        raise UsageError(f"{run}: already holds a run; go on with it by --resume {run}, or choose another --out")


def read_settings(run: Path) -> dict[str, Any]:
    """Read what a run was asked to do, as it was written.

    Raises
    ------
    ModelError
        When there is no run in the folder, or its settings are no JSON object.
    """
    path = run / SETTINGS_NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: expected a run to resume: {error.strerror}") from None
    except ValueError as error:
        raise ModelError(f"{path}: not the settings of a run: {error}") from None
    if not isinstance(found, dict):
        raise ModelError(f"{path}: not the settings of a run: expected a JSON object")
    return found


def write_cost(run: Path, *, parameters: int | None, cpu_seconds: float) -> None:
    """Write `cost.json`: numbers that were learnt, None where that says nothing, and seconds of processor time that
    learning took, all threads."""
    with replacing(run / COST_NAME) as beside:
        beside.write_text(json.dumps({"parameters": parameters, "cpu_seconds": cpu_seconds}) + "\n", encoding="utf-8")


def finish(run: Path, bundle: Bundle, training_set: TrainingSet, *, seed: int) -> dict[str, Table]:
    """Calibrate a fresh bundle on dev, judge the test splits with it, and leave `metrics.json`.

    Returns
    -------
    the table of each test split that the set has (`model.training.evaluate.evaluate`)
    """
    dev = gather(bundle.path, training_set.manifest_path, training_set.split("dev").clips, group="dev")
    found = calibrate(dev, has_spans=training_set.has_spans)
    write_bundle(replace(bundle, calibration=found.calibration, operating_points=found.operating_points))
    tables = {
        name: evaluate(run / BUNDLE_FOLDER, training_set.split(name), title=f"judging {name}")
        for name in TEST_SPLITS
        if training_set.split(name).clips
    }
    with replacing(run / METRICS_NAME) as beside:
        beside.write_text(json.dumps(summary(tables, seed=seed), indent=2) + "\n", encoding="utf-8")
    return tables


def summary(tables: dict[str, Table], *, seed: int) -> dict[str, Any]:
    """Sum up for programs: the figures of `test` at the top, each other split under its name."""
    return {**tables.get("test", {}), "seed": seed, **{k: v for k, v in tables.items() if k != "test"}}


def report(tables: dict[str, Table]) -> str:
    """Lay the tables out for people."""
    notes = {"test": "test (nothing was chosen on it)", "test_unseen": "test, generators never heard in training"}
    return "\n\n".join(as_text(notes.get(name, name), table) for name, table in tables.items())
