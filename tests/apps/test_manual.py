"""The README's manual: whole, and what the commands take today."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.cli import main as cli
from apps.cli import manual
from audio.errors import ToolkitError

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_holds_the_manual_of_today():
    """Mended by `python -m apps.cli.manual README.md`."""
    assert manual.manual() in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_and_every_option_is_in_it(name, capsys):
    """Against argparse's own help, whatever version of Python wrote it."""
    with pytest.raises(SystemExit):
        cli.main([name, "--help"])
    told = capsys.readouterr().out
    text = manual.manual()
    part = text[text.index(f"python script.py {name}</code>") :].split("</details>")[0]
    options = {word.strip("[],") for word in told.split() if word.startswith("--") and word != "--help"}
    assert options
    assert all(option in part for option in options)
    assert cli.COMMANDS[name].EXAMPLE.strip() in part


def test_only_what_stands_between_the_marks_changes(tmp_path):
    path = tmp_path / "x.md"
    path.write_text(f"before\n{manual.BEGIN}\nzebra\n{manual.END}\nafter\n")
    manual.update(path)
    text = path.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "zebra" not in text
    manual.update(path)
    assert path.read_text() == text
    path.write_text("no marks")
    with pytest.raises(ToolkitError, match="expected the marks"):
        manual.update(path)
