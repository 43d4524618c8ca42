"""In which order a pass visits the clips: a pure function of (seed, pass), so that any step can be computed alone.

Usually all clips are shuffled. Storage that is far away, or a disk that turns, does not like that: each clip is a read
at another end of the set. Within a window the order is local instead:

    the clips in the order in which shards hold them (audio.sharding.layout), which is drawn itself, cut into blocks
    [ 0 ][ 1 ][ 2 ][ 3 ][ 4 ][ 5 ][ 6 ][ 7 ][ 8 ][ 9 ] ...
    blocks in a drawn order, `STREAMS` of them at a time:  7 2 9 0 4 1 8 6 | 3 5 ...
    and the clips of those shuffled together: as if so many shards were read side by side into one buffer

What reads ahead can then fetch whole blocks. The order does not ask whether the set is sharded, so that training from
shards and from files stays equal; and there is no buffer whose content would have to be saved to resume.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

STREAMS = 8
"""Blocks whose clips are shuffled together."""

Order = npt.NDArray[np.int64]


@lru_cache(maxsize=8)
def windows_of(seed: int, number: int, n: int, *, window: int | None = None) -> tuple[Order, ...]:
    """Return the order of pass `number` over `n` things, in the parts within which it is shuffled.

    Parameters
    ----------
    seed, number
        What it is drawn from.
    n
        How many things, in the order in which they are stored.
    window
        How many are shuffled together, about; None: all.

    Returns
    -------
    Places of things, int64, each once.
    """
    rng = np.random.default_rng((seed, number))
    if window is None or window >= n:
        return (rng.permutation(n),)
    size = max(1, window // STREAMS)
    blocks = rng.permutation(-(-n // size))
    groups = [blocks[i : i + STREAMS] for i in range(0, len(blocks), STREAMS)]
    return tuple(rng.permutation(_members(group, size, n)) for group in groups)


def _members(blocks: Order, size: int, n: int) -> Order:
    places = (blocks[:, None] * size + np.arange(size)).ravel()
    return places[places < n]


@lru_cache(maxsize=8)
def order_of(seed: int, number: int, n: int, *, window: int | None = None) -> Order:
    """Return the order of a pass as a whole: drawn once, not for each batch."""
    return np.concatenate(windows_of(seed, number, n, window=window))


def window_at(seed: int, number: int, n: int, *, window: int | None, place: int) -> int:
    """Return which of `windows_of` the thing at `place` of the order is in; the last one for a place behind the end."""
    ends = np.cumsum([len(part) for part in windows_of(seed, number, n, window=window)])
    return min(int(np.searchsorted(ends, place, side="right")), len(ends) - 1)
