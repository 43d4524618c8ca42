"""Waveform codecs: there and back through ffmpeg, with the length kept and the delay taken out.

Codecs delay and pad: their filters look ahead, and their containers tell decoders more or less of it. How
much depends on the codec, the container and the ffmpeg build, so it is measured, once per process, with a
probe whose echo is easy to find, and compensated. A process start costs more than coding some seconds of
speech; therefore any number of recordings shares two ffmpeg processes, one that encodes and one that decodes,
each recording in a stream of its own: what comes back does not depend on what else was in the batch.

Left out: Codec2 and other parametric vocoders, whose output is synthetic speech; WMA, which ffmpeg cuts short;
G.723.1, which costs twice as much as any other.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import soxr

from audio.errors import EngineError
from audio.ffmpeg import find_ffmpeg
from audio.segments import SAMPLE_RATE
from synth.pcm import Pcm, Samples, fitted, to_float, to_pcm


@dataclass(frozen=True)
class Codec:
    """How ffmpeg names the parts of one codec, and the bitrates at which it codes mono speech."""

    encoder: str
    muxer: str
    demuxer: str
    bitrates_kbps: tuple[float, ...]
    decoder: str
    sample_rate: int = SAMPLE_RATE
    """At which it codes, in Hz; ffmpeg resamples there and back."""
    options: tuple[str, ...] = ()
    """More options of the encoder."""
    high_pass_hz: float = 0.0
    """Corner of its two high-passes of order 2, one before coding and one after; 0 for a codec without. They move
    low voices ahead by up to 3 ms, so a recording is sent in with the opposite phase."""
    by_libsndfile: bool = False
    """True: libsndfile encodes, which has it in every build; `encoder` is its subtype, `muxer` its format."""

    @property
    def is_narrowband(self) -> bool:
        """Whether it carries less than 8 kHz of bandwidth."""
        return self.sample_rate < SAMPLE_RATE


NARROW_HZ = 8_000
"""Sample rate of telephone codecs."""

CODECS = {
    # The options of the first three take a quarter to a half off the time of coding.
    "mp3": Codec("libmp3lame", "mp3", "mp3", (24, 32, 48, 64, 96), "mp3", options=("-compression_level", "7")),
    "aac": Codec("aac", "adts", "aac", (24, 32, 48, 64), "aac", options=("-aac_coder", "fast")),
    "opus": Codec("libopus", "ogg", "ogg", (12, 16, 24, 32, 48), "opus", options=("-compression_level", "5")),
    "vorbis": Codec("libvorbis", "ogg", "ogg", (32, 48, 64), "vorbis"),
    "g722": Codec("g722", "g722", "g722", (64,), "g722"),
    "pcm_mulaw": Codec("pcm_mulaw", "wav", "wav", (128,), "pcm_mulaw"),
    "mp2": Codec("mp2", "mp2", "mp3", (64, 96), "mp2"),
    "ac3": Codec("ac3", "ac3", "ac3", (48, 64, 96), "ac3", sample_rate=48_000),
    "sbc": Codec("sbc", "sbc", "sbc", (48, 64), "sbc"),
    "adpcm_ima": Codec("adpcm_ima_wav", "wav", "wav", (64,), "adpcm_ima_wav"),
    "nellymoser": Codec("nellymoser", "flv", "flv", (41,), "nellymoser"),
    "amr_wb": Codec("libvo_amrwbenc", "amr", "amr", (12.65, 23.85), "amrwb", high_pass_hz=50.0),
    "speex": Codec("libspeex", "ogg", "ogg", (16, 24), "speex", high_pass_hz=67.0),
    "g711_alaw": Codec("pcm_alaw", "wav", "wav", (64,), "pcm_alaw", sample_rate=NARROW_HZ),
    "g711_mulaw": Codec("pcm_mulaw", "wav", "wav", (64,), "pcm_mulaw", sample_rate=NARROW_HZ),
    "gsm": Codec("GSM610", "WAV", "wav", (13,), "gsm_ms", sample_rate=NARROW_HZ, by_libsndfile=True),
    "g726": Codec("g726", "wav", "wav", (16, 24, 32), "g726", sample_rate=NARROW_HZ),
    "amr_nb": Codec(
        "libopencore_amrnb", "amr", "amr", (5.9, 7.95, 12.2), "amrnb", sample_rate=NARROW_HZ, high_pass_hz=76.0
    ),
}
"""Everyday codecs: files, calls over the internet, Bluetooth, television, telephones.

