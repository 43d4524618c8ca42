"""Bundles: what is written reads back, what is broken is named, and the right one is found."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from audio.errors import ModelError, UsageError
from model import bundle as bundles
from model.bundle import Bundle, Calibration, OperatingPoint, Thresholds, find_bundle, read_bundle, write_bundle
from model.features import FeatureConfig

GOLDEN = Path(__file__).parents[1] / "golden"

NONE = FeatureConfig()


@pytest.fixture
def bundle(tmp_path) -> Bundle:
    folder = tmp_path / "run" / "bundle"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"onnx")
    (folder / "model.keras").write_bytes(b"keras")
    made = Bundle(
        path=folder,
        name="mine",
        window_samples=64_000,
        step_samples=32_000,
        features=FeatureConfig(n_mels=40),
        calibration=Calibration(1.5, (0.0, -0.5, 0.25), (0.0, 2.0, 1.0)),
        operating_points=(
            OperatingPoint("5%", 0.75, Thresholds(enter=0.7, exit=0.5, min_fake_samples=320, min_gap_samples=0)),
            OperatingPoint("1%", 2.5, measured={"false_alarms": 0.01}),
        ),
        training={"set": "data/mine"},
        licence="CC0",
    )
    write_bundle(made)
    return made


def change(bundle: Bundle, **fields: object) -> None:
    card = json.loads((bundle.path / "bundle.json").read_text())
    (bundle.path / "bundle.json").write_text(json.dumps({**card, **fields}))


def test_round_trip(bundle):
    assert read_bundle(bundle.path) == bundle


def test_a_run_folder_stands_for_its_bundle(bundle):
    assert read_bundle(bundle.path.parent) == bundle


def test_a_frozen_bundle_of_schema_1_still_reads():
    frozen = read_bundle(GOLDEN / "bundle_v1")
    point = frozen.operating_point()
    assert (frozen.name, frozen.window_samples, point.thresholds.enter) == ("golden", 64_000, 0.6)
    assert (point.name, point.real_bias, frozen.calibration.biases) == ("balanced", 0.0, (0.0, 0.0, 0.0))
    assert frozen.features == FeatureConfig()


@pytest.mark.parametrize("version", [2, 3])
def test_frozen_bundles_of_later_schemas_still_read(version):
    frozen = read_bundle(GOLDEN / f"bundle_v{version}")
    point = frozen.operating_point("5%")
    assert (frozen.kind, frozen.files, frozen.licence) == ("network", ("model.onnx", "model.keras"), "CC0")
    assert (point.real_bias, point.temperatures, frozen.calibration.slopes) == (0.75, (1.0, 2.0, 0.5), (0.0, 2.0, 1.0))
    assert frozen.features == FeatureConfig()


def test_a_frozen_bundle_that_holds_no_network_still_reads():
    frozen = read_bundle(GOLDEN / "bundle_v3_classical")
    assert (frozen.kind, frozen.files, frozen.system) == ("classical", ("frames.skops", "clips.skops"), {"name": "svm"})
    with pytest.raises(UsageError, match=r"^--explain: expected a network, received the classical model"):
        frozen.require_network("--explain")


def test_other_kinds_come_back_with_exactly_their_files(bundle):
    made = replace(bundle, kind="stack", files=("members/0/model.onnx",), system={"meta": "logistic"}, features=NONE)
    (bundle.path / "members" / "0").mkdir(parents=True)
    (bundle.path / "members" / "0" / "model.onnx").write_bytes(b"network")
    write_bundle(made)
    assert read_bundle(bundle.path) == made
    (bundle.path / "members" / "0" / "model.onnx").write_bytes(b"other")
    with pytest.raises(ModelError, match=r"members.0.model\.onnx: does not match its hash"):
        read_bundle(bundle.path)


@pytest.mark.parametrize("name", ["model.h5", "model.pkl"])
def test_a_single_file_is_no_model(tmp_path, name):
    (tmp_path / name).write_bytes(b"whatever")
    with pytest.raises(ModelError, match="expected the folder of a model bundle, received a file"):
        read_bundle(tmp_path / name)


def test_operating_points_are_found_by_name_and_the_first_is_the_default(bundle):
    assert bundle.operating_point().name == "5%"
    assert bundle.operating_point("1%").real_bias == 2.5
    with pytest.raises(ModelError, match=r"operating point of 5%, 1%. Received: '2%'"):
        bundle.operating_point("2%")


@pytest.mark.parametrize("name", ["model.onnx", "model.keras"])
def test_changed_or_missing_files_are_named(bundle, name):
    (bundle.path / name).write_bytes(b"other")
    with pytest.raises(ModelError, match=f"{name}.*hash"):
        read_bundle(bundle.path)
    (bundle.path / name).unlink()
    with pytest.raises(ModelError, match=name):
        read_bundle(bundle.path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema_version": 4}, "schema_version 1 or 2 or 3"),
        ({"kind": "pickle"}, "kind of network, classical, stack"),
        ({"kind": "classical"}, "not a complete bundle: KeyError.'system'"),
        ({"kind": "classical", "system": {}, "hashes": {"../model.onnx": ""}}, "own folder"),
        ({"kind": "classical", "system": {}, "hashes": {"C:model.onnx": ""}}, "own folder"),
        ({"kind": "classical", "system": {}, "hashes": {"/etc/hosts": ""}}, "own folder"),
        ({"hashes": {"model.onnx": ""}}, "hashes of model.onnx and model.keras"),
        ({"labels": ["fake", "real", "hybrid"]}, "labels"),
        ({"frame_hop_samples": 160}, "every 160"),
        ({"window_samples": 64_001}, "multiples"),
        ({"step_samples": 0}, "step_samples"),
        ({"step_samples": 96_000}, "step_samples"),
        ({"calibration": {"temperature": 0}}, "temperature"),
        ({"calibration": {"heat": 1}}, "not a complete bundle"),
        ({"calibration": {"temperature": 1, "biases": [0, 0]}}, "3 finite biases"),
        ({"calibration": {"temperature": 1, "slopes": [0, float("inf"), 0]}}, "3 finite slopes"),
        ({"operating_points": []}, "operating points"),
        ({"operating_points": [{"name": "a", "thresholds": {"enter": 0.2, "exit": 0.5}}]}, "exit <= enter"),
        ({"operating_points": [{"name": "a", "thresholds": {"enter": 0.2, "colour": 1}}]}, "not a complete bundle"),
        ({"operating_points": [{"name": "", "thresholds": {}}]}, "a name"),
        ({"operating_points": [{"name": "a", "thresholds": {}, "temperatures": [1, 0, 1]}]}, "3 positive"),
        ({"operating_points": [{"name": "a", "thresholds": {}}] * 2}, "different names"),
        ({"features": {"n_mels": 3}}, "fields"),
        ({"hashes": []}, "hash"),
        ({"window_samples": "long"}, "not a complete bundle"),
    ],
)
def test_broken_facts_give_one_line(bundle, fields, message):
    change(bundle, **fields)
    with pytest.raises(ModelError, match=message) as caught:
        read_bundle(bundle.path)
    assert "\n" not in str(caught.value)


def test_what_is_no_bundle_says_so(tmp_path):
    with pytest.raises(ModelError, match="expected a model bundle"):
        read_bundle(tmp_path)
    (tmp_path / "bundle.json").write_text("not json")
    with pytest.raises(ModelError, match="expected JSON"):
        read_bundle(tmp_path)
    (tmp_path / "bundle.json").write_text("[]")
    with pytest.raises(ModelError, match="schema_version"):
        read_bundle(tmp_path)


def test_a_bundle_cannot_be_written_without_its_files(bundle):
    (bundle.path / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"model\.onnx"):
        write_bundle(bundle)


def test_the_one_asked_for_comes_first_then_the_shipped_then_the_newest_run(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "SHIPPED", tmp_path / "nowhere")
    runs = tmp_path / "runs"
    for age, name in enumerate(("new", "old")):
        shutil.copytree(bundle.path, runs / name / "bundle")
        os.utime(runs / name / "bundle" / "bundle.json", (1_000 - age, 1_000 - age))
    assert find_bundle(runs=runs) == runs / "new" / "bundle"
    monkeypatch.setattr(bundles, "SHIPPED", bundle.path)
    assert find_bundle(runs=runs) == bundle.path
    assert find_bundle(runs / "old", runs=runs) == runs / "old"


def test_no_model_anywhere_is_one_line_that_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "SHIPPED", tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"train_cnnrnnlstm\.py"):
        find_bundle(runs=tmp_path / "runs")
