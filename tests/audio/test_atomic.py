from __future__ import annotations

from pathlib import Path

import pytest

from audio.atomic import replacing


def test_replaces_whole_and_leaves_nothing_beside(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    for words in ("first", "second"):
        with replacing(target) as beside:
            beside.write_text(words)
    assert target.read_text() == "second"
    assert list(target.parent.iterdir()) == [target]


def test_failure_keeps_the_old_file(tmp_path: Path) -> None:
    """Catches writing in place: a crash in the middle would destroy what was there."""
    target = tmp_path / "file.txt"
    target.write_text("old")

    def fail() -> None:
        with replacing(target) as beside:
            beside.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