Bitrates run from what a voice message uses to nearly transparent; some codecs have one only. Of the eight modes
of AMR three are here (3GPP TS 26.071). High-passes: AMR-WB after 3GPP TS 26.190, not measured for want of an
encoder; the others fitted to the cross-spectrum of 32 clips of speech before and after, within 0.1 rad from 70 Hz
to 1 kHz. Not every build of ffmpeg has all codecs: see `available_codings`.
"""

TAIL_SAMPLES = 4_096
"""Silence coded after each recording, so that a delayed ending is not cut off: four AAC frames of 1,024,
more than the longest delay of the codecs above (AAC, 1,024)."""

FULL_BUILD = "put a full build on PATH, or remove it from there and 'pip install imageio-ffmpeg'"
"""The way out when ffmpeg lacks a codec."""

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
    kbps: float

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise EngineError(f"codec: expected one of {', '.join(CODECS)}, received {self.codec!r}")
        known = CODECS[self.codec].bitrates_kbps
        if self.kbps not in known:
            raise EngineError(f"{self.codec} kbit/s: expected one of {known}, received {self.kbps!r}")


def fixed_coding(codec: str) -> Coding:
    """Return `codec` at the highest of its bitrates."""
    return Coding(codec, CODECS[codec].bitrates_kbps[-1] if codec in CODECS else 0)


def available_codings(ffmpeg: str | None = None) -> tuple[Coding, ...]:
    """Return the codings that an ffmpeg can both encode and decode, in the order of `CODECS`.

    Parameters
    ----------
    ffmpeg
        Path of the program; None for the one that `audio.ffmpeg.find_ffmpeg` finds. It is asked once per process.

    Raises
    ------
    EngineError
        When ffmpeg is missing or does not run.
    """
    return _available(ffmpeg or find_ffmpeg())


@lru_cache(maxsize=4)
def _available(ffmpeg: str) -> tuple[Coding, ...]:
    encoders, decoders = _listed(ffmpeg, "-encoders"), _listed(ffmpeg, "-decoders")
    names = [
        name
        for name, codec in CODECS.items()
        if (codec.by_libsndfile or codec.encoder in encoders) and codec.decoder in decoders
    ]
    return tuple(Coding(name, kbps) for name in names for kbps in CODECS[name].bitrates_kbps)


def _listed(ffmpeg: str, what: str) -> set[str]:
    """Return the names in a list of ffmpeg's: the second word of lines such as ` A....D aac  AAC`."""
    lines = (line.split() for line in _output([ffmpeg, "-v", "error", what]).splitlines())
    return {words[1] for words in lines if len(words) > 1 and words[0].startswith("A")}


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
    if missing := sorted({coding.codec for coding in codings} - {coding.codec for coding in delays}):
        raise EngineError(f"{ffmpeg} cannot code {', '.join(missing)}: {FULL_BUILD}")
    decoded = _round_trips(ffmpeg, recordings, codings=codings)
    return [
        fitted(back[delays[coding] :], samples.size)
        for samples, coding, back in zip(recordings, codings, decoded, strict=True)
    ]


@lru_cache(maxsize=4)
def delays_samples(ffmpeg: str) -> dict[Coding, int]:
    """Measure how many samples each available coding delays a recording, with the ffmpeg at this path.

    A pseudo-random probe goes there and back; the delay is where its cross-correlation with what returns is
    largest. All codings share two processes, about 0.5 s together.
    """
    codings = available_codings(ffmpeg)
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
    """One second of noise in bursts, weaker towards high frequencies as speech is: every codec keeps it.

    85 % of its power lie below 1 kHz, so that telephone codecs pass most of it.
    """
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
    coded = [folder / f"{i}.coded" for i in range(len(recordings))]
    inputs, outputs = [], []
    for path, samples, coding in zip(coded, recordings, codings, strict=True):
        pcm = np.pad(to_pcm(_turned(samples, CODECS[coding.codec].high_pass_hz)), (0, TAIL_SAMPLES))
        if CODECS[coding.codec].by_libsndfile:
            _write(path, pcm, codec=CODECS[coding.codec])
        else:
            source = path.with_suffix(".pcm")
            pcm.astype("<i2").tofile(source)
            inputs.append([*_RAW, "-i", str(source)])
            outputs.append([*_encoding(coding), str(path)])
    if inputs:
        _run(ffmpeg, inputs=inputs, outputs=outputs)
    return coded


