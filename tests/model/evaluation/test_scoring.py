"""Judging the clips of a set, each once: what the journal remembers, and when it must not be believed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_model import RATE, voice, write_tiny_bundle
from tiny_set import SPANS, write_tiny_set

from audio.errors import EngineError, ModelError
from audio.labels import FAKE, HYBRID, LABELS, REAL
from audio.manifest import Clip, read_manifest, resolve
from audio.reading import read, write_wav
from audio.segments import Segment
from model.evaluation import scoring
from model.evaluation.judged import Judged
from model.evaluation.scoring import Judge
from model.judging.detector import Detection, Detector

CUT = 4_000
"""Samples that `cut` takes off the beginning."""

Recordings = Sequence[tuple[np.ndarray, Clip]]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The folder of a tiny set that nobody changes."""
    return write_tiny_set(tmp_path_factory.mktemp("made") / "set")


@pytest.fixture
def place(made, tmp_path) -> Path:
    """The manifest of a copy of the tiny set."""
    return Path(shutil.copytree(made, tmp_path / "set")) / "manifest.jsonl"


@pytest.fixture
def clips(place) -> list[Clip]:
    """The six clips of the test split, the classes in turn."""
    return [clip for clip in read_manifest(place) if clip.split == "test"]


@pytest.fixture
def calls(monkeypatch) -> list[int]:
    """The length of each recording that the detector was given."""
    heard: list[int] = []
    detect = Detector.detect

    def counted(self: Detector, samples: np.ndarray) -> Detection:
        heard.append(len(samples))
        return detect(self, samples)

    monkeypatch.setattr(Detector, "detect", counted)
    return heard


def cut(recordings: Recordings) -> list[tuple[np.ndarray, Clip]]:
    """Take the beginning off, and move the truth."""
    return [(samples[CUT:], earlier(clip, len(samples) - CUT)) for samples, clip in recordings]


def earlier(clip: Clip, n_samples: int) -> Clip:
    spans = tuple(replace(s, onset=max(0, s.onset - CUT), offset=s.offset - CUT) for s in clip.segments)
    return replace(clip, segments=spans, n_samples=n_samples)


def no_ffmpeg(recordings: Recordings) -> Recordings:
    """Do what a codec does on a machine without ffmpeg."""
    raise EngineError("ffmpeg: expected on the PATH, received nothing")


def facts(found: Judged) -> tuple:
    """Everything in a judgement, its arrays as bytes, so that equal means equal bit for bit."""
    frames = None if found.frame_scores is None else (found.frame_scores.dtype.str, found.frame_scores.tobytes())
    named = {name: getattr(found, name) for name in Judged.__slots__ if name != "frame_scores"}
    return (*named.items(), frames)


def same(some: Sequence[Judged], others: Sequence[Judged]) -> bool:
    return list(map(facts, some)) == list(map(facts, others))


# What is said


@pytest.mark.parametrize("remembered", [False, True], ids=["fresh", "from the journal"])
@pytest.mark.parametrize("label", LABELS)
def test_what_the_detector_says_arrives_bit_for_bit(place, clips, tiny_bundle, tmp_path, label, remembered):
    """Catches figures from rounded numbers: scores that went through JSON as decimals, or frames as float64."""
    clip = next(clip for clip in clips if clip.label == label)
    judge = Judge(tiny_bundle, tmp_path / "out")
    for _ in range(1 + remembered):
        (found,) = judge.judge(place, [clip])
    said = Detector(tiny_bundle).detect(resolve(place, clip))
    assert found.label == said.label == label
    assert found.probabilities == tuple(said.probabilities[name] for name in LABELS)
    assert found.score == said.score
    assert found.frame_scores.dtype == np.dtype("float32")
    assert found.frame_scores.tobytes() == said.frame_scores.tobytes()
    assert found.hop_samples / RATE == said.frame_hop_s
    spans = [(s.onset / RATE, s.offset / RATE, s.label, s.confidence) for s in found.spans]
    assert spans == [span[:4] for span in said.segments]
    assert (found.clip, found.n_samples, found.failed, found.reasons) == (clip, 24_000, False, ())


def test_the_score_is_what_is_not_real(place, clips, tiny_bundle):
    """Catches turned polarity, and P(fake) alone as the score, for which a hybrid would be real."""
    found = Judge(tiny_bundle).judge(place, clips)
    by_class = {label: [each.score for each in found if each.clip.label == label] for label in LABELS}
    assert max(by_class[REAL]) < 0.5 < min(by_class[FAKE] + by_class[HYBRID])


def test_an_abstention_has_a_reason_and_nothing_else(place, clips, tiny_bundle):
    """Catches an abstention taken for a failure, and zeros in place of scores."""
    write_wav(resolve(place, clips[0]), np.zeros(24_000, dtype=np.float32))
    found = Judge(tiny_bundle).judge(place, clips[:2])[0]
    assert (found.reasons, found.failed, found.n_samples) == (("no_speech",), False, 24_000)
    unsaid = (found.label, found.score, found.probabilities, found.frame_scores, found.spans)
    assert unsaid == (None,) * 5


