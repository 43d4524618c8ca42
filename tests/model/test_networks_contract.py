"""Every network of the registry: the same input, the same heads, the same scores in ONNX, and nothing in it dead."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import keras
import numpy as np
import pytest
import scipy.fft
from keras import layers

from audio.errors import UsageError
from model.features import FeatureConfig
from model.judging.runtime import Network
from model.networks import ARCHITECTURES, DEFAULT, build, config_type
from model.networks.cnn1d_mfcc import dct_matrix
from model.networks.parts import HELPERS, without_helpers
from model.networks.resnet50 import STAGES
from model.training.export import export
from model.training.settings import TrainSettings

FEATURES = FeatureConfig(n_mels=16, hop_samples=160, second_n_fft=400)
"""Two feature frames a score and two sets of bands: a network that mistakes time for bands stumbles over them."""

SMALL = {
    "cnnrnnlstm": {"channels": (4, 4), "band_strides": (2, 2), "dense_units": 8, "recurrent_units": 4},
    "cnn": {"channels": (4, 4, 4), "band_strides": (4, 1, 2), "dense_units": 8},
    "cnn1d-mfcc": {"n_mfcc": 5, "channels": (8, 8)},
    "rnn": {"dense_units": 8, "recurrent_units": (8, 8)},
    "gru": {"dense_units": 8, "recurrent_units": (8, 8)},
    "bilstm": {"dense_units": 8, "recurrent_units": (4, 4)},
    "cnn-bilstm": {"channels": (4, 4), "band_strides": (4, 2), "recurrent_units": 4},
    "resnet50": {"fused_units": 8},
    "resnet50-lstm": {"fused_units": 8, "recurrent_units": 8},
    "tcn": {"channels": 8, "n_blocks": 3},
}
"""Sizes that are quick to build."""

LENGTHS = (1, 32, 33)
"""Frames: one alone, and both sides of where ResNet50's last stage begins another step."""


def small_resnet50(*, include_top: bool, weights: None, input_tensor) -> keras.Model:
    """ResNet50 with its five halvings and one layer a stage: the real one takes half a minute to export."""
    x = layers.Conv2D(8, 7, strides=2, padding="same")(input_tensor)
    for name in STAGES:
        x = layers.Conv2D(8, 3, strides=2, padding="same", activation="elu", name=name)(x)
    return keras.Model(input_tensor, x)


@pytest.fixture(scope="module", autouse=True)
def _quick_resnet():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.applications, "ResNet50", small_resnet50)
        yield


@lru_cache
def made(name: str) -> keras.Model:
    keras.utils.set_random_seed(3)
    return build(FEATURES, config_type(name)(**SMALL[name]), helpers=HELPERS)


def noise(n_scores: int, *, batch: int = 1, seed: int = 0) -> np.ndarray:
    shape = (batch, n_scores * FEATURES.frames_per_score, FEATURES.n_bands)
    return np.random.default_rng((seed, n_scores)).standard_normal(shape).astype(np.float32)


