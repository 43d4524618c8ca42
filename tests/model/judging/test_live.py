"""Judging while the sound comes, beside the same sound judged when it is there whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_model import RATE, THRESHOLDS, voice, write_tiny_bundle

from audio.segments import Segment
from model import Detection, Detector, Live
from model.bundle import read_bundle, write_bundle
from model.judging.live import Glimpse, final_row, provisional_row
from model.judging.localise import Ends, localise
from model.judging.quality import BLOCK_SAMPLES, Quality
from model.judging.stream import PART_SAMPLES

WINDOW, HOP = 2 * RATE, 320
GOLDEN = Path(__file__).parents[2] / "golden" / "live_v1.jsonl"


@pytest.fixture(scope="module")
def detector(tiny_bundle) -> Detector:
    return Detector(tiny_bundle)


def some(seed: int, longest_s: float = 12.0) -> np.ndarray:
    """Voice of any length with fake spans and a silence in it."""
    rng = np.random.default_rng(seed)
    seconds = rng.uniform(0, longest_s)
    starts = rng.uniform(0, seconds, 3)
    samples = voice(rng, seconds, fake_s=[(start, start + rng.uniform(0.05, 1.5)) for start in starts])
    silence = int(rng.integers(0, max(1, samples.size)))
    samples[silence : silence + int(rng.integers(0, 2 * RATE))] = 0.0
    return samples


def pieces(samples: np.ndarray, seed: int) -> list[np.ndarray]:
    """The samples in pieces of any size, some of them empty."""
    rng, done, found = np.random.default_rng(seed), 0, []
    while done < samples.size:
        size = int(rng.choice([0, 1, 160, 319, 1_600, 8_000, 40_000]))
        found.append(samples[done : done + size])
        done += size
    return found


def assert_same(one: Detection, other: Detection) -> None:
    np.testing.assert_array_equal(one.frame_scores, other.frame_scores)
    assert one.to_row("") == other.to_row("")


def random_model(folder: Path, seed: int) -> Detector:
    """One whose scores wander about its thresholds, so that spans come and go, join and are too short."""
    rng = np.random.default_rng(seed)
    return Detector(write_tiny_bundle(folder, weights=rng.normal(scale=0.4, size=32)))


@pytest.mark.parametrize("seed", range(6))
def test_the_end_is_what_detect_says_and_asking_in_between_changes_nothing(detector, seed):
    """Catches a glimpse that leaves its last window, its marks or its meter behind in the recording."""
    samples, live = some(seed), Live(detector)
    rng = np.random.default_rng(seed)
    for piece in pieces(samples, seed):
        live.hear(piece)
        if rng.random() < 0.5:
            live.so_far()
    assert live.n_samples == samples.size
    assert_same(live.finish(), detector.detect(samples))


@pytest.mark.parametrize("seed", range(6))
def test_what_is_said_in_between_is_what_detect_would_say_now(detector, seed):
    """Catches a glimpse without its last window, and one that counts windows twice."""
    samples, live, done = some(seed), Live(detector), 0
    for piece in pieces(samples, seed):
        live.hear(piece)
        done += piece.size
        glimpse = live.so_far()
        assert (glimpse.onset, glimpse.n_samples) == (0, done)
        assert_same(glimpse.detection, detector.detect(samples[:done]))


def test_asking_between_two_frames_does_not_move_the_marks_of_speech(detector):
    """Catches a glimpse that marks the frame that is not whole yet, and so ends the hangover of the next ones early."""
    samples = np.concatenate([voice(np.random.default_rng(0), 1.0), np.zeros(RATE, np.float32)])
    live = Live(detector)
    for start in range(0, samples.size, 200):
        live.hear(samples[start : start + 200])
        live.so_far()
    assert_same(live.finish(), detector.detect(samples))


def test_a_verdict_is_there_within_a_second_of_what_it_takes(detector):
    """A word of 0.4 s is judged, in the middle of the first window."""
    live = Live(detector)
    for _ in range(4):
        live.hear(voice(np.random.default_rng(0), 0.1))
    assert live.so_far().detection.label is not None
    assert live.so_far().n_final == 0


@pytest.mark.parametrize("seed", range(6))
def test_what_is_final_stays(tmp_path, seed):
    """Scores before `n_final`, and final spans, beside those of the whole: a window too late, or too early, shows."""
    detector, samples = random_model(tmp_path, seed), some(seed, 40.0)
    live, scores, spans = Live(detector), [], []
    for piece in pieces(samples, seed):
        live.hear(piece)
        glimpse = live.so_far()
        n_frames = (glimpse.n_final - glimpse.onset) // HOP
        if not glimpse.detection.abstained:
            scores.append((glimpse.onset // HOP, glimpse.detection.frame_scores[:n_frames]))
        spans += glimpse.final_spans
    found = detector.evidence(samples)
    if found is None:
        return
    for first, said in scores:
        np.testing.assert_array_equal(said, found.frame_scores[first : first + said.size])
    whole = localise(found.frame_scores, THRESHOLDS, hop_samples=HOP, n_samples=samples.size)
    assert {(s.onset, s.offset) for s in spans} <= {(s.onset, s.offset) for s in whole}
    assert len(spans) == len(set(spans)), "each is told once"


def test_final_lies_a_window_behind_now(detector):
    """As near as it can be: the end may come at any time, and the last window reaches back from there."""
    live = Live(detector)
    for n in range(1, 60):
        live.hear(voice(np.random.default_rng(n), 0.1))
        assert live.so_far().n_final == max(0, (n * RATE // 10 - WINDOW) // HOP * HOP)


def test_final_spans_are_told_when_a_window_has_passed(detector):
    samples, live, told = voice(np.random.default_rng(0), 9, fake_s=[(1, 2), (4, 4.5)]), Live(detector), []
    for start in range(0, samples.size, 1_600):
        live.hear(samples[start : start + 1_600])
        told += [(live.n_samples / RATE, span) for span in live.so_far().final_spans]
    assert [span.onset_s for _, span in told] == pytest.approx([1, 4], abs=0.05)
    for now_s, span in told:
        # Its frames are final after a window; no other span may join it for another 0.1 s, and pieces are 0.1 s long.
        assert now_s - span.offset_s == pytest.approx(2.0 + 0.1 + 0.05, abs=0.1)
        assert (span.onset, span.offset) in [(s.onset, s.offset) for s in live.finish().spans]


def test_beyond_thirty_seconds_it_is_about_the_last_thirty(detector):
    """Catches times that count from the part, and an old accusation that never ends."""
    samples, live, seen = voice(np.random.default_rng(1), 75, fake_s=[(5, 6), (40, 41)]), Live(detector), []
    for start in range(0, samples.size, RATE):
        live.hear(samples[start : start + RATE])
        glimpse = live.so_far()
        length = glimpse.n_samples - glimpse.onset
        assert glimpse.onset == 0 or PART_SAMPLES - BLOCK_SAMPLES < length <= PART_SAMPLES
        assert glimpse.detection.duration_s == length / RATE
        assert len(glimpse.detection.frame_scores) == length // HOP
        seen.append((glimpse.detection.label, [round(s.start_s) for s in glimpse.detection.segments]))
    assert seen[10:20] == [("hybrid", [5])] * 10
    assert seen[37] == ("real", [])
    assert seen[50:60] == [("hybrid", [40])] * 10
    assert seen[74] == ("real", [])
    assert_same(live.finish(), detector.detect(samples))


def test_the_last_part_is_measured_and_judged_like_a_recording_of_its_own(detector):
    """What it says of an hour's last part is what detect says of these samples, but for windows across its edge."""
    quiet = voice(np.random.default_rng(3), 60, fake_s=[(50, 51)])
    live = Live(detector)
    live.hear(np.concatenate([np.clip(30 * quiet[: 20 * RATE], -0.3, 0.3), quiet]))
    glimpse = live.so_far()
    alone = detector.detect(quiet[glimpse.onset - 20 * RATE :])
    assert glimpse.detection.quality == alone.quality, "the overload was before"
    assert glimpse.detection.probabilities == alone.probabilities
    assert [s.start_s - glimpse.onset / RATE for s in glimpse.detection.segments] == [s.start_s for s in alone.segments]


