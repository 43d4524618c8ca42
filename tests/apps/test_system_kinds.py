"""One contract for every kind of system: whatever `--model` holds, judging is the same thing."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from system_kinds import KINDS, WINDOW, copied, write_kinds
from tiny_model import voice

from apps.cli import train
from apps.cli.main import main, run_alone
from audio.errors import ModelError, UsageError
from audio.labels import LABELS
from audio.reading import write_wav
from audio.segments import n_frames
from model import Detection, Detector
from model.bundle import read_bundle
from model.judging.scan import How

OTHERS = tuple(kind for kind in KINDS if kind != "network")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    return write_kinds(tmp_path_factory.mktemp("kinds"))


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return voice(np.random.default_rng(3), 5.3, fake_s=[(2, 3)])


@pytest.fixture(scope="module")
def clip(tmp_path_factory, samples) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.wav"
    write_wav(path, samples)
    return path


def same(one: Detection, other: Detection) -> None:
    assert one.to_row("x") == other.to_row("x")
    np.testing.assert_array_equal(one.frame_scores, other.frame_scores)


@pytest.mark.parametrize("kind", KINDS)
def test_the_result_is_of_the_same_kind(runs, kind, clip, samples, capsys):
    """Catches a system whose rows, scores or frames are not what every other one's are."""
    assert main(["detect", str(clip), "--model", str(runs[kind]), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    network = Detector(runs["network"]).detect(samples)
    assert row.keys() == network.to_row("x").keys()
    found = Detector(runs[kind]).detect(samples)
    assert found.label in LABELS
    assert sum(found.probabilities.values()) == pytest.approx(1.0)
    assert (found.frame_scores.dtype, found.frame_scores.shape) == (np.float32, network.frame_scores.shape)
    assert 0.0 <= found.frame_scores.min() < found.frame_scores.max() <= 1.0


@pytest.mark.parametrize("kind", OTHERS)
def test_it_learned_where_the_fake_is(runs, kind, samples):
    """Catches classes the wrong way round: the hiss above 6 kHz that marks the fake second is hard to miss."""
    scores = Detector(runs[kind]).detect(samples).frame_scores
    assert scores[105:145].mean() > scores[:90].mean() + 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_every_length_works_alone_and_in_pieces(runs, kind, samples):
    """Catches a score that depends on how a recording arrived, and a length at which a system falls over."""
    detector = Detector(runs[kind])
    for n_samples in (0, 1, 6_399, 6_400, WINDOW - 1, WINDOW, WINDOW + 1, WINDOW + 320, len(samples)):
        whole = detector.detect(samples[:n_samples])
        assert whole.abstained or len(whole.frame_scores) == n_frames(n_samples, 320)
        listener = detector.listener()
        for first in range(0, n_samples, 7_001):
            listener.hear(samples[first : min(first + 7_001, n_samples)])
        same(detector.conclusion(*listener.finish()), whole)


def _detect(detector: Detector, samples: np.ndarray) -> Detection:
    return detector.detect(samples)


def test_each_travels_to_another_process(runs, samples):
    """Catches fitted models that pickle, or do not load in a fresh interpreter."""
    detectors = [Detector(runs[kind]) for kind in KINDS]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for detector, there in zip(detectors, pool.map(_detect, detectors, [samples] * len(KINDS)), strict=True):
            same(detector.detect(samples), there)


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_file_is_refused_in_one_line(runs, kind, tmp_path):
    folder = copied(runs[kind] / "bundle", tmp_path / "spoilt")
    for name in read_bundle(folder).files:
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        with pytest.raises(ModelError, match="does not match its hash") as caught:
            Detector(folder)
        assert "\n" not in str(caught.value)
        (folder / name).write_bytes(kept)
    Detector(folder)


class Harmful:
    """What a pickle can do."""

    def __reduce__(self):
        return Path.touch, (Path("harmed"),)


def _skops_of_other_types() -> bytes:
    import skops.io

    return skops.io.dumps({"clf": Harmful(), "call": np.testing.assert_equal})


def _skops_of_another_pipeline() -> bytes:
    import skops.io
    from sklearn.pipeline import make_pipeline
    from sklearn.tree import DecisionTreeClassifier

    return skops.io.dumps(make_pipeline(DecisionTreeClassifier()).fit([[0.0], [1.0]], [0, 1]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: pickle.dumps(Harmful()), "expected a model written by skops"),
        (lambda: b"\x89HDF\r\n\x1a\n" + bytes(100), "expected a model written by skops"),
        (_skops_of_other_types, "expected a model written by skops"),
        (_skops_of_another_pipeline, "expected a pipeline of"),
    ],
)
@pytest.mark.parametrize("kind", ["forest", "xgboost", "stack"])
def test_what_calls_itself_a_model_is_refused_hash_and_all(runs, kind, content, message, tmp_path, monkeypatch):
    """Catches loading whatever somebody put there; nothing of it may run."""
    monkeypatch.chdir(tmp_path)
    folder = copied(runs[kind] / "bundle", tmp_path / "spoilt")
    (folder / "frames.skops").write_bytes(content())
    _rehash(folder, "frames.skops")
    with pytest.raises(ModelError, match=message) as caught:
        Detector(folder)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "harmed").exists()


