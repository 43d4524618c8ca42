"""How figures and verdicts move when the same recordings get worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audio.errors import UsageError
from audio.labels import REAL
from model.evaluation.figures import Figure, Operating, Sample, summarise
from model.evaluation.judged import Judged
from model.evaluation.place_figures import FINEST_MS

KEYS = ("accuracy", "macro_f1", "clip_eer", "hter", f"segment_eer_{FINEST_MS}ms", "span_f1", "false_alarms_per_hour")
"""The figures that are followed."""


@dataclass(frozen=True)
class Moves:
    """What became of the verdicts, in numbers of clips."""

    n_clips: int
    same: int
    """The verdict stayed."""
    accused: int
    """Real clips that were called real, and are called fake or hybrid now."""
    missed: int
    """Fake and hybrid clips that were called fake or hybrid, and are called real now."""
    silenced: int
    """Clips that had a verdict, and have none now."""


@dataclass(frozen=True)
class Robustness:
    """One corruption: its figures, and what it did to the verdicts."""

    name: str
    words: str
    """What was done, for people."""
    figures: tuple[Figure, ...]
    moves: Moves
    verdicts: Mapping[str, str | None] = field(default_factory=dict)
    """The verdict on each clip, by its path; None for an abstention."""

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold, without the single verdicts."""
        figures = [figure.to_json() for figure in self.figures]
        return {"name": self.name, "words": self.words, "figures": figures, "verdicts": vars(self.moves)}


def compare(clean: Sample, altered: Sample, *, name: str, words: str, operating: Operating | None) -> Robustness:
    """Set the judgements of corrupted recordings against those of the same recordings as they are.

    Parameters
    ----------
    clean, altered
        The same clips in the same order.
    name, words
        Of the corruption.
    operating
        Thresholds from another set; they stay where they are.

    Raises
    ------
    UsageError
        When the clips are not the same.
    """
    figures = {figure.key: figure for figure in summarise(altered, operating, resolutions_ms=(FINEST_MS,))}
    kept = tuple(figures[key] for key in KEYS if key in figures)
    verdicts = {found.clip.path: found.label for found in altered.judged}
    return Robustness(name, words, kept, moves(clean.judged, altered.judged), verdicts)


def moves(clean: Sequence[Judged], altered: Sequence[Judged]) -> Moves:
    """Count what became of the verdicts; raise `UsageError` when the clips are not the same, in the same order."""
    if [found.clip.path for found in clean] != [found.clip.path for found in altered]:
        raise UsageError("robustness: expected the same clips in the same order, received others")
    pairs = list(zip(clean, altered, strict=True))
    return Moves(
        n_clips=len(pairs),
        same=sum(before.label == after.label for before, after in pairs),
        accused=sum(after.clip.label == REAL == before.label and _is_called(after) for before, after in pairs),
        missed=sum(after.clip.label != REAL == after.label and _is_called(before) for before, after in pairs),
        silenced=sum(before.label is not None and after.label is None for before, after in pairs),
    )


def _is_called(found: Judged) -> bool:
    """Whether the verdict is fake or hybrid."""
    return found.label not in (REAL, None)
