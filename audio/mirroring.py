"""A folder that is kept like what lies at an address, for those who need recordings again and again."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path, PurePosixPath

from audio import remote
from audio.atomic import replacing
from audio.errors import AudioError, ToolkitError
from audio.locking import alone_in
from audio.manifest import MANIFEST_NAMES
from audio.remote import Found

INDEX = ".mirror.json"
"""Says which version of each file a folder holds: path -> version and size."""

AT_ONCE = 16
"""Files that are copied side by side: a store takes tens of milliseconds to answer."""


def mirror(address: str, place: Path) -> Path:
    """Copy the recordings below an address, and a manifest there, unless they are here and have not changed.

    Parameters
    ----------
    address
        As fsspec knows them, such as `s3://bucket/voices`.
    place
        Where folders that mirror addresses lie; this one gets a name made of the address.

    Returns
    -------
    The folder. What is at the address no more is no more in it.

    Raises
    ------
    UsageError
        When nothing is at the address, it is no address, or another process is copying the same.
    ToolkitError
        When something cannot be copied; what was copied stays, and is not copied again.
    """
    folder = place / hashlib.sha256(address.encode()).hexdigest()[:16]
    with alone_in(folder):
        wanted = {_inside(address, found.url): found for found in _all(address)}
        held = _read(folder / INDEX)
        for path in held.keys() - wanted.keys():
            (folder / path).unlink(missing_ok=True)
            del held[path]
        same = {path for path in held if held[path] == _version(wanted[path]) and (folder / path).exists()}
        try:
            for path in _copied(folder, {path: each for path, each in wanted.items() if path not in same}):
                held[path] = _version(wanted[path])
        finally:
            with replacing(folder / INDEX) as beside:
                beside.write_text(json.dumps(held), encoding="utf-8")
    return folder


def _all(address: str) -> Iterator[Found]:
    """Yield the recordings, and the first manifest that there is."""
    yield from remote.found(address)
    for name in MANIFEST_NAMES:
        try:
            yield remote.look(f"{address.rstrip('/')}/{name}")
            return
        except AudioError:  # most folders have none
            continue


def _inside(address: str, url: str) -> str:
    """Return the path of a file below an address."""
    path = PurePosixPath(url.removeprefix(address.rstrip("/") + "/"))
    if path.is_absolute() or ".." in path.parts or "://" in str(path):
        raise ToolkitError(f"{url}: expected a path inside {address}")
    return str(path)


def _version(found: Found) -> str:
    return f"{found.n_bytes} {found.version}"


def _read(index: Path) -> dict[str, str]:
    try:
        return dict(json.loads(index.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # none yet, or torn: everything is copied anew
        return {}


def _copied(folder: Path, wanted: dict[str, Found]) -> Iterator[str]:
    """Copy files; yield the path of each that is here."""
    from tqdm import tqdm

    with ThreadPoolExecutor(AT_ONCE) as threads:
        copying = {threads.submit(_copy, found.url, folder / path): path for path, found in wanted.items()}
        try:
            for done in tqdm(as_completed(copying), total=len(copying), desc="copying", file=sys.stderr, disable=None):
                done.result()
                yield copying[done]
        finally:
            threads.shutdown(cancel_futures=True)


def _copy(url: str, target: Path) -> None:
    try:
        with remote.local_copy(url) as copy, replacing(target) as beside:
            shutil.copyfile(copy, beside)
    except OSError as error:
        raise ToolkitError(f"{target}: cannot be written: {error.strerror}") from None
