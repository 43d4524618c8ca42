"""Embeddings: the network behind its heads, which finds the same scores again once the heads stand on it."""

from __future__ import annotations

import numpy as np
import pytest
from keras_bundle import write_keras_bundle
from tiny_model import voice

from audio.errors import UsageError
from model.bundle import CLASSICAL
from model.judging.systems import open_system
from model.training.embedding import write_embeddings


def test_the_heads_of_the_network_stand_on_its_embeddings(tmp_path):
    """Catches the layer before the last but one, and an ONNX file of another network."""
    from dataclasses import replace

    import keras

    bundle = write_keras_bundle(tmp_path / "network")
    found, facts = write_embeddings(bundle, tmp_path)
    network = keras.saving.load_model(bundle.keras_path)
    samples = voice(np.random.default_rng(1), 1.0, fake_s=[(0.2, 0.6)])
    described = found.describe(samples)
    scores, logits = open_system(bundle).judge(samples)
    weights, offset = network.get_layer("frames").get_weights()
    np.testing.assert_allclose(1 / (1 + np.exp(-(described.frames @ weights + offset)))[:, 0], scores, atol=1e-4)
    weights, offset = network.get_layer("clip_logits").get_weights()
    np.testing.assert_allclose(described.clip @ weights + offset, logits, atol=1e-3)
    assert facts["sizes"] == [len(found.frame_names), len(found.clip_names)]
    assert facts["sizes"] == [described.frames.shape[1], len(described.clip)]
    with pytest.raises(UsageError, match="embeddings: expected a network"):
        write_embeddings(replace(bundle, kind=CLASSICAL), tmp_path)
