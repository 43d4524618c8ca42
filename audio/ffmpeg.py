"""The ffmpeg program: which one, what it may open, and how it ends."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO

from audio.errors import AudioError, EngineError

CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,eac3,flac,flv,g722,loas,matroska,mov,mp3,mpeg,mpegts,"
    "ogg,tta,w64,wav,wv"
)
"""The ffmpeg demuxers that read one file and no other: no hls, dash, concat, image sequences, devices."""

PLAIN_WORDS = {
    "matches no streams": "it holds no audio track",
    "Format not on whitelist": "a playlist or script is not a recording",
    "moov atom not found": "it is truncated or damaged (moov atom not found)",
    "Invalid data found when processing input": "it is damaged or no recording in a known format",
}
"""What ffmpeg says -> what a person should read."""

TRUNCATED = ("partial file", "File ended prematurely")
"""What ffmpeg says, while it ends with success, when the file is shorter than its own tables."""


def find_ffmpeg() -> str:
    """Return the ffmpeg to run: the one on PATH, else the one in the imageio-ffmpeg package.

    Raises `EngineError` with the install command when there is neither.
    """
    if on_path := shutil.which("ffmpeg"):
        return on_path
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise EngineError("ffmpeg was not found: install it with 'pip install imageio-ffmpeg'") from None


@lru_cache(maxsize=8)
def ffmpeg_version(exe: str) -> str:
    """Return which build `exe` is, such as "7.1.1-full_build"; raise `EngineError` when it does not run."""
    try:
        result = subprocess.run([exe, "-version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
        return result.stdout.split()[2]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise EngineError(f"{exe} does not run as ffmpeg: {error}") from None


@contextmanager
def running(
    command: list[str], log: IO[bytes], *, stdin: IO[bytes] | int = subprocess.DEVNULL, aside: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """Start ffmpeg and see that it has ended, killed if need be, whatever happens in between.

    Put `aside`, it does not hear of the Ctrl-C that is meant for this process.
    """
    group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) if aside else 0  # Windows' way of start_new_session
    with subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=log, start_new_session=aside, creationflags=group
    ) as process:
        try:
            yield process
        finally:
            process.kill()


AS_AU = ("-vn", "-sn", "-dn", "-f", "au", "-c:a", "pcm_f32be")
"""Sound alone, in the simplest format that tells rate and channels: Sun AU."""


def read_au_header(stdout: IO[bytes]) -> tuple[int, int] | None:
    """Read what stands in front of the samples, and return rate and channels; None where nothing came."""
    header = stdout.read(24)
    if len(header) < 24:
        return None
    _, start, _, _, rate_hz, channels = struct.unpack(">4s5I", header)
    stdout.read(start - 24)
    return rate_hz, channels


def finish(path: Path | str, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    """Wait for ffmpeg to end; raise `AudioError` when it failed or met the end of the file too early."""
    failed = process.wait() != 0
    log.seek(0)
    said = log.read().decode(errors="replace")
    if any(phrase in said for phrase in TRUNCATED):
        raise AudioError(f"{path}: is truncated: the file ends before its sound does")
    if failed:
        known = [words for phrase, words in PLAIN_WORDS.items() if phrase in said]
        last = said.strip().splitlines()[-1:] or ["ffmpeg failed"]
        raise AudioError(f"{path}: cannot be read: {(known or last)[0]}")
