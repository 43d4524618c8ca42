"""`python -m synth verify`: make every clip of a set again from its manifest, and compare."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from audio.executors import add_executor, workers_of

HELP = "make every clip of a set again from its manifest, and compare it bit for bit"

EXAMPLE = """\
example:
  python -m synth verify data/first --real data/voices

prints what differs, and exits 1 when anything does. It needs the recordings that the set was built from, and the
same versions of the programs (build.json names them).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add = parser.add_argument
    add("set", type=Path, metavar="DIR", help="folder of the set")
    add("--real", type=Path, default=Path("data", "voices"), metavar="DIR", help="default: %(default)s")
    add("--fake", type=Path, metavar="DIR", help="fake recordings")
    add("--noise", type=Path, metavar="DIR", help="recordings of noise")
    add("--rooms", type=Path, metavar="DIR", help="impulse responses of rooms")
    add("--cache", type=Path, metavar="DIR", help="where synthetic voices are kept")
    add_executor(parser)


def run(options: argparse.Namespace) -> int:
    """Compare; return 0 when all clips are the same, else 1."""
    from synth.cache import default_cache_dir
    from synth.making import Folders
    from synth.verify import verify_set

    cache = options.cache or default_cache_dir()
    folders = Folders(options.real, options.fake, options.noise, options.rooms, cache)
    n_clips, different = verify_set(options.set, folders, workers=workers_of(options))
    for path, reason in different.items():
        print(f"{path}: {reason}")
    logging.getLogger(__name__).info("%s: %d of %d clips are the same", options.set, n_clips - len(different), n_clips)
    return 1 if different else 0
