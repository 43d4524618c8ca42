"""Sharded sets: what is written reads back to the same samples, and whatever is wrong with one is a line."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_set import write_tiny_set

from audio import shards
from audio.digest import file_sha256
from audio.errors import AudioError, ManifestError, ToolkitError, UsageError
from audio.manifest import Clip, read_manifest, read_set, resolve, write_manifest
from audio.reading import blocks, inspect, read, read_span
from audio.sharding import JOURNAL_NAME, layout, planned, write_shards

SHARD_BYTES = 200_000
"""Four clips of the tiny set."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the set `files` and its `shards`."""
    folder = tmp_path_factory.mktemp("sharded")
    write_tiny_set(folder / "files")
    write_shards(folder / "files", folder / "shards", shard_bytes=SHARD_BYTES)
    return folder


@pytest.fixture
def broken(whole: Path, tmp_path: Path) -> Path:
    """A copy of the shards, to be damaged."""
    return Path(shutil.copytree(whole / "shards", tmp_path / "shards"))


def clip_in(folder: Path, number: int) -> Clip:
    """Return the clip that shards hold as `number`."""
    clips = read_manifest(folder / "manifest.jsonl")
    return clips[layout(clips)[number]]


def test_every_clip_reads_as_its_file_does(whole: Path) -> None:
    """Catches an offset that is off, samples that are rounded, and a span that ends elsewhere than in the file."""
    files, sharded = read_set(whole / "files"), read_set(whole / "shards")
    assert sharded[1] == files[1]
    for clip in files[1]:
        there, here = resolve(files[0], clip), resolve(sharded[0], clip)
        assert here.is_relative_to((whole / "shards").resolve())
        np.testing.assert_array_equal(read(here), read(there))
        for span in ((0, 1), (7_000, 12_345), (23_999, 30_000), (30_000, 40_000)):
            np.testing.assert_array_equal(read_span(here, *span), read_span(there, *span))
        assert file_sha256(here) == file_sha256(there), "journals of judged clips hold for both"
        assert (inspect(here).codec, inspect(here).sample_rate) == ("PCM_16", 16_000)
    assert [len(piece) for piece in blocks(here, block_samples=10_000)] == [10_000, 10_000, 4_000]


def test_what_16_bits_cannot_say_is_kept_to_the_last_bit(tmp_path: Path, encode) -> None:
    """Catches stereo, other rates, floats and codecs that train otherwise from shards than from files."""
    rng = np.random.default_rng(0)
    (tmp_path / "set" / "real").mkdir(parents=True)
    full = np.array([-32_768, 32_767, 0, -1] * 500, dtype=np.int16)
    for name, samples, rate_hz, subtype in (
        ("full.wav", full, 16_000, "PCM_16"),
        ("beyond.wav", np.array([1.0, -1.0] * 500), 16_000, "FLOAT"),
        ("stereo.wav", rng.normal(0, 0.1, (3_000, 2)), 44_100, "PCM_16"),
        ("fine.flac", rng.normal(0, 0.1, 3_000), 16_000, "PCM_24"),
        ("none.wav", np.zeros(0), 16_000, "PCM_16"),
    ):
        soundfile.write(tmp_path / "set" / "real" / name, samples, rate_hz, subtype=subtype)
    shutil.copy(encode("speech.m4a", "-c:a", "aac"), tmp_path / "set" / "real")
    found = write_shards(tmp_path / "set", tmp_path / "shards")
    assert not found.listed
    place, clips = read_set(tmp_path / "shards")
    widths = {}
    for clip in clips:
        np.testing.assert_array_equal(read(resolve(place, clip)), read(tmp_path / "set" / clip.path))
        widths[Path(clip.path).name] = inspect(resolve(place, clip)).codec
    assert {name for name, codec in widths.items() if codec == "PCM_16"} == {"full.wav", "none.wav"}


def test_the_tars_are_what_webdataset_reads(whole: Path) -> None:
    """Catches records that only we can read: pairs of a WAV and its line, in whatever program opens tars."""
    seen = []
    for path in sorted((whole / "shards").glob("shard-*.tar")):
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            for wav, line in zip(members[::2], members[1::2], strict=True):
                assert wav.name.removesuffix(".wav") == line.name.removesuffix(".json")
                facts = json.loads(tar.extractfile(line).read())
                samples, rate_hz = soundfile.read(io.BytesIO(tar.extractfile(wav).read()), dtype="float32")
                assert rate_hz == 16_000
                np.testing.assert_array_equal(samples, read(whole / "files" / facts["path"]))
                seen.append(facts["path"])
    assert sorted(seen) == sorted(clip.path for clip in read_set(whole / "files")[1])


