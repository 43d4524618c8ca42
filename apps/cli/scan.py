"""`script.py scan`: judge an archive, into one table."""

from __future__ import annotations

import argparse
import glob
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

from apps.cli.options import LISTS, add_model, add_operating_point, add_runtime
from audio.addresses import is_address
from audio.errors import UsageError
from audio.executors import add_executor, workers_of
from audio.labels import LABELS
from audio.listing import Item, Listing, at, below, in_order, listing
from audio.manifest import AUDIO_SUFFIXES
from audio.remote import check

if TYPE_CHECKING:
    from model.judging.tables import Table

HELP = "Judge many files into one table; it goes on where it was stopped."

EXAMPLE = """\
examples:
  python script.py scan calls --out results.csv                    a folder and all below it
  python script.py scan list.txt 'more/*.mp3' --out results.csv    files named in a list, and by a pattern
  python script.py scan calls --out 2.csv --shard 2/5              the second of five machines
  python script.py scan --merge 1.csv 2.csv --out results.csv      their tables, joined
  python script.py scan calls --out results.parquet                for pandas, DuckDB, Spark
  python script.py scan calls --out results --format parquet --part-files 10000 --unordered    a folder of parts
  python script.py scan s3://bucket/calls 's3://bucket/*.flac' --out results.csv               an object store
  python script.py scan s3://bucket/calls --out results.csv --engine ray --address auto        on a Ray cluster

The table has one row a file, one a fake span, and one for each file that could not be judged (then the exit status is
1). results.csv.journal remembers what is done: started again, after a kill or with more files, it judges only what is
new or changed. While it runs, results.csv.part grows. Parts are results/part-00000.csv, part-00001.csv ..., each whole
when it is there; results/_SUCCESS says that all are.
Addresses are those that fsspec knows: s3://, gs://, hf://, sftp:// ...; of http(s):// single files. Credentials come
from where the store's own tools have them, never from the address. Workers copy what they judge, for that long.
Parquet, Ray and addresses need 'pip install -e .[ray]', s3:// 'pip install -e .[s3]'; what else is missing is told."""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add = parser.add_argument
    add("sources", nargs="*", metavar="DIR|LIST|GLOB|URL", help="folders, lists (- is stdin), patterns, files")
    add("--out", type=_out, required=True, metavar="TABLE", help="the table: a file, or with --part-files a folder")
    add("--format", choices=("csv", "parquet"), help="of the table (default: parquet where --out ends so, else csv)")
    add("--part-files", type=_count, metavar="N", help="write parts of N files each into the folder --out")
    add("--unordered", action="store_true", help="rows as files are done: nobody waits for a slow one")
    add_model(parser)
    add_operating_point(parser)
    add_runtime(parser)
    add("--channels", choices=("mean", "each"), default="mean", help="as in detect (default: %(default)s)")
    add_executor(parser)
    add("--shard", type=_shard, metavar="K/N", help="only the files that fall to machine K of N")
    add("--merge", nargs="+", type=Path, metavar="TABLE", help="join tables of several machines instead")


def _out(text: str) -> Path:
    if is_address(text):  # as a path it would be a folder named s3:
        raise argparse.ArgumentTypeError(f"expected a path of this machine, received an address, {text!r}")
    return Path(text)


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a number from 1, received {text!r}")
    return int(text)


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
        When there is no usable model, the table or its journal cannot be used, or a package is missing.
    """
    if not arguments.out.name:
        raise UsageError(f"--out: expected the name of a table, received {arguments.out}")
    if arguments.merge:
        return _merge(arguments)
    if not arguments.sources:
        raise UsageError("scan: expected a folder, a list or a pattern, received none")
    k, n = arguments.shard or (1, 1)
    with listing() as files:
        for source in arguments.sources:
            for item in listed(source):
                if crc32(item.path.encode("utf-8", "surrogatepass")) % n == k - 1:
                    files.add(item)
        return _scan(files, arguments)


def _merge(arguments: argparse.Namespace) -> int:
    from model.judging.tables import merge

    if arguments.sources:
        raise UsageError("scan: expected files or --merge, received both")
    print(f"{merge(arguments.merge, _table(arguments))} files -> {arguments.out}")
    return 0


def _table(arguments: argparse.Namespace) -> Table:
    from model.judging.tables import Table

    return Table(arguments.out, arguments.format, arguments.part_files)


def _scan(files: Listing, arguments: argparse.Namespace) -> int:
    from model.bundle import find_bundle
    from model.judging.scan import How, scan
    from model.judging.tables import ERROR, FILE

    how = How(find_bundle(arguments.model), arguments.operating_point, arguments.runtime, arguments.channels == "each")
    counts: Counter[str] = Counter()
    seconds, began = 0.0, time.monotonic()
    ordered, workers = not arguments.unordered, workers_of(arguments)
    for rows in scan(files, _table(arguments), how, workers=workers, ordered=ordered):
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


def listed(source: str) -> Iterator[Item]:
    """Yield the files that a source means, in the order of their names, those of a list in its own.

    Raises
    ------
    UsageError
        When it means nothing: no folder, no file, no pattern that fits, no address of any.
    ToolkitError
        When an address cannot be listed, or the package for it is missing.
    """
    path = Path(source)
    if source == "-":
        yield from _named(sys.stdin, "standard input")
    elif is_address(source):
        yield from at(source)
    elif path.is_dir():
        yield from below(path)
    elif path.is_file() and path.suffix.lower() in LISTS and path.suffix.lower() not in AUDIO_SUFFIXES:
        yield from _list(path)
    elif path.is_file():
        yield Item(source)
    else:
        nothing = True
        for item in _fitting(source):
            nothing = False
            yield item
        if nothing:
            raise UsageError(f"scan: expected a folder, a list, a pattern or a file, received {source!r}")


def _fitting(pattern: str) -> Iterator[Item]:
    found = (Item(name) for name in glob.iglob(pattern, recursive=True) if os.path.isfile(name))
    return in_order(found, by=str)


def _list(path: Path) -> Iterator[Item]:
    """Yield the files in a list: relative ones are looked for from the current folder, as a shell would."""
    try:
        with path.open(encoding="utf-8") as file:
            yield from _named((line for line in file if not line.startswith("#")), str(path))
    except OSError as error:
        raise UsageError(f"{path}: expected a list of files: {error.strerror}") from None


def _named(lines: Iterable[str], told: str) -> Iterator[Item]:
    """Yield a file for each line. An address is looked at for whether it can be opened from here at all."""
    try:
        for line in lines:
            if name := line.strip():
                if is_address(name):
                    check(name)
                yield Item(name)
    except UnicodeDecodeError as error:
        raise UsageError(f"{told}: expected a list of files in UTF-8: {error}") from None
