"""A 1-D CNN over MFCCs, which the network makes of the log-mel spectrogram itself.

    features     (batch, time, bands)
    MFCC         (batch, time, n_mfcc)       fixed: the first rows of the orthonormal DCT-II, nothing to learn
    convolution  (batch, frames, channels)   along time; time keeps its length
    heads        see `model.networks.parts`; `early` from halfway up the convolutions

MFCC: Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word recognition", IEEE Trans.
ASSP 1980; convolution along time: Waibel et al., "Phoneme recognition using time-delay neural networks", IEEE Trans.
ASSP 1989. The log-mel that comes in has lost the mean of each band and has unit variance, so that the coefficients are
those of librosa less their mean over the window, over one number for all.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import layers

from model.features import FeatureConfig, Float
from model.networks.config import BaseConfig
from model.networks.parts import normalised, spectrogram_input, with_heads


@dataclass(frozen=True)
class NetworkConfig(BaseConfig):
    """The sizes of the network."""

    architecture: str = field(default="cnn1d-mfcc", init=False)
    n_mfcc: int = 40
    """Coefficients kept of each set of bands, from the 0th on."""
    channels: tuple[int, ...] = (96, 96, 96, 96)
    """Feature maps of the convolutions."""
    kernel_frames: int = 5
    """Frames of 20 ms that a filter of a convolution sees."""

    @property
    def least_mels(self) -> int:
        """There are no more coefficients than bands."""
        return self.n_mfcc


def build(features: FeatureConfig, config: NetworkConfig, *, helpers: Collection[str] = ()) -> keras.Model:
    """Build the untrained network: `model.networks.build` says what it takes and gives."""
    spectrogram = spectrogram_input(features)
    x = _cepstra(spectrogram, features, config.n_mfcc)
    given = []
    for channels in config.channels:
        x = normalised(layers.Conv1D(channels, config.kernel_frames, padding="same", use_bias=False)(x))
        given.append(x)
    x = layers.Dropout(config.dropout)(x)
    early = given[(len(given) - 1) // 2]
    return with_heads(spectrogram, x, config, early=early, units=config.channels[-1], helpers=helpers)


def _cepstra(spectrogram: Any, features: FeatureConfig, n_mfcc: int) -> Any:
    """Return the MFCCs of every set of bands and of all feature frames of a score, side by side."""
    depth = features.frames_per_score * len(features.parts)
    dct = layers.Dense(n_mfcc, use_bias=False, kernel_initializer="zeros", trainable=False, name="mfcc")
    x = dct(layers.Reshape((-1, depth, features.n_mels))(spectrogram))
    dct.set_weights([dct_matrix(features.n_mels, n_mfcc)])
    return layers.Reshape((-1, depth * n_mfcc))(x)


def dct_matrix(n_mels: int, n_mfcc: int) -> Float:
    """Return the orthonormal DCT-II (Ahmed, Natarajan and Rao, IEEE Trans. Computers 1974) as a matrix.

    Returns
    -------
    float32 (n_mels, n_mfcc): log-mel bands times it are MFCCs, as `librosa.feature.mfcc` makes them by default.
    """
    bands, order = np.arange(n_mels)[:, None], np.arange(n_mfcc)[None, :]
    cosines = np.sqrt(2.0 / n_mels) * np.cos(np.pi * (bands + 0.5) * order / n_mels)
    cosines[:, 0] /= np.sqrt(2.0)
    return np.asarray(cosines, dtype=np.float32)
