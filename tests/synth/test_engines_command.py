"""Engines of one's own, with stand-ins for the programs: small Python files that the tests write."""

from __future__ import annotations

import json
import os
import pickle
import shlex
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from babbling import babble

from audio.errors import EngineError, UsageError
from synth.engines import command
from synth.engines.command import CommandEngine, parse_command
from synth.pcm import Samples

SPEAKS = """
import argparse, json, sys
import numpy as np, soundfile
parser = argparse.ArgumentParser()
for option in ("--text", "--out", "--seed", "--lang", "--rate", "--log"):
    parser.add_argument(option)
options = parser.parse_args()
text = options.text if options.text is not None else sys.stdin.read()
rate = int(options.rate or 22050)
tone = 0.3 * np.sin(np.arange(rate) * 2 * np.pi * 440 / rate + int(options.seed or 0))
soundfile.write(options.out, np.stack([tone, tone], axis=1), rate)
if options.log:
    open(options.log, "w").write(json.dumps([text, options.lang, options.seed]))
"""

COPIES = """
import sys
import soundfile
samples, rate = soundfile.read(sys.argv[1])
soundfile.write(sys.argv[2], 0.5 * samples[: len(samples) - int(sys.argv[3])], rate, subtype="FLOAT")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "speaks.py").write_text(SPEAKS)
    (tmp_path / "copies.py").write_text(COPIES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def python(arguments: str, *, name: str = "mytts") -> CommandEngine:
    return parse_command(f"{name}={shlex.quote(sys.executable)} {arguments}")


def says(code: str) -> CommandEngine:
    """An engine that runs Python code; its first argument is the WAV to write."""
    return CommandEngine("mytts", (sys.executable, "-c", code, "{wav}"))


def speak(maker: CommandEngine, text: str = "Hello there.", *, language: str = "en", seed: int = 1) -> Samples:
    return maker.render(None, text=text, language=language, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_any_sampling_rate_in_stereo(rate: int, folder: Path) -> None:
    """Catches a rate that is not converted, and channels that are read one after the other: a tone of 1 s at 440 Hz."""
    spoken = speak(python(f"speaks.py --text {{text}} --out {{wav}} --rate {rate}"))
    assert spoken.dtype == np.float32
    assert spoken.size == pytest.approx(16_000, abs=2)
    assert np.argmax(np.abs(np.fft.rfft(spoken, 16_000))) == 440


@pytest.mark.parametrize(
    "text", ["-5 degrees", "--out=x", "{wav} and {seed}", '$(touch x); `touch x` & "it\'s"', "Где ёж?", "*"]
)
@pytest.mark.parametrize("where", ["--text {text}", "", "--text={text}"])
def test_texts_arrive_as_they_are(text: str, where: str, folder: Path) -> None:
    """Catches a shell, a text that becomes an option, and placeholders in a text that are filled in."""
    speak(python(f"speaks.py {where} --out {{wav}} --log log.json --lang {{language}}"), text, language="ru")
    heard, language, _ = json.loads((folder / "log.json").read_text())
    assert heard.strip() == text
    assert language == "ru"
    assert not (folder / "x").exists()


def test_the_seed_comes_from_the_generator(folder: Path) -> None:
    """Catches a program that draws its own randomness: same generator, same samples."""
    maker = python("speaks.py --text {text} --out {wav} --seed {seed}")
    first = speak(maker)
    assert np.array_equal(speak(maker), first)
    assert not np.array_equal(speak(maker, seed=2), first)


def test_an_unknown_language_is_english(folder: Path) -> None:
    speak(python("speaks.py --out {wav} --log log.json --lang {language}"), language="")
    assert json.loads((folder / "log.json").read_text())[1] == "en"


def test_copies_are_as_long_as_their_source(folder: Path) -> None:
    """Catches a copy that is cut to whole frames and moves all that follows it."""
    speech = babble(1, seconds=1.0)
    for missing in (300, 0):
        maker = python(f"copies.py {{source}} {{wav}} {missing}", name="codec")
        assert maker.makes_twins
        twin = maker.render(speech, rng=np.random.default_rng(0))
        assert twin.shape == speech.shape
        n_copied = speech.size - missing
        assert twin[:n_copied] == pytest.approx(0.5 * speech[:n_copied], abs=1e-4)
        assert not twin[n_copied:].any()
    silence = np.zeros(1_000, dtype=np.float32)
    assert np.array_equal(maker.render(silence, rng=np.random.default_rng(0)), silence)
    assert maker.render(silence[:0], rng=np.random.default_rng(0)).shape == (0,)
    with pytest.raises(EngineError, match=r"codec: expected a copy of 16000 samples .*received 14000"):
        python("copies.py {source} {wav} 2000", name="codec").render(speech, rng=np.random.default_rng(0))
    with pytest.raises(EngineError, match="codec: expected samples to copy"):
        maker.render(None, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; print('working'); sys.exit('no such voice: bob')", "failed with status 1: no such voice: bob"),
        ("import sys; print('out of luck'); sys.exit(3)", "failed with status 3: out of luck"),
        ("raise ValueError('bad voice')", "failed with status 1: ValueError: bad voice$"),
        ("pass", "expected a recording, but the program wrote none"),
        ("import sys; open(sys.argv[1], 'w')", "what the program wrote is no recording"),
        ("import sys; open(sys.argv[1], 'w').write('no voice')", "what the program wrote is no recording"),
        ("import sys, soundfile; soundfile.write(sys.argv[1], [], 16000)", "wrote 0 samples of silence"),
        ("import sys, soundfile; soundfile.write(sys.argv[1], [0.0] * 9, 16000)", "wrote 9 samples of silence"),
        ("import sys, soundfile; soundfile.write(sys.argv[1], [0.5] * 650000, 2000)", "longer than the limit of 300 s"),
    ],
)
def test_failures_are_one_line(code: str, message: str) -> None:
    """Catches tracebacks of a program shown to people, and silence or nothing passed on as speech."""
    with pytest.raises(EngineError, match=message) as caught:
        speak(says(code))
    assert str(caught.value).startswith("mytts: ")
    assert "\n" not in str(caught.value)


def test_a_program_that_hangs_is_stopped_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches waiting for a pipe that a child keeps open, and a child that goes on writing after its parent."""
    monkeypatch.setattr(command, "SECONDS_AT_MOST", 1.0)
    alive = tmp_path / "alive"
    child = f"import time; time.sleep(2.5); open({str(alive)!r}, 'w')"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with pytest.raises(EngineError, match=r"mytts: .* took longer than 1 s and was stopped"):
        speak(says(code))
    time.sleep(2.5 if os.name == "posix" else 0.0)
    assert not alive.exists()


