"""Figures of whole clips against scikit-learn and brute force, and what holds for all figures."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score
from test_judged import ideal, made_up

from audio.labels import FAKE, HYBRID, LABELS, REAL
from model.evaluation.clip_figures import log_likelihood_ratios, one_table_each
from model.evaluation.figures import Figure, Operating, find, sample, summarise
from model.evaluation.judged import Judged
from model.metrics.bootstrap import Interval

ELSEWHERE = Operating("dev (9 clips)", clip_threshold=0.6, frame_threshold=0.55, log_prior_odds=math.log(2.0))

laws = settings(derandomize=True, deadline=None, max_examples=15)


def figures(judged, operating=ELSEWHERE, *, n_resamples=100, seed=0) -> dict[str, Figure]:
    """Figures by key; every one must be there once, be JSON, and lie inside sensible bounds."""
    found = summarise(sample(judged, n_resamples=n_resamples, seed=seed), operating)
    json.dumps([figure.to_json() for figure in found], allow_nan=False)
    keys = [figure.key for figure in found]
    assert len(set(keys)) == len(keys)
    sections = [figure.section for figure in found]
    assert sorted(set(sections), key=sections.index) == [s for i, s in enumerate(sections) if s not in sections[:i]]
    for figure in found:
        assert figure.name
        assert figure.value is not None or figure.note
        assert (figure.low is None) == (figure.high is None)
        assert figure.low is None or 0 <= figure.low <= figure.high
    return {figure.key: figure for figure in found}


def eer(is_fake, scores) -> float:
    """Equal error rate by trying every threshold."""
    is_fake, scores = np.asarray(is_fake), np.asarray(scores)
    rates = [
        ((scores[~is_fake] >= threshold).mean(), (scores[is_fake] < threshold).mean())
        for threshold in (np.inf, *sorted(set(scores.tolist()), reverse=True))
    ]
    return sum(min(rates, key=lambda pair: abs(pair[0] - pair[1]))) / 2


@pytest.mark.parametrize("seed", range(3))
def test_verdict_figures_are_scikit_learns(seed):
    """Catches abstentions and failures that are left out, classes in another order, rows taken for columns."""
    judged = made_up(seed=seed)
    found = figures(judged)
    truth, verdicts = [each.clip.label for each in judged], [each.label or "none" for each in judged]
    options = {"labels": list(LABELS), "average": None, "zero_division": 0}
    assert found["accuracy"].value == pytest.approx(accuracy_score(truth, verdicts))
    assert found["macro_f1"].value == pytest.approx(f1_score(truth, verdicts, labels=list(LABELS), average="macro"))
    for name, of in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        ours = [found[f"{name}_{label}"].value for label in LABELS]
        assert ours == pytest.approx(of(truth, verdicts, **options))
    n_silent = sum(each.label is None and not each.failed for each in judged)
    assert found["abstained"].value == n_silent / 60 > 0
    assert found["failed"].value == sum(each.failed for each in judged) / 60 > 0
    assert {found[key].n for key in ("accuracy", "macro_f1", "f1_fake", "abstained", "failed")} == {60}
    assert found["ece"].n == sum(each.label is not None for each in judged) < 60


def test_rankings_leave_out_what_has_no_score():
    """Catches abstentions that count as real, fakes ranked against hybrids, and scores the wrong way round."""
    judged = made_up()
    found = figures(judged)
    scored = [each for each in judged if each.score is not None]
    for key, labels in (("clip_eer", (FAKE, HYBRID)), ("clip_eer_fake", (FAKE,)), ("clip_eer_hybrid", (HYBRID,))):
        kept = [each for each in scored if each.clip.label in (REAL, *labels)]
        expected = eer([each.clip.label != REAL for each in kept], [each.score for each in kept])
        assert (found[key].value, found[key].n) == (pytest.approx(expected), len(kept))
    is_fake, scores = [each.clip.label != REAL for each in scored], [each.score for each in scored]
    assert found["clip_auc"].value == pytest.approx(roc_auc_score(is_fake, scores))
    assert found["clip_auc"].n == found["min_dcf"].n == len(scored)
    costs = [
        0.95 * np.mean([s >= t for s, f in zip(scores, is_fake, strict=True) if not f])
        + 0.5 * np.mean([s < t for s, f in zip(scores, is_fake, strict=True) if f])
        for t in (math.inf, *scores)
    ]
    assert found["min_dcf"].value == pytest.approx(min(costs) / 0.5)


def test_errors_at_the_threshold_of_another_set():
    """Catches a threshold chosen again on the set that is tested, and rates of the wrong class."""
    judged = made_up()
    found = figures(judged)
    real = np.array([each.score for each in judged if each.score is not None and each.clip.label == REAL])
    fake = np.array([each.score for each in judged if each.score is not None and each.clip.label != REAL])
    fpr, fnr = (real >= 0.6).mean(), (fake < 0.6).mean()
    assert (found["fpr"].value, found["fnr"].value) == (pytest.approx(fpr), pytest.approx(fnr))
    assert found["hter"].value == pytest.approx((fpr + fnr) / 2) != found["clip_eer"].value
    assert (found["fpr"].n, found["fnr"].n, found["hter"].n) == (len(real), len(fake), len(real) + len(fake))
    assert all("0.6" in found[key].note and "dev (9 clips)" in found[key].note for key in ("hter", "fpr", "fnr"))
    assert not {"hter", "fpr", "fnr", "act_dcf", "cllr", "segment_hter_20ms"} & set(figures(judged, None))
    assert "hter" not in figures(judged, Operating("nothing"))


def test_probabilities_become_log_likelihood_ratios_by_the_odds_of_where_they_were_calibrated():
    """Catches posteriors taken for ratios, odds with the wrong sign, and infinite ratios of sure probabilities."""
    judged = made_up()
    found = figures(judged)
    sides = {True: [], False: []}
    for each in judged:
        if each.score is not None:
            ratio = math.log(each.score / (1 - each.score)) - math.log(2.0)
            sides[each.clip.label != REAL].append(ratio)
    bits = [np.mean(np.log2(1 + np.exp(-sign * np.array(sides[side])))) for side, sign in ((True, 1), (False, -1))]
    assert found["cllr"].value == pytest.approx(sum(bits) / 2)
    rejected = np.mean(np.array(sides[False]) > math.log(1.9))
    accepted = np.mean(np.array(sides[True]) <= math.log(1.9))
    assert found["act_dcf"].value == pytest.approx((0.95 * rejected + 0.5 * accepted) / 0.5)
    assert "dev (9 clips)" in found["cllr"].note
    assert log_likelihood_ratios(np.array([0.0, 2 / 3, 1.0]), math.log(2.0))[1] == pytest.approx(0.0)
    assert np.isfinite(log_likelihood_ratios(np.array([0.0, 1.0]), 0.0)).all()
    assert log_likelihood_ratios(np.array([-7.0, 9.0]), None).tolist() == [-7.0, 9.0]


def test_nothing_wrong_and_nothing_right():
    """Catches any figure whose polarity is turned: fake is positive, higher scores mean more fake."""
    judged = [replace(each, failed=False, reasons=()) for each in made_up()]
    right = figures([ideal(each) for each in judged])
    wrong = figures([ideal(each, inverted=True) for each in judged])
    for key, figure in right.items():
        if "eer" in key or key in ("hter", "fpr", "fnr", "min_dcf", "act_dcf", "segment_hter_20ms"):
            # Frames are coarser than milliseconds, and no hybrid of 0.8 s has two cells of 640 ms.
            expected = None if key == "segment_eer_640ms_hybrids" else pytest.approx(0, abs=0.1 * ("milli" in key))
            assert figure.value == expected, key
        if key.startswith(("accuracy", "macro", "f1", "precision", "recall", "span", "ap_", "map", "clip_auc", "add")):
            # Bands of length in which there is no span are undefined, and say so.
            assert figure.value == pytest.approx(1) or (figure.value is None and figure.note and not figure.n), key
    assert (right["abstained"].value, right["failed"].value, right["false_alarms_per_hour"].value) == (0, 0, 0)
    assert right["ece"].value == right["onset_error_mean_s"].value == right["offset_error_median_s"].value == 0
    for key in ("clip_eer", "clip_eer_fake", "clip_eer_hybrid", "hter", "fpr", "fnr", "min_dcf"):
        assert wrong[key].value == 1, key
    for key in ("accuracy", "macro_f1", "clip_auc", "f1_real", "recall_hybrid", "span_f1", "ap_50", "add2023"):
        assert wrong[key].value == 0, key
    assert wrong["false_alarms_per_hour"].value == pytest.approx(3_600 / 0.8)
    assert wrong["segment_eer_20ms"].value > 0.95


@pytest.mark.parametrize("label", LABELS)
def test_a_set_of_one_class(label):
    """Catches NaN, a warning, or a rate of 0 for what is undefined; reasons must be given."""
    found = figures([each for each in made_up() if each.clip.label == label])
    undefined = {"clip_eer", "clip_eer_fake", "clip_eer_hybrid", "clip_auc", "min_dcf", "hter", "act_dcf", "cllr"}
    undefined |= {"macro_f1", "fpr" if label != REAL else "fnr"} | {f"f1_{name}" for name in LABELS if name != label}
    undefined |= {"segment_eer_20ms", "millisecond_eer"} if label != HYBRID else set()
    undefined |= {"ap_50", "map", "span_recall"} if label == REAL else {"false_alarms_per_hour"}
    for key in undefined:
        assert (found[key].value, found[key].low) == (None, None), key
    assert "needs" in found["clip_eer"].note
    assert found["accuracy"].value is not None


def test_systems_that_say_less_have_fewer_figures():
    """Catches figures of verdicts, frames or spans that nobody gave: 0 % accuracy for a system of scores."""
    everything = {figure.section for figure in figures(made_up()).values()}
    assert len(everything) == 4
    for missing, word in (
        ({"label": None, "probabilities": None}, "Verdicts"),
        ({"score": None}, "Telling"),
        ({"frame_scores": None}, "cells"),
        ({"spans": None}, "spans"),
    ):
        found = figures([replace(each, **missing) for each in made_up()])
        sections = {figure.section for figure in found.values()}
        assert sections == {section for section in everything if word not in section}
        assert ("add2023" in found) == (word not in ("Verdicts", "spans"))
    assert figures([]) == {}
    silent = [each for each in made_up() if each.score is None]
    assert figures(silent) == {}


def test_no_probabilities_no_calibration():
    """Catches a calibration error of 0 where nothing was said about confidence."""
    found = figures([replace(each, probabilities=None) for each in made_up()])
    assert (found["ece"].value, found["ece"].n) == (None, 0)
    assert found["accuracy"].value is not None


def test_speakers_are_drawn_where_they_are_known():
    """Catches intervals by clip that pretend 60 independent witnesses where there are six."""
    judged = made_up()
    known = sample(judged)
    unknown = sample([replace(each, clip=replace(each.clip, speaker="")) for each in judged])
    alone = sample([replace(each, clip=replace(each.clip, speaker="one")) for each in judged])
    assert (known.cluster, unknown.cluster, alone.cluster) == ("speaker", "clip", "clip")
    assert known.drawn.counts.shape == (1_000, 6)
    assert unknown.drawn.counts.shape == alone.drawn.counts.shape == (1_000, 60)
    assert sample(judged[:1]).drawn is None
    for speaker in range(6):
        assert len({known.drawn.group_of[i] for i in range(60) if i // 3 % 6 == speaker}) == 1


def test_a_part_of_one_speaker_has_no_interval_that_is_called_one_by_speaker():
    """Catches intervals by clip in a report that says that speakers were drawn."""
    judged = [
        replace(each, clip=replace(each.clip, speaker="one" if each.clip.label == REAL else each.clip.speaker))
        for each in made_up()
    ]
    given = sample(judged)
    assert (given.cluster, given.of(REAL).drawn, given.of(REAL).cluster) == ("speaker", None, "speaker")
    assert given.of(*LABELS) is given
    assert given.of(FAKE).drawn.counts.shape == (1_000, 6)
    found = figures(judged)
    assert found["false_alarms_per_hour"].value is not None
    assert found["false_alarms_per_hour"].low is None


def test_an_interval_is_that_of_drawing_speakers_again():
    """Catches clips drawn instead of speakers, and tables that are not added up as they were drawn."""
    given = sample(made_up(), n_resamples=200, seed=3)
    shares, macros, rates = [], [], []
    for counts in given.drawn.counts:
        times = counts[given.drawn.group_of]
        again = [each for each, n in zip(given.judged, times, strict=True) for _ in range(n)]
        truth, verdicts = [each.clip.label for each in again], [each.label or "none" for each in again]
        shares.append(accuracy_score(truth, verdicts))
        macros.append(f1_score(truth, verdicts, labels=list(LABELS), average="macro"))
        scored = [each for each in again if each.score is not None]
        real = np.array([each.score for each in scored if each.clip.label == REAL])
        fake = np.array([each.score for each in scored if each.clip.label != REAL])
        rates.append(((real >= 0.6).mean() + (fake < 0.6).mean()) / 2)
    found = figures(given.judged, n_resamples=200, seed=3)
    for key, replicates in (("accuracy", shares), ("macro_f1", macros), ("hter", rates)):
        low, high = np.percentile(replicates, (2.5, 97.5))
        assert (found[key].low, found[key].high) == (pytest.approx(low), pytest.approx(high)), key


def test_intervals_hold_the_value_and_follow_the_seed():
    """Catches ends of an interval that are swapped or of another figure, and a seed that is not used."""
    judged = made_up(n=120, n_speakers=12)
    first, again, other = figures(judged), figures(judged), figures(judged, seed=1)
    assert first == again
    assert any(first[key].low != other[key].low for key in first)
    assert {key: figure.value for key, figure in first.items()} == {key: figure.value for key, figure in other.items()}
    given = [figure for figure in first.values() if figure.low is not None]
    assert len(given) > 25
    for figure in given:
        assert figure.low <= figure.value <= figure.high, figure


@laws
@given(st.permutations(range(60)), st.booleans())
def test_no_figure_depends_on_the_order_of_clips(order, speakers_known):
    """Catches clips that are drawn by their place, and ties that are broken by it."""

    def judged() -> list[Judged]:
        found = made_up()
        return found if speakers_known else [replace(each, clip=replace(each.clip, speaker="")) for each in found]

    first = figures(judged(), n_resamples=20)
    second = figures(list(map(judged().__getitem__, order)), n_resamples=20)
    assert list(first) == list(second)
    for key, figure in first.items():
        for part in ("value", "low", "high"):
            assert getattr(second[key], part) == pytest.approx(getattr(figure, part)), (key, part)


@laws
@given(st.integers(0, 2**32 - 1), st.integers(0, 25), st.integers(1, 4), st.booleans())
def test_any_small_set_gives_numbers_or_reasons(seed, n, n_speakers, with_thresholds):
    """Catches NaN and errors in sets of a few clips, where classes, speakers or scores are missing."""
    rng = np.random.default_rng(seed)
    judged = made_up(n=40, n_speakers=n_speakers, seed=seed % 7)
    chosen = [judged[i] for i in rng.choice(40, size=n, replace=False)]
    figures(chosen, ELSEWHERE if with_thresholds else None, n_resamples=20)


def test_tables_of_single_clips_add_up():
    """Catches a table that loses abstentions: rows of any selection must count its clips."""
    given = sample(made_up())
    tables = one_table_each(given)
    assert tables.shape == (60, 3, 4)
    assert (tables.sum(axis=(1, 2)) == 1).all()
    assert tables.sum(axis=0)[:, 3].sum() == sum(each.label is None for each in given.judged)
    assert one_table_each(sample([])).shape == (0, 3, 4)


def test_a_figure_is_found_by_its_key():
    """Catches an undefined figure taken for one that is not there, and intervals that replace the value."""
    shown = Figure("x", "X", "here", 0.25, n=7)
    assert shown.between(None) is shown
    assert shown.between(Interval(0.125, 0.5)).to_json() == {
        **{"key": "x", "name": "X", "section": "here", "value": 0.25, "low": 0.125, "high": 0.5},
        **{"n": 7, "unit": "clips", "note": ""},
    }
    assert (find([shown], "x"), find([shown], "y"), find([], "x")) == (0.25, None, None)
