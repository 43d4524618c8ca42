"""Plans: what they may look like, and that nothing of their shape tells the class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
from splicing import material_for, plans, sides

from audio.errors import ToolkitError
from audio.labels import FAKE, HYBRID, LABELS, REAL
from synth.planning import (
    FOREIGN,
    FOREIGN_OPERATIONS,
    FRAME_SAMPLES,
    IN_PLACE,
    KINDS,
    OVERLAP_SAMPLES,
    PAUSE_WITHIN_SAMPLES,
    PLAIN,
    Material,
    Shape,
    Strip,
    choose_plan,
)
from synth.splice import DELETE, HARD, JOIN_KINDS, LOUDNESSES, PAUSE, POINTS, REPLACE, SplicePlan, starts

SPLICED = (IN_PLACE, FOREIGN)


def spans(plan: SplicePlan) -> list[int]:
    """Lengths of the spans as they were cut, without what runs on under the next piece."""
    overlaps = [*(join.overlap_samples for join in plan.joins), 0]
    return [piece.duration - n for piece, n in zip(plan.pieces, overlaps, strict=True) if piece.span]


@pytest.mark.parametrize("kind", SPLICED)
@pytest.mark.parametrize("reverse", [False, True])
def test_shares_of_speech_are_kept(kind: str, reverse: bool) -> None:
    """Catches a hybrid that is real or fake by the house rule."""
    material = material_for(*sides(HYBRID, reverse=reverse), kind=kind)
    for plan in plans(HYBRID, 100, kind=kind, reverse=reverse):
        speech = [material.strip(p.source).speech_samples(p.onset, p.offset) for p in plan.pieces]
        fake = sum(n for piece, n in zip(plan.pieces, speech, strict=True) if piece.fake) / sum(speech)
        assert 0.02 <= fake <= 0.85
        assert [piece.fake for piece in plan.pieces] == [piece.span != reverse for piece in plan.pieces]


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_do_not_tell_the_class(kind: str) -> None:
    """Catches joins, operations, points or spans that depend on the class: the shortcut that gives splices away."""
    labels = [label for label in LABELS if (label, kind) != (HYBRID, PLAIN)]
    groups = {label: plans(label, 300, kind=kind) for label in labels}
    for label in labels[1:]:
        for facts in (_join_kinds, _points, _operations, _loudnesses):
            assert _shares(facts(groups[label])) == pytest.approx(_shares(facts(groups[REAL])), abs=0.06)
        for figure in (_overlap, _pieces, _span, _length):
            assert figure(groups[label]) == pytest.approx(figure(groups[REAL]), rel=0.08)


def _join_kinds(group: list[SplicePlan]) -> Iterable[str]:
    return (join.kind for plan in group for join in plan.joins)


def _points(group: list[SplicePlan]) -> Iterable[str]:
    return (join.point for plan in group for join in plan.joins)


def _operations(group: list[SplicePlan]) -> Iterable[str]:
    return (operation for plan in group for operation in plan.operations)


def _loudnesses(group: list[SplicePlan]) -> Iterable[str]:
    return (f"{plan.loudness} {plan.tilt}" for plan in group)


def _overlap(group: list[SplicePlan]) -> float:
    return float(np.mean([join.overlap_samples for plan in group for join in plan.joins if join.kind != HARD]))


def _pieces(group: list[SplicePlan]) -> float:
    return float(np.mean([len(plan.pieces) for plan in group]))


def _span(group: list[SplicePlan]) -> float:
    return float(np.mean([np.log(n) for plan in group for n in spans(plan)] or [0.0]))


def _length(group: list[SplicePlan]) -> float:
    return float(np.mean([starts(plan)[-1] + plan.pieces[-1].duration for plan in group]))


def _shares(values: Iterable[str]) -> dict[str, float]:
    counts = Counter(values)
    return {name: n / counts.total() for name, n in counts.items()}


def test_everything_that_attackers_do_occurs() -> None:
    """Catches an operation, join, point or loudness that is never drawn."""
    group = [plan for kind in SPLICED for plan in plans(HYBRID, 300, kind=kind)]
    assert {operation for plan in group for operation in plan.operations} == {*FOREIGN_OPERATIONS, DELETE}
    assert set(_join_kinds(group)) == set(JOIN_KINDS)
    assert set(_points(group)) == set(POINTS)
    assert {plan.loudness for plan in group} == set(LOUDNESSES)
    assert {plan.tilt for plan in group} == {True, False}
    assert {len(spans(plan)) for plan in group} >= {1, 2, 3, 4, 5}


def test_spans_and_overlaps_have_the_lengths_asked_for() -> None:
    group = [plan for kind in SPLICED for plan in plans(HYBRID, 300, kind=kind)]
    lengths = [n for plan in group for n in spans(plan)]
    assert min(lengths) >= 1_600 - OVERLAP_SAMPLES[1]  # an overlap may swallow the end of a recording
    assert max(lengths) <= 80_000 + 2 * PAUSE_WITHIN_SAMPLES
    assert np.percentile(lengths, 20) < 4_000
    assert np.percentile(lengths, 95) > 20_000
    overlaps = [join.overlap_samples for plan in group for join in plan.joins if join.kind != HARD]
    assert min(overlaps) < 100
    assert 1_100 < max(overlaps) <= OVERLAP_SAMPLES[1]


def test_twins_keep_words_and_timing() -> None:
    """Catches a span in place that is anywhere else: every sample of such a clip stays where it was."""
    for plan in plans(HYBRID, 200, kind=IN_PLACE):
        assert REPLACE in plan.operations
        for before, piece, join in zip(plan.pieces, plan.pieces[1:], plan.joins, strict=False):
            if piece.span:
                assert piece.stands_for == before.source
                assert piece.source == before.source + 3
                assert before.offset - join.overlap_samples == piece.onset


def test_deleting_closes_the_gap() -> None:
    """Catches a deletion that leaves what it takes out, or leaves silence."""
    found = 0
    for plan in plans(REAL, 300, kind=PLAIN):
        neighbours = zip(plan.pieces, plan.pieces[1:], plan.joins, strict=False)
        cuts = [(a, b, join) for a, b, join in neighbours if a.source == b.source]
        assert len(cuts) == plan.operations.count(DELETE)
        assert all(b.onset - (a.offset - join.overlap_samples) >= 1_600 for a, b, join in cuts)
        found += len(cuts)
    assert found > 20


@pytest.mark.parametrize("kind", SPLICED)
def test_cuts_in_pauses_are_in_pauses(kind: str) -> None:
    """Catches `PAUSE` that is a word only: both ends of such a span are in frames without speech."""
    material = material_for(False, True, kind=kind)
    found = 0
    for plan in plans(HYBRID, 300, kind=kind):
        overlaps = [*(join.overlap_samples for join in plan.joins), 0]
        for i, piece in enumerate(plan.pieces):
            points = {join.point for join in plan.joins[max(i - 1, 0) : i + 1]}
            end = piece.offset - overlaps[i]
            if piece.span and points == {PAUSE} and end % FRAME_SAMPLES == FRAME_SAMPLES // 2:
                speech = material.strip(piece.source).speech
                assert not speech[piece.onset // FRAME_SAMPLES]
                assert not speech[end // FRAME_SAMPLES]
                found += 1
    assert found > 10


def test_silence_around_recordings_is_left_out() -> None:
    """Catches leading silence that tells recordings from synthesis: at most 50 ms remain, however much there was."""
    speech = np.zeros(300, dtype=bool)
    speech[100:250] = True
    lazy = Strip(300 * FRAME_SAMPLES, speech)
    for k in range(30):
        plan = choose_plan(np.random.default_rng(k), Material((lazy, lazy)), Shape(120_000, PLAIN))
        for piece in plan.pieces:
            assert piece.onset >= 100 * FRAME_SAMPLES - 800
            assert piece.offset <= 250 * FRAME_SAMPLES + 800 + OVERLAP_SAMPLES[1]
    assert Strip(640, np.array([False, True])).spoken() == (320, 640)
    assert Strip(640, np.array([False, False])).spoken() == (0, 0)


def test_nearest_pause_by_brute_force() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        some = Strip(20 * FRAME_SAMPLES - 100, rng.random(20) < 0.8)
        sample = int(rng.integers(some.n_samples))
        quiet = [i * FRAME_SAMPLES + FRAME_SAMPLES // 2 for i in range(20) if not some.speech[i]]
        near = [q for q in quiet if abs(q - sample) <= PAUSE_WITHIN_SAMPLES and q < some.n_samples]
        assert some.pause_near(sample) == (min(near, key=lambda q: abs(q - sample)) if near else None)


def test_speech_samples_of_a_strip_by_brute_force() -> None:
    rng = np.random.default_rng(3)
    marks = rng.random(20) < 0.5
    by_sample = np.repeat(marks, 320)
    for _ in range(200):
        onset, offset = sorted(rng.integers(0, 20 * 320 + 1, 2).tolist())
        assert Strip(20 * 320, marks).speech_samples(onset, offset) == by_sample[onset:offset].sum()


@pytest.mark.parametrize("kind", KINDS)
def test_clips_have_the_length_aimed_at(kind: str) -> None:
    """Catches long spans put into short clips, which made clips of twice the length."""
    label = REAL if kind == PLAIN else HYBRID
    for k, plan in enumerate(plans(label, 200, kind=kind)):
        length = starts(plan)[-1] + plan.pieces[-1].duration
        # Other words may be up to 1.4 times as long as what they replace, and cuts move to pauses.
        assert length <= 1.4 * (48_000 + 480 * (k % 100)) + 4 * PAUSE_WITHIN_SAMPLES


def test_same_seed_same_plan() -> None:
    assert plans(FAKE, 10, kind=FOREIGN) == plans(FAKE, 10, kind=FOREIGN)


def test_silent_or_short_recordings_give_one_clear_line() -> None:
    silent = Strip(32_000, np.zeros(100, dtype=bool))
    short = Strip(4_000, np.ones(12, dtype=bool))
    for strips in ((silent,) * 3, (short,) * 3):
        for kind in KINDS:
            with pytest.raises(ToolkitError, match=f"no {kind} splice found: the recordings are too short or hold"):
                choose_plan(np.random.default_rng(1), Material(strips, strips, strips), Shape(64_000, kind))
