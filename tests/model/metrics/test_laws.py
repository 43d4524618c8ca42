"""What must hold for any input: no order of clips, no scale of scores and no cut of a recording changes a figure."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.segments import Segment, clip_to, from_frames
from model.metrics.cells import Cells, Recording, cell_scores, cell_truth, gather
from model.metrics.ranking import equal_error_rate, equal_error_threshold
from model.metrics.spans import (
    Durations,
    average_precision,
    average_precisions,
    boundary_errors,
    durations,
    mean_average_precision,
    rank_proposals,
    span_f1,
    span_iou,
    span_precision,
    span_recall,
    span_recall_by_length,
)

laws = settings(derandomize=True, deadline=None, max_examples=60)

HOP = 20

CELLS = (None, HOP, 2 * HOP, 8 * HOP)
"""Pieces, and cells that frames fit into."""

SCORE_MAPS: tuple[Callable[[float], float], ...] = (
    lambda x: 3 * x - 7,
    lambda x: x**3,
    lambda x: math.exp(x / 10),
    math.atan,
)
"""Strictly increasing, also in floating point, on whole numbers from -20 to 20."""

CONFIDENCE_MAPS: tuple[Callable[[float], float], ...] = (lambda x: x * x, math.sqrt, lambda x: (1 + x) / 2)
"""Strictly increasing on multiples of 1/8 from 0 to 1."""

Proposals = list[list[Segment]]


def eer(cells: Cells) -> float | None:
    return equal_error_rate(cells.is_fake, cells.scores, weights=cells.weights)


@st.composite
def spans(draw: st.DrawFn, *, n_samples: int, confident: bool = False) -> list[Segment]:
    bounds = draw(st.lists(st.tuples(st.integers(0, n_samples), st.integers(1, n_samples)), max_size=4))
    eighths = st.integers(0, 8).map(lambda k: k / 8) if confident else st.none()
    return [Segment(onset, onset + length, confidence=draw(eighths)) for onset, length in bounds]


@st.composite
def recordings(draw: st.DrawFn) -> Recording:
    n_samples = draw(st.integers(1, 30 * HOP))
    n = -(-n_samples // HOP)
    scores = draw(st.lists(st.integers(-20, 20), min_size=n, max_size=n))
    return Recording(np.array(scores, dtype=np.float64), HOP, n_samples, draw(spans(n_samples=n_samples)))


@st.composite
def proposals_and_truths(draw: st.DrawFn) -> tuple[Proposals, Proposals]:
    n = draw(st.integers(0, 5))
    truths = [draw(spans(n_samples=30)) for _ in range(n)]
    return [draw(spans(n_samples=30, confident=True)) for _ in range(n)], truths


@laws
@given(st.lists(recordings(), max_size=6), st.sampled_from(CELLS), st.randoms(use_true_random=False))
def test_eer_does_not_depend_on_the_order_of_clips(clips, cell_samples, random):
    """Catches ties that are broken by the place of a clip."""
    shuffled = list(clips)
    random.shuffle(shuffled)
    assert eer(gather(shuffled, cell_samples=cell_samples)) == eer(gather(clips, cell_samples=cell_samples))


@laws
@given(st.lists(recordings(), max_size=6), st.sampled_from(CELLS), st.sampled_from(SCORE_MAPS))
def test_eer_does_not_depend_on_the_scale_of_scores(clips, cell_samples, mapping):
    """Catches scores counted in buckets, and a maximum taken of anything but the order."""
    mapped = [
        Recording(np.array([mapping(score) for score in clip.frame_scores]), HOP, clip.n_samples, clip.truth)
        for clip in clips
    ]
    before, after = gather(clips, cell_samples=cell_samples), gather(mapped, cell_samples=cell_samples)
    assert eer(after) == eer(before)
    thresholds = [equal_error_threshold(c.is_fake, c.scores, weights=c.weights) for c in (before, after)]
    if thresholds[0] is not None and math.isfinite(thresholds[0]):
        assert thresholds[1] == mapping(thresholds[0])


@laws
@given(proposals_and_truths(), st.randoms(use_true_random=False))
def test_average_precision_does_not_depend_on_the_order_of_clips_or_spans(sets, random):
    """Catches tied proposals that enter one by one, in whatever order the files were read."""
    proposals, truths = sets
    pairs = [(random.sample(p, len(p)), random.sample(t, len(t))) for p, t in zip(proposals, truths, strict=True)]
    random.shuffle(pairs)
    shuffled = rank_proposals([p for p, _ in pairs], [t for _, t in pairs])
    assert average_precisions(shuffled) == pytest.approx(average_precisions(rank_proposals(proposals, truths)))


@laws
@given(proposals_and_truths(), st.sampled_from(CONFIDENCE_MAPS))
def test_average_precision_does_not_depend_on_the_scale_of_confidences(sets, mapping):
    """Catches an area over confidence instead of recall."""
    proposals, truths = sets
    mapped = [[Segment(s.onset, s.offset, confidence=mapping(s.confidence)) for s in found] for found in proposals]
    for threshold in (0.0, 0.5, 0.9):
        expected = average_precision(proposals, truths, t_iou=threshold)
        assert average_precision(mapped, truths, t_iou=threshold) == expected


@laws
@given(proposals_and_truths())
def test_average_precision_is_a_share_and_falls_with_the_threshold_of_a_single_truth(sets):
    """Catches areas above 1, and a tIoU compared the wrong way round."""
    proposals, truths = sets
    areas = average_precisions(rank_proposals(proposals, truths))
    assert (areas[0] is None) == (sum(map(len, truths)) == 0)
    assert all(area is None or 0 <= area <= 1 for area in areas)
    if sum(map(len, truths)) == 1:
        assert list(areas) == sorted(areas, reverse=True)


@laws
@given(st.data())
def test_durations_do_not_depend_on_where_a_recording_is_cut(data):
    """Catches spans rounded to cells, and a border that belongs to both parts or to none."""
    n_samples = data.draw(st.integers(1, 400))
    found, truth = data.draw(spans(n_samples=n_samples)), data.draw(spans(n_samples=n_samples))
    cell = data.draw(st.integers(1, 50))
    border = cell * data.draw(st.integers(0, n_samples // cell))
    whole = durations(found, truth, n_samples=n_samples)
    parts = [
        durations(clip_to(found, a, b), clip_to(truth, a, b), n_samples=b - a)
        for a, b in ((0, border), (border, n_samples))
    ]
    summed = Durations(*(sum(column) for column in zip(*parts, strict=True)))
    assert summed == whole
    assert sum(whole) == n_samples
    for figure in (span_precision, span_recall, span_f1, span_iou):
        assert figure(summed[0], summed[1], missed=summed[2]) == figure(whole[0], whole[1], missed=whole[2])


@laws
@given(recordings(), st.integers(0, 30), st.sampled_from(CELLS))
def test_cells_do_not_depend_on_where_a_recording_is_cut(clip, place, cell_samples):
    """Catches cells that see behind a border between two of them, and pieces that do not add up."""
    unit = cell_samples or HOP
    border = min(place, clip.n_samples // unit) * unit
    parts = [
        Recording(clip.frame_scores[a // HOP : -(-b // HOP)], HOP, b - a, clip_to(clip.truth, a, b))
        for a, b in ((0, border), (border, clip.n_samples))
        if a < b
    ]
    whole, cut = gather([clip], cell_samples=cell_samples), gather(parts, cell_samples=cell_samples)
    assert eer(cut) == eer(whole)
    if cell_samples is not None:
        assert (cut.scores.tolist(), cut.is_fake.tolist()) == (whole.scores.tolist(), whole.is_fake.tolist())


@laws
@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=30), min_size=1, max_size=5))
def test_what_is_identical_scores_perfectly(masks):
    """Catches a figure that is not at its best when everything was found and nothing else."""
    truths = [from_frames(mask, HOP, len(mask) * HOP) for mask in masks]
    found = [[Segment(s.onset, s.offset, confidence=0.5) for s in truth] for truth in truths]
    clips = [Recording(np.array(m, dtype=np.float32), HOP, len(m) * HOP, t) for m, t in zip(masks, truths, strict=True)]
    for cell_samples in CELLS:
        assert eer(gather(clips, cell_samples=cell_samples)) in (0.0, None)
    assert mean_average_precision(found, truths) == (1.0 if any(truths) else None)
    for ours, truth, mask in zip(found, truths, masks, strict=True):
        hit, false_alarm, missed, _ = durations(ours, truth, n_samples=len(mask) * HOP)
        expected = 1.0 if truth else None
        assert {f(hit, false_alarm, missed=missed) for f in (span_precision, span_recall, span_f1, span_iou)} == {
            expected
        }
        onset, offset = boundary_errors(ours, truth)
        assert len(onset) == len(offset) == len(truth)
        assert not onset.any()
        assert not offset.any()
        assert (span_recall_by_length(ours, truth).share == 1).all()


@laws
@given(recordings(), st.integers(1, 4))
def test_coarser_cells_are_the_greatest_of_finer_ones(clip, factor):
    """Catches a pyramid of resolutions whose levels disagree; holds where the coarse cells are whole."""
    fine, coarse = HOP, factor * HOP
    whole = clip.n_samples // coarse
    shape = {"hop_samples": HOP, "n_samples": clip.n_samples}
    finer = cell_scores(clip.frame_scores, cell_samples=fine, **shape)[: whole * factor].reshape(whole, factor)
    assert cell_scores(clip.frame_scores, cell_samples=coarse, **shape)[:whole].tolist() == finer.max(axis=1).tolist()
    marked = cell_truth(clip.truth, n_samples=clip.n_samples, cell_samples=fine)[: whole * factor]
    expected = marked.reshape(whole, factor).any(axis=1)
    received = cell_truth(clip.truth, n_samples=clip.n_samples, cell_samples=coarse)[:whole]
    assert received.tolist() == expected.tolist()
