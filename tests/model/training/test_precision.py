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
from model.networks.cnn import NetworkConfig
from model.networks.parts import HELPERS
from model.training.callbacks import SavedState, read_state
from model.training.examples import TrainingSet, read_set
from model.training.export import export
from model.training.fit import fit, precision, prepare
from model.training.settings import TrainSettings

SETTINGS = TrainSettings(
    data="",
    epochs=1,
    batch_size=6,
    seed=5,
    window_s=0.5,
    precision="mixed_float16",
    features=FeatureConfig(n_mels=32),
    network=NetworkConfig(channels=(4, 4), band_strides=(8, 1), dense_units=8),
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


@pytest.fixture(scope="module")
def training_set(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    return read_set(write_tiny_set(tmp_path_factory.mktemp("precision")), seed=5)


def test_the_scale_of_the_loss_is_resumed_with(training_set: TrainingSet, tmp_path: Path) -> None:
    """Catches a run in float16 that goes on with a scale at which its gradients overflow, or without moments."""
    one, other = (prepare(SETTINGS, training_set).model for _ in range(2))
    one.optimizer.build(one.trainable_variables)
    one.optimizer.dynamic_scale.assign(123.0)
    for number, moment in enumerate(one.optimizer.inner_optimizer.variables[2:]):
        moment.assign(np.full(moment.shape, number, dtype="float32"))
    saved = SavedState(tmp_path, {})
    saved.set_model(one)
    one.stop_training = False
    saved.on_epoch_end(0)
    saved.restore(read_state(tmp_path), other)
    for before, after in zip(one.optimizer.variables, other.optimizer.variables, strict=True):
        np.testing.assert_array_equal(before.numpy(), after.numpy())
    assert float(other.optimizer.dynamic_scale) == 123.0


def test_a_run_in_16_bits_ends_as_float32(training_set: TrainingSet, tmp_path: Path) -> None:
    """Catches 16 bits in the model that judges."""
    whole = fit(tmp_path / "whole", SETTINGS, training_set)
    assert {layer.compute_dtype for layer in whole.layers} == {"float32"}
    trained = keras.saving.load_model(tmp_path / "whole" / "best.keras", compile=False)
    assert {layer.compute_dtype for layer in trained.layers} == {"float16", "float32"}
    for one, other in zip(whole.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == np.float32
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
