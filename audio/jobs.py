"""Run one function over many items: in item order, wherever `audio.executors` says, resumable after a kill.

The journal is a file of JSON lines. Its first line says which settings the work was started with; each line
after it is one finished item and its rows:

    {"schema_version": 1, "settings": "9f86d08..."}
    {"key": "real/0001.wav", "rows": [{"path": "real/0001.wav", "label": "real"}]}

Lines are flushed one by one, so a killed run loses at most the items that were under way, or that waited for one that
was; and brought to the disk once a second, so that a power cut costs little more. Items are taken one by one from
whoever makes them, and which of them were seen or finished lies in a temporary file: memory grows neither with items
nor with rows.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, closing, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from audio.crew import Known, Outcome, Todo
from audio.errors import ToolkitError
from audio.executors import Workers, executor_of
from audio.names import Names, names

Item = TypeVar("Item")
Row = dict[str, Any]
"""One line of a result: what JSON can hold."""

JOURNAL_VERSION = 1
"""Version of the journal format."""

SYNC_EVERY_S = 1.0
"""How often lines are brought to the disk at most: doing it for each would cost more than many an item."""


def run(
    process: Callable[[Item], list[Row]],
    items: Iterable[Item],
    *,
    key: Callable[[Item], str],
    workers: Workers = 1,
    journal: Path | None = None,
    title: str = "",
    settings: str = "",
    n_items: int | None = None,
    ordered: bool = True,
) -> Iterator[list[Row]]:
    """Yield the rows of every item, in item order whatever the number of workers.

    Parameters
    ----------
    process
        Pure function from an item to its rows. With several workers it and the items must pickle, and the
        calling script needs its `if __name__ == "__main__"` (processes are spawned, as on Windows and macOS).
    items
        The work; taken and processed as the rows are taken.
    key
        Unique name of an item, the same in every run.
    workers
        Number of processes, 1 works in this one; or another place to work (`audio.executors`).
    journal
        File that remembers finished items. On a second run they are read from it and not processed again; a
        last line that a kill tore in two is dropped.
    title
        Text in front of the progress bar, which shows on stderr when that is a terminal.
    settings
        Everything that decides the rows. A journal of other settings is refused.
    n_items
        How many items there are, for the progress bar, where `items` cannot tell.
    ordered
        False: in the order in which they are done, so that nobody waits for a slow item.

    Yields
    ------
    The rows of one item, as JSON gives them back (a tuple becomes a list). An item for which `process` raised
    a `ToolkitError`, or whose worker died again and again, yields `[{"error": message, "key": key}]` and is tried
    again by the next run.

    Raises
    ------
    UsageError
        For fewer than one worker.
    ToolkitError
        For a key that occurs twice, a journal that is broken or of other settings, or no workers that stay alive.
    Exception
        Whatever else `process` raised, with a note that names the item.
    """
    attempt, executor, memory = partial(_attempt, process), executor_of(workers), _Journal(journal, settings)
    if n_items is None and isinstance(items, Sized):
        n_items = len(items)

    def rows() -> Iterator[list[Row]]:
        with memory, _progress(title, n_items) as bar:
            outcomes = executor.outcomes(attempt, _todo(items, key, memory), ordered=ordered)
            with closing(outcomes):
                for name, outcome in outcomes:
                    yield memory.rows(name) if isinstance(outcome, Known) else _settle(name, outcome, memory)
                    bar.update()

    return rows()


def read_journal(path: Path) -> Iterator[list[Row]]:
    """Yield the rows of each finished item of a journal, one at a time, in the order in which they were finished.

    Raises
    ------
    ToolkitError
        When the file cannot be read, or a line of it is broken.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                entry = _parse(path, number, line)
                if number > 1:
                    yield entry["rows"]
    except OSError as error:
        raise ToolkitError(f"{path}: cannot be read: {error.strerror}") from None


