"""The test table: what the bundle that a run leaves behind says about clips it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from audio import jobs, segments
from audio.labels import HYBRID, LABELS
from audio.manifest import Clip, fake_spans
from model import metrics
from model.features import FRAME_HOP_SAMPLES
from model.judging.detector import Detector
from model.training.examples import TrainingSet

Table = dict[str, Any]


def evaluate(detector: Detector, split: TrainingSet, *, title: str = "") -> Table:
    """Judge every clip of `split` as `script.py` would, and sum up.

    A clip that cannot be read or on which the detector abstains counts as not judged right; its frames are left
    out of the segment EER and `frames_left_out` says how many clips that were.

    Returns
    -------
    `clips, accuracy, macro_f1, confusion (rows true, columns real, fake, hybrid, abstained), segment_eer_20ms,
    segment_eer_20ms_hybrids, frames_left_out, speakers, generators`; figures that are undefined are None
    """
    judge = _Judge(detector, split)
    rows = [row for rows in jobs.run(judge, split.clips, key=lambda clip: clip.path, title=title) for row in rows]
    table = metrics.confusion([clip.label for clip in split.clips], [row.get("label") for row in rows])
    heard = [(clip, row) for clip, row in zip(split.clips, rows, strict=True) if row.get("frame_scores")]
    hybrids = [(clip, row) for clip, row in heard if clip.label == HYBRID]
    return {
        "clips": len(split.clips),
        "accuracy": metrics.accuracy(table),
        "macro_f1": metrics.macro_f1(table),
        "confusion": table.tolist(),
        "segment_eer_20ms": _segment_eer(heard) if split.has_spans else None,
        "segment_eer_20ms_hybrids": _segment_eer(hybrids) if split.has_spans else None,
        "frames_left_out": len(rows) - len(heard),
        "speakers": sorted({clip.speaker for clip in split.clips if clip.speaker}),
        "generators": sorted({clip.generator for clip in split.clips if clip.generator}),
    }


class _Judge:
    """`process(item) -> rows` for the clips of a split."""

    def __init__(self, detector: Detector, split: TrainingSet) -> None:
        self.detector = detector
        self.split = split

    def __call__(self, clip: Clip) -> list[jobs.Row]:
        found = self.detector.detect(self.split.path(clip))
        return [{"label": found.label, "frame_scores": found.frame_scores.tolist()}]


def _segment_eer(judged: Sequence[tuple[Clip, Mapping[str, Any]]]) -> float | None:
    if not judged:
        return None
    scores = [np.asarray(row["frame_scores"]) for _, row in judged]
    is_fake = [
        segments.to_frames(fake_spans(clip, clip.n_samples), len(found), FRAME_HOP_SAMPLES)
        for (clip, _), found in zip(judged, scores, strict=True)
    ]
    return metrics.equal_error_rate(np.concatenate(is_fake), np.concatenate(scores))


def as_text(name: str, table: Mapping[str, Any]) -> str:
    """Lay a table out for people."""
    lines = [
        f"{name}: {table['clips']} clips, speakers {_listed(table['speakers'])},"
        f" generators {_listed(table['generators'])}",
        f"  accuracy {_figure(table['accuracy'])}   macro-F1 {_figure(table['macro_f1'])}   20 ms segment EER"
        f" {_figure(table['segment_eer_20ms'])} (hybrids only {_figure(table['segment_eer_20ms_hybrids'])};"
        " positive class: fake)",
        "  true \\ judged" + "".join(f"{label:>10}" for label in (*LABELS, "abstained")),
    ]
    for label, counts in zip(LABELS, table["confusion"], strict=True):
        lines.append(f"  {label:<13}" + "".join(f"{count:>10}" for count in counts))
    return "\n".join(lines)


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "unknown"


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
