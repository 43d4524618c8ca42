"""`script.py export` as people run it, with a network small enough to be written by hand: ONNX only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_model import RATE, voice

from apps.cli import export
from apps.cli import main as cli
from model.training.formats import FORMATS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clip(tmp_path) -> Path:
    path = tmp_path / "clip.wav"
    soundfile.write(path, voice(np.random.default_rng(0), 4, fake_s=[(1, 2)]), RATE)
    return path


@pytest.fixture
def run(tiny_bundle, capsys):
    """Run the command with the tiny model; give status, stdout and stderr."""

    def run_(*arguments: object, model: Path = tiny_bundle) -> tuple[int, str, str]:
        status = cli.main(["export", *map(str, arguments), "--model", str(model)])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, said.out, said.err

    return run_


def test_it_prints_size_speed_and_differences_and_says_where(run, clip, tmp_path):
    status, out, err = run("--format", "onnx", "--out", tmp_path / "out", clip)
    header, ours, bundles, compared, largest, verdicts = out.splitlines()
    assert status == 0
    assert header.split() == ["network", "bytes", "ms", "per", "s", "of", "audio"]
    size = f"{(tmp_path / 'out' / 'model.onnx').stat().st_size:,}"
    assert ours.split()[:2] == ["onnx", size]
    assert bundles.split()[-2] == size
    assert compared == "compared on 1 clips, 3 windows, 4.0 s"
    assert largest == "largest difference: 0 of a frame score (0 on average), 0 of a clip's probability"
    assert verdicts == "verdicts changed: 0 of 1"
    assert err == f"export: {tmp_path / 'out'}\n"


def test_int8_is_a_model_that_detect_takes(run, clip, tmp_path, capsys):
    status, out, _ = run("--format", "onnx", "--int8", "--out", tmp_path / "out", clip)
    assert (status, out.splitlines()[1].split()[:2]) == (0, ["onnx,", "int8"])
    assert cli.main(["detect", str(clip), "--json", "--model", str(tmp_path / "out")]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["label"], row["model"]) == ("hybrid", "tiny-int8")


def test_without_clips_it_says_that_none_was_real(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run("--format", "onnx")
    assert (status, err) == (0, f"export: {Path('outputs', 'export-tiny-onnx')}\n")
    assert "compared on 6 made sounds, no real clips" in out
    report = json.loads(Path("outputs", "export-tiny-onnx", "export.json").read_text())
    assert report["proof"]["recordings"] == "made"


def test_a_clip_that_cannot_be_read_stops_nothing_but_shows(run, clip, tmp_path):
    status, out, err = run("--format", "onnx", "--out", tmp_path / "out", tmp_path / "missing.wav", clip)
    assert status == 1
    assert "compared on 1 clips" in out
    assert err.startswith("error: ")
    assert "missing.wav" in err.splitlines()[0]
    assert (tmp_path / "out" / "bundle.json").is_file()


def test_clips_that_cannot_be_compared_are_counted(run, clip, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    _, out, _ = run("--format", "onnx", "--out", tmp_path / "out", tmp_path / "silence.wav", clip)
    assert "compared on 1 clips (1 more are too short or hold no speech), 3 windows" in out


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--format", "keras", "--int8"], 2, "--int8: expected --format onnx or litert, received keras"),
        (["--format", "onnx", "--out", "."], 2, "--out: expected a new folder, or one of an earlier export"),
    ],
)
def test_wrong_arguments_are_one_line(run, arguments, status, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.txt").touch()
    found, out, err = run(*arguments)
    assert (found, out) == (status, "")
    assert err.startswith(f"error: {message}")
    assert len(err.splitlines()) == 1


def test_a_model_that_is_none_is_one_line(run, tmp_path):
    status, out, err = run("--format", "onnx", model=tmp_path / "nowhere")
    assert (status, out, len(err.splitlines())) == (1, "", 1)


def test_help_offers_the_formats_that_there_are():
    assert tuple(FORMATS) == export.FORMATS


def test_onnx_needs_no_tensorflow(tiny_bundle, clip, tmp_path):
    code = (
        "import sys; from apps.cli.main import main; status = main(sys.argv[1:]);"
        " print(status, {'tensorflow', 'keras'} & set(sys.modules))"
    )
    arguments = ["export", "--format", "onnx", "--int8", "--model", tiny_bundle, "--out", tmp_path / "out", clip]
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 set()"
    assert done.stderr == f"export: {tmp_path / 'out'}\n"
