"""Figures of places against samples counted one by one; the metrics themselves are tested in their own room."""

from __future__ import annotations

import statistics
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_judged import HOP, N_FRAMES, made_up

from audio.errors import UsageError
from audio.labels import FAKE, HYBRID, LABELS, REAL
from audio.manifest import Clip
from audio.segments import SAMPLE_RATE, Segment
from model.evaluation.figures import Figure, Operating, sample
from model.evaluation.judged import Judged
from model.evaluation.place_figures import cell_figures, located, recordings, span_figures
from model.metrics.cells import RESOLUTIONS_MS
from model.metrics.spans import T_IOUS

laws = settings(derandomize=True, deadline=None, max_examples=25)


def cells(judged, operating=None, **options) -> dict[str, Figure]:
    return {figure.key: figure for figure in cell_figures(sample(judged, n_resamples=50), operating, **options)}


def spans(judged) -> dict[str, Figure]:
    return {figure.key: figure for figure in span_figures(sample(judged, n_resamples=50))}


def marked(found, n_samples) -> np.ndarray:
    """Which samples lie in any of the spans."""
    mask = np.zeros(n_samples, dtype=bool)
    for span in found or ():
        mask[span.onset : span.offset] = True
    return mask


def judge(true_label, true_spans=(), found=(), *, n_samples=16_000, **more) -> Judged:
    truth = tuple(Segment(*span) for span in true_spans)
    said = tuple(Segment(onset, offset, FAKE, confidence) for onset, offset, confidence in found)
    return Judged(
        Clip("a.wav", true_label, truth, n_samples), n_samples, **{"label": true_label, "spans": said, **more}
    )


def eer(is_fake, scores) -> float:
    """Equal error rate by trying every threshold."""
    is_fake, scores = np.asarray(is_fake), np.asarray(scores)
    genuine, fake = np.sort(scores[~is_fake]), np.sort(scores[is_fake])
    thresholds = np.append(np.inf, np.unique(scores)[::-1])
    fpr = 1 - np.searchsorted(genuine, thresholds) / len(genuine)
    fnr = np.searchsorted(fake, thresholds) / len(fake)
    best = np.argmin(np.round(np.abs(fpr - fnr), 12))
    return (fpr[best] + fnr[best]) / 2


