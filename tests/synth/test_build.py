from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from babbling import babble

from audio.errors import ToolkitError, UsageError
from audio.labels import LABELS, REAL
from audio.manifest import Clip, read_manifest, resolve
from audio.reading import read, write_wav
from synth.build import BUILD_FILE, JOURNAL, Places, build_set
from synth.cache import Cache
from synth.pcm import Pcm, Samples, to_pcm
from synth.recipe import Recipe
from synth.splice import SplicePlan, render
from synth.takes import Library, Take

RECIPE = Recipe(24, 3, engines=("lpc",), held_out=("griffin-lim",), dev_speakers=("ada",), test_speakers=("bén",))

KILLED = """
import os, signal, sys
from pathlib import Path
import synth.build as build
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
    recipe = Recipe(**eval(sys.argv[4]))
    build.build_set(recipe, build.Places(*map(Path, sys.argv[1:3]), None, Path(sys.argv[3])))
"""


def digests(out: Path) -> dict[str, str]:
    """Name every file of a set, hidden ones too, with the hash of its bytes."""
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def built(voices_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Places:
    """The set of `RECIPE`, made by one process."""
    root = tmp_path_factory.mktemp("built")
    places = Places(root / "set", voices_dir, None, root / "cache")
    assert len(build_set(RECIPE, places)) == 24
    return places


def test_set_is_what_its_manifest_says(built: Places) -> None:
    clips = read_manifest(built.out / "manifest.jsonl")
    assert [clip.label for clip in clips].count(REAL) == 9
    assert {clip.split for clip in clips} == {"train", "dev", "test", "test_unseen"}
    for clip in clips:
        assert clip.path.startswith(f"{clip.label}/")
        assert read(resolve(built.out / "manifest.jsonl", clip)).size == clip.n_samples
        assert bool(clip.segments) == (clip.label != REAL)
        assert all(len(source["sha256"]) == 64 for source in clip.sources)
    assert {path.name for path in built.out.iterdir()} == {*LABELS, "manifest.jsonl", BUILD_FILE}
    facts = json.loads((built.out / BUILD_FILE).read_text())
    assert facts["recipe"]["seed"] == 3
    assert facts["skipped"] == []
    assert {"lpc", "griffin-lim"} == facts["engines"].keys()


def test_two_workers_make_the_same_bytes(built: Places, tmp_path: Path) -> None:
    """Catches randomness that depends on order or process, also with a cache that is empty or full."""
    build_set(RECIPE, Places(tmp_path / "set", built.real, None, tmp_path / "cache"), workers=2)
    assert digests(tmp_path / "set") == digests(built.out)


def test_killed_build_goes_on_to_the_same_bytes(built: Places, tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    out, cache = tmp_path / "set", tmp_path / "cache"
    facts = repr(RECIPE.to_json())
    command = [sys.executable, str(script), str(out), str(built.real), str(cache), facts]
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(root)}
    killed = subprocess.run(command, cwd=root, env=env, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert len((out / JOURNAL).read_text().splitlines()) == 2
    assert not (out / BUILD_FILE).exists()
    build_set(RECIPE, Places(out, built.real, None, cache))
    assert digests(out) == digests(built.out)


def test_finished_set_is_not_made_again(built: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.build.make_clips", lambda *_, **__: pytest.fail("clips were made"))
    assert len(build_set(RECIPE, built)) == 24


def test_other_folder_contents_are_left_alone(built: Places, tmp_path: Path) -> None:
    """Catches a build that mixes two sets, or writes between somebody's files."""
    with pytest.raises(UsageError, match="holds another set"):
        build_set(Recipe(24, 4, engines=("lpc",), held_out=()), built)
    (tmp_path / "thesis.txt").write_text("words")
    with pytest.raises(UsageError, match="found other files"):
        build_set(RECIPE, Places(tmp_path, built.real, None, built.cache))


def sources_of(clip: Clip, places: Places) -> dict[int, Pcm]:
    """Load the sources of a clip from what its manifest line says."""
    library = Library(places.real, places.fake, Cache(places.cache))
    known = Take.__dataclass_fields__.keys()
    takes = {s["source"]: Take(**{name: s[name] for name in known & s.keys()}) for s in clip.sources}
    loaded = library.load(takes.values())
    return {source: loaded[take] for source, take in takes.items()}


def test_manifest_renders_every_clip_bit_for_bit(built: Places, tmp_path: Path) -> None:
    """Catches plans that are not what was played, with the channel off."""
    places = Places(tmp_path / "dry", built.real, None, built.cache)
    recipe = Recipe(**{**vars(RECIPE), "channel": False})
    for clip in build_set(recipe, places):
        assert clip.splice is not None
        assert clip.channel is None
        samples, segments = render(SplicePlan.from_json(clip.splice), sources_of(clip, places))
        assert np.array_equal(samples, to_pcm(read(places.out / clip.path)))
        assert segments == clip.segments


def test_recordings_without_speech_cost_their_clips_only(tmp_path: Path) -> None:
    """Catches one hopeless recording that stops a build."""
    for speaker in ("ada", "ben", "cleo"):
        write_wav(tmp_path / "real" / speaker / "hush.wav", np.zeros(64_000, dtype=np.int16))
    places = Places(tmp_path / "set", tmp_path / "real", None, tmp_path / "cache")
    assert build_set(Recipe(3, 1, engines=("lpc",), held_out=()), places) == []
    skipped = json.loads((places.out / BUILD_FILE).read_text())["skipped"]
    assert [row["skipped"].split("/")[0] for row in skipped] == list(LABELS)
    assert "too little speech" in skipped[0]["reason"]


def test_failing_engine_keeps_what_is_finished(built: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a build that calls itself complete with clips missing; the next attempt makes up for it."""
    places = Places(tmp_path / "set", built.real, None, tmp_path / "cache")

    def fail(*_: object, **__: object) -> None:
        raise ToolkitError("the engine is out of breath")

    with monkeypatch.context() as broken:
        broken.setattr("synth.engines.griffin_lim.GriffinLim.render", fail)
        with pytest.raises(ToolkitError, match=r"out of breath \(1 groups of clips failed"):
            build_set(RECIPE, places)
    assert not (places.out / "manifest.jsonl").exists()
    build_set(RECIPE, places)
    assert digests(places.out) == digests(built.out)


def test_recorded_fakes_without_twins(voices_dir: Path, tmp_path: Path) -> None:
    """Catches `--fake DIR`: a generator that never copies, whose words replace others of the same length."""
    for k in range(9):
        write_wav(tmp_path / "fake" / "tts" / f"said {k}.wav", babble(50 + k, seconds=3.0, pitch_hz=90))
    places = Places(tmp_path / "set", voices_dir, tmp_path / "fake", tmp_path / "cache")
    clips = build_set(Recipe(12, 1, engines=(), held_out=(), channel=False), places)
    assert {clip.generator for clip in clips} == {"", "tts"}
    for clip in clips:
        samples, segments = render(SplicePlan.from_json(clip.splice or {}), sources_of(clip, places))
        assert np.array_equal(samples, to_pcm(read(places.out / clip.path)))
        assert segments == clip.segments


def test_spoken_fakes(voices_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches an engine that speaks treated as one that copies; its program is stood in for."""

    def speak(_: object, samples: None, *, text: str, language: str, rng: np.random.Generator) -> Samples:
        assert samples is None
        assert text
        return babble(len(text), seconds=3.0 + rng.random())

    monkeypatch.setattr("synth.engines.espeak.Espeak.version", lambda _: "stand-in 1")
    monkeypatch.setattr("synth.engines.espeak.Espeak.render", speak)
    places = Places(tmp_path / "set", voices_dir, None, tmp_path / "cache")
    clips = build_set(Recipe(6, 1, engines=("espeak",), held_out=()), places)
    assert {source["kind"] for clip in clips for source in clip.sources} == {"genuine", "spoken"}
    assert len(clips) == 6
