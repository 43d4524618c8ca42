"""`script.py live` as people run it: pipes, Ctrl-C, a microphone that is none, and one of PulseAudio."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from tiny_model import RATE, voice

from apps.cli import live
from apps.cli import main as cli
from audio.errors import AudioError
from audio.ffmpeg import find_ffmpeg
from audio.reading import write_wav
from model import Detector

ROOT = Path(__file__).parents[2]
SAMPLES = voice(np.random.default_rng(0), 6, fake_s=[(1, 2), (4, 4.5)])


@pytest.fixture
def clip(tmp_path) -> Path:
    """A hybrid recording of six seconds in 16 bits."""
    write_wav(tmp_path / "clip.wav", SAMPLES)
    return tmp_path / "clip.wav"


def start(bundle: Path, *arguments: object, **options) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "script.py"), "live", *map(str, arguments), "--model", str(bundle)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, **options)


def piped(bundle: Path, data: bytes, *arguments: object) -> tuple[int, str, str]:
    """Run it with `data` in its standard input, a real pipe; give status, stdout and stderr."""
    process = start(bundle, "-", *arguments, stdin=subprocess.PIPE)
    out, err = process.communicate(data)
    assert b"Traceback" not in err
    return process.returncode, out.decode(), err.decode()


def assert_row_of_detect(row: dict, path: Path, bundle: Path) -> None:
    """Whether a row is what detect says of a file, to the last digit, but for the file's name and `live`."""
    expected = json.loads(json.dumps(Detector(bundle).detect(path).to_row(row["path"])))
    assert {key: value for key, value in row.items() if key != "live"} == expected


@pytest.fixture
def run(tiny_bundle, capsys):
    """Run it in this process; give status, stdout and stderr."""

    def run_(*arguments: object) -> tuple[int, str, str]:
        try:
            status = cli.main(["live", *map(str, arguments), "--model", str(tiny_bundle)])
        except SystemExit as stop:
            status = stop.code
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, said.out, said.err

    return run_


class Sound:
    """A source whose pieces are known."""

    name, overflows = "a source", 0

    def __init__(self, samples: np.ndarray, *, size: int = 1_600, then: BaseException | None = None, lost=()) -> None:
        self._samples, self._size, self._then, self._lost = samples, size, then, lost

    def pieces(self) -> Iterator[np.ndarray]:
        for n in range(0, self._samples.size, self._size):
            self.overflows += n in self._lost
            yield self._samples[n : n + self._size]
        if self._then is not None:
            raise self._then


@pytest.fixture
def sound(monkeypatch):
    """Let the command hear this instead of a microphone."""
    return lambda *args, **kwargs: monkeypatch.setattr(live, "_source", lambda arguments: Sound(*args, **kwargs))


# Standard input.


def test_raw_samples_from_a_pipe_end_in_the_row_of_detect(tiny_bundle, clip):
    """Whatever the pieces that a pipe makes: the last row, without `live`, is detect's."""
    pcm, _ = soundfile.read(clip, dtype="int16")
    status, out, err = piped(tiny_bundle, pcm.astype("<i2").tobytes(), "--raw", "s16le:16000:1", "--json")
    *rows, last = map(json.loads, out.splitlines())
    assert (status, err) == (0, "")
    assert rows
    assert [row["live"]["final"] for row in (*rows, last)] == [False] * len(rows) + [True]
    assert_row_of_detect(last, clip, tiny_bundle)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])
def test_containers_from_a_pipe(tiny_bundle, clip, tmp_path, suffix):
    """And --save keeps what was judged: detect on it says the same to the last digit."""
    made = tmp_path / f"made.{suffix}"
    options = ["-b:a", "320k"] if suffix == "mp3" else []
    subprocess.run([find_ffmpeg(), "-v", "error", "-i", str(clip), *options, str(made)], check=True)
    status, out, _ = piped(tiny_bundle, made.read_bytes(), "--json", "--save", tmp_path / "kept.flac")
    last = json.loads(out.splitlines()[-1])
    assert status == 0
    assert [round(segment["start_s"]) for segment in last["segments"]] == [1, 4]
    assert_row_of_detect(last, tmp_path / "kept.flac", tiny_bundle)


