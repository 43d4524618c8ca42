"""Figures of whole clips: the verdicts, the ranking of their scores, and the errors at a transferred threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from audio.labels import FAKE, HYBRID, LABELS, REAL
from model.evaluation.figures import Figure, Operating, Sample
from model.metrics.bootstrap import Interval, equal_error_interval, interval, sums
from model.metrics.calibration import expected_calibration_error
from model.metrics.classes import (
    accuracy,
    confusion,
    f1,
    macro_f1,
    precision,
    recall,
    two_class_accuracy,
    two_class_macro_f1,
)
from model.metrics.costs import AsvErrors, actual_dcf, cllr, min_dcf, min_tdcf
from model.metrics.ranking import equal_error_rate, error_rates, half_total_error_rate, roc_auc

VERDICTS = "Verdicts: real, fake or hybrid"
RANKING = "Telling real clips from those with anything fake"

ONE_KIND = "needs clips of both kinds"
"""Why nothing is ranked."""

LEAST_PROBABILITY = 1e-6
"""Probabilities are kept this far from 0 and 1 before their odds are taken: float32 knows no finer ones."""

AGAINST_REAL = (
    ("clip_eer", "EER, real against fake and hybrid", (FAKE, HYBRID)),
    ("clip_eer_fake", "EER, real against fake", (FAKE,)),
    ("clip_eer_hybrid", "EER, real against hybrid", (HYBRID,)),
)
"""Which of the clips that are not real are ranked against the real ones."""

Tables = npt.NDArray[np.int64]


def one_table_each(given: Sample) -> Tables:
    """Return the confusion table of each clip alone, int64 (n, 3, 4): they add up to that of any selection."""
    tables = [confusion([found.clip.label], [found.label]) for found in given.judged]
    return np.stack(tables) if tables else np.zeros((0, len(LABELS), len(LABELS) + 1), dtype=np.int64)


def verdict_figures(given: Sample) -> Iterator[Figure]:
    """Yield the figures of the verdicts; none for a system that gives no verdicts.

    An abstention and a clip that cannot be read are not right.
    """
    if all(found.label is None and found.probabilities is None for found in given.judged):
        return
    each = one_table_each(given)
    table, n = each.sum(axis=0), len(given.judged)
    drawn = None
    if given.drawn is not None:
        drawn = np.rint(sums(given.drawn, each.reshape(n, -1))).astype(np.int64).reshape(-1, *table.shape)

    def figure(key: str, name: str, of: Callable[[Tables], object], *, needs: str, place: int | None = None) -> Figure:
        found = of(table)
        value = found if place is None else found[place]  # type: ignore[index]
        note = "" if value is not None else f"needs clips {needs}"
        shown = Figure(key, name, VERDICTS, value, n=n, note=note)  # type: ignore[arg-type]
        if drawn is None:
            return shown
        again = np.asarray(of(drawn))
        return shown.between(interval(again if place is None else again[..., place]))

    yield figure("accuracy", "accuracy", accuracy, needs="of any class")
    yield figure("macro_f1", "macro-F1", macro_f1, needs="of all three classes")
    yield figure("two_class_accuracy", "accuracy, real against the rest", two_class_accuracy, needs="of any class")
    yield figure("two_class_macro_f1", "macro-F1, real against the rest", two_class_macro_f1, needs="of both kinds")
    for place, label in enumerate(LABELS):
        for name, of in (("precision", precision), ("recall", recall), ("f1", f1)):
            needs = f"called {label}" if of is precision else f"that are {label}"
            yield figure(f"{name}_{label}", f"{name.replace('f1', 'F1')} of {label}", of, needs=needs, place=place)
    yield _share_figure("abstained", "abstained", [found.label is None and not found.failed for found in given.judged])
    yield _share_figure("failed", "could not be judged", [found.failed for found in given.judged])
    yield _calibration_figure(given)


def _share_figure(key: str, name: str, chosen: list[bool]) -> Figure:
    return Figure(key, name, VERDICTS, sum(chosen) / len(chosen) if chosen else None, n=len(chosen))


def _calibration_figure(given: Sample) -> Figure:
    told = [found for found in given.judged if found.probabilities is not None]
    probabilities = np.array([found.probabilities for found in told]).reshape(-1, len(LABELS))
    error = expected_calibration_error(probabilities, [found.clip.label for found in told])
    note = "15 equal-mass bins of the predicted class's probability"
    return Figure("ece", "expected calibration error", VERDICTS, error, n=len(told), note=note)


def ranking_figures(given: Sample, operating: Operating | None, *, asv: AsvErrors | None = None) -> Iterator[Figure]:
    """Yield the figures of the clip scores; none for a system without. Clips without a score are left out.

    `asv` brings the cost in tandem with a speaker verification system.
    """
    kept = given.only(lambda found: found.score is not None)
    if not kept.judged:
        return
    for key, name, labels in AGAINST_REAL:
        yield _eer_figure(key, name, kept.of(REAL, *labels))
    is_fake, scores = kept.is_fake, clip_scores(kept)
    area = roc_auc(is_fake, scores)
    note = "" if area is not None else ONE_KIND
    yield Figure("clip_auc", "area under the ROC curve", RANKING, area, n=len(scores), note=note)
    cost = "ASVspoof 5 costs; 1 is what a system that always says the same would have"
    yield Figure("min_dcf", "minDCF", RANKING, min_dcf(is_fake, scores), n=len(scores), note=cost)
    if operating is not None:
        yield from threshold_figures(kept, operating)
        yield from _ratio_figures(kept, operating)
    if asv is not None:
        yield tandem_figure(kept, asv)


def clip_scores(given: Sample) -> npt.NDArray[np.float64]:
    """Return the scores of clips that all have one, float64 (n,)."""
    return np.array([found.score for found in given.judged], dtype=np.float64)


def _eer_figure(key: str, name: str, given: Sample) -> Figure:
    is_fake, scores = given.is_fake, clip_scores(given)
    rate = equal_error_rate(is_fake, scores)
    note = "" if rate is not None else ONE_KIND
    shown = Figure(key, name, RANKING, rate, n=len(scores), note=note)
    if given.drawn is None or rate is None:
        return shown
    items = np.arange(len(scores))
    return shown.between(equal_error_interval(is_fake, scores, items=items, resamples=given.drawn))


def threshold_figures(given: Sample, operating: Operating | None) -> Iterator[Figure]:
    """Yield the errors of clip scores at the threshold of another set. Clips without a score are left out."""
    kept = given.only(lambda found: found.score is not None)
    if operating is None or operating.clip_threshold is None or not kept.judged:
        return
    is_fake, scores, threshold = kept.is_fake, clip_scores(kept), operating.clip_threshold
    note = f"at {threshold:.4g}, the EER threshold of {operating.source}"
    value = half_total_error_rate(is_fake, scores, threshold=threshold)
    shown = Figure("hter", "half total error rate", RANKING, value, n=len(scores), note=note)
    yield shown.between(_hter_interval(kept, scores >= threshold))
    fpr, fnr = error_rates(is_fake, scores, threshold=threshold)
    yield Figure("fpr", "real clips called fake", RANKING, fpr, n=int((~is_fake).sum()), note=note)
    yield Figure("fnr", "fake and hybrid clips missed", RANKING, fnr, n=int(is_fake.sum()), note=note)


def _ratio_figures(given: Sample, operating: Operating) -> Iterator[Figure]:
    """Yield the costs that need log-likelihood ratios."""
    is_fake, scores = given.is_fake, clip_scores(given)
    ratios = log_likelihood_ratios(scores, operating.log_prior_odds)
    note = "scores taken for log-likelihood ratios as they are"
    if operating.log_prior_odds is not None:
        note = f"log-likelihood ratios: the odds of the score over those of {operating.source}"
    yield Figure("act_dcf", "actDCF", RANKING, actual_dcf(is_fake, ratios), n=len(scores), note=note)
    yield Figure("cllr", "Cllr, bits", RANKING, cllr(is_fake, ratios), n=len(scores), note=note)


def tandem_figure(given: Sample, asv: AsvErrors) -> Figure:
    """Return the minimum cost of a speaker verification system behind this detector (ASVspoof 2019)."""
    kept = given.only(lambda found: found.score is not None)
    cost = min_tdcf(kept.is_fake, clip_scores(kept), asv=asv)
    note = "ASVspoof 2019 costs, the verification system at its own EER"
    return Figure("min_tdcf", "min t-DCF", RANKING, cost, n=len(kept.judged), note=note)


def log_likelihood_ratios(scores: npt.NDArray[np.float64], log_prior_odds: float | None) -> npt.NDArray[np.float64]:
    """Turn probabilities of fake into log-likelihood ratios, float64 (n,), by Bayes' rule; without a prior, nothing."""
    if log_prior_odds is None:
        return scores
    kept = np.clip(scores, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
    return np.asarray(np.log(kept / (1.0 - kept)) - log_prior_odds)


def _hter_interval(given: Sample, called: npt.NDArray[np.bool_]) -> Interval | None:
    if given.drawn is None:
        return None
    is_fake = given.is_fake
    counted = np.stack([called & ~is_fake, ~is_fake, ~called & is_fake, is_fake], axis=1)
    false_alarms, n_real, misses, n_fake = sums(given.drawn, counted.astype(np.int64)).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return interval((false_alarms / n_real + misses / n_fake) / 2)
