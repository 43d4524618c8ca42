"""The ONNX network: right answers pass, wrong networks are named."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_model import FEATURES, write_tiny_bundle

from audio.errors import ModelError
from model.judging.runtime import Network


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((40, FEATURES.n_mels)).astype(np.float32)


def test_one_window_gives_frame_scores_and_logits(tmp_path, features):
    rng = np.random.default_rng(1)
    weights, clip = rng.standard_normal(32), rng.standard_normal((2, 3))
    folder = write_tiny_bundle(tmp_path, weights=weights, clip_weights=clip)
    frames, logits = Network(folder / "model.onnx").run(features)
    expected = 1 / (1 + np.exp(-(features @ weights).reshape(-1, 2).mean(axis=1)))
    np.testing.assert_allclose(frames, expected, atol=1e-6)
    np.testing.assert_allclose(logits, expected.mean() * clip[0] + clip[1], atol=1e-5)
    assert frames.dtype == logits.dtype == np.float32


def test_a_window_alone_gives_the_same_bits_whatever_ran_before(tiny_bundle, features):
    network = Network(tiny_bundle / "model.onnx")
    alone = network.run(features)
    network.run(100 * features[:12])
    for first, second in zip(alone, network.run(features), strict=True):
        np.testing.assert_array_equal(first, second)


def test_no_network_at_all(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(ModelError, match=r"model\.onnx: no ONNX network that can be loaded"):
        Network(path)
    with pytest.raises(ModelError, match="no ONNX network"):
        Network(tmp_path / "missing.onnx")


def test_a_network_with_other_outputs(tmp_path):
    folder = write_tiny_bundle(tmp_path, frames="scores")
    with pytest.raises(ModelError, match="expected input features and outputs frames, clip_logits, received"):
        Network(folder / "model.onnx")


def test_features_of_another_size(tiny_bundle):
    with pytest.raises(ModelError, match="failed on features") as caught:
        Network(tiny_bundle / "model.onnx").run(np.zeros((40, 7), np.float32))
    assert "\n" not in str(caught.value)


def test_answers_that_are_not_finite(tmp_path, features):
    folder = write_tiny_bundle(tmp_path, clip_weights=np.full((2, 3), np.nan))
    with pytest.raises(ModelError, match="not finite"):
        Network(folder / "model.onnx").run(features)


def test_a_head_of_another_width(tmp_path, features):
    folder = write_tiny_bundle(tmp_path, clip_weights=np.zeros((2, 2)))
    with pytest.raises(ModelError, match=r"expected outputs .* received \(1, 20\) and \(1, 2\)|no ONNX network"):
        Network(folder / "model.onnx").run(features)
