"""CNN -> SimpleRNN -> LSTM over a log-mel spectrogram: ours.

    features     (batch, time, bands)        log-mel, `frames_per_score` feature frames a score
    convolution  (batch, frames, bands, ch)  strided blocks: local patterns of synthesis
    dense        (batch, frames, units)      the `early` head, where there is one
    SimpleRNN    (batch, frames, 2 x units)  both directions: what a stretch sounds like
    LSTM         (batch, frames, 2 x units)  both directions: where it starts and stops
    heads        see `model.networks.parts`

Time is never padded: convolutions and recurrences see a window and nothing else, of whatever length it is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import layers

from model.features import FeatureConfig
from model.networks.config import ConvolutionConfig
from model.networks.parts import as_picture, convolved, flattened, normalised, spectrogram_input, with_heads


@dataclass(frozen=True)
class NetworkConfig(ConvolutionConfig):
    """The sizes of the network."""

    architecture: str = field(default="cnnrnnlstm", init=False)
    dense_units: int = 96
    recurrent_units: int = 64
    """Units of the SimpleRNN and of the LSTM, each way."""
    bidirectional: bool = True
    """Whether the recurrences also run backwards in time."""


def build(features: FeatureConfig, config: NetworkConfig, *, helpers: Collection[str] = ()) -> keras.Model:
    """Build the untrained network: `model.networks.build` says what it takes and gives."""
    spectrogram = spectrogram_input(features)
    blocks = convolved(as_picture(spectrogram, features), features.frames_per_score, config)
    x = normalised(layers.Dense(config.dense_units, use_bias=False)(flattened(blocks[-1])))
    heard = x = layers.Dropout(config.dropout)(x)
    x = _both_ways(layers.SimpleRNN(config.recurrent_units, return_sequences=True), config)(x)
    x = _both_ways(layers.LSTM(config.recurrent_units, return_sequences=True), config)(x)
    x = layers.Dropout(config.dropout)(x)
    return with_heads(spectrogram, x, config, early=heard, units=config.recurrent_units, helpers=helpers)


def _both_ways(layer: Any, config: NetworkConfig) -> Any:
    return layers.Bidirectional(layer) if config.bidirectional else layer
