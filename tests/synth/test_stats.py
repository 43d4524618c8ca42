from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audio.manifest import Clip, write_manifest
from audio.reading import write_wav
from audio.segments import Segment
from synth.__main__ import main
from synth.pictures import stats_png
from synth.stats import set_stats, shared_between, stats_text

REAL = Clip("real/1.wav", "real", n_samples=32_000, speaker="ann", language="en", split="train")
FAKE = Clip("fake/1.wav", "fake", (Segment(0, 48_000),), 48_000, "ann", "world", split="train")
HYBRID = Clip(
    "hybrid/1.wav",
    "hybrid",
    (Segment(0, 16_000), Segment(20_000, 28_000), Segment(28_000, 30_000, "real")),
    64_000,
    "bob",
    "lpc",
    split="test_unseen",
    splice={"operations": ["insert", "replace"], "joins": [{"kind": "hard"}, {"kind": "cosine"}, {"kind": "hard"}]},
)
FIRST_VERSION = Clip("hybrid/2.wav", "hybrid", (Segment(0, 8_000),), 16_000, splice={"operation": "append"})
CLIPS = [REAL, FAKE, HYBRID, FIRST_VERSION, Clip("real/2.wav", "real", n_samples=8_000, splice={"operation": "none"})]


def saved(tmp_path: Path, clips: list[Clip]) -> Path:
    write_manifest(tmp_path / "manifest.jsonl", clips)
    return tmp_path


def test_figures_of_a_set(tmp_path: Path) -> None:
    """Catches minutes of the wrong clips, genuine spans and whole fakes among the fake spans, old plans not read."""
    found = set_stats(saved(tmp_path, CLIPS)).to_json()
    assert found["n_clips"] == 5
    assert found["unreadable"] == {}
    assert [(row["split"], row["label"], row["n_clips"]) for row in found["classes"]] == [
        ("train", "real", 1),
        ("train", "fake", 1),
        ("test_unseen", "hybrid", 1),
        ("", "real", 1),
        ("", "hybrid", 1),
    ]
    assert [row["minutes"] * 60 for row in found["classes"]] == pytest.approx([2, 3, 4, 0.5, 1])
    assert found["speakers"] == {"ann": {"train": 2}, "bob": {"test_unseen": 1}}
    assert found["generators"] == {"world": {"train": 1}, "lpc": {"test_unseen": 1}}
    assert found["spans_per_clip"] == {"1": 1, "2": 1}
    assert (found["span_s"]["0%"], found["span_s"]["50%"], found["span_s"]["100%"]) == (0.5, 0.5, 1.0)
    assert found["operations"] == {"insert": 1, "replace": 1, "append": 1}
    assert found["join_kinds"] == {"hard": 2, "cosine": 1}


def test_lengths_that_the_manifest_does_not_tell_are_read_from_the_files(tmp_path: Path) -> None:
    write_wav(tmp_path / "real" / "a.wav", np.zeros(24_000, dtype=np.int16))
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "b.wav").write_text("no sound")
    stats = set_stats(tmp_path)
    assert dict(zip([clip.path for clip in stats.clips], stats.durations_s, strict=True)) == {
        "fake/b.wav": None,
        "real/a.wav": 1.5,
    }
    assert "no recording" in stats.unreadable["fake/b.wav"]
    assert "fake/b.wav: " in stats_text(stats)
    assert main(["stats", str(tmp_path)]) == 1


def pairs(*clips: Clip) -> set[tuple[str, str, str, bool]]:
    return {(shared.what, *shared.splits, shared.is_leak) for shared in shared_between(clips)}


def test_speakers_in_two_splits_leak() -> None:
    train, test = REAL, replace(REAL, path="real/2.wav", split="test")
    assert pairs(train, test) == {("speakers", "train", "test", True)}
    assert pairs(train, replace(test, speaker="bob")) == set()
    assert pairs(replace(train, speaker=""), replace(test, speaker="")) == set()
    assert pairs(train, replace(test, split="")) == set()


