"""What the purely recurrent networks share: all but the cell.

features     (batch, time, bands)
dense        (batch, frames, units)
recurrences  (batch, frames, units)   layers of one cell over one another
heads        see `model.networks.parts`; `early` before the recurrences
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from model.features import FeatureConfig
from model.networks.config import BaseConfig
from model.networks.parts import as_sequence, normalised, spectrogram_input, with_heads


@dataclass(frozen=True)
class RecurrentConfig(BaseConfig):
    """Sizes of a recurrent network."""

    dense_units: int = 96
    recurrent_units: tuple[int, ...] = (96, 96)
    """Units of each recurrence; of one that goes both ways, each way."""


def stacked(
    features: FeatureConfig,
    config: RecurrentConfig,
    recurrence: Callable[[int], Any],
    *,
    helpers: Collection[str] = (),
) -> keras.Model:
    """Build a network of recurrences; `recurrence` makes one with so many units."""
    spectrogram = spectrogram_input(features)
    x = normalised(layers.Dense(config.dense_units, use_bias=False)(as_sequence(spectrogram, features)))
    heard = x = layers.Dropout(config.dropout)(x)
    for units in config.recurrent_units:
        x = recurrence(units)(x)
    x = layers.Dropout(config.dropout)(x)
    return with_heads(spectrogram, x, config, early=heard, units=config.recurrent_units[-1], helpers=helpers)
