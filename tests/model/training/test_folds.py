"""Cross-validation by the command that people type: whole, one fold alone, and resumed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_set import write_tiny_set

from audio.manifest import read_manifest, write_manifest
from model.training.folds import as_text, summarise

ROOT = Path(__file__).parents[3]
SETTINGS = ("--epochs", "1", "--batch-size", "6", "--window-s", "1")


def write_set(folder: Path) -> None:
    """Write clips by three speakers, each with a generator of their own and clips of all classes."""
    listing = write_tiny_set(folder) / "manifest.jsonl"
    clips = read_manifest(listing)
    groups = [i // 3 % 3 for i in range(len(clips))]
    write_manifest(
        listing,
        [
            replace(clip, speaker=f"s{group}", generator=clip.generator and f"g{group}")
            for clip, group in zip(clips, groups, strict=True)
        ],
    )


def train(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "train_cnnrnnlstm.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def weights(run: Path) -> list[np.ndarray]:
    import keras

    return keras.saving.load_model(run / "best.keras").get_weights()


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the set `tiny` and all three folds of it in `whole`."""
    folder = tmp_path_factory.mktemp("folds")
    write_set(folder / "tiny")
    done = train("--data", "tiny", "--out", "whole", "--folds", "3", *SETTINGS, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "stdout").write_text(done.stdout)
    return folder


def test_each_fold_tests_other_speakers_and_generators(place):
    tables = [json.loads((place / "whole" / f"fold-{n}" / "metrics.json").read_text()) for n in range(3)]
    for key in ("speakers", "generators"):
        tested = [name for table in tables for name in table[key]]
        assert len(tested) == len(set(tested)) == 3
    assert "3 folds, mean and deviation" in (place / "stdout").read_text()
    found = json.loads((place / "whole" / "metrics.json").read_text())
    assert found["mean"]["accuracy"] == pytest.approx(np.mean([table["accuracy"] for table in tables]))


def test_resuming_trains_the_missing_fold_alone_to_the_same_weights(place):
    fold, untouched = place / "whole" / "fold-2", place / "whole" / "fold-0" / "best.keras"
    before, when = weights(fold), untouched.stat().st_mtime_ns
    (place / "whole" / "metrics.json").unlink()
    for path in fold.rglob("*"):
        if path.is_file() and path.name != "settings.json":
            path.unlink()
    done = train("--resume", "whole", cwd=place)
    assert done.returncode == 0, done.stderr
    assert all(np.array_equal(old, new) for old, new in zip(before, weights(fold), strict=True))
    assert untouched.stat().st_mtime_ns == when
    assert len(json.loads((place / "whole" / "metrics.json").read_text())["folds"]) == 3


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("--folds", "2"), "folds: expected 3 or more. Received: 2"),
        (("--folds", "3", "--fold", "3"), "fold: expected 0 to 2. Received: 3"),
        (("--fold", "1"), "expected --folds beside it"),
        (("--folds", "4"), "expected at least 4 speakers. Received: 3"),
    ],
)
def test_folds_that_cannot_be_are_one_line(place, asked, words):
    done = train("--data", "tiny", "--out", "broken", *asked, cwd=place)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert words in done.stderr
    assert not (place / "broken").exists()


def test_a_figure_that_a_fold_lacks_has_no_mean():
    fold = {"accuracy": 0.5, "macro_f1": None, "segment_eer_20ms": 0.1, "segment_eer_20ms_hybrids": 0.2}
    found = summarise([fold, {**fold, "accuracy": 0.7, "macro_f1": 0.6}])
    assert found["mean"]["macro_f1"] is None
    assert (found["mean"]["accuracy"], found["deviation"]["accuracy"]) == pytest.approx((0.6, 0.1 * 2**0.5))
    assert "accuracy: 0.600 +- 0.141 (0.500, 0.700)" in as_text(found)
