"""`script.py check`: what becomes of a verdict when its recording changes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_model import RATE, voice

from apps.cli import main as cli
from apps.stress import CORRUPTIONS
from audio.reading import write_wav


@pytest.fixture
def run(tiny_bundle, capsys):
    def run_(*arguments: object) -> tuple[int, str, str]:
        status = cli.main(["check", *map(str, arguments), "--model", str(tiny_bundle)])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, said.out, said.err

    return run_


@pytest.fixture(scope="module")
def checked(tiny_bundle, tmp_path_factory):
    """A hybrid whose mark lies above 6 kHz: what a telephone takes away, and a lower level does not."""
    clip = tmp_path_factory.mktemp("check") / "clip.wav"
    write_wav(clip, voice(np.random.default_rng(0), 4, fake_s=[(1, 2)]))
    return clip


def test_each_change_has_its_row(run, checked):
    status, out, err = run("--json", checked)
    rows = {row["change"]: row for row in map(json.loads, out.splitlines())}
    assert (status, err) == (0, "")
    assert list(rows) == ["as it is", *CORRUPTIONS]
    assert (rows["as it is"]["label"], rows["as it is"]["same_spans"]) == ("hybrid", 1.0)
    assert (rows["gain_-20db"]["holds"], rows["lowpass_3.4khz"]["holds"]) == (True, False)
    assert rows["lowpass_3.4khz"]["same_spans"] == 0.0


def test_spans_are_compared_where_the_change_moved_them(run, checked):
    """Catches spans of a slower or trimmed recording that are compared with places in the old one."""
    rows = {row["change"]: row for row in map(json.loads, run("--json", checked)[1].splitlines())}
    assert rows["trim"]["same_spans"] > 0.9
    assert rows["speed_0.95"]["same_spans"] > 0.8


def test_the_table_says_how_many_hold(run, checked):
    status, out, _ = run(checked)
    lines = out.splitlines()
    assert status == 0
    assert len(lines) == 1 + 1 + len(CORRUPTIONS) + 1
    n_changed = sum(line.endswith("*") for line in lines)
    assert n_changed >= 1
    assert lines[-1] == f"{len(CORRUPTIONS) - n_changed} of {len(CORRUPTIONS)} changes leave the verdict: hybrid"


def test_a_pipeline_can_ask_for_it(run, checked):
    assert run("--fail-on-change", checked)[0] == 3


def test_what_is_not_judged_cannot_be_checked(run, tmp_path):
    write_wav(tmp_path / "silent.wav", np.zeros(RATE))
    status, out, err = run(tmp_path / "silent.wav")
    assert (status, out) == (1, "")
    assert "is not judged as it is (no_speech): nothing to check" in err
    assert run(tmp_path / "missing.wav")[0] == 1
