"""The record of one verdict: a page that opens offline, plays what was judged, and says how to get the same again."""

from __future__ import annotations

import io
import platform
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import soundfile

from audio.digest import file_sha256
from audio.errors import ToolkitError
from audio.labels import FAKE, HYBRID, LABELS
from audio.messages import reason_text, text, warning_text
from audio.pages import Block, Heading, Mark, Paragraph, Picture, Player, Table, write_page
from audio.reading import FileFacts
from audio.segments import SAMPLE_RATE
from model.bundle import CARD_NAME, NETWORK, Bundle, OperatingPoint
from model.judging.detector import Detection, Samples, Span
from model.judging.explain import Explanation, explanation_text
from model.judging.plots import picture_png

LONGEST_WHOLE_S = 600.0
"""Longer recordings are not kept whole in the page, only what surrounds their spans: 10 minutes take some 12 MB."""

CONTEXT_S = 1.0
"""How much is kept before and behind a span of a longer one."""

MOST_EXCERPTS = 40
"""Spans of a longer recording that are kept."""

PACKAGES = ("numpy", "onnxruntime", "soundfile", "soxr")
"""What has a part in the numbers."""


@dataclass(frozen=True)
class Exhibit:
    """What is reported on: a file, what it says of itself, its samples as they were judged, and the result."""

    path: Path
    facts: FileFacts
    samples: Samples
    detection: Detection
    sentence: str
    """The verdict in words."""
    explanation: Explanation | None = None
    """What carried it, where that was asked for."""


def write_report(
    out: Path, exhibits: Sequence[Exhibit], *, bundle: Bundle, point: OperatingPoint, settings: Mapping[str, str]
) -> None:
    """Write the page of one recording, or of the channels of one.

    Parameters
    ----------
    out
        The page.
    exhibits
        At least one; several are channels of the same file.
    bundle, point
        What judged.
    settings
        What else was asked for, by name.

    Raises
    ------
    ToolkitError
        When Jinja2 or Matplotlib is missing, or the page cannot be written.
    """
    first = exhibits[0]
    blocks = [block for exhibit in exhibits for block in _verdict_blocks(exhibit)]
    blocks += [Heading("The file"), _table(_file_rows(first)), Heading("The model and its settings")]
    blocks += [_table(_model_rows(bundle, point, settings)), *_point_notes(point), Paragraph(text("repeat"))]
    write_page(out, blocks, title=first.path.name)


def _verdict_blocks(exhibit: Exhibit) -> Iterator[Block]:
    detection = exhibit.detection
    if detection.channel is not None:
        yield Heading(text("channel", path=exhibit.path.name, channel=detection.channel))
    yield Paragraph(exhibit.sentence, alarm=detection.label in (FAKE, HYBRID))
    yield Paragraph(text("evidence"))
    for code in detection.reasons:
        yield Paragraph(reason_text(code))
    for code in detection.warnings:
        yield Paragraph(text("mind", warning=warning_text(code)), alarm=True)
    if not detection.abstained:
        shares = tuple(f"{100 * (detection.probabilities[label] or 0.0):.1f} %" for label in LABELS)
        yield Table(("probability", *LABELS), (("calibrated", *shares),))
    if len(exhibit.samples):
        title = f"{exhibit.path.name}: {exhibit.sentence}"
        png = picture_png(exhibit.samples, detection=detection, title=title)
        yield Picture(png, alt=f"Waveform, mel spectrogram and P(fake) over time. {exhibit.sentence}")
        yield _player(exhibit)
        yield from _explanation_blocks(exhibit)
    if detection.segments:
        yield _span_table(detection.segments)
        yield Paragraph(text("ends_note"))


def _explanation_blocks(exhibit: Exhibit) -> Iterator[Block]:
    if exhibit.explanation is None:
        return
    detection, told = exhibit.detection, explanation_text(exhibit.explanation, exhibit.detection.spans)
    png = picture_png(exhibit.samples, detection=detection, title=exhibit.path.name, explanation=exhibit.explanation)
    yield Picture(png, alt=f"Waveform, mel spectrogram and a map of what carries the scores. {told}", caption=told)
    yield Paragraph(text("explained_note"))


def _span_table(spans: Sequence[Span]) -> Table:
    rows = [
        (
            str(number),
            f"{span.start_s:.3f}",
            f"{span.end_s:.3f}",
            _range(span.start_range_s),
            _range(span.end_range_s),
            "-" if span.confidence is None else f"{span.confidence:.2f}",
        )
        for number, span in enumerate(spans, 1)
    ]
    header = ("fake span", "begins, s", "ends, s", "begins between", "ends between", "confidence")
    return Table(header, tuple(rows))


