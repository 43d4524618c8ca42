"""CNN -> BiLSTM over a log-mel spectrogram: our convolutions, and one recurrence that knows both directions.

    features     (batch, time, bands)
    convolution  (batch, frames, bands, ch)  strided blocks, as in `model.networks.cnnrnnlstm`
    LSTM         (batch, frames, 2 x units)  both directions
    heads        see `model.networks.parts`; `early` before the recurrence

After CLDNN: Sainath et al., "Convolutional, long short-term memory, fully connected deep neural networks", ICASSP 2015.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import keras
from keras import layers

from model.features import FeatureConfig
from model.networks.config import ConvolutionConfig
from model.networks.parts import as_picture, convolved, flattened, spectrogram_input, with_heads


@dataclass(frozen=True)
class NetworkConfig(ConvolutionConfig):
    """The sizes of the network."""

    architecture: str = field(default="cnn-bilstm", init=False)
    recurrent_units: int = 64
    """Units of the LSTM, each way."""


def build(features: FeatureConfig, config: NetworkConfig, *, helpers: Collection[str] = ()) -> keras.Model:
    """Build the untrained network: `model.networks.build` says what it takes and gives."""
    spectrogram = spectrogram_input(features)
    blocks = convolved(as_picture(spectrogram, features), features.frames_per_score, config)
    heard = layers.Dropout(config.dropout)(flattened(blocks[-1]))
    x = layers.Bidirectional(layers.LSTM(config.recurrent_units, return_sequences=True))(heard)
    x = layers.Dropout(config.dropout)(x)
    return with_heads(spectrogram, x, config, early=heard, units=config.recurrent_units, helpers=helpers)
