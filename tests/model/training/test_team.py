"""Several devices and several processes learn what one does, on the processor of this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_set import write_tiny_set

from apps.cli import train
from apps.cli.main import run_alone
from audio.errors import UsageError
from model.training.callbacks import read_log
from model.training.examples import Batches, Share, Window, read_set, stream
from model.training.settings import TrainSettings, read_config
from model.training.team import ALONE, Team, open_team, read_cluster

ROOT = Path(__file__).parents[3]

# No dropout: parts of a batch draw masks of their own.
CONFIG = """
epochs = 3
batch_size = 8
seed = 5
window_s = 0.5
learning_rate = 0.01
[features]
n_mels = 32
[network]
architecture = "cnn"
channels = [4, 4]
band_strides = [8, 1]
dense_units = 8
dropout = 0.0
"""


def started(place: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3", **variables}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *arguments], cwd=place, env=environment, **pipes)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def workers(place: Path, *arguments: str) -> list[subprocess.Popen[str]]:
    """Start both workers of a cluster on this machine, the chief first."""
    hosts = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    command = (str(ROOT / "train_cnnrnnlstm.py"), "--strategy", "multi-worker", *arguments)
    return [
        started(
            place,
            *command,
            TF_CONFIG=json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": i}}),
        )
        for i in range(2)
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs on one device and on two, and the run `spread` of two processes that were killed once."""
    folder = tmp_path_factory.mktemp("team")
    write_tiny_set(folder / "set")
    (folder / "tiny.toml").write_text(CONFIG)
    alone = started(folder, str(Path(__file__).with_name("team_process.py")), str(folder))
    both = workers(folder, "--data", "set", "--config", "tiny.toml", "--out", "spread")
    state = folder / "spread" / "state" / "latest.json"
    while not state.exists() and all(each.poll() is None for each in both):
        time.sleep(0.02)
    for each in both:
        each.kill()
    told = [each.communicate()[1] for each in both]
    assert state.exists(), "\n".join(told)
    (folder / "epoch").write_text(str(json.loads(state.read_text())["epoch"]))
    resumed = workers(folder, "--resume", "spread")
    for name, each in (("chief", resumed[0]), ("other", resumed[1]), ("alone", alone)):
        said, told = each.communicate()
        assert each.returncode == 0, told
        (folder / f"{name}.out").write_text(said)
        (folder / f"{name}.err").write_text(told)
    return folder


def weights(path: Path) -> list[np.ndarray]:
    with np.load(path) as held:
        return [held[name] for name in held.files]


def expect_near(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    """Sums of 8 windows are taken as two sums of 4: float32 rounds them otherwise, and Adam's root magnifies that."""
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-4)


def test_two_devices_learn_what_one_learns(place: Path) -> None:
    """Catches batches that are seen twice or halved, clipping before summing, and statistics of half a batch."""
    expect_near(weights(place / "mirrored.npz"), weights(place / "alone.npz"))
    rows = [read_log(place / name / "log.csv") for name in ("alone", "mirrored")]
    assert [float(row["loss"]) for row in rows[0]] == pytest.approx([float(row["loss"]) for row in rows[1]], rel=1e-4)


def test_two_processes_killed_and_resumed_learn_what_one_learns_unbroken(place: Path) -> None:
    """Catches a worker that trains on the other's part, and one that goes on from elsewhere than the chief."""
    import keras

    assert int((place / "epoch").read_text()) < 3, "killed too late to show anything"
    best = keras.saving.load_model(place / "spread" / "bundle" / "model.keras")
    expect_near(best.get_weights(), weights(place / "alone.npz"))
    rows = [read_log(place / name / "log.csv") for name in ("alone", "spread")]
    assert [row["epoch"] for row in rows[1]] == ["1", "2", "3"]
    for name in ("loss", "dev_score"):
        one, other = ([float(row[name]) for row in each] for each in rows)
        assert other == pytest.approx(one, rel=1e-4)


def test_the_chief_writes_and_tells_and_the_other_leaves_nothing(place: Path) -> None:
    """Catches two processes that write one file, and a table that is printed by each."""
    assert json.loads((place / "spread" / "metrics.json").read_text())["clips"] == 6
    assert "macro-F1" in (place / "chief.out").read_text()
    assert (place / "other.out").read_text() == ""
    assert "epoch" not in (place / "other.err").read_text()
    assert {path.name for path in place.iterdir() if path.is_dir()} == {"set", "alone", "mirrored", "spread"}
    settings = json.loads((place / "spread" / "settings.json").read_text())
    assert "strategy" not in settings, "another machine may go on with it"


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> Batches:
    train_set = read_set(write_tiny_set(tmp_path_factory.mktemp("parts")), seed=0).split("train")
    return Batches(train_set, Window(8_000, TrainSettings(data="").features), 6, 3)


