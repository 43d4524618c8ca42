"""Pictures of an evaluation: what they show, that nothing is cut off or hidden, and that nothing to show is said."""

from __future__ import annotations

import math
import sys
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pytest

from audio.errors import ToolkitError, UsageError
from audio.labels import LABELS
from model.evaluation import pictures
from model.metrics.calibration import Reliability, reliability
from model.metrics.ranking import Curve, equal_error_rate, error_curve

figures = pytest.importorskip("matplotlib.figure", reason="matplotlib is missing: pip install matplotlib")

STRANGE = "_$x^2$ <b>& \n\t" + "very long name " * 30


@pytest.fixture
def drawn(monkeypatch):
    """Every figure that is drawn, while its PNG is made as always."""
    kept = []
    draw = pictures.draw

    def keeping(paint, **options):
        def watched(figure):
            paint(figure)
            kept.append(figure)

        return draw(watched, **options)

    monkeypatch.setattr(pictures, "draw", keeping)
    return kept


def texts(figure):
    """Everything written in a figure."""
    import matplotlib.text

    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def normal_curve(n, *, apart, seed=0):
    rng = np.random.default_rng(seed)
    is_fake = rng.random(n) < 0.5
    scores = rng.standard_normal(n) + apart * is_fake
    return is_fake, scores


def everything():
    """A picture of each kind, of ordinary, strange and no input."""
    curve = error_curve(*normal_curve(200, apart=1.5))
    row = (STRANGE, 0.2, 0.1, 0.3, 1000)
    return {
        "confusion": lambda: pictures.confusion_png(np.arange(12).reshape(3, 4)),
        "no confusion": lambda: pictures.confusion_png(np.zeros((3, 4), dtype=np.int64)),
        "curves": lambda: pictures.error_curves_png({f"{STRANGE}{i}": curve for i in range(10)}),
        "two clips": lambda: pictures.error_curves_png({"": error_curve([True, False], [1.0, 0.0])}),
        "inverted": lambda: pictures.error_curves_png({"a": error_curve([True, False], [0.0, 1.0])}),
        "constant": lambda: pictures.error_curves_png({"a": error_curve([True, False], [1.0, 1.0])}),
        "no curves": lambda: pictures.error_curves_png({}),
        "reliability": lambda: pictures.reliability_png(reliability(np.eye(3), LABELS)),
        "no reliability": lambda: pictures.reliability_png(reliability(np.zeros((0, 3)), [])),
        "histograms": lambda: pictures.score_histograms_png(
            {STRANGE: [0.5, 1e30], "b": [], "c": [-1.0]}, thresholds={STRANGE: 2.0, "none": math.inf}
        ),
        "one score": lambda: pictures.score_histograms_png({"real": [3.0]}),
        "no histograms": lambda: pictures.score_histograms_png({}, thresholds={"a": 1.0}),
        "spans": lambda: pictures.span_recall_png([0.04, 0.5, 400.0], [0.0, 0.5, 1.0]),
        "one span": lambda: pictures.span_recall_png([0.02], [1.0]),
        "no spans": lambda: pictures.span_recall_png([], []),
        "breakdown": lambda: pictures.breakdown_png([row] * 40, quantity="EER of $all$", overall=0.2),
        "one row": lambda: pictures.breakdown_png([("a", 0.0, None, None, 1)]),
        "undefined": lambda: pictures.breakdown_png([("a", None, None, None, 0)]),
        "no rows": lambda: pictures.breakdown_png([]),
    }


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", everything())
def test_every_picture_is_whole(drawn, name):
    """Catches names and legends that reach out of the picture or lie on each other, and (as warnings) layouts that
    collapse, missing glyphs, mathematics in names, logarithms of 0 and empty classes."""
    png = everything()[name]()
    assert png.startswith(b"\x89PNG")
    assert png.endswith(b"IEND\xaeB`\x82")
    (figure,) = drawn
    renderer = figure.canvas.get_renderer()
    boxes = [part.get_tightbbox(renderer) for part in (*figure.axes, *figure.legends)]
    for box in boxes:
        assert min(box.x0, box.y0) >= -2
        assert box.x1 <= figure.bbox.width + 2
        assert box.y1 <= figure.bbox.height + 2
    assert not any(a.padded(-2).overlaps(b.padded(-2)) for i, a in enumerate(boxes) for b in boxes[:i])


