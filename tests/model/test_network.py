"""The network: shapes at every length, and what its outputs may depend on."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    "wrong",
    [{"channels": ()}, {"channels": (0, 1, 1)}, {"band_strides": (2,)}, {"dropout": 1.0}, {"recurrent_units": 0}],
)
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(UsageError):
        NetworkConfig(**wrong)
