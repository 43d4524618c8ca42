"""Every kind of work on every kind of worker: this process, processes, a real Ray cluster; the same bytes and rows."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tiny_model import voice
from tiny_set import write_tiny_set

from apps import selftest
from apps.cli import main as script
from audio import cluster, jobs
from audio.crew import TRIES
from audio.errors import AudioError, ToolkitError, UsageError
from audio.executors import OnRay, Workers, executor_of
from audio.manifest import read_manifest
from audio.reading import write_wav
from model import Detector
from model.evaluation.scoring import Judge
from model.training.runs import METRICS_NAME, write_cost
from synth import __main__ as synth

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ray_here():
    """A cluster of this machine that all tests share."""
    with cluster.cluster(2, None):
        yield


@pytest.fixture(scope="module", params=["processes", "ray"])
def workers(request) -> Workers:
    """Two workers, elsewhere than in this process."""
    if request.param == "processes":
        return 2
    request.getfixturevalue("ray_here")
    return OnRay(2)


@pytest.fixture(scope="module")
def as_words(workers) -> list[str]:
    """The same, for a command."""
    return ["-j", "2", *(["--engine", "ray"] if isinstance(workers, OnRay) else [])]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory) -> Path:
    """Twelve genuine recordings of three speakers."""
    folder = tmp_path_factory.mktemp("spoken")
    for k in range(12):
        write_wav(folder / f"speaker{k % 3}" / f"{k}.wav", voice(np.random.default_rng(k), 4.0))
    return folder


@pytest.fixture(scope="module")
def tiny_set(tmp_path_factory) -> Path:
    return write_tiny_set(tmp_path_factory.mktemp("set"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_set_has_the_same_bytes(spoken, tmp_path, as_words, capsys):
    """Catches randomness that depends on who made a clip, and folders that a cluster's workers do not find."""
    for name, words in (("here", ["-j", "1"]), ("there", as_words)):
        build = ["build", "--real", spoken, "--cache", tmp_path / "cache", "--clips", 24, "--engines", "lpc"]
        assert synth.main([str(word) for word in [*build, "--held-out", "", "--out", tmp_path / name, *words]]) == 0
    found = contents(tmp_path / "there")
    assert found == contents(tmp_path / "here")
    assert sum(name.endswith(".wav") for name in found) == 24


def test_a_scan_has_the_same_table(spoken, tmp_path, tiny_bundle, as_words, capsys):
    (spoken / "text.wav").write_text("hello\n" * 50)
    for name, words in (("here", ["-j", "1"]), ("there", as_words)):
        scan = ["scan", spoken, "--out", tmp_path / name, "--model", tiny_bundle, *words]
        assert script.main([str(word) for word in scan]) == 1
    assert (tmp_path / "here").read_bytes() == (tmp_path / "there").read_bytes()


def test_an_evaluation_and_a_selftest_say_the_same(tiny_set, tiny_bundle, workers):
    clips = read_manifest(tiny_set / "manifest.jsonl")[:9]
    here, there = (Judge(tiny_bundle, workers=each).judge(tiny_set / "manifest.jsonl", clips) for each in (1, workers))
    assert [repr(each) for each in there] == [repr(each) for each in here]
    asked = selftest.Judge(tiny_set / "manifest.jsonl", Detector(tiny_bundle))
    assert selftest.judge(clips, asked, workers=workers) == selftest.judge(clips, asked)


def test_a_comparison_says_the_same(tiny_set, tiny_bundle, tmp_path, as_words, capsys):
    """Of a system that was trained before; what judging costs differs, what is said does not."""
    said = []
    for name, words in (("here", []), ("there", as_words)):
        run = tmp_path / name / "runs" / "tcn"
        shutil.copytree(tiny_bundle, run / "bundle")
        write_cost(run, parameters=1, cpu_seconds=1.0)
        (run / METRICS_NAME).write_text("{}")
        out = ["--out", str(tmp_path / name), "--json", "--systems", "tcn"]
        assert script.main(["compare", "--data", str(tiny_set), *out, *words]) == 0
        (row,) = map(json.loads, capsys.readouterr().out.splitlines())
        costs = ("cpu_seconds", "ms_per_s", "size_bytes")
        said.append({key: value for key, value in row["figures"].items() if key not in costs})
    assert said[0] == said[1]


