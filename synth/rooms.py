"""Rooms: impulse responses, simulated from a plan of the room or taken from a folder, with the direct path at 0.

A simulated room is a box. Its early reflections come from image sources (Allen and Berkley 1979, through
pyroomacoustics), its late ones are noise that decays at the same rate, as in the diffuse reverberation model of
Lehmann and Johansson (2010): image sources alone take seconds for a tail that nobody can tell from noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from audio.errors import ToolkitError
from audio.reading import read
from audio.segments import SAMPLE_RATE
from synth.pcm import Samples, from_db
from synth.sounds import Sound, SoundFolder, sound_from_json

SIZE_M = ((2.5, 8.0), (2.5, 6.0), (2.3, 3.5))
"""Ranges of length, width and height: from a booth to a classroom."""

RT60_S = (0.1, 0.7)
"""Range of the time in which sound decays by 60 dB, uniform: furnished rooms, no halls."""

DISTANCE_M = (0.15, 1.5)
"""Range of the way from mouth to microphone, uniform in its logarithm: from a headset to a speakerphone."""

WALL_M = 0.3
"""How near a mouth or a microphone comes to a wall."""

ABSORPTION = (0.01, 0.95)
"""Range of the absorption of the walls, within which Sabine's formula stands for something."""

IMAGE_ORDER = 8
"""Reflections that are followed one by one: 833 images, complete for the first 30 to 60 ms."""

SOUND_M_PER_S = 343.0
"""Speed of sound at 20 degrees Celsius."""

SABINE = 0.161
"""Sabine's constant in s/m at 20 degrees Celsius: 24 ln 10 / 343."""

TAIL_FIT_SAMPLES = 160
"""The tail begins as loud as these last 10 ms of the early part."""

LEAD_SAMPLES = 24
"""Samples kept before the direct path: the rising side of its band-limited pulse."""

SINC_SAMPLES = 2 * LEAD_SAMPLES + 1
"""Length of the windowed sinc by which a path of any length is placed between samples."""

DIRECT_SAMPLES = 4
"""What arrives within a quarter of a millisecond of the strongest path counts as direct, the rest as the room."""

DIRECT_DB = 6.0
"""Least ratio of direct sound to room, both weighted as speech is: a microphone near the mouth. Without it 1 clip
in 8 had its largest cross-correlation at a reflection, with it 1 in 200, which `reverberated` then puts right
(real speech in 73 recorded and many simulated rooms)."""

ROOM_HZ = 120.0
"""Below it rooms answer with single tones, and image sources all with one sign: corner of a high-pass."""

SPEECH_HZ = 500.0
"""Above it the long-term spectrum of speech falls (Byrne et al. 1994): corner of a low-pass of order 1."""

LAG_SAMPLES = 6
"""Farthest from 0 that the cross-correlation of a clip with itself in a room may peak; else the room is turned
down. It leaves most of the millisecond to the steps that follow."""

ROOM_GAINS = (1.0, 0.7, 0.5, 0.35, 0.25, 0.0)
"""What is tried when a room is turned down, in turn."""

LONGEST_SAMPLES = SAMPLE_RATE
"""Longest response that is used: 1 s, in which all simulated rooms have decayed."""

LONGEST_FILE_S = 20.0
"""What lasts longer in a folder is taken for a recording, not for an impulse response."""

DECAY_60_DB = 3.0 * np.log(10.0)
"""An amplitude that decays as exp(-DECAY_60_DB t / RT60) has lost 60 dB at RT60."""


@dataclass(frozen=True)
class Box:
    """A rectangular room with one absorption everywhere, a mouth and a microphone, all in metres.

    Raises
    ------
    ToolkitError
        For a room without volume, a place outside it, or mouth and microphone in one place.
    """

    size_m: tuple[float, float, float]
    mouth_m: tuple[float, float, float]
    microphone_m: tuple[float, float, float]
    absorption: float

    def __post_init__(self) -> None:
        """Check the numbers; lists, as JSON has them, become tuples."""
        try:
            for name in ("size_m", "mouth_m", "microphone_m"):
                x, y, z = (float(metres) for metres in getattr(self, name))
                object.__setattr__(self, name, (x, y, z))
            places = (*zip(self.mouth_m, self.size_m, strict=True), *zip(self.microphone_m, self.size_m, strict=True))
            sound = all(0.0 < at < size for at, size in places) and 0.0 < float(self.absorption) <= 1.0
        except (TypeError, ValueError):
            sound = False
        if not sound or self.mouth_m == self.microphone_m:
            raise ToolkitError(f"room: expected two places inside a box that absorbs, received {self}")

    @property
    def rt60_s(self) -> float:
        """Reverberation time by Sabine's formula."""
        x, y, z = self.size_m
        return float(SABINE * x * y * z / (2.0 * (x * y + y * z + x * z) * self.absorption))


