from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from audio.errors import EngineError, UsageError
from audio.labels import FAKE, HYBRID, LABELS, REAL
from audio.manifest import Clip
from synth.codecs import Coding
from synth.engines.command import CommandEngine
from synth.planning import FOREIGN, IN_PLACE, KINDS, PLAIN
from synth.recipe import DEV, TEST, TEST_UNSEEN, TRAIN, ClipPlan, Recipe, plan_set, split_sizes
from synth.shelf import EXCERPT_SAMPLES, SPARE, Shelf, divide_voices, split_generators, split_speakers
from synth.takes import GENUINE, RECORDED, SPOKEN, TWIN, Take

SPEAKERS = ("ada", "ben", "cleo", "dan")
VOICES = [
    Clip(f"{speaker}/{k}.wav", REAL, n_samples=8_000 + 9_000 * k, speaker=speaker, language="en", codec="g722")
    for speaker in SPEAKERS
    for k in range(20)
]
LONGEST = 8_000 + 9_000 * 19
RECIPE = Recipe(240, 5, dev_speakers=("ben",), test_speakers=("cleo",))


def fakes(generator: str, *, count: int = 20, n_samples: int = 20_000, source: str = "") -> list[Clip]:
    return [
        Clip(f"{generator}/{k}.wav", FAKE, n_samples=n_samples, generator=generator, source_clip=source.format(k))
        for k in range(count)
    ]


def fake_takes(plan: ClipPlan) -> list[Take]:
    return [take for take in plan.takes if take.kind != GENUINE]


def untreated(takes: tuple[Take, ...]) -> list[Take]:
    return [take.untreated for take in takes]


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
        heard.setdefault(part, set()).update(take.path for take in plan.takes)
        voices.setdefault(part, set()).update({plan.speaker, *(take.speaker for take in plan.takes)})
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


def test_sides_are_what_the_class_says() -> None:
    """Catches a real clip with a fake take, a fake one with a genuine take, a hybrid without either."""
    directions = Counter()
    for plan in plan_set(RECIPE, VOICES):
        base = {take.kind == GENUINE for take in plan.base}
        spans = {take.kind == GENUINE for take in (*plan.twins, *plan.others)}
        assert base == {not plan.base_fake}
        assert spans <= {not plan.span_fake}
        expected = {REAL: {(False, False)}, FAKE: {(True, True)}, HYBRID: {(False, True), (True, False)}}
        assert (plan.base_fake, plan.span_fake) in expected[plan.label]
        directions[plan.base_fake, plan.span_fake] += plan.label == HYBRID
    assert min(directions[False, True], directions[True, False]) > 25


def test_twins_copy_the_same_excerpts() -> None:
    for plan in plan_set(RECIPE, VOICES):
        assert bool(plan.twins) == (plan.shape.kind == IN_PLACE)
        assert bool(plan.others) == (plan.shape.kind == FOREIGN)
        for base, twin in zip(plan.base, plan.twins, strict=bool(plan.twins)):
            assert (base.path, base.onset, base.offset) == (twin.path, twin.onset, twin.offset)
            assert {base.kind, twin.kind} <= {GENUINE, TWIN}
            assert (base.kind == twin.kind) == (plan.label != HYBRID)


def test_at_least_half_of_hybrids_are_in_place_and_shapes_are_shared() -> None:
    """Catches a kind of splice that tells the class; plain clips are the one exception, and no hybrid is plain."""
    plans = plan_set(replace(RECIPE, n_clips=1_800), VOICES)
    kinds = {label: Counter(p.shape.kind for p in plans if p.label == label) for label in LABELS}
    assert kinds[HYBRID][IN_PLACE] >= 0.5 * kinds[HYBRID].total()
    assert kinds[HYBRID][PLAIN] == 0
    for label in LABELS:
        in_place, foreign = kinds[label][IN_PLACE], kinds[label][FOREIGN]
        assert in_place / (in_place + foreign) == pytest.approx(0.6, abs=0.06)
    for label in LABELS:
        group = [p for p in plans if p.label == label]
        assert np.mean([p.shape.n_samples for p in group]) == pytest.approx(87_000, rel=0.03)
        assert np.mean([p.shape.speech_share[0] < 0.1 for p in group]) == pytest.approx(0.5, abs=0.06)


