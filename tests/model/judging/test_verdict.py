"""The verdict agrees with its spans whatever the network says."""

from __future__ import annotations

import numpy as np
import pytest

from audio.errors import ModelError
from audio.labels import LABELS, label_of
from audio.segments import Segment, from_frames, overlap, total
from model.judging.verdict import clip_probabilities, judge, shifted, softmax, tempered

HOP = 320
N_FRAMES = 60


def random_case(rng: np.random.Generator):
    """Window probabilities, located spans and speech, unrelated to each other, from almost empty to full."""
    logits = rng.normal(scale=rng.uniform(0.1, 4), size=(int(rng.integers(1, 6)), 3))
    speech = rng.random(N_FRAMES) < rng.uniform(0.05, 1)
    speech[rng.integers(N_FRAMES)] = True
    fake = rng.random(N_FRAMES) < rng.choice([0, 0.02, 0.5, 0.95, 1])
    spans = [from_frames(mask, HOP, N_FRAMES * HOP) for mask in (fake, speech)]
    return softmax(logits, temperature=1.0), *spans


def test_the_largest_probability_the_label_and_the_spans_agree():
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(1_000):
        probabilities, located, speech = random_case(rng)
        verdict = judge(probabilities, readings=[located], speech=speech)
        assert verdict.label == LABELS[int(np.argmax(verdict.probabilities))]
        assert verdict.label == label_of(overlap(verdict.spans, speech), total(speech))
        assert (verdict.spans == ()) == (verdict.label == "real")
        assert verdict.probabilities.min() >= 0
        assert verdict.probabilities.sum() == pytest.approx(1, abs=1e-12)
        seen.add(verdict.label)
    assert seen == set(LABELS)


def test_biases_shift_log_probabilities_and_nothing_else():
    probabilities = np.array([0.2, 0.3, 0.5])
    moved = shifted(probabilities, (np.log(2.0), 0.0, -np.log(5.0)))
    np.testing.assert_allclose(moved, np.array([0.4, 0.3, 0.1]) / 0.8)
    np.testing.assert_allclose(shifted(probabilities, (700.0, 700.0, 700.0)), probabilities)
    np.testing.assert_array_equal(shifted(np.array([0.0, 1.0, 0.0]), (800.0, 0.0, 0.0)), [0.0, 1.0, 0.0])


def test_a_temperature_changes_how_sure_a_verdict_is_and_not_what_it_says():
    """Catches powers that underflow all at once, and a certainty of 1 that no temperature could doubt."""
    rng = np.random.default_rng(7)
    for _ in range(200):
        given = rng.dirichlet([0.3] * 3) * rng.integers(0, 2, 3) + [1e-9, 0, 0]
        given /= given.sum()
        for temperature in (0.05, 1.0, 3.0, 20.0):
            found = tempered(given, temperature)
            assert found.sum() == pytest.approx(1.0)
            assert found.argmax() == given.argmax()
            assert temperature > 1.0 or not found[given == 0].any()
        assert tempered(given, 1.0) == pytest.approx(given)
        assert tempered(given, 3.0).max() <= given.max() + 1e-12
    assert tempered(np.array([1.0, 0.0, 0.0]), 20.0).max() < 0.5


def test_an_operating_point_does_not_move_what_recordings_are_ranked_by():
    """Catches a score that the bias, the veto of the frames or a temperature gets into."""
    windows = np.array([[0.2, 0.1, 0.7], [0.3, 0.1, 0.6]])
    for real_bias in (0.0, 3.0):
        for temperatures in ((1.0, 1.0, 1.0), (0.5, 3.0, 9.0)):
            for spans in ([], [Segment(0, 16_000)]):
                given = {"biases": (0.5, 0.0, 0.0), "real_bias": real_bias, "temperatures": temperatures}
                found = judge(windows, readings=[spans], speech=SPEECH, **given)
                expected = 1.0 - shifted(clip_probabilities(windows), (0.5, 0.0, 0.0))[0]
                assert found.score == pytest.approx(expected)
                assert LABELS[int(found.probabilities.argmax())] == found.label


def test_more_evidence_asked_for_never_accuses_more():
    """The rule behind operating points: with a larger bias of real, what was real stays real."""
    rng = np.random.default_rng(5)
    changes = 0
    for _ in range(300):
        probabilities, located, speech = random_case(rng)
        labels = [
            judge(probabilities, readings=[located], speech=speech, biases=(bias, 0.0, 0.0)).label
            for bias in np.linspace(-6, 6, 25)
        ]
        real_from = labels.index("real") if "real" in labels else len(labels)
        assert set(labels[real_from:]) <= {"real"}
        changes += 0 < real_from < len(labels)
    assert changes > 50


