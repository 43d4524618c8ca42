"""The test table: what the bundle that a run leaves behind says about clips it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audio.labels import LABELS
from model import metrics
from model.evaluation.clip_figures import one_table_each
from model.evaluation.figures import find, sample
from model.evaluation.place_figures import FINEST_MS, cell_figures
from model.evaluation.scoring import Judge
from model.training.examples import TrainingSet

Table = dict[str, Any]


def evaluate(bundle: Path, split: TrainingSet, *, title: str = "") -> Table:
    """Judge every clip of `split` as `script.py evaluate` does, and sum up.

    A clip that cannot be read or on which the detector abstains counts as not judged right; its frames are left
    out of the segment EER and `frames_left_out` says how many clips that were.

    Returns
    -------
    `clips, accuracy, macro_f1, confusion (rows true, columns real, fake, hybrid, abstained), segment_eer_20ms,
    segment_eer_20ms_hybrids, frames_left_out, speakers, generators`; figures that are undefined are None
    """
    given = sample(Judge(bundle).judge(split.manifest_path, split.clips, title=title), n_resamples=1)
    table = one_table_each(given).sum(axis=0)
    cells = list(cell_figures(given, None, resolutions_ms=(FINEST_MS,))) if split.has_spans else []
    return {
        "clips": len(split.clips),
        "accuracy": metrics.accuracy(table),
        "macro_f1": metrics.macro_f1(table),
        "confusion": table.tolist(),
        "segment_eer_20ms": find(cells, f"segment_eer_{FINEST_MS}ms"),
        "segment_eer_20ms_hybrids": find(cells, f"segment_eer_{FINEST_MS}ms_hybrids"),
        "frames_left_out": sum(found.frame_scores is None for found in given.judged),
        "speakers": sorted({clip.speaker for clip in split.clips if clip.speaker}),
        "generators": sorted({clip.generator for clip in split.clips if clip.generator}),
    }


def as_text(name: str, table: Mapping[str, Any]) -> str:
    """Lay a table out for people."""
    lines = [
        f"{name}: {table['clips']} clips, speakers {_listed(table['speakers'])},"
        f" generators {_listed(table['generators'])}",
        f"  accuracy {figure_text(table['accuracy'])}   macro-F1 {figure_text(table['macro_f1'])}   20 ms segment EER"
        f" {figure_text(table['segment_eer_20ms'])} (hybrids only {figure_text(table['segment_eer_20ms_hybrids'])};"
        " positive class: fake)",
        "  true \\ judged" + "".join(f"{label:>10}" for label in (*LABELS, "abstained")),
    ]
    for label, counts in zip(LABELS, table["confusion"], strict=True):
        lines.append(f"  {label:<13}" + "".join(f"{count:>10}" for count in counts))
    return "\n".join(lines)


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "unknown"


def figure_text(value: float | None) -> str:
    """Write a figure, which may be undefined."""
    return "undefined" if value is None else f"{value:.3f}"