def test_spans_of_the_same_side_are_always_treated() -> None:
    """Catches decoys that are the recording itself, and treatments that tell the class."""
    plans = plan_set(replace(RECIPE, n_clips=900), VOICES, codings=[Coding("mp3", 64)])
    shares = {}
    for label in LABELS:
        twins = [p.twins[0].treatment for p in plans if p.label == label and p.twins]
        others = [p.others[0].treatment for p in plans if p.label == label and p.others]
        shares[label] = np.mean([treatment is not None for treatment in others])
        treated = np.mean([treatment is not None for treatment in twins])
        assert treated == (1.0 if label != HYBRID else pytest.approx(0.5, abs=0.12))
    assert shares == pytest.approx(dict.fromkeys(LABELS, 0.5), abs=0.15)
    assert all(take.treatment is None for plan in plans for take in plan.base)


def test_other_words_come_from_the_same_and_from_other_speakers() -> None:
    """Catches splices that are always the same person, or always a stranger."""
    voices = [replace(clip, speaker=f"{clip.speaker}{k % 2}") for k, clip in enumerate(VOICES)]
    recipe = replace(RECIPE, n_clips=600, dev_speakers=("ben0", "ben1"), test_speakers=("cleo0", "cleo1"))
    same = {True: 0, False: 0}
    for plan in plan_set(recipe, voices):
        for take in plan.others:
            same[take.speaker == plan.speaker] += 1
    assert min(same.values()) > 30


def test_takes_fill_the_clip_and_something_to_spare() -> None:
    for plan in plan_set(RECIPE, VOICES):
        lengths = [take.n_samples for take in plan.base]
        assert sum(lengths[:-1]) < SPARE * plan.shape.n_samples <= sum(lengths) + 1
        assert 48_000 <= plan.shape.n_samples <= LONGEST / SPARE
        assert max(lengths) <= EXCERPT_SAMPLES
        assert len(set(plan.base)) == len(plan.base)
        assert len(plan.base) == 1 or plan.shape.kind != PLAIN


def test_lengths_do_not_tell_plain_clips_from_spliced_ones() -> None:
    """Catches long clips that always have joins, because one recording is too short for them."""
    plans = plan_set(replace(RECIPE, n_clips=1_800), VOICES, fakes=fakes("tts", n_samples=70_000))
    for label in (REAL, FAKE):
        group = [plan for plan in plans if plan.label == label]
        lengths = {kind: [p.shape.n_samples for p in group if p.shape.kind == kind] for kind in KINDS}
        assert np.mean(lengths[PLAIN]) == pytest.approx(np.mean(lengths[IN_PLACE] + lengths[FOREIGN]), rel=0.06)
    singles = [len(plan.base) == 1 for plan in plans if plan.shape.kind != PLAIN and plan.generator != "tts"]
    assert 0.5 < np.mean(singles) < 0.95


def test_real_clips_hear_what_the_others_hear() -> None:
    """Catches speakers that only fakes have: a generator that copies one voice only must not give it away."""
    copied = [
        Clip(f"hifi/{voice.path}", FAKE, n_samples=voice.n_samples, generator="hifi", source_clip=voice.path)
        for voice in VOICES
        if int(voice.path.split("/")[1].split(".")[0]) % 2
    ]
    plans = plan_set(replace(RECIPE, engines=(), held_out=()), VOICES, fakes=copied)
    for label in LABELS:
        paths = {take.path.removeprefix("hifi/") for p in plans if p.label == label for take in p.base}
        assert all(int(path.split("/")[1].split(".")[0]) % 2 for path in paths)


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
    pairs = [pair for plan in plans for pair in zip(plan.base, plan.twins, strict=bool(plan.twins))]
    assert pairs
    for base, twin in pairs:
        genuine, fake = (base, twin) if base.kind == GENUINE else (twin, base)
        assert (fake.kind, fake.path) == (RECORDED, f"hifi/{genuine.path}")
    readings = [replace(twin, n_samples=twin.n_samples + 5_000) for twin in twins]
    assert not any(plan.twins for plan in plan_set(recipe, VOICES, fakes=readings) if plan.label == HYBRID)