def _rehash(folder: Path, name: str) -> None:
    card = json.loads((folder / "bundle.json").read_text())
    card["hashes"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(card))


def test_broken_trees_and_unknown_features_are_refused_in_one_line(runs, tmp_path):
    folder = copied(runs["xgboost"] / "bundle", tmp_path / "trees")
    (folder / "clip.json").write_text('{"learner": {}}')
    _rehash(folder, "clip.json")
    with pytest.raises(ModelError, match=r"clip\.json: expected trees of XGBoost") as caught:
        Detector(folder)
    assert "\n" not in str(caught.value)
    folder = copied(runs["svm"] / "bundle", tmp_path / "features")
    card = json.loads((folder / "bundle.json").read_text())
    card["system"]["heads"]["clip"]["features"][0] = "aura"
    (folder / "bundle.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="missing or unknown: 'aura'"):
        Detector(folder)


@pytest.mark.parametrize("name", ["model.pkl", "model.h5", "model.skops"])
def test_a_file_is_no_model(clip, name, tmp_path, caplog):
    (tmp_path / name).write_bytes(pickle.dumps(Harmful()))
    assert main(["detect", str(clip), "--model", str(tmp_path / name)]) == 1
    assert "expected the folder of a model bundle, received a file" in caplog.text


@pytest.mark.parametrize("kind", ["forest", "stack"])
def test_what_only_networks_do_is_one_line(runs, kind, clip, tmp_path, caplog):
    model = str(runs[kind])
    for arguments in (
        ["detect", str(clip), "--model", model, "--explain", "--out", str(tmp_path)],
        ["detect", str(clip), "--model", model, "--runtime", "onnx"],
        ["export", "--format", "onnx", "--model", model, "--out", str(tmp_path / "export")],
    ):
        caplog.clear()
        assert main(arguments) == 2, arguments
        assert "expected a network, received the" in caplog.text
    data = str(runs["network"].parent / "tiny")
    assert run_alone(train, program="train", argv=["--data", data, "--from-pretrained", model]) == 2
    detector, samples = Detector(runs[kind]), voice(np.random.default_rng(3), 2)
    found = detector.detect(samples)
    with pytest.raises(UsageError, match="explain: expected a network"):
        detector.explain(samples, found)


@pytest.mark.parametrize("kind", ["logistic", "stack"])
def test_a_scan_and_an_evaluation_know_a_model_by_its_bytes(runs, kind, clip, tmp_path):
    table = tmp_path / "results.csv"
    model = ["--model", str(runs[kind])]
    assert main(["scan", str(clip), "--out", str(table), "-j", "1", *model]) == 0
    assert main(["scan", str(clip), "--out", str(table), "-j", "1", "--model", str(runs["forest"])]) == 1
    assert How(runs[kind]).settings() != How(runs["forest"]).settings()
    data, out = str(runs["network"].parent / "tiny"), str(tmp_path / "report")
    assert main(["evaluate", "--manifest", data, "--out", out, "--resamples", "2", "-j", "1", *model]) == 0


def test_judging_with_hand_made_features_loads_no_tensorflow_and_no_librosa(runs, clip):
    """And a network is judged without scikit-learn."""
    heavy = {"tensorflow", "keras", "librosa", "sklearn", "xgboost", "skops", "matplotlib", "scipy"}
    look = f"import sys; from apps.cli.main import main; heavy = {heavy!r}\n"
    for kind in ("network", "forest"):
        look += f"main({['detect', str(clip), '--quiet', '--model', str(runs[kind])]!r})\n"
        look += "print(*sorted(heavy & set(sys.modules)))\n"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines() == ["", "scipy sklearn skops"], done.stderr


def test_a_missing_package_says_how_to_get_it(runs, monkeypatch):
    monkeypatch.setitem(sys.modules, "xgboost", None)
    monkeypatch.setitem(sys.modules, "xgboost.core", None)
    with pytest.raises(ModelError, match="need xgboost, which is missing: install it with 'pip install "):
        Detector(runs["xgboost"])
    Detector(runs["forest"])