def test_a_length_that_the_set_does_not_know_is_measured(place, clips, tiny_bundle):
    """Catches evaluations of tables and plain folders, whose clips have no length, without any seconds."""
    (found,) = Judge(tiny_bundle).judge(place, [replace(clips[1], n_samples=0, segments=())])
    assert (found.n_samples, found.truth) == (24_000, [Segment(0, 24_000)])


# Each once


def test_nothing_is_judged_twice(place, clips, tiny_bundle, tmp_path, calls):
    """Catches a journal that is written and not read, and results that differ by where they come from."""
    first = Judge(tiny_bundle, tmp_path / "out").judge(place, clips)
    assert len(calls) == len(clips)
    again = Judge(tiny_bundle, tmp_path / "out").judge(place, clips[::-1])
    assert len(calls) == len(clips)
    assert same(first, again[::-1])


def test_a_changed_recording_is_judged_again(place, clips, tiny_bundle, tmp_path, calls):
    """Catches clips known by their path alone."""
    judge = Judge(tiny_bundle, tmp_path / "out")
    before = judge.judge(place, clips)
    write_wav(resolve(place, clips[0]), voice(np.random.default_rng(9), 1.0, fake_s=[(0, 1)]))
    calls.clear()
    after = judge.judge(place, clips)
    assert calls == [16_000]
    assert (before[0].label, after[0].label) == (REAL, FAKE)
    assert same(before[1:], after[1:])


def test_a_changed_model_judges_again(place, clips, tmp_path, calls):
    """Catches yesterday's scores, or yesterday's network still in memory, for a model trained anew in its place."""
    bundle = write_tiny_bundle(tmp_path / "bundle")
    before = Judge(bundle, tmp_path / "out").judge(place, clips[:2])
    write_tiny_bundle(bundle, clip_weights=np.array([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]]))
    after = Judge(bundle, tmp_path / "out").judge(place, clips[:2])
    assert len(calls) == 4
    assert [found.label for found in before] == [REAL, FAKE]
    assert [found.label for found in after] == [REAL, REAL]
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_rows_of_another_version_are_not_read(place, clips, tiny_bundle, tmp_path, calls, monkeypatch):
    """Catches an update of the toolkit that refuses the folders of the one before, or reads its rows."""
    Judge(tiny_bundle, tmp_path / "out").judge(place, clips)
    monkeypatch.setattr(scoring, "VERSION", scoring.VERSION + 1)
    Judge(tiny_bundle, tmp_path / "out").judge(place, clips)
    assert len(calls) == 2 * len(clips)


def test_a_killed_run_goes_on_where_it_was(place, clips, tiny_bundle, tmp_path, monkeypatch, calls):
    """Catches results that are written down only at the end."""
    judge = Judge(tiny_bundle, tmp_path / "out")
    counted = Detector.detect

    def killed(self: Detector, samples: np.ndarray) -> Detection:
        if len(calls) == 4:
            raise KeyboardInterrupt
        return counted(self, samples)

    with monkeypatch.context() as patch:
        patch.setattr(Detector, "detect", killed)
        with pytest.raises(KeyboardInterrupt):
            judge.judge(place, clips)
    resumed = judge.judge(place, clips)
    assert len(calls) == len(clips)
    assert same(resumed, Judge(tiny_bundle).judge(place, clips))


