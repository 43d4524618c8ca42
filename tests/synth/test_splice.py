"""Labels must be true to the sample, and joins must tell nothing: both are checked by brute force."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from babbling import babble

from audio.cleaning import speech_frames
from audio.errors import ToolkitError
from audio.labels import FAKE, HYBRID, LABELS, REAL, label_of
from audio.segments import SAMPLE_RATE, Segment, total
from synth.pcm import Pcm, rms_dbfs, to_float, to_pcm
from synth.splice import (
    APPEND,
    CROSSFADE,
    FAKE_SHARE,
    HARD,
    INSERT,
    JOIN_KINDS,
    NONE,
    OVERLAP_ADD,
    OVERLAP_SAMPLES,
    REPLACE,
    SPAN_SAMPLES,
    Join,
    Material,
    Piece,
    SplicePlan,
    Strip,
    choose_plan,
    fade_out,
    match_loudness,
    render,
)

GENUINE = {i: to_pcm(babble(i, seconds=2.5 + 0.2 * i)) for i in range(4)}
TWINS = {i + 4: to_pcm(0.7 * babble(i, seconds=2.5 + 0.2 * i, pitch_hz=150)) for i in range(4)}
SOURCES = GENUINE | TWINS


def strip(pcm: Pcm) -> Strip:
    return Strip(pcm.size, speech_frames(to_float(pcm), hop_samples=320))


STRIPS = tuple(strip(pcm) for pcm in GENUINE.values())
MATERIAL = Material(STRIPS, STRIPS, True)
UNRELATED = Material(STRIPS, tuple(strip(TWINS[i]) for i in (6, 5, 7)), False)


def plans(label: str, count: int, *, material: Material = MATERIAL) -> list[SplicePlan]:
    return [
        choose_plan(np.random.default_rng((7, k)), material, label=label, n_samples=64_000 + 100 * (k % 200))
        for k in range(count)
    ]


def heard(plan: SplicePlan, sources: dict[int, Pcm], *, mute: bool) -> np.ndarray:
    """Mix a plan sample by sample, in floats, with its fake pieces muted or not: the slow way to render."""
    starts = [0]
    for piece, join in zip(plan.pieces, plan.joins, strict=False):
        starts.append(starts[-1] + piece.duration - join.overlap_samples)
    out = np.zeros(starts[-1] + plan.pieces[-1].duration)
    for i, (piece, start) in enumerate(zip(plan.pieces, starts, strict=True)):
        samples = sources[piece.source][piece.onset : piece.offset] * 10 ** (piece.gain_db / 20)
        if piece.gain_db:
            samples = np.rint(samples)
        weights = np.ones(piece.duration)
        if i and (n := plan.joins[i - 1].overlap_samples):
            weights[:n] = fade_out(plan.joins[i - 1].kind, n)[::-1]
        if i < len(plan.joins) and (n := plan.joins[i].overlap_samples):
            weights[-n:] = fade_out(plan.joins[i].kind, n)
        out[start : start + piece.duration] += samples * weights * (0.0 if mute and piece.fake else 1.0)
    return out


@pytest.mark.parametrize("material", [MATERIAL, UNRELATED], ids=["twins", "unrelated"])
@pytest.mark.parametrize("label", LABELS)
def test_segments_by_subtraction(label: str, material: Material) -> None:
    """Catches a span that is off by one, for every operation, kind of join and direction.

    Muting the fake pieces changes samples within the segments only, and up to their very ends.
    """
    sources = GENUINE | (TWINS if material is MATERIAL else {4: TWINS[6], 5: TWINS[5], 6: TWINS[7]})
    loud = {i: np.where(np.abs(pcm) < 50, np.int16(500), pcm) for i, pcm in sources.items()}
    seen = set()
    for plan in plans(label, 60, material=material):
        plan = match_loudness(plan, loud)
        seen |= {plan.operation, *(join.kind for join in plan.joins)}
        samples, segments = render(plan, loud)
        whole, without = heard(plan, loud, mute=False), heard(plan, loud, mute=True)
        assert np.abs(samples - np.clip(whole, -32_768, 32_767)).max() <= 1.0
        changed = np.zeros(samples.size, dtype=bool)
        for segment in segments:
            changed[segment.onset : segment.offset] = True
        difference = np.abs(whole - without)
        assert not difference[~changed].any()
        assert (difference[changed] > 0).all()
    assert seen == {*JOIN_KINDS, REPLACE, INSERT, APPEND, *([] if label == HYBRID else [NONE])}


def test_untouched_speech_is_bit_exact() -> None:
    """Catches a gain or rounding applied outside the splice."""
    plan = SplicePlan(
        REPLACE,
        (Piece(0, 0, 10_100, False), Piece(4, 10_000, 16_200, True, stands_for=0), Piece(0, 16_000, 30_000, False)),
        (Join(OVERLAP_ADD, 100), Join(CROSSFADE, 200)),
    )
    samples, segments = render(plan, SOURCES)
    assert segments == (Segment(10_000, 16_200),)
    assert np.array_equal(samples[:10_000], GENUINE[0][:10_000])
    assert np.array_equal(samples[10_100:16_000], TWINS[4][10_100:16_000])
    assert np.array_equal(samples[16_200:], GENUINE[0][16_200:30_000])


def test_overlap_add_of_a_signal_with_itself_is_the_signal() -> None:
    plan = SplicePlan(REPLACE, (Piece(0, 0, 8_300, False), Piece(0, 8_000, 20_000, False)), (Join(OVERLAP_ADD, 300),))
    assert np.array_equal(render(plan, SOURCES)[0], GENUINE[0][:20_000])


@pytest.mark.parametrize(("kind", "power"), [(CROSSFADE, 2), (OVERLAP_ADD, 1)])
def test_fades_sum_to_one(kind: str, power: int) -> None:
    for n in (1, 2, 81, 640):
        weights = fade_out(kind, n)
        assert weights**power + weights[::-1] ** power == pytest.approx(np.ones(n))
        assert (np.diff(weights) < 0).all()


def test_label_rule_holds() -> None:
    """Catches clips whose fake share of speech makes them something else by the house rule."""
    for label in LABELS:
        for plan in plans(label, 80):
            samples, segments = render(plan, SOURCES)
            speech = np.repeat(speech_frames(to_float(samples), hop_samples=320), 320)[: samples.size]
            fake = np.zeros(speech.size, dtype=bool)
            for segment in segments:
                fake[segment.onset : segment.offset] = True
            assert label_of(int((fake & speech).sum()), int(speech.sum())) == label


def test_fake_share_of_hybrids_is_bounded_both_ways() -> None:
    low, high = FAKE_SHARE
    genuine_bases = 0
    for plan in plans(HYBRID, 200):
        speech = [STRIPS[p.source % 4].speech_samples(p.onset, p.offset) for p in plan.pieces]
        fake = sum(n for piece, n in zip(plan.pieces, speech, strict=True) if piece.fake)
        assert low <= fake / sum(speech) <= high
        genuine_bases += not plan.pieces[0].fake
    assert 60 < genuine_bases < 140


def test_joins_do_not_tell_the_class() -> None:
    """Catches joins, operations or spans that depend on the class: the shortcut that gives splices away."""
    spliced = {label: [p for p in plans(label, 500) if p.operation != NONE] for label in LABELS}
    kinds, operations, overlaps, lengths, spans = {}, {}, {}, {}, {}
    for label, group in spliced.items():
        joins = [join for plan in group for join in plan.joins]
        kinds[label] = _shares(join.kind for join in joins)
        operations[label] = _shares(plan.operation for plan in group)
        overlaps[label] = np.mean([join.overlap_samples for join in joins if join.kind != HARD])
        lengths[label] = np.mean([len(plan.pieces) for plan in group])
        spans[label] = np.mean([np.log(p.duration) for plan in group for p in plan.pieces if p.stands_for is not None])
    for label in (FAKE, HYBRID):
        assert kinds[label] == pytest.approx(kinds[REAL], abs=0.05)
        assert operations[label] == pytest.approx(operations[REAL], abs=0.09)
        assert overlaps[label] == pytest.approx(overlaps[REAL], rel=0.05)
        assert lengths[label] == pytest.approx(lengths[REAL], rel=0.06)
        assert spans[label] == pytest.approx(spans[REAL], abs=0.12)


def _shares(values: object) -> dict[str, float]:
    counts = Counter(values)  # type: ignore[arg-type]
    return {name: n / counts.total() for name, n in counts.items()}


def test_same_class_replacements_leave_a_real_join() -> None:
    """Catches a piece put back where it was: without a shift its joins cannot be heard."""
    shifts = []
    for plan in plans(REAL, 120):
        for before, piece in zip(plan.pieces, plan.pieces[1:], strict=False):
            if piece.stands_for is not None:
                overlap = plan.joins[plan.pieces.index(piece) - 1].overlap_samples
                shifts.append(piece.onset - (before.offset - overlap))
    assert len(shifts) > 30
    assert min(shifts) >= 16
    assert max(shifts) <= 80


def test_hybrids_from_twins_keep_words_and_timing() -> None:
    """At least half of the hybrids replace in place, and then every sample stays where it was."""
    group = plans(HYBRID, 300)
    in_place = [plan for plan in group if plan.operation == REPLACE]
    assert len(in_place) >= 150
    for plan in in_place:
        for before, piece, join in zip(plan.pieces, plan.pieces[1:], plan.joins, strict=False):
            if piece.source % 4 == before.source % 4:
                assert before.offset - join.overlap_samples == piece.onset
                assert before.fake != piece.fake


def test_spans_have_the_lengths_asked_for() -> None:
    spans = [p.duration for plan in plans(HYBRID, 300) for p in plan.pieces if p.stands_for is not None]
    low, high = SPAN_SAMPLES
    assert min(spans) >= low
    assert max(spans) <= high + OVERLAP_SAMPLES[1]
    assert np.percentile(spans, 20) < SAMPLE_RATE < np.percentile(spans, 90)


def test_loudness_is_matched() -> None:
    """Catches a twin that is 12 dB quieter than the words it replaces; and gains that clip."""
    quiet = GENUINE | {i: (pcm // 3).astype(np.int16) for i, pcm in GENUINE.items() if i} | TWINS
    for plan in plans(HYBRID, 60):
        matched = match_loudness(plan, quiet)
        for piece in matched.pieces:
            played = quiet[piece.source][piece.onset : piece.offset] * 10 ** (piece.gain_db / 20)
            assert np.abs(played).max() <= 32_768
            if piece.stands_for is not None:
                base = next(p for p in matched.pieces if p.source == piece.stands_for)
                wanted = quiet[base.source][piece.onset : piece.offset] * 10 ** (base.gain_db / 20)
                assert rms_dbfs(played / 32_768) == pytest.approx(rms_dbfs(wanted / 32_768), abs=1.5)


def test_loudness_of_silence_is_left_alone() -> None:
    plan = SplicePlan(APPEND, (Piece(0, 0, 8_000, False), Piece(1, 0, 8_000, False)), (Join(HARD),))
    matched = match_loudness(plan, {0: GENUINE[0], 1: np.zeros(8_000, dtype=np.int16)})
    assert [piece.gain_db for piece in matched.pieces] == [0.0, 0.0]


def test_plan_survives_json_and_renders_the_same() -> None:
    for plan in plans(HYBRID, 20):
        plan = match_loudness(plan, SOURCES)
        again = SplicePlan.from_json(json.loads(json.dumps(plan.to_json())))
        assert again == plan
        assert np.array_equal(render(again, SOURCES)[0], render(plan, SOURCES)[0])


def test_same_seed_same_plan() -> None:
    assert plans(FAKE, 10) == plans(FAKE, 10)


def test_speech_samples_of_a_strip_by_brute_force() -> None:
    rng = np.random.default_rng(3)
    marks = rng.random(20) < 0.5
    by_sample = np.repeat(marks, 320)
    for _ in range(200):
        onset, offset = sorted(rng.integers(0, 20 * 320 + 1, 2).tolist())
        assert Strip(20 * 320, marks).speech_samples(onset, offset) == by_sample[onset:offset].sum()


def test_silent_or_short_recordings_give_one_clear_line() -> None:
    silent = Strip(32_000, np.zeros(100, dtype=bool))
    short = Strip(4_000, np.ones(12, dtype=bool))
    for strips in ((silent,) * 3, (short,) * 3, (STRIPS[0],)):
        with pytest.raises(ToolkitError, match="too short or hold too little speech"):
            choose_plan(np.random.default_rng(1), Material(strips, strips, True), label=HYBRID, n_samples=64_000)


@pytest.mark.parametrize(
    ("operation", "pieces", "joins"),
    [
        ("swap", [(0, 0, 9)], []),
        (NONE, [], []),
        (NONE, [(0, 5, 5)], []),
        (APPEND, [(0, 0, 9), (1, 0, 9)], []),
        (APPEND, [(0, 0, 9), (1, 0, 9)], [("soft", 3)]),
        (APPEND, [(0, 0, 9), (1, 0, 9)], [(HARD, 3)]),
        (INSERT, [(0, 0, 9), (1, 0, 5), (0, 9, 19)], [(CROSSFADE, 3), (CROSSFADE, 3)]),
    ],
)
def test_impossible_plans_are_refused(operation: str, pieces: list, joins: list) -> None:
    with pytest.raises(ToolkitError):
        SplicePlan(operation, tuple(Piece(*p, fake=False) for p in pieces), tuple(Join(*j) for j in joins))


def test_missing_or_short_source() -> None:
    plan = SplicePlan(NONE, (Piece(0, 0, 9, False),), ())
    for sources in ({}, {0: np.zeros(8, dtype=np.int16)}):
        with pytest.raises(ToolkitError, match="source 0: expected at least 9 samples"):
            render(plan, sources)


def test_fake_share_counts_overlaps_once() -> None:
    """Two fake pieces that overlap are one segment."""
    plan = SplicePlan(APPEND, (Piece(4, 0, 900, True), Piece(5, 0, 900, True)), (Join(CROSSFADE, 100),))
    samples, segments = render(plan, SOURCES)
    assert segments == (Segment(0, 1_700),)
    assert total(segments) == samples.size
