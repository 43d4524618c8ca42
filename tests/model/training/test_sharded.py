"""Training from shards: the same batches, the same weights, the same figures as from files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_model import RATE, voice
from tiny_set import write_tiny_set

from apps.cli import evaluate, train
from apps.cli.main import run_alone
from audio import manifest, shards
from audio.labels import FAKE, REAL
from audio.manifest import Clip, read_manifest, write_manifest
from audio.reading import write_wav
from audio.segments import Segment
from audio.sharding import write_shards
from model.features import FeatureConfig
from model.networks.cnnrnnlstm import NetworkConfig
from model.training import callbacks
from model.training.examples import Batches, Window, read_set, stream
from model.training.settings import TrainSettings
from model.training.splits import Division

WINDOW = Window(RATE // 2, FeatureConfig(n_mels=32))
SHARD_BYTES = 200_000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sets `files` (with twins), `plain`, and shards of both."""
    folder = tmp_path_factory.mktemp("training-from-shards")
    listing = write_tiny_set(folder / "files") / "manifest.jsonl"
    twins = []
    for k in range(10):
        for label, spans in ((REAL, []), (FAKE, [(0.0, 1.2)])):
            path, whole = f"{label}/twin-{k}.wav", ((Segment(0, 19_200, FAKE),) if spans else ())
            write_wav(folder / "files" / path, voice(np.random.default_rng(k), 1.2, fake_s=spans))
            source = f"{REAL}/twin-{k}.wav" if spans else ""
            twins.append(Clip(path, label, whole, 19_200, speaker="t", split="train", source_clip=source))
    write_manifest(listing, [*read_manifest(listing), *twins])
    shutil.copytree(folder / "files", folder / "plain")
    (folder / "plain" / "manifest.jsonl").unlink()
    for name in ("files", "plain"):
        write_shards(folder / name, folder / f"{name}-shards", shard_bytes=SHARD_BYTES)
    return folder


@pytest.mark.parametrize("shuffle_window", [None, 8])
@pytest.mark.parametrize("name", ["files", "plain"])
def test_batches_are_equal_bit_for_bit(place, name, shuffle_window):
    """Catches twins that do not find each other, lost spans, and an order that asks whether there are shards."""
    made = []
    for folder in (place / name, place / f"{name}-shards"):
        train_set = read_set(folder, seed=4).split("train")
        made.append(Batches(train_set, WINDOW, 8, 3, shuffle_window=shuffle_window))
    assert made[0].steps_per_pass == made[1].steps_per_pass > 1
    assert bool(made[0].twins) == (name == "files")
    for step in range(2 * made[0].steps_per_pass):
        for one, other in zip(made[0].batch(step), made[1].batch(step), strict=True):
            np.testing.assert_array_equal(one, other)


def test_other_splits_are_the_same_of_shards(place):
    """Catches splits that are drawn from where clips lie instead of what they are called."""
    for division in (Division("leaky", 3, 0), Division("leaky", 5, 1)):
        found = [read_set(place / name, seed=2, division=division) for name in ("files", "files-shards")]
        assert found[0].clips == found[1].clips


def test_within_a_window_clips_are_near_each_other_and_so_are_those_they_are_mixed_with(place):
    """Catches a window that is honoured by the order, while what is mixed in comes from all over the storage."""
    made = Batches(read_set(place / "files-shards", seed=0).split("train"), WINDOW, 4, 3, shuffle_window=8)
    for step in range(made.steps_per_pass):
        near = {clip.path for clip in made.nearby(0, made.windows(step)).clips}
        following = {clip.path for clip in made.nearby(0, [at + 1 for at in made.windows(step)]).clips}
        visited = {made.training_set.clips[i].path for unit in made.units(step) for i in unit}
        assert visited <= near | following
        assert len(near) < len(made.training_set.clips)


def test_the_next_window_is_asked_for_when_one_begins(place, monkeypatch):
    """Catches reading ahead that comes too late, asks twice, or not at all."""
    asked: list[set[str]] = []
    monkeypatch.setattr(shards.ShardedSet, "expect", lambda self, paths: asked.append(set(paths)))
    made = Batches(read_set(place / "files-shards", seed=0).split("train"), WINDOW, 4, 3, shuffle_window=8)
    for step in range(made.steps_per_pass):
        made.read_ahead(step)
        visited = {made.training_set.clips[i].path for unit in made.units(step) for i in unit}
        assert visited <= set().union(*asked)
    assert len(asked) <= 1 + len({made.windows(step) for step in range(made.steps_per_pass)})
    asked.clear()
    replace(made, shuffle_window=None).read_ahead(0)
    Batches(read_set(place / "files", seed=0).split("train"), WINDOW, 4, 3, shuffle_window=8).read_ahead(0)
    assert not asked


def test_the_system_is_told_where_clips_lie(place):
    """Catches an `expect` that the system refuses; whether it listens is its own affair."""
    sharded = shards.opened(place / "files-shards")
    sharded.expect(clip.path for clip in read_manifest(place / "files-shards" / "manifest.jsonl"))


