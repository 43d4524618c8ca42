"""Selection and fitting, beside definitions and on problems whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audio.errors import ManifestError, ModelError
from audio.labels import LABELS
from audio.manifest import Clip
from model.bundle import CLASSICAL, Bundle
from model.classical.heads import load_head, save_head
from model.classical.pipelines import SYSTEMS, Recipe, fit_head, thinned
from model.classical.selection import SELECTIONS, mutual_information, selected, uncorrelated
from model.classical.stack import clip_names, frame_names, told
from model.classical.system import LEAST_PROBABILITY, clip_logits
from model.training import stacking
from model.training.classical import Rows
from model.training.examples import TrainingSet


def problem(n: int = 240, n_classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Ten features: the class moves the third, the last repeats the first, the fifth is constant."""
    rng = np.random.default_rng(seed)
    classes = np.arange(n) % n_classes
    rows = rng.standard_normal((n, 10))
    rows[:, 2] += 6.0 * classes
    rows[:, 9] = 3.0 - 100.0 * rows[:, 0]
    rows[:, 4] = 7.0
    return rows.astype(np.float32), classes.astype(np.int64)


def test_what_repeats_or_never_changes_is_dropped():
    rows, _ = problem()
    assert uncorrelated(rows).tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    kept = uncorrelated(rows, most=0.05)
    correlation = np.abs(np.corrcoef(rows[:, kept].T.astype(np.float64))) - np.eye(len(kept))
    assert correlation.max() <= 0.05


def test_mutual_information_finds_what_tells():
    rows, classes = problem()
    found = mutual_information(rows, classes, seed=1)
    assert found.argmax() == 2
    assert found[2] == pytest.approx(np.log(2), abs=0.05), "two classes that hardly overlap"
    assert np.delete(found, 2).max() < 0.15
    np.testing.assert_array_equal(found, mutual_information(rows, classes, seed=1))


def test_the_most_informative_are_kept(monkeypatch):
    from model.classical import selection

    monkeypatch.setattr(selection, "N_INFORMATIVE", 1)
    rows, classes = problem()
    assert selected(rows, classes, how="mutual-information", seed=1).tolist() == [2]
    assert len(selected(rows, classes, how="none", seed=1)) == 10


def test_rows_are_thinned_evenly():
    rows, classes = problem(300)
    few, which = thinned(rows, np.minimum(classes, np.arange(300) % 3 % 2), most=60, seed=1)
    assert (len(few), np.bincount(which).tolist()) == (60, [30, 30])
    assert thinned(rows, classes, most=300, seed=1)[0] is rows


@pytest.mark.parametrize(("n_classes", "selection"), [(2, SELECTIONS[0]), *((3, each) for each in SELECTIONS)])
@pytest.mark.parametrize("name", SYSTEMS)
def test_each_system_learns_and_reads_back_what_it_was(name, selection, n_classes, tmp_path):
    """Catches features that are scaled or selected one way when fitting and another when judging."""
    rows, classes = problem(n_classes=n_classes)
    head = fit_head(rows, classes, Recipe(name, 1, selection))
    new_rows, new_classes = problem(n_classes=n_classes, seed=9)
    found = head.probabilities(new_rows)
    assert (found.argmax(axis=1) == new_classes).mean() > 0.7
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-6)
    again = fit_head(rows, classes, Recipe(name, 1, selection))
    np.testing.assert_array_equal(again.probabilities(new_rows), found)
    names = [f"f{i}" for i in range(10)]
    files, facts = save_head(head, tmp_path, "clip"), {"heads": {"clip": head.facts(names)}}
    bundle = Bundle(tmp_path, "x", 640, 320, kind=CLASSICAL, files=files, system=facts)
    np.testing.assert_array_equal(load_head(bundle, "clip", names).probabilities(new_rows), found)


def test_a_class_of_two_is_too_few_and_one_that_is_missing_is_unlikely():
    rows, classes = problem()
    with pytest.raises(ModelError, match=r"3 examples each\. Received: 238 of class 0, 2 of class 1"):
        fit_head(rows, (np.arange(240) < 2).astype(np.int64), Recipe("logistic"))
    logits = clip_logits(fit_head(rows, 2 * classes, Recipe("logistic")), rows[0])
    assert logits[1] == pytest.approx(np.log(LEAST_PROBABILITY))
    assert logits[0] > logits[2]


def test_what_members_say_is_laid_out_finite():
    said = [(np.array([0.0, 1.0, 0.5], np.float32), np.array([50.0, -50.0, 0.0], np.float32))] * 2
    found = told(said)
    assert found.frames.shape == (3, len(frame_names(2)))
    assert found.clip.shape == (len(clip_names(2)),)
    assert np.isfinite(found.frames).all()
    assert np.isfinite(found.clip).all()
    np.testing.assert_allclose(found.frames[2], 0.0, atol=1e-6)
    np.testing.assert_allclose(found.clip[0], 0.0, atol=1e-6)
    louder = told([(scores, logits + 7) for scores, logits in said])
    np.testing.assert_allclose(louder.clip, found.clip, atol=1e-6)


def clips(n_speakers: int = 5) -> tuple[Clip, ...]:
    return tuple(
        Clip(path=f"{i}.wav", label=LABELS[i % 3], segments=(), n_samples=1, speaker=f"s{i * i % n_speakers}")
        for i in range(60)
    )


def test_folds_hold_each_clip_once_and_never_share_a_speaker():
    some = clips()
    dealt = stacking.folds(some, n_folds=3, seed=1)
    assert sorted(np.concatenate(dealt).tolist()) == list(range(60))
    heard = [{some[i].speaker for i in fold} for fold in dealt]
    assert sum(map(len, heard)) == len(set.union(*heard))
    np.testing.assert_equal(dealt, stacking.folds(some, n_folds=3, seed=1))
    with pytest.raises(ManifestError, match="clips of two speakers or more"):
        stacking.folds([replace(clip, speaker="one") for clip in some], n_folds=3, seed=1)


def test_no_member_tells_of_a_speaker_that_it_was_fitted_on(tmp_path, monkeypatch):
    """The point of a stack: catches predictions that are not out of fold."""
    train = tuple(replace(clip, split="train") for clip in clips())
    pairs: list[tuple[set[str], set[str]]] = []
    fitted_on: list[set[str]] = []

    def anew(member, training_set, place):
        fitted_on.append({clip.speaker for clip in training_set.split("train").clips})

    def gather(batches, describe, *, n_windows, title):
        pairs.append((fitted_on[-1], {clip.speaker for clip in batches.training_set.clips}))
        return Rows(*(np.zeros((1, 1)) for _ in range(4)))

    monkeypatch.setattr(stacking, "fitted_anew", anew)
    monkeypatch.setattr(stacking, "gather_rows", gather)
    settings = stacking.StackSettings("x", ("a", "b"), stack_folds=3)
    member = stacking.Member(Bundle(tmp_path, "a", 640, 320), {})
    stacking.out_of_fold(TrainingSet(tmp_path, train, True), [member], settings, tmp_path)
    assert len(pairs) == 3
    assert not any(on & of for on, of in pairs)
    assert set.union(*(of for _, of in pairs)) == {clip.speaker for clip in train}
