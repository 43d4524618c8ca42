"""Waveform codecs: there and back through ffmpeg, with the length kept and the delay taken out.

Codecs delay and pad: their filters look ahead, and their containers tell decoders more or less of it. How
much depends on the codec, the container and the ffmpeg build, so it is measured, once per process, with a
probe whose echo is easy to find, and compensated. A process start costs more than coding some seconds of
speech; therefore any number of recordings shares two ffmpeg processes, one that encodes and one that decodes,
each recording in a stream of its own: what comes back does not depend on what else was in the batch.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from audio.errors import EngineError
from audio.reading import find_ffmpeg
from audio.segments import SAMPLE_RATE
from synth.pcm import Samples, fitted, to_float, to_pcm


@dataclass(frozen=True)
class Codec:
    """How ffmpeg names the parts of one codec, and the bitrates at which it codes 16 kHz mono speech."""

    encoder: str
    muxer: str
    demuxer: str
    bitrates_kbps: tuple[int, ...]


CODECS = {
    "mp3": Codec("libmp3lame", "mp3", "mp3", (32, 48, 64)),
    "aac": Codec("aac", "adts", "aac", (32, 48, 64)),
    "opus": Codec("libopus", "ogg", "ogg", (16, 24, 32)),
    "vorbis": Codec("libvorbis", "ogg", "ogg", (32, 48, 64)),
    "g722": Codec("g722", "g722", "g722", (64,)),
    "pcm_mulaw": Codec("pcm_mulaw", "wav", "wav", (128,)),
}
"""Everyday codecs that carry 8 kHz of bandwidth and that ffmpeg can both encode and decode.

