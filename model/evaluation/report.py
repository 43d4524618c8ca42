"""An evaluation as a whole, for people and for programs: text, JSON and one self-contained page."""

from __future__ import annotations

import csv
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import numpy as np

from audio.atomic import replacing
from audio.labels import HYBRID, LABELS, REAL
from audio.pages import Block, Heading, Paragraph, Picture, Table, table_text, write_page
from audio.segments import SAMPLE_RATE
from model.evaluation.breakdown import FEWEST_CLIPS, Breakdown
from model.evaluation.clip_figures import AGAINST_REAL, RANKING, VERDICTS, clip_scores, one_table_each
from model.evaluation.figures import Figure, Operating, Sample
from model.evaluation.place_figures import CELLS, FINEST_MS, SPANS, located, recordings
from model.evaluation.robustness import KEYS, Robustness

SCHEMA_VERSION = 1
"""Version of the JSON."""

DECIMALS = 4

FEW = 10.0
"""Figures from here on, alarms an hour for example, have one decimal: more would be noise."""

SHORT = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "clip_eer": "clip EER",
    "hter": "HTER",
    "fpr": "real called fake",
    "fnr": "fake missed",
    f"segment_eer_{FINEST_MS}ms": f"{FINEST_MS} ms EER",
    "span_f1": "F1 of seconds",
    "false_alarms_per_hour": "false alarms/h",
}
"""Heads of columns."""

FEW_SPEAKERS = 10
"""Intervals from fewer clusters are said to be rough: resampling so few misses much of how voices differ."""

HOW_TO_READ = (
    "Where there are two classes only, hybrids count as fake. EER is the mean of the two error rates at the threshold "
    "where they are nearest. A cell of a segment EER is fake when any part of it is; a coarse cell has the greatest "
    "score of its frames. Seconds, precision, recall and F1 of spans are at the system's own threshold. An interval "
    "without width means that no resample could differ, for example because nothing went wrong; it is no certainty."
)
"""The words above the figures of every page."""

AFTER_CORRUPTION = (
    "The same clips, judged again after each corruption, at the same thresholds. In brackets: how far a figure moved."
)

