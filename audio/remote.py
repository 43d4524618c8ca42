"""Recordings at addresses: in object stores and wherever else fsspec reaches (`s3://`, `gs://`, `hf://` ...).

    found("s3://bucket/calls")             what lies below, a page at a time, each with its size and version
    look("s3://bucket/calls/1.flac")       the same of one
    with local_copy("s3://...") as path    a file for as long as somebody reads it

Addresses hold no passwords: those belong into the settings of the store's own package, and would end up in tables.
Nothing of fsspec's, which comes with the extra `ray`, is imported before an address is met.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from audio.addresses import address_shown, is_address
from audio.errors import AudioError, LimitError, ToolkitError, UsageError
from audio.locking import LOCK
from audio.manifest import named_like_recording

MOST_BYTES = 2**31
"""How large a recording may be that is copied: as large as one given by a user may get (`audio.reading.Limits`)."""

DESK = "recording-"
"""Beginning of the names of temporary folders with copies."""

NEW_S = 60.0
"""A folder this young may not be locked yet."""

WEB = ("http", "https")
"""Addresses of single files: what lies below them can be listed only by luck."""

INSIDE_OTHERS = frozenset(
    (
        *("async_wrapper", "asyncwrapper", "blockcache", "cached", "data", "dir", "filecache", "generic"),
        *("libarchive", "reference", "simplecache", "tar", "zip"),
    )
)
"""Schemes of fsspec's that reach into, or stand before, something else."""

PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "-e .[s3]"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("abfs", "adl", "az"), "adlfs"),
    **dict.fromkeys(WEB, "aiohttp"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
    "hf": "huggingface_hub",
}
"""Scheme -> what pip installs for it."""

VERSIONS = ("ETag", "etag", "md5Hash", "crc32c", "blob_id", "sha", "content_md5", "version_id", "generation")
"""What stores call something that changes with what a file holds."""

TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
"""What they call something that changes when it is written."""

PATTERN = re.compile(r"[*?[]")
"""What makes an address a pattern."""

PLAIN_WORDS = (
    ("Credential|RefreshError|LocalTokenNotFound", "no credentials were found for its store"),
    ("Permission|Forbidden|Unauthorized|GatedRepo", "its store does not allow it with these credentials"),
    ("Connect|Timeout|gaierror|NewConnection|NameResolution", "its store cannot be reached"),
)
"""What the name of an error holds -> what a person should read. Stores have errors of their own, without a root."""


class _NothingThere(AudioError):
    """There is no such file."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file at an address."""

    url: str
    n_bytes: int
    """0 where the store does not say."""
    version: str
    """Changes when the file does; one word. "0" where the store tells nothing of that kind."""


def check(url: str) -> None:
    """Look whether an address is one that can be opened here, without opening it.

    Raises
    ------
    UsageError
        For a scheme that nobody knows, one that reaches inside others, or an address with a password in it.
    ToolkitError
        When the package for it is missing; the message says how to install it.
    """
    _reach(url)


def look(url: str) -> Found:
    """Return the size and version of a file.

    Raises
    ------
    AudioError
        When there is none, or its store does not give it out.
    UsageError, ToolkitError
        As `check`.
    """
    system, path = _reach(url)
    with _told(url):
        facts = system.info(path)
    if facts.get("type") == "directory":
        raise AudioError(f"{url}: expected a recording, received a folder")
    return _found(url, facts)


def found(source: str) -> Iterator[Found]:
    """Yield what an address means, in no order: the file there, the recordings below a folder, or those of a pattern.

    In a pattern `*` stands for anything within a name and `**` for folders; hidden files only fit when it names them.

    Raises
    ------
    UsageError
        When nothing is there; or as `check`.
    ToolkitError
        When it cannot be listed; or as `check`.
    """
    system, path = _reach(source)
    nothing = True
    for each in _meant(source, system, path):
        nothing = False
        yield each
    if nothing:
        raise UsageError(f"{source}: expected a recording, a folder of them or a pattern that fits, found none")


