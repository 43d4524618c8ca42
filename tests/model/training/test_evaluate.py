"""The test table and the calibration, on a hand-written network whose answers are known: see `tiny_model`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_model import RATE, voice, write_tiny_bundle

from audio.labels import FAKE, HYBRID, REAL
from audio.manifest import Clip, write_manifest
from audio.reading import write_wav
from audio.segments import Segment
from model import Detector
from model.bundle import Thresholds, read_bundle, write_bundle
from model.metrics import confusion, macro_f1
from model.training.calibrate import TEMPERATURES, calibrate
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


def test_the_thresholds_are_the_best_of_those_tried(split, tiny_bundle, tmp_path):
    """Verdicts and spans at the chosen point are at least as good as at any other, through the whole detector."""
    detector = Detector(tiny_bundle)
    point = calibrate(detector, split)

    def quality(thresholds: Thresholds) -> float:
        card = replace(read_bundle(tiny_bundle), thresholds=thresholds, temperature=point.temperature)
        moved = write_tiny_bundle(tmp_path / f"{thresholds.enter}-{thresholds.exit}")
        write_bundle(replace(card, path=moved))
        found = [Detector(moved).detect(split.path(clip)) for clip in split.clips]
        table = confusion([clip.label for clip in split.clips], [f.label for f in found])
        truths = [np.zeros(3 * RATE, bool) for _ in found]
        calls = [np.zeros(3 * RATE, bool) for _ in found]
        for clip, truth, call, result in zip(split.clips, truths, calls, found, strict=True):
            for span in clip.segments:
                truth[span.onset : span.offset] = True
            for span in result.spans:
                call[span.onset : span.offset] = True
        truth, call = np.concatenate(truths), np.concatenate(calls)
        return macro_f1(table) + 2 * (truth & call).sum() / (truth.sum() + call.sum())

    best = quality(point.thresholds)
    assert best > 1.9
    for enter, below in ((0.2, 0.0), (0.5, 0.15), (0.7, 0.05), (0.9, 0.0)):
        assert quality(Thresholds(enter=enter, exit=enter - below)) <= best + 1e-9


def test_the_temperature_is_the_best_of_those_tried(split, tmp_path):
    """Logits ten times too large ask for the highest temperature only when they are wrong; here they are right."""
    clip_weights = np.array([[-12.0, 12.0, 0.0], [1.8, -9.0, 0.0]])
    sharp = calibrate(Detector(write_tiny_bundle(tmp_path / "sharp", clip_weights=10 * clip_weights)), split)
    dull = calibrate(Detector(write_tiny_bundle(tmp_path / "dull", clip_weights=0.1 * clip_weights)), split)
    assert dull.temperature == pytest.approx(TEMPERATURES[0])
    assert dull.temperature <= sharp.temperature


def test_nothing_to_calibrate_on_leaves_the_defaults(tiny_bundle, tmp_path):
    write_wav(tmp_path / "silence.wav", np.zeros(RATE, np.float32))
    silent = TrainingSet(tmp_path, (Clip("silence.wav", REAL, n_samples=RATE),), has_spans=True)
    point = calibrate(Detector(tiny_bundle), silent)
    assert point.thresholds == Thresholds()
    assert point.temperature == 1.0
