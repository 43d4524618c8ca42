"""A network and its runtimes: right answers pass, wrong networks are named. (What LiteRT answers: test_exporting.)"""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import numpy as np
import pytest
from tiny_model import FEATURES, write_tiny_bundle

from audio.errors import ModelError, UsageError
from model.bundle import read_bundle
from model.judging import sessions
from model.judging.runtime import DEFAULT_RUNTIME, RUNTIMES, Network, open_network
from model.judging.sessions import litert_session


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


@pytest.mark.parametrize("batches", [True, False])
def test_many_windows_score_as_each_of_them_does(tiny_bundle, batches):
    """Catches windows of a batch that change places, and a runtime with a batch of 1 that is given more."""
    windows = np.random.default_rng(2).standard_normal((5, 40, FEATURES.n_mels)).astype(np.float32)
    sizes = []
    network = Network(tiny_bundle / "model.onnx", batches=batches)
    inner, network._session = network._session, lambda x: sizes.append(len(x)) or inner(x)
    scores = network.frame_scores(windows)
    assert sizes == ([5] if batches else [1] * 5)
    assert (scores.shape, scores.dtype) == ((5, 20), np.float32)
    np.testing.assert_allclose(scores, [network.run(window)[0] for window in windows], atol=1e-6)


def test_int8_networks_are_never_given_several_windows(tmp_path):
    """They round by the greatest number in the batch."""
    bundle = read_bundle(write_tiny_bundle(tmp_path))
    assert open_network(bundle)._batches
    exported = replace(bundle, training={"export": {"format": "onnx", "int8": True}})
    assert not open_network(exported)._batches


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


# Which runtime.


@pytest.mark.parametrize("runtime", [None, "onnx"])
def test_a_bundle_of_a_training_run_is_for_onnx(tiny_bundle, features, runtime):
    network = open_network(read_bundle(tiny_bundle), runtime)
    for one, other in zip(network.run(features), Network(tiny_bundle / "model.onnx").run(features), strict=True):
        np.testing.assert_array_equal(one, other)
    assert DEFAULT_RUNTIME in RUNTIMES


def test_an_unknown_runtime_is_wrong_usage(tiny_bundle):
    with pytest.raises(UsageError, match="runtime: expected one of onnx, litert, received 'coreml'"):
        open_network(read_bundle(tiny_bundle), "coreml")


def test_a_bundle_without_the_file_of_a_runtime_says_how_to_make_it(tiny_bundle):
    with pytest.raises(ModelError, match=r"model\.tflite: expected .* 'python script\.py export --format litert"):
        open_network(read_bundle(tiny_bundle), "litert")


def test_a_litert_file_that_was_put_there_by_hand_is_not_taken(tmp_path):
    """Catches a file that nobody has compared with the bundle."""
    folder = write_tiny_bundle(tmp_path)
    (folder / "model.tflite").write_bytes(b"from somewhere")
    with pytest.raises(ModelError, match="expected a bundle that was exported for this runtime"):
        open_network(read_bundle(folder), "litert")


def test_without_litert_the_install_command_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ModelError, match=r"model\.tflite: LiteRT is missing: .*'pip install ai-edge-litert'"):
        litert_session(tmp_path / "model.tflite")


@pytest.mark.parametrize("content", [None, b"", b"not a network" * 9])
def test_no_litert_network_at_all(tmp_path, content):
    pytest.importorskip("ai_edge_litert", reason="LiteRT is missing: pip install ai-edge-litert")
    path = tmp_path / "model.tflite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match="no LiteRT network that can be loaded") as caught:
        litert_session(path)
    assert "\n" not in str(caught.value)


def test_muting_stderr_ends(capfd):
    with sessions._muted_stderr():
        os.write(2, b"unheard")
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


def test_muting_needs_no_stderr(monkeypatch):
    """Catches a program without a console that cannot load a network."""

    def closed(fd: int) -> int:
        raise OSError("bad file descriptor")

    ran = False
    with monkeypatch.context() as patched:
        patched.setattr(os, "dup", closed)
        with sessions._muted_stderr():
            ran = True
    assert ran
