"""Names on disk, beside a dict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.names import Names, names

TEXT = st.text(st.characters(), max_size=6)
"""Any text; with lone surrogates, as Python reads file names that are no UTF-8."""


@given(st.lists(st.tuples(TEXT, st.integers(-(2**62), 2**62), st.booleans()), max_size=40))
def test_it_is_a_dict_that_keeps_the_first_place(steps: list[tuple[str, int, bool]]) -> None:
    """Catches a name that is taken twice, order that is lost, and a value that `add` overwrites or `put` does not."""
    plain: dict[str, int] = {}
    with names() as found:
        for name, value, is_put in steps:
            if is_put:
                found.put(name, value)
                plain[name] = value
            else:
                assert found.add(name, value) == (name not in plain)
                plain.setdefault(name, value)
        assert (list(found), len(found)) == (list(plain), len(plain))
        assert {name: found[name] for name in found} == plain
        assert ("\0 not there" in found, found.get("\0 not there")) == (False, None)


def test_a_name_that_is_not_there() -> None:
    with names() as found, pytest.raises(KeyError, match="a"):
        found["a"]


def test_names_that_differ_by_case_or_form_are_two() -> None:
    """Catches a database that compares as people do: files `A` and `a` are two, and so are two forms of an umlaut."""
    given_ = ["a", "A", "\u00fc", "u\u0308", "a ", "1", "1.0"]
    with names() as found:
        assert [found.add(name) for name in given_] == [True] * len(given_)


def test_two_lots_know_nothing_of_each_other() -> None:
    first, second = Names(), Names()
    first.add("a")
    assert "a" not in second
    first.close()
    second.close()
