"""The test table, on a hand-written network whose answers are known: see `tiny_model`."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_model import RATE, voice, write_tiny_bundle

from audio.labels import FAKE, HYBRID, REAL
from audio.manifest import Clip, write_manifest
from audio.reading import write_wav
from audio.segments import Segment
from model.training.evaluate import as_text, evaluate
from model.training.examples import TrainingSet

SPANS = {REAL: [], FAKE: [(0.0, 3.0)], HYBRID: [(1.0, 2.0)]}


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> TrainingSet:
    """Nine clips of 3 s, the classes in turn."""
    folder = tmp_path_factory.mktemp("split")
    clips = []
    for index in range(9):
        label = (REAL, FAKE, HYBRID)[index % 3]
        write_wav(folder / f"{index}.wav", voice(np.random.default_rng(index), 3, fake_s=SPANS[label]))
        spans = tuple(Segment(int(a * RATE), int(b * RATE)) for a, b in SPANS[label])
        generator = "" if label == REAL else "noise"
        clips.append(Clip(f"{index}.wav", label, spans, 3 * RATE, speaker=f"s{index % 2}", generator=generator))
    write_manifest(folder / "manifest.jsonl", clips)
    return TrainingSet(folder / "manifest.jsonl", tuple(clips), has_spans=True)


def test_a_right_detector_gets_full_marks(split, tiny_bundle):
    table = evaluate(tiny_bundle, split)
    assert (table["clips"], table["accuracy"], table["macro_f1"]) == (9, 1.0, 1.0)
    assert table["confusion"] == [[3, 0, 0, 0], [0, 3, 0, 0], [0, 0, 3, 0]]
    assert table["segment_eer_20ms"] < 0.05
    assert table["segment_eer_20ms_hybrids"] < 0.05
    assert (table["speakers"], table["generators"]) == (["s0", "s1"], ["noise"])
    assert "positive class: fake" in as_text("test", table)


def test_an_inverted_detector_gets_none(split, tmp_path):
    from tiny_model import BAND_GAIN

    inverted = write_tiny_bundle(tmp_path / "inverted", weights=-BAND_GAIN)
    assert evaluate(inverted, split)["segment_eer_20ms"] > 0.9


def test_abstentions_and_unreadable_clips_count_as_misses(split, tiny_bundle, tmp_path):
    write_wav(tmp_path / "short.wav", np.zeros(100, np.float32))
    (tmp_path / "broken.wav").write_text("not audio")
    clips = (Clip("short.wav", REAL, n_samples=100), Clip("broken.wav", REAL, n_samples=100))
    table = evaluate(tiny_bundle, TrainingSet(tmp_path, clips, has_spans=True))
    assert table["confusion"][0] == [0, 0, 0, 2]
    assert (table["accuracy"], table["macro_f1"], table["frames_left_out"]) == (0.0, None, 2)
    assert table["segment_eer_20ms"] is None
    assert "undefined" in as_text("test", table)


def test_the_order_of_the_clips_changes_nothing(split, tiny_bundle):
    backwards = TrainingSet(split.manifest_path, split.clips[::-1], has_spans=True)
    assert evaluate(tiny_bundle, backwards) == evaluate(tiny_bundle, split)


def test_without_spans_there_is_no_segment_eer(split, tiny_bundle):
    table = evaluate(tiny_bundle, TrainingSet(split.manifest_path, split.clips, has_spans=False))
    assert table["segment_eer_20ms"] is None
    assert table["accuracy"] == 1.0
