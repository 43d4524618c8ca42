"""Effects, changes, importance and components: against slow versions, and where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from model.classical import insight
from model.classical.handmade import NAMES
from model.classical.insight import ASPECTS, aspects, changes, components, effects, importance
from model.classical.measuring import N_BANDS
from model.metrics.bootstrap import Resamples, resamples


def slow_d(values, is_fake):
    real, fake = values[~is_fake], values[is_fake]
    pooled = ((len(real) - 1) * real.var(ddof=1) + (len(fake) - 1) * fake.var(ddof=1)) / (len(values) - 2)
    return (fake.mean() - real.mean()) / np.sqrt(pooled)


@pytest.fixture
def clips():
    """Values of 40 clips far from 0, some unknown, of 8 speakers."""
    rng = np.random.default_rng(4)
    is_fake = rng.random(40) < 0.5
    values = 1e4 + rng.standard_normal((40, 2)) + 0.8 * is_fake[:, None]
    values[rng.random(40) < 0.2, 1] = np.nan
    return values, is_fake, resamples([f"s{i % 8}" for i in range(40)], n_resamples=50)


def test_effects_are_those_of_the_plain_formulas(clips):
    """Catches an unknown value that counts, a sign turned round, and squares of large numbers that lose the spread."""
    values, is_fake, drawn = clips
    for column, found in zip(values.T, effects(values, is_fake, drawn), strict=True):
        known = np.isfinite(column)
        value, fake = column[known], is_fake[known]
        assert (found.n_real, found.n_fake) == ((~fake).sum(), fake.sum())
        assert found.d == pytest.approx(slow_d(value, fake))
        assert found.fake == pytest.approx(value[fake].mean())
        wins = value[fake][:, None] > value[~fake]
        assert found.auc == pytest.approx(wins.mean())


def test_intervals_are_those_of_drawing_speakers_again(clips):
    """Catches resampling by clip, and a resample that keeps the numbers of the whole."""
    values, is_fake, drawn = clips
    again = []
    for counts in drawn.counts:
        times = counts[drawn.group_of]
        again.append(slow_d(np.repeat(values[:, 0], times), np.repeat(is_fake, times)))
    found = effects(values[:, :1], is_fake, drawn)[0]
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(again, (2.5, 97.5))))


@pytest.mark.parametrize(
    ("values", "is_fake"),
    [([1.0, 1.0, 1.0, 1.0], [0, 0, 1, 1]), ([1.0, 2.0, 3.0], [0, 1, 1]), ([], []), ([np.nan] * 4, [0, 0, 1, 1])],
)
def test_what_is_undefined_is_none(values, is_fake):
    found = effects(np.array(values)[:, None], np.array(is_fake, dtype=bool), None)[0]
    assert (found.d, found.low, found.high) == (None, None, None)


def test_one_speaker_alone_in_a_class_has_no_interval():
    """Catches an interval without width, which would look like certainty."""
    rng = np.random.default_rng(0)
    is_fake = np.arange(40) % 2 == 1
    drawn = resamples(["only" if not fake else f"s{i}" for i, fake in enumerate(is_fake)], n_resamples=200)
    found = effects(rng.standard_normal((40, 1)), is_fake, drawn)[0]
    assert found.d is not None
    assert found.low is None


def test_changes_are_those_of_the_plain_formulas():
    rng = np.random.default_rng(1)
    moved = rng.standard_normal((30, 1)) + 0.5
    moved[3] = np.nan
    known = moved[np.isfinite(moved[:, 0]), 0]
    drawn = resamples([f"s{i % 5}" for i in range(30)], n_resamples=40)
    found = changes(moved, drawn)[0]
    assert (found.n, found.mean) == (29, pytest.approx(known.mean()))
    assert found.d == pytest.approx(known.mean() / known.std(ddof=1))
    assert found.rises == pytest.approx((known > 0).mean())
    assert found.low < found.d < found.high
    assert changes(np.zeros((4, 1)), None)[0].d is None


def test_importance_finds_the_feature_that_tells():
    """Catches importance measured on what the classifier was fitted on, where noise has some too."""
    rng = np.random.default_rng(2)
    is_fake = rng.random(90) < 0.5
    rows = rng.standard_normal((90, 6))
    rows[:, 3] += 4 * is_fake
    third = np.arange(90) % 3
    folds = [(third != k, third == k) for k in range(3)]
    found = importance(rows, is_fake, folds, seed=0)
    assert found.values.argmax() == 3
    assert found.values[3] > 0.3
    assert np.abs(np.delete(found.values, 3)).max() < 0.05
    assert len(found.auc) == 3
    assert min(found.auc) > 0.9


def test_folds_with_one_class_are_passed_over():
    rows, is_fake = np.random.default_rng(0).standard_normal((20, 2)), np.arange(20) % 2 == 1
    only_real = (np.arange(20) >= 10, (np.arange(20) < 10) & ~is_fake)
    assert importance(rows, is_fake, [only_real], seed=0) is None
    assert importance(rows, is_fake, [], seed=0) is None


def test_components_find_the_direction_and_its_share():
    rng = np.random.default_rng(3)
    line, noise = rng.standard_normal(200), rng.standard_normal(200)
    rows = np.stack([line, 1_000 * line, noise], axis=1)
    found = components(rows)
    assert found.explained == pytest.approx((2 / 3, 1 / 3), abs=0.03)
    assert np.abs(found.loadings[0, :2]) == pytest.approx(np.sqrt([0.5, 0.5]), abs=0.05)
    assert found.points.shape == (200, 2)


def test_aspects_are_what_they_say():
    """Catches a column that moved, and pitch told of clips that have none."""
    features = np.zeros((2, len(NAMES)))
    given = {"voiced_share": 0.5, "pitch_mean": 200.0, "pitch_std": 30.0, "jitter": 0.02, "centroid_mean": 1_500.0}
    features[0, [NAMES.index(name) for name in given]] = list(given.values())
    features[:, NAMES.index("mfcc_1_std")] = 99.0  # level, which does not count
    features[:, [NAMES.index(f"mfcc_{i}_std") for i in range(2, 21)]] = 7.0
    bands_db = np.full((2, N_BANDS), 10 * np.log10(1 / N_BANDS))
    found = dict(zip((aspect.key for aspect in ASPECTS), aspects(features, bands_db).T, strict=True))
    assert found["mfcc_variability"] == pytest.approx([7.0, 7.0])
    assert found["pitch_modulation"] == pytest.approx([15.0, np.nan], nan_ok=True)
    assert found["jitter"] == pytest.approx([2.0, np.nan], nan_ok=True)
    assert found["high_level"] == pytest.approx(10 * np.log10(0.5))
    assert found["centroid"][0] == 1_500.0


def test_some_of_the_clips_are_drawn_with_their_speakers():
    drawn = Resamples(np.array([0, 1, 1]), np.array([[2, 0]], dtype=np.int16))
    assert insight._only(drawn, np.array([True, False, True])).group_of.tolist() == [0, 1]
