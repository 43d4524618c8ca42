"""Judging what the browser sent: the model once for all, each recording once, and nothing of it left on the disk."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from apps.cli.detect import sentence
from apps.outside import shown_name, told
from audio.errors import AudioError, LimitError
from audio.messages import text
from audio.reading import FileFacts, Limits, Samples, inspect, read
from model import Detection, Detector
from model.judging.explain import Explanation
from model.judging.report import Exhibit, write_report

LIMITS = Limits()
"""Half an hour: what a page can show, and a browser hold."""


@dataclass(frozen=True)
class Judged:
    """A recording, or one of its channels, and what is said of it."""

    name: str
    data: bytes
    """The file as it was sent."""
    facts: FileFacts
    samples: Samples
    detection: Detection


@st.cache_resource(show_spinner=False, max_entries=8)
def detector(model: str | None, point: str | None) -> Detector:
    """Load a model at an operating point."""
    return Detector(model, operating_point=point)


def judged(data: bytes, name: str, judge: Detector, *, each_channel: bool) -> list[Judged]:
    """Judge a file, or each of its channels.

    Raises
    ------
    AudioError
        In words for who sent it: it is no recording, or too long.
    """
    shown = shown_name(name)
    with _opened(data, shown) as path:
        facts = inspect(path)
        channels = range(facts.channels) if each_channel else (None,)
        heard = [(channel, read(path, limits=LIMITS, channel=channel)) for channel in channels]
    return [Judged(shown, data, facts, samples, judge.detect(samples, channel=ch)) for ch, samples in heard]


def samples_of(data: bytes, name: str) -> Samples:
    """Read a file, float32 (n,) at 16 kHz; errors are those of `judged`."""
    with _opened(data, shown_name(name)) as path:
        return read(path, limits=LIMITS)


@contextmanager
def _opened(data: bytes, name: str) -> Iterator[Path]:
    """Lend a file with these bytes, and say what is wrong with it in words for who sent it."""
    with _as_file(data, name) as path:
        try:
            yield path
        except LimitError:
            raise AudioError(text("page_too_long", name=name, minutes=LIMITS.max_seconds / 60)) from None
        except AudioError as error:
            raise AudioError(text("page_unreadable", error=told(error, path, name))) from None


def report_html(found: Judged, judge: Detector, explanation: Explanation | None) -> bytes:
    """Make the page of `script.py detect --report`."""
    with _as_file(found.data, found.name) as path:
        out = path.with_name("report.html")
        exhibit = Exhibit(path, found.facts, found.samples, found.detection, sentence(found.detection), explanation)
        channels = "mean" if found.detection.channel is None else "each"
        settings = {"channels": channels}
        write_report(out, [exhibit], bundle=judge.bundle, point=judge.operating_point, settings=settings)
        return out.read_bytes()


@contextmanager
def _as_file(data: bytes, name: str) -> Iterator[Path]:
    """Lend a file with these bytes, called as far as a file system allows as its sender called it."""
    safe = re.sub(r'[<>:"|?*]', "_", name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (safe[:40] + Path(safe).suffix[:8] if len(safe.encode()) > 100 else safe)
        path.write_bytes(data)
        yield path
