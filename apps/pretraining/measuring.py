"""What the card says in numbers of judged clips: figures with intervals, by speaker, at the default operating point.

Those that an evaluation has are taken from there (`model.evaluation`); beside them stand shares of accused and missed
clips, the loss under a corruption, and intervals for what has none there. Fake is the positive class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from audio.labels import FAKE, HYBRID, LABELS, REAL
from audio.segments import SAMPLE_RATE
from model.evaluation.clip_figures import one_table_each, ranking_figures, verdict_figures
from model.evaluation.figures import Figure, Sample
from model.evaluation.judged import Judged
from model.evaluation.place_figures import FINEST_MS, cell_figures, span_figures
from model.metrics.bootstrap import Interval, interval, share_interval, sums
from model.metrics.calibration import Reliability, expected_calibration_error, reliability
from model.metrics.classes import macro_f1
from model.metrics.selective import area_under_risk_coverage, coverage_at_risk, risk_coverage
from model.metrics.spans import boundary_errors

SEGMENT_EER = f"segment_eer_{FINEST_MS}ms"
SEGMENT_EER_HYBRIDS = f"{SEGMENT_EER}_hybrids"

OF_VERDICTS = ("accuracy", "macro_f1", "recall_real", "recall_fake", "recall_hybrid")
OF_SPANS = ("span_precision_hybrids", "span_recall_hybrids", "span_f1_hybrids")
"""Figures that are taken from an evaluation as they are."""

BINS = 5
"""Of the table that says how often a verdict of some probability is right: more would hold too few clips each."""

COVERAGES = (1.0, 0.9, 0.75, 0.5)
"""Shares of the clips, the surest ones, of which the card says how often their verdicts are wrong."""

RISK = 0.05
"""Wrong verdicts that somebody may accept: the card says how many clips can then be judged."""

AURC = area_under_risk_coverage

Numbers = npt.NDArray[np.float64]

Places = npt.NDArray[np.int64]


def measure(given: Sample) -> Iterator[Figure]:
    """Yield every figure that the clips of a set allow."""
    yield from shares(given)
    yield from (figure for figure in verdict_figures(given) if figure.key in OF_VERDICTS and figure.value is not None)
    yield equal_errors(given)
    yield calibration_error(given)
    yield from located(given)
    if any(found.clip.label == HYBRID for found in given.judged):
        yield from (each for each in span_figures(given) if each.key in OF_SPANS or each.key.startswith("span_recall_"))
        yield from (boundary(given.of(HYBRID), end) for end in ("onset", "offset"))


def shares(given: Sample) -> Iterator[Figure]:
    """Yield how many clips of each class get a verdict that wrongs somebody, and how many get none.

    An abstention accuses nobody and misses nothing, but counts among the clips.
    """
    if any(found.clip.label == REAL for found in given.judged):
        yield share("false_alarms", "genuine clips called fake or hybrid", given.of(REAL), is_called)
    for label in (FAKE, HYBRID):
        if any(found.clip.label == label for found in given.judged):
            yield share(f"missed_{label}", f"{label} clips called real", given.of(label), lambda f: f.label == REAL)
    yield share("abstained", "clips without a verdict", given, lambda found: found.label is None)


def share(key: str, name: str, given: Sample, chosen: Callable[[Judged], bool]) -> Figure:
    """Return the share of clips that are chosen, with its interval."""
    flags = [chosen(found) for found in given.judged]
    value = float(np.mean(flags)) if flags else None
    found = share_interval(flags, [found.clip.speaker for found in given.judged], n_resamples=given.n_resamples)
    return Figure(key, name, "", value, n=len(flags)).between(found)


def is_called(found: Judged) -> bool:
    """Whether the verdict says that anything is fake."""
    return found.label not in (REAL, None)


def equal_errors(given: Sample) -> Figure:
    """Return the EER of real clips against all others; undefined where clips with a score are of one kind."""
    first = next(iter(ranking_figures(given, None)), None)
    return first or Figure("clip_eer", "EER", "", None, note="needs clips with a score")


def located(given: Sample) -> Iterator[Figure]:
    """Yield the segment EER in cells of 20 ms, over all clips and over hybrids where there are some."""
    return cell_figures(given, None, resolutions_ms=(FINEST_MS,))


def calibration_error(given: Sample) -> Figure:
    """Return the expected calibration error, with an interval."""
    told = given.only(lambda found: found.probabilities is not None)
    probabilities = np.array([found.probabilities for found in told.judged]).reshape(-1, len(LABELS))
    truth = np.array([found.clip.label for found in told.judged])
    value = expected_calibration_error(probabilities, truth.tolist())
    note = "15 equal-mass bins of the predicted class's probability; resampling adds to it: the interval leans upwards"
    shown = Figure("ece", "expected calibration error", "", value, n=len(truth), note=note)
    return shown.between(
        _interval(told, lambda drawn: expected_calibration_error(probabilities[drawn], truth[drawn].tolist()))
    )


def selective(given: Sample) -> Iterator[Figure]:
    """Yield how often verdicts are wrong when only the surest are given: risk over coverage (`metrics.selective`).

    Of the clips that the rules of abstention leave; how sure a verdict is, is the probability of its class.
    """
    told = given.only(lambda found: found.probabilities is not None)
    sure = np.array([max(found.probabilities or (0.0,)) for found in told.judged], dtype=np.float64)
    wrong = np.array([found.label != found.clip.label for found in told.judged], dtype=np.float64)
    for coverage in COVERAGES:
        of = partial(_risk_at, sure, wrong, coverage)
        shown = f"wrong, of the surest {100 * coverage:g} %"
        yield _figure(f"risk_at_{round(100 * coverage)}", shown, told, of)
    of = partial(_selected, sure, wrong, partial(coverage_at_risk, risk=RISK))
    yield _figure(f"coverage_at_{round(100 * RISK)}", f"clips judged when {100 * RISK:g} % may be wrong", told, of)
    yield _figure("aurc", "area under risk over coverage", told, partial(_selected, sure, wrong, AURC))


def _figure(key: str, name: str, given: Sample, of: Callable[[Places], float | None]) -> Figure:
    n = len(given.judged)
    return Figure(key, name, "", of(np.arange(n)), n=n).between(_interval(given, of))


def _selected(
    sure: Numbers, wrong: Numbers, of: Callable[[Numbers, Numbers], float | None], drawn: Places
) -> float | None:
    return of(sure[drawn], wrong[drawn])


def _risk_at(sure: Numbers, wrong: Numbers, coverage: float, drawn: Places) -> float | None:
    """Return the risk of the surest clips, at least so many of those drawn: equally sure ones are not parted."""
    curve = risk_coverage(sure[drawn], wrong[drawn])
    # A share that is a float may lie just below the coverage that it is meant to be.
    return None if curve is None else float(curve.risk[np.searchsorted(curve.coverage, coverage - 1e-9)])


def _interval(given: Sample, of: Callable[[Places], float | None]) -> Interval | None:
    """Return the interval of a figure that is computed from the places of the clips that were drawn, int64 (n,)."""
    if given.drawn is None:
        return None
    places = np.arange(len(given.judged))
    again = (of(np.repeat(places, counts[given.drawn.group_of])) for counts in given.drawn.counts)
    return interval([np.nan if value is None else value for value in again])


def confidence_bins(given: Sample) -> Reliability:
    """Return how often verdicts are right, in `BINS` bins from the least sure to the surest."""
    told = [found for found in given.judged if found.probabilities is not None]
    probabilities = np.array([found.probabilities for found in told]).reshape(-1, len(LABELS))
    return reliability(probabilities, [found.clip.label for found in told], n_bins=BINS)


def boundary(hybrids: Sample, end: str) -> Figure:
    """Return the median distance of found from true onsets, or offsets, in seconds, of spans that match."""
    pairs = [boundary_errors(found.spans or (), found.truth or ()) for found in hybrids.judged]
    errors = [np.abs(getattr(pair, end)) / SAMPLE_RATE for pair in pairs]
    owners = np.repeat(np.arange(len(errors)), [len(each) for each in errors])
    every = np.concatenate([np.zeros(0), *errors])
    note = "median over spans that match a true one with tIoU above 0.5"
    shown = Figure(
        *(f"{end}_error_s", f"error of {end}s, seconds", "", float(np.median(every)) if every.size else None),
        n=int(every.size), unit="matched spans", note=note,
    )  # fmt: skip
    if hybrids.drawn is None or not every.size:
        return shown
    weights = hybrids.drawn.counts[:, hybrids.drawn.group_of[owners]]
    return shown.between(interval(_weighted_medians(every, weights)))


def _weighted_medians(values: Numbers, weights: npt.NDArray[np.int16]) -> Numbers:
    """Return the median of `values` (n,) under each row of whole `weights` (k, n), float64 (k,); NaN without any."""
    order = np.argsort(values, kind="stable")
    passed = np.cumsum(weights[:, order], axis=1, dtype=np.int64)
    total = passed[:, -1:]
    # The two middle ones of the values written out as often as their weights say.
    low, high = ((passed <= (total - 1 + up) // 2).sum(axis=1) for up in (0, 1))
    last = len(values) - 1
    middles = (values[order][np.minimum(low, last)] + values[order][np.minimum(high, last)]) / 2.0
    return np.where(total[:, 0] > 0, middles, np.nan)


def loss(clean: Sample, altered: Sample) -> Figure:
    """Return by how much macro-F1 falls, with an interval of the difference: both sides hear the same speakers.

    Parameters
    ----------
    clean, altered
        The same clips in the same order, drawn with the same seed.
    """
    tables = [one_table_each(given) for given in (clean, altered)]
    before, after = (macro_f1(table.sum(axis=0)) for table in tables)
    value = None if before is None or after is None else before - after
    shown = Figure("macro_f1_loss", "loss of macro-F1", "", value, n=len(clean.judged))
    if clean.drawn is None or altered.drawn is None:
        return shown
    again = [_macro_f1s(given, table) for given, table in zip((clean, altered), tables, strict=True)]
    return shown.between(interval(again[0] - again[1]))


def _macro_f1s(given: Sample, tables: npt.NDArray[np.int64]) -> Numbers:
    """Return macro-F1 of every resample, float64 (n_resamples,)."""
    assert given.drawn is not None
    drawn = sums(given.drawn, tables.reshape(len(tables), -1)).reshape(-1, *tables.shape[1:])
    return np.asarray(macro_f1(np.rint(drawn)))


def parts(
    given: Sample, value_of: Callable[[Judged], str], *, fewest: int
) -> Iterator[tuple[str, Sample, Sequence[Figure]]]:
    """Divide a set by a property; yield each value, its clips, and their figures.

    The value of a part without genuine clips, as of a generator, is ranked against all genuine clips.

    Parameters
    ----------
    given
        The set.
    value_of
        The property; "" where it is unknown.
    fewest
        Parts with fewer clips are passed over.
    """
    values = [value_of(found) for found in given.judged]
    for value in sorted({*values} - {""}):
        chosen = {id(found) for found, has in zip(given.judged, values, strict=True) if has == value}
        own = _among(given, chosen)
        if len(own.judged) >= fewest:
            genuine = {id(found) for found in given.judged if found.clip.label == REAL}
            against = own if chosen & genuine else _among(given, chosen | genuine)
            yield value, own, [*_of_part(own, against)]


def _among(given: Sample, chosen: set[int]) -> Sample:
    return given.only(lambda found: id(found) in chosen)


def _of_part(own: Sample, against: Sample) -> Iterator[Figure]:
    yield equal_errors(against)
    yield from (figure for figure in shares(own) if figure.key != "abstained")
    hybrids = own.of(HYBRID)
    if hybrids.judged:
        yield from (figure for figure in located(hybrids) if figure.key == SEGMENT_EER_HYBRIDS)
