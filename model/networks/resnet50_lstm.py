"""ResNet50 -> LSTM over a log-mel spectrogram as a picture, from scratch.

    features     (batch, time, bands)
    ResNet50     (batch, frames, units)  as in `model.networks.resnet50`, all stages brought back to frames
    LSTM         (batch, frames, units)  forwards
    heads        see `model.networks.parts`; `early` from the first stage of ResNet50

He et al., "Deep residual learning for image recognition", CVPR 2016; a recurrence over a CNN's frames: Donahue et al.,
"Long-term recurrent convolutional networks for visual recognition and description", CVPR 2015.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import keras
from keras import layers

from model.features import FeatureConfig
from model.networks.parts import spectrogram_input, with_heads
from model.networks.resnet50 import ResNetConfig, fused


@dataclass(frozen=True)
class NetworkConfig(ResNetConfig):
    """The sizes of the network."""

    architecture: str = field(default="resnet50-lstm", init=False)
    recurrent_units: int = 128


def build(features: FeatureConfig, config: NetworkConfig, *, helpers: Collection[str] = ()) -> keras.Model:
    """Build the untrained network: `model.networks.build` says what it takes and gives."""
    spectrogram = spectrogram_input(features)
    x, early = fused(spectrogram, features, config)
    x = layers.LSTM(config.recurrent_units, return_sequences=True)(x)
    x = layers.Dropout(config.dropout)(x)
    return with_heads(spectrogram, x, config, early=early, units=config.recurrent_units, helpers=helpers)
