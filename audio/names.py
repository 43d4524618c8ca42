"""Texts by the million, each once, without memory for them: they lie in a temporary file.

SQLite keeps them, which the standard library brings along: a database without a name is a file that nobody sees, of
which 2 MB are in memory, and which is gone with its connection, or the process.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

_TABLE = "CREATE TABLE names (number INTEGER PRIMARY KEY, name BLOB UNIQUE NOT NULL, value INTEGER NOT NULL)"


class Names:
    """Names in the order in which they first came, each with an integer.

        names = Names()
        names.add("a.wav", 7)   True
        names.add("a.wav", 9)   False: it is there
        names["a.wav"]          7
        list(names)             ["a.wav"]

    Names are any text, also what Python makes of file names that are no UTF-8.
    """

    def __init__(self) -> None:
        # The thread that takes rows may be another one than that which asked for them; it is never two at a time.
        self._base = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.execute("PRAGMA synchronous = OFF")
        self._base.execute(_TABLE)
        self._base.execute("BEGIN")  # one transaction for good: nobody else reads it, and each of its own would cost

    def add(self, name: str, value: int = 0) -> bool:
        """Add a name at the end; return whether it is new. One that is there keeps its place and its value."""
        added = self._base.execute("INSERT OR IGNORE INTO names (name, value) VALUES (?, ?)", (_bytes(name), value))
        return added.rowcount == 1

    def put(self, name: str, value: int) -> None:
        """Add a name, or give it another value."""
        if not self.add(name, value):
            self._base.execute("UPDATE names SET value = ? WHERE name = ?", (value, _bytes(name)))

    def get(self, name: str) -> int | None:
        """Return the value of a name; None: it is not there."""
        found = self._base.execute("SELECT value FROM names WHERE name = ?", (_bytes(name),)).fetchone()
        return None if found is None else int(found[0])

    def __getitem__(self, name: str) -> int:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __len__(self) -> int:
        return int(self._base.execute("SELECT COUNT(*) FROM names").fetchone()[0])

    def __iter__(self) -> Iterator[str]:
        for (name,) in self._base.execute("SELECT name FROM names ORDER BY number"):
            yield name.decode("utf-8", "surrogatepass")

    def sorted(self) -> Iterator[str]:
        """Yield the names in their alphabetical order, as `sorted` has it: that of code points, which UTF-8 keeps."""
        for (name,) in self._base.execute("SELECT name FROM names ORDER BY name"):
            yield name.decode("utf-8", "surrogatepass")

    def close(self) -> None:
        """Forget everything."""
        self._base.close()


@contextmanager
def names() -> Iterator[Names]:
    """Lend a `Names` that is closed afterwards."""
    lent = Names()
    try:
        yield lent
    finally:
        lent.close()


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")
