"""`python -m bench.metrics`: whether metrics agree with other people's code, how fast they are, what memory they take.

With `--oracles DIR` it checks them against published figures and reference implementations: `oracles.json` in that
folder says what is expected of the score files beside it. A table in Markdown; the status is 1 when one is out.

And it makes an evaluation of many synthetic frames (of 20 ms; 5 s a clip, 20 clips a speaker; a third of the clips
each real, fake and hybrid) and computes every metric with its interval of 1,000 resamples of speakers, one after the
other, on one core, in this process. Making the data is not timed, but its memory counts.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from audio.labels import FAKE, HYBRID, LABELS, REAL
from audio.segments import SAMPLE_RATE, Segment
from model.evaluation.scorefiles import read_asv_scores
from model.metrics import bootstrap, calibration, cells, classes, costs, ranking, spans

HOP_SAMPLES = SAMPLE_RATE // 50

FRAMES_PER_CLIP = 250

CLIPS_PER_SPEAKER = 20

PUBLISHED_SCORES = "published_scores.npz"
"""Arrays NAME_score (higher for genuine) and NAME_is_fake."""


def main() -> int:
    """Check, measure, print."""
    parser = argparse.ArgumentParser("python -m bench.metrics", description=__doc__)
    parser.add_argument("--oracles", type=Path, help="folder with oracles.json and the score files it speaks of")
    parser.add_argument("--frames", type=int, default=1_000_000, help="0 measures nothing (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the synthetic frames (default: %(default)s)")
    options = parser.parse_args()
    if options.oracles and not (options.oracles / "oracles.json").is_file():
        parser.error(f"{options.oracles}: expected a folder with oracles.json in it")
    if options.frames:
        # First, so that the peak of memory is its own.
        measured = _measure(options.frames, options.seed)
    ok = not options.oracles or _print_checks(list(_checks(options.oracles)))
    if options.frames:
        print(measured)
    return 0 if ok else 1


class Check(NamedTuple):
    """A figure of ours beside somebody else's."""

    figure: str
    expected: float
    received: float
    allowed: float

    @property
    def ok(self) -> bool:
        """Whether the two agree; a figure of ours that is undefined, NaN, never does."""
        return abs(self.received - self.expected) <= self.allowed


def _print_checks(checks: Sequence[Check]) -> bool:
    print("| figure | expected | received | difference | allowed |\n|---|---|---|---|---|")
    for check in checks:
        difference = f"{check.received - check.expected:+.1e}" + ("" if check.ok else " OUT")
        print(f"| {check.figure} | {check.expected:.7g} | {check.received:.7g} | {difference} | {check.allowed:g} |")
    n_out = sum(not check.ok for check in checks)
    print(f"\n{len(checks)} figures, {n_out} out\n")
    return not n_out


def _checks(folder: Path) -> Iterator[Check]:
    facts = json.loads((folder / "oracles.json").read_text(encoding="utf-8"))
    with np.load(folder / PUBLISHED_SCORES) as arrays:
        names = {name.removesuffix("_score") for name in arrays if name.endswith("_score")}
        # Published for the genuine: the sign makes them ours.
        published = {name: (arrays[f"{name}_is_fake"], -arrays[f"{name}_score"]) for name in sorted(names)}
    for name, said in facts["published"].items():
        yield Check(f"{name}: EER, %", said["published_eer_percent"], _percent(*published[name]), 0.01)
    for name, said in facts["asvspoof5_package"].items():
        yield from _challenge_checks(name, said, *published[name.removesuffix("_result.txt").replace(".", "_")])
    yield from _tandem_checks(folder, facts["min_tdcf_2019"], published)
    yield from _localisation_checks(folder, facts["localisation"])


def _percent(is_fake: npt.NDArray, scores: npt.NDArray) -> float:
    return 100 * _number(ranking.equal_error_rate(is_fake, scores))


def _number(figure: float | None) -> float:
    """Turn undefined into NaN, which agrees with nothing."""
    return np.nan if figure is None else figure


def _challenge_checks(name: str, said: dict[str, float], is_fake: npt.NDArray, scores: npt.NDArray) -> Iterator[Check]:
    yield Check(f"{name}: EER, %", said["eer"], _percent(is_fake, scores), 0.01)
    yield Check(f"{name}: minDCF", said["minDCF"], _number(costs.min_dcf(is_fake, scores)), 1e-6)
    yield Check(f"{name}: actDCF", said["actDCF"], _number(costs.actual_dcf(is_fake, scores)), 1e-6)
    yield Check(f"{name}: Cllr", said["cllr"], _number(costs.cllr(is_fake, scores)), 1e-6)


