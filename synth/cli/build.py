"""`python -m synth build`: build a set."""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from pathlib import Path

from audio.addresses import folder_or_address
from audio.errors import ToolkitError
from audio.executors import add_executor, workers_of

HELP = "build a set of real, fake and hybrid clips"

EXAMPLE = """\
examples:
  python -m synth build --out data/first --clips 1200 --seed 1

  fetches the voice prompts that Debian packages into data/voices (once), and writes data/first/real,
  data/first/fake, data/first/hybrid and data/first/manifest.jsonl. With your own recordings, one folder for
  each speaker, noise and rooms:

  python -m synth build --out data/mine --clips 300 --real recordings --noise noise --rooms impulses --held-out lpc
  python -m synth build --out data/mine --clips 300 --real recordings --engine-command "mytts --text {text} --out {wav}"
  python -m synth build --out data/mine --recipe recipe.toml

  Recordings may lie at an address that fsspec knows (pip install -e .[ray]; for s3:// -e .[s3]); they are copied into
  the cache first:

  python -m synth build --out data/mine --clips 300 --real s3://bucket/voices

A build that was stopped goes on when the same command is given again.
"""

SOURCES = {
    "real": "genuine recordings, subfolder = speaker (default: the prompts)",
    "fake": "fake recordings, subfolder = generator",
    "noise": "recordings of noise (default: generated)",
    "rooms": "impulse responses of rooms (default: simulated)",
}
"""Options for where recordings are."""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command; the names are those of a recipe file."""
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the set")
    add("--recipe", type=Path, metavar="FILE", help="TOML file with these options; those given here win")
    add("--clips", type=int, metavar="N", help="number of clips; a third of each class")
    add("--seed", type=int, metavar="S", help="the same seed gives the same bytes (default: 1)")
    for name, told in SOURCES.items():
        add(f"--{name}", type=folder_or_address, metavar="DIR|URL", help=told)
    add("--engines", type=names, metavar="A,B", help="default: world,griffin-lim; see 'python -m synth engines'")
    add("--engine-command", action="append", dest="engine_commands", metavar="CMD", help="a program that synthesises")
    add("--held-out", type=names, metavar="A", help="only in test_unseen (default: lpc)")
    add("--dev-speakers", type=names, metavar="A,B", help="default: as the manifest says, else drawn by the seed")
    add("--test-speakers", type=names, metavar="A,B", help="default: as the manifest says, else drawn by the seed")
    add("--clip-s", type=float, nargs=2, metavar=("MIN", "MAX"), help="length of clips in seconds (default: 3 8)")
    add("--span-s", type=float, nargs=2, metavar=("MIN", "MAX"), help="length of spans in seconds (default: 0.1 5)")
    add("--max-spans", type=int, metavar="N", help="most spans in a clip (default: 6)")
    add("--no-channel", action="store_const", const=False, dest="channel", help="leave out room, noise, level, codec")
    add_executor(parser)
    add("--cache", type=Path, metavar="DIR", help="where synthetic voices are kept")


def names(text: str) -> tuple[str, ...]:
    """Split names at commas."""
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


def run(options: argparse.Namespace) -> int:
    """Build the set and return 0.

    Raises
    ------
    ToolkitError
        As `synth.build.build_set`; and, when the set is complete, when some clips could not be made or some
        recordings not be read.
    """
    from synth.build import build_set, read_facts
    from synth.order import order_from, read_order

    written = read_order(options.recipe) if options.recipe is not None else {}
    given = {name: value for name, value in vars(options).items() if value is not None}
    order = order_from({**written, **given})
    clips = build_set(order.recipe, order.folders, out=options.out, workers=workers_of(options))
    labels = ", ".join(f"{n} {label}" for label, n in sorted(Counter(clip.label for clip in clips).items()))
    if missing := order.recipe.n_clips - len(clips):
        raise ToolkitError(f"{options.out}: {labels}; no splice for {missing} clips, see 'skipped' in build.json")
    if unreadable := read_facts(options.out)["unreadable"]:
        raise ToolkitError(f"{options.out}: {labels}; {len(unreadable)} recordings could not be read and were left out")
    _log.info("%s: %s", options.out, labels)
    return 0
