"""The picture of a run's log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from audio.atomic import replacing
from model.training.callbacks import read_log

PANELS = (
    ("loss", "clip_loss", "frame_loss"),
    ("accuracy", "macro_f1", "dev_accuracy", "dev_macro_f1", "dev_frame_eer"),
)
"""What is drawn together: losses above, figures in [0, 1] below."""


def draw_curves(log_path: Path, picture_path: Path) -> None:
    """Draw the columns of a run's CSV log against the epochs, as a PNG; without a finished epoch, draw nothing."""
    rows = read_log(log_path)
    if not rows:
        return
    from matplotlib.figure import Figure  # without pyplot: no window system, no global state

    figure = Figure(figsize=(8, 6), layout="constrained")
    for axes, names in zip(figure.subplots(len(PANELS), sharex=True), PANELS, strict=True):
        _draw(axes, rows, names)
    axes.set_xlabel("epoch")
    with replacing(picture_path) as beside:
        figure.savefig(beside, format="png", dpi=120)


def _draw(axes: Any, rows: list[dict[str, Any]], names: tuple[str, ...]) -> None:
    epochs = [int(row["epoch"]) for row in rows]
    for name in names:
        if rows[0].get(name):
            style = "--" if name.startswith("dev_") else "-"
            axes.plot(epochs, [float(row[name]) for row in rows], style, marker=".", label=name.replace("_", " "))
    axes.grid(alpha=0.3)
    axes.legend()
