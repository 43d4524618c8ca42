"""The commands of docs/scaling.md, as they are written there: a Ray cluster of two nodes, on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from tiny_model import voice

from apps.cli import main as script
from audio.reading import write_wav

ROOT = Path(__file__).parents[2]

APART = ["unshare", "--pid", "--fork", "--mount-proc"]
"""`ray stop` ends all of Ray's processes that it sees: let it see none but its own."""


def documented() -> list[str]:
    """The commands of the section, in its order."""
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    _, _, section = text.partition("<!-- cluster by hand begin -->")
    section, _, _ = section.partition("<!-- cluster by hand end -->")
    return [line.removeprefix("$ ") for line in section.splitlines() if line.startswith("$ ")]


def can_be_apart() -> bool:
    return bool(shutil.which("unshare")) and subprocess.run([*APART, "true"], capture_output=True).returncode == 0


@pytest.fixture
def folder(tmp_path, tiny_bundle) -> Path:
    """A folder as its user has it: recordings, the command, and a model to judge with."""
    for k in range(12):
        write_wav(tmp_path / "calls" / f"{k}.wav", voice(np.random.default_rng(k), 2.0))
    (tmp_path / "script.py").symlink_to(ROOT / "script.py")
    return tmp_path


@pytest.mark.skipif(not can_be_apart(), reason="a process space of its own (unshare --pid) is for root on Linux")
def test_two_nodes_as_documented(folder, tiny_bundle):
    """Catches commands that do not run as written, and a table that depends on where it was made."""
    commands = [f"{line} --model {tiny_bundle}" if "script.py" in line else line for line in documented()]
    assert sum(line.startswith("ray start") for line in commands) == 2
    counted = 'for _ in $(seq 60); do if ray status | grep -q "/2.0 CPU"; then break; fi; sleep 1; done'
    commands = [f"{line} --num-cpus 1" if line.startswith("ray start") else line for line in commands]
    commands.insert(commands.index("ray stop") - 1, counted)
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as short:
        environment = {**os.environ, "PATH": paths, "HOME": short, "RAY_TMPDIR": short}
        asked = [*APART, "bash", "-euc", "\n".join(commands)]
        done = subprocess.run(asked, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
    assert "real 12, fake 0, hybrid 0, not judged 0, failed 0 -> results.csv" in done.stdout
    assert (
        script.main(["scan", str(folder / "calls"), "--out", str(folder / "here.csv"), "--model", str(tiny_bundle)])
        == 0
    )
    here = (folder / "here.csv").read_text().replace(f"{folder}{os.sep}", "")
    assert (folder / "results.csv").read_text() == here


def test_recipes_are_of_the_version_that_is_locked():
    """Catches machines of a cluster with another Ray than the driver's, which it refuses to speak to."""
    locked = next(line for line in (ROOT / "requirements.lock").read_text().splitlines() if line.startswith("ray=="))
    version = locked.removeprefix("ray==")
    for place in (*(ROOT / "docs" / "cluster").iterdir(), ROOT / "docs" / "scaling.md"):
        text = place.read_text(encoding="utf-8")
        assert version in text, place
        assert "hybrid-audio-ray:" not in text.replace(f"hybrid-audio-ray:{version}", ""), place


def test_recipes_are_well_formed():
    """Catches a file that no tool would read; Ray's own validator for its launcher's."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    recipe = yaml.safe_load((ROOT / "docs" / "cluster" / "aws.yaml").read_text())
    validate_config(prepare_config(recipe))
    cluster, claim = yaml.safe_load_all((ROOT / "docs" / "cluster" / "kuberay.yaml").read_text())
    assert (cluster["kind"], claim["kind"]) == ("RayCluster", "PersistentVolumeClaim")
    volume = cluster["spec"]["headGroupSpec"]["template"]["spec"]["volumes"][0]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
