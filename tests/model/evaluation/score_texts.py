"""Score files as text, and a result of the detector."""

from __future__ import annotations

import numpy as np

from audio.labels import LABELS
from audio.segments import Segment
from model.judging.detector import Detection


def file_with(folder, text, *, name="scores.txt"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def frame_lines(name, scores, *, hop_s=0.02, digits=2):
    return "".join(f"{name} {i * hop_s:.{digits}f} {(i + 1) * hop_s:.{digits}f} {s}\n" for i, s in enumerate(scores))


def detection(label="hybrid"):
    heard = label is not None
    return Detection(
        label=label,
        probabilities=dict(zip(LABELS, (0.25, 0.125, 0.625) if heard else (None,) * 3, strict=True)),
        spans=(Segment(8000, 16320, confidence=0.75),) if heard else (),
        frame_scores=np.zeros(0, np.float32),
        reasons=() if heard else ("no_speech",),
        frame_hop_s=0.02,
        duration_s=2.5,
        model="tiny",
    )
