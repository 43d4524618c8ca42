"""A 2-D CNN over a log-mel spectrogram: pairs of 3 x 3 convolutions, as in VGG.

    features     (batch, time, bands)
    convolution  (batch, frames, bands, ch)  pairs of blocks, the first of each merges bands; time keeps its length
    dense        (batch, frames, units)
    heads        see `model.networks.parts`; `early` from halfway up the convolutions

LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 1998; small filters in depth:
Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015. VGG halves time
as well; here that would cost the 20 ms. Eight layers hear 160 ms to either side.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import keras
from keras import layers

from model.features import FeatureConfig
from model.networks.config import ConvolutionConfig
from model.networks.parts import as_picture, convolved, flattened, normalised, spectrogram_input, with_heads


@dataclass(frozen=True)
class NetworkConfig(ConvolutionConfig):
    """The sizes of the network."""

    architecture: str = field(default="cnn", init=False)
    channels: tuple[int, ...] = (16, 16, 32, 32, 48, 48, 64, 64)
    band_strides: tuple[int, ...] = (4, 1, 2, 1, 2, 1, 2, 1)
    dense_units: int = 96


def build(features: FeatureConfig, config: NetworkConfig, *, helpers: Collection[str] = ()) -> keras.Model:
    """Build the untrained network: `model.networks.build` says what it takes and gives."""
    spectrogram = spectrogram_input(features)
    blocks = convolved(as_picture(spectrogram, features), features.frames_per_score, config)
    x = normalised(layers.Dense(config.dense_units, use_bias=False)(flattened(blocks[-1])))
    x = layers.Dropout(config.dropout)(x)
    early = flattened(blocks[(len(blocks) - 1) // 2])
    return with_heads(spectrogram, x, config, early=early, units=config.dense_units, helpers=helpers)
