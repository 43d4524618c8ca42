"""`train_cnnrnnlstm.py --classical` and `--stack`, as people type them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from system_kinds import two_speakers
from tiny_model import voice
from tiny_set import write_tiny_set

from apps.cli import train
from apps.cli.main import run_alone
from model import Detector

FEW = ("--windows", "36", "--seed", "1")


def trained(*arguments: object) -> int:
    try:
        return run_alone(train, program="train_cnnrnnlstm.py", argv=[*map(str, arguments)])
    except SystemExit as left:
        return int(left.code or 0)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A set of two speakers, one of one, and the runs `logistic` and `again`, of the same seed, and `short`."""
    folder = tmp_path_factory.mktemp("fitting")
    write_tiny_set(folder / "tiny")
    shutil.copytree(folder / "tiny", folder / "lonely")
    two_speakers(folder / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, window_s in (("logistic", 1), ("again", 1), ("short", 0.5)):
            given = ("--selection", "correlation", "--window-s", window_s, "--out", name)
            assert trained("--data", "tiny", "--classical", "logistic", *given, *FEW) == 0
        shutil.copytree("again", "embedded")
        settings = json.loads((folder / "embedded" / "settings.json").read_text())
        (folder / "embedded" / "settings.json").write_text(json.dumps({**settings, "network": "nowhere"}))
        yield folder


def test_a_run_leaves_its_table_and_the_same_seed_the_same_scores(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    figures = json.loads((place / "logistic" / "metrics.json").read_text())
    assert (figures["clips"], figures["seed"], figures["test_unseen"]["clips"]) == (6, 1, 3)
    assert figures["segment_eer_20ms"] < 0.2
    samples = voice(np.random.default_rng(5), 3, fake_s=[(1, 2)])
    one, other = (Detector(place / name).detect(samples) for name in ("logistic", "again"))
    np.testing.assert_array_equal(one.frame_scores, other.frame_scores)
    assert one.probabilities == other.probabilities
    assert json.loads((place / "logistic" / "settings.json").read_text())["kind"] == "classical"


def test_a_stack_is_trained_and_holds_its_members(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    given = ("--stack", "logistic", "again", "--meta", "xgboost", "--stack-folds", 2, "--out", "stack")
    assert trained("--data", "tiny", *given, *FEW) == 0
    assert "macro-F1" in capsys.readouterr().out
    shutil.move(place / "logistic", place / "away")  # a stack needs its members no more
    try:
        assert len(Detector(place / "stack").detect(voice(np.random.default_rng(5), 3)).frame_scores) == 150
    finally:
        shutil.move(place / "away", place / "logistic")
    assert not (place / "stack" / "folds").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--data", "tiny", "--classical", "svm", "--epochs", "3"], 2, "--classical svm takes no --epochs"),
        (["--data", "tiny", "--classical", "svm", "--from-pretrained"], 2, "takes no --from-pretrained"),
        (["--data", "tiny", "--classical", "svm", "--meta", "xgboost"], 2, "takes no --meta"),
        (["--data", "tiny", "--classical", "svm-embeddings", "--window-s", "2"], 2, "takes no --window-s"),
        (["--data", "tiny", "--classical", "svm", "--windows", "0"], 2, "windows: expected 1 or more"),
        (["--data", "tiny", "--classical", "svm", "--window-s", "-1"], 2, "window-s: expected more than 0"),
        (["--data", "tiny", "--windows", "5"], 2, "a network takes no --windows"),
        (["--data", "tiny", "--classical", "svm", "--stack", "logistic", "again"], 2, "not allowed with"),
        (["--data", "tiny", "--classical", "oracle"], 2, "invalid choice"),
        (["--data", "tiny", "--classical", "svm", "--out", "logistic"], 2, "already holds a run"),
        (["--data", "nowhere", "--classical", "svm"], 1, "expected a folder"),
        (["--data", "tiny", "--stack", "logistic"], 2, "expected two runs or more"),
        (["--data", "tiny", "--stack", "logistic", "nowhere"], 1, "expected a model bundle"),
        (["--data", "tiny", "--stack", "logistic", "short"], 2, "windows of one length. Received, in samples: "),
        (["--data", "tiny", "--stack", "logistic", "embedded"], 2, "embeddings of a run of yours"),
        (["--data", "lonely", "--stack", "logistic", "again"], 1, "clips of two speakers or more"),
        (["--data", "tiny", "--stack", "logistic", "again", "--window-s", "1"], 2, "--stack takes no --window-s"),
        (["--resume", "logistic"], 2, "a classical model is fitted in one go"),
    ],
)
def test_what_does_not_go_together_leaves_one_line(place, arguments, status, message, monkeypatch, capfd):
    monkeypatch.chdir(place)
    before = sorted(place.rglob("*"))
    assert trained(*arguments) == status
    told = capfd.readouterr().err
    assert message in told
    assert "Traceback" not in told
    assert [path for path in sorted(place.rglob("*")) if path not in before] == []