Room = Box | Sound
"""A simulated room, or an impulse response in the kit's folder."""


def choose_box(rng: np.random.Generator) -> Box:
    """Draw a room; centimetres are fine enough for its plan."""
    size_m = np.array([rng.uniform(*bounds) for bounds in SIZE_M])
    microphone_m = rng.uniform(WALL_M, size_m - WALL_M)
    direction = rng.standard_normal(3) * (1.0, 1.0, 0.3)  # heads and microphones are about as high
    distance_m = float(np.exp(rng.uniform(*np.log(DISTANCE_M))))
    mouth_m = microphone_m + direction * (distance_m / np.linalg.norm(direction))
    mouth_m = np.where((mouth_m < WALL_M) | (mouth_m > size_m - WALL_M), 2 * microphone_m - mouth_m, mouth_m)
    mouth_m = np.clip(mouth_m, WALL_M, size_m - WALL_M)
    surface = 2.0 * (size_m[0] * size_m[1] + size_m[1] * size_m[2] + size_m[0] * size_m[2])
    absorption = np.clip(SABINE * size_m.prod() / (surface * rng.uniform(*RT60_S)), *ABSORPTION)
    return Box(
        size_m=_rounded(size_m),
        mouth_m=_rounded(mouth_m),
        microphone_m=_rounded(microphone_m),
        absorption=round(float(absorption), 4),
    )