Bitrates run from what a voice message uses to nearly transparent. G.722 and mu-law have one each.
"""

TAIL_SAMPLES = 4_096
"""Silence coded after each recording, so that a delayed ending is not cut off: four AAC frames of 1,024,
more than the longest delay of the codecs above."""

STREAMS_PER_PROCESS = 48
"""Recordings that share one ffmpeg process; each costs it two open files and some threads."""


@dataclass(frozen=True)
class Coding:
    """A codec at a bitrate: what one round trip is made with.

    Raises
    ------
    EngineError
        For a codec that is not in `CODECS`, or a bitrate that is not among its own.
    """

    codec: str
    kbps: int

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise EngineError(f"codec: expected one of {', '.join(CODECS)}, received {self.codec!r}")
        known = CODECS[self.codec].bitrates_kbps
        if self.kbps not in known:
            raise EngineError(f"{self.codec} kbit/s: expected one of {known}, received {self.kbps!r}")


def fixed_coding(codec: str) -> Coding:
    """Return `codec` at the highest of its bitrates."""
    return Coding(codec, CODECS[codec].bitrates_kbps[-1] if codec in CODECS else 0)


def pass_codecs(recordings: Sequence[Samples], codings: Sequence[Coding]) -> list[Samples]:
    """Code and decode each recording with the coding at the same place.

    Parameters
    ----------
    recordings
        float32 arrays (n,) at 16 kHz; any n, also 0.
    codings
        As many as recordings.

    Returns
    -------
    float32 arrays of the same lengths, aligned with their originals to less than 1 ms.

    Raises
    ------
    EngineError
        When ffmpeg is missing, fails, or lacks an encoder.
    """
    if not recordings:
        return []
    ffmpeg = find_ffmpeg()
    delays = delays_samples(ffmpeg)
    decoded = _round_trips(ffmpeg, recordings, codings=codings)
    return [
        fitted(back[delays[coding] :], samples.size)
        for samples, coding, back in zip(recordings, codings, decoded, strict=True)
    ]


@lru_cache(maxsize=4)
def delays_samples(ffmpeg: str) -> dict[Coding, int]:
    """Measure how many samples each coding delays a recording, with the ffmpeg at this path.

    A pseudo-random probe goes there and back; the delay is where its cross-correlation with what returns is
    largest. All codings share two processes, about 0.3 s together.
    """
    codings = [Coding(name, kbps) for name, codec in CODECS.items() for kbps in codec.bitrates_kbps]
    probe = _probe()
    returned = _round_trips(ffmpeg, [probe] * len(codings), codings=codings)
    return {coding: _lag(probe, back) for coding, back in zip(codings, returned, strict=True)}


def decode(paths: Sequence[Path], demuxers: Sequence[str], *, folder: Path) -> list[Samples]:
    """Decode coded files, `STREAMS_PER_PROCESS` of them in one ffmpeg process.

    Parameters
    ----------
    paths
        The files.
    demuxers
        ffmpeg's name for the container of each.
    folder
        Where intermediate files may be written.

    Returns
    -------
    float32 arrays (n,), 16 kHz mono.

    Raises
    ------
    EngineError
        When ffmpeg is missing or cannot decode one of them.
    """
    decoded: list[Samples] = []
    for batch in _batches(len(paths)):
        decoded += _decode(find_ffmpeg(), paths[batch], demuxers=demuxers[batch], folder=folder)
    return decoded


def _probe() -> Samples:
    """One second of noise in bursts, weaker towards high frequencies as speech is: every codec keeps it."""
    rng = np.random.default_rng(722)
    noise = np.cumsum(rng.standard_normal(SAMPLE_RATE))
    noise -= np.convolve(noise, np.full(64, 1 / 64), mode="same")
    shaped = noise * np.repeat(rng.uniform(0.1, 1.0, 20), SAMPLE_RATE // 20)
    return (0.5 * shaped / np.abs(shaped).max()).astype(np.float32)


def _lag(sent: Samples, returned: Samples) -> int:
    """Return by how many samples, 0 to `TAIL_SAMPLES`, `returned` lies behind `sent`."""
    size = 1 << (sent.size + returned.size).bit_length()
    spectrum = np.fft.rfft(returned, size) * np.conj(np.fft.rfft(sent, size))
    return int(np.argmax(np.fft.irfft(spectrum, size)[: TAIL_SAMPLES + 1]))


def _batches(n_streams: int) -> list[slice]:
    starts = range(0, n_streams, STREAMS_PER_PROCESS)
    return [slice(start, start + STREAMS_PER_PROCESS) for start in starts]


def _round_trips(ffmpeg: str, recordings: Sequence[Samples], *, codings: Sequence[Coding]) -> list[Samples]:
    """Code and decode in batches; what returns is as long and as late as the codec made it."""
    returned: list[Samples] = []
    with tempfile.TemporaryDirectory(prefix="codecs-") as folder:
        for batch in _batches(len(recordings)):
            coded = _encode(ffmpeg, recordings[batch], codings=codings[batch], folder=Path(folder))
            demuxers = [CODECS[coding.codec].demuxer for coding in codings[batch]]
            returned += _decode(ffmpeg, coded, demuxers=demuxers, folder=Path(folder))
    return returned


_RAW = ("-ar", str(SAMPLE_RATE), "-ac", "1", "-f", "s16le")


def _encode(ffmpeg: str, recordings: Sequence[Samples], *, codings: Sequence[Coding], folder: Path) -> list[Path]:
    sources = [folder / f"{i}.pcm" for i in range(len(recordings))]
    coded = [folder / f"{i}.coded" for i in range(len(recordings))]
    for path, samples in zip(sources, recordings, strict=True):
        np.pad(to_pcm(samples), (0, TAIL_SAMPLES)).astype("<i2").tofile(path)
    inputs = [[*_RAW, "-i", str(path)] for path in sources]
    outputs = [[*_encoding(coding), str(path)] for coding, path in zip(codings, coded, strict=True)]
    _run(ffmpeg, inputs=inputs, outputs=outputs)
    return coded


def _encoding(coding: Coding) -> list[str]:
    codec = CODECS[coding.codec]
    # bitexact: no date, no random serial number.
    options = ["-c:a", codec.encoder, "-b:a", f"{coding.kbps}k", "-threads", "1", "-flags:a", "+bitexact"]
    return [*options, "-fflags", "+bitexact", "-f", codec.muxer]


def _decode(ffmpeg: str, paths: Sequence[Path], *, demuxers: Sequence[str], folder: Path) -> list[Samples]:
    decoded = [folder / f"{i}.decoded" for i in range(len(paths))]
    inputs = [["-f", kind, "-i", str(path)] for kind, path in zip(demuxers, paths, strict=True)]
    _run(ffmpeg, inputs=inputs, outputs=[[*_RAW, str(path)] for path in decoded])
    return [to_float(np.fromfile(path, dtype="<i2")) for path in decoded]


def _run(ffmpeg: str, *, inputs: Sequence[list[str]], outputs: Sequence[list[str]]) -> None:
    """Run one ffmpeg process that takes input i to output i."""
    command = [ffmpeg, "-nostdin", "-v", "error", "-y"]
    for given in inputs:
        command += given
    for i, wanted in enumerate(outputs):
        command += ["-map", f"{i}:a", *wanted]
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    except OSError as error:
        raise EngineError(f"{ffmpeg} does not run: {error.strerror}") from None
    except subprocess.CalledProcessError as error:
        raise EngineError(_complaint(error.stderr)) from None


def _complaint(stderr: str) -> str:
    """Make one line of what ffmpeg said, with the way out when this build lacks an encoder."""
    first = next((line.strip() for line in stderr.splitlines() if line.strip()), "no reason given")
    if "Unknown encoder" in first:
        return f"ffmpeg: {first}: put a full build on PATH, or remove it from there and 'pip install imageio-ffmpeg'"
    return f"ffmpeg failed: {first}"