def test_words_for_a_log(tiny_bundle, clip, tmp_path):
    """A line when something has changed, a line for each final span, and detect's own words at the end."""
    status, out, err = piped(tiny_bundle, clip.read_bytes(), "--save", tmp_path / "kept.wav")
    lines = out.splitlines()
    end = lines.index("stdin")
    assert status == 0
    assert err.splitlines()[-1] == f"saved: {tmp_path / 'kept.wav'}"
    assert any("hybrid" in line and ", fake " in line for line in lines[:end])
    assert any(line.startswith("fake 0.98-") and line.endswith(", final") for line in lines[:end])
    assert lines[end + 1].startswith("  Hybrid: 2 spans look synthetic")
    assert "\r" not in out
    assert "\033" not in out


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_sound_and_keeps_it(tiny_bundle, clip, tmp_path, ending):
    """Catches a lost recording, a traceback, and a wait for sound that does not come: the pipe stays open."""
    kept = tmp_path / "kept.wav"
    arguments = ("--json", "--save", kept, "--fail-on", "hybrid", "--raw", "s16le")
    process = start(tiny_bundle, "-", *arguments, stdin=subprocess.PIPE)
    process.stdin.write((SAMPLES * 32_767).astype("<i2").tobytes())
    process.stdin.flush()
    heard_s = 0.0
    while heard_s < 6.0:
        row = json.loads(process.stdout.readline())
        heard_s = row["duration_s"]
    process.send_signal(ending)
    hanging = threading.Timer(60.0, process.kill)
    hanging.start()
    with process:
        out, err = process.stdout.read(), process.stderr.read()  # communicate() would close the pipe first
    hanging.cancel()
    assert (process.returncode, err.decode()) == (3, f"saved: {kept}\n")
    last = json.loads(out.splitlines()[-1])
    assert (last["live"]["final"], last["duration_s"]) == (True, 6.0)
    assert soundfile.info(kept).frames == 6 * RATE
    assert_row_of_detect(last, kept, tiny_bundle)


def test_ctrl_c_is_not_for_ffmpeg(tiny_bundle, clip, tmp_path):
    """A terminal sends it to the whole group: catches an ffmpeg that dies of it, and an error instead of a verdict."""
    process = start(tiny_bundle, "-", "--json", stdin=subprocess.PIPE, start_new_session=True)
    process.stdin.write(clip.read_bytes())
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["live"]["final"] is False
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert json.loads(out.splitlines()[-1])["live"]["final"] is True


def test_what_is_no_sound(tiny_bundle, tmp_path):
    status, out, err = piped(tiny_bundle, b"this is no sound\n" * 100, "--json", "--save", tmp_path / "kept.wav")
    assert status == 1
    assert list(json.loads(out)) == ["schema_version", "path", "error"]
    assert err == "error: stdin: cannot be read: it is damaged or no recording in a known format\n"
    assert list(tmp_path.iterdir()) == []


def test_no_sample_has_its_reason(tiny_bundle):
    status, out, _ = piped(tiny_bundle, b"", "--raw", "s16le", "--fail-on", "abstained")
    assert status == 3
    assert out == "stdin\n  Not judged: the recording is too short to judge.\n"


# Wrong usage.


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("http://me:secret@127.0.0.1/a",), "http://127.0.0.1/a: a network address is opened only with --allow-netw"),
        (("file:///etc/passwd", "--allow-network"), "expected an address of http"),
        (("clip.wav",), "expected - or a network address; a file is judged by 'script.py detect FILE'"),
        (("-", "--device", "1"), "--device: expected without a source"),
        (("--raw", "s16le"), "--raw: expected with standard input"),
        (("-", "--raw", "s12"), "raw format: expected one of u8, s16le"),
        (("--json", "--quiet"), "expected --json or --quiet, received both"),
        (("--seconds", "0"), "expected a number of seconds above 0"),
        (("--seconds", "nan"), "expected a number of seconds above 0"),
        (("--fail-on", "spoof"), "expected some of real, fake, hybrid, abstained"),
    ],
)
def test_wrong_usage_is_one_line(run, arguments, told):
    status, out, err = run(*arguments)
    line = [line for line in err.splitlines() if not line.startswith("listening")][-1]
    assert told in line
    assert "secret" not in err
    assert (status, out) == (2, "")


