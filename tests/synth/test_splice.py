"""Labels must be true to the sample: checked by playing plans the slow way, with and without what is fake."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from splicing import GENUINE, TWINS, plans, sides, sources_for

from audio.errors import ToolkitError
from audio.labels import FAKE, HYBRID, LABELS, REAL
from audio.segments import Segment, total
from synth.pcm import Pcm, from_db
from synth.planning import FOREIGN, IN_PLACE, KINDS, PLAIN
from synth.seams import fitted_to
from synth.splice import (
    APPEND,
    AS_IS,
    BS1770,
    COSINE,
    EQUAL_POWER,
    HARD,
    JOIN_KINDS,
    LINEAR,
    OPERATIONS,
    OVERLAP_ADD,
    POINTS,
    REPLACE,
    Join,
    Piece,
    SplicePlan,
    excerpt,
    fade_out,
    render,
    starts,
    tilted,
)

SOURCES = GENUINE | {i + 4: pcm for i, pcm in TWINS.items()}


def heard(plan: SplicePlan, sources: dict[int, Pcm], *, mute: bool) -> np.ndarray:
    """Mix a plan sample by sample, in floats, with its fake pieces muted or not: the slow way to render."""
    out = np.zeros(starts(plan)[-1] + plan.pieces[-1].duration)
    for i, (piece, start) in enumerate(zip(plan.pieces, starts(plan), strict=True)):
        samples = np.rint(excerpt(piece, sources) * from_db(piece.gain_db))
        weights = np.ones(piece.duration)
        if i and (n := plan.joins[i - 1].overlap_samples):
            weights[:n] = fade_out(plan.joins[i - 1].kind, n)[::-1]
        if i < len(plan.joins) and (n := plan.joins[i].overlap_samples):
            weights[-n:] = fade_out(plan.joins[i].kind, n)
        out[start : start + piece.duration] += samples * weights * (0.0 if mute and piece.fake else 1.0)
    return out


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("label", "kind"), [pair for pair in product(LABELS, KINDS) if pair != (HYBRID, PLAIN)])
def test_segments_by_subtraction(label: str, reverse: bool, kind: str) -> None:
    """Catches a span that is off by one, for every operation, kind of join, point and direction.

    Muting the fake pieces changes samples within the segments only, and up to their very ends.
    """
    found = sources_for(*sides(label, reverse=reverse), kind=kind)
    loud = {i: np.where(np.abs(pcm) < 400, np.int16(500), pcm) for i, pcm in found.items()}
    seen: set[str] = set()
    for plan in plans(label, 40, kind=kind, reverse=reverse):
        plan = fitted_to(plan, loud)
        seen |= {*plan.operations, *(join.kind for join in plan.joins), *(join.point for join in plan.joins)}
        samples, segments = render(plan, loud)
        whole, without = heard(plan, loud, mute=False), heard(plan, loud, mute=True)
        assert np.abs(samples - np.clip(whole, -32_768, 32_767)).max() <= 1.0
        changed = np.zeros(samples.size, dtype=bool)
        for segment in segments:
            changed[segment.onset : segment.offset] = True
        difference = np.abs(whole - without)
        assert not difference[~changed].any()
        # A tilted waveform may cross 0: then the sample next to it changes.
        assert (np.maximum.reduce([difference, np.roll(difference, 1), np.roll(difference, -1)])[changed] > 0).all()
    assert seen >= set(JOIN_KINDS)
    if kind != PLAIN:
        assert seen >= set(POINTS)
        assert (seen & set(OPERATIONS)) == ({REPLACE, "delete"} if kind == IN_PLACE else set(OPERATIONS))


def test_untouched_speech_is_bit_exact() -> None:
    """Catches a gain or rounding applied outside the splice."""
    plan = SplicePlan(
        (REPLACE,),
        (Piece(0, 0, 10_100, False), Piece(4, 10_000, 16_200, True, stands_for=0), Piece(0, 16_000, 30_000, False)),
        (Join(OVERLAP_ADD, 100), Join(EQUAL_POWER, 200)),
    )
    samples, segments = render(plan, SOURCES)
    assert segments == (Segment(10_000, 16_200),)
    assert np.array_equal(samples[:10_000], GENUINE[0][:10_000])
    assert np.array_equal(samples[10_100:16_000], TWINS[0][10_100:16_000])
    assert np.array_equal(samples[16_200:], GENUINE[0][16_200:30_000])


@pytest.mark.parametrize("kind", [LINEAR, COSINE, OVERLAP_ADD])
def test_a_signal_overlapped_with_itself_is_the_signal(kind: str) -> None:
    plan = SplicePlan((REPLACE,), (Piece(0, 0, 8_300, False), Piece(0, 8_000, 20_000, False)), (Join(kind, 300),))
    assert np.abs(render(plan, SOURCES)[0] - GENUINE[0][:20_000]).max() == 0


@pytest.mark.parametrize(("kind", "power"), [(EQUAL_POWER, 2), (LINEAR, 1), (COSINE, 1), (OVERLAP_ADD, 1)])
def test_fades_sum_to_one(kind: str, power: int) -> None:
    for n in (1, 2, 81, 1_280):
        weights = fade_out(kind, n)
        assert weights**power + weights[::-1] ** power == pytest.approx(np.ones(n))
        assert (np.diff(weights) < 0).all()
        assert (weights > 0).all(), "else a span would begin a sample late"


def test_curves_differ() -> None:
    """Catches two kinds of join that are one."""
    halves = [tuple(np.round(fade_out(kind, 64)[:32], 3)) for kind in JOIN_KINDS if kind != HARD]
    assert len(set(halves)) == len(halves)
    assert fade_out(OVERLAP_ADD, 1_000)[0] == pytest.approx(1.0 / 1.08, abs=0.001), "a Hamming window's pedestal"


@pytest.mark.parametrize("tilt_db", [-4.0, 2.5])
def test_tilt_leans_by_so_much_an_octave(tilt_db: float) -> None:
    for low_hz in (250, 500, 1_000, 2_000):
        time_s = np.arange(16_000) / 16_000
        levels = [
            np.sqrt(np.mean(tilted(np.sin(2 * np.pi * hz * time_s), tilt_db)[4_000:12_000] ** 2))
            for hz in (low_hz, 2 * low_hz)
        ]
        assert 20 * np.log10(levels[1] / levels[0]) == pytest.approx(tilt_db, abs=0.05)


def test_tilted_excerpts_stay_in_place_and_as_loud() -> None:
    """Catches a filter with delay, or with an edge of its own inside the piece."""
    for onset, offset in ((0, 9_000), (5_000, 20_000), (30_000, GENUINE[0].size)):
        plain = Piece(0, onset, offset, False)
        straight, leaning = (excerpt(replace(plain, tilt_db=db), SOURCES) for db in (0.0, 3.0))
        assert np.sum(leaning**2) == pytest.approx(np.sum(straight**2), rel=1e-6)
        whole = tilted(GENUINE[0].astype(np.float64), 3.0)[onset:offset]
        assert np.corrcoef(whole, leaning)[0, 1] > 0.9999


@pytest.mark.parametrize("kind", [IN_PLACE, FOREIGN])
def test_plan_survives_json_and_renders_the_same(kind: str) -> None:
    found = sources_for(False, True, kind=kind)
    for plan in plans(HYBRID, 20, kind=kind):
        plan = fitted_to(plan, found)
        again = SplicePlan.from_json(json.loads(json.dumps(plan.to_json())))
        assert again == plan
        assert np.array_equal(render(again, found)[0], render(plan, found)[0])


def test_plans_of_the_first_version_still_play() -> None:
    """Catches manifests that today's version cannot render again."""
    facts = {
        "operation": "replace",
        "pieces": [
            {"source": 0, "onset": 0, "offset": 9_100, "fake": False, "gain_db": 0.0, "stands_for": None},
            {"source": 4, "onset": 9_000, "offset": 20_000, "fake": True, "gain_db": -1.5, "stands_for": 0},
        ],
        "joins": [{"kind": "overlap_add", "overlap_samples": 100}],
    }
    plan = SplicePlan.from_json(facts)
    assert plan == SplicePlan(
        (REPLACE,),
        (Piece(0, 0, 9_100, False), Piece(4, 9_000, 20_000, True, gain_db=-1.5, stands_for=0)),
        (Join(COSINE, 100),),
        BS1770,
    )
    assert render(plan, SOURCES)[1] == (Segment(9_000, 20_000),)
    assert SplicePlan.from_json({**facts, "operation": "none"}).operations == ()