def test_a_span_longer_than_the_part_begins_where_it_began(detector):
    samples, live, told = voice(np.random.default_rng(2), 60, fake_s=[(8, 48)]), Live(detector), []
    for start in range(0, samples.size, RATE // 2):
        live.hear(samples[start : start + RATE // 2])
        told += live.so_far().final_spans
    (span,) = told
    assert (span.onset_s, span.offset_s) == (pytest.approx(8, abs=0.05), pytest.approx(48, abs=0.05))


def test_a_glimpse_costs_one_window_however_long_it_goes_on(detector, monkeypatch):
    """Catches judging everything again each time, and what it looks at growing with the session."""
    live, runs = Live(detector), []
    run = detector._system.network.run
    monkeypatch.setattr(detector._system.network, "run", lambda features: runs.append(len(features)) or run(features))
    for minute in range(3):
        live.hear(voice(np.random.default_rng(minute), 60))
        runs.clear()
        glimpse = live.so_far()
        assert len(runs) == 1
        later = live._listener._since(glimpse.onset)
        assert later._joined._total.size <= PART_SAMPLES // HOP
        assert len(later._votes) <= PART_SAMPLES // RATE
        assert later._recent.size <= PART_SAMPLES // HOP
        assert later._meter._n_samples <= PART_SAMPLES


def test_a_window_longer_than_the_part_is_still_within_it(tmp_path):
    bundle = replace(read_bundle(write_tiny_bundle(tmp_path)), window_samples=40 * RATE, step_samples=20 * RATE)
    write_bundle(bundle)
    detector, samples = Detector(tmp_path), voice(np.random.default_rng(0), 100, fake_s=[(70, 90)])
    live = Live(detector)
    live.hear(samples)
    assert [round(s.start_s) for s in live.so_far().detection.segments] == [70]
    assert_same(live.finish(), detector.detect(samples))


def test_nothing_at_all_has_its_reason(detector):
    live = Live(detector)
    assert live.so_far().detection.reasons == ("too_short",)
    live.hear(np.zeros(10 * RATE, np.float32))
    assert live.so_far().detection.reasons == ("no_speech",)
    assert live.so_far().final_spans == ()
    assert live.finish().reasons == ("no_speech",)


def test_rows_are_the_frozen_format():
    found = Detection(
        label="hybrid",
        probabilities={"real": 0.25, "fake": 0.125, "hybrid": 0.625},
        spans=(Segment(520_000, 528_320, confidence=0.75),),
        frame_scores=np.zeros(1_500, np.float32),
        reasons=(),
        frame_hop_s=0.02,
        duration_s=29.5,
        model="tiny",
        operating_point="5%",
        score=0.75,
        ends=(Ends((519_680, 520_320), (528_000, 528_640)),),
        quality=Quality(472_000, 32_000, -26.0, -3.0, 30.5, 0.0, 7_937.5, 0.0),
    )
    glimpse = Glimpse(found, 96_000, 568_000, 535_680, (Segment(520_000, 528_320, confidence=0.75),))
    rows = [provisional_row(glimpse, "stdin", overflows=2), final_row(replace(found, duration_s=35.5), "stdin")]
    assert "".join(json.dumps(row) + "\n" for row in rows) == GOLDEN.read_text(encoding="utf-8")
    assert list(rows[0]) == [*found.to_row(""), "live"]
