"""16-bit samples and floats: splices are made in integers, engines and channels work on floats.

Full scale is 1.0 = 32,768 steps, as in `audio.reading`, so int16 -> float32 -> int16 is the identity.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from audio.segments import SAMPLE_RATE

Pcm = npt.NDArray[np.int16]
"""int16 array (n,), mono at 16 kHz."""

Samples = npt.NDArray[np.float32]
"""float32 array (n,), mono at 16 kHz, full scale 1."""

FULL_SCALE = 32_768
"""Steps of a 16-bit sample between silence and full scale."""

SILENCE_DBFS = -120.0
"""Level reported for digital silence, below the -98 dBFS of the last bit."""


def to_pcm(samples: npt.NDArray[np.floating]) -> Pcm:
    """Round floats (n,) to int16; what lies beyond full scale is clipped."""
    scaled = np.rint(np.asarray(samples, dtype=np.float64) * FULL_SCALE)
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def to_float(pcm: Pcm) -> Samples:
    """Return int16 samples (n,) as float32 with full scale 1, exactly."""
    return pcm.astype(np.float32) / np.float32(FULL_SCALE)


def rms_dbfs(samples: npt.NDArray[np.floating]) -> float:
    """Return the root mean square of floats (n,) in dB re full scale, at least `SILENCE_DBFS`."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if samples.size else 0.0
    return max(10.0 * float(np.log10(power)), SILENCE_DBFS) if power > 0.0 else SILENCE_DBFS


def fitted(samples: npt.NDArray[np.floating], n_samples: int) -> Samples:
    """Return float32 (n_samples,): `samples` cut at the end, or followed by silence."""
    kept = np.asarray(samples[:n_samples], dtype=np.float32)
    return np.pad(kept, (0, n_samples - kept.size))


def weighted(
    samples: npt.NDArray[np.floating], gain_at: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    """Multiply the spectrum of samples (n,) by a gain for each frequency in Hz, without any phase; float64 (n,)."""
    size = 1 << max(2 * samples.size - 1, 1).bit_length()  # twice: its end must not ring into its beginning
    gain = gain_at(np.fft.rfftfreq(size, 1 / SAMPLE_RATE).astype(np.float64))
    return np.asarray(np.fft.irfft(np.fft.rfft(samples, size) * gain, size)[: samples.size])


def from_db(gain_db: float) -> float:
    """Return the amplitude factor of a gain in dB."""
    return float(10.0 ** (gain_db / 20.0))
