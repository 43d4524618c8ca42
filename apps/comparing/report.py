"""The page of a comparison: the table, bars, confusion matrices and curves of training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from apps.comparing.outcome import HONEST, Outcome
from apps.comparing.systems import System
from apps.comparing.table import COLUMNS, notes, rows, table
from apps.comparing.trial import Plan, Trial, run_folder
from audio.pages import Block, Heading, Paragraph, Picture, Table, write_page
from model.evaluation.pictures import Row, breakdown_png, confusion_png

BARS = ("macro_f1", "clip_eer", "segment_eer_20ms_hybrids", "boundary_error_s")
"""Figures that are drawn as well as written."""


def write_report(path: Path, outcomes: Sequence[Outcome], plan: Plan, wanted: Sequence[System]) -> None:
    """Write the page; raises `ToolkitError` without Jinja2 or matplotlib."""
    write_page(path, list(_blocks(outcomes, plan, wanted)), title=f"Comparison on {plan.data.resolve().name}")


def _blocks(outcomes: Sequence[Outcome], plan: Plan, wanted: Sequence[System]) -> Iterator[Block]:
    clips = {row.honest.clips for row in rows(outcomes) if row.honest is not None and not row.honest.error}
    told = f"{' or '.join(map(str, sorted(clips)))} test clips" if clips else "no system was judged"
    folds = "" if plan.folds is None else f" in {plan.folds} folds: mean, and one deviation in brackets"
    yield Paragraph(
        f"{told}{folds}. Positive class: fake; EER of real against fake and hybrid clips; segment EER in"
        " cells of 20 ms; 95 % intervals by speaker."
        " Honest: no speaker and no generator of the test clips was heard in training."
        f" Each network learned for {plan.cpu_minutes:g} minutes of processor time; seed {plan.seed}."
    )
    for line in notes(outcomes):
        yield Paragraph(line, alarm=True)
    yield table(outcomes, ranges=True)
    yield Heading("The systems")
    yield Table(("system", "what it is"), tuple((s.name, s.summary) for s in wanted), words=frozenset({1}))
    yield Heading("Side by side")
    for key in BARS:
        yield from _bars(outcomes, key)
    yield Heading("Which classes are taken for which")
    for row in rows(outcomes):
        if row.honest is not None and row.honest.confusion:
            yield Picture(confusion_png(row.honest.confusion), f"Confusion matrix of {row.system}", row.system)
    yield Heading("How they learned")
    for system in wanted:
        curves = run_folder(plan, Trial(system.name, HONEST, None if plan.folds is None else 0)) / "curves.png"
        if curves.is_file():
            yield Picture(curves.read_bytes(), f"Losses and figures of {system.name} by epoch", system.name)


def _bars(outcomes: Sequence[Outcome], key: str) -> Iterator[Block]:
    found = [(row.system, row.honest) for row in rows(outcomes) if row.honest is not None]
    drawn = [
        Row(name, value.value, value.low, value.high, each.clips)
        for name, each in found
        if (value := each.of(key)).value is not None
    ]
    if drawn:
        name = COLUMNS[key].heading
        yield Picture(breakdown_png(drawn, quantity=name), f"{name} of each system", name)
