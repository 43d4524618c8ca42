"""Fitting plans to waveforms: zero crossings, likeness, tilt and loudness, against the slow way."""

from __future__ import annotations

import numpy as np
import pytest
from splicing import GENUINE, plans, sources_for

from audio.labels import FAKE, HYBRID
from synth.loudness import loudness_lufs
from synth.pcm import Pcm, from_db, rms_dbfs, to_float, to_pcm
from synth.planning import FOREIGN, IN_PLACE
from synth.seams import (
    AUDIBLE_DBFS,
    FIT_WITHIN_SAMPLES,
    MAX_TILT_DB,
    ZERO_WITHIN_SAMPLES,
    best_shift,
    fit_joins,
    match_loudness,
    match_tilt,
    nearest_crossing,
    slope_db,
)
from synth.splice import AS_IS, BS1770, CORRELATED, FREE, HARD, LINEAR, ZERO, Join, Piece, SplicePlan, excerpt, tilted

SPLICED = (IN_PLACE, FOREIGN)


def test_nearest_crossing_by_brute_force() -> None:
    """Catches a crossing off by one, a falling one, or one that is not the nearest."""
    rng = np.random.default_rng(2)
    for _ in range(100):
        samples = (rng.standard_normal(600).cumsum() * 100 - 300).astype(np.int16)
        place = int(rng.integers(600))
        near = range(max(place - ZERO_WITHIN_SAMPLES, 1), min(place + ZERO_WITHIN_SAMPLES + 1, 600))
        rising = [k for k in near if samples[k - 1] < 0 <= samples[k]]
        assert nearest_crossing(samples, place) == (min(rising, key=lambda k: abs(k - place)) if rising else place)


def test_best_shift_finds_a_known_one() -> None:
    """Catches a search with the wrong sign: the later recording is the earlier one, moved."""
    for moved in (-150, -31, 0, 7, 160):
        later = np.roll(GENUINE[1], moved)
        assert best_shift(GENUINE[1], later, at=(20_000, 20_000), context=200) == moved
    assert best_shift(GENUINE[1], GENUINE[1][:300], at=(20_000, 100), context=0) == 0, "too short to compare"


def test_best_shift_by_brute_force() -> None:
    earlier, later, width = GENUINE[0], GENUINE[2], 160
    for end, start in ((9_000, 12_345), (20_011, 8_000)):
        wanted = earlier[end - width : end + width].astype(float)
        scores = {}
        for shift in range(-FIT_WITHIN_SAMPLES, FIT_WITHIN_SAMPLES + 1):
            part = later[start + shift - width : start + shift + width].astype(float)
            scores[shift] = part @ wanted / np.linalg.norm(part)
        assert best_shift(earlier, later, at=(end, start), context=0) == max(scores, key=scores.__getitem__)


@pytest.mark.parametrize("kind", SPLICED)
def test_fitted_joins_are_where_they_should_be(kind: str) -> None:
    """Catches cuts moved too far, free ones moved at all, and hard cuts at zero crossings that click."""
    found = sources_for(False, True, kind=kind)
    at_zero = 0
    for plan in plans(HYBRID, 80, kind=kind):
        moved = fit_joins(plan, found)
        for i, join in enumerate(plan.joins):
            ends = (plan.pieces[i].offset, moved.pieces[i].offset)
            pairs = (ends, (plan.pieces[i + 1].onset, moved.pieces[i + 1].onset))
            assert all(abs(a - b) <= FIT_WITHIN_SAMPLES for a, b in pairs)
            if join.point not in (ZERO, CORRELATED):
                assert all(a == b for a, b in pairs)
            before, after = moved.pieces[i], moved.pieces[i + 1]
            if (join.point, join.kind) == (ZERO, HARD) and all(a != b for a, b in pairs):
                at_zero += 1
                assert found[before.source][before.offset - 1] < 0 <= found[after.source][after.onset]
    assert at_zero > 5


def test_correlated_joins_fit_better() -> None:
    found = sources_for(False, True, kind=FOREIGN)
    gains = []
    for plan in plans(HYBRID, 150, kind=FOREIGN):
        moved = fit_joins(plan, found)
        for i, join in enumerate(plan.joins):
            if join.point == CORRELATED and moved.pieces[i + 1].onset != plan.pieces[i + 1].onset:
                gains.append(_likeness(moved, i, found) - _likeness(plan, i, found))
    assert len(gains) > 20
    assert min(gains) > -1e-6
    assert np.mean(gains) > 0.1


