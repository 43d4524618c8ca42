"""Fixed corruptions of a recording and of its truth: what happens to a figure when the recording is worse?

Each is one well-known thing that happens to recordings, at one strength, so that two models, or two versions of one,
meet the same. None of them changes what is genuine and what is fake. Where samples move, the truth moves with them,
exactly; everywhere else what is heard stays at its place within 1 ms.

A result depends on the recording, its path, the name of the corruption and a seed, never on neighbours or order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt
import soxr

from audio.cleaning import speech_frames
from audio.errors import UsageError
from audio.labels import FAKE, HYBRID, REAL, label_of
from audio.manifest import Clip
from audio.segments import SAMPLE_RATE, Segment, clip_to, from_frames, overlap, total
from synth.channel import active_dbfs
from synth.codecs import Coding, pass_codecs
from synth.noise import generated, looped, unit_rms
from synth.pcm import SILENCE_DBFS, Samples, fitted, from_db, to_float, to_pcm, weighted
from synth.rooms import SABINE, Box, reverberated, simulated

SPEECH_DB: Mapping[int, float] = {
    **{63: 38.6, 80: 43.5, 100: 54.4, 125: 57.7, 160: 56.8, 200: 60.2, 250: 60.3, 315: 59.0, 400: 62.1, 500: 62.1},
    **{630: 60.5, 800: 56.8, 1_000: 53.7, 1_250: 53.0, 1_600: 52.0, 2_000: 48.7, 2_500: 48.1, 3_150: 46.8},
    **{4_000: 45.6, 5_000: 44.5, 6_300: 44.3, 8_000: 43.7},
}
"""Long-term average speech spectrum of twelve languages, men and women combined: level of each third of an octave, in
dB, by its centre in Hz (Byrne et al., JASA 96(4), 1994, table II, for 70 dB in all)."""

NOISE_SAMPLES = 1 << 20
"""Longest noise that is drawn, 66 s; a longer recording hears it again. It keeps the memory of a long one bounded."""

ROOM_SIZE_M = (6.0, 4.5, 2.7)
"""Of the one room: a living room or a small office."""

ROOM_RT60_S = 0.5
"""Its reverberation time: what ISO 16283-1 takes furnished rooms of dwellings to have."""

ROOM_DISTANCE_M = 1.5
"""From mouth to microphone: a device on the table. The room is turned down as `synth.rooms` does with all of them, so
that the direct sound stays the loudest and nothing moves."""

ROOM_SEED = 1
"""What its late reflections are drawn from: always the same room."""

ENDS_SAMPLES = 4_800
"""What trimming takes off each end, 0.3 s, but never more than a quarter of a recording. Detectors have learned the
length of silence at the ends instead of speech (Mueller et al., ASVspoof workshop 2021)."""

PASS_HZ, STOP_HZ, STOP_DB = 3_400.0, 3_800.0, 80.0
"""The low-pass: flat up to the upper end of the telephone band (ITU-T G.712), gone from the second on."""

KAISER_OFFSET, KAISER_SLOPE = 7.95, 2.285
"""Kaiser's estimate of a filter's length: (STOP_DB - offset) / (slope * width in radians a sample) (Kaiser 1974)."""

Alter = Callable[[Samples, int], Samples]
"""Changes one recording (n,), given a seed."""

Change = Callable[[Sequence[Samples], Sequence[int]], list[Samples]]
"""Changes many recordings, given a seed for each; none depends on another."""

Move = Callable[[Clip, Samples], Clip]
"""Moves a clip's truth, given the recording as it was: spans, length and, where it must be, the label."""


@dataclass(frozen=True, eq=False, slots=True)
class Corrupted:
    """A recording after a corruption, and what is true of it now."""

    samples: Samples
    """float32 (n,) at 16 kHz. Beyond full scale is allowed, as in whatever it was made from."""
    clip: Clip
    """The clip with the segments moved and `n_samples` as it is now; the label changes only where trimming takes
    away what made it. All else is as before, the path too."""


