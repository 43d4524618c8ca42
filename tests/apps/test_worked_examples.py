"""Every example in the help of a command runs as it stands, in a folder that has what it names."""

from __future__ import annotations

import gzip
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile
from tiny_model import RATE, voice
from tiny_set import write_tiny_set

from apps.cli import main as cli
from audio.labels import REAL
from audio.manifest import read_manifest
from audio.reading import write_wav

ELSEWHERE = {
    "python script.py corpora asvspoof2019-la data/LA": "it needs the whole data set",
    "python script.py corpora had data/HAD --out data/had.jsonl": "it needs the whole data set",
    "python script.py evaluate --manifest data/LA/manifest.jsonl --threshold-from data/mine --out outputs/la": "too",
    "python script.py evaluate --manifest data/mine --split test_unseen --stress -j 2": "two minutes: test_stress.py",
    "python script.py compare --data data/mine": "hours: the one with classical systems runs",
    "python script.py compare --data data/mine --systems cnnrnnlstm,gru,forest --minutes 5": "minutes: likewise",
    "python script.py compare --data data/mine --systems all --leaky-split -j 2": "hours: likewise",
    "python script.py compare --data data/mine --folds 5": "hours: likewise",
    "python script.py export --format litert data/mine/*/*.wav": "half a minute of TensorFlow: test_proof.py",
    "python script.py export --format saved_model --out served": "half a minute of TensorFlow: test_proof.py",
    "python script.py scan s3://bucket/calls 's3://bucket/*.flac' --out results.csv": "test_scan_remote.py has a store",
    "python script.py scan s3://bucket/calls --out results.csv --engine ray --address auto": "it needs a cluster",
    "python script.py selftest --real archive/genuine": "a minute: the next one runs, with fewer clips",
    "python script.py live": "it needs a microphone: test_live_command.py has stand-ins",
    "python script.py live --list-devices": "likewise",
    "python script.py live --device USB --save call.flac": "likewise",
    "arecord -q -f S16_LE -r 16000 | python script.py live - --raw s16le:16000:1": "likewise",
    "python script.py live rtsp://192.168.1.9/door --allow-network --seconds 60 --fail-on fake,hybrid": "a network",
}
"""Examples that are not run here, and why."""

STATUS = {
    "python script.py detect upload.mp3 --quiet --fail-on fake,hybrid": 3,
    "python script.py check upload.mp3 --fail-on-change": (0, 3),
}
"""Exit statuses other than 0."""

FEWER = {
    "python script.py selftest --real genuine --clips 300 --engines world,lpc --out mine": ("300", "6"),
    "python script.py compare --data data/mine --systems logistic,knn --windows 1000": ("1000", "40"),
}
"""A number in an example that would take long, and the one that is run."""


def examples(text: str) -> Iterator[str]:
    """Commands in a text; what stands behind two spaces explains them."""
    for line in text.splitlines():
        if re.match(r"  (\w.* \| )?python script.py ", line):
            yield re.split(r"\s{2,}", line.strip())[0]


ALL = {line: name for name, module in cli.COMMANDS.items() for line in examples(module.EXAMPLE)}


def words(line: str) -> list[str]:
    """What a shell hands to a program: patterns that are not quoted are filled in."""
    found: list[str] = []
    for word in shlex.split(line.split(" | ")[-1], posix=False):
        named = sorted(map(str, Path().glob(word))) if "*" in word and word[0] not in "'\"" else []
        found += named or [word.strip("'\"")]
    return found[2:]


@pytest.fixture(scope="module")
def desk(tmp_path_factory, tiny_bundle) -> Path:
    """The folder of somebody who tries the examples."""
    folder = tmp_path_factory.mktemp("desk")
    hybrid = voice(np.random.default_rng(1), 4, fake_s=[(1, 2)])
    for name in ("interview.wav", "a.wav", "calls/call.wav", "calls/one.mp3", "more/two.mp3", "upload.mp3"):
        _write(folder / name, hybrid)
    _write(folder / "call.wav", np.stack([hybrid, voice(np.random.default_rng(2), 4)], axis=1))
    _encode(folder / "interview.wav", folder / "voice.m4a")
    for k in range(24):
        for place in ("archive/genuine", "genuine"):
            write_wav(folder / place / f"speaker{k % 3}" / f"{k}.wav", voice(np.random.default_rng(k), 4))
    (folder / "list.txt").write_text("interview.wav\na.wav\n")
    (folder / "runs").mkdir()
    shutil.copytree(tiny_bundle, folder / "runs" / "mine")
    write_tiny_set(folder / "data" / "mine")
    _scored(folder)
    (folder / "data" / "release_in_the_wild").mkdir()
    (folder / "data" / "release_in_the_wild" / "meta.csv").write_text("file,speaker,label\n0.wav,Somebody,bona-fide\n")
    _write(folder / "data" / "release_in_the_wild" / "0.wav", hybrid)
    return folder


