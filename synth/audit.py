"""The shortcut probe: can trivial facts of the files tell the classes of a set apart?

A detector takes the easiest way. When the fakes of a set are quieter, or all MP3, it learns that, scores well on the
set and fails elsewhere. The audit asks of every fact of `synth.facts`, and of all together, how well it answers three
questions; around 0.5 the set is clean. It works on any set that `audio.manifest.read_set` opens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from audio import jobs
from audio.errors import ToolkitError
from audio.executors import Workers
from audio.labels import FAKE, HYBRID, REAL
from audio.manifest import Clip, read_set, resolve
from synth.facts import CATEGORIES, NUMBERS, measure_file
from synth.probe import (
    CHANCE,
    Column,
    Estimate,
    TooFewError,
    Trial,
    joint_estimate,
    leaned_on,
    rank_estimate,
    shape_estimate,
)

REPORT_VERSION = 1
"""Version of the format of `Report.to_json`."""

FACT_LIMIT = 0.60
"""An AUC beyond this, or below 1 less it, is an alarm: a bar that the project set itself, for its own sets too."""

TOGETHER_LIMIT = 0.62
"""The same for all facts together."""

BANDWIDTH_LIMIT = 0.65
"""The same for the bandwidth, and for whatever holds it: vocoders leave their own upper edge, which no channel hides
altogether without hiding the speech."""

LEAN_DROP = 0.02
"""All facts together lean on one when the AUC without it is lower by this."""

MOST_LEANED_ON = 3
"""Facts named in that way."""

BANDWIDTH = "bandwidth_hz"
TOGETHER = "together"
WITHOUT_BANDWIDTH = "together without bandwidth"


@dataclass(frozen=True)
class Question:
    """Two classes of clips; `side` tells the second (True) from the first, None is neither."""

    name: str
    classes: tuple[str, str]
    side: Callable[[Clip], bool | None]


def _labelled(negative: str, positive: str) -> Callable[[Clip], bool | None]:
    return lambda clip: {negative: False, positive: True}.get(clip.label)


def has_join(clip: Clip) -> bool | None:
    """Tell whether a clip was joined from pieces; None when its manifest holds no splice plan."""
    return None if clip.splice is None else bool(clip.splice.get("joins"))


QUESTIONS = (
    Question("real vs fake", (REAL, FAKE), _labelled(REAL, FAKE)),
    Question("real vs hybrid", (REAL, HYBRID), _labelled(REAL, HYBRID)),
    Question("no join vs join", ("no join", "join"), has_join),
)


@dataclass(frozen=True)
class Finding:
    """How well one fact, or all together, answers a question.

    `rank`: the AUC of the raw value, None for categories and for several facts. `learned`: cross-validated, for a
    relation of any shape. `typical`: the median, or the commonest value, in either class. `chance_spread`: how far
    from 0.5 a set of this size takes an AUC by chance; see `Trial.chance_spread`. `leans_on`: for an alarm of several
    facts, those without which it tells least.
    """

    name: str
    limit: float
    chance_spread: float
    learned: Estimate
    rank: Estimate | None = None
    typical: tuple[str, str] = ("", "")
    leans_on: tuple[str, ...] = ()

    @property
    def strength(self) -> float:
        """The AUC furthest from chance, turned to lie above it. What was learned and misleads counts as chance."""
        ranked = self.rank or CHANCE
        return max(0.5, ranked.auc, 1.0 - ranked.auc, self.learned.auc)

    @property
    def alarm(self) -> Estimate | None:
        """Return the estimate that is beyond the limit and cannot be chance, or None; `rank`, if it is."""
        least = max(self.limit - 0.5, self.chance_spread)
        if self.rank is not None and self.rank.excludes_chance and abs(self.rank.auc - 0.5) > least:
            return self.rank
        return self.learned if self.learned.excludes_chance and self.learned.auc - 0.5 > least else None


@dataclass(frozen=True)
class Answer:
    """What was found for one question; `skipped` says why nothing was, "" otherwise.

    `sides`: for each clip of the report, True for the second class, False for the first, None for neither.
    """

    question: Question
    sides: tuple[bool | None, ...]
    n_sources: int = 0
    chance_spread: float = 0.0
    """How far from 0.5 pure chance takes the AUC of one fact; see `Trial.chance_spread`."""
    findings: tuple[Finding, ...] = ()
    skipped: str = ""

    @property
    def counts(self) -> tuple[int, int]:
        """How many clips of each class there are."""
        return self.sides.count(False), self.sides.count(True)

    @property
    def alarms(self) -> list[Finding]:
        """The findings that are beyond their limit, and not by chance."""
        return [finding for finding in self.findings if finding.alarm is not None]


@dataclass(frozen=True)
class Report:
    """The audit of a set: the facts of its readable clips, and the answers."""

    name: str
    columns: tuple[Column, ...]
    n_clips: int
    """How many clips could be read."""
    unreadable: Mapping[str, str]
    """Why a clip could not be read, by its path."""
    answers: tuple[Answer, ...]

    @property
    def alarms(self) -> list[tuple[Answer, Finding]]:
        """Every finding beyond its limit, with its question."""
        return [(answer, finding) for answer in self.answers for finding in answer.alarms]

    def beyond(self, auc: float) -> list[tuple[Answer, Finding]]:
        """Return every finding whose AUC, or 1 less it, exceeds `auc`, chance or not."""
        return [(answer, finding) for answer in self.answers for finding in answer.findings if finding.strength > auc]

    def to_json(self) -> dict[str, Any]:
        """Return what was found as what JSON can hold, without the facts of each clip."""
        return {
            "schema_version": REPORT_VERSION,
            "set": self.name,
            "n_clips": self.n_clips,
            "unreadable": dict(self.unreadable),
            "questions": [_answer_to_json(answer) for answer in self.answers],
        }


def audit_set(path: Path, *, workers: Workers = 1, seed: int = 0) -> Report:
    """Audit a set: measure every file, then ask.

    Parameters
    ----------
    path
        A manifest, a table, or a folder; see `audio.manifest.read_set`.
    workers
        Number of processes that measure.
    seed
        Decides folds and resamples; the same seed gives the same report.

    Returns
    -------
    A report, in which questions that the set cannot answer say why. Files that cannot be read are named and
    left out.

    Raises
    ------
    ManifestError
        When there is no set.
    UsageError
        For fewer than one worker.
    ToolkitError
        When no file can be read, or scikit-learn is missing.
    """
    _require_sklearn()
    place, clips = read_set(path)
    rows = measure_clips(place, clips, workers=workers)
    unreadable = {clip.path: row["error"] for clip, row in zip(clips, rows, strict=True) if "error" in row}
    readable = [(clip, row) for clip, row in zip(clips, rows, strict=True) if "error" not in row]
    if not readable:
        raise ToolkitError(f"{path}: none of {len(clips)} files can be read, for example {next(iter(rows))['error']}")
    measured = [clip for clip, _ in readable]
    columns = columns_of([row for _, row in readable])
    answers = tuple(ask(question, measured, columns, seed=seed) for question in QUESTIONS)
    return Report(str(path), columns, len(readable), unreadable, answers)


def measure_clips(place: Path, clips: Sequence[Clip], *, workers: Workers = 1) -> list[jobs.Row]:
    """Return the facts of each clip, in order, or `error` and why it could not be read.

    `place` is the manifest, or the folder of the set.
    """
    process = partial(_measured, place=place)
    done = jobs.run(process, clips, key=lambda clip: clip.path, workers=workers, title="clips")
    return [row for rows in done for row in rows]


def columns_of(rows: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    """Turn the facts of clips into columns, numbers first; None becomes NaN."""
    numbers = [Column(name, np.array([_number(row[name]) for row in rows])) for name in NUMBERS]
    return (*numbers, *(_category(name, [row[name] for row in rows]) for name in CATEGORIES))


def sources_of(clips: Sequence[Clip]) -> list[str]:
    """Name the recording that each clip goes back to.

    That is its `source_clip`, else the first of its `sources`, else itself. A `source_clip` without folder and
    suffix means the one genuine clip of that name.
    """
    paths = {clip.path for clip in clips}
    stems = {clip.path: PurePosixPath(clip.path).stem for clip in clips if clip.label == REAL}
    n_named = Counter(stems.values())
    by_stem = {stem: path for path, stem in stems.items() if n_named[stem] == 1}
    named = [str(PurePosixPath(_source_of(clip))) for clip in clips]
    return [name if name in paths else by_stem.get(name, name) for name in named]


def ask(question: Question, clips: Sequence[Clip], columns: Sequence[Column], *, seed: int = 0) -> Answer:
    """Answer one question from the facts of clips, or say why it cannot be."""
    sides = tuple(question.side(clip) for clip in clips)
    asked = np.array([side is not None for side in sides], dtype=np.bool_)
    positive = np.array([side is True for side in sides], dtype=np.bool_)[asked]
    _, groups = np.unique(np.array(sources_of(clips))[asked], return_inverse=True)
    try:
        if question.side is has_join and not asked.any():
            raise TooFewError("the manifest holds no splice plans")
        trial = Trial(positive, groups.astype(np.int64), seed)
    except TooFewError as reason:
        negative, positive_name = question.classes
        counts = f"{sides.count(False)} {negative}, {sides.count(True)} {positive_name}"
        return Answer(question, sides, skipped=f"{reason} ({counts})")
    findings = _findings([column.some(asked) for column in columns], trial)
    return Answer(question, sides, int(groups.max()) + 1, trial.chance_spread, findings)


def _findings(columns: Sequence[Column], trial: Trial) -> tuple[Finding, ...]:
    rest = [column for column in columns if column.name != BANDWIDTH]
    joint = (_joint(WITHOUT_BANDWIDTH, TOGETHER_LIMIT, rest, trial), _joint(TOGETHER, BANDWIDTH_LIMIT, columns, trial))
    return (*(_finding(column, trial) for column in columns), *joint)


def _joint(name: str, limit: float, columns: Sequence[Column], trial: Trial) -> Finding:
    finding = Finding(name, limit, trial.chance_spread, joint_estimate(columns, trial))
    if finding.alarm is None:
        return finding
    missed = [name for name, drop in leaned_on(columns, trial).items() if drop >= LEAN_DROP]
    return replace(finding, leans_on=tuple(missed[:MOST_LEANED_ON]))


def _finding(column: Column, trial: Trial) -> Finding:
    limit = BANDWIDTH_LIMIT if column.name == BANDWIDTH else FACT_LIMIT
    rank = None if column.categories else rank_estimate(column, trial)
    typical = (column.some(~trial.positive).typical(), column.some(trial.positive).typical())
    return Finding(column.name, limit, trial.chance_spread, shape_estimate(column, trial), rank, typical)


def _measured(clip: Clip, *, place: Path) -> list[jobs.Row]:
    return [asdict(measure_file(resolve(place, clip)))]


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _category(name: str, values: Sequence[object]) -> Column:
    texts = ["none" if value is None else str(value) for value in values]
    categories = tuple(sorted(set(texts)))
    return Column(name, np.array([categories.index(text) for text in texts], dtype=np.float64), categories)


def _source_of(clip: Clip) -> str:
    first = clip.sources[0].get("path") if clip.sources else None
    return clip.source_clip or (first if isinstance(first, str) and first else clip.path)


def _answer_to_json(answer: Answer) -> dict[str, Any]:
    n_first, n_second = answer.counts
    return {
        "question": answer.question.name,
        "classes": dict(zip(answer.question.classes, (n_first, n_second), strict=True)),
        "skipped": answer.skipped or None,
        "n_sources": answer.n_sources,
        "chance_spread": answer.chance_spread,
        "findings": [
            {**asdict(finding), "strength": finding.strength, "alarm": finding.alarm is not None}
            for finding in answer.findings
        ],
    }


def _require_sklearn() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise ToolkitError("the audit needs scikit-learn: install it with 'pip install scikit-learn'") from None
