from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from audio.errors import ManifestError
from audio.manifest import Clip, fake_spans, read_manifest, resolve, scan_folder, write_manifest
from audio.segments import Segment

GOLDEN = Path(__file__).parents[1] / "golden" / "manifest_v2.jsonl"
GOLDEN_1 = GOLDEN.with_name("manifest_v1.jsonl")

FULL = Clip(
    path="hybrid/ünï 1.wav",
    label="hybrid",
    segments=(Segment(100, 200), Segment(300, 350, "fake", 0.25), Segment(350, 400, "real")),
    n_samples=400,
    speaker="allison",
    generator="world",
    language="en",
    split="test_unseen",
    sources=({"path": "a.wav", "sha256": "00"},),
    splice={"operation": "insert", "joins": [{"kind": "hard"}]},
    channel={"gain_db": -3.5, "codec": None},
    seed=7,
    text="hello\nworld",
    codec="g722",
    source_clip="real/1.wav",
    traits={"sex": "f", "style": "flat"},
)


def line(**changes: object) -> str:
    return json.dumps({"schema_version": 1, "path": "a.wav", "label": "real"} | changes)


def refused(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_frozen_file_of_version_1_still_reads() -> None:
    """Catches any change that would lock people out of the sets they have."""
    hybrid, real = read_manifest(GOLDEN_1)
    assert hybrid == replace(FULL, traits={})
    assert real == Clip("real/2.flac", "real")


def test_written_bytes_are_the_frozen_ones(tmp_path: Path) -> None:
    """Catches a change of key order, escapes or line ends, which would break byte-identical rebuilds."""
    path = tmp_path / "manifest.jsonl"
    write_manifest(path, [FULL, Clip("real/2.flac", "real")])
    assert path.read_bytes() == GOLDEN.read_bytes()
    assert path.read_bytes().startswith(b'{"schema_version": 2, "path"')
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.jsonl"]


def test_minimal_line_blank_lines_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text("\ufeff" + line() + "\r\n\r\n" + line(path="b.wav"), encoding="utf-8")
    assert [clip.path for clip in read_manifest(path)] == ["a.wav", "b.wav"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{", "expected a JSON object"),
        ("[1]", "expected a JSON object"),
        ("[" * 100_000, "expected a JSON object"),
        (line(schema_version=3), "schema_version: expected 1 or 2, received 3"),
        ('{"path": "a.wav", "label": "real"}', "schema_version: expected 1 or 2, received None"),
        ('{"schema_version": 1, "path": "b.wav"}', "clip: missing label"),
        (line(speeker="x"), "unknown field speeker"),
        (line(label="bona fide"), "label: expected one of real, fake, hybrid, received 'bona fide'"),
        (line(split="eval"), "split: expected one of"),
        (line(n_samples="10"), "n_samples: expected int, received '10'"),
        (line(n_samples=-1), "n_samples: expected 0 or more"),
        (line(sample_rate=0), "sample_rate: expected 1 Hz or more"),
        (line(seed=1.5), "seed: expected int or None"),
        (line(splice=[]), "splice: expected Mapping or None"),
        (line(sources=["a.wav"]), "sources: expected objects"),
        (line(traits=["f"]), "traits: expected Mapping"),
        (line(traits={"age": 34}), "traits: expected text by name"),
        (line(segments={}), "segments: expected a list"),
        (line(label="fake", segments=[[0, 1]]), "segment: expected an object"),
        (line(label="fake", segments=[{"onset": 0}]), "segment: missing offset"),
        (line(label="fake", segments=[{"onset": 5, "offset": 5}]), "segment bounds"),
        (line(label="fake", segments=[{"onset": 0.0, "offset": 5}]), "onset: expected an integer"),
        (line(label="fake", n_samples=4, segments=[{"onset": 0, "offset": 5}]), "end by sample 4, received 5"),
        (line(segments=[{"onset": 0, "offset": 5}]), "no fake one in a real clip"),
        (line(path="first.wav"), "path: 'first.wav' occurs twice"),
    ],
)
def test_bad_line_is_named_with_file_and_line(tmp_path: Path, bad: str, message: str) -> None:
    said = refused(tmp_path, line(path="first.wav"), "", bad)
    assert "manifest.jsonl:3: " in said
    assert message in said


def test_missing_or_binary_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "none.jsonl")
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ManifestError, match="UTF-8"):
        read_manifest(tmp_path / "binary.jsonl")


EVIL_PATHS = ["../x.wav", "a/../../x.wav", "/etc/passwd", "C:/x.wav", "..\\x.wav", "\\\\host\\x.wav", ""]


@pytest.mark.parametrize("evil", EVIL_PATHS)
def test_paths_cannot_leave_the_set(tmp_path: Path, evil: str) -> None:
    """Catches a manifest from a stranger that makes us read files outside its folder, on any system."""
    assert "inside the set's folder" in refused(tmp_path, line(path=evil))


def test_resolve_follows_links_before_it_trusts_them(tmp_path: Path) -> None:
    outside, inside = tmp_path / "secret.wav", tmp_path / "set"
    outside.touch()
    inside.mkdir()
    (inside / "link.wav").symlink_to(outside)
    (inside / "linked").symlink_to(tmp_path)
    for path in ("link.wav", "linked/secret.wav"):
        with pytest.raises(ManifestError, match="leads out of"):
            resolve(inside / "manifest.jsonl", Clip(path, "real"))


def test_resolve_from_manifest_or_folder(tmp_path: Path) -> None:
    clip = Clip("real/a.wav", "real")
    expected = tmp_path.resolve() / "real" / "a.wav"
    assert resolve(tmp_path / "manifest.jsonl", clip) == expected
    assert resolve(tmp_path, clip) == expected


def test_write_refuses_twins_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    write_manifest(path, [FULL])
    before = path.read_bytes()
    with pytest.raises(ManifestError, match="twice"):
        write_manifest(path, [FULL, FULL])
    with pytest.raises(ManifestError, match="cannot be written as JSON"):
        write_manifest(path, [Clip("a.wav", "real", splice={"gain_db": float("nan")})])
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["manifest.jsonl"]


def test_scan_folder_takes_the_class_from_the_folder(tmp_path: Path) -> None:
    """Catches case-sensitive names, hidden leftovers of other systems, and an order that the disk decides."""
    names = ["Real/b.WAV", "Real/deep/a.flac", "FAKE/x.mp3", "hybrid/h.ogg"]
    others = ["Real/readme.txt", "Real/._b.wav", "other/z.wav", "top.wav"]
    for name in names + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [(clip.path, clip.label) for clip in scan_folder(tmp_path)]
    assert found == [
        ("FAKE/x.mp3", "fake"),
        ("Real/b.WAV", "real"),
        ("Real/deep/a.flac", "real"),
        ("hybrid/h.ogg", "hybrid"),
    ]


def test_scan_folder_without_recordings_says_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no recordings found"):
        scan_folder(tmp_path)
    with pytest.raises(ManifestError, match="expected a folder"):
        scan_folder(tmp_path / "none")


def test_fake_spans_of_each_class() -> None:
    assert fake_spans(Clip("a.wav", "real"), 100) == []
    assert fake_spans(Clip("a.wav", "fake"), 100) == [Segment(0, 100)]
    given = (Segment(0, 10, "real"), Segment(10, 20))
    assert fake_spans(Clip("a.wav", "hybrid", segments=given), 100) == [given[1]]