def _likeness(plan: SplicePlan, place: int, sources: dict[int, Pcm]) -> float:
    half = plan.joins[place].overlap_samples // 2
    width = max(half, 160)
    before, after = plan.pieces[place], plan.pieces[place + 1]
    a = sources[before.source][before.offset - half - width : before.offset - half + width].astype(float)
    b = sources[after.source][after.onset + half - width : after.onset + half + width].astype(float)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_a_join_that_cannot_move_stays() -> None:
    """Catches a piece moved out of its recording, or below its overlaps."""
    pieces = (Piece(0, 0, 100, False), Piece(1, 0, 90, True))
    plan = SplicePlan((), pieces, (Join(LINEAR, 80, ZERO),))
    short = {0: GENUINE[0][:100], 1: GENUINE[1][:90]}
    moved = fit_joins(plan, short)
    assert all(p.onset >= 0 and p.offset <= short[p.source].size and p.duration > 80 for p in moved.pieces)


@pytest.mark.parametrize("kind", SPLICED)
def test_tilt_is_matched_where_asked(kind: str) -> None:
    """Catches a tilt with the wrong sign: spans that lean away from their surroundings."""
    found = sources_for(False, True, kind=kind)
    found |= {i: to_pcm(to_float(to_pcm(tilted(to_float(pcm), 4.0)))) for i, pcm in found.items() if i >= 3}
    before, after = [], []
    for plan in plans(HYBRID, 60, kind=kind):
        tilted_plan = match_tilt(plan, found)
        if not plan.tilt:
            assert tilted_plan == plan
            continue
        for piece in tilted_plan.pieces:
            assert abs(piece.tilt_db) <= MAX_TILT_DB
            assert piece.span or piece.tilt_db == 0.0
            if piece.span and piece.stands_for is not None:
                wanted = slope_db(found[piece.stands_for][piece.onset : piece.offset])
                before.append(abs(slope_db(found[piece.source][piece.onset : piece.offset]) - wanted))
                after.append(abs(slope_db(to_pcm(excerpt(piece, found) / 32_768)) - wanted))
    if kind == IN_PLACE:
        assert np.mean(before) > 2.0
        assert np.mean(after) < 0.5 * np.mean(before)


def test_slope_of_noise() -> None:
    white = np.random.default_rng(1).standard_normal(32_000) * 0.1
    assert slope_db(to_pcm(white)) == pytest.approx(0.0, abs=0.3)
    assert slope_db(to_pcm(tilted(white, -5.0))) == pytest.approx(-5.0, abs=0.3)


def test_loudness_is_matched_unless_left_as_it_is() -> None:
    """Catches a twin that is 10 dB quieter than the words it replaces, and gains that clip."""
    found = sources_for(False, True, kind=IN_PLACE)
    quiet = {i: pcm if i in (0, 1, 2) else (pcm // 3).astype(np.int16) for i, pcm in found.items()}
    for plan in plans(HYBRID, 60, kind=IN_PLACE):
        matched = match_loudness(plan, quiet)
        if plan.loudness == AS_IS:
            assert matched == plan
            continue
        for piece in matched.pieces:
            played = quiet[piece.source][piece.onset : piece.offset] * from_db(piece.gain_db)
            assert np.abs(played).max() <= 32_767
            if piece.stands_for is not None:
                base = next(p for p in matched.pieces if p.source == piece.stands_for)
                wanted = quiet[base.source][piece.onset : piece.offset] * from_db(base.gain_db)
                if rms_dbfs(to_float(quiet[piece.source][piece.onset : piece.offset])) < AUDIBLE_DBFS:
                    continue
                assert rms_dbfs(played / 32_768) == pytest.approx(rms_dbfs(wanted / 32_768), abs=1.5)


def test_other_words_get_the_loudness_of_the_beginning() -> None:
    found = {0: GENUINE[0], 1: (GENUINE[1] // 2).astype(np.int16)}
    plan = SplicePlan((), (Piece(0, 0, 30_000, False), Piece(1, 0, 30_000, True)), (Join(HARD),), BS1770)
    gain_db = match_loudness(plan, found).pieces[1].gain_db
    expected = loudness_lufs(to_float(found[0])) - loudness_lufs(to_float(found[1]))
    assert gain_db == pytest.approx(expected, abs=0.011)


def test_loudness_of_silence_is_left_alone() -> None:
    plan = SplicePlan((), (Piece(0, 0, 8_000, False), Piece(1, 0, 8_000, False)), (Join(HARD, 0, FREE),), BS1770)
    matched = match_loudness(plan, {0: GENUINE[0], 1: np.zeros(8_000, dtype=np.int16)})
    assert [piece.gain_db for piece in matched.pieces] == [0.0, 0.0]
    assert FAKE  # nothing fake here: loudness knows no class
