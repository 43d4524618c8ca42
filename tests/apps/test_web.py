"""The page in a real Chromium: what people do with it, and what they get."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from tiny_model import RATE, voice

from audio.labelfiles import read_labels
from audio.reading import write_wav

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HYBRID = voice(np.random.default_rng(0), 6, fake_s=[(1, 2), (4, 4.5)])
WAIT_MS = 120_000
"""A busy machine imports Matplotlib for a quarter of a minute."""

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
pytest.importorskip("streamlit", reason="streamlit is missing: pip install streamlit")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: apt-get install chromium")


@pytest.fixture(scope="module")
def address(tiny_bundle) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "apps.web", "--port", str(port), "--model", str(tiny_bundle)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(600):
                try:
                    httpx.get(f"http://127.0.0.1:{port}/_stcore/health").raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def spoken(tmp_path_factory) -> Path:
    """What Chromium's fake microphone hears, over and over."""
    path = tmp_path_factory.mktemp("spoken") / "spoken.wav"
    soundfile.write(path, HYBRID, RATE, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def browser(spoken):
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    arguments = [*fake, f"--use-file-for-fake-audio-capture={spoken}", "--autoplay-policy=no-user-gesture-required"]
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=[*arguments, "--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser, address):
    context = browser.new_context(permissions=["microphone"])
    context.set_default_timeout(WAIT_MS)
    opened = context.new_page()
    opened.goto(address)
    opened.get_by_text("Recordings, in any audio or video format").wait_for()
    yield opened
    context.close()


def upload(page, *files: Path, nth: int = 0) -> None:
    page.locator("input[type=file]").nth(nth).set_input_files([str(each) for each in files])


def downloaded(page, name: str) -> Path:
    with page.expect_download() as found:
        page.get_by_role("button", name=name, exact=True).first.click()
    path = Path(found.value.path())
    named = path.with_name(f"{path.name}-{found.value.suggested_filename}")
    path.rename(named)
    return named


@needs_chromium
def test_a_hybrid_from_upload_to_every_download(page, tmp_path):
    """Verdict, spans that play where they are, and files that say the same as the page."""
    write_wav(tmp_path / "my clip.wav", HYBRID)
    upload(page, tmp_path / "my clip.wav")
    page.get_by_text("Hybrid: 2 spans look synthetic, 0.98-2.02 s").first.wait_for()
    assert page.locator("audio").count() >= 1

    button = page.get_by_role("button", name="Play fake span 3.98-4.52 s")
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(_AT.format(low=3.97, high=4.7))
    page.locator(".span").first.click()
    page.wait_for_function(_AT.format(low=0.97, high=2.2))

    row = json.loads(downloaded(page, "JSON").read_text())
    assert (row["label"], row["path"], len(row["segments"])) == ("hybrid", "my clip.wav", 2)
    for name, format in (("CSV", "csv"), ("RTTM", "rttm"), ("Audacity", "audacity"), ("TextGrid", "textgrid")):
        (labels,) = read_labels(downloaded(page, name), format=format)
        assert [span.onset_s for span in labels.spans] == [each["start_s"] for each in row["segments"]]
    assert downloaded(page, "PNG").read_bytes().startswith(b"\x89PNG")
    report = downloaded(page, "HTML report").read_text(encoding="utf-8")
    assert "Hybrid: 2 spans" in report
    assert "my clip.wav" in report
    assert str(tmp_path) not in page.content()


_AT = """() => [...document.querySelectorAll("*")].some(each => [each, each.shadowRoot].some(root =>
    root && root.querySelectorAll && [...root.querySelectorAll("audio")].some(
        audio => audio.currentTime >= {low} && audio.currentTime <= {high})))"""


@needs_chromium
def test_what_cannot_be_judged_is_said_in_words(page, tmp_path):
    """Damaged, too long, and without speech, beside one that is judged: none stops the others."""
    (tmp_path / "broken.wav").write_bytes(b"RIFF" + os.urandom(2_000))
    soundfile.write(tmp_path / "two hours.flac", np.zeros(2 * 3_600 * 8_000, np.int16), 8_000)
    write_wav(tmp_path / "silence.wav", np.zeros(RATE * 2, np.float32))
    write_wav(tmp_path / "clip.wav", HYBRID)
    upload(page, *(tmp_path / name for name in ("broken.wav", "two hours.flac", "silence.wav", "clip.wav")))
    page.get_by_text("Hybrid: 2 spans look synthetic").first.wait_for()
    page.get_by_text("This file cannot be read as a recording. broken.wav").wait_for()
    page.get_by_text("two hours.flac is longer than 30 minutes").wait_for()
    page.get_by_text("Not judged: no speech was found in the recording.").first.wait_for()
    assert "Traceback" not in page.content()
    assert "/tmp/" not in page.locator("[data-testid=stMain]").inner_text()


@needs_chromium
def test_the_microphone_and_another_language(page):
    """Chromium's fake device speaks the hybrid; the verdict comes in German."""
    page.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(5_000)
    page.get_by_role("button", name="Stop recording").click()
    page.get_by_text("Hybrid:").first.wait_for()
    page.get_by_label("Language / Sprache / Idioma / Langue").click()
    page.get_by_role("option", name="Deutsch").click()
    page.get_by_text("Gemischt:").first.wait_for()
    page.get_by_text("Ein Urteil ist ein Hinweis, kein Beweis.").first.wait_for()


@needs_chromium
def test_a_hybrid_is_built_and_its_truth_is_found(page, tmp_path):
    """From two uploads to a spliced clip with labels that say where, and its verdict."""
    write_wav(tmp_path / "genuine.wav", voice(np.random.default_rng(1), 6))
    write_wav(tmp_path / "fake.wav", voice(np.random.default_rng(2), 6, fake_s=[(0, 6)]))
    page.get_by_role("tab", name="Build a hybrid").click()
    upload(page, tmp_path / "genuine.wav", nth=1)
    page.get_by_text("What is replaced in the genuine one").first.wait_for()
    upload(page, tmp_path / "fake.wav", nth=2)
    page.get_by_role("button", name="Splice and judge").click()
    page.get_by_text("Truth: fake in 1.98-3.98 s.").first.wait_for()
    page.get_by_text("Hybrid: 1 span looks synthetic").first.wait_for()
    (labels,) = read_labels(downloaded(page, "Its labels (Audacity)"), format="audacity")
    samples, rate = soundfile.read(io.BytesIO(downloaded(page, "Spliced clip (WAV)").read_bytes()))
    assert rate == RATE
    assert [(span.onset_s, span.offset_s) for span in labels.spans] == [(1.98, 3.98)]
    assert samples.size > 5.9 * RATE
