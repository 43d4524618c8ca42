"""What is shown of one recording: verdict, player, pictures, spans, and everything to take along."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import streamlit as st

from apps.cli.detect import labels_of, sentence
from apps.viewing.judging import Judged, report_html
from apps.viewing.player import show_player
from audio.labelfiles import FORMATS, compose
from audio.labels import FAKE, HYBRID, LABELS, REAL
from audio.messages import text, warning_text
from audio.pages import Mark
from audio.segments import Segment
from model import Detection, Detector
from model.judging.explain import Explanation, explanation_text
from model.judging.plots import picture_png

NAMES = {"csv": "CSV", "rttm": "RTTM", "audacity": "Audacity", "textgrid": "TextGrid"}
"""Label files that are offered, and what their buttons say."""
MOST_KEPT = 16
"""Pictures, explanations and built clips that are kept for one visitor."""

Kept = TypeVar("Kept")

_ALARMS = {FAKE: (st.error, ":material/warning:"), HYBRID: (st.warning, ":material/content_cut:")}


def show_result(found: Judged, judge: Detector, *, key: str) -> None:
    """Show a recording; `key` tells it from the others on the page."""
    detection, said = found.detection, sentence(found.detection)
    channel = detection.channel
    st.subheader(found.name if channel is None else text("channel", path=found.name, channel=channel))
    _show_verdict(detection, said)
    explanation = None
    if found.samples.size:
        show_player(found.samples, marks_of(detection.spans), caption=_caption(detection), key=f"player-{key}")
        png = _picture(found, said, key=key)
        st.image(png, width="stretch", alt=text("page_picture", sentence=said))
        _show_spans(detection)
        explanation = _show_explanation(found, judge, key=key)
        _offer(found, judge, png, explanation, key=key)
    st.caption(text("evidence"))


def marks_of(spans: Sequence[Segment]) -> list[Mark]:
    """What the buttons of a player say and play."""
    told = [(span, text("span", start_s=span.onset_s, end_s=span.offset_s)) for span in spans]
    return [Mark(span.onset_s, span.offset_s, text("page_play", span=words)) for span, words in told]


def _show_verdict(detection: Detection, said: str) -> None:
    if detection.label is None:
        st.info(said, icon=":material/help:")
    elif detection.label == REAL:
        st.success(said, icon=":material/check_circle:")
    else:
        box, icon = _ALARMS[detection.label]
        box(said, icon=icon)
    for code in detection.warnings:
        st.warning(text("mind", warning=warning_text(code)))
    if detection.label is None:
        return
    st.caption(text("page_probability"))
    with st.container(horizontal=True):  # one row on a phone too
        for label in LABELS:
            st.metric(text(f"page_{label}"), f"{detection.probabilities[label] or 0.0:.1%}", width="content")


def _caption(detection: Detection) -> str:
    return text("page_player", n=len(detection.spans)) if detection.spans else text("page_player_none")


def _picture(found: Judged, said: str, *, key: str) -> bytes:
    """Draw once, and again when the language changes."""
    title = f"{found.name}: {said}"
    return kept(f"picture-{key}-{said}", lambda: picture_png(found.samples, detection=found.detection, title=title))


def kept(key: str, make: Callable[[], Kept]) -> Kept:
    """Return what `make` gave the first time; a visitor has only so many of these."""
    shelf: dict[str, Kept] = st.session_state.setdefault("kept", {})
    if key not in shelf:
        while len(shelf) >= MOST_KEPT:
            shelf.pop(next(iter(shelf)))
        shelf[key] = make()
    return shelf[key]


def _show_spans(detection: Detection) -> None:
    if not detection.segments:
        return
    st.markdown(f"**{text('page_spans')}**")
    header = (text("page_begins"), text("page_ends"), text("page_confidence"))
    rows = [
        (f"{s.start_s:.2f}", f"{s.end_s:.2f}", "-" if s.confidence is None else f"{s.confidence:.2f}")
        for s in detection.segments
    ]
    st.table({name: list(column) for name, column in zip(header, zip(*rows, strict=True), strict=True)})


def _show_explanation(found: Judged, judge: Detector, *, key: str) -> Explanation | None:
    if found.detection.abstained or not st.checkbox(text("page_explain"), key=f"explain-{key}"):
        return None
    with st.spinner(text("page_judging", name=found.name)):
        explanation = kept(f"explanation-{key}", lambda: judge.explain(found.samples, found.detection))
    words = explanation_text(explanation, found.detection.spans)
    png = picture_png(found.samples, detection=found.detection, title=words, explanation=explanation)
    st.image(png, width="stretch", caption=words, alt=words)
    st.caption(text("explained_note"))
    return explanation


def _offer(found: Judged, judge: Detector, png: bytes, explanation: Explanation | None, *, key: str) -> None:
    """Buttons for everything that can be taken along; the report is made when it is asked for."""
    st.markdown(f"**{text('page_downloads')}**")
    stem = Path(found.name).stem
    labels = [labels_of(found.name, found.detection)]
    row = json.dumps(found.detection.to_row(found.name), allow_nan=False) + "\n"
    files: list[tuple[str, str, str | bytes]] = [("JSON", f"{stem}.json", row), ("PNG", f"{stem}.png", png)]
    for format, name in NAMES.items():
        files.append((name, stem + FORMATS[format].suffix, compose(labels, format=format)))
    with st.container(horizontal=True):
        for name, file, data in files:
            st.download_button(name, data, file_name=file, on_click="ignore", key=f"{name}-{key}")
        st.download_button(
            text("page_report"),
            lambda: report_html(found, judge, explanation),
            file_name=f"{stem}.html",
            mime="text/html",
            on_click="ignore",
            key=f"report-{key}",
        )
