"""One contract for all readers of data sets, on tiny trees with their exact layouts."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from corpus_trees import TREES, Tree

from audio.corpora import CORPORA, Count, read_corpus
from audio.errors import ManifestError, UsageError
from audio.manifest import read_manifest, write_manifest

ROOT = Path(__file__).parents[3]
NAMES = list(CORPORA)
WITH_LABELS = [name for name in TREES if TREES[name]().missing is not None]
WITH_UNKNOWN = [name for name in TREES if TREES[name]().unknown is not None]
WITH_TWICE = [name for name in TREES if TREES[name]().twice is not None]


def expect_counts(monkeypatch: pytest.MonkeyPatch, name: str, *counts: Count) -> None:
    """Replace what was published of a data set: a tiny tree has no 25,380 clips."""
    monkeypatch.setitem(CORPORA, name, replace(CORPORA[name], counts=counts))


@pytest.fixture
def made(tmp_path, monkeypatch, request) -> tuple[str, Tree, Path]:
    """A written tree of the data set named by the test's parameter, with no counts expected."""
    name = request.param
    tree = TREES[name]()
    expect_counts(monkeypatch, name)
    return name, tree, tree.write(tmp_path / "set")


def made_for(names: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("made", names, indirect=True)


def complaint(*args: object, **kwargs: object) -> str:
    """What a reader that must refuse says: one line."""
    with pytest.raises(ManifestError) as raised:
        read_corpus(*args, **kwargs)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def without(folder: Path, path: str) -> Path:
    (folder / path).unlink()
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_every_reader_has_a_tree(name: str) -> None:
    """Catches a reader that no test has ever run."""
    assert name in TREES
    assert CORPORA[name].name == name


@made_for(NAMES)
def test_labels_splits_and_segments(made: tuple[str, Tree, Path]) -> None:
    """Catches wrong columns, polarities, splits, spans and traits, and clips that are lost or invented."""
    name, tree, folder = made
    assert read_corpus(name, folder).clips == tree.clips


@made_for([name for name in NAMES if name not in ("folders", "table")])  # plain sets have nothing to go by
def test_the_folder_around_it_will_do(made: tuple[str, Tree, Path]) -> None:
    """Catches readers that want to be pointed at one level of the tree only."""
    name, tree, folder = made
    found = read_corpus(name, folder.parent).clips
    assert [clip.path for clip in found] == [f"set/{clip.path}" for clip in tree.clips]


@made_for(NAMES)
def test_clips_go_into_a_manifest(made: tuple[str, Tree, Path]) -> None:
    """Catches paths that leave the folder and facts that a manifest cannot hold."""
    name, tree, folder = made
    write_manifest(folder / "manifest.jsonl", read_corpus(name, folder).clips)
    assert tuple(read_manifest(folder / "manifest.jsonl")) == tree.clips


@made_for(WITH_LABELS)
def test_a_missing_recording(made: tuple[str, Tree, Path]) -> None:
    """Catches silently smaller sets, and messages that do not say which line wants which file."""
    name, tree, folder = made
    path, where = tree.missing
    said = complaint(name, without(folder, path))
    assert f"{folder / where}: expected the recording " in said
    assert Path(path).name in said


@made_for(WITH_LABELS)
def test_partial_takes_what_is_there(made: tuple[str, Tree, Path]) -> None:
    """Catches a partial reading that fails, that keeps clips without a recording, or that keeps quiet about it."""
    name, tree, folder = made
    reading = read_corpus(name, without(folder, tree.missing[0]), partial=True)
    assert reading.clips == tuple(clip for clip in tree.clips if clip.path != tree.missing[0])
    assert any(note.startswith("1 labelled recordings are missing") for note in reading.notes)


@made_for(WITH_UNKNOWN)
@pytest.mark.parametrize("partial", [False, True])
def test_an_unknown_label(made: tuple[str, Tree, Path], tmp_path: Path, partial: bool) -> None:
    """Catches labels that are taken for spoof because they are not bona fide."""
    name, tree, _ = made
    edit, where = tree.unknown
    folder = tree.write(tmp_path / "other", edit(tree.files))
    said = complaint(name, folder, partial=partial)
    assert str(folder / where) in said
    assert "expected" in said


@made_for(WITH_TWICE)
@pytest.mark.parametrize("partial", [False, True])
def test_a_duplicate_id(made: tuple[str, Tree, Path], tmp_path: Path, partial: bool) -> None:
    """Catches the second of two contradicting labels winning."""
    name, tree, _ = made
    edit, where = tree.twice
    folder = tree.write(tmp_path / "other", edit(tree.files))
    assert str(folder / where) in complaint(name, folder, partial=partial)


@made_for(NAMES)
def test_a_wrong_count(made: tuple[str, Tree, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches an incomplete download that is consistent in itself."""
    name, tree, folder = made
    expect_counts(monkeypatch, name, Count(len(tree.clips)), Count(1000, labels=("real", "fake", "hybrid")))
    said = complaint(name, folder)
    assert "expected 1000 real or fake or hybrid" in said
    assert f"received {len(tree.clips)}" in said
    assert read_corpus(name, folder, partial=True).clips == tree.clips
    expect_counts(monkeypatch, name, Count(len(tree.clips)))
    assert read_corpus(name, folder).clips == tree.clips


@pytest.mark.parametrize("name", NAMES)
def test_published_counts_are_of_something(name: str) -> None:
    """Catches a count of a subset, split or label that no clip can have, which would never match."""
    clips = TREES[name]().clips
    for count in CORPORA[name].counts:
        assert any(map(count.fits, clips)), str(count)


def test_what_was_not_downloaded_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches LJSpeech becoming a condition of reading WaveFake."""
    tree = TREES["wavefake"]()
    folder = tree.write(tmp_path, {path: b"" for path in tree.files if path.startswith("generated_audio/ljspeech_mel")})
    expect_counts(monkeypatch, "wavefake", Count(13_100, {"speaker": "ljspeech"}, labels=("real",), if_any=True))
    assert len(read_corpus("wavefake", folder).clips) == 2


@made_for(NAMES)
def test_an_empty_folder(made: tuple[str, Tree, Path], tmp_path: Path) -> None:
    """Catches an empty manifest passing for a data set, also when partial."""
    name, _, _ = made
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / "empty") in complaint(name, tmp_path / "empty")
    assert str(tmp_path / "empty") in complaint(name, tmp_path / "empty", partial=True)
    assert "received none" in complaint(name, tmp_path / "nowhere")


@made_for(["asvspoof2019-la"])
def test_recordings_without_a_label_are_told(made: tuple[str, Tree, Path]) -> None:
    name, tree, folder = made
    (folder / "LA/ASVspoof2019_LA_train/flac/LA_T_9999999.flac").touch()
    (folder / "LA/.hidden.flac").touch()
    reading = read_corpus(name, folder)
    assert reading.clips == tree.clips
    assert reading.notes == ("1 recordings in the folder have no label and are left out",)


@made_for(["asvspoof2019-la"])
def test_a_missing_protocol(made: tuple[str, Tree, Path]) -> None:
    """Catches two thirds of a data set passing for all of it."""
    name, _, folder = made
    protocol = "ASVspoof2019.LA.cm.dev.trl.txt"
    without(folder, f"LA/ASVspoof2019_LA_cm_protocols/{protocol}")
    assert protocol in complaint(name, folder)
    reading = read_corpus(name, folder, partial=True)
    assert {clip.split for clip in reading.clips} == {"train", "test"}
    assert f"expected {protocol}, received none" in reading.notes


@made_for(["asvspoof2019-la"])
def test_two_recordings_of_one_name(made: tuple[str, Tree, Path]) -> None:
    """Catches whichever comes first winning."""
    name, tree, folder = made
    (folder / tree.clips[0].path).with_suffix(".wav").touch()
    assert "expected one, received" in complaint(name, folder)


@made_for(["asvspoof2021-la", "asvspoof2021-df"])
def test_phases_are_told(made: tuple[str, Tree, Path]) -> None:
    name, _, folder = made
    (note,) = read_corpus(name, folder).notes
    assert note.startswith("trials by phase: ")
    assert "eval" in note


@made_for(["for"])
def test_processed_copies_are_told(made: tuple[str, Tree, Path]) -> None:
    """Catches for-norm and for-rerec being counted as different recordings without a word."""
    name, tree, folder = made
    tree.write(folder, {path.replace("for-norm", "for-rerec"): b"" for path in tree.files})
    reading = read_corpus(name, folder)
    assert len(reading.clips) == 2 * len(tree.clips)
    assert any("for-norm, for-rerec hold the same recordings" in note for note in reading.notes)


@made_for(["had"])
def test_the_convention_of_classes_is_told(made: tuple[str, Tree, Path]) -> None:
    name, _, folder = made
    assert len([note for note in read_corpus(name, folder).notes if "1 genuine, 0 fake" in note]) == 3


def test_an_unknown_name() -> None:
    with pytest.raises(UsageError, match="expected one of asvspoof2019-la, "):
        read_corpus("asvspoof", ".")


def test_reading_a_data_set_opens_no_audio_and_loads_nothing_heavy() -> None:
    """Catches weight: listing the data sets must be quick."""
    code = "import sys, audio.corpora; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"pandas", "scipy", "soundfile", "librosa", "matplotlib", "tensorflow"} & set(loaded.stdout.split())
