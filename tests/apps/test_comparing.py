"""The table of a comparison, what is asked of the training command, and going on after a failure."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from tiny_set import write_tiny_set

from apps.cli import main as cli
from apps.comparing import trial
from apps.comparing.outcome import HONEST, LEAKY, Outcome, Value, joined
from apps.comparing.systems import MEMBERS, STACK, chosen, systems
from apps.comparing.table import COLUMNS, csv_text, leaders, notes, table
from apps.comparing.trial import Plan, Trial, asked, trials
from audio.errors import UsageError

PLAN = Plan(Path("data/mine"), Path("out"), seed=3, cpu_minutes=2.5, windows=70, folds=None)


def outcome(system: str, split: str = HONEST, fold: int | None = None, **values: float | None) -> Outcome:
    figures = {key: Value(n) if n is None else Value(n, n - 0.1, n + 0.1) for key, n in values.items()}
    return Outcome(system, split, fold, clips=10, figures=figures, confusion=((1, 0, 0, 0),) * 3)


def cells(*outcomes: Outcome, ranges: bool = False) -> dict[str, dict[str, str]]:
    found = table(outcomes, ranges=ranges)
    return {row[0]: dict(zip(found.header, row, strict=True)) for row in found.rows}


def test_the_best_of_a_column_is_marked_and_what_is_no_quality_is_not():
    found = cells(
        outcome("a", accuracy=0.7, clip_eer=0.3, parameters=10.0),
        outcome("b", accuracy=0.8, clip_eer=0.4, parameters=9.0),
    )
    assert (found["a"]["accuracy"], found["b"]["accuracy"]) == ("0.700", "0.800 *")
    assert (found["a"]["EER"], found["b"]["EER"]) == ("0.300 *", "0.400")
    assert found["a"]["parameters"] + found["b"]["parameters"] == "109"
    assert found["a"]["macro-F1"] == "-"


def test_the_naive_split_stands_beside_the_honest_one_and_never_in_its_place():
    found = cells(outcome("a", accuracy=0.7), outcome("a", LEAKY, accuracy=0.99), outcome("b", accuracy=0.6))
    assert (found["a"]["accuracy"], found["a"]["leaky accuracy"]) == ("0.700 *", "0.990")
    assert found["b"]["leaky accuracy"] == ""
    assert not any(heading.startswith(LEAKY) for heading in table([outcome("a", accuracy=0.7)]).header)


def test_a_failed_system_keeps_its_row_and_says_why():
    outcomes = [outcome("a", accuracy=0.7), Outcome("b", HONEST, error="XGBoost is missing")]
    assert set(cells(*outcomes)["b"].values()) == {"b", "failed"}
    assert notes(outcomes) == ["b: honest: XGBoost is missing"]


def test_folds_become_a_mean_with_its_deviation():
    folds = [outcome("a", fold=fold, macro_f1=value) for fold, value in enumerate((0.5, 0.6, 0.7))]
    found = joined(folds)
    assert found.of("macro_f1") == Value(pytest.approx(0.6), pytest.approx(0.5), pytest.approx(0.7))
    assert (found.clips, found.confusion[0][0]) == (30, 3)
    assert cells(*folds, ranges=True)["a"]["macro-F1"] == "0.600 (0.500 to 0.700)"


def test_a_fold_that_failed_makes_the_whole_fail():
    folds = [outcome("a", fold=0, macro_f1=0.5), Outcome("a", HONEST, 1, error="out of memory")]
    assert joined(folds).error == "fold 1: out of memory"
    half = joined([outcome("a", fold=0, clip_eer=None), outcome("a", fold=1, clip_eer=0.1)])
    assert half.of("clip_eer").value is None


def test_who_leads_is_said_even_if_it_is_another_one():
    outcomes = [outcome("cnnrnnlstm", boundary_error_s=0.30), outcome("tcn", boundary_error_s=0.10)]
    (told,) = leaders(outcomes)
    assert told == "- boundary error, s: tcn leads with 0.10, 0.20 better than ours (0.30)"
    assert leaders(outcomes, ours="tcn") == ["- boundary error, s: tcn leads with 0.10"]
    assert leaders(outcomes[1:]) == []


def test_rows_and_csv_say_the_same_as_the_outcome():
    given = outcome("a", LEAKY, 2, accuracy=0.1 + 0.2)
    assert Outcome.from_row(given.to_row()) == given
    (line,) = csv.DictReader(StringIO(csv_text([given])))
    assert (line["system"], line["split"], line["fold"], line["clips"]) == ("a", LEAKY, "2", "10")
    assert (float(line["accuracy"]), line["macro_f1"]) == (0.1 + 0.2, "")
    assert set(line) >= {*COLUMNS, "error"}


def test_every_system_that_can_be_trained_can_be_compared():
    from model.classical.pipelines import SYSTEMS
    from model.networks import ARCHITECTURES

    assert set(systems()) == {*ARCHITECTURES, *SYSTEMS, STACK}


def test_systems_bring_along_what_they_need():
    known = systems()
    assert len(known) >= 10
    assert [each.name for each in chosen([STACK, "gru"], known)] == [*MEMBERS, STACK, "gru"]
    with pytest.raises(UsageError, match="vgg"):
        chosen(["vgg"], known)


def test_what_the_training_command_is_asked():
    known, folded = systems(), replace(PLAN, folds=4)
    given = asked(Trial("gru", LEAKY), known["gru"], PLAN)
    assert given[:6] == ["--data", "data/mine", "--out", str(Path("out/runs/gru-leaky")), "--seed", "3"]
    assert given[6:] == ["--network", "gru", "--minutes", "2.5", "--leaky-split"]
    stacked = asked(Trial(STACK, HONEST, 2), known[STACK], folded)
    members = [str(Path("out", "runs", f"{name}-2")) for name in MEMBERS]
    assert stacked[6:] == ["--stack", *members, "--windows", "70", "--folds", "4", "--fold", "2"]


def test_every_trial_has_a_folder_of_its_own():
    known = systems()
    listed = trials(known.values(), replace(PLAN, folds=3), leaky=True)
    assert len({trial.name for trial in listed}) == len(listed) == len(known) * 2 * 3


def test_a_system_that_fails_is_tried_again_and_the_others_stay(tmp_path, monkeypatch, capsys, caplog):
    write_tiny_set(tmp_path / "tiny")
    given = ["compare", "--data", tmp_path / "tiny", "--out", tmp_path / "out", "--windows", "40", "--seed", "1"]

    def compare(systems: str) -> int:
        return cli.main([str(word) for word in [*given, "--systems", systems]])

    monkeypatch.setattr(trial, "TRAIN", (sys.executable, "-c", "import sys; sys.exit('error: no memory left')"))
    assert compare("logistic") == 1
    assert "logistic: honest: no memory left" in capsys.readouterr().out
    monkeypatch.undo()
    assert compare("logistic") == 0
    trained = tmp_path / "out" / "runs" / "logistic" / "bundle" / "bundle.json"
    when = trained.stat().st_mtime_ns
    assert compare("logistic,knn") == 0
    assert trained.stat().st_mtime_ns == when
    rows = [json.loads(line) for line in (tmp_path / "out" / "comparison.json").read_text().splitlines()]
    assert [(row["system"], row["clips"], row["error"]) for row in rows] == [("logistic", 9, ""), ("knn", 9, "")]
    assert rows[0]["figures"]["accuracy"]["value"] == pytest.approx(np.trace(np.array(rows[0]["confusion"])[:, :3]) / 9)
    assert (tmp_path / "out" / "report.html").read_text().count("Confusion matrix of") == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--systems", "vgg"), "--systems: expected all or some of cnnrnnlstm"),
        (("--minutes", "0"), "--minutes: expected more than 0"),
        (("--folds", "3"), "expected at least 3 generators"),
    ],
)
def test_what_cannot_be_compared_is_one_line(words, told, tmp_path, caplog):
    write_tiny_set(tmp_path / "tiny")
    assert cli.main(["compare", "--data", str(tmp_path / "tiny"), "--out", str(tmp_path / "out"), *words]) == 2
    (line,) = caplog.messages
    assert told in line
    assert not (tmp_path / "out").exists()


def test_plain_folders_are_not_compared(tmp_path, caplog):
    (tmp_path / "real").mkdir()
    assert cli.main(["compare", "--data", str(tmp_path)]) == 2
    assert "expected a set with manifest.jsonl" in caplog.text
