"""Figures as people read them: numbers, Markdown tables, and the sentences that depend on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apps.pretraining.findings import PROPERTIES, SELECTIVE, Findings, Where
from apps.pretraining.measuring import SEGMENT_EER, SEGMENT_EER_HYBRIDS
from apps.pretraining.sets import Exam, Exams, Treatment
from apps.pretraining.targets import Outcome
from audio.labels import LABELS
from audio.messages import REASONS
from audio.pages import Table, markdown_cell, table_markdown
from model.bundle import Bundle, OperatingPoint
from model.evaluation.figures import Figure
from model.evaluation.report import FEW_SPEAKERS

NONE = "-"
"""Stands where there is no figure."""

SCORES = ("macro_f1", "accuracy", "span_f1", "ece", "aurc")
"""Beginnings of keys of figures that are no percentages: they are written from 0 to 1."""

CHOSEN = ("risk_at_", "coverage_at_", "aurc")
"""Beginnings of the keys of figures of risk and coverage."""

COIN_TOSS, WEAK = 0.40, 0.25
"""Equal error rates from which places are called hardly better than a coin toss (50 %), and weak."""

ONE_CLASS = ("false_alarms", "missed_fake", "missed_hybrid")
"""Figures of the clips of one class: together they are of all."""

HEARD = ("clip_eer", "false_alarms", "missed_fake", "missed_hybrid", "macro_f1", SEGMENT_EER_HYBRIDS, SEGMENT_EER)
HEADS = {
    "clip_eer": "EER",
    "false_alarms": "genuine accused",
    "missed_fake": "fake called real",
    "missed_hybrid": "hybrid called real",
    "macro_f1": "macro-F1",
    SEGMENT_EER_HYBRIDS: "20 ms EER, hybrids only",
    SEGMENT_EER: "20 ms EER, all clips",
    "macro_f1_loss": "loss of macro-F1",
    "abstained": "no verdict",
}
"""Columns of the tables, and what stands over them."""


COLUMNS: Mapping[str, Sequence[str]] = {
    "rows": ("clip_eer", "false_alarms", "missed_fake"),
    "hybrids": ("clip_eer", *ONE_CLASS, SEGMENT_EER_HYBRIDS),
    "partial": ("clip_eer", "false_alarms", "missed_hybrid", SEGMENT_EER_HYBRIDS),
    "extra": ("clip_eer", "false_alarms", "missed_fake"),
}
"""What the parts of sets are shown with."""


# Numbers


def number(value: float | None, key: str, *, digits: int = 1) -> str:
    """Write one value in the way that its figure is read."""
    if value is None:
        return NONE
    if key.endswith("_ms_per_s"):
        return f"{value:.2f} ms"
    if key.endswith("_error_s"):
        return f"{1_000.0 * value:.0f} ms"
    if key.startswith(SCORES):
        return f"{value:.3f}"
    return f"{100.0 * value:.{digits}f} %"


def both(figure: Figure | None, *, digits: int = 1) -> str:
    """Write a figure with its interval."""
    if figure is None or figure.value is None:
        return NONE
    shown = number(figure.value, figure.key, digits=digits)
    if figure.low is None or figure.high is None:
        return shown
    ends = [number(end, figure.key, digits=digits) for end in (figure.low, figure.high)]
    return f"{shown} ({ends[0].partition(' ')[0]} to {ends[1].partition(' ')[0]})"


def of_hundred(figure: Figure | None) -> str:
    """Write a share as so many of a hundred, with its interval."""
    if figure is None or figure.value is None:
        return "an unknown number"
    value = 100.0 * figure.value
    about = "fewer than 1" if value < 0.5 else f"about {value:.0f}"
    if figure.low is None or figure.high is None:
        return about
    return f"{about} (95 % interval: {100.0 * figure.low:.1f} to {100.0 * figure.high:.1f})"


def how_well_placed(figure: Figure | None) -> str:
    """Put a segment EER into words."""
    if figure is None or figure.value is None:
        return "not measured"
    if figure.value >= COIN_TOSS:
        return "hardly better than a coin toss, which has 50 %"
    return "weak: a coin toss has 50 %" if figure.value >= WEAK else "better than a coin toss, which has 50 %"


# Tables


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table: the first column to the left, the others to the right; "" without rows."""
    return table_markdown(Table(tuple(header), tuple(map(tuple, rows))))


