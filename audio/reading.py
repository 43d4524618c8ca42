"""The only place that opens files of sound: any format in, 16 kHz mono float32 out.

`_pieces` decodes, checks, downmixes and resamples a file piece by piece. `read` joins the pieces under caps,
`blocks` cuts them anew, without caps unless told, so both give the same samples. WAV, FLAC, OGG, MP3 and their like go
through libsndfile; the rest, or what libsndfile refuses, through an ffmpeg process that may open nothing but
this one file, and only as one of the containers that `audio.ffmpeg` names; recordings in a shard come from
`audio.shards`. Sound that still comes, which `audio.hearing` and `audio.microphone` give, passes through
`resampled_mono`.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import tempfile
import wave
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from audio.atomic import replacing
from audio.errors import AudioError, LimitError, UsageError
from audio.ffmpeg import AS_AU, CONTAINERS, PLAIN_WORDS, ffmpeg_version, find_ffmpeg, finish, read_au_header, running
from audio.levels import to_int16
from audio.segments import SAMPLE_RATE
from audio.shards import ShardedSet, inside

__all__ = [
    "DEFAULT_LIMITS",
    "SAMPLE_RATE",
    "FileFacts",
    "Limits",
    "Stream",
    "blocks",
    "decoded",
    "inspect",
    "read",
    "read_span",
    "resampled_mono",
    "write_wav",
]

Samples = npt.NDArray[np.float32]

RATES_HZ = (2_000, 768_000)
"""Sample rates taken for real. A forged 1 Hz would make 16,000 samples of each one in the file."""

LOUDEST = 1e6
"""Largest magnitude taken for sound; full scale is 1. Files of integers stored as floats reach 32,768."""

PIECE_VALUES = 1 << 18
"""How many values, frames times channels, are decoded at a time: 1 MiB of float32."""

SOUNDFILE_MAGIC = (b"RIFX", b"RF64", b"fLaC", b"FORM", b".snd", b"caff", b"riff")
"""First bytes of what libsndfile reads besides WAV, MP3 and OGG: variants of WAV, FLAC, AIFF, AU, CAF, W64."""

WAV_SLACK_BYTES = 44
"""How far a WAV may miss its promised size: some writers count their own header of 44 bytes."""

MP3_SLACK_BYTES = 2_048
"""How far an MP3 may miss its promised size: one frame (at most 1,441 bytes) and an ID3v1 tag (128)."""

SEEKABLE_FORMATS = ("WAV", "WAVEX", "FLAC")
"""What libsndfile calls the formats in which a seek is exact and cheap."""

HEADERLESS = {".g722": "g722"}
"""File suffix -> ffmpeg demuxer, for streams that nothing but their name tells apart."""


@dataclass(frozen=True)
class Limits:
    """How much sound one file may turn into, enforced while it is decoded, whatever its header claims.

    25 MB of Opus can become 5.7 GB of samples. `max_seconds` bounds the duration; `max_bytes` bounds
    frames * channels * 4, the decoded size as float32, which a forged sample rate does not change.
    """

    max_seconds: float = 1800.0
    max_bytes: int = 2**31


DEFAULT_LIMITS = Limits()
"""Half an hour and 2 GiB: what one file given by a user may turn into."""


def read(path: str | os.PathLike[str], *, limits: Limits = DEFAULT_LIMITS, channel: int | None = None) -> Samples:
    """Read a whole recording.

    Parameters
    ----------
    path
        The file.
    limits
        How much it may turn into.
    channel
        Which channel, from 0; None: the mean of all.

    Returns
    -------
    float32 array (n_samples,) at 16 kHz: the channel, or the mean of all, resampled by soxr HQ. Float files beyond
    full scale keep their values. A recording without a sample gives an empty array.

    Raises
    ------
    AudioError
        When the file is missing, no recording, truncated or damaged; beyond `limits` (`LimitError`); has no such
        channel; or holds samples that are not finite or beyond 1e6. A stream that tells its length nowhere (AMR, WMA,
        AAC) and was cut short cannot be told from a shorter recording and is read as one.
    EngineError
        When the format needs ffmpeg and there is none.
    """
    with closing(_pieces(Path(path), limits, channel)) as pieces:
        return np.concatenate([_SILENCE, *pieces])


@dataclass(frozen=True)
class FileFacts:
    """What a file says of itself, before anything of it is decoded."""

    container: str
    """As its reader calls it: "WAV", "FLAC", "OGG", "mov,mp4,m4a,3gp,3g2,mj2" ..."""
    codec: str
    """As its reader calls it: "PCM_16", "VORBIS", "MPEG_LAYER_III", "aac", "amr_nb" ..."""
    sample_rate: int
    """Samples per second in the file, in Hz."""
    channels: int
    decoder: str
    """Who decodes it: libsndfile or ffmpeg, with its version."""


def inspect(path: str | os.PathLike[str]) -> FileFacts:
    """Return what a file says of itself.

    Raises
    ------
    AudioError, EngineError
        As `read`, as far as that shows before decoding.
    """
    path = Path(path)
    if (found := inside(path)) is not None:
        whole, number = found
        kind = "PCM_16" if whole.records[number]["width"] == 2 else "FLOAT"
        return FileFacts("WAV", kind, SAMPLE_RATE, 1, "a shard")
    file = _open_soundfile(path)
    if file is None:
        return _inspected_by_ffmpeg(path)
    with file:
        decoder = f"libsndfile {soundfile.__libsndfile_version__}"
        return FileFacts(file.format, file.subtype, file.samplerate, file.channels, decoder)


def blocks(
    path: str | os.PathLike[str], *, block_samples: int, channel: int | None = None, limits: Limits | None = None
) -> Iterator[Samples]:
    """Read a recording of any length in blocks, with bounded memory; `limits` says how much it may turn into, if any.

    Yields
    ------
    float32 arrays (block_samples,) at 16 kHz, the last one shorter; end to end they equal `read(path, channel=channel)`
    bit for bit. A recording without a sample yields nothing.

    Raises
    ------
    UsageError
        When `block_samples` is below 1.
    AudioError, EngineError
        As `read`; a fault inside the file, or a limit, shows when the blocks come to it.
    """
    if block_samples < 1:
        raise UsageError(f"block_samples: expected at least 1, received {block_samples}")
    return _recut(_pieces(Path(path), _NO_LIMITS if limits is None else limits, channel), block_samples)


def read_span(path: str | os.PathLike[str], onset: int, offset: int) -> Samples:
    """Read the samples `[onset, offset)`, counted at 16 kHz, as `read(path)[onset:offset]` gives them.

    A mono file at 16 kHz in WAV or FLAC is read there and nowhere else; any other is decoded up to `offset`.
    Faults behind `offset` go unseen.

    Returns
    -------
    float32 array (offset - onset,), shorter where the recording ends.

    Raises
    ------
    UsageError
        Unless 0 <= onset <= offset.
    AudioError, EngineError
        As `read`, without the caps.
    """
    if not 0 <= onset <= offset:
        raise UsageError(f"span: expected 0 <= onset <= offset, received {onset} and {offset}")
    path = Path(path)
    if (found := inside(path)) is not None:
        return found[0].samples(found[1], onset, offset)
    span = _sought(path, onset, offset)
    return _decoded_to(path, onset, offset) if span is None else span


def resampled_mono(name: str, stream: Stream) -> Generator[Samples]:
    """Yield the mean of the channels of live sound as float32 arrays (n,) at 16 kHz, n as it comes.

    Raises `AudioError`, which begins with `name`, for a rate beyond `RATES_HZ` and for samples that are not finite or
    beyond 1e6.
    """
    _check_rate(name, stream.rate_hz)
    mono = (piece.mean(axis=1, dtype=np.float32) for piece in _checked(name, stream.frames, count=False))
    yield from _resampled(mono, stream.rate_hz)


def write_wav(path: str | os.PathLike[str], samples: npt.ArrayLike) -> None:
    """Write mono samples as 16-bit PCM WAV at 16 kHz, whole or not at all.

    Parameters
    ----------
    path
        The file to write; its folder is made if needed.
    samples
        Array (n,): int16, written as it is, or floats with full scale 1, rounded and clipped. What `read`
        gives back is off by at most half a step (1 / 65,536) where nothing was clipped.

    Raises
    ------
    AudioError
        When `samples` is not one-dimensional, of another type, or not finite.
    """
    pcm = _to_int16(path, np.asarray(samples))
    with replacing(path) as beside, wave.open(str(beside), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(pcm.astype("<i2").tobytes())


_SILENCE: Samples = np.zeros(0, dtype=np.float32)
_NO_LIMITS = Limits(max_seconds=float("inf"), max_bytes=2**63)


@dataclass(frozen=True)
class Stream:
    """Decoded sound of one file: `frames` yields float32 arrays (n, channels) at `rate_hz`."""

    rate_hz: int
    channels: int
    frames: Iterator[Samples]


def _pieces(path: Path, limits: Limits, channel: int | None = None) -> Generator[Samples]:
    """Yield a channel of the recording, or the mean of all, as float32 arrays (n,) at 16 kHz, n as it comes."""
    with opened(path) as stream:
        _check_rate(path, stream.rate_hz)
        if channel is not None and not 0 <= channel < stream.channels:
            raise AudioError(f"{path}: channel: expected 0 to {stream.channels - 1}, received {channel}")
        frames = _checked(path, _capped(path, stream, limits))
        mono = (piece.mean(axis=1, dtype=np.float32) if channel is None else piece[:, channel] for piece in frames)
        yield from _resampled(mono, stream.rate_hz)


def _check_rate(name: Path | str, rate_hz: int) -> None:
    low, high = RATES_HZ
    if not low <= rate_hz <= high:
        raise AudioError(f"{name}: sample rate: expected {low} to {high} Hz, received {rate_hz}")


def _capped(path: Path, stream: Stream, limits: Limits) -> Iterator[Samples]:
    n_frames = 0
    for piece in stream.frames:
        n_frames += len(piece)
        if n_frames > limits.max_seconds * stream.rate_hz:
            raise LimitError(f"{path}: longer than the limit of {limits.max_seconds:g} s")
        if n_frames * stream.channels * 4 > limits.max_bytes:
            raise LimitError(f"{path}: decodes to more than the limit of {limits.max_bytes} bytes")
        yield piece


def _checked(path: Path | str, pieces: Iterator[Samples], *, count: bool = True) -> Iterator[Samples]:
    """Pass what is sound; `count` how much is not up to the end, which a live source may not have."""
    for piece in pieces:
        if bad := _not_finite(piece):
            bad += sum(map(_not_finite, pieces)) if count else 0
            raise AudioError(f"{path}: holds {bad} samples that are not finite numbers")
        if (peak := np.abs(piece).max(initial=0.0)) > LOUDEST:
            raise AudioError(f"{path}: holds samples of {peak:g}, expected at most {LOUDEST:g}")
        yield piece


def _not_finite(piece: Samples) -> int:
    return piece.size - int(np.count_nonzero(np.isfinite(piece)))


def _resampled(pieces: Iterable[Samples], rate_hz: int) -> Iterator[Samples]:
    if rate_hz == SAMPLE_RATE:
        yield from pieces
        return
    resampler = soxr.ResampleStream(rate_hz, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    for piece in pieces:
        yield resampler.resample_chunk(piece)
    yield resampler.resample_chunk(_SILENCE, last=True)


def _recut(pieces: Generator[Samples], block_samples: int) -> Iterator[Samples]:
    """Yield the same samples in arrays of `block_samples`, the last one shorter."""
    with closing(pieces):
        held: list[Samples] = []
        n_held = 0
        for piece in pieces:
            held.append(piece)
            n_held += piece.size
            if n_held >= block_samples:
                joined = np.concatenate(held)
                whole = n_held - n_held % block_samples
                yield from joined[:whole].reshape(-1, block_samples)
                held, n_held = [joined[whole:]], n_held - whole
        if n_held:
            yield np.concatenate(held)


def _sought(path: Path, onset: int, offset: int) -> Samples | None:
    """Read a span by seeking, or return None where the file is not a mono WAV or FLAC at 16 kHz."""
    file = _open_soundfile(path)
    if file is None:
        return None
    with file:
        if (file.samplerate, file.channels) != (SAMPLE_RATE, 1) or file.format not in SEEKABLE_FORMATS:
            return None
        with _libsndfile_errors(path):
            file.seek(min(onset, file.frames))
        span = _from_soundfile(path, file, n_frames=offset - onset)
        return np.concatenate([_SILENCE, *(piece[:, 0] for piece in _checked(path, span))])


def _decoded_to(path: Path, onset: int, offset: int) -> Samples:
    kept = [_SILENCE]
    position = 0
    with closing(_pieces(path, _NO_LIMITS)) as pieces:
        for piece in pieces:
            kept.append(piece[max(0, onset - position) : max(0, offset - position)])
            position += piece.size
            if position >= offset:
                break
    return np.concatenate(kept)


def _to_int16(path: str | os.PathLike[str], samples: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    if samples.ndim != 1 or not (samples.dtype == np.int16 or samples.dtype.kind == "f"):
        received = f"{samples.dtype} of shape {samples.shape}"
        raise AudioError(f"{path}: cannot be written: expected int16 or float (n,), received {received}")
    if samples.dtype == np.int16:
        return samples
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: cannot be written: {_not_finite(samples)} samples are not finite numbers")
    return to_int16(samples)


# Opening: libsndfile where it can, ffmpeg otherwise.


@contextmanager
def opened(path: Path) -> Iterator[Stream]:
    """Open a recording at its own sample rate and with all its channels, unlimited; `read` is for everything else.

    Raises
    ------
    AudioError
        When the file cannot be read, here or while its blocks are taken.
    EngineError
        When it needs ffmpeg and there is none.
    """
    if (found := inside(path)) is not None:
        yield Stream(SAMPLE_RATE, 1, _from_shard(*found))
        return
    file = _open_soundfile(path)
    if file is None:
        with _ffmpeg(path) as stream:
            yield stream
    else:
        with file:
            yield Stream(file.samplerate, file.channels, _from_soundfile(path, file, n_frames=file.frames))


def _from_shard(whole: ShardedSet, number: int) -> Iterator[Samples]:
    """Yield a recording in a shard, float32 (n, 1), a piece at a time."""
    onset = 0
    while len(piece := whole.samples(number, onset, onset + PIECE_VALUES)):
        yield piece[:, None]
        onset += len(piece)


def _open_soundfile(path: Path) -> soundfile.SoundFile | None:
    """Open a file with libsndfile, or return None where it is ffmpeg's turn.

    That is: another container, a codec that libsndfile lacks (Speex in OGG), or a file of which it would read
    only the beginning: an MP3 without a table of its length, recordings put end to end in one OGG or MP3.
    """
    if not _whole_for_soundfile(path):
        return None
    try:
        # As bytes: soundfile would want a name that is no UTF-8 to be some. Windows has no such names.
        return _Forwards(path if os.name == "nt" else os.fsencode(path))
    except (soundfile.LibsndfileError, TypeError):  # TypeError: it takes a name in .raw for headerless sound
        return None


class _Forwards(soundfile.SoundFile):
    """A file that is read on from where it is.

    soundfile seeks to where it is after each piece. In an MP3 that throws away what libmpg123 knows of the last frames,
    which it then complains about on stderr, a line a piece.
    """

    def seekable(self) -> bool:
        """Say no, so that nothing is sought but by `seek`."""
        return False


def _whole_for_soundfile(path: Path) -> bool:
    """Tell whether libsndfile would read the whole file; raise `AudioError` for a truncated one."""
    magic = _magic(path)
    if magic.startswith(b"RIFF"):
        promised, held = _sound_bytes(path, _promised_by_wav, slack_bytes=WAV_SLACK_BYTES)
        return promised != 0 or held == 0
    # 11 bits of sync, then the layer: 0 means AAC in ADTS.
    if magic.startswith(b"ID3") or (magic[0] == 0xFF and magic[1] >= 0xE0 and magic[1] & 0x06):
        promised, held = _sound_bytes(path, _promised_by_mp3, slack_bytes=MP3_SLACK_BYTES)
        return promised is not None and held - promised <= MP3_SLACK_BYTES
    if magic.startswith(b"OggS"):
        return _ogg_streams(path) == 1
    return magic.startswith(SOUNDFILE_MAGIC)


def _magic(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            first = file.read(4)
    except OSError as error:
        raise AudioError(f"{path}: cannot be opened: {error.strerror}") from None
    if len(first) < 4:
        raise AudioError(f"{path}: cannot be read: expected a recording, received {len(first)} bytes")
    return first


def _from_soundfile(path: Path, file: soundfile.SoundFile, *, n_frames: int) -> Iterator[Samples]:
    """Yield the next `n_frames` frames, or as many as the header promises, or raise `AudioError`."""
    left = min(n_frames, file.frames - file.tell())
    n_at_once = max(1, PIECE_VALUES // file.channels)
    while left > 0:
        with _libsndfile_errors(path):
            piece = file.read(min(left, n_at_once), dtype="float32", always_2d=True)
        if not len(piece):
            raise AudioError(f"{path}: is truncated: {left} of {file.frames} frames are missing")
        left -= len(piece)
        yield piece


@contextmanager
def _libsndfile_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path}: is truncated or damaged ({error.error_string})") from None


def _sound_bytes(
    path: Path, promised_by: Callable[[IO[bytes]], int | None], *, slack_bytes: int
) -> tuple[int | None, int]:
    """Return how many bytes of sound the header promises, None for no promise, and how many the file holds.

    Raises `AudioError` when it holds less by more than `slack_bytes`: libsndfile would read what is there and
    say nothing.
    """
    with path.open("rb") as file:
        promised = promised_by(file)
        held = os.fstat(file.fileno()).st_size - file.tell()
    if promised is not None and held + slack_bytes < promised:
        raise AudioError(f"{path}: is truncated: expected {promised} bytes of sound, received {held}")
    return promised, held


def _promised_by_wav(file: IO[bytes]) -> int | None:
    """Walk the chunks of a WAV up to its samples and return their size in bytes.

    Recorders that stream cannot know the size and write the largest number instead, which is no promise, or
    0, which libsndfile believes and ffmpeg does not.
    """
    file.seek(12)
    while len(header := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", header)
        if name == b"data":
            return int(size) if size < 0x7FFF_0000 else None
        file.seek(size + size % 2, os.SEEK_CUR)
    return None


def _promised_by_mp3(file: IO[bytes]) -> int | None:
    """Return the size in bytes that the Xing table in the first frame of an MP3 gives, behind any ID3 tag."""
    tag = file.read(10)
    # The size of the tag behind its ten bytes: four groups of seven bits.
    start = 10 + sum(byte << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True))
    file.seek(start if tag.startswith(b"ID3") else 0)
    frame = file.read(64)
    file.seek(-len(frame), os.SEEK_CUR)
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if at < 0 or len(frame) < at + 16:
        return None
    flags, _, n_bytes = struct.unpack_from(">3I", frame, at + 4)
    return int(n_bytes) if flags & 0b11 == 0b11 else None


def _ogg_streams(path: Path) -> int:
    """Walk the pages of an OGG and return how many streams begin in it; raise `AudioError` for a cut page."""
    n_streams = 0
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while (page := file.read(27)).startswith(b"OggS"):
            # Byte 5 holds flags, 2 = first page of a stream; byte 26 the length of the table of lengths.
            lengths = file.read(page[26]) if len(page) == 27 else b""
            if file.seek(sum(lengths), os.SEEK_CUR) > size or len(page) < 27:
                raise AudioError(f"{path}: is truncated: its last page is cut")
            n_streams += page[5] >> 1 & 1
    return n_streams


@contextmanager
def decoded(
    command: list[str],
    pieces: Callable[[IO[bytes], int], Iterator[Samples]],
    end: Callable[[subprocess.Popen[bytes], IO[bytes]], None],
    *,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    aside: bool = False,
) -> Iterator[Stream]:
    """Run an ffmpeg that writes `AS_AU` to its stdout, and yield what it decodes.

    Parameters
    ----------
    command
        The whole command line.
    pieces
        Reads big-endian float32 samples of so many channels from its stdout, as arrays (n, channels).
    end
        Judges how it ended, of the process and its log: behind the last piece, or at once where nothing came.
    stdin, aside
        As in `audio.ffmpeg.running`.
    """
    with tempfile.TemporaryFile() as log, running(command, log, stdin=stdin, aside=aside) as process:
        assert process.stdout is not None
        header = read_au_header(process.stdout)
        if header is None:
            end(process, log)
            yield Stream(SAMPLE_RATE, 1, iter(()))
            return
        rate_hz, channels = header
        yield Stream(rate_hz, channels, _then(pieces(process.stdout, channels), partial(end, process, log)))


def _then(pieces: Iterator[Samples], end: Callable[[], None]) -> Iterator[Samples]:
    yield from pieces
    end()


def _ffmpeg(path: Path) -> AbstractContextManager[Stream]:
    """Decode a file through an ffmpeg process."""
    command = [*_ffmpeg_input(path, "error"), "-map", "0:a:0", *AS_AU, "pipe:1"]
    return decoded(command, _from_ffmpeg, partial(finish, path))


def _ffmpeg_input(path: Path, verbosity: str) -> list[str]:
    """The start of a command line that may open this one file, and only as one of the containers named above."""
    command = [find_ffmpeg(), "-hide_banner", "-nostdin", "-v", verbosity, "-protocol_whitelist", "file"]
    if path.suffix.lower() in HEADERLESS:
        command += ["-f", HEADERLESS[path.suffix.lower()]]
    return [*command, "-format_whitelist", CONTAINERS, "-i", f"file:{path.absolute()}"]


_FFMPEG_INPUT = re.compile(r"Input #0, (.+?), from ")
_FFMPEG_AUDIO = re.compile(r"Stream #0:\d+.*?: Audio: (\w+).*?, (\d+) Hz")
"""What ffmpeg writes about an input and its first sound track."""


def _inspected_by_ffmpeg(path: Path) -> FileFacts:
    command = _ffmpeg_input(path, "info")
    said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).stderr.decode(errors="replace")
    container, audio = _FFMPEG_INPUT.search(said), _FFMPEG_AUDIO.search(said)
    if container is None or audio is None:
        known = [words for phrase, words in PLAIN_WORDS.items() if phrase in said]
        raise AudioError(f"{path}: cannot be read: {known[0] if known else 'it holds no audio track'}")
    with opened(path) as stream:  # ffmpeg has a name for every layout, and only decoded sound has a number
        channels = stream.channels
    return FileFacts(container[1], audio[1], int(audio[2]), channels, f"ffmpeg {ffmpeg_version(command[0])}")


def _from_ffmpeg(stdout: IO[bytes], channels: int) -> Iterator[Samples]:
    n_bytes = max(1, PIECE_VALUES // channels) * channels * 4
    while data := stdout.read(n_bytes):
        whole = len(data) - len(data) % (channels * 4)
        yield np.frombuffer(data[:whole], dtype=">f4").reshape(-1, channels).astype(np.float32)