def test_fakes_without_twins_are_divided_among_the_splits() -> None:
    recipe = replace(RECIPE, engines=(), held_out=())
    heard: dict[str, set[str]] = {}
    for plan in plan_set(recipe, VOICES, fakes=fakes("tts")):
        heard.setdefault(plan.split, set()).update(take.path for take in fake_takes(plan))
    assert not heard[TRAIN] & heard[DEV]
    assert not heard[TRAIN] & heard[TEST]
    assert not heard[DEV] & heard[TEST]


def test_codec_past_is_asked_of_fakes_that_have_none() -> None:
    recipe = replace(RECIPE, engines=(), held_out=())
    bare, coded = fakes("tts"), [replace(clip, codec="mp3") for clip in fakes("tts")]
    for given, expected in ((bare, {"g722"}), (coded, {""})):
        takes = [take for plan in plan_set(recipe, VOICES, fakes=given) for take in fake_takes(plan)]
        assert {take.codec for take in takes} == expected


def test_spoken_fakes_have_texts_in_the_language() -> None:
    plans = [p for p in plan_set(replace(RECIPE, engines=("espeak",), held_out=()), VOICES) if p.label == FAKE]
    takes = [take for plan in plans for take in plan.takes]
    assert all(take.kind == SPOKEN and take.language == "en" and take.text for take in takes)
    french = [replace(clip, language="fr") for clip in VOICES]
    for name, language in (("espeak", "fr"), ("flite", "en")):
        plans = plan_set(replace(RECIPE, engines=(name,), held_out=()), french)
        assert {take.language for plan in plans for take in fake_takes(plan)} == {language}


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
        ({"clip_s": (5.0, 3.0)}, "clip_s: expected 1 <= shortest <= longest, received 5 and 3"),
        ({"span_s": (0.01, 3.0)}, "span_s: expected 0.05 <= shortest"),
        ({"max_spans": 0}, "spans in a clip: expected at least 1"),
    ],
)
def test_recipes_that_cannot_be_made(changes: dict[str, object], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        plan_set(replace(RECIPE, **changes), VOICES)  # type: ignore[arg-type]


def test_too_few_speakers() -> None:
    with pytest.raises(UsageError, match="expected at least 3, one each for train, dev and test, received 2"):
        plan_set(Recipe(9, 1), [clip for clip in VOICES if clip.speaker in ("ada", "ben")])


def test_unknown_codec_past() -> None:
    with pytest.raises(EngineError, match=r"codec: expected one of .* received 'dts'"):
        plan_set(RECIPE, [replace(clip, codec="dts") for clip in VOICES])


def given_splits() -> list[Clip]:
    splits = {"ada": TRAIN, "ben": DEV, "cleo": TEST, "dan": ""}
    return [replace(clip, split=splits[clip.speaker]) for clip in VOICES]


def test_splits_of_the_manifest_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    """Catches a corpus whose own test speakers are trained on."""
    recipe = replace(RECIPE, dev_speakers=(), test_speakers=())
    for plan in plan_set(recipe, given_splits()):
        assert plan.speaker == {TRAIN: "ada", DEV: "ben"}.get(plan.split, "cleo")
    assert "left out: 20 recordings without a split" in caplog.text


def test_a_speaker_in_two_splits_stays_in_the_larger_one(caplog: pytest.LogCaptureFixture) -> None:
    voices = [replace(c, split=TEST) if c.path in ("ada/0.wav", "ada/1.wav") else c for c in given_splits()]
    parts = divide_voices(replace(RECIPE, dev_speakers=(), test_speakers=()), voices)
    assert {clip.speaker for clip in parts[TEST]} == {"cleo"}
    assert "left out: 22 recordings" in caplog.text


def test_generators_with_splits_of_their_own_stay_there() -> None:
    """Catches a generator of the test split that training has heard."""
    given = [replace(clip, split=split) for split in (TRAIN, DEV, TEST) for clip in fakes(f"tts-{split}")]
    recipe = replace(RECIPE, dev_speakers=(), test_speakers=(), engines=("world",))
    shelf = Shelf(recipe, given_splits(), given)
    assert shelf.generators[TRAIN] == ("tts-train", "world")
    assert shelf.generators[DEV] == ("tts-dev",)
    assert shelf.generators[TEST] == ("tts-test",)
    assert shelf.generators[TEST_UNSEEN] == ("lpc",)
    assert shelf.generators_for(TRAIN, twins=True) == ("world",)
    assert shelf.generators_for(DEV, twins=True) == ()


def test_engines_of_ones_own_are_used_like_the_others() -> None:
    command = CommandEngine("mytts", ("mytts", "--text", "{text}", "--out", "{wav}"))
    plans = plan_set(replace(RECIPE, engines=(), commands=(command,)), VOICES)
    spoken = [take for plan in plans if plan.split == TRAIN for take in fake_takes(plan)]
    assert {(take.kind, take.generator) for take in spoken} == {(SPOKEN, "mytts")}


def test_recipe_survives_json() -> None:
    command = CommandEngine("mytts", ("mytts", "{wav}"))
    recipe = replace(RECIPE, commands=(command,), span_s=(0.2, 1.0))
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    with pytest.raises(UsageError, match="unknown entry colour"):
        Recipe.from_json({"n_clips": 1, "seed": 1, "colour": "red"})
    with pytest.raises(UsageError, match="recipe: "):
        Recipe.from_json({"seed": 1})


def test_a_generator_with_more_turns_comes_more_often() -> None:
    recipe = replace(RECIPE, engines=("world", "lpc"), held_out=(), turns=(("lpc", 3),))
    train = [plan for plan in plan_set(recipe, VOICES) if plan.split == TRAIN and plan.label == HYBRID]
    counts = Counter(plan.generator for plan in train)
    assert counts["lpc"] == pytest.approx(3 * counts["world"], abs=3)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"turns": (("lpc", 0),)}, "turns: expected whole numbers of 1 or more, received lpc = 0"),
        ({"turns": (("lpc", 1.5),)}, "received lpc = 1.5"),
        ({"channel_share": 1.5}, "channel_share: expected 0 to 1, received 1.5"),
    ],
)
def test_turns_and_shares_that_cannot_be(given: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        replace(RECIPE, **given)


def test_turns_of_an_unknown_generator_are_told() -> None:
    with pytest.raises(UsageError, match="turns: expected generators in use, received hifi-gan"):
        plan_set(replace(RECIPE, turns=(("hifi-gan", 2),)), VOICES)


@pytest.mark.parametrize(("power", "expected"), [(0.0, 0.1), (0.5, 0.25), (1.0, 0.5)])
def test_speakers_with_more_speech_come_more_often_where_the_recipe_says_so(power: float, expected: float) -> None:
    """Nine speakers with one part of the speech each, and one with nine: a tenth, a quarter or half of the clips."""
    sixty = [replace(clip, n_samples=96_000, split=TRAIN) for clip in VOICES[:54]]
    voices = [replace(clip, path=f"few/{k}.wav", speaker=f"few {k % 9}") for k, clip in enumerate(sixty)]
    voices += [replace(clip, path=f"many/{k}.wav", speaker="many") for k, clip in enumerate(sixty)]
    for split, speaker in ((DEV, "eve"), (TEST, "fay")):
        voices += [replace(c, path=f"{split}/{c.path}", split=split, speaker=speaker) for c in VOICES[:5]]
    recipe = replace(RECIPE, dev_speakers=(), test_speakers=(), speech_power=power)
    train = [plan for plan in plan_set(recipe, voices) if plan.split == TRAIN]
    assert sum(plan.speaker == "many" for plan in train) / len(train) == pytest.approx(expected, abs=0.08)
