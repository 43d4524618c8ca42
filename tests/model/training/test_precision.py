"""Training in 16 bits: what is computed so, and that nothing of it is left in the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from tiny_set import write_tiny_set

from audio.errors import UsageError
from model.features import FeatureConfig
from model.networks import ARCHITECTURES, build, config_type
from model.networks.cnnrnnlstm import NetworkConfig
from model.networks.parts import HELPERS
from model.training.examples import read_set
from model.training.export import export
from model.training.fit import fit, precision
from model.training.settings import TrainSettings

SETTINGS = TrainSettings(
    data="",
    epochs=1,
    batch_size=6,
    seed=5,
    window_s=0.5,
    precision="mixed_float16",
    features=FeatureConfig(n_mels=32),
    network=NetworkConfig(channels=(4,), band_strides=(8,), dense_units=8, recurrent_units=4),
)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if "resnet" not in name])
def test_all_but_the_heads_and_the_weights_are_16_bits(name: str, policy: str) -> None:
    """Catches a loss that is taken of 16 bits, weights that are rounded to them, and a policy that stays behind."""
    with precision(policy):
        model = build(FeatureConfig(), config_type(name)(), helpers=HELPERS)
    assert keras.config.dtype_policy().name == "float32"
    assert {output.dtype for output in model.output.values()} == {"float32"}
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
    assert {layer.compute_dtype for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)} <= {
        policy.removeprefix("mixed_")
    }
    assert policy.removeprefix("mixed_") in {layer.compute_dtype for layer in model.layers}


def test_a_run_in_16_bits_resumes_and_ends_as_float32(tmp_path: Path) -> None:
    """Catches a scale of the loss that is lost on resume, and 16 bits in the model that judges."""
    training_set = read_set(write_tiny_set(tmp_path / "set"), seed=5)
    whole = fit(tmp_path / "whole", replace(SETTINGS, epochs=2, learning_rate=1e-3), training_set)
    assert {layer.compute_dtype for layer in whole.layers} == {"float32"}
    trained = keras.saving.load_model(tmp_path / "whole" / "best.keras")
    assert {layer.compute_dtype for layer in trained.layers} == {"float16", "float32"}
    for one, other in zip(whole.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == np.float32
    assert fit(tmp_path / "whole", replace(SETTINGS, epochs=3), training_set).count_params() == whole.count_params()
    assert export(whole, tmp_path / "bundle", features=SETTINGS.features) < 1e-4
    graph = onnx.load(tmp_path / "bundle" / "model.onnx").graph
    halves = {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    assert not halves & {held.data_type for held in graph.initializer}


def test_other_precisions_are_refused() -> None:
    with pytest.raises(UsageError, match="precision: expected one of float32, mixed_bfloat16, mixed_float16"):
        replace(SETTINGS, precision="float8")


def test_settings_without_a_precision_still_read() -> None:
    """Runs of earlier versions do not say what they computed in, nor how they shuffled."""
    old = SETTINGS.to_json()
    del old["precision"], old["shuffle_window"]
    assert TrainSettings.from_json(old) == replace(SETTINGS, precision="float32")
