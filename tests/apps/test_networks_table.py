"""The table of the networks: as it would be written today."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.cli import networks

ROOT = Path(__file__).parents[2]


def test_the_document_holds_the_table_of_today(tmp_path: Path):
    """Mended by `python -m apps.cli.networks docs/networks.md`; catches counts that a change left behind."""
    found = networks.table()
    assert found in (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
    (ours,) = (line for line in found.splitlines() if line.startswith("| `cnnrnnlstm` |"))
    assert "| 192,628 |" in ours  # those of the shipped weights


def test_a_document_without_marks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from audio.errors import ToolkitError

    monkeypatch.setattr(networks, "table", lambda: "")
    (tmp_path / "x.md").write_text("no marks")
    with pytest.raises(ToolkitError, match="expected the marks"):
        networks.update(tmp_path / "x.md")
