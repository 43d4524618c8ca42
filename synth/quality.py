"""What a clip measures, and the faults for which it is rejected whatever its neighbours are like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audio.segments import SAMPLE_RATE
from synth.activity import HOP_SAMPLES
from synth.engines.world import load_pyworld
from synth.pcm import SILENCE_DBFS, Samples, rms_dbfs

SHORT, SILENT, CLIPPED, DISTORTED, DROPOUTS = "short", "silent", "clipped", "distorted", "dropouts"

LEAST_S = 0.5
"""A clip shorter than this is rejected: a single word."""

LEAST_SPEECH_S = 0.2
"""A clip with less speech than this counts as silent: one syllable, or a cough."""

MOST_CLIPPED = 0.0005
"""Share of clipped samples from which a clip is rejected. Of 200 genuine clips the worst had 0.00005; the same
clips, amplified until their peaks stood 6 dB beyond full scale, had 0.005 in the middle and 0.0013 at the 5th
percentile."""

LEAST_CREST_DB = 10.0
"""Least ratio of peak to speech level. The 200 had 11.9 to 25 dB, clipped or overdriven by 18 dB 2.4 to 11 dB:
what was distorted and turned down, so that nothing stands at full scale, shows here."""

MOST_DROPOUTS = 0.03
"""Share of the speech that may be digital silence: lost packets. The 200 had at most 0.016."""

CEILING = 0.98
"""A sample this near to full scale counts as being there: resampling makes ripples of flat tops."""

OWN_CEILING = 0.99
"""As near to the clip's own peak a sample counts as standing on it, for clips that were turned down later."""

DROPOUT_SAMPLES = 80
"""Digital silence within speech is a dropout from 5 ms on."""

PITCH_HZ = (60.0, 500.0)
"""Range of voices, from a low man's to a child's."""

PITCH_PERIOD_MS = 10.0
"""Step of the pitch track."""

LEAST_VOICED = 10
"""A clip with fewer voiced steps, 100 ms, has no pitch."""

SPECTRUM_FFT = 512
"""Length of the spectra whose mean is looked at, 32 ms."""

SPECTRUM_HZ = (80.0, 7_500.0)
"""Where it is looked at: between hum and the edge that resampling leaves."""


@dataclass(frozen=True)
class Measures:
    """What was measured on one clip."""

    n_samples: int
    speech_s: float
    """How long the voice activity detector heard speech."""
    level_dbfs: float
    """RMS of the frames with speech."""
    crest_db: float
    """Peak over `level_dbfs`."""
    clipped: float
    """Share of samples on a ceiling: at full scale, or at the clip's own peak for 3 samples and more."""
    dropouts: float
    """Share of the speech that is digital silence."""
    pitch_hz: float | None
    """Median of the voiced steps, by DIO (Morise, Kawahara and Katayose 2009); None where hardly any is voiced."""
    centroid_hz: float
    """Centre of mass of the mean power spectrum of speech."""
    flatness_db: float
    """Geometric over arithmetic mean of that spectrum: 0 for white noise, lower for speech."""


@dataclass(frozen=True)
class Finding:
    """One rule that a clip breaks: what was measured, and what is allowed. None: no bound on that side."""

    rule: str
    value: float
    least: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        """Say it in a line."""
        low, high = ("" if bound is None else f"{bound:.4g}" for bound in (self.least, self.most))
        allowed = f"{low} to {high}" if low and high else (f"at least {low}" if low else f"at most {high}")
        return f"{self.rule}: {self.value:.4g}, expected {allowed}"


def measure(samples: Samples, speech: npt.NDArray[np.bool_]) -> Measures:
    """Measure one clip.

    Parameters
    ----------
    samples
        float32 array (n,) at 16 kHz, full scale 1; any n, also 0.
    speech
        bool array (n_frames,): its frames with speech, as `synth.activity.speech_frames` gives them.

    Raises
    ------
    EngineError
        When pyworld is not installed.
    """
    frames = _framed(samples, speech.size)[speech]
    level_dbfs = rms_dbfs(frames.ravel())
    peak = float(np.abs(samples).max(initial=0.0))
    peak_dbfs = 20.0 * float(np.log10(peak)) if peak > 0.0 else SILENCE_DBFS
    centroid_hz, flatness_db = _spectrum(samples, speech)
    return Measures(
        n_samples=samples.size,
        speech_s=frames.size / SAMPLE_RATE,
        level_dbfs=level_dbfs,
        crest_db=peak_dbfs - level_dbfs,
        clipped=_clipped(samples),
        dropouts=_dropouts(samples, speech),
        pitch_hz=_pitch_hz(samples),
        centroid_hz=centroid_hz,
        flatness_db=flatness_db,
    )


