"""How the service is told what to do."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from apps import api
from apps.outside import shown_name
from apps.serving.places import Places
from apps.serving.refusals import Refusal
from apps.serving.settings import PREFIX, SECRET, Settings
from apps.serving.telemetry import Metrics
from audio.errors import UsageError

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")


def test_an_option_wins_over_the_environment_and_that_over_the_default():
    environment = {f"{PREFIX}MAX_MB": "7", f"{PREFIX}PORT": "0", f"{PREFIX}LOG_NAMES": "yes", "PATH": "/bin"}
    found = Settings.read({"port": 81, "max_mb": None}, environment)
    assert (found.port, found.max_mb, found.log_names, found.queue) == (81, 7.0, True, Settings().queue)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"MAX_BM": "7"}, "HYBRID_AUDIO_API_MAX_BM: no such setting"),
        ({"MAX_MB": "much"}, "HYBRID_AUDIO_API_MAX_MB: expected a number, received 'much'"),
        ({"LOG_NAMES": "maybe"}, "expected yes or no, received 'maybe'"),
        ({"MAX_SECONDS": "-1"}, "--max-seconds: expected a number above 0, received -1.0"),
        ({"MAX_SECONDS": "inf"}, "--max-seconds: expected a number above 0, received inf"),
        ({"KEY": ""}, "HYBRID_AUDIO_API_KEY: expected a key, received an empty one"),
        ({"WORKERS": "0"}, "--workers: expected a number above 0, received 0"),
    ],
)
def test_a_wrong_setting_is_one_line(environment, told):
    with pytest.raises(UsageError, match=told):
        Settings.read({}, {PREFIX + name: value for name, value in environment.items()})


def test_wrong_options_exit_with_2(capsys, monkeypatch):
    with pytest.raises(SystemExit) as stop:
        api.main(["--queue", "many"])
    assert stop.value.code == 2
    monkeypatch.setenv(f"{PREFIX}HOST", "no such host at all")
    assert api.main(["--port", "0"]) == 2
    assert "cannot listen" in capsys.readouterr().err


def test_the_key_is_no_option(capsys):
    with pytest.raises(SystemExit):
        api.main(["--help"])
    said = capsys.readouterr().out
    assert "--key" not in said
    assert f"{PREFIX}KEY" in said


def test_every_setting_is_documented():
    """And nothing that is none: a row of the table in docs/serving.md for each."""
    rows = [line.split("`")[1] for line in DOCUMENT.splitlines() if line.startswith("| `--")]
    rows += [line.split("`")[1] for line in DOCUMENT.splitlines() if line.startswith(f"| `{PREFIX}")]
    expected = ["--" + f.name.replace("_", "-") for f in fields(Settings) if f.name != SECRET]
    assert sorted(rows) == sorted([*expected, f"{PREFIX}KEY"])


def test_help_loads_no_framework_and_workers_no_service():
    """Catches an `app` that is made in every worker process, and a slow --help."""
    code = "import apps.api, sys; print('fastapi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert api.app.title


def test_who_waits_is_told_for_how_long():
    places = Places(2, served_at_once=1, gauge=Metrics().waiting)
    for _ in range(200):
        places.took(10.0)
    with places.taken(), places.taken():
        with pytest.raises(Refusal) as refusal:
            places.expect_one()
        assert refusal.value.retry_after_s == 10
    places.expect_one()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a.wav", "a.wav"),
        ("/etc/passwd", "passwd"),
        ("C:\\x\\a.wav", "a.wav"),
        ("..", "upload"),
        ("", "upload"),
        (None, "upload"),
        ("a\x1b[2Jb\n", "a[2Jb"),
    ],
)
def test_names(name, shown):
    assert shown_name(name) == shown
