"""`python -m synth purge`: empty the cache of synthetic voices."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

HELP = "empty the cache of synthetic voices"

EXAMPLE = """\
example:
  python -m synth purge
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where synthetic voices are kept")


def run(options: argparse.Namespace) -> int:
    """Empty it and return 0."""
    from synth.cache import Cache, default_cache_dir

    cache = Cache(options.cache if options.cache is not None else default_cache_dir())
    logging.getLogger(__name__).info("%s: %.1f MB removed", cache.folder, cache.purge() / 1e6)
    return 0