def fault(measures: Measures) -> Finding | None:
    """Return the first rule that a clip breaks on its own, or None."""
    seconds = measures.n_samples / SAMPLE_RATE
    rules = (
        Finding(SHORT, seconds, least=LEAST_S),
        Finding(SILENT, measures.speech_s, least=LEAST_SPEECH_S),
        Finding(CLIPPED, measures.clipped, most=MOST_CLIPPED),
        Finding(DISTORTED, measures.crest_db, least=LEAST_CREST_DB),
        Finding(DROPOUTS, measures.dropouts, most=MOST_DROPOUTS),
    )
    return next((rule for rule in rules if is_broken(rule)), None)


def is_broken(rule: Finding) -> bool:
    """Tell whether the value lies outside what is allowed."""
    too_low = rule.least is not None and rule.value < rule.least
    return too_low or (rule.most is not None and rule.value > rule.most)


def _framed(samples: Samples, n_frames: int) -> Samples:
    """Return frames (n_frames, hop), the last one ended with silence."""
    framed = np.zeros(n_frames * HOP_SAMPLES, dtype=np.float32)
    kept = samples[: framed.size]
    framed[: kept.size] = kept
    return framed.reshape(n_frames, HOP_SAMPLES)


def _clipped(samples: Samples) -> float:
    """Return the share of samples that stand on a ceiling in runs: 2 at full scale, 3 at the clip's own peak.

    A sine stands within 1 % of its peak for a twentieth of each period; speech does so once or twice a clip.
    """
    if samples.size == 0:
        return 0.0
    n_full, n_own = 0, 0
    for side in (samples, -samples):
        peak = float(side.max(initial=0.0))
        n_full += sum(n for n in _run_lengths(side >= CEILING) if n >= 2)
        n_own += sum(n for n in _run_lengths(side >= OWN_CEILING * peak) if n >= 3) if peak > 0.0 else 0
    return max(n_full, n_own) / samples.size


def _dropouts(samples: Samples, speech: npt.NDArray[np.bool_]) -> float:
    """Return which share of the speech is runs of zeros that begin and end in it."""
    n_lost = 0
    for start, stop in _runs(samples == 0.0):
        frames = speech[start // HOP_SAMPLES : (stop - 1) // HOP_SAMPLES + 1]
        n_lost += stop - start if stop - start >= DROPOUT_SAMPLES and frames.size and frames.all() else 0
    return n_lost / max(int(np.count_nonzero(speech)) * HOP_SAMPLES, 1)


def _pitch_hz(samples: Samples) -> float | None:
    if samples.size < HOP_SAMPLES:
        return None
    low, high = PITCH_HZ
    settings = {"f0_floor": low, "f0_ceil": high, "frame_period": PITCH_PERIOD_MS}
    track_hz, _ = load_pyworld().dio(samples.astype(np.float64), SAMPLE_RATE, **settings)
    voiced = track_hz[track_hz > 0.0]
    return float(np.median(voiced)) if voiced.size >= LEAST_VOICED else None


def _spectrum(samples: Samples, speech: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return centroid in Hz and flatness in dB of the mean spectrum of speech; 0 and 0 where there is none."""
    if samples.size < SPECTRUM_FFT:
        return 0.0, 0.0
    frames = np.lib.stride_tricks.sliding_window_view(samples, SPECTRUM_FFT)[::HOP_SAMPLES]
    heard = frames[: speech.size][speech[: len(frames)]]
    power = np.square(np.abs(np.fft.rfft(heard * np.hanning(SPECTRUM_FFT)))).sum(axis=0)
    frequency_hz = np.fft.rfftfreq(SPECTRUM_FFT, 1 / SAMPLE_RATE)
    inside = (frequency_hz >= SPECTRUM_HZ[0]) & (frequency_hz <= SPECTRUM_HZ[1])
    power, frequency_hz = power[inside], frequency_hz[inside]
    if power.sum() <= 0.0:
        return 0.0, 0.0
    flatness = np.log10(np.maximum(power, 1e-12 * power.max())).mean() - np.log10(power.mean())
    return float(power @ frequency_hz / power.sum()), float(10.0 * flatness)


def _runs(marked: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield (first, past the last) of each run of True."""
    changes = np.flatnonzero(np.diff(np.concatenate(([False], marked, [False]))))
    return zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True)


def _run_lengths(marked: npt.NDArray[np.bool_]) -> list[int]:
    return [stop - start for start, stop in _runs(marked)]