def test_twins_lie_side_by_side_and_splits_apart() -> None:
    """Catches a pair that takes two reads at two ends of the set, and training shards full of test clips."""
    clips = [Clip(f"real/{i}.wav", "real", n_samples=9, split=("test", "train")[i % 2]) for i in range(20)]
    fakes = [replace(c, path=f"fake/{i}.wav", label="fake", source_clip=c.path) for i, c in enumerate(clips)]
    laid = [[*clips, *fakes][i] for i in layout([*clips, *fakes])]
    assert [clip.split for clip in laid] == ["test"] * 20 + ["train"] * 20
    assert all(laid[i].source_clip == laid[i + 1].path for i in range(0, 40, 2))
    assert [clip.path for clip in laid[1::2]] != [clip.path for clip in sorted(clips, key=lambda c: (c.split, c.path))]


def test_a_shard_holds_what_fits_and_one_clip_at_least() -> None:
    clips = [Clip(f"{i}.wav", "real", n_samples=n) for i, n in enumerate((10, 10, 10, 500, 10))]
    assert [(part.first, len(part.clips)) for part in planned(clips, 45)] == [(0, 2), (2, 1), (3, 1), (4, 1)]
    assert planned([], 45) == []


def test_a_stopped_writing_goes_on_to_the_same_bytes(whole: Path, tmp_path: Path, monkeypatch) -> None:
    """Catches a restart that begins anew, and one that leaves other bytes than an unbroken one."""
    from audio import sharding

    begun = []

    def stopping(path: Path):
        begun.append(path)
        if len(begun) == 10:
            raise KeyboardInterrupt
        return blocks(path, block_samples=1 << 20)

    monkeypatch.setattr(sharding, "_heard", stopping)
    with pytest.raises(KeyboardInterrupt):
        write_shards(whole / "files", tmp_path / "out", shard_bytes=SHARD_BYTES)
    assert not (tmp_path / "out" / "shards.json").exists()
    write_shards(whole / "files", tmp_path / "out", shard_bytes=SHARD_BYTES)
    assert len(begun) == 10 + 27 - 8, "the two shards that were whole are kept"
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == sorted(path.name for path in (whole / "shards").iterdir())
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (whole / "shards" / name).read_bytes()
    write_shards(whole / "files", tmp_path / "out", shard_bytes=SHARD_BYTES)
    assert len(begun) == 29, "what is whole is opened"


def test_a_recording_that_cannot_be_read_is_named_and_leaves_no_set(whole: Path, tmp_path: Path) -> None:
    """Catches shards that lack clips, and says nothing."""
    files = Path(shutil.copytree(whole / "files", tmp_path / "files"))
    (files / "fake" / "dev-1.wav").write_bytes(b"RIFF")
    with pytest.raises(ToolkitError, match=r"dev-1.wav") as caught:
        write_shards(files, tmp_path / "out", shard_bytes=SHARD_BYTES)
    assert "\n" not in str(caught.value)
    assert shards.opened(tmp_path / "out") is None


def test_shards_of_something_else_are_not_written_over(whole: Path, tmp_path: Path) -> None:
    """Catches `--shards` on a folder of photographs, on another set's shards, and on a set that is sharded already."""
    other = write_tiny_set(tmp_path / "other", seed=1)
    write_manifest(other / "manifest.jsonl", read_manifest(other / "manifest.jsonl")[:20])
    for out in (whole / "shards", whole / "files", whole / "files" / "manifest.jsonl"):
        before = sorted((whole / "shards").iterdir())
        with pytest.raises(UsageError, match="expected"):
            write_shards(other, out)
        assert sorted((whole / "shards").iterdir()) == before
    with pytest.raises(UsageError, match="sharded already"):
        write_shards(whole / "shards", tmp_path / "again")


def test_a_try_with_another_set_is_not_gone_on_with(whole: Path, tmp_path: Path, monkeypatch) -> None:
    """Catches half of one set and half of another in one folder."""
    from audio import sharding

    monkeypatch.setattr(sharding, "_heard", lambda path: (_ for _ in ()).throw(AudioError(f"{path}: gone")))
    with pytest.raises(ManifestError, match="gone"):
        write_shards(whole / "files", tmp_path / "out", shard_bytes=SHARD_BYTES)
    assert (tmp_path / "out" / JOURNAL_NAME).exists()
    other = write_tiny_set(tmp_path / "other", seed=1)
    write_manifest(other / "manifest.jsonl", read_manifest(other / "manifest.jsonl")[:20])
    with pytest.raises(ToolkitError, match="other settings"):
        write_shards(other, tmp_path / "out", shard_bytes=SHARD_BYTES)


