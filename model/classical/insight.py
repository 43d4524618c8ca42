"""What distinguishes real from synthetic speech in a set: arrays in, numbers out.

    effects      how far each measure of the fake clips lies from that of the real ones, with intervals by speaker
    changes      the same between fakes and the genuine recordings that they copy: what synthesis itself changes
    importance   what a classifier loses, on speakers that it was not fitted on, when a feature is shuffled
    components   the two directions in which clips differ most, whatever their class

The first three of the field's hypotheses are measured by `ASPECTS`; an effect is an association in a set. Where real
and fake clips were recorded differently, it may be the recording that differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.classical.handmade import NAMES
from model.classical.measuring import BAND_HZ, N_BANDS
from model.classical.pipelines import LEAST_ROWS, Recipe, fit_head
from model.metrics.bootstrap import Interval, Resamples, interval, sums
from model.metrics.ranking import roc_auc

CLASSIFIER = "logistic"
"""What permutation importance is measured with: one of `model.classical.pipelines.SYSTEMS`. On the dev rows that
docs/insight.md tells of, it ranks unseen speakers as well as a random forest, in a tenth of the time."""

N_SHUFFLES = 5
"""How often each feature is shuffled in each fold (scikit-learn's default)."""

HIGH_HZ = 4_000
"""Where high frequencies begin: the band that telephones cut off."""

MFCC, PITCH, SPECTRUM = "MFCC variability", "Pitch modulation", "Spectral energy distribution"
"""Three hypotheses: synthetic speech varies less from moment to moment, its melody is flatter or steadier, and it has
another share of high frequencies."""

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Aspect:
    """A number that a hypothesis is about."""

    key: str
    name: str
    unit: str
    hypothesis: str
    of: Callable[[Numbers, Numbers], Numbers]
    """Features (n, len(NAMES)) and levels of bands in dB (n, N_BANDS) to float64 (n,), NaN where there is none."""


def _column(name: str) -> int:
    return NAMES.index(name)


_SHAPE = [_column(f"mfcc_{i}_std") for i in range(2, 21)]
_MOVES = [_column(f"mfcc_delta_{i}_std") for i in range(2, 21)]


def _where_voiced(features: Numbers, values: Numbers) -> Numbers:
    return np.where(features[:, _column("voiced_share")] > 0, values, np.nan)


def _pitch_modulation(features: Numbers, bands_db: Numbers) -> Numbers:
    mean, deviation = features[:, _column("pitch_mean")], features[:, _column("pitch_std")]
    return _where_voiced(features, 100.0 * deviation / np.maximum(mean, 1.0))


def _high_level(features: Numbers, bands_db: Numbers) -> Numbers:
    high = 10.0 ** (bands_db[:, HIGH_HZ // BAND_HZ :] / 10.0)
    return np.asarray(10.0 * np.log10(high.sum(axis=1)))


ASPECTS = (
    Aspect("mfcc_variability", "deviation of MFCC 2 to 20, mean", "dB", MFCC, lambda x, _: x[:, _SHAPE].mean(axis=1)),
    Aspect("mfcc_motion", "deviation of their slopes, mean", "dB per frame", MFCC, lambda x, _: x[:, _MOVES].mean(1)),
    Aspect("pitch_modulation", "deviation of the pitch over its mean", "%", PITCH, _pitch_modulation),
    Aspect(
        "jitter", "change of the period from frame to frame", "%", PITCH,
        lambda x, _: _where_voiced(x, 100.0 * x[:, _column("jitter")]),
    ),
    Aspect("high_level", f"level above {HIGH_HZ // 1_000} kHz, re the whole", "dB", SPECTRUM, _high_level),
    Aspect("centroid", "spectral centroid", "Hz", SPECTRUM, lambda x, _: x[:, _column("centroid_mean")]),
)  # fmt: skip
"""What the hypotheses are measured by. MFCC 1 is level, and left out."""


def aspects(features: Numbers, bands_db: Numbers) -> Numbers:
    """Return the numbers of `ASPECTS`, float64 (n, len(ASPECTS)), of clips; arguments as `Aspect.of`."""
    return np.stack([aspect.of(features, bands_db) for aspect in ASPECTS], axis=1)


@dataclass(frozen=True)
class Effect:
    """How far a measure of fake clips lies from that of real ones; None for what is undefined."""

    n_real: int
    n_fake: int
    real: float | None
    """Mean."""
    fake: float | None
    d: float | None
    """Cohen's d: difference of the means, fake less real, over the pooled deviation. 0.2 is called small, 0.5 medium,
    0.8 large (Cohen, "Statistical power analysis for the behavioral sciences", 1988)."""
    low: float | None
    """Ends of its 95 % interval."""
    high: float | None
    auc: float | None
    """Share of pairs of a fake and a real clip in which the fake has more, a tie counting half."""

    def to_json(self) -> dict[str, Any]:
        """Return the effect as what JSON can hold."""
        return asdict(self)


def effects(values: Numbers, is_fake: Flags, drawn: Resamples | None) -> list[Effect]:
    """Compute the effect of each measure.

    Parameters
    ----------
    values
        float64 (n, k), NaN where a clip does not show a measure: it is left out there.
    is_fake
        bool (n,).
    drawn
        Of n clips; None for no intervals.
    """
    return [_effect(column, is_fake, drawn) for column in np.asarray(values, dtype=np.float64).T]


def _effect(column: Numbers, is_fake: Flags, drawn: Resamples | None) -> Effect:
    kept = np.isfinite(column)
    values, fake = column[kept], is_fake[kept]
    n_fake = int(fake.sum())
    centre = float(values.mean()) if values.size else 0.0
    moments = _moments(values - centre, fake)
    total = moments.sum(axis=0)
    real, fake_mean = (centre + summed / n if n else None for n, summed in (total[:2], total[3:5]))
    found = interval(cohens_d(sums(_only(drawn, kept), moments))) if drawn is not None else None
    d = _number(cohens_d(total[None])[0])
    return Effect(len(values) - n_fake, n_fake, real, fake_mean, d, *_ends(found), roc_auc(fake, values))


def _ends(found: Interval | None) -> tuple[float | None, float | None]:
    return (None, None) if found is None else (found.low, found.high)


def _only(drawn: Resamples, kept: Flags) -> Resamples:
    return Resamples(drawn.group_of[kept], drawn.counts)


def _moments(values: Numbers, is_fake: Flags) -> Numbers:
    """Number, sum and sum of squares that each clip adds to its class, (n, 6): real ones first."""
    each = np.stack([np.ones_like(values), values, values**2], axis=1)
    return np.concatenate([each * ~is_fake[:, None], each * is_fake[:, None]], axis=1)


def cohens_d(moments: Numbers) -> Numbers:
    """Return Cohen's d, float64 (m,), of numbers, sums and sums of squares (m, 6), real ones first; NaN if undefined.

    Undefined with fewer than two clips of a class, or where all of both are the same.
    """
    n_real, sum_real, squares_real, n_fake, sum_fake, squares_fake = moments.T
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = squares_real - sum_real**2 / n_real + squares_fake - sum_fake**2 / n_fake
        pooled = np.sqrt(np.maximum(spread, 0.0) / (n_real + n_fake - 2))
        found = (sum_fake / n_fake - sum_real / n_real) / pooled
    defined = (n_real >= 2) & (n_fake >= 2) & (spread > 1e-12 * (squares_real + squares_fake))
    return np.where(defined, found, np.nan)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


@dataclass(frozen=True)
class Change:
    """How a measure moves from genuine recordings to their copies; None for what is undefined."""

    n: int
    """Pairs."""
    mean: float | None
    """Of the differences, copy less original."""
    d: float | None
    """The mean over the deviation of the differences (Cohen's d_z)."""
    low: float | None
    """Ends of its 95 % interval."""
    high: float | None
    rises: float | None
    """Share of the pairs in which the copy has more."""

    def to_json(self) -> dict[str, Any]:
        """Return the change as what JSON can hold."""
        return asdict(self)


def changes(differences: Numbers, drawn: Resamples | None) -> list[Change]:
    """Sum up the differences of each measure, float64 (n, k) of copies less their originals, NaN where it is unknown.

    `drawn` is of the n pairs; None for no intervals.
    """
    return [_change(column, drawn) for column in np.asarray(differences, dtype=np.float64).T]


def _change(column: Numbers, drawn: Resamples | None) -> Change:
    kept = np.isfinite(column)
    moved = column[kept]
    moments = np.stack([np.ones_like(moved), moved, moved**2], axis=1)
    found = interval(_d_z(sums(_only(drawn, kept), moments))) if drawn is not None else None
    mean, rises = (float(moved.mean()), float(np.mean(moved > 0))) if moved.size else (None, None)
    return Change(len(moved), mean, _number(_d_z(moments.sum(axis=0)[None])[0]), *_ends(found), rises)


def _d_z(moments: Numbers) -> Numbers:
    """Mean over deviation, (m,), of numbers, sums and sums of squares (m, 3); NaN for fewer than two or no spread."""
    n, total, squares = moments.T
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = squares - total**2 / n
        found = total / n / np.sqrt(np.maximum(spread, 0.0) / (n - 1))
    return np.where((n >= 2) & (spread > 1e-12 * squares), found, np.nan)


@dataclass(frozen=True, eq=False)
class Importance:
    """What a classifier makes of features, on speakers that it was not fitted on."""

    auc: tuple[float, ...]
    """Area under its ROC curve in each fold."""
    values: Numbers
    """float64 (d,): by how much the area shrinks when a feature is shuffled, mean of all folds."""
    deviations: Numbers
    """float64 (d,): standard deviation over the folds."""


def importance(rows: Numbers, is_fake: Flags, folds: Sequence[tuple[Flags, Flags]], *, seed: int) -> Importance | None:
    """Measure permutation importance (Breiman, "Random forests", Machine Learning 45, 2001), by scikit-learn.

    Parameters
    ----------
    rows
        Features, float64 (n, d), finite.
    is_fake
        bool (n,).
    folds
        For each, which clips it is fitted on and which it is tested on, bool (n,) each.
    seed
        Of the shuffling.

    Returns
    -------
    None where no fold has both classes on both sides.
    """
    from sklearn.inspection import permutation_importance

    areas, found = [], []
    read, classes = rows.astype(np.float32), is_fake.astype(np.int64)
    for fitted, tested in folds:
        if _fewest(classes[fitted]) < LEAST_ROWS or _fewest(classes[tested]) < 1:
            continue
        pipeline = fit_head(read[fitted], classes[fitted], Recipe(CLASSIFIER, seed=seed)).pipeline
        shuffled = permutation_importance(
            pipeline, read[tested], classes[tested], scoring="roc_auc", n_repeats=N_SHUFFLES, random_state=seed
        )
        areas.append(float(roc_auc(is_fake[tested], pipeline.decision_function(read[tested])) or 0.0))
        found.append(shuffled.importances_mean)
    return Importance(tuple(areas), np.mean(found, axis=0), np.std(found, axis=0)) if found else None


def _fewest(classes: NDArray[np.int64]) -> int:
    return int(np.bincount(classes, minlength=2).min())


@dataclass(frozen=True, eq=False)
class Components:
    """The two principal components of standardised features."""

    points: Numbers
    """float64 (n, 2)."""
    explained: tuple[float, ...]
    """Share of the variance that each holds."""
    loadings: Numbers
    """float64 (2, d): how much of each feature is in them."""


def components(rows: Numbers) -> Components:
    """Find the principal components of features, float64 (n, d), finite, n at least 2; signs are scikit-learn's."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    model = PCA(2, svd_solver="full")
    points = model.fit_transform(StandardScaler().fit_transform(rows))
    return Components(points, tuple(model.explained_variance_ratio_.tolist()), model.components_)


def band_edges_hz() -> list[tuple[int, int]]:
    """Return the bands of the mean spectrum, from and to, in Hz."""
    return [(i * BAND_HZ, (i + 1) * BAND_HZ) for i in range(N_BANDS)]
