from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
from babbling import babble

from audio.errors import AudioError, UsageError
from audio.reading import write_wav
from synth.sounds import SoundFolder, list_sounds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_wav(tmp_path / "b" / "late.wav", babble(1, seconds=0.5))
    soundfile.write(tmp_path / "early.flac", babble(2, seconds=0.5)[:6_000], 48_000)
    return tmp_path


def test_lists_what_can_be_read(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Catches files listed by name only, and one broken file that stops everything."""
    (folder / "broken.wav").write_bytes(b"RIFF but no more")
    (folder / "notes.txt").write_text("no sound")
    (folder / ".hidden.wav").write_bytes(b"")
    write_wav(folder / "silent.wav", np.zeros(800, dtype=np.int16))
    with caplog.at_level(logging.WARNING):
        sounds = list_sounds(folder).sounds
    assert [(sound.path, sound.n_samples) for sound in sounds] == [("b/late.wav", 8_000), ("early.flac", 2_000)]
    assert sounds[0].sha256 == hashlib.sha256((folder / "b" / "late.wav").read_bytes()).hexdigest()
    assert "broken.wav" in caplog.text
    assert "silent.wav" in caplog.text
    assert len(caplog.records) == 2


def test_what_is_too_long_is_left_out(folder: Path) -> None:
    assert [sound.path for sound in list_sounds(folder, longest_s=0.2).sounds] == ["early.flac"]


def test_json_does_not_tell_the_place(folder: Path) -> None:
    """Catches a set that cannot be resumed because its noises were moved."""
    listed = list_sounds(folder)
    moved = SoundFolder(Path("elsewhere"), listed.sounds)
    assert json.dumps(listed.to_json()) == json.dumps(moved.to_json())


@pytest.mark.parametrize("name", ["none", "empty"])
def test_nothing_to_draw_from(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="expected a folder with recordings"):
        list_sounds(tmp_path / name)


def test_changed_and_missing(folder: Path) -> None:
    """Catches a set that is rendered with another noise than its plan says."""
    listed = list_sounds(folder)
    assert listed.find(listed.sounds[0]) == folder / "b" / "late.wav"
    write_wav(folder / "b" / "late.wav", babble(3, seconds=0.6))
    with pytest.raises(AudioError, match="has changed"):
        listed.find(listed.sounds[0])
    (folder / "early.flac").unlink()
    with pytest.raises(AudioError, match="cannot be opened: No such file"):
        listed.find(listed.sounds[1])
