from __future__ import annotations

import pytest

from audio.errors import ToolkitError
from audio.labels import LABELS
from audio.messages import REASONS, TEXTS, reason_text, text

FACTS = {"probability": 0.914, "n_segments": 2, "fake_s": 1.25, "reason": "no speech"}


def test_every_outcome_has_a_sentence() -> None:
    """Catches a label without words, and a template with a misspelt fact."""
    assert set(TEXTS) == {*LABELS, "abstained"}
    assert all(text(key, **FACTS) for key in TEXTS)


def test_facts_are_filled_in() -> None:
    sentence = text("hybrid", **FACTS)
    assert "91%" in sentence
    assert "2, 1.25 s" in sentence
    assert text("abstained", reason=reason_text("no_speech")) == "Not judged: no speech was found in the recording."


def test_reason_codes_are_stable() -> None:
    """Catches a renamed code: programs read codes from JSON."""
    assert {"too_short", "no_speech"} <= set(REASONS)


def test_unknown_or_incomplete_is_one_clear_line() -> None:
    with pytest.raises(ToolkitError, match=r"unknown reason code.*'too_long'"):
        reason_text("too_long")
    with pytest.raises(ToolkitError, match="unknown text"):
        text("maybe")
    with pytest.raises(ToolkitError, match="expected the fact 'probability'"):
        text("real")