def _turned(samples: Samples, high_pass_hz: float) -> Samples:
    """Give a recording (n,) the opposite of the phase of two Butterworth high-passes of order 2."""
    if high_pass_hz == 0.0 or samples.size == 0:
        return samples
    import scipy.fft

    # Longer by a quarter of a second: what comes earlier than the beginning must not come at the end.
    size = scipy.fft.next_fast_len(samples.size + SAMPLE_RATE // 4, real=True)
    ratio = np.arange(size // 2 + 1) * (SAMPLE_RATE / size) / high_pass_hz
    one = 1.0 - np.square(ratio) + 1j * np.sqrt(2.0) * ratio  # the denominator; two of them, squared, turn twice
    turn = np.square(one / np.abs(one)).astype(np.complex64)
    turned = scipy.fft.irfft(scipy.fft.rfft(samples.astype(np.float32), size) * turn, size)
    return np.asarray(turned[: samples.size], dtype=np.float32)


def _write(path: Path, pcm: Pcm, *, codec: Codec) -> None:
    """Encode with libsndfile, at the sample rate of the codec."""
    resampled = soxr.resample(to_float(pcm), SAMPLE_RATE, codec.sample_rate, quality="HQ")
    try:
        soundfile.write(path, to_pcm(resampled), codec.sample_rate, format=codec.muxer, subtype=codec.encoder)
    except soundfile.LibsndfileError as error:
        raise EngineError(f"libsndfile cannot write {codec.encoder}: {error.error_string}") from None


def _encoding(coding: Coding) -> list[str]:
    codec = CODECS[coding.codec]
    options = ["-c:a", codec.encoder, *codec.options, "-b:a", f"{coding.kbps}k", "-ar", str(codec.sample_rate)]
    # bitexact: no date, no random serial number.
    return [*options, "-threads", "1", "-flags:a", "+bitexact", "-fflags", "+bitexact", "-f", codec.muxer]


def _decode(ffmpeg: str, paths: Sequence[Path], *, demuxers: Sequence[str], folder: Path) -> list[Samples]:
    decoded = [folder / f"{i}.decoded" for i in range(len(paths))]
    inputs = [["-threads", "1", "-f", kind, "-i", str(path)] for kind, path in zip(demuxers, paths, strict=True)]
    _run(ffmpeg, inputs=inputs, outputs=[[*_RAW, str(path)] for path in decoded])
    return [to_float(np.fromfile(path, dtype="<i2")) for path in decoded]


def _run(ffmpeg: str, *, inputs: Sequence[list[str]], outputs: Sequence[list[str]]) -> None:
    """Run one ffmpeg process that takes input i to output i, none of its parts in threads of its own."""
    command = [ffmpeg, "-nostdin", "-v", "error", "-y", "-filter_threads", "1", "-filter_complex_threads", "1"]
    for given in inputs:
        command += given
    for i, wanted in enumerate(outputs):
        command += ["-map", f"{i}:a", *wanted]
    _output(command)


def _output(command: list[str]) -> str:
    """Run a program and return what it says on stdout; raise `EngineError` when it fails."""
    try:
        run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    except OSError as error:
        raise EngineError(f"{command[0]} does not run: {error.strerror}") from None
    except subprocess.CalledProcessError as error:
        raise EngineError(_complaint(error.stderr)) from None
    return run.stdout


def _complaint(stderr: str) -> str:
    """Make one line of what ffmpeg said, with the way out when this build lacks an encoder."""
    first = next((line.strip() for line in stderr.splitlines() if line.strip()), "no reason given")
    if "Unknown encoder" in first:
        return f"ffmpeg: {first}: {FULL_BUILD}"
    return f"ffmpeg failed: {first}"
