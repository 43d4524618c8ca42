"""`script.py evaluate` as people run it: what it writes, what it refuses, and what it says when something is wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_set import N_SAMPLES, write_tiny_set

import apps.stress
from apps.cli import evaluate
from apps.cli import main as cli
from audio.errors import EngineError
from audio.labels import LABELS
from audio.manifest import read_manifest, resolve, write_manifest
from model.evaluation import report
from model.evaluation.joining import join
from model.evaluation.scorefiles import read_scores
from model.evaluation.scoring import Judge
from model.judging.detector import Detector

ROOT = Path(__file__).parents[2]
HEAVY = ("tensorflow", "keras", "librosa", "matplotlib", "scipy", "pydub", "sklearn", "pandas", "onnxruntime")
FILES = ["figures.json", "frames.txt.gz", "report.html", "scores.csv"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The folder of a tiny set that nobody changes."""
    return write_tiny_set(tmp_path_factory.mktemp("made") / "mine")


@pytest.fixture
def place(made, tmp_path) -> Path:
    """A copy of the tiny set."""
    return Path(shutil.copytree(made, tmp_path / "mine"))


@pytest.fixture
def quick(monkeypatch):
    """Leave out the page, whose pictures take their time, where it is not what is tested."""
    monkeypatch.setattr(report, "write_report", lambda path, found: path.write_text(found.name))


@pytest.fixture
def run(tiny_bundle, tmp_path, capsys):
    """Run the command in this process with the tiny model; give status, stdout and stderr."""

    def run_(*words: object, out: Path | None = tmp_path / "out", model: Path = tiny_bundle) -> tuple[int, str, str]:
        folder = [] if out is None else ["--out", str(out)]
        few = ["--model", str(model), "--resamples", "50", *folder]
        status = cli.main(["evaluate", *few, *map(str, words)])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, said.out, said.err

    return run_


def values(out: str) -> dict[str, float | None]:
    """The figures in what `--json` prints, by key."""
    return {figure["key"]: figure["value"] for figure in json.loads(out)["figures"]}


def refused(said: tuple[int, str, str]) -> str:
    """The one line of an error in usage."""
    status, out, err = said
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    return err.removeprefix("error: ").rstrip("\n")


def relabelled(place: Path, *, keep: str = "test", **facts: str) -> Path:
    """Write the clips of one split, under other facts, as a manifest of their own beside the first."""
    clips = [replace(clip, **facts) for clip in read_manifest(place / "manifest.jsonl") if clip.split == keep]
    write_manifest(place / "other.jsonl", clips)
    return place / "other.jsonl"


# From end to end


def test_everything_is_written_and_can_be_read(run, place, tiny_bundle, tmp_path):
    """Catches files that only the command itself understands, and figures that differ between them."""
    status, out, err = run("--manifest", place)
    assert (status, err) == (0, f"report: {tmp_path / 'out' / 'report.html'}\n")
    assert out.startswith("mine, test: 6 clips (2 real, 2 fake, 2 hybrid), 0.00 h, 1 speaker.")
    assert "\naccuracy " in out
    found = tmp_path / "out"
    assert sorted(path.name for path in found.iterdir() if path.suffix != ".jsonl") == FILES
    figures = json.loads((found / "figures.json").read_text())
    assert figures["facts"]["bundle SHA-256"]
    assert {figure["key"]: figure["value"] for figure in figures["figures"]}["accuracy"] == 1.0
    assert "<h1>Evaluation of mine, test</h1>" in (found / "report.html").read_text("utf-8")

    clips = {clip.path: clip for clip in read_manifest(place / "manifest.jsonl") if clip.split == "test"}
    scores, notes = join(read_scores(found / "scores.csv"), clips)
    frames, _ = join(read_scores(found / "frames.txt.gz"), clips, higher_is="fake")
    assert len(scores) == len(frames) == 6
    for whole, parts in zip(scores, frames, strict=True):
        said = Detector(tiny_bundle).detect(resolve(place / "manifest.jsonl", whole.clip))
        assert whole.probabilities == tuple(said.probabilities[label] for label in LABELS)
        assert parts.frame_scores.tobytes() == said.frame_scores.tobytes()
        assert (parts.hop_samples, parts.n_samples) == (320, N_SAMPLES)
    assert not [note for note in notes if "inverted" in note]


