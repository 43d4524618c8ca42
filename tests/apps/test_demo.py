"""The demo: which commands it runs, which clip it shows, and how it ends. The commands themselves have their tests."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from apps import demo
from audio.labels import FAKE, HYBRID, REAL
from audio.manifest import Clip, write_manifest
from audio.segments import Segment

CLIPS = [
    Clip("real/0.wav", REAL, n_samples=80_000, split="test"),
    Clip("hybrid/1.wav", HYBRID, (Segment(20_000, 50_000),), 80_000, split="train"),
    Clip("hybrid/2.wav", HYBRID, (Segment(0, 30_000),), 80_000, split="test"),
    Clip("hybrid/3.wav", HYBRID, (Segment(20_000, 30_000),), 80_000, split="test"),
    Clip("hybrid/4.wav", HYBRID, (Segment(20_000, 70_000),), 80_000, split="test"),
    Clip("hybrid/5.wav", HYBRID, (Segment(10, 20_000), Segment(30_000, 50_000)), 80_000, split="test"),
    Clip("hybrid/6.wav", HYBRID, (Segment(20_000, 40_000),), 80_000, speaker="june", generator="world", split="test"),
    Clip("fake/7.wav", FAKE, (Segment(0, 80_000),), 80_000, split="test"),
]
FIGURES = {"accuracy": 0.5, "macro_f1": 0.4, "segment_eer_20ms": 0.1, "clips": 7, "seed": 1}


@pytest.fixture
def ran(tmp_path, monkeypatch) -> list[tuple[str, ...]]:
    """The commands that the demo runs in an empty folder; building and training leave their files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["demo", "-j", "2"])
    commands: list[tuple[str, ...]] = []

    def command(*arguments: str) -> None:
        commands.append(arguments)
        if "build" in arguments:
            demo.SET.mkdir(parents=True)
            write_manifest(demo.SET / "manifest.jsonl", CLIPS)
        if arguments[0] == "train_cnnrnnlstm.py":
            demo.RUN.mkdir(parents=True, exist_ok=True)
            (demo.RUN / "metrics.json").write_text(json.dumps(FIGURES))

    monkeypatch.setattr(demo, "_command", command)
    return commands


def test_it_builds_trains_and_judges_and_keeps_the_figures(ran, capsys):
    assert demo.main() == 0
    assert [command[0] for command in ran] == ["-m", "train_cnnrnnlstm.py", "script.py", "script.py"]
    assert "--model" in ran[2]
    assert ran[3] == ("script.py", ran[2][1]), "the shipped model judges the same clip"
    assert "--data" in ran[1]
    assert json.loads((demo.OUT / "metrics.json").read_text()) == FIGURES
    said = capsys.readouterr().out
    assert "hybrid, fake 1.25-2.50 s (world), speaker june" in said


def test_the_clip_is_genuine_speech_with_one_fake_span_inside(ran):
    demo.main()
    assert ran[2][1] == str(Path("data/demo/hybrid/6.wav"))
    write_manifest(demo.SET / "manifest.jsonl", CLIPS[:5])
    assert demo._test_clip() == Path("data/demo/hybrid/2.wav"), "without such a clip, the first test hybrid"


def test_a_run_that_was_stopped_is_resumed(ran):
    demo.RUN.mkdir(parents=True)
    (demo.RUN / "settings.json").write_text("{}")
    assert demo.main() == 0
    assert ran[1] == ("train_cnnrnnlstm.py", "--resume", str(demo.RUN))


def test_the_first_failure_ends_it_with_its_status(ran, monkeypatch):
    def fail(*arguments: str) -> None:
        raise subprocess.CalledProcessError(3, arguments)

    monkeypatch.setattr(demo, "_command", fail)
    assert demo.main() == 3
    assert not demo.OUT.exists()


def test_an_interruption_says_how_to_go_on(ran, monkeypatch, capsys):
    def interrupt(*arguments: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "_command", interrupt)
    assert demo.main() == 130
    assert "start it again" in capsys.readouterr().err
