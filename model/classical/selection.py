"""Which features a classical system reads: all, those that do not repeat others, those that tell most, or mixtures.

none                  all of them
correlation           without those that another one gives away
mutual-information    of these, the ones that tell most about the class
pca                   all of them, turned into their principal components
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SELECTIONS = ("mutual-information", "correlation", "pca", "none")
"""Every way to select, the default first."""

MOST_CORRELATED = 0.95
"""Correlation, in size, from which on a feature repeats an earlier one."""

N_INFORMATIVE = 64
"""Features that are kept by their mutual information: a third of the hand-made ones. A support vector machine takes
time for each of them in each frame."""

MOST_ROWS = 3_000
"""Rows that the mutual information is estimated from, evenly spread; its time grows faster than their number."""

PCA_SHARE = 0.95
"""Share of the variance that the principal components keep."""

Numbers = NDArray[np.floating[Any]]


def uncorrelated(rows: Numbers, *, most: float = MOST_CORRELATED) -> NDArray[np.int64]:
    """Drop columns that never change, and those that go along with an earlier one that was kept.

    Parameters
    ----------
    rows
        (n, d), n at least 2.
    most
        Size of Pearson's correlation up to which a column is kept.

    Returns
    -------
    the columns that are kept, rising, int64 (k,)
    """
    centred = np.asarray(rows, dtype=np.float64) - rows.mean(axis=0, dtype=np.float64)
    lengths = np.linalg.norm(centred, axis=0)
    changes = lengths > 1e-9 * np.sqrt(len(rows))
    correlation = np.abs((centred / np.where(changes, lengths, 1.0)).T @ (centred / np.where(changes, lengths, 1.0)))
    kept: list[int] = []
    for column in np.flatnonzero(changes).tolist():
        if not kept or correlation[column, kept].max() <= most:
            kept.append(column)
    return np.array(kept, dtype=np.int64)


def mutual_information(rows: Numbers, classes: NDArray[np.int64], *, seed: int) -> NDArray[np.float64]:
    """Estimate what each column tells about the class, in nats, float64 (d,), 0 or more.

    By nearest neighbours (Ross, "Mutual information between discrete and continuous data sets", PLoS ONE 2014), from
    at most `MOST_ROWS` of the rows (n, d).
    """
    from sklearn.feature_selection import mutual_info_classif

    looked_at = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).astype(np.int64))
    neighbours = min(3, int(np.unique(classes[looked_at], return_counts=True)[1].min()) - 1)
    if neighbours < 1:
        return np.zeros(rows.shape[1])
    found = mutual_info_classif(rows[looked_at], classes[looked_at], n_neighbors=neighbours, random_state=seed)
    return np.asarray(found)


def selected(rows: Numbers, classes: NDArray[np.int64], *, how: str, seed: int) -> NDArray[np.int64]:
    """Say which columns of `rows`, (n, d), a system reads: rising, int64 (k,); `how` is one of `SELECTIONS`."""
    if how in ("none", "pca"):
        return np.arange(rows.shape[1])
    kept = uncorrelated(rows)
    if how == "correlation" or len(kept) <= N_INFORMATIVE:
        return kept
    told = mutual_information(rows[:, kept], classes, seed=seed)
    return np.sort(kept[np.argsort(-told, kind="stable")[:N_INFORMATIVE]])
