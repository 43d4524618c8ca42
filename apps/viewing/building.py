"""The tab that makes hybrids: a genuine clip and a fake one in, a spliced clip and its truth out, and then judged."""

from __future__ import annotations

import io
from dataclasses import dataclass

import soundfile
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from apps.viewing.judging import judged, samples_of
from apps.viewing.player import show_player
from apps.viewing.result import kept, show_result
from audio.errors import AudioError, ToolkitError
from audio.labelfiles import Labelled, compose
from audio.labels import HYBRID
from audio.levels import to_int16
from audio.messages import listing, reason_text, text
from audio.pages import Mark
from audio.segments import SAMPLE_RATE, Segment
from model import Detector
from synth import Join, Piece, SplicePlan, match_loudness, render
from synth.pcm import Pcm
from synth.splice import AS_IS, BS1770, EQUAL_POWER, HARD, REPLACE

STEP_S = 0.01
"""How finely spans are chosen."""

NAME = "hybrid.wav"

LEAST_S = 0.4
"""A shorter clip has no room for a span."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """A clip, int16 (n,), and the span `[onset, offset)` of it in samples."""

    pcm: Pcm
    onset: int
    offset: int


@dataclass(frozen=True, eq=False)
class Built:
    """A spliced clip, int16 (n,), and where it is fake."""

    pcm: Pcm
    truth: tuple[Segment, ...]


def show_building(judge: Detector) -> None:
    """Show the tab."""
    st.write(text("page_build_lead"))
    sides = st.columns(2)
    genuine = _clip(sides[0], "page_genuine_clip", "page_replaced")
    fake = _clip(sides[1], "page_fake_clip", "page_taken")
    if genuine is None or fake is None:
        return
    fade_ms = st.slider(text("page_fade"), 0, 80, 20)
    matched = st.checkbox(text("page_match"), value=True)
    if st.button(text("page_splice"), type="primary"):
        st.session_state["built"] = _spliced(genuine, fake, fade_ms=fade_ms, matched=matched)
    if built := st.session_state.get("built"):
        _show_built(built, judge)


def _clip(side: DeltaGenerator, label: str, asks: str) -> Chosen | None:
    """Let a clip be uploaded, and a span of it be chosen and heard."""
    with side:
        upload = st.file_uploader(text(label), key=label)
        if upload is None:
            return None
        try:
            samples = samples_of(upload.getvalue(), upload.name)
        except AudioError as error:
            st.error(str(error))
            return None
        seconds = samples.size / SAMPLE_RATE
        if seconds < LEAST_S:
            st.error(text("abstained", reason=reason_text("too_short")))
            return None
        start_s, end_s = st.slider(text(asks), 0.0, seconds, (seconds / 3, 2 * seconds / 3), STEP_S, key=asks)
        said = text("page_chosen", span=text("span", start_s=start_s, end_s=end_s))
        show_player(samples, [Mark(start_s, end_s, said)], caption=upload.name, key=f"choose-{label}")
        onset, offset = round(start_s * SAMPLE_RATE), min(round(end_s * SAMPLE_RATE), samples.size)
        return Chosen(to_int16(samples), onset, offset)


def _spliced(genuine: Chosen, fake: Chosen, *, fade_ms: int, matched: bool) -> Built | None:
    """Put the span of the fake clip in the place of that of the genuine one."""
    pieces = [Piece(0, 0, genuine.onset, fake=False), Piece(1, fake.onset, fake.offset, fake=True, span=True)]
    pieces.append(Piece(0, genuine.offset, genuine.pcm.size, fake=False))
    kept = tuple(piece for piece in pieces if piece.duration)
    n_overlap = fade_ms * SAMPLE_RATE // 1_000
    join = Join(EQUAL_POWER if n_overlap else HARD, n_overlap)
    sources = {0: genuine.pcm, 1: fake.pcm}
    try:
        plan = SplicePlan((REPLACE,), kept, (join,) * (len(kept) - 1), BS1770 if matched else AS_IS)
        return Built(*render(match_loudness(plan, sources), sources))
    except ToolkitError as error:
        st.error(str(error))
        return None


def _show_built(built: Built, judge: Detector) -> None:
    spans = [text("span", start_s=span.onset_s, end_s=span.offset_s) for span in built.truth]
    st.info(text("page_truth", spans=listing(spans, at_most=len(spans))))
    made = io.BytesIO()
    soundfile.write(made, built.pcm, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    labels = compose([Labelled(NAME, built.truth, built.pcm.size, HYBRID)], format="audacity")
    with st.container(horizontal=True):
        st.download_button(text("page_clip_file"), made.getvalue(), NAME, "audio/wav", on_click="ignore")
        st.download_button(text("page_label_file"), labels, "hybrid.txt", on_click="ignore")
    key = f"built-{hash(made.getvalue())}-{judge.operating_point.name}"
    (found,) = kept(key, lambda: judged(made.getvalue(), NAME, judge, each_channel=False))
    show_result(found, judge, key=key)
