"""The model card, from end to end on a corpus small enough to judge in seconds; and what it must not depend on."""

from __future__ import annotations

import csv
import json
import re
import shutil
import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_model import RATE, THRESHOLDS, voice, write_tiny_bundle

from apps.cli.main import run_alone
from apps.pretraining import card, findings, sets
from audio.manifest import Clip, write_manifest
from audio.pages import markdown_cell
from model.bundle import OperatingPoint, read_bundle, write_bundle
from model.evaluation import scoring
from model.evaluation.figures import sample
from model.judging.detector import Detector

ROOT = Path(__file__).parents[2]
SECONDS = 3.5
FACTS = ("kind", "speaker", "sex", "language", "source_clip", "split", "ship", "licence", "origin")
STRANGE = "new | <b>"
"""An origin that would be markup."""

TREATED = ("noise_10db", "speed_0.9")
"""What is done to recordings here: the codecs take their time."""

RECIPE = "clips = 113\nseed = 5\nengines = []\nheld_out = []\n"
ORIGINS = [{"name": STRANGE, "licence": "CC BY 4.0", "label": "real", "clips": 7, "seconds": 90.0}]


def write_recording(path: Path, *, seed: int, fake_s: list[tuple[float, float]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = voice(np.random.default_rng(seed), SECONDS, fake_s=fake_s)
    soundfile.write(path, samples, RATE, subtype="PCM_16")


def rows_of(split: str, *, origin: str, ship: str = "yes") -> list[dict[str, str]]:
    """Two genuine rows of each of two speakers, twins of them by the split's own generator, and a fake by another."""
    facts = {"split": split, "ship": ship, "licence": "CC0", "language": "en"}
    found = []
    for number in range(4):
        path = f"real/{split}-{number}.flac"
        who = {"speaker": f"{split}:{number % 2}", "sex": "FM"[number % 2], **facts}
        fake = {"generator": f"vocoder-{split}", "kind": "vocoder", "origin": "lab", "source_clip": path}
        found += [{**who, "path": path, "label": "real", "origin": origin}]
        found += [{**who, **fake, "path": path.replace("real/", "fake/"), "label": "fake"}]
    fake = {"generator": f"tts-{split}", "kind": "tts", "origin": "lab", "speaker": "nobody"}
    return [*found, {**facts, **fake, "path": f"fake/{split}.flac", "label": "fake"}]


def write_table(path: Path, columns: tuple[str, ...], rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, restval="")
        table.writeheader()
        table.writerows(rows)


def write_corpus(folder: Path) -> Path:
    """A corpus with every kind of row, and a table of partial fakes."""
    kinds = [("train", "heard", "yes"), ("dev", "heard", "yes"), ("test", STRANGE, "yes"), ("extra", "apart", "no")]
    rows = [row for split, origin, ship in kinds for row in rows_of(split, origin=origin, ship=ship)]
    for seed, row in enumerate(rows):
        write_recording(folder / row["path"], seed=seed, fake_s=[(0, SECONDS)] if row["label"] == "fake" else [])
    write_table(folder / "manifest.csv", ("path", "label", "generator", *FACTS), rows)
    partial = []
    for number in range(3):
        path = f"partial/{number}.flac"
        write_recording(folder / path, seed=100 + number, fake_s=[(1.0, 2.0)] if number else [])
        spans = [[0, 1, "real"], [1, 2, "fake"]] if number else []
        label = "hybrid" if number else "real"
        partial.append({"path": path, "label": label, "segments": json.dumps(spans), "speaker": f"partial:{number}"})
    write_table(folder / "partial_manifest.csv", ("path", "label", "segments", "speaker"), partial)
    return folder


def write_voices(folder: Path) -> Path:
    """What stands in for the prompts."""
    write_recording(folder / "a.wav", seed=200, fake_s=[])
    write_manifest(folder / "manifest.jsonl", [Clip("a.wav", "real", n_samples=round(SECONDS * RATE), speaker="voice")])
    return folder


def write_bundle_of_two_points(folder: Path) -> Path:
    """The tiny bundle, with a second operating point at which nothing is ever accused."""
    bundle = read_bundle(write_tiny_bundle(folder))
    measured = {"false_alarms_at_most": 0.01, "false_alarms": 0.0, "low": 0.0, "high": 0.02, "genuine_clips": 40}
    never = OperatingPoint("1%", 90.0, THRESHOLDS, measured)
    points = (*bundle.operating_points, never)
    write_bundle(replace(bundle, operating_points=points, training={"origins": ORIGINS}, licence="CC BY-SA 4.0"))
    return folder


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory):
    """Few hybrids, few things that are done to them, and few resamples."""
    recipe = tmp_path_factory.mktemp("recipe") / "hybrids.toml"
    recipe.write_text(RECIPE)
    every = sets.treatments()
    few = [treatment for treatment in every if treatment.name in TREATED]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sets, "RECIPE", recipe)
        patch.setattr(findings, "sample", partial(sample, n_resamples=50))
        for module in (sets, findings):
            patch.setattr(module, "treatments", lambda: few)
        yield


