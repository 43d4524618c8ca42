"""The detector from end to end, with a network whose answers are known."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_model import RATE, voice, write_tiny_bundle

from audio.cleaning import speech_frames
from audio.errors import AudioError, ModelError
from audio.labels import LABELS, label_of
from audio.segments import Segment, from_frames, n_frames, overlap, total
from model.bundle import Calibration, read_bundle, write_bundle
from model.judging.abstain import MIN_CLIP_SAMPLES, Limits
from model.judging.detector import Detection, Detector
from model.judging.localise import Ends
from model.judging.quality import Quality

WINDOW = 2 * RATE
GOLDEN = Path(__file__).parents[2] / "golden" / "detection_v3.json"


@pytest.fixture(scope="module")
def detector(tiny_bundle) -> Detector:
    return Detector(tiny_bundle)


def clip(seed: int = 0, seconds: float = 6.0, **kwargs) -> np.ndarray:
    return voice(np.random.default_rng(seed), seconds, **kwargs)


def assert_same(one: Detection, other: Detection) -> None:
    np.testing.assert_array_equal(one.frame_scores, other.frame_scores)
    assert one.to_row("") == other.to_row("")


@pytest.mark.parametrize(
    ("fake_s", "label", "spans"),
    [
        ([], "real", []),
        ([(0.0, 6.0)], "fake", [(0.0, 6.0)]),
        ([(2.0, 2.6)], "hybrid", [(2.0, 2.6)]),
        ([(0.0, 0.7), (3.1, 4.5)], "hybrid", [(0.0, 0.7), (3.1, 4.5)]),
    ],
)
def test_verdict_and_spans(detector, fake_s, label, spans):
    result = detector.detect(clip(fake_s=fake_s))
    assert result.label == label
    assert len(result.segments) == len(spans)
    for segment, (start_s, end_s) in zip(result.segments, spans, strict=True):
        assert segment.start_s == pytest.approx(start_s, abs=0.05)
        assert segment.end_s == pytest.approx(end_s, abs=0.05)
        assert segment.label == "fake"
        assert 0.6 < segment.confidence <= 1


def test_a_result_carries_what_the_readme_promises(detector):
    result = detector.detect(clip(seconds=5.01))
    assert set(result.probabilities) == set(LABELS)
    assert sum(result.probabilities.values()) == pytest.approx(1)
    assert result.frame_hop_s == 0.02
    assert result.frame_scores.shape == (n_frames(round(5.01 * RATE), 320),)
    assert result.frame_scores.dtype == np.float32
    assert (result.duration_s, result.model, result.channel) == (5.01, "tiny", None)
    assert (result.abstained, result.reasons) == (False, ())
    with pytest.raises(ValueError, match="read-only"):
        result.frame_scores[0] = 1


LENGTHS = [0, 1, 319, MIN_CLIP_SAMPLES - 1, MIN_CLIP_SAMPLES, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW + 319]


@pytest.mark.parametrize("n_samples", LENGTHS)
def test_every_length_gives_an_answer_or_a_reason(detector, n_samples):
    result = detector.detect(clip(seconds=n_samples / RATE))
    assert result.duration_s == n_samples / RATE
    if n_samples < MIN_CLIP_SAMPLES:
        assert_abstained(result, "too_short")
    else:
        assert result.label == "real"
        assert len(result.frame_scores) == n_frames(n_samples, 320)


def assert_abstained(result: Detection, reason: str) -> None:
    assert result.abstained
    assert result.label is None
    assert result.reasons == (reason,)
    assert dict(result.probabilities) == {"real": None, "fake": None, "hybrid": None}
    assert result.segments == ()
    assert len(result.frame_scores) == 0


def test_random_weights_verdict_agrees_with_spans_and_scores_are_probabilities(tmp_path):
    rng = np.random.default_rng(5)
    labels = set()
    for i in range(40):
        folder = write_tiny_bundle(
            tmp_path / str(i), weights=rng.normal(scale=0.5, size=32), clip_weights=rng.normal(scale=3, size=(2, 3))
        )
        samples = clip(i, rng.uniform(1.5, 7))
        result = Detector(folder).detect(samples)
        speech = from_frames(speech_frames(samples), 320, len(samples))
        labels.add(result.label)
        assert result.label == max(LABELS, key=lambda label: result.probabilities[label])
        assert result.label == label_of(overlap(result.spans, speech), total(speech))
        assert np.isfinite(result.frame_scores).all()
        assert 0 <= result.frame_scores.min() <= result.frame_scores.max() <= 1
    assert labels == set(LABELS)


def test_the_temperature_of_the_bundle_softens_probabilities(detector, tmp_path):
    folder = write_tiny_bundle(tmp_path)
    write_bundle(replace(read_bundle(folder), calibration=Calibration(3.0)))
    sharp, soft = (d.detect(clip(seconds=1)).probabilities for d in (detector, Detector(folder)))
    assert sharp["real"] > soft["real"] > 1 / 3


def test_frames_add_to_the_clip_by_the_slopes_of_the_calibration(tmp_path):
    """Catches slopes that are fitted and then not used, or used on another mean than they were fitted on."""
    folder = write_tiny_bundle(tmp_path)
    samples = clip(0, 1.5, fake_s=[(0, 1.5)])
    mean = Detector(folder).evidence(samples).mean_frame_score
    said = []
    for given in ({}, {"slopes": (20.0, 0.0, 0.0)}, {"biases": (20.0 * mean, 0.0, 0.0)}):
        calibration = Calibration(**given)
        write_bundle(replace(read_bundle(folder), calibration=calibration))
        said.append(Detector(folder).detect(samples).probabilities)
    assert said[1]["real"] > said[0]["real"] + 0.1
    assert said[1] == pytest.approx(said[2], abs=1e-9)


def test_an_operating_point_decides_how_much_an_accusation_needs(tmp_path):
    folder = write_tiny_bundle(tmp_path)
    (first,) = read_bundle(folder).operating_points
    points = (first, replace(first, name="never", real_bias=100.0))
    write_bundle(replace(read_bundle(folder), operating_points=points))
    fake = clip(0, 3, fake_s=[(0, 3)])
    assert Detector(folder).detect(fake).label == "fake"
    strict = Detector(folder, operating_point="never")
    assert strict.detect(fake).label == "real"
    assert pickle.loads(pickle.dumps(strict)).detect(fake).label == "real"
    with pytest.raises(ModelError, match="operating point of balanced, never"):
        Detector(folder, operating_point="1%")


def test_a_result_does_not_depend_on_company_or_order(detector, tiny_bundle):
    clips = [clip(0), 8 * clip(1, 3.3, fake_s=[(1, 2)]), clip(2, 0.9), clip(3, 5, fake_s=[(0, 5)])]
    together = [detector.detect(samples) for samples in clips]
    backwards = [detector.detect(samples) for samples in clips[::-1]][::-1]
    alone = [Detector(tiny_bundle).detect(samples) for samples in clips]
    for first, second, third in zip(together, backwards, alone, strict=True):
        assert_same(first, second)
        assert_same(first, third)


def test_frames_far_away_do_not_depend_on_each_other(detector):
    """A whole-file statistic anywhere would show here: only the end of the recording changes."""
    quiet = clip(seconds=10)
    loud = quiet.copy()
    loud[8 * RATE :] *= 50
    before, after = detector.detect(quiet).frame_scores, detector.detect(loud).frame_scores
    np.testing.assert_array_equal(before[: 6 * 50], after[: 6 * 50])


def test_a_file_an_array_and_integers_agree(detector, tmp_path):
    pcm = (clip(fake_s=[(2, 3)]) * 32_767).astype(np.int16)
    soundfile.write(tmp_path / "clip.wav", pcm, RATE, subtype="PCM_16")
    from_file = detector.detect(tmp_path / "clip.wav")
    assert_same(from_file, detector.detect(str(tmp_path / "clip.wav")))
    assert_same(from_file, detector.detect(pcm))
    assert_same(from_file, detector.detect((pcm / 32_768.0).tolist()))


def test_a_stereo_file_is_judged_on_its_downmix(detector, tmp_path):
    left, right = clip(0), clip(1, fake_s=[(1, 2)])
    soundfile.write(tmp_path / "clip.wav", np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    mono = np.stack([left, right], axis=1).mean(axis=1, dtype=np.float32)
    assert_same(detector.detect(tmp_path / "clip.wav"), detector.detect(mono))


def test_other_sample_rates_keep_the_time(detector):
    samples = np.repeat(clip(seconds=4), 2)
    assert detector.detect(samples, sample_rate=2 * RATE).duration_s == pytest.approx(4, abs=1e-3)


def test_bad_arrays_are_named(detector):
    with pytest.raises(AudioError, match="one channel"):
        detector.detect(np.zeros((RATE, 2)))
    with pytest.raises(AudioError, match="1 of 16000"):
        detector.detect(np.r_[np.zeros(RATE - 1), np.nan])


@pytest.mark.parametrize("seconds", [0.4, 3.0, 600.0])
def test_silence_is_no_speech(detector, seconds):
    assert_abstained(detector.detect(np.zeros(round(seconds * RATE), np.int16)), "no_speech")


@pytest.mark.parametrize("seconds", [1.0, 3.0, 7.0])
def test_steady_sounds_are_no_speech(detector, seconds):
    time_s = np.arange(round(seconds * RATE)) / RATE
    assert_abstained(detector.detect(0.3 * np.sin(2 * np.pi * 440 * time_s)), "no_speech")
    assert_abstained(detector.detect(0.1 * np.random.default_rng(0).standard_normal(len(time_s))), "no_speech")


def test_a_click_in_silence_is_no_speech(detector):
    samples = np.zeros(3 * RATE)
    samples[RATE : RATE + 100] = 0.5
    assert_abstained(detector.detect(samples), "no_speech")


def test_silence_and_tones_have_no_vote(detector):
    """Ten seconds of synthetic speech, then hold tone and silence: they must not water the verdict down."""
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(8 * RATE) / RATE)
    samples = np.concatenate([clip(seconds=10, fake_s=[(0, 10)]), np.zeros(6 * RATE)])
    assert detector.detect(samples).label == "fake"
    held = detector.detect(np.concatenate([clip(seconds=4), np.zeros(3 * RATE), tone]))
    assert held.label == "real"


def test_speech_scattered_thinly_is_judged_where_there_is_most(detector):
    samples = np.zeros(9 * RATE, dtype=np.float32)
    for start_s in (0.5, 3.5, 6.5):
        samples[round(start_s * RATE) :][:800] = clip(seconds=0.05)
    result = detector.detect(samples)
    assert not result.abstained
    assert len(result.frame_scores) == 450


def test_limits_of_the_bundle_refuse_and_cautions_warn(tmp_path):
    folder = write_tiny_bundle(tmp_path)
    loud = np.clip(20 * clip(seconds=6), -0.3, 0.3)  # every peak is flat
    accepted = Detector(folder).detect(loud)
    assert not accepted.abstained
    assert "some_clipping" in accepted.warnings
    write_bundle(replace(read_bundle(folder), limits=replace(Limits(), most_clipped_share=0.05)))
    refused = Detector(folder).detect(loud)
    assert (refused.label, refused.reasons, refused.warnings) == (None, ("clipped",), ())
    assert "narrow_band" in Detector(folder).detect(clip(seconds=6)).warnings, "the voice ends at 3 kHz"


def test_a_row_is_the_frozen_format(detector):
    result = Detection(
        label="hybrid",
        probabilities={"real": 0.25, "fake": 0.125, "hybrid": 0.625},
        spans=(Segment(8_000, 16_320, confidence=0.75),),
        frame_scores=np.zeros(125, np.float32),
        reasons=(),
        frame_hop_s=0.02,
        duration_s=2.5,
        model="tiny",
        operating_point="5%",
        score=0.75,
        ends=(Ends((7_680, 8_320), (16_000, 16_640)),),
        quality=Quality(40_000, 32_000, -26.0, -3.0, 30.5, 0.0, 7_937.5, 0.0),
        warnings=("short",),
    )
    assert json.dumps(result.to_row("calls/a.wav")) + "\n" == GOLDEN.read_text(encoding="utf-8")
    abstained = detector.detect([]).to_row("b.wav")
    assert list(abstained) == list(result.to_row(""))
    assert abstained["label"] is None
    assert abstained["reasons"] == ["too_short"]


def test_evidence_is_what_the_verdict_is_made_from(detector):
    samples = np.concatenate([clip(seconds=3), np.zeros(4 * RATE, np.float32)])
    found = detector.evidence(samples)
    np.testing.assert_array_equal(found.frame_scores, detector.detect(samples).frame_scores)
    assert found.window_logits.shape == (3, 3)  # windows from 0, 1 and 2 s; those in silence have no vote
    assert len(found.speech) == len(found.frame_scores) == 350
    assert detector.evidence(np.zeros(RATE, np.float32)) is None
    assert detector.evidence(np.zeros(0, np.float32)) is None


def test_a_detector_travels_to_another_process(detector):
    assert_same(detector.detect(clip()), pickle.loads(pickle.dumps(detector)).detect(clip()))


def test_no_such_bundle(tmp_path):
    with pytest.raises(ModelError):
        Detector(tmp_path / "nothing")


def test_a_network_with_too_few_frames(tiny_bundle, monkeypatch):
    detector = Detector(tiny_bundle)
    answer = (np.zeros(3, np.float32), np.zeros(3, np.float32))
    monkeypatch.setattr(detector._system.network, "run", lambda features: answer)
    with pytest.raises(ModelError, match="expected 50 frame scores for 16000 samples, received 3"):
        detector.detect(clip(seconds=1))