def test_weights_from_shards_equal_those_from_files_also_after_a_stop(place, tmp_path, monkeypatch):
    """Files in one go, shards stopped after the first epoch and resumed: catches anything that the storage decides."""
    from model.training.fit import fit

    settings = TrainSettings(
        data="",
        epochs=2,
        batch_size=8,
        seed=5,
        window_s=0.5,
        learning_rate=0.01,
        shuffle_window=16,
        features=FeatureConfig(n_mels=32),
        network=NetworkConfig(channels=(4,), band_strides=(8,), dense_units=8, recurrent_units=4),
    )
    whole = fit(tmp_path / "whole", settings, read_set(place / "files", seed=5))
    saving = callbacks.SavedState.on_epoch_end

    def stop(self, epoch, logs=None):
        saving(self, epoch, logs)
        raise KeyboardInterrupt

    monkeypatch.setattr(callbacks.SavedState, "on_epoch_end", stop)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "stopped", settings, read_set(place / "files-shards", seed=5))
    monkeypatch.undo()
    resumed = fit(tmp_path / "stopped", settings, read_set(place / "files-shards", seed=5))
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (tmp_path / "whole" / "log.csv").read_text() == (tmp_path / "stopped" / "log.csv").read_text()


def test_a_stream_begins_anywhere(place):
    """Catches a pipeline over shards that has to begin at the front."""
    made = Batches(read_set(place / "files-shards", seed=0).split("train"), WINDOW, 8, 3, shuffle_window=16)
    whole = [features.numpy() for features, _, _ in stream(made, first_step=0, n_steps=5)]
    rest = [features.numpy() for features, _, _ in stream(made, first_step=3, n_steps=5)]
    np.testing.assert_array_equal(whole[3:], rest)


def run(module, *arguments) -> int:
    return run_alone(module, program="it", argv=[*map(str, arguments)])


def test_a_classical_system_and_its_evaluation_work_on_shards(place, tmp_path, monkeypatch, capsys):
    """Catches training that works and judging that then cannot find a recording."""
    monkeypatch.chdir(tmp_path)
    given = ("--classical", "logistic", "--selection", "correlation", "--window-s", 1, "--windows", 36, "--seed", 1)
    assert run(train, "--data", place / "files", "--out", "one", *given) == 0
    assert run(train, "--data", place / "files", "--shards", "mine", "--out", "two", *given, "-j", 1) == 0
    assert run(train, "--data", "mine", "--check-shards", "--out", "three", *given) == 0
    figures = [json.loads(Path(name, "metrics.json").read_text()) for name in ("one", "two", "three")]
    assert figures[0] == figures[1] == figures[2]
    capsys.readouterr()
    asked = ("--model", "one", "--split", "test", "--resamples", 20, "--json", "-j", 1)
    told = []
    for data in (place / "files", "mine"):
        assert run(evaluate, "--manifest", data, "--out", f"report-{Path(data).name}", *asked) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0]["figures"] == told[1]["figures"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--data", "{cut}", "--classical", "knn"], 1, "expected a shard of"),
        (["--data", "{old}"], 1, "schema_version: expected 1, received 0"),
        (["--data", "{cut}", "--check-shards"], 1, "expected a shard of"),
        (["--data", "{files}", "--check-shards"], 2, "expected a sharded set"),
        (["--data", "{files}", "--shards", "{plain}"], 2, "expected a new folder for the shards, received one that"),
        (["--data", "{cut}", "--shards", "new"], 2, "sharded already"),
        (["--data", "nowhere", "--shards", "new"], 1, "expected a folder"),
        (["--resume", "run", "--shards", "new"], 2, "expected --data beside them"),
        (["--data", "{files}", "--shuffle-window", "0"], 2, "shuffle-window: expected 1 or more. Received: 0"),
        (["--data", "{files}", "--shuffle-window", "9", "--classical", "knn"], 2, "takes no --shuffle-window"),
        (["--recipe", "x.toml", "--shuffle-window", "9"], 2, "it does not go with --recipe"),
    ],
)
def test_bad_input_is_one_line(place, tmp_path, monkeypatch, capfd, arguments, status, said):
    monkeypatch.chdir(tmp_path)
    for name in ("cut", "old"):
        shutil.copytree(place / "files-shards", tmp_path / name)
    for path in (tmp_path / "cut").glob("shard-*.tar"):
        path.write_bytes(path.read_bytes()[:-1])
    index = tmp_path / "old" / "shards.json"
    index.write_text(index.read_text().replace('"schema_version": 1', '"schema_version": 0'))
    names = {"files": place / "files", "plain": place / "plain", "cut": "cut", "old": "old"}
    assert run(train, *(each.format(**names) for each in arguments), "--out", "new-run") == status
    told = capfd.readouterr().err
    lines = [line for line in told.splitlines() if not line.startswith("run: ") and "describing" not in line]
    assert len(lines) == 1, told
    assert said in lines[0]
    assert not (tmp_path / "new-run" / "settings.json").exists()


def test_a_link_out_of_the_set_is_still_refused(place, tmp_path):
    """Catches a sharded set that would open the old way out."""
    with pytest.raises(Exception, match="expected a clip of this sharded set"):
        manifest.resolve(place / "files-shards" / "manifest.jsonl", Clip("real/other.wav", REAL))
