"""Log-mel features in NumPy: what training and judging both see.

`log_mel(samples, config)` is a pure function of the samples it is given. It is called on one window at a time and
its only statistics are that window's own, so a clip's features never depend on what else is in a batch or on how a
long recording was cut up before. librosa is its oracle in the tests; it is not imported here, because its first call
costs seconds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio.errors import ModelError
from audio.segments import n_frames

FRAME_HOP_SAMPLES = 320
"""Samples between two frame scores: 20 ms at 16 kHz, the finest resolution of PartialSpoof's labels."""

GROUP_BANDS = 16
"""Bands that are computed together: of 128, these 16 hear a twelfth of the spectrum on average."""

FRAMES_AT_ONCE = 16
"""Frames that are transformed together, 0.1 MB for each step of the way. Larger arrays go back to the system at once,
and getting fresh pages for the next ones can take longer than the transforms."""

BLOCK_PRODUCTS = 1 << 18
"""Multiplications in a block of frames that goes through the mel filters. OpenBLAS puts larger products on all cores,
whose threads wait for each other by spinning: on a busy machine a window then takes 80 ms instead of 5."""

LEAST_SPREAD_DB = 1.0
"""Standard deviation below which a window is not blown up further: a steady tone stays as flat as it is."""

Float = NDArray[np.float32]


