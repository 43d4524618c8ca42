"""An audit for people: tables for the terminal, and the page with its pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator

from audio.pages import Block, Heading, Paragraph, Picture, Table, table_text, write_page
from synth.audit import Answer, Finding, Report
from synth.probe import COVERAGE, Estimate

HOW_TO_READ = (
    "Each fact is something that can be told without listening. Its AUC says how well it tells two classes apart: "
    "0.5 is a coin, 1 and 0 are certain. 'AUC' ranks the clips by the raw value, and above 0.5 the second class has "
    "more of it. 'learned' is cross-validated with folds by source recording, finds relations of any shape, and below "
    "0.5 has found nothing. An alarm (*) is an AUC beyond its limit, beyond what chance makes in a set of this size, "
    "and with an interval that excludes 0.5: a detector that is trained on this set can use the fact instead of the "
    "speech."
)
"""The words under every audit."""

MOST_UNREADABLE = 20
"""Files named in a report; of the others there is only the number."""


def report_text(report: Report) -> str:
    """Return the whole audit as lines for a terminal."""
    parts = [_title(report)]
    for answer in report.answers:
        parts.append(_intro(answer))
        if answer.findings:
            parts[-1] += "\n" + table_text(answer_table(answer))
    parts += ["Cannot be read, left out:\n" + "\n".join(_unreadable(report))] if report.unreadable else []
    return "\n\n".join([*parts, verdict(report)])


def write_report(path: str | os.PathLike[str], report: Report) -> None:
    """Write the page of an audit; raise `ToolkitError` when Jinja2 or matplotlib is missing, or the disk fails."""
    write_page(path, list(_blocks(report)), title=f"Audit of {report.name}")


def verdict(report: Report) -> str:
    """Return one line that sums up."""
    if not report.alarms:
        asked = [answer.question.name for answer in report.answers if answer.findings]
        return f"No alarm for {', '.join(asked)}." if asked else "No question could be asked of this set."
    named = [f"{finding.name} ({answer.question.name})" for answer, finding in report.alarms]
    return f"{len(named)} alarm{'s' * (len(named) > 1)}: {', '.join(named)}."


def answer_table(answer: Answer) -> Table:
    """Return one row for each fact."""
    first, second = answer.question.classes
    header = ("fact", "AUC", f"{COVERAGE:.0%} interval", "learned", f"{COVERAGE:.0%} interval", "limit", first, second)
    rows = tuple(_row(finding, answer) for finding in answer.findings)
    marked = frozenset(i for i, finding in enumerate(answer.findings) if finding.alarm is not None)
    return Table((*header, "says"), rows, marked=marked, words=frozenset({8}))


def _row(finding: Finding, answer: Answer) -> tuple[str, ...]:
    numbers = (*_told(finding.rank), *_told(finding.learned))
    return (finding.name, *numbers, f"{finding.limit:.2f}", *finding.typical, _says(finding, answer))


def _told(estimate: Estimate | None) -> tuple[str, str]:
    return ("", "") if estimate is None else (f"{estimate.auc:.3f}", f"{estimate.low:.2f} - {estimate.high:.2f}")


def _says(finding: Finding, answer: Answer) -> str:
    """Say what an alarm is about."""
    found = finding.alarm
    if found is None:
        return ""
    if found is not finding.rank:
        return "ALARM: tells them apart" + (f", by {', '.join(finding.leans_on)}" if finding.leans_on else "")
    return f"ALARM: {answer.question.classes[1]} has {'more' if found.auc > 0.5 else 'less'}"


def _title(report: Report) -> str:
    lost = f", {len(report.unreadable)} cannot be read" if report.unreadable else ""
    return f"{report.name}: {report.n_clips} clips{lost}"


def _intro(answer: Answer) -> str:
    if answer.skipped:
        return f"{answer.question.name}: not asked: {answer.skipped}"
    first, second = (f"{n} {name}" for n, name in zip(answer.counts, answer.question.classes, strict=True))
    return (
        f"{answer.question.name}: {first}, {second}, from {answer.n_sources} source recordings. By chance alone, the "
        f"AUC of one fact lies within 0.5 +- {answer.chance_spread:.3f} in {COVERAGE:.0%} of such sets."
    )


def _unreadable(report: Report) -> list[str]:
    named = [f"{path}: {reason}" for path, reason in list(report.unreadable.items())[:MOST_UNREADABLE]]
    left = len(report.unreadable) - len(named)
    return [*named, *([f"and {left} more"] if left else [])]


def _blocks(report: Report) -> Iterator[Block]:
    from synth.pictures import overview_png

    yield Paragraph(verdict(report), alarm=bool(report.alarms))
    yield Paragraph(_title(report) + ". " + HOW_TO_READ)
    if any(answer.findings for answer in report.answers):
        caption = "The grey band is what is allowed; lines are intervals."
        yield Picture(overview_png(report), "The AUC of every fact; the tables below hold the same figures.", caption)
    for answer in report.answers:
        yield Heading(answer.question.name)
        yield Paragraph(_intro(answer))
        if answer.findings:
            yield answer_table(answer)
            yield from _alarm_pictures(report, answer)
    if report.unreadable:
        yield Heading("Cannot be read, left out")
        yield from (Paragraph(line) for line in _unreadable(report))


def _alarm_pictures(report: Report, answer: Answer) -> Iterator[Picture]:
    from synth.pictures import fact_png, pair_png

    columns = {column.name: column for column in report.columns}
    shown: set[tuple[str, ...]] = set()
    for finding in answer.alarms:
        caption = f"{finding.name}: {_says(finding, answer).removeprefix('ALARM: ')}"
        if finding.name in columns:
            alt = f"{caption}; typically {finding.typical[0]} against {finding.typical[1]}"
            yield Picture(fact_png(columns[finding.name], answer), alt, caption)
        elif len(finding.leans_on) > 1 and (pair := tuple(sorted(finding.leans_on[:2]))) not in shown:
            shown.add(pair)
            across, up = (columns[name] for name in pair)
            yield Picture(pair_png(across, up, answer=answer), f"{caption}; {up.name} over {across.name}", caption)
