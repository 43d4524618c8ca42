"""Divisions of a set: who must not meet whom, and that nothing but the names decides."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.errors import UsageError
from audio.labels import FAKE, HYBRID, LABELS, REAL
from audio.manifest import Clip
from model.training.splits import GROUPED, KINDS, LEAKY, OWN, Division, divide, generators, speakers


def clip(number: int, label: str, speaker: str, generator: str = "", guest: str = "") -> Clip:
    sources = tuple({"path": "x", "speaker": name} for name in (speaker, guest) if name)
    return Clip(f"{number}.wav", label, n_samples=16_000, speaker=speaker, generator=generator, sources=sources)


def a_set(n_speakers: int, n_generators: int) -> list[Clip]:
    """Each speaker once as found, and twice by each generator: whole and in part."""
    made: list[Clip] = []
    for s in range(n_speakers):
        made.append(clip(len(made), REAL, f"s{s}"))
        for g in range(n_generators):
            made += [clip(len(made) + i, label, f"s{s}", f"g{g}") for i, label in enumerate((FAKE, HYBRID))]
    return made


def by_split(clips: tuple[Clip, ...]) -> dict[str, list[Clip]]:
    return {name: [each for each in clips if each.split == name] for name in ("train", "dev", "test")}


@given(st.integers(3, 9), st.integers(3, 6), st.integers(0, 3), st.data())
@settings(max_examples=60, deadline=None)
def test_grouped_folds_share_neither_speakers_nor_generators(n_speakers, n_generators, seed, data):
    folds = data.draw(st.integers(3, min(n_speakers, n_generators)))
    fold = data.draw(st.integers(0, folds - 1))
    clips = a_set(n_speakers, n_generators)
    found = by_split(divide(clips, Division(GROUPED, folds, fold), seed=seed))
    for names in (speakers, generators):
        heard = [frozenset().union(*map(names, each)) for each in found.values()]
        assert sum(map(len, heard)) == len(frozenset().union(*heard))
    assert {each.label for each in found["test"]} == set(LABELS)


def test_a_guest_of_another_fold_keeps_a_clip_out():
    clips = a_set(3, 3)
    voices = {each.split: each.speaker for each in divide(clips, Division(GROUPED, 3), seed=0)}
    guest = clip(len(clips), REAL, voices["train"], guest=voices["test"])
    paths = {each.path for each in divide([*clips, guest], Division(GROUPED, 3), seed=0)}
    assert guest.path not in paths


@pytest.mark.parametrize("kind", [GROUPED, LEAKY])
def test_each_clip_tests_at_most_once_and_drawn_ones_exactly_once(kind):
    clips = a_set(6, 3)
    tested = Counter(
        each.path
        for fold in range(3)
        for each in divide(clips, Division(kind, 3, fold), seed=1)
        if each.split == "test"
    )
    assert max(tested.values()) == 1
    assert kind == GROUPED or len(tested) == len(clips)


def test_the_naive_split_is_naive_and_keeps_the_shares_of_classes():
    found = by_split(divide(a_set(10, 5), Division(LEAKY), seed=0))
    assert {each.speaker for each in found["test"]} <= {each.speaker for each in found["train"]}
    counts = Counter(each.label for each in found["test"])
    assert (counts[REAL], counts[FAKE], counts[HYBRID]) == (2, 10, 10)


def test_voices_that_one_generator_alone_has_stay_with_it():
    own = [clip(i, FAKE, f"voice{i % 6}", f"g{i % 6}") for i in range(60)]
    clips = [*own, *(clip(60 + i, REAL, f"s{i}") for i in range(12))]
    assert len(divide(clips, Division(GROUPED, 3), seed=0)) == len(clips)


@pytest.mark.parametrize("kind", [GROUPED, LEAKY])
def test_order_makes_no_difference_and_the_seed_does(kind):
    clips, division = a_set(7, 4), Division(kind, 4)

    def splits(given, seed):
        return {each.path: each.split for each in divide(given, division, seed=seed)}

    assert splits(clips, 0) == splits(clips[::-1], 0)
    assert len({tuple(sorted(splits(clips, seed).items())) for seed in range(5)}) > 1


def test_folds_get_about_as_many_clips_of_each_class():
    # One speaker has most of the recordings: the others must make up for it.
    clips = [clip(i, REAL, "s0" if i < 20 else f"s{i % 10 + 1}") for i in range(60)]
    clips += [clip(60 + i, FAKE, "s1", f"g{i % 3}") for i in range(9)]
    found = by_split(divide(clips, Division(GROUPED, 3), seed=0))
    assert [sum(each.label == REAL for each in part) for part in found.values()] == pytest.approx([20, 20, 20], abs=4)


def test_own_splits_stay():
    clips = a_set(2, 1)
    assert divide(clips, Division(), seed=0) == tuple(clips)
    assert Division().kind == OWN == KINDS[0]


@pytest.mark.parametrize(
    ("clips", "words"),
    [
        (a_set(2, 3), "speakers. Received: 2"),
        (a_set(3, 2), "generators. Received: 2"),
        ([*a_set(3, 3), clip(99, REAL, "")], "names its speakers. 1 real clips have none"),
    ],
)
def test_a_set_that_cannot_be_grouped_is_refused(clips, words):
    with pytest.raises(UsageError, match=words):
        divide(clips, Division(GROUPED, 3), seed=0)


def test_too_few_clips_of_a_class_to_draw_from_are_refused():
    with pytest.raises(UsageError, match=r"at least 5 real clips\. Received: 3"):
        divide(a_set(3, 3), Division(LEAKY, 5), seed=0)


@pytest.mark.parametrize("broken", [{"kind": "random"}, {"folds": 2}, {"fold": 5}, {"fold": -1}])
def test_divisions_that_divide_nothing_are_refused(broken):
    with pytest.raises(UsageError, match="expected"):
        Division(**broken)