def test_missing_programs() -> None:
    with pytest.raises(
        EngineError, match=r"no-such-tts: the program no-such-tts was not found: install it, or correct"
    ):
        speak(parse_command("no-such-tts {wav}"))
    with pytest.raises(EngineError, match=r"joe: the program .*/piper was not found: pip install piper-tts"):
        parse_command("joe=/nowhere/piper -f {wav}").version()


def test_there_must_be_a_text(folder: Path) -> None:
    with pytest.raises(EngineError, match="mytts: expected a text to speak, received ' '"):
        speak(python("speaks.py --out {wav}"), " ")


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("mytts --text {text} -o {wav}", "mytts", ("mytts", "--text", "{text}", "-o", "{wav}")),
        ("/opt/my tools/x {wav}", "my", ("/opt/my", "tools/x", "{wav}")),
        ("'/opt/my tools/tts' {wav}", "tts", ("/opt/my tools/tts", "{wav}")),
        ("bob=python3 'my tts.py' {wav} {}", "bob", ("python3", "my tts.py", "{wav}", "{}")),
        ("bob= python3 {wav}", "bob", ("python3", "{wav}")),
        ("./a=b {wav}", None, ()),
        ("x=./a=b {wav} {'k': 1}", "x", ("./a=b", "{wav}", "{k:", "1}")),
    ],
)
def test_command_lines_are_split_like_a_shell_would(text: str, name: str | None, arguments: tuple[str, ...]) -> None:
    """Catches splitting at every blank, a path taken for a name, and braces that are no placeholder."""
    if name is None:
        with pytest.raises(UsageError):
            parse_command(text)
    else:
        assert parse_command(text) == CommandEngine(name, arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a program"),
        ("bob=", "expected a program"),
        ("mytts '{wav}", "no closing quotation"),
        ("mytts --text {text}", "expected {wav}, where the program writes to"),
        ("mytts {text} {source} {wav}", "expected {text} to speak or {source} to copy, not both"),
        ("espeak {wav}", "espeak is a built-in engine: expected another name, as in my-espeak=espeak"),
        ("'my tts' {wav}", "expected a name of letters, digits"),
        ("../.. {wav}", "expected a name of letters, digits"),
    ],
)
def test_commands_that_are_none(text: str, message: str) -> None:
    """Catches engines whose name would be a path, or somebody else's, and commands that cannot give anything."""
    with pytest.raises(UsageError, match=message.replace("{", r"\{")):
        parse_command(text)


def test_an_engine_survives_json_and_pickle() -> None:
    """Catches what a worker process, or a recipe, could not carry."""
    maker = parse_command("bob=mytts {text} {wav}")
    facts = json.loads(json.dumps(asdict(maker)))
    assert CommandEngine(facts["name"], facts["arguments"]) == pickle.loads(pickle.dumps(maker)) == maker
    assert hash(maker) == hash(replace(maker))


def test_the_version_knows_the_files_of_a_command(folder: Path) -> None:
    """Catches clips of an older program or voice that the cache gives out after an update."""
    maker = python("speaks.py --text {text} --out {wav} --voice=voice.bin")
    versions = [maker.version()]
    for name, content in (("voice.bin", "one"), ("voice.bin", "other"), ("speaks.py", "pass")):
        (folder / name).write_text(content)
        versions.append(maker.version())
    assert len(set(versions)) == 4
    assert maker.version() == versions[-1]