def test_json_is_one_object_on_stdout(run, place, tmp_path, quick):
    """Catches talk between the lines of data, and a file with other figures."""
    status, out, err = run("--manifest", place, "--json")
    assert status == 0
    assert len(out.splitlines()) == len(err.splitlines()) == 1
    assert json.loads(out) == json.loads((tmp_path / "out" / "figures.json").read_text())
    assert (json.loads(out)["schema_version"], json.loads(out)["name"]) == (1, "mine, test")


def test_a_second_run_judges_nothing(run, place, monkeypatch, quick):
    """Catches an evaluation that forgets, and one whose second run says something else."""
    first = run("--manifest", place)
    monkeypatch.setattr(Detector, "detect", lambda *_: pytest.fail("was judged again"))
    assert run("--manifest", place) == first
    assert run("--manifest", place, "--threshold-from", "none")[0] == 0


def test_where_the_report_goes_untold(run, place, tmp_path, monkeypatch, quick):
    """Catches evaluations of two splits, or of two sets, that write over each other."""
    monkeypatch.chdir(tmp_path)
    run("--manifest", place, out=None)
    run("--manifest", relabelled(place), "--split", "all", "--threshold-from", "none", out=None)
    assert sorted(path.name for path in (tmp_path / "outputs").iterdir()) == [
        "evaluation-mine-test",
        "evaluation-other-all",
    ]


def test_facts_name_no_folder_above(run, place, tmp_path, monkeypatch, quick):
    """Catches the names of a person's folders in a report that is given away."""
    monkeypatch.chdir(place)
    write_tiny_set(tmp_path / "dev set", seed=5)
    _, out, _ = run(
        "--manifest", "manifest.jsonl", "--threshold-from", tmp_path / "dev set", "--split", "test", "--json"
    )
    typed = "--manifest manifest.jsonl --model bundle --split test --threshold-from 'dev set' --resamples 50"
    assert json.loads(out)["facts"]["command"] == f"python script.py evaluate {typed}"
    assert str(tmp_path) not in out
    words = "a span opens at 0.6 and goes on from 0.4; gaps below 0.1 s are closed, then spans below 0.1 s dropped"
    assert json.loads(out)["facts"]["span thresholds"] == f"{words}; from the bundle"


@pytest.mark.parametrize(
    ("path", "name"),
    [("a/manifest.jsonl", "a"), ("a/manifest.csv", "a"), ("a/mine.csv", "mine"), ("LA.2019", "LA.2019"), (".", "here")],
)
def test_names_of_sets(tmp_path, monkeypatch, path, name):
    """Catches half a name for a folder with a dot in it, and no name for the folder where one is."""
    (tmp_path / "here" / "LA.2019").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert evaluate.set_name(Path(path)) == name


# Which clips


def test_splits(run, place, quick):
    """Catches the wrong clips under a split's name."""
    counts = {
        split: json.loads(run("--manifest", place, "--split", split, "--threshold-from", "none", "--json")[1])["clips"]
        for split in ("train", "dev", "test_unseen", "all")
    }
    assert {split: sum(count.values()) for split, count in counts.items()} == {
        **{"train": 12, "dev": 6, "test_unseen": 3, "all": 27}
    }


def test_a_split_that_is_not_there(run, place):
    """Catches figures over nothing, and an answer that does not say what there is."""
    said = refused(run("--manifest", place, "--split", "tset"))
    assert said == (
        "--split: expected one with clips (the set has train, dev, test, test_unseen) or all, received 'tset'"
    )
    other = relabelled(place, split="")
    assert "(the set has none)" in refused(run("--manifest", other, "--split", "test"))
    (place / "empty.jsonl").touch()
    assert "(the set has none)" in refused(run("--manifest", place / "empty.jsonl"))