@pytest.mark.parametrize("of", [1, 2, 3, 6])
def test_parts_end_to_end_are_the_batch(batches: Batches, of: int) -> None:
    """Catches windows that are learned from twice, or by nobody."""
    for step in range(3):
        parts = [batches.batch(step, part, of=of) for part in range(of)]
        for whole, several in zip(batches.batch(step), zip(*parts, strict=True), strict=True):
            np.testing.assert_array_equal(whole, np.concatenate(several))


def test_twins_on_both_sides_of_a_cut_are_still_twins(batches: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a pair that one device sees whole and the other not at all."""
    monkeypatch.setattr(Batches, "units", lambda self, step: [(0, 1), (2, 3), (4, 5)])
    monkeypatch.setattr(Batches, "_examples", lambda self, unit, partners, turn: [f"{i}" for i in unit])
    monkeypatch.setattr("model.training.examples._stack", list)
    assert [batches.batch(0, part, of=2) for part in range(2)] == [["0", "1", "2"], ["3", "4", "5"]]
    assert [batches.batch(0, part, of=6) for part in range(6)] == [[f"{i}"] for i in range(6)]


def test_a_pipeline_makes_its_own_parts_of_every_batch(batches: Batches) -> None:
    """Catches a second worker that makes the first one's parts: its devices come third and fourth."""
    team = Team(SimpleNamespace(num_replicas_in_sync=6))
    share = team.share(SimpleNamespace(num_input_pipelines=3, input_pipeline_id=1))
    assert share == Share(2, 2, 6)
    made = [features.numpy() for features, _, _ in stream(batches, first_step=1, n_steps=3, share=share)]
    expected = [batches.batch(step, part, of=6)[0] for step in (1, 2) for part in (2, 3)]
    assert len(made) == 4
    for one, other in zip(made, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_alone_nothing_is_told_and_no_folder_lent(tmp_path: Path) -> None:
    assert ALONE.told(b"abc") == b"abc"
    with ALONE.home(tmp_path) as home:
        assert home == tmp_path
    assert ALONE.size == 1


@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_knows_its_place(index: int) -> None:
    text = json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": index}})
    assert read_cluster(text) == index


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1", "b:1"]}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "ps", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "b:1"], "ps": ["c:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": 5}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_cluster_that_is_none_is_a_line(text: str | None) -> None:
    """Catches a worker that waits forever for others who do not exist."""
    with pytest.raises(UsageError, match=r"expected .* in TF_CONFIG") as caught:
        read_cluster(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "set", "--strategy", "mirrored"], "expected two GPUs or more. Received: 0"),
        (["--data", "set", "--strategy", "multi-worker"], "in TF_CONFIG. Received: none"),
        (["--data", "set", "--strategy", "multi-worker", "--shards", "x"], "multi-worker takes no --shards"),
        (["--recipe", "x.toml", "--strategy", "multi-worker"], "multi-worker takes no --recipe"),
        (["--data", "set", "--strategy", "mirrored", "--minutes", "1"], "mirrored takes no --minutes"),
        (["--data", "set", "--classical", "knn", "--strategy", "mirrored"], "takes no --strategy"),
        (["--data", "set", "--mixed-precision", "float16"], "expected a GPU, found none"),
        (["--resume", "run", "--mixed-precision", "float16"], "it takes no other argument"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path, monkeypatch, capfd, arguments, said) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    write_tiny_set(tmp_path / "set")
    assert run_alone(train, program="train", argv=[*arguments]) == 2
    told = capfd.readouterr().err.splitlines()
    assert len(told) == 1
    assert said in told[0]
    assert {path.name for path in tmp_path.iterdir()} == {"set"}


def test_a_batch_that_cannot_be_dealt_out_is_refused(tmp_path: Path) -> None:
    """Catches windows that are dropped without a word."""
    from model.training.fit import prepare

    (tmp_path / "tiny.toml").write_text(CONFIG)
    settings = TrainSettings(data="", **read_config(tmp_path / "tiny.toml"))
    training_set = read_set(write_tiny_set(tmp_path / "set"), seed=0)
    with pytest.raises(UsageError, match="batches of 8 windows on 3 devices"):
        prepare(settings, training_set, team=Team(SimpleNamespace(num_replicas_in_sync=3)))


def test_no_name_no_team() -> None:
    assert open_team("one") is ALONE