def _meant(source: str, system: Any, path: str) -> Iterator[Found]:
    web = _scheme(source) in WEB
    if (pattern := PATTERN.search(path)) and not web:
        yield from _fitting(source, system, path, literal=path[: pattern.start()])
        return
    try:
        with _told(source):
            facts = system.info(path)
    except _NothingThere:
        return
    if web or facts.get("type") != "directory":
        yield _found(source, facts)
        return
    for name, facts in _listed(source, system, path.rstrip("/") + "/", deep=True):
        if named_like_recording(PurePosixPath(name).name):
            yield _found(_address(source, system, path, name), facts)


def _fitting(source: str, system: Any, path: str, *, literal: str) -> Iterator[Found]:
    """Yield the files that fit a pattern, of which `literal` comes before what makes it one."""
    from fsspec.utils import glob_translate

    fits = re.compile(glob_translate(path))
    rest = path[len(literal) :]
    hidden = PurePosixPath(path).name.startswith(".")
    for name, facts in _listed(source, system, literal, deep="/" in rest or "**" in rest):
        if fits.match(name) and (hidden or not PurePosixPath(name).name.startswith(".")):
            yield _found(_address(source.removesuffix(rest), system, literal, name), facts)


def _listed(source: str, system: Any, prefix: str, *, deep: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield names and facts of the files that begin with a prefix; unless `deep`, none in folders below."""
    with suppress(_NothingThere), _told(source):
        yield from _pages(system, prefix, deep) if hasattr(system, "call_s3") else _walk(system, prefix, deep)


def _pages(system: Any, prefix: str, deep: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """List by S3's own call, a thousand at a time: s3fs would gather everything first."""
    bucket, key, _ = system.split_path(prefix)
    if key and prefix.endswith("/"):  # which s3fs may drop: calls/ would mean calls-of-others/ as well
        key = key.rstrip("/") + "/"
    wanted = {"Bucket": bucket, "Prefix": key, **({} if deep else {"Delimiter": "/"})}
    more: dict[str, str] = {}
    while True:
        page = system.call_s3("list_objects_v2", **wanted, **more)
        for each in page.get("Contents", ()):
            yield f"{bucket}/{each['Key']}", {**each, "size": each["Size"]}
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def _walk(system: Any, prefix: str, deep: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """List folder by folder."""
    folder = prefix[: prefix.rfind("/") + 1]
    for _, folders, files in system.walk(folder, maxdepth=None if deep else 1, detail=True, on_error="raise"):
        for name in [name for name, facts in folders.items() if facts.get("islink")]:
            del folders[name]  # not walked: it may lead in a circle
        for facts in files.values():
            yield facts["name"], facts


def _address(source: str, system: Any, path: str, name: str) -> str:
    """Return the address of a file that the listing of another calls `name`: with its host, if it has one."""
    begin = source.rstrip("/").removesuffix(path.rstrip("/"))
    if begin != source.rstrip("/") and is_address(begin + name):
        return begin + name
    return str(system.unstrip_protocol(name))


def _found(url: str, facts: dict[str, Any]) -> Found:
    told = [facts[name] for name in (*VERSIONS, *TIMES) if facts.get(name)]
    version = told[0] if told else 0
    if isinstance(version, datetime):
        version = version.timestamp()
    return Found(url, int(facts.get("size") or 0), "".join(str(version).replace('"', "").split()))


@contextmanager
def local_copy(url: str, *, max_bytes: int = MOST_BYTES) -> Iterator[Path]:
    """Lend a file with what is at an address; it keeps the ending of its name, and is removed afterwards.

    What lies on this machine anyway (`file://`) is lent as it is.

    Raises
    ------
    LimitError
        When it is larger than `max_bytes`; no more than that is written.
    AudioError
        When there is nothing, or its store does not give it out.
    UsageError, ToolkitError
        As `check`.
    """
    system, path = _reach(url)
    if "file" in _schemes(system):
        with _told(url):
            system.info(path)
        yield Path(path)
        return
    with _desk() as folder:
        copy = folder / f"recording{PurePosixPath(path).suffix}"
        with _told(url):
            system.get_file(path, str(copy), callback=_bounded(url, max_bytes))
        if not copy.is_file():  # fsspec makes a folder of a folder
            raise AudioError(f"{url}: expected a recording, received a folder")
        yield copy


@contextmanager
def _desk() -> Iterator[Path]:
    """Lend a folder that is locked as long as it is in use."""
    from filelock import FileLock

    _sweep()
    with tempfile.TemporaryDirectory(prefix=DESK, ignore_cleanup_errors=True) as folder, FileLock(Path(folder, LOCK)):
        yield Path(folder)


@lru_cache(maxsize=1)
def _sweep() -> None:
    """Remove what processes that were killed left behind, once a process: it may be people's voices."""
    from filelock import FileLock, Timeout

    for lock in Path(tempfile.gettempdir()).glob(f"{DESK}*/{LOCK}"):
        with suppress(OSError, Timeout):
            if time.time() - lock.stat().st_mtime > NEW_S:
                with FileLock(lock, timeout=0):
                    shutil.rmtree(lock.parent, ignore_errors=True)


def _bounded(url: str, max_bytes: int) -> Any:
    """Return what stops a copy that grows too large, by the size that its store tells or by what has come."""
    from fsspec.callbacks import Callback

    class Bounded(Callback):  # here, for fsspec is not imported before it is needed
        def call(self, *_: Any, **__: Any) -> None:
            if max(self.size or 0, self.value) > max_bytes:
                raise LimitError(f"{url}: larger than the limit of {max_bytes} bytes")

    return Bounded()


def _reach(url: str) -> tuple[Any, str]:
    """Return the file system that an address is in, and what that calls it."""
    try:
        kind = _kind(url)
        with _told(url):
            return _system(kind, **kind._get_kwargs_from_urls(url)), str(kind._strip_protocol(url))
    except ImportError as error:
        package = PACKAGES.get(_scheme(url))
        told = f"install it with 'pip install {package}'" if package else " ".join(str(error).split())
        raise ToolkitError(f"{_scheme(url)}://: a package is missing: {told}") from None


def _kind(url: str) -> Any:
    """Return the class of the file system that an address is in."""
    scheme, rest = _scheme(url), url.partition("://")[2]
    if ":" in rest.partition("/")[0].rpartition("@")[0]:
        told = "expected an address without a password, which belongs into the settings of its store"
        raise UsageError(f"{address_shown(url)}: {told}")
    if scheme in WEB and "?" in rest:
        raise UsageError(f"{address_shown(url)}: expected an address without a query, which may hold a key")
    try:
        import fsspec
    except ImportError:
        raise ToolkitError(f"{scheme}://: fsspec is missing: install it with 'pip install -e .[ray]'") from None
    if scheme in INSIDE_OTHERS or scheme not in fsspec.available_protocols():
        told = f"expected an address as fsspec knows them, such as s3://bucket/folder, received {scheme}://"
        raise UsageError(f"{address_shown(url)}: {told}")
    return fsspec.get_filesystem_class(scheme)


def _system(kind: Any, **where: Any) -> Any:
    """Return a file system. One for all threads where it can be shared: fsspec would log in anew for each of them."""
    return _shared(kind, *sorted(where.items())) if kind.async_impl else kind(use_listings_cache=False, **where)


@lru_cache(maxsize=16)
def _shared(kind: Any, *where: tuple[str, Any]) -> Any:
    return kind(use_listings_cache=False, **dict(where))


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower()


def _schemes(system: Any) -> tuple[str, ...]:
    return (system.protocol,) if isinstance(system.protocol, str) else tuple(system.protocol)


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn what a store raises into one line."""
    try:
        yield
    except (ToolkitError, ImportError):
        raise
    except FileNotFoundError:
        raise _NothingThere(f"{url}: cannot be opened: No such file or directory") from None
    except Exception as error:  # each store has its own
        raise AudioError(f"{url}: {_plain(error)}") from None


def _plain(error: BaseException) -> str:
    names = " ".join(kind.__name__ for kind in type(error).__mro__)
    for holds, words in PLAIN_WORDS:
        if re.search(holds, names):
            return words
    said = re.sub(r"(://)[^\s/@]*@|\?\S+", r"\1", " ".join(str(error).split()))  # no passwords, no signed queries
    return f"cannot be read: {said[:200] or type(error).__name__}"
