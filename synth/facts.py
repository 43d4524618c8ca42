"""What anybody can tell of a recording without listening: length, levels, silences, bandwidth, the file itself.

None of it says whether speech is fake, so a set whose classes differ in it teaches shortcuts. Each fact is defined
so that a change of one leaves the others where they are: levels and silences are taken about the clip's own mean,
the level from its sounding frames alone, silences and bandwidth relative to what is loudest in the clip. Everything
is measured at the file's own sample rate, piece by piece: memory does not grow with the sound.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audio.errors import AudioError
from audio.ffmpeg import CONTAINERS, find_ffmpeg
from audio.reading import HEADERLESS, LOUDEST, RATES_HZ, opened

Floats = npt.NDArray[np.float64]

FRAMES_PER_S = 100
"""Silences and levels are taken from frames of 10 ms, as in voice activity detection."""

SOUNDING_DB = 25.0
"""A frame sounds when its RMS is within this of the loudest one's. Speech is active down to 15.9 dB below its mean
active level (ITU-T P.56), and the loudest frame lies about 9 dB above that. Further down is where rooms hum: at 40 dB
the pause before speech of half the genuine recordings in a mixed corpus counts as sound."""

SPECTRUM_S = 0.128
"""Length of the spectra: resolves 8 Hz, so that the skirts of the window blur an edge by less than 100 Hz."""

BANDWIDTH_DB = 60.0
"""The band ends where the mean spectrum has fallen this far below its maximum."""

LOWEST_HZ = 50.0
"""Below this lie offset, hum and rumble, and no maximum is looked for."""

ZERO_RUN_S = 0.005
"""Zeros count as digital silence from this many seconds on: 80 at 16 kHz, which quantised noise does not make."""

FFMPEG_TIMEOUT_S = 60
"""For reading a header: more than any disk needs."""

_DEPTHS = {"S8": 8, "U8": 8, "16": 16, "20": 20, "24": 24, "32": 32, "FLOAT": 32, "DOUBLE": 64}
_LOSSLESS = ("PCM", "ALAC", "FLOAT", "DOUBLE")
_CODECS = {"MPEG_LAYER_I": "mp1", "MPEG_LAYER_II": "mp2", "MPEG_LAYER_III": "mp3", "ULAW": "mulaw"}


@dataclass(frozen=True)
class Header:
    """What a file says of itself; None where it does not."""

    container: str
    """In lower case, by libsndfile's name, or ffmpeg's: "wav", "flac", "ogg", "mp3", "mov" ..."""
    codec: str
    """In lower case, likewise: "pcm", "flac", "vorbis", "opus", "mp3", "aac" ..."""
    sample_rate_hz: int
    bit_depth: int | None
    """Bits of a sample where samples are stored as they are; None for lossy codecs."""
    channels: int | None
    duration_s: float | None


@dataclass(frozen=True)
class Facts:
    """The facts of one recording; its channels count as their mean.

    Digital silence has no level, peak or bandwidth, and counts as leading and as trailing silence throughout.
    """

    duration_s: float
    level_dbfs: float | None
    """RMS of the frames that sound, about the mean of the clip, in dB re full scale."""
    peak_dbfs: float | None
    """Largest distance from the mean of the clip, in dB re full scale."""
    dc_offset: float
    """Mean of the clip; full scale is 1."""
    leading_silence_s: float
    """Until the first frame that sounds."""
    trailing_silence_s: float
    """After the last frame that sounds."""
    bandwidth_hz: float | None
    """Highest frequency at which the mean spectrum lies within 60 dB of its maximum."""
    zero_run_s: float
    """The longest run of zeros, 0 where none lasts 5 ms."""
    zero_share: float
    """Share of the samples that lie in runs of zeros of 5 ms and more."""
    container: str
    codec: str
    sample_rate_hz: int
    bit_depth: int | None
    channels: int | None


NUMBERS = (
    *("duration_s", "level_dbfs", "peak_dbfs", "dc_offset", "leading_silence_s", "trailing_silence_s"),
    *("bandwidth_hz", "zero_run_s", "zero_share"),
)
"""The facts that are more or less."""

CATEGORIES = ("container", "codec", "sample_rate_hz", "bit_depth", "channels")
"""The facts that are one of a few."""


def measure_file(path: Path) -> Facts:
    """Measure one recording of any length.

    Raises
    ------
    AudioError, EngineError
        As `audio.reading.read`, without the caps; also for a recording without a sample.
    """
    header = read_header(path)
    with _mono_pieces(path) as (rate_hz, pieces):
        meter = Meter(rate_hz)
        for piece in pieces:
            meter.add(piece)
    if meter.n_samples == 0:
        raise AudioError(f"{path}: expected sound, received a recording without a sample")
    return meter.facts(header)


def read_header(path: Path) -> Header:
    """Ask libsndfile what a file is, and ffmpeg where libsndfile does not know.

    Raises
    ------
    AudioError
        When the file is missing or no recording.
    EngineError
        When it takes an ffmpeg to tell and there is none.
    """
    import soundfile

    if not path.is_file():
        raise AudioError(f"{path}: cannot be opened: expected a file")
    try:
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, TypeError):  # TypeError: a name in .raw
        return _header_from_ffmpeg(path)
    container = {"WAVEX": "wav"}.get(info.format, info.format.lower())
    stored = info.subtype.startswith(_LOSSLESS)
    codec = container if container == "flac" else "pcm" if stored else _CODECS.get(info.subtype, info.subtype.lower())
    depth = _DEPTHS.get(info.subtype.rpartition("_")[2]) if stored else None
    return Header(container, codec, info.samplerate, depth, info.channels, info.frames / info.samplerate)


def _header_from_ffmpeg(path: Path) -> Header:
    """Read what ffmpeg prints of an input, under the same restrictions as decoding."""
    command = [find_ffmpeg(), "-nostdin", "-hide_banner", "-protocol_whitelist", "file"]
    if path.suffix.lower() in HEADERLESS:
        command += ["-f", HEADERLESS[path.suffix.lower()]]
    command += ["-format_whitelist", CONTAINERS, "-i", f"file:{path.absolute()}"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=FFMPEG_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise AudioError(f"{path}: cannot be read: ffmpeg found no header in {FFMPEG_TIMEOUT_S} s") from None
    return parse_ffmpeg(done.stderr.decode(errors="replace"), path=path)


def parse_ffmpeg(said: str, *, path: Path) -> Header:
    """Find container, codec, rate, depth, channels and duration in what `ffmpeg -i` prints.

    Raises
    ------
    AudioError
        When it prints no input with a track of sound.
    """
    opened_as = re.search(r"^Input #0, (\S+?),? from ", said, re.MULTILINE)
    track = re.search(r"Audio: (\w+).*?, (\d+) Hz, ([^,\n]+)(?:, (\w+)(?: \((\d+) bit\))?)?", said)
    if opened_as is None or track is None:
        raise AudioError(f"{path}: cannot be read: it is damaged or no recording in a known format")
    names = opened_as[1].split(",")
    suffix = path.suffix.lower().lstrip(".")
    codec, rate_hz, layout, kept_as, depth = track.groups()
    lossless = codec.startswith("pcm_") or codec in ("flac", "alac", "ape", "tta", "wavpack")
    bits = depth or (re.search(r"\d+", kept_as or "") or [None])[0]
    return Header(
        container=suffix if suffix in names else names[0],
        codec=re.sub(r"^pcm_(?:[suf]\d.*)$", "pcm", codec).removeprefix("pcm_"),
        sample_rate_hz=int(rate_hz),
        bit_depth=int(bits) if lossless and bits else None,
        channels=_channels(layout),
        duration_s=_duration_s(said),
    )


def _channels(layout: str) -> int | None:
    """Count the channels of ffmpeg's name of a layout: "mono", "stereo", "5.1(side)", "3 channels"."""
    if found := re.match(r"(\d+)(?:\.(\d))?", layout):
        return sum(int(part) for part in found.groups() if part)
    return {"mono": 1, "stereo": 2}.get(layout.strip())


