"""`script.py scan`: judge an archive, into one table."""

from __future__ import annotations

import argparse
import glob
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

from apps.cli.options import LISTS, add_model, add_operating_point, add_runtime
from audio.errors import UsageError
from audio.executors import add_executor, workers_of
from audio.labels import LABELS
from audio.manifest import AUDIO_SUFFIXES, recordings_below

HELP = "Judge many files into one table; it goes on where it was stopped."

EXAMPLE = """\
examples:
  python script.py scan calls --out results.csv                    a folder and all below it
  python script.py scan list.txt 'more/*.mp3' --out results.csv    files named in a list, and by a pattern
  python script.py scan calls --out 2.csv --shard 2/5              the second of five machines
  python script.py scan --merge 1.csv 2.csv --out results.csv      their tables, joined

The table has one row a file, one a fake span, and one for each file that could not be judged (then the exit status is
1). results.csv.journal remembers what is done: started again, after a kill or with more files, it judges only what is
new or changed. While it runs, results.csv.part grows."""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add = parser.add_argument
    add("sources", nargs="*", metavar="DIR|LIST|GLOB", help="folders, lists (- is stdin), patterns, files")
    add("--out", type=Path, required=True, metavar="CSV", help="the table")
    add_model(parser)
    add_operating_point(parser)
    add_runtime(parser)
    add("--channels", choices=("mean", "each"), default="mean", help="as in detect (default: %(default)s)")
    add_executor(parser)
    add("--shard", type=_shard, metavar="K/N", help="only the files that fall to machine K of N")
    add("--merge", nargs="+", type=Path, metavar="CSV", help="join tables of several machines instead")


def _shard(text: str) -> tuple[int, int]:
    k, _, n = text.partition("/")
    if not (k.isdigit() and n.isdigit() and 1 <= int(k) <= int(n)):
        raise argparse.ArgumentTypeError(f"expected K/N, as in 2/5, received {text!r}")
    return int(k), int(n)


def run(arguments: argparse.Namespace) -> int:
    """Judge the files, or join tables, and print what was found; return 0, or 1 when a file could not be judged.

    Raises
    ------
    UsageError
        For sources that are not there, or none.
    ToolkitError
        When there is no usable model, or the table or its journal cannot be used.
    """
    if arguments.merge:
        from model.judging.scan import merge

        if arguments.sources:
            raise UsageError("scan: expected files or --merge, received both")
        print(f"{merge(arguments.merge, arguments.out)} files -> {arguments.out}")
        return 0
    if not arguments.sources:
        raise UsageError("scan: expected a folder, a list or a pattern, received none")
    paths = [path for source in arguments.sources for path in listed(source)]
    if arguments.shard:
        k, n = arguments.shard
        paths = [path for path in paths if crc32(path.encode()) % n == k - 1]
    return _scan(paths, arguments)


def _scan(paths: list[str], arguments: argparse.Namespace) -> int:
    from model.bundle import find_bundle
    from model.judging.scan import ERROR, FILE, How, scan

    how = How(find_bundle(arguments.model), arguments.operating_point, arguments.runtime, arguments.channels == "each")
    counts: Counter[str] = Counter()
    seconds, began = 0.0, time.monotonic()
    for rows in scan(paths, arguments.out, how, workers=workers_of(arguments)):
        for row in rows:
            counts[_outcome(row)] += row["row"] in (FILE, ERROR)
            seconds += row["duration_s"] or 0.0
    hours, took_s = seconds / 3_600, time.monotonic() - began
    _log.info("%.2f h of sound in %.0f s", hours, took_s)
    told = [f"{name} {counts[name]}" for name in (*LABELS, "not judged", "failed")]
    print(f"{', '.join(told)} -> {arguments.out}")
    return 1 if counts["failed"] else 0


def _outcome(row: dict[str, Any]) -> str:
    """What a row counts as in the summary."""
    return "failed" if row["row"] == "error" else str(row["label"] or "not judged")


def listed(source: str) -> Iterator[str]:
    """Yield the files that a source means, in the order of their names, those of a list in its own.

    Raises
    ------
    UsageError
        When it means nothing: no folder, no file, no pattern that fits.
    """
    path = Path(source)
    if source == "-":
        yield from (line.strip() for line in sys.stdin if line.strip())
    elif path.is_dir():
        yield from map(str, sorted(recordings_below(path)))
    elif path.is_file() and path.suffix.lower() in LISTS and path.suffix.lower() not in AUDIO_SUFFIXES:
        yield from _lines(path)
    elif path.is_file():
        yield source
    elif found := sorted(name for name in glob.iglob(source, recursive=True) if os.path.isfile(name)):
        yield from found
    else:
        raise UsageError(f"scan: expected a folder, a list, a pattern or a file, received {source!r}")


def _lines(path: Path) -> Iterator[str]:
    """Yield the paths in a list: relative ones are looked for from the current folder, as a shell would."""
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                if line.strip() and not line.startswith("#"):
                    yield line.strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected a list of files in UTF-8: {error}") from None


