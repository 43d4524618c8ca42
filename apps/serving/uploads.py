"""Receiving a recording into a file, within limits of size and time, whatever its sender claims.

The file has a name of ours, whatever its sender calls it: that name is only said back, without the folders in it.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from os.path import splitext
from pathlib import Path

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.types import Message

from apps.outside import shown_name
from apps.serving.places import Places
from apps.serving.refusals import Refusal
from audio.reading import HEADERLESS

FIELD = "file"
"""Name of the form's field with the recording."""

FORM = "multipart/form-data"
RAW = ("audio/", "video/", "application/octet-stream", "application/ogg")
"""What else a body may call itself; video containers hold sound."""

EXPECTED = f"{FORM} with a field {FIELD!r}, audio/*, video/* or application/octet-stream"

MORE_FORM_BYTES = 65_536
"""How much larger than its file a form may be."""


@dataclass(frozen=True)
class Upload:
    """A recording that was received."""

    path: Path
    name: str
    """What its sender calls it."""
    n_bytes: int


_Taken = tuple[str | None, int]
"""What a form calls a recording, and how many bytes it has."""


@asynccontextmanager
async def received(
    request: Request,
    folder: Path,
    *,
    places: Places,
    max_bytes: int,
    seconds: float,
    name: str | None = None,
    log_name: bool = False,
) -> AsyncIterator[Upload]:
    """Lend the recording in the body of a request as a file; at the end it is removed, unless it was moved away.

    Parameters
    ----------
    request
        Its body is the recording itself, or a form with it.
    folder
        Where the file lies meanwhile.
    places
        One of them is held while it arrives.
    max_bytes, seconds
        How large it may be, and how long it may take to arrive.
    name
        What to call a recording that is the body itself.
    log_name
        Whether the log may tell what it is called.

    Raises
    ------
    Refusal
        For another type of body, a form without a file, and beyond the limits.
    ClientDisconnect
        When the sender has gone.
    """
    type = _type(request)
    if _claimed(request) > max_bytes + MORE_FORM_BYTES:
        raise _too_large(max_bytes)
    place = folder / secrets.token_hex(16)
    try:
        with places.taken():
            given, n_bytes = await _taken(request, place, form=type == FORM, max_bytes=max_bytes, seconds=seconds)
        shown = shown_name(given or name)
        request.scope["facts"] = {"bytes": n_bytes, **({"name": shown} if log_name else {})}
        place = _with_suffix_of(shown, place)
        yield Upload(place, shown, n_bytes)
    finally:
        place.unlink(missing_ok=True)


async def _taken(request: Request, place: Path, *, form: bool, max_bytes: int, seconds: float) -> _Taken:
    """Write the recording into a file."""
    try:
        async with asyncio.timeout(seconds):
            return await (_from_form if form else _raw)(request, place, max_bytes)
    except TimeoutError:
        raise Refusal(408, "upload_timeout", f"the body took longer than {seconds:g} s to arrive") from None


def _type(request: Request) -> str:
    given = request.headers.get("content-type", "application/octet-stream")
    type = given.partition(";")[0].strip().lower()
    if type != FORM and not (type.startswith(RAW) and type.count("/") == 1):
        shown = "".join(char for char in type if char.isprintable())
        raise Refusal(415, "unsupported_type", f"content type: expected {EXPECTED}, received {shown}")
    return type


def _claimed(request: Request) -> int:
    """How many bytes the header promises; 0 where it does not say."""
    said = request.headers.get("content-length", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 20 else 0


def _too_large(max_bytes: int) -> Refusal:
    return Refusal(413, "too_large", f"the body is larger than the limit of {max_bytes / 1e6:g} MB")


async def _raw(request: Request, place: Path, max_bytes: int) -> _Taken:
    n_bytes = 0
    with open(place, "xb") as file:
        async for chunk in request.stream():
            n_bytes += len(chunk)
            if n_bytes > max_bytes:
                raise _too_large(max_bytes)
            file.write(chunk)
    return None, n_bytes


async def _from_form(request: Request, place: Path, max_bytes: int) -> _Taken:
    """Take the file out of a form."""
    n_bytes = 0

    async def bounded() -> Message:
        nonlocal n_bytes
        message = await request.receive()
        n_bytes += len(message.get("body", b""))
        if n_bytes > max_bytes + MORE_FORM_BYTES:
            raise _too_large(max_bytes)
        return message

    async with Request(request.scope, bounded).form(max_files=1, max_fields=8, max_part_size=4_096) as form:
        file = form.get(FIELD)
        if not isinstance(file, UploadFile):
            raise Refusal(422, "invalid_parameter", f"form: expected a file in the field {FIELD!r}, received none")
        if (file.size or 0) > max_bytes:
            raise _too_large(max_bytes)
        return file.filename, await asyncio.to_thread(_copied, file, place)


def _copied(file: UploadFile, place: Path) -> int:
    with open(place, "xb") as out:
        shutil.copyfileobj(file.file, out)
        return out.tell()


def _with_suffix_of(name: str, place: Path) -> Path:
    """Give the file the suffix of its name where nothing else tells what it is: headerless G.722."""
    suffix = splitext(name)[1].lower()
    return place.rename(place.with_suffix(suffix)) if suffix in HEADERLESS else place
