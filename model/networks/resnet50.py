"""ResNet50 over a log-mel spectrogram as a picture, from scratch.

    features     (batch, time, bands)
    ResNet50     four stages, one step every 4, 8, 16 and 32 frames
    fused        (batch, frames, units)   all four, brought back to frames and added up
    heads        see `model.networks.parts`; `early` from the first stage

He et al., "Deep residual learning for image recognition", CVPR 2016; the layers are those of keras.applications,
without weights, and nothing is downloaded.

ResNet50 halves time five times, and a score is wanted every 20 ms. Without its strides in time, the last stage would
have 32 times as much to do. So frames read every stage, as feature pyramids do (Lin et al., CVPR 2017): deep stages
know what it is, and each of their steps is repeated for the frames it stands for; the first knows where, and each of
its steps gives four frames numbers of their own (sub-pixel convolution: Shi et al., CVPR 2016). A stage has
ceil(frames / stride) steps at any length, so that there is one for every frame; what its last step says beyond the end
is left out, and nothing is padded to a multiple.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import layers, ops

from model.features import FeatureConfig
from model.networks.config import BaseConfig
from model.networks.parts import as_picture, flattened, normalised, spectrogram_input, with_heads

STAGES = {"conv2_block3_out": 4, "conv3_block4_out": 8, "conv4_block6_out": 16, "conv5_block3_out": 32}
"""Last layer of each stage, as keras.applications calls it, and frames a step."""


@dataclass(frozen=True)
class ResNetConfig(BaseConfig):
    """Sizes of a network with ResNet50 in it, whose own are fixed."""

    fused_units: int = 128
    """Numbers a frame that the stages are fused into."""


@dataclass(frozen=True)
class NetworkConfig(ResNetConfig):
    """The sizes of the network."""

    architecture: str = field(default="resnet50", init=False)


def build(features: FeatureConfig, config: NetworkConfig, *, helpers: Collection[str] = ()) -> keras.Model:
    """Build the untrained network: `model.networks.build` says what it takes and gives."""
    spectrogram = spectrogram_input(features)
    x, early = fused(spectrogram, features, config)
    return with_heads(spectrogram, x, config, early=early, units=config.fused_units, helpers=helpers)


def fused(spectrogram: Any, features: FeatureConfig, config: ResNetConfig) -> tuple[Any, Any]:
    """Return what ResNet50 says of each frame, and what its first stage does, both (batch, frames, fused_units)."""
    picture = as_picture(spectrogram, features, together=features.frames_per_score)
    resnet = keras.applications.ResNet50(include_top=False, weights=None, input_tensor=picture)
    _settle_sooner(resnet)
    said = [_at_frames(resnet.get_layer(name).output, stride, picture, config) for name, stride in STAGES.items()]
    return layers.Dropout(config.dropout)(normalised(layers.Add()(said))), said[0]


def _settle_sooner(resnet: keras.Model) -> None:
    """Let batch normalisation forget as quickly as that of the other networks, `model.networks.parts.normalised`."""
    for layer in resnet.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.95


def _at_frames(stage: Any, stride: int, picture: Any, config: ResNetConfig) -> Any:
    """Bring a stage, (batch, steps, bands, channels), back to the frames of the picture."""
    steps = flattened(layers.AveragePooling2D((1, stage.shape[2]))(stage))
    own = stride if stride == min(STAGES.values()) else 1  # frames that a step gives numbers of their own
    numbers = layers.Reshape((-1, config.fused_units))(layers.Dense(own * config.fused_units)(steps))
    ones = ops.ones_like(picture[:, :, 0, :1], dtype="int32")  # the number of frames is known when it runs
    frame = ops.cumsum(ones, axis=1) - 1
    return ops.take_along_axis(numbers, frame // (stride // own), axis=1)