def test_a_folder_without_a_manifest(run, place, quick):
    """Catches plain folders that need a manifest first: they have no splits, so all is tested."""
    (place / "manifest.jsonl").unlink()
    status, out, _ = run("--manifest", place, "--threshold-from", "none", "--json")
    told = json.loads(out)
    assert (status, told["name"], told["clips"]) == (0, "mine, all", dict.fromkeys(LABELS, 9))
    assert "of 9 clips nobody says where they are fake: left out of all figures of places" in told["warnings"]
    assert "the speakers are unknown" in told["warnings"][0]


def test_a_table(run, place, quick):
    rows = [f"{clip.path},{clip.label},{clip.split}" for clip in read_manifest(place / "manifest.jsonl")]
    (place / "manifest.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    (place / "manifest.jsonl").unlink()
    status, out, _ = run("--manifest", place, "--json")
    assert (status, json.loads(out)["name"], values(out)["accuracy"]) == (0, "mine, test", 1.0)


# Thresholds


def test_thresholds_come_from_dev(run, place, quick):
    """Catches a threshold chosen on the tested clips: here dev's is too high for them."""
    clips = read_manifest(place / "manifest.jsonl")
    swapped = {"real": "hybrid", "hybrid": "real"}
    for index, clip in enumerate(clips):
        if clip.split == "dev" and clip.label != "fake":
            clips[index] = replace(
                clip, label=swapped[clip.label], segments=clips[2].segments if clip.label == "real" else ()
            )
    write_manifest(place / "manifest.jsonl", clips)
    _, out, _ = run("--manifest", place, "--json")
    told = json.loads(out)
    assert told["operating"]["source"] == "dev (6 clips)"
    assert values(out)["clip_eer"] == 0.0
    assert values(out)["hter"] > 0.0


@pytest.mark.parametrize("where", ["test", "same recordings", "the set itself"])
def test_the_tested_clips_choose_nothing(run, place, tmp_path, where):
    """Catches figures at a threshold that was fitted to them: by name, by copies under other names, or by the same set
    without its splits."""
    source: Path | str = where
    if where == "same recordings":
        (tmp_path / "theirs" / "real").mkdir(parents=True)
        shutil.copyfile(place / "real" / "test-0.wav", tmp_path / "theirs" / "real" / "new name.wav")
        source = tmp_path / "theirs"
    elif where == "the set itself":
        source = relabelled(place, split="")
    said = refused(run("--manifest", place, "--threshold-from", source))
    assert said.startswith("--threshold-from: expected a set apart from the one that is tested, received ")
    assert "real/test-0.wav" in said
    assert not (tmp_path / "out" / "report.html").exists()


def test_no_dev_split(run, place, tmp_path):
    """Catches a traceback, or a threshold from nowhere, for the sets of other people."""
    said = refused(run("--manifest", relabelled(place, split="")))
    assert said.startswith("--threshold-from: the set has no dev split. Expected another set, for example the one that")
    assert said.endswith("or 'none', received 'dev'")
    (tmp_path / "empty.jsonl").touch()
    said = refused(run("--manifest", place, "--threshold-from", tmp_path / "empty.jsonl"))
    assert said == f"--threshold-from: expected a set with clips, received {tmp_path / 'empty.jsonl'}, which has none"


def test_dev_clips_of_one_kind(run, place):
    """Catches a threshold where there is nothing to tell apart."""
    clips = [c for c in read_manifest(place / "manifest.jsonl") if c.split != "dev" or c.label == "real"]
    write_manifest(place / "manifest.jsonl", clips)
    assert "expected scored clips, real ones and others, received one kind" in refused(run("--manifest", place))


def test_without_a_threshold(run, place, quick):
    """Catches errors at a threshold of the tested clips, or of 0.5, where nobody chose one."""
    _, out, _ = run("--manifest", place, "--threshold-from", "none", "--json")
    assert json.loads(out)["operating"] is None
    assert not {"hter", "fpr", "fnr", "act_dcf", "cllr", "segment_hter_20ms"} & set(values(out))
    assert {"accuracy", "clip_eer", "segment_eer_20ms", "span_f1"} <= set(values(out))


@pytest.mark.parametrize(("splits", "source"), [(True, "theirs, dev (6 clips)"), (False, "theirs (27 clips)")])
def test_another_set_chooses(run, place, tmp_path, quick, splits, source):
    """Catches the other set's test clips among those that choose, although it has a dev split."""
    other = write_tiny_set(tmp_path / "theirs", seed=7)
    if not splits:
        (other / "manifest.jsonl").unlink()
    status, out, _ = run("--manifest", place, "--threshold-from", other, "--json")
    told = json.loads(out)
    assert (status, told["operating"]["source"]) == (0, source)
    assert 0.0 < told["operating"]["clip_threshold"] < 1.0
    assert values(out)["hter"] == 0.0


def test_a_useless_dev_set(run, place, tmp_path):
    """Catches a traceback: where all scores are the same, the threshold of equal error is infinite."""
    for path in ("real/a.wav", "fake/b.wav"):
        (tmp_path / "theirs" / path).parent.mkdir(parents=True)
        shutil.copyfile(place / "real" / "dev-0.wav", tmp_path / "theirs" / path)
    said = refused(run("--manifest", place, "--threshold-from", tmp_path / "theirs"))
    assert said == "threshold from theirs: expected scores that differ, received the same throughout"


def test_clips_in_train_are_told(place):
    """Catches figures of speakers that the model was trained on, without a word."""
    clips = read_manifest(place / "manifest.jsonl")
    test = [clip for clip in clips if clip.split == "test"]
    assert evaluate.shared_warnings(clips, test) == []
    known = [replace(clip, speaker="test") if clip.split == "dev" else clip for clip in clips]
    (said,) = evaluate.shared_warnings(known, test)
    assert said == "1 speaker of the tested clips also in train or dev: the figures flatter"
    ending = "clips are among those tested: these are no test figures"
    assert evaluate.shared_warnings(clips, clips) == [f"dev and train {ending}"]
    train = [clip for clip in clips if clip.split == "train"]
    assert evaluate.shared_warnings(clips, train) == [f"train {ending}"]


# Recordings that cannot be judged


def test_an_unreadable_clip_fails_and_leaves_a_report(run, place, tmp_path):
    """Catches one file that takes everything with it, an exit status that hides it, and a file that nobody names."""
    (place / "fake" / "test-1.wav").write_bytes(b"no sound" * 99)
    (place / "fake" / "dev-1.wav").unlink()
    status, out, err = run("--manifest", place)
    assert status == 1
    *errors, last = err.splitlines()
    assert [line.startswith("error: ") for line in errors] == [True, True]
    assert "dev-1.wav" in errors[0]
    assert "test-1.wav" in errors[1]
    assert last.startswith("report: ")
    assert "warning: 1 clip could not be judged" in out
    told = json.loads((tmp_path / "out" / "figures.json").read_text())
    shares = {figure["key"]: figure["value"] for figure in told["figures"]}
    assert (shares["failed"], shares["accuracy"]) == (1 / 6, 5 / 6)
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".jsonl") == FILES
    assert "fake/test-1.wav,,,,," in (tmp_path / "out" / "scores.csv").read_text().splitlines()


