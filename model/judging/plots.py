"""The pictures of a verdict: waveform, mel spectrogram and P(fake), with the fake spans, on one time axis; and of its
explanation, with the map of what carries the scores in the place of P(fake).

They read without colour: spans are hatched and framed, not only tinted; spectrogram and map use cividis, whose
lightness rises evenly, also for the colour-blind, from blue through a neutral grey, which is nothing in the map, to
yellow; the curve is a plain dark line. matplotlib is imported where it is needed.
"""

from __future__ import annotations

import io
import os
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from audio.atomic import replacing
from audio.errors import ToolkitError
from audio.messages import text
from audio.segments import SAMPLE_RATE
from model.features import FRAME_HOP_SAMPLES, FeatureConfig, mel_edges_hz, mel_power
from model.judging.detector import Detection, Span
from model.judging.explain import Explanation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Samples = NDArray[np.float32]
Spectrogram = NDArray[np.float32]

MEL = FeatureConfig(hop_samples=160)
"""What the spectrogram shows, whatever features the model uses."""

COLUMNS = 1_500
"""About one per pixel: longer recordings are drawn by their extremes, so that nothing short disappears."""

BLOCK_FRAMES = 1_500
"""Frames of 20 ms whose spectrum is computed at a time (30 s): bounds the memory for long recordings."""

CONTEXT_FRAMES = 2
"""Frames of neighbourhood on either side of a block that its outer spectra reach into."""

MOST_NAMED_SPANS, MOST_FRAMED_SPANS = 8, 40
"""With more spans than this their names would lie on each other, and their frames hide what is inside."""

INK, TINT = "#0b2545", "#d55e00"
"""Dark blue for what was measured, vermillion (Okabe and Ito's palette) for what is fake."""


def save_picture(
    path: str | os.PathLike[str],
    samples: Samples,
    *,
    detection: Detection,
    title: str,
    explanation: Explanation | None = None,
) -> None:
    """Write the picture as PNG, whole or not at all; its folder is made if needed.

    Parameters
    ----------
    path
        the file to write.
    samples
        the recording that was judged, float32 (n,) at 16 kHz, at least one.
    detection
        what `Detector.detect` said about it.
    title
        the line above the picture.
    explanation
        what `Detector.explain` said about it, to be drawn instead of P(fake); None: P(fake).

    Raises
    ------
    ToolkitError
        Matplotlib is missing or the file cannot be written.
    """
    png = picture_png(samples, detection=detection, title=title, explanation=explanation)
    try:
        with replacing(path) as beside:
            beside.write_bytes(png)
    except OSError as error:
        raise ToolkitError(f"{path}: the picture cannot be written: {error.strerror}") from None


def picture_png(samples: Samples, *, detection: Detection, title: str, explanation: Explanation | None = None) -> bytes:
    """Return the picture as PNG. Arguments as for `save_picture`; raises `ToolkitError` when Matplotlib is missing."""
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(**_LAYOUT)
    FigureCanvasAgg(figure)
    _draw(figure, samples, detection=detection, title=title, explanation=explanation)
    made = io.BytesIO()
    figure.savefig(made, format="png")
    return made.getvalue()


def show_picture(samples: Samples, *, detection: Detection, title: str) -> None:
    """Show the picture in a window and return when it is closed. Arguments as for `save_picture`.

    Raises
    ------
    ToolkitError
        Matplotlib is missing, or there is no screen to show a window on.
    """
    require_matplotlib()
    from matplotlib import pyplot

    figure = pyplot.figure(**_LAYOUT)
    try:
        if pyplot.get_backend().lower() == "agg":
            raise ToolkitError("no screen to show a picture on: save it with --plot instead")
        _draw(figure, samples, detection=detection, title=title)
        pyplot.show()
    finally:
        pyplot.close(figure)


_LAYOUT: dict[str, Any] = {"figsize": (11.0, 7.0), "dpi": 130, "layout": "constrained"}


