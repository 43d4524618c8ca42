"""docs/outputs.md names every field that programs get, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from tiny_model import voice

from audio.labelfiles import CSV_COLUMNS, FORMATS
from model import Detector
from model.judging.detector import SCHEMA_VERSION
from model.judging.live import LIVE_VERSION, final_row
from model.judging.scan import COLUMNS
from model.judging.scan import SCHEMA_VERSION as TABLE_VERSION

TEXT = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}")[1].split("\n## ")[0]


def first_cells(text: str) -> list[str]:
    """Every name in the first column of a table."""
    cells = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


def test_rows_of_detect(tiny_bundle):
    row = Detector(tiny_bundle).detect(voice(np.random.default_rng(0), 4, fake_s=[(1, 2)])).to_row("a.wav")
    told = section(f"A row of `detect --json`, version {SCHEMA_VERSION}")
    assert first_cells(told) == list(row)
    (span,) = row["segments"]
    assert all(f"`{name}`" in told for name in (*span, *row["quality"]))


def test_rows_of_live(tiny_bundle):
    row = final_row(Detector(tiny_bundle).detect(voice(np.random.default_rng(0), 2)), "stdin")
    assert first_cells(section(f"A row of `live --json`, version {LIVE_VERSION}")) == list(row["live"])


def test_columns_of_scan():
    assert tuple(first_cells(section(f"The table of `scan`, version {TABLE_VERSION}"))) == COLUMNS


def test_label_formats():
    told = section("Label files")
    assert first_cells(told) == list(FORMATS)
    assert all(f"`{name}`" in told for name in CSV_COLUMNS)
    assert all(f"{each.suffix}`" in told for each in FORMATS.values())
