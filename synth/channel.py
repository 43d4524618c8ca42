"""The way from the splicer to the listener: room, noise, microphone, level, clipping, bandwidth, rates, codec.

Every clip of every class passes it after splicing, drawn from one distribution, so that neither level nor codec
nor noise tells the class. A plan is drawn first and applied second; plan, seed and the folders of the kit give the
same samples every time. Every step keeps the length, and the place of each sample within 1 ms: rooms begin with
their direct path, filters have no phase or next to none, and codec delays are taken out (see `synth.codecs`).

audiomentations does not serve: it draws from the global random state, and what it would add is a few lines here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from audio.errors import EngineError, ToolkitError, UsageError
from audio.segments import SAMPLE_RATE
from synth.codecs import CODECS, FULL_BUILD, Coding, available_codings, pass_codecs
from synth.noise import Noise, choose_noise, generated, noise_from_json, noise_to_json
from synth.noise import recorded as recorded_noise
from synth.pcm import FULL_SCALE, SILENCE_DBFS, Samples, from_db, rms_dbfs
from synth.rooms import LONGEST_FILE_S, Box, Room, choose_box, reverberated, room_from_json, room_to_json, simulated
from synth.rooms import recorded as recorded_room
from synth.sounds import SoundFolder, list_sounds

ROOM_SHARE = 0.35
"""Share of clips that sound in a room; the others were spoken into the microphone."""

RECORDED_SHARE = 0.5
"""Share of rooms, and of noises, that come from a folder, where there is one."""

LOUD_NOISE_SHARE = 0.45
"""Share of clips whose noise is meant to be heard. The others have a little: no recorder is silent."""

SNR_DB = (5.0, 25.0)
"""Range of the ratio of speech to noise that is meant to be heard, uniform in dB: from a busy street to a quiet
room."""

FLOOR_SNR_DB = (25.0, 50.0)
"""The same where it is not: it covers what noise the recordings brought along, or lacked."""

LOW_HZ = (20.0, 200.0)
"""Range of the high-pass corner, uniform in its logarithm: recorders stop offset, handsets roll off higher."""

DISPERSION_SHARE = 0.6
"""Share of clips whose microphone and line delay some frequencies more than others."""

DISPERSION_MS = 0.4
"""Largest such delay, either way; with the other steps it stays within 1 ms."""

DISPERSION_HZ = (125.0, 250.0, 500.0, 1_000.0, 2_000.0, 4_000.0, 8_000.0)
"""Where the delays are drawn, uniformly; they run straight in between, on an axis of octaves."""

LEVEL_DBFS = (-40.0, -18.0)
"""Range of the level of the speech, uniform: absolute, so that what a clip had before says nothing."""

MAX_GAIN_DB = 40.0
"""Most that a clip is raised, so that silence does not become noise."""

OVERLOAD_SHARES = {"limiter": 0.5, "soft": 0.1, "hard": 0.08}
"""Share of clips with each kind of overload: gain control as in every phone, a saturated input, a clipped one."""

CREST_DB = {"limiter": (8.0, 16.0), "soft": (9.0, 16.0), "hard": (9.0, 15.0)}
"""Range of the ceiling of an overload above the level of the speech, uniform; speech peaks 12 to 20 dB above."""

LIMITER_SAMPLES = 80
"""How long before a peak a limiter begins to turn down, and how long after it ends: 5 ms."""

PEAK = 0.98
"""Largest magnitude handed to a codec, so that its overshoot seldom clips."""

HIGH_SHARE = 0.3
"""Share of clips that lose a little at the upper end of the spectrum."""

HIGH_HZ = (5_500.0, 7_800.0)
"""Range of the low-pass corner, uniform and mild: high bands carry evidence, and telephones are issue enough."""

RESAMPLE_SHARES = (0.65, 0.25, 0.1)
"""Shares of clips that pass no other sample rate, one, and two."""

WIDE_RATES_HZ = (22_050, 24_000, 32_000, 44_100, 48_000)
"""Sample rates that keep the band, up to what a resampler of that quality takes."""

NARROW_RATES_HZ = (8_000, 11_025, 12_000)
"""Sample rates that cut it."""

NARROW_SHARE = 0.15
"""Share of other sample rates that are narrow: at random, a few clips of each class lose their upper band."""

RESAMPLERS = ("QQ", "LQ", "MQ", "HQ", "VHQ")
"""Qualities of soxr, from cubic interpolation, which aliases, to 28 bits."""

CODEC_SHARE = 0.4
"""Share of clips that pass a codec."""

TELEPHONE_SHARE = 0.2
"""Share of codecs that are narrowband; within either kind each codec and each of its bitrates is equally likely."""

DITHER_LSB = (0.3, 3.0)
"""Range of the noise of the last 16-bit converter, RMS in steps, uniform in its logarithm: without it, runs of
equal samples would tell which codec or synthesiser knows silence."""

OFFSET_LSB = (-4.0, 4.0)
"""Range of the offset of that converter, in steps, uniform. It replaces what limiters and codecs make of the
asymmetry of voices, which differs between synthesisers."""

GATE_SAMPLES = 320
"""Frame of the level of speech: 20 ms."""

GATE_DB = 10.0
"""Frames further than this below the mean power do not count as speech: the relative gate of ITU-R BS.1770-4."""

NUMBERS = ("snr_db", "low_hz", "level_dbfs", "gain_db", "crest_db", "high_hz", "kbps", "offset_lsb", "dither_lsb")
"""Fields of a plan that are numbers."""

NOISE, TAIL, DITHER = 0, 1, 2
"""Streams of randomness of a clip."""


@dataclass(frozen=True)
class ChannelKit:
    """What plans are drawn from besides numbers: codecs of this ffmpeg, and folders of noises and of rooms."""

    codings: tuple[Coding, ...] = ()
    noises: SoundFolder | None = None
    rooms: SoundFolder | None = None

    def to_json(self) -> dict[str, Any]:
        """Return everything that decides plans and samples as what JSON can hold; not where the folders lie."""
        return {
            "codings": [[coding.codec, coding.kbps] for coding in self.codings],
            "noises": None if self.noises is None else self.noises.to_json(),
            "rooms": None if self.rooms is None else self.rooms.to_json(),
        }


def channel_kit(
    *, noise: Path | None = None, rooms: Path | None = None, codecs: tuple[str, ...] | None = None
) -> ChannelKit:
    """List what is there to draw from.

    Parameters
    ----------
    noise
        Folder with recordings of noise, in any format; None: noise is only generated.
    rooms
        Folder with impulse responses; None: rooms are only simulated.
    codecs
        Names in `synth.codecs.CODECS`; None for all that ffmpeg can code, () for none.

    Raises
    ------
    UsageError
        For an unknown codec, or a folder without a readable recording; single ones are named in the log.
    EngineError
        When ffmpeg is missing, or cannot code a codec that was asked for.
    """
    return ChannelKit(
        codings=_codings(codecs),
        noises=None if noise is None else list_sounds(noise),
        rooms=None if rooms is None else list_sounds(rooms, longest_s=LONGEST_FILE_S),
    )


def _codings(codecs: tuple[str, ...] | None) -> tuple[Coding, ...]:
    if codecs == ():
        return ()
    available = available_codings()
    if codecs is None:
        return available
    if unknown := sorted(set(codecs) - set(CODECS)):
        raise UsageError(f"codecs: expected some of {', '.join(CODECS)}, received {', '.join(unknown)}")
    if missing := sorted(set(codecs) - {coding.codec for coding in available}):
        raise EngineError(f"this ffmpeg cannot code {', '.join(missing)}: {FULL_BUILD}")
    return tuple(coding for coding in available if coding.codec in codecs)


@dataclass(frozen=True)
class ChannelPlan:
    """What happens to a clip, in this order; None, () or 0.0 leaves a step out.

    `gain_db` is what sets of version 1 had instead of `level_dbfs`.

    Raises
    ------
    ToolkitError
        For an unknown kind of anything, or one half of a pair without the other.
    """

    room: Room | None = None
    noise: Noise | None = None
    snr_db: float | None = None
    low_hz: float | None = None
    dispersion_ms: tuple[float, ...] = ()
    """Delays at `DISPERSION_HZ`."""
    level_dbfs: float | None = None
    gain_db: float = 0.0
    overload: str | None = None
    crest_db: float | None = None
    high_hz: float | None = None
    resampling: tuple[tuple[int, str], ...] = ()
    """Sample rates in Hz, each with the quality of its resamplers, that the clip visits in turn."""
    codec: str | None = None
    kbps: float | None = None
    offset_lsb: float | None = None
    """The mean of the samples, in steps of 16 bits."""
    dither_lsb: float = 0.0

    def __post_init__(self) -> None:
        """Check what is a name or a pair; lists, as JSON has them, become tuples."""
        object.__setattr__(self, "dispersion_ms", tuple(self.dispersion_ms))
        object.__setattr__(self, "resampling", tuple((int(rate), str(quality)) for rate, quality in self.resampling))
        pairs = ((self.noise, self.snr_db), (self.overload, self.crest_db), (self.codec, self.kbps))
        if any((one is None) != (other is None) for one, other in pairs):
            expected = "noise with snr_db, overload with crest_db, codec with kbps"
            raise ToolkitError(f"channel: expected {expected}, received {self}")
        if len(self.dispersion_ms) not in (0, len(DISPERSION_HZ)):
            raise ToolkitError(f"channel: expected {len(DISPERSION_HZ)} delays, received {self.dispersion_ms}")
        _check_numbers(self)
        _check_known("overload", [self.overload] if self.overload else [], OVERLOAD_SHARES)
        _check_known("resampler", [quality for _, quality in self.resampling], RESAMPLERS)
        if isinstance(self.noise, str):
            noise_from_json(self.noise)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as what JSON can hold; `from_json` turns it back."""
        facts = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            **facts,
            "room": None if self.room is None else room_to_json(self.room),
            "noise": None if self.noise is None else noise_to_json(self.noise),
            "dispersion_ms": list(self.dispersion_ms),
            "resampling": [list(visit) for visit in self.resampling],
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> ChannelPlan:
        """Rebuild a plan, also one of version 1; raise `ToolkitError` when `facts` is none."""
        given = dict(facts)
        try:
            if given.get("room") is not None:
                given["room"] = room_from_json(given["room"])
            if given.get("noise") is not None:
                given["noise"] = noise_from_json(given["noise"])
            return cls(**given)
        except (TypeError, ValueError) as error:
            raise ToolkitError(f"channel plan: {error}") from None


