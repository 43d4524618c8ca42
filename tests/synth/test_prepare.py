from __future__ import annotations

import argparse
import csv
import errno
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from babbling import babble

from audio import jobs
from audio.errors import ToolkitError, UsageError
from audio.manifest import read_manifest
from audio.reading import read, write_wav
from synth import preparation, prepare
from synth.cli import prepare as command
from synth.loudness import loudness_lufs
from synth.preparation import Preparation
from synth.prepare import Outcome, prepare_folder
from synth.rejection import COLUMNS
from synth.voices import voices_from_folder


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers with good recordings, and a folder of everything that can be wrong with one."""
    root = tmp_path_factory.mktemp("recordings")
    for k in range(4):
        write_wav(root / "ann" / f"line {k}.wav", babble(k, seconds=1.2 + 0.2 * k, pitch_hz=200.0))
    silence = np.zeros(8_000, dtype=np.float32)
    write_wav(root / "bén" / "short.wav", np.concatenate([silence, babble(7, seconds=1.5), silence]))
    write_wav(root / "bén" / "long.wav", babble(8, seconds=22.0))
    good = babble(9, seconds=1.3)
    bad = root / "日本 語"
    write_wav(bad / "one sample.wav", good[:1])
    write_wav(bad / "no sample.wav", good[:0])
    write_wav(bad / "silence.wav", np.zeros(30_000, dtype=np.float32))
    write_wav(bad / "clipped.wav", np.clip(good * 20, -1, 1))
    (bad / "empty.wav").touch()
    (bad / "text.wav").write_text("no recording at all, only words")
    (bad / "cut.wav").write_bytes((root / "ann" / "line 1.wav").read_bytes()[:9_000])
    soundfile.write(bad / "8 bit.wav", good, 16_000, subtype="PCM_U8")
    soundfile.write(bad / "5.1.wav", np.repeat(np.repeat(good, 3)[:, None], 6, axis=1), 48_000)
    soundfile.write(bad / "twin.wav", good, 16_000)
    soundfile.write(bad / "twin.flac", babble(10, seconds=1.4), 16_000)
    write_wav(root / "loose.wav", babble(11, seconds=1.5))
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def report(out: Path) -> list[dict[str, str]]:
    with (out / "report.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


SETTINGS = Preparation(n_copies=2, keep_outliers=True)


@pytest.fixture(scope="module")
def prepared(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The recordings, prepared with two copies of each clip in one process."""
    out = tmp_path_factory.mktemp("prepared") / "out"
    return out, prepare_folder(recordings, out, preparation=SETTINGS)


def test_good_clips_are_made_and_bad_ones_told(prepared: tuple[Path, Outcome]) -> None:
    """Catches a bad file that stops the others, and one that leaves a file behind."""
    out, outcome = prepared
    made = {clip.path for clip in outcome.clips if "_v" not in clip.path}
    assert made == {
        *(f"ann/line {k}.wav" for k in range(4)),
        *("bén/short.wav", "bén/long_001.wav", "bén/long_002.wav", "loose.wav"),
        *("日本 語/8 bit.wav", "日本 語/5.1.wav", "日本 語/twin.wav.wav", "日本 語/twin.flac.wav"),
    }
    assert {line.split(":")[0].split("/")[1].split(" (")[0] for line in outcome.rejected} == {
        *("one sample.wav", "no sample.wav", "silence.wav", "clipped.wav")
    }
    assert [Path(line.split(": ")[0]).name for line in outcome.failed] == ["cut.wav", "empty.wav", "text.wav"]
    assert {path for path in contents(out) if path.endswith(".wav")} == {clip.path for clip in outcome.clips}
    assert {path for path in contents(out) if not path.endswith(".wav")} == {
        *("manifest.jsonl", "report.csv", "prepared.json")
    }


def test_clips_are_ready_to_build_from(prepared: tuple[Path, Outcome]) -> None:
    out, outcome = prepared
    clips = voices_from_folder(out)
    assert sorted(clip.path for clip in clips) == sorted(clip.path for clip in outcome.clips)
    assert {clip.speaker for clip in clips} == {"ann", "bén", "日本 語", "unknown"}
    for clip in clips:
        info, samples = soundfile.info(out / clip.path), read(out / clip.path)
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
        assert samples.size == clip.n_samples <= 20 * 16_000 / 0.9 + 1
        assert loudness_lufs(samples) <= -22.9
        assert np.abs(samples).max() < 1.0
    assert np.median([loudness_lufs(read(out / clip.path)) for clip in clips]) == pytest.approx(-23.0, abs=0.1)


