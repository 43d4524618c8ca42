"""`script.py corpora`: from a data set's own folder to a manifest."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from apps.cli import corpora
from audio.corpora import CORPORA
from audio.errors import ManifestError, ToolkitError, UsageError
from audio.manifest import Clip, read_manifest, resolve


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A plain set in a folder of its own."""
    found = tmp_path / "data" / "mine"
    for name in ("real/a.wav", "real/b.wav", "fake/c.wav", "hybrid/d.wav"):
        path = found / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return found


@pytest.fixture
def run(capsys):
    """Run the command as the script does, and give its status and what it printed."""

    def run_(*words: object) -> tuple[int, str]:
        parser = argparse.ArgumentParser()
        corpora.add_arguments(parser)
        return corpora.run(parser.parse_args([str(word) for word in words])), capsys.readouterr().out

    return run_


def test_the_manifest_lies_in_the_folder(run, folder: Path) -> None:
    status, out = run("folders", folder)
    assert status == 0
    clips = read_manifest(folder / "manifest.jsonl")
    assert [clip.path for clip in clips] == ["fake/c.wav", "hybrid/d.wav", "real/a.wav", "real/b.wav"]
    header, row, generators = out.splitlines()
    assert header.split() == ["split", "real", "fake", "hybrid", "clips", "speakers"]
    assert row.split() == ["no", "split", "2", "1", "1", "4", "-"]
    assert generators == "generators: not told"


def test_a_manifest_above_the_folder_has_longer_paths(run, folder: Path, tmp_path: Path) -> None:
    """Catches a manifest whose paths lead nowhere."""
    out = tmp_path / "sets.jsonl"
    run("folders", folder, "--out", out)
    clips = read_manifest(out)
    assert clips[0].path == "data/mine/fake/c.wav"
    assert all(resolve(out, clip).is_file() for clip in clips)


def test_twins_move_along(run, tmp_path: Path) -> None:
    """Catches a twin's path left relative to the other folder."""
    for name in ("generated_audio/ljspeech_melgan/LJ001-0001_gen.wav", "LJSpeech-1.1/wavs/LJ001-0001.wav"):
        (tmp_path / "wf" / name).parent.mkdir(parents=True)
        (tmp_path / "wf" / name).touch()
    run("wavefake", tmp_path / "wf", "--partial", "--out", tmp_path / "wf.jsonl")
    assert [clip.source_clip for clip in read_manifest(tmp_path / "wf.jsonl")] == [
        "",
        "wf/LJSpeech-1.1/wavs/LJ001-0001.wav",
    ]


@pytest.mark.parametrize("out", ["elsewhere/m.jsonl", "data/mine/real/m.jsonl"])
def test_a_manifest_must_be_above_its_recordings(run, folder: Path, tmp_path: Path, out: str) -> None:
    with pytest.raises(UsageError, match=r"expected a manifest in .* or in a folder above it"):
        run("folders", folder, "--out", tmp_path / out)
    assert not (tmp_path / out).exists()


def test_a_broken_data_set_leaves_no_manifest(run, tmp_path: Path) -> None:
    """Catches a manifest of half a data set."""
    (tmp_path / "meta.csv").write_text("file,speaker,label\n0.wav,Ada,spoof\n1.wav,Ada,bona-fide\n")
    (tmp_path / "0.wav").touch()
    with pytest.raises(ManifestError, match=r"meta\.csv:3: expected the recording 1\.wav"):
        run("in-the-wild", tmp_path)
    assert not (tmp_path / "manifest.jsonl").exists()
    status, out = run("in-the-wild", tmp_path, "--partial")
    assert status == 0
    assert "note: 1 labelled recordings are missing, the first is 1.wav" in out


def test_a_manifest_that_cannot_be_written(run, folder: Path) -> None:
    (folder / "manifest.jsonl").mkdir()
    with pytest.raises(ToolkitError, match="cannot be written"):
        run("folders", folder)


@pytest.mark.parametrize("words", [[], ["--list"], ["folders", "--list"]])
def test_the_list(run, words: list[str]) -> None:
    """Catches a data set that nobody can find out about."""
    status, out = run(*words)
    assert status == 0
    for corpus in CORPORA.values():
        assert f"{corpus.name}: {corpus.title}\n" in out
        assert all(line in out for line in corpus.layout.splitlines())


def test_a_name_alone_tells_the_layout(run) -> None:
    status, out = run("in-the-wild")
    assert status == 0
    assert out.startswith("in-the-wild: In-the-Wild\n")
    assert "expected: 19963 real; 11816 fake" in out


@pytest.mark.parametrize("words", [["nonsense"], ["nonsense", "."]])
def test_an_unknown_name(run, words: list[str]) -> None:
    with pytest.raises(UsageError, match="expected one of asvspoof2019-la"):
        run(*words)


def test_the_summary_of_splits_speakers_and_generators() -> None:
    """Catches clips counted in the wrong cell, and a hundred generators printed."""
    clips = [Clip(f"{n}.wav", "fake", generator=f"g{n:02}", split="train", speaker="a") for n in range(20)]
    clips += [Clip("r.wav", "real", split="test", speaker="b"), Clip("h.wav", "hybrid", split="test", speaker="a")]
    rows = corpora.summary(clips, ["polarity told"]).splitlines()
    assert [row.split() for row in rows[1:4]] == [
        ["train", "0", "20", "0", "20", "1"],
        ["test", "1", "0", "1", "2", "2"],
        ["all", "1", "20", "1", "22", "2"],
    ]
    assert rows[4].startswith("generators (20): g00, g01")
    assert rows[4].endswith("g11 and 8 more")
    assert rows[5] == "note: polarity told"
