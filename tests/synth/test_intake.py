from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from audio.errors import ManifestError
from audio.labels import FAKE, REAL
from audio.manifest import Clip, write_manifest
from synth.intake import UNKNOWN, Names, list_recordings, stems


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def test_speakers_are_the_first_folders(tmp_path: Path) -> None:
    root = touch(tmp_path, "bén/a b.WAV", "bén/day 2/c.flac", "loose.mp3", "bén/notes.txt", ".trash/d.wav", "x/.e.wav")
    found = [(clip.path, clip.speaker, clip.label) for clip in list_recordings(root).recordings]
    assert found == [
        ("bén/a b.WAV", "bén", REAL),
        ("bén/day 2/c.flac", "bén", REAL),
        ("loose.mp3", UNKNOWN, REAL),
    ]


def test_a_manifest_knows_better(tmp_path: Path) -> None:
    clips = [Clip("b.wav", REAL, speaker="ann", codec="g722"), Clip("a.wav", REAL, speaker="ben"), Clip("f.wav", FAKE)]
    write_manifest(touch(tmp_path, "c.wav") / "manifest.jsonl", clips)
    assert list_recordings(tmp_path).recordings == (clips[1], clips[0])


@pytest.mark.parametrize("paths", [(), ("notes.txt",)])
def test_nothing_to_prepare(paths: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="found none"):
        list_recordings(touch(tmp_path, *paths))
    with pytest.raises(ManifestError, match="expected a folder"):
        list_recordings(tmp_path / "nowhere")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_names_that_no_text_can_hold(tmp_path: Path) -> None:
    """Catches a crash of the journal or the manifest, and lines of the log that a name breaks in two."""
    touch(tmp_path, "ann/good.wav", "ann/two\nlines.wav", "ann/back\\slash.wav")
    open(os.fsencode(tmp_path) + b"/ann/latin\xe9.wav", "wb").close()
    intake = list_recordings(tmp_path)
    assert [clip.path for clip in intake.recordings] == ["ann/good.wav"]
    assert len(intake.unusable) == 3
    assert all(line.isprintable() and line.isascii() for _, line in intake.unusable)


def test_stems_keep_what_tells_recordings_apart() -> None:
    """Catches a.wav written over by a.flac, on systems that tell A from a and on those that do not."""
    paths = ["s/a.wav", "s/a.flac", "s/A.ogg", "s/b.v2.wav", "t/a.wav", "s/é.wav", "s/e\u0301.wav"]
    called = stems(paths)
    assert [called.pop("s/b.v2.wav"), called.pop("t/a.wav")] == ["s/b.v2", "t/a"]
    assert all(path == stem for path, stem in called.items())


def test_no_name_is_given_twice() -> None:
    """Catches pieces and copies that meet a recording of their name."""
    names = Names()
    given = [names.free(stem) for stem in ("a_001", "A_001", "a_001~", "b")]
    assert given == ["a_001.wav", "A_001~.wav", "a_001~~.wav", "b.wav"]