def test_order_and_repetition_of_windows_change_nothing():
    rng = np.random.default_rng(2)
    for _ in range(200):
        probabilities, located, speech = random_case(rng)
        shuffled = rng.permutation(np.concatenate([probabilities, probabilities[:1]]))
        one = judge(probabilities, readings=[located], speech=speech)
        other = judge(shuffled, readings=[located[::-1]], speech=speech)
        assert one.label == other.label
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
        assert set(one.spans) == set(other.spans)


def test_one_window_keeps_its_probabilities():
    window = np.array([[0.2, 0.3, 0.5]])
    np.testing.assert_allclose(clip_probabilities(window), window[0])


def test_a_real_half_and_a_fake_half_make_a_hybrid():
    halves = np.array([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05]])
    np.testing.assert_allclose(clip_probabilities(halves), [0.05, 0.05, 0.9])


SPEECH = [Segment(1_000, 11_000), Segment(20_000, 30_000)]


@pytest.mark.parametrize(
    ("window", "located", "label", "probabilities", "spans"),
    [
        # the frames show nothing: hybrid gives way to real
        ([0.2, 0.2, 0.6], [], "real", [0.8, 0.2, 0], []),
        # the frames show fake throughout: hybrid gives way to fake
        ([0.2, 0.2, 0.6], [(0, 30_000)], "fake", [0.2, 0.8, 0], [(0, 30_000)]),
        # both heads say hybrid
        ([0.2, 0.2, 0.6], [(2_000, 5_000)], "hybrid", [0.2, 0.2, 0.6], [(2_000, 5_000)]),
        # the clip head overrules a span
        ([0.7, 0.2, 0.1], [(2_000, 5_000)], "real", [0.7, 0.2, 0.1], []),
        # the clip head says fake, the frames only in part: all of the speech is shown
        ([0.1, 0.8, 0.1], [(2_000, 5_000)], "fake", [0.1, 0.8, 0.1], [(1_000, 30_000)]),
        # a span in silence is no fake speech
        ([0.2, 0.2, 0.6], [(12_000, 15_000)], "real", [0.8, 0.2, 0], []),
        ([0.2, 0.2, 0.6], [(2_000, 5_000), (12_000, 15_000)], "hybrid", [0.2, 0.2, 0.6], [(2_000, 5_000)]),
        # exactly 90 % of the speech is fake
        (
            [0.1, 0.5, 0.4],
            [(1_000, 11_000), (20_000, 28_000)],
            "fake",
            [0.1, 0.9, 0],
            [(1_000, 11_000), (20_000, 28_000)],
        ),
    ],
)
def test_the_rules_case_by_case(window, located, label, probabilities, spans):
    found = [Segment(a, b) for a, b in located]
    verdict = judge(np.array([window]), readings=[found], speech=SPEECH)
    assert verdict.label == label
    np.testing.assert_allclose(verdict.probabilities, probabilities, atol=1e-12)
    assert [(span.onset, span.offset) for span in verdict.spans] == spans


def test_softmax_against_its_definition_and_far_out():
    logits = np.array([[1.0, 2.0, 3.0]])
    expected = np.exp(logits / 2) / np.exp(logits / 2).sum()
    np.testing.assert_allclose(softmax(logits, temperature=2.0), expected)
    np.testing.assert_allclose(softmax(np.array([1e4, 0.0, -1e4]), temperature=1.0), [1, 0, 0])


def test_a_hybrid_may_be_found_at_higher_thresholds():
    hybrid, nothing, throughout = [Segment(2_000, 5_000)], [], [Segment(0, 30_000)]
    says_hybrid, says_fake = np.array([[0.2, 0.2, 0.6]]), np.array([[0.1, 0.7, 0.2]])
    found = judge(says_hybrid, readings=[throughout, throughout, hybrid, nothing], speech=SPEECH)
    assert (found.label, list(found.spans)) == ("hybrid", hybrid)
    none = judge(says_hybrid, readings=[throughout, nothing], speech=SPEECH)
    assert (none.label, list(none.spans)) == ("fake", throughout), "the first reading decides"
    not_asked = judge(says_fake, readings=iter([throughout, hybrid]), speech=SPEECH)
    assert (not_asked.label, list(not_asked.spans)) == ("fake", throughout)


def test_no_reading_at_all_is_an_error():
    with pytest.raises(ModelError, match="reading"):
        judge(np.array([[0.2, 0.2, 0.6]]), readings=[], speech=SPEECH)
