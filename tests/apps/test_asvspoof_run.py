"""docs/asvspoof2019.md: its commands, in its order, on a small tree in the layout of ASVspoof 2019 LA."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_model import RATE, voice

from apps.cli import main as script
from apps.cli import train
from audio.manifest import read_manifest

DOCUMENT = Path(__file__).parents[2] / "docs" / "asvspoof2019.md"
COMMANDS = re.findall(r"^\$ python (.+)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)

PARTS = (("train", "trn", "A01 A02"), ("dev", "trl", "A01 A02"), ("eval", "trl", "A07 A08"))
PER_PART = 8

CHEAP = "--window-s 0.5 --batch-size 4 --config cheap.toml"
"""What the test adds to the training, besides a single epoch: the network learns, but hardly."""

THE_OTHERS = ("resnet50", "resnet50-lstm")


def write_tree(root: Path) -> Path:
    """Write a set laid out as LA.zip unpacks: noises, the spoofed ones with a band above 6 kHz; return its folder."""
    la = root / "data" / "LA"
    (la / "ASVspoof2019_LA_cm_protocols").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, ending, attacks in PARTS:
        lines = []
        (la / f"ASVspoof2019_LA_{part}" / "flac").mkdir(parents=True)
        for i in range(PER_PART):
            name, spoofed = f"LA_{part[0].upper()}_{1_000_000 + i}", i % 2 == 1
            key = f"{attacks.split()[i // 2 % 2]} spoof" if spoofed else "- bonafide"
            lines.append(f"LA_{part[0].upper()}{i // 2:02d} {name} - {key}\n")
            samples = voice(rng, 1.5, fake_s=[(0, 1.5)] if spoofed else [])
            soundfile.write(la / f"ASVspoof2019_LA_{part}" / "flac" / f"{name}.flac", samples, RATE)
        protocol = f"ASVspoof2019.LA.cm.{part}.{ending}.txt"
        (la / "ASVspoof2019_LA_cm_protocols" / protocol).write_text("".join(lines))
    asv = la / "ASVspoof2019_LA_asv_scores" / "ASVspoof2019.LA.asv.eval.gi.trl.scores.txt"
    asv.parent.mkdir()
    means = {"bonafide target": 6.0, "bonafide nontarget": -2.0, "A07 spoof": 4.0}
    asv.write_text("".join(f"{key} {mean + x}\n" for key, mean in means.items() for x in rng.standard_normal(40)))
    return la


def test_the_document_names_all_steps():
    """Catches an edit after which the next test would run less than the page promises."""
    programs = [command.split()[0] for command in COMMANDS]
    assert programs == ["script.py", *["train_cnnrnnlstm.py"] * 3, *["script.py"] * 4]
    trained = [re.search(r"--network (\S+) .*--out (\S+)$", command).groups() for command in COMMANDS[1:4]]
    assert [name for name, _ in trained] == ["cnn", *THE_OTHERS]
    for command, (_, run) in zip(COMMANDS[4:7], trained, strict=True):
        assert f"--model {run} --split test --asv-scores" in command


def run(command: str) -> int:
    """Run a command of the page; of the costly networks only read the arguments."""
    program, *words = shlex.split(command)
    if program == "script.py":
        return script.main(words)
    return script.run_alone(train, program=program, argv=words)


def test_the_commands_run_in_order(tmp_path, monkeypatch, capsys):
    """Catches a layout that is not read, a split that lands elsewhere, and a figure that the run does not bring."""
    la = write_tree(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("cheap.toml").write_text("[network]\nchannels = [4, 4]\nband_strides = [8, 4]\n")
    corpora, cnn, *costly, judging, _, _, again = COMMANDS
    assert run(corpora) == 1, "a tree of 24 recordings is not the data set"
    assert "2580" in capsys.readouterr().err.replace(",", "")
    assert run(f"{corpora} --partial") == 0
    clips = read_manifest(la / "manifest.jsonl")
    assert [clip.split for clip in clips] == [split for split in ("train", "dev", "test") for _ in range(PER_PART)]
    assert run(f"{cnn.replace('--epochs 20', '--epochs 1')} {CHEAP}") == 0
    assert run(judging.replace("-j 2", "-j 1")) == 0
    figures = _figures("outputs/la-cnn")
    for key in ("two_class_accuracy", "two_class_macro_f1", "clip_eer", "min_tdcf"):
        assert 0 <= figures[key] <= 1, key
    assert figures["macro_f1"] is None
    page = Path("outputs/la-cnn/report.html").read_text(encoding="utf-8")
    assert "ROC (left) and DET curves" in page
    assert "What is called what" in page
    assert Path("runs/la-cnn/curves.png").stat().st_size > 0
    assert run(again) == 0
    assert _figures("outputs/la-cnn-again")["min_tdcf"] == pytest.approx(figures["min_tdcf"])
    capsys.readouterr()
    given = []
    monkeypatch.setattr(train, "run", lambda arguments: given.append(arguments.network) or 0)
    assert [run(command) for command in costly] == [0, 0]
    assert given == list(THE_OTHERS)


def _figures(folder: str) -> dict[str, float | None]:
    found = json.loads((Path(folder) / "figures.json").read_text(encoding="utf-8"))
    return {figure["key"]: figure["value"] for figure in found["figures"]}
