"""Files that are either whole or not there: written beside their place, then moved onto it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from audio.errors import ToolkitError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Lend a temporary path in the folder of `path`; what was written there becomes `path` at the end.

    The folder is made if needed. When the body raises, `path` is left as it was and the temporary file goes.
    Machine and process number in the temporary name keep two writers apart; its leading dot keeps a file that a
    killed process left behind out of folder scans.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{platform.node()}-{os.getpid()}.part")
    try:
        yield beside
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def put_between(path: Path, text: str, *, begin: str, end: str) -> None:
    """Replace what stands between two marks of a document, a blank line on either side.

    Raises
    ------
    ToolkitError
        When the marks are not there, once each.
    """
    whole = path.read_text(encoding="utf-8")
    if whole.count(begin) != 1 or whole.count(end) != 1:
        raise ToolkitError(f"{path}: expected the marks {begin} and {end}, once each")
    before, rest = whole.split(begin)
    _, after = rest.split(end)
    with replacing(path) as beside:
        beside.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8", newline="\n")


def link_or_copy(source: Path, target: Path) -> None:
    """Make a file appear at `target`, whole or not at all: linked where the file system can, else copied.

    What is there already stays. Raises `OSError` when the source is missing or the disk fails.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.part")
    beside.unlink(missing_ok=True)
    try:
        os.link(source, beside)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, beside)
    beside.replace(target)