@pytest.mark.parametrize("hybrids", [False, True])
@pytest.mark.parametrize("resolution_ms", RESOLUTIONS_MS)
def test_segment_eer_is_that_of_cells_cut_one_by_one(resolution_ms, hybrids):
    """Catches a resolution in samples instead of ms, means for maxima, and real clips among the hybrids."""
    judged = made_up()
    scores, is_fake, n = [], [], 0
    for each in judged:
        if each.frame_scores is None or (hybrids and each.clip.label != HYBRID):
            continue
        truth, step = marked(each.clip.segments, each.n_samples), resolution_ms * 16
        starts = range(0, int(each.n_samples / step + 0.5) * step, step)
        scores += [each.frame_scores[start // HOP : (start + step) // HOP].max() for start in starts]
        is_fake += [truth[start : start + step].any() for start in starts]
        n += 1
    figure = cells(judged)[f"segment_eer_{resolution_ms}ms" + "_hybrids" * hybrids]
    if all(is_fake):
        assert (figure.value, figure.note) == (None, "needs fake and genuine cells")
    else:
        assert figure.value == pytest.approx(eer(is_fake, scores))
        assert figure.low <= figure.value <= figure.high
    assert (figure.n, figure.unit) == (n, "clips")
    assert f"{resolution_ms} ms" in figure.name


@pytest.mark.parametrize("hybrids", [False, True])
def test_millisecond_eer_weighs_every_sample(hybrids):
    """Catches frames that count once whatever their length, where a join cuts through them."""
    judged = [each for each in made_up(n=33) if each.frame_scores is not None]
    kept = [each for each in judged if each.clip.label == HYBRID or not hybrids]
    scores = np.concatenate([np.repeat(each.frame_scores, HOP) for each in kept])
    is_fake = np.concatenate([marked(each.clip.segments, each.n_samples) for each in kept])
    assert cells(judged)["millisecond_eer" + "_hybrids" * hybrids].value == pytest.approx(eer(is_fake, scores))


def test_cells_at_the_threshold_of_another_set():
    """Catches the clips' threshold taken for the cells', and one chosen on the set that is tested."""
    judged = [each for each in made_up() if each.frame_scores is not None]
    figure = cells(judged, Operating("dev", clip_threshold=0.1, frame_threshold=0.7))["segment_hter_20ms"]
    scores = np.concatenate([each.frame_scores for each in judged])
    frames = [marked(each.clip.segments, each.n_samples).reshape(-1, HOP).any(axis=1) for each in judged]
    is_fake = np.concatenate(frames)
    expected = ((scores[~is_fake] >= 0.7).mean() + (scores[is_fake] < 0.7).mean()) / 2
    assert figure.value == pytest.approx(expected)
    assert "0.7" in figure.note
    assert "dev" in figure.note
    assert "segment_hter_20ms" not in cells(judged, Operating("dev", clip_threshold=0.1))


def test_a_part_is_computed_at_the_resolutions_that_are_wanted():
    """Catches the costly ones computed for every part of a breakdown."""
    assert list(cells(made_up(), resolutions_ms=(160,))) == ["segment_eer_160ms", "segment_eer_160ms_hybrids"]


def test_hybrids_that_do_not_say_where_are_left_out():
    """Catches unknown truth taken for genuine throughout."""
    judged = made_up()
    bare = [replace(each, clip=replace(each.clip, segments=())) for each in judged]
    assert {each.clip.label for each in located(sample(bare)).judged} == {REAL, FAKE}
    assert "segment_eer_20ms_hybrids" not in cells(bare)
    assert "span_f1_hybrids" not in spans(bare)
    assert spans(bare)["span_f1"].n == sum(not each.failed for each in bare if each.clip.label != HYBRID)


def test_frames_of_another_recording_are_refused_with_its_name():
    """Catches a message from which nobody finds the clip among thousands."""
    found = replace(made_up(n=1)[0], frame_scores=np.zeros(7, dtype=np.float32))
    with pytest.raises(UsageError, match=r"^0\.wav: frame scores: expected about 40 frames[^\n]*$"):
        recordings(sample([found]))


@pytest.mark.parametrize("seed", range(3))
def test_seconds_are_those_of_samples_counted_one_by_one(seed):
    """Catches failures that count as missed, abstentions that do not, and false alarms of real clips left out."""
    judged = made_up(seed=seed)
    found = spans(judged)
    for ending, labels in (("", LABELS), ("_hybrids", (HYBRID,))):
        kept = [each for each in judged if not each.failed and each.clip.label in labels]
        said = np.concatenate([marked(each.spans, each.n_samples) for each in kept])
        true = np.concatenate([marked(each.clip.segments, each.n_samples) for each in kept])
        hit, either = (said & true).sum(), (said | true).sum()
        expected = {
            "span_precision": hit / said.sum(),
            "span_recall": hit / true.sum(),
            "span_f1": 2 * hit / (said.sum() + true.sum()),
            "span_iou": hit / either,
        }
        for key, value in expected.items():
            assert found[key + ending].value == pytest.approx(value), key
            assert found[key + ending].n == len(kept)


def test_seconds_that_are_undefined_say_why():
    """Catches a precision of 0 where nothing was found, which no system deserves."""
    silent = spans([judge(REAL), judge(HYBRID, [(0, 100)])])
    assert (silent["span_precision"].value, silent["span_precision"].note) == (None, "nothing was found")
    assert (silent["span_recall"].value, silent["span_f1"].value) == (0, 0)
    real = spans([judge(REAL), judge(REAL)])
    assert (real["span_f1"].value, real["span_recall"].note) == (None, "nothing is fake")


def test_average_precision_of_proposals_ranked_by_hand():
    """Catches proposals that are not pooled by confidence, and thresholds that are shown under another's name."""
    judged = [
        judge(HYBRID, [(1_000, 2_000)], [(1_000, 1_800, 0.9)]),  # tIoU 0.8
        judge(HYBRID, [(0, 1_000)], [(0, 960, 0.5)]),  # tIoU 0.96
        judge(HYBRID, [(0, 1_000)]),
        judge(REAL, (), [(0, 500, 0.7)], label=FAKE),
    ]
    found = spans(judged)
    both, only_second = (1 + 2 / 3) / 3, (1 / 3) / 3
    assert found["ap_50"].value == found["ap_75"].value == pytest.approx(both)
    assert found["ap_95"].value == pytest.approx(only_second)
    n_both = sum(t_iou < 0.8 for t_iou in T_IOUS)
    assert found["map"].value == pytest.approx((n_both * both + (10 - n_both) * only_second) / 10)
    assert (found["map"].n, found["map"].unit) == (3, "true spans")
    assert spans([judge(REAL)])["ap_50"].note == "needs a true span"


def test_a_span_without_a_confidence_stands_for_the_verdict():
    """Catches systems without confidences that get no average precision, or an error."""
    judged = [judge(HYBRID, [(0, 1_000)], [(0, 1_000, None)]), judge(REAL, (), [(0, 500, 0.7)])]
    assert spans(judged)["ap_50"].value == 1
    judged[1] = replace(judged[1], spans=(Segment(0, 500),))
    assert spans(judged)["ap_50"].value == 0.5


def test_boundary_errors_are_seconds_of_hybrids():
    """Catches samples called seconds, signed errors that cancel out, and ends of clips that are fake throughout."""
    judged = [
        judge(HYBRID, [(1_600, 8_000)], [(1_600 + 160, 8_000 - 320, 0.9)]),
        judge(HYBRID, [(1_600, 8_000)], [(1_600 - 800, 8_000 + 480, 0.9)]),
        judge(HYBRID, [(1_600, 8_000)], [(1_600, 8_000, 0.9), (9_000, 9_500, 0.5)]),
        judge(HYBRID, [(1_600, 8_000)], [(7_000, 12_000, 0.9)]),
        judge(FAKE, [(0, 16_000)], [(4_000, 16_000, 0.9)]),
    ]
    found = spans(judged)
    for end, errors in (("onset", (160, 800, 0)), ("offset", (320, 480, 0))):
        assert found[f"{end}_error_mean_s"].value == pytest.approx(sum(errors) / 3 / SAMPLE_RATE)
        assert found[f"{end}_error_median_s"].value == pytest.approx(statistics.median(errors) / SAMPLE_RATE)
        assert (found[f"{end}_error_mean_s"].n, found[f"{end}_error_mean_s"].unit) == (3, "matched spans")
    unmatched = spans([judge(REAL)])["onset_error_mean_s"]
    assert (unmatched.value, unmatched.n) == (None, 0)


def test_recall_by_length_counts_each_span_in_its_band():
    """Catches recall of clips for recall of spans, an edge in two bands, and whole fakes among the long spans."""
    true = [(0, 3_199), (4_000, 7_200), (7_500, 15_500)]  # 0.2 s less a sample, 0.2 s, 0.5 s
    judged = [
        judge(HYBRID, true, [(0, 1_000, 1.0), (4_000, 4_800, 1.0), (7_500, 11_500, 1.0)]),
        judge(HYBRID, [(0, 3_199)], [(0, 3_199, 1.0)]),
        judge(FAKE, [(0, 16_000)], [(0, 16_000, 1.0)]),
    ]
    found = spans(judged)
    assert found["span_recall_0_to_0.2s"].value == pytest.approx(4_199 / 6_398)
    assert (found["span_recall_0_to_0.2s"].n, found["span_recall_0.2_to_0.5s"].n) == (2, 1)
    assert found["span_recall_0.2_to_0.5s"].value == pytest.approx(800 / 3_200)
    assert found["span_recall_0.5_to_1s"].value == pytest.approx(0.5)
    assert found["span_recall_from_2s"].value is None
    assert found["span_recall_from_2s"].note
    assert sum(f.n for key, f in found.items() if key.startswith("span_recall_") and "hybrids" not in key) == 4


def test_the_challenge_score_tells_real_from_the_other_two():
    """Catches a hybrid called fake that counts as wrong, and an abstention that counts as right."""
    judged = [
        judge(REAL),
        judge(HYBRID, [(0, 1_000)], [(0, 500, 0.9)], label=FAKE),
        judge(FAKE, [(0, 16_000)], label=REAL),
        judge(REAL, label=None, spans=None, reasons=("no speech",)),
        judge(FAKE, [(0, 16_000)], label=None, spans=None, reasons=("no speech",)),
    ]
    figure = spans(judged)["add2023"]
    assert figure.value == pytest.approx(0.3 * 2 / 5 + 0.7 * (2 * 500) / (500 + 33_000))
    assert figure.n == 5
    assert "add2023" not in spans([replace(each, label=None) for each in judged])


def test_false_alarms_count_per_clip_and_per_30_seconds():
    """Catches several spans that count as several alarms, hybrids that count, and hours of other clips."""
    minute = 60 * SAMPLE_RATE
    judged = [
        judge(REAL, (), [(0, 100, 0.9), (200, 300, 0.9)], label=HYBRID),
        judge(REAL),
        judge(REAL, (), [(0, 100, 0.9), (minute - 100, minute, 0.9)], n_samples=minute, label=HYBRID),
        judge(HYBRID, [(0, 100)], [(0, 100, 0.9)]),
        judge(REAL, label=None, spans=None, failed=True),
    ]
    figure = spans(judged)["false_alarms_per_hour"]
    assert figure.value == pytest.approx(3 / (62 / 3_600))
    assert figure.n == 3
    assert figure.note.startswith("3 in 0.02 h")


@laws
@given(st.integers(0, 1_000), st.floats(0.01, 10), st.floats(-5, 5))
def test_no_eer_depends_on_the_scale_of_frame_scores(seed, scale, shift):
    """Catches scores that are taken for probabilities: systems of others give logits."""
    judged = [each for each in made_up(n=12, seed=seed) if each.frame_scores is not None]
    # Eighths, so that no two scores become one by rounding.
    coarse = [replace(each, frame_scores=np.round(8 * each.frame_scores)) for each in judged]
    moved = [replace(each, frame_scores=(scale * each.frame_scores + shift).astype(np.float32)) for each in coarse]
    first, second = cells(coarse, resolutions_ms=(20, 160)), cells(moved, resolutions_ms=(20, 160))
    assert first == second


@laws
@given(st.lists(st.tuples(st.integers(0, 3_999), st.integers(1, 4_000)), max_size=4), st.integers(1, 3_999))
def test_cutting_a_recording_in_two_changes_no_seconds(bounds, cut):
    """Catches figures that are means over clips where they should be sums of seconds."""
    whole = judge(HYBRID, [(500, 2_500)], [(onset, min(onset + n, 4_000), 0.5) for onset, n in bounds], n_samples=4_000)
    halves = [_part(whole, 0, cut), _part(whole, cut, 4_000)]
    one, two = spans([whole]), spans(halves)
    for key in ("span_precision", "span_recall", "span_f1", "span_iou"):
        assert one[key].value == (None if two[key].value is None else pytest.approx(two[key].value))


def _part(whole: Judged, onset: int, offset: int) -> Judged:
    def inside(found) -> list[tuple[int, int, float | None]]:
        cut = [(max(s.onset, onset), min(s.offset, offset), s.confidence) for s in found]
        return [(first - onset, last - onset, confidence) for first, last, confidence in cut if first < last]

    true = [span[:2] for span in inside(whole.clip.segments)]
    return judge(HYBRID if true else REAL, true, inside(whole.spans), n_samples=offset - onset)


def test_frames_reach_the_metrics_with_their_own_hop():
    """Catches a hop that is that of our network whatever the system's is."""
    found = replace(made_up(n=1)[0], frame_scores=np.zeros(N_FRAMES // 2, dtype=np.float32), hop_samples=2 * HOP)
    assert recordings(sample([found]))[0].hop_samples == 2 * HOP
