"""Sets with one planted bias each: the audit must find it, and only it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

import synth.audit
import synth.probe
from audio.errors import ManifestError, ToolkitError
from audio.manifest import Clip, read_set, write_manifest
from synth.__main__ import main
from synth.audit import (
    QUESTIONS,
    TOGETHER,
    WITHOUT_BANDWIDTH,
    Answer,
    Question,
    ask,
    audit_set,
    columns_of,
    measure_clips,
    sources_of,
)
from synth.probe import CHANCE, Column, Estimate
from synth.report import report_text, verdict

N_SOURCES = 40

Samples = np.ndarray
Saved = tuple[Samples, int, str, str]
"""Samples, rate in Hz, suffix, subtype: what a planted bias may change."""


def sound(source: int, label: str) -> Samples:
    """A second of noise below 5 to 6 kHz between quieter noise; all of a source measure nearly the same."""
    shape, rng = np.random.default_rng([7, source]), np.random.default_rng([8, source, len(label)])
    n_samples, start = int(shape.integers(11_000, 19_000)), int(shape.integers(1_000, 3_000))
    spectrum = np.fft.rfft(rng.normal(size=n_samples))
    spectrum[np.fft.rfftfreq(n_samples, 1 / 16_000) > shape.uniform(5_000, 6_000)] = 0
    noise = np.fft.irfft(spectrum, n_samples)
    gate = np.full(n_samples, 0.01)
    gate[start : n_samples - int(shape.integers(1_000, 3_000))] = 1.0
    found = 10 ** (shape.uniform(-34, -24) / 20) * noise / noise.std() * np.convolve(gate, np.hanning(160) / 80, "same")
    return found - found.mean() + shape.normal(scale=1e-4) + rng.normal(scale=1e-5)


def delayed(x: Samples, n_samples: int) -> Samples:
    """Begin with more of the quiet, and end as much earlier: the length stays."""
    return np.concatenate([x[:500], np.resize(x[100:500], n_samples), x[500 : x.size - n_samples]])


def faded_at(x: Samples, *places: int) -> Samples:
    """The same, with dips of 20 ms to nothing, so that what is done there makes no click."""
    faded = x.copy()
    for place in places:
        faded[place - 160 : place + 160] *= 1.0 - np.hanning(321)[:320]
    return faded


def with_dropout(x: Samples) -> Samples:
    faded = faded_at(x, 6_000, 6_640)
    faded[6_000:6_640] = 0.0
    return faded


def longer(x: Samples) -> Samples:
    faded = faded_at(x, 2_500, 8_000)
    return np.concatenate([faded[:8_000], faded[2_500:8_000], faded[8_000:]])


def louder(x: Samples) -> Samples:
    return x.mean() + 3.0 * (x - x.mean())


def narrower(x: Samples) -> Samples:
    spectrum = np.fft.rfft(x)
    spectrum[np.fft.rfftfreq(x.size, 1 / 16_000) > 4_700] = 0
    return np.fft.irfft(spectrum, x.size)


def resampled(x: Samples) -> Samples:
    """The same at 32 kHz, exactly: nothing above the old edge."""
    spectrum = np.zeros(x.size + 1, dtype=complex)
    spectrum[: x.size // 2 + 1] = 2 * np.fft.rfft(x)
    return np.fft.irfft(spectrum, 2 * x.size)


PLANTED: dict[str, tuple[Callable[[Samples], Saved], set[str]]] = {
    "nothing": (lambda x: (x, 16_000, "wav", "PCM_16"), set()),
    "longer": (lambda x: (longer(x), 16_000, "wav", "PCM_16"), {"duration_s"}),
    "louder": (lambda x: (louder(x), 16_000, "wav", "PCM_16"), {"level_dbfs", "peak_dbfs"}),
    "offset": (lambda x: (x + 0.003, 16_000, "wav", "PCM_16"), {"dc_offset"}),
    "early": (lambda x: (delayed(x, 1_500), 16_000, "wav", "PCM_16"), {"leading_silence_s", "trailing_silence_s"}),
    "narrower": (lambda x: (narrower(x), 16_000, "wav", "PCM_16"), {"bandwidth_hz"}),
    "dropouts": (lambda x: (with_dropout(x), 16_000, "wav", "PCM_16"), {"zero_run_s", "zero_share"}),
    "flac": (lambda x: (x, 16_000, "flac", "PCM_16"), {"container", "codec"}),
    "24 bits": (lambda x: (x, 16_000, "wav", "PCM_24"), {"bit_depth"}),
    "32 kHz": (lambda x: (resampled(x), 32_000, "wav", "PCM_16"), {"sample_rate_hz"}),
    "stereo": (lambda x: (np.stack([x, x], axis=1), 16_000, "wav", "PCM_16"), {"channels"}),
}


def save(root: Path, source: int, label: str, bias: str) -> Clip:
    """Write one clip: real ones plain, the others with the bias."""
    plant = PLANTED[bias if label != "real" else "nothing"][0]
    samples, rate_hz, suffix, subtype = plant(sound(source, label))
    path = f"{label}/{source:03d}.{suffix}"
    (root / label).mkdir(parents=True, exist_ok=True)
    soundfile.write(root / path, samples, rate_hz, subtype=subtype)
    joins = [{"kind": "hard"}] if source % 2 else []
    return Clip(path, label, sources=({"path": f"{source}.wav"},), splice={"joins": joins})


def save_set(root: Path, bias: str, *, labels: tuple[str, ...] = ("real", "fake")) -> Path:
    clips = [save(root, source, label, bias) for source in range(N_SOURCES) for label in labels]
    write_manifest(root / "manifest.jsonl", clips)
    return root


@pytest.fixture(autouse=True)
def fewer_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare time: the biases planted here are too plain for the last digit of an AUC to matter."""
    monkeypatch.setattr(synth.probe, "RESAMPLES", 150)
    monkeypatch.setattr(synth.probe, "REPEATS", 1)


