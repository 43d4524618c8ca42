"""CNN -> SimpleRNN -> LSTM over a log-mel spectrogram, with a head per 20 ms frame and a head per clip.

    features     (batch, time, bands)        log-mel, `frames_per_score` feature frames a score
    convolution  (batch, frames, bands, ch)  strided blocks: local patterns of synthesis
    dense        (batch, frames, units)
    SimpleRNN    (batch, frames, 2 x units)  both directions: what a stretch sounds like
    LSTM         (batch, frames, 2 x units)  both directions: where it starts and stops
    frames       (batch, frames, 1)          P(fake) every 20 ms
    clip_logits  (batch, 3)                  real, fake, hybrid before the softmax

While training there may be two more heads, which judging does not have:

    early        (batch, frames, 1)          P(fake) before the recurrences, so that the convolutions learn sooner
    boundaries   (batch, frames, 1)          P(a fake span begins or ends here)

Time is never padded: convolutions and recurrences see a window and nothing else, of whatever length it is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from audio.errors import UsageError
from audio.labels import LABELS
from model.features import FeatureConfig

POOLINGS = ("mean-max", "attention")
"""Mean and maximum over time; or a mean weighted by what the network attends to (attentive statistics pooling without
the deviations: Okabe et al., Interspeech 2018), and the maximum of P(fake)."""


HELPERS = ("early", "boundaries")
"""Heads that only training has."""


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
    bidirectional: bool = True
    """Whether the recurrences also run backwards in time."""
    pooling: str = "mean-max"
    """How frames become a clip's verdict, one of `POOLINGS`."""
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
        if self.pooling not in POOLINGS:
            raise UsageError(f"network: expected a pooling of {', '.join(POOLINGS)}. Received: {self.pooling!r}")
        if not 0.0 <= self.dropout < 1.0:
            raise UsageError(f"network: expected 0 <= dropout < 1. Received: {self.dropout}")


def build(features: FeatureConfig, config: NetworkConfig, *, helpers: Collection[str] = ()) -> keras.Model:
    """Build the untrained network.

    Parameters
    ----------
    features, config
        What it hears, and its sizes.
    helpers
        Which of `HELPERS` it gets.

    Returns
    -------
    keras.Model
        Input `features`, float32 (batch, time, n_bands), time a multiple of `features.frames_per_score`; outputs
        `frames`, float32 (batch, time / frames_per_score, 1) in [0, 1], and `clip_logits`, float32 (batch, 3); and
        one for each helper, like `frames`.
    """
    spectrogram = keras.Input((None, features.n_bands), name="features")
    x = _convolutions(_as_picture(spectrogram, features), features.frames_per_score, config)
    x = _normalised(layers.Dense(config.dense_units, use_bias=False)(x))
    heard = x = layers.Dropout(config.dropout)(x)
    x = _both_ways(layers.SimpleRNN(config.recurrent_units, return_sequences=True), config)(x)
    x = _both_ways(layers.LSTM(config.recurrent_units, return_sequences=True), config)(x)
    x = layers.Dropout(config.dropout)(x)
    frames = layers.Dense(1, activation="sigmoid", name="frames")(x)
    clip_logits = layers.Dense(len(LABELS), name="clip_logits")(_pooled(x, frames, config))
    outputs = {"frames": frames, "clip_logits": clip_logits}
    for name, source in (("early", heard), ("boundaries", x)):
        if name in helpers:
            outputs[name] = layers.Dense(1, activation="sigmoid", name=name)(source)
    return keras.Model(spectrogram, outputs, name="cnnrnnlstm")


def without_helpers(model: keras.Model) -> keras.Model:
    """Return the network as it judges: the same layers and weights, without the heads that only training has."""
    if not set(HELPERS) & set(model.output):
        return model
    return keras.Model(model.input, {name: model.output[name] for name in ("frames", "clip_logits")}, name=model.name)


def _as_picture(spectrogram: Any, features: FeatureConfig) -> Any:
    """Lay sets of bands over one another as channels: (batch, time, n_mels, sets)."""
    n_sets = len(features.parts)
    if n_sets == 1:
        return layers.Reshape((-1, features.n_mels, 1))(spectrogram)
    return layers.Permute((1, 3, 2))(layers.Reshape((-1, n_sets, features.n_mels))(spectrogram))


def _both_ways(layer: Any, config: NetworkConfig) -> Any:
    return layers.Bidirectional(layer) if config.bidirectional else layer


def _convolutions(x: Any, frames_per_score: int, config: NetworkConfig) -> Any:
    """Strided blocks: each merges bands, the first also brings time down to one step a frame score."""
    for block, (channels, stride) in enumerate(zip(config.channels, config.band_strides, strict=True)):
        strides = (frames_per_score if block == 0 else 1, stride)
        kernel = (max(3, strides[0] + 1), max(3, stride + 1))  # wider than the stride, or bands in between are not seen
        x = layers.Conv2D(channels, kernel, strides=strides, padding="same", use_bias=False)(x)
        x = _normalised(x)
    return layers.Reshape((-1, x.shape[2] * x.shape[3]))(x)


def _normalised(x: Any) -> Any:
    # Momentum 0.95: the running statistics settle within one of the short epochs that small sets have.
    return layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))


def _pooled(x: Any, frames: Any, config: NetworkConfig) -> Any:
    """Sum up a window of any length: how it is on average, how it is at its most, and so for P(fake) itself."""
    mean, most = layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D
    if config.pooling == "attention":
        weights = layers.Softmax(axis=1)(layers.Dense(1)(layers.Dense(config.recurrent_units, activation="tanh")(x)))
        attended = layers.Flatten()(layers.Dot(axes=1)([weights, x]))
        pools = [attended, mean()(frames), most()(frames)]
    else:
        pools = [pool()(y) for y in (x, frames) for pool in (mean, most)]
    return layers.Dense(config.recurrent_units, activation="relu")(layers.Concatenate()(pools))
