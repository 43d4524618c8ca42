"""The network: shapes at every length, and what its outputs may depend on."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from audio.errors import UsageError
from model.features import FeatureConfig
from model.networks.cnnrnnlstm import NetworkConfig, build

SMALL = NetworkConfig(channels=(4, 4), band_strides=(2, 2), dense_units=8, recurrent_units=4)


@pytest.fixture(scope="module", params=[160, 320], ids=["10 ms", "20 ms"])
def network(request):
    features = FeatureConfig(hop_samples=request.param, n_mels=16)
    return features, build(features, SMALL)


def noise(features: FeatureConfig, n_scores: int, seed: int = 0, batch: int = 1) -> np.ndarray:
    shape = (batch, n_scores * features.frames_per_score, features.n_mels)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("n_scores", [1, 2, 7, 200])
def test_one_score_a_frame_and_three_logits_at_any_length(network, n_scores):
    features, model = network
    made = model.predict(noise(features, n_scores), verbose=0)
    assert made["frames"].shape == (1, n_scores, 1)
    assert made["clip_logits"].shape == (1, 3)
    assert 0 <= made["frames"].min() <= made["frames"].max() <= 1


def test_a_window_does_not_see_its_batch_mates(network):
    features, model = network
    alone = noise(features, 30)
    loud = np.concatenate([alone, 100 * noise(features, 30, seed=1, batch=3)])
    together = model.predict(loud, verbose=0)
    by_itself = model.predict(alone, verbose=0)
    for name in ("frames", "clip_logits"):
        np.testing.assert_allclose(together[name][:1], by_itself[name], atol=1e-5)


def test_the_spine_is_convolution_then_rnn_then_lstm(network):
    kinds = [type(getattr(layer, "forward_layer", layer)).__name__ for layer in network[1].layers]
    spine = [kind for kind in kinds if kind in ("Conv2D", "SimpleRNN", "LSTM")]
    assert spine == ["Conv2D", "Conv2D", "SimpleRNN", "LSTM"]
    assert {"BatchNormalization", "Dropout"} <= set(kinds)


def test_two_sets_of_bands_are_laid_over_one_another():
    """Band k of both sets belongs to the same frequency: the first convolution must see them as two channels."""
    features = FeatureConfig(n_mels=16, second_n_fft=512)
    model = build(features, SMALL)
    assert model.input_shape == (None, None, 32)
    picture = keras.Model(model.input, model.get_layer(index=2).output)
    window = noise(features, 5)
    seen = picture.predict(np.concatenate([window, window + 1], axis=2), verbose=0)
    assert seen.shape == (1, 5, 16, 2)
    np.testing.assert_array_equal(seen[..., 0], window)
    np.testing.assert_array_equal(seen[..., 1], window + 1)


def test_without_looking_ahead_a_score_depends_on_the_past_alone():
    features = FeatureConfig(n_mels=16)
    model = build(features, replace(SMALL, bidirectional=False))
    long = noise(features, 60)
    kept = 40  # each convolution looks one frame ahead
    early = model.predict(long[:, :kept], verbose=0)["frames"][0, : kept - 2]
    np.testing.assert_allclose(model.predict(long, verbose=0)["frames"][0, : kept - 2], early, atol=1e-5)


@pytest.mark.parametrize("config", [replace(SMALL, pooling="attention"), SMALL], ids=["attention", "mean-max"])
def test_a_clip_is_summed_up_whatever_its_length(config):
    features = FeatureConfig(n_mels=16)
    model = build(features, config, helpers=("early", "boundaries"))
    made = model.predict(noise(features, 9), verbose=0)
    assert {name: value.shape for name, value in made.items()} == {
        "frames": (1, 9, 1),
        "clip_logits": (1, 3),
        "early": (1, 9, 1),
        "boundaries": (1, 9, 1),
    }


@pytest.mark.parametrize(
    "wrong",
    [
        *({"channels": ()}, {"channels": (0, 1, 1)}, {"band_strides": (2,)}),
        *({"dropout": 1.0}, {"recurrent_units": 0}, {"pooling": "sum"}),
    ],
)
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(UsageError):
        NetworkConfig(**wrong)
