from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from babbling import babble, lag_samples

from audio.errors import EngineError, ManifestError, ToolkitError, UsageError
from audio.labels import FAKE, HYBRID, LABELS, REAL
from audio.manifest import read_manifest, resolve, write_manifest
from audio.reading import read, write_wav
from synth.build import BUILD_FILE, JOURNAL, build_set
from synth.making import Folders
from synth.pcm import Samples
from synth.recipe import Recipe
from synth.verify import verify_set
from synth.voices import voices_from_folder

RECIPE = Recipe(24, 3, engines=("lpc",), held_out=("griffin-lim",), dev_speakers=("ada",), test_speakers=("bén",))

KILLED = """
import os, signal, sys
from pathlib import Path
import synth.build as build
from synth.making import Folders
from synth.recipe import Recipe

if __name__ == "__main__":
    write, left = build._write, [11]

    def write_and_die(path, pcm):
        left[0] -= 1
        if left[0] == 0:
            path.with_name(f".{path.name}.1.part").write_bytes(b"RIFF")  # a write that the kill tears
            os.kill(os.getpid(), signal.SIGKILL)
        write(path, pcm)

    build._write = write_and_die
    out, real, cache = map(Path, sys.argv[1:4])
    build.build_set(Recipe(**eval(sys.argv[4])), Folders(real, cache=cache), out=out)
"""


def digests(out: Path) -> dict[str, str]:
    """Name every file of a set, hidden ones too, with the hash of its bytes."""
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@dataclass(frozen=True)
class Built:
    """A set, and what it was built from."""

    out: Path
    folders: Folders


