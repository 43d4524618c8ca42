"""`script.py metrics`: other people's score files, judged by the same code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from apps.cli.main import main
from model.metrics import Recording, asv_errors, equal_error_rate, gather, min_dcf, min_tdcf

N = 90


def protocol(folder: Path, *, name: str = "labels.txt", first: int = 0, seed: int = 0) -> tuple[Path, np.ndarray]:
    """An ASVspoof 2019 protocol of six speakers; which of its clips are fake."""
    is_fake = np.random.default_rng(seed).random(N) < 0.6
    lines = [f"S{i % 6} U_{first + i:04d} - {'A07 spoof' if fake else '- bonafide'}" for i, fake in enumerate(is_fake)]
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path, is_fake


def scored(folder: Path, is_fake: np.ndarray, *, name: str = "scores.txt", first: int = 0, seed: int = 1):
    """Scores that are higher for real, in another order than the labels."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal(N) - 1.5 * is_fake
    lines = [f"U_{first + i:04d} {float(scores[i])!r}" for i in rng.permutation(N)]
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path, scores


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    status = main(["metrics", *map(str, arguments)])
    said = capsys.readouterr()
    return status, said.out, said.err


def figures(out: str) -> dict[str, float | None]:
    return {figure["key"]: figure["value"] for figure in json.loads(out)["figures"]}


@pytest.fixture
def files(tmp_path):
    labels, is_fake = protocol(tmp_path)
    scores, values = scored(tmp_path, is_fake)
    return scores, labels, is_fake, values


def test_polarity_is_turned_and_ids_are_joined(files, capsys):
    """Catches scores taken in file order, or left with real on top: EER 0.77 instead of 0.23."""
    scores, labels, is_fake, values = files
    status, out, err = run(capsys, "--scores", scores, "--labels", labels, "--higher", "real", "--json")
    assert status == 0
    assert figures(out)["clip_eer"] == pytest.approx(equal_error_rate(is_fake, -values))
    assert figures(out)["min_dcf"] == pytest.approx(min_dcf(is_fake, -values))
    assert "high scores mean real (as told)" in err


def test_polarity_is_never_guessed(files, capsys):
    """Catches the field's classic: 95 % accuracy at telling fakes for real."""
    status, out, err = run(capsys, "--scores", files[0], "--labels", files[1])
    assert (status, out) == (2, "")
    assert "--higher" in err
    status, out, err = run(capsys, "--scores", files[0], "--labels", files[1], "--higher", "fake", "--json")
    assert status == 0
    assert figures(out)["clip_eer"] > 0.6
    assert "check the polarity" in err


def test_no_threshold_without_dev(files, capsys):
    """Catches a threshold that was chosen on the tested scores."""
    _, out, _ = run(capsys, "--scores", files[0], "--labels", files[1], "--higher", "real", "--json")
    assert not {"hter", "fpr", "fnr"} & figures(out).keys()


def test_thresholds_come_from_the_dev_scores(files, tmp_path, capsys):
    labels, is_fake = protocol(tmp_path, name="dev.lab", first=5_000, seed=5)
    dev, dev_values = scored(tmp_path, is_fake, name="dev.txt", first=5_000, seed=6)
    told = ("--scores", files[0], "--labels", files[1], "--higher", "real", "--json")
    status, out, _ = run(capsys, *told, "--dev-scores", dev, "--dev-labels", labels)
    assert status == 0
    threshold = json.loads(out)["operating"]["clip_threshold"]
    assert threshold in -dev_values
    called = -files[3] >= threshold
    expected = (called[~files[2]].mean() + (~called)[files[2]].mean()) / 2
    assert figures(out)["hter"] == pytest.approx(expected)


@pytest.mark.parametrize("copied", [False, True])
def test_thresholds_from_what_is_tested_are_refused(files, tmp_path, capsys, copied):
    """Catches the same file, and the same clips in a copy of it."""
    dev = files[0]
    if copied:
        dev = tmp_path / "copy.txt"
        dev.write_bytes(files[0].read_bytes())
    told = ("--scores", files[0], "--labels", files[1], "--higher", "real")
    status, out, err = run(capsys, *told, "--dev-scores", dev, "--dev-labels", files[1])
    assert (status, out) == (2, "")
    assert "--dev-scores: expected" in err


def test_dev_scores_need_dev_labels(files, capsys):
    status, _, err = run(
        capsys, "--scores", files[0], "--labels", files[1], "--higher", "real", "--dev-scores", files[0]
    )
    assert status == 2
    assert "expected both or none" in err