def run(folder: Path, *words: str) -> int:
    where = {"corpus": "corpus", "bundle": "bundle", "work": "work", "voices": "voices"}
    named = [word for name, place in where.items() for word in (f"--{name}", str(folder / place))]
    return run_alone(card, program="card", argv=[*named, "-j", "1", *words])


@pytest.fixture(scope="module")
def made(tmp_path_factory, small) -> Path:
    """A folder with corpus, bundle, card and all, that nobody changes."""
    folder = tmp_path_factory.mktemp("card")
    write_corpus(folder / "corpus")
    write_voices(folder / "voices")
    write_bundle_of_two_points(folder / "bundle")
    assert run(folder) == 0
    return folder


@pytest.fixture(scope="module")
def text(made) -> str:
    return (made / "bundle" / "MODEL_CARD.md").read_text("utf-8")


@pytest.fixture(scope="module")
def told(made) -> dict:
    return json.loads((made / "bundle" / "figures.json").read_text("utf-8"))


def test_it_begins_with_what_a_journalist_needs(text):
    """Catches a card that opens with tables, or says nothing about guilt."""
    first = text[: text.index("## Targets")]
    for words in ("evidence, not proof", "guilt", "**What it cannot tell**", "Of 100 genuine recordings"):
        assert words in first
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert [name.split()[0] for name in headings] == [
        *("In", "Targets", "Figures", "Calibration,", "When", "What", "Beside", "How"),
    ]


def test_every_figure_says_what_it_is_of(told):
    """Catches a bare number: no set, no class, no resolution, no size."""
    assert len(told["figures"]) > 100
    for figure in told["figures"]:
        assert figure["set"]
        assert figure["positive_class"] == "fake"
        assert (figure["resolution_ms"] == 20) == ("segment_eer" in figure["key"])
        assert figure["value"] is None or figure["n"] > 0
    keyed = [tuple(figure[name] for name in ("set", "part", "treatment", "point", "key")) for figure in told["figures"]]
    assert len(set(keyed)) == len(keyed)


def figure_of(told: dict, key: str, **where: str) -> dict:
    wanted = {"set": "rows", "part": "", "treatment": "", "point": "", "key": key, **where}
    return next(figure for figure in told["figures"] if all(figure[name] == wanted[name] for name in wanted))


def test_figures_are_of_the_sets_that_they_name(told):
    """Catches clips of another split, extra rows among the test rows, and truth that got lost on the way."""
    clips = {found["name"]: found["clips"] for found in told["sets"]}
    assert clips["rows"] == {"real": 4, "fake": 5, "hybrid": 0}
    assert clips["extra"] == {"real": 4, "fake": 5, "hybrid": 0}
    assert clips["partial"] == {"real": 1, "fake": 0, "hybrid": 2}
    assert clips["hybrids"] == clips["channel"] == {"real": 3, "fake": 3, "hybrid": 3}
    assert figure_of(told, "clip_eer")["value"] == 0.0  # the tiny network knows these fakes
    assert figure_of(told, "segment_eer_20ms", set="partial")["value"] < 0.05
    assert figure_of(told, "false_alarms")["high"] > 0.4  # four clips prove little


def test_the_operating_points_are_judged_apart(told, text):
    """Catches one point's figures under the name of another."""
    assert figure_of(told, "missed_fake")["value"] == 0.0
    assert figure_of(told, "missed_fake", point="1%")["value"] == 1.0
    assert "| 1% | 1 %; 0.0 % (0.0 to 2.0), 40 clips |" in text


def test_targets_stand_in_the_card_with_their_verdicts(told, text):
    """Catches a verdict in one file and another in the other; what was not measured counts as not reached."""
    verdicts = [target["verdict"] for target in told["targets"]]
    assert verdicts.count("not measured") == 3  # the codecs and the room that are left out here
    missed = verdicts.count("not measured") + verdicts.count("not reached")
    assert f"not reached: {missed} of {len(verdicts)}" in text
    for target in told["targets"]:
        measure = re.escape(markdown_cell(target["measure"]))
        assert re.search(rf"^\| {measure} \|.*\| {target['verdict']} \|$", text, re.MULTILINE)


