"""Where the rows of a scan go: one CSV or Parquet file, or a folder of parts; and back.

    results.csv                                one file, written beside its place and moved onto it when it is whole
    results.parquet                            likewise, with typed columns
    results/part-00000.csv, part-00001.csv     parts of so many files each, one after the other, each whole
    results/_SUCCESS                           all are there

Rows are written as they come: memory does not grow with them.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from audio.errors import ToolkitError, UsageError
from audio.names import Names, names

SCHEMA_VERSION = 1
"""Version of the table. A column may be added at its end; a new version says when others change."""

FILE, SPAN, ERROR = "file", "span", "error"
"""Kinds of rows: a verdict or an abstention, one of its fake spans, a file that could not be judged."""

RANGES = ("start_low_s", "start_high_s", "end_low_s", "end_high_s")
"""Columns for where the ends of a span may lie as well."""

COLUMNS = (
    *("row", "path", "channel", "label", "p_real", "p_fake", "p_hybrid"),
    *("start_s", "end_s", "confidence", *RANGES),
    *("reasons", "warnings", "duration_s", "speech_s", "bandwidth_hz", "snr_db", "bytes", "sha256"),
    *("model", "operating_point", "error", "schema_version"),
)

INTEGERS = frozenset(("channel", "bytes", "schema_version"))
TEXTS = frozenset(
    ("row", "path", "label", "reasons", "warnings", "sha256", "model", "operating_point", "error"),
)
"""What columns hold in Parquet; the others are floats, in double precision."""

CSV, PARQUET = "csv", "parquet"
FORMATS = (CSV, PARQUET)

PART_SUFFIX = ".part"
"""What stands behind the name of a file while it is made."""

WHOLE = "_SUCCESS"
"""Lies in a folder of parts when it has all of them. Spark's name for it: readers of folders pass over it."""

PARTS = re.compile(r"part-(\d{5,})\.(?:csv|parquet)")
"""Names of parts."""

GROUP_ROWS = 8_192
"""Rows that are held until Parquet takes them together."""

PARQUET_MAGIC = b"PAR1"

Row = Mapping[str, Any]
Write = Callable[[Sequence[Row]], None]
"""Takes the rows of one file."""


@dataclass(frozen=True)
class Table:
    """Where rows go.

    Parameters
    ----------
    path
        The file, or the folder of parts.
    format
        "csv" or "parquet"; None: Parquet where the name ends so, else CSV.
    part_files
        How many files a part tells of; None for one table in one file.
    """

    path: Path
    format: str | None = None
    part_files: int | None = None

    @property
    def kind(self) -> str:
        """Format of the table."""
        return self.format or (PARQUET if self.path.suffix.lower() == f".{PARQUET}" else CSV)

    @contextmanager
    def writing(self) -> Iterator[Write]:
        """Lend what writes; the table is whole, and takes the place of an older one, when the body has ended.

        Parts appear one by one, those of an older table in the same folder go before.

        Raises
        ------
        UsageError
            When `path` is a file where a folder is wanted or the other way round, or a folder of other things.
        ToolkitError
            When the table cannot be written, or the package for Parquet is missing.
        """
        if self.kind == PARQUET:
            _pyarrow()
        if self.part_files is None and self.path.is_dir():
            raise UsageError(f"{self.path}: expected a file, received a folder: parts go into one, with --part-files")
        try:
            with _Parts(self.path, self.kind, self.part_files) if self.part_files else _one(self.path, self.kind) as to:
                yield to
        except OSError as error:
            raise ToolkitError(f"{self.path}: cannot be written: {error.strerror or error}") from None


class _Writer(Protocol):
    def write(self, rows: Sequence[Row]) -> None: ...

    def close(self) -> None: ...


class _Csv:
    """CSV in UTF-8; names that are no UTF-8 are written with escapes."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
        self._table = csv.DictWriter(self._file, COLUMNS, lineterminator="\n")
        self._table.writeheader()

    def write(self, rows: Sequence[Row]) -> None:
        self._table.writerows(rows)

    def close(self) -> None:
        self._file.close()


class _Parquet:
    """Parquet, in groups of rows."""

    def __init__(self, path: Path) -> None:
        from pyarrow import parquet

        self._schema = _schema()
        self._table = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._held: list[dict[str, Any]] = []

    def write(self, rows: Sequence[Row]) -> None:
        self._held += ({name: _typed(name, row[name]) for name in COLUMNS} for row in rows)
        if len(self._held) >= GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        if self._held:
            self._flush()
        self._table.close()

    def _flush(self) -> None:
        import pyarrow

        self._table.write_table(pyarrow.Table.from_pylist(self._held, schema=self._schema))
        self._held.clear()


WRITERS: Mapping[str, Callable[[Path], _Writer]] = {CSV: _Csv, PARQUET: _Parquet}


def _typed(name: str, value: Any) -> Any:
    """Return what a cell of Parquet holds, from a value or from its text in CSV."""
    if value is None or value == "":
        return None
    if name in INTEGERS:
        return int(value)
    return str(value).encode("utf-8", "backslashreplace").decode() if name in TEXTS else float(value)


def _schema() -> Any:
    import pyarrow

    kinds = {name: pyarrow.string() if name in TEXTS else pyarrow.float64() for name in COLUMNS}
    kinds |= dict.fromkeys(INTEGERS, pyarrow.int64())
    return pyarrow.schema(list(kinds.items()))


def _pyarrow() -> None:
    """Look whether there is what reads and writes Parquet."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise ToolkitError("Parquet: pyarrow is missing: install it with 'pip install -e .[ray]'") from None


@contextmanager
def _one(path: Path, kind: str) -> Iterator[Write]:
    """Write one file, beside its place until it is whole."""
    beside = path.with_name(path.name + PART_SUFFIX)
    writer = WRITERS[kind](beside)
    try:
        yield writer.write
    finally:
        writer.close()
    os.replace(beside, path)


