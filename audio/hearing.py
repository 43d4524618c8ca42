"""Sound that still comes: from a pipe or a network address, given away as soon as it is there."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from audio.addresses import address_shown
from audio.errors import AudioError, UsageError
from audio.ffmpeg import AS_AU, CONTAINERS, find_ffmpeg, finish
from audio.reading import RATES_HZ, Stream, decoded, resampled_mono
from audio.segments import SAMPLE_RATE

Samples = npt.NDArray[np.float32]

NETWORK_PROTOCOLS = {
    "http": "http,tcp,httpproxy",
    "https": "https,http,tls,tcp,httpproxy",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,rtmp,tls,tcp",
    "rtsp": "rtsp,rtp,udp,tcp",
    "srt": "srt,udp",
    "tcp": "tcp",
    "udp": "udp",
}
"""Scheme of a network address -> the ffmpeg protocols that it takes. Files are never among them."""

NETWORK_CONTAINERS = f"{CONTAINERS},rtsp"
"""What may come from a network: RTSP is a protocol and a demuxer. Playlists stay out: they name other addresses."""

PROBING = ("-probesize", "32768", "-analyzeduration", "500000")
"""How much ffmpeg looks at before the first sound: by default up to 5 s, which live sound would have to wait for."""

RAW_TYPES = {
    "u8": "u1",
    "s16le": "<i2",
    "s16be": ">i2",
    "s32le": "<i4",
    "s32be": ">i4",
    "f32le": "<f4",
    "f32be": ">f4",
}
"""Sample formats without a header, as ffmpeg calls them -> as NumPy does."""

MOST_RAW_CHANNELS = 64
"""More are a slip of the keyboard."""

PIPE_BYTES = 1 << 16
"""How much is taken from a pipe at once, at most: what Linux holds in one. Whoever is behind catches up in these."""


@dataclass(frozen=True)
class RawFormat:
    """Samples without a header.

    Raises
    ------
    UsageError
        For another type than those of `RAW_TYPES`, a rate beyond `RATES_HZ`, or channels beyond 1 to 64.
    """

    type: str = "s16le"
    rate_hz: int = SAMPLE_RATE
    channels: int = 1

    def __post_init__(self) -> None:
        """Validate."""
        low, high = RATES_HZ
        if self.type not in RAW_TYPES:
            raise UsageError(f"raw format: expected one of {', '.join(RAW_TYPES)}, received {self.type!r}")
        if not (low <= self.rate_hz <= high and 1 <= self.channels <= MOST_RAW_CHANNELS):
            expected = f"{low} to {high} Hz and 1 to {MOST_RAW_CHANNELS} channels"
            raise UsageError(f"raw format: expected {expected}, received {self.rate_hz} and {self.channels}")

    @classmethod
    def parse(cls, text: str) -> RawFormat:
        """Read TYPE[:RATE[:CHANNELS]], as in s16le:16000:1; raise `UsageError` for anything else."""
        type, *numbers = text.split(":")
        if len(numbers) > 2 or not all(number.isascii() and number.isdigit() for number in numbers):
            raise UsageError(f"raw format: expected TYPE[:RATE[:CHANNELS]], as in s16le:16000:1, received {text!r}")
        return cls(type, *map(int, numbers))


def heard(source: IO[bytes] | str, *, raw: RawFormat | None = None) -> Generator[Samples]:
    """Read sound that still comes, without caps, and give it away as soon as it is there.

    Parameters
    ----------
    source
        A file of the system that is read from where it stands, such as standard input; or a network address.
    raw
        What the bytes of a file mean; None: a container that ffmpeg knows. A container whose index stands at its end,
        as in many M4A and MP4 files, cannot be read in this way.

    Yields
    ------
    float32 arrays (n,) at 16 kHz, the mean of all channels; some are empty.

    Raises
    ------
    UsageError
        For an address of another scheme than those of `NETWORK_PROTOCOLS`, or a raw format with an address.
    AudioError
        When the sound is no recording, is cut short, or holds samples that are not finite or beyond 1e6.
    EngineError
        When it takes ffmpeg and there is none.
    """
    if isinstance(source, str) and raw is not None:
        raise UsageError("raw format: expected with a pipe, received it with a network address")
    name = address_shown(source) if isinstance(source, str) else "stdin"
    with _ffmpeg_live(name, source) if raw is None or isinstance(source, str) else _raw(source, raw) as stream:
        yield from resampled_mono(name, stream)


@contextmanager
def _raw(source: IO[bytes], raw: RawFormat) -> Iterator[Stream]:
    def read() -> bytes:
        return os.read(source.fileno(), PIPE_BYTES)

    yield Stream(raw.rate_hz, raw.channels, _as_it_comes(read, RAW_TYPES[raw.type], channels=raw.channels))


def _ffmpeg_live(name: str, source: IO[bytes] | str) -> AbstractContextManager[Stream]:
    """Decode what a pipe or an address gives through an ffmpeg process, each packet at once."""
    protocols, containers, address = _live_input(source)
    command = [find_ffmpeg(), "-hide_banner", "-nostdin", "-v", "error", "-protocol_whitelist", protocols]
    command += [*PROBING, "-format_whitelist", containers, "-i", address, "-map", "0:a:0"]
    command += [*AS_AU, "-flush_packets", "1", "pipe:1"]
    stdin = subprocess.DEVNULL if isinstance(source, str) else source
    return decoded(command, _from_ffmpeg_live, partial(_finish_live, name), stdin=stdin, aside=True)


def _live_input(source: IO[bytes] | str) -> tuple[str, str, str]:
    """Which protocols and containers ffmpeg may open for a source, and what it calls the source."""
    if not isinstance(source, str):
        return "pipe", CONTAINERS, "pipe:0"
    scheme = source.partition("://")[0].lower()
    if scheme not in NETWORK_PROTOCOLS:
        expected = ", ".join(NETWORK_PROTOCOLS)
        raise UsageError(f"{address_shown(source)}: expected an address of {expected}, received {scheme!r}")
    return NETWORK_PROTOCOLS[scheme], NETWORK_CONTAINERS, source


def _from_ffmpeg_live(stdout: IO[bytes], channels: int) -> Iterator[Samples]:
    assert isinstance(stdout, io.BufferedReader)
    yield from _as_it_comes(partial(stdout.read1, PIPE_BYTES), ">f4", channels=channels)


def _finish_live(name: str, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    """As `finish`; a stream that ends early may as well have its index at the end."""
    try:
        finish(name, process, log)
    except AudioError as error:
        if "is truncated" not in str(error):
            raise
        told = "is cut short, or has its index at its end (M4A, MP4), which a stream cannot reach"
        raise AudioError(f"{name}: {told}") from None


def _as_it_comes(read: Callable[[], bytes], dtype: str, *, channels: int) -> Iterator[Samples]:
    """Yield whole frames, float32 (n, channels), full scale 1, of the bytes that `read` gives until it gives none.

    Bytes of a frame that is not whole are kept for the next one; at the end they are no sound.
    """
    kind = np.dtype(dtype)
    n_bytes = kind.itemsize * channels
    rest = b""
    while data := read():
        data = rest + data
        n_whole = len(data) - len(data) % n_bytes
        rest = data[n_whole:]
        yield _full_scale(np.frombuffer(data[:n_whole], dtype=kind)).reshape(-1, channels)


def _full_scale(values: npt.NDArray[Any]) -> Samples:
    """Bring PCM values to full scale 1; unsigned ones have their zero in the middle."""
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    half = 2.0 ** (8 * values.dtype.itemsize - 1)
    return ((values.astype(np.float64) - (half if values.dtype.kind == "u" else 0.0)) / half).astype(np.float32)
