"""Pictures of what distinguishes real from synthetic speech, drawn like those of `model.evaluation.pictures`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from audio.labels import FAKE, REAL
from model.classical.insight import Components, band_edges_hz
from model.evaluation.pictures import INK, LINES, PALE, TINT, draw, legend_below, paint_histograms

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS: Mapping[str, Mapping[str, Any]] = {
    REAL: {"marker": "o", "color": INK, "s": 14, "alpha": 0.5},
    FAKE: {"marker": "x", "color": TINT, "s": 18, "linewidth": 1.0},
}
"""How the clips of a class are drawn, one by one: they differ in shape."""

_FILLED: Mapping[str, Any] = {"facecolor": PALE}
_HATCHED: Mapping[str, Any] = {"facecolor": "none", "edgecolor": TINT, "hatch": "///"}

PER_ROW = 2
"""Histograms beside each other: those of a hypothesis."""

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]


def components_png(found: Components, is_fake: Flags) -> bytes:
    """Draw clips by their two principal components; the axes say how much of the variance each holds."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        handles = [
            axes.scatter(*found.points[is_fake == fake].T, **POINTS[label])
            for label, fake in ((REAL, False), (FAKE, True))
        ]
        names = [f"component {i + 1}: {100 * share:.1f} % of the variance" for i, share in enumerate(found.explained)]
        axes.set(xlabel=names[0], ylabel=names[1])
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        legend_below(figure, handles, names=_counted(is_fake))

    return draw(paint, size_inches=(6.5, 5.2))


def distributions_png(panels: Sequence[tuple[str, str, Numbers]], is_fake: Flags) -> bytes:
    """Draw how measures are spread in both classes, each as % of its class.

    Parameters
    ----------
    panels
        Title, what stands below the axis, and values (n,), NaN where there is none; at least one.
    is_fake
        bool (n,).
    """
    n_rows = -(-len(panels) // PER_ROW)

    def paint(figure: Figure) -> None:
        grid = figure.subplots(n_rows, PER_ROW, squeeze=False).ravel()
        handles: list[Any] = []
        for axes, (title, unit, values) in zip(grid, panels, strict=False):
            known = np.isfinite(values)
            classes = [values[known & ~is_fake], values[known & is_fake]]
            drawn = paint_histograms(axes, classes, within=())
            handles = drawn if len(drawn) > len(handles) else handles
            axes.set_title(title, fontsize=10)
            axes.set_xlabel(unit, fontsize=8)
            axes.set_ylabel("% of its class", fontsize=8)
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        names = [name for name, some in zip(_counted(is_fake), ((~is_fake).any(), is_fake.any()), strict=True) if some]
        legend_below(figure, handles, names=names[: len(handles)])

    return draw(paint, size_inches=(9.0, 0.5 + 2.5 * n_rows))


def spectrum_png(bands_db: Numbers, is_fake: Flags) -> bytes:
    """Draw the mean spectrum of both classes, levels of bands in dB (n, N_BANDS), and the middle half of the clips."""
    khz = np.array([(low + high) / 2_000 for low, high in band_edges_hz()])

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        handles = []
        for fake, style, face in ((False, LINES[0], _FILLED), (True, LINES[1], _HATCHED)):
            levels = bands_db[is_fake == fake]
            if not len(levels):
                continue
            low, high = np.percentile(levels, (25, 75), axis=0)
            axes.fill_between(khz, low, high, alpha=0.45, linewidth=0.0, **face)
            handles += axes.plot(khz, levels.mean(axis=0), linewidth=1.8, markersize=5, **style)
        axes.set(xlabel="kHz", ylabel="level of 500 Hz, dB re the whole")
        axes.grid(color="#dddddd", linewidth=0.6)
        names = [name for name, some in zip(_counted(is_fake), ((~is_fake).any(), is_fake.any()), strict=True) if some]
        legend_below(figure, handles, names=[f"{name}: mean; the middle half of the clips" for name in names])

    return draw(paint, size_inches=(7.5, 4.2))


def _counted(is_fake: Flags) -> list[str]:
    """Names of the classes for a legend."""
    return [f"{REAL} ({int((~is_fake).sum())})", f"{FAKE} ({int(is_fake.sum())})"]
