"""The plan of the search says what it means, and its table gets into the document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audio.errors import ToolkitError
from bench.experiments import BASELINE, BEGIN, COLUMNS, END, MAIN, OWN, Plan, read_plan, table, write_table
from model.training.settings import settings_from
from synth.order import SETTINGS


def test_every_run_changes_something_and_can_be_started():
    """Catches a misspelt setting, and a run that is the baseline under another name."""
    plan = read_plan()
    assert len(plan.runs) >= 13
    base, lengths = plan.runs[BASELINE], {False: set(), True: set()}
    for name, asked in plan.runs.items():
        settings_from(name, {**{key: value for key, value in asked.items() if key not in OWN}, "data": ""})
        assert asked["question"]
        assert asked["pool"] in plan.pools
        changed = {key for key in asked if asked[key] != base.get(key)} - {"question"}
        assert changed or name == BASELINE
        lengths[name.endswith("-long")].add((asked["epochs"], asked["steps_per_epoch"]))
    assert all(len(found) == 1 for found in lengths.values()), "runs that are compared are equally long"
    for name, changes in plan.pools.items():
        assert changes.keys() <= {*SETTINGS, "clips", "ship"}
        assert changes or name == MAIN


def test_tables_of_a_run_add_to_those_of_the_baseline(tmp_path):
    (tmp_path / "plan.toml").write_text(
        "[pools]\nmain = {}\n[baseline]\npool = 'main'\nseed = 1\nfeatures = { n_mels = 80, n_fft = 512 }\n"
        "[other]\nfeatures = { n_mels = 40 }\n"
    )
    other = read_plan(tmp_path / "plan.toml").runs["other"]
    assert other == {"pool": "main", "seed": 1, "features": {"n_mels": 40, "n_fft": 512}}


def test_the_table_shows_finished_runs_and_goes_between_the_marks(tmp_path: Path):
    plan = Plan({name: {"question": f"{name}?"} for name in ("one", "two")}, {})
    (tmp_path / "one").mkdir()
    figures = {**dict.fromkeys(COLUMNS, 0.25), next(iter(COLUMNS)): None, "parameters": 1234, "cpu_seconds": 90}
    (tmp_path / "one" / "figures.json").write_text(json.dumps(figures))
    found = table(plan, tmp_path)
    assert "| one | one? | - | 0.250 |" in found
    assert "1,234 | 2 |" in found
    assert "two" not in found
    document = tmp_path / "doc.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_table(document, found)
    assert document.read_text() == f"before\n{BEGIN}\n\n{found}\n\n{END}\nafter\n"
    document.write_text("no marks")
    with pytest.raises(ToolkitError, match="expected the marks"):
        write_table(document, found)
