"""The forms of label lines: times, spans, and what the numbers behind Half-truth lines mean."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.corpora.lines import FORMS, HALF_TRUTH, SPANS, agreed, joined, settle_classes, spans_of, to_samples
from audio.errors import ManifestError
from audio.labels import FAKE, HYBRID, REAL
from audio.segments import Segment


def settled(*lines: str) -> tuple[list[tuple[str, str]], str]:
    clips, said = settle_classes({f"f:{n}": HALF_TRUTH.parse(line.split()) for n, line in enumerate(lines, 1)})
    return [(clip.label, clip.traits.get("kind", "")) for clip in clips.values()], said


def test_two_classes() -> None:
    """Catches 1 taken for fake."""
    found, said = settled("a 0-2-T 1", "b 0-1-T/1-2-F 0", "c 0-2-F 0")
    assert found == [(REAL, ""), (HYBRID, ""), (FAKE, "")]
    assert "1 genuine, 0 fake" in said


def test_several_classes() -> None:
    """Catches resynthesised speech, whose spans are all T, passing for real."""
    found, said = settled("a 0-2-T 0", "b 0-2-T 1", "c 0-1-T/1-2-F 2", "d 0-1-T/1-2-F 3", "e 0-1-T/1-2-F 7")
    assert found == [
        (REAL, ""),
        (FAKE, "resynthesised"),
        (HYBRID, "cut and paste"),
        (HYBRID, "infilled"),
        (HYBRID, "class 7"),
    ]
    assert "0 real, 1 resynthesised" in said


@pytest.mark.parametrize(
    "lines", [("a 0-2-F 1",), ("a 0-2-T 1", "b 0-1-F 1"), ("a 0-2-T 0", "b 0-2-T 2"), ("a 0-2-F 0", "b 0-2-T 0")]
)
def test_numbers_that_contradict_the_spans(lines: tuple[str, ...]) -> None:
    with pytest.raises(ManifestError, match=rf"^f:{len(lines)}: class: expected"):
        settled(*lines)


@pytest.mark.parametrize(
    ("text", "samples"), [("0", 0), ("1.5", 24000), ("0.00003125", 0), ("8e-05", 1), ("2.", 32000)]
)
def test_times(text: str, samples: int) -> None:
    assert to_samples(text) == samples


@pytest.mark.parametrize("text", ["-0.1", "nan", "inf", "1e99", "", "one", "1,5"])
def test_no_times(text: str) -> None:
    """Catches NaN and infinity, which compare to nothing and round to a traceback."""
    with pytest.raises(ManifestError, match="time: expected"):
        to_samples(text)


def test_spans_without_length_vanish_and_neighbours_merge() -> None:
    found = spans_of([("0", "0", FAKE), ("0", "1", REAL), ("1", "2", REAL), ("2", "2.5", FAKE), ("2.5", "2.5", REAL)])
    assert found == (Segment(0, 32000, REAL), Segment(32000, 40000, FAKE))


def test_a_millisecond_of_overlap_is_rounding_more_is_a_contradiction() -> None:
    """Catches files refused for times that were rounded one by one."""
    assert joined([Segment(0, 1016, REAL), Segment(1000, 2000, FAKE)]) == (
        Segment(0, 1016, REAL),
        Segment(1016, 2000, FAKE),
    )
    assert joined([Segment(0, 2000, REAL), Segment(100, 110, FAKE)]) == (Segment(0, 2000, REAL),)
    with pytest.raises(ManifestError, match="received two"):
        joined([Segment(0, 1017, REAL), Segment(1000, 2000, FAKE)])


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_joining_is_the_runs_of_a_row(frames: list[bool], random) -> None:
    """The law of runs, in any order of arrival, against brute force."""
    pieces = [Segment(i, i + 1, FAKE if fake else REAL) for i, fake in enumerate(frames)]
    random.shuffle(pieces)
    found = joined(pieces)
    assert [segment.label == FAKE for segment in found for _ in range(segment.duration)] == frames
    assert all(a.label != b.label for a, b in pairwise(found))


def test_a_label_and_its_spans_agree() -> None:
    assert agreed(FAKE, ()) == FAKE
    assert agreed(REAL, ()) == REAL
    assert agreed(FAKE, (Segment(0, 1, FAKE), Segment(1, 2, REAL))) == HYBRID
    for label, spans in ((REAL, (Segment(0, 1, FAKE),)), (FAKE, (Segment(0, 1, REAL),))):
        with pytest.raises(ManifestError, match="agree with its spans"):
            agreed(label, spans)


def test_the_last_span_may_end_behind_the_duration() -> None:
    """Catches a published file refused for a duration rounded down."""
    assert SPANS.parse(["a", "0.999", "spoof", "0.0-1.0-spoof"]).n_samples == 16000


@given(st.lists(st.text(max_size=12), max_size=14))
def test_no_line_breaks_a_parser(cells: list[str]) -> None:
    """Catches tracebacks: whatever a line holds, it is a clip or one of our errors."""
    for form in FORMS:
        form.fits(cells)
        with suppress(ManifestError):
            form.parse(cells)
