"""Costs against a second writing in the challenges' own polarity, and their edges.

The brute force follows the definitions trial by trial, for scores in favour of the genuine; the sources of the costs
are in `model.metrics.costs`.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from audio.errors import UsageError
from model.metrics.costs import (
    AsvErrors,
    DetectionCosts,
    TandemCosts,
    actual_dcf,
    asv_errors,
    cllr,
    min_dcf,
    min_tdcf,
)

ASV = AsvErrors(p_fa=0.02, p_miss=0.03, p_miss_spoof=0.25)
TRUTH = [False, False, True, True]


def made(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return truth and scores in favour of fake, some tied."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 80))
    is_fake = rng.random(n) < 0.6
    is_fake[:2] = [True, False]
    return is_fake, np.round(2 * rng.standard_normal(n) + is_fake * rng.uniform(-1, 4), int(rng.integers(0, 3)))


def rates_trial_by_trial(genuine, fake) -> list[tuple[float, float]]:
    """Return (miss, false alarm) of genuine-favouring scores after each trial of an ascending, stable sort.

    As the challenges' code has it, inside a group of tied scores too.
    """
    trials = sorted([(score, 1) for score in genuine] + [(score, 0) for score in fake], key=lambda trial: trial[0])
    points, missed, passed = [(0.0, 1.0)], 0, len(fake)
    for _, is_genuine in trials:
        missed, passed = missed + is_genuine, passed - (1 - is_genuine)
        points.append((missed / len(genuine), passed / len(fake)))
    return points


def challenge_figures(is_fake, scores) -> dict[str, float]:
    """Return the figures of ASVspoof 5, and the tandem cost of 2019, from scores in favour of fake."""
    genuine, fake = -scores[~is_fake], -scores[is_fake]
    points = rates_trial_by_trial(genuine, fake)
    threshold = -math.log(1 * 0.95 / (10 * 0.05))
    miss, false_alarm = np.mean(genuine < threshold), np.mean(fake >= threshold)
    c_1 = 0.95 * 0.99 * (1 - 1 * 0.03) - 0.95 * 0.01 * 10 * 0.02
    c_2 = 10 * 0.05 * (1 - 0.25)
    bits = [np.mean([math.log2(1 + math.exp(-ratio)) for ratio in ratios]) for ratios in (genuine, -fake)]
    return {
        "min_dcf": min(0.95 * p_miss + 0.5 * p_fa for p_miss, p_fa in points) / 0.5,
        "actual_dcf": (0.95 * miss + 0.5 * false_alarm) / 0.5,
        "cllr": sum(bits) / 2,
        "min_tdcf": min(c_1 * p_miss + c_2 * p_fa for p_miss, p_fa in points) / min(c_1, c_2),
    }


def our_figures(is_fake, scores) -> dict[str, float | None]:
    return {
        "min_dcf": min_dcf(is_fake, scores),
        "actual_dcf": actual_dcf(is_fake, scores),
        "cllr": cllr(is_fake, scores),
        "min_tdcf": min_tdcf(is_fake, scores, asv=ASV),
    }


@pytest.mark.parametrize("seed", range(40))
def test_costs_are_the_challenges_trial_by_trial(seed):
    """Catches the costs of the two errors swapped by the change of polarity, and ties that make a cheaper point."""
    is_fake, scores = made(seed)
    assert our_figures(is_fake, scores) == pytest.approx(challenge_figures(is_fake, scores), abs=1e-12)


def test_costs_of_frozen_scores_stay():
    """Catches both writings going wrong together: these figures were computed apart from this project's code.

    Scores are made as oracle files are: many trials, rounded, of three kinds.
    """
    place = np.arange(400)
    is_fake = place % 5 < 3
    scores = np.round(5.0 * np.sin(1.7 * place) * np.cos(0.3 * place**1.5) + 3.0 * is_fake - 0.5, 2)
    expected = {"min_dcf": 0.73625, "actual_dcf": 0.898958333333, "cllr": 1.065145991001, "min_tdcf": 0.742846166667}
    assert our_figures(is_fake, scores) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([-90, -80, 80, 90], (0.0, 0.0, 0.0, 0.0)),  # perfect
        ([90, 80, -80, -90], (1.0, 2.9, 85 / math.log(2), 1.0)),  # inverted
        ([0, 0, 0, 0], (1.0, 1.0, 1.0, 1.0)),  # constant: says nothing
        ([5, 5, 5, 5], (1.0, 1.9, None, 1.0)),  # constant, and sure of fake
        ([-9, 0, 0, 9], (0.5, 0.5, None, 0.5)),  # tied between the classes
    ],
)
def test_perfect_inverted_constant_and_tied_scores(scores, expected):
    """Catches the polarity turned round, and a normalisation by the wrong constant decision."""
    figures = our_figures(TRUTH, scores).values()
    for figure, value in zip(figures, expected, strict=True):
        assert value is None or figure == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(("truth", "scores"), [([True, True], [1, 2]), ([False], [1]), ([], [])])
def test_one_class_or_nothing_is_undefined(truth, scores):
    """Catches the mean of no trials, which is NaN."""
    assert set(our_figures(truth, scores).values()) == {None}


def test_the_decision_at_the_threshold_is_the_challenges():
    """Catches a trial exactly at ln 1.9, or its sign, on the wrong side."""
    at = DetectionCosts().threshold
    assert at == pytest.approx(math.log(1.9), abs=1e-15)
    assert actual_dcf([False, True], [at, 5.0]) == 0.0
    assert actual_dcf([False, True], [-5.0, at]) == 1.0
    assert actual_dcf([False, True], [-5.0, np.nextafter(at, 1)]) == 0.0


def test_sure_ratios_stay_finite():
    """Catches exp overflowing at a few hundred."""
    assert cllr([False, True], [-5000.0, 5000.0]) == 0.0
    assert cllr([False, True], [5000.0, -5000.0]) == pytest.approx(5000 / math.log(2))


def test_other_costs_move_the_figures():
    """Catches costs that are read from the default."""
    costs = DetectionCosts(p_fake=0.5, genuine_rejected=1.0, fake_accepted=1.0)
    assert costs.threshold == 0.0
    assert min_dcf(TRUTH, [0, 1, 1, 2], costs=costs) == 0.5
    assert actual_dcf(TRUTH, [-1, 1, 2, 3], costs=costs) == 0.5
    cheap = TandemCosts(fake_accepted=1.0)
    assert min_tdcf(TRUTH, [0, 2, 1, 3], asv=ASV, costs=cheap) == 0.5  # letting fakes in is the cheaper half


def test_speaker_verification_errs_at_its_own_threshold():
    """Catches a threshold chosen with the fakes in sight, and shares of the wrong class."""
    errors = asv_errors([1.0, 4.0, 5.0, 6.0], [0.0, 1.5, 2.0, 4.5], spoof=[0.5, 3.0, 4.0, 4.5, 9.0])
    assert errors == AsvErrors(p_fa=0.25, p_miss=0.25, p_miss_spoof=0.4)
    with pytest.raises(UsageError, match="4, 0, 1"):
        asv_errors([1, 2, 3, 4], [], spoof=[1])
    with pytest.raises(UsageError, match="finite"):
        asv_errors([1.0], [0.0], spoof=[np.nan])
    with pytest.raises(UsageError, match="finite"):
        asv_errors([np.inf], [0.0], spoof=[1.0])


def test_impossible_costs_and_errors_are_refused():
    """Catches a division by 0, and a tandem in which an error is a gain."""
    with pytest.raises(UsageError, match="p_fake"):
        DetectionCosts(p_fake=0.0)
    with pytest.raises(UsageError, match="costs above 0"):
        DetectionCosts(fake_accepted=0.0)
    with pytest.raises(UsageError, match="add up to 1"):
        TandemCosts(p_target=0.5)
    with pytest.raises(UsageError, match="0 to 1"):
        AsvErrors(p_fa=2.5, p_miss=0.1, p_miss_spoof=0.1)
    for useless in (AsvErrors(1.0, 1.0, 0.5), AsvErrors(0.1, 0.1, 1.0)):
        with pytest.raises(UsageError, match="works"):
            min_tdcf(TRUTH, [1, 2, 3, 4], asv=useless)
    with pytest.raises(UsageError, match="finite"):
        cllr(TRUTH, [1, 2, 3, np.nan])