class _Parts:
    """Write parts of so many files each into a folder."""

    def __init__(self, folder: Path, kind: str, n_files: int) -> None:
        self._folder, self._kind, self._n_files = folder, kind, n_files
        self._n_parts = self._n_held = 0
        self._part: Any = None

    def __enter__(self) -> Write:
        _check_folder(self._folder)
        return self.write

    def write(self, rows: Sequence[Row]) -> None:
        """Write the rows of one file."""
        if self._part is None or self._n_held == self._n_files:
            self._end()
            self._begin()
        self._write(rows)
        self._n_held += 1

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            if self._part is not None:
                self._part.__exit__(kind, *_)
            return
        if self._part is None:  # a table without rows has columns all the same
            self._begin()
        self._end()
        (self._folder / WHOLE).touch()

    def _begin(self) -> None:
        if self._n_parts == 0:  # not before there are rows: a scan that is refused leaves what is there
            _clear(self._folder)
        self._part = _one(self._folder / f"part-{self._n_parts:05}.{self._kind}", self._kind)
        self._write: Write = self._part.__enter__()
        self._n_parts, self._n_held = self._n_parts + 1, 0

    def _end(self) -> None:
        if self._part is not None:
            self._part.__exit__(None, None, None)
            self._part = None


def _check_folder(folder: Path) -> None:
    """Raise `UsageError` unless a folder is missing, empty, or holds parts and nothing else."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder}: expected a folder for the parts, received a file")
    for path in folder.iterdir():
        if path.name != WHOLE and not PARTS.fullmatch(path.name.removesuffix(PART_SUFFIX)):
            raise UsageError(f"{folder}: expected an empty folder or parts of a table, received {path.name} in it")


def _clear(folder: Path) -> None:
    """Make the folder, or remove the parts that are in it: a mixture of two tables would look like one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WHOLE).unlink(missing_ok=True)
    for path in sorted(folder.iterdir()):
        path.unlink(missing_ok=True)


# Back


def merge(tables: Sequence[Path], out: Table) -> int:
    """Join tables of several machines into one, in the order given; return how many files it tells of.

    Parameters
    ----------
    tables
        CSV or Parquet files, or folders of parts.
    out
        Where to; none of the tables, if it is a folder.

    Raises
    ------
    UsageError
        When one file is told of in two tables, or their models differ: which one is right, only a person knows.
    ToolkitError
        When one is no such table, or the new one cannot be written.
    """
    if out.part_files and out.path.resolve() in [place.resolve() for place in tables]:
        raise UsageError(f"merge: expected another folder than those that are joined, received {out.path} twice")
    try:
        with names() as seen, out.writing() as write:
            models: dict[tuple[str, str], Path] = {}
            for number, place in enumerate(tables):
                for path, rows in groupby(_read(place), key=lambda row: str(row["path"])):
                    _check_file(path, seen, number, tables)
                    told = list(rows)
                    _check_models(told, place, models)
                    write(told)
            return len(seen)
    finally:
        if not out.part_files:
            out.path.with_name(out.path.name + PART_SUFFIX).unlink(missing_ok=True)


def _check_file(path: str, seen: Names, number: int, tables: Sequence[Path]) -> None:
    if not seen.add(path, number) and (other := seen[path]) != number:
        told = f"{path} in {tables[other]} and {tables[number]}"
        raise UsageError(f"merge: expected each file in one table, received {told}")


def _check_models(rows: Sequence[Row], place: Path, models: dict[tuple[str, str], Path]) -> None:
    for row in rows:
        if row["row"] == FILE:
            models.setdefault((row["model"], row["operating_point"]), place)
    if len(models) > 1:
        told = " and ".join(f"{model} at {point} in {where}" for (model, point), where in models.items())
        raise UsageError(f"merge: expected tables of one model, received {told}")


def _read(place: Path) -> Iterator[Row]:
    """Yield the rows of a table, whatever it is; raises `ToolkitError` when it is none."""
    try:
        for file in _files(place):
            with file.open("rb") as opened:
                is_parquet = opened.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
            yield from _read_parquet(file) if is_parquet else _read_csv(file)
    except OSError as error:
        raise ToolkitError(f"{place}: {error.strerror or error}") from None
    except csv.Error as error:
        raise ToolkitError(f"{place}: expected a table of script.py scan: {error}") from None


def _files(place: Path) -> list[Path]:
    """Return the files of a table."""
    if not place.is_dir():
        return [place]
    found = [path for path in place.iterdir() if PARTS.fullmatch(path.name)]
    if not found or not (place / WHOLE).exists():
        raise ToolkitError(f"{place}: expected a table of script.py scan, received a folder without all of its parts")
    return sorted(found, key=lambda path: (len(path.stem), path.stem))


def _read_csv(file: Path) -> Iterator[Row]:
    with file.open(encoding="utf-8", errors="replace", newline="") as opened:
        reader = csv.DictReader(opened)
        _check_columns(file, reader.fieldnames or ())
        yield from reader


def _read_parquet(file: Path) -> Iterator[Row]:
    _pyarrow()
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as table:
            _check_columns(file, table.schema_arrow.names)
            for batch in table.iter_batches(batch_size=GROUP_ROWS):
                for row in batch.to_pylist():
                    yield {name: "" if value is None else value for name, value in row.items()}
    except pyarrow.ArrowInvalid as error:
        raise ToolkitError(f"{file}: cannot be read as Parquet: {error}") from None


def _check_columns(file: Path, columns: Sequence[str]) -> None:
    if tuple(columns) != COLUMNS:
        raise ToolkitError(f"{file}: expected a table of script.py scan, received other columns")