def target_table(outcomes: Sequence[Outcome]) -> str:
    """Write what was promised, what was measured, and the verdict."""
    rows = []
    for outcome in outcomes:
        wanted, figure, key = outcome.target, outcome.figure, outcome.target.key
        sign = "at least" if wanted.at_least else "at most"
        measured = both(figure, digits=2) + ("" if figure is None else f", {figure.n} {figure.unit}")
        goal = f"{sign} {_bound(wanted.goal, key)}"
        stretch = NONE if wanted.stretch is None else _bound(wanted.stretch, key)
        rows.append((wanted.measure, goal, stretch, measured, f"{outcome.verdict}"))
    return table(("measure", "target", "stretch", "measured (95 % interval), from", "verdict"), rows)


def _bound(value: float, key: str) -> str:
    if key.endswith("_ms_per_s"):
        return f"{value:g} ms"
    return f"{value:g}" if key.startswith(SCORES) else f"{100.0 * value:g} %"


def set_table(exams: Exams, found: Findings) -> str:
    """Write the figures of every set."""
    keys = (*HEARD, "abstained")
    rows = [
        (exam.words, *_counts(exam), *(both(found.get(Where(exam.name), key)) for key in keys)) for exam in exams.all
    ]
    return table(("set", "real / fake / hybrid clips", "speakers", *(HEADS[key] for key in keys)), rows)


def _counts(exam: Exam) -> tuple[str, str]:
    labels = [clip.label for clip in exam.clips]
    return " / ".join(str(labels.count(label)) for label in LABELS), str(speakers_of(exam))


def speakers_of(exam: Exam) -> int:
    """Count the known speakers of a set."""
    return len({clip.speaker for clip in exam.clips} - {""})


def has_few_speakers(exam: Exam) -> bool:
    """Whether a set has so few speakers that its intervals are rough."""
    return 0 < speakers_of(exam) < FEW_SPEAKERS


def splice_table(found: Findings) -> str:
    """Write what becomes of genuine speech that was cut and joined."""
    rows = []
    for name, words in (("hybrids", "hybrids"), ("channel", "through the channel")):
        figures = [found.get(Where(name, "genuine splices"), key) for key in ("called_hybrid", "false_alarms")]
        rows.append((words, str(figures[0].n if figures[0] else 0), *map(both, figures)))
    return table(("genuine splices", "clips", "called hybrid", HEADS["false_alarms"]), rows)


def part_tables(exams: Exams, found: Findings) -> dict[str, dict[str, str]]:
    """Write the parts of sets, by property and by the words for the set; what divides nothing is left out."""
    words = {exam.name: exam.words[:1].upper() + exam.words[1:] for exam in exams.all}
    tables = {
        prop: {words[name]: part_table(name, prop, found, keys) for name, keys in COLUMNS.items()}
        for prop in PROPERTIES
    }
    shown = {prop: {name: each for name, each in of_sets.items() if each} for prop, of_sets in tables.items()}
    return {prop: of_sets for prop, of_sets in shown.items() if of_sets}


def part_table(name: str, prop: str, found: Findings, keys: Sequence[str]) -> str:
    """Write the parts of one set by one property; "" when it divides nothing."""
    rows = []
    wheres = found.parts(name, f"{prop}: ")
    shown = [key for key in keys if any(found.get(where, key) for where in wheres)]
    for where in wheres:
        clips = sum(each.n for key in ONE_CLASS if (each := found.get(where, key)))
        figures = [found.get(where, key) for key in shown]
        rows.append((where.part.removeprefix(f"{prop}: "), str(clips), *map(both, figures)))
    return table((prop, "clips", *(HEADS[key] for key in shown)), rows) if len(rows) > 1 else ""


def corpus_table(found: Findings) -> str:
    """Write the false alarms on genuine speech by origin."""
    rows = []
    for where in found.parts("corpora", ""):
        figure, silent = (found.get(where, key) for key in ("false_alarms", "abstained"))
        heard, _, name = where.part.partition(": ")
        rows.append((name, heard, str(figure.n if figure else 0), both(figure), both(silent)))
    return table(("genuine recordings from", "in training", "clips", HEADS["false_alarms"], HEADS["abstained"]), rows)


