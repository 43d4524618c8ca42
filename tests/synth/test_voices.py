from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
from babbling import babble

from audio.errors import ManifestError
from audio.manifest import Clip, write_manifest
from audio.reading import write_wav
from synth.voices import fakes_from_folder, voices_from_folder


def test_speaker_is_the_first_folder(voices_dir: Path) -> None:
    clips = voices_from_folder(voices_dir)
    assert len(clips) == 24
    assert clips[0] == Clip("ada/line 0.wav", "real", n_samples=19_200, speaker="ada")
    assert sorted({clip.speaker for clip in clips}) == ["ada", "bén", "cleo", "dan"]
    assert [clip.path for clip in clips] == sorted(clip.path for clip in clips)


def test_manifest_is_believed(tmp_path: Path) -> None:
    genuine = Clip("x/1.wav", "real", n_samples=9_000, speaker="eva", codec="g722")
    clips = [genuine, Clip("x/2.wav", "fake", n_samples=9_000)]
    write_manifest(tmp_path / "manifest.jsonl", clips)
    assert voices_from_folder(tmp_path) == clips[:1]


def test_unreadable_recordings_are_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Catches one broken file that stops a build of thousands."""
    write_wav(tmp_path / "eva" / "good.wav", babble(1, seconds=0.5))
    (tmp_path / "eva" / "text.wav").write_text("no sound")
    (tmp_path / "eva" / ".hidden.wav").write_text("")
    (tmp_path / "eva" / "notes.txt").write_text("")
    with caplog.at_level(logging.WARNING):
        assert [clip.path for clip in voices_from_folder(tmp_path)] == ["eva/good.wav"]
    assert "text.wav" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.parametrize("make", [voices_from_folder, fakes_from_folder])
def test_nothing_there(tmp_path: Path, make: object) -> None:
    for folder, line in ((tmp_path, "recordings: expected"), (tmp_path / "absent", "expected a folder")):
        with pytest.raises(ManifestError, match=line):
            make(folder)  # type: ignore[operator]


def test_manifest_without_speakers(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.jsonl", [Clip("1.wav", "real", n_samples=9)])
    with pytest.raises(ManifestError, match=r"1\.wav: expected a speaker"):
        voices_from_folder(tmp_path)


def test_one_folder_with_a_table_for_both(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Catches a corpus in a table that must be copied into folders first; unknown speakers keep their splits apart."""
    rows = ["path,label,speaker,generator,split,source_clip", "a/1.wav,real,eva,,train,", "a/2.wav,real,,,dev,"]
    rows += ["a/3.wav,real,,,test,", "b/1.wav,fake,,hifi,train,a/1.wav", "b/2.wav,fake,,hifi,train,"]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    for name, seconds in (("a/1", 1.0), ("a/2", 1.0), ("a/3", 1.0), ("b/1", 1.0), ("b/2", 0.1)):
        write_wav(tmp_path / f"{name}.wav", babble(1, seconds=seconds))
    assert [(c.path, c.speaker, c.n_samples) for c in voices_from_folder(tmp_path)] == [
        ("a/1.wav", "eva", 16_000),
        ("a/2.wav", "unknown, dev, a", 16_000),
        ("a/3.wav", "unknown, test, a", 16_000),
    ]
    with caplog.at_level(logging.WARNING):
        assert [(c.path, c.source_clip) for c in fakes_from_folder(tmp_path)] == [("b/1.wav", "a/1.wav")]
    assert "1 recordings" in caplog.text


def test_lengths_are_those_at_16_khz(tmp_path: Path) -> None:
    """Catches a header believed that counts samples of another rate."""
    (tmp_path / "eva").mkdir()
    soundfile.write(tmp_path / "eva" / "wide.wav", np.zeros(48_000), 48_000)
    soundfile.write(tmp_path / "eva" / "stereo.flac", np.zeros((16_000, 2)), 16_000)
    assert [clip.n_samples for clip in voices_from_folder(tmp_path)] == [16_000, 16_000]


def test_twins_by_name_or_by_table(tmp_path: Path) -> None:
    for name in ("hifi/one.wav", "hifi/two.wav"):
        write_wav(tmp_path / name, np.zeros(9_000, dtype=np.int16))
    assert [clip.source_clip for clip in fakes_from_folder(tmp_path)] == ["one", "two"]
    (tmp_path / "clips.csv").write_text("path,source_clip,extra\nhifi/one.wav,ada/line 3.wav,\n")
    clips = fakes_from_folder(tmp_path)
    assert [(clip.generator, clip.source_clip) for clip in clips] == [("hifi", "ada/line 3.wav"), ("hifi", "two")]


def test_table_without_the_columns(tmp_path: Path) -> None:
    write_wav(tmp_path / "hifi" / "one.wav", np.zeros(100, dtype=np.int16))
    (tmp_path / "clips.csv").write_text("file,source_clip\nhifi/one.wav,a\n")
    with pytest.raises(ManifestError, match=r"expected the columns path and source_clip, 'path' is missing"):
        fakes_from_folder(tmp_path)