def test_test_unseen_shares_its_speakers_with_test_by_design() -> None:
    test, unseen = replace(REAL, split="test"), replace(REAL, path="real/2.wav", split="test_unseen")
    assert pairs(test, unseen) == set()
    assert pairs(replace(test, split="dev"), unseen) == {("speakers", "dev", "test_unseen", True)}


def test_generators_leak_into_test_unseen_only() -> None:
    """Catches alarms for a test of known generators, and a held-out generator that is not."""
    train = replace(FAKE, speaker="")
    test, unseen = (replace(train, path=f"fake/{split}.wav", split=split) for split in ("test", "test_unseen"))
    assert pairs(train, test) == {("generators", "train", "test", False)}
    assert pairs(train, unseen) == {("generators", "train", "test_unseen", True)}
    assert pairs(test, unseen) == {("generators", "test", "test_unseen", True)}


def test_recordings_leak_by_name_by_content_and_through_twins() -> None:
    """Catches a recording in training whose copy under another name, or whose twin, is in test."""
    train = Clip("real/1.wav", "real", split="train")
    twin = Clip("fake/1.wav", "fake", split="dev", source_clip="real/1.wav")
    assert pairs(train, twin) == {("source recordings", "train", "dev", True)}
    one = Clip("real/3.wav", "real", split="train", sources=({"path": "a.wav", "sha256": "0f"}, {"path": "b.wav"}))
    assert pairs(one, replace(one, path="x.wav", split="test")) == {
        ("source recordings", "train", "test", True),
        ("source recordings by content (SHA-256)", "train", "test", True),
    }
    copied = replace(one, path="x.wav", split="test", sources=({"path": "c.wav", "sha256": "0f"},))
    assert pairs(one, copied) == {("source recordings by content (SHA-256)", "train", "test", True)}


def test_shared_against_sets() -> None:
    """The pairs of splits beside plain sets of names, for sets of clips drawn by lot."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        clips = [
            Clip(f"{i}.wav", "real", speaker=f"s{rng.integers(12)}", split=("train", "dev", "test")[rng.integers(3)])
            for i in range(12)
        ]
        by_split = {s: {clip.speaker for clip in clips if clip.split == s} for s in ("train", "dev", "test")}
        wanted = {
            (a, b): tuple(sorted(by_split[a] & by_split[b]))
            for a, b in (("train", "dev"), ("train", "test"), ("dev", "test"))
        }
        found = {shared.splits: shared.names for shared in shared_between(clips)}
        assert found == {pair: names for pair, names in wanted.items() if names}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches a leak without its exit code, a picture that is none, JSON that does not parse."""
    leaking = saved(tmp_path, [*CLIPS, replace(REAL, path="real/3.wav", split="dev")])
    picture = tmp_path / "pictures" / "set.png"
    assert main(["stats", str(leaking), "--fail-on-leak", "--out", str(picture)]) == 3
    said = capsys.readouterr().out
    assert "LEAK  train and dev: 1 speakers: ann" in said
    assert "speakers (2)  train  dev  test_unseen  (none)" in said
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["stats", str(leaking), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shared"][0]["names"] == ["ann"]
    assert main(["stats", str(saved(tmp_path / "clean", CLIPS)), "--fail-on-leak"]) == 0
    assert "shared between splits: nothing" in capsys.readouterr().out


def test_the_picture_of_a_set_without_spans_and_generators() -> None:
    """Catches empty histograms and axes; and the same set must give the same bytes."""
    from synth.stats import Stats

    bare = Stats("bare", (Clip("real/1.wav", "real"),), (None,), {}, ())
    assert stats_png(bare).startswith(b"\x89PNG")
    assert stats_png(bare) == stats_png(bare)
    assert "(none)" in stats_text(bare)
