"""Calibration and operating points of a fresh bundle, from dev clips and never from test.

Three questions, in this order:

1. How sure is the network really? Temperature, class biases and what the frames add to them minimise the negative
   log-likelihood of the clips' classes, each class weighing the same.
2. Which thresholds turn frame scores into spans? Those whose verdicts and spans are best.
3. How much more evidence does an accusation need, so that at most a given share of genuine clips is accused? An
   operating point for each rate; it also says which corpora of dev have most false alarms there, because a user's
   recordings are such a corpus and not a mean of them. What it takes from the accusations makes verdicts of real
   less certain, so that each point has temperatures of its own, one for each verdict: the probability of a verdict
   is how often such verdicts are right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from audio import segments
from audio.errors import ToolkitError
from audio.labels import LABELS, REAL, label_index
from audio.manifest import Clip, fake_spans, resolve
from audio.reading import read
from model import metrics
from model.bundle import Calibration, OperatingPoint, Thresholds
from model.features import FRAME_HOP_SAMPLES
from model.judging.detector import Detector, Evidence, conclude
from model.judging.verdict import Verdict, softmax, tempered
from model.metrics.bootstrap import share_interval

ENTER = tuple(round(0.05 * step, 2) for step in range(4, 19))
"""What is tried for the threshold that opens a span: 0.2 to 0.9."""

EXIT_BELOW_ENTER = (0.0, 0.05, 0.1, 0.15)
"""How far the threshold that ends it may lie below; the last is Silero VAD's rule."""

MOST_SEARCHED = 600
"""Clips that the thresholds are searched on, spread evenly over what was judged: each is read some sixty times."""

TEMPERATURES = (0.2, 5.0)
"""Bounds of the temperature, as a factor: beyond, a network is broken and not over- or underconfident."""

POINT_TEMPERATURES = (0.2, 20.0)
"""Bounds of an operating point's temperature; at 20, all classes are next to equally likely."""

LEAST_VERDICTS = 20
"""Fewer clips with a verdict say nothing of how often it is right."""

LARGEST_SHIFT = 6.0
"""Bound of the class biases and slopes, in nats."""

RATES: Mapping[str, float] = {"5%": 0.05, "1%": 0.01}
"""Operating points: the share of genuine clips that may be called anything but real."""

REAL_BIASES = tuple(round(0.1 * step, 1) for step in range(-30, 121))
"""What is tried for an operating point, in nats."""

LEAST_GENUINE = 20
"""Fewer genuine clips say nothing of a rate of 5 %: they choose no operating point, and such a group is not shown."""


Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """A dev clip, what the network says of it, and which group of recordings it belongs to."""

    clip: Clip
    n_samples: int
    evidence: Evidence
    group: str = ""


@dataclass(frozen=True)
class Calibrated:
    """What dev says about how to read a network's outputs."""

    calibration: Calibration = Calibration()
    operating_points: tuple[OperatingPoint, ...] = (OperatingPoint(),)


def gather(
    bundle: Path,
    place: Path,
    clips: Sequence[Clip],
    *,
    group: str = "",
    title: str = "",
    runtime: str | None = None,
    unreadable: Callable[[ToolkitError], None] | None = None,
) -> list[Judged]:
    """Run the network over the clips of a set; those that it abstains from are left out.

    Parameters
    ----------
    bundle
        Folder of the bundle; what it says of calibration does not matter.
    place
        The manifest, or the folder of a set without one.
    clips
        Those of it to judge.
    group
        What the clips belong to; "" for their origin, where they have one.
    title
        In front of the progress bar.
    runtime
        What runs the network; None: what the bundle was made for.
    unreadable
        Told of recordings that cannot be read, which are left out then; None: the first one is an error.

    Raises
    ------
    ToolkitError
        When a recording cannot be read, or there is no such bundle.
    """
    from tqdm import tqdm

    detector = Detector(bundle, runtime=runtime)
    found = []
    for clip in tqdm(clips, desc=title or "calibrating", unit="clip", disable=None):
        try:
            samples = read(resolve(place, clip))
        except ToolkitError as error:
            if unreadable is None:
                raise
            unreadable(error)
            continue
        evidence = detector.evidence(samples)
        if evidence is not None:
            found.append(Judged(clip, len(samples), evidence, group or clip.traits.get("origin", "")))
    return found


def calibrate(judged: Sequence[Judged], *, has_spans: bool = True) -> Calibrated:
    """Answer the three questions above; without known spans the thresholds stay at their defaults.

    The first operating point is the one with the least error on dev; those of `RATES` follow, where there are enough
    genuine clips.
    """
    if not judged:
        return Calibrated()
    calibration = fit_calibration(judged)
    thresholds = best_thresholds(judged, calibration) if has_spans else Thresholds()
    points = (OperatingPoint(thresholds=thresholds), *points_for(RATES, judged, calibration, thresholds))
    return Calibrated(calibration, tuple(_tempered(point, judged, calibration) for point in points))