def treatment_table(treatments: Sequence[Treatment], found: Findings) -> str:
    """Write what becomes of the hybrids under each treatment."""
    keys = ("macro_f1", "macro_f1_loss", "clip_eer", SEGMENT_EER, "false_alarms", "missed_fake", "missed_hybrid")
    wheres = [("as they are", Where("hybrids"))]
    wheres += [(each.words, Where("hybrids", treatment=each.name)) for each in treatments if not each.genuine_only]
    rows = [(words, *(both(found.get(where, key)) for key in keys)) for words, where in wheres]
    return table(("hybrids", *(HEADS[key] for key in keys)), rows)


def genuine_table(treatments: Sequence[Treatment], found: Findings) -> str:
    """Write the false alarms on genuine rows under each treatment."""
    wheres = [("as they are", Where("rows"))]
    wheres += [(treatment.words, Where("rows", treatment=treatment.name)) for treatment in treatments]
    keys = ("false_alarms", "abstained")
    rows = []
    for words, where in wheres:
        figure = found.get(where, "false_alarms")
        rows.append((words, str(figure.n if figure else 0), *(both(found.get(where, key)) for key in keys)))
    return table(("genuine rows", "clips", *(HEADS[key] for key in keys)), rows)


def point_table(bundle: Bundle, found: Findings) -> str:
    """Write what every operating point promises on dev, and what it gives."""
    rows = [_point_row(point, "" if not i else point.name, found) for i, point in enumerate(bundle.operating_points)]
    promise = "promised on dev: at most; given there"
    given = ("genuine rows accused", "fake rows called real", "hybrids: macro-F1", "hybrids called real")
    return table(("operating point", promise, *given), rows)


def _point_row(point: OperatingPoint, name: str, found: Findings) -> Sequence[str]:
    rows, hybrids = Where("rows", point=name), Where("hybrids", point=name)
    shown = [(rows, "false_alarms"), (rows, "missed_fake"), (hybrids, "macro_f1"), (hybrids, "missed_hybrid")]
    words = point.name if name else f"{point.name} (shipped)"
    return (words, _promise(point.measured), *(both(found.get(where, key)) for where, key in shown))


def _promise(measured: Mapping[str, Any]) -> str:
    """Write what an operating point was chosen for, in the words of `model.training.calibrate`."""
    if "false_alarms" not in measured:
        return "least error on dev; no rate of false alarms"
    keys = ("false_alarms", "low", "high")
    value, low, high = (measured.get(key) for key in keys)
    given = both(Figure("false_alarms", "", "", value, low, high))
    most = number(measured.get("false_alarms_at_most"), "share", digits=0)
    return f"{most}; {given}, {measured.get('genuine_clips', '?')} clips"


def length_table(found: Findings) -> str:
    """Write the recall of fake seconds by length of the span, on hybrids as they are and through the channel."""
    columns = ("hybrids", "channel")
    keys = [key for where, key in found.figures if where == Where("hybrids") and _is_length(key)]
    rows = []
    for key in keys:
        figures = [found.get(Where(name), key) for name in columns]
        counts = "; ".join(str(figure.n) if figure else "0" for figure in figures)
        rows.append((_length_words(key), counts, *map(both, figures)))
    return table(("length of the span", "spans", "found, hybrids", "found, through the channel"), rows)


def _is_length(key: str) -> bool:
    return key.startswith("span_recall_") and key != "span_recall_hybrids"


def _length_words(key: str) -> str:
    """Turn `span_recall_0.2_to_0.5s` into "0.2 to 0.5 s"."""
    return key.removeprefix("span_recall_").removesuffix("s").replace("_", " ") + " s"


def place_table(found: Findings) -> str:
    """Write what is found of fake seconds, and how exactly."""
    keys = {
        "span_precision_hybrids": "of the seconds marked, fake",
        "span_recall_hybrids": "of the fake seconds, marked",
        "span_f1_hybrids": "F1 of seconds",
        "onset_error_s": "median error of onsets",
        "offset_error_s": "median error of offsets",
    }
    columns = ("hybrids", "channel", "partial")
    rows = [(words, *(both(found.get(Where(name), key)) for name in columns)) for key, words in keys.items()]
    return table(("hybrids only, at the default operating point", "hybrids", "through the channel", "partial"), rows)


def calibration_table(found: Findings) -> str:
    """Write how often verdicts are right, by how sure they were."""
    rows = []
    for name in ("rows", "hybrids"):
        bins = found.bins.get(name)
        for sure, right, count in zip(bins.confidence, bins.accuracy, bins.count, strict=True) if bins else ():
            rows.append((name, f"{100 * sure:.0f} %", f"{100 * right:.0f} %", str(count)))
    return table(("set", "says on average", "is right", "clips"), rows)