def test_tandem_cost_with_a_verification_system(files, tmp_path, capsys):
    rng = np.random.default_rng(3)
    asv = {"target": rng.normal(6, 1, 50), "nontarget": rng.normal(-2, 1, 80), "spoof": rng.normal(4, 2, 60)}
    path = tmp_path / "asv.txt"
    lines = [f"{'A07' if kind == 'spoof' else 'bonafide'} {kind} {x!r}" for kind in asv for x in asv[kind].tolist()]
    path.write_text("\n".join(lines))
    told = ("--scores", files[0], "--labels", files[1], "--higher", "real", "--json", "--asv-scores", path)
    _, out, _ = run(capsys, *told)
    errors = asv_errors(asv["target"], asv["nontarget"], spoof=asv["spoof"])
    assert figures(out)["min_tdcf"] == pytest.approx(min_tdcf(files[2], -files[3], asv=errors))


def test_frames_give_cells_and_with_a_dev_threshold_spans(tmp_path, capsys):
    """Catches frames at the wrong time, and spans at a threshold that nobody chose."""
    rng = np.random.default_rng(0)
    made = {}
    for name, first in (("dev", 100), ("test", 0)):
        labels, lines, recordings = [], [], []
        for i in range(first, first + 12):
            fake = i % 2
            frames = np.round(rng.standard_normal(100) * 0.3 + 2 * fake * (np.arange(100) >= 50), 3)
            lines += [f"c{i} {k * 0.02:.2f} {(k + 1) * 0.02:.2f} {v}" for k, v in enumerate(frames)]
            spans = "0.000-1.000-bonafide 1.000-2.000-spoof" if fake else "0.000-2.000-bonafide"
            labels.append(f"c{i} 2.000 {'spoof' if fake else 'bonafide'} {spans}")
            recordings.append((frames, fake))
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
        (tmp_path / f"{name}.lab").write_text("\n".join(labels))
        made[name] = recordings
    told = ("--scores", tmp_path / "test.txt", "--labels", tmp_path / "test.lab", "--higher", "fake", "--json")
    _, out, _ = run(capsys, *told)
    assert "span_f1" not in figures(out)
    from audio.segments import Segment

    truth = [Recording(f, 320, 32_000, [Segment(16_000, 32_000)] if fake else []) for f, fake in made["test"]]
    cells = gather(truth, cell_samples=1_280)
    assert figures(out)["segment_eer_80ms"] == pytest.approx(equal_error_rate(cells.is_fake, cells.scores))
    _, out, _ = run(capsys, *told, "--dev-scores", tmp_path / "dev.txt", "--dev-labels", tmp_path / "dev.lab")
    assert figures(out)["span_f1"] > 0.95
    assert figures(out)["onset_error_median_s"] < 0.03


def test_missing_scores_are_an_error_unless_allowed(files, capsys):
    lines = files[0].read_text().splitlines()
    files[0].write_text("\n".join(lines[5:]))
    told = ("--scores", files[0], "--labels", files[1], "--higher", "real")
    status, out, err = run(capsys, *told)
    assert (status, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    status, out, err = run(capsys, *told, "--allow-missing", "--json")
    assert status == 0
    assert json.loads(out)["clips"]["real"] + json.loads(out)["clips"]["fake"] == N - 5
    assert "5" in err


def test_the_page_and_the_json_beside_it(files, tmp_path, capsys):
    told = ("--scores", files[0], "--labels", files[1], "--higher", "real", "--out", tmp_path / "out")
    status, out, _ = run(capsys, *told)
    assert status == 0
    assert "EER, real against fake and hybrid" in out
    kept = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert kept["clips"] == {"real": int((~files[2]).sum()), "fake": int(files[2].sum()), "hybrid": 0}
    assert kept["intervals"]["clustered_by"] == "speaker"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "min t-DCF" not in page
    assert "SHA-256" in page


def test_mistakes_are_one_line(files, tmp_path, capsys):
    status, _, err = run(capsys, "--scores", tmp_path / "none.txt", "--labels", files[1], "--higher", "real")
    assert status == 1
    assert len(err.strip().splitlines()) == 1
    (tmp_path / "strange.lab").write_text("once upon a time there was a clip\n")
    status, _, err = run(capsys, "--scores", files[0], "--labels", tmp_path / "strange.lab", "--higher", "real")
    assert status == 1
    assert len(err.strip().splitlines()) == 1