def _duration_s(said: str) -> float | None:
    found = re.search(r"Duration: (\d+):(\d+):(\d+\.\d+)", said)
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else None


@contextmanager
def _mono_pieces(path: Path) -> Iterator[tuple[int, Iterator[npt.NDArray[np.float32]]]]:
    with opened(path) as stream:
        low, high = RATES_HZ
        if not low <= stream.rate_hz <= high:
            raise AudioError(f"{path}: sample rate: expected {low} to {high} Hz, received {stream.rate_hz}")
        yield stream.rate_hz, _mono(path, stream.frames)


def _mono(path: Path, frames: Iterator[npt.NDArray[np.float32]]) -> Iterator[npt.NDArray[np.float32]]:
    for piece in frames:
        if not np.abs(piece).max(initial=0.0) <= LOUDEST:  # not: NaN is no more than anything
            raise AudioError(f"{path}: holds samples that are not finite numbers, or beyond {LOUDEST:g}")
        yield piece.mean(axis=1, dtype=np.float32)


@dataclass
class Meter:
    """Measures a recording piece by piece; how it is cut into pieces does not matter.

    Parameters
    ----------
    rate_hz
        Sample rate of what is added.
    """

    rate_hz: int
    n_samples: int = 0
    _frames: list[Floats] = field(default_factory=list)
    """Rows of largest, smallest, sum and sum of squares of each frame."""
    _spectrum: Floats | float = 0.0
    """Sum of the power spectra so far."""
    _zeros: _ZeroRuns = field(init=False)
    _frame_rest: Floats = field(default_factory=lambda: np.zeros(0))
    _spectrum_rest: Floats = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        self._zeros = _ZeroRuns(round(ZERO_RUN_S * self.rate_hz))

    def add(self, piece: npt.NDArray[np.floating]) -> None:
        """Take the next samples, floats (n,) with full scale 1."""
        samples = piece.astype(np.float64)
        self.n_samples += samples.size
        self._zeros.add(samples == 0.0)
        self._frame_rest = self._take_frames(np.concatenate([self._frame_rest, samples]))
        self._spectrum_rest = self._take_spectra(np.concatenate([self._spectrum_rest, samples]))

    def facts(self, header: Header) -> Facts:
        """Return the facts of what was added, at least one sample, and of the file that it came from."""
        frames = self._all_frames()
        mean = float(frames[:, 2].sum() / self.n_samples)
        peak = float(max(frames[:, 0].max() - mean, mean - frames[:, 1].min()))
        # A steady offset leaves rounding errors about its mean, which are no sound.
        heard = peak > 1e-6 * max(abs(mean), 1e-6)
        energy = np.maximum(frames[:, 3] - 2.0 * mean * frames[:, 2] + frames[:, 4] * mean**2, 0.0)
        loud = (energy >= energy.max() * 10.0 ** (-SOUNDING_DB / 10.0)) & heard
        leading, trailing = self._silences_s(np.flatnonzero(loud), n_frames=len(frames))
        return Facts(
            duration_s=self.n_samples / self.rate_hz,
            level_dbfs=10.0 * float(np.log10(energy[loud].sum() / frames[loud, 4].sum())) if heard else None,
            peak_dbfs=20.0 * float(np.log10(peak)) if heard else None,
            dc_offset=mean,
            leading_silence_s=leading,
            trailing_silence_s=trailing,
            bandwidth_hz=self._bandwidth_hz() if heard else None,
            zero_run_s=self._zeros.longest / self.rate_hz if self._zeros.n_in_runs else 0.0,
            zero_share=self._zeros.n_in_runs / self.n_samples,
            container=header.container,
            codec=header.codec,
            sample_rate_hz=header.sample_rate_hz,
            bit_depth=header.bit_depth,
            channels=header.channels,
        )

    @property
    def _hop(self) -> int:
        return max(self.rate_hz // FRAMES_PER_S, 1)

    @property
    def _window(self) -> int:
        """Length of a spectrum in samples, even."""
        return 2 * round(SPECTRUM_S * self.rate_hz / 2)

    def _take_frames(self, samples: Floats) -> Floats:
        """Note the whole frames; return what is left over."""
        whole = samples.size - samples.size % self._hop
        if whole:
            self._frames.append(_frame_facts(samples[:whole].reshape(-1, self._hop)))
        return samples[whole:]

    def _take_spectra(self, samples: Floats) -> Floats:
        """Add up the spectra of half-overlapping windows; return what the next ones need."""
        step = self._window // 2
        n_windows = samples.size // step - 1
        if n_windows > 0:
            windows = np.lib.stride_tricks.sliding_window_view(samples, self._window)[::step][:n_windows]
            for some in np.array_split(windows, -(-n_windows // 64)):
                self._spectrum = self._spectrum + _power(some)
            return samples[n_windows * step :]
        return samples

    def _all_frames(self) -> Floats:
        """Return the facts of the frames (n_frames, 5); the last one may be shorter, column 4 is its length."""
        frames = np.concatenate([np.zeros((0, 4)), *self._frames])
        lengths = np.full(len(frames), float(self._hop))
        if self._frame_rest.size:
            frames = np.concatenate([frames, _frame_facts(self._frame_rest[None])])
            lengths = np.append(lengths, float(self._frame_rest.size))
        return np.column_stack([frames, lengths])

    def _silences_s(self, sounding: npt.NDArray[np.int64], *, n_frames: int) -> tuple[float, float]:
        duration_s = self.n_samples / self.rate_hz
        if not sounding.size:
            return duration_s, duration_s
        hop_s = self._hop / self.rate_hz
        end_s = duration_s if sounding[-1] == n_frames - 1 else (sounding[-1] + 1) * hop_s
        return float(sounding[0] * hop_s), float(duration_s - end_s)

    def _bandwidth_hz(self) -> float | None:
        """Return None where nothing but offset and rumble is heard."""
        power = self._spectrum
        if isinstance(power, float):  # shorter than a window
            ended = np.zeros(self._window)
            ended[: self._spectrum_rest.size] = self._spectrum_rest * np.hanning(self._spectrum_rest.size + 2)[1:-1]
            power = np.square(np.abs(np.fft.rfft(ended)))
        frequency_hz = np.fft.rfftfreq(self._window, 1.0 / self.rate_hz)
        power = np.where(frequency_hz >= LOWEST_HZ, power, 0.0)
        within = np.flatnonzero(power >= power.max() * 10.0 ** (-BANDWIDTH_DB / 10.0))
        return float(frequency_hz[within[-1]]) if power.max() > 0.0 else None


@dataclass
class _ZeroRuns:
    """The longest run of marks, and how many marks are in runs of `least` and more, over several pieces."""

    least: int
    longest: int = 0
    _n_ended: int = 0
    _open: int = 0
    """Length of the run that the last piece ended in."""

    def add(self, marked: npt.NDArray[np.bool_]) -> None:
        changes = np.flatnonzero(np.diff(np.concatenate(([False], marked, [False]))))
        lengths = changes[1::2] - changes[::2]
        if marked.size and marked[0]:
            lengths[0] += self._open
        elif marked.size:
            lengths = np.concatenate(([self._open], lengths))
        else:
            return
        self._open = int(lengths[-1]) if marked[-1] else 0
        self.longest = max(self.longest, int(lengths.max()))
        ended = lengths[:-1] if marked[-1] else lengths
        self._n_ended += int(ended[ended >= self.least].sum())

    @property
    def n_in_runs(self) -> int:
        return self._n_ended + (self._open if self._open >= self.least else 0)


def _frame_facts(frames: Floats) -> Floats:
    return np.column_stack([frames.max(axis=1), frames.min(axis=1), frames.sum(axis=1), np.square(frames).sum(axis=1)])


def _power(windows: Floats) -> Floats:
    """Return the sum of the power spectra (n_bins,) of windows (n, length)."""
    # Periodic Hann, which neighbours that overlap by half sum up to 1 with.
    shape = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(windows.shape[1]) / windows.shape[1])
    return np.asarray(np.square(np.abs(np.fft.rfft(windows * shape))).sum(axis=0))
