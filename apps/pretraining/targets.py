"""What was promised, and whether the figures keep it: decided here, from the figures, and by nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from apps.cost import COST
from apps.pretraining.findings import LEAST_GENUINE, SMALLER, Findings, Where, corpus_part
from apps.pretraining.measuring import SEGMENT_EER, SEGMENT_EER_HYBRIDS
from apps.pretraining.sets import Corpus, Treatment
from model.evaluation.figures import Figure

REACHED, STRETCH, MISSED, UNKNOWN = "reached", "reached, and the stretch", "not reached", "not measured"

FALSE_ALARMS = 0.05
"""Most genuine clips that may be accused, wherever they come from."""

LOSS = 0.08
"""Most that macro-F1 may lose under a treatment, and the most that probabilities may be off (ECE)."""

TREATED = ("mp3_64k", "opus_24k", "noise_10db", "reverb")
"""What the targets name."""


@dataclass(frozen=True)
class Target:
    """A figure, and how good it was to be."""

    measure: str
    """For people."""
    where: Where
    key: str
    goal: float
    stretch: float | None = None
    at_least: bool = False
    """Whether more is better."""

    def verdict(self, value: float | None) -> str:
        """Say whether a value keeps the promise."""
        if value is None:
            return UNKNOWN
        if not self._keeps(value, self.goal):
            return MISSED
        return STRETCH if self.stretch is not None and self._keeps(value, self.stretch) else REACHED

    def _keeps(self, value: float, bound: float) -> bool:
        return value >= bound if self.at_least else value <= bound


@dataclass(frozen=True)
class Outcome:
    """A target, and what became of it."""

    target: Target
    figure: Figure | None
    """None: nothing was measured."""

    @property
    def verdict(self) -> str:
        """Whether it was reached."""
        return self.target.verdict(None if self.figure is None else self.figure.value)

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        figure = {} if self.figure is None else self.figure.to_json()
        shown = {name: figure.get(name) for name in ("value", "low", "high", "n", "unit")}
        return {**asdict(self.target), **shown, "verdict": self.verdict}


def targets(corpora: Sequence[Corpus], treatments: Sequence[Treatment]) -> list[Target]:
    """Return every target of the shipped weights.

    Parameters
    ----------
    corpora
        Genuine corpora; those that training never met have a target each, small ones one together.
    treatments
        What is done to recordings, for the words.
    """
    rows, hybrids = Where("rows"), Where("hybrids")
    splices = Where("hybrids", "genuine splices")
    words = {treatment.name: treatment.words for treatment in treatments}
    return [
        Target("real vs fake, unseen generators and speakers: EER", rows, "clip_eer", 0.10, 0.05),
        Target("three classes, hybrids: macro-F1", hybrids, "macro_f1", 0.80, 0.90, at_least=True),
        Target("20 ms segment EER, hybrids only", hybrids, SEGMENT_EER_HYBRIDS, 0.15, 0.08),
        Target("20 ms segment EER, all clips", hybrids, SEGMENT_EER, 0.10, 0.05),
        Target("20 ms segment EER, other people's partial fakes", Where("partial"), SEGMENT_EER, 0.35, 0.20),
        Target("false alarms on genuine clips", rows, "false_alarms", FALSE_ALARMS),
        *(_alarms(part) for part in unseen_parts(corpora)),
        Target("genuine splices called hybrid", splices, "called_hybrid", FALSE_ALARMS),
        *(
            Target(
                f"loss of macro-F1: {words.get(name, name)}", Where("hybrids", treatment=name), "macro_f1_loss", LOSS
            )
            for name in TREATED
        ),
        Target("expected calibration error, rows", rows, "ece", LOSS),
        Target("expected calibration error, hybrids", hybrids, "ece", LOSS),
        Target("ms of one core for a second of audio", Where(COST), "judging_ms_per_s", 4.0),
    ]


def unseen_parts(corpora: Sequence[Corpus]) -> list[str]:
    """Name the genuine corpora that training never met, small ones together at the end."""
    unseen = [corpus for corpus in corpora if corpus.unseen]
    large = [corpus_part(c.name, c.split, c.unseen) for c in unseen if len(c.clips) >= LEAST_GENUINE]
    return large + ([f"unseen: {SMALLER}"] if len(large) < len(unseen) else [])


def _alarms(part: str) -> Target:
    return Target(f"false alarms, {part}", Where("corpora", part), "false_alarms", FALSE_ALARMS)


def decide(wanted: Sequence[Target], found: Findings) -> list[Outcome]:
    """Look every target's figure up."""
    return [Outcome(target, found.get(target.where, target.key)) for target in wanted]
