"""Exports of a real network: the same answers at every length, whole folders or none, and bundles that judge."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from keras_bundle import FEATURES, WINDOW, write_keras_bundle

from audio.errors import ModelError, UsageError
from audio.segments import n_frames
from model.bundle import Bundle, read_bundle
from model.features import log_mel
from model.judging.detector import Detector
from model.judging.runtime import Network, open_network, runtime_of
from model.judging.sessions import litert_session
from model.training import exporting
from model.training.exporting import MADE, export_bundle, export_name
from model.training.formats import FORMATS
from model.training.proof import made_sounds

pytest.importorskip("ai_edge_litert", reason="LiteRT is missing: pip install ai-edge-litert")

ROOT = Path(__file__).parents[3]
EXPORTS = [
    ("onnx", False),
    ("onnx", True),
    ("litert", False),
    ("litert", True),
    ("keras", False),
    ("saved_model", False),
]
FRAMES = [1, 2, 49, 200, 50, 51, 1, 500]
"""Lengths in an order that a runtime which keeps something of the window before would stumble over."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    return write_keras_bundle(tmp_path_factory.mktemp("exporting") / "bundle")


@pytest.fixture(scope="module")
def exports(bundle, tmp_path_factory) -> dict[tuple[str, bool], Path]:
    """Each export that there is."""
    place = tmp_path_factory.mktemp("exports")
    folders = {key: place / export_name(bundle, key[0], int8=key[1]) for key in EXPORTS}
    for (name, int8), folder in folders.items():
        export_bundle(bundle, folder, name=name, int8=int8, recordings=made_sounds(bundle), source=MADE)
    return folders


def window(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, frames)).standard_normal((frames, FEATURES.n_mels)).astype(np.float32)


def assert_close(one, other, atol: float) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


# What an export answers.


@pytest.mark.parametrize(("name", "int8"), EXPORTS)
def test_every_export_answers_as_the_bundle_at_every_length(bundle, exports, name, int8):
    ours = Network(bundle.onnx_path)
    made = FORMATS[name]
    theirs = Network(exports[name, int8] / made.artefact, made.open)
    for frames in FRAMES:
        features = window(frames)
        assert_close(theirs.run(features), ours.run(features), atol=0.2 if int8 else 2e-5)


@pytest.mark.parametrize("n_samples", [6_400, WINDOW - 1, WINDOW, WINDOW + 1, 10 * WINDOW])
def test_litert_judges_windows_of_clips_of_every_length(bundle, exports, n_samples):
    features = log_mel(np.random.default_rng(n_samples).standard_normal(n_samples), FEATURES)
    frames, logits = open_network(read_bundle(exports["litert", False]), "litert").run(features)
    assert len(frames) == n_frames(n_samples, 320)
    assert_close((frames, logits), Network(bundle.onnx_path).run(features), atol=2e-5)


def test_a_detector_with_litert_says_what_one_with_onnx_says(bundle, exports):
    ours, theirs = Detector(bundle.path), Detector(exports["litert", False])
    for samples in made_sounds(bundle):
        one, other = ours.detect(samples), theirs.detect(samples)
        assert one.label == other.label is not None
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
        np.testing.assert_allclose(one.frame_scores, other.frame_scores, atol=1e-5)


def test_litert_has_a_batch_of_one_and_open_time(exports):
    from ai_edge_litert.interpreter import Interpreter

    details = Interpreter(model_path=str(exports["litert", False] / "model.tflite")).get_input_details()
    assert [list(each["shape_signature"]) for each in details] == [[1, -1, FEATURES.n_mels]]


def test_a_litert_window_gives_the_same_bits_whatever_ran_before(exports):
    network = open_network(read_bundle(exports["litert", False]))
    alone = network.run(window(50))
    network.run(100 * window(7))
    assert_close(network.run(window(50)), alone, atol=0)


def test_threads_may_share_a_litert_network(exports):
    network = open_network(read_bundle(exports["litert", False]))
    windows = [window(20 + seed % 5, seed) for seed in range(60)]
    alone = [network.run(features) for features in windows]
    with ThreadPoolExecutor(6) as pool:
        for together, expected in zip(pool.map(network.run, windows), alone, strict=True):
            assert_close(together, expected, atol=0)