def _write(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE)


def _encode(source: Path, target: Path) -> None:
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([ffmpeg, "-loglevel", "error", "-i", str(source), str(target)], check=True)


def _scored(folder: Path) -> None:
    """Labels and scores of other people, in the forms that the examples name."""
    rng = np.random.default_rng(0)
    fake = rng.random(40) < 0.5
    protocol = [f"S U_{i:04d} - {'A07 spoof' if f else '- bonafide'}\n" for i, f in enumerate(fake)]
    (folder / "ASVspoof2019.LA.cm.eval.trl.txt").write_text("".join(protocol))
    scores = [f"U_{i:04d} {rng.standard_normal() - 2 * f:.4f}\n" for i, f in enumerate(fake)]
    (folder / "scores.txt").write_text("".join(scores))
    for name in ("test", "dev"):
        rows = [f"{name}{i}.wav,{'fake' if f else 'real'}\n" for i, f in enumerate(fake)]
        (folder / f"{name}.csv").write_text("path,label\n" + "".join(rows))
        scores = [f"{name}{i} {rng.standard_normal() + 2 * f:.4f}\n" for i, f in enumerate(fake)]
        (folder / f"{name}.txt").write_text("".join(scores))
    (folder / "label_test.txt").write_text("".join(f"C{i} 0.00-0.20-T/0.20-0.40-F 0\n" for i in range(8)))
    cells = [(i, cell / 50, rng.standard_normal() + 2 * (cell >= 10)) for i in range(8) for cell in range(20)]
    with gzip.open(folder / "frames.txt.gz", "wt") as file:
        file.writelines(f"C{i} {start_s:.2f} {start_s + 0.02:.2f} {score:.4f}\n" for i, start_s, score in cells)


@pytest.fixture
def here(desk, monkeypatch):
    monkeypatch.chdir(desk)
    return desk


@pytest.mark.parametrize("line", [line for line in ALL if line not in ELSEWHERE])
def test_the_example_runs(line, here, tiny_bundle, capsys, monkeypatch):
    """Catches an option that was renamed, a file that the example names wrongly, and a command that is broken."""
    _prepare(line)
    given = words(line.replace(*FEWER[line]) if line in FEWER else line)
    with open(line.split()[1] if line.startswith("cat ") else os.devnull) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        status = cli.main(given)
    said = capsys.readouterr()
    expected = STATUS.get(line, 0)
    assert status in (expected if isinstance(expected, tuple) else (expected,)), said.err
    assert "Traceback" not in said.err
    assert said.out or "--quiet" in line


def _prepare(line: str) -> None:
    """Make what an earlier command would have left."""
    made = ["--model", "runs/mine"]
    if " import " in line:
        shutil.rmtree("outputs", ignore_errors=True)
        cli.main(["detect", "calls/call.wav", "--format", "audacity,textgrid,csv", *made, "--out", "outputs"])
    elif "--operating-point desk.json" in line and not Path("desk.json").exists():
        cli.main(["calibrate", "--real", "genuine", "--false-alarms", "0.05", "--out", "desk.json"])
    elif "--merge" in line:
        for k in (1, 2):
            cli.main(["scan", "calls", "--shard", f"{k}/2", "--out", f"{k}.csv", *made, "-j", "1"])


def test_every_command_has_an_example_that_runs():
    """Catches a new command without one, and an entry above that outlived its example."""
    ran = {name for line, name in ALL.items() if line not in ELSEWHERE}
    assert ran == set(cli.COMMANDS)
    assert set(ELSEWHERE) | set(STATUS) | set(FEWER) <= set(ALL)


def test_a_corrected_label_is_read_back(here):
    """What the import example leaves is a manifest with the span."""
    _prepare("x import y")
    assert cli.main(words("python script.py import outputs/call.txt --audio calls")) == 0
    (clip,) = read_manifest(here / "calls" / "manifest.jsonl")
    assert clip.label != REAL
    assert clip.segments