def _tandem_checks(folder: Path, said: dict[str, Any], published: dict[str, Any]) -> Iterator[Check]:
    target, nontarget, spoof = read_asv_scores(folder / said["asv_scores"])
    asv = costs.asv_errors(target, nontarget, spoof=spoof)
    yield Check("speaker verification: EER, %", said["asv_eer_percent"], 50 * (asv.p_fa + asv.p_miss), 0.01)
    for name in sorted(said.keys() & published.keys()):
        is_fake, scores = published[name]
        yield Check(f"{name}: min t-DCF", said[name], _number(costs.min_tdcf(is_fake, scores, asv=asv)), 1e-4)


def _localisation_checks(folder: Path, said: dict[str, Any]) -> Iterator[Check]:
    frames = _frame_scores(folder / said["score_file"])
    labels = [line.split() for line in (folder / said["label_file"]).read_text(encoding="utf-8").splitlines()]
    recordings = [_recording(words, frames[words[0]]) for words in labels]
    for ms in cells.RESOLUTIONS_MS:
        found = cells.gather(recordings, cell_samples=ms * cells.SAMPLES_PER_MS)
        eer = ranking.equal_error_rate(found.is_fake, found.scores)
        yield Check(f"localisation: EER at {ms} ms", said[f"frame_eer_{ms / 1000:.2f}"], _number(eer), 2e-3)
    found = cells.gather(recordings)
    eer = ranking.equal_error_rate(found.is_fake, found.scores, weights=found.weights)
    yield Check("localisation: millisecond EER", said["millisecond_eer"], _number(eer), 2e-3)
    is_fake = [words[2] == "spoof" for words in labels]
    eer = ranking.equal_error_rate(is_fake, [recording.frame_scores.max() for recording in recordings])
    yield Check("localisation: EER of clips, greatest score", said["utt_eer_max_pool"], _number(eer), 2e-3)


def _frame_scores(path: Path) -> dict[str, list[float]]:
    """Read lines `name start end score` in order of time."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [line.split() for line in lines]
    return {name: [float(row[3]) for row in group] for name, group in itertools.groupby(rows, key=lambda row: row[0])}


def _recording(words: Sequence[str], scores: Sequence[float]) -> cells.Recording:
    """Read `name seconds label start-end-label ...`."""
    truth = [
        Segment(_samples(start), _samples(end))
        for start, end, label in (span.split("-") for span in words[3:])
        if label == "spoof"
    ]
    return cells.Recording(np.array(scores), HOP_SAMPLES, _samples(words[1]), truth)


def _samples(seconds: str) -> int:
    return round(float(seconds) * SAMPLE_RATE)


@dataclass(frozen=True, eq=False)
class Data:
    """A made-up evaluation: clips, what they are, and what a passable detector would say of them."""

    labels: list[str]
    recordings: list[cells.Recording]
    found: list[list[Segment]]
    """Proposals with confidences."""
    probabilities: npt.NDArray[np.float64]
    """(n_clips, 3)"""
    resamples: bootstrap.Resamples
    asv: costs.AsvErrors

    @cached_property
    def is_fake(self) -> npt.NDArray[np.bool_]:
        """Whether anything in the clip is fake, (n_clips,)."""
        return np.array([label != REAL for label in self.labels])

    @cached_property
    def hybrid(self) -> npt.NDArray[np.bool_]:
        """(n_clips,)"""
        return np.array([label == HYBRID for label in self.labels])

    @cached_property
    def scores(self) -> npt.NDArray[np.float64]:
        """Log-likelihood ratios of the clips for fake, (n_clips,)."""
        p_fake = np.clip(self.probabilities[:, 1:].sum(axis=1), 1e-9, 1 - 1e-9)
        return np.log(p_fake / (1 - p_fake))

    @cached_property
    def ranked(self) -> spans.Ranking:
        """The proposals of all clips."""
        return spans.rank_proposals(self.found, [recording.truth for recording in self.recordings])


def make(n_frames: int, seed: int) -> Data:
    """Make an evaluation of about `n_frames` frames."""
    rng = np.random.default_rng(seed)
    n_clips = max(3, n_frames // FRAMES_PER_CLIP)
    labels = [LABELS[i % 3] for i in range(n_clips)]
    truths = [_truth(label, rng) for label in labels]
    quality = 0.8 * rng.standard_normal((n_clips, 3))
    logits = quality + 2 * np.eye(3)[[LABELS.index(label) for label in labels]]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    draw = bootstrap.resamples([f"speaker {i // CLIPS_PER_SPEAKER}" for i in range(n_clips)], seed=seed)
    if draw is None:
        raise SystemExit(f"expected frames of two speakers or more, received {n_frames} frames")
    target, nontarget, spoof = rng.normal(3, 1, 5_000), rng.normal(-3, 1, 50_000), rng.normal(0, 2, 50_000)
    asv = costs.asv_errors(target, nontarget, spoof=spoof)
    found = [_found(truth, rng) for truth in truths]
    return Data(labels, [_scored(truth, rng) for truth in truths], found, probabilities, draw, asv)


N_SAMPLES = FRAMES_PER_CLIP * HOP_SAMPLES


def _truth(label: str, rng: np.random.Generator) -> list[Segment]:
    if label == REAL:
        return []
    if label == FAKE:
        return [Segment(0, N_SAMPLES)]
    bounds = np.unique(rng.integers(0, N_SAMPLES, 2 * int(rng.integers(1, 4))))
    return [Segment(a, b) for a, b in zip(bounds[::2].tolist(), bounds[1::2].tolist(), strict=False)]


def _scored(truth: list[Segment], rng: np.random.Generator) -> cells.Recording:
    fake = cells.cell_truth(truth, n_samples=N_SAMPLES, cell_samples=HOP_SAMPLES)
    logits = rng.standard_normal(FRAMES_PER_CLIP, dtype=np.float32) + 2 * fake.astype(np.float32) - 1
    return cells.Recording(1 / (1 + np.exp(-logits)), HOP_SAMPLES, N_SAMPLES, truth)


def _found(truth: list[Segment], rng: np.random.Generator) -> list[Segment]:
    """Find most of the truth, a little off, and now and then something else."""
    bounds = [(s.onset, s.offset) for s in truth if rng.random() < 0.8]
    bounds += [(a, a + SAMPLE_RATE // 2) for a in rng.integers(0, N_SAMPLES, rng.binomial(3, 0.3)).tolist()]
    noise = rng.normal(0, 0.05 * SAMPLE_RATE, (len(bounds), 2)).astype(int).tolist()
    moved = [(max(0, a + da), min(N_SAMPLES, b + db)) for (a, b), (da, db) in zip(bounds, noise, strict=True)]
    return [Segment(a, b, confidence=float(rng.random())) for a, b in moved if a < b]


def _measure(n_frames: int, seed: int) -> str:
    """Time every metric on one core; return the table."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    data = make(n_frames, seed)
    n_speakers = data.resamples.counts.shape[1]
    rows = [
        f"{len(data.recordings) * FRAMES_PER_CLIP} frames, {len(data.recordings)} clips, {n_speakers} speakers,"
        f" {len(data.resamples.counts)} resamples, one core\n",
        "| metric | value [95 % interval] | seconds |\n|---|---|---|",
    ]
    total = 0.0
    for name, metric in _metrics().items():
        started = time.perf_counter()
        value = metric(data)
        seconds = time.perf_counter() - started
        total += seconds
        rows.append(f"| {name} | {value} | {seconds:.2f} |")
    # In kB on Linux, in bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    rows.append(f"| all | | {total:.2f} |\n\nat most {peak:.0f} MB of memory")
    return "\n".join(rows)


