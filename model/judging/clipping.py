"""What of a recording was overloaded: the flat tops of its waves, also after it was resampled, coded or turned down.

A clipped wave stands still at its extremes and gets there and away abruptly. Resampling and lossy coding make the tops
ripple and round the corners a little, so neither is asked for exactly. (Histograms, which others look at, as Aleinik
and Matveev, "Detection of clipped fragments in speech signals", 2014, need a long recording of one level.)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Marks = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

NEAR = 0.7
"""Flat tops reach at least this share of the extreme of their block, above or below. They do not lie at the extreme
itself: the ripples set that."""

STEP = 0.025
"""On a flat top neighbours differ by at most this share of the extreme; at the top of a wave of 300 Hz by 6 %."""

PAIRS = 3
"""So many pairs of neighbours in a row, four samples or a quarter of a millisecond, make a top."""

CORNER = 6.0
"""The wave gets to a flat top, or away from it, in a step of at least so many times the mean one on it. A sine has
steps of two to four times, so neither a hum nor a deep voice is taken for clipping."""

CORNER_STEPS = 3
"""One of so many steps before a top, or behind it: resampling rounds a corner over about two samples."""

LEAST_PEAK = 0.01
"""A block whose extreme is below this, -40 dBFS, is not asked: there a few steps of 16 bits are flat."""


def on_flat_tops(block: npt.NDArray[np.floating]) -> Marks:
    """Mark the samples that lie on flat tops.

    Parameters
    ----------
    block
        float (n,), full scale 1: a few seconds, whose largest and smallest sample are what tops are near to.

    Returns
    -------
    bool (n,)
    """
    steps = np.abs(np.diff(block))
    changes = np.zeros(block.size + 1, dtype=np.int8)
    for side in (block, -block):
        peak = float(side.max(initial=0.0))
        if peak >= LEAST_PEAK:
            near = side >= NEAR * peak
            first, last = _tops((steps <= STEP * peak) & near[1:] & near[:-1], steps)
            changes[first] += 1
            changes[last + 1] -= 1
    return np.cumsum(changes[:-1], dtype=np.int8) > 0


def _tops(flat: Marks, steps: npt.NDArray[np.floating]) -> tuple[Indices, Indices]:
    """Return the first and the last sample of each top, given the steps between neighbours and which are flat, (n,)."""
    edges = np.flatnonzero(np.diff(flat, prepend=False, append=False)).astype(np.int64)
    first, last = edges[::2], edges[1::2]
    long = last - first >= PAIRS
    first, last = first[long], last[long]
    if not first.size:
        return first, last
    # reduceat sums from each index up to the next: over a top, from there to the next top, and so on.
    sums = np.add.reduceat(np.append(steps, 0.0), np.column_stack([first, last]).ravel())[::2]
    mean = sums / (last - first)
    around = np.pad(steps, CORNER_STEPS)
    offsets = np.arange(CORNER_STEPS)[:, None]
    corner = np.maximum(around[first + offsets].max(axis=0), around[last + CORNER_STEPS + offsets].max(axis=0))
    abrupt = corner >= CORNER * mean
    return first[abrupt], last[abrupt]
