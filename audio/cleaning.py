"""Where speech can be, and whether anything happens at all: what decides to abstain, never to accuse.

Levels are absolute (0 dBFS = a full-scale square wave), so that what is said about a frame depends on the
samples near it and on nothing else in the file.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audio.levels import frame_powers
from audio.segments import SAMPLE_RATE

FRAME_HOP_SAMPLES = 320
"""Length of a frame unless told otherwise: 20 ms."""

SPEECH_FLOOR_DBFS = -55.0
"""Frames at least this loud can be speech. Speech is normally recorded near -26 dBFS (ITU-T P.56, active
level); quiet recordings and unstressed syllables lie up to 25 dB lower, the noise of 16-bit silence at -98."""

HANGOVER_SAMPLES = 1_600
"""How long activity goes on after the last loud frame, 100 ms: final consonants and stops are quiet."""

STEADY_BLOCK_SAMPLES = 1_600
"""Length of the blocks that `is_steady` compares, 100 ms: shorter than a syllable, 5 spectra long."""

STEADY_FFT = 512
"""Length of each spectrum within a block: 32 ms, neighbours overlap by half."""

STEADY_BANDS_HZ = (0, 300, 600, 1_000, 1_500, 2_200, 3_200, 4_600, 6_400, 8_000)
"""Edges of the bands that `is_steady` watches."""

STEADY_DB = 3.0
"""Bands of stationary noise stay within about 1 dB of their median in every block; speech moves by tens."""

STEADY_FLOOR = 1e-9
"""Mean power below which a band counts as silent: -90 dBFS, so that rounding noise is not movement."""

STEADY_MIN_BLOCKS = 5
"""Fewer blocks, half a second, are no evidence: a held vowel is as steady as a tone."""

STEADY_AT_ONCE = 4
"""Blocks whose spectra are computed together. Faster than one by one, because each call of NumPy costs as much as a
short block, and than all, because speech nearly always moves within the first 4 and the others are not looked at."""


def speech_frames(samples: npt.NDArray[np.floating], *, hop_samples: int = FRAME_HOP_SAMPLES) -> npt.NDArray[np.bool_]:
    """Mark the frames that are loud enough to be speech, with a short hangover after each.

    Parameters
    ----------
    samples
        float array (n,) at 16 kHz, full scale 1.
    hop_samples
        Length of a frame in samples.

    Returns
    -------
    bool array (n_frames,), `n_frames` of `audio.segments`. An incomplete last frame counts as if it went on
    in silence.

    Raises
    ------
    SegmentError
        When `hop_samples` is below 1.
    """
    return SpeechMarker(hop_samples).mark(samples)


class SpeechMarker:
    """Marks frames piece by piece, as `speech_frames` marks them all: what comes later changes nothing."""

    def __init__(self, hop_samples: int = FRAME_HOP_SAMPLES) -> None:
        """Start a recording, in frames of `hop_samples`."""
        self._hop = hop_samples
        self._n_held = HANGOVER_SAMPLES // hop_samples if hop_samples > 0 else 0
        self._since_loud = self._n_held + 1

    def mark(self, samples: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
        """Mark the frames of the next samples; all pieces but the last must be whole frames.

        Parameters, elements and errors are those of `speech_frames`.
        """
        power = frame_powers(samples, hop_samples=self._hop)
        loud = power >= 10.0 ** (SPEECH_FLOOR_DBFS / 10.0)
        position = np.arange(loud.size)
        last_loud = np.maximum.accumulate(np.where(loud, position, -self._since_loud)) if loud.size else position
        if loud.size:
            self._since_loud = min(int(loud.size - last_loud[-1]), self._n_held + 1)
        return position - last_loud <= self._n_held


def is_steady(samples: npt.NDArray[np.floating]) -> bool:
    """Tell whether level and spectrum stand still: a tone, hum, stationary noise or silence, but no speech.

    Compares the levels of a few bands in each 100 ms with their medians over `samples`; steady means that no
    block stands out. The answer is about `samples` as a whole, so pass one window where scores must not
    depend on the rest of a recording.

    Parameters
    ----------
    samples
        float array (n,) at 16 kHz, full scale 1. Less than half a second is never steady.
    """
    n_blocks = samples.size // STEADY_BLOCK_SAMPLES
    if n_blocks < STEADY_MIN_BLOCKS:
        return False
    blocks = samples[: n_blocks * STEADY_BLOCK_SAMPLES].reshape(n_blocks, STEADY_BLOCK_SAMPLES)
    parts: list[npt.NDArray[np.float64]] = []
    for first in range(0, n_blocks, STEADY_AT_ONCE):
        parts.append(_band_levels_db(blocks[first : first + STEADY_AT_ONCE]))
        if _far_apart(parts[-1]):
            return False
    levels_db = np.concatenate(parts)
    moved_db = np.abs(levels_db - np.median(levels_db, axis=0)).mean(axis=1)
    return bool(moved_db.max() < STEADY_DB)


def _far_apart(levels_db: npt.NDArray[np.float64]) -> bool:
    """Whether two blocks differ so much that one must stand out, whatever the median: by the triangle inequality."""
    return bool(np.abs(levels_db[:, None] - levels_db).mean(axis=2).max() >= 2 * STEADY_DB)


def _band_levels_db(blocks: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the level of each band of `STEADY_BANDS_HZ` in each block (n, STEADY_BLOCK_SAMPLES), in dB."""
    spectra = np.lib.stride_tricks.sliding_window_view(blocks, STEADY_FFT, axis=1)[:, :: STEADY_FFT // 2]
    # Hann has a mean square of 3/8; dividing by it and by the length makes noise of power p read p.
    window = np.hanning(STEADY_FFT)
    found = np.fft.rfft(spectra * window)
    power = (np.square(found.real) + np.square(found.imag)).mean(axis=1) / (STEADY_FFT * 0.375)
    starts = [round(edge * STEADY_FFT / SAMPLE_RATE) for edge in STEADY_BANDS_HZ[:-1]]
    sums = np.add.reduceat(power, starts, axis=1)
    widths = np.diff([*starts, power.shape[1]])
    return np.asarray(10.0 * np.log10(sums / widths + STEADY_FLOOR))
