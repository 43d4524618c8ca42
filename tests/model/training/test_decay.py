"""Weight decay takes from the weights that have a size, and from nothing else."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from tiny_set import write_tiny_set

from model.features import FeatureConfig
from model.networks import cnnrnnlstm
from model.training.examples import Batches, read_set
from model.training.fit import compile_model
from model.training.settings import TrainSettings


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_step_without_gradients_shrinks_kernels_alone(tmp_path, decay):
    """Catches a decay that is not handed on, and one that pulls offsets and scales to 0."""
    settings = TrainSettings(
        "",
        learning_rate=0.1,
        weight_decay=decay,
        features=FeatureConfig(n_mels=16),
        network=cnnrnnlstm.NetworkConfig(channels=(4,), band_strides=(4,), dense_units=4, recurrent_units=4),
    )
    model = cnnrnnlstm.build(settings.features, settings.network)
    batches = Batches(read_set(write_tiny_set(tmp_path), seed=0), settings.window, 4, seed=0)
    compile_model(model, settings, batches, n_steps=1)
    variables = model.trainable_variables
    for each in variables:
        each.assign(np.ones(each.shape))
    model.optimizer.apply([keras.ops.zeros(each.shape) for each in variables], variables)
    kept = 1 - decay * settings.learning_rate / 10  # the first step of the warm-up
    for each in variables:
        expected = kept if "kernel" in each.name else 1.0
        np.testing.assert_allclose(np.asarray(each), expected, rtol=1e-6, err_msg=each.path)
