"""Pairs: a genuine clip and what a generator made of it, alike in everything else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from babbling import envelope, lag_samples

from audio.labels import FAKE, REAL
from audio.manifest import Clip, read_manifest
from audio.reading import read
from synth.build import build_set
from synth.making import Folders
from synth.recipe import TRAIN, Recipe
from synth.stream import open_stream
from synth.verify import verify_set

RECIPE = Recipe(
    *(30, 3),
    engines=("lpc", "world"),
    held_out=(),
    dev_speakers=("ada",),
    test_speakers=("bén",),
    clip_s=(1.0, 2.0),
    channel_share=0.5,
    pair_share=0.6,
)


@pytest.fixture(scope="module")
def built(voices_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    build_set(RECIPE, Folders(voices_dir, cache=folder / "cache"), out=folder / "set")
    return folder


def pairs(built: Path) -> list[tuple[Clip, Clip]]:
    clips = read_manifest(built / "set" / "manifest.jsonl")
    genuine = {clip.path: clip for clip in clips}
    return [(genuine[clip.source_clip], clip) for clip in clips if clip.source_clip]


def test_so_many_training_clips_come_in_pairs_and_no_others(built: Path) -> None:
    clips = read_manifest(built / "set" / "manifest.jsonl")
    training = [clip for clip in clips if clip.split == TRAIN]
    found = pairs(built)
    assert 2 * len(found) == 2 * int(0.6 * len(training) / 2)
    assert {clip.split for pair in found for clip in pair} == {TRAIN}
    assert {(a.label, b.label) for a, b in found} == {(REAL, FAKE)}
    assert {b.generator for _, b in found} == {"lpc", "world"}


def test_both_have_the_same_words_cut_and_channel(built: Path) -> None:
    """Catches a channel, a crop or a treatment that one of them has for itself: it would tell them apart."""
    sent = 0
    for genuine, fake in pairs(built):
        assert (genuine.n_samples, genuine.speaker, genuine.channel) == (fake.n_samples, fake.speaker, fake.channel)
        assert genuine.splice is not None
        assert fake.splice is not None
        cut = [(p["source"], p["onset"], p["offset"]) for p in genuine.splice["pieces"]]
        assert cut == [(p["source"], p["onset"], p["offset"]) for p in fake.splice["pieces"]]
        assert genuine.segments == ()
        assert [(s.onset, s.offset) for s in fake.segments] == [(0, fake.n_samples)]
        a, b = (read(built / "set" / clip.path) for clip in (genuine, fake))
        assert not np.array_equal(a, b)
        assert abs(lag_samples(envelope(a), envelope(b))) <= 160, "10 ms: envelopes have no sharper peak"
        sent += genuine.channel is not None
    assert 0 < sent < len(pairs(built)), "half of them go through a channel"


def test_pairs_can_be_made_again_from_the_manifest(built: Path, voices_dir: Path) -> None:
    n_clips, different = verify_set(built / "set", Folders(voices_dir, cache=built / "cache"))
    assert (n_clips, different) == (30, {})


def test_a_stream_has_no_pairs(voices_dir: Path, tmp_path: Path) -> None:
    folders = Folders(voices_dir, cache=tmp_path)
    alone = open_stream(replace(RECIPE, pair_share=0.0), folders).examples(range(6))
    for one, other in zip(open_stream(RECIPE, folders).examples(range(6)), alone, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
