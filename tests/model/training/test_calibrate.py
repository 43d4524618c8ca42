"""Calibration and operating points, on a hand-written network whose answers are known: see `tiny_model`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_model import RATE, voice, write_tiny_bundle

from audio.labels import FAKE, HYBRID, LABELS, REAL, label_index
from audio.manifest import Clip, write_manifest
from audio.reading import write_wav
from audio.segments import Segment
from model import Detector
from model.bundle import Calibration, OperatingPoint, Thresholds, read_bundle, write_bundle
from model.judging.detector import Evidence
from model.judging.verdict import clip_probabilities, softmax
from model.metrics import confusion, macro_f1
from model.training.calibrate import (
    REAL_BIASES,
    TEMPERATURES,
    Judged,
    _clip_probabilities,
    _verdict,
    best_thresholds,
    calibrate,
    fit_calibration,
    gather,
    least_bias,
    points_for,
)
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
        clips.append(Clip(f"{index}.wav", label, spans, 3 * RATE, speaker=f"s{index % 2}"))
    write_manifest(folder / "manifest.jsonl", clips)
    return TrainingSet(folder / "manifest.jsonl", tuple(clips), has_spans=True)


def judged(bundle: Path, split: TrainingSet) -> list[Judged]:
    return gather(bundle, split.manifest_path, split.clips, group="dev")


def made_up(rng: np.random.Generator, label: str, *, sureness: float, shift: float = 0.0, group: str = "") -> Judged:
    """A second of speech whose window says `label` more or less; its frames say fake for fake, half of them else."""
    logits = rng.normal(size=(1, 3)).astype(np.float32)
    logits[0, label_index(label)] += 1.5
    logits[0, label_index(FAKE)] += shift
    frames = np.zeros(50, dtype=np.float32)
    frames[: 50 if label == FAKE else 25] = 0.9
    speech = np.ones(50, dtype=bool)
    clip = Clip("x.wav", label, n_samples=RATE, speaker=f"{rng.integers(10)}")
    return Judged(clip, RATE, Evidence(frames, sureness * logits, speech), group)


def test_many_clips_at_once_are_combined_as_one_by_one():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 5, 40)
    logits = rng.normal(scale=2, size=(counts.sum(), 3))
    starts = np.cumsum([0, *counts[:-1]])
    slow = [clip_probabilities(softmax(part, temperature=1.0)) for part in np.split(logits, starts[1:])]
    np.testing.assert_allclose(_clip_probabilities(logits, starts), slow, atol=1e-12)


def test_calibration_finds_what_was_done_to_the_logits():
    """Logits three times too sure, in which fake is too likely, come back as they were drawn."""
    rng = np.random.default_rng(1)
    clips = [made_up(rng, LABELS[k % 3], sureness=1.0) for k in range(3_000)]
    plain = fit_calibration(clips)
    rng = np.random.default_rng(1)
    sure = fit_calibration([made_up(rng, LABELS[k % 3], sureness=3.0, shift=0.5) for k in range(3_000)])
    assert sure.temperature == pytest.approx(3 * plain.temperature, rel=0.03)
    assert sure.slopes == pytest.approx(plain.slopes, abs=0.2)
    biases = np.array(sure.biases) - np.array(plain.biases)
    assert biases == pytest.approx([0.0, -0.5 / plain.temperature, 0.0], abs=0.2)


def test_frames_count_for_what_they_are_worth():
    """Logits that know nothing, frames that know fake from the rest: the calibration must hear the frames."""
    rng = np.random.default_rng(8)
    clips = []
    for k in range(900):
        found = made_up(rng, LABELS[k % 3], sureness=1.0)
        told = rng.normal(0.7 if found.clip.label == FAKE else 0.3, 0.1, 50).clip(0, 1).astype(np.float32)
        evidence = replace(found.evidence, frame_scores=told, window_logits=np.zeros((1, 3), np.float32))
        clips.append(replace(found, evidence=evidence))
    slopes = fit_calibration(clips).slopes
    assert slopes[0] == 0.0
    assert slopes[1] > 4.0


def test_classes_weigh_the_same_however_many_clips_they_have():
    rng = np.random.default_rng(2)
    clips = [made_up(rng, LABELS[k % 3], sureness=2.0) for k in range(600)]
    often = clips + [found for found in clips if found.clip.label == FAKE] * 4
    assert fit_calibration(often) == fit_calibration(clips)


def test_one_class_or_none_calibrates_nothing():
    rng = np.random.default_rng(3)
    assert fit_calibration([made_up(rng, REAL, sureness=5.0) for _ in range(9)]) == Calibration()
    without_real = fit_calibration([made_up(rng, (FAKE, HYBRID)[k % 2], sureness=5.0) for k in range(99)])
    assert (without_real.biases, without_real.slopes) == ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


def test_the_thresholds_are_the_best_of_those_tried(split, tiny_bundle, tmp_path):
    """Verdicts and spans at the chosen point are at least as good as at any other, through the whole detector."""
    found = calibrate(judged(tiny_bundle, split))

    def quality(thresholds: Thresholds) -> float:
        moved = write_tiny_bundle(tmp_path / f"{thresholds.enter}-{thresholds.exit}")
        points = (OperatingPoint(thresholds=thresholds),)
        write_bundle(replace(read_bundle(moved), calibration=found.calibration, operating_points=points))
        results = [Detector(moved).detect(split.path(clip)) for clip in split.clips]
        table = confusion([clip.label for clip in split.clips], [f.label for f in results])
        truths = [np.zeros(3 * RATE, bool) for _ in results]
        calls = [np.zeros(3 * RATE, bool) for _ in results]
        for clip, truth, call, result in zip(split.clips, truths, calls, results, strict=True):
            for span in clip.segments:
                truth[span.onset : span.offset] = True
            for span in result.spans:
                call[span.onset : span.offset] = True
        truth, call = np.concatenate(truths), np.concatenate(calls)
        return macro_f1(table) + 2 * (truth & call).sum() / (truth.sum() + call.sum())

    assert len(found.operating_points) == 1, "three genuine clips choose no rate"
    best = quality(found.operating_points[0].thresholds)
    assert best > 1.9
    for enter, below in ((0.2, 0.0), (0.5, 0.15), (0.7, 0.05), (0.9, 0.0)):
        assert quality(Thresholds(enter=enter, exit=enter - below)) <= best + 1e-9


def test_temperatures_stay_within_their_bounds(split, tmp_path):
    clip_weights = np.array([[-12.0, 12.0, 0.0], [1.8, -9.0, 0.0]])
    dull = calibrate(judged(write_tiny_bundle(tmp_path / "dull", clip_weights=0.1 * clip_weights), split))
    assert dull.calibration.temperature == pytest.approx(TEMPERATURES[0])


def test_unknown_spans_leave_the_thresholds(split, tiny_bundle):
    found = calibrate(judged(tiny_bundle, split), has_spans=False)
    assert found.operating_points[0].thresholds == Thresholds()


def test_nothing_to_calibrate_on_leaves_the_defaults(tiny_bundle, tmp_path):
    write_wav(tmp_path / "silence.wav", np.zeros(RATE, np.float32))
    assert gather(tiny_bundle, tmp_path, [Clip("silence.wav", REAL, n_samples=RATE)]) == []
    found = calibrate([])
    assert (found.calibration, found.operating_points) == (Calibration(), (OperatingPoint(),))


def test_an_operating_point_keeps_its_rate_and_asks_for_no_more_than_that():
    """A smaller rate costs more evidence; the corpus with most false alarms is named."""
    rng = np.random.default_rng(4)
    easy = [made_up(rng, REAL, sureness=1.0, group="easy") for _ in range(200)]
    hard = [made_up(rng, REAL, sureness=1.0, shift=2.0, group="hard") for _ in range(40)]
    few = [made_up(rng, REAL, sureness=1.0, shift=9.0, group="few") for _ in range(5)]
    genuine = [*easy, *hard, *few]
    points = points_for({"5%": 0.05, "1%": 0.01}, genuine, Calibration(), Thresholds())
    assert [point.name for point in points] == ["5%", "1%"]
    assert points[0].real_bias < points[1].real_bias
    needs = np.array([least_bias(found, Calibration(), Thresholds()) for found in genuine])
    for point, rate in zip(points, (0.05, 0.01), strict=True):
        assert (needs > point.real_bias).mean() == pytest.approx(point.measured["false_alarms"])
        assert (needs > point.real_bias).mean() <= rate
        assert (needs > round(point.real_bias - 0.1, 1)).mean() > rate
        assert point.measured["genuine_clips"] == 245
        assert point.measured["low"] <= point.measured["false_alarms"] <= point.measured["high"]
    assert list(points[0].measured["most_by_group"]) == ["hard", "easy"], "five clips say nothing of a rate"
    assert points_for({"5%": 0.05}, few, Calibration(), Thresholds()) == []


def test_the_least_bias_makes_a_clip_real_and_none_below_does():
    rng = np.random.default_rng(6)
    for _ in range(30):
        found = made_up(rng, LABELS[int(rng.integers(3))], sureness=2.0)
        least = least_bias(found, Calibration(), Thresholds())
        assert least in REAL_BIASES
        combined = clip_probabilities(softmax(found.evidence.window_logits, temperature=1.0))
        real, rest = combined[0], combined[1:].max()
        if least > 0.9 and (found.evidence.frame_scores > 0.5).mean() == 0.5:  # the frames agree with hybrid
            assert real * np.exp(least) >= rest > real * np.exp(least - 0.11)


def test_thresholds_are_searched_on_clips_spread_over_all(monkeypatch):
    rng = np.random.default_rng(7)
    clips = [made_up(rng, LABELS[k % 3], sureness=1.0) for k in range(50)]
    monkeypatch.setattr("model.training.calibrate.MOST_SEARCHED", 7)
    seen = []
    monkeypatch.setattr("model.training.calibrate._quality", lambda found, *_: seen.append(found) or 0.0)
    best_thresholds(clips, Calibration())
    assert seen[0] == clips[::8]


@pytest.mark.parametrize("sureness", [1.0, 30.0])
def test_a_verdict_is_as_often_right_as_its_probability_says(sureness):
    """Catches a temperature fitted to something else: made-up networks know too little or say too much."""
    rng = np.random.default_rng(6)
    clips = [made_up(rng, LABELS[k % 3], sureness=sureness) for k in range(900)]
    found = calibrate(clips, has_spans=False)
    for point in found.operating_points:
        verdicts = [_verdict(each, found.calibration, point) for each in clips]
        right = np.mean([verdict.label == each.clip.label for verdict, each in zip(verdicts, clips, strict=True)])
        sure = np.mean([verdict.probabilities.max() for verdict in verdicts])
        assert sure == pytest.approx(right, abs=0.05), point.name
        cold = [_verdict(each, found.calibration, replace(point, temperatures=(1.0, 1.0, 1.0))) for each in clips]
        assert [verdict.label for verdict in cold] == [verdict.label for verdict in verdicts]
