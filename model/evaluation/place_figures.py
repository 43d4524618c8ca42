"""Figures of places: which cells of a recording are called fake, and which spans."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from audio.errors import UsageError
from audio.labels import HYBRID, REAL
from audio.segments import SAMPLE_RATE, Segment
from model.evaluation.figures import Figure, Operating, Sample
from model.evaluation.judged import Judged
from model.metrics import spans
from model.metrics.bootstrap import Interval, equal_error_interval, interval, sums
from model.metrics.cells import RESOLUTIONS_MS, Cells, Recording, gather
from model.metrics.ranking import equal_error_rate, half_total_error_rate

CELLS = "Where: cells of one length"
SPANS = "Where: spans"

FINEST_MS = RESOLUTIONS_MS[0]

LENGTH_S = (0.2, 0.5, 1.0, 2.0)
"""Edges of the bands of length of fake spans: a syllable, a word, a phrase."""

AP_SHOWN = (0.5, 0.75, 0.95)
"""Overlaps at which average precision is shown alone: those of LAV-DF, and of CFPRF after it."""

OF_DURATIONS = (
    ("precision", spans.span_precision, "nothing was found"),
    ("recall", spans.span_recall, "nothing is fake"),
    ("f1", spans.span_f1, "nothing is fake, and nothing was found"),
    ("iou", spans.span_iou, "nothing is fake, and nothing was found"),
)
"""Figures of seconds, and why they are undefined where they are."""


def located(given: Sample) -> Sample:
    """Keep the clips whose frames have scores and whose truth is known."""
    return given.only(lambda found: found.frame_scores is not None and found.truth is not None)


def recordings(given: Sample) -> list[Recording]:
    """Return what the metrics of cells want, of clips that `located` keeps.

    Raises
    ------
    UsageError
        Naming the clip, when its frames cannot belong to a recording of its length.
    """
    return [_recording(found) for found in given.judged]


def _recording(found: Judged) -> Recording:
    try:
        return Recording(_given(found.frame_scores), found.hop_samples, found.n_samples, found.truth or [])
    except UsageError as error:
        raise UsageError(f"{found.clip.path}: {error}") from None


def cell_figures(
    given: Sample, operating: Operating | None, *, resolutions_ms: Sequence[int] = RESOLUTIONS_MS
) -> Iterator[Figure]:
    """Yield the segment EER at each resolution and in milliseconds, over all clips and over hybrids.

    Nothing for a system without frame scores. Scores finer than a cell count by their maximum, coarser ones repeat.
    """
    kept = located(given)
    if not kept.judged:
        return
    heard = recordings(kept)
    for resolution_ms in resolutions_ms:
        cells = gather(heard, cell_samples=resolution_ms * SAMPLE_RATE // 1_000)
        yield from _eer_figures(f"segment_eer_{resolution_ms}ms", f"segment EER, {resolution_ms} ms", cells, kept)
        if resolution_ms == FINEST_MS and operating is not None and operating.frame_threshold is not None:
            yield _transferred(cells, operating.frame_threshold, operating.source)
    if resolutions_ms is RESOLUTIONS_MS:
        yield from _eer_figures("millisecond_eer", "millisecond EER", gather(heard), kept)


def _eer_figures(key: str, name: str, cells: Cells, given: Sample) -> Iterator[Figure]:
    hybrids = [found.clip.label == HYBRID for found in given.judged]
    yield _eer_figure(key, f"{name}, all clips", cells, given)
    if any(hybrids):
        yield _eer_figure(f"{key}_hybrids", f"{name}, hybrids only", cells.only(hybrids), given)


def _eer_figure(key: str, name: str, cells: Cells, given: Sample) -> Figure:
    rate = equal_error_rate(cells.is_fake, cells.scores, weights=cells.weights)
    n = len(np.unique(cells.items))
    shown = Figure(key, name, CELLS, rate, n=n, note="" if rate is not None else "needs fake and genuine cells")
    if rate is None or given.drawn is None:
        return shown
    return shown.between(
        equal_error_interval(
            cells.is_fake, cells.scores, items=cells.items, resamples=given.drawn, weights=cells.weights
        )
    )


def _transferred(cells: Cells, threshold: float, source: str) -> Figure:
    value = half_total_error_rate(cells.is_fake, cells.scores, threshold=threshold)
    note = f"at {threshold:.4g}, the EER threshold of {source}"
    key, name = f"segment_hter_{FINEST_MS}ms", f"half total error rate, {FINEST_MS} ms, all clips"
    return Figure(key, name, CELLS, value, n=len(np.unique(cells.items)), note=note)


def span_figures(given: Sample) -> Iterator[Figure]:
    """Yield the figures of the spans that were found, at the system's own threshold; none without spans.

    An abstention found nothing. Seconds are summed over all clips.
    """
    kept = given.only(lambda found: not found.failed and found.truth is not None)
    if not any(found.spans is not None for found in kept.judged):
        return
    yield from _duration_figures(kept, "", "all clips")
    hybrids = kept.of(HYBRID)
    if hybrids.judged:
        yield from _duration_figures(hybrids, "_hybrids", "hybrids only")
        yield from _length_figures(hybrids)
    yield from _precision_figures(kept)
    yield from _boundary_figures(hybrids)
    if any(found.label is not None for found in kept.judged):
        yield _challenge_figure(kept)
    yield _alarm_figure(kept.of(REAL))


def _found(given: Sample) -> list[Sequence[Segment]]:
    return [found.spans or () for found in given.judged]


def _truths(given: Sample) -> list[Sequence[Segment]]:
    return [found.truth or () for found in given.judged]


def _duration_sums(given: Sample) -> npt.NDArray[np.int64]:
    """Hit, false alarm, missed and genuine samples of each clip, int64 (n, 4)."""
    rows = [spans.durations(found.spans or (), found.truth or (), n_samples=found.n_samples) for found in given.judged]
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def _duration_figures(given: Sample, ending: str, clips: str) -> Iterator[Figure]:
    each = _duration_sums(given)
    hit, false_alarm, missed, _ = each.sum(axis=0).tolist()
    drawn = None if given.drawn is None else sums(given.drawn, each).T
    for name, of, missing in OF_DURATIONS:
        shown = {"f1": "F1", "iou": "IoU"}.get(name, name)
        value = of(hit, false_alarm, missed=missed)
        key, note = f"span_{name}{ending}", "" if value is not None else missing
        figure = Figure(key, f"{shown} of fake seconds, {clips}", SPANS, value, n=len(given.judged), note=note)
        yield figure if drawn is None else figure.between(interval(of(drawn[0], drawn[1], missed=drawn[2])))


def _precision_figures(given: Sample) -> Iterator[Figure]:
    """Average precision of the proposals; a span without a confidence counts as 1: it stands for the verdict."""
    proposals = [
        [Segment(s.onset, s.offset, s.label, 1.0 if s.confidence is None else s.confidence) for s in found]
        for found in _found(given)
    ]
    ranking = spans.rank_proposals(proposals, _truths(given))
    areas = spans.average_precisions(ranking)
    drawn = None if given.drawn is None else spans.weighted_average_precision(ranking, given.drawn)

    def figure(key: str, name: str, value: float | None, again: npt.NDArray[np.float64] | None) -> Figure:
        note = "" if value is not None else "needs a true span"
        shown = Figure(key, name, SPANS, value, n=int(ranking.n_truths.sum()), unit="true spans", note=note)
        return shown if again is None else shown.between(interval(again))

    for t_iou in AP_SHOWN:
        place = ranking.t_ious.index(t_iou)
        again = None if drawn is None else drawn[:, place]
        yield figure(f"ap_{round(100 * t_iou)}", f"AP@tIoU {t_iou:g}", areas[place], again)
    known = [area for area in areas if area is not None]
    mean = float(np.mean(known)) if known else None
    yield figure("map", "mAP, tIoU 0.5:0.05:0.95", mean, None if drawn is None else drawn.mean(axis=1))


def _length_figures(given: Sample) -> Iterator[Figure]:
    """Recall of fake seconds in spans of similar length: short ones are what a network misses first."""
    found = [spans.span_recall_by_length(*pair) for pair in zip(_found(given), _truths(given), strict=True)]
    edges = (0.0, *LENGTH_S, math.inf)
    for low_s, high_s in itertools.pairwise(edges):
        each = np.array([_covered(one, low_s * SAMPLE_RATE, high_s * SAMPLE_RATE) for one in found])
        covered, fake, n_spans = each.reshape(-1, 3).sum(axis=0)
        key = f"span_recall_from_{low_s:g}s" if math.isinf(high_s) else f"span_recall_{low_s:g}_to_{high_s:g}s"
        band = f"from {low_s:g} s" if math.isinf(high_s) else f"{low_s:g} to {high_s:g} s"
        value, note = (float(covered / fake), "") if fake else (None, "needs a true span of this length")
        name = f"recall of fake seconds, spans of {band}, hybrids only"
        shown = Figure(key, name, SPANS, value, n=int(n_spans), unit="true spans", note=note)
        yield shown.between(_ratio_interval(given, each[:, :2])) if fake else shown


def _covered(found: spans.Coverage, low: float, high: float) -> tuple[float, float, float]:
    """Found samples, samples and number of the true spans of a clip with a length in [low, high)."""
    inside = (found.n_samples >= low) & (found.n_samples < high)
    lengths = found.n_samples[inside]
    return float((found.share[inside] * lengths).sum()), float(lengths.sum()), float(inside.sum())


def _ratio_interval(given: Sample, each: npt.NDArray[np.float64]) -> Interval | None:
    if given.drawn is None:
        return None
    above, below = sums(given.drawn, each).T
    return interval(np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0))


def _boundary_figures(given: Sample) -> Iterator[Figure]:
    """Errors of the ends of spans in hybrids: a clip that is fake throughout has no end to find."""
    pairs = [spans.boundary_errors(*pair) for pair in zip(_found(given), _truths(given), strict=True)]
    for end in ("onset", "offset"):
        errors = np.abs(np.concatenate([np.zeros(0), *(getattr(pair, end) for pair in pairs)])) / SAMPLE_RATE
        for name, of in (("median", np.median), ("mean", np.mean)):
            value = float(of(errors)) if errors.size else None
            note = f"spans that match one with tIoU above {spans.MATCHED_ABOVE:g}"
            yield Figure(
                *(f"{end}_error_{name}_s", f"{name} error of {end}s, seconds, hybrids only", SPANS, value),
                n=int(errors.size),
                unit="matched spans",
                note=note,
            )


def _challenge_figure(given: Sample) -> Figure:
    """Return the score of ADD 2023 track 2; a sentence is right when real is told from the other two."""
    right = [found.label is not None and (found.label == REAL) == (found.clip.label == REAL) for found in given.judged]
    hit, false_alarm, missed, _ = _duration_sums(given).sum(axis=0).tolist()
    score = spans.add2023_score(float(np.mean(right)), spans.span_f1(hit, false_alarm, missed=missed))
    note = "0.3 sentence accuracy + 0.7 F1 of fake seconds"
    return Figure("add2023", "ADD 2023 track 2 score", SPANS, score, n=len(right), note=note)


def _alarm_figure(given: Sample) -> Figure:
    """False alarms an hour of real recordings: a verdict that is not real, or in long ones the 30 s with a span."""
    counted = [_alarms(found) for found in given.judged]
    n_samples = [found.n_samples for found in given.judged]
    rate = spans.false_alarms_per_hour(sum(counted), sum(n_samples))
    hours = sum(n_samples) / SAMPLE_RATE / 3_600
    note = f"{sum(counted)} in {hours:.2f} h of real recordings; one per clip, in long ones per 30 s"
    shown = Figure("false_alarms_per_hour", "false alarms an hour", SPANS, rate, n=len(counted), note=note)
    return shown.between(_alarm_interval(given, counted, n_samples))


def _alarms(found: Judged) -> int:
    """Count the false alarms in a real recording; a verdict that is not real is one even without a span."""
    counted = spans.false_alarms(found.spans or (), n_samples=found.n_samples).n_alarms
    return max(counted, int(found.label not in (REAL, None)))


def _alarm_interval(given: Sample, counted: list[int], n_samples: list[int]) -> Interval | None:
    if given.drawn is None:
        return None
    alarms, samples = sums(given.drawn, np.array([counted, n_samples], dtype=np.int64).T).T
    return interval(spans.false_alarms_per_hour(alarms, samples))


def _given(scores: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float32]:
    return np.zeros(0, dtype=np.float32) if scores is None else scores