def _metrics() -> dict[str, Callable[[Data], str]]:
    places = {f"EER at {ms} ms": ms * cells.SAMPLES_PER_MS for ms in cells.RESOLUTIONS_MS}
    return {
        "accuracy, precision, recall, F1, confusion": _class_figures,
        "EER of clips": _clip_eer,
        "ROC, DET, AUC, HTER": _curves,
        "minDCF, actDCF, Cllr, min t-DCF": _costs,
        "ECE, reliability": _calibration,
        **{name: partial(_segment_eer, cell_samples=samples) for name, samples in places.items()},
        "millisecond EER": partial(_segment_eer, cell_samples=None),
        "precision, recall, F1, IoU of durations, ADD 2023": _duration_figures,
        "AP@tIoU, mAP": _average_precisions,
        "boundary errors": _boundary_errors,
        "recall by length of span": _recall_by_length,
        "false alarms an hour": _false_alarms,
    }


def _told(value: float | None, replicates: npt.NDArray | None = None) -> str:
    """Write a figure with its interval."""
    found = None if replicates is None else bootstrap.interval(replicates)
    text = "-" if value is None else f"{value:.4f}"
    return text if found is None else f"{text} [{found.low:.4f}, {found.high:.4f}]"


def _class_figures(data: Data) -> str:
    verdicts = [LABELS[i] for i in data.probabilities.argmax(axis=1)]
    table = classes.confusion(data.labels, verdicts)
    one_hot = np.zeros((len(verdicts), table.size))
    cell = [LABELS.index(a) * table.shape[1] + LABELS.index(b) for a, b in zip(data.labels, verdicts, strict=True)]
    one_hot[np.arange(len(cell)), cell] = 1
    tables = bootstrap.sums(data.resamples, one_hot).reshape(-1, *table.shape)
    per_class = (classes.precision, classes.recall, classes.f1)
    assert all(len(figure(table)) == len(LABELS) and figure(tables) is not None for figure in per_class)
    both = (_told(figure(table), figure(tables)) for figure in (classes.accuracy, classes.macro_f1))
    return "; ".join(both)


