"""A bundle of every kind of system, each fitted in a second to a set of `tiny_set`; networks as in `tiny_model`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tiny_model import FEATURES, write_tiny_bundle
from tiny_set import write_tiny_set

from model.bundle import CLASSICAL, Bundle
from model.classical.embeddings import ONNX_FILE, OUTPUTS, open_embeddings
from model.classical.pipelines import EMBEDDINGS, SYSTEMS, Recipe
from model.training.classical import BATCH, ClassicalSettings, fit_classical, fitted, gather_rows, half, write_heads
from model.training.examples import Augmentation, Batches, TrainingSet, Window, read_set
from model.training.stacking import StackSettings, train_stack

N_WINDOWS = 36

KINDS = ("network", *SYSTEMS, "stack")
SELECTED = {"svm": "mutual-information", "logistic": "pca", "forest": "none", "knn": "correlation", "xgboost": "none"}
"""How the features of each system are selected: each way at least once."""

WINDOW = 32_000
"""That of `tiny_model`."""


def write_kinds(folder: Path) -> dict[str, Path]:
    """Write a run of each kind, and the set `tiny` they were trained on; return their folders by kind."""
    data = write_tiny_set(folder / "tiny")
    train = read_set(data, seed=1).split("train")
    runs = {"network": folder / "network"}
    write_tiny_bundle(runs["network"] / "bundle")
    for name in SYSTEMS:
        runs[name] = folder / name
        if name == EMBEDDINGS:
            write_embedded(train, runs[name] / "bundle")
            continue
        settings = ClassicalSettings(str(data), name, 1, window_s=2.0, windows=N_WINDOWS, selection=SELECTED[name])
        fit_classical(train, settings, runs[name] / "bundle", name=name)
        (runs[name] / "settings.json").write_text(json.dumps(settings.to_json()))
    two_speakers(data)
    members = (str(runs["logistic"]), str(runs["knn"]))
    runs["stack"] = folder / "stack"
    train_stack(runs["stack"], StackSettings(str(data), members, stack_folds=2, seed=1, windows=2 * N_WINDOWS))
    return runs


def two_speakers(data: Path) -> None:
    """Give half of the training clips to another speaker."""
    manifest = data / "manifest.jsonl"
    lines = manifest.read_text().splitlines()
    manifest.write_text(
        "\n".join(
            line.replace('"speaker": "train"', '"speaker": "other"') if i % 6 < 3 else line
            for i, line in enumerate(lines)
        )
        + "\n"
    )


def write_embedded(train: TrainingSet, folder: Path) -> Bundle:
    """Write a system over the embeddings of a network that hands on its bands; as `fit_classical`, without Keras."""
    folder.mkdir(parents=True)
    onnx.save(_bands(), folder / ONNX_FILE)
    n_bands = FEATURES.n_mels
    system = {"name": EMBEDDINGS, "embeddings": {"features": FEATURES.to_json(), "sizes": [n_bands, n_bands]}}
    bare = Bundle(folder, "bare", WINDOW, half(WINDOW), kind=CLASSICAL, files=(ONNX_FILE,), system=system)
    network = open_embeddings(bare)
    batches = Batches(train, Window(WINDOW, None), BATCH, 1, Augmentation())
    heads = fitted(gather_rows(batches, network.describe, n_windows=N_WINDOWS), Recipe(EMBEDDINGS, 1))
    facts = {"path": folder, "name": EMBEDDINGS, "window_samples": WINDOW, "step_samples": half(WINDOW)}
    names = (network.frame_names, network.clip_names)
    return write_heads({**facts, "kind": CLASSICAL}, heads, names, system=system, files=(ONNX_FILE,))


def _bands() -> onnx.ModelProto:
    """Frames: the mean of the feature frames of each 20 ms; clip: the mean of all."""
    shape = np.array([0, -1, FEATURES.frames_per_score, FEATURES.n_mels], dtype=np.int64)
    axes = {"axis_1": np.array([1], dtype=np.int64), "axis_2": np.array([2], dtype=np.int64), "shape": shape}
    nodes = [
        helper.make_node("Reshape", ["features", "shape"], ["split"]),
        helper.make_node("ReduceMean", ["split", "axis_2"], [OUTPUTS[0]], keepdims=0),
        helper.make_node("ReduceMean", ["features", "axis_1"], [OUTPUTS[1]], keepdims=0),
    ]
    sizes = (["batch", "time", FEATURES.n_mels], ["batch", "frames", FEATURES.n_mels], ["batch", FEATURES.n_mels])
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, size)
        for name, size in zip(("features", *OUTPUTS), sizes, strict=True)
    ]
    graph = helper.make_graph(
        nodes, "bands", tensors[:1], tensors[1:], [numpy_helper.from_array(v, n) for n, v in axes.items()]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def copied(bundle: Path, folder: Path) -> Path:
    """Copy a bundle, to be spoilt."""
    return Path(shutil.copytree(bundle, folder))
