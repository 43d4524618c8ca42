"""A bundle with a real network in it, Keras file and all; untrained, and small, but with weights worth rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model.bundle import Bundle, read_bundle, write_bundle
from model.features import FeatureConfig

FEATURES = FeatureConfig(n_mels=16)
WINDOW = 16_000


def write_keras_bundle(folder: Path) -> Bundle:
    """Write the bundle and return it; takes some seconds."""
    import keras

    from model.networks.cnnrnnlstm import NetworkConfig, build
    from model.training.export import export

    keras.utils.set_random_seed(1)
    config = NetworkConfig(channels=(4, 4), band_strides=(2, 2), dense_units=32, recurrent_units=32)
    network = build(FEATURES, config)
    rng = np.random.default_rng(1)
    # As after training: no weight where initialisation put it, no two of a kind.
    network.set_weights([1.5 * w + rng.uniform(0.0, 0.05, w.shape) for w in network.get_weights()])
    network.compile("adam", {"frames": "mse", "clip_logits": "mse"})
    network.optimizer.build(network.trainable_variables)
    difference = export(network, folder, features=FEATURES)
    made = Bundle(
        path=folder, name="small", window_samples=WINDOW, step_samples=WINDOW // 2, features=FEATURES,
        training={"onnx_difference": difference},
    )  # fmt: skip
    write_bundle(made)
    return read_bundle(folder)
