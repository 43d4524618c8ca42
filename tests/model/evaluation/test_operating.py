"""Thresholds come from another set, and from nowhere else."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from test_judged import HOP, ideal, made_up

from audio.errors import UsageError
from audio.labels import FAKE, HYBRID, REAL
from audio.manifest import Clip
from audio.segments import Segment
from model.evaluation.figures import find, sample, summarise
from model.evaluation.judged import Judged
from model.evaluation.operating import check_apart, operating_from, with_spans


def nearest(is_fake, scores) -> float:
    """The threshold, out of all, at which the two error rates are nearest; the highest of several."""
    is_fake, scores = np.asarray(is_fake), np.asarray(scores, dtype=np.float64)

    def difference(threshold: float) -> float:
        return abs((scores[~is_fake] >= threshold).mean() - (scores[is_fake] < threshold).mean())

    return min(sorted(set(scores.tolist()), reverse=True), key=lambda t: round(difference(t), 12))


@pytest.mark.parametrize("seed", range(3))
def test_thresholds_are_those_of_equal_error_on_the_choosing_set(seed):
    """Catches clips without a score that count, thresholds of frames taken for clips', and the wrong cell length."""
    judged = made_up(seed=seed)
    found = operating_from(sample(judged, n_resamples=1), source="dev", calibrated=True)
    scored = [each for each in judged if each.score is not None]
    is_fake = [each.clip.label != REAL for each in scored]
    assert found.clip_threshold == nearest(is_fake, [each.score for each in scored])
    frames = np.concatenate([each.frame_scores for each in scored])
    cells = [
        any(span.onset < start + HOP and start < span.offset for span in each.clip.segments)
        for each in scored
        for start in range(0, each.n_samples, HOP)
    ]
    assert found.frame_threshold == nearest(cells, frames)
    assert found.log_prior_odds == pytest.approx(math.log(sum(is_fake) / (len(scored) - sum(is_fake))))
    assert found.source == f"dev ({len(scored)} clips)"
    json.dumps(asdict(found), allow_nan=False)
    assert operating_from(sample(judged), source="dev", calibrated=False).log_prior_odds is None


def test_the_tested_set_does_not_move_a_threshold():
    """Catches thresholds that are chosen anew where they are used: HTER would be the EER on every set."""
    found = operating_from(sample(made_up(seed=1)), source="dev", calibrated=True)
    shifted = [replace(each, score=None if each.score is None else each.score / 3) for each in made_up(seed=2)]
    figures = summarise(sample(shifted, n_resamples=20), found)
    missed = [each.score < found.clip_threshold for each in shifted if each.score and each.clip.label != REAL]
    assert find(figures, "fnr") == pytest.approx(np.mean(missed))
    assert find(figures, "hter") > find(figures, "clip_eer")
    # On the choosing set itself the two are the same, by definition.
    itself = summarise(sample(made_up(seed=1), n_resamples=20), found)
    assert find(itself, "hter") == pytest.approx(find(itself, "clip_eer"))
    assert find(itself, "segment_hter_20ms") == pytest.approx(find(itself, "segment_eer_20ms"))


def test_a_perfect_system_has_no_errors_elsewhere():
    """Catches a threshold above the scores that it should accept."""
    dev, test = ([ideal(each) for each in made_up(seed=seed)] for seed in (1, 2))
    operating = operating_from(sample(dev), source="dev", calibrated=False)
    assert (operating.clip_threshold, operating.frame_threshold) == (1.0, 1.0)
    figures = summarise(sample(test, n_resamples=20), operating)
    assert [find(figures, key) for key in ("hter", "fpr", "fnr", "segment_hter_20ms")] == [0, 0, 0, 0]
    assert [(figure.low, figure.high) for figure in figures if figure.key == "hter"] == [(0, 0)]


@pytest.mark.parametrize("kept", [(REAL,), (FAKE, HYBRID), ()])
def test_a_set_of_one_kind_chooses_nothing(kept):
    """Catches an infinite threshold, or a traceback, for a dev set without real clips."""
    judged = [each for each in made_up() if each.clip.label in kept]
    with pytest.raises(UsageError, match=r"^threshold from dev: expected scored clips[^\n]*one kind$"):
        operating_from(sample(judged), source="dev", calibrated=True)


def test_constant_scores_choose_nothing():
    """Catches a threshold of infinity, which JSON cannot hold."""
    judged = [each for each in made_up() if each.score is not None]
    with pytest.raises(UsageError, match=r"^threshold from dev: expected scores that differ[^\n]*$"):
        operating_from(sample([replace(each, score=0.5) for each in judged]), source="dev", calibrated=True)
    flat = [replace(each, frame_scores=np.zeros_like(each.frame_scores)) for each in judged]
    found = operating_from(sample(flat), source="dev", calibrated=True)
    assert found.frame_threshold is None
    json.dumps(asdict(found), allow_nan=False)


def test_systems_without_frames_have_no_threshold_for_them():
    """Catches an error for score files that hold one number a clip."""
    judged = [replace(each, frame_scores=None) for each in made_up()]
    found = operating_from(sample(judged), source="dev", calibrated=False)
    assert found.frame_threshold is None
    assert found.clip_threshold is not None


def test_frames_become_spans_at_the_threshold():
    """Catches runs that are one frame too long or too short, ends behind the recording, and lost confidences."""
    frames = np.array([-3, 0.5, 2, -1, 0.5], dtype=np.float32)
    found = with_spans(Judged(Clip("a.wav", HYBRID), 1_500, frame_scores=frames), 0.5)
    assert [(span.onset, span.offset, span.label) for span in found.spans] == [(320, 960, FAKE), (1_280, 1_500, FAKE)]
    assert found.spans[0].confidence > found.spans[1].confidence == pytest.approx(0.5 + math.atan(0.5) / math.pi)
    assert with_spans(found, -9.0) is found
    assert with_spans(replace(found, spans=None), 9.0).spans == ()
    nothing = Judged(Clip("a.wav", REAL), 1_500)
    assert with_spans(nothing, 0.5) is nothing
    given = replace(found, spans=(Segment(0, 10),))
    assert with_spans(given, 0.5).spans == (Segment(0, 10),)


def files(folder: Path, contents: dict[str, bytes]) -> tuple[Path, list[Clip]]:
    """A set of recordings, of which only the content matters here."""
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder, [Clip(name, REAL) for name in contents]


def test_a_recording_under_another_name_is_still_the_same(tmp_path):
    """Catches dev and test told apart by their names: thresholds would be chosen on what is tested."""
    tested = files(tmp_path / "test", {"a.wav": b"one", "b.wav": b"two", "c.wav": b"three"})
    choosing = files(tmp_path / "dev", {"x.wav": b"four", "y.wav": b"three", "z.wav": b"one"})
    with pytest.raises(UsageError) as raised:
        check_apart(tested, choosing)
    message = str(raised.value)
    assert "\n" not in message
    assert "received 2 recordings that are in both" in message
    assert "a.wav (z.wav)" in message


def test_sets_that_are_apart_pass_whatever_they_are_called(tmp_path):
    """Catches files compared by name, and a missing file that stops a check which others can answer."""
    tested = files(tmp_path / "test", {"a.wav": b"one", "b.wav": b"two"})
    folder, clips = files(tmp_path / "dev", {"a.wav": b"three"})
    check_apart(tested, (folder, [*clips, Clip("missing.wav", REAL)]))
    check_apart((tested[0], [*tested[1], Clip("missing.wav", REAL)]), (folder, clips))
    check_apart(tested, (folder, []))
    with pytest.raises(UsageError, match="received 2 recordings"):
        check_apart(tested, tested)