def test_without_a_folder_nothing_is_kept(place, clips, tiny_bundle, tmp_path, monkeypatch):
    """Catches files in the working folder that nobody asked for."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    Judge(tiny_bundle).judge(place, clips)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("alter", [None, cut])
def test_two_workers_say_what_one_says(place, clips, tiny_bundle, tmp_path, alter, monkeypatch):
    """Catches results in the order in which workers finish, and a judge that does not travel to another process."""
    monkeypatch.setattr(scoring, "CLIPS_PER_ITEM", 2)
    one = Judge(tiny_bundle, tmp_path / "one").judge(place, clips, alter=alter)
    two = Judge(tiny_bundle, tmp_path / "two", workers=2).judge(place, clips, alter=alter)
    assert [found.clip.path for found in two] == [clip.path for clip in clips]
    assert same(one, two)


# Recordings that cannot be judged


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(Path.unlink, "No such file"), (lambda path: path.write_bytes(b"no sound" * 99), "wav")],
    ids=["missing", "damaged"],
)
def test_an_unreadable_clip_is_told_and_tried_again(place, clips, tiny_bundle, tmp_path, spoil, message, calls):
    """Catches a whole evaluation that dies of one file, a file that counts as judged, and an error that is kept."""
    path, whole = resolve(place, clips[2]), resolve(place, clips[2]).read_bytes()
    spoil(path)
    judge = Judge(tiny_bundle, tmp_path / "out")
    found = judge.judge(place, clips)
    assert [each.failed for each in found] == [False, False, True, False, False, False]
    assert message in found[2].reasons[0]
    assert str(path) in found[2].reasons[0]
    assert (found[2].label, found[2].score, found[2].n_samples, found[2].clip) == (None, None, 24_000, clips[2])
    path.write_bytes(whole)
    calls.clear()
    assert not any(each.failed for each in judge.judge(place, clips))
    assert len(calls) == 1


def test_one_broken_clip_leaves_the_others_of_its_chunk(place, clips, tiny_bundle, tmp_path):
    """Catches 31 good recordings that are lost with the one they were altered together with, or rows that slip by one
    clip behind it."""
    whole = Judge(tiny_bundle).judge(place, clips, alter=cut)
    resolve(place, clips[1]).write_bytes(b"no sound" * 99)
    found = Judge(tiny_bundle, tmp_path / "out").judge(place, clips, alter=cut)
    assert [each.failed for each in found] == [False, True, False, False, False, False]
    assert "1.wav" in found[1].reasons[0]
    assert same([found[0], *found[2:]], [whole[0], *whole[2:]])


@pytest.mark.parametrize("per_item", [1, 4, 32])
def test_without_ffmpeg_nothing_is_judged_and_all_is_tried_again(
    place, clips, tiny_bundle, tmp_path, monkeypatch, per_item, calls
):
    """Catches a crash, one error for a chunk of clips that is taken for one clip, and codecs that stay failed when
    ffmpeg is there at last."""
    monkeypatch.setattr(scoring, "CLIPS_PER_ITEM", per_item)
    judge = Judge(tiny_bundle, tmp_path / "out")
    found = judge.judge(place, clips, alter=no_ffmpeg, name="codec")
    assert [(each.clip, each.failed, each.reasons) for each in found] == [
        (clip, True, ("ffmpeg: expected on the PATH, received nothing",)) for clip in clips
    ]
    assert not any(each.failed for each in judge.judge(place, clips, alter=cut, name="codec"))
    assert len(calls) == len(clips)


def test_a_path_out_of_the_set_is_not_opened(place, clips, tiny_bundle, tmp_path, calls):
    """Catches a set from a stranger that has us read, hash or judge other files."""
    write_wav(tmp_path / "secret.wav", voice(np.random.default_rng(0), 1.5))
    resolve(place, clips[0]).unlink()
    (place.parent / clips[0].path).symlink_to(tmp_path / "secret.wav")
    (found,) = Judge(tiny_bundle).judge(place, clips[:1])
    assert found.failed
    assert "leads out of the set's folder" in found.reasons[0]
    assert calls == []


def test_no_model_is_one_error_at_once(tmp_path):
    with pytest.raises(ModelError):
        Judge(tmp_path)


# Truth, moved and corrected


@pytest.mark.parametrize("per_item", [1, 32])
def test_altered_clips_keep_moved_truth(place, clips, tiny_bundle, tmp_path, monkeypatch, per_item):
    """Catches spans of the recording as it was beside scores of the recording as it is, fresh or from the journal."""
    monkeypatch.setattr(scoring, "CLIPS_PER_ITEM", per_item)
    judge = Judge(tiny_bundle, tmp_path / "out")
    first = judge.judge(place, clips, alter=cut, name="cut")
    again = judge.judge(place, clips, alter=cut, name="cut")
    assert same(first, again)
    for found, clip in zip(first, clips, strict=True):
        spans = tuple(Segment(max(0, onset - CUT), offset - CUT) for onset, offset in SPANS[clip.label])
        assert found.clip == replace(clip, segments=spans, n_samples=24_000 - CUT)
        (direct,) = [Detector(tiny_bundle).detect(read(resolve(place, clip))[CUT:])]
        assert found.frame_scores.tobytes() == direct.frame_scores.tobytes()


def test_altered_and_plain_judgements_are_kept_apart(place, clips, tiny_bundle, tmp_path):
    """Catches corrupted scores in the clean figures."""
    judge = Judge(tiny_bundle, tmp_path / "out")
    judge.judge(place, clips, alter=cut, name="cut")
    assert same(judge.judge(place, clips), Judge(tiny_bundle).judge(place, clips))
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize("alter", [None, cut])
def test_a_corrected_label_counts_at_once(place, clips, tiny_bundle, tmp_path, alter: Callable | None):
    """Catches truth from the journal: a label or a span that was corrected in the manifest, and evaluated as it was."""
    judge = Judge(tiny_bundle, tmp_path / "out")
    judge.judge(place, [clips[0], clips[2]], alter=alter)
    corrected = [
        replace(clips[0], label=FAKE, segments=(Segment(0, 24_000),)),
        replace(clips[2], segments=(Segment(6_000, 20_000),)),
    ]
    found = judge.judge(place, corrected, alter=alter)
    assert [each.clip for each in found] == [earlier(c, 24_000 - CUT) if alter else c for c in corrected]
    assert [each.clip.label for each in found] == [FAKE, HYBRID]
