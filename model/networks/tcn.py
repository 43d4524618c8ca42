"""A temporal convolutional network: dilated convolutions with residual connections, in place of recurrences.

    features     (batch, time, bands)
    dense        (batch, frames, channels)
    blocks       (batch, frames, channels)  two convolutions each, dilated by 1, 2, 4, ... frames
    heads        see `model.networks.parts`; `early` from halfway up the blocks

Bai, Kolter and Koltun, "An empirical evaluation of generic convolutional and recurrent networks for sequence modeling",
arXiv:1803.01271, 2018: dilations that double, two convolutions with spatial dropout in a residual block. Two things
differ. Theirs are causal; a window is there whole, so these look both ways. Theirs have weight normalisation; these
have batch normalisation like all networks here. Six blocks of 3 frames hear 2.5 s to either side.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import layers

from model.features import FeatureConfig
from model.networks.config import BaseConfig
from model.networks.parts import as_sequence, normalised, spectrogram_input, with_heads


@dataclass(frozen=True)
class NetworkConfig(BaseConfig):
    """The sizes of the network."""

    architecture: str = field(default="tcn", init=False)
    channels: int = 80
    n_blocks: int = 6
    """The last is dilated by 2 to the power of this, less one."""
    kernel_frames: int = 3
    """Frames of 20 ms that a filter sees, a dilation apart."""


def build(features: FeatureConfig, config: NetworkConfig, *, helpers: Collection[str] = ()) -> keras.Model:
    """Build the untrained network: `model.networks.build` says what it takes and gives."""
    spectrogram = spectrogram_input(features)
    x = normalised(layers.Dense(config.channels, use_bias=False)(as_sequence(spectrogram, features)))
    given = []
    for block in range(config.n_blocks):
        x = _residual(x, config, dilation=2**block)
        given.append(x)
    x = layers.Dropout(config.dropout)(normalised(x))  # the blocks add up: without it, the heads begin saturated
    early = given[(len(given) - 1) // 2]
    return with_heads(spectrogram, x, config, early=early, units=config.channels, helpers=helpers)


def _residual(x: Any, config: NetworkConfig, *, dilation: int) -> Any:
    """Add to a sequence what two dilated convolutions make of it."""
    y = x
    for _ in range(2):
        convolution = layers.Conv1D(
            config.channels, config.kernel_frames, dilation_rate=dilation, padding="same", use_bias=False
        )
        y = layers.SpatialDropout1D(config.dropout)(normalised(convolution(y)))
    return layers.Add()([x, y])  # of what is never negative: the ReLU that theirs have here would do nothing