def test_many_unreadable_clips_are_told_briefly(run, place, quick, two_corruptions):
    """Catches a hundred thousand lines where a folder is missing."""
    shutil.rmtree(place / "hybrid")
    shutil.rmtree(place / "fake")
    shutil.rmtree(place / "real")
    status, out, err = run("--manifest", place, "--split", "all", "--threshold-from", "none", "--stress")
    assert status == 1
    assert len(err.splitlines()) < 20
    assert "error: and 17 more like these" in err
    assert "27 clips could not be judged" in out


def test_wrong_numbers_are_refused(run, place):
    for words in (("-j", "0"), ("--resamples", "0")):
        assert refused(run("--manifest", place, *words))


# Corruptions


@pytest.fixture
def two_corruptions(monkeypatch):
    """Leave two cheap corruptions, one of which moves spans, and no TensorFlow."""
    kept = {name: apps.stress.CORRUPTIONS[name] for name in ("gain_-20db", "trim")}
    monkeypatch.setattr(apps.stress, "CORRUPTIONS", kept)
    monkeypatch.setattr(evaluate, "_perturbation", lambda judge: {})
    return kept


def test_stress_is_in_everything(run, place, tmp_path, two_corruptions):
    """Catches a corruption that is computed and not shown, and thresholds chosen anew on corrupted recordings."""
    status, out, err = run("--manifest", place, "--stress")
    assert (status, len(err.splitlines())) == (0, 1)
    told = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert [each["name"] for each in told["stress"]] == ["gain_-20db", "trim"]
    assert [each["verdicts"]["n_clips"] for each in told["stress"]] == [6, 6]
    quieter = {figure["key"]: figure["value"] for figure in told["stress"][0]["figures"]}
    assert (quieter["accuracy"], quieter["clip_eer"]) == (1.0, 0.0)
    (clean,) = [figure["note"] for figure in told["figures"] if figure["key"] == "hter"]
    again = [figure["note"] for each in told["stress"] for figure in each["figures"] if figure["key"] == "hter"]
    assert again == [clean, clean]
    lines = [line.split("  ")[0] for line in out.splitlines()]
    assert lines.count("gain_-20db") == lines.count("trim") == 2
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert all(corruption.words in page for corruption in two_corruptions.values())


