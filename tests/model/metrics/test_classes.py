"""Figures of three verdicts against scikit-learn, and their edges."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score

from audio.errors import UsageError
from audio.labels import LABELS
from model.metrics.classes import (
    accuracy,
    confusion,
    f1,
    macro_f1,
    precision,
    recall,
    two_class_accuracy,
    two_class_macro_f1,
)


@pytest.mark.parametrize("seed", range(10))
def test_class_figures_are_scikit_learns(seed):
    """Catches rows taken for columns."""
    rng = np.random.default_rng(seed)
    truth = [*LABELS, *rng.choice(LABELS, 50)]
    predicted = [*rng.permutation(LABELS), *rng.choice(LABELS, 50)]
    table = confusion(truth, predicted)
    np.testing.assert_array_equal(table[:, :3], confusion_matrix(truth, predicted, labels=list(LABELS)))
    assert accuracy(table) == pytest.approx(accuracy_score(truth, predicted))
    assert macro_f1(table) == pytest.approx(f1_score(truth, predicted, average="macro", labels=list(LABELS)))
    for ours, theirs in ((precision, precision_score), (recall, recall_score), (f1, f1_score)):
        assert ours(table) == pytest.approx(tuple(theirs(truth, predicted, average=None, labels=list(LABELS))))


def test_an_abstention_is_a_miss_and_no_false_alarm():
    """Catches abstentions that are left out, or that cost another class its precision."""
    table = confusion(["real", "fake", "hybrid", "real"], ["real", "fake", "hybrid", None])
    assert table[0].tolist() == [1, 0, 0, 1]
    assert accuracy(table) == 0.75
    assert precision(table) == (1.0, 1.0, 1.0)
    assert recall(table) == (0.5, 1.0, 1.0)
    assert f1(table) == pytest.approx((2 / 3, 1, 1))
    assert macro_f1(table) == pytest.approx((2 / 3 + 1 + 1) / 3)


def test_perfect_inverted_and_constant_verdicts():
    """Catches a class that is never called right being undefined instead of 0."""
    assert macro_f1(confusion(LABELS, LABELS)) == accuracy(confusion(LABELS, LABELS)) == 1.0
    wrong = confusion(LABELS, [*LABELS[1:], LABELS[0]])
    assert (accuracy(wrong), macro_f1(wrong)) == (0.0, 0.0)
    constant = confusion(LABELS, ["fake"] * 3)
    assert precision(constant) == (None, pytest.approx(1 / 3), None)
    assert recall(constant) == (0.0, 1.0, 0.0)
    assert f1(constant) == (0.0, 0.5, 0.0)
    assert macro_f1(constant) == pytest.approx(1 / 6)


def test_figures_without_clips_are_undefined():
    """Catches a 0 for a class that is not there: it would pull the mean down."""
    nothing = confusion([], [])
    assert accuracy(nothing) is None
    assert macro_f1(nothing) is None
    assert precision(nothing) == recall(nothing) == f1(nothing) == (None, None, None)
    one_class = confusion(["real", "real"], ["real", "fake"])
    assert macro_f1(one_class) is None
    assert precision(one_class) == (1.0, 0.0, None)
    assert recall(one_class) == (0.5, None, None)
    assert f1(one_class) == (pytest.approx(2 / 3), None, None)


def test_a_stack_of_tables_is_its_tables():
    """Catches sums over the wrong axis, and None in an array."""
    rng = np.random.default_rng(3)
    tables = rng.integers(0, 4, (2, 30, 3, 4)) * (rng.random((2, 30, 3, 1)) < 0.8)
    for figure, shape in ((accuracy, (2, 30)), (macro_f1, (2, 30)), (precision, (2, 30, 3)), (f1, (2, 30, 3))):
        stacked = figure(tables)
        assert stacked.shape == shape
        single = np.array([[figure(table) for table in row] for row in tables], dtype=np.float64)
        assert np.isnan(single).any() or figure is accuracy
        np.testing.assert_allclose(stacked, single)
    assert np.isnan(accuracy(np.zeros((1, 3, 4)))).all()
    assert macro_f1(tables[:0]).shape == (0, 30)


def test_sums_of_a_bootstrap_are_tables():
    """Catches counts as float64 being refused or divided as integers."""
    table = confusion([*LABELS, "real"], [*LABELS, "fake"])
    assert accuracy(table.astype(np.float64)) == 0.75
    np.testing.assert_allclose(recall(np.stack((table, 2 * table)).astype(np.float64)), [[0.5, 1, 1]] * 2)


def test_two_classes_are_real_and_the_rest():
    """Catches a fake that is called hybrid counting as a miss, and an abstention counting as a verdict."""
    rng = np.random.default_rng(5)
    truth = rng.choice(LABELS, 60).tolist()
    predicted = [label if rng.random() < 0.5 else None for label in rng.choice(LABELS, 60).tolist()]
    table = confusion(truth, predicted)
    real, called = np.array(truth) == "real", np.array(predicted, dtype=object)
    both = [("real" if t else "rest", "none" if p is None else "real" if p == "real" else "rest")
            for t, p in zip(real, called, strict=True)]  # fmt: skip
    theirs = f1_score(*zip(*both, strict=True), average="macro", labels=["real", "rest"])
    assert two_class_macro_f1(table) == pytest.approx(theirs)
    assert two_class_accuracy(table) == pytest.approx(np.mean([t == p for t, p in both]))
    np.testing.assert_allclose(two_class_macro_f1(np.stack([table, table])), theirs)
    no_hybrid = confusion(["real", "fake"], ["real", "hybrid"])
    assert (two_class_macro_f1(no_hybrid), macro_f1(no_hybrid)) == (1.0, None)
    assert two_class_macro_f1(confusion(["real"], ["real"])) is None


def test_unknown_labels_are_refused():
    """Catches other people's labels that count as nothing."""
    with pytest.raises(UsageError, match="spoof"):
        confusion(["spoof"], ["fake"])
    with pytest.raises(UsageError, match="as many"):
        confusion(["fake"], [])
    with pytest.raises(UsageError, match="shape"):
        accuracy(np.zeros((3, 3), dtype=np.int64))
