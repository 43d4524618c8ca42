"""Pictures of a set: what an audit found, how a fact is spread over two classes, what a set holds.

They read without colour: the first class is filled, the second hatched, the third dotted; points differ in shape.
matplotlib is imported where it is needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from audio.errors import ToolkitError
from synth.audit import Answer, Report
from synth.probe import Column, Estimate
from synth.stats import Stats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, TINT, PALE = "#0b2545", "#d55e00", "#9db4c8"
"""Dark blue and vermillion (Okabe and Ito's palette), and a blue as light as vermillion is not."""

STYLES: tuple[Mapping[str, Any], ...] = (
    {"facecolor": PALE, "edgecolor": INK, "linewidth": 0.8},
    {"facecolor": "none", "edgecolor": TINT, "linewidth": 1.6, "hatch": "///"},
    {"facecolor": "none", "edgecolor": "black", "linewidth": 2.0, "linestyle": ":"},
)
"""How the first, second and third class are drawn."""

POINTS: tuple[Mapping[str, Any], ...] = (
    {"marker": "o", "color": INK, "s": 14, "alpha": 0.5},
    {"marker": "x", "color": TINT, "s": 18, "linewidth": 1.0},
)
"""How the clips of the first and the second class are drawn, one by one."""

BARS = 25
"""Columns of a histogram."""

MOST_CATEGORIES = 12
"""Bars of a picture of categories; rarer ones are drawn together."""

Values = npt.NDArray[np.float64]


def draw(paint: Callable[[Figure], None], *, size_inches: tuple[float, float]) -> bytes:
    """Return the PNG of what `paint` puts into an empty figure; raise `ToolkitError` without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ToolkitError("pictures need matplotlib: install it with 'pip install matplotlib'") from None
    figure = Figure(figsize=size_inches, dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    paint(figure)
    kept = BytesIO()
    figure.savefig(kept, format="png", metadata={"Software": None})
    return kept.getvalue()


def overview_png(report: Report) -> bytes:
    """Draw every AUC of the questions that were answered, at least one, with its interval and its limit."""
    answered = [answer for answer in report.answers if answer.findings]

    def paint(figure: Figure) -> None:
        panels = np.atleast_1d(figure.subplots(1, len(answered), sharey=True, sharex=True))
        for axes, answer in zip(panels, answered, strict=True):
            _paint_answer(axes, answer)
        panels[0].set_yticks(range(len(answered[0].findings)), [finding.name for finding in answered[0].findings])
        panels[0].invert_yaxis()
        panels[0].legend(loc="best", fontsize=8)

    n_rows = len(answered[0].findings)
    return draw(paint, size_inches=(3.2 + 3.2 * len(answered), 0.9 + 0.3 * n_rows))


def fact_png(column: Column, answer: Answer) -> bytes:
    """Draw how a fact is spread over the two classes of a question, as shares of each."""
    sides = [np.array([side is wanted for side in answer.sides]) for wanted in (False, True)]
    parts = {
        f"{name} ({marked.sum()})": column.some(marked)
        for name, marked in zip(answer.question.classes, sides, strict=True)
    }

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        if column.categories:
            paint_bars(axes, {name: _shares(part) for name, part in parts.items()})
        else:
            paint_histograms(axes, {name: part.values[~np.isnan(part.values)] for name, part in parts.items()})
        axes.set_xlabel(column.name)
        axes.set_ylabel("% of its class")
        axes.legend()

    return draw(paint, size_inches=(6.5, 3.0))


def stats_png(stats: Stats) -> bytes:
    """Draw classes and splits, lengths of clips and of fake spans, and kinds of joins, else generators."""

    def paint(figure: Figure) -> None:
        panels = figure.subplots(2, 2)
        figure.suptitle(f"{stats.name}: {len(stats.clips)} clips", fontsize=11, parse_math=False)
        _paint_classes(panels[0, 0], stats)
        _paint_lengths(panels[0, 1], stats)
        _paint_spans(panels[1, 0], stats)
        _paint_makers(panels[1, 1], stats)

    return draw(paint, size_inches=(11.0, 7.0))


def pair_png(across: Column, up: Column, *, answer: Answer) -> bytes:
    """Draw one fact over another, a point for each clip of the two classes of a question."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for name, wanted, style in zip(answer.question.classes, (False, True), POINTS, strict=True):
            marked = np.array([side is wanted for side in answer.sides])
            axes.scatter(across.values[marked], up.values[marked], label=f"{name} ({marked.sum()})", **style)
        for axis, column in ((axes.xaxis, across), (axes.yaxis, up)):
            axis.set_label_text(column.name)
            if column.categories:
                axis.set_ticks(range(len(column.categories)), column.categories)
        axes.legend()

    return draw(paint, size_inches=(6.5, 4.5))


def paint_histograms(axes: Axes, classes: Mapping[str, Values]) -> None:
    """Draw the values of up to three classes over the same bins, each as % of its class.

    The outermost hundredth counts into the bins at the ends, so that one odd clip does not squeeze the rest.
    """
    everything = np.concatenate(list(classes.values()))
    if everything.size == 0:
        return
    low, high = np.quantile(everything, [0.005, 0.995])
    spare = max(1e-9, 1e-3 * abs(low)) if high <= low else 0.0
    edges = np.linspace(low - spare, high + spare, BARS + 1)
    for (name, values), style in zip(classes.items(), STYLES, strict=False):
        held = np.clip(values, edges[0], edges[-1])
        heights = np.histogram(held, edges)[0] * (100.0 / max(values.size, 1))
        axes.stairs(heights, edges, fill=True, label=name, **style)


def paint_bars(axes: Axes, classes: Mapping[str, Mapping[str, float]]) -> None:
    """Draw bars side by side for up to three classes; the names on the axis are those of the bars, any of them."""
    names = list(dict.fromkeys(name for heights in classes.values() for name in heights))
    width = 0.8 / len(classes)
    for i, ((label, heights), style) in enumerate(zip(classes.items(), STYLES, strict=False)):
        places = np.arange(len(names)) + (i - (len(classes) - 1) / 2) * width
        axes.bar(places, [heights.get(name, 0.0) for name in names], width, label=label, **style)
    long = sum(map(len, names)) > 60
    ticks = axes.set_xticks(range(len(names)), [name[:24] for name in names], fontsize=8)
    for tick in ticks if long else ():
        tick.label1.set(rotation=40, ha="right")


def commonest(counts: Mapping[str, float]) -> dict[str, float]:
    """Return the largest `MOST_CATEGORIES`, and the sum of the others as "others"."""
    ranked = sorted(counts.items(), key=lambda pair: -pair[1])
    kept, rest = ranked[:MOST_CATEGORIES], ranked[MOST_CATEGORIES:]
    return {**dict(kept), **({"others": sum(count for _, count in rest)} if rest else {})}


def _shares(part: Column) -> dict[str, float]:
    """Return what % of the clips is of each category that occurs in any."""
    counts = np.bincount(part.values.astype(np.int64), minlength=len(part.categories))
    shares = counts * (100.0 / max(part.values.size, 1))
    return commonest(dict(zip(part.categories, shares.tolist(), strict=True)))


def _paint_answer(axes: Axes, answer: Answer) -> None:
    rows = range(len(answer.findings))
    for row, finding in zip(rows, answer.findings, strict=True):
        spread = finding.limit - 0.5
        axes.fill_betweenx((row - 0.5, row + 0.5), 0.5 - spread, finding.limit, color="#e8edf2", linewidth=0, zorder=0)
    ranked = [finding.rank for finding in answer.findings]
    _paint_estimates(axes, ranked, shift=-0.15, marker="o", label="of the raw value")
    learned = [finding.learned for finding in answer.findings]
    _paint_estimates(axes, learned, shift=0.15, marker="D", label="learned, any shape")
    axes.axvline(0.5, color=INK, linewidth=0.8, linestyle=":", zorder=1)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("AUC")
    axes.set_title(answer.question.name, fontsize=10)


def _paint_estimates(
    axes: Axes, estimates: Sequence[Estimate | None], *, shift: float, marker: str, label: str
) -> None:
    shown = [(row, estimate) for row, estimate in enumerate(estimates) if estimate is not None]
    color, face = (INK, INK) if marker == "o" else (TINT, "white")
    rows = [row + shift for row, _ in shown]
    for y, (_, estimate) in zip(rows, shown, strict=True):
        axes.plot((estimate.low, estimate.high), (y, y), color=color, linewidth=1.4, zorder=2)
    x = [estimate.auc for _, estimate in shown]
    axes.plot(x, rows, marker, color=color, markerfacecolor=face, markersize=4.5, label=label, zorder=3)


def _paint_classes(axes: Axes, stats: Stats) -> None:
    counts = Counter((clip.label, clip.split) for clip in stats.clips)
    bars = {
        label: {split or "no split": float(counts[label, split]) for split in stats.splits} for label in stats.labels
    }
    paint_bars(axes, bars)
    axes.set(title="classes and splits", ylabel="clips")
    axes.legend()


def _paint_lengths(axes: Axes, stats: Stats) -> None:
    axes.set_title("lengths")
    if not stats.durations_of():
        _paint_nothing(axes)
        return
    paint_histograms(axes, {label: np.array(stats.durations_of(label=label)) for label in stats.labels})
    axes.set(xlabel="length of a clip in seconds", ylabel="% of its class")
    axes.legend()


def _paint_spans(axes: Axes, stats: Stats) -> None:
    """Draw the lengths of fake spans over a logarithmic axis, or say that there are none."""
    lengths = np.array(stats.span_lengths_s)
    axes.set_title("fake spans of clips that are not fake throughout")
    if lengths.size == 0:
        _paint_nothing(axes)
        return
    edges = np.geomspace(lengths.min() * 0.99, lengths.max() * 1.01, BARS + 1)
    axes.stairs(np.histogram(lengths, edges)[0], edges, fill=True, **STYLES[0])
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="length in seconds", ylabel="spans")


def _paint_makers(axes: Axes, stats: Stats) -> None:
    """Draw the kinds of joins of a set that was spliced, the generators of any other."""
    generators = Counter(clip.generator for clip in stats.clips if clip.generator)
    title, unit, counts = "kinds of joins", "joins", stats.join_kinds
    if not counts:
        title, unit, counts = "generators", "clips", generators
    axes.set_title(title)
    if not counts:
        _paint_nothing(axes)
        return
    paint_bars(axes, {title: commonest({name: float(n) for name, n in counts.items()})})
    axes.set_ylabel(unit)


def _paint_nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "none are known", transform=axes.transAxes, ha="center", va="center")
    axes.set_axis_off()
