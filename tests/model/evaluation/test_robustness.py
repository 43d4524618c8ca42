"""What becomes of verdicts and figures when the same recordings get worse."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_judged import made_up

from audio.errors import UsageError
from audio.labels import FAKE, HYBRID, LABELS, REAL
from audio.manifest import Clip
from audio.segments import Segment
from model.evaluation.figures import Operating, find, sample, summarise
from model.evaluation.judged import Judged
from model.evaluation.robustness import KEYS, Moves, compare, moves

ELSEWHERE = Operating("dev", clip_threshold=0.6, frame_threshold=0.55)


def called(truth: str, verdict: str | None, *, path: str = "a.wav") -> Judged:
    return Judged(Clip(path, truth), 16_000, label=verdict)


@pytest.mark.parametrize(
    ("truths", "verdicts", "expected"),
    [
        ((REAL, REAL), (REAL, REAL), "same"),
        ((REAL, REAL), (REAL, FAKE), "accused"),
        ((REAL, REAL), (REAL, HYBRID), "accused"),
        ((REAL, REAL), (FAKE, HYBRID), ""),
        ((REAL, REAL), (FAKE, REAL), ""),
        ((REAL, REAL), (None, FAKE), ""),
        ((REAL, REAL), (REAL, None), "silenced"),
        ((FAKE, FAKE), (FAKE, REAL), "missed"),
        ((HYBRID, HYBRID), (FAKE, REAL), "missed"),
        ((HYBRID, HYBRID), (REAL, FAKE), ""),
        ((FAKE, FAKE), (FAKE, HYBRID), ""),
        ((FAKE, FAKE), (None, REAL), ""),
        ((FAKE, FAKE), (HYBRID, None), "silenced"),
        ((FAKE, FAKE), (None, None), "same"),
        # Trimming took the fake words away: to call the rest real is right, to call it fake is to accuse.
        ((HYBRID, REAL), (HYBRID, REAL), ""),
        ((HYBRID, REAL), (REAL, FAKE), "accused"),
        # Trimming left nothing but the fake words.
        ((HYBRID, FAKE), (HYBRID, FAKE), ""),
        ((HYBRID, FAKE), (HYBRID, REAL), "missed"),
    ],
)
def test_one_verdict_moves(truths, verdicts, expected):
    """Catches moves counted by the truth before the corruption, or accusations that were there before."""
    pair = [called(truth, verdict) for truth, verdict in zip(truths, verdicts, strict=True)]
    counts = dict.fromkeys(("same", "accused", "missed", "silenced"), 0) | ({expected: 1} if expected else {})
    assert moves(pair[:1], pair[1:]) == Moves(1, **counts)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.tuples(*[st.sampled_from(LABELS)] * 2, *[st.sampled_from([*LABELS, None])] * 2), max_size=12))
def test_moves_of_a_set_are_the_sum_of_those_of_its_clips(rows):
    """Catches clips that are paired by anything but their place, and moves that count twice."""
    clean = [called(row[0], row[2], path=f"{i}.wav") for i, row in enumerate(rows)]
    altered = [called(row[1], row[3], path=f"{i}.wav") for i, row in enumerate(rows)]
    alone = Counter()
    for before, after in zip(clean, altered, strict=True):
        one = vars(moves([before], [after]))
        assert sum(one.values()) - one["n_clips"] <= 1
        alone.update(one)
    assert moves(clean, altered) == Moves(**{key: alone[key] for key in vars(moves([], []))})
    assert moves(clean, clean) == Moves(len(rows), same=len(rows), accused=0, missed=0, silenced=0)


def test_other_clips_are_refused():
    """Catches a corruption that drops or reorders clips: each verdict would be compared with a stranger's."""
    first, second = called(REAL, REAL, path="a.wav"), called(REAL, REAL, path="b.wav")
    for altered in ([second, first], [first], [first, second, second], []):
        with pytest.raises(UsageError, match=r"^robustness: expected the same clips in the same order, [^\n]*$"):
            moves([first, second], altered)


def test_figures_are_those_of_the_altered_clips_at_the_thresholds_of_elsewhere():
    """Catches figures of the clean clips, and thresholds that move with the corruption."""
    clean = made_up()
    altered = [replace(each, score=None if each.score is None else each.score / 2) for each in clean]
    found = compare(
        *(sample(judged, n_resamples=20) for judged in (clean, altered)),
        **{"name": "mp3", "words": "MP3 at 32 kbit/s", "operating": ELSEWHERE},
    )
    json.dumps(found.to_json(), allow_nan=False)
    assert tuple(figure.key for figure in found.figures) == KEYS
    expected = summarise(sample(altered, n_resamples=20), ELSEWHERE)
    assert [figure.value for figure in found.figures] == [find(expected, key) for key in KEYS]
    before = summarise(sample(clean, n_resamples=20), ELSEWHERE)
    assert find(before, "clip_eer") == find(expected, "clip_eer")
    assert find(before, "hter") != find(expected, "hter")
    assert found.to_json()["verdicts"] == {"n_clips": 60, "same": 60, "accused": 0, "missed": 0, "silenced": 0}


def test_the_truth_may_move_with_the_recording():
    """Catches figures of places against spans as they were before the cut."""
    clip = Clip("a.wav", HYBRID, (Segment(8_000, 12_000),), 16_000)
    cut = replace(clip, segments=(Segment(4_000, 8_000),), n_samples=12_000)
    found = compare(
        sample([Judged(clip, 16_000, label=HYBRID, spans=(Segment(8_000, 12_000),))]),
        sample([Judged(cut, 12_000, label=HYBRID, spans=(Segment(4_000, 8_000),))]),
        **{"name": "cut", "words": "the first quarter cut away", "operating": None},
    )
    assert find(found.figures, "span_f1") == 1
    assert find(found.figures, "hter") is None