def _check_numbers(plan: ChannelPlan) -> None:
    for name in NUMBERS:
        value = getattr(plan, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ToolkitError(f"{name}: expected a number, received {value!r}")


def _check_known(what: str, received: Sequence[str], known: Sequence[str] | Mapping[str, float]) -> None:
    if unknown := [name for name in received if name not in known]:
        raise ToolkitError(f"{what}: expected one of {', '.join(known)}, received {unknown[0]!r}")


def choose_channel(rng: np.random.Generator, kit: ChannelKit) -> ChannelPlan:
    """Draw a plan. It knows nothing of the clip, least of all its class."""
    loud = rng.random() < LOUD_NOISE_SHARE
    dispersed = rng.random() < DISPERSION_SHARE
    delays_ms = rng.uniform(-DISPERSION_MS, DISPERSION_MS, len(DISPERSION_HZ))
    overload = _choose_overload(rng)
    high_hz = _uniform(rng, HIGH_HZ, digits=1)
    coding = _choose_coding(rng, kit.codings)
    return ChannelPlan(
        room=_choose_room(rng, kit.rooms),
        noise=choose_noise(rng, kit.noises, recorded_share=RECORDED_SHARE),
        snr_db=_uniform(rng, SNR_DB if loud else FLOOR_SNR_DB),
        low_hz=_log_uniform(rng, LOW_HZ),
        dispersion_ms=tuple(round(float(delay), 3) for delay in delays_ms) if dispersed else (),
        level_dbfs=_uniform(rng, LEVEL_DBFS),
        overload=overload,
        crest_db=None if overload is None else _uniform(rng, CREST_DB[overload]),
        high_hz=high_hz if rng.random() < HIGH_SHARE else None,
        resampling=_choose_resampling(rng),
        codec=None if coding is None else coding.codec,
        kbps=None if coding is None else coding.kbps,
        offset_lsb=_uniform(rng, OFFSET_LSB),
        dither_lsb=_log_uniform(rng, DITHER_LSB),
    )


def _uniform(rng: np.random.Generator, bounds: tuple[float, float], *, digits: int = 2) -> float:
    return round(float(rng.uniform(*bounds)), digits)


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    return round(float(np.exp(rng.uniform(*np.log(bounds)))), 2)


def _choose_room(rng: np.random.Generator, folder: SoundFolder | None) -> Room | None:
    box = choose_box(rng)
    if rng.random() >= ROOM_SHARE:
        return None
    if folder is None or rng.random() >= RECORDED_SHARE:
        return box
    return folder.sounds[int(rng.integers(len(folder.sounds)))]


def _choose_overload(rng: np.random.Generator) -> str | None:
    kinds, shares = list(OVERLOAD_SHARES), list(OVERLOAD_SHARES.values())
    drawn = int(rng.choice(len(kinds) + 1, p=[*shares, 1.0 - sum(shares)]))
    return kinds[drawn] if drawn < len(kinds) else None


def _choose_resampling(rng: np.random.Generator) -> tuple[tuple[int, str], ...]:
    visits = []
    for _ in range(int(rng.choice(len(RESAMPLE_SHARES), p=RESAMPLE_SHARES))):
        rates_hz = NARROW_RATES_HZ if rng.random() < NARROW_SHARE else WIDE_RATES_HZ
        visits.append((int(rng.choice(rates_hz)), str(rng.choice(RESAMPLERS))))
    return tuple(visits)


def _choose_coding(rng: np.random.Generator, codings: Sequence[Coding]) -> Coding | None:
    if rng.random() >= CODEC_SHARE or not codings:
        return None
    narrow = rng.random() < TELEPHONE_SHARE
    names = sorted({coding.codec for coding in codings})
    kind = [name for name in names if CODECS[name].is_narrowband == narrow] or names
    name = str(rng.choice(kind))
    offered = [coding for coding in codings if coding.codec == name]
    return offered[int(rng.integers(len(offered)))]


def apply_channel(samples: Samples, plan: ChannelPlan, *, seed: int, kit: ChannelKit) -> Samples:
    """Send one clip through its channel; see `apply_channels`."""
    return apply_channels([samples], [plan], seeds=[seed], kit=kit)[0]


def apply_channels(
    clips: Sequence[Samples], plans: Sequence[ChannelPlan], *, seeds: Sequence[int], kit: ChannelKit
) -> list[Samples]:
    """Send each clip through the channel at the same place, all codecs together in two processes.

    Parameters
    ----------
    clips
        float32 arrays (n,) at 16 kHz; any n, also 0.
    plans
        As many as clips.
    seeds
        As many as clips: what noise, late reverberation and dither are drawn from.
    kit
        With the folders that the plans name recordings of.

    Returns
    -------
    float32 arrays of the same lengths, aligned with the clips to less than 1 ms. None depends on another.

    Raises
    ------
    AudioError
        When a noise or a room is missing from its folder, or has changed since the plan was made.
    EngineError
        When a codec is asked for and ffmpeg is missing or cannot code it.
    """
    given = zip(clips, plans, seeds, strict=True)
    sent = [_before_codec(samples, plan, seed=seed, kit=kit) for samples, plan, seed in given]
    codings = {i: Coding(p.codec, p.kbps) for i, p in enumerate(plans) if p.codec is not None and p.kbps is not None}
    received = pass_codecs([sent[i] for i in codings], list(codings.values()))
    for i, samples in zip(codings, received, strict=True):
        sent[i] = samples
    return [_converted(samples, plan, seed=seed) for samples, plan, seed in zip(sent, plans, seeds, strict=True)]


def _before_codec(samples: Samples, plan: ChannelPlan, *, seed: int, kit: ChannelKit) -> Samples:
    changed = samples.astype(np.float32)
    if plan.room is not None:
        changed = reverberated(changed, _response(plan.room, kit, seed=seed))
    if plan.noise is not None and plan.snr_db is not None:
        level = from_db(active_dbfs(changed) - plan.snr_db)
        changed = changed + np.float32(level) * _noise(plan.noise, changed.size, seed=seed, kit=kit)
    changed = filtered(changed, low_hz=plan.low_hz, dispersion_ms=plan.dispersion_ms)
    changed = changed * np.float32(from_db(_gain_db(changed, plan)))
    if plan.overload is not None and plan.crest_db is not None:
        changed = overloaded(changed, plan.overload, ceiling=from_db(active_dbfs(changed) + plan.crest_db))
    changed = filtered(changed, high_hz=plan.high_hz)
    for rate_hz, quality in plan.resampling:
        changed = resampled(changed, rate_hz, quality=quality)
    return limited(changed, PEAK)


def _response(room: Room, kit: ChannelKit, *, seed: int) -> Samples:
    if isinstance(room, Box):
        return simulated(room, rng=np.random.default_rng((seed, TAIL)))
    return recorded_room(_folder(kit.rooms, "rooms", room.path), room)


def _noise(noise: Noise, n_samples: int, *, seed: int, kit: ChannelKit) -> Samples:
    if isinstance(noise, str):
        return generated(noise, n_samples, rng=np.random.default_rng((seed, NOISE)))
    return recorded_noise(_folder(kit.noises, "noise", noise.sound.path), noise, n_samples=n_samples)


def _folder(folder: SoundFolder | None, what: str, path: str) -> SoundFolder:
    if folder is None:
        raise UsageError(f"{what}: expected the folder with {path!r} that the plan was made with, received none")
    return folder


def _gain_db(samples: Samples, plan: ChannelPlan) -> float:
    if plan.level_dbfs is None:
        return plan.gain_db
    return min(plan.level_dbfs - active_dbfs(samples), MAX_GAIN_DB)


def _converted(samples: Samples, plan: ChannelPlan, *, seed: int) -> Samples:
    """Give a clip the offset and the noise of the last converter."""
    if plan.offset_lsb is not None and samples.size:
        samples = samples + np.float32(plan.offset_lsb / FULL_SCALE - samples.mean(dtype=np.float64))
    if plan.dither_lsb == 0.0:
        return samples
    white = np.random.default_rng((seed, DITHER)).standard_normal(samples.size, dtype=np.float32)
    return samples + white * np.float32(plan.dither_lsb / FULL_SCALE)


def active_dbfs(samples: Samples) -> float:
    """Return the level of the speech in `samples` (n,), in dBFS, at least `SILENCE_DBFS`: pauses do not count.

    The RMS of the frames of 20 ms that pass the relative gate of BS.1770-4, twice, because pauses lower the first
    gate too; of all samples in less than a frame.
    """
    frames = samples[: samples.size // GATE_SAMPLES * GATE_SAMPLES].reshape(-1, GATE_SAMPLES).astype(np.float64)
    if not frames.size:
        return rms_dbfs(samples)
    power = np.einsum("ij,ij->i", frames, frames) / GATE_SAMPLES
    level = power.mean()
    for _ in range(2):
        level = power[power >= level / 10.0 ** (GATE_DB / 10.0)].mean()
    return max(10.0 * float(np.log10(level)), SILENCE_DBFS) if level > 0.0 else SILENCE_DBFS


def filtered(
    samples: Samples,
    *,
    low_hz: float | None = None,
    high_hz: float | None = None,
    dispersion_ms: Sequence[float] = (),
) -> Samples:
    """Attenuate what lies below `low_hz` and above `high_hz`, and delay each frequency a little.

    The corners are 3 dB down and have no phase; no frequency moves by more than the largest delay.

    Returns
    -------
    float32 (n,)
    """
    if samples.size == 0 or (low_hz is None and high_hz is None and not dispersion_ms):
        return samples
    import scipy.fft

    # Longer by a second: a filter of 20 Hz must not ring from the end into the beginning.
    size = scipy.fft.next_fast_len(samples.size + SAMPLE_RATE, real=True)
    frequency_hz = (np.arange(size // 2 + 1) * (SAMPLE_RATE / size)).astype(np.float32)
    spectrum = scipy.fft.rfft(samples.astype(np.float32), size)
    if low_hz is not None:
        spectrum *= _butterworth(np.float32(low_hz) / np.maximum(frequency_hz, np.float32(1e-3)))
    if high_hz is not None:
        spectrum *= _butterworth(frequency_hz / np.float32(high_hz))
    if dispersion_ms:
        spectrum *= _dispersion(frequency_hz, dispersion_ms)
    return np.asarray(scipy.fft.irfft(spectrum, size)[: samples.size], dtype=np.float32)


def _butterworth(ratio: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the magnitude at a frequency `ratio` times the corner, into the stop band: order 4, 24 dB an octave."""
    squared = np.square(np.minimum(ratio, np.float32(1e4)))
    # Two squarings more make the eighth power: np.power is ten times slower.
    return np.asarray(1.0 / np.sqrt(1.0 + np.square(np.square(squared))), dtype=np.float32)


def _dispersion(frequency_hz: npt.NDArray[np.float32], delays_ms: Sequence[float]) -> npt.NDArray[np.complex64]:
    """Return the all-pass (n,) whose group delay runs through `delays_ms` at `DISPERSION_HZ`.

    Its phase is the integral of the group delay from 0 Hz on, so that its phase delay, a mean of it, is no larger.
    """
    octaves = np.log2(np.maximum(frequency_hz, DISPERSION_HZ[0]))
    delay_s = np.interp(octaves, np.log2(DISPERSION_HZ), delays_ms) / 1_000.0
    turns = np.cumsum(delay_s) * float(frequency_hz[1] - frequency_hz[0])
    phase = (2.0 * np.pi * (turns - np.rint(turns))).astype(np.float32)
    return np.asarray(np.cos(phase) - np.complex64(1j) * np.sin(phase), dtype=np.complex64)


def overloaded(samples: Samples, kind: str, *, ceiling: float) -> Samples:
    """Keep `samples` (n,) within `ceiling`, a magnitude, in a way of `OVERLOAD_SHARES`; return float32 (n,)."""
    if kind == "limiter":
        return limited(samples, ceiling)
    if kind == "hard":
        return np.clip(samples, np.float32(-ceiling), np.float32(ceiling))
    return np.float32(ceiling) * np.tanh(samples / np.float32(ceiling))


def limited(samples: Samples, ceiling: float) -> Samples:
    """Turn the gain down around peaks beyond `ceiling`, smoothly, looking ahead; return float32 (n,), no later."""
    magnitude = np.abs(samples)
    if magnitude.max(initial=0.0) <= ceiling:
        return samples
    from scipy.ndimage import minimum_filter1d

    wanted = np.float32(ceiling) / np.maximum(magnitude, np.float32(ceiling))
    held = minimum_filter1d(np.pad(wanted, LIMITER_SAMPLES, mode="edge"), 2 * LIMITER_SAMPLES + 1)
    # The mean of minima that each reach to the sample itself is no larger than what the sample needs.
    total = np.cumsum(np.pad(held, (LIMITER_SAMPLES + 1, LIMITER_SAMPLES), mode="edge"), dtype=np.float64)
    width = 2 * LIMITER_SAMPLES + 1
    gain = ((total[width:] - total[:-width]) / width)[LIMITER_SAMPLES : LIMITER_SAMPLES + samples.size]
    return (samples * gain).astype(np.float32)


def resampled(samples: Samples, rate_hz: int, *, quality: str) -> Samples:
    """Take `samples` (n,) to another sample rate and back, both by soxr with this quality; return float32 (n,)."""
    if samples.size == 0:
        return samples
    there = soxr.resample(samples, SAMPLE_RATE, rate_hz, quality=quality)
    back = soxr.resample(there, rate_hz, SAMPLE_RATE, quality=quality)[: samples.size]
    return np.pad(back, (0, samples.size - back.size)).astype(np.float32)
