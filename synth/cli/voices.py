"""`python -m synth voices`: fetch the voice prompts."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

HELP = "fetch the voice prompts that Debian packages (55 MB)"

EXAMPLE = """\
example:
  python -m synth voices --out data/voices
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("--out", type=Path, default=Path("data", "voices"), metavar="DIR", help="default: %(default)s")


def run(options: argparse.Namespace) -> int:
    """Fetch them and return 0; raise `ToolkitError` when that fails."""
    from synth.prompts import fetch_prompts

    logging.getLogger(__name__).info("%s", fetch_prompts(options.out))
    return 0
