"""`python -m synth stats`: say what a set holds."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

from audio.errors import ToolkitError

HELP = "say what a set holds: classes, splits, speakers, generators, spans, and what splits share"

EXAMPLE = """\
examples:
  python -m synth stats data/first
  python -m synth stats corpus/manifest.csv --out stats.png --fail-on-leak

takes any set, as audit does. A leak is a speaker or a source recording in two of train, dev and test, or a generator
of test_unseen that another split has. (test_unseen shares the speakers of test by design.) Exit status: 0, 1 when
files could not be read, 3 when --fail-on-leak found one.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add = parser.add_argument
    add("set", type=Path, metavar="SET", help="manifest, CSV, or folder")
    add("--out", type=Path, metavar="PNG", help="write a picture")
    add("--json", action="store_true", help="print one JSON object instead of tables")
    add("--fail-on-leak", action="store_true", help="exit with 3 when splits share what they should not")


def run(options: argparse.Namespace) -> int:
    """Print what the set holds; return 0, 1 for unreadable files, 3 for what `--fail-on-leak` found.

    Raises
    ------
    ToolkitError
        As `synth.stats.set_stats`, and when the picture cannot be made.
    """
    from synth.stats import set_stats, stats_text

    stats = set_stats(options.set)
    print(json.dumps(stats.to_json(), indent=2, ensure_ascii=False) if options.json else stats_text(stats), flush=True)
    if options.out is not None:
        from synth.pictures import stats_png

        _write(options.out, stats_png(stats))
    if options.fail_on_leak and stats.leaks:
        return 3
    return 1 if stats.unreadable else 0


def _write(path: Path, png: bytes) -> None:
    from audio.atomic import replacing

    try:
        with replacing(path) as beside:
            beside.write_bytes(png)
    except OSError as error:
        raise ToolkitError(f"{path}: the picture cannot be written: {error.strerror}") from None
    logging.getLogger(__name__).info("%s", path)
