"""The page itself, run from top to bottom at every touch. Streamlit starts this file: `python -m apps.web`."""

from __future__ import annotations

import argparse
import hashlib
import sys

import streamlit as st

from apps.viewing.about import point_meaning, show_about
from apps.viewing.building import show_building
from apps.viewing.judging import Judged, detector, judged
from apps.viewing.result import show_result
from audio.errors import AudioError, ToolkitError
from audio.messages import LANGUAGES, speaking, text
from model import Detector


def main() -> None:
    """Show everything."""
    st.set_page_config(page_title="Real, fake or hybrid speech?", page_icon=":material/graphic_eq:", layout="centered")
    language = st.sidebar.selectbox(
        "Language / Sprache / Idioma / Langue", list(LANGUAGES), format_func=LANGUAGES.__getitem__, key="language"
    )
    with speaking(language):
        try:
            _show(_model())
        except ToolkitError as error:
            st.error(str(error))


def _model() -> str | None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    given: str | None = parser.parse_args(sys.argv[1:]).model
    return given


def _show(model: str | None) -> None:
    st.title(text("page_title"))
    st.write(text("page_lead"))
    judge = _chosen_detector(model)
    each = st.sidebar.checkbox(text("page_channels"), key="channels")
    check, build, about = st.tabs([text("page_check"), text("page_build"), text("page_about")])
    with check:
        _show_checking(judge, each_channel=each)
    with build:
        show_building(judge)
    with about:
        show_about(judge.bundle)


def _chosen_detector(model: str | None) -> Detector:
    """Let the operating point be chosen, and say what it means."""
    points = detector(model, None).bundle.operating_points
    named = {point.name: point for point in points}
    name = st.sidebar.selectbox(text("page_point"), list(named), key="point")
    st.sidebar.caption(point_meaning(named[name]))
    return detector(model, name)


def _show_checking(judge: Detector, *, each_channel: bool) -> None:
    uploads = st.file_uploader(text("page_upload"), accept_multiple_files=True, key="uploads")
    sent = [(upload.name, upload.getvalue()) for upload in uploads]
    recorded = st.audio_input(text("page_record"), key="recorded")
    if recorded is not None:
        sent.append((f"{text('page_recorded')}.wav", recorded.getvalue()))
    kept, before = {}, st.session_state.get("judged", {})
    for number, (name, data) in enumerate(sent):
        key = _key(data, name, judge, each_channel)
        try:
            kept[key] = before[key] if key in before else _judged(data, name, judge, each_channel)
        except AudioError as error:
            st.error(str(error))
            continue
        for found in kept[key]:
            show_result(found, judge, key=f"{number}-{key}-{found.detection.channel}")
            st.divider()
    st.session_state["judged"] = kept  # and what is not shown any more is forgotten


def _judged(data: bytes, name: str, judge: Detector, each_channel: bool) -> list[Judged]:
    with st.spinner(text("page_judging", name=name)):
        return judged(data, name, judge, each_channel=each_channel)


def _key(data: bytes, name: str, judge: Detector, each_channel: bool) -> str:
    return f"{hashlib.sha256(data).hexdigest()[:16]}-{judge.operating_point.name}-{each_channel}-{name}"


main()
