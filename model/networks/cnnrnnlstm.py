"""CNN -> SimpleRNN -> LSTM over a log-mel spectrogram, with a head per 20 ms frame and a head per clip.

    features     (batch, time, mels)         log-mel, `frames_per_score` feature frames a score
    convolution  (batch, frames, bands, ch)  strided blocks: local patterns of synthesis
    dense        (batch, frames, units)
    SimpleRNN    (batch, frames, 2 x units)  both directions: what a stretch sounds like
    LSTM         (batch, frames, 2 x units)  both directions: where it starts and stops
    frames       (batch, frames, 1)          P(fake) every 20 ms
    clip_logits  (batch, 3)                  real, fake, hybrid before the softmax

Time is never padded: convolutions and recurrences see a window and nothing else, of whatever length it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from audio.errors import UsageError
from audio.labels import LABELS
from model.features import FeatureConfig


@dataclass(frozen=True)
class NetworkConfig:
    """The sizes of the network."""

    channels: tuple[int, ...] = (16, 32, 48)
    """Feature maps of the convolution blocks."""
    band_strides: tuple[int, ...] = (4, 2, 2)
    """How many bands each block merges into one. Merging early makes a step twice as fast and learns as well."""
    dense_units: int = 96
    recurrent_units: int = 64
    """Units of the SimpleRNN and of the LSTM, each way."""
    dropout: float = 0.2

    def __post_init__(self) -> None:
        """Refuse sizes that make no network.

        Raises
        ------
        UsageError
            For a size below 1 or a dropout outside [0, 1).
        """
        sizes = (*self.channels, *self.band_strides, self.dense_units, self.recurrent_units)
        if not self.channels or len(self.channels) != len(self.band_strides) or min(sizes) < 1:
            raise UsageError(f"network: expected sizes of 1 or more, a stride for each block. Received: {self}")
        if not 0.0 <= self.dropout < 1.0:
            raise UsageError(f"network: expected 0 <= dropout < 1. Received: {self.dropout}")


def build(features: FeatureConfig, config: NetworkConfig) -> keras.Model:
    """Build the untrained network.

    Returns
    -------
    keras.Model
        Input `features`, float32 (batch, time, n_mels), time a multiple of `features.frames_per_score`; outputs
        `frames`, float32 (batch, time / frames_per_score, 1) in [0, 1], and `clip_logits`, float32 (batch, 3).
    """
    spectrogram = keras.Input((None, features.n_mels), name="features")
    x = _convolutions(layers.Reshape((-1, features.n_mels, 1))(spectrogram), features.frames_per_score, config)
    x = _normalised(layers.Dense(config.dense_units, use_bias=False)(x))
    x = layers.Dropout(config.dropout)(x)
    x = layers.Bidirectional(layers.SimpleRNN(config.recurrent_units, return_sequences=True))(x)
    x = layers.Bidirectional(layers.LSTM(config.recurrent_units, return_sequences=True))(x)
    x = layers.Dropout(config.dropout)(x)
    frames = layers.Dense(1, activation="sigmoid", name="frames")(x)
    clip_logits = layers.Dense(len(LABELS), name="clip_logits")(_pooled(x, frames, config))
    return keras.Model(spectrogram, {"frames": frames, "clip_logits": clip_logits}, name="cnnrnnlstm")


def _convolutions(x: Any, frames_per_score: int, config: NetworkConfig) -> Any:
    """Strided blocks: each merges bands, the first also brings time down to one step a frame score."""
    for block, (channels, stride) in enumerate(zip(config.channels, config.band_strides, strict=True)):
        strides = (frames_per_score if block == 0 else 1, stride)
        x = layers.Conv2D(channels, 3, strides=strides, padding="same", use_bias=False)(x)
        x = _normalised(x)
    return layers.Reshape((-1, x.shape[2] * x.shape[3]))(x)


def _normalised(x: Any) -> Any:
    # Momentum 0.95: the running statistics settle within one of the short epochs that small sets have.
    return layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))


def _pooled(x: Any, frames: Any, config: NetworkConfig) -> Any:
    """Sum up a window of any length: how it is on average, how it is at its most, and so for P(fake) itself."""
    pools = [pool()(y) for y in (x, frames) for pool in (layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D)]
    return layers.Dense(config.recurrent_units, activation="relu")(layers.Concatenate()(pools))