def answers(network: keras.Model, window: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in network(window, training=False).items()}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_one_score_a_frame_and_three_logits_at_any_length_whoever_is_beside(name):
    """Catches time that is padded or cut to a multiple, a head that is not there, and windows that see each other."""
    network = made(name)
    assert (network.name, config_type(name)().architecture) == (name, name)
    for n_scores in LENGTHS:
        alone = answers(network, noise(n_scores))
        beside = answers(network, np.concatenate([noise(n_scores), 100 * noise(n_scores, seed=1)]))
        frames = dict.fromkeys(("frames", *HELPERS), (1, n_scores, 1))
        assert {head: value.shape for head, value in alone.items()} == {**frames, "clip_logits": (1, 3)}
        assert all(0 <= alone[head].min() <= alone[head].max() <= 1 for head in frames)
        for head, value in alone.items():
            np.testing.assert_allclose(beside[head][:1], value, atol=1e-5)
    assert set(without_helpers(network).output) == {"frames", "clip_logits"}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_frame_score_is_about_its_own_frame(name):
    """Another end of a window moves the last scores: catches scores that are shifted, or one for all."""
    one, other = noise(33), noise(33)
    other[:, -3 * FEATURES.frames_per_score :] *= -2.0
    before, after = (answers(made(name), window)["frames"][0, :, 0] for window in (one, other))
    assert np.abs(after - before)[-3:].min() > 0
    assert len(np.unique(before)) > 30


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_step_changes_every_weight_and_nothing_that_is_fixed(name):
    """Catches a branch that leads nowhere, and MFCCs that are learned."""
    network = made(name)
    network.compile(keras.optimizers.SGD(1.0), dict.fromkeys(network.output, "mse"), run_eagerly=True)
    first = {weight.path: weight.numpy().copy() for weight in network.weights}
    targets = {head: np.ones(value.shape, np.float32) for head, value in answers(network, noise(33, batch=4)).items()}
    network.train_on_batch(noise(33, batch=4), targets)
    changed = {weight.path for weight in network.weights if not np.array_equal(first[weight.path], weight.numpy())}
    assert changed >= {weight.path for weight in network.trainable_weights}
    assert {path for path in first.keys() - changed if "seed" not in path} <= {"mfcc/kernel"}
    made.cache_clear()  # the others ask for untouched ones


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_export_says_the_same_at_every_length(name, tmp_path):
    """Catches an operation that ONNX has in another meaning, and one that fixes the length of time."""
    network = without_helpers(made(name))
    export(network, tmp_path, features=FEATURES)
    judging = Network(tmp_path / "model.onnx")
    kept = keras.saving.load_model(tmp_path / "model.keras")
    for n_scores in LENGTHS:
        window = noise(n_scores)
        expected = answers(network, window)
        frames, logits = judging.run(window[0])
        np.testing.assert_allclose(frames, expected["frames"][0, :, 0], atol=1e-5)
        np.testing.assert_allclose(logits, expected["clip_logits"][0], atol=1e-5)
        np.testing.assert_array_equal(answers(kept, window)["frames"], expected["frames"])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_settings_keep_the_network_and_refuse_wrong_sizes(name):
    settings = TrainSettings("", features=FEATURES, network=config_type(name)(**SMALL[name]))
    assert TrainSettings.from_json(settings.to_json()) == settings
    for size, value in SMALL[name].items():
        for wrong in ((), (0,), 4) if isinstance(value, tuple) else (0, 1.5):
            with pytest.raises(UsageError, match=r"^network: expected whole sizes of 1 or more\. Received: "):
                config_type(name)(**{**SMALL[name], size: wrong})
    with pytest.raises(UsageError, match="dropout"):
        config_type(name)(dropout=1.0)


def test_an_unknown_network_is_refused_with_the_list():
    with pytest.raises(UsageError, match=rf"^network: .* {DEFAULT}, cnn, .*tcn\. Received: 'lstm'$"):
        config_type("lstm")


# MFCC.


@pytest.mark.parametrize(("n_mels", "n_mfcc"), [(16, 16), (128, 40), (7, 1)])
def test_the_fixed_layer_is_the_orthonormal_dct(n_mels, n_mfcc):
    bands = np.random.default_rng(n_mels).standard_normal((9, n_mels))
    expected = scipy.fft.dct(bands, type=2, norm="ortho", axis=1)[:, :n_mfcc]
    np.testing.assert_allclose(bands @ dct_matrix(n_mels, n_mfcc), expected, atol=1e-5)


def test_the_network_hears_those_of_each_set_and_frame():
    network = made("cnn1d-mfcc")
    window = noise(6)
    heard = keras.Model(network.input, network.get_layer("mfcc").output)(window)
    sets = window[0].reshape(6, 2, 2, FEATURES.n_mels)  # frames of a score, sets of bands
    expected = scipy.fft.dct(sets, type=2, norm="ortho", axis=-1)[..., :5].reshape(6, 4, 5)
    np.testing.assert_allclose(np.asarray(heard)[0], expected, atol=1e-5)


def test_more_cepstra_than_bands_are_refused_before_a_run_begins():
    with pytest.raises(UsageError, match=r"expected n_mels of 17 or more\. Received: 16$"):
        TrainSettings("", features=FEATURES, network=replace(config_type("cnn1d-mfcc")(), n_mfcc=17))


# ResNet50.


def test_the_real_resnet50_has_the_stages_that_we_read():
    """One step for each stride begun, whatever the length: what `small_resnet50` stands for."""
    from keras.applications.resnet import ResNet50

    picture = keras.Input((None, 16, 2))
    resnet = ResNet50(include_top=False, weights=None, input_tensor=picture)
    stages = keras.Model(picture, {name: resnet.get_layer(name).output for name in STAGES})
    for n_frames in (1, 31, 33):
        found = stages(np.zeros((1, n_frames, 16, 2), np.float32))
        assert {name: value.shape[1] for name, value in found.items()} == {
            name: -(-n_frames // stride) for name, stride in STAGES.items()
        }
