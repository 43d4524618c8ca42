"""The order of a pass: every clip once, the old order where there is no window, and near by where there is one."""

from __future__ import annotations

import numpy as np
import pytest

from model.training.order import STREAMS, order_of, window_at, windows_of


def test_without_a_window_the_order_is_that_of_earlier_versions():
    """Catches a change that trains other weights from the same seed: numbers of the version that had no windows."""
    assert order_of(3, 0, 9).tolist() == np.random.default_rng((3, 0)).permutation(9).tolist()
    assert order_of(3, 0, 9, window=9).tolist() == order_of(3, 0, 9).tolist()


@pytest.mark.parametrize(("n", "window"), [(1, 1), (7, 1), (100, 16), (101, 16), (1000, 64), (1003, 300), (20, 5)])
def test_a_pass_visits_everything_once(n, window):
    """Catches blocks that overlap, and the rest behind the last whole block."""
    for number in range(3):
        assert sorted(order_of(1, number, n, window=window).tolist()) == list(range(n))


def test_what_is_shuffled_together_comes_from_a_few_blocks_anywhere():
    """Catches a window that reads all over the set, one that goes through it from the front, and one unshuffled."""
    parts = windows_of(1, 0, 1_000, window=80)
    firsts = []
    for part in parts:
        blocks = sorted({int(place) // 10 for place in part})
        assert len(blocks) <= STREAMS
        assert part.tolist() != sorted(part.tolist())
        firsts.append(blocks[0])
    assert firsts != sorted(firsts)
    assert [len(part) for part in parts] == [80] * 12 + [40]


def test_passes_and_seeds_differ_and_repeat():
    one = order_of(1, 0, 200, window=40).tolist()
    assert one == order_of.__wrapped__(1, 0, 200, window=40).tolist()
    assert one != order_of(1, 1, 200, window=40).tolist()
    assert one != order_of(2, 0, 200, window=40).tolist()


def test_the_window_of_a_place_holds_it():
    parts, order = windows_of(1, 0, 103, window=16), order_of(1, 0, 103, window=16)
    for place, thing in enumerate(order.tolist()):
        assert thing in parts[window_at(1, 0, 103, window=16, place=place)]
    assert window_at(1, 0, 103, window=16, place=103) == len(parts) - 1