@dataclass(frozen=True)
class Corruption:
    """One way in which recordings get worse; pickles."""

    words: str
    """What it does, for people."""
    change: Change
    move: Move


def corrupt(samples: Samples, clip: Clip, *, name: str, seed: int) -> Corrupted:
    """Corrupt one recording; see `corrupt_many`, which is much faster for the codecs."""
    return corrupt_many([(samples, clip)], name=name, seed=seed)[0]


def corrupt_many(recordings: Sequence[tuple[Samples, Clip]], *, name: str, seed: int) -> list[Corrupted]:
    """Corrupt recordings, all codecs together: 48 of them share two processes of ffmpeg.

    Parameters
    ----------
    recordings
        Each with its clip: float32 (n,) at 16 kHz, any n, also 0. Segments that reach behind the end are cut there.
    name
        One of `CORRUPTIONS`.
    seed
        0 or more. What a recording hears derives from it, from `name` and from the clip's path.

    Returns
    -------
    one for each recording, in order

    Raises
    ------
    UsageError
        For an unknown name.
    EngineError
        When a codec is asked for and ffmpeg is missing or cannot code it.
    """
    if name not in CORRUPTIONS:
        raise UsageError(f"stress: expected one of {', '.join(CORRUPTIONS)}, received {name!r}")
    corruption = CORRUPTIONS[name]
    before = [np.asarray(samples, dtype=np.float32) for samples, _ in recordings]
    after = corruption.change(before, [_seed_of(seed, name, clip.path) for _, clip in recordings])
    clips = [corruption.move(clip, samples) for (_, clip), samples in zip(recordings, before, strict=True)]
    return [Corrupted(samples, clip) for samples, clip in zip(after, clips, strict=True)]


@dataclass(frozen=True)
class Stress:
    """One corruption as a function of recordings with their clips, which pickles: for workers of their own.

    Raises
    ------
    UsageError
        For an unknown name.
    """

    name: str
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a name that is none, before anything is judged."""
        corrupt_many([], name=self.name, seed=self.seed)

    def __call__(self, recordings: Sequence[tuple[Samples, Clip]]) -> list[tuple[Samples, Clip]]:
        """Corrupt recordings as `corrupt_many` does."""
        return [(found.samples, found.clip) for found in corrupt_many(recordings, name=self.name, seed=self.seed)]


def _seed_of(seed: int, name: str, path: str) -> int:
    """Return a seed of 64 bits that belongs to this recording and this corruption."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{name}\n{path}".encode()).digest()[:8], "big")


# What happens to the samples


def _each(recordings: Sequence[Samples], seeds: Sequence[int], *, alter: Alter) -> list[Samples]:
    return [alter(samples, seed) for samples, seed in zip(recordings, seeds, strict=True)]


def _coded(recordings: Sequence[Samples], seeds: Sequence[int], *, coding: Coding) -> list[Samples]:
    return pass_codecs(recordings, [coding] * len(recordings))


def _noisy(samples: Samples, seed: int, *, snr_db: float) -> Samples:
    """Add noise of the spectrum of speech, so many dB below the level of the speech; silence has no such level."""
    level_dbfs = active_dbfs(samples)
    if level_dbfs <= SILENCE_DBFS:
        return samples
    drawn = generated("white", min(samples.size, NOISE_SAMPLES), rng=np.random.default_rng(seed))
    noise = weighted(drawn, _speech_gain).astype(np.float32)
    if noise.size < samples.size:
        noise = np.resize(looped(noise), samples.size)
    return samples + np.float32(from_db(level_dbfs - snr_db)) * unit_rms(noise)