def _parse(path: Path | None, number: int, line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    expected = {"schema_version", "settings"} if number == 1 else {"key", "rows"}
    if not isinstance(entry, dict) or entry.keys() != expected:
        raise ToolkitError(f"{path}:{number}: no line of a journal; remove the file to start over")
    return entry


def _todo(items: Iterable[Item], key: Callable[[Item], str], journal: _Journal) -> Todo:
    """Yield the items by their keys; `Known.DONE` for those in the journal."""
    with names() as seen:
        for item in items:
            if not seen.add(name := key(item)):
                raise ToolkitError(f"key of an item: expected each once, received {name!r} twice")
            yield name, Known.DONE if name in journal else item


def _attempt(process: Callable[[Item], list[Row]], name: str, item: Item) -> Outcome:
    try:
        return process(item), ""
    except ToolkitError as error:
        return None, str(error)
    except Exception as error:
        error.add_note(f"while processing {name!r}")
        raise


def _settle(name: str, outcome: Outcome, journal: _Journal) -> list[Row]:
    """Turn an outcome into rows; remember it unless it is an error, which the next run tries again."""
    rows, message = outcome
    if rows is None:
        return [{"error": message, "key": name}]
    line = json.dumps({"key": name, "rows": rows}, ensure_ascii=False)
    journal.append(line)
    # Through JSON even without a journal: a resumed run must not differ from an unbroken one.
    return list(json.loads(line)["rows"])


def _progress(title: str, n_items: int | None) -> AbstractContextManager[Any]:
    from tqdm import tqdm  # here, for the 30 ms that importing it takes

    # disable=None: silent when stderr is not a terminal.
    return tqdm(total=n_items, desc=title or None, file=sys.stderr, disable=None)


class _Journal:
    """The items that were finished when the run began, as the file at `path` remembers them; without a path, none."""

    def __init__(self, path: Path | None, settings: str) -> None:
        self.path = path
        self._places = Names()
        """Finished items, each with where its line begins."""
        digest = hashlib.sha256(settings.encode()).hexdigest()
        self._header = {"schema_version": JOURNAL_VERSION, "settings": digest}
        self._file: IO[bytes] | None = None
        self._synced_s = 0.0

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __enter__(self) -> None:
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
            self._file = self.path.open("r+b")
            n_bytes = self._recall(self._file)
            self._file.truncate(n_bytes)
            self._file.seek(n_bytes)
        except (OSError, ToolkitError) as error:
            if self._file is not None:
                self._file.close()
            if isinstance(error, ToolkitError):
                raise
            raise ToolkitError(f"{self.path}: cannot be opened: {error.strerror}") from None
        if n_bytes == 0:
            self.append(json.dumps(self._header))

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with suppress(OSError):  # it said so when the line was written
                os.fsync(self._file.fileno())
            self._file.close()
        self._places.close()

    def rows(self, name: str) -> list[Row]:
        """Return the rows of a finished item."""
        assert self._file is not None
        end = self._file.tell()
        self._file.seek(self._places[name])
        line = self._file.readline()
        self._file.seek(end)
        return list(_parse(self.path, 0, line)["rows"])

    def append(self, line: str) -> None:
        """Add one line and hand it to the system, where it survives the end of this process."""
        if self._file is None:
            return
        try:
            self._file.write(line.encode("utf-8", "surrogatepass") + b"\n")  # file names may be no UTF-8
            self._file.flush()
            if time.monotonic() - self._synced_s >= SYNC_EVERY_S:
                os.fsync(self._file.fileno())
                self._synced_s = time.monotonic()
        except OSError as error:
            raise ToolkitError(f"{self.path}: cannot be written: {error.strerror}") from None

    def _recall(self, file: IO[bytes]) -> int:
        """Remember the finished items; return how many bytes come before a torn last line."""
        place = 0
        for number, line in enumerate(file, 1):
            # A header cut short is one of ours; another file's only line is to be refused.
            if not line.endswith(b"\n") and (number > 1 or json.dumps(self._header).encode().startswith(line)):
                break
            entry = _parse(self.path, number, line)
            if number == 1 and entry != self._header:
                told = "was begun with other settings; choose another output folder or remove the file"
                raise ToolkitError(f"{self.path}: {told}")
            if number > 1:
                self._places.put(entry["key"], place)
            place += len(line)
        return place
