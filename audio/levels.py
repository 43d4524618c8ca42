"""How loud a recording is, frame by frame, and how far it stands above its own noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audio.segments import n_frames

Numbers = npt.NDArray[np.float64]

FRAME_SAMPLES = 320
"""Length of the frames whose powers are compared: 20 ms."""

FLOOR_SHARE = 0.1
"""The quietest tenth of the frames is taken for the noise: speech pauses that often (Martin, "Noise power spectral
density estimation based on optimal smoothing and minimum statistics", 2001, rests on the same)."""

SILENCE_POWER = 1e-9
"""Least power of the noise: -90 dB re full scale, just above the rounding noise of 16 bits."""

RISES = 1e-4
"""What is less than this above the floor, -40 dB, does not rise above it: it is the rounding of a steady sound."""

AT_ONCE = 1_000
"""Frames that are squared together: what they take stays in the processor's cache, however long the recording."""


def to_int16(samples: npt.NDArray[np.floating]) -> npt.NDArray[np.int16]:
    """Round finite samples of full scale 1 to 16 bits, those beyond it to its ends."""
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)


def frame_powers(samples: npt.NDArray[np.floating], *, hop_samples: int = FRAME_SAMPLES) -> Numbers:
    """Return the mean power of each frame; a last one of half a frame or more counts as if it went on in silence.

    Parameters
    ----------
    samples
        float (n,) at 16 kHz, full scale 1.
    hop_samples
        length of a frame.

    Returns
    -------
    float64 (n_frames,), `n_frames` of `audio.segments`; 1 is a square wave at full scale.

    Raises
    ------
    SegmentError
        When `hop_samples` is below 1.
    """
    return _mean_squares(samples, hop_samples, centred=False)


def frame_variances(samples: npt.NDArray[np.floating], *, hop_samples: int = FRAME_SAMPLES) -> Numbers:
    """Return the mean power of each frame about its own mean: an offset of the converter is no sound.

    Parameters, elements and errors are those of `frame_powers`.
    """
    return _mean_squares(samples, hop_samples, centred=True)


def _mean_squares(samples: npt.NDArray[np.floating], hop_samples: int, *, centred: bool) -> Numbers:
    count = n_frames(samples.size, hop_samples)
    n_whole = samples.size // hop_samples
    framed = samples[: n_whole * hop_samples].reshape(n_whole, hop_samples)
    powers = np.empty(count, dtype=np.float64)
    for first in range(0, n_whole, AT_ONCE):
        some = framed[first : first + AT_ONCE].astype(np.float64)
        if centred:
            some -= some.mean(axis=1, keepdims=True)
        powers[first : first + len(some)] = np.square(some, out=some).mean(axis=1)
    if count > n_whole:
        last = np.zeros(hop_samples)
        rest = samples[n_whole * hop_samples :].astype(np.float64)
        last[: rest.size] = rest - (rest.mean() if centred else 0.0)
        powers[-1] = np.square(last).mean()
    return powers


def snr_of_frames(powers: Numbers) -> float | None:
    """Estimate by how many dB what is loud stands above what is quiet, given the powers of frames, float64 (n,).

    The mean power of the frames louder than the floor, less that of the floor, over that of the floor; the floor is
    the mean of the quietest `FLOOR_SHARE` of the frames. Noise that comes and goes is underestimated, because its
    pauses are taken for all of it.

    Returns
    -------
    dB; None for less than ten frames, or where none rises above the floor.
    """
    if powers.size < round(1 / FLOOR_SHARE):
        return None
    ordered = np.sort(powers)
    n_floor = max(1, int(powers.size * FLOOR_SHARE))
    floor = max(float(ordered[:n_floor].mean()), SILENCE_POWER)
    above = float(ordered[n_floor:].mean()) - floor
    return float(10.0 * np.log10(above / floor)) if above > floor * RISES else None


def snr_db(samples: npt.NDArray[np.floating]) -> float | None:
    """Estimate by how many dB a recording, float (n,) at 16 kHz, stands above its own noise: see `snr_of_frames`.

    An incomplete last frame does not count, nor does an offset of the converter.
    """
    return snr_of_frames(frame_variances(samples[: samples.size - samples.size % FRAME_SAMPLES]))