def damage(path: Path, offset: int) -> None:
    """Change one byte."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("first", [(0, 10), (0, None)])
def test_a_record_that_was_changed_is_not_trained_on(broken: Path, first) -> None:
    """Catches a flipped bit anywhere in a recording, also behind the span that is asked for."""
    damage(broken / "shard-00000.tar", 512 + 44 + 40_000)
    found = shards.opened(broken)
    with pytest.raises(AudioError, match=r"shard-00000.tar/000000000.wav: expected CRC-32 \w{8}, received \w{8}"):
        found.samples(0, *first)
    assert len(found.samples(1)) == 24_000
    with pytest.raises(AudioError, match=r"shard-00000.tar: expected SHA-256"):
        found.check()


def test_a_shard_that_is_cut_short_or_gone_is_a_line(broken: Path) -> None:
    path = broken / "shard-00001.tar"
    path.write_bytes(path.read_bytes()[:-512])
    where = resolve(broken / "manifest.jsonl", clip_in(broken, 4))
    with pytest.raises(AudioError, match=r"shard-00001.tar: expected a shard of 204800 bytes, received 204288"):
        read(where)
    path.unlink()
    with pytest.raises(AudioError, match=r"shard-00001.tar: expected a shard: No such file"):
        read_span(where, 0, 5)
    with pytest.raises(AudioError, match=r"shard-00001.tar"):
        shards.opened(broken).check()


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("shards.json", lambda text: text.replace('version": 1', 'version": 2'), "expected 1, received 2"),
        ("shards.json", lambda text: "[]", "expected 1, received None"),
        ("shards.json", lambda text: text[:-40], "not an index of shards"),
        ("shards.json", lambda text: text.replace('"sha256"', '"sha1"'), "not an index of shards: KeyError"),
        ("shards.json", lambda text: text.replace("shard-00003.tar", "../../secret.tar"), "named like shard-00000.tar"),
        ("shards.json", lambda text: text.replace('"clips": 3,', '"clips": 9,'), "expected a row for each clip"),
        ("manifest.jsonl", lambda text: text.replace('"fake"', '"real"', 1), "manifest.jsonl: expected SHA-256"),
    ],
)
def test_an_index_that_is_none_of_ours_is_a_line(broken: Path, name, change, said) -> None:
    """Catches a traceback, and an index that leads out of its folder."""
    path = broken / name
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))
    with pytest.raises(ManifestError, match=said) as caught:
        shards.opened(broken)
    assert "\n" not in str(caught.value)


def test_records_that_are_missing_or_changed_are_a_line(broken: Path) -> None:
    damage(broken / "records.npy", 200)
    with pytest.raises(ManifestError, match=r"records.npy: expected SHA-256"):
        shards.opened(broken)
    (broken / "records.npy").unlink()
    with pytest.raises(ManifestError, match=r"records.npy: expected beside shards.json"):
        shards.opened(broken)


def test_only_clips_of_the_set_have_a_place(whole: Path) -> None:
    """Catches a hash that is near enough, and a path into a tar that is nobody's."""
    with pytest.raises(ManifestError, match=r"expected a clip of this sharded set. Received: 'real/none.wav'"):
        resolve(whole / "shards" / "manifest.jsonl", Clip("real/none.wav", "real"))
    for name in ("shard-00000.tar/000000099.wav", "shard-00001.tar/000000000.wav", "shard-00000.tar/x.wav"):
        with pytest.raises(AudioError, match="cannot be opened"):
            read(whole / "shards" / name)


def test_any_index_of_version_1_reads(tmp_path: Path) -> None:
    """Formats are promises: these bytes were written by version 1."""
    golden = Path(__file__).parents[1] / "golden" / "shards_v1"
    place, clips = read_set(golden)
    shards.opened(golden).check()
    expected = {"real/a.wav": [0, 1, -2, 3], "fake/a.wav": [0.1, -0.25]}
    for clip in clips:
        values = np.asarray(expected[clip.path])
        wanted = values / 32_768 if values.dtype == int else values
        np.testing.assert_array_equal(read(resolve(place, clip)), wanted.astype(np.float32))