@pytest.mark.parametrize(
    ("operation", "pieces", "joins"),
    [
        ("swap", [(0, 0, 9)], []),
        (APPEND, [], []),
        (APPEND, [(0, 5, 5)], []),
        (APPEND, [(0, 0, 9), (1, 0, 9)], []),
        (APPEND, [(0, 0, 9), (1, 0, 9)], [("soft", 3)]),
        (APPEND, [(0, 0, 9), (1, 0, 9)], [(HARD, 3)]),
        (APPEND, [(0, 0, 9), (1, 0, 9)], [(COSINE, 3, "nowhere")]),
        (APPEND, [(0, 0, 9), (1, 0, 5), (0, 9, 19)], [(LINEAR, 3), (LINEAR, 3)]),
    ],
)
def test_impossible_plans_are_refused(operation: str, pieces: list, joins: list) -> None:
    with pytest.raises(ToolkitError):
        SplicePlan((operation,), tuple(Piece(*p, fake=False) for p in pieces), tuple(Join(*j) for j in joins))


@pytest.mark.parametrize("facts", [{}, {"operations": [], "pieces": [{}], "joins": []}, {"operation": "none"}])
def test_what_is_no_plan_is_refused(facts: dict) -> None:
    with pytest.raises(ToolkitError, match="splice plan"):
        SplicePlan.from_json(facts)


def test_missing_or_short_source() -> None:
    plan = SplicePlan((), (Piece(0, 0, 9, False),), (), AS_IS)
    for sources in ({}, {0: np.zeros(8, dtype=np.int16)}):
        with pytest.raises(ToolkitError, match="source 0: expected at least 9 samples"):
            render(plan, sources)


def test_overlapping_fakes_are_one_segment() -> None:
    plan = SplicePlan((APPEND,), (Piece(4, 0, 900, True), Piece(5, 0, 900, True)), (Join(EQUAL_POWER, 100),))
    samples, segments = render(plan, SOURCES)
    assert segments == (Segment(0, 1_700),)
    assert total(segments) == samples.size


def test_real_clips_have_no_segments() -> None:
    for kind in KINDS:
        for plan in plans(REAL, 10, kind=kind):
            assert render(plan, sources_for(False, False, kind=kind))[1] == ()
    for plan in plans(FAKE, 10, kind=FOREIGN):
        samples, segments = render(plan, sources_for(True, True, kind=FOREIGN))
        assert segments == (Segment(0, samples.size),)
