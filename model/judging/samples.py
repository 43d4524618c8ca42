"""From an array that a caller holds to what the toolkit works on: mono float32 at 16 kHz, full scale +-1."""

from __future__ import annotations

from numbers import Real

import numpy as np
import numpy.typing as npt
import soxr

from audio.errors import AudioError
from audio.reading import LOUDEST, RATES_HZ, SAMPLE_RATE

INTEGER_TYPES = ("uint8", "int16", "int32")
"""The sample formats of PCM files. Wider integers are refused: they hold 16-bit values as often as not."""


def as_samples(array: npt.ArrayLike, *, sample_rate: int) -> npt.NDArray[np.float32]:
    """Check an array of audio and bring it to 16 kHz.

    Parameters
    ----------
    array
        one channel, shape (n,): floats with full scale +-1 (more is allowed), or PCM integers (uint8,
        int16, int32), which are scaled.
    sample_rate
        samples per second of `array`.

    Returns
    -------
    float32 array (n',), finite, at `audio.segments.SAMPLE_RATE`.

    Raises
    ------
    AudioError
        Another shape or type, samples that are not finite or absurdly large, an impossible rate.
    """
    least, most = RATES_HZ
    number = isinstance(sample_rate, Real) and not isinstance(sample_rate, bool)
    if not (number and least <= sample_rate <= most):
        raise AudioError(f"sample_rate: expected {least} to {most} Hz, received {sample_rate!r}")
    samples = _scaled(_one_channel(array))
    _check_range(samples)
    return _resampled(samples.astype(np.float32), sample_rate)


def _one_channel(array: npt.ArrayLike) -> npt.NDArray[np.generic]:
    try:
        samples = np.asarray(array)
    except ValueError as error:  # rows of different length
        raise AudioError(f"samples: expected an array of numbers, received none: {error}") from None
    if samples.ndim != 1:
        raise AudioError(f"samples: expected one channel of shape (n,), received shape {samples.shape}")
    return samples


def _scaled(samples: npt.NDArray[np.generic]) -> npt.NDArray[np.floating]:
    """Bring integers to full scale +-1; floats pass."""
    if np.issubdtype(samples.dtype, np.floating):
        return samples  # type: ignore[return-value]
    if samples.dtype.name not in INTEGER_TYPES:
        expected = ", ".join(INTEGER_TYPES)
        raise AudioError(f"samples: expected floats or {expected}, received {samples.dtype}")
    half = 2.0 ** (8 * samples.dtype.itemsize - 1)
    middle = half if samples.dtype.kind == "u" else 0.0
    return (samples.astype(np.float64) - middle) / half


def _check_range(samples: npt.NDArray[np.floating]) -> None:
    n_bad = int(np.count_nonzero(~np.isfinite(samples)))
    if n_bad:
        raise AudioError(f"samples: expected finite numbers, received {n_bad} of {len(samples)} that are not")
    peak = float(np.max(np.abs(samples), initial=0.0))
    if peak > LOUDEST:
        raise AudioError(f"samples: expected at most {LOUDEST:g} times full scale, received {peak:g}")


def _resampled(samples: npt.NDArray[np.float32], sample_rate: int) -> npt.NDArray[np.float32]:
    """Resample as `audio.reading` does, so that an array gives what its file would give."""
    if sample_rate == SAMPLE_RATE:
        return samples
    resampler = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    return np.asarray(resampler.resample_chunk(samples, last=True), dtype=np.float32)