@pytest.mark.parametrize("features", [np.zeros((40, 7), np.float32), np.zeros((40, 16)), np.zeros((0, 16), np.float32)])
def test_litert_refuses_features_of_another_shape(exports, features):
    """The interpreter itself would read beyond them."""
    with pytest.raises(ModelError, match=r"failed on features .*expected float32"):
        open_network(read_bundle(exports["litert", False])).run(features)


def test_litert_is_silent_and_needs_no_tensorflow(exports):
    code = (
        "import sys, numpy as np; from pathlib import Path; from model.judging.runtime import open_network;"
        " from model.bundle import read_bundle;"
        f" open_network(read_bundle(sys.argv[1])).run(np.ones((30, {FEATURES.n_mels}), np.float32));"
        " print('tensorflow' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(exports["litert", False])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


# What lies in the folder.


@pytest.mark.parametrize("name", ["onnx", "litert"])
def test_int8_is_smaller_and_says_so(bundle, exports, name):
    whole, small = (read_bundle(exports[name, int8]) for int8 in (False, True))
    file = FORMATS[name].artefact
    assert (small.path / file).stat().st_size < 0.9 * (whole.path / file).stat().st_size
    assert (whole.name, small.name) == ("small", "small-int8")
    features = window(50)
    frames, expected = (open_network(each).run(features)[0] for each in (small, whole))
    assert 1e-5 < np.abs(frames - expected).max() < 0.05


def test_an_export_is_judged_by_the_runtime_it_is_for(bundle, exports):
    assert [runtime_of(read_bundle(exports[name, True])) for name in ("onnx", "litert")] == ["onnx", "litert"]
    assert runtime_of(bundle) == "onnx"
    rounded = read_bundle(exports["litert", True])
    features = window(50)
    exact = Network(bundle.onnx_path).run(features)[0]
    assert np.abs(open_network(rounded).run(features)[0] - exact).max() > 1e-5
    np.testing.assert_array_equal(open_network(rounded, "onnx").run(features)[0], exact)


def test_keras_goes_without_its_optimiser_and_stays_the_trained_network(bundle, exports):
    import keras

    path = exports["keras", False] / "model.keras"
    assert path.stat().st_size < 0.7 * bundle.keras_path.stat().st_size
    network = keras.saving.load_model(path)
    assert network.output["frames"].shape == (None, None, 1)  # as losses and fine-tuning know it
    assert network.trainable_variables


@pytest.mark.parametrize(("name", "int8"), EXPORTS)
def test_the_report_names_what_a_stranger_needs(bundle, exports, name, int8):
    folder = exports[name, int8]
    report = json.loads((folder / "export.json").read_text())
    assert (report["format"], report["int8"], report["schema_version"]) == (name, int8, 1)
    assert report["bundle"] == json.loads((bundle.path / "bundle.json").read_text())
    assert report["proof"]["recordings"] == "made"
    assert report["proof"]["clips"] == 6
    assert (report["input"], report["outputs"]) == ("features", ["frames", "clip_logits"])
    assert set(report["versions"]) >= {"python", "numpy", "onnxruntime"}
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    assert report["size_bytes"] == sum(files[file].stat().st_size for file in report["sha256"])
    assert (files.keys() >= {"bundle.json", "model.onnx", "model.keras"}) == (name in ("onnx", "litert"))


def test_making_them_left_nothing_behind(exports):
    """Catches folders beside their place, and a handler at the root that would repeat every line of ours."""
    place = exports["onnx", False].parent
    assert {path.name for path in place.iterdir()} == {folder.name for folder in exports.values()}
    ours = [handler for handler in logging.getLogger().handlers if type(handler) is logging.StreamHandler]
    assert ours == []


# What is refused.


def test_an_export_that_errs_leaves_nothing(bundle, tmp_path, monkeypatch):
    wrong = write_keras_like(tmp_path / "wrong.onnx")
    broken = replace(FORMATS["onnx"], write=lambda _bundle, path, _int8: path.write_bytes(wrong.read_bytes()))
    monkeypatch.setattr(exporting, "FORMATS", {"onnx": broken})
    out = tmp_path / "place" / "out"
    with pytest.raises(ModelError, match=r"model\.onnx: expected at most 0\.0001 from the bundle\. Received: 0\.\d+$"):
        export_bundle(bundle, out, name="onnx", int8=False, recordings=made_sounds(bundle))
    assert list(out.parent.iterdir()) == []


def write_keras_like(path: Path) -> Path:
    """A network with our input and outputs, and other answers: every frame 0.9."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("ReduceMean", ["features", "last"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "level"], ["frames"]),
    ]
    tensors = {"last": np.array([2]), "zero": np.float32([0]), "level": np.float32([0.9])}
    tensors["clip_logits"] = np.float32([[0, 0, 0]])
    signature = [("features", ["batch", "time", 16]), ("frames", ["batch", "frames"]), ("clip_logits", [1, 3])]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in signature]
    constants = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "wrong", infos[:1], infos[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_an_earlier_export_is_replaced_when_the_new_one_is_proved_and_not_before(bundle, tmp_path):
    out = tmp_path / "out"
    export_bundle(bundle, out, name="onnx", int8=False, recordings=made_sounds(bundle))
    before = (out / "model.onnx").read_bytes()
    with pytest.raises(ModelError, match="nothing to compare"):
        export_bundle(bundle, out, name="onnx", int8=True, recordings=[])
    assert (out / "model.onnx").read_bytes() == before
    export_bundle(bundle, out, name="onnx", int8=True, recordings=made_sounds(bundle))
    assert (out / "model.onnx").read_bytes() != before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_of_somebody_else_is_refused(bundle, tmp_path):
    (tmp_path / "thesis.txt").write_text("two years of work")
    for taken in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(UsageError, match="--out: expected a new folder, or one of an earlier export"):
            export_bundle(bundle, taken, name="onnx", int8=False, recordings=made_sounds(bundle))
    assert (tmp_path / "thesis.txt").read_text() == "two years of work"


@pytest.mark.parametrize("name", ["keras", "saved_model"])
def test_formats_without_int8_say_so(bundle, tmp_path, name):
    with pytest.raises(UsageError, match=f"--int8: expected --format onnx or litert, received {name}"):
        export_bundle(bundle, tmp_path / "out", name=name, int8=True, recordings=[])


def test_unknown_formats_are_named(bundle, tmp_path):
    with pytest.raises(UsageError, match="expected one of onnx, litert, keras, saved_model, received 'coreml'"):
        export_bundle(bundle, tmp_path / "out", name="coreml", int8=False, recordings=[])


def test_int8_is_not_exported_again(exports, tmp_path):
    with pytest.raises(ModelError, match="it is int8 already"):
        export_bundle(read_bundle(exports["onnx", True]), tmp_path / "out", name="litert", int8=False, recordings=[])


def test_a_bundle_whose_keras_file_is_none_is_one_line(tiny_bundle, tmp_path):
    tiny = read_bundle(tiny_bundle)
    with pytest.raises(ModelError, match=r"model\.keras: expected a network of Keras: ") as caught:
        export_bundle(tiny, tmp_path / "out", name="litert", int8=False, recordings=made_sounds(tiny))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "int8", "missing", "told"),
    [
        ("saved_model", False, "keras", "pip install tensorflow keras"),
        ("onnx", True, "onnxruntime.quantization", "pip install onnx"),
        ("litert", False, "ai_edge_litert.interpreter", "pip install ai-edge-litert"),
    ],
)
def test_a_missing_package_gives_the_install_command(bundle, tmp_path, monkeypatch, name, int8, missing, told):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ModelError, match=f"'{told}'$"):
        export_bundle(bundle, tmp_path / "out", name=name, int8=int8, recordings=made_sounds(bundle))
    assert list(tmp_path.iterdir()) == []


def test_a_name_leads_to_no_other_folder(bundle):
    assert export_name(replace(bundle, name="../../home"), "onnx", int8=True) == "export-.._.._home-onnx-int8"


def test_a_changed_litert_file_is_named(exports, tmp_path):
    import shutil

    folder = Path(shutil.copytree(exports["litert", False], tmp_path / "copy"))
    other = exports["litert", True] / "model.tflite"
    (folder / "model.tflite").write_bytes(other.read_bytes())
    with pytest.raises(ModelError, match=r"model\.tflite: does not match its hash"):
        open_network(read_bundle(folder))
    (folder / "model.tflite").unlink()
    with pytest.raises(ModelError, match="expected a bundle that was exported for this runtime"):
        open_network(read_bundle(folder))


def test_another_litert_network_is_named(exports, tmp_path):
    import tensorflow as tf

    double = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec((1,), tf.float32)])
    module = tf.Module()
    module.call = double
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures={"serving_default": double.get_concrete_function()})
    path = tmp_path / "double.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved")).convert())
    with pytest.raises(ModelError, match=r"double\.tflite: expected input features and outputs frames, clip_logits"):
        litert_session(path)