@pytest.fixture(scope="module")
def built(voices_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The set of `RECIPE`, made by one process."""
    root = tmp_path_factory.mktemp("built")
    found = Built(root / "set", Folders(voices_dir, cache=root / "cache"))
    assert len(build_set(RECIPE, found.folders, out=found.out)) == 24
    return found


def test_set_is_what_its_manifest_says(built: Built) -> None:
    clips = read_manifest(built.out / "manifest.jsonl")
    assert [clip.label for clip in clips].count(REAL) == 9
    assert {clip.split for clip in clips} == {"train", "dev", "test", "test_unseen"}
    for clip in clips:
        assert clip.path.startswith(f"{clip.label}/")
        assert read(resolve(built.out / "manifest.jsonl", clip)).size == clip.n_samples
        assert bool(clip.segments) == (clip.label != REAL)
        assert all(len(source["sha256"]) == 64 for source in clip.sources)
        assert clip.sources[0]["source"] == 0, "the first source is the base: audits group by it"
    assert {path.name for path in built.out.iterdir()} == {*LABELS, "manifest.jsonl", BUILD_FILE}
    facts = json.loads((built.out / BUILD_FILE).read_text())
    assert facts["recipe"]["seed"] == 3
    assert facts["skipped"] == []
    assert {"lpc", "griffin-lim"} == facts["engines"].keys()


def test_two_workers_make_the_same_bytes(built: Built, tmp_path: Path) -> None:
    """Catches randomness that depends on order or process, also with a cache that is empty or full."""
    build_set(RECIPE, replace(built.folders, cache=tmp_path / "cache"), out=tmp_path / "set", workers=2)
    assert digests(tmp_path / "set") == digests(built.out)


def test_killed_build_goes_on_to_the_same_bytes(built: Built, tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    out, cache = tmp_path / "set", tmp_path / "cache"
    facts = repr(RECIPE.to_json())
    command = [sys.executable, str(script), str(out), str(built.folders.real), str(cache), facts]
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(root)}
    killed = subprocess.run(command, cwd=root, env=env, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert len((out / JOURNAL).read_text().splitlines()) == 2
    assert not (out / BUILD_FILE).exists()
    build_set(RECIPE, replace(built.folders, cache=cache), out=out)
    assert digests(out) == digests(built.out)


def test_finished_set_is_not_made_again(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.build.write_clips", lambda *_, **__: pytest.fail("clips were made"))
    before = digests(built.out)
    assert len(build_set(RECIPE, built.folders, out=built.out)) == 24
    assert digests(built.out) == before


def test_other_folder_contents_are_left_alone(built: Built, tmp_path: Path) -> None:
    """Catches a build that mixes two sets, or writes between somebody's files."""
    with pytest.raises(UsageError, match="holds another set"):
        build_set(Recipe(24, 4, engines=("lpc",), held_out=()), built.folders, out=built.out)
    (tmp_path / "thesis.txt").write_text("words")
    with pytest.raises(UsageError, match="found other files"):
        build_set(RECIPE, built.folders, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_builds_into_one_folder(built: Built, tmp_path: Path) -> None:
    """Catches two processes that write the same journal; the lock of a killed one must not last."""
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom synth.build import alone_in\n"
        "with alone_in(Path(sys.argv[1])):\n    print('in', flush=True)\n    time.sleep(60)\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code, str(tmp_path / "set")]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        with pytest.raises(UsageError, match="another process is writing into this folder"):
            build_set(RECIPE, built.folders, out=tmp_path / "set")
        other.kill()
    build_set(RECIPE, built.folders, out=tmp_path / "set")
    assert digests(tmp_path / "set") == digests(built.out)


def test_a_recipe_that_fails_leaves_no_folder(built: Built, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="received zoe"):
        build_set(replace(RECIPE, dev_speakers=("zoe",)), built.folders, out=tmp_path / "set")
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("channel", [True, False], ids=["channel", "dry"])
def test_manifest_renders_every_clip_bit_for_bit(built: Built, tmp_path: Path, channel: bool) -> None:
    """Catches plans that are not what was played, and randomness that the manifest does not hold."""
    out = built.out if channel else tmp_path / "dry"
    clips = build_set(replace(RECIPE, channel=channel), built.folders, out=out)
    assert all((clip.channel is not None) == channel for clip in clips)
    assert verify_set(out, built.folders) == (24, {})


def test_verifying_finds_what_differs(built: Built, tmp_path: Path) -> None:
    """Catches a comparison that compares nothing: a changed sample, a changed span, a missing file."""
    out = tmp_path / "set"
    shutil.copytree(built.out, out)
    clips = read_manifest(out / "manifest.jsonl")
    changed, gone, moved = (clips[k] for k in (0, 1, 2))
    samples = read(out / changed.path)
    samples[1_000] += 0.01
    write_wav(out / changed.path, samples)
    (out / gone.path).unlink()
    shifted = [replace(s, offset=s.offset - 1) for s in moved.segments]
    write_manifest(out / "manifest.jsonl", [changed, gone, replace(moved, segments=tuple(shifted)), *clips[3:]])
    n_clips, different = verify_set(out, built.folders)
    assert n_clips == 24
    assert different.keys() == {changed.path, gone.path, moved.path}
    assert "its samples differ" in different[changed.path]
    assert "expected the spans" in different[moved.path]
    (out / BUILD_FILE).unlink()
    with pytest.raises(ManifestError, match="expected what a build wrote"):
        verify_set(out, built.folders)


def test_spans_stay_in_place_through_the_channel(built: Built, tmp_path: Path) -> None:
    """Catches a channel that moves speech away from its labels: 1 ms by cross-correlation, whatever it does.

    Babble is periodic, so that a short span in a room, or in noise, fits as well a period later: those count as whole.
    """
    dry = build_set(replace(RECIPE, channel=False), built.folders, out=tmp_path / "dry")
    wet = read_manifest(built.out / "manifest.jsonl")
    checked = Counter()
    for before, after in zip(dry, wet, strict=True):
        assert (before.segments, before.splice, before.sources) == (after.segments, after.splice, after.sources)
        heard = [read(folder / before.path) for folder in (tmp_path / "dry", built.out)]
        assert abs(lag_samples(*heard, within=400)) <= 16
        channel = after.channel or {}
        for span in before.segments:
            if span.duration >= 8_000 and channel["room"] is None and channel["snr_db"] > 15:
                assert abs(lag_samples(*(samples[span.onset : span.offset] for samples in heard), within=400)) <= 16
                checked[before.label] += 1
    assert min(checked[FAKE], checked[HYBRID]) >= 2


def test_recordings_without_speech_cost_their_clips_only(tmp_path: Path) -> None:
    """Catches one hopeless recording that stops a build."""
    for speaker in ("ada", "ben", "cleo"):
        write_wav(tmp_path / "real" / speaker / "hush.wav", np.zeros(64_000, dtype=np.int16))
    out, folders = tmp_path / "set", Folders(tmp_path / "real", cache=tmp_path / "cache")
    assert build_set(Recipe(3, 1, engines=("lpc",), held_out=()), folders, out=out) == []
    skipped = json.loads((out / BUILD_FILE).read_text())["skipped"]
    assert [row["skipped"].split("/")[0] for row in skipped] == list(LABELS)
    assert "too little speech" in skipped[0]["reason"]


def test_clips_know_what_is_known_of_their_speaker(voices_dir: Path, tmp_path: Path) -> None:
    """Catches traits that get lost on the way, and one that a speaker's recordings do not agree in."""
    shutil.copytree(voices_dir, tmp_path / "real")
    voices = voices_from_folder(tmp_path / "real")
    sexes, ages = {"ada": "f", "dan": "m"}, {"dan": iter(["30", "31"] * len(voices))}
    write_manifest(
        tmp_path / "real" / "manifest.jsonl",
        [
            replace(clip, traits={"sex": sexes.get(clip.speaker, ""), "age": next(ages.get(clip.speaker, iter("5")))})
            for clip in voices
        ],
    )
    clips = build_set(RECIPE, Folders(tmp_path / "real", cache=tmp_path / "cache"), out=tmp_path / "set")
    expected = {"ada": {"sex": "f", "age": "5"}, "dan": {"sex": "m"}}
    assert {clip.speaker for clip in clips} >= {"ada", "dan"}
    assert all(clip.traits == expected.get(clip.speaker, {"age": "5"}) for clip in clips)
    assert read_manifest(tmp_path / "set" / "manifest.jsonl") == clips


def test_a_recording_that_cannot_be_read_costs_its_clips_only(voices_dir: Path, tmp_path: Path) -> None:
    """Catches one broken file that takes a whole group of clips with it; its length was known, so nobody looked."""
    shutil.copytree(voices_dir, tmp_path / "real")
    voices = voices_from_folder(tmp_path / "real")
    write_manifest(tmp_path / "real" / "manifest.jsonl", voices)
    broken = next(clip.path for clip in voices if clip.speaker == "dan" and clip.n_samples > 40_000)
    (tmp_path / "real" / broken).write_bytes(b"no sound")
    clips = build_set(RECIPE, Folders(tmp_path / "real", cache=tmp_path / "cache"), out=tmp_path / "set")
    skipped = json.loads((tmp_path / "set" / BUILD_FILE).read_text())["skipped"]
    assert len(clips) + len(skipped) == 24
    assert 0 < len(skipped) < 16
    assert all(broken in row["reason"] for row in skipped)
    assert not any(source["path"] == broken for clip in clips for source in clip.sources)


def test_failing_engine_keeps_what_is_finished(built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a build that calls itself complete with clips missing; the next attempt makes up for it."""
    out, folders = tmp_path / "set", replace(built.folders, cache=tmp_path / "cache")

    def fail(*_: object, **__: object) -> None:
        raise EngineError("the engine is out of breath")

    with monkeypatch.context() as broken:
        broken.setattr("synth.engines.griffin_lim.GriffinLim.render", fail)
        with pytest.raises(ToolkitError, match=r"out of breath \(1 groups of clips failed"):
            build_set(RECIPE, folders, out=out)
    assert not (out / "manifest.jsonl").exists()
    build_set(RECIPE, folders, out=out)
    assert digests(out) == digests(built.out)


def test_recorded_fakes_without_twins(voices_dir: Path, tmp_path: Path) -> None:
    """Catches `--fake DIR`: a generator that never copies, whose words replace others."""
    for k in range(9):
        write_wav(tmp_path / "fake" / "tts" / f"said {k}.wav", babble(50 + k, seconds=3.0, pitch_hz=90))
    folders = Folders(voices_dir, tmp_path / "fake", cache=tmp_path / "cache")
    clips = build_set(Recipe(12, 1, engines=(), held_out=(), channel=False), folders, out=tmp_path / "set")
    assert {clip.generator for clip in clips} == {"", "tts"}
    assert verify_set(tmp_path / "set", folders) == (len(clips), {})


def test_spoken_fakes(voices_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches an engine that speaks treated as one that copies; its program is stood in for."""

    def speak(_: object, samples: None, *, text: str, language: str, rng: np.random.Generator) -> Samples:
        assert samples is None
        assert text
        return babble(len(text), seconds=3.0 + rng.random())

    monkeypatch.setattr("synth.engines.espeak.Espeak.version", lambda _: "stand-in 1")
    monkeypatch.setattr("synth.engines.espeak.Espeak.render", speak)
    folders = Folders(voices_dir, cache=tmp_path / "cache")
    clips = build_set(Recipe(6, 1, engines=("espeak",), held_out=()), folders, out=tmp_path / "set")
    assert {source["kind"] for clip in clips for source in clip.sources} == {"genuine", "spoken"}
    assert len(clips) == 6


def test_only_the_splits_asked_for(built: Built, tmp_path: Path) -> None:
    """Catches test clips that change when nobody builds the training ones."""
    clips = build_set(RECIPE, built.folders, out=tmp_path / "set", splits=("dev", "test"))
    assert {clip.split for clip in clips} == {"dev", "test"}
    for clip in clips:
        assert (tmp_path / "set" / clip.path).read_bytes() == (built.out / clip.path).read_bytes()


def test_a_full_disk_is_one_line(built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a traceback, or a clip half-written, when there is no room; then the same command goes on."""

    def full(path: Path, pcm: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as small:
        small.setattr("synth.build.write_wav", full)
        with pytest.raises(ToolkitError, match="cannot be written: No space left on device"):
            build_set(RECIPE, built.folders, out=tmp_path / "set")
    build_set(RECIPE, built.folders, out=tmp_path / "set")
    assert digests(tmp_path / "set") == digests(built.out)
