"""Parts of a set: which there are, in which order, and against what they are ranked."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_judged import HOP, made_up

from audio.labels import FAKE, HYBRID, LABELS, REAL
from audio.manifest import Clip
from audio.segments import SAMPLE_RATE, Segment
from model.evaluation import breakdown
from model.evaluation.breakdown import FEWEST_CLIPS, KEYS, MOST_GENERATORS, MOST_VALUES, Breakdown, break_down
from model.evaluation.figures import Figure, Operating, find, sample, summarise
from model.evaluation.judged import Judged

ELSEWHERE = Operating("dev", clip_threshold=0.6, frame_threshold=0.55)


def parts(judged, operating=ELSEWHERE) -> dict[str, dict[str, dict[str, Figure]]]:
    """Figures by property, value and key, in order; all must be JSON."""
    found = break_down(sample(judged, n_resamples=20), operating)
    json.dumps([each.to_json() for each in found], allow_nan=False)
    assert len({each.name for each in found}) == len(found)
    return {each.name: {part.value: {f.key: f for f in part.figures} for part in each.parts} for each in found}


def clips(values: dict[str, int], *, label: str = REAL, **facts) -> list[Judged]:
    """So many clips of each value of the trait `x`."""
    return [
        Judged(Clip(f"{label}/{value}/{i}.wav", label, traits={"x": value}), 16_000, score=0.5, label=REAL, **facts)
        for value, count in values.items()
        for i in range(count)
    ]


def with_facts(judged, **facts) -> list[Judged]:
    """Give the i-th clip the i-th value of each fact, in turn."""
    clip_facts = {"codec", "language", "channel", "traits", "split", "generator"}
    changed = []
    for i, each in enumerate(judged):
        own = {key: values[i % len(values)] for key, values in facts.items()}
        clip = replace(each.clip, **{key: value for key, value in own.items() if key in clip_facts})
        changed.append(replace(each, clip=clip, **{k: v for k, v in own.items() if k not in clip_facts}))
    return changed


def test_a_generator_is_ranked_against_all_real_clips():
    """Catches parts of fakes alone, for which every EER is undefined, and real clips that dilute the accuracy."""
    judged = made_up()
    found = parts(judged)["generator"]
    assert list(found) == ["engine 0", "engine 1"]
    for name, figures in found.items():
        own = [each for each in judged if each.clip.generator == name]
        against = summarise(sample([*own, *(e for e in judged if e.clip.label == REAL)], n_resamples=20))
        for key in ("clip_eer", "segment_eer_20ms"):
            assert figures[key].value == pytest.approx(find(against, key)), key
        assert figures["clip_eer"].n == sum(e.score is not None and (e in own or e.clip.label == REAL) for e in judged)
        assert figures["accuracy"].value == np.mean([each.label == each.clip.label for each in own])
        assert figures["accuracy"].n == len(own)
        missed = [each.score < 0.6 for each in own if each.score is not None]
        assert (figures["fnr"].value, figures["fnr"].n) == (np.mean(missed), len(missed))
        assert (figures["fpr"].value, figures["fpr"].n) == (None, 0)


def test_a_part_with_real_clips_stands_for_itself():
    """Catches a language's fakes ranked against the real clips of all languages."""
    judged = with_facts(made_up(), language=("de", "de", "de", "en", "en", "en"))
    found = parts(judged)["language"]
    for language, figures in found.items():
        own = summarise(sample([e for e in judged if e.clip.language == language], n_resamples=20), ELSEWHERE)
        for key in KEYS:
            assert figures[key].value == pytest.approx(find(own, key)), key


def test_a_part_has_the_figures_that_its_clips_allow_in_one_order():
    """Catches columns that differ from part to part, and thresholds nobody gave."""
    for figures in parts(made_up())["generator"].values():
        assert tuple(figures) == KEYS
    for figures in parts(made_up(), None)["generator"].values():
        assert tuple(figures) == KEYS[:3]
    spoken = [replace(each, score=None, frame_scores=None) for each in made_up()]
    for figures in parts(spoken)["generator"].values():
        assert tuple(figures) == ("accuracy",)
    scored = [replace(each, label=None, probabilities=None, frame_scores=None) for each in made_up()]
    for figures in parts(scored)["generator"].values():
        assert tuple(figures) == ("clip_eer", "fpr", "fnr")


def test_small_parts_are_left_out():
    """Catches figures of four clips, a property of one part, and unknown values taken for one."""
    assert FEWEST_CLIPS == 5
    assert list(parts(clips({"a": 5, "b": 4, "c": 6, "": 9}))["x"]) == ["a", "c"]
    assert "x" not in parts(clips({"a": 5, "b": 4}))
    assert "x" not in parts(clips({"a": 5, "": 50}))
    assert parts([]) == {}


def test_names_are_no_properties():
    """Catches a table of 61 texts or file names, and a data set of 61 generators without its table."""
    many = {f"value {i}": 5 for i in range(MOST_VALUES + 1)}
    assert "x" not in parts(clips(many))
    assert "x" in parts(clips(dict(list(many.items())[1:])))
    fakes = with_facts(clips(many, label=FAKE), generator=[value for value, n in many.items() for _ in range(n)])
    assert len(parts(fakes)["generator"]) == MOST_VALUES + 1 < MOST_GENERATORS
    # One clip each is too few to be shown, yet tells that these are names.
    assert "x" not in parts(clips({**{str(i): 1 for i in range(MOST_VALUES)}, "often": 9, "seldom": 9}))


