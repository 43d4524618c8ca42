"""Training on splices made on the fly, by the command that people type: the set beside it, and exact resume."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import scipy.signal

from apps.cli import train
from apps.cli.main import run_alone
from audio.manifest import read_manifest
from audio.reading import write_wav

ROOT = Path(__file__).parents[2]
SETTINGS = ("--epochs", "2", "--batch-size", "6", "--seed", "5", "--window-s", "1", "-j", "1")

RECIPE = """
clips = 24
seed = 2
real = "voices"
cache = "cache"
engines = ["lpc"]
held_out = []
clip_s = [2.0, 3.0]
channel = false
"""


def spoken(seed: int) -> np.ndarray:
    """Return three seconds of syllables: pulses through two resonances."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(48_000) / 16_000
    phase = np.cumsum((110 + 20 * (seed % 4)) * (1 + 0.1 * np.sin(4 * time_s + seed))) / 16_000
    voice = np.diff(np.floor(phase), prepend=0.0) + 0.02 * rng.standard_normal(time_s.size)
    for formant_hz in (500 + 40 * (seed % 7), 1_500):
        poles = [1.0, -1.94 * np.cos(2 * np.pi * formant_hz / 16_000), 0.9409]
        voice = scipy.signal.lfilter([1.0], poles, voice)
    loud = voice * np.abs(np.sin(np.pi * time_s / 0.25))
    return (0.3 * loud / np.abs(loud).max()).astype(np.float32)


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "train_cnnrnnlstm.py"), *map(str, arguments)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `recipe.toml`, its voices, and the finished run `whole`."""
    folder = tmp_path_factory.mktemp("recipe")
    for s, speaker in enumerate(("ada", "ben", "cleo")):
        for k in range(3):
            write_wav(folder / "voices" / speaker / f"{k}.wav", spoken(3 * s + k))
    (folder / "recipe.toml").write_text(RECIPE)
    arguments = command("--recipe", "recipe.toml", "--out", "whole", *SETTINGS)
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    assert "macro-F1" in done.stdout
    return folder


def test_dev_and_test_are_built_beside_the_run_and_nothing_is_trained_on_them(place: Path) -> None:
    """Catches a recipe that trains on what it is tested with."""
    clips = read_manifest(place / "whole" / "set" / "manifest.jsonl")
    assert {clip.split for clip in clips} == {"dev", "test"}
    figures = json.loads((place / "whole" / "metrics.json").read_text())
    assert figures["clips"] == sum(clip.split == "test" for clip in clips)
    settings = json.loads((place / "whole" / "settings.json").read_text())
    assert settings["splices"]["recipe"]["engines"] == ["lpc"]
    assert Path(settings["splices"]["folders"]["real"]) == (place / "voices").resolve()


def test_a_killed_run_resumes_to_the_same_bits(place: Path) -> None:
    """Catches splices that depend on how far the run had come in this process."""
    arguments = command("--recipe", "recipe.toml", "--out", "killed", *SETTINGS)
    with subprocess.Popen(arguments, cwd=place, stderr=subprocess.DEVNULL) as process:
        rows = place / "killed" / "log.csv"
        while not (rows.exists() and len(rows.read_text().splitlines()) > 1) and process.poll() is None:
            time.sleep(0.05)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    assert workers
    assert not psutil.wait_procs(workers, timeout=30)[1]  # or they would wait for ever
    assert not (place / "killed" / "bundle").exists()
    resumed = subprocess.run(command("--resume", "killed", "-j", "1"), capture_output=True, cwd=place, check=False)
    assert resumed.returncode == 0, resumed.stderr.decode()
    import keras

    for name in ("log.csv", "metrics.json"):
        assert (place / "killed" / name).read_bytes() == (place / "whole" / name).read_bytes()
    whole, killed = (keras.saving.load_model(place / run / "best.keras").get_weights() for run in ("whole", "killed"))
    assert all(np.array_equal(a, b) for a, b in zip(whole, killed, strict=True))


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ('clips = 24\nreal = "."\nengines = ["wolrd"]', "engines: expected some of"),
        ('clips = 24\nreal = "nowhere"', "nowhere: expected a folder of recordings"),
        ("colour = 1", "colour: expected one of clips"),
    ],
)
def test_a_broken_recipe_is_one_line_and_leaves_no_run(
    recipe: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.toml").write_text(recipe)
    assert run_alone(train, program="train", argv=["--recipe", "broken.toml", "--out", "broken"]) in (1, 2)
    told = capfd.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert not Path("broken").exists()
