"""`script.py insight`: from a set to its findings."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_model import RATE, voice

from apps.cli import insight, main
from audio.labels import FAKE, HYBRID, REAL
from audio.manifest import Clip, write_manifest
from audio.reading import write_wav
from model.classical.handmade import NAMES

OUTPUTS = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve genuine clips of six speakers, their copies with a band above 6 kHz, a hybrid, and a broken file."""
    found = tmp_path_factory.mktemp("set")
    clips = []
    for k in range(12):
        sex = {"sex": "FM"[k % 2]} if k < 10 else {}
        for label, fake_s in ((REAL, []), (FAKE, [(0, 1)])):
            path = f"{label}/{k}.wav"
            (found / label).mkdir(exist_ok=True)
            write_wav(found / path, voice(np.random.default_rng(k), 1.0, fake_s=fake_s))
            maker = {"generator": f"g{k % 2}", "source_clip": f"real/{k}.wav"} if label == FAKE else {}
            language = "en" if k % 3 else "de"
            clips.append(Clip(path, label, speaker=f"s{k % 6}", language=language, traits=sex, **maker))
    (found / "real" / "broken.wav").write_bytes(b"none")
    clips += [Clip("real/broken.wav", REAL, speaker="s9"), Clip("hybrid.wav", HYBRID, speaker="s9")]
    write_manifest(found / "manifest.jsonl", clips)
    return found


@pytest.fixture(scope="module")
def found(folder, tmp_path_factory):
    """What a run leaves: its status, the JSON, and the folder."""
    out = tmp_path_factory.mktemp("out")
    document = out / "paper.md"
    document.write_text("before\n<!-- insight begin -->\n<!-- insight end -->\nafter\n")
    words = ["insight", "--data", folder, "--out", out, "--markdown", document]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("model.classical.insight.N_SHUFFLES", 1)
        status = main.main([str(word) for word in words])
    return status, json.loads((out / "insight.json").read_text()), out


def test_the_outputs_are_documented(found):
    """Catches a field that docs/outputs.md does not name, and one that it names and nobody gets."""
    told = OUTPUTS.split("\n## `insight.json`, version 1")[1].split("\n## ")[0]
    cells = [line.split(" | ")[0] for line in told.splitlines() if line.startswith("| `")]
    assert [name for cell in cells for name in re.findall(r"`(\w+)`", cell)] == list(found[1])
    line, feature = found[1]["aspects"][0], found[1]["features"][0]
    assert all(f"`{name}`" in told for name in (*line, *line["change"], *feature, *found[1]["importance"]))


def test_a_bad_file_is_told_and_left_out(found):
    status, told, _ = found
    assert status == 1
    assert list(told["failed"]) == ["real/broken.wav"]
    assert told["clips"] in ({"real": 11, "fake": 12}, {"real": 12, "fake": 12})  # it may have been drawn
    assert told["left_out"]["hybrids"] == 1


def test_what_was_put_in_is_found(found):
    """Catches classes that were swapped, and pairs that were not joined."""
    _, told, _ = found
    aspects = {line["key"]: line for line in told["aspects"]}
    assert aspects["high_level"]["d"] > 2
    assert aspects["high_level"]["low"] > 1
    assert aspects["high_level"]["auc"] == 1.0
    assert aspects["high_level"]["change"]["n"] == told["pairs"] == 12
    assert aspects["high_level"]["change"]["rises"] == 1.0
    assert [line["d"] > 1 for line in told["bands"]][-3:] == [True] * 3
    assert told["importance"]["folds_by"] == "by speaker"
    assert np.mean(told["importance"]["auc"]) > 0.9
    assert len(told["features"]) == len(NAMES)
    assert set(told["parts"]["sex"]) == {"F", "M"}
    assert set(told["parts"]["language"]) <= {"de", "en"}
    for line in told["parts"]["generator"]["g0"]:
        assert (line["n_real"], line["n_fake"]) in {(told["clips"]["real"], 6), (0, 0)}, line["key"]