def _clip_eer(data: Data) -> str:
    found = bootstrap.equal_error_interval(
        data.is_fake, data.scores, items=np.arange(len(data.scores)), resamples=data.resamples
    )
    return _with_interval(ranking.equal_error_rate(data.is_fake, data.scores), found)


def _with_interval(value: float | None, found: bootstrap.Interval | None) -> str:
    return _told(value) if found is None else f"{_told(value)} [{found.low:.4f}, {found.high:.4f}]"


def _curves(data: Data) -> str:
    curve = ranking.error_curve(data.is_fake, data.scores)
    assert curve is not None
    auc = ranking.roc_auc(data.is_fake, data.scores)
    rate = ranking.half_total_error_rate(data.is_fake, data.scores, threshold=0.5)
    return f"{len(curve.fpr)} points; {_told(auc)}; {_told(rate)}"


def _costs(data: Data) -> str:
    figures = (costs.min_dcf, costs.actual_dcf, costs.cllr, partial(costs.min_tdcf, asv=data.asv))
    return "; ".join(_told(figure(data.is_fake, data.scores)) for figure in figures)


def _calibration(data: Data) -> str:
    bins = calibration.reliability(data.probabilities, data.labels)
    error = calibration.expected_calibration_error(data.probabilities, data.labels)
    return f"{_told(error)}; {len(bins.count)} bins"


def _segment_eer(data: Data, *, cell_samples: int | None) -> str:
    """Over all clips, and over hybrids only."""
    found = cells.gather(data.recordings, cell_samples=cell_samples)
    return "; ".join(_eer_of_cells(part, data.resamples) for part in (found, found.only(data.hybrid)))


def _eer_of_cells(found: cells.Cells, draw: bootstrap.Resamples) -> str:
    value = ranking.equal_error_rate(found.is_fake, found.scores, weights=found.weights)
    limits = bootstrap.equal_error_interval(
        found.is_fake, found.scores, items=found.items, resamples=draw, weights=found.weights
    )
    return _with_interval(value, limits)


def _duration_figures(data: Data) -> str:
    pairs = zip(data.found, data.recordings, strict=True)
    table = np.array([spans.durations(found, r.truth, n_samples=r.n_samples) for found, r in pairs])
    hit, false_alarm, missed = table.sum(axis=0)[:3].tolist()
    drawn = bootstrap.sums(data.resamples, table)
    figures = (spans.span_precision, spans.span_recall, spans.span_f1, spans.span_iou)
    values = [figure(hit, false_alarm, missed=missed) for figure in figures]
    replicates = [figure(drawn[:, 0], drawn[:, 1], missed=drawn[:, 2]) for figure in figures]
    score = spans.add2023_score(float(np.mean(data.is_fake == (data.scores > 0))), values[2])
    return "; ".join([*map(_told, values, replicates), _told(score)])


def _average_precisions(data: Data) -> str:
    areas = [_number(area) for area in spans.average_precisions(data.ranked)]
    drawn = spans.weighted_average_precision(data.ranked, data.resamples)
    shown = {"0.5": 0, "0.75": 5, "0.95": 9}
    told = [f"@{name} {_told(areas[column], drawn[:, column])}" for name, column in shown.items()]
    return "; ".join([*told, f"m {_told(float(np.mean(areas)), drawn.mean(axis=1))}"])


def _boundary_errors(data: Data) -> str:
    errors = [spans.boundary_errors(found, r.truth) for found, r in zip(data.found, data.recordings, strict=True)]
    onset, offset = (np.abs(np.concatenate(side)) / SAMPLE_RATE for side in zip(*errors, strict=True))
    return f"onset {np.median(onset):.3f} s, offset {np.median(offset):.3f} s; {len(onset)} matched"


def _recall_by_length(data: Data) -> str:
    pairs = zip(data.found, data.recordings, strict=True)
    coverage = [spans.span_recall_by_length(found, recording.truth) for found, recording in pairs]
    lengths, shares = (np.concatenate(side) for side in zip(*coverage, strict=True))
    short = lengths < SAMPLE_RATE
    return f"below 1 s {shares[short].mean():.4f}; from 1 s on {shares[~short].mean():.4f}"


def _false_alarms(data: Data) -> str:
    counts = [
        (spans.false_alarms(found, n_samples=recording.n_samples).n_alarms, recording.n_samples)
        if label == REAL
        else (0, 0)
        for label, found, recording in zip(data.labels, data.found, data.recordings, strict=True)
    ]
    table = np.array(counts)
    drawn = bootstrap.sums(data.resamples, table)
    value = spans.false_alarms_per_hour(*table.sum(axis=0).tolist())
    return _told(value, spans.false_alarms_per_hour(drawn[:, 0], drawn[:, 1]))


if __name__ == "__main__":
    sys.exit(main())
