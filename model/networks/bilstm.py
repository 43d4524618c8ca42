"""Bidirectional LSTM layers over a log-mel spectrogram.

Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 1997; both directions: Graves and Schmidhuber,
"Framewise phoneme classification with bidirectional LSTM and other neural network architectures", Neural Networks 2005.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import keras
from keras import layers

from model.features import FeatureConfig
from model.networks.recurrent import RecurrentConfig, stacked


@dataclass(frozen=True)
class NetworkConfig(RecurrentConfig):
    """The sizes of the network."""

    architecture: str = field(default="bilstm", init=False)
    recurrent_units: tuple[int, ...] = (64, 64)


def build(features: FeatureConfig, config: NetworkConfig, *, helpers: Collection[str] = ()) -> keras.Model:
    """Build the untrained network: `model.networks.build` says what it takes and gives."""
    return stacked(
        features,
        config,
        lambda units: layers.Bidirectional(layers.LSTM(units, return_sequences=True)),
        helpers=helpers,
    )