def fragile(log: Path, item: int) -> list[jobs.Row]:
    """Note every begin; item 3 ends its process each time, items 6 and 9 once, item 8 is a bad file."""
    with log.open("a") as file:
        file.write(f"{item}\n")
    times = log.read_text().split().count(str(item))
    if item == 3 or (item in (6, 9) and times == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if item == 8:
        raise AudioError("8: cannot be read")
    return [{"item": item, "here": os.getcwd()}]


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL")
@pytest.mark.parametrize("ordered", [True, False])
def test_lost_workers_cost_nobody_else(workers, ordered, tmp_path, capfd):
    """Catches a run that ends with one of its workers, innocent items told of as bad, and talk where data goes."""
    log, journal = tmp_path / "log", tmp_path / "journal"
    work = partial(jobs.run, partial(fragile, log), range(12), key=str, workers=workers, journal=journal)
    rows = [row for each in work(ordered=ordered) for row in each]
    names = [str(row.get("item", row.get("key"))) for row in rows]
    assert (names if ordered else sorted(names, key=int)) == [str(i) for i in range(12)]
    assert {row["key"]: row["error"] for row in rows if "error" in row} == {
        "3": f"3: ended the process that worked on it, {TRIES} times",
        "8": "8: cannot be read",
    }
    assert {row["here"] for row in rows if "error" not in row} == {os.getcwd()}
    begun = log.read_text().split()
    assert TRIES <= begun.count("3") <= TRIES + 2  # among others first
    assert max(begun.count(str(i)) for i in range(12) if i != 3) <= 6
    assert capfd.readouterr().out == ""
    log.unlink()
    list(work())
    assert sorted(set(log.read_text().split())) == ["3", "8"]  # the rest was finished


def buggy(item: int) -> list[jobs.Row]:
    return [{"share": 1 / (item - 5)}]


def test_a_bug_comes_back_as_itself(workers):
    """Catches Ray's wrapping, which hides what went wrong from whoever catches it."""
    with pytest.raises(ZeroDivisionError) as caught:
        list(jobs.run(buggy, range(9), key="item {}".format, workers=workers))
    assert type(caught.value) is ZeroDivisionError
    assert "while processing 'item 5'" in caught.value.__notes__


ORPHANS = """
import os, time
from pathlib import Path
from audio import jobs

def sleepy(item):
    Path(f"{os.getpid()}.pid").touch()
    time.sleep(1000)

if __name__ == "__main__":
    list(jobs.run(sleepy, range(4), key=str, workers=2))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL")
def test_workers_end_with_whoever_started_them(tmp_path):
    """Catches processes that stay for ever, model and all, when a command is killed."""
    import psutil

    (tmp_path / "orphans.py").write_text(ORPHANS)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "orphans.py"], cwd=tmp_path, env=environment) as process:
        while len(found := list(tmp_path.glob("*.pid"))) < 2:
            time.sleep(0.05)
        children = [psutil.Process(int(path.stem)) for path in found]
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--address", "auto"], 2, "--address: expected --engine ray beside it, received auto alone"),
        (["--engine", "ray", "--address", "nowhere"], 2, "--address: expected HOST:PORT or auto, received 'nowhere'"),
        (
            ["--engine", "ray", "--address", "ray://a:1"],
            2,
            "--address: expected HOST:PORT or auto, received 'ray://a:1'",
        ),
        (["--engine", "ray", "--address", "127.0.0.1:1"], 1, "--address: no cluster answers at 127.0.0.1:1: "),
        (["-j", "0"], 2, "workers: expected at least 1, received 0"),
        (["-j", "0", "--engine", "ray"], 2, "workers: expected at least 1, received 0"),
    ],
)
def test_wrong_places_are_one_line(spoken, tmp_path, tiny_bundle, words, status, message, capsys, monkeypatch):
    """Catches a traceback, and a wait of many minutes for a cluster that is not there."""
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    given = ["scan", str(spoken), "--out", str(tmp_path / "out.csv"), "--model", str(tiny_bundle), *words]
    assert script.main(given) == status
    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    assert message in said.err


def test_without_ray_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ToolkitError, match=r"Ray is missing: install it with 'pip install -e \.\[ray\]'"):
        list(jobs.run(buggy, range(3), key=str, workers=OnRay(1)))
    with pytest.raises(UsageError):
        executor_of(-1)