def fit_calibration(judged: Sequence[Judged]) -> Calibration:
    """Fit temperature, biases and slopes; those of real are 0, since only differences count.

    A class without clips keeps a bias and a slope of 0, and a single class the temperature 1: nothing is known of them.
    """
    from scipy.optimize import minimize

    logits = np.concatenate([found.evidence.window_logits for found in judged]).astype(np.float64)
    starts = np.cumsum([0, *(len(found.evidence.window_logits) for found in judged[:-1])])
    heard = np.array([found.evidence.mean_frame_score for found in judged])
    truth = np.array([label_index(found.clip.label) for found in judged])
    counts = np.bincount(truth, minlength=len(LABELS))
    if np.count_nonzero(counts) < 2:
        return Calibration()
    weights = 1.0 / counts[truth]
    free = [k for k in range(1, len(LABELS)) if counts[k]] if counts[0] else []

    def unpacked(parameters: npt.NDArray[np.float64]) -> tuple[float, Numbers, Numbers]:
        biases, slopes = np.zeros(len(LABELS)), np.zeros(len(LABELS))
        biases[free], slopes[free] = np.split(parameters[1:], 2)
        return math.exp(parameters[0]), biases, slopes

    def loss(parameters: npt.NDArray[np.float64]) -> float:
        temperature, biases, slopes = unpacked(parameters)
        clips = _clip_probabilities(logits / temperature, starts) * np.exp(biases + np.outer(heard, slopes))
        likelihood = clips[np.arange(len(truth)), truth] / clips.sum(axis=1)
        return float(-(weights * np.log(np.maximum(likelihood, 1e-12))).sum() / weights.sum())

    n = 1 + 2 * len(free)
    low, high = np.log(TEMPERATURES)
    bounds = [(low, high), *[(-LARGEST_SHIFT, LARGEST_SHIFT)] * (n - 1)]
    # Left to itself, the first simplex around 0 is smaller than the tolerance.
    corners = np.vstack([np.zeros(n), 0.5 * np.eye(n)])
    options = {"xatol": 1e-3, "fatol": 1e-7, "maxiter": 4_000, "initial_simplex": corners}
    found = minimize(loss, corners[0], method="Nelder-Mead", bounds=bounds, options=options)
    temperature, biases, slopes = unpacked(found.x)
    return Calibration(round(temperature, 4), tuple(biases.round(4)), tuple(slopes.round(4)))


