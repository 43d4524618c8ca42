"""Tables with a header, as data sets have them beside their recordings."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from audio.errors import ManifestError


def table_rows(path: Path, delimiter: str = ",") -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (`file:line`, text by column name in lower case) of the rows of a table with a header.

    Raises
    ------
    ManifestError
        When the file cannot be read, is not UTF-8 or no table, or a row is longer or shorter than the header.
    """
    header: list[str] | None = None
    for where, cells in cell_rows(path, delimiter):
        if header is None:
            header = column_names(cells)
        elif len(cells) != len(header):
            raise ManifestError(f"{where}: expected {len(header)} columns, received {len(cells)}")
        else:
            yield where, dict(zip(header, cells, strict=True))


def cell_rows(path: Path, delimiter: str = ",") -> Iterator[tuple[str, list[str]]]:
    """Yield (`file:line`, stripped cells) of the rows of a table that are not blank; errors as in `table_rows`."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, delimiter=delimiter)
            if delimiter != ",":
                # Quotes mean something with commas alone: elsewhere texts have them, and unpaired ones too.
                rows = csv.reader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE)
            for cells in filter(any, rows):
                yield f"{path}:{rows.line_num}", [cell.strip() for cell in cells]
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ManifestError(f"{path}: expected text in UTF-8") from None
    except csv.Error as error:
        raise ManifestError(f"{path}: cannot be read as a table: {error}") from None


def column_names(cells: Iterable[str]) -> list[str]:
    """Return column names as `table_rows` gives them."""
    return [cell.strip().strip('"').lower() for cell in cells]
