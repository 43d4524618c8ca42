"""How loud a recording is to a listener, and bringing it to a loudness without clipping."""

from __future__ import annotations

import numpy as np

from audio.segments import SAMPLE_RATE
from synth.pcm import FULL_SCALE, Samples, from_db, rms_dbfs

BLOCK_SAMPLES = 6_400
"""One gating block of ITU-R BS.1770-4, 400 ms: less has no integrated loudness."""

PEAK = 1.0 - 1.0 / FULL_SCALE
"""Largest magnitude that `normalised` makes: the largest positive sample of 16 bits."""


def loudness_lufs(samples: Samples) -> float:
    """Return the integrated loudness by ITU-R BS.1770-4, as pyloudnorm measures it, in LUFS.

    Recordings shorter than a gating block (400 ms), or too quiet for its absolute gate (-70 LUFS), have none;
    for them it is the RMS in dBFS, at least `SILENCE_DBFS`. On speech the two agree
    within 1 dB, within 4 where the pauses are long.

    Parameters
    ----------
    samples
        float32 array (n,) at 16 kHz, full scale 1; any n, also 0.
    """
    import pyloudnorm

    if samples.size < BLOCK_SAMPLES:
        return rms_dbfs(samples)
    # float64: at float32 the filter's own rounding makes sound of digital silence after a loud end.
    loudness = float(pyloudnorm.Meter(SAMPLE_RATE).integrated_loudness(samples.astype(np.float64)))
    return loudness if np.isfinite(loudness) else rms_dbfs(samples)


def normalised(samples: Samples, target_lufs: float) -> Samples:
    """Return `samples` (n,) as float32 at `target_lufs`, or as near below it as the peak allows.

    One gain for all samples: no limiter, nothing clips. Digital silence stays as it is.
    """
    peak = float(np.abs(samples).max(initial=0.0))
    if peak == 0.0:
        return samples.astype(np.float32)
    gain = min(from_db(target_lufs - loudness_lufs(samples)), PEAK / peak)
    return np.asarray(samples * gain, dtype=np.float32)
