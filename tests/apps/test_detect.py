"""`script.py` as people run it: in this process where that shows the same, in its own where it matters."""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_model import RATE, voice

from apps.cli import detect
from apps.cli import main as cli
from audio.errors import ToolkitError, UsageError
from audio.labelfiles import FORMATS, read_labels
from model import Detector

ROOT = Path(__file__).parents[2]
HEAVY = ("tensorflow", "keras", "librosa", "matplotlib", "scipy", "pydub", "sklearn", "pandas")
WINDOW = 2 * RATE
ROW = (
    *("schema_version", "path", "channel", "label", "probabilities", "score", "segments"),
    *("abstained", "reasons", "warnings", "duration_s", "quality", "model", "operating_point"),
)


@pytest.fixture
def clip(tmp_path) -> Path:
    """A hybrid recording: 4 s of voice with a fake second in it."""
    return write(tmp_path / "clip.wav", voice(np.random.default_rng(0), 4, fake_s=[(1, 2)]))


def write(path: Path, samples: np.ndarray, rate: int = RATE, **kwargs) -> Path:
    soundfile.write(path, samples, rate, **({"subtype": "FLOAT"} | kwargs))
    return path


@pytest.fixture
def run(tiny_bundle, capsys):
    """Run the command in this process with the tiny model; give status, stdout and stderr."""

    def run_(*arguments: object) -> tuple[int, str, str]:
        status = cli.main([*map(str, arguments), "--model", str(tiny_bundle)])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, said.out, said.err

    return run_