def test_what_stands_in_a_manifest_is_no_markup(text):
    """Catches an origin that breaks a table, or brings a tag along."""
    rows = [line for line in text.splitlines() if "<b" in line]
    assert len(rows) == 3  # the corpus, training, attribution
    assert all(r"new \| \<b\>" in row for row in rows)


def test_the_card_names_no_place_and_no_time(made, text):
    """Catches somebody's folders, or a date that makes every card a new one."""
    figures = (made / "bundle" / "figures.json").read_text("utf-8")
    for written in (text, figures):
        assert str(made) not in written
        assert not re.search(r"/(home|tmp|root|Users)/", written)
    assert "command: `python -m apps.pretraining.card --corpus DIR`" in text


def test_a_second_run_judges_nothing_and_writes_the_same(made, monkeypatch):
    """Catches a card that forgets what it judged, and one that differs from run to run."""
    before = {name: (made / "bundle" / name).read_bytes() for name in ("MODEL_CARD.md", "figures.json")}
    monkeypatch.setattr(Detector, "detect", lambda *_: pytest.fail("was judged again"))
    for name in before:
        (made / "bundle" / name).unlink()
    assert run(made) == 0
    assert {name: (made / "bundle" / name).read_bytes() for name in before} == before


def copied(made: Path, folder: Path) -> Path:
    """Copy what a card is made of, and its cost, the one thing that is measured and not computed."""
    for name in ("corpus", "bundle", "voices"):
        shutil.copytree(made / name, folder / name)
    (folder / "work").mkdir()
    for kept in (made / "work").glob("cost-*.json"):
        shutil.copy(kept, folder / "work")
    return folder


def test_another_folder_gives_the_same_bytes(made, tmp_path):
    """Catches a path, an order or a time in the figures."""
    assert run(copied(made, tmp_path)) == 0
    for name in ("MODEL_CARD.md", "figures.json"):
        assert (tmp_path / "bundle" / name).read_bytes() == (made / "bundle" / name).read_bytes()


def test_dev_is_a_look_before(made, tmp_path, monkeypatch):
    """Catches a dev card that passes for the real one, and a look at test rows on the way."""
    copied(made, tmp_path)
    heard: list[str] = []
    read = scoring.read
    monkeypatch.setattr(scoring, "read", lambda path: heard.append(path.name) or read(path))
    monkeypatch.setattr(findings, "treatments", list)
    assert run(tmp_path, "--split", "dev") == 0
    assert any(name.startswith("dev") for name in heard)
    assert not [name for name in heard if name.startswith("test")]
    assert (tmp_path / "work" / "DEV_MODEL_CARD.md").read_text("utf-8").startswith("# DEV FIGURES, no model card")
    assert json.loads((tmp_path / "work" / "dev_figures.json").read_text("utf-8"))["split"] == "dev"
    assert (tmp_path / "bundle" / "MODEL_CARD.md").read_bytes() == (made / "bundle" / "MODEL_CARD.md").read_bytes()


# What goes wrong


def test_a_clip_that_cannot_be_judged_ends_it(made, tmp_path, capsys):
    """Catches a card that leaves out what it could not read."""
    copied(made, tmp_path)
    (tmp_path / "corpus" / "partial" / "1.flac").write_bytes(b"no recording")
    (tmp_path / "bundle" / "MODEL_CARD.md").unlink()
    assert run(tmp_path) == 1
    said = capsys.readouterr().err
    assert "partial/1.flac" in said
    assert "1 of 12 clips could not be judged" in said
    assert "Traceback" not in said
    assert not (tmp_path / "bundle" / "MODEL_CARD.md").exists()


def test_wrong_arguments_get_one_line(made, tmp_path, capsys):
    for words, status in ((("-j", "0"), 2), (("--corpus", str(tmp_path)), 1), (("--bundle", str(tmp_path)), 1)):
        assert run(made, *words) == status
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert len(said.splitlines()) == 1


def test_the_template_and_the_recipe_are_installed():
    """Catches a wheel whose card command has no template."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["apps.pretraining"]
    for path in (card.TEMPLATE, Path(sets.__file__).with_name("hybrids.toml")):
        assert path.is_file()
        assert any(path.match(pattern) for pattern in patterns)
