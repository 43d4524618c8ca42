"""`script.py`: which command was meant, and which exit status its outcome is.

A command is a module of this package with `HELP` (one line), `add_arguments(parser)` and `run(arguments) ->
status`. It may raise any `ToolkitError`, which becomes one line on stderr here. Data goes to stdout, talk to
stderr via logging.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from apps.cli import (
    calibrate,
    check,
    compare,
    corpora,
    detect,
    evaluate,
    export,
    importing,
    insight,
    live,
    metrics,
    scan,
    selftest,
)
from audio.errors import ToolkitError, UsageError

COMMANDS = {
    "detect": detect,
    "live": live,
    "scan": scan,
    "calibrate": calibrate,
    "selftest": selftest,
    "check": check,
    "import": importing,
    "evaluate": evaluate,
    "metrics": metrics,
    "insight": insight,
    "corpora": corpora,
    "export": export,
    "compare": compare,
}
"""Name -> module. What starts with anything else is meant for `detect`."""

OK, FAILED, USAGE, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 130, 141
"""Exit statuses; the last two are 128 plus the number of the signal, as shells have it."""

DESCRIPTION = """\
Judge recordings: real, fake, or hybrid, that is genuine speech with fake spans in it.
`script.py CLIP` is short for `script.py detect CLIP`."""

EXAMPLE = """\
example:
  $ python script.py interview.wav
  interview.wav
    Hybrid: 1 span looks synthetic, 3.42-4.10 s; 92% of the clip looks genuine (probability 91%).
    real 6.2 %   fake 2.8 %   hybrid 91.0 %
    fake 3.42-4.10 s, confidence 0.88; it begins at 3.38-3.44 s and ends at 4.08-4.12 s
    file: WAV, PCM_16, 16 kHz, channels: 1, read by libsndfile 1.2.2
    sound: up to 7.9 kHz, speech 31 dB over its noise

`script.py COMMAND --help` explains a command.
exit status: 0 ran, 1 something failed, 2 wrong usage, 3 found what --fail-on asked for."""

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    argv
        the arguments after the program's name; None takes those of the process.

    Raises
    ------
    SystemExit
        As argparse does, with 0 after `--help` and 2 for arguments it cannot make sense of.
    """
    arguments = _parser().parse_args(_with_command(sys.argv[1:] if argv is None else argv))
    with _talking():
        return _run(COMMANDS[arguments.command], arguments, is_program=argv is None)


def run_alone(module: ModuleType, *, program: str, argv: Sequence[str] | None = None) -> int:
    """Run a command that has a program of its own, like `train_cnnrnnlstm.py`; otherwise as `main`."""
    parser = argparse.ArgumentParser(prog=program, **_texts(module))
    module.add_arguments(parser)
    arguments = parser.parse_args(argv)
    with _talking():
        return _run(module, arguments, is_program=argv is None)


def _run(module: ModuleType, arguments: argparse.Namespace, *, is_program: bool) -> int:
    """Turn the outcome of a command into an exit status; `is_program`: this process has nothing else to do."""
    try:
        status: int = module.run(arguments)
        sys.stdout.flush()
        return status
    except ToolkitError as error:
        _log.error("error: %s", error)
        return USAGE if isinstance(error, UsageError) else FAILED
    except KeyboardInterrupt:
        _log.error("interrupted")
        if is_program and "tensorflow" in sys.modules:
            _leave_at_once()
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return PIPE_CLOSED


def _leave_at_once() -> None:
    """End the process without tidying up: what was worth keeping is on disk.

    TensorFlow's input threads and the interpreter that takes their work apart can wait for each other forever: two of
    26 interrupted trainings did.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def _with_command(argv: Sequence[str]) -> list[str]:
    """Put `detect` in front unless a command or a question to the program itself is there."""
    own = {*COMMANDS, "-h", "--help"}
    return list(argv) if not argv or argv[0] in own else ["detect", *argv]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="script.py",
        description=DESCRIPTION,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        module.add_arguments(commands.add_parser(name, help=module.HELP, **_texts(module)))
    return parser


def _texts(module: ModuleType) -> dict[str, Any]:
    """What a command says of itself around its arguments."""
    return {
        "description": module.HELP,
        "epilog": module.EXAMPLE,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


@contextmanager
def _talking() -> Iterator[None]:
    """Send what the commands log to stderr, one plain line each; survive names that stdout cannot spell."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler(sys.stderr)
    loggers = [logging.getLogger(room) for room in ("apps", "model")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def _forget_stdout() -> None:
    """Point stdout nowhere: its reader has left, and the flush at exit would complain once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
