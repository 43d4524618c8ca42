"""Whole runs on a tiny set, by the command that people type: outputs, exact resume after a kill, and bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tiny_model import voice
from tiny_set import write_tiny_set

from audio.labels import LABELS
from audio.reading import write_wav

ROOT = Path(__file__).parents[3]
SETTINGS = ("--epochs", "4", "--batch-size", "6", "--seed", "5", "--window-s", "1", "--learning-rate", "0.01")


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "train_cnnrnnlstm.py"), *map(str, arguments)]


def train(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the set `tiny` and the finished run `whole`."""
    folder = tmp_path_factory.mktemp("training")
    write_tiny_set(folder / "tiny")
    done = train("--data", "tiny", "--out", "whole", *SETTINGS, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)
    return folder


def weights(run: Path) -> list[np.ndarray]:
    import keras

    return keras.saving.load_model(run / "best.keras").get_weights()


def test_a_run_leaves_its_files_and_prints_the_table(place):
    names = {path.name for path in (place / "whole").iterdir()}
    assert names >= {"settings.json", "state", "best.keras", "log.csv", "curves.png", "tensorboard", "bundle"}
    assert (place / "whole" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "macro-F1" in (place / "stdout").read_text()
    told = (place / "stderr").read_text()
    assert "Traceback" not in told
    assert [f"epoch {n}/4" in told for n in (1, 2, 3, 4)] == [True] * 4
    assert "accuracy" in told
    assert "macro_f1" in told


def test_metrics_name_their_set(place):
    figures = json.loads((place / "whole" / "metrics.json").read_text())
    assert (figures["clips"], figures["seed"], figures["speakers"]) == (6, 5, ["test"])
    assert figures["generators"] == ["noise"]
    assert figures["test_unseen"]["clips"] == 3
    assert 0 <= figures["segment_eer_20ms"] <= 1
    assert np.asarray(figures["confusion"]).sum() == 6
    assert figures["accuracy"] == pytest.approx(np.trace(np.asarray(figures["confusion"])[:, :3]) / 6)


def test_the_bundle_judges_through_script(place):
    clip = place / "tiny" / "fake" / "test-1.wav"
    script = [sys.executable, str(ROOT / "script.py"), str(clip), "--model", "whole", "--json"]
    row = json.loads(subprocess.run(script, capture_output=True, text=True, cwd=place, check=True).stdout)
    assert row["label"] in LABELS
    assert sum(row["probabilities"].values()) == pytest.approx(1)
    assert row["model"] == "whole"


def test_calibration_comes_from_dev(place):
    card = json.loads((place / "whole" / "bundle" / "bundle.json").read_text())
    thresholds = card["operating_points"][0]["thresholds"]
    assert 0 <= thresholds["enter"] - thresholds["exit"] <= 0.15
    assert 0.2 <= card["calibration"]["temperature"] <= 5.0
    assert card["training"]["onnx_difference"] < 1e-4


def test_a_killed_run_resumes_to_the_same_bits(place):
    """SIGKILL after the first epoch, then --resume: weights, log and figures equal the unbroken run's."""
    arguments = command("--data", "tiny", "--out", "broken", *SETTINGS)
    process = subprocess.Popen(arguments, cwd=place, stderr=subprocess.PIPE)
    state = place / "broken" / "state" / "latest.json"
    while not state.exists():
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.01)
    process.kill()
    process.wait()
    process.stderr.close()
    assert json.loads(state.read_text())["epoch"] < 4, "killed too late to show anything"
    done = train("--resume", "broken", cwd=place)
    assert done.returncode == 0, done.stderr
    for resumed, unbroken in zip(weights(place / "broken"), weights(place / "whole"), strict=True):
        np.testing.assert_array_equal(resumed, unbroken)
    assert (place / "broken" / "log.csv").read_text() == (place / "whole" / "log.csv").read_text()
    assert (place / "broken" / "metrics.json").read_text() == (place / "whole" / "metrics.json").read_text()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for other processes")
