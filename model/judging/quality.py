"""What a recording is like as a recording: facts that decide whether it can be judged at all, and no facts about fakes.

Everything is measured in blocks of two seconds, so the memory it takes does not grow with the recording, and nothing
depends on any other recording. The facts only describe; `model.judging.abstain` says which of them are too bad.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from audio.cleaning import FRAME_HOP_SAMPLES
from audio.errors import AudioError
from audio.levels import SILENCE_POWER, frame_powers, frame_variances, snr_of_frames
from audio.segments import SAMPLE_RATE, n_frames
from model.features import FRAMES_AT_ONCE
from model.judging.clipping import on_flat_tops
from model.judging.music import is_music

Samples = npt.NDArray[np.floating]
Numbers = npt.NDArray[np.float64]
Marks = npt.NDArray[np.bool_]

BLOCK_SAMPLES = 32_000
"""Length of the blocks, 2 s: a few words, or a bar of music. The last one is one to three seconds long."""

SPECTRUM_SAMPLES = 1_024
"""Length of the spectra, 64 ms: tells partials 60 Hz apart."""

SPECTRUM_STEP = 640
"""Distance between two spectra, 40 ms: two frames."""

MUSIC_SAMPLES = 16_000
"""A shorter block, of a recording of less than a second, is not asked whether it is music: one vowel may sound so."""

MUSIC_SPEECH_SHARE = 0.5
"""Nor is a block in which fewer frames than this sound at all."""

BAND_BINS = 4
"""Bins that the bandwidth is read from together: bands of 62.5 Hz."""

N_BANDS = SPECTRUM_SAMPLES // 2 // BAND_BINS
"""Bands up to 8 kHz: 128."""

BAND_DB = 60.0
"""A band carries something down to so far below the strongest one, as in other measures of bandwidth: the mean
spectrum of speech falls by about 40 dB up to 8 kHz, a filter or codec removes more than 60."""

BAND_LOWEST_HZ = 50.0
"""Below this lie offset and rumble, and no strongest band is looked for."""

BAND_MOVES_DB = 8.0
"""And by so much its mean in speech lies above its quietest tenth. The tenth of stationary noise lies 3 to 5 dB below
its mean: such noise was added after the band was cut, and says nothing of it."""

BAND_HIDES_DB = 40.0
"""Unless that noise is louder than this below the strongest band: there it could hide the speech, whose mean spectrum
falls to 28 to 33 dB below its maximum between 4 and 8 kHz (Byrne et al., JASA 96(4), 1994), and the recording has the
benefit of the doubt."""

FLOOR_SHARE = 0.1
"""The quietest tenth of a block is its floor, as in `audio.levels`."""


@dataclass(frozen=True)
class Quality:
    """Facts about a recording. Those that the recording does not show are None."""

    n_samples: int
    speech_samples: int
    """Frames with speech times their length."""
    level_dbfs: float | None
    """RMS of the frames with speech, in dB re a square wave at full scale; None without speech."""
    peak_dbfs: float | None
    """Largest magnitude; None for digital silence."""
    snr_db: float | None
    """By how much what is loud stands above what is quiet (`audio.levels.snr_of_frames`), digital silence left out."""
    clipped_share: float
    """Share of the samples in speech that lie on flat tops, at any level."""
    bandwidth_hz: float | None
    """Highest frequency at which speech, rather than constant noise, is less than 60 dB below its strongest band; None
    without speech."""
    music_share: float
    """Share of the frames with speech that lie in blocks of music or tones."""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / SAMPLE_RATE

    @property
    def speech_s(self) -> float:
        """How much may be speech, in seconds."""
        return self.speech_samples / SAMPLE_RATE

    @property
    def speech_share(self) -> float:
        """Share of the recording that may be speech; 0 for an empty one."""
        return min(1.0, self.speech_samples / self.n_samples) if self.n_samples else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the facts as what JSON can hold."""
        return asdict(self)


class _Look(NamedTuple):
    """What one block adds; an offset of the converter is neither level nor noise."""

    peak: float
    """Largest distance from the mean."""
    powers: Numbers
    """Mean power of each frame about its mean."""
    musical_frames: int
    clipped_samples: int
    n_spectra: int
    """Spectra that lie in speech."""
    band_power: Numbers
    """Mean power of each band in those."""
    band_floor: Numbers
    """Mean power of each band in the quietest tenth of all spectra of the block."""