def require_matplotlib() -> None:
    """Raise `ToolkitError` where pictures cannot be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ToolkitError("pictures need matplotlib: install it with 'pip install matplotlib'") from None


def _draw(
    figure: Figure, samples: Samples, *, detection: Detection, title: str, explanation: Explanation | None = None
) -> None:
    wave, mel, last = figure.subplots(3, 1, sharex=True, height_ratios=(2, 3, 2 if explanation is None else 4))
    figure.suptitle(title, fontsize=11, parse_math=False)
    _draw_waveform(wave, samples)
    _draw_spectrogram(mel, samples)
    if explanation is None:
        _draw_scores(last, detection)
        _draw_spans((wave, last), (mel,), spans=detection.segments)
    else:
        _draw_map(figure, last, explanation)
        _draw_spans((wave,), (mel, last), spans=detection.segments)
    last.set_xlim(0.0, len(samples) / SAMPLE_RATE)
    last.set_xlabel("time in seconds")


def _draw_waveform(axes: Axes, samples: Samples) -> None:
    onsets = np.unique(np.linspace(0, len(samples), COLUMNS, endpoint=False).astype(np.int64))
    low, high = np.minimum.reduceat(samples, onsets), np.maximum.reduceat(samples, onsets)
    axes.fill_between(onsets / SAMPLE_RATE, low, high, color=INK, linewidth=0.6)
    axes.set_ylabel("waveform")


def _draw_spectrogram(axes: Axes, samples: Samples) -> None:
    decibels, seconds = mel_picture(samples)
    extent = (0.0, seconds, -0.5, MEL.n_mels - 0.5)
    axes.imshow(decibels.T, origin="lower", aspect="auto", extent=extent, cmap="cividis", vmin=-70.0, vmax=0.0)
    _tick_khz(axes)
    axes.set_ylabel("mel spectrogram, kHz")


def _tick_khz(axes: Axes) -> None:
    ticks_hz = np.array([500, 1000, 2000, 4000, 7000])
    axes.set_yticks(_height(ticks_hz), [f"{hz / 1000:g}" for hz in ticks_hz])


def _height(hz: NDArray[Any]) -> NDArray[np.float64]:
    """Where frequencies lie above the lowest band of the spectrogram, in its bands."""
    return np.interp(hz, mel_edges_hz(MEL), np.arange(-1, MEL.n_mels + 1))


def _draw_scores(axes: Axes, detection: Detection) -> None:
    scores = detection.frame_scores
    axes.set_ylim(0.0, 1.05)
    axes.set_ylabel("P(fake)")
    if len(scores):
        axes.stairs(scores, np.arange(len(scores) + 1) * detection.frame_hop_s, color=INK, linewidth=1.2, zorder=3)
    else:
        axes.text(0.5, 0.5, "not judged", transform=axes.transAxes, ha="center", va="center")


def _draw_map(figure: Figure, axes: Axes, explanation: Explanation) -> None:
    """The effect of each cell, nothing in the middle of the scale; the scale lies below, so that times stay in line."""
    most = float(np.abs(explanation.effects).max(initial=0.0)) or 1.0
    rows, effects = _height(explanation.rows_hz), explanation.effects.T
    image = axes.pcolormesh(explanation.columns_s, rows, effects, cmap="cividis", vmin=-most, vmax=most)
    axes.set_ylim(-0.5, MEL.n_mels - 0.5)
    _tick_khz(axes)
    axes.set_ylabel("what carries the scores, kHz")
    scale = figure.colorbar(image, ax=axes, location="bottom", aspect=70.0, ticks=[-most, 0.0, most])
    scale.ax.set_xticklabels([f"speaks for real (logit -{most:.2g})", "nothing", f"carries fake (logit +{most:.2g})"])
    scale.set_label("\n".join(textwrap.wrap(text("explained_note"), 130)), fontsize=9)


def mel_picture(samples: Samples) -> tuple[Spectrogram, float]:
    """Compute the mel spectrogram of a recording of any length, at about `COLUMNS` columns and in bounded
    memory.

    Parameters
    ----------
    samples
        float32 (n,) at 16 kHz.

    Returns
    -------
    dB below the loudest cell, float32 (columns, n_mels), and the seconds they span. A column is the
    maximum of the spectra it stands for.
    """
    n_frames = -(-len(samples) // FRAME_HOP_SAMPLES)
    frames_per_column = max(1, n_frames // COLUMNS)
    block_frames = max(1, BLOCK_FRAMES // frames_per_column) * frames_per_column
    blocks = [
        _pooled(_mel_block(samples, first, min(first + block_frames, n_frames)), frames_per_column)
        for first in range(0, n_frames, block_frames)
    ]
    power = np.concatenate(blocks)
    loudest = max(float(power.max(initial=0.0)), 1e-10)
    decibels = 10.0 * np.log10(np.maximum(power, 1e-12 * loudest) / loudest)
    return decibels.astype(np.float32), len(power) * frames_per_column * FRAME_HOP_SAMPLES / SAMPLE_RATE


def _mel_block(samples: Samples, first: int, stop: int) -> Spectrogram:
    """Mel power of the frames `[first, stop)`, float32 ((stop - first) * frames_per_score, n_mels).

    The neighbourhood is included and cut off again, so that a block has no seams.
    """
    before = min(first, CONTEXT_FRAMES)
    reach = slice((first - before) * FRAME_HOP_SAMPLES, (stop + CONTEXT_FRAMES) * FRAME_HOP_SAMPLES)
    missing = reach.stop - len(samples)
    power = mel_power(np.pad(samples[reach], (0, max(0, missing))), MEL)
    return power[before * MEL.frames_per_score : (before + stop - first) * MEL.frames_per_score]


def _pooled(power: Spectrogram, frames_per_column: int) -> Spectrogram:
    onsets = np.arange(0, len(power), frames_per_column * MEL.frames_per_score)
    return np.maximum.reduceat(power, onsets, axis=0)


def _draw_spans(plain: Sequence[Axes], coloured: Sequence[Axes], *, spans: Sequence[Span]) -> None:
    """Tint and frame the spans, and name them, as long as there are few enough."""
    for span in spans:
        for axes in plain:
            axes.axvspan(span.start_s, span.end_s, facecolor=TINT, alpha=0.25, linewidth=0)
    for span in spans if len(spans) <= MOST_FRAMED_SPANS else ():
        for axes in plain:
            axes.axvspan(span.start_s, span.end_s, fill=False, edgecolor=TINT, hatch="//", linewidth=1.2)
        for axes in coloured:
            _frame(axes, span)
    for span in spans if len(spans) <= MOST_NAMED_SPANS else ():
        _name(plain[0], span)


def _frame(axes: Axes, span: Span) -> None:
    """Dashed lines in black and white: seen on the dark and on the light parts of a spectrogram or map."""
    for position_s in (span.start_s, span.end_s):
        axes.axvline(position_s, color="black", linewidth=1.6)
        axes.axvline(position_s, color="white", linewidth=1.6, linestyle=(0, (4, 4)))


def _name(axes: Axes, span: Span) -> None:
    """Write what the span is above its middle."""
    axes.annotate(
        span.label if span.confidence is None else f"{span.label} {span.confidence:.2f}",
        xy=((span.start_s + span.end_s) / 2, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        fontsize=9,
    )