def test_trimming_takes_the_silence_and_a_margin_stays(recordings: Path, prepared: tuple[Path, Outcome]) -> None:
    clip = next(clip for clip in prepared[1].clips if clip.path == "bén/short.wav")
    onset, offset = clip.sources[0]["onset"], clip.sources[0]["offset"]
    assert 8_000 - 4_000 <= onset <= 8_000
    assert 32_000 <= offset <= 32_000 + 3_600
    given, made = read(recordings / "bén" / "short.wav")[onset:offset], read(prepared[0] / clip.path)
    assert made == pytest.approx(given * (np.abs(made).max() / np.abs(given).max()), abs=1e-4)


def test_copies_say_how_they_were_made(prepared: tuple[Path, Outcome]) -> None:
    copies = [clip for clip in prepared[1].clips if "variation" in clip.sources[0]]
    assert len(copies) == 2 * len(prepared[1].clips) / 3
    for clip in copies:
        variation, source = clip.sources[0]["variation"], clip.sources[0]
        factor = variation["factor"] if variation["change"] in ("speed", "tempo") else 1.0
        assert clip.n_samples == pytest.approx((source["offset"] - source["onset"]) / factor, abs=1)
    assert len({json.dumps(clip.sources[0]["variation"]) for clip in copies}) == len(copies)


def test_report(recordings: Path, prepared: tuple[Path, Outcome]) -> None:
    rows = report(prepared[0])
    assert tuple(rows[0]) == COLUMNS
    by_path = {row["path"]: row for row in rows}
    assert {clip.path for clip in prepare.list_recordings(recordings).recordings} == set(by_path)
    assert {row["status"] for row in rows} == {"kept", "rejected", "failed"}
    clipped = by_path["日本 語/clipped.wav"]
    assert (clipped["rule"], clipped["most"], clipped["least"]) == ("clipped", "0.0005", "")
    assert float(clipped["value"]) > 0.01
    assert "is truncated" in by_path["日本 語/cut.wav"]["message"]