def abstention_table(exams: Exams, found: Findings) -> str:
    """Write how many clips got no verdict for which reason."""
    rows = [
        (exam.words, REASONS.get(reason, reason), f"{count} of {len(exam.clips)}")
        for exam in exams.all
        for reason, count in found.reasons.get(exam.name, {}).items()
    ]
    return table(("set", "reason", "clips"), rows)


def selective_table(exams: Exams, found: Findings) -> str:
    """Write how often verdicts are wrong when only the surest are given."""
    shown = [exam for exam in exams.all if exam.name in SELECTIVE]
    keys = [key for where, key in found.figures if where == Where(SELECTIVE[0]) and key.startswith(CHOSEN)]
    rows = []
    for exam in shown:
        figures = [found.get(Where(exam.name), key) for key in keys]
        rows.append((exam.words, str(figures[0].n if figures[0] else 0), *map(both, figures)))
    named = [figure.name for key in keys if (figure := found.get(Where(SELECTIVE[0]), key))]
    return table(("verdicts on", "clips", *named), rows)


def origin_table(origins: Sequence[Mapping[str, Any]]) -> str:
    """Write where training recordings come from."""
    rows = [
        (
            *(str(origin.get(key, "")) for key in ("name", "label", "licence")),
            str(origin.get("clips", "")),
            f"{float(origin.get('seconds', 0)) / 60:.1f}",
        )
        for origin in origins
    ]
    return table(("origin", "class", "licence", "clips", "minutes"), rows)


# Sentences


def limits(exams: Exams, found: Findings) -> list[str]:
    """Say what it cannot tell, as far as there are figures that say so."""
    return [
        "Who made a fake, with which program, and whose voice it is. It was not taught to, and does not say.",
        _foreign(exams, found),
        *(sentence.format(*map(both, figures)) for sentence, figures in _measured(found) if all(figures)),
        "Music, singing, and voices that were changed by a phase vocoder: neither trained nor tested on.",
        "Honest neural processing: speech that a neural codec or a restoration network generated again counts as fake.",
    ]


def _foreign(exams: Exams, found: Findings) -> str:
    figure = found.get(Where("partial"), SEGMENT_EER)
    return (
        "Words that a neural editor changed, where training never heard that editor: a 20 ms segment EER of"
        f" {both(figure)} on {len(exams.partial.clips)} clips of other people is {how_well_placed(figure)}."
    )


def _measured(found: Findings) -> list[tuple[str, list[Figure | None]]]:
    """Return sentences with gaps, and the figures that go there."""
    spans, short = Where("hybrids"), Where("rows", "length: 0 to 2 s")
    telephone, noise = (Where("hybrids", treatment=name) for name in ("g711_8khz", "noise_0db"))
    genuine = Where("rows", treatment="g711_8khz")
    return [
        (
            "Short spans: of the fake seconds in spans below 0.2 s it finds {}, in those from 2 s {}.",
            [_defined(found, spans, "span_recall_0_to_0.2s"), _defined(found, spans, "span_recall_from_2s")],
        ),
        (
            "Short recordings: below 2 s it accuses {} of the genuine ones and calls {} of the fake ones real.",
            [_defined(found, short, "false_alarms"), _defined(found, short, "missed_fake")],
        ),
        (
            "Telephone calls: after G.711 at 8 kHz macro-F1 falls by {}, and {} of genuine recordings are accused.",
            [_defined(found, telephone, "macro_f1_loss"), _defined(found, genuine, "false_alarms")],
        ),
        (
            "Speech in noise as loud as itself: macro-F1 falls by {}.",
            [_defined(found, noise, "macro_f1_loss")],
        ),
    ]


def _defined(found: Findings, where: Where, key: str) -> Figure | None:
    figure = found.get(where, key)
    return None if figure is None or figure.value is None else figure


def attributions(origins: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name everybody whose recordings were trained on, once, with the licence."""
    named = {(str(origin.get("name", "")), str(origin.get("licence", ""))) for origin in origins}
    told = [(name, licence or "licence not recorded") for name, licence in sorted(named)]
    return [f"{markdown_cell(name)} ({markdown_cell(licence)})" for name, licence in told]
