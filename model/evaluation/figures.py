"""All figures of a set of judged clips, each with the interval that other speakers might have given.

    Judged clips -> verdicts   accuracy, precision, recall, F1, ECE
                 -> ranking    EER, AUC, costs, and the errors at a threshold that another set chose
                 -> cells      segment EER at six resolutions, millisecond EER
                 -> spans      precision, recall, F1 and IoU in seconds, AP, boundary errors, false alarms

Fake is the positive class; hybrids count as fake where there are two classes only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from audio.labels import REAL
from model.evaluation.judged import Judged
from model.metrics.bootstrap import Interval, Resamples, resamples
from model.metrics.cells import RESOLUTIONS_MS
from model.metrics.costs import AsvErrors

SEED = 0
"""What the resamples are drawn from unless told otherwise."""

N_RESAMPLES = 1_000
"""How many are drawn."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """One number about a set; None where it is undefined, and then `note` may say why."""

    key: str
    """Its name in JSON, never changed."""
    name: str
    """Its name for people."""
    section: str
    value: float | None
    low: float | None = None
    """Lower end of its 95 % interval; None where none is given."""
    high: float | None = None
    n: int = 0
    """What it was computed from, in `unit`."""
    unit: str = "clips"
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the figure as what JSON can hold."""
        return asdict(self)

    def between(self, interval: Interval | None) -> Figure:
        """Return the figure with an interval."""
        return self if interval is None else replace(self, low=interval.low, high=interval.high)


@dataclass(frozen=True)
class Operating:
    """Thresholds that another set chose, and how the scores become log-likelihood ratios."""

    source: str
    """Which set, for people; "" when there are no thresholds."""
    clip_threshold: float | None = None
    """Score from which a clip counts as not real."""
    frame_threshold: float | None = None
    """Score from which a cell of 20 ms counts as fake."""
    log_prior_odds: float | None = None
    """log(fake : real) of the clips on which the probabilities were calibrated; None: scores are log-likelihood
    ratios as they are, or nothing is known of them."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Judged clips, and how they are drawn again for intervals."""

    judged: tuple[Judged, ...]
    drawn: Resamples | None
    """None: not even two clips."""
    cluster: str
    """What is drawn: "speaker" or "clip"."""
    n_resamples: int = N_RESAMPLES
    seed: int = SEED

    @property
    def is_fake(self) -> npt.NDArray[np.bool_]:
        """Which clips have anything fake in them, bool (n,)."""
        return np.array([found.clip.label != REAL for found in self.judged], dtype=bool)

    def of(self, *labels: str) -> Sample:
        """Return the clips whose true class is one of `labels`."""
        return self.only(lambda found: found.clip.label in labels)

    def only(self, wanted: Callable[[Judged], bool]) -> Sample:
        """Return the clips that are wanted, drawn anew among themselves.

        Where speakers are drawn and all wanted clips are of one, nothing is: an interval by clip would be narrower than
        it says.
        """
        kept = [found for found in self.judged if wanted(found)]
        if len(kept) == len(self.judged):
            return self
        if self.cluster == "speaker" and len({found.group for found in kept}) < 2:
            return Sample(tuple(kept), None, "speaker", self.n_resamples, self.seed)
        return sample(kept, n_resamples=self.n_resamples, seed=self.seed)


def sample(judged: Iterable[Judged], *, n_resamples: int = N_RESAMPLES, seed: int = SEED) -> Sample:
    """Prepare clips for figures: intervals are clustered by speaker; where all are of one, by clip.

    Clips of unknown speakers are clusters of their own.
    """
    kept = tuple(judged)
    drawn = resamples([found.group for found in kept], n_resamples=n_resamples, seed=seed)
    if drawn is not None and any(found.clip.speaker for found in kept):
        return Sample(kept, drawn, "speaker", n_resamples, seed)
    # By path and not by place, so that no interval depends on the order of the clips.
    by_clip = resamples([found.clip.path for found in kept], n_resamples=n_resamples, seed=seed)
    return Sample(kept, by_clip, "clip", n_resamples, seed)


def summarise(
    given: Sample,
    operating: Operating | None = None,
    *,
    resolutions_ms: Sequence[int] = RESOLUTIONS_MS,
    asv: AsvErrors | None = None,
) -> list[Figure]:
    """Compute every figure that the judgements allow, in the order in which people read them.

    Parameters
    ----------
    given
        The clips.
    operating
        Thresholds from another set; without them the figures at a threshold are left out.
    resolutions_ms
        Lengths of the cells of segment EERs; these take most of the time. Only all of them bring the millisecond EER.
    asv
        What a speaker verification system behind the detector does, for min t-DCF.

    Returns
    -------
    Figures of what the system gives: none of spans, for example, for one that locates nothing.
    """
    from model.evaluation.clip_figures import ranking_figures, verdict_figures
    from model.evaluation.place_figures import cell_figures, span_figures

    return [
        *verdict_figures(given),
        *ranking_figures(given, operating, asv=asv),
        *cell_figures(given, operating, resolutions_ms=resolutions_ms),
        *span_figures(given),
    ]


def find(figures: Sequence[Figure], key: str) -> float | None:
    """Return the value of one figure; None when it is undefined or not there."""
    return next((figure.value for figure in figures if figure.key == key), None)
