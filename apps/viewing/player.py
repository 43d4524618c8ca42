"""The player: sound, its waveform, and a button for each span, which plays it alone.

The spans on the waveform are for the mouse; the buttons below say the same to keyboards and screen readers. Colours
come from the page's theme, and spans are hatched too, so that nothing hangs on a colour.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence

import numpy as np
import soundfile
import streamlit as st

from audio.pages import Mark
from audio.reading import SAMPLE_RATE, Samples
from model.judging.report import LONGEST_WHOLE_S, flac_bytes

COLUMNS = 800
"""Peaks that the waveform is drawn from."""

HTML = """
<figure class="player" role="group">
  <div class="wave"><canvas aria-hidden="true"></canvas><div class="spans"></div><div class="head"></div></div>
  <audio controls preload="auto"></audio>
  <div class="buttons"></div>
  <figcaption></figcaption>
</figure>
"""

CSS = """
.player { margin: 0; font-family: var(--st-font); color: var(--st-text-color) }
.wave { position: relative; height: 7rem; cursor: pointer; border-radius: .4rem;
        background: var(--st-secondary-background-color) }
.wave canvas { width: 100%; height: 100%; display: block }
.head { position: absolute; top: 0; bottom: 0; width: 2px; background: currentColor; left: 0; pointer-events: none }
.span { position: absolute; top: 0; bottom: 0; min-width: 4px; padding: 0; cursor: pointer;
        border: 2px solid #d55e00; border-radius: .2rem;
        background: repeating-linear-gradient(45deg, #d55e0066 0 6px, #d55e0022 6px 12px) }
audio { width: 100%; margin-top: .5rem; color-scheme: light dark }
.buttons { display: flex; flex-wrap: wrap; gap: .4rem; margin: .4rem 0 }
.buttons button { font: inherit; font-size: .9rem; padding: .35rem .8rem; cursor: pointer; border-radius: .4rem;
        color: inherit; background: var(--st-secondary-background-color); border: 1px solid #d55e00 }
.buttons button:focus-visible, .span:focus-visible { outline: 3px solid var(--st-primary-color); outline-offset: 2px }
figcaption { font-size: .85rem; opacity: .8 }
"""

JS = """
export default function (component) {
  const { data, parentElement } = component;
  const root = parentElement.querySelector(".player");
  if (!root || root.dataset.key === data.key) return;
  root.dataset.key = data.key;
  const audio = root.querySelector("audio"), wave = root.querySelector(".wave");
  const canvas = root.querySelector("canvas"), head = root.querySelector(".head");
  root.setAttribute("aria-label", data.caption);
  root.querySelector("figcaption").textContent = data.caption;
  audio.src = data.sound;
  let stopAt = null;
  const play = (mark) => { stopAt = mark.end_s; audio.currentTime = mark.start_s; audio.play(); };
  const follow = () => {
    head.style.left = (100 * audio.currentTime / data.seconds) + "%";
    if (stopAt !== null && audio.currentTime >= stopAt) { audio.pause(); stopAt = null; }
    if (!audio.paused) requestAnimationFrame(follow);
  };
  audio.onplay = follow; audio.onseeked = follow; audio.ontimeupdate = follow;
  wave.onclick = (event) => {
    const box = wave.getBoundingClientRect();
    stopAt = null; audio.currentTime = data.seconds * (event.clientX - box.left) / box.width;
  };
  const spans = root.querySelector(".spans"), buttons = root.querySelector(".buttons");
  spans.replaceChildren(); buttons.replaceChildren();
  for (const mark of data.marks) {
    const span = document.createElement("button");
    span.className = "span"; span.type = "button"; span.title = mark.text; span.tabIndex = -1;
    span.setAttribute("aria-hidden", "true");
    span.style.left = (100 * mark.start_s / data.seconds) + "%";
    span.style.width = (100 * (mark.end_s - mark.start_s) / data.seconds) + "%";
    span.onclick = (event) => { event.stopPropagation(); play(mark); };
    spans.append(span);
    const button = document.createElement("button");
    button.type = "button"; button.textContent = "\\u25b6 " + mark.text; button.onclick = () => play(mark);
    buttons.append(button);
  }
  const draw = () => {
    const scale = window.devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * scale; canvas.height = canvas.clientHeight * scale;
    const pen = canvas.getContext("2d"), middle = canvas.height / 2, step = canvas.width / data.peaks.length;
    pen.fillStyle = getComputedStyle(root).color;
    data.peaks.forEach((peak, i) => {
      const height = Math.max(1, peak * canvas.height);
      pen.fillRect(i * step, middle - height / 2, Math.max(1, step * 0.8), height);
    });
  };
  const seen = new ResizeObserver(draw); seen.observe(canvas); draw();
  return () => { seen.disconnect(); audio.pause(); };
}
"""

_player = st.components.v2.component("hybrid_audio_player", html=HTML, css=CSS, js=JS)


def show_player(samples: Samples, marks: Sequence[Mark], *, caption: str, key: str) -> None:
    """Show a player.

    Parameters
    ----------
    samples
        float32 (n,) at 16 kHz, at least one.
    marks
        The spans.
    caption
        What is heard, for everybody.
    key
        Name of this player in the page.
    """
    sound = _as_address(samples)
    shown = [{"start_s": mark.start_s, "end_s": mark.end_s, "text": mark.text} for mark in marks]
    data = {
        "sound": sound,
        "seconds": samples.size / SAMPLE_RATE,
        "peaks": _peaks(samples),
        "marks": shown,
        "caption": caption,
        "key": hashlib.sha256((sound + repr(shown) + caption).encode()).hexdigest(),
    }
    _player(data=data, key=key)


def _peaks(samples: Samples) -> list[float]:
    """The largest magnitude of each column, the largest of all 1."""
    onsets = np.unique(np.linspace(0, samples.size, COLUMNS, endpoint=False).astype(np.int64))
    peaks = np.maximum.reduceat(np.abs(samples), onsets)
    return [round(float(peak), 3) for peak in peaks / max(float(peaks.max()), 1e-6)]


def _as_address(samples: Samples) -> str:
    """The sound as a `data:` address: FLAC, or Vorbis where that would be more than the page should carry."""
    if samples.size <= LONGEST_WHOLE_S * SAMPLE_RATE:
        return "data:audio/flac;base64," + base64.b64encode(flac_bytes(samples)).decode("ascii")
    made = io.BytesIO()
    soundfile.write(made, np.clip(samples, -1.0, 1.0), SAMPLE_RATE, format="OGG", subtype="VORBIS")
    return "data:audio/ogg;base64," + base64.b64encode(made.getvalue()).decode("ascii")