def test_a_terminal_is_no_sound(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    assert run("-")[0] == 2


# The session.


def test_rows_come_twice_a_second_and_the_first_verdict_with_the_first(run, sound):
    sound(SAMPLES)
    status, out, err = run("--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (status, err) == (0, "")
    assert [row["duration_s"] for row in rows] == [0.5 * k for k in range(1, 13)] + [6.0]
    assert all(row["label"] == "real" for row in rows[:2])
    told = [round(span["start_s"]) for row in rows for span in row["live"]["final_segments"]]
    assert told == [1], "the second one ends less than a window before the end"
    assert [row["live"]["final_s"] for row in rows[:6]] == [0.0, 0.0, 0.0, 0.0, 0.5, 1.0]


def test_whoever_is_behind_catches_up(run, sound):
    """Catches an update for each half second of a backlog, which then only grows."""
    sound(SAMPLES, size=3 * RATE)
    assert len(run("--json")[1].splitlines()) == 3


def test_enough_is_enough_to_the_sample(run, sound, tmp_path):
    sound(SAMPLES)
    out = run("--json", "--seconds", "1.2345", "--save", tmp_path / "kept.wav")[1]
    assert json.loads(out.splitlines()[-1])["quality"]["n_samples"] == 19_752
    assert soundfile.info(tmp_path / "kept.wav").frames == 19_752


def test_sound_that_fails_is_told_and_what_was_heard_is_judged_and_kept(run, sound, tmp_path):
    sound(SAMPLES, then=AudioError("a source: the device is gone"))
    status, out, err = run("--save", tmp_path / "kept.wav")
    assert status == 1
    assert "error: a source: the device is gone" in err.splitlines()
    assert "  Hybrid: 2 spans" in out
    assert soundfile.info(tmp_path / "kept.wav").frames == SAMPLES.size


def test_lost_sound_is_told(run, sound):
    sound(SAMPLES, lost=(16_000, 32_000))
    assert "1 times until 1.5 s sound was lost, because this machine was busy" in run()[2]
    sound(SAMPLES, lost=(16_000, 32_000))
    _, out, err = run("--json")
    assert [json.loads(line)["live"]["overflows"] for line in out.splitlines()] == [0, 0, 1, 1, *[2] * 9]
    assert len(err.splitlines()) == 2


def test_quiet_says_it_by_the_exit_status(run, sound):
    sound(SAMPLES)
    assert run("--quiet", "--fail-on", "hybrid") == (3, "", "")


def test_a_terminal_gets_one_line_again_and_again(run, sound, monkeypatch, capsys):
    """Catches a final span or a warning written into the line that moves, and a line that wraps."""
    sound(SAMPLES, lost=(48_000,))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    out = run()[1]
    moving = [part.rstrip() for part in out.split("\r") if " dB  " in part]
    assert len(moving) == 12
    assert all(len(part) < 60 for part in moving)
    assert moving[-1].startswith("     6.0 s  [#######-----]  -2")
    whole = [line.split("\r")[-1] for line in out.splitlines()]
    assert [line for line in whole if line.endswith(", final")]
    assert "a source" in whole


def test_the_level_meter():
    assert live._bar(-float("inf")) == live._bar(-70.0) == "-" * 12
    assert live._bar(-30.0) == "######------"
    assert live._bar(3.0) == "#" * 12


def test_the_signals_are_as_before_when_it_is_over(run, sound):
    """Catches a Ctrl-C that is swallowed for the rest of the process."""
    before = signal.getsignal(signal.SIGINT)
    sound(SAMPLES[:RATE])
    run()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_signal_does_what_it_always_does():
    with live._Ending() as ending:
        signal.raise_signal(signal.SIGINT)
        assert ending.next(iter([SAMPLES])) is None
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


# The microphone of PulseAudio: its null sink gives what is played into it.

PROGRAMS = ("pulseaudio", "pactl", "paplay")


@pytest.fixture
def pulse(tmp_path, monkeypatch) -> Iterator[None]:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    try:
        import sounddevice  # noqa: F401
    except (ImportError, OSError) as error:
        missing.append(f"sounddevice ({error})")
    if missing:
        pytest.skip(f"missing: {', '.join(missing)}")
    home = tmp_path / "pulse"
    home.mkdir(mode=0o700)
    for name in ("HOME", "XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("PULSE_SERVER", f"unix:{home}/socket")
    monkeypatch.setenv("PULSE_SOURCE", "live.monitor")
    modules = [f"module-native-protocol-unix socket={home}/socket auth-anonymous=1", "module-null-sink sink_name=live"]
    loads = [word for module in modules for word in ("-L", module)]
    command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm=yes", "--use-pid-file=no"]
    with subprocess.Popen([*command, *loads], stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(100):
                if subprocess.run(["pactl", "info"], capture_output=True).returncode == 0:
                    break
                time.sleep(0.1)
            else:
                pytest.skip("PulseAudio does not start here")
            yield
        finally:
            server.terminate()


def test_a_null_sink_of_pulseaudio(pulse, tiny_bundle, clip, tmp_path):
    """From PortAudio to the last row: what is played is heard, and what is kept is what was judged."""
    listed = start(tiny_bundle, "--list-devices").communicate()[0].decode()
    if "pulse" not in listed:
        pytest.skip("PortAudio does not offer PulseAudio: ALSA's plugins for it are missing")
    process = start(tiny_bundle, "--device", "pulse", "--json", "--save", tmp_path / "kept.wav")
    first = json.loads(process.stdout.readline())
    subprocess.run(["paplay", "--device=live", str(clip)], check=True)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    last = json.loads(out.splitlines()[-1])
    assert process.returncode == 0, err
    assert (first["live"]["final"], last["live"]["final"]) == (False, True)
    assert last["label"] == "hybrid"
    assert [segment["end_s"] > segment["start_s"] > 0 for segment in last["segments"]].count(True) >= 1
    assert_row_of_detect(last, tmp_path / "kept.wav", tiny_bundle)
