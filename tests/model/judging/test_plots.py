"""The picture: what it shows, on one time axis, in bounded memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_model import RATE, voice

from audio.errors import ToolkitError
from audio.segments import Segment
from model.features import mel_power
from model.judging import plots
from model.judging.detector import Detector

pyplot = pytest.importorskip("matplotlib.figure", reason="matplotlib is missing: pip install matplotlib")


@pytest.fixture(scope="module")
def judged(tiny_bundle):
    samples = voice(np.random.default_rng(0), 5.3, fake_s=[(1, 1.6), (3, 3.5)])
    return samples, Detector(tiny_bundle).detect(samples)


def drawn(samples, detection, explanation=None):
    figure = pyplot.Figure(**plots._LAYOUT)
    plots._draw(figure, samples, detection=detection, title="clip: $5 & more", explanation=explanation)
    return figure


def test_all_panels_share_one_time_axis_in_seconds(judged):
    figure = drawn(*judged)
    wave, mel, curve = figure.axes
    for axes in (wave, mel, curve):
        assert axes.get_xlim() == (0.0, pytest.approx(5.3))
    assert mel.images[0].get_extent()[:2] == [0.0, pytest.approx(5.3, abs=0.02)]
    (scores,) = (patch for patch in curve.patches if hasattr(patch, "get_data"))
    assert scores.get_data().edges[-1] == pytest.approx(5.3)


def test_the_map_of_an_explanation_lies_under_what_it_explains(judged, tiny_bundle):
    """Catches a map on another axis of time or frequency, and one that a scale beside it pushes aside."""
    samples, detection = judged
    explanation = Detector(tiny_bundle).explain(samples, detection)
    figure = drawn(samples, detection, explanation)
    wave, mel, cells, scale = figure.axes
    assert all(axes.get_xlim() == (0.0, pytest.approx(5.3)) for axes in (wave, mel, cells))
    assert cells.get_ylim() == mel.get_ylim()
    assert cells.get_yticks().tolist() == mel.get_yticks().tolist()
    (mesh,) = cells.collections
    np.testing.assert_allclose(mesh.get_coordinates()[0, :, 0], explanation.columns_s)
    np.testing.assert_array_equal(mesh.get_array(), explanation.effects.T)
    assert mesh.get_clim() == (pytest.approx(-np.abs(explanation.effects).max()), pytest.approx(-mesh.get_clim()[0]))
    assert len(cells.lines) == len(mel.lines) == 2 * 2 * len(detection.segments)
    figure.draw_without_rendering()
    edges = [axes.get_position().intervalx.tolist() for axes in (wave, mel, cells)]
    assert edges[0] == edges[1] == edges[2]
    assert "proves nothing" in scale.get_xlabel()


def test_an_explanation_reads_in_grey(judged, tiny_bundle):
    """For fake is lighter than nothing, for real is darker."""
    explanation = Detector(tiny_bundle).explain(*judged)
    (mesh,) = drawn(*judged, explanation).axes[2].collections
    most = mesh.get_clim()[1]
    dark, middle, light = mesh.to_rgba([-most, 0.0, most])[:, :3] @ [0.299, 0.587, 0.114]  # luma of ITU-R BT.601
    assert dark < middle - 0.2 < middle + 0.2 < light
    assert np.ptp(mesh.to_rgba([0.0])[0, :3]) < 0.05, "nothing has a colour"


def test_an_empty_explanation_is_drawn(judged, tiny_bundle, tmp_path):
    samples, detection = judged
    explanation = replace(Detector(tiny_bundle).explain(samples, detection), effects=np.zeros((27, 16), np.float32))
    path = tmp_path / "clip.png"
    plots.save_picture(path, samples, detection=detection, title="clip", explanation=explanation)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_spans_are_hatched_not_only_coloured(judged):
    samples, detection = judged
    wave, mel, curve = drawn(samples, detection).axes
    for axes in (wave, curve):
        hatched = [patch for patch in axes.patches if patch.get_hatch()]
        assert [patch.get_x() for patch in hatched] == [span.start_s for span in detection.segments]
    assert len(mel.lines) == 2 * 2 * len(detection.segments)
    assert [text.get_text() for text in wave.texts] == [f"fake {s.confidence:.2f}" for s in detection.segments]


def test_many_spans_leave_the_spectrogram_visible(judged):
    samples, detection = judged
    spans = tuple(Segment(1_000 * i, 1_000 * i + 500, confidence=0.9) for i in range(80))
    wave, mel, curve = drawn(samples, replace(detection, spans=spans, ends=())).axes
    assert (len(mel.lines), len(wave.texts)) == (0, 0)
    assert not any(patch.get_hatch() for axes in (wave, curve) for patch in axes.patches)
    assert len(wave.patches) == 80


def test_the_waveform_keeps_a_single_loud_sample():
    """Drawing every hundredth sample would lose it."""
    samples = np.zeros(60 * RATE, dtype=np.float32)
    samples[123_457] = 0.9
    axes = pyplot.Figure().subplots()
    plots._draw_waveform(axes, samples)
    assert axes.dataLim.y1 == pytest.approx(0.9)


@pytest.mark.parametrize("n_samples", [1, 319, 16_000, 16_001, 31 * RATE + 77])
def test_the_spectrogram_in_blocks_equals_the_whole(n_samples):
    samples = np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)
    decibels, seconds = plots.mel_picture(samples)
    columns = -(-n_samples // 320)
    per_column = max(1, columns // plots.COLUMNS)
    padded = np.pad(samples, (0, columns * 320 - n_samples))
    power = mel_power(padded, plots.MEL).reshape(-1, 2 * per_column, plots.MEL.n_mels).max(axis=1)
    np.testing.assert_allclose(decibels, 10 * np.log10(power / power.max()), atol=1e-3)
    assert seconds == pytest.approx(len(padded) / RATE)


def test_a_long_spectrogram_has_as_many_columns_as_a_screen():
    decibels, seconds = plots.mel_picture(np.zeros(200 * RATE, np.float32))
    assert plots.COLUMNS <= len(decibels) <= 2 * plots.COLUMNS
    assert seconds >= 200
    assert np.isfinite(decibels).all()


@pytest.mark.parametrize("n_samples", [1, 100, 3_000, 16_000])
def test_recordings_not_judged_are_drawn_too(tiny_bundle, tmp_path, n_samples):
    samples = np.zeros(n_samples, np.float32)
    detection = Detector(tiny_bundle).detect(samples)
    path = tmp_path / "new" / "clip.png"
    plots.save_picture(path, samples, detection=detection, title="clip")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [entry.name for entry in path.parent.iterdir()] == ["clip.png"]
    assert [text.get_text() for text in drawn(samples, detection).axes[2].texts] == ["not judged"]


def test_a_folder_that_cannot_be_made(judged, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ToolkitError, match="the picture cannot be written"):
        plots.save_picture(tmp_path / "file" / "clip.png", judged[0], detection=judged[1], title="clip")


def test_no_screen(judged, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    import matplotlib

    monkeypatch.setattr(matplotlib, "get_backend", lambda: "agg")
    matplotlib.use("agg")
    with pytest.raises(ToolkitError, match="no screen"):
        plots.show_picture(judged[0], detection=judged[1], title="clip")
