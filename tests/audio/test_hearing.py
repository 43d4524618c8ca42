"""Sound that still comes: raw samples, containers through a real pipe, and addresses."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import soundfile
from conftest import chirp

from audio import ffmpeg, hearing
from audio.addresses import address_shown, is_address
from audio.errors import AudioError, UsageError
from audio.hearing import RawFormat, heard
from audio.reading import read

Encode = Callable[..., Path]


@contextmanager
def pipe(data: bytes, sizes: list[int] | None = None) -> Iterator[IO[bytes]]:
    """The reading end of a real pipe into which `data` is written in pieces."""
    at_once = sizes or [4_096]

    def write() -> None:
        with open(into, "wb", buffering=0) as sink, suppress(BrokenPipeError):
            done = turn = 0
            while done < len(data):
                done += sink.write(data[done : done + at_once[turn % len(at_once)]]) or 0
                turn += 1

    out, into = os.pipe()
    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    with open(out, "rb", buffering=0) as source:
        yield source
    writer.join()


def all_of(data: bytes, raw: RawFormat | None = None, sizes: list[int] | None = None) -> np.ndarray:
    with pipe(data, sizes) as source:
        return np.concatenate([np.zeros(0, np.float32), *heard(source, raw=raw)])


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that are started."""
    found: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen
    monkeypatch.setattr(ffmpeg.subprocess, "Popen", lambda *a, **k: found.append(popen(*a, **k)) or found[-1])
    return found


@pytest.mark.parametrize("type", hearing.RAW_TYPES)
@pytest.mark.parametrize("channels", [1, 2])
def test_raw_samples_of_every_type(type: str, channels: int) -> None:
    """Catches a byte order, a full scale, an offset of unsigned values and channels that are mixed up."""
    kind = np.dtype(hearing.RAW_TYPES[type])
    frames = np.stack([chirp(0.5), np.zeros(8_000, np.float32)], axis=1)[:, :channels]
    half = 2.0 ** (8 * kind.itemsize - 1)
    values = frames if kind.kind == "f" else np.round(frames * half) + (half if kind.kind == "u" else 0)
    samples = all_of(values.astype(kind).tobytes(), RawFormat(type, 16_000, channels), [1, 7, 4_095])
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, chirp(0.5) / channels, atol=1.1 / half if kind.kind != "f" else 1e-6)


def test_frames_that_are_cut_between_two_reads_are_whole_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches bytes that are lost at the end of a read: all that follows would be noise."""
    monkeypatch.setattr(hearing, "PIPE_BYTES", 3)
    pcm = (chirp(0.1) * 32_767).astype("<i2")
    assert np.array_equal(all_of(pcm.tobytes() + b"x", raw=RawFormat()), pcm / np.float32(32_768))


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
def test_resampling_goes_on_from_piece_to_piece(tmp_path: Path, rate_hz: int) -> None:
    """Catches a resampler that starts anew with each piece: it must give what the file gives."""
    samples = chirp(1.0, rate_hz=rate_hz)
    soundfile.write(tmp_path / "a.wav", samples, rate_hz, subtype="FLOAT")
    found = all_of(samples.tobytes(), RawFormat("f32le", rate_hz), [1_234, 5, 16_000])
    np.testing.assert_allclose(found, read(tmp_path / "a.wav"), atol=1e-6)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg", "a.webm", "a.aac", "a.ts"])
def test_containers_through_a_pipe(encode: Encode, name: str) -> None:
    """Catches lost beginnings and ends, as ffmpeg's own flags for low latency bring them."""
    options = {"a.webm": ("-c:a", "libopus"), "a.ts": ("-c:a", "aac")}.get(name, ())
    path = encode(name, *options, seconds=3.0, rate_hz=44_100)
    found, expected = all_of(path.read_bytes()), read(path)
    assert abs(found.size - expected.size) <= 2_048
    if name in ("a.wav", "a.flac"):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_header_that_promises_nothing(encode: Encode) -> None:
    """What recorders write into a pipe: they cannot know the size."""
    data = encode("a.wav", seconds=2.0).read_bytes()
    at = data.index(b"data") + 4
    for size in (b"\xff\xff\xff\xff", b"\x00\xff\xff\x7f"):
        assert all_of(data[:at] + size + data[at + 4 :]).size == 32_000