def test_the_files_are_there(found):
    _, told, out = found
    with (out / "features.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == list(NAMES)
    assert float(rows[0]["mutual_information"]) == told["features"][0]["mutual_information"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("<img") == 4 + len(told["parts"])
    document = (out / "paper.md").read_text(encoding="utf-8")
    assert document.startswith("before\n")
    pictures = re.findall(r"\]\((paper/[\w-]+\.png)\)", document)
    assert len(pictures) == 4
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_as_many_of_each_class_in_turn_and_whatever_the_order():
    """Catches a generator with many clips that crowds out the others."""
    clips = [Clip(f"r{k}", REAL, speaker=f"s{k % 3}") for k in range(9)]
    clips += [Clip(f"f{k}", FAKE, generator="many" if k < 20 else f"g{k}") for k in range(24)]
    drawn = insight.drawn(clips, most=12, seed=1)
    assert [clip.label for clip in drawn] == [REAL] * 6 + [FAKE] * 6
    assert {clip.generator for clip in drawn[6:]} == {"many", "g20", "g21", "g22", "g23"}
    assert insight.drawn(clips[::-1], most=12, seed=1) == drawn
    assert insight.drawn(clips, most=12, seed=2) != drawn


def test_pairs_are_drawn_whatever_the_order():
    """Catches pairs that are simply the first of a set, which may all be of one speaker."""
    clips = [Clip(f"r{k:02d}", REAL) for k in range(20)]
    clips += [Clip(f"f{k:02d}", FAKE, source_clip=f"r{k:02d}") for k in range(20)]
    clips.append(Clip("lost", FAKE, source_clip="elsewhere"))
    chosen = insight.some_pairs(clips, most=6, seed=1)
    assert len(chosen) == 6
    assert chosen != clips[20:26]
    assert insight.some_pairs(clips[::-1], most=6, seed=1) == chosen
    assert len(insight.some_pairs(clips, most=50, seed=1)) == 20


@pytest.mark.parametrize("n_makers", [1, 2, 5])
def test_nobody_is_on_both_sides_of_a_fold(n_makers):
    """Catches folds that share a voice, or a generator where there are enough of them."""
    clips = [Clip(f"r{k}", REAL, speaker=f"s{k % 12}") for k in range(48)]
    clips += [Clip(f"f{k}", FAKE, speaker=f"s{k % 12}", generator=f"g{k // 12 % n_makers}") for k in range(60)]
    folds, what = insight._folds(clips, seed=0)
    assert what == ("by speaker and generator" if n_makers > 2 else "by speaker")
    assert len(folds) == 5
    for fitted, tested in folds:
        sides = [[clip for clip, inside in zip(clips, side, strict=True) if inside] for side in (fitted, tested)]
        assert not {clip.speaker for clip in sides[0]} & {clip.speaker for clip in sides[1]}
        if n_makers > 2:
            assert not ({c.generator for c in sides[0]} & {c.generator for c in sides[1]}) - {""}


def test_copies_of_an_unknown_speaker_stay_with_their_original():
    from model.classical.findings import voice as named

    original = Clip("a.wav", REAL)
    copy = Clip("b.wav", FAKE, source_clip="a.wav")
    assert named(original) == named(copy) != named(replace(original, path="c.wav"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--clips 3", "--clips: expected 8 or more, received 3"),
        ("--split dev", "--split dev: expected 4 real clips or more, received 0"),
        ("--markdown no.md", "--markdown: expected a document with the two marks, received no.md"),
    ],
)
def test_wrong_usage_is_one_line(folder, capsys, words, told):
    assert main.main(["insight", "--data", str(folder), *words.split()]) == 2
    assert told in capsys.readouterr().err


def test_a_set_that_cannot_be_measured_is_one_line(tmp_path, capsys):
    for k in range(4):
        for label in (REAL, FAKE):
            (tmp_path / label).mkdir(exist_ok=True)
            write_wav(tmp_path / label / f"{k}.wav", np.zeros(RATE, dtype=np.float32))
    assert main.main(["insight", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "expected 4 real clips that can be measured, received 0" in capsys.readouterr().err
    assert not (tmp_path / "out" / "report.html").exists()
