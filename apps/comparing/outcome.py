"""What came of one system on one division of a set, as a row that programs read, and the mean of several folds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from model.training.folds import mean_and_deviation

SCHEMA_VERSION = 1
"""Version of the rows of `Outcome.to_row`."""

HONEST, LEAKY = "honest", "leaky"
"""The splits of a comparison: nobody and nothing on both sides, or clips drawn at random."""


@dataclass(frozen=True)
class Value:
    """A figure, with what it may be as well: a 95 % interval by speaker, or one deviation of its folds."""

    value: float | None
    low: float | None = None
    high: float | None = None


NOTHING = Value(None)


@dataclass(frozen=True)
class Outcome:
    """One system on one division. Either it has figures, or `error` says why there are none."""

    system: str
    split: str
    """`HONEST` or `LEAKY`."""
    fold: int | None = None
    """Which fold of a cross-validation; None: the only one, or the mean of all."""
    clips: int = 0
    """Test clips."""
    figures: Mapping[str, Value] = field(default_factory=dict)
    """By name, as `apps.comparing.table.COLUMNS` has them."""
    confusion: tuple[tuple[int, ...], ...] = ()
    """Rows true, columns real, fake, hybrid, abstained."""
    error: str = ""

    def of(self, key: str) -> Value:
        """Return a figure; one without a value where there is none."""
        return self.figures.get(key, NOTHING)

    def to_row(self) -> dict[str, Any]:
        """The outcome as a JSON object, schema `SCHEMA_VERSION`."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Outcome:
        """Rebuild from `to_row`."""
        facts = {name: value for name, value in row.items() if name != "schema_version"}
        figures = {name: Value(**value) for name, value in facts.pop("figures").items()}
        confusion = tuple(tuple(counts) for counts in facts.pop("confusion"))
        return cls(**facts, figures=figures, confusion=confusion)


def read_outcomes(path: Path) -> list[Outcome]:
    """Read `comparison.json`, one row a line."""
    return [Outcome.from_row(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def joined(folds: Sequence[Outcome]) -> Outcome:
    """Sum up the folds of one system: the mean of each figure, and one sample deviation on either side.

    A fold that failed makes the whole fail: the mean of the others would be of other clips than everybody else's.

    Parameters
    ----------
    folds
        At least one; a single one stays what it is.
    """
    if len(folds) == 1:
        return folds[0]
    broken = next((each for each in folds if each.error), None)
    if broken is not None:
        return Outcome(broken.system, broken.split, error=f"fold {broken.fold}: {broken.error}")
    keys = dict.fromkeys(key for each in folds for key in each.figures)
    return Outcome(
        folds[0].system,
        folds[0].split,
        clips=sum(each.clips for each in folds),
        figures={key: _mean([each.of(key).value for each in folds]) for key in keys},
        confusion=tuple(
            tuple(map(sum, zip(*rows, strict=True))) for rows in zip(*(each.confusion for each in folds), strict=True)
        ),
    )


def _mean(values: Sequence[float | None]) -> Value:
    found = mean_and_deviation(values)
    if found is None:
        return NOTHING
    mean, deviation = found
    return Value(mean, mean - deviation, mean + deviation)