def _speech_gain(frequency_hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the amplitude of speech at each frequency (n,), per hertz; level beyond the outermost bands."""
    centres_hz, levels_db = np.array(list(SPEECH_DB)), np.array(list(SPEECH_DB.values()))
    # A band is as wide as it is high, so its level says 10 dB more for every decade than a hertz within it has.
    density_db = levels_db - 10.0 * np.log10(centres_hz)
    at = np.log(np.maximum(frequency_hz, centres_hz[0]))
    return np.asarray(10.0 ** (np.interp(at, np.log(centres_hz), density_db - density_db.max()) / 20.0))


def _in_room(samples: Samples, seed: int) -> Samples:
    return reverberated(samples, _room())


@lru_cache(maxsize=1)
def _room() -> Samples:
    """Return the response of the one room: from its middle across, both away from walls and from each other's axis."""
    x, y, z = ROOM_SIZE_M
    surface = 2.0 * (x * y + y * z + x * z)
    microphone_m = (2.3, 1.9, 1.1)
    mouth_m = (microphone_m[0] + 0.8 * ROOM_DISTANCE_M, microphone_m[1] + 0.6 * ROOM_DISTANCE_M, 1.1)
    box = Box(ROOM_SIZE_M, mouth_m, microphone_m, absorption=SABINE * x * y * z / (surface * ROOM_RT60_S))
    response = simulated(box, rng=np.random.default_rng(ROOM_SEED))
    response.flags.writeable = False
    return response


def _sped(samples: Samples, seed: int, *, speed: Fraction) -> Samples:
    """Play (n,) at another speed, pitch and all: what was at sample p is then at p / speed."""
    n_samples = _at(samples.size, speed)
    if samples.size == 0:
        return samples
    resampled = soxr.resample(samples, speed.numerator, speed.denominator, quality="HQ")
    return fitted(resampled, n_samples)


def _quieter(samples: Samples, seed: int, *, gain_db: float) -> Samples:
    """Turn down, and round to 16 bits as a file does: a gain alone is nothing to features without a level."""
    return to_float(to_pcm(samples * np.float32(from_db(gain_db))))


def _trimmed(samples: Samples, seed: int) -> Samples:
    onset, offset = _kept(samples.size)
    return samples[onset:offset].copy()


def _low_passed(samples: Samples, seed: int) -> Samples:
    """Take away what lies above the telephone band, and round to 16 bits: what is left up there says nothing."""
    import scipy.signal

    if samples.size == 0:
        return samples
    # By pieces, so that the memory of a long recording stays bounded; the taps are symmetric, so nothing is delayed.
    passed = scipy.signal.oaconvolve(samples, _low_pass(), mode="full")
    return to_float(to_pcm(passed[_half() : _half() + samples.size]))


def _half() -> int:
    """Return how many taps the low-pass has on either side of the one in the middle."""
    width = 2.0 * np.pi * (STOP_HZ - PASS_HZ) / SAMPLE_RATE
    return int(np.ceil((STOP_DB - KAISER_OFFSET) / (KAISER_SLOPE * width) / 2.0))


@lru_cache(maxsize=1)
def _low_pass() -> Samples:
    """Return the taps of the low-pass: a sinc under Kaiser's window."""
    import scipy.signal

    window = ("kaiser", scipy.signal.kaiser_beta(STOP_DB))
    middle_hz = (PASS_HZ + STOP_HZ) / 2.0
    taps = scipy.signal.firwin(2 * _half() + 1, middle_hz, window=window, fs=SAMPLE_RATE).astype(np.float32)
    taps.flags.writeable = False
    return np.asarray(taps)


# What happens to the truth


def _in_place(clip: Clip, samples: Samples) -> Clip:
    """Move nothing; a span that reaches behind the end, as rounded seconds do, is cut there."""
    return replace(clip, segments=tuple(clip_to(clip.segments, 0, samples.size)), n_samples=samples.size)


def _respaced(clip: Clip, samples: Samples, *, speed: Fraction) -> Clip:
    """Move each boundary to the sample that is nearest to its new place; a span keeps at least one sample."""
    clip, n_samples = _in_place(clip, samples), _at(samples.size, speed)
    spans = []
    for segment in clip.segments:
        onset = min(_at(segment.onset, speed), n_samples - 1)
        spans.append(replace(segment, onset=onset, offset=max(_at(segment.offset, speed), onset + 1)))
    return replace(clip, segments=tuple(spans), n_samples=n_samples)


def _at(sample: int, speed: Fraction) -> int:
    """Return where a sample, or an end, comes to lie: sample / speed, halves upwards, without floating point."""
    return (2 * sample * speed.denominator + speed.numerator) // (2 * speed.numerator)


def _kept(n_samples: int) -> tuple[int, int]:
    """Return from and up to which sample trimming keeps a recording of this length."""
    end = min(ENDS_SAMPLES, n_samples // 4)
    return end, n_samples - end


def _cropped(clip: Clip, samples: Samples) -> Clip:
    """Cut the truth as the recording is cut."""
    clip = _in_place(clip, samples)
    onset, offset = _kept(samples.size)
    spans = tuple(clip_to(clip.segments, onset, offset))
    label = _label_after(clip, [s for s in spans if s.label == FAKE], samples)
    return replace(clip, label=label, segments=spans, n_samples=offset - onset)


def _label_after(clip: Clip, left: list[Segment], samples: Samples) -> str:
    """Name what trimming leaves: nothing fake is real, nothing genuine is fake.

    In between, the label stands (it is the set's own, by a rule that may not be ours), unless our rule in
    `audio.labels` says one thing of the speech before and another after. Without fake spans nobody knows, and the label
    stands too.
    """
    fake = [segment for segment in clip.segments if segment.label == FAKE]
    onset, offset = _kept(samples.size)
    if not fake:
        return clip.label
    if not left or total(left) == offset - onset:
        return FAKE if left else REAL
    speech = from_frames(speech_frames(samples), SAMPLE_RATE // 50, samples.size)
    heard = clip_to(speech, onset, offset)
    before, after = (label_of(overlap(a, b), total(b)) for a, b in ((fake, speech), (left, heard)))
    return after if after != before and after in (FAKE, HYBRID) else clip.label


# The list


def _alone(words: str, alter: Alter) -> Corruption:
    return Corruption(words, partial(_each, alter=alter), _in_place)


def _codec(words: str, coding: Coding) -> Corruption:
    return Corruption(words, partial(_coded, coding=coding), _in_place)


def _speed(words: str, speed: Fraction) -> Corruption:
    return Corruption(words, partial(_each, alter=partial(_sped, speed=speed)), partial(_respaced, speed=speed))


CORRUPTIONS: Mapping[str, Corruption] = {
    "mp3_64k": _codec("MP3 at 64 kbit/s", Coding("mp3", 64)),
    "opus_16k": _codec("Opus at 16 kbit/s", Coding("opus", 16)),
    "g711_8khz": _codec("G.711 A-law at 8 kHz: a telephone line", Coding("g711_alaw", 64)),
    "noise_20db": _alone("speech-shaped noise 20 dB below the speech", partial(_noisy, snr_db=20.0)),
    "noise_10db": _alone("speech-shaped noise 10 dB below the speech", partial(_noisy, snr_db=10.0)),
    "noise_0db": _alone("speech-shaped noise as loud as the speech", partial(_noisy, snr_db=0.0)),
    "reverb": _alone("a room of 73 cubic metres, RT60 0.5 s, heard from 1.5 m", _in_room),
    "speed_0.95": _speed("5 % slower, and lower", Fraction(19, 20)),
    "speed_1.05": _speed("5 % faster, and higher", Fraction(21, 20)),
    "gain_-20db": _alone("20 dB quieter, in 16 bits", partial(_quieter, gain_db=-20.0)),
    "trim": Corruption("0.3 s less at each end", partial(_each, alter=_trimmed), _cropped),
    "lowpass_3.4khz": _alone("nothing above 3.4 kHz, in 16 bits", _low_passed),
}
"""Every corruption by its name, in the order in which a table shows them."""
