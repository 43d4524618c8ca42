"""SimpleRNN layers over a log-mel spectrogram, forwards only: a score depends on the past alone.

Elman, "Finding structure in time", Cognitive Science 1990.
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

    architecture: str = field(default="rnn", init=False)
    recurrent_units: tuple[int, ...] = (128, 128)


def build(features: FeatureConfig, config: NetworkConfig, *, helpers: Collection[str] = ()) -> keras.Model:
    """Build the untrained network: `model.networks.build` says what it takes and gives."""
    return stacked(features, config, lambda units: layers.SimpleRNN(units, return_sequences=True), helpers=helpers)
