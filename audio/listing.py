"""What is to be worked through: millions of recordings, each once and in a fixed order, without memory for them.

with listing() as items:
    for item in below(Path("calls")):
        items.add(item)
    len(items)
    for item in items: ...        item.key changes when the file does
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from audio import remote
from audio.addresses import is_address
from audio.errors import ToolkitError
from audio.manifest import recordings_below
from audio.names import Names, names

MISSING, UNSEEN = -1, -2
"""Instead of a size: there is no such file; nobody has looked yet."""

AHEAD = 32
"""Files that are looked at before their turn, side by side: a store takes tens of milliseconds to answer."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file, as it was when somebody looked at it."""

    path: str
    """Or an address."""
    n_bytes: int = UNSEEN
    """`MISSING`: it was not there; 0 where a store does not say."""
    version: str = "0"
    """Changes when the file does: nanoseconds of its last change, or what its store calls its version."""

    @classmethod
    def of(cls, path: str) -> Item:
        """Look at a file; whatever is wrong with it is for whoever opens it to tell."""
        try:
            if is_address(path):
                return cls.at(remote.look(path))
            facts = os.stat(path)
        except (OSError, ToolkitError, ValueError):  # ValueError: a name with a zero in it
            return cls(path, MISSING)
        return cls(path, facts.st_size, str(facts.st_mtime_ns))

    @classmethod
    def at(cls, found: remote.Found) -> Item:
        """Take what a store told."""
        return cls(found.url, found.n_bytes, found.version)

    @classmethod
    def parse(cls, key: str) -> Item:
        """Return the item of a key."""
        n_bytes, version, path = key.split(" ", 2)
        return cls(path, int(n_bytes), version)

    @property
    def key(self) -> str:
        """What a second run knows it by."""
        return f"{self.n_bytes} {self.version} {self.path}"

    def looked_at(self) -> Item:
        """Look now, unless somebody did."""
        return Item.of(self.path) if self.n_bytes == UNSEEN else self


class Listing:
    """Items in the order in which they were added, each path once. They lie in a temporary file."""

    def __init__(self) -> None:
        self._paths, self._keys = Names(), Names()

    def add(self, item: Item) -> None:
        """Add an item at the end, unless its path is there."""
        if self._paths.add(item.path):
            self._keys.add(item.key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Item]:
        """Yield the items, looked at shortly before."""
        looking: deque[Future[Item]] = deque()
        with ThreadPoolExecutor(AHEAD) as threads:
            for key in self._keys:
                looking.append(threads.submit(Item.looked_at, Item.parse(key)))
                if len(looking) > AHEAD:
                    yield looking.popleft().result()
            while looking:
                yield looking.popleft().result()

    def close(self) -> None:
        """Forget everything."""
        self._paths.close()
        self._keys.close()


@contextmanager
def listing() -> Iterator[Listing]:
    """Lend a `Listing` that is closed afterwards."""
    lent = Listing()
    try:
        yield lent
    finally:
        lent.close()


def below(folder: Path) -> Iterator[Item]:
    """Yield the recordings below a folder, in the order of their paths: name by name, as `sorted` orders `Path`s."""
    return in_order((Item(str(path)) for path in recordings_below(folder)), by=_parts)


def at(address: str) -> Iterator[Item]:
    """Yield what an address means: a file, what lies below a folder in the order of `below`, a pattern in `sorted`'s.

    Raises
    ------
    UsageError, ToolkitError
        As `audio.remote.found`.
    """
    by = str if remote.PATTERN.search(address) else _parts
    return in_order(map(Item.at, remote.found(address)), by=by)


def in_order(items: Iterable[Item], *, by: Callable[[str], str]) -> Iterator[Item]:
    """Yield items sorted by what `by` makes of their paths, and then by these."""
    with names() as lines:
        for item in items:
            # A zero is in no path, and before everything that is.
            lines.add(f"{by(item.path)}\0\0{item.path}\0{item.key}")
        for line in lines.sorted():
            yield Item.parse(line.rpartition("\0")[2])


def _parts(path: str) -> str:
    return os.path.normcase(path).replace(os.sep, "/").replace("/", "\0")