def _range(bounds: tuple[float, float] | None) -> str:
    return "-" if bounds is None else f"{bounds[0]:.2f}-{bounds[1]:.2f}"


def _player(exhibit: Exhibit) -> Player:
    """What was judged, as FLAC; of a long recording only its spans with what surrounds them, one after the other."""
    spans, channel = exhibit.detection.segments, exhibit.detection.channel
    what = "the mean of all channels" if channel is None else f"channel {channel}"
    if len(exhibit.samples) <= LONGEST_WHOLE_S * SAMPLE_RATE:
        marks = tuple(Mark(span.start_s, span.end_s, text("span", **span._asdict())) for span in spans)
        return Player(flac_bytes(exhibit.samples), "audio/flac", marks, text("heard_note", what=what))
    pieces: list[Samples] = [exhibit.samples[:0]]
    marks_at, at = [], 0.0
    for span in spans[:MOST_EXCERPTS]:
        first, last = max(0.0, span.start_s - CONTEXT_S), min(exhibit.detection.duration_s, span.end_s + CONTEXT_S)
        pieces.append(exhibit.samples[round(first * SAMPLE_RATE) : round(last * SAMPLE_RATE)])
        onset = at + span.start_s - first
        marks_at.append(Mark(onset, onset + span.end_s - span.start_s, text("span", **span._asdict())))
        at += pieces[-1].size / SAMPLE_RATE
    note = text("excerpts_note", n=len(marks_at))
    return Player(flac_bytes(np.concatenate(pieces)), "audio/flac", tuple(marks_at), note)


def flac_bytes(samples: Samples) -> bytes:
    """Return samples, float32 (n,) at 16 kHz, as a FLAC file of 16 bits."""
    made = io.BytesIO()
    soundfile.write(made, np.clip(samples, -1.0, 1.0), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return made.getvalue()


def _file_rows(exhibit: Exhibit) -> Iterator[tuple[str, str]]:
    facts, quality = exhibit.facts, exhibit.detection.quality
    yield "name", exhibit.path.name
    yield "SHA-256", file_sha256(exhibit.path)
    yield "bytes", f"{exhibit.path.stat().st_size:,}"
    yield "container and codec", f"{facts.container}, {facts.codec}"
    yield "sample rate and channels", f"{facts.sample_rate:,} Hz, {facts.channels}"
    yield "decoded by", facts.decoder
    yield "length", f"{exhibit.detection.duration_s:.3f} s"
    if quality is None:
        return
    yield "may be speech", f"{quality.speech_s:.1f} s"
    for name, value, unit in (
        ("sound up to", quality.bandwidth_hz, "Hz"),
        ("speech over its noise", quality.snr_db, "dB"),
        ("level of speech", quality.level_dbfs, "dBFS"),
        ("peak", quality.peak_dbfs, "dBFS"),
    ):
        yield name, "-" if value is None else f"{value:,.0f} {unit}"
    yield "clipped samples in speech", f"{quality.clipped_share:.2%}"
    yield "music or tones in speech", f"{quality.music_share:.0%}"


def _model_rows(bundle: Bundle, point: OperatingPoint, settings: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield "model", bundle.name
    if bundle.kind == NETWORK:
        yield "SHA-256 of its network", file_sha256(bundle.onnx_path)
    yield "SHA-256 of its facts", file_sha256(bundle.path / CARD_NAME)
    yield "operating point", point.name
    yield "thresholds", f"a span opens at {point.thresholds.enter:g} and ends at {point.thresholds.exit:g}"
    yield from settings.items()
    yield "this toolkit", software_version()
    for package in PACKAGES:
        yield package, version(package)
    yield "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def software_version() -> str:
    """Return the version of the toolkit, installed or run from its folder."""
    try:
        return version("hybrid-audio-detection-toolkit")
    except PackageNotFoundError:
        project = Path(__file__).parents[2] / "pyproject.toml"
        return str(tomllib.loads(project.read_text("utf-8"))["project"]["version"]) if project.is_file() else "unknown"


def _point_notes(point: OperatingPoint) -> Iterator[Paragraph]:
    """What the operating point means, where it was measured."""
    try:
        yield Paragraph(text("point_note", name=point.name, **point.measured))
    except (ToolkitError, TypeError, ValueError):
        return  # a point that nobody measured


def _table(rows: Iterator[tuple[str, str]]) -> Table:
    return Table(("fact", "value"), tuple(rows), words=frozenset({1}))
