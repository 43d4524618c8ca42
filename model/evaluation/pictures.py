"""Pictures of an evaluation, each as the bytes of a PNG.

They read without colour: classes are filled, hatched or dotted, curves differ in dashes and marks, cells of a table
carry their numbers. Where there is nothing to draw the picture says so. Names may be of any length and hold any
character; long ones lose their middle. matplotlib is imported where it is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from itertools import pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from audio.errors import ToolkitError, UsageError
from audio.labels import LABELS
from model.metrics.calibration import Reliability
from model.metrics.ranking import Curve

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
"""How the first, second and third class are drawn, as in the pictures of a set."""

LINES: tuple[Mapping[str, Any], ...] = (
    {"color": INK, "linestyle": "-", "marker": "o"},
    {"color": TINT, "linestyle": "--", "marker": "s"},
    {"color": "black", "linestyle": ":", "marker": "^"},
    {"color": "#009e73", "linestyle": "-.", "marker": "D"},
    {"color": "#56b4e9", "linestyle": (0, (6, 1, 1, 1, 1, 1)), "marker": "v"},
    {"color": "#cc79a7", "linestyle": (0, (3, 3)), "marker": "P"},
    {"color": "#666666", "linestyle": "-", "marker": "X"},
    {"color": "#8c6d00", "linestyle": (0, (1, 1)), "marker": "*"},
)
"""How curves are drawn; beyond the last they begin again."""

THRESHOLD_DASHES = ("--", "-.", (0, (8, 2)), (0, (2, 4)))
"""How thresholds are drawn: not dotted as the third class is."""

DET_TICKS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99)
"""Error rates on the axes of a DET curve."""

DET_LIMITS = (0.0008, 0.65, 0.995)
"""From the first to the second; to the third where a curve lies beyond."""

GRID = 1_000
"""Points of a curve nearer to each other than this part of its width are drawn as one."""

MOST_SHARE_BELOW_BLACK = 0.715
"""Of the blue behind a number: on darker cells white stands out more (relative luminance 0.18, WCAG 2)."""

BARS = 40
"""Columns of a histogram."""

MOST_ROWS = 80
"""Rows of a breakdown; the rest is counted below it."""

NAME_CHARACTERS = 44
"""Longer names lose their middle."""

LENGTHS_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Edges of the bands in which the recall of spans is averaged; the outer bands have no end."""

Z_95 = NormalDist().inv_cdf(0.975)

Values = npt.NDArray[np.float64]


class Row(NamedTuple):
    """A line of `breakdown_png`."""

    name: str
    value: float | None
    """None where it is undefined."""
    low: float | None
    high: float | None
    """The ends of its interval; None where there is none."""
    n: int
    """Of clips behind it."""


def confusion_png(table: npt.ArrayLike) -> bytes:
    """Draw how often each class is called what.

    Parameters
    ----------
    table
        int array (3, 4) of counts: rows the truth, columns the verdict, both in the order of `LABELS`, and
        last the abstentions (`model.metrics.classes.confusion`).

    Raises
    ------
    UsageError
        For another shape.
    ToolkitError
        Without matplotlib, as every function here.
    """
    counts = np.asarray(table)
    if counts.shape != (len(LABELS), len(LABELS) + 1):
        raise UsageError(f"confusion_png: expected a table (3, 4), received {counts.shape}")
    return draw(lambda figure: _paint_confusion(figure.subplots(), counts), size_inches=(6.2, 3.6))


def error_curves_png(curves: Mapping[str, Curve]) -> bytes:
    """Draw ROC (left) and DET (right) of each curve, with the points of equal error.

    The DET curve has probit axes (Martin et al., "The DET curve in assessment of detection task performance",
    Eurospeech 1997), on which scores that are normal in both classes make a straight line.
    """

    names = [f"{_short(name)} (EER {100 * _equal_error(curve)[2]:.2f} %)" for name, curve in curves.items()]

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        _paint_frames(left, right, top=_det_top(curves.values()))
        for i, curve in enumerate(curves.values()):
            _paint_curve(left, right, curve=curve, style=LINES[i % len(LINES)])
        if not curves:
            _say(left, "nothing to draw:\none of the two classes is missing")
            _say(right, "nothing to draw:\none of the two classes is missing")
        legend_below(figure, left.get_lines()[1:], names=names)  # the first line is that of chance

    return draw(paint, size_inches=(10.0, 5.2 + legend_inches(names, 10.0)))