def test_ctrl_c_ends_without_a_traceback_and_says_how_to_go_on(place):
    process = subprocess.Popen(
        command("--data", "tiny", "--out", "stopped", *SETTINGS[:1], "10000", *SETTINGS[2:]),
        cwd=place,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background makes its children deaf to Ctrl-C.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    while not (place / "stopped" / "state" / "latest.json").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume stopped" in told
    assert "Traceback" not in told


def test_plain_folders_train_classes_and_say_so(tmp_path):
    for label in LABELS:
        for index in range(8):
            (tmp_path / "kaggle" / label).mkdir(parents=True, exist_ok=True)
            fake_s = [(0, 1.2)] if label == "fake" else [(0.4, 0.8)] if label == "hybrid" else []
            samples = voice(np.random.default_rng(index), 1.2, fake_s=fake_s)
            write_wav(tmp_path / "kaggle" / label / f"{index}.wav", samples)
    done = train("--data", "kaggle", "--out", "plain", *SETTINGS[:1], "1", *SETTINGS[2:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "classes only" in done.stderr
    figures = json.loads((tmp_path / "plain" / "metrics.json").read_text())
    assert figures["segment_eer_20ms"] is None
    assert figures["clips"] == 3
    assert "undefined" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--data", "nowhere"], 1, "expected a folder"),
        (["--resume", "nowhere"], 1, "expected a run to resume"),
        (["--resume", "whole", "--epochs", "9"], 2, "no other argument"),
        (["--data", "tiny", "--out", "whole"], 2, "already holds a run"),
        (["--data", "tiny", "--epochs", "0"], 2, "epochs"),
        (["--data", "tiny", "--seed", "-1"], 2, "seed"),
        (["--data", "tiny", "--network", "lstm"], 2, "choose from"),
        (["--resume", "whole", "--network", "gru"], 2, "no other argument"),
        (["--data", "tiny", "--network", "gru", "--from-pretrained", "whole"], 2, "expected cnnrnnlstm like whole"),
        ([], 2, "required"),
    ],
)
def test_bad_arguments_give_one_line_and_leave_nothing(place, arguments, status, message, capfd, monkeypatch):
    from apps.cli import train as module
    from apps.cli.main import run_alone

    monkeypatch.chdir(place)
    before = sorted(place.iterdir())
    try:
        found = run_alone(module, program="train_cnnrnnlstm.py", argv=arguments)
    except SystemExit as left:
        found = left.code
    told = capfd.readouterr().err
    assert found == status
    assert message in told
    assert "Traceback" not in told
    assert sorted(place.iterdir()) == before


def test_help_shows_a_worked_example_and_loads_no_tensorflow():
    look = "import sys, runpy; sys.argv = ['train_cnnrnnlstm.py', '--help']\n"
    look += "try: runpy.run_path('train_cnnrnnlstm.py', run_name='__main__')\nexcept SystemExit: pass\n"
    look += "print(sorted({'tensorflow', 'keras', 'librosa', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "python train_cnnrnnlstm.py --data data/mine" in done.stdout
    assert done.stdout.strip().endswith("[]")


def test_fine_tuning_starts_from_the_weights_of_a_bundle(place):
    """One step of almost no size: what comes out is what went in, and not a fresh network of the same seed."""
    import keras

    tuned = train(
        *("--data", "tiny", "--out", "tuned", "--from-pretrained", "whole", "--epochs", "1", "--batch-size", "100"),
        *("--seed", "5", "--learning-rate", "1e-12"),
        cwd=place,
    )
    assert tuned.returncode == 0, tuned.stderr
    before = keras.saving.load_model(place / "whole" / "bundle" / "model.keras")
    after = keras.saving.load_model(place / "tuned" / "bundle" / "model.keras")
    for old, new in zip(before.trainable_variables, after.trainable_variables, strict=True):
        np.testing.assert_allclose(new.numpy(), old.numpy(), atol=1e-6)
    settings = json.loads((place / "tuned" / "settings.json").read_text())
    assert settings["window_s"] == 1.0, "taken from the bundle"


def test_a_config_file_is_used_and_must_not_contradict_the_bundle(place):
    (place / "training.toml").write_text("epochs = 1\nboundary_loss_weight = 1.0\n[network]\nrecurrent_units = 8\n")
    done = train("--data", "tiny", "--out", "small", "--config", "training.toml", *SETTINGS[2:], cwd=place)
    assert done.returncode == 0, done.stderr
    settings = json.loads((place / "small" / "settings.json").read_text())
    assert (settings["epochs"], settings["network"]["recurrent_units"]) == (1, 8)
    other = train("--data", "tiny", "--config", "training.toml", "--from-pretrained", "whole", cwd=place)
    assert other.returncode == 2
    assert "training.toml: expected network of" in other.stderr.splitlines()[-1]
    missing = train("--data", "tiny", "--from-pretrained", "nowhere", cwd=place)
    assert missing.returncode == 1
    assert "expected a model bundle" in missing.stderr.splitlines()[-1]


def test_another_network_is_trained_resumed_fine_tuned_and_judged(place):
    """Catches a network that is trained under its name and gone on with as ours."""
    (place / "gru.toml").write_text("epochs = 1\nearly_loss_weight = 0.5\n[network]\ndense_units = 8\n")
    asked = ("--data", "tiny", "--network", "gru", "--config", "gru.toml", *SETTINGS[2:])
    done = train(*asked, "--out", "gru", cwd=place)
    assert done.returncode == 0, done.stderr
    settings = json.loads((place / "gru" / "settings.json").read_text())
    assert (settings["network"]["architecture"], settings["network"]["dense_units"]) == ("gru", 8)
    assert train("--resume", "gru", cwd=place).returncode == 0
    tuned = train("--data", "tiny", "--out", "on", "--from-pretrained", "gru", "--epochs", "1", cwd=place)
    assert tuned.returncode == 0, tuned.stderr
    clip = place / "tiny" / "fake" / "test-1.wav"
    script = [sys.executable, str(ROOT / "script.py"), str(clip), "--model", "on", "--json"]
    row = json.loads(subprocess.run(script, capture_output=True, text=True, cwd=place, check=True).stdout)
    assert row["model"] == "on"
    assert json.loads((place / "on" / "settings.json").read_text())["network"] == settings["network"]