def test_stress_tells_each_verdict(run, place, tmp_path, two_corruptions, quick):
    """Catches verdicts in the column of another corruption, and a row too few for a clip that cannot be read."""
    (place / "fake" / "test-1.wav").write_bytes(b"no sound" * 99)
    run("--manifest", place, "--stress")
    header, *rows = [line.split(",") for line in (tmp_path / "out" / "stress.csv").read_text("utf-8").splitlines()]
    assert header == ["path", "truth", "clean", "gain_-20db", "trim"]
    assert len(rows) == 6
    for path, truth, *verdicts in rows:
        assert verdicts == (["", "", ""] if path == "fake/test-1.wav" else [truth] * 3)


def test_stress_leaves_out_what_could_not_be_judged(run, place, two_corruptions, quick):
    """Catches a clip that is unreadable already counted among those that a corruption silenced."""
    (place / "fake" / "test-1.wav").write_bytes(b"no sound" * 99)
    status, out, _ = run("--manifest", place, "--stress", "--json")
    (quieter, _) = json.loads(out)["stress"]
    assert status == 1
    assert (quieter["verdicts"]["n_clips"], quieter["verdicts"]["silenced"]) == (5, 0)


def test_a_corruption_that_fails_is_told(run, place, two_corruptions, quick, monkeypatch):
    """Catches codecs that seem to silence every clip, on a machine that only lacks ffmpeg."""

    def broken(samples: list, seeds: list) -> list:
        if samples:
            raise EngineError("ffmpeg: not found")
        return []

    trim = replace(two_corruptions["trim"], change=broken)
    monkeypatch.setitem(apps.stress.CORRUPTIONS, "trim", trim)
    status, out, err = run("--manifest", place, "--stress")
    assert status == 0
    assert err.splitlines()[0] == "error: ffmpeg: not found"
    assert "warning: 6 of 6 clips could not be judged after the corruption trim" in out
    assert "undefined" in out


def test_no_tensorflow_is_one_warning(tiny_bundle, caplog, monkeypatch):
    """Catches an evaluation that dies at its end because TensorFlow is not there."""
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert evaluate._perturbation(Judge(tiny_bundle)) == {}
    (said,) = caplog.messages
    assert said.startswith("no gradient-sign perturbation: perturbing needs TensorFlow")


# Light parts stay light.


def test_help_is_light_and_shows_worked_examples():
    """Catches half a minute of imports before a line of help."""
    code = f"""
import sys
from apps.cli.main import main
try:
    main(["evaluate", "--help"])
except SystemExit as stopped:
    assert stopped.code == 0
print("heavy:", *[name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "heavy:"
    assert "  python script.py evaluate --manifest data/mine --model runs/mine\n" in done.stdout
    assert "exit status: " in done.stdout


def test_no_model_and_no_set(run, place, tmp_path):
    """Catches a traceback for a path with a slip of the pen."""
    status, out, err = run("--manifest", tmp_path / "gone")
    assert (status, out, len(err.splitlines())) == (1, "", 1)
    status, out, err = run("--manifest", place, model=tmp_path)
    assert (status in (1, 2), out, len(err.splitlines())) == (True, "", 1)