def reliability_png(bins: Reliability) -> bytes:
    """Draw how often verdicts are right (with 95 % Wilson intervals) over how sure they are, bin by bin."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot((0, 1), (0, 1), color=INK, linewidth=0.9, linestyle=":", label="perfect")
        if len(bins.count):
            low, high = _wilson(bins.accuracy, bins.count)
            axes.vlines(bins.confidence, low, high, color=PALE, linewidth=3.0, label="95 % interval", zorder=2)
            label = f"clips: {int(bins.count.sum())}, bins: {len(bins.count)}"
            axes.plot(bins.confidence, bins.accuracy, "o-", color=INK, markersize=5, linewidth=1.2, label=label)
        else:
            _say(axes, "no clip has probabilities")
        axes.set(xlim=(0.3, 1.01), ylim=(-0.02, 1.02))
        axes.set(xlabel="mean probability of the verdict", ylabel="share of right verdicts")
        axes.legend(loc="lower right" if _is_low_right_free(bins) else "upper left", fontsize=8)

    return draw(paint, size_inches=(5.2, 4.4))


def score_histograms_png(
    classes: Mapping[str, npt.ArrayLike], *, thresholds: Mapping[str, float] | None = None
) -> bytes:
    """Draw how the scores of up to three classes are spread, each as % of its class, and where thresholds lie.

    Parameters
    ----------
    classes
        Scores by the name of their class, float (n,), finite. The outermost 0.5 % on either side count into
        the bars at the ends.
    thresholds
        By name; those that are not finite are left out.
    """
    parts = {name: np.asarray(scores, dtype=np.float64) for name, scores in classes.items()}
    lines = {name: value for name, value in (thresholds or {}).items() if math.isfinite(value)}
    held = [f"{_short(name)} ({values.size})" for name, values in parts.items() if values.size]
    names = held + [f"{_short(name)} at {value:.4g}" for name, value in lines.items() if held]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        handles = paint_histograms(axes, list(parts.values()), within=list(lines.values()))
        for i, value in enumerate(lines.values() if held else ()):
            dashes = THRESHOLD_DASHES[i % len(THRESHOLD_DASHES)]
            handles.append(axes.axvline(value, color="black", linewidth=1.5, linestyle=dashes))
        axes.set(xlabel="score (higher: more fake)", ylabel="% of its class")
        if not held:
            _say(axes, "no clip has a score")
        legend_below(figure, handles, names=names)

    return draw(paint, size_inches=(6.5, 3.3 + legend_inches(names, 6.5)))


def span_recall_png(lengths_s: npt.ArrayLike, recalls: npt.ArrayLike) -> bytes:
    """Draw which share of each fake span was found over how long it is, and the mean in bands of length.

    Parameters
    ----------
    lengths_s
        Lengths of the true fake spans in seconds, float (n,), above 0.
    recalls
        Share of each that was found, float (n,) in [0, 1].

    Raises
    ------
    UsageError
        When the two differ in shape.
    """
    lengths, shares = np.asarray(lengths_s, dtype=np.float64), np.asarray(recalls, dtype=np.float64)
    if lengths.ndim != 1 or lengths.shape != shares.shape:
        raise UsageError(f"span_recall_png: expected two arrays (n,), received {lengths.shape} and {shares.shape}")

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        _paint_recall(axes, lengths, shares=shares)
        handles, names = _first_of_each(axes)
        legend_below(figure, handles, names=names)

    return draw(paint, size_inches=(6.5, 4.1))


def breakdown_png(
    rows: Sequence[tuple[str, float | None, float | None, float | None, int]],
    *,
    quantity: str = "",
    overall: float | None = None,
) -> bytes:
    """Draw one figure for many parts of a set, with intervals and numbers of clips (a forest plot).

    Parameters
    ----------
    rows
        As `Row`, from top to bottom; after `MOST_ROWS` the others are only counted.
    quantity
        What the figure is, below the axis.
    overall
        The figure of the whole set: a dotted line.
    """
    shown = [Row(*row) for row in rows[:MOST_ROWS]]
    rest = len(rows) - len(shown)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        if not shown:
            _say(axes, "nothing to break down")
            return
        _paint_rows(axes, shown, overall=overall)
        more = f"\nand {rest} more, not drawn" if rest else ""
        axes.set_xlabel(f"{quantity}{more}".strip(), parse_math=False)

    return draw(paint, size_inches=(9.5, 1.1 + 0.27 * max(2, len(shown))))


def draw(paint: Callable[[Figure], None], *, size_inches: tuple[float, float]) -> bytes:
    """Return the PNG of what `paint` puts into an empty figure; the same picture gives the same bytes."""
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


def _say(axes: Axes, words: str) -> None:
    """Write words where there is nothing to draw."""
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color="#444444")


def _short(name: str, *, most: int = NAME_CHARACTERS) -> str:
    """A name on one line, without its middle if it is long."""
    plain = "".join(c if c.isprintable() else " " for c in name)
    if len(plain) <= most:
        return plain
    return f"{plain[: most - most // 2 - 1]}…{plain[-(most // 2) :]}"


def _legend_columns(names: Sequence[str], width_inches: float) -> int:
    """How many columns fit below a picture: at 8 points a character takes about 0.07 inches, a handle 0.6."""
    longest = max(map(len, names), default=0)
    return 2 if len(names) > 1 and 2 * (0.07 * longest + 0.6) < width_inches else 1


def legend_inches(names: Sequence[str], width_inches: float) -> float:
    """How high that makes the legend."""
    return 0.17 * math.ceil(len(names) / _legend_columns(names, width_inches))


def legend_below(figure: Figure, handles: Sequence[Any], *, names: Sequence[str]) -> None:
    """Put a legend below the axes, where it covers nothing."""
    if not handles:
        return
    # A leading underscore would hide an entry.
    labels = [f" {name}" if name.startswith("_") else name for name in names]
    columns = _legend_columns(labels, figure.get_figwidth())
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=8, handlelength=3.5)
    for text in legend.get_texts():
        text.set_parse_math(False)


# Confusion


def _paint_confusion(axes: Axes, counts: npt.NDArray[Any]) -> None:
    totals = counts.sum(axis=1)
    shares = counts / np.maximum(totals, 1)[:, None]
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    for (i, j), share in np.ndenumerate(shares):
        words = f"{counts[i, j]}\n{100 * share:.1f} %" if totals[i] else "none"
        color = "white" if share > MOST_SHARE_BELOW_BLACK else "black"
        axes.text(j, i, words, ha="center", va="center", color=color, fontsize=10)
    axes.set_xticks(range(len(LABELS) + 1), [*LABELS, "no verdict"])
    axes.set_yticks(range(len(LABELS)), [f"{label}\n({total})" for label, total in zip(LABELS, totals, strict=True)])
    axes.set(xlabel="verdict", ylabel="truth")
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks(np.arange(len(LABELS)) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(LABELS) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="#777777", linewidth=0.8)
    axes.tick_params(which="both", length=0)
    axes.axvline(len(LABELS) - 0.5, color="black", linewidth=2.5)


# ROC and DET


def _equal_error(curve: Curve) -> tuple[float, float, float]:
    """The point (fpr, fnr) where the two are nearest, and their mean: the EER."""
    distances = np.abs(curve.fpr - curve.fnr)
    # The first of equally good ones, as `equal_error_rate` decides in integers: rounding must not.
    best = int(np.argmax(distances <= distances.min() + 1e-12))
    fpr, fnr = float(curve.fpr[best]), float(curve.fnr[best])
    return fpr, fnr, (fpr + fnr) / 2


def _det_top(curves: Iterable[Curve]) -> float:
    """How far the DET axes reach."""
    return DET_LIMITS[1] if all(_equal_error(curve)[2] < 0.45 for curve in curves) else DET_LIMITS[2]


def _bounded(rates: npt.ArrayLike) -> Values:
    """Rates that a probit axis can show: low ones lie at its lower end, high ones far beyond its upper end."""
    return np.clip(rates, DET_LIMITS[0], 1.0 - 1e-6)


def _probit(rates: npt.ArrayLike) -> list[float]:
    """Where rates lie on a probit axis."""
    normal = NormalDist()
    return [normal.inv_cdf(rate) for rate in _bounded(rates).tolist()]


def _paint_frames(left: Axes, right: Axes, *, top: float) -> None:
    left.plot((0, 1), (0, 1), color="#777777", linewidth=0.8, linestyle=":")
    left.set(title="ROC", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    left.set(xlabel="false alarms (share of the real)", ylabel="hits (share of the fake)")
    ends = _probit((DET_LIMITS[0], top))
    ticks = [tick for tick in DET_TICKS if tick <= top]
    for axis in (right.xaxis, right.yaxis):
        axis.set_ticks(_probit(ticks), [f"{100 * tick:g}" for tick in ticks])
    right.plot(ends, ends, color="#777777", linewidth=0.8, linestyle=":")
    limits = (ends[0] - 0.06, ends[1])
    right.set(title="DET", xlim=limits, ylim=limits, xlabel="false alarms, %", ylabel="misses, %")
    for axes in (left, right):
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.set_box_aspect(1)


def _paint_curve(left: Axes, right: Axes, *, curve: Curve, style: Mapping[str, Any]) -> None:
    """Draw a curve in both panels, each with a mark at the point of equal error."""
    fpr, fnr, _ = _equal_error(curve)
    for axes, x, y, mark in (
        (left, curve.fpr, 1.0 - curve.fnr, (fpr, 1.0 - fnr)),
        (right, *_det_points(curve), _probit((fpr, fnr))),
    ):
        kept = _thinned(x, y)
        points = (np.append(x[kept], mark[0]), np.append(y[kept], mark[1]))
        # The mark is the last point of the line, drawn twice: one line is one entry of the legend.
        order = np.lexsort((points[1] if axes is left else -points[1], points[0]))
        at = int(np.flatnonzero(order == len(order) - 1)[0])
        axes.plot(points[0][order], points[1][order], linewidth=1.6, markevery=[at], markersize=7, **style)


def _det_points(curve: Curve) -> tuple[Values, Values]:
    """A curve on probit axes, at no more points than can be told apart there."""
    # Thinned out by the logit, which is cheap and much like the probit: rates near 0 are wide apart on these axes.
    x, y = _bounded(curve.fpr), _bounded(curve.fnr)
    kept = _thinned(np.log(x / (1.0 - x)), np.log(y / (1.0 - y)))
    return np.array(_probit(x[kept])), np.array(_probit(y[kept]))


def _thinned(x: Values, y: Values) -> npt.NDArray[np.int64]:
    """Indices of the points of a curve that differ on a grid of `GRID` cells; the last one too."""
    if len(x) < 2:
        return np.arange(len(x))
    cells = [np.round((v - v.min()) / max(float(np.ptp(v)), 1e-12) * GRID) for v in (x, y)]
    moves = (np.diff(cells[0]) != 0) | (np.diff(cells[1]) != 0)
    # Both ends of each move: the corners of a staircase stay where they are.
    return np.flatnonzero(np.append(True, moves) | np.append(moves, True))


# Reliability, histograms, spans


def _wilson(shares: Values, counts: npt.NDArray[np.int64]) -> tuple[Values, Values]:
    """The 95 % score interval of a share (Wilson, JASA 22, 1927)."""
    n, z2 = np.maximum(counts, 1), Z_95**2
    middle = (shares + z2 / (2 * n)) / (1 + z2 / n)
    reach = Z_95 / (1 + z2 / n) * np.sqrt(shares * (1 - shares) / n + z2 / (4 * n**2))
    return middle - reach, middle + reach


def _is_low_right_free(bins: Reliability) -> bool:
    """Whether no point lies where the legend would."""
    return not bool(np.any((bins.confidence > 0.65) & (bins.accuracy < 0.35)))


def paint_histograms(axes: Axes, classes: Sequence[Values], *, within: Sequence[float]) -> list[Any]:
    """Draw classes over the same bins, which reach to the thresholds `within`; return what a legend can name."""
    everything = np.concatenate([np.zeros(0), *classes])
    if not everything.size:
        return []
    ends = [*np.quantile(everything, [0.005, 0.995]).tolist(), *within]
    low, high = min(ends), max(ends)
    spare = max(0.05, 0.05 * abs(low)) if high <= low else 0.0
    edges = np.linspace(low - spare, high + spare, BARS + 1)
    handles = []
    for values, style in zip(classes, STYLES, strict=False):
        if values.size:
            heights = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] * (100.0 / values.size)
            handles.append(axes.stairs(heights, edges, fill=True, **style))
    return handles


def _paint_recall(axes: Axes, lengths: Values, *, shares: Values) -> None:
    axes.set(ylim=(-0.04, 1.16), xlabel="length of the fake span in seconds", ylabel="share of it that was found")
    axes.set_yticks(np.linspace(0.0, 1.0, 6))
    if not lengths.size:
        _say(axes, "there are no fake spans")
        axes.set_xticks([])
        return
    alpha = float(np.clip(150 / lengths.size, 0.1, 0.7))
    axes.scatter(lengths, shares, s=14, color=PALE, edgecolors=INK, linewidths=0.5, alpha=alpha, label="a span")
    axes.set_xscale("log")
    low, high = 0.85 * lengths.min(), 1.18 * lengths.max()
    edges = [low, *(edge for edge in LENGTHS_S if low < edge < high), high]
    axes.set_xlim(low, high)
    for start, end in pairwise(edges):
        _paint_band(axes, shares[(lengths >= start) & (lengths < end)], start=start, end=end)
    axes.minorticks_off()
    ticks = [edge for edge in LENGTHS_S if low < edge < high] or [float(np.median(lengths))]
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.text(0.01, 1.02, "spans:", transform=axes.transAxes, fontsize=8)


def _paint_band(axes: Axes, shares: Values, *, start: float, end: float) -> None:
    """Draw the mean of the spans of one band, and how many they are."""
    if not shares.size:
        return
    mean, middle = float(shares.mean()), math.sqrt(start * end)
    axes.hlines(mean, start, end, color=TINT, linewidth=2.6, label="mean of a band")
    axes.plot([middle], [mean], "D", color=TINT, markeredgecolor="white", markersize=6)
    axes.annotate(str(shares.size), (middle, 1.09), ha="center", va="center", fontsize=8)
    for edge in (start, end):
        axes.axvline(edge, color="#cccccc", linewidth=0.7, zorder=0)


def _first_of_each(axes: Axes) -> tuple[list[Any], list[str]]:
    """Handles and names for a legend, each name once."""
    found = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    return list(found.values()), list(found)


# Breakdown


def _paint_rows(axes: Axes, rows: Sequence[Row], *, overall: float | None) -> None:
    for y, row in enumerate(rows):
        if row.value is None:
            axes.text(0.01, y, "undefined", transform=axes.get_yaxis_transform(), va="center", fontsize=8)
            continue
        if row.low is not None and row.high is not None:
            axes.plot((row.low, row.high), (y, y), color=INK, linewidth=1.6, marker="|", markersize=7)
        axes.plot([row.value], [y], "o", color=TINT, markeredgecolor=INK, markersize=6)
    if overall is not None:
        axes.axvline(overall, color="black", linewidth=1.0, linestyle=":", zorder=0)
    axes.set_xlim(*_reach(rows, overall))
    axes.set_yticks(range(len(rows)), [_short(row.name) for row in rows], fontsize=9)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.set_ylim(len(rows) - 0.4, -1.4)  # a line above for the names of the numbers
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    _paint_numbers(axes, rows)


def _paint_numbers(axes: Axes, rows: Sequence[Row]) -> None:
    """Write value, interval and number of clips to the right of each row."""
    largest = max((abs(x) for row in rows for x in (row.value, row.high) if x is not None), default=0.0)
    decimals = int(np.clip(3 - math.floor(math.log10(max(largest, 1.0))), 0, 3))
    told = [_told(row, decimals) for row in rows]
    side = axes.secondary_yaxis("right")
    side.set_yticks(range(-1, len(rows)), ["value      95 % interval    n", *told], fontsize=8, family="monospace")
    side.tick_params(length=0)
    for axis in (axes, side):
        axis.spines[["right", "top"]].set_visible(False)


def _told(row: Row, decimals: int) -> str:
    value = "" if row.value is None else f"{row.value:.{decimals}f}"
    interval = "" if row.low is None or row.high is None else f"{row.low:.{decimals}f} to {row.high:.{decimals}f}"
    return f"{value:<7} {interval:>16}    {row.n}"


def _reach(rows: Sequence[Row], overall: float | None) -> tuple[float, float]:
    """The ends of the axis: what is drawn and a margin."""
    drawn = [x for row in rows for x in (row.value, row.low, row.high) if x is not None]
    drawn += [] if overall is None else [overall]
    if not drawn:
        return 0.0, 1.0
    low, high = min(drawn), max(drawn)
    margin = 0.06 * (high - low) or 0.1 * max(abs(high), 1.0)
    # Nothing here is negative as a rule: no axis far below 0 then, only room for the mark.
    return (low - margin if low < 0.0 else max(low - margin, -0.03 * (high + margin))), high + margin
