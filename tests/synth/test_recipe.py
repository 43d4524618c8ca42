from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from audio.errors import EngineError, UsageError
from audio.labels import FAKE, HYBRID, REAL
from audio.manifest import Clip
from synth.recipe import (
    DEV,
    EXCERPT_SAMPLES,
    TEST,
    TEST_UNSEEN,
    TRAIN,
    Recipe,
    plan_set,
    split_generators,
    split_sizes,
    split_speakers,
)
from synth.takes import GENUINE, RECORDED, SPOKEN, TWIN

SPEAKERS = ("ada", "ben", "cleo", "dan")
VOICES = [
    Clip(f"{speaker}/{k}.wav", REAL, n_samples=8_000 + 9_000 * k, speaker=speaker, language="en", codec="g722")
    for speaker in SPEAKERS
    for k in range(20)
]
RECIPE = Recipe(240, 5, dev_speakers=("ben",), test_speakers=("cleo",))


def fakes(generator: str, *, count: int = 20, n_samples: int = 20_000, source: str = "") -> list[Clip]:
    return [
        Clip(f"{generator}/{k}.wav", FAKE, n_samples=n_samples, generator=generator, source_clip=source.format(k))
        for k in range(count)
    ]


def test_classes_and_splits_have_their_shares() -> None:
    plans = plan_set(RECIPE, VOICES)
    assert Counter(plan.split for plan in plans) == {TRAIN: 183, DEV: 19, TEST: 19, TEST_UNSEEN: 19}
    for split in (TRAIN, DEV, TEST, TEST_UNSEEN):
        assert set(Counter(plan.label for plan in plans if plan.split == split).values()) <= {61, 7, 6}
    assert len({plan.path for plan in plans}) == 240


def test_a_large_set_has_a_large_test_split() -> None:
    assert split_sizes(Recipe(1_200, 1))[TEST] >= 90
    assert split_sizes(Recipe(1_200, 1)) == {TRAIN: 912, DEV: 96, TEST: 96, TEST_UNSEEN: 96}
    assert split_sizes(Recipe(1, 1)) == {TRAIN: 1, DEV: 0, TEST: 0, TEST_UNSEEN: 0}
    assert split_sizes(Recipe(100, 1, held_out=())) == {TRAIN: 84, DEV: 8, TEST: 8, TEST_UNSEEN: 0}


def test_no_speaker_and_no_recording_in_two_splits() -> None:
    """Catches a leak: a voice, or a recording, that training has heard."""
    heard: dict[str, set[str]] = {}
    voices: dict[str, set[str]] = {}
    for plan in plan_set(replace(RECIPE, dev_speakers=(), test_speakers=()), VOICES):
        part = TEST if plan.split == TEST_UNSEEN else plan.split
        heard.setdefault(part, set()).update(take.path for take in (*plan.genuine, *plan.fake))
        voices.setdefault(part, set()).add(plan.speaker)
    for group in (heard, voices):
        assert not group[TRAIN] & group[DEV]
        assert not group[TRAIN] & group[TEST]
        assert not group[DEV] & group[TEST]


def test_held_out_generators_are_only_in_test_unseen() -> None:
    plans = plan_set(RECIPE, VOICES)
    trained = {"", "world", "griffin-lim"}
    for split, expected in {TRAIN: trained, DEV: trained, TEST: trained, TEST_UNSEEN: {"", "lpc"}}.items():
        assert {plan.generator for plan in plans if plan.split == split} == expected
    assert all((plan.generator == "") == (plan.label == REAL) for plan in plans)


def test_many_generators_are_divided() -> None:
    names = [f"g{k}" for k in range(6)]
    split = split_generators(RECIPE, names)
    assert sorted(len(split[name]) for name in (TRAIN, DEV, TEST)) == [1, 1, 4]
    assert sorted((*split[TRAIN], *split[DEV], *split[TEST])) == names
    assert split_generators(RECIPE, names[:5])[DEV] == tuple(names[:5])


def test_twins_copy_the_same_excerpts() -> None:
    for plan in plan_set(RECIPE, VOICES):
        assert all(take.kind == GENUINE for take in plan.genuine)
        assert plan.twins == (plan.label != REAL)
        if plan.twins:
            pairs = zip(plan.genuine, plan.fake, strict=True)
            assert all(replace(g, kind=TWIN, generator=plan.generator) == f for g, f in pairs)


def test_takes_fill_the_clip_and_leave_one_for_other_words() -> None:
    for plan in plan_set(RECIPE, VOICES):
        lengths = [take.n_samples for take in plan.genuine]
        assert sum(lengths[:-2]) < plan.n_samples <= sum(lengths[:-1])
        assert 48_000 <= plan.n_samples < 96_000
        assert max(lengths) <= EXCERPT_SAMPLES
        assert len(set(plan.genuine)) == len(plan.genuine)


