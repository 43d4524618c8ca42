"""What the tests of `script.py scan` share: running it, and reading its table."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.cli import main as cli

Run = Callable[..., tuple[int, str, str]]


def scan_with(bundle: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what runs the command by a model: its exit status, stdout and stderr, which holds no traceback."""

    def run(*arguments: object, workers: int = 1) -> tuple[int, str, str]:
        status = cli.main(["scan", *map(str, arguments), "--model", str(bundle), "-j", str(workers)])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, said.out, said.err

    return run


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
