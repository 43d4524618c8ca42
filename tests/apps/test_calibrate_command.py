"""`script.py calibrate`: a user's genuine recordings set the rate, and the file is good for one model only."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_model import voice, write_tiny_bundle

from apps.cli import main as cli
from audio.errors import ModelError
from audio.reading import write_wav
from model import Detector
from model.bundle import read_bundle
from model.points import point_of

N_ODD = 3


@pytest.fixture(scope="module")
def genuine(tmp_path_factory) -> Path:
    """Thirty recordings of three speakers; in three of them is something that the tiny model takes for fake."""
    folder = tmp_path_factory.mktemp("genuine")
    for k in range(30):
        odd = [(0.5, 1.0 + 0.2 * k)] if k < N_ODD else []
        write_wav(folder / f"speaker{k % 3}" / f"{k}.wav", voice(np.random.default_rng(k), 2.0, fake_s=odd))
    return folder


@pytest.fixture
def run(tiny_bundle, capsys):
    def run_(*arguments: object) -> tuple[int, str, str]:
        status = cli.main([*map(str, arguments), "--model", str(tiny_bundle)])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, said.out, said.err

    return run_


@pytest.mark.parametrize(("rate", "accused"), [(0.2, 3), (0.05, 1), (0.01, 0)])
def test_the_rate_is_kept_and_no_more_is_given_away(run, genuine, tmp_path, tiny_bundle, rate, accused):
    """Catches a point that lets too many through, or asks for more evidence than it needs."""
    out = tmp_path / "desk.json"
    status, said, err = run("calibrate", "--real", genuine, "--false-alarms", rate, "--out", out)
    assert (status, err) == (0, "")
    assert said.startswith(
        f"{accused} of 30 genuine recordings accused (asked for at most {100 * rate:g} %; 95 % interval"
    )
    detector = Detector(tiny_bundle, operating_point=str(out))
    results = [detector.detect(path) for path in sorted(genuine.rglob("*.wav"))]
    assert sum(result.label != "real" for result in results) == accused
    assert {result.operating_point for result in results} == {"desk"}
    facts = json.loads(out.read_text())
    assert (facts["kind"], facts["data"]["recordings"], facts["point"]["name"]) == ("operating point", 30, "desk")


def test_it_is_used_by_name(run, genuine, tmp_path):
    run("calibrate", "--real", genuine, "--out", tmp_path / "desk.json")
    status, said, _ = run(
        "detect", "--json", genuine / "speaker0" / "0.wav", "--operating-point", tmp_path / "desk.json"
    )
    assert (status, json.loads(said)["operating_point"], json.loads(said)["label"]) == (0, "desk", "real")
    status, _, _ = run(
        "scan", genuine, "--out", tmp_path / "x.csv", "--operating-point", tmp_path / "desk.json", "-j", "1"
    )
    assert status == 0
    assert ",desk," in (tmp_path / "x.csv").read_text()


def test_another_models_point_is_refused(run, genuine, tmp_path):
    run("calibrate", "--real", genuine, "--out", tmp_path / "desk.json")
    other = read_bundle(write_tiny_bundle(tmp_path / "other", clip_weights=np.ones((2, 3))))
    with pytest.raises(ModelError, match="received one of another model, tiny"):
        point_of(other, str(tmp_path / "desk.json"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "expected an operating point: No such file"),
        ("{", "received no JSON"),
        ("[]", "as script.py calibrate writes it"),
        ('{"kind": "operating point", "schema_version": 9}', "expected schema_version 1, received 9"),
        ('{"kind": "operating point", "schema_version": 1}', "not a complete operating point"),
    ],
)
def test_files_that_are_no_points(tiny_bundle, tmp_path, text, message):
    if text is not None:
        (tmp_path / "x.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        point_of(read_bundle(tiny_bundle), str(tmp_path / "x.json"))


def test_bad_recordings_are_told_and_left_out(run, genuine, tmp_path):
    folder = tmp_path / "mixed"
    for path in genuine.rglob("*.wav"):
        (folder / path.name).parent.mkdir(exist_ok=True)
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "bad.wav").write_text("hello")
    write_wav(folder / "silent.wav", np.zeros(16_000))
    status, said, err = run("calibrate", "--real", folder, "--out", tmp_path / "x.json")
    assert status == 1
    assert " of 30 genuine" in said
    (line,) = err.splitlines()
    assert "bad.wav" in line


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--false-alarms", "1.5"), 2, "expected a share between 0 and 1, received 1.5"),
        (("--out", "x.txt"), 2, "expected a name that ends in .json"),
        (("--real", "nowhere"), 2, "expected a folder, received nowhere"),
        (("--real", "tests/golden"), 1, "expected 20 recordings with speech, received 0"),
    ],
)
def test_wrong_usage_is_told(run, genuine, tmp_path, arguments, status, message):
    given = ("--real", genuine, "--out", tmp_path / "x.json", *arguments)
    found, said, err = run("calibrate", *given)
    assert (found, said) == (status, "")
    assert message in err