def measure(samples: Samples, speech: Marks) -> Quality:
    """Measure a recording of any length.

    Parameters
    ----------
    samples
        float (n,) at 16 kHz, full scale 1, finite.
    speech
        which frames are loud enough to be speech, bool (n_frames,), as `audio.cleaning.speech_frames` gives them.

    Raises
    ------
    AudioError
        When `speech` is of another length.
    """
    expected = n_frames(samples.size, FRAME_HOP_SAMPLES)
    if speech.shape != (expected,):
        raise AudioError(f"speech: expected {expected} frames for {samples.size} samples, received {speech.shape}")
    meter = Meter()
    meter.hear(samples, speech)
    return meter.finish()


class Meter:
    """Measures a recording piece by piece and keeps none of its samples but those of a block that is not whole yet."""

    def __init__(self, *, n_kept: int = 0) -> None:
        """Start a recording; of the last `n_kept` blocks the measures are kept one by one, for `since`."""
        self._kept: deque[tuple[_Look, Marks]] = deque(maxlen=n_kept)
        self._n_blocks = 0
        self._held: Samples = np.zeros(0, dtype=np.float32)
        self._marks: Marks = np.zeros(0, dtype=np.bool_)
        self._n_samples = 0
        self._peak = 0.0
        self._powers: list[Numbers] = []
        self._speech: list[Marks] = []
        self._musical_frames = self._clipped_samples = self._n_spectra = 0
        self._band_power, self._band_floor = np.zeros(N_BANDS), np.zeros(N_BANDS)

    def hear(self, samples: Samples, speech: Marks) -> None:
        """Take the next samples with the marks of their frames; all pieces but the last must be whole frames."""
        self._n_samples += samples.size
        self._held = np.concatenate([self._held, samples]) if self._held.size else samples
        self._marks = np.concatenate([self._marks, speech]) if self._marks.size else speech
        # Half a block at the end, or less, belongs to the one before: a block is whole when more than that follows.
        done = 0
        while self._held.size - done >= BLOCK_SAMPLES + BLOCK_SAMPLES // 2:
            self._look(done, done + BLOCK_SAMPLES)
            done += BLOCK_SAMPLES
        self._held, self._marks = self._held[done:], self._marks[done // FRAME_HOP_SAMPLES :]

    def since(self, block: int) -> Meter:
        """Return a meter that heard the recording from a block on, one of the kept ones, and goes its own way."""
        later = Meter()
        for look, marks in list(self._kept)[block - self._n_blocks :] if block < self._n_blocks else ():
            later._add(look, marks)
        later._held, later._marks = self._held, self._marks
        later._n_samples = self._n_samples - block * BLOCK_SAMPLES
        return later

    def finish(self) -> Quality:
        """Return what the recording was like."""
        self._look(0, self._held.size)
        powers, speech = np.concatenate(self._powers), np.concatenate(self._speech)
        n_speech = int(np.count_nonzero(speech))
        return Quality(
            n_samples=self._n_samples,
            speech_samples=n_speech * FRAME_HOP_SAMPLES,
            level_dbfs=_db(float(powers[speech].mean())) if n_speech else None,
            peak_dbfs=_db(self._peak**2),
            snr_db=snr_of_frames(powers[powers > SILENCE_POWER]),
            clipped_share=self._clipped_samples / max(1, n_speech * FRAME_HOP_SAMPLES),
            bandwidth_hz=_bandwidth_hz(self._band_power, self._band_floor) if self._n_spectra else None,
            music_share=self._musical_frames / max(1, n_speech),
        )

    def _look(self, onset: int, offset: int) -> None:
        hop = FRAME_HOP_SAMPLES
        marks = self._marks[onset // hop : -(-offset // hop)]
        self._add(_look(self._held[onset:offset], marks), marks)

    def _add(self, look: _Look, marks: Marks) -> None:
        self._kept.append((look, marks))
        self._n_blocks += 1
        self._peak = max(self._peak, look.peak)
        self._powers.append(look.powers)
        self._speech.append(marks)
        self._musical_frames += look.musical_frames
        self._clipped_samples += look.clipped_samples
        self._n_spectra += look.n_spectra
        self._band_power += look.n_spectra * look.band_power
        self._band_floor += look.n_spectra * look.band_floor


def _look(samples: Samples, speech: Marks) -> _Look:
    """Look at one block, with the marks of its frames."""
    block = samples - samples.mean() if samples.size else samples
    powers = frame_variances(samples)
    spectra = _power_spectra(block)
    bands = np.add.reduceat(spectra, np.arange(N_BANDS) * BAND_BINS, axis=1)
    heard = speech[: 2 * len(spectra) : 2] | speech[1 : 2 * len(spectra) : 2]
    n_heard = int(np.count_nonzero(heard))
    return _Look(
        peak=float(np.abs(block).max(initial=0.0)),
        powers=powers,
        musical_frames=int(np.count_nonzero(speech)) if _is_musical(block, spectra, powers, speech) else 0,
        clipped_samples=_n_clipped(block, speech),
        n_spectra=n_heard,
        band_power=bands[heard].sum(axis=0) / max(1, n_heard),
        band_floor=_quietest(bands),
    )


def _power_spectra(block: Samples) -> Numbers:
    """Power spectra of a block, float64 (n, 512): a sine of power p has a peak of about p. None of a shorter block."""
    if block.size < SPECTRUM_SAMPLES:
        return np.zeros((0, SPECTRUM_SAMPLES // 2))
    windows = np.lib.stride_tricks.sliding_window_view(block, SPECTRUM_SAMPLES)[::SPECTRUM_STEP]
    hann, power = np.hanning(SPECTRUM_SAMPLES), np.empty((len(windows), SPECTRUM_SAMPLES // 2))
    for first in range(0, len(windows), FRAMES_AT_ONCE):
        rows = slice(first, first + FRAMES_AT_ONCE)
        # float64: NumPy's transform of it is five times faster than that of float32.
        spectra = np.fft.rfft(windows[rows] * hann)[:, : SPECTRUM_SAMPLES // 2]
        power[rows] = (np.square(spectra.real) + np.square(spectra.imag)) * (8.0 / SPECTRUM_SAMPLES**2)
    return power


def _quietest(bands: Numbers) -> Numbers:
    """Mean power of each band, (n_bands,), in the spectra (n, n_bands) in which it is quietest; 0 without spectra."""
    n_floor = max(1, int(len(bands) * FLOOR_SHARE))
    lowest = np.partition(bands, n_floor - 1, axis=0)[:n_floor] if len(bands) else bands
    return np.asarray(lowest.sum(axis=0) / n_floor)


def _is_musical(block: Samples, spectra: Numbers, powers: Numbers, speech: Marks) -> bool:
    if block.size < MUSIC_SAMPLES or speech.mean() < MUSIC_SPEECH_SHARE:
        return False
    return is_music(spectra, powers, frame_powers(np.diff(block, prepend=block[:1])), speech)


def _n_clipped(block: Samples, speech: Marks) -> int:
    """Count the samples in speech that lie on flat tops."""
    in_speech = np.repeat(speech, FRAME_HOP_SAMPLES)[: block.size]
    return int(np.count_nonzero(on_flat_tops(block)[: in_speech.size] & in_speech))


def _bandwidth_hz(power: Numbers, floor: Numbers) -> float | None:
    """Read the upper edge of the highest band that carries something, of sums over the same spectra, (n_bands,)."""
    width_hz = BAND_BINS * SAMPLE_RATE / SPECTRUM_SAMPLES
    audible = np.arange(power.size) * width_hz >= BAND_LOWEST_HZ
    strongest = power[audible].max()
    loud = power >= strongest / 10.0 ** (BAND_HIDES_DB / 10.0)
    strong = power >= strongest / 10.0 ** (BAND_DB / 10.0)
    moving = power >= floor * 10.0 ** (BAND_MOVES_DB / 10.0)
    found = np.flatnonzero(audible & (power > 0.0) & (loud | (strong & moving)))
    return float((found[-1] + 1) * width_hz) if found.size else None


def _db(power: float) -> float | None:
    return float(10.0 * np.log10(power)) if power > 0.0 else None
