"""The record of a verdict: whole, offline, with what is needed to get the same again."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_model import RATE, voice

from apps.cli import main as cli
from audio.digest import file_sha256
from audio.reading import inspect, read, write_wav
from model import Detector
from model.judging import report
from model.judging.report import Exhibit, write_report


@pytest.fixture
def clip(tmp_path) -> Path:
    path = tmp_path / "<call> & co.wav"
    write_wav(path, voice(np.random.default_rng(0), 4, fake_s=[(1, 2)]))
    return path


def page_of(clip: Path, tiny_bundle, out: Path) -> str:
    assert cli.main(["detect", str(clip), "--model", str(tiny_bundle), "--quiet", "--report", str(out)]) == 0
    return out.read_text(encoding="utf-8")


def sound_in(page: str) -> tuple[np.ndarray, int]:
    (data,) = re.findall(r'src="data:audio/flac;base64,([^"]+)"', page)
    return soundfile.read(io.BytesIO(base64.b64decode(data)), dtype="float32")


def test_it_holds_the_verdict_the_sound_and_the_hashes(clip, tiny_bundle, tmp_path):
    page = page_of(clip, tiny_bundle, tmp_path / "out" / "record.html")
    detector = Detector(tiny_bundle)
    (span,) = detector.detect(clip).segments
    assert "Hybrid: 1 span looks synthetic" in page
    for digest in (file_sha256(clip), file_sha256(detector.bundle.onnx_path), file_sha256(tiny_bundle / "bundle.json")):
        assert digest in page
    assert f'data-start="{span.start_s}" data-end="{span.end_s}"' in page
    samples, rate = sound_in(page)
    assert rate == RATE
    np.testing.assert_array_equal(samples, read(clip))
    assert all(word in page for word in ("libsndfile", "onnxruntime", "Python", "evidence, not proof", "PCM_16"))


def test_it_needs_nothing_else_and_runs_nothing_else(clip, tiny_bundle, tmp_path):
    """Catches a page that calls home, a script that its policy does not allow, and a name that becomes markup."""
    page = page_of(clip, tiny_bundle, tmp_path / "record.html")
    assert "<call>" not in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "default-src 'none'" in page
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html.unescape(page)


def test_a_long_recording_keeps_its_spans_only(clip, tiny_bundle, monkeypatch, tmp_path):
    monkeypatch.setattr(report, "LONGEST_WHOLE_S", 3.0)
    page = page_of(clip, tiny_bundle, tmp_path / "record.html")
    samples, _ = sound_in(page)
    (span,) = Detector(tiny_bundle).detect(clip).segments
    (start, end) = map(float, re.findall(r'data-start="([^"]+)" data-end="([^"]+)"', page)[0])
    played = samples[round(start * RATE) : round(end * RATE)]
    np.testing.assert_array_equal(played, read(clip)[round(span.start_s * RATE) : round(span.end_s * RATE)])
    assert len(samples) < 4 * RATE


def test_an_abstention_and_an_empty_recording(tiny_bundle, tmp_path):
    for name, samples in (("silent.wav", np.zeros(RATE)), ("empty.wav", np.zeros(0))):
        write_wav(tmp_path / name, samples)
        page = page_of(tmp_path / name, tiny_bundle, tmp_path / "record.html")
        assert "Not judged" in page
        assert ("<audio" in page) is (len(samples) > 0)


def test_an_explanation_is_in_the_page_when_it_was_asked_for(clip, tiny_bundle, tmp_path):
    assert page_of(clip, tiny_bundle, tmp_path / "a.html").count("<img") == 1
    words = ["detect", str(clip), "--model", str(tiny_bundle), "--explain", "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--quiet", "--report", str(tmp_path / "b.html")]) == 0
    page = html.unescape((tmp_path / "b.html").read_text(encoding="utf-8"))
    assert page.count("<img") == 2
    assert "what raises the fake scores" in page
    assert "need not be what was done to the recording, and proves nothing" in page


def test_channels_are_told_apart(tiny_bundle, tmp_path):
    sides = np.stack([voice(np.random.default_rng(0), 3), voice(np.random.default_rng(1), 3, fake_s=[(1, 2)])], axis=1)
    soundfile.write(tmp_path / "call.wav", sides, RATE)
    options = ["--model", str(tiny_bundle), "--channels", "each", "--quiet", "--report", str(tmp_path / "r.html")]
    assert cli.main(["detect", str(tmp_path / "call.wav"), *options]) == 0
    page = (tmp_path / "r.html").read_text()
    assert page.count("<audio") == 2
    assert "call.wav, channel 1" in page


def test_what_cannot_be_written_is_one_line(clip, tiny_bundle, tmp_path, capsys):
    options = ["--model", str(tiny_bundle), "--quiet", "--report", str(clip / "r.html")]
    assert cli.main(["detect", str(clip), *options]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert cli.main(["detect", str(clip), str(clip), *options]) == 2
    assert "--report: expected one recording, received 2" in capsys.readouterr().err


def test_the_meaning_of_an_operating_point_is_told_where_it_was_measured(clip, tiny_bundle, tmp_path):
    from dataclasses import replace

    detector = Detector(tiny_bundle)
    measured = {"genuine_clips": 209, "speakers": 112, "false_alarms": 0.0478, "low": 0.02, "high": 0.09}
    point = replace(detector.operating_point, name="5%", measured=measured)
    exhibit = Exhibit(clip, inspect(clip), read(clip), detector.detect(clip), "Hybrid")
    write_report(tmp_path / "r.html", [exhibit], bundle=detector.bundle, point=point, settings={})
    assert "of 209 genuine recordings of 112 speakers" in (tmp_path / "r.html").read_text()
