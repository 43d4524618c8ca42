"""The project's own promises: packages, pins, and documented commands that really parse."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest

from apps import api, web
from apps.cli import main as script
from apps.cli import train
from bench import comparison
from synth import __main__ as synth

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ROOMS = ("apps", "audio", "model", "synth")
DOCUMENTS = (
    *("README.md", "data/README.md", "docs/asvspoof2019.md", "docs/classical.md", "docs/comparison.md"),
    *("docs/evaluation.md", "docs/explaining.md", "docs/exports.md", "docs/insight.md", "docs/networks.md"),
    "docs/serving.md",
)

PROGRAMS = {"apps.api": api, "apps.web": web, "bench.comparison": comparison}


def documented_commands() -> list[str]:
    """Every `python ...` command of the documents, without the prompt and what is said behind #."""
    found = []
    for name in DOCUMENTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        found += re.findall(r"^\$ (python .+?)(?:\s+#.*)?$", text, re.MULTILINE)
        found += re.findall(r"`(python -m synth [^`]+|python (?:script|train_cnnrnnlstm)\.py[^`]+)`", text)
    return sorted(set(found))


def test_every_package_is_listed():
    found = {
        ".".join(path.parent.relative_to(ROOT).parts) for room in ROOMS for path in (ROOT / room).rglob("__init__.py")
    }
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found


def test_every_requirement_is_pinned():
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [line for lines in (PROJECT["project"]["dependencies"], *extras) for line in lines]
    pins = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    missing = [line for line in wanted if re.split(r"[\[<>=; ]", line)[0] not in pins]
    assert not missing


def test_there_are_documented_commands_of_each_kind():
    commands = " ".join(documented_commands())
    for kind in ("-m synth build", "-m synth voices", "-m synth purge", "train_cnnrnnlstm.py", "script.py"):
        assert kind in commands


@pytest.mark.parametrize("command", documented_commands())
def test_documented_commands_parse(command, monkeypatch):
    _, program, *arguments = shlex.split(command)
    ran = []
    if program == "-m" and arguments[0] in PROGRAMS:
        PROGRAMS[arguments[0]]._parser().parse_args(arguments[1:])
    elif program == "-m":
        synth._parser().parse_args(arguments[1:])
    elif program == "script.py":
        script._parser().parse_args(script._with_command(arguments))
    else:
        monkeypatch.setattr(train, "run", lambda parsed: ran.append(parsed) or 0)
        assert script.run_alone(train, program=program, argv=arguments) == 0


def test_the_demo_speaks_to_commands_as_they_are(monkeypatch):
    from apps import demo

    synth._parser().parse_args(["build", *demo._build_arguments(2)])
    monkeypatch.setattr(train, "run", lambda parsed: 0)
    monkeypatch.setattr(demo, "RUN", Path("no/such/run"))
    assert script.run_alone(train, program="train", argv=demo._training_arguments()) == 0


def test_this_python_is_one_that_we_promise():
    assert (
        f"Programming Language :: Python :: {sys.version_info[0]}.{sys.version_info[1]}"
        in PROJECT["project"]["classifiers"]
    )