def test_sound_comes_before_the_pipe_ends(encode: Encode, started: list[subprocess.Popen[bytes]]) -> None:
    """Catches buffers that fill first: live sound would come seconds late, or with the end."""
    data = encode("a.wav", seconds=8.0).read_bytes()
    out, into = os.pipe()
    with open(out, "rb", buffering=0) as source, open(into, "wb", buffering=0) as sink:
        threading.Thread(target=partial(sink.write, data), daemon=True).start()
        pieces, came = heard(source), 0
        hanging = threading.Timer(60.0, lambda: [process.kill() for process in started])
        hanging.start()
        while came < 7.75 * 16_000:  # the pipe stays open: what a buffer holds back does not come
            came += next(pieces).size
        hanging.cancel()
        pieces.close()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"this is no sound\n" * 100, "it is damaged or no recording in a known format"),
        (b"", "it is damaged or no recording in a known format"),
        (b"#EXTM3U\n#EXTINF:1.0,\nfile:///etc/hostname\n", "it is damaged or no recording in a known format"),
    ],
)
def test_what_is_no_sound_is_one_line(data: bytes, told: str) -> None:
    with pytest.raises(AudioError) as caught:
        all_of(data)
    assert str(caught.value) == f"stdin: cannot be read: {told}"


def test_an_index_at_the_end_is_told(encode: Encode) -> None:
    """Catches a recording of which nothing comes through, and nothing is said."""
    with pytest.raises(AudioError, match=r"^stdin: is cut short, or has its index at its end \(M4A, MP4\)"):
        all_of(encode("a.m4a", "-c:a", "aac", "-b:a", "128k", seconds=30.0).read_bytes())


def test_samples_that_are_no_numbers_are_told_at_once() -> None:
    """Catches a count of the bad ones up to the end, which does not come."""
    samples = chirp(0.5)
    samples[100] = np.nan
    out, into = os.pipe()
    with open(out, "rb", buffering=0) as source, open(into, "wb", buffering=0) as sink:
        sink.write(samples.tobytes())
        with pytest.raises(AudioError, match="stdin: holds 1 samples that are not finite"):
            list(heard(source, raw=RawFormat("f32le")))


@pytest.mark.parametrize("text", ["s16", "s16le:", "s16le:16000:1:1", "s16le:-1", "s16le:1", "s16le:16000:0", "u8:8e3"])
def test_raw_formats_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="raw format: expected"):
        RawFormat.parse(text)


def test_raw_formats() -> None:
    assert RawFormat.parse("u8") == RawFormat("u8", 16_000, 1)
    assert RawFormat.parse("f32be:48000") == RawFormat("f32be", 48_000, 1)
    assert RawFormat.parse("s32le:8000:2") == RawFormat("s32le", 8_000, 2)


# Addresses.


def test_what_an_address_is_and_what_is_shown_of_it() -> None:
    """Catches passwords and keys in results and logs, and a drive of Windows taken for a scheme."""
    assert [is_address(text) for text in ("http://a/b", "rtsp://a", "C:\\a.wav", "a.wav", "-", "file://a")] == [
        *(True, True, False, False, False, True)
    ]
    assert address_shown("rtsp://me:secret@cam:554/door?key=1#x") == "rtsp://cam:554/door"


@pytest.mark.parametrize("address", ["file:///etc/passwd", "concat://a", "ftp://127.0.0.1/a.wav", "pipe://0"])
def test_other_schemes_are_refused_before_anything_is_opened(address: str) -> None:
    with pytest.raises(UsageError, match="expected an address of http, https"):
        next(heard(address))


class Server(BaseHTTPRequestHandler):
    """Gives one recording, and leads astray."""

    body, file = b"", ""

    def do_GET(self) -> None:
        astray = {"/file": self.file, "/list": None}.get(self.path, "")
        if astray:
            self.send_response(302)
            self.send_header("Location", astray)
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body if astray == "" else f"#EXTM3U\n#EXTINF:1.0,\n{self.file}\n".encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(encode: Encode) -> Iterator[str]:
    """An address on this machine."""
    Server.body = encode("a.flac", seconds=3.0).read_bytes()
    Server.file = encode("own.wav").as_uri()
    with HTTPServer(("127.0.0.1", 0), Server) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://me:secret@127.0.0.1:{http.server_port}"
        http.shutdown()


def test_an_address_is_heard(server: str) -> None:
    found = np.concatenate(list(heard(f"{server}/a.flac")))
    assert abs(found.size - 48_000) <= 1


@pytest.mark.parametrize("path", ["file", "list"])
def test_an_address_cannot_lead_to_a_file(server: str, path: str) -> None:
    """Catches a redirection or playlist that makes ffmpeg read what lies on this machine."""
    with pytest.raises(AudioError) as caught:
        list(heard(f"{server}/{path}"))
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "getpgid"), reason="Windows has no process groups of this kind")
def test_ffmpeg_stands_aside_and_does_not_outlive_the_hearing(
    encode: Encode, started: list[subprocess.Popen[bytes]]
) -> None:
    """Catches an ffmpeg that dies of the Ctrl-C meant for us, and one that waits for ever to be read."""
    with pipe(encode("a.wav", seconds=30.0).read_bytes()) as source:
        pieces = heard(source)
        next(pieces)
        assert os.getpgid(started[-1].pid) != os.getpgid(0)
        pieces.close()
    assert started[-1].poll() is not None
