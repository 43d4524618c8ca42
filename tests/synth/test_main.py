from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from audio.reading import write_wav
from synth.__main__ import main
from synth.cache import Cache, content_key

HEAVY = (
    *("librosa", "pyworld", "scipy", "pydub", "pyloudnorm", "noisereduce", "pyroomacoustics"),
    *("sklearn", "matplotlib", "jinja2", "tensorflow"),
)


def build_arguments(tmp_path: Path, real: Path, *more: str) -> list[str]:
    places = ["--out", str(tmp_path / "set"), "--real", str(real), "--cache", str(tmp_path / "cache")]
    return ["build", *places, "--clips", "6", "--engines", "lpc", "--held-out", "", "-j", "1", *more]


def test_builds_a_set(voices_dir: Path, tmp_path: Path) -> None:
    assert main(build_arguments(tmp_path, voices_dir)) == 0
    assert len(list((tmp_path / "set").glob("*/*.wav"))) == 6


@pytest.mark.parametrize(
    ("more", "code", "line"),
    [
        (["--engines", "wolrd"], 2, "engines: expected some of"),
        (["--real", "nowhere"], 1, "nowhere: expected a folder of recordings"),
        (["--test-speakers", "zoe"], 2, "received zoe"),
        (["--clips", "0"], 2, "clips and seed"),
        (["--span-s", "3", "1"], 2, "span_s: expected"),
        (["--engine-command", "mytts --text {text}"], 2, "{wav}"),
        (["--noise", "nowhere"], 2, "nowhere"),
        (["--recipe", "none.toml"], 2, "none.toml: cannot be read"),
        (["-j", "0"], 2, "workers: expected at least 1"),
    ],
)
def test_mistakes_are_one_line(
    more: list[str], code: int, line: str, voices_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(build_arguments(tmp_path, voices_dir, *more)) == code
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1


def test_a_recipe_file_gives_what_the_command_line_does_not(voices_dir: Path, tmp_path: Path) -> None:
    """Catches a file that wins over the command line, or is not read."""
    (tmp_path / "recipe.toml").write_text('clips = 99\nengines = ["world"]\nseed = 8\nclip_s = [2.0, 3.0]\n')
    assert main(build_arguments(tmp_path, voices_dir, "--recipe", str(tmp_path / "recipe.toml"))) == 0
    recipe = json.loads((tmp_path / "set" / "build.json").read_text())["recipe"]
    assert (recipe["n_clips"], recipe["engines"], recipe["seed"], recipe["clip_s"]) == (6, ["lpc"], 8, [2.0, 3.0])


def test_verifies_a_set(voices_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(build_arguments(tmp_path, voices_dir))
    same = ["verify", str(tmp_path / "set"), "--real", str(voices_dir), "--cache", str(tmp_path / "cache"), "-j", "1"]
    assert main(same) == 0
    assert capsys.readouterr().out == ""
    path = next((tmp_path / "set").glob("real/*.wav"))
    write_wav(path, np.zeros(16_000, dtype=np.int16))
    assert main(same) == 1
    assert f"real/{path.name}: its samples differ" in capsys.readouterr().out


def test_missing_clips_are_told_by_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for speaker in ("ada", "ben", "cleo"):
        write_wav(tmp_path / "real" / speaker / "hush.wav", np.zeros(64_000, dtype=np.int16))
    assert main(build_arguments(tmp_path, tmp_path / "real")) == 1
    assert "no splice for 6 clips, see 'skipped' in build.json" in capsys.readouterr().err


def test_interrupted(
    voices_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("synth.build.build_set", interrupt)
    assert main(build_arguments(tmp_path, voices_dir)) == 130
    assert "the same command goes on where it stopped" in capsys.readouterr().err


def test_purge(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.keep(content_key("a"), np.zeros(9, dtype=np.int16))
    assert main(["purge", "--cache", str(tmp_path)]) == 0
    assert cache.find(content_key("a")) is None


def test_help_and_surface_are_light() -> None:
    """Catches heavy packages loaded by `--help`, and by looking at what `synth` offers."""
    code = (
        "import sys, synth, synth.__main__ as m\n"
        "try: m.main(['--help'])\n"
        "except SystemExit as done: assert done.code == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
        "assert 'example' in m._parser().format_help()\n"
        "assert all(getattr(synth, name) is not None for name in synth.__all__)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["[]", "[]"]


def test_unknown_name() -> None:
    import synth

    with pytest.raises(AttributeError, match="no attribute 'sing'"):
        _ = synth.sing
