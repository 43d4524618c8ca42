"""`script.py selftest`: a user's own recordings, spliced, judged and counted."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from tiny_model import voice

from apps import selftest
from apps.cli import main as cli
from apps.selftest import Judge, Judged, judge
from audio.errors import ToolkitError
from audio.manifest import Clip, read_manifest
from audio.reading import write_wav
from audio.segments import Segment
from model import Detector


@pytest.fixture(scope="module")
def genuine(tmp_path_factory) -> Path:
    """Twelve recordings of two speakers."""
    folder = tmp_path_factory.mktemp("genuine")
    for k in range(12):
        write_wav(folder / f"speaker{k % 2}" / f"{k}.wav", voice(np.random.default_rng(k), 5.0))
    return folder


@pytest.fixture
def run(tiny_bundle, capsys):
    def run_(*arguments: object) -> tuple[int, str, str]:
        status = cli.main(["selftest", *map(str, arguments), "--model", str(tiny_bundle)])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, said.out, said.err

    return run_


def test_the_whole_way(run, genuine, tmp_path):
    """The set stays, every clip is counted once, and a second run builds nothing new."""
    out = tmp_path / "out"
    given = ("--real", genuine, "--clips", 12, "--engines", "lpc,griffin-lim", "--out", out, "-j", 1)
    status, said, err = run(*given)
    assert (status, err) == (0, f"picture: {out / 'recovery.png'}\n")
    clips = read_manifest(out / "clips" / "manifest.jsonl")
    assert sorted({clip.label for clip in clips}) == ["fake", "hybrid", "real"]
    assert {clip.generator for clip in clips if clip.label != "real"} <= {"lpc", "griffin-lim"}
    verdicts = [line.split() for line in said.split("\n\n")[0].splitlines()[2:]]
    assert sum(int(cell) for row in verdicts for cell in row if cell.isdigit()) == len(clips)
    assert f"of {sum(clip.label == 'real' for clip in clips)} genuine clips" in said
    assert (out / "recovery.png").read_bytes().startswith(b"\x89PNG")
    before = {path: path.stat().st_mtime_ns for path in (out / "clips").rglob("*.wav")}
    assert run(*given)[:2] == (status, said)
    assert {path: path.stat().st_mtime_ns for path in (out / "clips").rglob("*.wav")} == before
    assert len(list(genuine.rglob("*"))) == 14, "nothing is written among the user's recordings"


def test_judging_in_two_processes_says_the_same(tiny_bundle, genuine):
    """Catches verdicts that are told of the wrong clip, and a clip that is lost but counted."""
    clips = [Clip(f"speaker{k % 2}/{k}.wav", "real", n_samples=80_000) for k in range(6)]
    asked = Judge(genuine, Detector(tiny_bundle))
    here = judge(clips, asked)
    assert judge(clips, asked, workers=2) == here
    assert [(each.clip, each.verdict) for each in here] == [(clip, "real") for clip in clips]
    with pytest.raises(ToolkitError, match=r"gone\.wav"):
        judge([Clip("gone.wav", "real")], asked)


def made_up(label: str, truth: list[tuple[int, int]], found: list[tuple[int, int]], generator: str) -> Judged:
    spans = tuple(Segment(a, b) for a, b in found)
    clip = Clip("x.wav", label, tuple(Segment(a, b) for a, b in truth), 100_000, generator=generator)
    told = "hybrid" if spans else "real"
    return Judged(clip, clip.segments, told, spans)


def test_recovery_counts_seconds_by_the_length_of_spans():
    """Catches spans of one recording matched with those of another, and bands that lose a span on their edge."""
    judged = [
        made_up("hybrid", [(0, 3_200), (16_000, 32_000)], [(1_600, 20_000)], "a"),
        made_up("hybrid", [(0, 48_000)], [(90_000, 99_000)], "b"),
        made_up("real", [], [(0, 99_000)], ""),
    ]
    short, word, phrase, sentence = selftest.recovery(judged)
    assert (short.n_spans, short.found_share) == (1, 0.5)
    assert (word.n_spans, math.isnan(word.found_share)) == (0, True)
    assert (phrase.n_spans, phrase.fake_s, phrase.found_share) == (1, 1.0, 0.25)
    assert (sentence.n_spans, sentence.fake_s, sentence.found_share) == (1, 3.0, 0.0)
    assert selftest.by_engine(judged) == {"a": (1, 5_600 / 19_200), "b": (1, 0.0)}
    assert selftest.verdicts(judged)["real"] == {"hybrid": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--real", "nowhere"), "expected a folder, received nowhere"),
        (("--clips", "2"), "--clips: expected 3 or more, received 2"),
        (("--engines", "hifigan"), "expected some of world"),
        (("--real", "tests/golden"), "expected 8 recordings or more, received 0"),
    ],
)
def test_wrong_usage_is_told(run, genuine, tmp_path, arguments, message):
    status, out, err = run("--real", genuine, "--out", tmp_path / "out", *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
