"""The tab that says how a verdict comes about, and what it cannot tell: from the model card, or else from its facts."""

from __future__ import annotations

import streamlit as st

from apps.viewing.judging import LIMITS
from apps.web import MAX_MB
from audio.errors import ToolkitError
from audio.messages import text
from audio.segments import SAMPLE_RATE
from model.bundle import Bundle, OperatingPoint

CARD = "MODEL_CARD.md"
"""Name of the card beside a model."""


def show_about(bundle: Bundle) -> None:
    """Show the tab."""
    st.write(text("evidence"))
    window_s, step_s = bundle.window_samples / SAMPLE_RATE, bundle.step_samples / SAMPLE_RATE
    hop_ms = 1e3 * bundle.frame_hop_samples / SAMPLE_RATE
    st.write(text("page_steps", window_s=window_s, step_s=step_s, hop_ms=hop_ms))
    st.subheader(text("page_cannot"))
    st.markdown(text("page_cannot_list"))
    st.write(text("page_limits", minutes=LIMITS.max_seconds / 60, mb=MAX_MB))
    st.subheader(text("page_model"))
    card = bundle.path / CARD
    if card.is_file():
        st.markdown(card.read_text(encoding="utf-8"))
    else:
        _show_facts(bundle)


def point_meaning(point: OperatingPoint) -> str:
    """Say how many genuine recordings an operating point accuses, where somebody measured it."""
    try:
        return text("point_note", name=point.name, **point.measured)
    except (ToolkitError, TypeError, ValueError):
        return text("page_unmeasured", name=point.name)


def _show_facts(bundle: Bundle) -> None:
    st.markdown(f"**{bundle.name}** {bundle.licence}")
    for point in bundle.operating_points:
        st.markdown(f"- {point_meaning(point)}")
    origins = bundle.training.get("origins")
    if isinstance(origins, list) and origins:
        st.markdown(f"**{text('page_trained_on')}**")
        names = ("name", "label", "licence", "clips")
        st.table({name: [str(each.get(name, "")) for each in origins] for name in names})
