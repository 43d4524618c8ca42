from __future__ import annotations

from string import Formatter

import pytest

from audio.errors import ToolkitError
from audio.labels import LABELS
from audio.messages import (
    LANGUAGES,
    REASONS,
    TEXTS,
    WARNINGS,
    listing,
    reason_text,
    speaking,
    text,
    translations,
)

FACTS = {"probability": 0.914, "n_segments": 2, "spans": "1.00-2.25 s", "genuine": 0.81, "reason": "no speech"}


def test_every_outcome_has_a_sentence() -> None:
    """Catches a label without words, and a template with a misspelt fact."""
    for key in (*LABELS, "hybrid_one", "abstained"):
        assert text(key, **FACTS)


def test_facts_are_filled_in() -> None:
    sentence = text("hybrid", **FACTS)
    assert "91%" in sentence
    assert sentence.startswith("Hybrid: 2 spans look synthetic, 1.00-2.25 s; 81% of the clip looks genuine")
    assert text("abstained", reason=reason_text("no_speech")) == "Not judged: no speech was found in the recording."


def test_lists_end_in_and_and_do_not_grow_for_ever() -> None:
    assert listing([], at_most=3) == ""
    assert listing(["a"], at_most=3) == "a"
    assert listing(["a", "b", "c"], at_most=3) == "a, b and c"
    assert listing(["a", "b", "c", "d", "e"], at_most=3) == "a, b, c and 2 more"


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


# Other languages.


def facts_of(words: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(words) if name}


@pytest.mark.parametrize("language", [code for code in LANGUAGES if code != "en"])
def test_a_language_is_whole(language: str) -> None:
    """Catches words that were forgotten, keys that are none, and facts in braces that English does not have."""
    words = translations()[language]
    assert words["reasons"].keys() == REASONS.keys()
    assert words["warnings"].keys() == WARNINGS.keys()
    assert words["texts"].keys() <= TEXTS.keys()
    assert {key for key in TEXTS if key.startswith("page_")} <= words["texts"].keys()
    for key, told in words["texts"].items():
        assert facts_of(told) == facts_of(TEXTS[key]), key


def test_words_come_back_in_english() -> None:
    with speaking("fr"):
        assert text("and", first="a", last="b") == "a et b"
        assert text("located", label="fake", start_s=0, end_s=1, confidence=0.5).startswith("fake")
    assert text("and", first="a", last="b") == "a and b"
    with pytest.raises(ToolkitError, match="expected one of en, de, es, fr, received 'tlh'"), speaking("tlh"):
        pass