def _clip_probabilities(logits: npt.NDArray[np.float64], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """`model.judging.verdict.clip_probabilities` of many clips at once, float64 (n_clips, 3).

    `logits` (n_windows, 3) are those of all clips one after the other; the windows of a clip begin at its start.
    """
    combined = np.minimum.reduceat(softmax(logits, temperature=1.0), starts, axis=0)
    real, fake, hybrid = (label_index(label) for label in LABELS)
    combined[:, hybrid] = np.maximum(0.0, 1.0 - combined[:, real] - combined[:, fake])
    return combined / combined.sum(axis=1, keepdims=True)


def _tempered(point: OperatingPoint, judged: Sequence[Judged], calibration: Calibration) -> OperatingPoint:
    """Give a point the temperatures with which each verdict is as sure, on average, as it is often right.

    Each true class weighs the same. Temperature scaling (Guo et al., ICML 2017) of the top label alone, one for each
    label that is the top one; and by its mean, not its likelihood, which a few certain errors would decide.
    """
    verdicts = [_verdict(found, calibration, point) for found in judged]
    truth = np.array([label_index(found.clip.label) for found in judged])
    weights = 1.0 / np.bincount(truth, minlength=len(LABELS))[truth]
    said = np.array([label_index(verdict.label) for verdict in verdicts])
    probabilities = np.array([verdict.probabilities for verdict in verdicts])
    fitted = [_best_temperature(probabilities[said == k], truth[said == k] == k, weights[said == k]) for k in range(3)]
    return replace(point, temperatures=(fitted[0], fitted[1], fitted[2]))


def _best_temperature(probabilities: Numbers, right: npt.NDArray[np.bool_], weights: Numbers) -> float:
    """Fit the temperature of one verdict to clips (n, 3) that got it; 1 for too few of them."""
    if len(right) < LEAST_VERDICTS:
        return 1.0
    share = float(np.average(right, weights=weights))
    low, high = np.log(POINT_TEMPERATURES)
    for _ in range(40):  # the hotter, the less sure: halving finds the place, or the bound it lies behind
        middle = (low + high) / 2.0
        sure = [tempered(each, math.exp(middle)).max() for each in probabilities]
        low, high = (middle, high) if np.average(sure, weights=weights) > share else (low, middle)
    return round(math.exp(high), 4)


def best_thresholds(judged: Sequence[Judged], calibration: Calibration) -> Thresholds:
    """Return those with the highest sum of macro-F1 of the clips and F1 of the fake seconds; ties to the lowest."""
    searched = judged[:: max(1, -(-len(judged) // MOST_SEARCHED))]
    tried = [replace(Thresholds(), enter=e, exit=round(e - below, 2)) for e in ENTER for below in EXIT_BELOW_ENTER]
    return max(tried, key=lambda thresholds: _quality(searched, calibration, OperatingPoint(thresholds=thresholds)))


def _quality(judged: Sequence[Judged], calibration: Calibration, point: OperatingPoint) -> float:
    verdicts = [_verdict(found, calibration, point) for found in judged]
    table = metrics.confusion([found.clip.label for found in judged], [verdict.label for verdict in verdicts])
    return (metrics.macro_f1(table) or 0.0) + _span_f1(judged, verdicts)


def _verdict(found: Judged, calibration: Calibration, point: OperatingPoint) -> Verdict:
    return conclude(found.evidence, calibration, point, hop_samples=FRAME_HOP_SAMPLES, n_samples=found.n_samples)


def _span_f1(judged: Sequence[Judged], verdicts: Sequence[Verdict]) -> float:
    """F1 of the fake samples over all clips; 0 when there are none in truth or verdict."""
    truths = [fake_spans(found.clip, found.n_samples) for found in judged]
    hits = sum(segments.overlap(verdict.spans, truth) for verdict, truth in zip(verdicts, truths, strict=True))
    called = sum(segments.total(verdict.spans) for verdict in verdicts)
    return 2 * hits / max(1, called + sum(map(segments.total, truths)))


def points_for(
    rates: Mapping[str, float],
    judged: Sequence[Judged],
    calibration: Calibration,
    thresholds: Thresholds,
    *,
    temperatures: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> list[OperatingPoint]:
    """Choose an operating point for each rate of false alarms, none without enough genuine clips.

    The least bias with which no more of the genuine clips are accused than the rate allows.

    Parameters
    ----------
    rates
        Share of genuine clips, in (0, 1), by name.
    judged
        Dev clips.
    calibration, thresholds, temperatures
        What goes with the points.
    """
    genuine = [found for found in judged if found.clip.label == REAL]
    if len(genuine) < LEAST_GENUINE:
        return []
    needed = np.array([least_bias(found, calibration, thresholds) for found in genuine])
    points = []
    for name, rate in rates.items():
        bias = _bias_for(rate, needed)
        points.append(OperatingPoint(name, bias, thresholds, _measured(rate, needed > bias, genuine), temperatures))
    return points


def least_bias(found: Judged, calibration: Calibration, thresholds: Thresholds) -> float:
    """Return the least of `REAL_BIASES` from which on a clip is called real; infinite when none is enough."""
    least = math.inf
    for bias in reversed(REAL_BIASES):
        if _verdict(found, calibration, OperatingPoint("tried", bias, thresholds)).label != REAL:
            break
        least = bias
    return least


def _bias_for(rate: float, needs: npt.NDArray[np.float64]) -> float:
    """Return the least bias that leaves at most `rate` of the clips accused."""
    allowed = int(rate * len(needs))
    found = float(np.sort(needs)[len(needs) - 1 - allowed])
    return max(REAL_BIASES) if math.isinf(found) else found


def _measured(rate: float, accused: npt.NDArray[np.bool_], genuine: Sequence[Judged]) -> dict[str, Any]:
    """Say what was asked for and what came out on the clips that chose, with its interval by speaker."""
    interval = share_interval(accused, [found.clip.speaker for found in genuine])
    groups: dict[str, list[bool]] = {}
    for found, is_accused in zip(genuine, accused.tolist(), strict=True):
        groups.setdefault(found.group, []).append(is_accused)
    shares = {name: sum(each) / len(each) for name, each in groups.items() if len(each) >= LEAST_GENUINE}
    return {
        "false_alarms_at_most": rate,
        "false_alarms": float(accused.mean()),
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "genuine_clips": len(genuine),
        "speakers": len({found.clip.speaker for found in genuine if found.clip.speaker}),
        "most_by_group": dict(sorted(shares.items(), key=lambda item: -item[1])[:5]),
    }