def test_processes_and_kills_change_nothing(
    recordings: Path, prepared: tuple[Path, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches randomness from the order of the work, and a resumed run that forgets or repeats."""
    out = tmp_path / "out"
    stop_after(7, jobs, "_settle", monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        prepare_folder(recordings, out, preparation=SETTINGS)
    stop_after(20, jobs, "_settle", monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        prepare_folder(recordings, out, preparation=SETTINGS)
    assert not (out / "report.csv").exists()
    monkeypatch.undo()
    assert prepare_folder(recordings, out, preparation=SETTINGS, workers=2) == prepared[1]
    assert contents(out) == contents(prepared[0])


def stop_after(n: int, module: object, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt at the n-th call of a function."""
    calls = iter(range(n))
    function: Callable[..., object] = getattr(module, name)

    def counted(*arguments: object) -> object:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return function(*arguments)

    monkeypatch.undo()
    monkeypatch.setattr(module, name, counted)


def test_a_second_time_nothing_is_done(
    recordings: Path, prepared: tuple[Path, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches work done twice, and a finished folder mixed with another preparation."""
    before = contents(prepared[0])
    monkeypatch.setattr(prepare, "write_takes", None)
    monkeypatch.setattr(prepare, "measure_recording", None)
    assert prepare_folder(recordings, prepared[0], preparation=SETTINGS) == prepared[1]
    with pytest.raises(UsageError, match="holds other prepared recordings"):
        prepare_folder(recordings, prepared[0], preparation=Preparation(n_copies=1))
    assert contents(prepared[0]) == before


def test_other_files_are_left_alone(recordings: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="expected an empty or absent folder"):
        prepare_folder(recordings, tmp_path, preparation=Preparation())
    for inside in (recordings, recordings / "out"):
        with pytest.raises(UsageError, match="expected a folder outside"):
            prepare_folder(recordings, inside, preparation=Preparation())
    assert contents(tmp_path) == {"thesis.txt": b"precious"}


def test_a_full_disk_is_one_line(recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a traceback, half a file, and a run that does not go on when there is room again."""
    space = iter(range(3))

    def write(path: Path, samples: np.ndarray) -> None:
        if next(space, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_wav(path, samples)

    out = tmp_path / "out"
    monkeypatch.setattr(preparation, "write_wav", write)
    with pytest.raises(ToolkitError, match="out: cannot be written: No space left on device"):
        prepare_folder(recordings, out, preparation=Preparation())
    assert not (out / "prepared.json").exists()
    monkeypatch.undo()
    outcome = prepare_folder(recordings, out, preparation=Preparation())
    assert {path for path in contents(out) if path.endswith(".wav")} == {clip.path for clip in outcome.clips}
    assert not list(out.rglob("*.part"))


def test_a_recording_lost_between_the_passes(recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches half of a recording's clips left behind."""
    root, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(recordings / "bén", root / "bén")

    def shortened(path: Path, spans: object) -> object:
        pieces = list(excerpts(path, spans))
        return [*pieces[:-1], pieces[-1][:-1]]

    excerpts = preparation.excerpts
    monkeypatch.setattr(preparation, "excerpts", shortened)
    outcome = prepare_folder(root, out, preparation=Preparation())
    assert outcome.clips == []
    assert all("was changed while it was being prepared" in line for line in outcome.failed)
    assert not list(out.rglob("*.wav"))
    assert {row["status"] for row in report(out)} == {"failed"}


def test_outliers_are_rejected_or_kept(tmp_path: Path) -> None:
    for k in range(14):
        write_wav(tmp_path / "in" / "ann" / f"{k}.wav", babble(k, seconds=1.0, pitch_hz=120.0))
    write_wav(tmp_path / "in" / "ann" / "squeak.wav", babble(3, seconds=1.0, pitch_hz=300.0))
    strict = prepare_folder(tmp_path / "in", tmp_path / "a", preparation=Preparation())
    assert [line.split(":")[0] for line in strict.rejected] == ["ann/squeak.wav (0.00 to 1.00 s)"]
    assert "pitch_hz: " in strict.rejected[0]
    mild = prepare_folder(tmp_path / "in", tmp_path / "b", preparation=Preparation(keep_outliers=True))
    assert (len(strict.clips), len(mild.clips), mild.rejected) == (14, 15, [])
    assert [(row["status"], row["rule"]) for row in report(tmp_path / "b")][-1] == ("kept", "pitch_hz")


@pytest.mark.parametrize("denoise", ["gate", "subtract", "wavelet"])
def test_denoising(denoise: str, tmp_path: Path) -> None:
    """Catches a choice that is not carried out."""
    hiss = 0.01 * np.random.default_rng(1).standard_normal(32_000).astype(np.float32)
    write_wav(tmp_path / "in" / "ann" / "a.wav", babble(1, seconds=2.0) + hiss)
    levels = []
    for how in ("none", denoise):
        plan = Preparation(denoise=how, trim=False)
        prepare_folder(tmp_path / "in", tmp_path / how, preparation=plan)
        frames = read(tmp_path / how / "ann" / "a.wav").reshape(-1, 320)
        levels.append(np.percentile(np.square(frames).mean(axis=1), 5))
    assert levels[1] < 0.3 * levels[0]


@pytest.mark.parametrize(
    "wrong", [{"denoise": "magic"}, {"target_lufs": 0.0}, {"target_lufs": float("nan")}, {"n_copies": -1}, {"seed": -1}]
)
def test_wrong_settings(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="expected"):
        Preparation(**wrong)  # type: ignore[arg-type]


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([*arguments, "-j", "1"]))


def test_command(recordings: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Catches options that reach nothing, an exit code that hides failures, and a rejection that is not listed."""
    caplog.set_level(logging.INFO)
    assert run(str(recordings), str(tmp_path / "out"), "--no-trim", "--keep-outliers", "--target-lufs", "-30") == 1
    lines = [record.getMessage() for record in caplog.records]
    assert sum(line.startswith("rejected: 日本 語/") for line in lines) == 4
    assert sum(line.startswith("failed: ") for line in lines) == 3
    assert lines[-1].endswith("4 rejected, 3 recordings failed; see report.csv")
    clip = next(clip for clip in read_manifest(tmp_path / "out" / "manifest.jsonl") if clip.path == "bén/short.wav")
    assert clip.n_samples == 40_000
    assert loudness_lufs(read(tmp_path / "out" / clip.path)) == pytest.approx(-30.0, abs=0.1)


def test_rejecting_is_no_failure(recordings: Path, tmp_path: Path) -> None:
    shutil.copytree(recordings / "ann", tmp_path / "in" / "ann")
    shutil.copy(recordings / "日本 語" / "silence.wav", tmp_path / "in" / "ann")
    assert run(str(tmp_path / "in"), str(tmp_path / "out")) == 0
    shutil.rmtree(tmp_path / "in" / "ann")
    shutil.copytree(recordings / "日本 語", tmp_path / "in" / "x", ignore=lambda _, names: {*names} - {"silence.wav"})
    assert run(str(tmp_path / "in"), str(tmp_path / "nothing left")) == 1


def test_recorded_noise(recordings: Path, tmp_path: Path) -> None:
    shutil.copytree(recordings / "ann", tmp_path / "in" / "ann")
    write_wav(tmp_path / "noise" / "fan.wav", 0.1 * np.random.default_rng(1).standard_normal(20_000))
    assert run(str(tmp_path / "in"), str(tmp_path / "out"), "--augment", "3", "--noise", str(tmp_path / "noise")) == 0
    clips = read_manifest(tmp_path / "out" / "manifest.jsonl")
    noises = [clip.sources[0].get("variation", {}).get("noise") for clip in clips]
    assert {noise["sound"]["path"] for noise in noises if noise is not None} == {"fan.wav"}