@dataclass(frozen=True)
class FeatureConfig:
    """How a window becomes a log-mel spectrogram. Lengths in samples, frequencies in Hz.

    A feature frame stands for `hop_samples`; its analysis window of `n_fft` samples is centred on the middle of that
    stretch, so feature frames nest exactly inside the 20 ms cells of the frame scores.
    """

    sample_rate: int = 16_000
    n_fft: int = 1024
    hop_samples: int = 320
    n_mels: int = 128
    f_min_hz: float = 0.0
    f_max_hz: float = 8_000.0
    floor_db: float = -80.0
    """Lowest level kept, relative to the loudest cell of the window."""
    normalise_bands: bool = True
    """Whether each band loses its own mean over the window, or all bands the same one."""
    second_n_fft: int | None = None
    """Analysis window of a second set of `n_mels` bands behind the first: a short one sees when, a long one which
    frequency. None: there is one set."""

    def __post_init__(self) -> None:
        """Refuse a configuration that cannot be computed.

        Raises
        ------
        ModelError
            A length is not positive, the band is empty or above Nyquist, the hop does not divide 20 ms, or an analysis
            window is shorter than it.
        """
        if min(self.sample_rate, self.n_fft, self.hop_samples, self.n_mels) < 1 or self.floor_db >= 0:
            raise ModelError(f"features need positive lengths and a negative floor_db. Received: {self}")
        if min(self.n_fft, self.second_n_fft or self.n_fft) < self.hop_samples or self.second_n_fft == 0:
            raise ModelError(f"features need analysis windows of hop_samples or more. Received: {self}")
        if FRAME_HOP_SAMPLES % self.hop_samples:
            raise ModelError(f"hop_samples must divide {FRAME_HOP_SAMPLES}. Received: {self.hop_samples}")
        if not 0 <= self.f_min_hz < self.f_max_hz <= self.sample_rate / 2:
            raise ModelError(f"need 0 <= f_min_hz < f_max_hz <= {self.sample_rate / 2:g}. Received: {self}")

    @property
    def frames_per_score(self) -> int:
        """Feature frames inside one 20 ms frame score."""
        return FRAME_HOP_SAMPLES // self.hop_samples

    @property
    def parts(self) -> tuple[FeatureConfig, ...]:
        """The features of each analysis window alone; their bands stand behind one another."""
        first = replace(self, second_n_fft=None)
        return (first,) if self.second_n_fft is None else (first, replace(first, n_fft=self.second_n_fft))

    @property
    def n_bands(self) -> int:
        """Numbers in a feature frame."""
        return self.n_mels * len(self.parts)

    def to_json(self) -> dict[str, Any]:
        """The fields as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FeatureConfig:
        """Rebuild from `to_json`.

        Raises
        ------
        ModelError
            A field is missing or unknown; `second_n_fft`, which the first bundles did not have, may be missing.
        """
        names = {field.name for field in fields(cls)}
        if {"second_n_fft", *data} != names:
            raise ModelError(f"features need the fields {sorted(names)}. Received: {sorted(data)}")
        return cls(**data)


def _hz_to_mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's mel scale (Auditory Toolbox, 1998; librosa's default): linear below 1 kHz, logarithmic above."""
    log_step = np.log(6.4) / 27.0
    return np.where(hz < 1000.0, hz * 3 / 200, 15.0 + np.log(np.maximum(hz, 1000.0) / 1000.0) / log_step)


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `_hz_to_mel`."""
    log_step = np.log(6.4) / 27.0
    return np.where(mel < 15.0, mel * 200 / 3, 1000.0 * np.exp(log_step * (np.maximum(mel, 15.0) - 15.0)))


def mel_edges_hz(config: FeatureConfig) -> NDArray[np.float64]:
    """Return where the mel bands lie: band i rises from entry i, peaks at i + 1 and ends at i + 2.

    Returns
    -------
    float64 array (n_mels + 2,), rising from `f_min_hz` to `f_max_hz`.
    """
    ends = _hz_to_mel(np.array([config.f_min_hz, config.f_max_hz]))
    return _mel_to_hz(np.linspace(ends[0], ends[1], config.n_mels + 2))


@lru_cache(maxsize=8)
def mel_filters(config: FeatureConfig) -> Float:
    """Triangular mel filters with Slaney's unit-area norm, as `librosa.filters.mel` makes them.

    Returns
    -------
    float32 array (n_fft // 2 + 1, n_mels), read-only.
    """
    bins = np.linspace(0.0, config.sample_rate / 2, config.n_fft // 2 + 1)
    edges = mel_edges_hz(config)
    rising = (bins[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[None, 2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges[2:] - edges[:-2]))
    filters: Float = triangles.astype(np.float32)
    filters.setflags(write=False)
    return filters


@lru_cache(maxsize=8)
def _hann(n_fft: int) -> NDArray[np.float64]:
    """The periodic Hann window, as `librosa.stft` uses."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    window.setflags(write=False)
    return np.asarray(window)


def n_feature_frames(n_samples: int, config: FeatureConfig) -> int:
    """Feature frames of a window: a whole number for every frame score of the window."""
    return n_frames(n_samples, FRAME_HOP_SAMPLES) * config.frames_per_score


def mel_power(samples: NDArray[np.floating[Any]], config: FeatureConfig) -> Float:
    """Mel power spectrogram of one window, silence assumed around it.

    Parameters
    ----------
    samples
        float array (n_samples,), mono at `config.sample_rate`, finite.
    config
        The features.

    Returns
    -------
    float32 array (n_feature_frames, n_mels), non-negative.
    """
    frames = n_feature_frames(len(samples), config)
    before = (config.n_fft - config.hop_samples) // 2
    length = frames * config.hop_samples + config.n_fft
    padded = np.zeros(max(length, before + len(samples)), dtype=np.float32)
    padded[before : before + len(samples)] = samples
    windows = np.lib.stride_tricks.sliding_window_view(padded, config.n_fft)[:: config.hop_samples]
    power = np.empty((frames, config.n_fft // 2 + 1), dtype=np.float32)
    for first in range(0, frames, FRAMES_AT_ONCE):
        rows = slice(first, min(first + FRAMES_AT_ONCE, frames))
        # float64: NumPy's transform of it is five times faster than that of float32.
        spectrum = np.fft.rfft(windows[rows] * _hann(config.n_fft), axis=1)
        power[rows] = np.square(spectrum.real) + np.square(spectrum.imag)
    return _in_bands(power, config)


def _in_bands(power: Float, config: FeatureConfig) -> Float:
    """Send power spectra, (frames, n_fft // 2 + 1), through the mel filters: float32 (frames, n_mels).

    A few bands at a time, with the bins that they hear: most of the filter bank is zeros.
    """
    mels = np.empty((len(power), config.n_mels), dtype=np.float32)
    for bins, bands, filters in _filter_groups(config):
        together = max(1, BLOCK_PRODUCTS // max(1, filters.size))
        for first in range(0, len(power), together):
            rows = slice(first, first + together)
            mels[rows, bands] = power[rows, bins] @ filters
    return mels


@lru_cache(maxsize=8)
def _filter_groups(config: FeatureConfig) -> tuple[tuple[slice, slice, Float], ...]:
    """Cut the filter bank into groups of bands: which bins they hear, which bands they are, and their filters."""
    filters, groups = mel_filters(config), []
    for first in range(0, config.n_mels, GROUP_BANDS):
        bands = slice(first, min(first + GROUP_BANDS, config.n_mels))
        heard = np.flatnonzero(filters[:, bands].any(axis=1))
        bins = slice(int(heard[0]), int(heard[-1]) + 1) if heard.size else slice(0, 0)
        groups.append((bins, bands, np.ascontiguousarray(filters[bins, bands])))
    return tuple(groups)


def log_mel(samples: NDArray[np.floating[Any]], config: FeatureConfig) -> Float:
    """Log-mel spectrogram of one window, normalised by that window alone.

    The window is scaled to unit peak first (so no level over- or underflows and gain changes nothing) and powers are
    taken in dB below the loudest cell, floored at `floor_db`. Then each band loses its mean over the window, which
    takes out what a microphone, an equaliser or a voice adds throughout (cepstral mean subtraction: Atal, JASA 1974);
    without `normalise_bands` all bands lose the same. At last the whole is brought to unit variance. Two analysis
    windows are treated like this one by one.

    Parameters
    ----------
    samples
        float array (n_samples,), mono at `config.sample_rate`, finite.
    config
        The features.

    Returns
    -------
    float32 array (n_feature_frames, n_bands); all zeros for digital silence.
    """
    sets = [_one_log_mel(samples, part) for part in config.parts]
    return sets[0] if len(sets) == 1 else np.concatenate(sets, axis=1)


def _one_log_mel(samples: NDArray[np.floating[Any]], config: FeatureConfig) -> Float:
    """The same for one analysis window."""
    peak = float(np.max(np.abs(samples), initial=0.0))
    if peak == 0.0:
        return np.zeros((n_feature_frames(len(samples), config), config.n_mels), dtype=np.float32)
    power = mel_power(samples / np.float32(peak), config)
    top = float(power.max(initial=0.0))
    if top == 0.0:
        return np.zeros_like(power)
    floor = top * 10.0 ** (config.floor_db / 10.0)
    decibels = 10.0 * np.log10(np.maximum(power, np.float32(floor)) / np.float32(top))
    decibels -= decibels.mean(axis=0 if config.normalise_bands else None, keepdims=True)
    return np.asarray(decibels / max(float(decibels.std()), LEAST_SPREAD_DB), dtype=np.float32)
