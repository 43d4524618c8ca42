"""Settings of a training: from TOML, through JSON, and back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from audio.errors import ModelError, UsageError
from model.bundle import Bundle
from model.features import FeatureConfig
from model.networks import config_type
from model.networks.cnnrnnlstm import NetworkConfig
from model.training.examples import Augmentation
from model.training.runs import start_run
from model.training.settings import TrainSettings, read_config, read_run, settings_like

CONFIG = """
epochs = 3
steps_per_epoch = 50
boundary_loss_weight = 0.5

[features]
hop_samples = 160

[network]
channels = [8, 8, 8]

[augmentation]
mix_s = [0.2, 1.0]
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "training.toml"
    path.write_text(text)
    return path


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path):
    settings = TrainSettings(data="set", **read_config(write(tmp_path, CONFIG)))
    assert (settings.epochs, settings.steps_per_epoch, settings.boundary_loss_weight) == (3, 50, 0.5)
    assert settings.features == FeatureConfig(hop_samples=160)
    assert settings.network == NetworkConfig(channels=(8, 8, 8))
    assert settings.augmentation == Augmentation(mix_s=(0.2, 1.0))
    assert settings.batch_size == TrainSettings(data="").batch_size


@pytest.mark.parametrize(("asked", "units"), [(None, 7), ("gru", 7), ("rnn", 7)])
def test_a_file_is_about_the_network_that_it_names_unless_another_is_asked_for(asked, units, tmp_path):
    path = write(tmp_path, f'[network]\narchitecture = "gru"\ndense_units = {units}')
    assert read_config(path, architecture=asked) == {"network": config_type(asked or "gru")(dense_units=units)}


def test_a_file_that_says_nothing_of_the_network_leaves_it_open(tmp_path):
    assert read_config(write(tmp_path, "epochs = 3"), architecture="gru") == {"epochs": 3}


def test_settings_survive_json_and_the_folder_of_a_run(tmp_path):
    settings = TrainSettings(data="set", **read_config(write(tmp_path, CONFIG)))
    assert TrainSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    start_run(tmp_path / "run", settings)
    assert read_run(tmp_path / "run") == settings
    with pytest.raises(UsageError, match="already holds a run"):
        start_run(tmp_path / "run", settings)


def test_runs_of_earlier_versions_still_read():
    """Settings that did not exist then have their defaults."""
    facts = TrainSettings(data="set").to_json()
    for name in ("augmentation", "steps_per_epoch", "boundary_loss_weight", "focal_gamma", "start_from"):
        del facts[name]
    del facts["features"]["second_n_fft"], facts["network"]["bidirectional"], facts["network"]["pooling"]
    del facts["network"]["architecture"]
    assert TrainSettings.from_json(facts) == TrainSettings(data="set")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs =", "expected TOML"),
        ("colour = 1", "Received: colour"),
        ('data = "set"', "expected data on the command line"),
        ("epochs = 0", "epochs: expected more than 0"),
        ('epochs = "many"', "not supported between"),
        ("frame_loss_weight = 0", "frame-loss-weight: expected more than 0"),
        ("early_loss_weight = -1", "early-loss-weight: expected 0 or more"),
        ("steps_per_epoch = 0", "steps-per-epoch: expected 1 or more"),
        ("features = 3", "features: expected a table"),
        ("[features]\ncolour = 1", "features: unknown colour"),
        ("[features]\nhop_samples = 100", "hop_samples must divide"),
        ('[network]\npooling = "sum"', "expected a pooling of"),
        ('[network]\narchitecture = "lstm"', "expected an architecture of cnnrnnlstm, cnn, "),
        ("[network]\narchitecture = []", "expected an architecture of"),
        ('[network]\narchitecture = "gru"\nchannels = [8]', "unknown channels; expected some of architecture, d"),
    ],
)
def test_mistakes_are_one_line_with_the_file(text, said, tmp_path):
    path = write(tmp_path, text)
    with pytest.raises(UsageError, match=said) as caught:
        read_config(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.toml: expected settings"):
        read_config(tmp_path / "nowhere.toml")


def test_fine_tuning_takes_what_decides_the_network_from_the_bundle(tmp_path):
    trained = TrainSettings(data="set", **read_config(write(tmp_path, CONFIG)))
    bundle = Bundle(tmp_path, "mine", 64_000, 32_000, trained.features, training={"settings": trained.to_json()})
    shared = settings_like(bundle)
    assert shared == {"features": trained.features, "network": trained.network, "window_s": 4.0}
    strange = {"settings": {**trained.to_json(), "network": {"architecture": "lstm"}}}
    for training in ({}, strange):
        with pytest.raises(ModelError, match="expected the settings it was trained with"):
            settings_like(replace(bundle, training=training))
