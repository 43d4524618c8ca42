"""`python -m synth`: build sets of real, fake and hybrid speech, and look at them."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module

from audio.errors import ToolkitError, UsageError

COMMANDS = {
    "build": "synth.cli.build",
    "verify": "synth.cli.verify",
    "audit": "synth.cli.audit",
    "stats": "synth.cli.stats",
    "prepare": "synth.cli.prepare",
    "engines": "synth.cli.engines",
    "voices": "synth.cli.voices",
    "purge": "synth.cli.purge",
}
"""Each command and its module."""


EXAMPLE = """\
example:
  python -m synth build --out data/first --clips 1200 --seed 1
  python -m synth audit data/first

'python -m synth COMMAND --help' shows more of each.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    0, 1 for what went wrong, 2 for wrong usage, 3 for what `--fail-...` asked about, 130 when interrupted.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except ToolkitError as error:
        print(f"synth: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print("synth: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m synth", description=__doc__, epilog=EXAMPLE, formatter_class=raw)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, home in COMMANDS.items():
        module = import_module(home)
        command = commands.add_parser(name, help=module.HELP, epilog=module.EXAMPLE, formatter_class=raw)
        module.add_arguments(command)
        command.set_defaults(command=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
