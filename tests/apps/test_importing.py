"""`script.py import`: what was judged, corrected by hand, and read back as truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_model import RATE, voice

from apps.cli import main as cli
from audio.manifest import Clip, read_manifest, write_manifest
from audio.reading import write_wav
from audio.segments import Segment


@pytest.fixture
def calls(tmp_path) -> Path:
    """Three recordings of 4 s, one of them in a folder of its own."""
    for k, name in enumerate(("one.wav", "two.wav", "deeper/three.wav")):
        write_wav(tmp_path / "calls" / name, voice(np.random.default_rng(k), 4))
    return tmp_path / "calls"


@pytest.fixture
def run(calls, capsys):
    def run_(*arguments: object) -> tuple[int, str, str]:
        status = cli.main(["import", *map(str, arguments), "--audio", str(calls)])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, said.out, said.err

    return run_


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_detect_correct_import(run, calls, tiny_bundle, tmp_path, capsys):
    """The whole way: a verdict to an Audacity track, one end moved, one span added, and back."""
    out = tmp_path / "out"
    write_wav(calls / "one.wav", voice(np.random.default_rng(0), 4, fake_s=[(1, 2)]))
    options = ["--model", str(tiny_bundle), "--format", "audacity", "--out", str(out)]
    assert cli.main(["detect", str(calls / "one.wav"), *options]) == 0
    capsys.readouterr()
    (line,) = (out / "one.txt").read_text().splitlines()
    corrected = write(out / "one.txt", f"1.05\t{line.split(chr(9))[1]}\tfake\n3\t3.5\tFake 0.9\n")
    status, said, err = run(corrected, "--split", "train", "--speaker", "ann")
    assert (status, err) == (0, "")
    assert "hybrid 1" in said
    (clip,) = read_manifest(calls / "manifest.jsonl")
    assert (clip.path, clip.label, clip.n_samples) == ("one.wav", "hybrid", 4 * RATE)
    assert (clip.split, clip.speaker) == ("train", "ann")
    assert [(s.onset, s.label, s.confidence) for s in clip.segments] == [(16_800, "fake", None), (48_000, "fake", None)]


def test_labels_follow_the_spans(run, calls, tmp_path):
    """Catches a verdict that outlives its spans, and spans marked real that count as fake."""
    rows = ["path,label,start_s,end_s,span_label", "one.wav,hybrid,,,", "two.wav,real,0,4,fake", "three.wav,,1,2,real"]
    status, _, err = run(write(tmp_path / "x.csv", "\n".join(rows)))
    assert status == 0
    assert [line.split(": ", 1)[1] for line in err.splitlines()] == [
        "its spans say real, not hybrid: taken as real",
        "its spans say fake, not real: taken as fake",
    ]
    found = {clip.path: (clip.label, len(clip.segments)) for clip in read_manifest(calls / "manifest.jsonl")}
    assert found == {"one.wav": ("real", 0), "two.wav": ("fake", 1), "deeper/three.wav": ("real", 0)}


def test_fake_without_spans_is_fake_from_end_to_end(run, calls, tmp_path):
    assert run(write(tmp_path / "x.jsonl", json.dumps({"path": "two.wav", "label": "fake", "segments": []})))[0] == 0
    (clip,) = read_manifest(calls / "manifest.jsonl")
    assert (clip.label, clip.segments) == ("fake", (Segment(0, 4 * RATE),))


def test_other_recordings_of_the_manifest_stay(run, calls, tmp_path):
    """Catches an import that loses what was there, and one that leaves the old truth of a corrected clip."""
    kept = Clip("two.wav", "real", n_samples=4 * RATE, speaker="bob", text="hello")
    write_manifest(calls / "manifest.jsonl", [Clip("one.wav", "real"), kept])
    assert run(write(tmp_path / "one.rttm", "SPEAKER one.wav 1 1 0.5 <NA> <NA> fake <NA> <NA>\n"))[0] == 0
    assert run(write(tmp_path / "one.srt", "1\n00:00:01,000 --> 00:00:01,500\nfake\n"))[0] == 0
    one, two = read_manifest(calls / "manifest.jsonl")
    assert (one.label, one.segments) == ("hybrid", (Segment(16_000, 24_000),))
    assert two == kept


def test_a_manifest_above_the_recordings(run, calls, tmp_path):
    status, _, _ = run(write(tmp_path / "three.txt", ""), "--out", tmp_path / "all.jsonl")
    assert status == 0
    assert [clip.path for clip in read_manifest(tmp_path / "all.jsonl")] == ["calls/deeper/three.wav"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("four.txt", "1\t2\tfake\n", "four: expected one such recording below"),
        ("one.txt", "3\t5\tfake\n", "expected spans within 4.000 s, received 3-5 s"),
        ("one.txt", "1\t2\tfkae\n", "line 1: expected fake or real"),
        ("x.csv", "path,channel,start_s,end_s\none.wav,1,1,2\n", "one.wav: expected labels of a whole recording"),
        ("x.docx", "", "expected a label file"),
        ("missing.txt", None, "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_the_rest_goes_on(run, calls, tmp_path, name, text, message):
    bad = tmp_path / name
    if text is not None:
        write(bad, text)
    good = write(tmp_path / "two.txt", "1\t2\tfake\n")
    status, out, err = run(bad, good)
    assert status in (1, 2)
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert "hybrid 1" in out
    assert [clip.path for clip in read_manifest(calls / "manifest.jsonl")] == ["two.wav"]


def test_nothing_usable_writes_nothing(run, calls, tmp_path):
    assert run(tmp_path / "missing.txt")[:2] == (1, "real 0, fake 0, hybrid 0 -> nothing written\n")
    assert not (calls / "manifest.jsonl").exists()


def test_folders_that_do_not_fit(run, calls, tmp_path, capsys):
    status, _, err = run(tmp_path / "x.txt", "--out", tmp_path / "elsewhere" / "m.jsonl")
    assert (status, "expected a manifest in" in err) == (2, True)
    assert cli.main(["import", "x.txt", "--audio", str(tmp_path / "none")]) == 2
    assert "expected a folder" in capsys.readouterr().err