@pytest.fixture
def only_single_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the seconds that all facts together take."""
    monkeypatch.setattr(synth.audit, "joint_estimate", lambda columns, trial: CHANCE)


@pytest.mark.usefixtures("only_single_facts")
@pytest.mark.parametrize("bias", PLANTED)
def test_finds_the_planted_bias_and_only_that(tmp_path: Path, bias: str) -> None:
    """Catches a fact that is measured wrongly, seen by no view, or moved by what it is not about."""
    place, clips = read_set(save_set(tmp_path, bias))
    answer = ask(QUESTIONS[0], clips, columns_of(measure_clips(place, clips)))
    assert {finding.name for finding in answer.alarms} == PLANTED[bias][1]
    assert answer.counts == (N_SOURCES, N_SOURCES)
    assert answer.n_sources == N_SOURCES


@pytest.fixture(scope="module")
def biased(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set whose fakes and hybrids are louder, with a broken file and a missing one."""
    root = save_set(tmp_path_factory.mktemp("sets") / "biased & <set>", "louder", labels=("real", "fake", "hybrid"))
    (root / "fake" / "000.wav").write_text("no sound")
    (root / "hybrid" / "001.wav").unlink()
    return root


def test_the_command_on_a_biased_set(biased: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches a table that a broken file prevents, an exit code that says nothing, and a page that loads things."""
    page = tmp_path / "page.html"
    before = sorted(biased.rglob("*"))
    code = main(["audit", str(biased), "--out", str(page), "--fail-over", "0.65", "-j", "1"])
    said = capsys.readouterr().out
    assert code == 3
    alarms = [line.split()[0] for line in said.splitlines() if line.endswith(" *")]
    assert alarms == ["level_dbfs", "peak_dbfs", "together", "together"] * 2
    assert "ALARM: hybrid has more" in said
    assert "fake/000.wav: " in said
    assert "hybrid/001.wav: " in said
    assert "118 clips, 2 cannot be read" in said
    text = page.read_text("utf-8")
    assert text.count("data:image/png") >= 5
    assert "biased &amp; &lt;set&gt;" in text
    assert "http" not in text.replace("http-equiv", "")
    assert sorted(biased.rglob("*")) == before


@pytest.mark.usefixtures("only_single_facts")
def test_exit_codes_and_json(biased: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["audit", str(biased), "--out", str(tmp_path), "-j", "1"]
    assert main([*arguments, "--json"]) == 1  # files that cannot be read
    found = json.loads(capsys.readouterr().out)
    assert [path.name for path in tmp_path.iterdir()] == ["audit-biased & <set>.html"]
    assert found["schema_version"] == 1
    assert set(found["unreadable"]) == {"fake/000.wav", "hybrid/001.wav"}
    fake = {finding["name"]: finding for finding in found["questions"][0]["findings"]}
    assert fake["level_dbfs"]["rank"]["auc"] == fake["level_dbfs"]["strength"] > 0.9
    assert fake["level_dbfs"]["alarm"]
    assert not fake["codec"]["alarm"]
    assert found["questions"][2]["classes"] == {"no join": 59, "join": 59}
    assert main([*arguments, "--fail-over", "1"]) == 1


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--fail-over", "0.4"], 2, "--fail-over: expected 0.5 to 1"),
        (["--seed", "-1"], 2, "--seed: expected 0 or more"),
        (["-j", "0"], 2, "workers: expected at least 1"),
    ],
)
def test_mistakes(biased: Path, more: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(biased), *more]) == code
    assert said in capsys.readouterr().err


def test_a_clean_set_and_two_processes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Catches alarms by chance, processes that measure otherwise, and a question that a folder cannot answer."""
    root = save_set(tmp_path, "nothing")
    (root / "manifest.jsonl").unlink()
    with caplog.at_level(logging.WARNING):
        report = audit_set(root, workers=2)
    assert report.alarms == []
    assert verdict(report) == "No alarm for real vs fake."
    said = report_text(report)
    assert "real vs hybrid: not asked: expected at least 10 clips of each class, received 0 (40 real, 0 hybrid)" in said
    assert "no join vs join: not asked: the manifest holds no splice plans" in said
    place, clips = read_set(root)
    again = columns_of(measure_clips(place, clips))
    assert all(np.array_equal(a.values, b.values, equal_nan=True) for a, b in zip(report.columns, again, strict=True))


def test_nothing_to_audit(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no recordings found"):
        audit_set(tmp_path)
    write_manifest(tmp_path / "manifest.jsonl", [Clip("a.wav", "real")])
    with pytest.raises(ToolkitError, match="none of 1 files can be read"):
        audit_set(tmp_path)


def columns(n: int, **facts: np.ndarray) -> list[Column]:
    """The named facts, and two that tell nothing."""
    rng = np.random.default_rng(11)
    idle = {"duration_s": rng.normal(size=n), "dc_offset": rng.normal(size=n)}
    return [Column(name, values) for name, values in {**idle, **facts}.items()]


def spliced(n: int) -> list[Clip]:
    return [Clip(f"hybrid/{i}.wav", "hybrid", splice={"joins": [{"kind": "hard"}] * (i % 2)}) for i in range(n)]


def test_an_alarm_of_all_facts_names_those_it_leans_on() -> None:
    """Catches an alarm that nobody can act on: neither level nor peak tells anything, their difference does."""
    rng = np.random.default_rng(12)
    clips = spliced(200)
    level = rng.normal(-26.0, 8.0, 200)
    crest = 13.0 + 2.0 * (np.arange(200) % 2) + 0.7 * rng.normal(size=200)
    answer = ask(QUESTIONS[2], clips, columns(200, level_dbfs=level, peak_dbfs=level + crest))
    assert [finding.name for finding in answer.alarms] == [WITHOUT_BANDWIDTH, TOGETHER]
    assert set(answer.alarms[0].leans_on) == {"level_dbfs", "peak_dbfs"}


def test_bandwidth_is_judged_apart() -> None:
    """Catches the bandwidth counted among all facts, and judged by their limit."""
    rng = np.random.default_rng(13)
    shifted = rng.normal(size=400) + 0.48 * (np.arange(400) % 2)
    answer = ask(QUESTIONS[2], spliced(400), columns(400, bandwidth_hz=shifted))
    found = {finding.name: finding for finding in answer.findings}
    assert 0.60 < found["bandwidth_hz"].strength <= 0.65
    assert found[WITHOUT_BANDWIDTH].strength < 0.58
    assert answer.alarms == []


def test_clips_without_a_plan_are_not_asked_about_joins() -> None:
    clips = [*spliced(40), *(Clip(f"real/{i}.wav", "real") for i in range(10))]
    answer = ask(QUESTIONS[2], clips, columns(50))
    assert answer.counts == (20, 20)
    assert answer.sides[40:] == (None,) * 10


@pytest.mark.parametrize(
    ("rank", "learned", "strength", "alarm"),
    [
        (Estimate(0.30, 0.25, 0.35), CHANCE, 0.70, True),
        (Estimate(0.62, 0.49, 0.75), CHANCE, 0.62, False),  # the interval holds 0.5
        (Estimate(0.59, 0.55, 0.63), CHANCE, 0.59, False),  # within the limit
        (CHANCE, Estimate(0.70, 0.65, 0.75), 0.70, True),
        (CHANCE, Estimate(0.30, 0.25, 0.35), 0.50, False),  # learned, and wrong: nothing was found
        (None, Estimate(0.62, 0.55, 0.70), 0.62, True),
    ],
)
def test_when_a_finding_is_an_alarm(rank: Estimate | None, learned: Estimate, strength: float, alarm: bool) -> None:
    finding = synth.audit.Finding("x", 0.60, 0.05, learned, rank)
    assert finding.strength == pytest.approx(strength)
    assert (finding.alarm is not None) is alarm
    assert synth.audit.Finding("x", 0.60, 0.25, learned, rank).alarm is None  # the set is too small for it


def test_clips_of_one_recording_go_together() -> None:
    """Catches twins, and their original, in training and in test."""
    clips = [
        Clip("real/a.wav", "real"),
        Clip("fake/1.wav", "fake", source_clip="real/a.wav"),
        Clip("fake/2.wav", "fake", source_clip="a"),  # by name alone
        Clip("hybrid/3.wav", "hybrid", sources=({"path": "ann/x.wav"}, {"path": "ann/y.wav"})),
        Clip("real/4.wav", "real", sources=({"path": "ann/x.wav"},)),
        Clip("fake/5.wav", "fake", sources=({"kind": "spoken"},)),
        Clip("fake/a.wav", "fake"),
    ]
    a, x = "real/a.wav", "ann/x.wav"
    assert sources_of(clips) == [a, a, a, x, x, "fake/5.wav", "fake/a.wav"]


def test_questions_have_names_of_their_own() -> None:
    assert len({question.name for question in QUESTIONS}) == len(QUESTIONS)
    assert all(isinstance(question, Question) for question in QUESTIONS)
    assert Answer(QUESTIONS[0], (True, None, False, False)).counts == (2, 1)
