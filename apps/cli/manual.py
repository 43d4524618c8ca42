"""`python -m apps.cli.manual README.md`: put what every command takes into a document, between two marks.

The same text on every version of Python, unlike argparse's own help, so that a test can say whether it is up to date.
"""

from __future__ import annotations

import argparse
import html
import sys
from collections.abc import Iterator
from pathlib import Path

from apps.cli import main, train
from audio.atomic import put_between
from audio.errors import ToolkitError

BEGIN, END = "<!-- commands begin -->", "<!-- commands end -->"


def manual() -> str:
    """Return the manual of all commands, in Markdown: folded, one after the other."""
    parsers = {f"python script.py {name}": _parser(module) for name, module in main.COMMANDS.items()}
    parsers["python train_cnnrnnlstm.py"] = _parser(train)
    return "\n\n".join("\n".join(_folded(program, parser)) for program, parser in parsers.items())


def _parser(module: object) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=module.HELP, epilog=module.EXAMPLE, add_help=False)  # type: ignore[attr-defined]
    module.add_arguments(parser)  # type: ignore[attr-defined]
    return parser


def _folded(program: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"<details><summary><code>{html.escape(program)}</code>: {html.escape(parser.description or '')}</summary>"
    yield ""
    yield "```text"
    names = [(_names(action), _help(action)) for action in parser._actions if action.help != argparse.SUPPRESS]
    width = max(len(name) for name, _ in names)
    for name, told in names:
        yield f"{name:<{width}}  {told}".rstrip()
    yield ""
    yield from (parser.epilog or "").splitlines()
    yield "```"
    yield ""
    yield "</details>"


def _names(action: argparse.Action) -> str:
    """How an argument is written: its options, and what stands behind them."""
    value = "" if action.nargs == 0 else str(action.metavar or _choices(action) or action.dest.upper())
    if not action.option_strings:
        return f"{value} ..." if action.nargs in ("+", "*") else value
    more = " ..." if action.nargs in ("+", "*") else ""
    return f"{', '.join(action.option_strings)} {value}{more}".rstrip()


def _choices(action: argparse.Action) -> str:
    return "|".join(str(choice) for choice in action.choices or () if choice != "")


def _help(action: argparse.Action) -> str:
    """What an argument is for."""
    return (action.help or "") % {**vars(action), "prog": "script.py"}


def update(path: Path) -> None:
    """Put the manual into a document; raises `ToolkitError` when its marks are not there."""
    put_between(path, manual(), begin=BEGIN, end=END)


if __name__ == "__main__":
    try:
        update(Path(sys.argv[1]))
    except (ToolkitError, OSError, IndexError) as error:
        sys.exit(f"error: {error}")