def test_traits_of_strangers_appear_under_their_own_names():
    """Catches properties that only we know of; known ones come first, under the names people know."""
    traits = [{"shoe size": str(i % 2), "style": "calm" if i % 2 else "angry", "kind": "tts"} for i in range(60)]
    found = parts(with_facts(made_up(), traits=traits))
    assert list(found) == ["generator", "expressiveness", "longest fake span", "shoe size"]
    assert list(found["expressiveness"]) == ["angry", "calm"]


def test_a_codec_is_what_the_channel_says_where_the_clip_does_not():
    """Catches clean clips of a built set that are unknown instead of without codec."""
    judged = with_facts(clips({"": 24}), channel=({"codec": "opus"}, {"codec": None}, None), codec=("", "", "", "g722"))
    counts = {value: figures["accuracy"].n for value, figures in parts(judged)["codec"].items()}
    assert counts == {"none": 6, "opus": 6, "g722": 6}


def test_bands_stand_in_the_order_of_their_numbers():
    """Catches "from 30 s" before "4 to 8 s", and edges that belong to the wrong band."""
    pitches, ratios = (119.9, 120.0, 164.0, 165.0, 210.0, None), (9.0, 10.0, 29.0, 30.0, 300.0, None)
    lengths = [round(s * SAMPLE_RATE) for s in (1.9, 2, 4, 8, 29.99, 30)]
    found = parts(with_facts(clips({"": 60}), pitch_hz=pitches, snr_db=ratios, n_samples=lengths), None)
    counts = {name: {value: f["accuracy"].n for value, f in values.items()} for name, values in found.items()}
    assert list(counts["pitch"].items()) == [
        ("below 120 Hz", 10),
        ("120 to 165 Hz", 20),
        ("165 to 210 Hz", 10),
        ("from 210 Hz", 10),
    ]
    assert list(counts["length"]) == ["below 2 s", "2 to 4 s", "4 to 8 s", "8 to 30 s", "from 30 s"]
    assert list(counts["length"].values()) == [10, 10, 10, 20, 10]
    assert list(counts["signal over noise"].items()) == [
        ("below 10 dB", 10),
        ("10 to 20 dB", 10),
        ("20 to 30 dB", 10),
        ("from 30 dB", 20),
    ]


def test_hybrids_are_told_apart_by_their_longest_fake_span():
    """Catches the sum or the first of the spans, and clips that are fake throughout among them."""
    spans = {"short": [(0, 3_000), (5_000, 8_000)], "long": [(0, 1_000), (2_000, 9_000)]}
    judged = [
        Judged(Clip(f"{name}{i}.wav", HYBRID, tuple(Segment(*s) for s in bounds), 16_000), 16_000, label=HYBRID)
        for name, bounds in spans.items()
        for i in range(6)
    ]
    judged += [Judged(Clip(f"fake{i}.wav", FAKE, (), 16_000), 16_000, label=FAKE) for i in range(9)]
    judged += [Judged(Clip(f"real{i}.wav", REAL, (), 16_000), 16_000, label=REAL) for i in range(9)]
    found = parts(judged)["longest fake span"]
    assert {value: figures["accuracy"].n for value, figures in found.items()} == {"below 0.2 s": 6, "0.2 to 0.5 s": 6}


def test_numbers_stand_in_order_and_odd_ones_do_no_harm():
    """Catches "10" before "9", and digits that are none for `float`: a superscript, a version, a date."""
    values = ["10", "9", "2.5", "x 11", "x 3", "²", "1.2.3", "below", "from a", "2026-01-02"]
    found = list(parts(clips(dict.fromkeys(values, 5)))["x"])
    assert set(found) == set(values)
    assert [v for v in found if v in ("10", "9", "2.5")] == ["2.5", "9", "10"]
    assert [v for v in found if v.startswith("x")] == ["x 3", "x 11"]


def test_costly_figures_of_a_part_that_nobody_sees_are_not_computed(monkeypatch):
    """Catches the segment EER of hybrids, five more resolutions, or AUC computed for each of 200 generators."""
    seen = []
    monkeypatch.setattr(breakdown, "cell_figures", lambda *_, **options: seen.append(options) or iter(_endless()))
    assert parts(made_up())["generator"]["engine 0"]["segment_eer_20ms"].value == 0.5
    assert seen[0] == {"resolutions_ms": (20,)}


def _endless():
    yield Figure("segment_eer_20ms", "EER", "cells", 0.5)
    raise AssertionError("the next figure was computed")


@settings(derandomize=True, deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(["", "a", "b", "c"])), max_size=40))
def test_parts_cover_each_clip_once(rows):
    """Catches clips counted in two parts of a property, or in none although their value is shown."""
    judged = [
        Judged(
            Clip(f"{i}.wav", label, traits={"x": value}, speaker=f"s{i % 3}"),
            10 * HOP,
            score=i / 40,
            label=LABELS[i % 3],
            pitch_hz=100 + 5.0 * i,
        )
        for i, (label, value) in enumerate(rows)
    ]
    found = break_down(sample(judged, n_resamples=5))
    json.dumps([each.to_json() for each in found], allow_nan=False)
    values = [value for _, value in rows]
    expected = {value: values.count(value) for value in "abc" if values.count(value) >= FEWEST_CLIPS}
    own = next((each for each in found if each.name == "x"), Breakdown("x", ()))
    assert {part.value: part.n_clips for part in own.parts} == (expected if len(expected) > 1 else {})
    for part in own.parts:
        assert part.to_json()["clips"] == part.n_clips
        assert all(math.isfinite(figure.value or 0) for figure in part.figures)


def test_a_trait_does_not_replace_what_was_measured():
    """Catches a stranger's column called "length" in the place of our bands."""
    judged = [replace(each, clip=replace(each.clip, traits={"length": f"{i % 2}"})) for i, each in enumerate(made_up())]
    names = [found.name for found in break_down(sample(judged))]
    assert "length, as told" in names