def script(*arguments: object, **kwargs) -> subprocess.CompletedProcess[str]:
    """Run script.py in a process of its own."""
    command = [sys.executable, str(ROOT / "script.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=kwargs.pop("cwd", ROOT), check=False, **kwargs)


# What a person sees.


def test_words_probabilities_and_spans(run, clip):
    status, out, err = run("detect", clip)
    assert (status, err) == (0, "")
    name, sentence, shares, span, file, sound, *minded = out.splitlines()
    assert all(line.startswith("  mind: ") for line in minded)
    assert file.startswith("  file: WAV, FLOAT, 16 kHz, channels: 1, read by libsndfile ")
    assert sound.startswith("  sound: up to ")
    assert name == str(clip)
    assert sentence.startswith("  Hybrid: 1 span looks synthetic, 0.9")
    assert "% of the clip looks genuine" in sentence
    assert shares.split()[::3] == ["real", "fake", "hybrid"]
    assert sum(map(float, shares.split()[1::3])) == pytest.approx(100, abs=0.2)
    assert span.startswith("  fake 0.9")
    assert " s, confidence 0." in span
    assert "; it begins at 0.9" in span


def test_the_shorthand_is_detect(run, clip):
    assert run(clip) == run("detect", clip)
    assert run("--json", clip) == run("detect", "--json", clip)


def test_real_and_fake_in_words(run, tmp_path):
    real = write(tmp_path / "real.wav", voice(np.random.default_rng(1), 3))
    fake = write(tmp_path / "fake.wav", voice(np.random.default_rng(1), 3, fake_s=[(0, 3)]))
    status, out, _ = run(real, fake)
    assert status == 0
    assert "  Real: " in out
    assert "  Fake: " in out
    assert out.count(" s, confidence") == 1


def test_an_abstention_says_why_and_is_no_failure(run, tmp_path):
    silent = write(tmp_path / "silent.wav", np.zeros(RATE))
    status, out, err = run(silent)
    assert (status, err) == (0, "")
    assert out.startswith(f"{silent}\n  Not judged: no speech was found in the recording.\n")


# What a program sees.


def test_json_has_one_object_a_line(run, clip, tmp_path):
    silent = write(tmp_path / "silent.wav", np.zeros(RATE))
    status, out, _ = run("--json", clip, silent)
    hybrid, abstained = map(json.loads, out.splitlines())
    assert status == 0
    assert list(hybrid) == list(abstained)
    assert tuple(hybrid) == ROW
    assert (hybrid["schema_version"], hybrid["path"], hybrid["channel"]) == (3, str(clip), None)
    assert (hybrid["label"], hybrid["model"], hybrid["duration_s"]) == ("hybrid", "tiny", 4.0)
    assert sum(hybrid["probabilities"].values()) == pytest.approx(1)
    fields = ["start_s", "end_s", "label", "confidence", "start_range_s", "end_range_s"]
    assert list(hybrid["segments"][0]) == fields
    assert hybrid["quality"]["n_samples"] == 4 * RATE
    assert (abstained["label"], abstained["abstained"], abstained["reasons"]) == (None, True, ["no_speech"])
    assert abstained["probabilities"] == {"real": None, "fake": None, "hybrid": None}


def test_a_batch_goes_on_past_a_bad_file(run, clip, tmp_path):
    status, out, err = run("--json", clip, tmp_path / "missing.wav", clip)
    first, bad, last = map(json.loads, out.splitlines())
    assert status == 1
    assert first == last
    assert list(bad) == ["schema_version", "path", "error"]
    assert bad["path"] == str(tmp_path / "missing.wav")
    assert err.splitlines() == [f"error: {bad['error']}"]
    assert run(clip, tmp_path / "missing.wav", clip)[1].count("Hybrid") == 2


# Odd inputs: an answer, an abstention with its reason, or one clear line and exit 1.


@pytest.mark.parametrize("n_samples", [0, 1, WINDOW - 1, WINDOW, WINDOW + 1])
def test_lengths(run, tmp_path, n_samples):
    path = write(tmp_path / "clip.wav", voice(np.random.default_rng(0), n_samples / RATE))
    status, out, _ = run("--json", path)
    row = json.loads(out)
    assert status == 0
    assert row["duration_s"] == n_samples / RATE
    assert (row["label"], row["reasons"]) == ((None, ["too_short"]) if n_samples < 2 else ("real", []))


def stereo(samples: np.ndarray) -> np.ndarray:
    return np.stack([samples, samples], axis=1)


def stretched(samples: np.ndarray, times: int) -> np.ndarray:
    """The same sound at `times` the sample rate."""
    n = len(samples)
    spectrum = np.fft.rfft(samples)
    return np.fft.irfft(np.pad(spectrum, (0, n * times // 2 + 1 - len(spectrum))), n * times) * times


@pytest.mark.parametrize(
    ("change", "rate"),
    [(stereo, RATE), (lambda x: x[::2], RATE // 2), (lambda x: stretched(x, 6), 6 * RATE), (lambda x: 20 * x, RATE)],
    ids=["stereo", "8 kHz", "96 kHz", "beyond full scale"],
)
def test_formats(run, tmp_path, change, rate):
    samples = voice(np.random.default_rng(0), 4, fake_s=[(1, 2)])
    path = write(tmp_path / "clip.wav", change(samples), rate)
    status, out, _ = run("--json", path)
    row = json.loads(out)
    assert status == 0
    assert row["duration_s"] == 4.0
    assert row["label"] == ("real" if rate == RATE // 2 else "hybrid")  # at 8 kHz nothing is left above 4 kHz


def test_longer_than_all_windows(run, tmp_path):
    path = write(tmp_path / "long.flac", voice(np.random.default_rng(0), 45, fake_s=[(33, 34)]), subtype="PCM_16")
    row = json.loads(run("--json", path)[1])
    assert row["label"] == "hybrid"
    (segment,) = row["segments"]
    assert (segment["start_s"], segment["end_s"]) == (pytest.approx(33, abs=0.05), pytest.approx(34, abs=0.05))


def test_ten_minutes_of_silence(run, tmp_path):
    path = write(tmp_path / "silence.flac", np.zeros(600 * RATE, np.int16), subtype="PCM_16")
    row = json.loads(run("--json", path)[1])
    assert (row["reasons"], row["duration_s"]) == (["no_speech"], 600.0)


def not_a_number(path: Path) -> None:
    samples = np.zeros(RATE)
    samples[100] = np.nan
    write(path, samples)


def playlist(path: Path) -> None:
    inner = write(path.with_name("inner.wav"), np.zeros(RATE))
    path.write_text(f"#EXTM3U\n#EXTINF:1.0,\n{inner}\n#EXT-X-ENDLIST\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("nan.wav", not_a_number),
        ("text.wav", lambda path: path.write_text("this is no sound\n" * 100, encoding="utf-8")),
        ("empty.wav", lambda path: path.write_bytes(b"")),
        ("playlist.m3u8", playlist),
        ("playlist.wav", playlist),
        ("folder.wav", Path.mkdir),
        ("missing.wav", lambda path: None),
    ],
)
def test_what_cannot_be_read_is_one_line_that_names_it(run, tmp_path, name, make):
    make(tmp_path / name)
    status, out, err = run("detect", tmp_path / name)
    assert (status, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert name in line


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("calls", "received a folder; for many files: python script.py scan calls --out results.csv"),
        ("calls.txt", "received a list; for many files: python script.py scan calls.txt --out results.csv"),
        ("https://example.com/a.mp3", "received a network address: download it first"),
    ],
)
def test_who_names_something_else_is_told_what_to_do(run, tmp_path, monkeypatch, name, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls.txt").write_text("a.wav\n")
    status, out, err = run(name)
    assert (status, out) == (1, "")
    assert err.endswith(told + "\n")


def test_a_name_that_stdout_cannot_spell(clip, tiny_bundle):
    odd = clip.rename(clip.with_name("t\N{LATIN SMALL LETTER O WITH DIAERESIS}n \N{SNOWMAN}.wav"))
    done = script(odd, "--model", tiny_bundle, env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert (done.returncode, done.stderr) == (0, "")
    assert r"t\xf6n \u2603.wav" in done.stdout


# What else may be asked for.


@pytest.fixture
def call(tmp_path) -> Path:
    """A call whose right side has a fake second in it, and whose left side has none."""
    sides = [voice(np.random.default_rng(k), 4, fake_s=[(1, 2)] if k else []) for k in range(2)]
    return write(tmp_path / "call.wav", np.stack(sides, axis=1))


def test_each_side_of_a_call_is_judged_on_its_own(run, call, tmp_path):
    """Catches sides that are mixed, and pictures or labels of one that replace those of the other."""
    status, out, _ = run("--json", "--channels", "each", "--format", "textgrid,csv", "--out", tmp_path / "out", call)
    left, right = map(json.loads, out.splitlines())
    assert status == 0
    assert [(row["channel"], row["label"]) for row in (left, right)] == [(0, "real"), (1, "hybrid")]
    names = ["call-channel0.TextGrid", "call-channel1.TextGrid", "detections.csv"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert [each.channel for each in read_labels(tmp_path / "out" / "detections.csv")] == [0, 1]
    words = run("--channels", "each", call)[1]
    assert f"{call}, channel 1\n" in words
    assert json.loads(run("--json", call)[1])["channel"] is None


def test_label_files_hold_what_the_verdict_says(run, clip, tmp_path):
    silent = write(tmp_path / "silent.wav", np.zeros(RATE))
    out_dir = tmp_path / "out"
    status, out, err = run("--json", clip, silent, "--format", ",".join(FORMATS), "--out", out_dir)
    hybrid, abstained = map(json.loads, out.splitlines())
    assert status == 0
    assert len(err.splitlines()) == len(list(out_dir.iterdir())) == 9, "three of both, three of each"
    (span,) = hybrid["segments"]
    for name, kind in FORMATS.items():
        first, *rest = read_labels(out_dir / f"{'detections' if kind.many else 'clip'}{kind.suffix}")
        assert first.spans[0].onset_s == pytest.approx(span["start_s"], abs=0.001)
        assert first.spans[0].offset_s == pytest.approx(span["end_s"], abs=0.001)
        if name in ("csv", "json"):
            assert [each.path for each in (first, *rest)] == [str(clip), str(silent)]
            assert [each.label for each in (first, *rest)] == ["hybrid", ""]
    assert (abstained["label"], list(out_dir.glob("*.png"))) == (None, [])


@pytest.mark.parametrize(
    ("asked", "status"), [("fake,hybrid", 3), ("hybrid", 3), ("fake", 0), ("real,fake,abstained", 0)]
)
def test_fail_on_a_verdict(run, clip, asked, status):
    assert run("--fail-on", asked, "--quiet", clip) == (status, "", "")


def test_fail_on_an_abstention_and_beside_a_broken_file(run, clip, tmp_path):
    """What was found counts for more than what could not be read: a pipeline must not miss it."""
    silent = write(tmp_path / "silent.wav", np.zeros(RATE))
    assert run("--fail-on", "abstained", "--quiet", silent)[0] == 3
    assert run("--fail-on", "hybrid", "--quiet", tmp_path / "missing.wav", clip)[0] == 3
    assert run("--fail-on", "fake", "--quiet", tmp_path / "missing.wav", clip)[0] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--fail-on", "spoof"), "expected some of real, fake, hybrid, abstained, received 'spoof'"),
        (("--format", "elan"), "expected some of csv, json, rttm"),
        (("--format", ","), "expected some of csv"),
        (("--json", "--quiet"), "expected --json or --quiet, received both"),
    ],
)
def test_wrong_usage_is_told(run, clip, arguments, message, capsys):
    try:
        status, _, err = run(clip, *arguments)
    except SystemExit as stop:
        status, err = stop.code, capsys.readouterr().err
    assert status == 2
    assert message in err


def test_a_label_file_that_cannot_be_written_fails_after_the_verdict(run, clip):
    status, out, err = run(clip, "--format", "csv", "--out", clip)
    assert status == 1
    assert "Hybrid" in out
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


def test_a_terminal_gets_bold_and_nothing_else_does(clip, tiny_bundle, monkeypatch):
    """NO_COLOR, dumb terminals and pipes see plain text."""
    detection = Detector(tiny_bundle).detect(clip)
    assert "\033[1mHybrid" in detect.describe("x", detection, emphasis=True)
    assert "\033" not in detect.describe("x", detection)
    monkeypatch.setattr("sys.stdout", type("Terminal", (), {"isatty": lambda self: True})())
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    assert detect.may_colour()
    monkeypatch.setenv("TERM", "dumb")
    assert not detect.may_colour()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not detect.may_colour()


# Models.


def test_no_model_at_all(clip, tmp_path, capsys):
    assert cli.main(["detect", str(clip), "--model", str(tmp_path / "nothing")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("error: ")
    assert "nothing" in line


def test_a_file_that_is_no_model(clip, capsys):
    assert cli.main(["detect", str(clip), "--model", str(clip)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


# Pictures.


def test_pictures_are_saved_beside_the_words(run, clip, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is missing: pip install matplotlib")
    (tmp_path / "other").mkdir()
    twin = write(tmp_path / "other" / "clip.flac", np.zeros(RATE), subtype="PCM_16")
    out_dir = tmp_path / "pictures"
    status, out, err = run("--json", clip, twin, "--plot", "--out", out_dir)
    assert status == 0
    assert [json.loads(line)["path"] for line in out.splitlines()] == [str(clip), str(twin)]
    assert sorted(path.name for path in out_dir.iterdir()) == ["clip-2.png", "clip.png"]
    assert err.splitlines() == [f"picture: {out_dir / 'clip.png'}", f"picture: {out_dir / 'clip-2.png'}"]


def test_a_recording_without_samples_has_no_picture(run, tmp_path):
    path = write(tmp_path / "clip.wav", np.zeros(0))
    status, _, err = run(path, "--out", tmp_path / "pictures")
    assert (status, err) == (0, f"{path}: no samples, no picture\n")
    assert not (tmp_path / "pictures").exists()


def test_a_picture_that_cannot_be_saved_fails_after_the_verdict(run, clip):
    status, out, err = run(clip, "--plot", "--out", clip)
    assert status == 1
    assert "Hybrid" in out
    assert len(err.splitlines()) == 1


def test_an_explanation_is_words_and_a_picture(run, clip, call, tmp_path):
    """Catches a plain picture that nobody asked for, and channels that replace each other."""
    pytest.importorskip("matplotlib", reason="matplotlib is missing: pip install matplotlib")
    out_dir = tmp_path / "out"
    status, out, err = run(clip, "--explain", "--out", out_dir)
    assert (status, err) == (0, f"explanation: {out_dir / 'clip-explained.png'}\n")
    last = out.splitlines()[-1]
    assert last.startswith("  what raises the fake scores: ")
    assert "of it in the spans judged fake, most at " in last
    status, out, _ = run(call, "--explain", "--channels", "each", "--plot", "--out", out_dir)
    assert status == 0
    assert ("what keeps the fake scores down" in out, "what raises the fake scores" in out) == (True, True)
    sides = [f"call-channel{k}{kind}.png" for k in (0, 1) for kind in ("", "-explained")]
    assert sorted(path.name for path in out_dir.iterdir()) == sorted([*sides, "clip-explained.png"])


def test_an_explanation_leaves_the_rows_of_programs_alone(run, clip, tmp_path):
    plain = run("--json", clip)[1]
    status, out, _ = run("--json", clip, "--explain", "--out", tmp_path / "out")
    assert (status, out) == (0, plain)
    assert run("--quiet", clip, "--explain", "--out", tmp_path / "out")[1] == ""


def test_what_is_not_judged_is_not_explained(run, tmp_path):
    silent = write(tmp_path / "silent.wav", np.zeros(RATE))
    status, _, err = run(silent, "--explain", "--out", tmp_path / "out")
    assert (status, err) == (0, f"{silent}: not judged, nothing to explain\n")
    assert not (tmp_path / "out").exists()


def test_an_explanation_that_cannot_be_saved_fails_after_the_verdict(run, clip):
    status, out, err = run(clip, "--explain", "--out", clip)
    assert status == 1
    assert "Hybrid" in out
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")


def test_without_matplotlib_nothing_is_explained_in_vain(run, clip, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, out, err = run(clip, "--explain", "--out", tmp_path)
    assert (status, "what raises" in out) == (1, False)
    assert err == "error: pictures need matplotlib: install it with 'pip install matplotlib'\n"


def test_names_of_what_is_written_never_meet():
    assert detect._file_names(["a/x.wav", "b/x.mp3", "x-2.wav", "x.wav"]) == ["x", "x-2", "x-2-2", "x-3"]


# Exit statuses.


@pytest.mark.parametrize("arguments", [[], ["detect"], ["detect", "--nonsense", "a.wav"], ["--json"]])
def test_wrong_usage_exits_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert "usage: script.py" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ToolkitError("broken"), 1, "error: broken\n"),
        (UsageError("not both"), 2, "error: not both\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_how_a_command_ends(monkeypatch, capsys, error, status, said):
    def fail(arguments: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(detect, "run", fail)
    assert cli.main(["detect", "a.wav"]) == status
    assert capsys.readouterr().err == said


def test_a_reader_that_leaves_early(monkeypatch, tmp_path):
    """What `script.py ... | head -1` does: no complaint, not even from the flush at exit."""

    def fail(arguments: argparse.Namespace) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(detect, "run", fail)
    with (tmp_path / "stdout").open("w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert cli.main(["detect", "a.wav"]) == 141
        print("more", flush=True)
    assert (tmp_path / "stdout").read_text() == ""


def test_a_reader_that_leaves_before_the_last_line(monkeypatch, tmp_path):
    """What a command has printed may still be on its way when it ends."""

    class Closed(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(detect, "run", lambda arguments: 0)
    monkeypatch.setattr(cli, "_forget_stdout", lambda: None)
    monkeypatch.setattr(sys, "stdout", Closed())
    assert cli.main(["detect", "a.wav"]) == 141


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGPIPE and shells there have no such status")
def test_a_closed_pipe_in_a_process_of_its_own(clip, tiny_bundle):
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, str(ROOT / "script.py"), str(clip), "--model", str(tiny_bundle)]
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, cwd=ROOT, check=False)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (141, b"")


def test_main_leaves_logging_as_it_was(run, clip):
    import logging

    before = logging.getLogger("apps").handlers[:]
    run(clip)
    assert logging.getLogger("apps").handlers == before


# Light parts stay light.


def heavy_modules(code: str) -> list[str]:
    """Run Python code in a process of its own and name the heavy packages that it loaded."""
    tail = f"\nimport sys\nprint('heavy:', *[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, cwd=ROOT, check=True)
    return done.stdout.splitlines()[-1].split()[1:]


def test_help_is_light_and_shows_worked_examples():
    code = """
from apps.cli.main import main
for arguments in (["--help"], ["detect", "--help"]):
    try:
        main(arguments)
    except SystemExit as stopped:
        assert stopped.code == 0
"""
    assert heavy_modules(code) == []
    shown = script("--help").stdout + script("detect", "--help").stdout
    assert "$ python script.py interview.wav" in shown
    assert "python script.py detect interview.wav --plot" in shown


def test_judging_is_light_from_the_command_and_from_python(clip, tiny_bundle):
    command = f"from apps.cli.main import main\nassert main([{str(clip)!r}, '--model', {str(tiny_bundle)!r}]) == 0"
    assert heavy_modules(command) == []
    library = f"from model import Detector\nassert Detector({str(tiny_bundle)!r}).detect({str(clip)!r}).label"
    assert heavy_modules(library) == []


def test_script_prints_the_verdict(clip, tiny_bundle, tmp_path):
    """From any folder, and with nothing said on stderr."""
    done = script(clip, "--json", "--model", tiny_bundle, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["label"] == "hybrid"


def test_output_arrives_clip_by_clip(clip, tiny_bundle, monkeypatch):
    """A reader of the pipe need not wait for the batch to end."""

    class Recorder(io.StringIO):
        flushed = 0

        def flush(self) -> None:
            self.flushed = self.getvalue().count("\n")

    stdout = Recorder()
    seen = []
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(detect, "_draw", lambda *args, **kwargs: seen.append(stdout.flushed) or 0)
    assert cli.main(["--json", "--plot", str(clip), str(clip), "--model", str(tiny_bundle)]) == 0
    assert seen == [1, 2]
