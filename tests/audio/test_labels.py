from __future__ import annotations

import pytest

from audio import errors
from audio.errors import ToolkitError
from audio.labels import FAKE, HYBRID, LABELS, REAL, label_index, label_of


def test_order_is_fixed() -> None:
    """Catches a reordering, which would silently permute every probability array and every trained model."""
    assert LABELS == (REAL, FAKE, HYBRID) == ("real", "fake", "hybrid")
    assert [label_index(label) for label in LABELS] == [0, 1, 2]


def test_unknown_label_is_one_clear_line() -> None:
    with pytest.raises(ToolkitError, match="expected one of real, fake, hybrid, received 'Fake'"):
        label_index("Fake")


@pytest.mark.parametrize(
    ("fake", "speech", "label"),
    [(0, 0, REAL), (0, 100, REAL), (1, 100, HYBRID), (89, 100, HYBRID), (90, 100, FAKE), (100, 100, FAKE)],
)
def test_label_of_at_its_edges(fake: int, speech: int, label: str) -> None:
    """Catches > for >= at 90 %, and a division by no speech."""
    assert label_of(fake, speech) == label


@pytest.mark.parametrize(("fake", "speech"), [(-1, 10), (11, 10)])
def test_label_of_refuses_impossible_counts(fake: int, speech: int) -> None:
    with pytest.raises(ToolkitError, match="out of range"):
        label_of(fake, speech)


def test_every_error_is_a_toolkit_error() -> None:
    """Catches an error class that commands would not turn into one line."""
    classes = [c for c in vars(errors).values() if isinstance(c, type)]
    assert len(classes) == 8
    assert all(issubclass(c, ToolkitError) for c in classes)
    assert issubclass(errors.SegmentError, ValueError)
