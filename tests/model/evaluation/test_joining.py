"""How scores meet labels: by which ids, with which polarity, and what is refused."""

from __future__ import annotations

import json

import pytest
from score_texts import detection, file_with, frame_lines

from audio.errors import UsageError
from audio.manifest import Clip
from model.evaluation.joining import join
from model.evaluation.scorefiles import ClipScores, Scores, read_scores


def clips_of(**labels):
    return {name: Clip(f"audio/{name}.flac", label) for name, label in labels.items()}


def test_high_scores_end_up_fake(tmp_path):
    """Catches the mistake that turns an EER of 5 % into one of 95 %."""
    labels = clips_of(a="real", b="fake")
    plain = read_scores(file_with(tmp_path, "a 2\nb -3\n"))
    for told, expected in (("real", [-2, 3]), ("fake", [2, -3])):
        rows, notes = join(plain, labels, higher_is=told)
        assert [row.score for row in rows] == expected
        assert notes[0].startswith(f"high scores mean {told}")
        assert any("check the polarity" in note for note in notes) == (told == "fake")
    known = read_scores(file_with(tmp_path, "a - bonafide 2\nb A1 spoof -3\n"))
    assert [row.score for row in join(known, labels)[0]] == [-2, 3]
    rows, notes = join(known, labels, higher_is="fake")
    assert [row.score for row in rows] == [2, -3]
    assert "against the convention" in notes[0]


def test_polarity_is_never_guessed(tmp_path):
    """Catches a default polarity for files that do not say, and probabilities that are turned round."""
    labels = clips_of(a="real")
    with pytest.raises(UsageError, match="does not say"):
        join(read_scores(file_with(tmp_path, "a 2\n")), labels)
    with pytest.raises(UsageError, match="expected real or fake, received 'spoof'"):
        join(read_scores(file_with(tmp_path, "a 2\n")), labels, higher_is="spoof")
    with pytest.raises(UsageError, match="defines"):
        join(read_scores(file_with(tmp_path, "file,real,fake,hybrid\na,1,0,0\n")), labels, higher_is="real")


def test_frames_are_turned_and_their_greatest_is_the_score(tmp_path):
    """Catches a maximum that is taken before the scores are turned."""
    scores = read_scores(file_with(tmp_path, frame_lines("a", [1, -5, 2])))
    ((row,), notes) = join(scores, clips_of(a="fake"), higher_is="real")
    assert row.frame_scores.tolist() == [-1, 5, -2]
    assert (row.score, row.hop_samples, row.n_samples) == (5.0, 320, 960)
    assert "greatest of its frames" in notes[-1]


@pytest.mark.parametrize(
    ("in_scores", "in_labels"),
    [
        ("a", "a"),
        ("a.wav", "a"),
        ("a", "a.FLAC"),
        ("x/y/a.flac", "a"),
        ("x\\y\\a.flac", "a"),
        ("y/a", "y/a.wav"),
        ("a.v2", "b/a.v2.wav"),
    ],
)
def test_ids_match_with_or_without_folder_and_extension(in_scores, in_labels):
    """Catches a score file that loses all its clips because somebody wrote down extensions."""
    pairs = join(scores_of({in_scores: 1.0}), {in_labels: Clip("p", "fake")}, higher_is="fake")
    assert [row.score for row in pairs[0]] == [1.0]


def scores_of(numbers):
    return Scores("made", {name: ClipScores(number) for name, number in numbers.items()}, None)


def test_an_exact_id_goes_before_a_similar_one():
    """Catches `real/1.wav` that gets the score of `fake/1.wav`: the stem alone is not unique."""
    labels = {"real/1.wav": Clip("r", "real"), "fake/1.wav": Clip("f", "fake")}
    rows, _ = join(scores_of({"fake/1.wav": 2.0, "real/1": 1.0}), labels, higher_is="fake")
    assert [(row.clip.path, row.score) for row in rows] == [("r", 1.0), ("f", 2.0)]
    with pytest.raises(UsageError, match="1 of 2 scores have no label"):
        join(scores_of({"fake/1.wav": 2.0, "1.wav": 1.0}), labels, higher_is="fake")
    with pytest.raises(UsageError, match="expected one, received"):
        join(scores_of({"fake/1.wav": 2.0, "real/1": 1.0, "fake/1.flac": 1.0}), labels, higher_is="fake")


def test_missing_ids_are_errors_unless_allowed():
    """Catches a system that is only judged on what it liked to score."""
    labels = clips_of(a="real", b="fake", c="fake")
    for numbers, words in (
        ({"a": 0.0, "b": 1.0}, "1 of 3 labelled clips have no score, the first is 'c'"),
        ({"a": 0.0, "b": 1.0, "c": 1.0, "x": 2.0, "y": 0.0}, "2 of 5 scores have no label, the first is 'x'"),
    ):
        with pytest.raises(UsageError, match=words):
            join(scores_of(numbers), labels, higher_is="fake")
        rows, notes = join(scores_of(numbers), labels, higher_is="fake", allow_missing=True)
        assert [row.score for row in rows] == [numbers[name] for name in labels if name in numbers]
        assert f"left out: {words}" in notes
    with pytest.raises(UsageError, match="received none"):
        join(scores_of({"x": 1.0}), labels, higher_is="fake", allow_missing=True)


def test_a_truth_that_comes_with_the_scores_must_agree(tmp_path):
    """Catches scores of one partition that are joined with the labels of another."""
    scores = read_scores(file_with(tmp_path, "a - bonafide 2\nb A1 spoof -3\nc A1 spoof -3\n"))
    join(scores, clips_of(a="real", b="fake", c="hybrid"))
    with pytest.raises(UsageError, match="1 of 3 that differ, first 'c': fake with the scores, real in the labels"):
        join(scores, clips_of(a="real", b="fake", c="real"))


def test_lengths_come_from_the_clip_first(tmp_path):
    """Catches a length of 0 although somebody knows it."""
    frames = read_scores(file_with(tmp_path, frame_lines("a", [1, 2])))
    plain = scores_of({"a": 1.0})
    for scores, clip, told, expected in (
        (frames, Clip("a", "fake", n_samples=650), {"a": 3}, 650),
        (frames, Clip("a", "fake"), {"a": 645}, 645),
        (frames, Clip("a", "fake"), None, 640),
        (plain, Clip("a", "fake"), None, 0),
    ):
        assert join(scores, {"a": clip}, higher_is="fake", n_samples=told)[0][0].n_samples == expected


def test_abstentions_and_errors_stay_in(tmp_path):
    """Catches clips without a verdict that vanish, which flatters whoever abstains."""
    rows = [detection(None).to_row("a.wav"), {"schema_version": 1, "path": "b.wav", "error": "broken"}]
    scores = read_scores(file_with(tmp_path, "\n".join(map(json.dumps, rows))))
    first, second = join(scores, clips_of(a="real", b="fake"))[0]
    assert (first.score, first.label, first.reasons, first.failed) == (None, None, ("no_speech",), False)
    assert (second.score, second.reasons, second.failed) == (None, ("broken",), True)