def test_the_same_picture_gives_the_same_bytes():
    """Catches dates and versions inside the file, which would make every report differ from the last."""
    make = everything()["breakdown"]
    assert make() == make()


def test_no_matplotlib_is_one_line(monkeypatch):
    """Catches a traceback where one package is missing."""
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ToolkitError, match="pip install matplotlib"):
        pictures.confusion_png(np.zeros((3, 4)))


def test_names_lose_their_middle_only():
    """Catches two long names that end differently and look the same."""
    assert pictures._short("short") == "short"
    short = {pictures._short("x" * 100 + end) for end in ("1", "2")}
    assert len(short) == 2
    assert {len(name) for name in short} == {pictures.NAME_CHARACTERS}
    assert pictures._short("a\nb\tc") == "a b c"


# Confusion


def test_confusion_shows_counts_and_shares_of_the_truth(drawn):
    """Catches a transposed table, and shares of columns instead of rows."""
    pictures.confusion_png([[90, 10, 0, 0], [0, 0, 0, 0], [1, 2, 3, 4]])
    (axes,) = drawn[0].axes
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells[(0, 0)] == "90\n90.0 %"
    assert cells[(1, 0)] == "10\n10.0 %"
    assert [cells[(j, 1)] for j in range(4)] == ["none"] * 4
    assert cells[(3, 2)] == "4\n40.0 %"
    assert [label.get_text() for label in axes.get_xticklabels()] == [*LABELS, "no verdict"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["real\n(100)", "fake\n(0)", "hybrid\n(10)"]


def test_numbers_stand_out_from_their_cells(drawn):
    """Catches black on dark blue: contrast by the relative luminance of the two colours (WCAG 2, 4.5 for text)."""
    import matplotlib

    for hits in (0, 30, 50, 60, 70, 71, 72, 80, 100):
        pictures.confusion_png([[hits, 100 - hits, 0, 0]] * 3)
        axes = drawn[-1].axes[0]
        written = matplotlib.colors.to_rgb(axes.texts[0].get_color())
        behind = matplotlib.colormaps["Blues"](hits / 100)[:3]
        light, dark = sorted((luminance(written), luminance(behind)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4.5


def luminance(color):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_another_table_is_refused():
    """Catches a table without abstentions, whose columns would be named wrongly."""
    with pytest.raises(UsageError, match=r"expected a table \(3, 4\), received \(3, 3\)"):
        pictures.confusion_png(np.zeros((3, 3)))


# Curves


def line_points(line):
    return np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)


def distance_to_path(a, b, x, y):
    """How far the point (a, b) is from the nearest segment of a path."""
    starts, steps = np.column_stack((x, y))[:-1], np.diff(np.column_stack((x, y)), axis=0)
    along = ((np.array([a, b]) - starts) * steps).sum(axis=1) / np.maximum((steps**2).sum(axis=1), 1e-300)
    nearest = starts + np.clip(along, 0, 1)[:, None] * steps
    return np.hypot(*(nearest - [a, b]).T).min()


@pytest.mark.parametrize(("n", "apart"), [(30, 1.0), (1000, 2.0), (1000, -1.0), (50_000, 0.5)])
def test_drawn_curves_are_the_curves(drawn, n, apart):
    """Catches thinning that cuts corners: the ROC drawn is nowhere more than two cells off."""
    curve = error_curve(*normal_curve(n, apart=apart))
    pictures.error_curves_png({"a": curve})
    x, y = line_points(drawn[0].axes[0].get_lines()[1])
    assert (np.diff(x) >= 0).all()
    assert (np.diff(y) >= 0).all()
    assert len(x) <= 4 * pictures.GRID
    cell = 2 / pictures.GRID
    for fpr, hits in zip(curve.fpr[:: n // 30], 1 - curve.fnr[:: n // 30], strict=True):
        assert distance_to_path(fpr, hits, x, y) <= cell


def test_equal_error_points_are_marked_and_told(drawn):
    """Catches a mark at another place than the EER that the figures give."""
    is_fake, scores = normal_curve(500, apart=1.0)
    expected = equal_error_rate(is_fake, scores)
    pictures.error_curves_png({"a": error_curve(is_fake, scores)})
    roc, det = (axes.get_lines()[1] for axes in drawn[0].axes)
    ((x,), (y,)) = (np.array(values)[roc.get_markevery()] for values in line_points(roc))
    assert (x + 1 - y) / 2 == pytest.approx(expected)
    rates = [NormalDist().cdf(float(values[det.get_markevery()][0])) for values in line_points(det)]
    assert np.mean(rates) == pytest.approx(expected)
    assert f"a (EER {100 * expected:.2f} %)" in texts(drawn[0])


def test_equally_good_points_are_told_as_the_figures_tell_them(drawn):
    """Catches rounding that picks another of two thresholds with the same distance."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        is_fake, scores = np.arange(15) < 7, rng.integers(0, 5, 15).astype(float)
        expected = equal_error_rate(is_fake, scores)
        assert pictures._equal_error(error_curve(is_fake, scores))[2] == pytest.approx(expected)


def test_normal_scores_make_a_straight_det_curve(drawn):
    """Catches axes that are logarithmic, or a probit that is upside down."""
    thresholds = np.linspace(5, -5, 400)
    normal = NormalDist()
    fpr = np.array([1 - normal.cdf(t + 1) for t in thresholds])
    fnr = np.array([normal.cdf(t - 1) for t in thresholds])
    pictures.error_curves_png({"a": Curve(thresholds, fpr, fnr)})
    x, y = line_points(drawn[0].axes[1].get_lines()[1])
    inside = (x > -2.5) & (y > -2.5)
    assert inside.sum() > 50
    np.testing.assert_allclose((x + y)[inside], -2.0, atol=1e-6)


def test_inverted_curves_stay_in_the_picture(drawn):
    """Catches a DET curve of a bad system that lies outside its axes."""
    pictures.error_curves_png({"good": error_curve(*normal_curve(500, apart=2))})
    pictures.error_curves_png({"bad": error_curve(*normal_curve(500, apart=-2))})
    good, bad = (figure.axes[1].get_xlim()[1] for figure in drawn)
    assert good == pytest.approx(NormalDist().inv_cdf(pictures.DET_LIMITS[1]))
    assert bad == pytest.approx(NormalDist().inv_cdf(pictures.DET_LIMITS[2]))


def test_curves_differ_without_colour(drawn):
    """Catches two curves that are the same on a black and white print."""
    curve = error_curve(*normal_curve(100, apart=1))
    pictures.error_curves_png({str(i): curve for i in range(len(pictures.LINES))})
    lines = drawn[0].axes[0].get_lines()[1:]
    assert len({line.get_marker() for line in lines}) == len(pictures.LINES)
    assert len([text for text in texts(drawn[0]) if "EER" in text]) == len(pictures.LINES)


def test_thinning_keeps_ends_and_corners():
    """Catches a staircase that becomes a slope, and a curve that ends early; against a plain loop."""
    x = np.repeat(np.linspace(0, 1, 11), 500)
    y = np.linspace(0, 1, len(x)) ** 3
    kept = pictures._thinned(x, y)
    assert kept[0] == 0
    assert kept[-1] == len(x) - 1
    grid = [(round(a * pictures.GRID), round(b * pictures.GRID)) for a, b in zip(x, y, strict=True)]
    changes = {i for i in range(1, len(grid)) if grid[i] != grid[i - 1]}
    assert set(kept) == {0, len(x) - 1} | changes | {i - 1 for i in changes}


# Reliability, histograms, spans


def test_wilson_intervals():
    """Catches an interval without width at 0 and at 1; 8 of 10 give 0.490 to 0.943 (Wilson's formula by hand)."""
    low, high = pictures._wilson(np.array([0.8, 0.0, 1.0]), np.array([10, 10, 1]))
    np.testing.assert_allclose((low[0], high[0]), (0.4902, 0.9433), atol=1e-4)
    assert low[1] == pytest.approx(0.0, abs=1e-12)
    assert high[1] > 0.2
    assert low[2] < 0.25


def test_reliability_draws_accuracy_over_confidence(drawn):
    """Catches axes that are exchanged."""
    bins = Reliability(np.array([0.5, 0.9]), np.array([0.4, 1.0]), np.array([3, 4]))
    pictures.reliability_png(bins)
    lines = {line.get_label(): line_points(line) for line in drawn[0].axes[0].get_lines()}
    np.testing.assert_array_equal(lines["clips: 7, bins: 2"], ([0.5, 0.9], [0.4, 1.0]))


def stairs(axes):
    return [patch.get_data() for patch in axes.patches if hasattr(patch, "get_data")]


def test_histograms_are_shares_of_each_class(drawn):
    """Catches counts, with which a small class cannot be seen; and outliers that fall out of the picture."""
    rng = np.random.default_rng(0)
    classes = {"real": np.append(rng.random(999), 1e6), "fake": rng.random(20) + 1, "hybrid": np.zeros(0)}
    pictures.score_histograms_png(classes, thresholds={"dev": 5.0, "none": math.inf})
    (axes,) = drawn[0].axes
    data = stairs(axes)
    assert [part.values.sum() for part in data] == pytest.approx([100.0, 100.0])
    assert data[0].edges[-1] == 5.0
    assert [line.get_xdata()[0] for line in axes.get_lines()] == [5.0]
    assert {"real (1000)", "fake (20)", "dev at 5"} <= set(texts(drawn[0]))
    assert len({(patch.get_hatch(), patch.get_linestyle()) for patch in axes.patches}) == 2


def test_a_class_keeps_its_style_without_the_one_before_it(drawn):
    """Catches hybrids drawn as fakes in a set without fakes."""
    pictures.score_histograms_png({"real": [0.0], "fake": [], "hybrid": [1.0]})
    pictures.score_histograms_png({"real": [0.0], "fake": [0.5], "hybrid": [1.0]})
    without, whole = (
        [(patch.get_hatch(), patch.get_linestyle()) for patch in figure.axes[0].patches] for figure in drawn
    )
    assert without == [whole[0], whole[2]]


def test_recall_of_spans_is_averaged_in_bands(drawn):
    """Catches a span that counts in two bands or in none; against a plain loop."""
    rng = np.random.default_rng(0)
    lengths, recalls = np.append(np.exp(rng.normal(-1, 1.2, 500)), [0.1, 0.2, 5.0]), rng.random(503)
    pictures.span_recall_png(lengths, recalls)
    (axes,) = drawn[0].axes
    counts = [int(text.get_text()) for text in axes.texts if text.get_text().isdigit()]
    assert sum(counts) == 503
    edges = [0.0, *pictures.LENGTHS_S, math.inf]
    expected = []
    for low, high in pairwise(edges):
        inside = [r for length, r in zip(lengths, recalls, strict=True) if low <= length < high]
        expected += [np.mean(inside)] if inside else []
    means = [line.get_ydata()[0] for line in axes.get_lines() if line.get_marker() == "D"]
    np.testing.assert_allclose(means, expected)


def test_spans_and_recalls_belong_together():
    """Catches two arrays of which one has lost a span."""
    with pytest.raises(UsageError, match=r"received \(2,\) and \(1,\)"):
        pictures.span_recall_png([1.0, 2.0], [0.5])


# Breakdown


def test_rows_stand_in_order_with_their_numbers(drawn):
    """Catches rows from bottom to top, numbers beside the wrong row, and an undefined figure drawn as 0."""
    rows = [("a", 0.25, 0.125, 0.5, 12), ("b", None, None, None, 3), ("c", 0.5, None, None, 1)]
    pictures.breakdown_png(rows, quantity="EER", overall=0.3)
    (axes,) = drawn[0].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    points = [line_points(line) for line in axes.get_lines() if line.get_marker() == "o"]
    assert [(x[0], y[0]) for x, y in points] == [(0.25, 0), (0.5, 2)]
    told = [label.get_text().split() for label in axes.child_axes[0].get_yticklabels()]
    assert [" ".join(words) for words in told] == ["value 95 % interval n", "0.250 0.125 to 0.500 12", "3", "0.500 1"]
    assert "undefined" in texts(drawn[0])
    low, high = axes.get_xlim()
    assert low < 0.125
    assert high > 0.5


def test_rows_that_are_not_drawn_are_counted(drawn):
    """Catches a breakdown by 500 generators that makes a picture of ten metres, or hides that there are more."""
    rows = [(f"g{i}", 0.1, 0.0, 0.2, i) for i in range(500)]
    pictures.breakdown_png(rows)
    assert len(drawn[0].axes[0].get_yticklabels()) == pictures.MOST_ROWS
    assert "and 420 more, not drawn" in texts(drawn[0])


def test_names_of_rows_are_no_mathematics(drawn):
    """Catches `$` in a name of a generator, which would be set as a formula."""
    pictures.breakdown_png([("$a$", 1.0, None, None, 1), (STRANGE, 2.0, None, None, 1)])
    labels = drawn[0].axes[0].get_yticklabels()
    assert not any(label.get_parse_math() for label in labels)
    assert labels[0].get_text() == "$a$"