def test_plans_depend_on_seed_and_index_alone() -> None:
    """Catches randomness that runs on from clip to clip: a longer set would change its first clips."""
    first = [plan for plan in plan_set(replace(RECIPE, n_clips=60), VOICES) if plan.split == TRAIN]
    longer = {plan.index: plan for plan in plan_set(RECIPE, VOICES) if plan.split == TRAIN}
    assert all(longer[plan.index] == plan for plan in first)
    assert plan_set(RECIPE, VOICES) == plan_set(RECIPE, list(VOICES))
    assert plan_set(replace(RECIPE, seed=6), VOICES) != plan_set(RECIPE, VOICES)


def test_recorded_twins_need_nearly_equal_lengths() -> None:
    """Catches another reading of the same text taken for a copy with the same timing."""
    twins = [
        Clip(f"hifi/{voice.path}", FAKE, n_samples=voice.n_samples, generator="hifi", source_clip=voice.path)
        for voice in VOICES
    ]
    recipe = replace(RECIPE, engines=(), held_out=())
    plans = [plan for plan in plan_set(recipe, VOICES, fakes=twins) if plan.label == HYBRID]
    assert all(plan.twins and plan.fake[0].kind == RECORDED for plan in plans)
    assert all(f.path == f"hifi/{g.path}" for plan in plans for g, f in zip(plan.genuine, plan.fake, strict=True))
    readings = [replace(twin, n_samples=twin.n_samples + 5_000) for twin in twins]
    assert not any(plan.twins for plan in plan_set(recipe, VOICES, fakes=readings))


def test_fakes_without_twins_are_divided_among_the_splits() -> None:
    recipe = replace(RECIPE, engines=(), held_out=())
    heard: dict[str, set[str]] = {}
    for plan in plan_set(recipe, VOICES, fakes=fakes("tts")):
        heard.setdefault(plan.split, set()).update(take.path for take in plan.fake)
    assert not heard[TRAIN] & heard[DEV]
    assert not heard[TRAIN] & heard[TEST]
    assert not heard[DEV] & heard[TEST]


def test_codec_past_is_asked_of_fakes_that_have_none() -> None:
    recipe = replace(RECIPE, engines=(), held_out=())
    bare, coded = fakes("tts"), [replace(clip, codec="mp3") for clip in fakes("tts")]
    for given, expected in ((bare, {"g722"}), (coded, {""})):
        takes = [take for plan in plan_set(recipe, VOICES, fakes=given) for take in plan.fake]
        assert {take.codec for take in takes} == expected


def test_spoken_fakes_have_texts_in_the_language() -> None:
    plans = [p for p in plan_set(replace(RECIPE, engines=("espeak",), held_out=()), VOICES) if p.label == FAKE]
    assert all(take.kind == SPOKEN and take.language == "en" and take.text for plan in plans for take in plan.fake)
    assert not any(plan.twins for plan in plans)


def test_speakers_are_drawn_when_they_are_not_named() -> None:
    drawn = {split_speakers(Recipe(9, seed), SPEAKERS)[TEST] for seed in range(20)}
    assert len(drawn) > 1
    split = split_speakers(Recipe(9, 1), [f"s{k:02d}" for k in range(40)])
    assert [len(split[name]) for name in (TRAIN, DEV, TEST)] == [34, 3, 3]
    assert split[TEST_UNSEEN] == split[TEST]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"n_clips": 0}, "clips and seed"),
        ({"seed": -1}, "clips and seed"),
        ({"engines": ("wolrd",)}, "engines: expected some of world"),
        ({"held_out": ("world",)}, "held out: expected no generator that is also trained on, received world"),
        ({"held_out": ("hifigan",)}, "held out: expected some of .* received hifigan"),
        ({"dev_speakers": ("cleo",)}, "both dev and test, received cleo"),
        ({"dev_speakers": ("zoe",)}, "speakers: expected some of ada, ben, cleo, dan, received zoe"),
        ({"dev_speakers": ("ada", "ben", "dan")}, "speakers: none left for train"),
        ({"engines": (), "held_out": ()}, "generators: expected at least one"),
    ],
)
def test_recipes_that_cannot_be_made(changes: dict[str, object], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        plan_set(replace(RECIPE, **changes), VOICES)  # type: ignore[arg-type]


def test_too_few_speakers() -> None:
    with pytest.raises(UsageError, match="expected at least 3, one each for train, dev and test, received 2"):
        plan_set(Recipe(9, 1), [clip for clip in VOICES if clip.speaker in ("ada", "ben")])


def test_unknown_codec_past() -> None:
    with pytest.raises(EngineError, match=r"codec: expected one of .* received 'gsm'"):
        plan_set(RECIPE, [replace(clip, codec="gsm") for clip in VOICES])