def _rounded(place_m: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (round(float(metres), 2) for metres in place_m)
    return x, y, z


def simulated(box: Box, *, rng: np.random.Generator) -> Samples:
    """Return the impulse response of `box`, the direct path `LEAD_SAMPLES` behind its start and 1 high.

    Parameters
    ----------
    box
        The room.
    rng
        What the late reflections are drawn from.

    Returns
    -------
    float32 (n,), n at most `LEAD_SAMPLES + LONGEST_SAMPLES`
    """
    delays, amplitudes = _paths(box)
    x, y, z = box.size_m
    # No path with more reflections is shorter than this: that many steps along the shortest way through the room.
    complete_m = IMAGE_ORDER / np.sqrt(x**-2 + y**-2 + z**-2)
    n_early = max(int(complete_m / SOUND_M_PER_S * SAMPLE_RATE), int(delays[0]) + 2 * TAIL_FIT_SAMPLES)
    n_samples = min(max(int(box.rt60_s * SAMPLE_RATE), n_early), LONGEST_SAMPLES)
    early = _placed(delays, amplitudes, n_samples=n_early)
    fit = early[-TAIL_FIT_SAMPLES:]
    level = float(np.sqrt(np.mean(np.square(fit))))
    time_s = np.arange(1, n_samples - n_early + 1) / SAMPLE_RATE
    tail = level * np.exp(-DECAY_60_DB * time_s / box.rt60_s) * rng.standard_normal(time_s.size)
    return from_direct_path(np.concatenate([early, tail]))


def _paths(box: Box) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return delay in samples and amplitude of every path up to `IMAGE_ORDER`, the direct one first."""
    import pyroomacoustics

    material = pyroomacoustics.Material(box.absorption)
    room = pyroomacoustics.ShoeBox(box.size_m, fs=SAMPLE_RATE, materials=material, max_order=IMAGE_ORDER)
    room.add_source(box.mouth_m)
    room.add_microphone(box.microphone_m)
    # Placed here, not by room.compute_rir: its sum depends on its number of threads, and it loses low notes.
    room.image_source_model()
    source = room.sources[0]
    away_m = np.linalg.norm(source.images.astype(np.float64) - np.array(box.microphone_m)[:, None], axis=0)
    order = np.argsort(away_m, kind="stable")
    amplitudes = source.damping[0].astype(np.float64) / (4.0 * np.pi * away_m)
    return away_m[order] / SOUND_M_PER_S * SAMPLE_RATE, amplitudes[order]


def _placed(
    delays: npt.NDArray[np.float64], amplitudes: npt.NDArray[np.float64], *, n_samples: int
) -> npt.NDArray[np.float64]:
    """Sum windowed sincs at `delays`, in samples, into (n_samples,) that begin `LEAD_SAMPLES` early."""
    kept = delays < n_samples - 1
    whole = np.floor(delays[kept]).astype(np.int64)
    offset = np.arange(SINC_SAMPLES) - LEAD_SAMPLES - (delays[kept] - whole)[:, None]
    pulses = np.sinc(offset) * np.cos(np.pi * offset / (SINC_SAMPLES + 2)) ** 2 * amplitudes[kept][:, None]
    at = whole[:, None] + np.arange(SINC_SAMPLES)
    return np.bincount(at.ravel(), pulses.ravel(), minlength=n_samples)[:n_samples].astype(np.float64)


def from_direct_path(response: npt.NDArray[np.floating]) -> Samples:
    """Return `response` from `LEAD_SAMPLES` before its strongest sound on, which becomes 1.

    What is strongest is judged as cross-correlation with speech judges it, be it direct or not, and becomes
    positive. What is not direct is freed from what lies below `ROOM_HZ`, and turned down until `DIRECT_DB` are
    kept. The end is faded out.

    Parameters
    ----------
    response
        Floats (n,), n at least 1, not all 0.

    Returns
    -------
    float32 (m,), m at most `LEAD_SAMPLES + LONGEST_SAMPLES`
    """
    padded = np.pad(response.astype(np.float64), LEAD_SAMPLES)
    heard = _speech_weighted(_speech_weighted(padded)[::-1])[::-1]
    strongest = int(np.argmax(np.abs(heard[LEAD_SAMPLES:-LEAD_SAMPLES])))
    kept = padded[strongest : strongest + LEAD_SAMPLES + LONGEST_SAMPLES] * np.sign(heard[strongest + LEAD_SAMPLES])
    n_fade = min(TAIL_FIT_SAMPLES, kept.size - 2 * LEAD_SAMPLES)
    kept[kept.size - n_fade :] *= np.linspace(1.0, 0.0, n_fade)
    direct, room = _parts(kept / np.abs(kept).max())
    room = _band(room, ROOM_HZ, "high")
    excess_db = DIRECT_DB - 10.0 * np.log10(_energy(direct) / max(_energy(room), 1e-12))
    return (direct + from_db(-max(excess_db, 0.0)) * room).astype(np.float32)


def _parts(response: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the direct sound of a response (n,) and the rest of it, both (n,)."""
    direct = np.zeros_like(response)
    window = slice(LEAD_SAMPLES - DIRECT_SAMPLES, LEAD_SAMPLES + DIRECT_SAMPLES + 1)
    direct[window] = response[window]
    return direct, response - direct


def _energy(response: npt.NDArray[np.float64]) -> float:
    return float(np.sum(np.square(_speech_weighted(response))))


def _speech_weighted(response: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return _band(_band(response, ROOM_HZ, "high"), SPEECH_HZ, "low")


def _band(response: npt.NDArray[np.float64], corner_hz: float, side: str) -> npt.NDArray[np.float64]:
    """Filter by a Butterworth of order 1, which delays what it passes by next to nothing."""
    import scipy.signal

    # By the bilinear transform, as scipy.signal.butter, which takes longer than the filtering.
    warped = np.tan(np.pi * corner_hz / SAMPLE_RATE)
    b = np.array([1.0, -1.0] if side == "high" else [warped, warped]) / (1.0 + warped)
    return np.asarray(scipy.signal.lfilter(b, [1.0, (warped - 1.0) / (warped + 1.0)], response), dtype=np.float64)


def recorded(folder: SoundFolder, sound: Sound) -> Samples:
    """Return an impulse response of the folder as `from_direct_path` makes it; do not write to it.

    Raises
    ------
    AudioError
        When the file is missing, or is not the one of the plan.
    """
    return _recorded(folder.find(sound), sound.sha256)


@lru_cache(maxsize=256)
def _recorded(path: Path, sha256: str) -> Samples:
    response = from_direct_path(read(path))
    response.flags.writeable = False
    return response


def reverberated(samples: Samples, response: Samples) -> Samples:
    """Let `samples` (n,) sound in the room with this `response`; return float32 (n,), not delayed.

    Where a reflection would be taken for the direct sound, because it lies a period of the voice behind it for
    example, the room is turned down.
    """
    import scipy.fft

    if samples.size == 0:
        return samples
    size = scipy.fft.next_fast_len(samples.size + response.size, real=True)
    spectrum = scipy.fft.rfft(samples, size)
    direct, room = (scipy.fft.rfft(part, size) for part in _parts(response))
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    by_direct, by_room = (scipy.fft.irfft(power * part, size) for part in (direct, room))
    gain = next(gain for gain in ROOM_GAINS if gain == 0.0 or _is_aligned(by_direct + np.float32(gain) * by_room))
    heard = scipy.fft.irfft(spectrum * (direct + np.float32(gain) * room), size)
    return np.asarray(heard[LEAD_SAMPLES : LEAD_SAMPLES + samples.size], dtype=np.float32)


def _is_aligned(correlation: npt.NDArray[np.float32]) -> bool:
    return abs(int(np.argmax(correlation)) - LEAD_SAMPLES) <= LAG_SAMPLES


def room_to_json(room: Room) -> dict[str, Any]:
    """Return a room as what JSON can hold; `room_from_json` turns it back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(room).items()}


def room_from_json(facts: Mapping[str, Any]) -> Room:
    """Rebuild a room; raise `ToolkitError` when `facts` is none."""
    if "sha256" in facts:
        return sound_from_json(facts)
    try:
        return Box(**facts)
    except TypeError as error:
        raise ToolkitError(f"room: {error}") from None
