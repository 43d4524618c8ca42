"""What the networks share: how a spectrogram is laid out for them, and the heads.

Judging reads two heads:

    frames       (batch, frames, 1)   P(fake) every 20 ms
    clip_logits  (batch, 3)           real, fake, hybrid before the softmax

While training there may be two more, which judging does not have:

    early        (batch, frames, 1)   P(fake) from halfway up, so that the lower layers learn sooner (Lee et al.,
                                      "Deeply-supervised nets", AISTATS 2015)
    boundaries   (batch, frames, 1)   P(a fake span begins or ends here)
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import keras
from keras import layers

from audio.labels import LABELS
from model.features import FeatureConfig
from model.networks.config import BaseConfig, ConvolutionConfig

HELPERS = ("early", "boundaries")
"""Heads that only training has."""


def spectrogram_input(features: FeatureConfig) -> Any:
    """Return the input of every network: float32 (batch, time, n_bands)."""
    return keras.Input((None, features.n_bands), name="features")


def as_picture(spectrogram: Any, features: FeatureConfig, *, together: int = 1) -> Any:
    """Lay sets of bands, and so many feature frames in turn, over one another as channels.

    Returns
    -------
    (batch, time / together, n_mels, together x sets)
    """
    depth = together * len(features.parts)
    if depth == 1:
        return layers.Reshape((-1, features.n_mels, 1))(spectrogram)
    return layers.Permute((1, 3, 2))(layers.Reshape((-1, depth, features.n_mels))(spectrogram))


def as_sequence(spectrogram: Any, features: FeatureConfig) -> Any:
    """Put the feature frames of a score side by side: (batch, frames, frames_per_score x n_bands)."""
    return layers.Reshape((-1, features.frames_per_score * features.n_bands))(spectrogram)


def convolved(x: Any, frames_per_score: int, config: ConvolutionConfig) -> list[Any]:
    """Strided blocks over a picture: each merges bands, the first also brings time down to one step a frame score.

    Returns
    -------
    What each block gives, (batch, frames, bands, channels).
    """
    given = []
    for block, (channels, stride) in enumerate(zip(config.channels, config.band_strides, strict=True)):
        strides = (frames_per_score if block == 0 else 1, stride)
        kernel = (max(3, strides[0] + 1), max(3, stride + 1))  # wider than the stride, or bands in between are not seen
        x = normalised(layers.Conv2D(channels, kernel, strides=strides, padding="same", use_bias=False)(x))
        given.append(x)
    return given


def flattened(x: Any) -> Any:
    """Put the bands of a picture side by side: (batch, frames, bands x channels)."""
    return layers.Reshape((-1, x.shape[2] * x.shape[3]))(x)


def normalised(x: Any) -> Any:
    """Batch normalisation and ReLU."""
    # Momentum 0.95: the running statistics settle within one of the short epochs that small sets have.
    return layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))


def with_heads(
    spectrogram: Any, x: Any, config: BaseConfig, *, early: Any, units: int, helpers: Collection[str] = ()
) -> keras.Model:
    """Complete a network by its heads.

    Parameters
    ----------
    spectrogram
        Its input.
    x
        What it makes of that, (batch, frames, any).
    config
        How its frames become a clip's verdict, and what it is called.
    early
        What it has halfway up, (batch, frames, any).
    units
        Size of the clip head's hidden layer.
    helpers
        Which of `HELPERS` it gets.
    """
    # float32 also where the rest computes in 16 bits: losses are taken of these.
    frames = layers.Dense(1, activation="sigmoid", name="frames", dtype="float32")(x)
    pooled = _pooled(x, frames, config.pooling, units)
    clip_logits = layers.Dense(len(LABELS), name="clip_logits", dtype="float32")(pooled)
    outputs = {"frames": frames, "clip_logits": clip_logits}
    for name, source in (("early", early), ("boundaries", x)):
        if name in helpers:
            outputs[name] = layers.Dense(1, activation="sigmoid", name=name, dtype="float32")(source)
    return keras.Model(spectrogram, outputs, name=config.architecture)


def without_helpers(model: keras.Model) -> keras.Model:
    """Return the network as it judges: the same layers and weights, without the heads that only training has."""
    if not set(HELPERS) & set(model.output):
        return model
    return keras.Model(model.input, {name: model.output[name] for name in ("frames", "clip_logits")}, name=model.name)


def _pooled(x: Any, frames: Any, pooling: str, units: int) -> Any:
    """Sum up a window of any length: how it is on average, how it is at its most, and so for P(fake) itself."""
    mean, most = layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D
    if pooling == "attention":
        weights = layers.Softmax(axis=1)(layers.Dense(1)(layers.Dense(units, activation="tanh")(x)))
        attended = layers.Flatten()(layers.Dot(axes=1)([weights, x]))
        pools = [attended, mean()(frames), most()(frames)]
    else:
        pools = [pool()(y) for y in (x, frames) for pool in (mean, most)]
    return layers.Dense(units, activation="relu")(layers.Concatenate()(pools))