VERDICTS_MOVED = (
    "Accused: real clips, called real before and fake or hybrid now. Missed: fake and hybrid clips, called so before "
    "and real now. Silent: clips that had a verdict and have none now."
)
"""What the columns of the second table of corruptions count."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Everything that was found out about a system on a set."""

    name: str
    """Of the set and its split, for people."""
    facts: Mapping[str, str]
    """What was judged with what: model, hashes, command and so on, by name."""
    sample: Sample
    figures: tuple[Figure, ...]
    operating: Operating | None = None
    breakdowns: tuple[Breakdown, ...] = ()
    stress: tuple[Robustness, ...] = ()
    warnings: tuple[str, ...] = ()
    """What a reader must know before believing a figure."""

    def to_json(self) -> dict[str, Any]:
        """Return the evaluation as what JSON can hold, schema `SCHEMA_VERSION`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "positive_class": "fake",
            "facts": dict(self.facts),
            "clips": dict(_classes(self.sample)),
            "speakers": len(_speakers(self.sample)),
            "intervals": {
                "level": 0.95,
                "clustered_by": self.sample.cluster,
                "resamples": self.sample.n_resamples,
                "seed": self.sample.seed,
            },
            "operating": None if self.operating is None else _finite(asdict(self.operating)),
            "warnings": list(self.warnings),
            "figures": [figure.to_json() for figure in self.figures],
            "breakdowns": [breakdown.to_json() for breakdown in self.breakdowns],
            "stress": [robustness.to_json() for robustness in self.stress],
        }


def evaluation_text(found: Evaluation) -> str:
    """Return the whole evaluation as lines for a terminal."""
    parts = [described(found), *(f"warning: {warning}" for warning in found.warnings)]
    parts += [table_text(figure_table(section, figures)) for section, figures in _sections(found)]
    parts += [table_text(breakdown_table(breakdown)) for breakdown in found.breakdowns]
    if found.stress:
        parts += [*map(table_text, stress_tables(found)), VERDICTS_MOVED]
    return "\n\n".join(parts)


def described(found: Evaluation) -> str:
    """Say in a few sentences what was judged, and what the intervals mean."""
    counts = ", ".join(f"{count} {label}" for label, count in _classes(found.sample))
    hours = sum(each.n_samples for each in found.sample.judged) / SAMPLE_RATE / 3_600
    length = f"{hours:.2f} h" if hours else "of unknown length"
    told = _counted(len(_speakers(found.sample)), "speaker") if _speakers(found.sample) else "unknown speakers"
    said = [
        f"{found.name}: {_counted(len(found.sample.judged), 'clip')} ({counts}), {length}, {told}.",
        f"Positive class: fake. Intervals: 95 %, {found.sample.n_resamples} resamples by {found.sample.cluster},"
        f" seed {found.sample.seed}.",
    ]
    if found.operating is not None and found.operating.source:
        said.append(f"Thresholds from {found.operating.source}.")
    return " ".join(said)


NOT_RIGHT = "counted as not right, and left out where scores count"
"""What becomes of clips without a verdict."""


def own_warnings(given: Sample) -> list[str]:
    """Say what the clips themselves give reason to warn of."""
    said = []
    if given.cluster == "speaker" and (n_groups := len({found.group for found in given.judged})) < FEW_SPEAKERS:
        said.append(f"only {n_groups} speakers: intervals from so few voices are rough, and rather too narrow")
    if given.cluster == "clip" and len(_speakers(given)) == 1:
        said.append("all clips are of one speaker: the intervals are by clip, and say nothing about other voices")
    elif given.cluster == "clip":
        said.append("the speakers are unknown: the intervals are by clip, and too narrow if few people speak")
    if failed := sum(found.failed for found in given.judged):
        said.append(f"{_counted(failed, 'clip')} could not be judged: {NOT_RIGHT}")
    silent = [found for found in given.judged if found.label is None and found.reasons and not found.failed]
    if silent:
        why = ", ".join(f"{reason} {n}" for reason, n in Counter(r for f in silent for r in f.reasons).most_common())
        said.append(f"{_counted(len(silent), 'abstention')} ({why}): {NOT_RIGHT}")
    placed = [found for found in given.judged if found.frame_scores is not None or found.spans is not None]
    if lost := sum(found.truth is None for found in placed):
        said.append(f"of {_counted(lost, 'clip')} nobody says where they are fake: left out of all figures of places")
    return said


def figure_table(section: str, figures: Sequence[Figure]) -> Table:
    """Return the figures of a section, one a row."""
    rows = tuple(
        (figure.name, _told(figure.value), _interval(figure), f"{figure.n} {figure.unit}") for figure in figures
    )
    return Table(("figure", "value", "95 % interval", "from"), rows, caption=section)


def note_tables(figures: Sequence[Figure]) -> list[Table]:
    """Return the notes of figures, each once, behind the names of those that it is about; no table without notes."""
    about: dict[str, list[str]] = {}
    for figure in figures:
        if figure.note:
            about.setdefault(figure.note, []).append(figure.name)
    rows = tuple(("; ".join(names), note) for note, names in about.items())
    return [Table(("figure", "how"), rows, words=frozenset({1}))] if rows else []


def breakdown_table(breakdown: Breakdown) -> Table:
    """Return the figures of the parts of a set, one part a row."""
    keys = list(dict.fromkeys(figure.key for part in breakdown.parts for figure in part.figures))
    rows = []
    for part in breakdown.parts:
        own = {figure.key: figure for figure in part.figures}
        cells = [_both(own[key]) if key in own else "" for key in keys]
        rows.append((part.value, str(part.n_clips), *cells))
    return Table(("", "clips", *(SHORT[key] for key in keys)), tuple(rows), caption=f"By {breakdown.name}")


def stress_tables(found: Evaluation) -> tuple[Table, Table]:
    """Return how the figures move under each corruption, and what becomes of the verdicts."""
    clean = {figure.key: figure for figure in found.figures if figure.key in KEYS}
    keys = [key for key in KEYS if key in clean]
    rows = [("as it is", *(_told(clean[key].value, decimals=3) for key in keys))]
    for robustness in found.stress:
        own = {figure.key: figure.value for figure in robustness.figures}
        rows.append((robustness.name, *(_moved(own.get(key), clean[key].value) for key in keys)))
    figures = Table(("", *(SHORT[key] for key in keys)), tuple(rows), caption="Figures under corruption")
    header = ("", "what was done", "clips", "same verdict", "newly accused", "newly missed", "newly silent")
    rows = list(map(_verdict_row, found.stress))
    return figures, Table(header, tuple(rows), words=frozenset({1}), caption="Verdicts under corruption")


def _verdict_row(robustness: Robustness) -> tuple[str, ...]:
    moves = robustness.moves
    same = f"{100 * moves.same / max(1, moves.n_clips):.1f} %"
    counts = (moves.accused, moves.missed, moves.silenced)
    return (robustness.name, robustness.words, str(moves.n_clips), same, *map(str, counts))


def write_report(path: str | os.PathLike[str], found: Evaluation) -> None:
    """Write the page; raise `ToolkitError` when Jinja2 or matplotlib is missing, or the disk fails."""
    write_page(path, list(_blocks(found)), title=f"Evaluation of {found.name}")


def write_figures(path: str | os.PathLike[str], found: Evaluation) -> None:
    """Write the JSON of an evaluation, whole or not at all; its folder is made if needed."""
    with replacing(path) as beside:
        beside.write_text(json.dumps(found.to_json(), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_verdicts(path: str | os.PathLike[str], found: Evaluation) -> None:
    """Write a CSV with the true class of each clip, its verdict, and its verdict under each corruption.

    An abstention is an empty cell, and so is a clip that could not be judged.
    """
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("path", "truth", "clean", *(robustness.name for robustness in found.stress)))
        for each in found.sample.judged:
            moved = (robustness.verdicts.get(each.clip.path) for robustness in found.stress)
            table.writerow((each.clip.path, each.clip.label, each.label or "", *(label or "" for label in moved)))


def _blocks(found: Evaluation) -> Iterator[Block]:
    yield from (Paragraph(warning[0].upper() + warning[1:] + ".", alarm=True) for warning in found.warnings)
    yield Paragraph(described(found))
    yield Paragraph(HOW_TO_READ)
    if foremost := [figure for figure in found.figures if figure.key in KEYS]:
        yield Heading("In short")
        yield figure_table("", foremost)
    for section, figures in _sections(found):
        yield Heading(section)
        yield figure_table("", figures)
        yield from note_tables(figures)
        yield from _PICTURES[section](found)
    yield from _stress_blocks(found)
    yield from _breakdown_blocks(found)
    yield Heading("What was judged with what")
    yield Table(("what", "which"), tuple(found.facts.items()), words=frozenset({1}))


def _stress_blocks(found: Evaluation) -> Iterator[Block]:
    if found.stress:
        figures, verdicts = stress_tables(found)
        yield Heading("When recordings get worse")
        yield Paragraph(AFTER_CORRUPTION)
        yield figures
        yield Paragraph(VERDICTS_MOVED)
        yield verdicts


def _breakdown_blocks(found: Evaluation) -> Iterator[Block]:
    if found.breakdowns:
        yield Heading("Parts of the set")
        yield Paragraph(
            "A part whose clips are all fake, such as a generator, is ranked against all real clips."
            f" Parts of fewer than {FEWEST_CLIPS} clips are not shown. A dash: the part has no clips for the figure."
        )
    for breakdown in found.breakdowns:
        yield breakdown_table(breakdown)
        yield from _breakdown_picture(found, breakdown)


def _verdict_pictures(found: Evaluation) -> Iterator[Picture]:
    from model.evaluation import pictures
    from model.metrics.calibration import reliability

    table = one_table_each(found.sample).sum(axis=0)
    said = "; ".join(
        f"{label}: " + ", ".join(f"{n} called {called}" for n, called in zip(row, (*LABELS, "nothing"), strict=True))
        for label, row in zip(LABELS, table.tolist(), strict=True)
    )
    yield Picture(pictures.confusion_png(table), said, "What is called what.")
    told = [each for each in found.sample.judged if each.probabilities is not None]
    if told:
        bins = reliability(np.array([each.probabilities for each in told]), [each.clip.label for each in told])
        alt = "How often a verdict is right, over the probability that it was given."
        yield Picture(pictures.reliability_png(bins), alt, alt)


def _ranking_pictures(found: Evaluation) -> Iterator[Picture]:
    from model.evaluation import pictures
    from model.metrics.ranking import error_curve

    scored = found.sample.only(lambda each: each.score is not None)
    parts = {name: scored.of(REAL, *labels) for _, name, labels in AGAINST_REAL}
    curves = {name: error_curve(part.is_fake, clip_scores(part)) for name, part in parts.items()}
    known = {name.removeprefix("EER, "): curve for name, curve in curves.items() if curve is not None}
    alt = "Error rates at every threshold, as ROC and as DET curves; the tables hold the figures."
    yield Picture(pictures.error_curves_png(known), alt, "ROC (left) and DET curves (right).")
    threshold = None if found.operating is None else found.operating.clip_threshold
    thresholds = {} if threshold is None or found.operating is None else {found.operating.source: threshold}
    scores = {label: clip_scores(scored.of(label)) for label in LABELS}
    caption = "How the scores of the classes are spread."
    yield Picture(pictures.score_histograms_png(scores, thresholds=thresholds), caption, caption)


def _cell_pictures(found: Evaluation) -> Iterator[Picture]:
    from model.evaluation import pictures
    from model.metrics.cells import gather
    from model.metrics.ranking import error_curve

    kept = located(found.sample)
    cells = gather(recordings(kept), cell_samples=FINEST_MS * SAMPLE_RATE // 1_000)
    parts = {"all clips": cells, "hybrids only": cells.only([each.clip.label == HYBRID for each in kept.judged])}
    curves = {name: error_curve(part.is_fake, part.scores) for name, part in parts.items()}
    known = {name: curve for name, curve in curves.items() if curve is not None}
    alt = f"Error rates of cells of {FINEST_MS} ms at every threshold; the table holds the figures."
    yield Picture(pictures.error_curves_png(known), alt, f"Cells of {FINEST_MS} ms.")


def _span_pictures(found: Evaluation) -> Iterator[Picture]:
    from model.evaluation import pictures
    from model.metrics.spans import span_recall_by_length

    hybrids = [each for each in found.sample.judged if each.clip.label == HYBRID and each.truth and not each.failed]
    covered = [span_recall_by_length(each.spans or (), each.truth or ()) for each in hybrids]
    if covered:
        lengths = np.concatenate([each.n_samples for each in covered]) / SAMPLE_RATE
        shares = np.concatenate([each.share for each in covered])
        caption = "How much of each fake span of a hybrid was found, by its length."
        yield Picture(pictures.span_recall_png(lengths, shares), caption, caption)


_PICTURES = {VERDICTS: _verdict_pictures, RANKING: _ranking_pictures, CELLS: _cell_pictures, SPANS: _span_pictures}


def _breakdown_picture(found: Evaluation, breakdown: Breakdown) -> Iterator[Picture]:
    """Draw the first of two figures that the parts have: how well clips are told apart, or else cells."""
    from model.evaluation.pictures import Row, breakdown_png

    for key in ("clip_eer", f"segment_eer_{FINEST_MS}ms"):
        own = [(part, figure) for part in breakdown.parts for figure in part.figures if figure.key == key]
        rows = [Row(part.value, each.value, each.low, each.high, part.n_clips) for part, each in own]
        if any(row.value is not None for row in rows):
            name, overall = own[0][1].name, next((f.value for f in found.figures if f.key == key), None)
            alt = f"{name} by {breakdown.name}; the table holds the same figures."
            drawn = breakdown_png(rows, quantity=name, overall=overall)
            yield Picture(drawn, alt, f"{name}, by {breakdown.name}; dotted: the whole set.")
            return


def _sections(found: Evaluation) -> Iterator[tuple[str, list[Figure]]]:
    for section, figures in groupby(found.figures, key=lambda figure: figure.section):
        yield section, list(figures)


def _classes(given: Sample) -> list[tuple[str, int]]:
    counts = Counter(found.clip.label for found in given.judged)
    return [(label, counts[label]) for label in LABELS]


def _speakers(given: Sample) -> set[str]:
    return {found.clip.speaker for found in given.judged} - {""}


def _told(value: float | None, *, decimals: int = DECIMALS) -> str:
    """Tell a figure: shares with many decimals, counts of more than a few with one."""
    if value is None:
        return "undefined"
    return f"{value:.{decimals if abs(value) < FEW else 1}f}"


def _interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return ""
    decimals = 3 if abs(figure.high) < FEW else 1
    return f"{figure.low:.{decimals}f} - {figure.high:.{decimals}f}"


def _both(figure: Figure) -> str:
    value = "-" if figure.value is None else _told(figure.value, decimals=3)
    return f"{value} ({_interval(figure)})" if figure.low is not None else value


def _moved(value: float | None, before: float | None) -> str:
    """Tell a figure, and how far it moved."""
    if value is None or before is None:
        return _told(value, decimals=3)
    decimals = 3 if max(abs(value), abs(before)) < FEW else 1
    moved = round(value - before, decimals)
    change = f"{moved:+.{decimals}f}" if moved else "same"
    return f"{_told(value, decimals=3)} ({change})"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _finite(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Replace infinities by None: a threshold is infinite where it is best to call nothing fake, and JSON has no such
    number."""
    return {key: None if isinstance(fact, float) and math.isinf(fact) else fact for key, fact in facts.items()}
