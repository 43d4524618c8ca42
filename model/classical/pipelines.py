"""The field's classical classifiers, as heads: scaler, selection and classifier fitted together.

Nothing here is random beyond its seed, and each fits on one core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio.errors import ModelError
from model.classical.heads import Head, one_thread, required
from model.classical.selection import PCA_SHARE, selected

EMBEDDINGS = "svm-embeddings"

MOST_ROWS: Mapping[str, int] = {
    "svm": 4_000,
    "logistic": 40_000,
    "forest": 40_000,
    "knn": 5_000,
    "xgboost": 40_000,
    EMBEDDINGS: 4_000,
}
"""Every classical system, and how many rows it is fitted on at most. A support vector machine and nearest neighbours
keep rows, and judging takes time for each one that they keep."""

SYSTEMS = tuple(MOST_ROWS)

LEAST_ROWS = 3
"""Rows that each class needs: support vector machines are calibrated in as many folds."""

XGBOOST: Mapping[str, Any] = {"max_depth": 6, "eta": 0.1, "subsample": 0.8, "colsample_bytree": 0.5, "rounds": 200}
SHALLOW: Mapping[str, Any] = {"max_depth": 3, "eta": 0.1, "subsample": 0.8, "colsample_bytree": 1.0, "rounds": 60}
"""The same for the few features of a meta-classifier."""

Float = NDArray[np.float32]
Classes = NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """How a head is fitted."""

    classifier: str
    """One of `SYSTEMS`."""
    seed: int = 0
    selection: str = "none"
    """One of `model.classical.selection.SELECTIONS`."""
    trees: Mapping[str, Any] = field(default_factory=lambda: XGBOOST)
    """Parameters of XGBoost."""


def fit_head(rows: Float, classes: Classes, recipe: Recipe) -> Head:
    """Fit a head.

    Parameters
    ----------
    rows
        Features, float32 (n, d).
    classes
        What each row is, int64 (n,).
    recipe
        How.

    Raises
    ------
    ModelError
        There are not two classes of `LEAST_ROWS` rows each, or a package is missing.
    """
    present, counts = np.unique(classes, return_counts=True)
    if len(present) < 2 or counts.min() < LEAST_ROWS:
        told = ", ".join(f"{n} of class {k}" for k, n in zip(present.tolist(), counts.tolist(), strict=True))
        raise ModelError(f"fitting: expected two or more classes of {LEAST_ROWS} examples each. Received: {told}")
    pipeline_type = required("sklearn").Pipeline
    rows, classes = thinned(rows, classes, most=MOST_ROWS[recipe.classifier], seed=recipe.seed)
    columns = selected(rows, classes, how=recipe.selection, seed=recipe.seed)
    steps = _steps(recipe, n_rows=len(rows))
    pipeline = pipeline_type([*steps[:1], *_components(recipe), *steps[1:]])
    read = rows[:, columns]
    with one_thread():  # sums in one order, whatever the machine
        if recipe.classifier != "xgboost":
            return Head(pipeline.fit(read, classes), columns, tuple(present.tolist()))
        booster = _boosted(pipeline.fit_transform(read), np.searchsorted(present, classes), recipe)
    return Head(pipeline, columns, tuple(present.tolist()), booster)


def thinned(rows: Float, classes: Classes, *, most: int, seed: int) -> tuple[Float, Classes]:
    """Draw at most `most` rows, of each class as many as the smallest share allows, and keep their order."""
    if len(rows) <= most:
        return rows, classes
    rng = np.random.default_rng(seed)
    present = np.unique(classes)
    drawn = [rng.permutation(np.flatnonzero(classes == each))[: most // len(present)] for each in present]
    kept = np.sort(np.concatenate(drawn))
    return rows[kept], classes[kept]


def _steps(recipe: Recipe, *, n_rows: int) -> list[tuple[str, Any]]:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    steps: list[tuple[str, Any]] = [("scaler", StandardScaler())]
    match recipe.classifier:
        case "svm" | "svm-embeddings":
            # Platt's sigmoid over margins of rows that the machine was not fitted on (Platt 1999).
            machine = SVC(kernel="rbf", class_weight="balanced", cache_size=500)
            steps.append(("svm", CalibratedClassifierCV(machine, method="sigmoid", cv=LEAST_ROWS, ensemble=False)))
        case "logistic":
            steps.append(("logistic", LogisticRegression(class_weight="balanced", max_iter=1_000)))
        case "forest":
            forest = RandomForestClassifier(
                100, min_samples_leaf=3, max_depth=14, class_weight="balanced", random_state=recipe.seed, n_jobs=1
            )
            steps.append(("forest", forest))
        case "knn":
            # By brute force: trees are no faster in so many dimensions.
            neighbours = KNeighborsClassifier(min(25, n_rows), weights="distance", algorithm="brute", n_jobs=1)
            steps.append(("knn", neighbours))
    return steps


def _components(recipe: Recipe) -> list[tuple[str, Any]]:
    from sklearn.decomposition import PCA

    return [("pca", PCA(PCA_SHARE, svd_solver="full"))] if recipe.selection == "pca" else []


def _boosted(rows: Float, classes: Classes, recipe: Recipe) -> Any:
    xgboost = required("xgboost")
    counts = np.bincount(classes)
    data = xgboost.DMatrix(rows, label=classes, weight=(len(classes) / (len(counts) * counts))[classes], nthread=1)
    parameters = {name: value for name, value in recipe.trees.items() if name != "rounds"}
    kind = {"objective": "binary:logistic"} if len(counts) == 2 else {
        "objective": "multi:softprob", "num_class": len(counts)
    }  # fmt: skip
    from xgboost.training import train

    fixed = {"tree_method": "hist", "nthread": 1, "seed": recipe.seed, "verbosity": 0}
    return train({**parameters, **kind, **fixed}, data, num_boost_round=recipe.trees["rounds"])
