"""Workers that die: scripted ones, so that every order of deaths and answers can be tried."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import Future
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio import crew
from audio.crew import AHEAD, MOST_BUNDLED, MOST_LOSSES, TRIES, WINDOW, Known
from audio.errors import ToolkitError


class Died(Exception):
    pass


class Theatre:
    """A stage on which scripted workers act one step at a time, in an order that a seed draws."""

    def __init__(self, seed: int, *, poison: frozenset[int] = frozenset(), deaths: float = 0.0) -> None:
        self.rng = random.Random(seed)
        self.poison, self.deaths = poison, deaths
        self.alive: list[Scripted] = []
        self.begun: Counter[int] = Counter()
        self.most_held = 0

    def start(self) -> Scripted:
        worker = Scripted(self)
        self.alive.append(worker)
        return worker

    def wait(self, awaited: Any, **_: Any) -> Any:
        """Stand in for `concurrent.futures.wait`: somebody acts until something that is awaited is done."""
        while not any(future.done() for future in awaited):
            self.rng.choice([worker for worker in self.alive if worker.can_act]).act()
        return type("Found", (), {"done": {future for future in awaited if future.done()}})


class Scripted:
    """A worker that dies at poison, and now and then for no reason."""

    lost: tuple[type[BaseException], ...] = (Died,)

    def __init__(self, theatre: Theatre) -> None:
        self.theatre = theatre
        self.ready: Future[Any] = Future()
        self.given: list[tuple[list[int], Future[Any]]] = []
        self.dead = False

    @property
    def can_act(self) -> bool:
        return not self.dead and (not self.ready.done() or bool(self.given))

    def submit(self, bundle: list[tuple[str, int]]) -> Future[Any]:
        assert self.ready.done()
        assert not self.dead
        assert 1 <= len(bundle) <= MOST_BUNDLED
        future: Future[Any] = Future()
        self.given.append(([item for _, item in bundle], future))
        self.theatre.most_held = max(self.theatre.most_held, len(self.given))
        return future

    def act(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)
            return
        items, future = self.given[0]
        self.theatre.begun.update(items)
        if self.theatre.poison.intersection(items) or self.theatre.rng.random() < self.theatre.deaths:
            self._die()
        elif len(self.given) > 1 and self.theatre.poison.intersection(self.given[1][0]):
            self.theatre.begun.update(self.given[1][0])
            self._die()  # at the next bundle, before this one's answer was on its way
        else:
            del self.given[0]
            seconds = len(items) * self.theatre.rng.choice([0.001, 0.06, 1.0])
            future.set_result(([([{"item": item}], "") for item in items], seconds))

    def _die(self) -> None:
        self.dead = True
        for _, waiting in self.given:
            waiting.set_exception(Died())

    def end(self) -> None:
        self.dead = True
        self.theatre.alive.remove(self)


def played(theatre: Theatre, monkeypatch: pytest.MonkeyPatch, *, n_items: int, ordered: bool, n: int = 3) -> list[Any]:
    monkeypatch.setattr(crew, "wait", theatre.wait)
    todo = ((str(i), Known.DONE if i % 7 == 3 else i) for i in range(n_items))
    return list(crew.outcomes(theatre.start, n, todo, ordered=ordered))


@given(seed=st.integers(0, 2**32), n_items=st.integers(0, 90), ordered=st.booleans(), n=st.integers(1, 5))
def test_every_item_has_one_outcome_whoever_dies(seed: int, n_items: int, ordered: bool, n: int) -> None:
    """Catches an item lost with its worker, done twice, or blamed for another's death; and order that is lost."""
    poison = frozenset(i for i in (5, 6, 40) if i % 7 != 3)
    theatre = Theatre(seed, poison=poison, deaths=0.02)
    with pytest.MonkeyPatch.context() as patch:
        found = played(theatre, patch, n_items=n_items, ordered=ordered, n=n)
    names = [name for name, _ in found]
    assert (names if ordered else sorted(names, key=int)) == [str(i) for i in range(n_items)]
    for name, outcome in found:
        if int(name) % 7 == 3:
            assert outcome is Known.DONE
        elif int(name) in poison:
            assert outcome == (None, f"{name}: ended the process that worked on it, {TRIES} times")
        else:
            assert outcome == ([{"item": int(name)}], "")
    assert all(theatre.begun[i] >= TRIES for i in poison if i < n_items)
    assert theatre.most_held <= AHEAD
    assert theatre.alive == []


def test_nobody_starts_where_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches models loaded, or a cluster filled, for a run that was complete before."""
    started: list[int] = []
    todo = ((str(i), Known.DONE) for i in range(200))
    assert len(list(crew.outcomes(lambda: started.append(1), 2, todo, ordered=True))) == 200  # type: ignore[arg-type,return-value]
    assert started == []


def test_workers_that_never_live_are_no_item_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches ten million error rows because a package is missing on the machines, and a loop without end."""
    theatre = Theatre(0, poison=frozenset(range(1000)))
    with pytest.raises(ToolkitError, match=f"a worker process died, {MOST_LOSSES} times in a row"):
        played(theatre, monkeypatch, n_items=1000, ordered=True)


class Slow(Scripted):
    """A worker that takes longer for item 0 than all others for everything they are given."""

    @property
    def can_act(self) -> bool:
        others = [each for each in self.theatre.alive if each is not self]
        waits = bool(self.given) and 0 in self.given[0][0] and any(Scripted.can_act.fget(each) for each in others)  # type: ignore[attr-defined]
        return super().can_act and not waits


@pytest.mark.parametrize("ordered", [True, False])
def test_a_slow_item_holds_up_others_only_where_order_is_kept(monkeypatch: pytest.MonkeyPatch, ordered: bool) -> None:
    """Catches a ten-hour recording behind which all other cores idle, and memory that grows while it is waited for."""
    theatre, taken = Theatre(0), count()
    monkeypatch.setattr(theatre, "start", lambda: theatre.alive.append(Slow(theatre)) or theatre.alive[-1])
    monkeypatch.setattr(crew, "wait", theatre.wait)
    rows = crew.outcomes(theatre.start, 2, ((str(next(taken)), i) for i in range(500)), ordered=ordered)
    names = [name for name, _ in rows]
    place = names.index("0")
    assert len(set(names)) == 500
    assert (place == 0) if ordered else (place >= 500 - 2 * AHEAD * MOST_BUNDLED)
    assert sum(theatre.begun.values()) == 500


def test_what_is_begun_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches items taken far ahead of whoever takes the rows."""
    theatre, taken = Theatre(1), count()
    monkeypatch.setattr(crew, "wait", theatre.wait)
    rows = crew.outcomes(theatre.start, 2, ((str(next(taken)), i) for i in range(10_000)), ordered=True)
    next(rows)
    rows.close()
    assert next(taken) <= 2 * WINDOW + 2


def test_workers_that_cannot_even_begin_are_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches minutes of starting processes that cannot import what they need, and a reason that is not told."""
    started = count(1)

    class Stillborn(Scripted):
        def __init__(self, theatre: Theatre) -> None:
            super().__init__(theatre)
            self.ready.set_exception(Died(f"traceback\nModuleNotFoundError: {next(started)}\n"))

    theatre = Theatre(0)
    monkeypatch.setattr(theatre, "start", lambda: theatre.alive.append(Stillborn(theatre)) or theatre.alive[-1])
    with pytest.raises(ToolkitError, match="3 times in a row: ModuleNotFoundError: "):
        played(theatre, monkeypatch, n_items=9, ordered=True)
    assert next(started) <= 3 + 3
