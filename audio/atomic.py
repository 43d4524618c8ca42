"""Files that are either whole or not there: written beside their place, then moved onto it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Lend a temporary path in the folder of `path`; what was written there becomes `path` at the end.

    The folder is made if needed. When the body raises, `path` is left as it was and the temporary file goes.
    The process number in the temporary name keeps two writers apart; its leading dot keeps a file that a
    killed process left behind out of folder scans.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield beside
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)
