"""The bench of judging: it runs, its ratio is of what it printed, and a long recording ends as it does alone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_model import RATE, voice

from audio.reading import write_wav
from bench.scanning import speech

ROOT = Path(__file__).parents[2]


@pytest.fixture
def genuine(tmp_path) -> Path:
    for k in range(3):
        write_wav(tmp_path / "genuine" / f"{k}.wav", voice(np.random.default_rng(k), 4))
    return tmp_path / "genuine"


def test_recordings_follow_one_another_for_as_long_as_asked(genuine):
    sources = sorted(genuine.iterdir())
    found = speech(sources, 13.0)
    assert (found.size, found.dtype) == (13 * RATE, np.float32)
    np.testing.assert_array_equal(found[:RATE], found[12 * RATE :])


def test_it_prints_ratios_of_its_own_figures_and_equal_ends(genuine):
    """Catches a ratio of other figures, and a long recording whose windows drift."""
    command = [sys.executable, "-m", "bench.scanning", "--real", str(genuine), "--clips", "4", "--hours", "0.34"]
    asked = ["--what", "scan", "--what", "long", "--what", "kills", "--files", "12", "--kills", "2"]
    asked += ["--what", "memory", "--items", "12", "--engine", "local"]
    told = subprocess.run([*command, *asked], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    floor, rest, _network, ratio = (float(x) for x in re.findall(r"^\| .* \| ([\d.]+) \|$", told, re.MULTILINE)[:4])
    assert ratio == pytest.approx(rest / floor, abs=0.05 + 0.1 * ratio)
    assert "| length told, s | 1200.0 | 600.0 |" in told
    assert "| scores of the last nine minutes | the same bits | |" in told
    (figures,) = re.findall(r"^\| 12 \| local \| (.*) \|$", told, re.MULTILINE)
    assert len(figures.split(" | ")) == 8
    assert float(figures.split(" | ")[6]) > 10, "the driver's peak is of a process with Python in it"
    assert re.search("12 files of 2 s, killed [012] times: the same bytes as unbroken; 12 files judged, most", told)
