"""The proof of an export, with networks whose difference is known; what is too far off, and what is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_model import BAND_GAIN, RATE, voice, write_tiny_bundle

from audio.errors import ModelError
from model.bundle import Bundle, read_bundle
from model.features import log_mel
from model.judging.detector import Detector
from model.judging.runtime import Network
from model.judging.windows import sliding_windows
from model.training.proof import FLOAT_LIMIT, INT8_FRAME_LIMIT, Proof, made_sounds, prove

WINDOW = 2 * RATE


@pytest.fixture(scope="module")
def bundle(tiny_bundle) -> Bundle:
    return read_bundle(tiny_bundle)


def other(folder, **kwargs) -> Network:
    """The tiny network with other weights."""
    return Network(write_tiny_bundle(folder, **kwargs) / "model.onnx")


def clips() -> list[np.ndarray]:
    """A real, a fake and a hybrid clip, of 1, 2 and 4 windows."""
    spans = [(1.0, ()), (3.0, ((0.0, 3.0),)), (5.0, ((1.0, 2.0),))]
    return [voice(np.random.default_rng(i), seconds, fake_s=fake_s) for i, (seconds, fake_s) in enumerate(spans)]


def test_the_same_network_differs_in_nothing(bundle):
    proof = prove(bundle, Network(bundle.onnx_path), clips())
    assert (proof.clips, proof.windows, proof.audio_s, proof.not_compared) == (3, 7, 9.0, 0)
    differences = (proof.frame_difference, proof.mean_frame_difference, proof.probability_difference)
    assert differences == (0.0, 0.0, 0.0)
    assert proof.changed_verdicts == 0
    assert proof.objection(int8=False) == proof.objection(int8=True) == ""
    assert proof.ms_per_s > 0
    assert proof.onnx_ms_per_s > 0


def test_differences_are_those_of_the_windows(bundle, tmp_path):
    """Catches a comparison after overlap-add, which hides what two windows disagree about."""
    network = other(tmp_path, weights=1.1 * BAND_GAIN)
    samples = clips()[2]
    proof = prove(bundle, network, [samples])
    expected = []
    sizes = {"window_samples": bundle.window_samples, "step_samples": bundle.step_samples}
    for w in sliding_windows(len(samples), **sizes, hop_samples=bundle.frame_hop_samples):
        features = log_mel(samples[w.onset : w.offset], bundle.features)
        expected.append(np.abs(network.run(features)[0] - Network(bundle.onnx_path).run(features)[0]))
    assert proof.frame_difference == pytest.approx(np.concatenate(expected).max())
    assert proof.mean_frame_difference == pytest.approx(np.concatenate(expected).mean())
    assert 0 < proof.mean_frame_difference < proof.frame_difference


def test_clips_are_compared_as_the_detector_judges_them(bundle, tmp_path):
    logits = np.array([[-6.0, 6.0, 0.0], [1.8, -9.0, 0.5]])
    proof = prove(bundle, other(tmp_path, clip_weights=logits), clips())
    ours, theirs = ([Detector(folder).detect(samples) for samples in clips()] for folder in (bundle.path, tmp_path))
    largest = max(
        abs(a.probabilities[label] - b.probabilities[label])
        for a, b in zip(ours, theirs, strict=True)
        for label in a.probabilities
    )
    assert proof.probability_difference == pytest.approx(largest)
    assert proof.frame_difference == 0
    assert "expected at most 0.0001" in proof.objection(int8=False)


def test_changed_verdicts_are_counted(bundle, tmp_path):
    always_real = np.array([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]])
    assert prove(bundle, other(tmp_path, clip_weights=always_real), clips()).changed_verdicts == 2


def test_clips_that_nobody_can_judge_are_left_out(bundle):
    silence, short = np.zeros(WINDOW, np.float32), clips()[0][:3_000]
    proof = prove(bundle, Network(bundle.onnx_path), [silence, clips()[0], short])
    assert (proof.clips, proof.not_compared, proof.audio_s) == (1, 2, 1.0)
    with pytest.raises(ModelError, match="nothing to compare"):
        prove(bundle, Network(bundle.onnx_path), [silence, short])


def test_made_sounds_are_judged_and_lie_around_a_window(bundle):
    sounds = list(made_sounds(bundle))
    assert {WINDOW - 1, WINDOW, WINDOW + 1, 10 * RATE} < {len(samples) for samples in sounds}
    assert min(map(len, sounds)) < WINDOW // 2
    assert prove(bundle, Network(bundle.onnx_path), sounds).not_compared == 0
    for one, again, another in zip(sounds, made_sounds(bundle), made_sounds(bundle, seed=1), strict=True):
        np.testing.assert_array_equal(one, again)
        assert not np.array_equal(one, another)


FINE = Proof(
    clips=20, not_compared=0, windows=40, audio_s=100.0, frame_difference=0.0, mean_frame_difference=0.0,
    probability_difference=0.0, changed_verdicts=0, ms_per_s=1.0, onnx_ms_per_s=1.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "as_float", "as_int8"),
    [
        ({}, True, True),
        ({"frame_difference": FLOAT_LIMIT, "probability_difference": FLOAT_LIMIT}, True, True),
        ({"frame_difference": 1.01 * FLOAT_LIMIT}, False, True),
        ({"probability_difference": 1.01 * FLOAT_LIMIT}, False, True),
        ({"frame_difference": 0.4, "mean_frame_difference": INT8_FRAME_LIMIT}, False, True),
        ({"frame_difference": 0.4, "mean_frame_difference": 1.01 * INT8_FRAME_LIMIT}, False, False),
        ({"changed_verdicts": 2}, True, True),
        ({"changed_verdicts": 3}, True, False),
        ({"clips": 9, "changed_verdicts": 3}, True, True),
    ],
)
def test_what_is_too_far_off(changes, as_float, as_int8):
    proof = replace(FINE, **changes)
    assert (proof.objection(int8=False) == "", proof.objection(int8=True) == "") == (as_float, as_int8)
